"""Spearman and Kendall searchlights in chunks, and ranks as permutations see them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome.neural.searchlight._chunks import Arrays
from affectome.neural.searchlight._inputs import ModelGeometry, Neighbourhoods, Patterns
from affectome.neural.searchlight._kendall import KendallScorer, tau_a
from affectome.neural.searchlight._kept import kept
from affectome.neural.searchlight._mantel import ModelNull
from affectome.neural.searchlight._moments3 import DEGREES, SUMS, RunBlocks, dense_pair_sums
from affectome.neural.searchlight._permutations import CentreGeometry
from affectome.neural.searchlight._scorers import Asked, brain_geometry, drawn_scores, pair_sums, similarities
from affectome.neural.searchlight._spearman import (
    AllowedPairs,
    PreparedSpearman,
    SpearmanScorer,
    SpearmanScores,
    check_responses,
    rank_models,
    tied_keys,
)

__all__ = ["KendallChunks", "SpearmanChunks", "rank_nulls"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_TOGETHER = 16  # centres whose ranks are permuted at once, as many as permuted spaces are made for
_EXACT_UP_TO = 300  # stimuli, of which all sums over ranks of distances are made, by n^3 operations


class SpearmanChunks:
    """Spearman rho, by ranks of similarities."""

    def __init__(self, asked: Asked, patterns: Patterns) -> None:
        self.asked = asked
        scorer = SpearmanScorer(metric=asked.metric, jackknife=asked.jackknifed)
        nothing = np.empty((len(patterns.ids), 0), np.float32)
        check_responses(patterns)
        pairs = AllowedPairs.between_runs(asked.blocks.n, asked.blocks.run)
        ranked = kept("ranks", asked, lambda: rank_models(asked.models, pairs))
        self._prepared = PreparedSpearman(scorer, nothing, ranked, asked.groups)
        self._ranked_models = () if asked.drawn is None else tuple(map(self._as_ranks, asked.models))

    @property
    def model_r(self) -> Floats:
        """Of the spaces with one another over the pairs that count, (n_spaces, n_spaces)."""
        return self._prepared.ranked.correlations

    def shared_bytes(self) -> int:
        """Ranks of the spaces."""
        drawn = 0 if self.asked.drawn is None else self.asked.drawn.orders.nbytes
        tables = sum(4 * self.asked.blocks.n**2 for _ in self._ranked_models)
        return self._prepared.ranked.ranks.nbytes + tables + drawn

    def working_bytes(self, largest: int) -> int:
        """Bins of four centres, pairs to sort, a sphere; all ranks of 16 centres where they are permuted."""
        n, pairs = self.asked.blocks.n, self._prepared.ranked.pairs.n_pairs
        drawn = 0 if self.asked.drawn is None else _permuting_bytes(n, len(self.asked.models))
        # Where bins do not do, pairs are sorted: keys, their order and what is spread over them.
        return 2**25 + 80 * pairs + 60 * n * largest + drawn

    def score(self, responses: Singles, neighbourhoods: Neighbourhoods) -> Arrays:
        """Scores, bounds, and what was asked beside them."""
        scores = replace(self._prepared, responses=responses).score(neighbourhoods)
        found: dict[str, NDArray[Any]] = {"r": scores.rho, "bound": scores.bound}
        if scores.covariances is not None:
            found["covariances"] = scores.covariances
        if self.asked.closed:
            found["pair_sums"] = self._pair_sums(responses, neighbourhoods, scores)
        if self.asked.drawn is not None:
            found.update(self._drawn(responses, neighbourhoods))
        return found

    def _drawn(self, responses: Singles, neighbourhoods: Neighbourhoods) -> dict[str, NDArray[Any]]:
        """Permuted scores, of a few centres at a time: each brings the ranks of all its pairs."""
        parts = []
        for first in range(0, len(neighbourhoods), _TOGETHER):
            those = range(first, min(first + _TOGETHER, len(neighbourhoods)))
            geometries = [self._ranks_of(responses, neighbourhoods[centre]) for centre in those]
            parts.append(drawn_scores(geometries, self._ranked_models, self.asked))
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        found["maxima"] = found["maxima"].max(axis=0, keepdims=True)
        return found

    def _pair_sums(self, responses: Singles, neighbourhoods: Neighbourhoods, scores: SpearmanScores) -> Floats:
        asked = self.asked
        if asked.metric in ("correlation", "cosine"):
            return _sums_of_ranks(self._similarity_sums(responses, neighbourhoods, asked), scores)
        if asked.blocks.n <= _EXACT_UP_TO:
            # One outlying pattern decides the triangles and paths of distances, but not those of their ranks.
            tables = (similarities(self._ranks_of(responses, voxels)) for voxels in neighbourhoods)
            return np.stack([dense_pair_sums(table, asked.blocks) for table in tables])
        squared = replace(asked, metric="sqeuclidean")  # has factors, and ranks pairs as distances do
        return _sums_of_ranks(self._similarity_sums(responses, neighbourhoods, squared), scores)

    def _similarity_sums(self, responses: Singles, neighbourhoods: Neighbourhoods, asked: Asked) -> Floats:
        return pair_sums(responses, neighbourhoods, asked)

    def _as_ranks(self, model: ModelGeometry) -> ModelGeometry:
        table = _ranks(similarities(model), self.asked.blocks)
        return ModelGeometry(model.name, "rank", dense=table.astype(np.float32))

    def _ranks_of(self, responses: Singles, voxels: NDArray[np.int32]) -> CentreGeometry:
        geometry = brain_geometry(responses, voxels, self.asked.metric)
        return CentreGeometry(dense=_ranks(similarities(geometry), self.asked.blocks).astype(np.float32))


class KendallChunks:
    """Kendall's tau-a, of few stimuli."""

    def __init__(self, asked: Asked, patterns: Patterns) -> None:
        self.asked = asked
        scorer = KendallScorer(metric=asked.metric, jackknife=asked.jackknifed)
        nothing = np.empty((len(patterns.ids), 0), np.float32)
        self._prepared = replace(scorer.prepare(asked.models, patterns), responses=nothing, groups=asked.groups)

    @property
    def model_r(self) -> Floats:
        """Tau-a of the spaces with one another, (n_spaces, n_spaces); below 1 with itself where a space ties pairs."""
        return np.array([[tau_a(one, other) for other in self._prepared.keys] for one in self._prepared.keys])

    def shared_bytes(self) -> int:
        """Orders of the spaces."""
        drawn = 0 if self.asked.drawn is None else self.asked.drawn.orders.nbytes
        return 2 * self._prepared.tables.nbytes + drawn

    def working_bytes(self, largest: int) -> int:
        """Similarities of a centre, and how often their orders agree."""
        drawn = 0 if self.asked.drawn is None else 8 * self.asked.drawn.orders.size
        return 100 * self._prepared.pairs.n_pairs + 60 * len(self._prepared.responses) * largest + drawn

    def score(self, responses: Singles, neighbourhoods: Neighbourhoods) -> Arrays:
        """Scores, and what was asked beside them."""
        prepared = replace(self._prepared, responses=responses)
        scores = prepared.score(neighbourhoods)
        found: dict[str, NDArray[Any]] = {"r": scores.tau}
        if scores.covariances is not None:
            found["covariances"] = scores.covariances
        if self.asked.drawn is not None:
            permuted = prepared.permuted(neighbourhoods, scores.tau, self.asked.drawn.orders)
            found |= {"drawn": scores.tau, "reached": permuted.reached, "maxima": permuted.maxima[None]}
        return found


