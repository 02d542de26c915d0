"""What all comparisons of spaces share: their pairs, intervals from influences, differences, permuted stimuli."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from affectome._resampling import check_level, false_discovery_rate, permutation_p
from affectome.errors import InputError
from affectome.spaces import METRICS, Metric, align, similarity

__all__ = [
    "PairStatistic",
    "SpaceComparison",
    "aligned_spaces",
    "check_settings",
    "chosen_metrics",
    "cross_products",
    "difference_table",
    "pair_table",
    "pairs_of",
    "permuted_orders",
    "similarity_stack",
]

Floats = NDArray[np.float64]
Orders = NDArray[np.uint32]

_FEWEST = 10  # stimuli below which a spread over stimuli says nothing
_ROUNDING = 1e-6  # of statistics whose permutations are summed in float32


@dataclass(frozen=True, eq=False)
class SpaceComparison:
    """How alike spaces are, pair by pair.

    Attributes
    ----------
    table : DataFrame, index (statistic, first, second)
        Columns ``value, ci_low, ci_high`` (interval over stimuli); ``p`` of permuting the stimuli of one space and
        ``q``, p after Benjamini-Hochberg over the pairs of one statistic; ``null_mean, null_high``, mean and 95th
        percentile of the permuted statistic. What is not known is NaN.
    differences : DataFrame, index (statistic, shared, first, second)
        Is `shared` closer to `first` than to `second`? Columns ``difference`` (value of the pair shared-first minus
        that of shared-second), ``ci_low, ci_high``, ``p`` under the null that both are equally close, and ``q``, p
        after Benjamini-Hochberg over all differences of one statistic. Empty with two spaces.
    n_stimuli : int
    n_permutations : int
    level : float
        Coverage the intervals aim at.
    """

    table: pd.DataFrame
    differences: pd.DataFrame
    n_stimuli: int
    n_permutations: int
    level: float

    @property
    def spaces(self) -> list[str]:
        """Names of the spaces, in the order given."""
        of = self.table.index
        return list(dict.fromkeys([*of.get_level_values("first"), *of.get_level_values("second")]))

    @property
    def statistics(self) -> list[str]:
        """Names of the statistics."""
        return list(dict.fromkeys(self.table.index.get_level_values("statistic")))

    def rows(self, statistic: str) -> pd.DataFrame:
        """The table of one statistic, index (first, second)."""
        if statistic not in self.statistics:
            raise InputError(
                f"there is no statistic '{statistic}'", remedy=f"choose one of {', '.join(self.statistics)}"
            )
        return self.table[self.table.index.get_level_values("statistic") == statistic].droplevel("statistic")

    def matrix(self, statistic: str, column: str = "value") -> pd.DataFrame:
        """Spaces x spaces; NaN on the diagonal."""
        square = pd.DataFrame(np.nan, index=self.spaces, columns=self.spaces)
        rows = self.rows(statistic)[column]
        of = rows.index
        pairs = zip(of.get_level_values("first"), of.get_level_values("second"), strict=True)
        for (first, second), value in zip(pairs, rows, strict=True):
            square.loc[first, second] = square.loc[second, first] = value
        return square


@dataclass(frozen=True, eq=False)
class PairStatistic:
    """A statistic of every pair of spaces, with what its uncertainty is made of.

    Attributes
    ----------
    value : (n_pairs,)
    influence : (n_pairs, n_stimuli)
        How much `value` moves per unit of weight on a stimulus; sums to 0 over stimuli.
    scale : "correlation" or "share"
        Intervals are symmetric in Fisher z, or in log odds.
    tested : (n_pairs,)
        The statistic of the permutation test on the stimuli as they are.
    null : (n_permutations, n_pairs)
        The same with the stimuli of one space permuted.
    centre : float
        `tested` under the null; tests are two-sided about it, or one-sided where it is None.
    """

    value: Floats
    influence: Floats
    scale: str
    tested: Floats
    null: Floats
    centre: float | None


def check_settings(n_permutations: int, level: float) -> None:
    """Refuse settings that make no test or no interval."""
    if n_permutations < 0:
        raise InputError(f"n_permutations={n_permutations} is no number of permutations", remedy="use 0 or more")
    check_level(level)


def aligned_spaces(spaces: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The spaces over the same stimuli in the order of the first; at least two, with enough stimuli."""
    if len(spaces) < 2:
        raise InputError(f"{len(spaces)} space has nothing to be compared with", remedy="give at least two")
    names = list(spaces)
    aligned = align(*spaces.values(), names=names).spaces
    if len(aligned[0]) < _FEWEST:
        raise InputError(f"{len(aligned[0])} stimuli are too few to compare spaces", remedy=f"give at least {_FEWEST}")
    return dict(zip(names, aligned, strict=True))


