"""The ``affectome`` command: parse, call, print.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 2 bad input, 3 the environment
failed (disk, lock, server), 4 stopped by a budget or partly failed, 130 interrupted, 1 a bug.
"""

from affectome.cli._app import app, main

__all__ = ["app", "main"]
