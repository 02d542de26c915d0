"""Blended or clustered: do stimuli lie between the categories of emotion that raters saw in them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from affectome._progress import Progress, silent
from affectome._resampling import check_bootstrap, check_permutations, false_discovery_rate, permutation_p
from affectome._seeds import named_seed
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation._categories import top_categories
from affectome.interpretation._gradient_gap import bridges, discreteness_interval
from affectome.interpretation._gradient_jackknife import changes_without
from affectome.interpretation._gradient_lines import Lines, make_lines
from affectome.spaces import align, as_space

__all__ = ["CategoryGradients", "GradientLine", "category_gradients", "gradient_references"]

Floats = NDArray[np.float64]

#: What is said of a pair of categories.
VERDICTS = ("gradient", "mixed", "gap", "undecided")

_FLAT = 1e-10  # spread relative to the size of the values below which it is rounding


@dataclass(frozen=True, eq=False)
class GradientLine:
    """The stimuli of two categories along the line between the centroids of these.

    Attributes
    ----------
    first, second : str
    stimuli : DataFrame, index stimulus ids
        ``label``; ``position`` (0 the centroid of `first`, 1 that of `second`, a stimulus' own centroid computed
        without it); ``share`` of `second` in the ratings of the two.
    trend : DataFrame, index ``bin``
        ``position`` and ``share``, means over bins of stimuli that follow one another on the line; ``ci_low`` and
        ``ci_high`` of the mean share (t interval, the bins as given); ``n``.
    level : float
    """

    first: str
    second: str
    stimuli: pd.DataFrame
    trend: pd.DataFrame
    level: float


@dataclass(frozen=True, eq=False)
class CategoryGradients:
    """Whether stimuli are blended between categories or fall into clusters.

    Attributes
    ----------
    r : float
        Mean over ordered pairs (a, b) of the correlation, over the stimuli of a, between position on the line from
        a to b and the rating of b.
    ci_low, ci_high : float
        Of `r`: jackknife over stimuli, each category on its own, on the scale of Fisher's z; centroids and
        correlations are computed again without the stimulus. Its middle is corrected for the noise of the centroids,
        which lowers `r`.
    p : float
        One-sided, (b + 1) / (B + 1). Null: within a category, position says nothing about the ratings.
    null_high : float
        95% quantile of `r` under that null.
    specific, specific_ci_low, specific_ci_high, specific_p : float
        The same after the rating of a (how typical the stimulus is of its own category) is partialled out of the
        rating of b: towards b, not only away from a.
    discreteness : float
        How the stimuli that raters place between two categories lie: 0 as a blend of the two, 1 as members of
        one or the other. Pairs that can tell, weighted by their bridging stimuli. NaN where there are none.
    discreteness_ci_low, discreteness_ci_high : float
        Jackknife over stimuli, each category on its own, the lines taken as fixed.
    ordered : DataFrame, index (``category``, ``towards``)
        ``n`` stimuli of the category, ``n_rated`` of them rated above its lowest rating of the other, ``r``, ``p``,
        ``q`` (Benjamini-Hochberg over the ordered pairs), ``p_max`` (family-wise, by the largest statistic of each
        permutation), ``specific``, ``specific_p``, ``specific_q``.
    pairs : DataFrame, index (``first``, ``second``)
        ``r`` (mean of both directions), ``p`` and ``q`` of both together; ``n_bridging`` stimuli between, ``n_first``
        and ``n_second`` at the ends; ``separation`` of the ends in their standard deviations; ``middle`` (mean
        nearness of the bridging stimuli to the middle, 1 in the middle and 0 at the ends) beside what blends and
        members give, ``middle_blended`` and ``middle_discrete``; ``discreteness``; ``p_discrete`` and
        ``q_discrete`` (small: too many in the middle for members), ``p_blended`` and ``q_blended`` (small: too few
        for blends), Benjamini-Hochberg over pairs; ``verdict``: gradient, mixed, gap or undecided.
    positions : DataFrame of shape (n_stimuli, n_categories)
        Place of each stimulus on the line from its own category (0) to each other one (1); NaN for its own.
    labels : Series
        Category of each stimulus.
    ratings : DataFrame
        The ratings of these stimuli.
    order : tuple of str
        Categories, those bridged most beside each other.
    left_out : tuple of str
        Categories with too few stimuli.
    n_stimuli, n_tied, n_permutations : int
    level : float
    """

    r: float
    ci_low: float
    ci_high: float
    p: float
    null_high: float
    specific: float
    specific_ci_low: float
    specific_ci_high: float
    specific_p: float
    discreteness: float
    discreteness_ci_low: float
    discreteness_ci_high: float
    ordered: pd.DataFrame
    pairs: pd.DataFrame
    positions: pd.DataFrame
    labels: pd.Series[str]
    ratings: pd.DataFrame
    order: tuple[str, ...]
    left_out: tuple[str, ...]
    n_stimuli: int
    n_tied: int
    n_permutations: int
    level: float

    def verdicts(self) -> dict[str, int]:
        """How many pairs have each verdict."""
        return {name: int((self.pairs["verdict"] == name).sum()) for name in VERDICTS}

    def most_bridged(self, n: int = 10) -> pd.DataFrame:
        """The `n` pairs of the verdict "gradient" with the highest r."""
        return self.pairs[self.pairs["verdict"] == "gradient"].sort_values("r", ascending=False, kind="stable").head(n)

    def line(self, first: str, second: str, *, n_bins: int = 8) -> GradientLine:
        """The stimuli of two categories along their line, with the mean share in bins of equal number."""
        for name in (first, second):
            if name not in self.positions.columns:
                raise InputError(
                    f"'{name}' is no category of the result", remedy=f"choose from {cut_short(self.positions.columns)}"
                )
        if first == second:
            raise InputError(f"there is no line from '{first}' to itself", remedy="choose two categories")
        of_first, of_second = self.labels == first, self.labels == second
        both = of_first | of_second
        place = np.where(of_first, self.positions[second], 1 - self.positions[first])[both]
        rated = self.ratings.loc[both.to_numpy(), [first, second]]
        stimuli = pd.DataFrame(
            {"label": self.labels[both], "position": place, "share": rated[second] / rated.sum(axis="columns")}
        )
        ordered = stimuli.sort_values("position", kind="stable")
        parts = [part for part in np.array_split(np.arange(len(ordered)), n_bins) if len(part) > 1]
        trend = pd.DataFrame([_bin(ordered.iloc[part], self.level) for part in parts])
        return GradientLine(first, second, stimuli, trend.rename_axis("bin"), self.level)


def _bin(stimuli: pd.DataFrame, level: float) -> dict[str, float]:
    n, share = len(stimuli), float(stimuli["share"].mean())
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * stimuli["share"].std() / np.sqrt(n))
    return {"position": float(stimuli["position"].mean()), "share": share, "ci_low": share - half,
            "ci_high": share + half, "n": n}  # fmt: skip


def gradient_references(ratings: pd.DataFrame, *, seed: int) -> dict[str, pd.DataFrame]:
    """Spaces whose gradient is known, to hold that of a space against.

    Parameters
    ----------
    ratings : DataFrame of shape (n_stimuli, n_categories)
        Shares of raters.
    seed
        Of ties and of the simulated rater.

    Returns
    -------
    dict of spaces over the same stimuli
        ``"ratings"``: the ratings themselves, blended by construction. ``"one rater"``: every stimulus lies at one
        category, drawn with its ratings as probabilities: clusters, with labels that err. ``"one-hot labels"``: every
        stimulus lies at its top category, so that a position within a category follows nothing. A stimulus
        rated the same in all categories has none and lies at the origin there (one rated 0 in all also in
        ``"one rater"``); the test leaves it out.

    Examples
    --------
    >>> import pandas as pd
    >>> shares = pd.DataFrame({"Joy": [0.75, 0.25], "Awe": [0.25, 0.75]}, index=["x", "y"])
    >>> gradient_references(shares, seed=0)["one-hot labels"].to_numpy().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    checked = _shares(ratings)
    values = checked.to_numpy(np.float64)
    labels = top_categories(checked, seed=named_seed(seed, "ties")).labels
    drawn = np.random.default_rng(named_seed(seed, "rater")).random((len(values), 1))
    cumulative = values.cumsum(axis=1)
    seen = (cumulative <= drawn * cumulative[:, -1:]).sum(axis=1)
    one_hot = np.vstack([np.eye(values.shape[1]), np.zeros(values.shape[1])])  # the last row is no category

    def space(rows: Floats) -> pd.DataFrame:
        return as_space(pd.DataFrame(rows, index=checked.index, columns=checked.columns))

    return {
        "ratings": checked,
        "one rater": space(one_hot[seen]),
        "one-hot labels": space(one_hot[checked.columns.get_indexer(pd.Index(labels.reindex(checked.index)))]),
    }


