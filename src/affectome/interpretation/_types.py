"""Is a component a category of emotion, an affective dimension, or both?"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from affectome._groups import check_folds, group_codes
from affectome._progress import Progress, silent
from affectome._resampling import (
    check_level,
    check_permutations,
    false_discovery_rate,
    needed_permutations,
    warn_of_resolution,
)
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation._correlations import rating_labels
from affectome.interpretation._partition import (
    PARTS,
    family_losses,
    part_interval,
    second_order,
    signs_of,
    unique_p,
)
from affectome.spaces import align

__all__ = ["TYPES", "ComponentTypes", "TypeRuleScores", "component_types", "score_type_rules"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

#: What a component can be.
TYPES = ("categorical", "dimensional", "hybrid", "unassigned")

_MINIMA = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
_TAUS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
_SUBSAMPLE = 0.8
_TESTED = ["p_categories", "p_dimensions"]
_FEWER = 4  # a subsample is tested with a quarter of the flips


@dataclass(frozen=True, eq=False)
class ComponentTypes:
    """The types of the components of one space.

    Attributes
    ----------
    components : DataFrame, index components
        ``type``; ``recurs`` (share of subsamples in which the component had that type); held-out ``r2_categories``,
        ``r2_dimensions``, ``r2_both``, ``unique_categories``, ``unique_dimensions`` and ``shared``, each with
        ``_low`` and ``_high``; ``p_categories``, ``p_dimensions``, ``q_categories``, ``q_dimensions`` of the unique
        parts. NaN for a constant component, which is unassigned.
    shares : DataFrame, index the four types
        ``n``, ``share``; ``stability_low`` and ``stability_high``, the middle `level` of the share over subsamples of
        80% of the stimuli; ``wilson_low`` and ``wilson_high``, the binomial interval that so many components would
        have if they were independent draws from many.
    by_minimum : DataFrame, index minimum unique R2
        Shares of the four types under other minima.
    by_tau : DataFrame, index tau
        Shares of the four types under the threshold rule.
    threshold_types : DataFrame, index components, one column per tau
        Types under the threshold rule.
    minimum, alpha, level : float
    n_stimuli, n_folds, n_repeats, n_permutations, n_subsamples : int
    """

    components: pd.DataFrame
    shares: pd.DataFrame
    by_minimum: pd.DataFrame
    by_tau: pd.DataFrame
    threshold_types: pd.DataFrame
    minimum: float
    alpha: float
    level: float
    n_stimuli: int
    n_folds: int
    n_repeats: int
    n_permutations: int
    n_subsamples: int


@dataclass(frozen=True, eq=False)
class TypeRuleScores:
    """Both rules on columns whose type is known: the ratings themselves.

    Attributes
    ----------
    scores : DataFrame, index (rule, own_column, family)
        How many columns of a family each rule calls each type, as shares: ``categorical`` to ``unassigned``, and
        ``correct``. ``own_column`` says whether the column stayed among its own predictors ("kept": circular) or was
        left out.
    columns : DataFrame, index ratings
        ``family``, the held-out R2 and unique parts with the column left out, and the types by either rule.
    tau, minimum : float
    n_stimuli : int
    """

    scores: pd.DataFrame
    columns: pd.DataFrame
    tau: float
    minimum: float
    n_stimuli: int


def component_types(
    space: pd.DataFrame,
    ratings: Mapping[str, pd.DataFrame],
    *,
    categories: str = "category",
    dimensions: str = "dimension",
    minimum: float = 0.01,
    tau: float = 0.2,
    alpha: float = 0.05,
    level: float = 0.95,
    n_folds: int = 5,
    n_repeats: int = 5,
    n_permutations: int = 1000,
    n_subsamples: int = 50,
    groups: Mapping[str, object] | None = None,
    exclude: Sequence[str] = (),
    seed: int,
    progress: Progress = silent,
) -> ComponentTypes:
    """Partition the held-out variance of every component between categories and dimensions, and type it by that.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    ratings : mapping from family to DataFrame
        Over the same stimuli; `categories` and `dimensions` name the two families that are used.
    minimum
        Smallest unique R2 that counts. With 2,185 stimuli a unique R2 of .002 is significant and means nothing.
    tau
        A further |r| at which the threshold rule is applied for comparison, beside .1, .15, ... .5.
    alpha
        Bound on q.
    level
        Of the intervals and of the stability range.
    n_folds, n_repeats
        Held-out R2 is pooled over folds and averaged over repeats with other folds. Penalty and weights of the
        families are chosen on the training folds; standardisation is done on them alone.
    n_permutations
        Sign flips of the test. A warning says how many are needed where no q can fall below `alpha` with these, or
        with the quarter of them that a subsample gets.
    n_subsamples
        Random 80% of the stimuli on which the whole typing is done again (one repeat,
        a quarter of the flips); 0 leaves that out.
    groups : mapping from id to group
        Stimuli of one group (a clip and its copy, clips of one film) never lie on both sides of a split and share a
        sign. Without it, or `exclude`, duplicated clips leak from training to test.
    exclude
        Ids to leave out, for example duplicated clips.
    seed

    Returns
    -------
    ComponentTypes

    Notes
    -----
    Unique R2 of the categories = R2(both) - R2(dimensions), of the dimensions = R2(both) - R2(categories), shared =
    the rest of R2(both); all held out, relative to the training mean, so that each can be below 0.

    A family counts where q < `alpha` and its unique R2 is at least `minimum`: categorical, dimensional, hybrid
    (both), unassigned (neither: little of the component is in the ratings, or what is there is in both families).

    Test: null, the family adds nothing to the best *linear* prediction from the other. Scores (basis of the family
    after regression on the other, times the residual) flip signs; p = (b + 1) / (B + 1); Benjamini-Hochberg over
    components x 2 families. Valid for many stimuli, whatever the errors' variances: where these grow steeply with one
    rare rating, p <= .05 came in .08 to .13 of simulated nulls of 3 to 6 stimuli per rating, in .04 of those of 20.
    The held-out loss difference itself is not tested: of nested models it is degenerate under the null, and its normal
    test hardly ever rejects there.

    Interval: jackknife over stimuli (groups) of the held-out losses, fitted models fixed, with a second-order
    term for the noise of the fits, normal quantiles; R2 on the scale of log(1 - R2). It speaks of the
    accuracy that these fits have on other stimuli of the same kind (Bayle et al. 2020), not of fits to another sample.

    A component that is a curved function of the dimensions counts as categorical, since categories follow the curve.
    Where the choices behind the space were made from one of the families, its type is circular.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k}" for k in range(300)]
    >>> joy, valence = rng.gamma(0.5, size=(300, 3)), rng.normal(size=(300, 2))
    >>> ratings = {"category": pd.DataFrame(joy, ids, ["Joy", "Awe", "Fear"]),
    ...            "dimension": pd.DataFrame(valence, ids, ["valence", "arousal"])}
    >>> space = pd.DataFrame({"a": joy[:, 0], "b": valence[:, 1], "c": joy[:, 1] + valence[:, 0]}, ids)
    >>> component_types(space, ratings, n_subsamples=0, seed=0).components["type"].tolist()
    ['categorical', 'dimensional', 'hybrid']
    """
    from threadpoolctl import threadpool_limits

    check_level(level)
    check_permutations(n_permutations)
    if n_subsamples < 0:
        raise InputError(f"n_subsamples={n_subsamples} is no number of subsamples", remedy="use 0 or more")
    _check_rule(minimum, alpha)
    aligned = _aligned(space, ratings, (categories, dimensions), exclude)
    names = pd.Index([str(name) for name in aligned[0].columns], name="component")
    y, first, second = (frame.to_numpy(np.float64) for frame in aligned)
    group = group_codes(aligned[0].index.tolist(), groups)
    check_folds(len(y), n_folds, n_repeats)
    by_fold, by_sign, by_subsample = np.random.SeedSequence(seed).spawn(3)
    total = n_subsamples + 2
    drawn = np.empty((n_subsamples, len(names)), np.intp)
    flips = math.ceil(n_permutations / _FEWER)
    with threadpool_limits(1):  # the matrices are small: threads of a BLAS would wait for one another
        table, unique, q = _typed(
            y, (first, second), group, (n_folds, n_repeats, n_permutations, level), (by_fold, by_sign), names
        )
        _warn_of_resolution(table, n_permutations, flips if n_subsamples else None, alpha)
        progress(2, total, detail="types")
        for k, source in enumerate(by_subsample.spawn(n_subsamples)):
            drawn[k] = _subsample_types(y, first, second, group, n_folds, flips, minimum, alpha, source)
            progress(k + 3, total, detail="subsamples")
    types = _by_unique(unique, q, minimum, alpha)
    recurs = (drawn == types).mean(axis=0) if n_subsamples else np.full(len(names), np.nan)
    table.insert(0, "recurs", recurs)
    table.insert(0, "type", np.array(TYPES)[types])
    by_tau = _by_threshold(y, [first, second], alpha, taus=sorted({*_TAUS, float(tau)}))
    return ComponentTypes(
        components=table,
        shares=_shares(types, drawn, level),
        by_minimum=_share_table("minimum", {m: _by_unique(unique, q, m, alpha) for m in sorted({*_MINIMA, minimum})}),
        by_tau=_share_table("tau", by_tau),
        threshold_types=pd.DataFrame({f"tau {tau:g}": np.array(TYPES)[kind] for tau, kind in by_tau.items()}, names),
        minimum=float(minimum),
        alpha=float(alpha),
        level=float(level),
        n_stimuli=len(y),
        n_folds=n_folds,
        n_repeats=n_repeats,
        n_permutations=n_permutations,
        n_subsamples=n_subsamples,
    )


def score_type_rules(
    ratings: Mapping[str, pd.DataFrame],
    *,
    categories: str = "category",
    dimensions: str = "dimension",
    tau: float = 0.2,
    minimum: float = 0.01,
    alpha: float = 0.05,
    n_folds: int = 5,
    n_permutations: int = 1000,
    groups: Mapping[str, object] | None = None,
    exclude: Sequence[str] = (),
    seed: int,
) -> TypeRuleScores:
    """Apply the variance partition and the threshold rule to the rating columns themselves.

    A column of the category table is categorical and one of the dimension table dimensional, whatever it correlates
    with; a rule is scored by how often it says so. With the column among its own predictors the partition is right
    by construction (circular); with it left out, it asks whether the *other* columns of its family say more of it
    than the other family does, which is the harder and the fair question.

    Parameters
    ----------
    ratings, categories, dimensions, minimum, alpha, n_folds, n_permutations, groups, exclude, seed
        As in :func:`component_types`; one repeat of the folds.
    tau
        Of the threshold rule: a family counts where one of its ratings has |r| >= `tau` and q < `alpha`.

    Returns
    -------
    TypeRuleScores
    """
    from threadpoolctl import threadpool_limits

    check_permutations(n_permutations)
    _check_rule(minimum, alpha)
    _check_families(ratings, (categories, dimensions))
    frames = _aligned(ratings[categories], ratings, (categories, dimensions), exclude)[1:]
    families = [frame.to_numpy(np.float64) for frame in frames]
    if min(part.shape[1] for part in families) < 2:
        raise InputError("a family of one rating is left empty without it", remedy="give at least two in each family")
    group = group_codes(frames[0].index.tolist(), groups)
    check_folds(len(group), n_folds, 1)
    settings = (n_folds, 1, n_permutations, 0.95)
    labels, _ = rating_labels({categories: frames[0], dimensions: frames[1]})
    truth = np.repeat([0, 1], [part.shape[1] for part in families])
    every = np.hstack(families)
    index = pd.Index(labels, name="rating")
    sources = np.random.SeedSequence(seed).spawn(len(labels) + 1)
    rows, unique, p = [], np.empty((len(labels), 2)), np.empty((len(labels), 2))
    with threadpool_limits(1):
        whole, kept_unique, kept_q = _typed(every, families, group, settings, sources[-1].spawn(2), index)
        for k in range(len(labels)):
            parts = list(families)
            place = k - truth[k] * families[0].shape[1]
            parts[truth[k]] = np.delete(parts[truth[k]], place, axis=1)
            row, unique[k : k + 1], _ = _typed(every[:, [k]], parts, group, settings, sources[k].spawn(2), index[[k]])
            p[k] = row[_TESTED].to_numpy()[0]
            rows.append(row)
    both = max(
        (p, whole[_TESTED].to_numpy(np.float64)), key=lambda one: needed_permutations(one, n_permutations, alpha)
    )
    warn_of_resolution(both, n_permutations, alpha, of="the rules of types")
    left_out = _by_unique(unique, false_discovery_rate(p), minimum, alpha)
    kept = _by_unique(kept_unique, kept_q, minimum, alpha)
    own = _by_threshold(every, families, alpha, taus=(tau,))[tau]
    others = _by_threshold(every, families, alpha, taus=(tau,), own=True)[tau]
    table = pd.concat(rows)[[f"r2_{part}" for part in ("categories", "dimensions", "both")]
                            + ["unique_categories", "unique_dimensions", "shared"]]  # fmt: skip
    table.insert(0, "family", np.array([categories, dimensions])[truth])
    scored = {}
    for rule, how, kinds in (
        (f"threshold {tau:g}", "kept", own),
        (f"threshold {tau:g}", "left out", others),
        ("variance partition", "kept", kept),
        ("variance partition", "left out", left_out),
    ):
        table[f"{rule}, own column {how}"] = np.array(TYPES)[kinds]
        for number, family in enumerate((categories, dimensions)):
            share = np.bincount(kinds[truth == number], minlength=len(TYPES)) / (truth == number).sum()
            scored[rule, how, family] = [*share, share[number]]
    index_of = pd.MultiIndex.from_tuples(scored, names=["rule", "own_column", "family"])
    scores = pd.DataFrame(list(scored.values()), index=index_of, columns=[*TYPES, "correct"])
    return TypeRuleScores(scores, table, float(tau), float(minimum), len(group))


def _warn_of_resolution(table: pd.DataFrame, n_permutations: int, flips: int | None, alpha: float) -> None:
    """Say how many permutations are needed: of all stimuli, else of the subsamples."""
    p = table[_TESTED].to_numpy(np.float64)
    warn_of_resolution(p, n_permutations, alpha, of="the types")
    if flips is None or needed_permutations(p, n_permutations, alpha):
        return
    needed = needed_permutations(np.maximum(p, 1 / (flips + 1)), flips, alpha)
    if needed:
        logger.warning(
            "%d permutations are too few for subsamples, which get a quarter of them: no q falls below %g there and no "
            "type recurs; use at least %s.",
            n_permutations,
            alpha,
            f"{_FEWER * needed:,}",
        )


def _check_rule(minimum: float, alpha: float) -> None:
    if not 0 <= minimum < 1 or not 0 < alpha < 1:
        raise InputError(
            f"minimum={minimum} and alpha={alpha} make no rule", remedy="use 0 <= minimum < 1 and 0 < alpha < 1"
        )


def _check_room(n_groups: int, n_ratings: int) -> None:
    if n_groups < 3 * n_ratings:
        raise InputError(
            f"{n_groups} stimuli (or groups of them) are too few for {n_ratings} ratings",
            remedy="give at least three for each rating; the test is not valid with fewer",
        )


def _check_families(ratings: Mapping[str, pd.DataFrame], families: Sequence[str]) -> None:
    missing = [name for name in families if name not in ratings]
    if missing or families[0] == families[1]:
        raise InputError(
            f"types need ratings of two families, '{families[0]}' and '{families[1]}', and there is "
            f"{cut_short(list(ratings)) or 'none'}",
            remedy="give both, or name them by categories= and dimensions=",
        )


def _aligned(
    space: pd.DataFrame, ratings: Mapping[str, pd.DataFrame], families: Sequence[str], exclude: Sequence[str]
) -> list[pd.DataFrame]:
    """The space and both families over the same stimuli."""
    _check_families(ratings, families)
    if space.shape[1] == 0:
        raise InputError("the space has no components", remedy="fit it with a smaller l1 or more triplets")
    left_out = {str(i) for i in exclude}
    kept = [
        frame[[str(i) not in left_out for i in frame.index]] for frame in (space, *(ratings[name] for name in families))
    ]
    return list(align(*kept, names=["the space", *families]).spaces)


def _typed(
    y: Floats,
    families: Sequence[Floats],
    group: Places,
    settings: tuple[int, int, int, float],
    sources: Sequence[np.random.SeedSequence],
    names: pd.Index,
) -> tuple[pd.DataFrame, Floats, Floats]:
    """The table of one analysis, and unique R2 and q of both families, (T, 2)."""
    first, second = families
    _check_room(int(group.max()) + 1, first.shape[1] + second.shape[1])
    n_folds, n_repeats, n_permutations, level = settings
    losses = family_losses(y, first, second, group, n_folds, n_repeats, np.random.default_rng(sources[0]))
    noise = second_order(y, first, second, group)
    called = {"first": "categories", "second": "dimensions"}
    columns: dict[str, Floats] = {}
    for part in PARTS:
        stem, _, which = part.partition("_")
        name = f"{stem}_{called.get(which, which)}" if which else stem
        columns[name], columns[f"{name}_low"], columns[f"{name}_high"] = part_interval(
            losses, part, noise[part], group, level
        )
    signs = signs_of(int(group.max()) + 1, n_permutations, np.random.default_rng(sources[1]))
    p = np.column_stack([unique_p(y, first, second, signs, group), unique_p(y, second, first, signs, group)])
    q = false_discovery_rate(p)
    for k, family in enumerate(called.values()):
        columns[f"p_{family}"], columns[f"q_{family}"] = p[:, k], q[:, k]
    table = pd.DataFrame(columns, index=names)
    flat = np.ptp(y, axis=0) == 0
    table.loc[flat] = np.nan
    return table, table[["unique_categories", "unique_dimensions"]].to_numpy(), q


def _subsample_types(
    y: Floats,
    first: Floats,
    second: Floats,
    group: Places,
    n_folds: int,
    n_permutations: int,
    minimum: float,
    alpha: float,
    source: np.random.SeedSequence,
) -> Places:
    """Types on a random 80% of the groups of stimuli, folds and flips drawn anew."""
    rng = np.random.default_rng(source)
    n_groups = int(group.max()) + 1
    chosen = np.zeros(n_groups, bool)
    chosen[rng.permutation(n_groups)[: max(1, round(_SUBSAMPLE * n_groups))]] = True
    rows = chosen[group]
    y, first, second = y[rows], first[rows], second[rows]
    _, part = np.unique(group[rows], return_inverse=True)
    losses = family_losses(y, first, second, part, n_folds, 1, rng).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        unique = np.column_stack([losses[2] - losses[3], losses[1] - losses[3]]) / losses[0][:, None]
    signs = signs_of(int(part.max()) + 1, n_permutations, rng)
    p = np.column_stack([unique_p(y, first, second, signs, part), unique_p(y, second, first, signs, part)])
    return _by_unique(unique, false_discovery_rate(p), minimum, alpha)


def _by_unique(unique: Floats, q: Floats, minimum: float, alpha: float) -> Places:
    """Place in TYPES by unique R2 and q of (categories, dimensions), each (T, 2)."""
    with np.errstate(invalid="ignore"):
        counts = (q < alpha) & (unique >= minimum)
    return _place(counts[:, 0], counts[:, 1])


def _place(categorical: NDArray[np.bool_], dimensional: NDArray[np.bool_]) -> Places:
    return np.select([categorical & dimensional, categorical, dimensional], [2, 0, 1], default=3).astype(np.intp)


def _by_threshold(
    y: Floats, families: Sequence[Floats], alpha: float, *, taus: Sequence[float] = _TAUS, own: bool = False
) -> dict[float, Places]:
    """Place in TYPES for every tau; with `own`, target k is column k of the families and does not count for itself."""
    x = np.hstack(families)
    n = len(y)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = [(part - part.mean(axis=0)) / (part.std(axis=0) * np.sqrt(n)) for part in (y, x)]
        r = np.clip(unit[0].T @ unit[1], -1, 1)
        r[np.ptp(y, axis=0) == 0] = np.nan
        r[:, np.ptp(x, axis=0) == 0] = np.nan
        if own:
            np.fill_diagonal(r, np.nan)
        t = r * np.sqrt((n - 2) / np.maximum(1 - r**2, 0))
        q = false_discovery_rate(2 * stats.t.sf(np.abs(t), n - 2))
        strength = np.where(q < alpha, np.abs(r), 0.0)
    first = families[0].shape[1]
    most = strength[:, :first].max(axis=1), strength[:, first:].max(axis=1)
    return {tau: _place(most[0] >= tau, most[1] >= tau) for tau in taus}


def _share_table(name: str, kinds: Mapping[float, Places]) -> pd.DataFrame:
    rows = [np.bincount(kind, minlength=len(TYPES)) / len(kind) for kind in kinds.values()]
    return pd.DataFrame(rows, index=pd.Index(list(kinds), name=name), columns=list(TYPES))


def _shares(types: Places, drawn: Places, level: float) -> pd.DataFrame:
    count = np.bincount(types, minlength=len(TYPES))
    over = np.array([np.bincount(kinds, minlength=len(TYPES)) / len(types) for kinds in drawn])
    ends = np.full((2, len(TYPES)), np.nan)
    if len(over):
        ends = np.quantile(over, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf")
    wilson = [stats.binomtest(int(k), len(types)).proportion_ci(level, method="wilson") for k in count]
    return pd.DataFrame(
        {
            "n": count,
            "share": count / len(types),
            "stability_low": ends[0],
            "stability_high": ends[1],
            "wilson_low": [interval.low for interval in wilson],
            "wilson_high": [interval.high for interval in wilson],
        },
        index=pd.Index(TYPES, name="type"),
    )
