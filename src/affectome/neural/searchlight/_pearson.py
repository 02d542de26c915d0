"""Pearson RSA of every neighbourhood with many spaces at once, without a matrix of all pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural.searchlight._inputs import BrainMetric, ModelGeometry, Neighbourhoods, Patterns
from affectome.neural.searchlight._pearson_scorer import (
    PearsonScorer,
    PearsonSums,
    SphereFactors,
    StimulusSums,
    WithinRun,
)

__all__ = ["PearsonScorer", "PearsonSums", "SphereFactors", "StimulusSums", "brain_factors", "pearson_sums"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def pearson_sums(
    patterns: Patterns,
    neighbourhoods: Neighbourhoods,
    models: Sequence[ModelGeometry],
    *,
    metric: BrainMetric = "correlation",
    within_run: WithinRun = "exclude",
    per_stimulus: bool = False,
) -> PearsonSums:
    r"""Sum what Pearson RSA needs over all pairs of stimuli, in every neighbourhood and for all models at once.

    Parameters
    ----------
    patterns : Patterns
        n stimuli.
    neighbourhoods : Neighbourhoods
        V voxels each.
    models : sequence of ModelGeometry
        Over the same stimuli in the same order. All of them are served by one pass over each neighbourhood.
    metric
        Of patterns: Pearson correlation or cosine of two patterns, or minus their (squared) Euclidean distance.
    within_run
        ``"exclude"``: pairs of stimuli of one run, which share its noise, do not count. ``"include"``: they do. Where
        the patterns have no run, all pairs count.
    per_stimulus
        Whether to keep what each stimulus brings (8 n (n_models + 2) bytes per centre), for a jackknife.

    Returns
    -------
    PearsonSums
        Its ``r`` are the correlations over pairs; a pair of a stimulus with itself never counts.

    Raises
    ------
    InputError
        Where a response is no number, no pair counts, or stimuli and models do not match.

    Notes
    -----
    With similarities :math:`g_{ij} = c + u_i + u_j + d_i'd_j` of patterns and :math:`h_{ij} = w_i + w_j + f_i'Sf_j`
    of a model (d, f, u and w centred over stimuli, S a diagonal of signs),

    .. math:: \sum_{ij} (g_{ij} - c)\,h_{ij} = 2n\,u'w + \sum_k S_k |D'f_k|^2,
              \qquad \sum_{ij} (g_{ij} - c)^2 = 2n\,u'u + |D'D|_F^2,

    over all n^2 ordered pairs; those within runs, and the diagonal, are summed one by one and taken off. That costs
    n V^2 + 2 n V k operations in place of n^2 V and a matrix of all pairs. Products are made in float32 and summed in
    float64; a centre whose sums would lose more than 2e-7 of r to that is made again in float64. Where V and the
    factors of all models exceed n, and for Euclidean distances, which have no factors, all pairs are made, in float64
    and in blocks of rows. r is within 1e-6 of what all pairs in float64 give.

    No interval and no p come from here. The result does not depend on which centres are given together.

    Examples
    --------
    >>> from affectome.neural.searchlight import Patterns, Neighbourhoods, ModelGeometry
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((40, 3))
    >>> brain = np.hstack([truth @ rng.standard_normal((3, 9)), rng.standard_normal((40, 9))])
    >>> patterns = Patterns("sub-01", tuple(f"s{i}" for i in range(40)), brain.astype(np.float32), np.arange(40) // 10)
    >>> spheres = Neighbourhoods(np.array([0, 9, 18]), np.arange(18, dtype=np.int32))
    >>> sums = pearson_sums(patterns, spheres, [ModelGeometry("truth", "dot", factors=truth)], metric="sqeuclidean")
    >>> sums.n_pairs, sums.r.round(2).ravel().tolist()
    (600, [0.65, 0.06])
    """
    return PearsonScorer(models, patterns, metric=metric, within_run=within_run).score(
        neighbourhoods, per_stimulus=per_stimulus
    )


def brain_factors(responses: Singles, voxels: NDArray[np.int32], metric: BrainMetric) -> tuple[Floats, Floats]:
    """The similarities of patterns in one sphere as signed factors, like those of a model.

    Parameters
    ----------
    responses : float32 array of shape (n, n_voxels)
    voxels : int array of shape (V,)
    metric : "correlation", "cosine" or "sqeuclidean"

    Returns
    -------
    factors : float64 array of shape (n, k)
        k is V, and two more for squared Euclidean distances.
    signs : float64 array of shape (k,)
        The similarity is ``sum_k signs[k] factors[i, k] factors[j, k]``.

    Examples
    --------
    >>> factors, signs = brain_factors(np.float32([[1, 2, 3], [3, 2, 1]]), np.arange(3), "correlation")
    >>> ((factors * signs) @ factors.T).round(6).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    if metric == "euclidean":
        raise InputError("Euclidean distances have no factors", remedy="use all pairs, or squared distances")
    x = responses[:, voxels].astype(np.float64)
    if metric == "sqeuclidean":
        x -= x.mean(axis=0)
        lengths = (x**2).sum(axis=1)
        unit = lengths.mean() or 1.0
        edge = np.sqrt(unit / 2) * np.column_stack([lengths / unit - 1, lengths / unit + 1])
        return np.hstack([np.sqrt(2) * x, edge]), np.r_[np.ones(x.shape[1]), 1.0, -1.0]
    shared = np.abs(x.mean(axis=1)) if metric == "correlation" else np.zeros(len(x))
    if metric == "correlation":
        x -= x.mean(axis=1, keepdims=True)
    length = (x**2).sum(axis=1)
    length[length <= x.shape[1] * (1e-12 * shared) ** 2] = np.inf  # no direction: similarity 0
    return x / np.sqrt(length)[:, None], np.ones(x.shape[1])
