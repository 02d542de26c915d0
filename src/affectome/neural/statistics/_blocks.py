"""Permutations of trials in blocks: what may be exchanged with what, and how small a p that allows."""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome._resampling import check_permutations
from affectome._tables import cut_short
from affectome.errors import InputError

__all__ = ["BlockPermutations", "block_permutations"]

logger = logging.getLogger(__name__)

_LARGEST_P = 0.05  # a test that cannot reach it is refused
_STILL = 0.2  # share of trials that may stay where they are before it is said


@dataclass(frozen=True, eq=False)
class BlockPermutations:
    """Rearrangements of the trials of a recording.

    Attributes
    ----------
    orders : int32 array of shape (n_permutations, n_trials)
        ``responses[orders[k]]`` are the responses of rearrangement k, the design staying as it is.
    block : intp array of shape (n_trials,)
        Number of the block of each trial.
    within : "run" or None
    n_distinct : int
        Rearrangements that differ in which stimulus meets which response, the observed one included.
    exact : bool
        True: `orders` are all of them but the observed one, each once; False: drawn at random, with replacement.
    still : float
        Share of trials whose block has no other of its length to change places with, so that they stay.
    """

    orders: NDArray[np.int32]
    block: NDArray[np.intp]
    within: Literal["run"] | None
    n_distinct: int
    exact: bool
    still: float

    @property
    def n_permutations(self) -> int:
        """Rearrangements beside the observed one."""
        return len(self.orders)

    @property
    def smallest_p(self) -> float:
        """The least that p = (b + 1) / (n_permutations + 1) can be."""
        return 1 / (len(self.orders) + 1)

    @property
    def null(self) -> str:
        """What is exchangeable under the null, in words."""
        lengths = np.bincount(self.block)
        shortest, longest = int(lengths.min()), int(lengths.max())
        size = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
        unit = "single trials" if longest == 1 else f"blocks of {size} trials"
        where = "within its run" if self.within == "run" else "over the whole recording"
        drawn = "all rearrangements" if self.exact else "rearrangements drawn at random"
        return f"responses are exchangeable in {unit} of equal length {where} ({drawn})"


def block_permutations(
    trials: pd.DataFrame,
    *,
    blocks: str | ArrayLike | None = None,
    block_length: int | None = None,
    within: Literal["run"] | None = "run",
    n_permutations: int,
    seed: int,
) -> BlockPermutations:
    """Rearrange trials in whole blocks, those of equal length among themselves.

    Parameters
    ----------
    trials : DataFrame of n_trials rows
        With the columns ``stimulus`` and ``run``, in the order of presentation inside a run.
    blocks : name of a column, or array of n_trials labels
        A block is a stretch of trials of one run that follow one another and have the same label.
    block_length
        Instead: stretches of so many trials from the first of each run; what is left at its end is shorter. By
        default 1, single trials, which is only right where neighbouring responses do not depend on one another, or
        the order of the stimuli was random.
    within
        ``"run"``: blocks change places with others of the same run, so that run means, drifts between runs and any
        fold made of whole runs stay as they are. None: with any block of the recording, for designs with one block
        or so per run; it assumes that runs are alike in mean and spread.
    n_permutations
        Rearrangements to draw. Where there are no more than that, each is taken once, and p is exact.
    seed
        Of the draws.

    Returns
    -------
    BlockPermutations

    Raises
    ------
    InputError
        Where a column is missing, and where so few rearrangements exist that no p could reach .05.

    Notes
    -----
    Blocks of unequal length do not change places: moving them would shift all trials between them, and the
    rearrangements would no longer be a group, which an exact test needs. A block without a partner of its length
    stays in place; what share of the trials that is stands in `still` and is logged where it exceeds 20%.

    A rearrangement that only exchanges blocks with the same stimuli in the same order changes nothing. Each set of m
    exchangeable blocks, of which c_1, c_2, ... have the same stimuli, has ``m! / (c_1! c_2! ...)`` distinct ones;
    `n_distinct` is the product over sets.

    Examples
    --------
    >>> trials = pd.DataFrame({"stimulus": list("abcdabcd"), "run": [1, 1, 1, 1, 2, 2, 2, 2]})
    >>> drawn = block_permutations(trials, n_permutations=99, seed=0)
    >>> drawn.n_distinct, drawn.exact, drawn.smallest_p
    (576, False, 0.01)
    >>> drawn.null
    'responses are exchangeable in single trials of equal length within its run (rearrangements drawn at random)'
    """
    check_permutations(n_permutations)
    run, stimulus = _columns(trials)
    block = _blocks(trials, run, blocks, block_length)
    sets, still = _exchangeable(block, run, stimulus, within)
    n_distinct = math.prod(_distinct(contents) for _, contents in sets)
    exact = n_distinct <= n_permutations + 1
    if 1 / min(n_distinct, n_permutations + 1) > _LARGEST_P:
        raise InputError(_too_few(n_distinct, n_permutations), remedy=_remedy(n_distinct, within))
    if still > _STILL:
        logger.warning(
            "%.0f%% of the trials are in blocks that have no other of their length to change places with%s and stay "
            "where they are.",
            100 * still,
            " in their run" if within == "run" else "",
        )
    if exact:
        orders = _all_orders(sets, len(trials), n_distinct)
    else:
        orders = _drawn_orders(sets, len(trials), n_permutations, np.random.default_rng(seed))
    return BlockPermutations(orders, block, within, n_distinct, exact, still)


