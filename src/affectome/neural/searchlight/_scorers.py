"""Scorers of chunks of centres: each statistic with what its test and its standard errors need, in one pass."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome.neural.searchlight._chunks import CHUNK, Arrays
from affectome.neural.searchlight._inputs import BrainMetric, ModelGeometry, Neighbourhoods, Patterns
from affectome.neural.searchlight._jackknife import jackknife
from affectome.neural.searchlight._moments3 import SUMS, RunBlocks, centred_pair_sums, dense_pair_sums
from affectome.neural.searchlight._pearson import PearsonScorer, PearsonSums, SphereFactors, brain_factors
from affectome.neural.searchlight._permutations import CentreGeometry, permuted_scores
from affectome.neural.statistics import BlockPermutations

__all__ = ["Asked", "PearsonChunks", "brain_geometry", "drawn_scores", "pair_sums", "similarities"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Asked:
    """What every centre is asked beside its score.

    Attributes
    ----------
    models : tuple of ModelGeometry
    metric : BrainMetric
    blocks : RunBlocks
        The pairs that count.
    closed : bool
        The sums that permutation in closed form needs.
    drawn : BlockPermutations or None
        Permutations to score.
    jackknifed : bool
        The covariances of the scores of a centre over stimuli.
    groups : intp array of shape (n,) or None
        What is independent where that is not single stimuli.
    controls : tuple of str
        Spaces to hold constant in a partial correlation with each other one.
    """

    models: tuple[ModelGeometry, ...]
    metric: BrainMetric
    blocks: RunBlocks
    closed: bool
    drawn: BlockPermutations | None
    jackknifed: bool
    groups: NDArray[np.intp] | None
    controls: tuple[str, ...] = ()


class PearsonChunks:
    """Pearson r, by sums over pairs."""

    def __init__(self, asked: Asked, patterns: Patterns) -> None:
        self.asked = asked
        scorer = self._ready(asked, patterns)
        if asked.metric == "euclidean":
            scorer.ready.pairs  # noqa: B018  (made once here, so that no process makes its own)
        self._scorer = _emptied(scorer)
        runs = None if asked.blocks.run is None else scorer.ready.runs
        self._sorted = RunBlocks(asked.blocks.n, runs)  # as the factors of a sphere are

    def _ready(self, asked: Asked, patterns: Patterns) -> PearsonScorer:
        return PearsonScorer(asked.models, patterns, metric=asked.metric)

    @property
    def model_r(self) -> Floats:
        """Of the spaces with one another over the pairs that count, (n_spaces, n_spaces)."""
        products = self._scorer.ready.alone.products.sum(axis=2)
        scale = np.sqrt(np.diag(products))
        r: Floats = products / scale / scale[:, None]
        return r

    def shared_bytes(self) -> int:
        """Models, and all their pairs where those are needed."""
        ready, n = self._scorer.ready, self.asked.blocks.n
        tables = len(ready.dense) + (len(ready.names) if self.asked.metric == "euclidean" else 0)
        return 4 * tables * n * n + 12 * ready.factors.size + 8 * ready.alone.products.size + _drawn_bytes(self.asked)

    def working_bytes(self, largest: int) -> int:
        """Factors of a sphere a few times over; what each stimulus brings, for all centres of a chunk."""
        n, n_models = self.asked.blocks.n, len(self.asked.models)
        each = 8 * n * (n_models + 2) * CHUNK if self.asked.jackknifed else 0
        drawn = 0 if self.asked.drawn is None else 8 * CHUNK * largest * n + 2**28
        return 60 * n * largest + 2**24 + each + drawn

    def score(self, responses: Singles, neighbourhoods: Neighbourhoods) -> Arrays:
        sums, made = self._sums(responses, neighbourhoods)
        found: dict[str, NDArray[Any]] = {"r": sums.r, "n_directionless": sums.n_directionless}
        if self.asked.jackknifed:
            found["covariances"] = jackknife(sums, groups=self.asked.groups).covariances
        if self.asked.controls:
            given = {name: self.asked.controls for name in sums.models if name not in self.asked.controls}
            held = jackknife(sums, controls=given, groups=self.asked.groups)
            found["partial"], found["partial_covariances"] = held.scores, held.covariances
        if made is not None:
            found["pair_sums"] = made
        if self.asked.drawn is not None:
            geometries = [brain_geometry(responses, voxels, self.asked.metric) for voxels in neighbourhoods]
            found.update(drawn_scores(geometries, self.asked.models, self.asked))
        return found

    def _sums(self, responses: Singles, neighbourhoods: Neighbourhoods) -> tuple[PearsonSums, Floats | None]:
        """Those of the scores, and if p is closed those of its moments."""
        scorer = copy.copy(self._scorer)
        scorer.responses = responses
        by_factors = self.asked.closed and self.asked.metric != "euclidean"
        visit = partial(factor_sums, blocks=self._sorted) if by_factors else None
        sums = scorer.score(neighbourhoods, per_stimulus=self.asked.jackknifed, visit=visit)
        if by_factors:
            return sums, np.array(sums.visited)
        return sums, pair_sums(responses, neighbourhoods, self.asked) if self.asked.closed else None


def drawn_scores(
    geometries: Sequence[CentreGeometry], models: Sequence[ModelGeometry], asked: Asked
) -> dict[str, NDArray[Any]]:
    """How many permutations reach each score, and the largest scores of every permutation over this chunk."""
    assert asked.drawn is not None
    scored = permuted_scores(geometries, models, asked.blocks, asked.drawn)
    return {"drawn": scored.observed, "reached": scored.reached, "maxima": scored.maxima[None]}


def brain_geometry(responses: Singles, voxels: NDArray[np.int32], metric: BrainMetric) -> CentreGeometry:
    """Similarities of the patterns of one centre, of low rank where they are."""
    if metric == "euclidean":
        return CentreGeometry(dense=_distances(responses, voxels))
    factors, signs = brain_factors(responses, voxels, metric)
    return CentreGeometry(factors, None if (signs > 0).all() else signs)


def pair_sums(responses: Singles, neighbourhoods: Neighbourhoods, asked: Asked) -> Floats:
    """The sums over pairs of every centre that moments of permutations need, (n_centres, 10).

    From the factors of a sphere in float32, centred, so that nothing large cancels; where there are as many voxels as
    stimuli, or no factors, from all pairs.
    """
    source, n = np.ascontiguousarray(responses.T), len(responses)
    sums = np.empty((len(neighbourhoods), len(SUMS)))
    for centre, voxels in enumerate(neighbourhoods):
        if asked.metric == "euclidean" or len(voxels) >= n:
            geometry = brain_geometry(responses, voxels, asked.metric)
            sums[centre] = dense_pair_sums(similarities(geometry), asked.blocks)
        else:
            sums[centre] = _low_rank_sums(source, voxels, asked)
    return sums


def factor_sums(sphere: SphereFactors, blocks: RunBlocks) -> Floats:
    """The same of one sphere, from the factors that its score was made of."""
    turned = np.ascontiguousarray(sphere.d.T)
    if turned.shape[1] >= len(turned):
        return dense_pair_sums(turned @ sphere.d + (sphere.effect + sphere.effect[:, None] + sphere.constant), blocks)
    return centred_pair_sums(turned, sphere.effect, None, blocks, gram=sphere.gram)


def _low_rank_sums(source: Singles, voxels: NDArray[np.int32], asked: Asked) -> Floats:
    """Of the responses of voxels (n_voxels, n)."""
    from affectome.neural.searchlight import _pearson_kernels as kernels

    kinds = {
        "correlation": kernels.CORRELATION,
        "cosine": kernels.COSINE,
        "sqeuclidean": kernels.SQUARED_EUCLIDEAN,
    }
    factors = np.empty((len(voxels), source.shape[1]), np.float32)
    effect, *scratch = np.empty((4, source.shape[1]))
    columns = voxels.astype(np.intp)
    kernels.fill_factors(source, columns, kinds[asked.metric], factors, effect, *scratch)
    return centred_pair_sums(np.ascontiguousarray(factors.T), effect, None, asked.blocks)


def similarities(of: CentreGeometry | ModelGeometry) -> Floats:
    """Of all pairs, (n, n)."""
    if of.factors is None:
        return np.asarray(of.dense, np.float64)
    exact = of.factors.astype(np.float64)
    made: Floats = (exact if of.signs is None else exact * of.signs) @ exact.T
    return made


def _distances(responses: Singles, voxels: NDArray[np.int32]) -> Floats:
    from scipy.spatial.distance import pdist, squareform

    distances: Floats = squareform(-pdist(responses[:, voxels].astype(np.float64)), checks=False)
    return distances


def _emptied(scorer: PearsonScorer) -> PearsonScorer:
    """Without the responses, of which every chunk brings its own."""
    bare = copy.copy(scorer)
    bare.responses = np.empty((bare.ready.n, 0), np.float32)
    return bare


def _drawn_bytes(asked: Asked) -> int:
    return 0 if asked.drawn is None else asked.drawn.orders.nbytes