def _shares(ratings: pd.DataFrame) -> pd.DataFrame:
    checked = as_space(ratings, source="the ratings")
    if checked.shape[1] < 2:
        raise InputError("one category has no other to lead to", source="the ratings", remedy="give at least two")
    values = checked.to_numpy()
    if (values < 0).any():
        raise InputError(
            "some are negative, but shares of raters are wanted", source="the ratings", remedy="give category shares"
        )
    if not values.any():
        raise InputError("no stimulus has a category above 0", source="the ratings", remedy="give the shares of raters")
    return checked


def category_gradients(
    space: pd.DataFrame,
    ratings: Mapping[str, pd.DataFrame],
    *,
    family: str = "category",
    exclude: Sequence[str] = (),
    min_stimuli: int = 10,
    min_rated: int = 5,
    n_permutations: int = 1000,
    level: float = 0.95,
    alpha: float = 0.05,
    seed: int,
    progress: Progress = silent,
) -> CategoryGradients:
    """Test whether emotion categories are bridged by gradients or separated by gaps.

    A stimulus is labelled with its highest rating and placed on the lines from the centroid of its category, computed
    without it, to the centroid of every other (Euclidean; bring features onto one scale first). Stimuli whose highest
    rating is shared by several categories, or all, are left out: a label drawn for them would be wrong as often as
    right, and wrong labels look like a gradient.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
    ratings : mapping from family to DataFrame
        ``ratings[family]`` holds shares of raters per category, over the stimuli of the space.
    family
    exclude
        Ids to leave out, for example duplicated clips.
    min_stimuli
        Categories with fewer are left out.
    min_rated
        The ordered pair (a, b) is tested where at least this many stimuli of a are rated above its lowest rating
        of b. Neither choice looks at the space.
    n_permutations
        Of both tests.
    level
        Coverage that the intervals aim at.
    alpha
        Of the verdicts, on q.
    seed
        Of the permutations.
    progress

    Returns
    -------
    CategoryGradients

    Notes
    -----
    **Test 1, exact.** Within category a, does position on the line to b follow the rating of b? Null: given the label,
    position is independent of the ratings. Rows of ratings are permuted among the stimuli of each category (labels,
    centroids and positions stay); p = (b + 1) / (B + 1), one-sided. Rejected, it says that stimuli are not
    interchangeable within their category. Clusters with labels that err do that too; hence the second test.

    **Test 2.** Where do the stimuli lie that raters place between a and b (share of b between .25 and .75)? As
    *members* (null "discrete") each lies at one end or the other; as *blends* (null "blended") between the ends, by its
    share. Both have the same mean place and differ in how many lie in the middle. Each null is simulated with the
    stimuli at the ends, these resampled as well; the p values are approximate. A pair is tested where at least 8
    stimuli lie between and 8 at each end, the ends are at least 1.5 of their standard deviations apart, and the nulls
    expect a nearness to the middle that differs by at least .1. Structureless data in many dimensions never come that
    far, since no stimulus takes part in its own centroid.

    **Verdict.** *gradient*: test 1 and "discrete" rejected, "blended" not. *mixed*: all three rejected (more stimuli in
    the middle than clusters have, fewer than an even mixture). *gap*: "blended" rejected, "discrete" not.
    *undecided*: everything else. q after Benjamini-Hochberg over pairs, for each test on its own.

    Where the choices behind the space were made from these ratings, its gradient is built in (circular);
    :func:`gradient_references` gives the numbers to hold it against.

    References
    ----------
    Cowen & Keltner (2017), PNAS 114, E7900, asked the question of the ratings themselves.
    """
    _check_settings(min_stimuli, min_rated, n_permutations, level, alpha)
    if family not in ratings:
        raise InputError(f"there are no ratings of the family '{family}'", remedy=f"it has {cut_short(list(ratings))}")
    shares = _shares(ratings[family])
    points, shares = align(space, shares, names=["the space", f"the {family} ratings"]).spaces
    kept = ~points.index.isin([str(i) for i in exclude])
    if not kept.any():
        raise InputError("every stimulus is excluded", remedy="exclude fewer")
    points, shares = points[kept], shares[kept]
    if (np.ptp(points.to_numpy(), axis=0) == 0).all():
        raise InputError("all stimuli lie at one point", source="the space", remedy="give a space with some spread")
    found = top_categories(shares, ties="drop")
    lines = make_lines(points, shares, found.labels, min_stimuli)
    tested = lines.rated(min_rated)
    if not tested.any():
        raise InputError(
            f"no category has {min_rated} stimuli in which raters saw another",
            source=f"the {family} ratings",
            remedy="lower min_rated, or give ratings that are shares and not labels",
        )
    r, null_r = _permuted(lines, tested, n_permutations, seed, progress)
    intervals = _jackknife(lines, tested, level)
    ordered = _ordered_table(lines, tested, r, null_r)
    pairs = _pair_table(lines, tested, r[0], null_r[0])
    shape = bridges(lines, list(pairs.index), n_permutations, seed)
    pairs = _with_verdicts(pairs.join(shape.set_axis(pairs.index)), alpha)
    mean, null_mean = r[:, tested].mean(axis=1), null_r[:, :, tested].mean(axis=2)
    p = [float(permutation_p(value, null)) for value, null in zip(mean, null_mean, strict=True)]
    names = lines.names
    return CategoryGradients(
        float(mean[0]), *intervals[0], p[0], float(np.quantile(null_mean[0], 0.95)),
        float(mean[1]), *intervals[1], p[1],
        *discreteness_interval(lines, pairs, level),
        ordered=ordered,
        pairs=pairs,
        positions=pd.DataFrame(lines.positions, index=lines.ids, columns=names).rename_axis("id"),
        labels=pd.Series(np.array(names)[lines.member], index=lines.ids, name="category", dtype=str),
        ratings=shares.loc[list(lines.ids)],
        order=_order(names, pairs),
        left_out=tuple(name for name in map(str, shares.columns) if name not in names),
        n_stimuli=len(lines.member),
        n_tied=found.n_tied,
        n_permutations=n_permutations,
        level=level,
    )  # fmt: skip


