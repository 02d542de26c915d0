"""Seeds that depend on what is drawn, never on what else a study draws."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["named_seed"]


def named_seed(root: int, *names: str) -> int:
    """A seed for one purpose, from the root seed and the purpose's name.

    Adding a system or a stage to a study leaves the seeds of the others as they were.

    Examples
    --------
    >>> named_seed(1, "answers", "mllm") == named_seed(1, "answers", "mllm")
    True
    >>> named_seed(1, "answers", "mllm") == named_seed(1, "answers", "llm")
    False
    """
    key = tuple(zlib.crc32(name.encode()) for name in names)
    return int(np.random.SeedSequence(root, spawn_key=key).generate_state(1)[0])
