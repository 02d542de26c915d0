"""How categorical a space is: does a stimulus lie near the others of its emotion?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from affectome._progress import Progress, silent
from affectome._resampling import check_level, check_permutations, permutation_p
from affectome.errors import InputError
from affectome.interpretation._categories import column_shuffled, resolved_categories
from affectome.interpretation._proportions import balanced_interval, share_variance, wilson_interval
from affectome.interpretation._rules import (
    Floats,
    Places,
    Rule,
    centroid_rule,
    fold_of_slot,
    linear_rule,
    nearest_others,
    neighbour_rule,
    own_rank,
)
from affectome.spaces import rows_for

__all__ = [
    "CLASSIFIERS",
    "CategoryScore",
    "Classifier",
    "LabelledPoints",
    "NearestCentroid",
    "classify",
    "classify_categories",
    "labelled_points",
    "nearest_centroid_shares",
    "shuffled_baseline",
]

Classifier = Literal["centroid", "knn", "linear"]
CLASSIFIERS: tuple[str, ...] = get_args(Classifier)

_EXCESS = 0.5  # of the variance of half-samples beyond that of independent hits; see _dependent_variance
_MOST_NEIGHBOURS = 40  # the parts 2^-r of the votes stay apart in float64


@dataclass(frozen=True, eq=False)
class CategoryScore:
    """How often stimuli are classified into their own category by stimuli of other ids.

    Attributes
    ----------
    accuracy : DataFrame, index (average, top)
        ``average`` is *plain* (share of stimuli) or *balanced* (mean of the categories' shares, so that common ones do
        not decide); ``top`` is 1 and k: a hit is a category among that many best fitting ones. Columns ``value``,
        ``ci_low``, ``ci_high``, ``prior`` (what always naming the commonest categories reaches), ``null_mean``,
        ``null_high`` (mean and 95% quantile with labels permuted) and ``p``.
    classes : DataFrame, index categories by falling number of stimuli
        ``n``, ``top1``, ``topk`` and the Wilson interval ``ci_low``, ``ci_high`` of ``topk``.
    confusion : DataFrame, categories x categories
        Number of stimuli of the row's category that the column's category fits best.
    stimuli : DataFrame, index stimulus ids
        ``category``, ``predicted``, ``rank`` of the own category (1 is best; NaN where k-NN names it not at all), and
        ``fold`` of the cross-validation (the number of the stimulus where each is left out alone).
    method, top, n_stimuli, n_classes, n_permutations, level
    n_single : int
        Stimuli left out because they are alone in their category.
    """

    accuracy: pd.DataFrame
    classes: pd.DataFrame
    confusion: pd.DataFrame
    stimuli: pd.DataFrame
    method: str
    top: int
    n_stimuli: int
    n_classes: int
    n_single: int
    n_permutations: int
    level: float

    def headline(self) -> dict[str, float]:
        """The fields of :class:`NearestCentroid` that speak of the top k, as plain numbers."""
        rows = self.accuracy.to_dict("index")
        plain, balanced = rows["plain", self.top], rows["balanced", self.top]
        same = {name: float(plain[name]) for name in ("value", "ci_low", "ci_high", "prior", "null_mean", "null_high")}
        return {
            **same,
            "p": float(plain["p"]),
            "balanced": float(balanced["value"]),
            "balanced_low": float(balanced["ci_low"]),
            "balanced_high": float(balanced["ci_high"]),
            "prior_balanced": float(balanced["prior"]),
            "balanced_null_high": float(balanced["null_high"]),
            "balanced_p": float(balanced["p"]),
        }

    def confusion_order(self) -> list[str]:
        """Categories in the order that puts those taken for one another side by side.

        Average linkage of one minus the share of confusions (both ways, a stimulus of its own category set aside),
        leaves turned to their best order.
        """
        from scipy.cluster.hierarchy import leaves_list, linkage
        from scipy.spatial.distance import squareform

        share = self.confusion.to_numpy(np.float64)
        share = share / share.sum(axis=1, keepdims=True)
        apart = 1 - (share + share.T) / 2
        np.fill_diagonal(apart, 0)
        leaves = leaves_list(linkage(squareform(apart, checks=False), "average", optimal_ordering=True))
        return [str(name) for name in self.confusion.index[leaves]]


@dataclass(frozen=True, eq=False)
class NearestCentroid:
    """Leave-one-out, top-k nearest-centroid classification, as one row of numbers.

    Attributes
    ----------
    value : float
        Share of stimuli whose own category is among the `top` nearest centroids.
    ci_low, ci_high : float
        95% interval over stimuli, as :func:`classify` makes it.
    balanced, balanced_low, balanced_high : float
        The same share averaged over categories, so that common ones do not decide, and its 95% interval.
    prior : float
        Share reached by always naming the `top` commonest categories.
    prior_balanced : float
        The same, averaged over categories: top / n_classes.
    null_mean, null_high : float
        Mean and 95% quantile of `value` when labels are permuted over stimuli and everything is done
        again. With classes of like size it lies below top / n_classes, since a left-out stimulus
        pulls its own centroid away.
    p : float
        (b + 1) / (n_permutations + 1), b the permutations that reached `value`. The null: the labels say
        nothing about the place in the space.
    balanced_null_high, balanced_p : float
        The same of `balanced`.
    top, n_stimuli, n_classes, n_permutations : int
    n_single : int
        Stimuli left out because they are alone in their category.
    classes : DataFrame, index categories
        ``n`` and ``value`` of each, by falling n.
    """

    value: float
    ci_low: float
    ci_high: float
    balanced: float
    balanced_low: float
    balanced_high: float
    prior: float
    prior_balanced: float
    null_mean: float
    null_high: float
    p: float
    balanced_null_high: float
    balanced_p: float
    top: int
    n_stimuli: int
    n_classes: int
    n_permutations: int
    n_single: int
    classes: pd.DataFrame


def classify(
    space: pd.DataFrame,
    labels: pd.Series[str],
    *,
    method: Classifier = "centroid",
    top: int = 3,
    most_common: int | None = None,
    exclude: Sequence[str] = (),
    n_neighbors: int = 15,
    n_folds: int = 10,
    shrinkage: float = 0.01,
    n_permutations: int = 1000,
    n_subsamples: int = 100,
    level: float = 0.95,
    seed: int,
    progress: Progress = silent,
) -> CategoryScore:
    """Classify every stimulus by stimuli other than itself.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
        Distances are Euclidean on the features as they are, so bring features of different units onto one scale first;
        the components of an embedding share one.
    labels : Series, index stimulus ids
        Category of each stimulus; stimuli of the space without a label are left out, and so are those that are alone
        in their category.
    method
        ``"centroid"``: nearest centroid, leave-one-out. ``"knn"``: votes among the `n_neighbors` nearest others;
        of categories with as many votes the one with the nearest neighbour wins, neighbours at one distance stand in
        the order of their ids, and a category without a vote is not named. ``"linear"``: linear discriminant analysis
        over `n_folds` stratified folds, scaled in the training folds, covariance shrunk by `shrinkage` towards a
        multiple of the identity, categories weighted by their frequency.
    top
        The k of the top-k accuracy beside top-1.
    most_common
        Keep only the stimuli of this many commonest categories.
    exclude
        Ids to leave out, for example duplicated clips, which would find their own copy.
    n_neighbors, n_folds, shrinkage
        See `method`; each speaks of one method alone.
    n_permutations, seed
        Of the null, and for ``"linear"`` of the folds.
    n_subsamples, level
        Of the intervals.
    progress

    Returns
    -------
    CategoryScore

    Notes
    -----
    *Null*: the labels say nothing about the place in the space, so that they are exchangeable over the stimuli kept.
    In every permutation everything is done again (centroids, votes, folds and fits); one-sided
    p = (b + 1) / (n_permutations + 1) for each of the four accuracies. Nothing is corrected here: over several spaces
    and methods, see :func:`category_structure`.

    *Intervals* are Wilson's, of the share of stimuli that are hits, and for the balanced accuracy of a mean of such
    shares, with as many trials as the variance allows: that of independent hits and half of what the variance over
    `n_subsamples` random halves of the stimuli, everything done again, exceeds it by. Hits are not independent, since
    stimuli lend one another centroids and neighbours: intervals that take them to be, binomial or bootstrap, covered as
    little as 84%. These aim at the accuracy expected of another sample of as many stimuli, and covered 92 to 98% at a
    nominal 95% for every method in worlds of 120 and 300 stimuli, Gaussian and sparse.

    Where the labels were made from the space itself (a rating space and its own maximum) the result is circular;
    :func:`shuffled_baseline` shows by how much.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> code = np.repeat([0, 1, 2], 30)
    >>> ids = [f"v{k:02d}" for k in range(90)]
    >>> space = pd.DataFrame(rng.normal(size=(90, 3)) + 5 * np.eye(3)[code], index=ids)
    >>> labels = pd.Series(np.array(["Joy", "Awe", "Fear"])[code], index=ids)
    >>> got = classify(space, labels, method="knn", top=2, n_permutations=99, seed=0)
    >>> bool(got.accuracy["value"]["plain", 1] > 0.95), round(float(got.accuracy["p"]["plain", 1]), 2)
    (True, 0.01)
    """
    from threadpoolctl import threadpool_limits

    if method not in CLASSIFIERS:
        raise InputError(f"'{method}' is no way to classify", remedy=f"choose one of {', '.join(CLASSIFIERS)}")
    check_level(level)
    check_permutations(n_permutations)
    if n_subsamples < 2:
        raise InputError(f"n_subsamples={n_subsamples} makes no interval", remedy="use n_subsamples >= 2")
    data = labelled_points(space, labels, most_common=most_common, exclude=exclude)
    data.check_top(top)
    first, rest, drawn = np.random.SeedSequence(seed).spawn(3)
    order = data.shuffled(np.random.default_rng(first))
    make_rule = _rule_maker(data, method, n_neighbors, n_folds, shrinkage)
    rule = make_rule(data.member)
    fit = rule(order)
    rank = own_rank(fit, data.member)
    observed = _shares(rank, data, top)
    null = np.empty((n_permutations, len(observed)))
    rng = np.random.default_rng(rest)
    with threadpool_limits(1):  # products this small wait longer for threads than they work
        for b in range(n_permutations):
            null[b] = _shares(own_rank(rule(rng.permutation(order)), data.member), data, top)
            if (b + 1) % 50 == 0 or b + 1 == n_permutations:
                progress(b + 1, n_permutations, detail="permutations")
    predicted = fit.argmax(axis=1)
    by_class = [data.class_means(rank < k) for k in (1, top)]
    variance = _dependent_variance(data, order, make_rule, by_class, top, n_subsamples, np.random.default_rng(drawn))
    return CategoryScore(
        accuracy=_accuracy(observed, null, by_class, variance, data, top, level),
        classes=_class_table(by_class, data, level),
        confusion=_confusion(predicted, data),
        stimuli=_stimulus_table(rank, predicted, order, data, n_folds if method == "linear" else None),
        method=method,
        top=top,
        n_stimuli=len(data.ids),
        n_classes=len(data.names),
        n_single=data.n_single,
        n_permutations=n_permutations,
        level=level,
    )


def classify_categories(
    space: pd.DataFrame,
    labels: pd.Series[str],
    *,
    top: int = 3,
    most_common: int | None = None,
    exclude: Sequence[str] = (),
    n_permutations: int = 200,
    seed: int,
) -> NearestCentroid:
    """Classify every stimulus by the centroids of the others: the top-k part of :func:`classify`, as plain numbers.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
        Distances are Euclidean, so bring features onto one scale first.
    labels : Series, index stimulus ids
        Category of each stimulus; stimuli of the space without a label are left out.
    top
        A hit is being among this many nearest centroids.
    most_common
        Keep only the stimuli of this many commonest categories.
    exclude
        Ids to leave out, for example duplicated clips.
    n_permutations, seed
        Of the null.
    """
    score = classify(
        space, labels, top=top, most_common=most_common, exclude=exclude, n_permutations=n_permutations, seed=seed
    )
    return NearestCentroid(
        **score.headline(),
        top=top,
        n_stimuli=score.n_stimuli,
        n_classes=score.n_classes,
        n_permutations=n_permutations,
        n_single=score.n_single,
        classes=score.classes[["n", "topk"]].rename(columns={"topk": "value"}),
    )


def shuffled_baseline(
    ratings: pd.DataFrame,
    *,
    method: Classifier = "centroid",
    top: int = 3,
    most_common: int | None = None,
    exclude: Sequence[str] = (),
    n_neighbors: int = 15,
    n_folds: int = 10,
    shrinkage: float = 0.01,
    n_shuffles: int = 20,
    ties: Literal["random", "first", "drop"] = "random",
    seed: int,
) -> pd.DataFrame:
    """What ratings without any structure score when labelled by their own maximum: how circular such labels are.

    In every shuffle each rating column is shuffled over stimuli on its own, each stimulus is labelled by its new
    largest rating, and the shuffled ratings are classified by these labels. Those whose new ratings are the same in
    every category have none and are left out.

    Parameters
    ----------
    ratings : DataFrame of shape (n_stimuli, n_categories)
    method, top, most_common, exclude, n_neighbors, n_folds, shrinkage
        As in :func:`classify`.
    n_shuffles, seed
    ties
        As in :func:`top_categories`.

    Returns
    -------
    DataFrame, index (average, top)
        ``value``, the mean over shuffles, and ``low``, ``high``, the smallest and largest.

    Notes
    -----
    It speaks of the ratings themselves. An embedding learned from choices that were made from them is circular too;
    its own baseline would need choices made anew from shuffled ratings.

    Examples
    --------
    >>> ratings = pd.DataFrame(np.random.default_rng(0).random((300, 4)), index=[f"v{k}" for k in range(300)])
    >>> float(shuffled_baseline(ratings, top=1, seed=0)["value"]["plain", 1].round(1))  # noise alone, 4 categories
    0.9
    """
    if n_shuffles < 1:
        raise InputError("there is no baseline without a shuffle", remedy="use n_shuffles >= 1")
    found = []
    for one in np.random.SeedSequence(seed).spawn(n_shuffles):
        shuffle, resolve, folds = (int(state) for state in one.generate_state(3))
        shuffled = column_shuffled(ratings, seed=shuffle)
        labels = resolved_categories(shuffled, ties=ties, seed=resolve).labels
        data = labelled_points(shuffled, labels, most_common=most_common, exclude=exclude)
        data.check_top(top)
        order = data.shuffled(np.random.default_rng(folds))
        rule = _rule_maker(data, method, n_neighbors, n_folds, shrinkage)(data.member)
        rank = own_rank(rule(order), data.member)
        found.append(_shares(rank, data, top))
    values = np.array(found)
    table = {"value": values.mean(axis=0), "low": values.min(axis=0), "high": values.max(axis=0)}
    return pd.DataFrame(table, index=_index(top))


def nearest_centroid_shares(
    space: pd.DataFrame, labels: pd.Series[str], *, top: int, exclude: Sequence[str] = ()
) -> tuple[float, float]:
    """Plain and balanced top-k accuracy of the nearest centroid alone, for stability over many labellings."""
    data = labelled_points(space, labels, exclude=exclude)
    data.check_top(top)
    found = _shares(own_rank(centroid_rule(data.points, data.member)(data.order), data.member), data, top)
    half = len(found) // 2
    return float(found[half - 1]), float(found[-1])


@dataclass(frozen=True, eq=False)
class LabelledPoints:
    """Stimuli that have a category, and slots: positions with a category, sorted by it.

    Attributes
    ----------
    ids : list of str
        Sorted, so that nothing depends on the order of a table.
    points : array of shape (n, p)
        Rows of the space, in the order of `ids`.
    names : list of str
        Categories by falling number of stimuli, then by name.
    member : array of shape (n,)
        Category of every slot, rising.
    order : array of shape (n,)
        Which point is in each slot.
    n_single : int
    """

    ids: list[str]
    points: Floats
    names: list[str]
    member: Places
    order: Places
    n_single: int

    @property
    def sizes(self) -> Places:
        """Number of stimuli of each category."""
        return np.bincount(self.member)

    def check_top(self, top: int) -> None:
        """Refuse a top that is no test."""
        if not 1 <= top < len(self.names):
            raise InputError(
                f"top={top} is no test among {len(self.names)} categories",
                remedy="use more categories or a smaller top",
            )

    def class_means(self, values: NDArrayLike) -> Floats:
        """Mean of a value of every slot over the slots of each category."""
        means: Floats = np.bincount(self.member, weights=values) / self.sizes
        return means

    def shuffled(self, rng: np.random.Generator) -> Places:
        """The observed order with the stimuli of each category in random order: which of them shares a fold."""
        return self.order[np.lexsort((rng.random(len(self.order)), self.member))]


NDArrayLike = Floats | Places | np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def labelled_points(
    space: pd.DataFrame,
    labels: pd.Series[str],
    *,
    most_common: int | None = None,
    exclude: Sequence[str] = (),
    fewest: int = 2,
) -> LabelledPoints:
    """The stimuli of a space that have a category with at least two of them; `fewest` categories must be left."""
    if labels.index.has_duplicates:
        raise InputError("a stimulus has two labels", source="the labels", remedy="give each stimulus one category")
    known = set(space.index.astype(str)).difference(exclude)
    chosen = labels.set_axis(labels.index.astype(str)).dropna()
    chosen = chosen[[i in known for i in chosen.index]].sort_index()
    counts = chosen.value_counts(sort=True)
    counts = counts.loc[sorted(counts.index, key=lambda name: (-counts[name], str(name)))]
    n_single = int((counts == 1).sum())
    counts = counts[counts > 1]
    if most_common is not None:
        counts = counts.iloc[:most_common]
    chosen = chosen[chosen.isin(counts.index)]
    if len(counts) < fewest:
        raise InputError(
            f"{len(counts)} categories have at least two stimuli of the space", remedy="give labels of its stimuli"
        )
    points = rows_for(space, chosen.index.tolist()).to_numpy(dtype=np.float64)
    if not np.ptp(points, axis=0).any():
        raise InputError("all stimuli lie at the same place in the space", remedy="give a space that tells them apart")
    names = counts.index.tolist()
    code = pd.Categorical(chosen, categories=names).codes.astype(np.intp)
    order = np.argsort(code, kind="stable")
    return LabelledPoints(chosen.index.tolist(), points, names, code[order], order, n_single)


def _rule_maker(
    data: LabelledPoints, method: str, n_neighbors: int, n_folds: int, shrinkage: float
) -> Callable[[Places], Rule]:
    """The function from the categories of slots to the rule of a method."""
    n = len(data.ids)
    if method == "centroid":
        return lambda member: centroid_rule(data.points, member)
    if method == "knn":
        if not 1 <= n_neighbors <= min(n - 1, _MOST_NEIGHBOURS):
            raise InputError(
                f"n_neighbors={n_neighbors} is no number of neighbours among {n} stimuli",
                remedy=f"use 1 to {min(n - 1, _MOST_NEIGHBOURS)}",
            )
        nearest = nearest_others(data.points, 3 * n_neighbors + 20)  # enough where half of them is left out
        return lambda member: neighbour_rule(nearest, member, n_neighbors)
    if not 2 <= n_folds <= n:
        raise InputError(f"n_folds={n_folds} is no cross-validation of {n} stimuli", remedy=f"use 2 to {n} folds")
    if not 0 < shrinkage <= 1:
        raise InputError(f"shrinkage={shrinkage} is not between 0 and 1", remedy="use a number above 0, at most 1")
    return lambda member: linear_rule(data.points, member, n_folds, shrinkage)


def _dependent_variance(
    data: LabelledPoints,
    order: Places,
    make_rule: Callable[[Places], Rule],
    by_class: list[Floats],
    top: int,
    n_subsamples: int,
    rng: np.random.Generator,
) -> Floats:
    """Variance of the accuracies, hits being dependent: everything done again on random halves of the stimuli.

    The variance over halves (a delete-d jackknife, Shao & Wu 1989, without the duplicates of a bootstrap, which would
    find their own copy) counts what a stimulus does alone once, but what pairs of stimuli do together up to three
    times, as jackknives do (Efron & Stein 1981). So half of what it exceeds the variance of independent hits by is
    believed: in 24 simulated cases the true share was .2 to .8, .47 on average. A category with fewer than two stimuli
    in a half stands in the balanced accuracy with its share among all of them.
    """
    n, ks = len(order), sorted({1, top})
    kept = n // 2
    whole = [(hit * data.sizes).sum() / n for hit in by_class[: len(ks)]] + [hit.mean() for hit in by_class[: len(ks)]]
    found = np.tile(np.array(whole), (n_subsamples, 1))
    for b in range(n_subsamples):
        slots = np.sort(rng.permutation(n)[:kept])
        sizes = np.bincount(data.member[slots], minlength=len(data.names))
        slots = slots[sizes[data.member[slots]] > 1]
        if len(slots) == 0:  # no two stimuli of a category: nothing to classify
            continue
        names, member = np.unique(data.member[slots], return_inverse=True)
        rank = own_rank(make_rule(member)(order[slots]), member)
        for j, k in enumerate(ks):
            shares = by_class[0 if k == 1 else 1].copy()
            shares[names] = np.bincount(member, weights=rank < k) / np.bincount(member)
            found[b, [j, len(ks) + j]] = (rank < k).mean(), shares.mean()
    halves = found.var(axis=0, ddof=1) * kept / (n - kept)
    independent = [share_variance([plain], [n]) for plain in whole[: len(ks)]]
    independent += [share_variance(hit, data.sizes) for hit in by_class[: len(ks)]]
    variance: Floats = independent + _EXCESS * np.maximum(halves - independent, 0)
    return variance


def _index(top: int) -> pd.MultiIndex:
    return pd.MultiIndex.from_product([["plain", "balanced"], sorted({1, top})], names=["average", "top"])


def _shares(rank: Places, data: LabelledPoints, top: int) -> Floats:
    """Plain and balanced accuracy, each at top 1 and top k: as :func:`_index` names them."""
    hits = [rank < k for k in sorted({1, top})]
    return np.array([hit.mean() for hit in hits] + [data.class_means(hit).mean() for hit in hits])


def _accuracy(
    observed: Floats,
    null: Floats,
    by_class: list[Floats],
    variance: Floats,
    data: LabelledPoints,
    top: int,
    level: float,
) -> pd.DataFrame:
    ks = sorted({1, top})
    n, sizes = len(data.ids), data.sizes
    # A plain share is the balanced one of a single category.
    limits = [balanced_interval([observed[j]], [n], level, variance=variance[j]) for j in range(len(ks))]
    limits += [
        balanced_interval(by_class[0 if k == 1 else 1], sizes, level, variance=variance[len(ks) + j])
        for j, k in enumerate(ks)
    ]
    prior = [sizes[:k].sum() / n for k in ks] + [k / len(sizes) for k in ks]
    return pd.DataFrame(
        {
            "value": observed,
            "ci_low": [low for low, _ in limits],
            "ci_high": [high for _, high in limits],
            "prior": prior,
            "null_mean": null.mean(axis=0),
            "null_high": np.quantile(null, 0.95, axis=0),
            "p": permutation_p(observed, null),
        },
        index=_index(top),
    )


def _class_table(by_class: list[Floats], data: LabelledPoints, level: float) -> pd.DataFrame:
    low, high = wilson_interval(by_class[1], data.sizes, level)
    columns = {"n": data.sizes, "top1": by_class[0], "topk": by_class[1], "ci_low": low, "ci_high": high}
    return pd.DataFrame(columns, index=pd.Index(data.names, name="category"))


def _confusion(predicted: Places, data: LabelledPoints) -> pd.DataFrame:
    n = len(data.names)
    counts = np.bincount(data.member * n + predicted, minlength=n * n).reshape(n, n)
    return pd.DataFrame(
        counts, index=pd.Index(data.names, name="category"), columns=pd.Index(data.names, name="predicted")
    )


def _stimulus_table(
    rank: Places, predicted: Places, order: Places, data: LabelledPoints, n_folds: int | None
) -> pd.DataFrame:
    names = np.array(data.names, dtype=object)
    n = len(order)
    table = pd.DataFrame(
        {
            "category": names[data.member],
            "predicted": names[predicted],
            "rank": np.where(rank < len(names), rank + 1.0, np.nan),
            "fold": order if n_folds is None else fold_of_slot(n, n_folds),
        },
        index=pd.Index(np.array(data.ids, dtype=object)[order], name="id"),
    )
    return table.sort_index()