def _check_settings(min_stimuli: int, min_rated: int, n_permutations: int, level: float, alpha: float) -> None:
    check_permutations(n_permutations)
    check_bootstrap(1, level)
    if min_stimuli < 5:
        raise InputError(f"min_stimuli={min_stimuli} is too few for a correlation", remedy="use at least 5")
    if min_rated < 3:
        raise InputError(f"min_rated={min_rated} leaves a correlation to single stimuli", remedy="use at least 3")
    if not 0 < alpha < 1:
        raise InputError(f"alpha={alpha} is no level of a test", remedy="use 0 < alpha < 1")


def _unit(values: Floats) -> Floats:
    """Columns centred, of length one; zero where a column is constant up to rounding."""
    centred = values - values.mean(axis=0)
    length = np.sqrt(np.einsum("ik,ik->k", centred, centred))
    flat = length <= _FLAT * np.sqrt(len(values)) * (1 + np.abs(values).max(axis=0))
    unit: Floats = np.where(flat, 0.0, centred / np.where(flat, 1.0, length))
    return unit


def _scales(ratings: Floats, own: int) -> Floats:
    """Ratings of one category as unit columns, as they are and with the own rating partialled out; (2, n, C)."""
    plain = _unit(ratings)
    specific = _unit(plain - np.outer(plain[:, own], plain[:, own] @ plain))
    return np.stack([plain, specific])