def chosen_metrics(spaces: Mapping[str, pd.DataFrame], metric: Metric | Mapping[str, Metric]) -> dict[str, Metric]:
    """The metric of every space, from one for all or from a mapping that names each."""
    if isinstance(metric, str):
        chosen = dict.fromkeys(spaces, metric)
    else:
        if set(metric) != set(spaces):
            odd = ", ".join(f"'{name}'" for name in [*spaces, *metric] if (name in spaces) != (name in metric))
            raise InputError(f"the metrics and the spaces do not match ({odd})", remedy="give each space one metric")
        chosen = {name: metric[name] for name in spaces}
    for name, used in chosen.items():
        if used not in METRICS:
            raise InputError(f"'{used}' is no similarity", source=name, remedy=f"choose one of {', '.join(METRICS)}")
    return chosen


def similarity_stack(spaces: Mapping[str, pd.DataFrame], metrics: Mapping[str, Metric]) -> NDArray[np.float32]:
    """Similarities of all stimuli in every space; (n_spaces, n, n), 0 on the diagonals."""
    n = len(next(iter(spaces.values())))
    stack = np.empty((len(spaces), n, n), np.float32)
    for rsm, (name, space) in zip(stack, spaces.items(), strict=True):
        rsm[:] = similarity(space, metrics[name]).to_numpy()
        off = ~np.eye(n, dtype=bool)
        low, high = rsm.min(where=off, initial=np.inf), rsm.max(where=off, initial=-np.inf)
        if high - low <= 1e-6 * np.abs(rsm).max():  # with its diagonal: the size of what is compared, in any unit
            raise InputError(
                f"under {metrics[name]} all pairs of stimuli are equally similar",
                source=name,
                remedy="choose another metric, or leave the space out",
            )
        np.fill_diagonal(rsm, 0.0)
    return stack


def pairs_of(names: Sequence[str]) -> list[tuple[int, int]]:
    """Places of all pairs, in the order of every table."""
    return list(combinations(range(len(names)), 2))


def permuted_orders(source: np.random.SeedSequence, n: int, n_permutations: int) -> Orders:
    """Orders of the stimuli, uniform over all; (n_permutations, n)."""
    rows = np.tile(np.arange(n, dtype=np.uint32), (n_permutations, 1))
    shuffled: Orders = np.random.default_rng(source).permuted(rows, axis=1)
    return shuffled


def cross_products(rows: Sequence[Floats], order: NDArray[np.integer]) -> Iterator[Floats]:
    """``X_a' X_b[order]`` for every pair of spaces a < b; rows of shape (n, k_a)."""
    starts = np.cumsum([0, *(part.shape[1] for part in rows)])
    permuted = np.hstack(rows[1:])[order]
    for a, own in enumerate(rows[:-1]):
        products = own.T @ permuted[:, starts[a + 1] - starts[1] :]
        for b in range(a + 1, len(rows)):
            yield products[:, starts[b] - starts[a + 1] : starts[b + 1] - starts[a + 1]]


def pair_table(names: Sequence[str], statistics: Mapping[str, PairStatistic], level: float) -> pd.DataFrame:
    """The table of a :class:`SpaceComparison`."""
    parts = {name: _pair_rows(names, part, level) for name, part in statistics.items()}
    return pd.concat(parts, names=["statistic"])


