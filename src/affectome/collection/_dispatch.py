"""In which order questions are asked, and which of them by whom."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError

__all__ = ["DISPATCHES", "Dispatch", "dispatch_order", "read_shard"]

#: ``prefix``: by the stimuli in the first two slots, so that a server's prefix cache serves the next question too;
#: ``random``: shuffled, so that a collection stopped early is a sample; ``given``: as the questions stand.
Dispatch = Literal["prefix", "random", "given"]
DISPATCHES: tuple[str, ...] = get_args(Dispatch)
_SHUFFLE_SEED = 0x0DD  # the order of asking is part of no result; it only has to be the same on every machine


def dispatch_order(
    triplets: NDArray[np.int32], dispatch: Dispatch, shard: tuple[int, int] = (1, 1)
) -> NDArray[np.int64]:
    """Rows of `triplets` in the order they are asked, those of one shard only.

    The slots were drawn at random before; sorting the trials afterwards moves no stimulus from its slot. A shard is a
    run of the whole order, so that each keeps its prefixes together.

    Parameters
    ----------
    triplets : int32 array of shape (n_trials, 3)
    shard
        ``(k, n)``: the k-th of n parts, counted from 1.

    Examples
    --------
    >>> shown = np.array([[2, 1, 0], [0, 1, 2], [2, 0, 1], [0, 2, 1]], np.int32)
    >>> dispatch_order(shown, "prefix").tolist(), dispatch_order(shown, "prefix", (2, 2)).tolist()
    ([1, 3, 2, 0], [2, 0])
    """
    if dispatch not in DISPATCHES:
        raise InputError(f"dispatch='{dispatch}' is unknown", remedy=f"choose one of {', '.join(DISPATCHES)}")
    part, parts = shard
    if not 1 <= part <= parts:
        raise InputError(f"there is no shard {part} of {parts}", remedy="give k/n with k from 1 to n")
    n = len(triplets)
    if dispatch == "prefix":
        order = np.lexsort((triplets[:, 2], triplets[:, 1], triplets[:, 0]))
    elif dispatch == "random":
        order = np.random.default_rng(_SHUFFLE_SEED).permutation(n)
    else:
        order = np.arange(n)
    return order[(part - 1) * n // parts : part * n // parts].astype(np.int64)


def read_shard(text: str) -> tuple[int, int]:
    """``"3/16"`` as (3, 16)."""
    part, _, parts = text.partition("/")
    if not (part.strip().isdigit() and parts.strip().isdigit()) or not 1 <= int(part) <= int(parts):
        raise InputError(f"the shard '{text}' is not k/n with k from 1 to n", remedy="as in --shard 3/16")
    return int(part), int(parts)
