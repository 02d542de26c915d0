"""Do spaces know in which order stimuli were shown: then permutations over the whole recording are no null."""

from __future__ import annotations

import logging

import numpy as np

from affectome._progress import silent
from affectome.neural.searchlight._chunks import Walk, walk_centres
from affectome.neural.searchlight._inputs import Neighbourhoods, Patterns
from affectome.neural.searchlight._mantel import mantel_test, model_nulls
from affectome.neural.searchlight._scorers import Asked, PearsonChunks

__all__ = ["warn_of_sorted_stimuli"]

logger = logging.getLogger(__name__)

_LEAST_P = 0.001  # below it a space is said to know the order


def warn_of_sorted_stimuli(asked: Asked, given: Patterns) -> None:
    """Warn where the stimuli of nearby runs are alike in a space.

    The similarity of each space is correlated with minus the squared distance between runs, over the pairs that count,
    and held against all permutations of the stimuli. Where a space knows the runs *and* the brain drifts over them,
    closed-form p are far too small.
    """
    if given.run is None or given.run.max() < 2:
        return
    places = Patterns(given.subject, given.ids, given.run[:, None].astype(np.float32), given.run)
    alone = Neighbourhoods(np.array([0, 1], np.int64), np.zeros(1, np.int32))
    order = Asked(asked.models, "sqeuclidean", asked.blocks, closed=True, drawn=None, jackknifed=False, groups=None)
    found = walk_centres(PearsonChunks(order, places), places.responses, alone, Walk(1, 2**30, None, silent))
    p = mantel_test(found["r"], found["pair_sums"], model_nulls(asked.models, asked.blocks)).p[0]
    for model, r, chance in zip(asked.models, found["r"][0], p, strict=True):
        if chance < _LEAST_P:
            logger.warning(
                "%s: in %s the stimuli of nearby runs are alike (r = %.3f, p = %.2g). Where the brain drifts too, p in "
                'closed form is far too small: use test="drawn".',
                given.subject, model.name, r, chance,
            )  # fmt: skip
