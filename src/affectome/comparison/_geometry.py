"""How alike the configurations of two spaces are: centred kernel alignment, Procrustes, canonical correlation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome.comparison._matrix import (
    Floats,
    Orders,
    PairStatistic,
    SpaceComparison,
    aligned_spaces,
    check_settings,
    cross_products,
    difference_table,
    pair_table,
    pairs_of,
    permuted_orders,
)
from affectome.errors import InputError

logger = logging.getLogger(__name__)

__all__ = ["GeometryComparison", "compare_geometry"]

_BLOCK = 50  # permutations between two words of progress
_RANK = 1e-10  # directions with less than this share of the largest variance are rounding


@dataclass(frozen=True, eq=False)
class GeometryComparison(SpaceComparison):
    """Configurations of every pair of spaces; statistics ``cka``, ``procrustes`` and ``canonical``.

    Attributes
    ----------
    table : DataFrame, index (statistic, first, second)
        As in :class:`SpaceComparison`, and ``in_sample``: what the same stimuli give without the precaution (CKA
        biased, rotation and canonical directions scored on the stimuli they were fitted to). `null_mean` and
        `null_high` belong to that column, for ``cka`` to `value`.
    differences : DataFrame
        Of ``cka``.
    canonical : DataFrame, index (first, second, dimension)
        Every canonical correlation: ``in_sample``, ``cross_validated`` and ``null_high``, 95th percentile of
        `in_sample` with permuted stimuli.
    n_folds : int
    """

    canonical: pd.DataFrame
    n_folds: int


def compare_geometry(
    spaces: Mapping[str, pd.DataFrame],
    *,
    n_folds: int = 10,
    n_permutations: int = 1000,
    level: float = 0.95,
    seed: int,
    progress: Progress = silent,
) -> GeometryComparison:
    """Compare the configurations of stimuli in every two spaces.

    Parameters
    ----------
    spaces : mapping from name to DataFrame of shape (n_stimuli, n_features)
        At least two, over the same stimuli in any order, any number of features each. Columns are centred and not
        scaled: features with larger variance count more in ``cka`` and ``procrustes``; ``canonical`` does not change
        under any invertible linear map of a space.
    n_folds
        Of the cross-validation; stimuli are dealt to folds at random, the same for all pairs.
    n_permutations
        Of the test; 0 leaves it out.
    level
        Coverage of the intervals.
    seed
        Of folds and permutations.
    progress

    Returns
    -------
    GeometryComparison

    Notes
    -----
    With X (n x k) and Y (n x m) centred over stimuli:

    - ``cka``: linear centred kernel alignment, debiased: HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y)) with the unbiased
      HSIC of Song et al. (2012). The plain form, ``|X'Y|_F^2 / (|X'X|_F |Y'Y|_F)``, is above 0 for unrelated spaces.
      No interval where a single stimulus carries a space.
    - ``procrustes``: r of Y with X after the best rotation and reflection, ``sum(XQ * Y) / (|X| |Y|)``; the rotation is
      fitted on the other folds. The disparity that is often reported is 1 - r^2 of the column `in_sample`.
    - ``canonical``: mean over all min(k, m) canonical correlations, directions from the other folds. Directions
      without variance are left out; NaN where a training set has no more stimuli than both spaces have features.

    **Interval.** Jackknife over stimuli in Fisher z, with a t quantile. For the two cross-validated statistics the
    directions are those of the folds: it is the interval of what directions fitted to (n_folds - 1) / n_folds of the
    stimuli reach on others, which is less than directions fitted to all stimuli there are would reach. In simulations
    it covers .93 to .95; for canonical correlations of sparse skewed spaces .90 with 20 stimuli per feature of both
    spaces together, .945 with 50.

    **Test.** Null: the spaces are unrelated, so that the stimuli of one are exchangeable. One-sided, p = (b + 1) /
    (n_permutations + 1), Benjamini-Hochberg over the pairs of spaces per statistic. Rotation and directions are
    fitted anew to every permutation and scored on the same stimuli; the value they are held against is `in_sample`.

    **Differences.** As in :func:`compare_rsa`, of ``cka`` alone: fitted directions differ by chance between two equally
    close spaces, more than the spread over held-out stimuli knows (a true tie was rejected in up to .10 at .05).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 4))
    >>> turned = x @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    >>> noisy = x + rng.normal(size=(200, 4))
    >>> spaces = {name: pd.DataFrame(values) for name, values in (("a", x), ("b", turned), ("c", noisy))}
    >>> got = compare_geometry(spaces, n_permutations=99, seed=0)
    >>> got.matrix("procrustes").round(2).loc["a"].tolist()
    [nan, 1.0, 0.7]
    """
    check_settings(n_permutations, level)
    frames = aligned_spaces(spaces)
    names, n = list(frames), len(next(iter(frames.values())))
    if not 2 <= n_folds <= n // 2:
        raise InputError(f"n_folds={n_folds} does not divide {n} stimuli", remedy="use 2 to half the stimuli")
    by_fold, by_label = np.random.SeedSequence(seed).spawn(2)
    values = [_centred(frame, name) for name, frame in frames.items()]
    folds = np.random.default_rng(by_fold).permutation(n) % n_folds
    orders = permuted_orders(by_label, n, n_permutations)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # products this small wait for one another longer than they work
        held_out = [_held_out(values[a], values[b], folds) for a, b in pairs_of(names)]
        tested = _in_sample(values, np.arange(n, dtype=np.uint32)[None])
        null = _null_scores(values, orders, progress)
    statistics = {
        "cka": _alignment(values, tested, null),
        "procrustes": _procrustes(held_out, tested, null),
        "canonical": _mean_canonical(held_out, tested, null),
    }
    for (a, b), pair in zip(pairs_of(names), held_out, strict=True):
        if np.isnan(pair.u).any():
            logger.warning(
                "%s and %s have too many features together for %d stimuli; they have no canonical correlations.",
                names[a], names[b], n,
            )  # fmt: skip
    table = pair_table(names, statistics, level)
    table["in_sample"] = np.concatenate([tested.biased[0], tested.rotated[0], statistics["canonical"].tested])
    differences = difference_table(names, {"cka": statistics["cka"]}, level)
    by_dimension = _canonical_table(names, held_out, tested, null)
    return GeometryComparison(table, differences, n, n_permutations, level, by_dimension, n_folds)


def _centred(frame: pd.DataFrame, name: str) -> Floats:
    values = frame.to_numpy(np.float64)
    if not (np.ptp(values, axis=0) > 0).any():
        raise InputError("all stimuli are at the same place", source=name, remedy="leave the space out")
    centred: Floats = values - values.mean(axis=0)
    return centred / np.linalg.norm(centred)  # scale is not compared; sums stay near 1


def _whitening(x: Floats) -> Floats:
    """W (k x rank) with ``(xW)'(xW) = I``; directions without variance are left out.

    Features are brought to one length first, so that one in small units is not taken for a direction without variance.
    """
    length = np.linalg.norm(x, axis=0)
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > _RANK * length.max())
    variance, directions = np.linalg.eigh((x * scale).T @ (x * scale))
    kept = variance > _RANK * variance[-1]
    whitening: Floats = scale[:, None] * directions[:, kept] / np.sqrt(variance[kept])
    return whitening


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """What directions of the other folds make of every stimulus of a pair of spaces.

    ``match`` (n,) is ``x_i'Q y_i``, ``one`` and ``two`` (n,) are ``|x_i|^2`` and ``|y_i|^2``; ``u`` and ``v`` (n, d)
    are the canonical variates, NaN where there are none.
    """

    match: Floats
    one: Floats
    two: Floats
    u: Floats
    v: Floats


def _held_out(x: Floats, y: Floats, folds: NDArray[np.integer]) -> _HeldOut:
    n, d = len(x), min(x.shape[1], y.shape[1])
    match, one, two = np.empty(n), np.empty(n), np.empty(n)
    u, v = np.full((n, d), np.nan), np.full((n, d), np.nan)
    for fold in range(folds.max() + 1):
        test = folds == fold
        means = x[~test].mean(axis=0), y[~test].mean(axis=0)
        x_fit, y_fit, x_new, y_new = x[~test] - means[0], y[~test] - means[1], x[test] - means[0], y[test] - means[1]
        products = x_fit.T @ y_fit
        left, _, right = np.linalg.svd(products, full_matrices=False)
        match[test] = np.einsum("id,id->i", x_new @ left, y_new @ right.T)
        one[test], two[test] = (x_new**2).sum(axis=1), (y_new**2).sum(axis=1)
        wx, wy = _whitening(x_fit), _whitening(y_fit)
        d = min(d, wx.shape[1], wy.shape[1])
        if len(x_fit) > wx.shape[1] + wy.shape[1] + 1:
            left, _, right = np.linalg.svd(wx.T @ products @ wy, full_matrices=False)
            u[test, :d], v[test, :d] = x_new @ (wx @ left[:, :d]), y_new @ (wy @ right[:d].T)
    return _HeldOut(match, one, two, u[:, :d], v[:, :d])


@dataclass(frozen=True, eq=False)
class _Scores:
    """Statistics fitted to and scored on all stimuli, for some orders of the stimuli of the second space.

    ``biased``, ``debiased`` and ``rotated`` are (n_orders, n_pairs); ``canonical`` holds (n_orders, d) for each pair.
    """

    biased: Floats
    debiased: Floats
    rotated: Floats
    canonical: list[Floats]


def _in_sample(values: Sequence[Floats], orders: Orders) -> _Scores:
    whitenings = [_whitening(x) for x in values]
    pairs = pairs_of([""] * len(values))
    norms = [float(np.sqrt(_squares(x.T @ x))) for x in values]
    own = np.array([_unbiased(_squares(x.T @ x), (x**2).sum(axis=1), (x**2).sum(axis=1)) for x in values])
    own[own <= 0] = np.nan
    shape = len(orders), len(pairs)
    biased, debiased, rotated = np.empty(shape), np.empty(shape), np.empty(shape)
    whitened: list[list[Floats]] = [[] for _ in pairs]
    raw: list[list[Floats]] = [[] for _ in pairs]
    for t, order in enumerate(orders):
        for q, ((a, b), product) in enumerate(zip(pairs, cross_products(values, order), strict=True)):
            both = _squares(product)
            biased[t, q] = both / (norms[a] * norms[b])
            lengths = (values[a] ** 2).sum(axis=1), (values[b][order] ** 2).sum(axis=1)
            debiased[t, q] = _unbiased(both, *lengths) / np.sqrt(own[a] * own[b])
            raw[q].append(product)
            whitened[q].append(whitenings[a].T @ product @ whitenings[b])
    for q in range(len(pairs)):  # spaces have length 1, so that the singular values add up to r
        rotated[:, q] = _singular_values(np.stack(raw[q])).sum(axis=1)
    return _Scores(biased, debiased, rotated, [_singular_values(np.stack(part)) for part in whitened])


def _squares(values: Floats) -> float:
    return float((values**2).sum())


def _unbiased(products: float, one: Floats, two: Floats) -> float:
    """HSIC of Song et al. (2012), times n (n - 3), of centred features; `one`, `two` (n,) are squared lengths of rows.

    With zero diagonals the kernels have row sums ``-|x_i|^2``, since the features are centred.
    """
    n, itself = len(one), float(one @ two)
    return products - itself + float(one.sum() * two.sum()) / ((n - 1) * (n - 2)) - 2 / (n - 2) * itself


def _singular_values(products: Floats) -> Floats:
    """Of a stack (n_orders, k, m); (n_orders, min(k, m)), falling."""
    if products.shape[1] > products.shape[2]:
        products = products.transpose(0, 2, 1)
    # Square roots of eigenvalues of the smaller product: half the time, and no digit is lost that a sum would notice.
    squares = np.linalg.eigvalsh(products @ products.transpose(0, 2, 1))[:, ::-1]
    values: Floats = np.sqrt(np.maximum(squares, 0.0))
    return values


def _null_scores(values: Sequence[Floats], orders: Orders, progress: Progress) -> _Scores | None:
    parts = []
    for start in range(0, len(orders), _BLOCK):
        parts.append(_in_sample(values, orders[start : start + _BLOCK]))
        progress(min(len(orders), start + _BLOCK), len(orders), detail="permutations")
    if not parts:
        return None
    return _Scores(
        np.concatenate([part.biased for part in parts]),
        np.concatenate([part.debiased for part in parts]),
        np.concatenate([part.rotated for part in parts]),
        [np.concatenate([part.canonical[q] for part in parts]) for q in range(len(parts[0].canonical))],
    )


def _alignment(values: Sequence[Floats], tested: _Scores, null: _Scores | None) -> PairStatistic:
    """Debiased CKA, and what it is without each stimulus (the centre stays where it is)."""
    value, influences, own = tested.debiased[0], [], []
    for x in values:
        lengths = (x**2).sum(axis=1)
        own.append((_unbiased(_squares(x.T @ x), lengths, lengths), _pull(x, x)))
    for r, (a, b) in zip(value, pairs_of([""] * len(values)), strict=True):
        (size_a, pull_a), (size_b, pull_b) = own[a], own[b]
        if np.isnan(r) or min((size_a - pull_a).min(), (size_b - pull_b).min()) <= 0:
            influences.append(np.full(len(pull_a), np.nan))  # one stimulus carries a space: nothing is known of others
            continue
        both = r * np.sqrt(size_a * size_b) - _pull(values[a], values[b])
        influences.append(_jackknifed(r, both / np.sqrt((size_a - pull_a) * (size_b - pull_b))))
    return _one_sided(value, influences, value, None if null is None else null.debiased)


def _pull(x: Floats, y: Floats) -> Floats:
    """What leaving each stimulus out takes from the unbiased ``|X'Y|_F^2``: its products with the others; (n,)."""
    together = np.einsum("ik,ik->i", x @ (x.T @ y), y)
    pull: Floats = 2 * (together - (x**2).sum(axis=1) * (y**2).sum(axis=1))
    return pull


