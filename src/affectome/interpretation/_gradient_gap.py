"""Do stimuli that raters place between two categories lie between them, or at one or the other?

Two explicit worlds are set against each other. As *members*, stimuli between are drawn from the stimuli at the ends;
as *blends*, they are those stimuli moved along the line by their share. Both put them at the same mean place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from affectome._resampling import permutation_p
from affectome._seeds import named_seed
from affectome.interpretation._gradient_lines import Lines

__all__ = ["FEWEST", "SEPARATED", "CONTRAST", "BETWEEN", "bridges", "discreteness_interval"]

Floats = NDArray[np.float64]

#: Stimuli needed between, and at each end.
FEWEST = 8
#: Standard deviations that the ends must lie apart; nearer ones look the same, blended or not.
SEPARATED = 1.5
#: Difference in mean nearness to the middle that blends and members must be expected to show.
CONTRAST = 0.1
#: Shares of the second category between which raters are of two minds.
BETWEEN = (0.25, 0.75)

_GRID = 33  # places at which the nearness of moved stimuli is computed, straight lines between
_ROUNDING = 1e-6  # shares come as float32


@dataclass(frozen=True, eq=False)
class _Bridge:
    """The stimuli of two categories, on a scale where the mean of one end is 0 and that of the other is 1.

    Attributes
    ----------
    rows : three arrays of places in `Lines`: first end, between, second end
    place : three arrays
    share : three arrays
        Share of the second category.
    separation : float
        Of the ends, in their standard deviations; NaN where stimuli are too few.
    """

    rows: tuple[NDArray[np.intp], ...]
    place: tuple[Floats, ...]
    share: tuple[Floats, ...]
    separation: float

    @property
    def ends_apart(self) -> bool:
        return self.separation >= SEPARATED


def _bridge(lines: Lines, a: int, b: int) -> _Bridge:
    rows = np.concatenate([lines.rows(a), lines.rows(b)])
    place = np.where(lines.member[rows] == a, lines.positions[rows, b], 1 - lines.positions[rows, a])
    share = lines.ratings[rows, b] / (lines.ratings[rows, a] + lines.ratings[rows, b])
    low, high = BETWEEN[0] - _ROUNDING, BETWEEN[1] + _ROUNDING
    parts = (share < low, (share >= low) & (share <= high), share > high)
    rows_of, places, shares = (tuple(values[part] for part in parts) for values in (rows, place, share))
    separation = np.nan
    if min(len(part) for part in places) >= FEWEST:
        first, second = places[0], places[2]
        apart = second.mean() - first.mean()
        spread = np.sqrt((first.var(ddof=1) * (len(first) - 1) + second.var(ddof=1) * (len(second) - 1))
                         / (len(first) + len(second) - 2))  # fmt: skip
        separation = float(apart / spread) if spread > _ROUNDING * abs(apart) else float(np.sign(apart) * np.inf)
        if separation > 0:
            places = tuple((part - first.mean()) / apart for part in places)
    return _Bridge(rows_of, places, shares, separation)


def _nearness(place: Floats) -> Floats:
    """1 in the middle, falling in straight lines to 0 at the ends and beyond."""
    near: Floats = np.clip(1 - np.abs(2 * place - 1), 0, None)
    return near


def _moved(ends: Floats, weights: Floats, grid: Floats, at: Floats) -> Floats:
    """Mean nearness of weighted ends moved by `at` (rows, m); weights (rows, n), rising grid (_GRID,)."""
    on_grid = weights @ _nearness(ends[:, None] + grid)  # (rows, _GRID)
    step = (at - grid[0]) / (grid[1] - grid[0])
    left = np.clip(step.astype(np.intp), 0, _GRID - 2)
    row = np.arange(len(weights))[:, None]
    below, above = on_grid[row, left], on_grid[row, left + 1]
    values: Floats = below + (above - below) * (step - left)
    return values


@dataclass(frozen=True, eq=False)
class _Terms:
    """Mean nearness of the stimuli between, and what members and blends give; each (rows,)."""

    middle: Floats
    discrete: Floats
    blended: Floats
    weight: Floats


def _terms(bridge: _Bridge, between: Floats, weights: tuple[Floats, Floats, Floats]) -> _Terms:
    """Observed and expected nearness under weighted stimuli; `between` (rows, m), weights (rows, n) of each part."""
    first, _, second = bridge.place
    totals = [part.sum(axis=1) for part in weights]
    w_first, w_between, w_second = (part / total[:, None] for part, total in zip(weights, totals, strict=True))
    start, stop = w_first @ first, w_second @ second  # (rows,)
    length = stop - start
    mixed = _mixture(bridge, between, w_first, w_between, w_second, start, length)
    at_first, at_second = w_first @ _nearness(first), w_second @ _nearness(second)
    far = max(1.0, float(length.max()))
    grid = np.linspace(0, far, _GRID)
    from_first = _moved(first, w_first, grid, mixed * length[:, None])
    from_second = _moved(second, w_second, grid - far, -(1 - mixed) * length[:, None])

    def mean(values: Floats) -> Floats:
        averaged: Floats = np.einsum("rm,rm->r", w_between, values)
        return averaged

    return _Terms(
        mean(_nearness(between)),
        mean((1 - mixed) * at_first[:, None] + mixed * at_second[:, None]),
        mean((1 - mixed) * from_first + mixed * from_second),
        totals[1],
    )


def _mixture(
    bridge: _Bridge,
    between: Floats,
    w_first: Floats,
    w_between: Floats,
    w_second: Floats,
    start: Floats,
    length: Floats,
) -> Floats:
    """How far along each stimulus between is by its share, all moved so that the mean place is the observed one."""
    first, own, second = bridge.share
    low, high = w_first @ first, w_second @ second  # the ends are not pure either
    along = (own - low[:, None]) / (high - low)[:, None]  # (rows, m)
    observed = (np.einsum("rm,rm->r", w_between, between) - start) / length
    shift = observed - np.einsum("rm,rm->r", w_between, along)
    mixed: Floats = np.clip(along + shift[:, None], 0, 1)
    return mixed


def _members(bridge: _Bridge) -> _Bridge:
    """The ends joined by the stimuli between, each at the nearer one: under the null, that is where they belong.

    Few stimuli at an end hold too little of the tail towards the middle to draw worlds from.
    """
    first, between, second = bridge.place
    nearer_second = between > 0.5
    joined = (between[~nearer_second], between[nearer_second])
    shares = tuple(
        np.append(share, np.full(len(part), share.mean()))
        for share, part in zip((bridge.share[0], bridge.share[2]), joined, strict=True)
    )
    return replace(
        bridge,
        place=(np.append(first, joined[0]), between, np.append(second, joined[1])),
        share=(shares[0], bridge.share[1], shares[1]),
    )


def _drawn(world: _Bridge, mixed: Floats, blended: bool, n: int, rng: np.random.Generator) -> Floats:
    """Places of the stimuli between in `n` worlds of members, or of blends; (n, m)."""
    first, _, second = world.place
    shape = (n, len(mixed))
    from_first = first[rng.integers(len(first), size=shape)] + (mixed if blended else 0)
    from_second = second[rng.integers(len(second), size=shape)] - (1 - mixed if blended else 0)
    return np.where(rng.random(shape) < mixed, from_second, from_first)


def _differences(bridge: _Bridge, mixed: Floats, blended: bool, n: int, rng: np.random.Generator) -> Floats:
    """Nearness beyond what the null gives in worlds of that null, ends and mean place estimated anew; (n,)."""
    world = bridge if blended else _members(bridge)
    # Gamma weights make as much noise as drawing as many stimuli as the end has.
    first, second = (
        rng.standard_gamma(len(bridge.place[k]) / len(world.place[k]), (n, len(world.place[k]))) for k in (0, 2)
    )
    between = _drawn(world, mixed, blended, n, rng)
    terms = _terms(world, between, (first, np.ones(between.shape), second))
    return terms.blended - terms.middle if blended else terms.middle - terms.discrete


def bridges(lines: Lines, pairs: Sequence[tuple[str, str]], n_permutations: int, seed: int) -> pd.DataFrame:
    """Where the stimuli between the categories of each pair lie, against blends and members."""
    place = {name: k for k, name in enumerate(lines.names)}
    rows = []
    for first, second in pairs:
        bridge = _bridge(lines, place[first], place[second])
        row = {"n_bridging": len(bridge.rows[1]), "n_first": len(bridge.rows[0]), "n_second": len(bridge.rows[2]),
               "separation": bridge.separation} | dict.fromkeys(
            ("middle", "middle_blended", "middle_discrete", "discreteness", "p_discrete", "p_blended"), np.nan
        )  # fmt: skip
        if bridge.ends_apart:
            row |= _told(bridge, n_permutations, np.random.default_rng(named_seed(seed, "bridges", first, second)))
        rows.append(row)
    return pd.DataFrame(rows)


def _told(bridge: _Bridge, n_permutations: int, rng: np.random.Generator) -> dict[str, float]:
    ones = (np.ones((1, len(bridge.place[0]))), np.ones((1, len(bridge.place[1]))), np.ones((1, len(bridge.place[2]))))
    between = bridge.place[1][None]
    seen = _terms(bridge, between, ones)
    middle, discrete, blended = float(seen.middle[0]), float(seen.discrete[0]), float(seen.blended[0])
    found = {"middle": middle, "middle_blended": blended, "middle_discrete": discrete}
    if blended - discrete < CONTRAST:
        return found
    even = [part / part.sum() for part in ones]
    mixed = _mixture(bridge, between, even[0], even[1], even[2], np.zeros(1), np.ones(1))[0]
    null = [_differences(bridge, mixed, is_blended, n_permutations, rng) for is_blended in (False, True)]
    return found | {
        "discreteness": (middle - blended) / (discrete - blended),
        "p_discrete": float(permutation_p(middle - discrete, null[0])),
        "p_blended": float(permutation_p(blended - middle, null[1])),
    }


def discreteness_interval(lines: Lines, pairs: pd.DataFrame, level: float) -> tuple[float, float, float]:
    """Discreteness over all pairs that tell, each weighted by its stimuli between, with its jackknife interval."""
    place = {name: k for k, name in enumerate(lines.names)}
    told = [_bridge(lines, place[first], place[second]) for first, second in pairs.index[pairs["p_discrete"].notna()]]
    if not told:
        return np.nan, np.nan, np.nan
    whole = np.zeros(2)
    change = np.zeros((2, len(lines.member)))  # of nearness missing for blends, observed and as members
    for bridge in told:
        sizes = [len(part) for part in bridge.rows]
        keep = 1 - np.vstack([np.zeros(sum(sizes)), np.eye(sum(sizes))])  # first nobody, then each left out
        ends = np.cumsum(sizes)
        weights = (keep[:, : ends[0]], keep[:, ends[0] : ends[1]], keep[:, ends[1] :])
        terms = _terms(bridge, np.broadcast_to(bridge.place[1], (len(keep), sizes[1])), weights)
        lacking = terms.weight * np.stack([terms.blended - terms.middle, terms.blended - terms.discrete])
        whole += lacking[:, 0]
        change[:, np.concatenate(bridge.rows)] += lacking[:, 1:] - lacking[:, :1]
    without = (whole[0] + change[0]) / (whole[1] + change[1])
    value = float(whole[0] / whole[1])
    half = float(stats.norm.ppf((1 + level) / 2) * np.sqrt(lines.jackknife_variance(without)))
    return value, value - half, value + half
