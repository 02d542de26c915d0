"""The category structure of several spaces: every method, every baseline, one correction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from affectome._progress import Progress, silent
from affectome._resampling import check_bootstrap, check_permutations, false_discovery_rate
from affectome._seeds import named_seed
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation._categories import CategoryLabels, resolved_categories, top_categories
from affectome.interpretation._classification import (
    CLASSIFIERS,
    CategoryScore,
    Classifier,
    classify,
    labelled_points,
    nearest_centroid_shares,
    shuffled_baseline,
)
from affectome.interpretation._silhouette import Silhouette, silhouette

__all__ = ["CategoryStructure", "category_structure"]


@dataclass(frozen=True, eq=False)
class CategoryStructure:
    """How categorical several spaces are.

    Attributes
    ----------
    scores : DataFrame, index (space, categories, method, average, top)
        Columns of :attr:`CategoryScore.accuracy` and ``q`` (Benjamini-Hochberg over the whole table), ``circular``
        (whether the labels were made from what the space was made from). ``categories`` is *all*, or how many of the
        commonest.
    baseline : DataFrame, index (categories, method, average, top)
        What :func:`shuffled_baseline` gives for the ratings: ``value``, ``low``, ``high``. Empty where no space is
        circular: it says what the procedure gives for nothing where labels were made from the space.
    ties : DataFrame, index (space, average)
        Nearest-centroid top-k accuracy over all categories when ties for the top are resolved anew: mean ``value``,
        ``low`` and ``high`` over the resolutions. Empty where there is no tie, or ties are not resolved at random.
    silhouettes : DataFrame, index (space, average)
        Columns of :attr:`Silhouette.overall`, ``q`` (over this table) and ``circular``; over all categories.
    classes : DataFrame, index (space, category)
        ``n``, the top-k accuracy by each method, and silhouette with interval, p and q; over all categories.
    details : mapping from (space, categories, method) to CategoryScore
    silhouette_details : mapping from space to Silhouette
    labels : CategoryLabels
    top, level, n_permutations
    """

    scores: pd.DataFrame
    baseline: pd.DataFrame
    ties: pd.DataFrame
    silhouettes: pd.DataFrame
    classes: pd.DataFrame
    details: Mapping[tuple[str, str, str], CategoryScore]
    silhouette_details: Mapping[str, Silhouette]
    labels: CategoryLabels
    top: int
    level: float
    n_permutations: int


def category_structure(
    spaces: Mapping[str, pd.DataFrame],
    ratings: Mapping[str, pd.DataFrame],
    *,
    family: str = "category",
    methods: Sequence[Classifier] = ("centroid", "knn", "linear"),
    top: int = 3,
    most_common: int | None = 17,
    exclude: Sequence[str] = (),
    circular: Sequence[str] = (),
    ties: Literal["random", "first", "drop"] = "random",
    n_permutations: int = 1000,
    n_boot: int = 300,
    n_shuffles: int = 20,
    level: float = 0.95,
    n_jobs: int = 2,
    seed: int,
    progress: Progress = silent,
) -> CategoryStructure:
    """Classify the stimuli of every space by every method, and measure their silhouettes.

    Parameters
    ----------
    spaces : mapping from name to DataFrame of shape (n_stimuli, n_features)
        Distances are Euclidean on the features as they are.
    ratings : mapping from family to DataFrame
        The label of a stimulus is its highest rating of `family`; without one, it is left out.
    family
    methods
        See :func:`classify`, whose defaults they are run with.
    top
        The k of the top-k accuracy beside top-1.
    most_common
        Everything is done over all categories and again over this many commonest ones; None leaves that out.
    exclude
        Ids to leave out, for example duplicated clips.
    circular
        Names of the spaces that were made from the ratings the labels are made from; they are marked in every table.
    ties
        See :func:`top_categories`.
    n_permutations, n_boot, level
        See :func:`classify` and :func:`silhouette`.
    n_shuffles
        Shuffles of the baseline, and resolutions of ties.
    n_jobs
        Classifications run at the same time; it changes no number.
    seed
        Every space, method and baseline gets its own from it, by name.
    progress

    Returns
    -------
    CategoryStructure

    Notes
    -----
    Nulls and intervals are those of :func:`classify` and :func:`silhouette`. The correction is Benjamini-Hochberg over
    all p values of `scores`, and over those of `silhouettes`. No test compares two spaces.
    """
    check_permutations(n_permutations)
    check_bootstrap(n_boot, level)
    _check(spaces, ratings, family, methods, circular, n_jobs)
    labels = top_categories(ratings[family], ties=ties, seed=named_seed(seed, "ties"))
    subsets = _subsets(spaces, labels.labels, most_common, exclude)
    classified = {
        (name, subset, method): partial(
            classify,
            space,
            labels.labels,
            method=method,
            top=top,
            most_common=most,
            exclude=exclude,
            n_permutations=n_permutations,
            level=level,
            seed=named_seed(seed, "classify", name, subset, method),
        )
        for name, space in spaces.items()
        for subset, most in subsets.items()
        for method in methods
    }
    silhouettes = {
        name: partial(
            silhouette,
            space,
            labels.labels,
            exclude=exclude,
            n_permutations=n_permutations,
            n_boot=n_boot,
            level=level,
            seed=named_seed(seed, "silhouette", name),
        )
        for name, space in spaces.items()
    }
    baselines = {
        (subset, method): partial(
            shuffled_baseline,
            ratings[family],
            method=method,
            top=top,
            most_common=most,
            exclude=exclude,
            n_shuffles=n_shuffles,
            ties=ties,
            seed=named_seed(seed, "shuffle", subset, method),
        )
        for subset, most in subsets.items()
        for method in methods
        if circular
    }
    done = _run({**classified, **silhouettes, **baselines}, n_jobs, progress)
    details: dict[tuple[str, str, str], CategoryScore] = {key: done[key] for key in classified}
    by_space = {name: done[name] for name in silhouettes}
    return CategoryStructure(
        scores=_marked(pd.concat({key: score.accuracy for key, score in details.items()}), _LEVELS, circular),
        baseline=_baseline({key: done[key] for key in baselines}),
        ties=_tie_range(spaces, ratings[family], labels, exclude, top, n_shuffles, named_seed(seed, "resolutions")),
        silhouettes=_marked(pd.concat({name: s.overall for name, s in by_space.items()}), _LEVELS[:1], circular),
        classes=_classes(details, by_space, methods),
        details=details,
        silhouette_details=by_space,
        labels=labels,
        top=top,
        level=level,
        n_permutations=n_permutations,
    )


def _baseline(found: Mapping[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
    names = ["categories", "method", "average", "top"]
    if not found:
        empty = pd.MultiIndex.from_arrays([[]] * len(names), names=names)
        return pd.DataFrame({"value": [], "low": [], "high": []}, index=empty, dtype=np.float64)
    return pd.concat(found, names=names[:2])


_LEVELS = ("space", "categories", "method")


def _check(
    spaces: Mapping[str, pd.DataFrame],
    ratings: Mapping[str, pd.DataFrame],
    family: str,
    methods: Sequence[str],
    circular: Sequence[str],
    n_jobs: int,
) -> None:
    if not spaces:
        raise InputError("there is no space to classify", remedy="give at least one")
    if family not in ratings:
        raise InputError(f"there are no ratings '{family}'", remedy=f"choose one of {cut_short(list(ratings))}")
    wrong = [method for method in methods if method not in CLASSIFIERS]
    if wrong or not methods:
        raise InputError(
            f"'{wrong[0]}' is no way to classify" if wrong else "there is no method to classify by",
            remedy=f"choose among {', '.join(CLASSIFIERS)}",
        )
    unknown = [name for name in circular if name not in spaces]
    if unknown:
        raise InputError(f"no space is called '{unknown[0]}'", remedy=f"it has {cut_short(list(spaces))}")
    if n_jobs < 1:
        raise InputError(f"n_jobs={n_jobs} classifies nothing", remedy="use n_jobs >= 1")


def _subsets(
    spaces: Mapping[str, pd.DataFrame], labels: pd.Series[str], most_common: int | None, exclude: Sequence[str]
) -> dict[str, int | None]:
    """Which categories are looked at: all, and the commonest where some space has more."""
    largest = max(len(labelled_points(space, labels, exclude=exclude).names) for space in spaces.values())
    if most_common is None or largest <= most_common:
        return {"all": None}
    return {"all": None, f"{most_common} commonest": most_common}


def _run(jobs: Mapping[Any, Callable[[], Any]], n_jobs: int, progress: Progress) -> dict[Any, Any]:
    """Every job's result; BLAS on one thread, since each job's products are small."""
    from threadpoolctl import threadpool_limits

    done: dict[Any, Any] = {}
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_jobs) as pool:
        for key, result in zip(jobs, pool.map(lambda job: job(), jobs.values()), strict=True):
            done[key] = result
            progress(len(done), len(jobs), detail=key if isinstance(key, str) else ", ".join(key))
    return done


def _marked(table: pd.DataFrame, names: Sequence[str], circular: Sequence[str]) -> pd.DataFrame:
    last = list(table.index.names)[len(names) :]
    marked = table.rename_axis([*names, *last])
    q = false_discovery_rate(marked["p"].to_numpy(np.float64))
    spaces = marked.index.get_level_values("space")
    return marked.assign(q=q, circular=spaces.isin(list(circular)))


def _classes(
    details: Mapping[tuple[str, str, str], CategoryScore], by_space: Mapping[str, Silhouette], methods: Sequence[str]
) -> pd.DataFrame:
    tables = {}
    for name, one in by_space.items():
        found = {method: details[name, "all", method].classes["topk"] for method in methods}
        silhouettes = one.classes.drop(columns="n").rename(columns={"value": "silhouette"})
        tables[name] = pd.concat([one.classes["n"], pd.DataFrame(found), silhouettes], axis=1)
    return pd.concat(tables, names=["space"])


def _tie_range(
    spaces: Mapping[str, pd.DataFrame],
    ratings: pd.DataFrame,
    labels: CategoryLabels,
    exclude: Sequence[str],
    top: int,
    n_resolutions: int,
    seed: int,
) -> pd.DataFrame:
    rows = {}
    if labels.ties == "random" and labels.n_tied:
        resolved = [
            resolved_categories(ratings, seed=int(state)).labels
            for state in np.random.SeedSequence(seed).generate_state(n_resolutions)
        ]
        for name, space in spaces.items():
            found = np.array([nearest_centroid_shares(space, one, top=top, exclude=exclude) for one in resolved])
            for average, values in zip(("plain", "balanced"), found.T, strict=True):
                rows[name, average] = (values.mean(), values.min(), values.max())
    index = (
        pd.MultiIndex.from_tuples(list(rows), names=["space", "average"])
        if rows
        else pd.MultiIndex.from_arrays([[], []], names=["space", "average"])
    )
    return pd.DataFrame(list(rows.values()), index=index, columns=["value", "low", "high"])