def _permuted(
    lines: Lines, tested: NDArray[np.bool_], n_permutations: int, seed: int, progress: Progress
) -> tuple[Floats, Floats]:
    """Correlations within categories, plain and specific (2, C, C), and the same of permuted rows (2, B, C, C)."""
    n_categories = len(lines.names)
    r = np.zeros((2, n_categories, n_categories))
    null = np.zeros((2, n_permutations, n_categories, n_categories))
    for a, name in enumerate(lines.names):
        progress(a, n_categories, detail=f"gradients from {name}")
        towards = np.flatnonzero(tested[a])
        rows = lines.rows(a)
        place = _unit(lines.positions[rows][:, towards])  # (n_a, k)
        rated = _scales(lines.ratings[rows], a)[:, :, towards]  # (2, n_a, k)
        r[:, a, towards] = np.einsum("ik,sik->sk", place, rated)
        rng = np.random.default_rng(named_seed(seed, "permutations", name))
        block = max(1, 2**20 // max(1, place.size))
        for start in range(0, n_permutations, block):
            stop = min(n_permutations, start + block)
            order = rng.permuted(np.tile(np.arange(len(place)), (stop - start, 1)), axis=1)
            for which in range(2):
                null[which, start:stop, a, towards] = np.einsum("ik,bik->kb", place, rated[which][order])
    progress(n_categories, n_categories, detail="gradients")
    return r, null


def _jackknife(lines: Lines, tested: NDArray[np.bool_], level: float) -> list[tuple[float, float]]:
    """Interval of the mean correlation, plain and specific: each stimulus left out, on the scale of Fisher's z."""
    scaled = np.concatenate([_scales(lines.ratings[lines.rows(a)], a) for a in range(len(lines.names))], axis=1)
    r = np.zeros((2, len(lines.names), len(lines.names)))
    for a in range(len(lines.names)):
        rows = lines.rows(a)
        r[:, a] = np.einsum("ik,sik->sk", _unit(lines.positions[rows]), scaled[:, rows])
    whole = r[:, tested].sum(axis=1)
    without = whole[:, None] + changes_without(lines, scaled, r, tested)
    n_pairs = tested.sum()
    return [_z_interval(without[s] / n_pairs, float(whole[s] / n_pairs), lines, level) for s in range(2)]


def _z_interval(without: Floats, value: float, lines: Lines, level: float) -> tuple[float, float]:
    if np.abs(without).max() >= 1 - _FLAT:
        return value, value
    z, without_z = float(np.arctanh(value)), np.arctanh(without)
    # Centroids of few stimuli point beside the true ones, which lowers r by order 1/n: the jackknife puts it back.
    # The correction is uncertain by about its own size, which the width takes in.
    bias = lines.jackknife_bias(without_z, z)
    half = float(stats.norm.ppf((1 + level) / 2)) * np.sqrt(lines.jackknife_variance(without_z) + bias**2)
    return float(np.tanh(z - bias - half)), float(np.tanh(z - bias + half))


def _ordered_table(lines: Lines, tested: NDArray[np.bool_], r: Floats, null: Floats) -> pd.DataFrame:
    first, second = np.nonzero(tested)
    root = np.sqrt(lines.sizes[first] - 1.0)  # r times it has variance 1 under permutation, whatever the size
    p = permutation_p(r[:, first, second], np.moveaxis(null[:, :, first, second], 0, 1))
    largest = (null[0][:, first, second] * root).max(axis=1)
    z = r[0, first, second] * root
    names = np.array(lines.names)
    index = pd.MultiIndex.from_arrays([names[first], names[second]], names=["category", "towards"])
    return pd.DataFrame(
        {
            "n": lines.sizes[first],
            "n_rated": lines.n_rated[first, second],
            "r": r[0, first, second],
            "p": p[0],
            "q": false_discovery_rate(p[0]),
            "p_max": permutation_p(z, np.broadcast_to(largest[:, None], (len(largest), len(z)))),
            "specific": r[1, first, second],
            "specific_p": p[1],
            "specific_q": false_discovery_rate(p[1]),
        },
        index=index,
    )


def _pair_table(lines: Lines, tested: NDArray[np.bool_], r: Floats, null: Floats) -> pd.DataFrame:
    """Both directions of every pair of categories together."""
    first, second = np.nonzero(np.triu(tested | tested.T))
    n_ways = tested[first, second].astype(float) + tested[second, first]
    root = np.sqrt(lines.sizes - 1.0)

    def both(values: Floats, weight: Floats) -> Floats:
        weighted = np.where(tested, values, 0.0) * weight[:, None]
        together: Floats = weighted[..., first, second] + weighted[..., second, first]
        return together

    p = permutation_p(both(r, root), both(null, root))
    names = np.array(lines.names)
    return pd.DataFrame(
        {"r": both(r, np.ones(len(root))) / n_ways, "p": p, "q": false_discovery_rate(p)},
        index=pd.MultiIndex.from_arrays([names[first], names[second]], names=["first", "second"]),
    )


def _with_verdicts(pairs: pd.DataFrame, alpha: float) -> pd.DataFrame:
    for null in ("discrete", "blended"):
        pairs[f"q_{null}"] = false_discovery_rate(pairs[f"p_{null}"].to_numpy())
    not_discrete, not_blended = pairs["q_discrete"] < alpha, pairs["q_blended"] < alpha
    followed = (pairs["q"] < alpha) & not_discrete
    found = [followed & ~not_blended, followed & not_blended, not_blended & ~not_discrete]
    pairs["verdict"] = np.select(found, VERDICTS[:3], VERDICTS[3])
    return pairs


def _order(names: tuple[str, ...], pairs: pd.DataFrame) -> tuple[str, ...]:
    """Leaves of an average-linkage tree in which pairs with a high r are near each other."""
    if len(names) < 3:
        return names
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    place = {name: k for k, name in enumerate(names)}
    distance = np.ones((len(names), len(names)))
    row = [place[name] for name in pairs.index.get_level_values("first")]
    column = [place[name] for name in pairs.index.get_level_values("second")]
    distance[row, column] = distance[column, row] = 1 - pairs["r"].to_numpy()
    np.fill_diagonal(distance, 0)
    leaves = leaves_list(linkage(squareform(np.maximum(distance, 0)), method="average", optimal_ordering=True))
    return tuple(names[k] for k in leaves)
