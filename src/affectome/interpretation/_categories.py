"""How categorical a space is: does a stimulus lie near the others of its emotion?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.spaces import as_space, rows_for

__all__ = ["CategoryLabels", "NearestCentroid", "classify_categories", "column_shuffled", "top_categories"]

_TIE = 1e-6  # shares of raters closer than this are equal: the published tables are rounded


@dataclass(frozen=True, eq=False)
class CategoryLabels:
    """The category that most raters chose for each stimulus.

    Attributes
    ----------
    labels : Series, index stimulus ids
    n_tied : int
        Stimuli whose highest share is shared by several categories.
    ties : str
        How they were resolved.
    empty : tuple of str
        Categories that are nobody's first.
    """

    labels: pd.Series[str]
    n_tied: int
    ties: str
    empty: tuple[str, ...]


def top_categories(
    ratings: pd.DataFrame, *, ties: Literal["random", "first", "drop"] = "random", seed: int = 0
) -> CategoryLabels:
    """Label every stimulus with its highest rating.

    Parameters
    ----------
    ratings : DataFrame of shape (n_stimuli, n_categories)
    ties
        ``"random"`` picks one of the tied categories by the seed; ``"first"`` the first column, which
        favours the head of the alphabet; ``"drop"`` leaves tied stimuli out.
    seed
    """
    if ties not in ("random", "first", "drop"):
        raise InputError(f"'{ties}' is no way to resolve ties", remedy="choose random, first or drop")
    ratings = as_space(ratings, source="the ratings")
    values = ratings.to_numpy(dtype=np.float64)
    best = values >= values.max(axis=1, keepdims=True) - _TIE
    tied = best.sum(axis=1) > 1
    order = np.random.default_rng(seed).random(values.shape) if ties == "random" else np.ones(values.shape)
    column = np.where(best, order, -1.0).argmax(axis=1)
    kept = ~tied if ties == "drop" else np.ones(len(tied), bool)
    labels = pd.Series(ratings.columns.to_numpy()[column], index=ratings.index, name="category", dtype=str)[kept]
    empty = tuple(str(name) for name in ratings.columns if name not in set(labels))
    return CategoryLabels(labels, int(tied.sum()), ties, empty)


def column_shuffled(ratings: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """The same ratings with every column shuffled over stimuli on its own.

    Whatever a classification of a space by its own largest column still reaches on this is no
    structure of emotion but of the procedure.
    """
    shuffled = np.random.default_rng(seed).permuted(ratings.to_numpy(), axis=0)
    return pd.DataFrame(shuffled, index=ratings.index, columns=ratings.columns)


@dataclass(frozen=True, eq=False)
class NearestCentroid:
    """Leave-one-out, top-k nearest-centroid classification.

    Attributes
    ----------
    value : float
        Share of stimuli whose own category is among the `top` nearest centroids.
    ci_low, ci_high : float
        95% percentile bootstrap over stimuli, the centroids taken as fixed.
    balanced : float
        The same share averaged over categories, so that common ones do not decide.
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
    prior: float
    prior_balanced: float
    null_mean: float
    null_high: float
    p: float
    top: int
    n_stimuli: int
    n_classes: int
    n_permutations: int
    n_single: int
    classes: pd.DataFrame


def classify_categories(
    space: pd.DataFrame,
    labels: pd.Series[str],
    *,
    top: int = 3,
    most_common: int | None = None,
    exclude: Sequence[str] = (),
    n_permutations: int = 200,
    n_boot: int = 1000,
    seed: int,
) -> NearestCentroid:
    """Classify every stimulus by the centroids of the others.

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
    n_permutations, n_boot, seed
        Of the null and of the interval.

    Notes
    -----
    Where the labels were made from the space itself (a rating space and its own maximum) the
    result is circular; :func:`column_shuffled` shows by how much.
    """
    known = set(space.index).difference(exclude)
    chosen = labels[[i in known for i in labels.index]]
    counts = chosen.value_counts(sort=True)
    counts = counts.loc[sorted(counts.index, key=lambda name: (-counts[name], str(name)))]
    n_single = int((counts == 1).sum())
    counts = counts[counts > 1]
    if most_common is not None:
        counts = counts.iloc[:most_common]
    chosen = chosen[chosen.isin(counts.index)]
    if n_permutations < 1:
        raise InputError("there is no null without permutations", remedy="use n_permutations >= 1")
    if not 1 <= top < len(counts):
        raise InputError(
            f"top={top} is no test among {len(counts)} categories", remedy="use more categories or a smaller top"
        )
    points = rows_for(space, chosen.index.tolist()).to_numpy(dtype=np.float64)
    classes = counts.index.tolist()
    member = pd.Categorical(chosen, categories=classes).codes.astype(np.intp)
    hits = _hits(points, member, len(classes), top)
    rng = np.random.default_rng(seed)
    null = np.array([_hits(points, rng.permutation(member), len(classes), top).mean() for _ in range(n_permutations)])
    resampled = rng.binomial(len(hits), hits.mean(), size=n_boot) / len(hits)
    low, high = np.quantile(resampled, [0.025, 0.975])
    per_class = np.bincount(member, weights=hits) / np.bincount(member)
    return NearestCentroid(
        value=float(hits.mean()),
        ci_low=float(low),
        ci_high=float(high),
        balanced=float(per_class.mean()),
        prior=float(counts.iloc[:top].sum() / counts.sum()),
        prior_balanced=top / len(classes),
        null_mean=float(null.mean()),
        null_high=float(np.quantile(null, 0.95)),
        p=float(((null >= hits.mean()).sum() + 1) / (n_permutations + 1)),
        top=top,
        n_stimuli=len(points),
        n_classes=len(classes),
        n_permutations=n_permutations,
        n_single=n_single,
        classes=pd.DataFrame({"n": counts.to_numpy(), "value": per_class}, index=pd.Index(classes, name="category")),
    )


def _hits(points: NDArray[np.float64], member: NDArray[np.intp], n_classes: int, top: int) -> NDArray[np.float64]:
    """Whether each point's own centroid, computed without it, is among the `top` nearest; shape (n,)."""
    n = np.bincount(member, minlength=n_classes).astype(np.float64)
    sums = np.zeros((n_classes, points.shape[1]))
    np.add.at(sums, member, points)
    centroids = sums / n[:, None]
    # Squared distances up to |x|^2, which is the same for every centroid of a row.
    distance = (centroids**2).sum(axis=1) - 2 * points @ centroids.T  # (points, classes)
    rows = np.arange(len(points))
    own = (sums[member] - points) / (n[member] - 1)[:, None]
    distance[rows, member] = (own**2).sum(axis=1) - 2 * np.einsum("np,np->n", points, own)
    nearer = (distance < distance[rows, member][:, None]).sum(axis=1)
    hits: NDArray[np.float64] = (nearer < top).astype(np.float64)
    return hits