def _jackknifed(r: float, left_out: Floats) -> Floats:
    """Influences (n,) from correlations without each stimulus, as large as the spread of their Fisher z says.

    Deletion instead of the derivative: with heavy tails the derivative is too small.
    """
    z = np.arctanh(np.clip(left_out, -1 + 1e-12, 1 - 1e-12))
    influence: Floats = (z.mean() - z) * (1 - r**2) * (len(z) - 1) / len(z)
    return influence


def _one_sided(value: Floats, influences: Sequence[Floats], tested: Floats, null: Floats | None) -> PairStatistic:
    nothing = np.empty((0, len(value)))
    permuted = nothing if null is None else null
    return PairStatistic(value, np.array(influences), "correlation", tested, permuted, None)


def _procrustes(held_out: Sequence[_HeldOut], tested: _Scores, null: _Scores | None) -> PairStatistic:
    value, influences = [], []
    for pair in held_out:
        r, left_out = _ratio(pair.match, pair.one, pair.two)
        value.append(float(r))
        influences.append(_jackknifed(value[-1], left_out))
    return _one_sided(np.array(value), influences, tested.rotated[0], None if null is None else null.rotated)


def _ratio(product: Floats, one: Floats, two: Floats) -> tuple[Floats, Floats]:
    """``sum(product) / sqrt(sum(one) sum(two))`` over stimuli, the first axis, and the same without each of them."""
    sums = [part.sum(axis=0) for part in (product, one, two)]
    left_out = (sums[0] - product) / np.sqrt((sums[1] - one) * (sums[2] - two))
    return sums[0] / np.sqrt(sums[1] * sums[2]), left_out