def _permuting_bytes(n: int, n_spaces: int) -> int:
    """Ranks of a few centres and spaces, twice, and permuted spaces of all pairs of n stimuli."""
    return 8 * (_TOGETHER + n_spaces) * n * n + 64 * n * n + 2**28


def rank_nulls(asked: Asked) -> list[ModelNull]:
    """What permutation in closed form needs of the ranks of each space.

    The rank of a pair is its place among the pairs that count, also for a pair that does not: a permutation brings
    such pairs to places that count.
    """
    return kept("moments of ranks", asked, lambda: _rank_nulls(asked))


def _rank_nulls(asked: Asked) -> list[ModelNull]:
    everywhere, nulls = RunBlocks(asked.blocks.n), []
    for model in asked.models:
        ranks = _ranks(similarities(model), asked.blocks)
        squares = 0.0
        for start in range(0, len(ranks), 256):
            rows = slice(start, start + 256)
            squares += float((ranks[rows][asked.blocks.counts(rows)] ** 2).sum())
        nulls.append(ModelNull(model.name, dense_pair_sums(ranks, everywhere), squares, asked.blocks.n))
    return nulls


def _sums_of_ranks(values: Floats, scores: SpearmanScores) -> Floats:
    """The sums over pairs of ranks, (n_centres, 10).

    All are exact but those over triangles and paths of pairs, which are those of the similarities in units in which
    both have one spread, for nothing short of n^3 operations gives them of ranks.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt(scores.moments[:, 0] / values[:, SUMS.index("square")])
    sums: Floats = values * scale[:, None] ** np.array(DEGREES)
    sums[:, [SUMS.index(name) for name in ("square", "row_square")]] = scores.moments
    sums[:, [SUMS.index(name) for name in ("cube", "square_row", "row_cube")]] = scores.third
    return sums


def _ranks(similarity: Floats, blocks: RunBlocks) -> Floats:
    """Mid-ranks about 0, in units of their number, among the pairs that count; of all pairs, (n, n).

    Ties are those of :func:`tied_keys`.
    """
    every = AllowedPairs.between_runs(blocks.n, None)
    keys = tied_keys(every.vector(similarity, 0))
    order = np.argsort(keys)
    ascending = keys[order]
    last = np.flatnonzero(np.r_[ascending[1:] != ascending[:-1], True])  # of those tied
    counted = every.vector(blocks.counts(slice(None)), 0)
    upto = np.cumsum(counted[order])[last]
    below = np.r_[0, upto[:-1]]
    ranks = np.empty(len(keys))
    ranks[order] = np.repeat((below + upto - upto[-1]) / (2 * upto[-1]), np.diff(last, prepend=-1))
    return every.table(ranks)
