"""Which ratings a component follows."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import linear_sum_assignment

from affectome._resampling import check_level, false_discovery_rate
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation._jackknife import studentised_interval
from affectome.interpretation._permuted_correlations import permuted_p
from affectome.spaces import align

logger = logging.getLogger(__name__)

__all__ = [
    "THRESHOLDS",
    "RatingCorrelations",
    "correlate_components",
    "left_out_correlations",
    "rated",
    "rating_labels",
    "strongest_by_family",
    "unit_columns",
]

Floats = NDArray[np.float64]

#: Correlations above which the paper counts components.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)

_PERFECT = 1 - 1e-12  # beyond it Fisher's z is rounding


@dataclass(frozen=True, eq=False)
class RatingCorrelations:
    """Correlation of every component with every rating.

    All tables are of shape (n_components, n_ratings) and NaN where a column is constant.

    Attributes
    ----------
    r : DataFrame
        Pearson correlation over stimuli.
    p : DataFrame
        Two-sided p of r under the null that component and rating are independent over exchangeable stimuli: over all
        permutations of the stimuli, in closed form.
    q : DataFrame
        p after Benjamini-Hochberg over the whole table: all components by the ratings of all families.
    family : Series, index the ratings
        Which rating space each column came from.
    n_stimuli : int
    ci_low, ci_high : DataFrame
        Interval of r over stimuli: studentised jackknife on Fisher's z.
    rho : DataFrame
        Spearman correlation, with mid-ranks for ties.
    rho_p, rho_q : DataFrame
        As `p` and `q`, for rho; the correction is over the table of rho alone.
    rho_ci_low, rho_ci_high : DataFrame
        Interval of rho over stimuli: studentised infinitesimal jackknife on Fisher's z.
    level : float
        Coverage the intervals aim at, each by itself.
    circular : tuple of str
        Families that the choices behind the space were made from: their correlations check the method.
    """

    r: pd.DataFrame
    p: pd.DataFrame
    q: pd.DataFrame
    family: pd.Series[str]
    n_stimuli: int
    ci_low: pd.DataFrame
    ci_high: pd.DataFrame
    rho: pd.DataFrame
    rho_p: pd.DataFrame
    rho_q: pd.DataFrame
    rho_ci_low: pd.DataFrame
    rho_ci_high: pd.DataFrame
    level: float = 0.95
    circular: tuple[str, ...] = ()

    def diagonal_order(self) -> list[str]:
        """Ratings in the order that puts the strongest matches on the diagonal.

        Components keep their order and get one rating each, so that the summed r is highest;
        the ratings left over follow, each beside the component it follows most.
        """
        r = self.r.fillna(0.0).to_numpy()
        rows, columns = linear_sum_assignment(-r)
        matched = columns[np.argsort(rows)]
        rest = np.setdiff1d(np.arange(r.shape[1]), matched)
        rest = rest[np.argsort(r[:, rest].argmax(axis=0), kind="stable")]
        return [str(name) for name in self.r.columns[np.concatenate([matched, rest])]]

    def top_ratings(self, n: int = 3, alpha: float = 0.05) -> dict[str, list[tuple[str, float]]]:
        """For each component, up to `n` ratings with q below `alpha`, strongest first, whatever the sign of r."""
        tops: dict[str, list[tuple[str, float]]] = {}
        for name in map(str, self.r.index):
            r, q = self.r.loc[name].to_numpy(np.float64), self.q.loc[name].to_numpy(np.float64)
            falling = np.argsort(-np.abs(np.nan_to_num(r)), kind="stable")
            kept = [k for k in falling if q[k] < alpha][:n]
            tops[name] = [(str(self.r.columns[k]), float(r[k])) for k in kept]
        return tops

    def share_above(self, thresholds: Sequence[float] = THRESHOLDS) -> pd.DataFrame:
        """Share of components whose largest |r| lies above each threshold, per family and over all.

        Returns
        -------
        DataFrame, index families and (where there are several) ``"all"``, columns the thresholds

        Notes
        -----
        A maximum over 34 ratings is larger than one over 14 even where nothing is related, and a share of maxima has
        no valid bootstrap; :func:`shares_above` gives its null and its stability.
        """
        strongest = strongest_by_family(np.abs(np.nan_to_num(self.r.to_numpy(np.float64))), self.family)
        shares = {name: [float((top > edge).mean()) for edge in thresholds] for name, top in strongest.items()}
        index = pd.Index(list(shares), name="family")
        return pd.DataFrame(list(shares.values()), index=index, columns=pd.Index(thresholds, name="threshold"))

    def table(self) -> pd.DataFrame:
        """Everything as one long table.

        Returns
        -------
        DataFrame, index (component, rating), with columns

            ``family``, ``circular``, ``r``, ``ci_low``, ``ci_high``, ``p``, ``q``, ``rho``, ``rho_ci_low``,
            ``rho_ci_high``, ``rho_p``, ``rho_q``
        """
        names = ("r", "ci_low", "ci_high", "p", "q", "rho", "rho_ci_low", "rho_ci_high", "rho_p", "rho_q")
        index = pd.MultiIndex.from_product([self.r.index, self.r.columns], names=["component", "rating"])
        columns = {name: getattr(self, name).to_numpy().ravel() for name in names}
        family = np.tile(self.family.to_numpy(), len(self.r))
        return pd.DataFrame({"family": family, "circular": np.isin(family, self.circular), **columns}, index=index)


def correlate_components(
    space: pd.DataFrame,
    ratings: Mapping[str, pd.DataFrame],
    *,
    level: float = 0.95,
    circular: Collection[str] = (),
) -> RatingCorrelations:
    """Correlate every component of a space with every rating.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    ratings : mapping from family ("category", "dimension", ...) to DataFrame
        Each over the same stimuli as `space`. A rating name that two families share is written
        ``"family: name"``.
    level
        Coverage that the intervals aim at.
    circular
        Families that the choices behind the space were made from. Nothing is computed from it; the result, its table
        and its figure say so.

    Returns
    -------
    RatingCorrelations

    Notes
    -----
    Null of p: component and rating are independent, over exchangeable stimuli. p is the share of all permutations of
    the stimuli in which r is at least as far from 0. None is drawn: mean, variance, skewness and kurtosis of r over all
    of them are known (Pitman 1937), and p comes from the Pearson curve that has them. For plain columns that is
    Student's t with n - 2 degrees of freedom; for a sparse component and a rare rating Student's p is far too small.
    rho has the same, of mid-ranks. Correction: Benjamini-Hochberg over the whole table, Pearson and Spearman apart.

    Intervals speak of other stimuli of the same kind, each cell by itself. Nothing is drawn: each stimulus is left out
    in turn (Pearson), or its influence on rho, ranks of the others included, is written down (Spearman), on the scale
    of Fisher's z; the t quantile has the degrees of freedom that the kurtosis of the influences allows. For sparse
    components against ratings that are mostly zero this covers where a percentile bootstrap falls short. A correlation
    that one stimulus makes alone has no interval (NaN), and neither has anything with fewer than ten stimuli.

    Where the choices behind the space were made *from* these ratings, the correlations check the
    method and are no finding.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k}" for k in range(200)]
    >>> joy = pd.DataFrame({"Joy": rng.gamma(0.5, size=200)}, index=ids)
    >>> space = pd.DataFrame({"c": joy["Joy"] + rng.gamma(0.5, size=200)}, index=ids)
    >>> found = correlate_components(space, {"category": joy})
    >>> found.table().loc[("c", "Joy"), ["r", "ci_low", "ci_high"]].astype(float).round(2).tolist()
    [0.7, 0.45, 0.85]
    """
    check_level(level)
    unknown = [name for name in circular if name not in ratings]
    if unknown:
        raise InputError(
            f"circular names {cut_short(unknown)}, which is no family of ratings",
            remedy=f"choose among {cut_short(list(ratings))}",
        )
    data = rated(space, ratings)
    r, p = _tested(data.x, data.y)
    low, high = _pearson_interval(data.x, data.y, r, level)
    rho, rho_p = _tested(_middle_shares(data.x), _middle_shares(data.y))
    rho_low, rho_high = _spearman_interval(data.x, data.y, rho, level)
    q, rho_q = false_discovery_rate(p), false_discovery_rate(rho_p)
    tables = {
        name: pd.DataFrame(values, index=pd.Index(data.components, name="component"), columns=data.labels)
        for name, values in {
            "r": r, "p": p, "q": q, "ci_low": low, "ci_high": high,
            "rho": rho, "rho_p": rho_p, "rho_q": rho_q, "rho_ci_low": rho_low, "rho_ci_high": rho_high,
        }.items()
    }  # fmt: skip
    return RatingCorrelations(
        **tables, family=data.family, n_stimuli=len(data.x), level=level, circular=tuple(sorted(circular))
    )


class Rated(NamedTuple):
    """A space and all ratings over the same stimuli: x (n, p), y (n, m), and what their columns are called."""

    x: Floats
    y: Floats
    components: list[str]
    labels: list[str]
    family: pd.Series[str]


def rated(space: pd.DataFrame, ratings: Mapping[str, pd.DataFrame]) -> Rated:
    """Bring a space and the families of ratings onto the same stimuli; constant columns are logged."""
    if not ratings:
        raise InputError("there are no ratings to correlate with", remedy="give at least one rating space")
    if space.shape[1] == 0:
        raise InputError("the space has no components", remedy="fit it with a smaller l1 or more triplets")
    names = ["the space", *ratings]
    aligned = align(space, *ratings.values(), names=names).spaces
    n = len(aligned[0])
    if n < 3:
        raise InputError(f"{n} stimuli are too few for a correlation", remedy="give at least three")
    labels, family = rating_labels(ratings)
    x = aligned[0].to_numpy(np.float64)
    y = np.column_stack([frame.to_numpy(np.float64) for frame in aligned[1:]])
    components = [str(name) for name in space.columns]
    for what, names_of, values in (("ratings", labels, y), ("components", components, x)):
        constant = [name for name, spread in zip(names_of, np.ptp(values, axis=0), strict=True) if spread == 0]
        if constant:
            logger.warning("%d %s are constant and have no correlation: %s.", len(constant), what, cut_short(constant))
    return Rated(x, y, components, labels, pd.Series(family, index=labels, name="family"))


def rating_labels(ratings: Mapping[str, pd.DataFrame]) -> tuple[list[str], list[str]]:
    """What the ratings of all families are called side by side, and the family of each.

    A name that two families share is written ``"family: name"``.
    """
    columns = [str(name) for frame in ratings.values() for name in frame.columns]
    family = [key for key, frame in ratings.items() for _ in frame.columns]
    labels = [f"{key}: {name}" if columns.count(name) > 1 else name for key, name in zip(family, columns, strict=True)]
    return labels, family


def strongest_by_family(strength: Floats, family: pd.Series[str]) -> dict[str, Floats]:
    """Largest value over the ratings of each family, and over all where there are several; (..., components)."""
    kinds = family.to_numpy()
    strongest = {str(name): strength[..., kinds == name].max(axis=-1) for name in dict.fromkeys(kinds)}
    if len(strongest) > 1:
        strongest["all"] = strength.max(axis=-1)
    return strongest


def unit_columns(values: Floats, *, constant: float = np.nan) -> Floats:
    """Columns centred and of unit length, so that their products are correlations; `constant` where one is constant."""
    centred = values - values.mean(axis=0)
    length, flat = np.linalg.norm(centred, axis=0), np.ptp(values, axis=0) == 0
    scaled: Floats = np.where(flat, constant, centred / np.where(flat, 1.0, length))
    return scaled


def _pearson(x: Floats, y: Floats) -> Floats:
    """Correlation of every column of x with every column of y; NaN where one is constant."""
    return np.clip(unit_columns(x).T @ unit_columns(y), -1, 1)


def _tested(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Correlation of every column of x with every column of y, and its two-sided p."""
    r = _pearson(x, y)
    return r, permuted_p(r, unit_columns(x), unit_columns(y))


