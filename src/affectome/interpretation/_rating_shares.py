"""How many components follow some rating, what chance gives, and how far it hangs on the stimuli."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._resampling import check_level, check_permutations, false_discovery_rate, permutation_p
from affectome.errors import InputError
from affectome.interpretation._correlations import THRESHOLDS, rated, strongest_by_family, unit_columns

__all__ = ["SharesAbove", "check_subsamples", "null_correlations", "shares_above", "subsample_rows"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SharesAbove:
    """Share of components whose largest |r| over ratings lies above each threshold.

    Attributes
    ----------
    table : DataFrame, index (family, threshold)
        ``share``; ``null_mean`` and ``null_high`` (mean and `level` quantile over permutations: what unrelated ratings
        of the same kind and number give); ``p`` (of the share, against that null) and ``q`` (Benjamini-Hochberg over
        the rows of this table); ``subsample_low`` and ``subsample_high`` (least and most over the subsamples).
        The family ``"all"`` takes the maximum over all ratings, where there are several families.
    p : DataFrame of shape (n_components, n_ratings)
        Permutation p of each correlation by itself, two-sided. NaN where a column is constant.
    p_max : DataFrame of shape (n_components, n_ratings)
        The same against the largest |r| of the whole table in each permutation: family-wise over all cells.
    null_max : float
        The `level` quantile of that largest |r|.
    n_stimuli, n_permutations, n_subsamples : int
    fraction : float
        Of the stimuli in a subsample.
    level : float
    """

    table: pd.DataFrame
    p: pd.DataFrame
    p_max: pd.DataFrame
    null_max: float
    n_stimuli: int
    n_permutations: int
    n_subsamples: int
    fraction: float
    level: float


def shares_above(
    space: pd.DataFrame,
    ratings: Mapping[str, pd.DataFrame],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    n_permutations: int = 1000,
    n_subsamples: int = 200,
    fraction: float = 0.8,
    level: float = 0.95,
    seed: int,
    progress: Progress = silent,
) -> SharesAbove:
    """Count the components whose largest |Pearson r| over ratings lies above thresholds, beside a null.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    ratings : mapping from family to DataFrame
        Over the same stimuli.
    thresholds : sequence of float
        0 <= threshold < 1.
    n_permutations
        Of the null: components and ratings are independent over exchangeable stimuli. The rows of all ratings are
        permuted together, which keeps how ratings hang together; all correlations, maxima and shares are taken anew.
    n_subsamples, fraction
        Subsamples of the stimuli without replacement, for the range of the share. A share of maxima has no valid
        bootstrap, so that this is stability and no confidence interval.
    level
        Quantile of the null that is reported; the permutation p needs none.
    seed
        Of permutations and subsamples.
    progress

    Returns
    -------
    SharesAbove

    Notes
    -----
    p = (b + 1) / (n_permutations + 1), b the permutations that reached the observed value; for shares one-sided (more
    components than chance). For single correlations :func:`correlate_components` has the same p without drawing, by a
    curve, so that it can be smaller than 1 / (n_permutations + 1).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k}" for k in range(100)]
    >>> joy = pd.DataFrame(rng.gamma(0.5, size=(100, 1)), index=ids, columns=["Joy"])
    >>> space = joy.set_axis(["c"], axis=1).assign(d=rng.normal(size=100))
    >>> found = shares_above(space, {"category": joy}, thresholds=[0.5], seed=0)
    >>> found.table.loc[("category", 0.5), ["share", "null_mean"]].astype(float).tolist()
    [0.5, 0.0]
    >>> float(found.p_max.loc["c", "Joy"]) == 1 / 1001
    True
    """
    from threadpoolctl import threadpool_limits

    check_permutations(n_permutations)
    check_level(level)
    edges = np.asarray(thresholds, np.float64)
    if edges.size == 0 or not ((edges >= 0) & (edges < 1)).all():
        raise InputError("thresholds of |r| lie from 0 to below 1", remedy="give at least one of them")
    data = rated(space, ratings)
    n = len(data.x)
    check_subsamples(n, n_subsamples, fraction)
    total = n_permutations + n_subsamples
    of_null, of_subsamples = np.random.SeedSequence(seed).spawn(2)
    strength = np.abs(unit_columns(data.x).T @ unit_columns(data.y))
    null = np.empty((n_permutations, *strength.shape))
    ranges = np.empty((n_subsamples, *strength.shape))
    with threadpool_limits(1):  # products this small lose more by waiting for threads than they gain
        for k, r in enumerate(null_correlations(data.x, data.y, n_permutations, of_null)):
            null[k] = np.abs(r)
            if (k + 1) % 50 == 0:
                progress(k + 1, total, detail="permutations")
        for k, rows in enumerate(subsample_rows(n, n_subsamples, fraction, of_subsamples)):
            ranges[k] = np.abs(unit_columns(data.x[rows]).T @ unit_columns(data.y[rows]))
        progress(total, total, detail="subsamples")
    largest = np.nan_to_num(null).max(axis=(1, 2))
    tables = {"p": permutation_p(strength, null), "p_max": permutation_p(strength, largest[:, None, None])}
    index = pd.Index(data.components, name="component")
    return SharesAbove(
        table=_share_table(edges, strength, null, ranges, data.family, level),
        **{name: pd.DataFrame(values, index=index, columns=data.labels) for name, values in tables.items()},
        null_max=float(np.quantile(largest, level)),
        n_stimuli=n,
        n_permutations=n_permutations,
        n_subsamples=n_subsamples,
        fraction=fraction,
        level=level,
    )


def _share_table(
    edges: Floats, strength: Floats, null: Floats, ranges: Floats, family: pd.Series[str], level: float
) -> pd.DataFrame:
    """Shares above each threshold: observed, under the null, and their range over subsamples."""

    def shares(values: Floats) -> dict[str, Floats]:
        strongest = strongest_by_family(np.nan_to_num(values), family)
        return {name: (top[..., None] > edges).mean(axis=-2) for name, top in strongest.items()}

    seen, chance, again = shares(strength), shares(null), shares(ranges)
    index = pd.MultiIndex.from_product([list(seen), edges.tolist()], names=["family", "threshold"])
    p = np.concatenate([permutation_p(seen[name], chance[name]) for name in seen])
    return pd.DataFrame(
        {
            "share": np.concatenate(list(seen.values())),
            "null_mean": np.concatenate([draws.mean(axis=0) for draws in chance.values()]),
            "null_high": np.concatenate([np.quantile(draws, level, axis=0) for draws in chance.values()]),
            "p": p,
            "q": false_discovery_rate(p),
            "subsample_low": np.concatenate([draws.min(axis=0) for draws in again.values()]),
            "subsample_high": np.concatenate([draws.max(axis=0) for draws in again.values()]),
        },
        index=index,
    )


def null_correlations(x: Floats, y: Floats, n_permutations: int, seed: np.random.SeedSequence) -> Iterator[Floats]:
    """Correlations (p, m) of x with y when the rows of y are permuted together, once for each permutation."""
    rng = np.random.default_rng(seed)
    unit, other = unit_columns(x).T, unit_columns(y)
    for _ in range(n_permutations):
        yield unit @ other[rng.permutation(len(y))]


def check_subsamples(n: int, n_subsamples: int, fraction: float) -> None:
    """Refuse subsamples that say nothing."""
    if n_subsamples < 1 or not 0 < fraction < 1 or round(fraction * n) < 3:
        raise InputError(
            f"{n_subsamples} subsamples of {fraction:g} of {n} stimuli say nothing about stability",
            remedy="use at least one, of at least three stimuli, with a fraction below 1",
        )


def subsample_rows(
    n: int, n_subsamples: int, fraction: float, seed: np.random.SeedSequence
) -> Iterator[NDArray[np.intp]]:
    """Places of the stimuli in each subsample, drawn without replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(n_subsamples):
        yield np.sort(rng.permutation(n)[: round(fraction * n)])
