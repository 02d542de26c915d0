"""RSA under permuted stimuli, drawn: the reference of the closed form, and the only way within runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._resampling import permutation_p
from affectome.errors import InputError
from affectome.neural.searchlight._inputs import ModelGeometry
from affectome.neural.searchlight._moments3 import RunBlocks
from affectome.neural.statistics import BlockPermutations, block_permutations, family_wise_p

__all__ = ["CentreGeometry", "PermutedScores", "permuted_scores", "stimulus_permutations"]

Floats = NDArray[np.float64]
Array = NDArray[np.floating]
Orders = NDArray[np.integer]

_PAIRS_UP_TO = 300  # stimuli up to which all pairs are written out
_BATCH_VALUES = 2**23  # numbers of permuted models at once: 32 MB
_CENTRES = 16  # whose pairs are written out at once
_ROUNDING = 1e-5  # of correlations whose permutations are summed in float32


@dataclass(frozen=True, eq=False)
class CentreGeometry:
    """Similarities of the patterns of one neighbourhood.

    Attributes
    ----------
    factors : array of shape (n, k) or None
        The similarity of stimuli i and j is ``sum_k signs[k] factors[i, k] factors[j, k]``.
    signs : float64 array of shape (k,) or None
        None: +1.
    dense : array of shape (n, n) or None
        Where similarities are not of low rank (Euclidean distances, ranks).
    """

    factors: Array | None = None
    signs: Floats | None = None
    dense: Array | None = None


@dataclass(frozen=True, eq=False)
class PermutedScores:
    """Scores of centres and models, and how often permutations reach them.

    Attributes
    ----------
    observed : float64 array of shape (n_centres, n_models)
        Pearson r over the pairs that count.
    reached : int64 array of shape (n_centres, n_models)
        Permutations whose score is at least the observed one.
    maxima : float64 array of shape (n_permutations, n_models)
        Largest score over these centres, per permutation.
    n_permutations : int
    null : float32 array of shape (n_permutations, n_centres, n_models) or None
    """

    observed: Floats
    reached: NDArray[np.int64]
    maxima: Floats
    n_permutations: int
    null: NDArray[np.float32] | None = None

    @property
    def p(self) -> Floats:
        """(b + 1) / (n_permutations + 1), b the permutations that reach the observed score; (n_centres, n_models)."""
        p: Floats = (self.reached + 1) / (self.n_permutations + 1)
        return np.where(np.isnan(self.observed), np.nan, p)

    @property
    def p_family(self) -> Floats:
        """P against the largest score of each permutation over all centres, per model; (n_centres, n_models)."""
        per_model = zip(self.observed.T, self.maxima.T, strict=True)
        return np.stack([family_wise_p(r, top, rounding=_ROUNDING) for r, top in per_model], axis=1)


def stimulus_permutations(
    n: int,
    run: NDArray[np.intp] | None = None,
    *,
    within: Literal["run"] | None = "run",
    n_permutations: int,
    seed: int,
) -> BlockPermutations:
    """Rearrangements of n stimuli, within their runs or over all of them.

    Parameters
    ----------
    n
    run : array of shape (n,), optional
        Run of each stimulus; needed where permutations stay within runs.
    within
        ``"run"``: null, which stimulus of a run had which response is arbitrary. It needs no randomisation over runs,
        but an order within runs in which neighbours are not alike, or responses that do not follow one another.
        None: stimuli are exchangeable over the whole recording, which needs stimuli that were assigned to runs at
        random, or a model that knows nothing of runs.
    n_permutations
        At most; where there are fewer rearrangements, each is taken once and p is exact.
    seed
        Of the draws.

    Returns
    -------
    BlockPermutations
        ``orders[k][i]`` is the stimulus of the model that meets the responses to stimulus i.

    Examples
    --------
    >>> drawn = stimulus_permutations(6, np.array([0, 0, 0, 1, 1, 1]), n_permutations=99, seed=0)
    >>> drawn.n_distinct, drawn.exact, drawn.n_permutations
    (36, True, 35)
    """
    if within == "run" and run is None:
        raise InputError(
            "the runs of the stimuli are not known, so that nothing can be permuted within them",
            remedy="give the runs, or permute across runs where stimuli were shown in random order",
        )
    codes = np.zeros(n, np.intp) if run is None else run
    trials = pd.DataFrame({"stimulus": np.arange(n), "run": codes})
    return block_permutations(trials, within=within, n_permutations=n_permutations, seed=seed)


def permuted_scores(
    centres: Sequence[CentreGeometry],
    models: Sequence[ModelGeometry],
    blocks: RunBlocks,
    permutations: BlockPermutations,
    *,
    keep: bool = False,
) -> PermutedScores:
    """Score every centre with every model on the stimuli as they are and as each rearrangement has them.

    Parameters
    ----------
    centres, models
        Over the same n stimuli.
    blocks
        Pairs that count; they belong to the responses and stay where they are.
    permutations
        The same in all centres and models, so that maxima over centres keep their dependence.
    keep
        Whether all permuted scores come back.

    Returns
    -------
    PermutedScores

    Notes
    -----
    **Null.** The one of `permutations`: the model does not know which stimulus (of a run) evoked which response.
    **Permuted:** rows and columns of the model's similarities, together. **Statistic:** the covariance over the pairs
    that count in units in which the observed one is r. Within runs that is r itself, for then the model's values over
    these pairs only change places; over all stimuli their spread changes a little, and dividing by it would be
    another, as valid, test. p is one-sided. **Correction:** `p_family` over the centres; none over models.

    Two forms, equal up to rounding (1e-5; a permutation within that of the observed score has reached it):

    - up to 300 stimuli, and where a geometry is dense, all pairs are written out: n^2 / 2 operations per permutation,
      centre and model, in one product over centres;
    - else ``sum_v sum_k s_v t_k (sum_i f_iv e_pi(i)k)^2`` less the same within every run: n k V operations.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> space, noise = rng.normal(size=(2, 40, 5))
    >>> run = np.repeat(np.arange(4), 10)
    >>> drawn = stimulus_permutations(40, run, n_permutations=199, seed=0)
    >>> model = ModelGeometry("space", "dot", factors=space, signs=np.ones(5))
    >>> centres = [CentreGeometry(space + 0.5 * noise), CentreGeometry(noise)]
    >>> got = permuted_scores(centres, [model], RunBlocks(40, run), drawn)
    >>> got.p[0].tolist(), got.p_family[0].tolist(), bool(got.p[1, 0] > 0.05)
    ([0.005], [0.005], True)
    """
    if not centres or not models:
        raise InputError("there is no centre or no model to score", remedy="give at least one of each")
    orders = np.vstack([np.arange(blocks.n, dtype=permutations.orders.dtype), permutations.orders])
    dense = any(centre.factors is None for centre in centres) or any(model.factors is None for model in models)
    form = _by_pairs if dense or blocks.n <= _PAIRS_UP_TO else _by_products
    scores = form(centres, models, blocks, orders)  # (1 + n_permutations, n_centres, n_models)
    observed, null = scores[0].astype(np.float64), scores[1:]
    p = permutation_p(observed, null, rounding=_ROUNDING)
    reached = np.where(np.isnan(observed), 0, np.round(p * (len(null) + 1)) - 1).astype(np.int64)
    maxima = np.max(np.where(np.isnan(null), -np.inf, null), axis=1).astype(np.float64)
    return PermutedScores(observed, reached, maxima, len(null), null if keep else None)


def _similarity(of: CentreGeometry | ModelGeometry) -> Floats:
    """All similarities (n, n)."""
    if of.dense is not None:
        return of.dense.astype(np.float64)
    assert of.factors is not None
    factors = of.factors.astype(np.float64)
    return (factors if of.signs is None else factors * of.signs) @ factors.T


def _by_pairs(
    centres: Sequence[CentreGeometry], models: Sequence[ModelGeometry], blocks: RunBlocks, orders: Orders
) -> NDArray[np.float32]:
    left, right = np.triu_indices(blocks.n, 1)
    counted = blocks.counts(slice(None))[left, right]
    left, right = left[counted], right[counted]
    similarities = [_similarity(model) for model in models]
    spreads = [np.std(value[left, right]) for value in similarities]
    scores = np.empty((len(orders), len(centres), len(models)), np.float32)
    batch = max(1, _BATCH_VALUES // len(left))
    for first in range(0, len(centres), _CENTRES):
        those = slice(first, first + _CENTRES)
        rows = np.stack([_unit_pairs(_similarity(centre)[left, right]) for centre in centres[those]])
        for m, value in enumerate(similarities):
            with np.errstate(invalid="ignore", divide="ignore"):
                scaled = ((value - value[left, right].mean()) / spreads[m]).astype(np.float32)
            for start in range(0, len(orders), batch):
                order = orders[start : start + batch]
                permuted = scaled[order[:, left], order[:, right]]
                scores[start : start + batch, those, m] = permuted @ rows.T
    return scores


def _unit_pairs(values: Floats) -> NDArray[np.float32]:
    """Standardised values over their number, so that a product with standardised values is r."""
    about = values - values.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        unit: NDArray[np.float32] = (about / (about.std() * len(values))).astype(np.float32)
    return unit


def _by_products(
    centres: Sequence[CentreGeometry], models: Sequence[ModelGeometry], blocks: RunBlocks, orders: Orders
) -> NDArray[np.float32]:
    n = blocks.n
    brain = [_scaled_factors(centre, blocks) for centre in centres]
    sides = [_scaled_factors(model, blocks) for model in models]
    ends = np.cumsum([len(signs) for _, signs in sides])
    columns, signs = np.hstack([factors for factors, _ in sides]), np.concatenate([sign for _, sign in sides])
    scores = np.empty((len(orders), len(centres), len(models)), np.float32)
    batch = max(1, _BATCH_VALUES // (n * len(signs)))
    runs = [places[places < n] for places in blocks.places] if blocks.run is not None else []
    for start in range(0, len(orders), batch):
        permuted = columns[orders[start : start + batch].T]  # (n, n_orders, K)
        flat = permuted.reshape(n, -1)
        lengths = None if runs else _lengths(permuted, signs, ends)
        for c, (factors, own) in enumerate(brain):
            if lengths is not None:
                sums = own @ (factors.T @ flat) ** 2
                itself = np.einsum("i,iom->om", (factors**2) @ own, lengths)
            else:
                sums, itself = _over_runs(factors, own, flat, runs), 0.0
            by_model = np.add.reduceat(sums.reshape(-1, len(signs)) * signs, np.r_[0, ends[:-1]], axis=1)
            scores[start : start + batch, c] = by_model - itself
    return scores


def _lengths(permuted: Array, signs: Floats, ends: NDArray[np.intp]) -> Floats:
    """Similarity of each stimulus with itself in every model, (n, n_orders, n_models)."""
    return np.add.reduceat(permuted**2 * signs, np.r_[0, ends[:-1]], axis=2)


def _over_runs(factors: Array, own: Floats, flat: Array, runs: Sequence[NDArray[np.intp]]) -> Floats:
    """Signed squares of F'E less those of every run, (n_columns,)."""
    total = np.zeros((factors.shape[1], flat.shape[1]), np.float32)
    within = np.zeros(flat.shape[1])
    for rows in runs:
        part = factors[rows].T @ flat[rows]
        total += part
        within += own @ part**2
    whole: Floats = own @ total**2 - within
    return whole


