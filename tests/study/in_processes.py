"""What processes of a test load first: they may stop in the middle of a stage, and draw figures quickly.

Where the environment has ``STOPS_IN``, a stage and a file, the first process that is about to give the first file of
that stage its name touches the file, and is killed; where ``STOPS`` is ``wait``, it waits until the file is gone.
Figures are those of the file ``QUICK_FIGURES`` (Dask runs this one from a place of its own).
"""

import os
import runpy
import signal
import time
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import affectome.study._engine

stops_in, _, mark = os.environ.get("STOPS_IN", "").partition("=")
if "noted" not in globals():  # Dask loads it again
    noted, give_name = affectome.study._engine._noted, Path.replace


def stop(temporary, target):
    if not Path(mark).exists():
        Path(mark).touch()
        if os.environ.get("STOPS") != "wait":
            os.kill(os.getpid(), signal.SIGKILL)
        while Path(mark).exists():
            time.sleep(0.01)
    return give_name(temporary, target)


@contextmanager
def noted_and_stopped(stage, results):
    with noted(stage, results), patch.object(Path, "replace", stop if stage.name == stops_in else give_name):
        yield


for name, stand_in in runpy.run_path(os.environ["QUICK_FIGURES"])["QUICK"].items():
    module, _, attribute = name.rpartition(".")
    setattr(import_module(module), attribute, stand_in)
affectome.study._engine._noted = noted_and_stopped
