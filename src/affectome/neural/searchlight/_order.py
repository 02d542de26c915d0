"""Do spaces know in which order stimuli were shown: then permutations over the whole recording are no null."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from affectome.neural.searchlight._inputs import BrainMetric, Neighbourhoods, Patterns
from affectome.neural.searchlight._mantel import mantel_test, model_nulls
from affectome.neural.searchlight._moments3 import RunBlocks
from affectome.neural.searchlight._scorers import Asked, PearsonChunks

__all__ = ["warn_of_sorted_stimuli"]

logger = logging.getLogger(__name__)

Singles = NDArray[np.float32]

_LEAST_P = 0.001  # below it a space is said to know the order


def warn_of_sorted_stimuli(asked: Asked, given: Patterns) -> None:
    """Warn where the stimuli of nearby runs, or of the same run, are alike in a space.

    The similarity of each space is correlated, over the pairs that count, with minus the squared distance between runs,
    and over all pairs with whether both stimuli are of one run; both are held against all permutations of the stimuli.
    Where a space knows the runs *and* the brain drifts over them, or has a pattern of its own in each, closed-form p
    are far too small.
    """
    if given.run is None:
        return
    places = given.run[:, None].astype(np.float32)
    of_one = (places == np.unique(given.run)).astype(np.float32)
    known: dict[str, str] = {}
    if given.run.max() > 1:
        known |= _known(asked, given, places, "sqeuclidean", asked.blocks, "nearby runs", "drifts too")
    brain = "drifts too, or has a pattern of its own in each run"
    known |= _known(asked, given, of_one, "cosine", RunBlocks(len(places)), "a run", brain)
    for name, told in known.items():
        logger.warning('%s: in %s %s, p in closed form is far too small: use test="drawn".', given.subject, name, told)


def _known(
    asked: Asked, given: Patterns, places: Singles, metric: BrainMetric, blocks: RunBlocks, which: str, brain: str
) -> dict[str, str]:
    """The spaces that know these places of stimuli, and what is said of each."""
    patterns = Patterns(given.subject, given.ids, places, blocks.run)
    everything = Neighbourhoods(np.array([0, places.shape[1]], np.int64), np.arange(places.shape[1], dtype=np.int32))
    order = replace(asked, metric=metric, blocks=blocks, closed=True, drawn=None, jackknifed=False, controls=())
    found = PearsonChunks(order, patterns).score(places, everything)
    p = mantel_test(found["r"], found["pair_sums"], model_nulls(asked.models, blocks)).p[0]
    return {
        model.name: f"the stimuli of {which} are alike (r = {r:.3f}, p = {chance:.2g}). Where the brain {brain}"
        for model, r, chance in zip(asked.models, found["r"][0], p, strict=True)
        if chance < _LEAST_P
    }