def _scaled_factors(of: CentreGeometry | ModelGeometry, blocks: RunBlocks) -> tuple[NDArray[np.float32], Floats]:
    """Factors and signs of similarities less their mean over the pairs that count, with sum of squares 1 over them.

    The mean row is taken out of the factors first: u 1' + 1 u' in two signed columns. Products in float32 then have
    nothing large to cancel.
    """
    assert of.factors is not None
    factors = of.factors.astype(np.float64)
    signs = np.ones(factors.shape[1]) if of.signs is None else of.signs
    mean, squares = _mean_and_squares(factors, signs, blocks)
    row = factors.mean(axis=0)
    about = factors - row
    w = about @ (signs * row) + (row @ (signs * row) - mean) / 2
    length = np.sqrt((w**2).mean())
    if length > 0:
        # w 1' + 1 w' = (p p' - q q') / 2, p and q = sqrt(length) 1 +- w / sqrt(length)
        even, odd = np.sqrt(length), w / np.sqrt(length)
        about = np.column_stack([about, (even + odd) / np.sqrt(2), (even - odd) / np.sqrt(2)])
        signs = np.r_[signs, 1.0, -1.0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (about / squares**0.25).astype(np.float32), signs


def _mean_and_squares(factors: Floats, signs: Floats, blocks: RunBlocks) -> tuple[float, float]:
    """Mean, and sum of squares about it, over the ordered pairs that count."""
    run = blocks.gather(factors)
    within = np.matmul(run * signs, run.transpose(0, 2, 1))
    whole = factors.sum(axis=0)
    gram = factors.T @ factors
    total = whole @ (signs * whole) - within.sum()
    squares = ((signs[:, None] * gram * signs) * gram).sum() - (within**2).sum()
    return float(total / blocks.n_ordered), float(squares - total**2 / blocks.n_ordered)