def _mean_canonical(held_out: Sequence[_HeldOut], tested: _Scores, null: _Scores | None) -> PairStatistic:
    value, influences, in_sample, permuted = [], [], [], []
    for q, pair in enumerate(held_out):
        r, left_out = _ratio(pair.u * pair.v, pair.u**2, pair.v**2)
        value.append(float(r.mean()))
        influences.append(_jackknifed(value[-1], left_out.mean(axis=1)))
        unknown = np.nan if np.isnan(value[-1]) else 0.0
        in_sample.append(tested.canonical[q][0].mean() + unknown)
        if null is not None:
            permuted.append(null.canonical[q].mean(axis=1) + unknown)
    return _one_sided(np.array(value), influences, np.array(in_sample), np.column_stack(permuted) if permuted else None)


def _canonical_table(
    names: Sequence[str], held_out: Sequence[_HeldOut], tested: _Scores, null: _Scores | None
) -> pd.DataFrame:
    parts = {}
    for q, ((a, b), pair) in enumerate(zip(pairs_of(names), held_out, strict=True)):
        r, _ = _ratio(pair.u * pair.v, pair.u**2, pair.v**2)
        d = len(r)
        high = np.quantile(null.canonical[q][:, :d], 0.95, axis=0) if null else np.full(d, np.nan)
        columns = {"in_sample": tested.canonical[q][0, :d], "cross_validated": r, "null_high": high}
        parts[names[a], names[b]] = pd.DataFrame(columns, index=pd.RangeIndex(1, d + 1, name="dimension"))
    return pd.concat(parts, names=["first", "second"])