def left_out_correlations(x: Floats, y: Floats) -> Floats:
    """Correlation of one unit column x (n,) with unit columns y (n, m) when each stimulus is left out; (n, m).

    With centred columns of unit length, leaving out i takes n/(n-1) x_i y_i from their product and
    n/(n-1) x_i^2 from the square of a length. NaN where only the stimulus left out told the others apart.
    """
    share = len(x) / (len(x) - 1)
    kept_x, kept_y = 1 - share * x**2, 1 - share * y**2
    with np.errstate(invalid="ignore", divide="ignore"):
        left: Floats = (x @ y - share * x[:, None] * y) / np.sqrt(kept_x[:, None] * kept_y)
    left[kept_x < 1e-9] = np.nan
    left[kept_y < 1e-9] = np.nan
    return left


def _pearson_interval(x: Floats, y: Floats, r: Floats, level: float) -> tuple[Floats, Floats]:
    """Studentised jackknife of Fisher's z, back on the scale of r."""
    n, low, high = len(x), np.empty_like(r), np.empty_like(r)
    units, other = unit_columns(x), unit_columns(y)
    for row, unit in enumerate(units.T):
        value = np.arctanh(np.clip(r[row], -_PERFECT, _PERFECT))
        left = np.arctanh(np.clip(left_out_correlations(unit, other), -_PERFECT, _PERFECT))
        low[row], high[row] = np.tanh(studentised_interval(value, (n - 1) * (value - left), level))
    return low, high