def _pair_rows(names: Sequence[str], part: PairStatistic, level: float) -> pd.DataFrame:
    low, high = _scaled_interval(part, level)
    p = mean = top = np.full(len(part.value), np.nan)
    if len(part.null):
        centre = part.centre or 0.0
        tail = "greater" if part.centre is None else "two-sided"
        p = permutation_p(part.tested - centre, part.null - centre, tail=tail, rounding=_ROUNDING)  # type: ignore[arg-type]
        mean, top = part.null.mean(axis=0), np.quantile(part.null, 0.95, axis=0)
    index = pd.MultiIndex.from_tuples([(names[a], names[b]) for a, b in pairs_of(names)], names=["first", "second"])
    columns = {"value": part.value, "ci_low": low, "ci_high": high, "p": p, "q": false_discovery_rate(p)}
    return pd.DataFrame({**columns, "null_mean": mean, "null_high": top}, index=index)


def _standard_error(influence: Floats) -> Floats:
    """Infinitesimal jackknife: the spread that the influences of n independent stimuli add up to."""
    n = influence.shape[-1]
    error: Floats = np.sqrt((influence**2).sum(axis=-1) * n / (n - 1))
    return error


def _scaled_interval(part: PairStatistic, level: float) -> tuple[Floats, Floats]:
    """Symmetric on the scale where the spread hardly depends on the value (Fisher z; log odds)."""
    reach = stats.t.ppf((1 + level) / 2, part.influence.shape[1] - 1) * _standard_error(part.influence)
    share = part.scale == "share"
    bounded = np.clip((part.value + 1) / 2 if not share else part.value, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # a value of 1 has no spread and is its own interval
        scaled = np.log(bounded / (1 - bounded))  # Fisher z is half the log odds of (1 + r) / 2
        step = reach * (1.0 if share else 0.5) / (bounded * (1 - bounded))
        ends = [1 / (1 + np.exp(-(scaled + side * step))) for side in (-1, 1)]
    low, high = (np.where((bounded == 0) | (bounded == 1), bounded, end) for end in ends)
    return (low, high) if share else (2 * low - 1, 2 * high - 1)


def difference_table(names: Sequence[str], statistics: Mapping[str, PairStatistic], level: float) -> pd.DataFrame:
    """For every space, whether it is closer to one than to another of the rest."""
    place = {frozenset(pair): k for k, pair in enumerate(pairs_of(names))}
    keys, rows = [], []
    for statistic, part in statistics.items():
        found = []
        for shared in range(len(names)):
            for first, second in combinations([k for k in range(len(names)) if k != shared], 2):
                one, two = place[frozenset((shared, first))], place[frozenset((shared, second))]
                keys.append((statistic, names[shared], names[first], names[second]))
                found.append(_difference(part, one, two, level))
        q = false_discovery_rate(np.array([row[-1] for row in found]))
        rows += [(*row, corrected) for row, corrected in zip(found, q, strict=True)]
    index = pd.MultiIndex.from_tuples(keys, names=["statistic", "shared", "first", "second"]) if keys else None
    columns = ["difference", "ci_low", "ci_high", "p", "q"]
    if index is None:
        index = pd.MultiIndex.from_arrays([[]] * 4, names=["statistic", "shared", "first", "second"])
    return pd.DataFrame(rows, columns=columns, index=index, dtype=np.float64)


def _difference(part: PairStatistic, one: int, two: int, level: float) -> tuple[float, float, float, float]:
    """Difference of two pairs, its interval, and the p of no difference; the spaces they share make them covary."""
    n = part.influence.shape[1]
    difference = float(part.value[one] - part.value[two])
    error = float(_standard_error(part.influence[one] - part.influence[two]))
    if np.isnan(error) or error < 1e-12:  # a space and its own copy
        return difference, difference, difference, 1.0 if abs(difference) < 1e-9 else np.nan
    reach = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    p = 2 * float(stats.t.sf(abs(difference) / error, n - 1))
    return difference, difference - reach, difference + reach, p