def _too_few(n_distinct: int, n_permutations: int) -> str:
    if n_distinct <= n_permutations + 1:
        return f"the blocks can be arranged in {n_distinct} ways only, so that no p can be below {1 / n_distinct:.3g}"
    return f"{n_permutations} permutations cannot give a p below {1 / (n_permutations + 1):.3g}"


def _remedy(n_distinct: int, within: Literal["run"] | None) -> str:
    if n_distinct >= 1 / _LARGEST_P:
        return f"use at least {math.ceil(1 / _LARGEST_P) - 1} permutations"
    return "use shorter blocks" + (", or exchange them across runs where runs are alike" if within == "run" else "")


def _columns(trials: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Codes of run and stimulus of each trial."""
    for name in ("run", "stimulus"):
        if name not in trials.columns:
            raise InputError(f"the trials have no column '{name}'", remedy="add it")
        blank = np.flatnonzero(trials[name].isna())
        if len(blank):
            raise InputError(f"the {name} is missing", where=f"trial {blank[0]}", remedy="fill it in")
    return pd.factorize(trials["run"])[0], pd.factorize(trials["stimulus"])[0]


def _blocks(
    trials: pd.DataFrame, run: NDArray[np.intp], blocks: str | ArrayLike | None, block_length: int | None
) -> NDArray[np.intp]:
    """Number of the block of each trial, from 0."""
    if blocks is not None and block_length is not None:
        raise InputError("both blocks and block_length are given", remedy="give one of them")
    if blocks is not None:
        labels = _labels(trials, blocks)
    elif block_length is not None and block_length < 1:
        raise InputError(f"block_length={block_length} makes no blocks", remedy="use block_length >= 1")
    block, n_blocks = np.empty(len(trials), np.intp), 0
    for number in range(run.max() + 1):
        rows = np.flatnonzero(run == number)
        if blocks is not None:
            mine = labels[rows]
            starts = np.r_[True, mine[1:] != mine[:-1]]
        else:
            starts = np.arange(len(rows)) % (block_length or 1) == 0
        block[rows] = n_blocks + np.cumsum(starts) - 1
        n_blocks += int(starts.sum())
    return block


def _labels(trials: pd.DataFrame, blocks: str | ArrayLike) -> NDArray[np.intp]:
    if isinstance(blocks, str):
        if blocks not in trials.columns:
            raise InputError(
                f"the trials have no column '{blocks}'",
                remedy=f"name one of {cut_short(trials.columns)}, or use block_length",
            )
        given = trials[blocks].to_numpy()
    else:
        given = np.asarray(blocks)
        if given.shape != (len(trials),):
            raise InputError(
                f"blocks of shape {given.shape} are given for {len(trials)} trials", remedy="give one label per trial"
            )
    codes = pd.factorize(given)[0]
    blank = np.flatnonzero(codes < 0)
    if len(blank):
        raise InputError("the block is missing", where=f"trial {blank[0]}", remedy="fill it in, or leave the trial out")
    return codes


#: Places of the trials of the blocks that may change places, (n_blocks, length), and what each block shows.
_Set = tuple[NDArray[np.intp], list[Hashable]]


def _exchangeable(
    block: NDArray[np.intp], run: NDArray[np.intp], stimulus: NDArray[np.intp], within: Literal["run"] | None
) -> tuple[list[_Set], float]:
    members: dict[tuple[int, int], list[NDArray[np.intp]]] = defaultdict(list)
    order = np.argsort(block, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(block))[:-1]):
        members[int(run[rows[0]]) if within == "run" else -1, len(rows)].append(rows)
    sets: list[_Set] = []
    moving = 0
    for _, group in sorted(members.items()):
        if len(group) < 2:
            continue
        moving += sum(map(len, group))
        # In another run the same stimuli are another block: its fold, and so what predicts it, may differ.
        contents: list[Hashable] = [(int(run[rows[0]]), *stimulus[rows].tolist()) for rows in group]
        sets.append((np.stack(group), contents))
    return sets, 1 - moving / len(block)


def _distinct(contents: Sequence[Hashable]) -> int:
    ways = math.factorial(len(contents))
    for repeated in Counter(contents).values():
        ways //= math.factorial(repeated)
    return ways


def _drawn_orders(
    sets: Sequence[_Set], n_trials: int, n_permutations: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    orders = np.tile(np.arange(n_trials, dtype=np.int32), (n_permutations, 1))
    for places, _ in sets:
        drawn = rng.permuted(np.tile(np.arange(len(places)), (n_permutations, 1)), axis=1)
        orders[:, places] = places[drawn]
    return orders


def _all_orders(sets: Sequence[_Set], n_trials: int, n_distinct: int) -> NDArray[np.int32]:
    """Every distinct rearrangement but the observed one."""
    orders = np.tile(np.arange(n_trials, dtype=np.int32), (n_distinct, 1))
    ways = itertools.product(*(list(_arrangements(contents)) for _, contents in sets))
    for row, arrangement in enumerate(ways):
        for (places, _), order in zip(sets, arrangement, strict=True):
            orders[row, places[list(order)]] = places  # block order[k] of the design meets the responses of block k
    return orders[1:]  # the first arrangement of every set is the observed one


def _arrangements(contents: Sequence[Hashable]) -> Iterator[tuple[int, ...]]:
    """Which block of the design each block of responses meets, for every distinct arrangement, the observed first."""
    kinds = list(dict.fromkeys(contents))
    queues = {kind: [k for k, content in enumerate(contents) if content == kind] for kind in kinds}
    observed = tuple(range(len(contents)))
    yield observed

    def fill(left: Counter[Hashable], so_far: tuple[Hashable, ...]) -> Iterator[tuple[Hashable, ...]]:
        if len(so_far) == len(contents):
            yield so_far
            return
        for kind in kinds:
            if left[kind]:
                yield from fill(left - Counter([kind]), (*so_far, kind))

    for arrangement in fill(Counter(contents), ()):
        seen: Counter[Hashable] = Counter()
        order = []
        for kind in arrangement:
            order.append(queues[kind][seen[kind]])
            seen[kind] += 1
        if tuple(order) != observed:
            yield tuple(order)