def _middle_shares(values: Floats) -> Floats:
    """Share of stimuli below each one, those tied counted half: mid-ranks on the scale 0..1."""
    shares: Floats = (stats.rankdata(values, axis=0) - 0.5) / len(values)
    return shares


def _spearman_interval(x: Floats, y: Floats, rho: Floats, level: float) -> tuple[Floats, Floats]:
    """Studentised infinitesimal jackknife of Fisher's z of the rank correlation.

    With F, G the mid-rank shares, rho = C / sqrt(V W), C = E[F G] - 1/4, V = E[F^2] - 1/4. A stimulus moves C as
    one of the sample, F(x_i) G(y_i), and through the ranks of all others, E[H(X - x_i) G(Y)] + E[F(X) H(Y - y_i)],
    with H = 1, 1/2 or 0 for above, tied and below; the same with V and W.
    """
    f, g = _middle_shares(x), _middle_shares(y)
    spread_x, spread_y = f.var(axis=0), g.var(axis=0)
    orders_x, orders_y = [_ties(column) for column in x.T], [_ties(column) for column in y.T]
    own_x = _own_influence(f, orders_x)
    own_y = _own_influence(g, orders_y)
    through_y = np.stack([_mean_above(f, ties) for ties in orders_y], axis=2)  # (n, components, ratings)
    low, high = np.empty_like(rho), np.empty_like(rho)
    for row in range(x.shape[1]):
        product = f[:, [row]] * g
        moved = product + _mean_above(g, orders_x[row]) + through_y[:, row] - 3 * product.mean(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = moved / np.sqrt(spread_x[row] * spread_y)
            scaled -= rho[row] / 2 * (own_x[:, [row]] / spread_x[row] + own_y / spread_y)
            value = np.clip(rho[row], -_PERFECT, _PERFECT)
            influence = scaled / (1 - value**2)
        influence[:, np.abs(rho[row]) >= _PERFECT] = 0.0  # leaving out a stimulus keeps the order perfect
        low[row], high[row] = np.tanh(studentised_interval(np.arctanh(value), influence, level))
    return low, high


def _own_influence(shares: Floats, orders: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]]) -> Floats:
    """Influence of every stimulus on the variance of each column's mid-rank shares, ties included."""
    through = np.column_stack([_mean_above(shares[:, [k]], ties) for k, ties in enumerate(orders)])
    influence: Floats = shares**2 + 2 * through - 3 * (shares**2).mean(axis=0)
    return influence


def _ties(values: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rising order of the values, and for each of them where its run of ties begins and ends in it."""
    order = np.argsort(values, kind="stable")
    rising = values[order]
    return order, np.searchsorted(rising, values, "left"), np.searchsorted(rising, values, "right")


def _mean_above(other: Floats, ties: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]) -> Floats:
    """Mean over all stimuli of `other` (n, m) where they lie above each stimulus, half where they tie with it."""
    order, first, last = ties
    total = np.zeros((len(order) + 1, other.shape[1]))
    np.cumsum(other[order], axis=0, out=total[1:])
    above: Floats = total[-1] - (total[first] + total[last]) / 2
    above /= len(order)
    return above
