"""Several people, several spaces: which space predicts a region better, person by person and over the group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from affectome._resampling import check_level, false_discovery_rate
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.statistics._prevalence import prevalence
from affectome.neural.statistics._sign_flip import sign_flip_test

__all__ = ["GroupComparison", "compare_group"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
StarColumn = Literal["p_t", "q_t", "p_flip", "q_flip", "q_above"]

_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """A reference space against each other space, per region, over people.

    Attributes
    ----------
    regions : DataFrame
        One row per region and space: ``region``, ``space``, ``n_subjects``, ``mean`` and ``sd`` over people, ``low``,
        ``high`` (t interval of the mean over people), ``stars`` (of the comparison with the reference). Where the
        scores had p: ``n_significant``, ``prevalence``, ``prevalence_low``, ``prevalence_high``, ``prevalence_bound``,
        ``p_nobody`` and ``q_nobody``; see :class:`Prevalence`.
    comparisons : DataFrame
        One row per region and other space: ``region``, ``space``, ``reference``, ``n_subjects``, ``compared`` (False:
        neither space predicts the region in anybody, and all but ``difference`` and ``sd`` is NaN; see Notes of
        :func:`compare_group`). Where people were tested, primary: ``n_tested``, ``n_above`` and ``n_below`` (people in
        whom the reference predicts better, worse, each with two-sided p <= alpha), ``above`` and ``below`` (most likely
        prevalence), each with ``_low``, ``_high``, ``_bound`` and ``_majority``, ``p_above`` and ``p_below`` (nobody
        has it), ``q_above`` and ``q_below``. Descriptive: ``difference`` (mean over people of reference minus other),
        ``sd``, ``low``, ``high`` (t interval), ``t``, ``p_t``, ``q_t``, ``p_flip``, ``q_flip``, ``smallest_p_flip``,
        ``dz``, ``dz_low``, ``dz_high`` and ``stars``.
    subjects : DataFrame or None
        The tests of single people, as given.
    reference : str
    alpha, level : float
    star_column : str
        Column of `comparisons` that the stars read: * below .05, ** below .01, *** below .001.
    correction : str
        What q is corrected over, in a sentence.
    """

    regions: pd.DataFrame
    comparisons: pd.DataFrame
    subjects: pd.DataFrame | None
    reference: str
    alpha: float
    level: float
    star_column: str
    correction: str


def compare_group(
    scores: pd.DataFrame,
    *,
    reference: str,
    tests: pd.DataFrame | None = None,
    alpha: float = 0.05,
    level: float = 0.95,
    stars: StarColumn = "q_t",
    n_flips: int = 10_000,
    seed: int,
) -> GroupComparison:
    """Compare how well a reference space and each other space predict every region, over people.

    Parameters
    ----------
    scores : DataFrame
        Columns ``subject``, ``region``, ``space`` and ``r``, one row each, as :func:`region_scores` gives per person
        and space; with ``p``, the table of regions says in how many people a space predicts at all, and spaces are
        compared only where one of the two predicts.
    reference
        The space that the others are held against; without others there are no comparisons.
    tests : DataFrame, optional
        Columns ``subject``, ``region``, ``space`` (the other), ``difference`` (reference minus other) and ``p`` (two-
        sided), as :func:`region_tests` gives from comparisons of the encodings of every person. Differences over people
        are then the mean of these; without tests, that of the differences of `r`.
    alpha
        Level of the test of one person, uncorrected: what the prevalence is computed from.
    level
        Coverage of the intervals.
    stars
        Column that stars are read from.
    n_flips
        Sign patterns to draw where a pair of spaces has more than 16 people; up to there all are counted.
    seed
        Of drawn patterns.

    Returns
    -------
    GroupComparison

    Notes
    -----
    **Primary**, since few people cannot say much about a mean: the test of every person, and the prevalence of a
    significant difference [1]_. A two-sided test at alpha counts towards one direction with rate alpha / 2, which is
    the false positive rate of that prevalence. `p_above`: null, nobody has the difference in that direction;
    binomial, exact where people's tests hold their level; `p_below`: the same in the other direction.

    **Where nothing is predicted, nothing is compared.** Pooled held-out r of a space that predicts nothing is below 0
    on average, by an amount that depends on the number of its features and its penalty (-.12 for 3 features, -.07 for
    30, with 240 trials and a penalty of 1,000). Two spaces of different size therefore differ where both predict
    nothing, and few people make that significant. The differences of `tests` are of correlations within folds, which
    have little of this bias (-.03 and -.01). And where the scores have p, a pair is compared in a region only if
    `q_nobody` of one of the two spaces is below `alpha` there; elsewhere `compared` is False, p, q and counts are NaN,
    stars are empty, and the corrections do not count it.

    **Descriptive.** Paired t over people (null: mean difference 0, differences normal), two-sided. Sign-flip: see
    :func:`sign_flip_test`; `smallest_p_flip` is .0625 with five people, so that no correction can leave anything.
    dz is the mean difference over its s.d. times the exact small-sample factor (Hedges); its interval inverts the
    noncentral t, and speaks of the dz of the population. Intervals of means are t intervals over people.

    **Correction.** Benjamini-Hochberg over all regions and other spaces that are compared, for each kind of p by
    itself, `q_above` and `q_below` over both directions together; `q_nobody` over all regions and spaces.

    A person whose region is undefined (NaN) in a space is left out of that region and pair; a region that nobody has
    is NaN.

    References
    ----------
    .. [1] Ince, Paton, Kay & Schyns (2021). Bayesian inference of population prevalence. eLife 10, e62461.

    Examples
    --------
    >>> rows = [(f"sub-{s}", "TPJ", space, r) for s in range(5) for space, r in (("mllm", 0.2 + s / 99), ("llm", 0.1))]
    >>> scores = pd.DataFrame(rows, columns=["subject", "region", "space", "r"])
    >>> found = compare_group(scores, reference="mllm", seed=0).comparisons.iloc[0]
    >>> found[["difference", "p_t", "p_flip"]].astype(float).round(4).tolist()
    [0.1202, 0.0001, 0.0625]
    """
    check_level(level)
    _check_table(scores, ("subject", "region", "space", "r"), "the table of scores")
    regions, spaces, subjects = (list(dict.fromkeys(scores[name])) for name in ("region", "space", "subject"))
    if reference not in spaces:
        raise InputError(f"there are no scores of the space '{reference}'", remedy=f"choose among {cut_short(spaces)}")
    if len(subjects) < 2:
        raise InputError("the scores are of one person, which is no group", remedy="give the scores of at least two")
    others = [space for space in spaces if space != reference]
    in_people = _in_people(scores, regions, spaces, alpha, level) if "p" in scores.columns else None
    if not others:
        return _of_one_space(scores, regions, reference, in_people, alpha, level, stars)
    pairs = pd.MultiIndex.from_product([regions, others], names=["region", "space"])
    values = _wide(scores, "r", regions, [reference, *others]).to_numpy(np.float64)
    by_space = values.reshape(len(subjects), len(regions), len(spaces))
    differences = (by_space[:, :, :1] - by_space[:, :, 1:]).reshape(len(subjects), len(pairs))
    compared = _compared(in_people, pairs, reference, alpha)
    tested: dict[str, Any] = {}
    if tests is not None:
        tested = _prevalences(tests, pairs, compared & ~np.isnan(differences).all(axis=0), alpha, level)
        differences = _wide(tests, "difference", regions, others).to_numpy(np.float64)
    elif stars == "q_above":
        raise InputError("there are no tests of single people to read stars from", remedy="give tests")
    comparisons = pairs.to_frame(index=False).assign(reference=reference, compared=compared)
    comparisons = comparisons.assign(**_described(differences, compared, level, n_flips, seed), **tested)
    comparisons["stars"] = [_starred(p) for p in comparisons[stars]]
    return GroupComparison(
        regions=_regions(scores, regions, spaces, comparisons, in_people, level),
        comparisons=comparisons,
        subjects=tests,
        reference=reference,
        alpha=alpha,
        level=level,
        star_column=stars,
        correction=_correction(len(regions), len(others), int(compared.sum())),
    )


def _of_one_space(
    scores: pd.DataFrame,
    regions: list[str],
    space: str,
    in_people: pd.DataFrame | None,
    alpha: float,
    level: float,
    stars: StarColumn,
) -> GroupComparison:
    """Means and prevalence of a space that is held against no other."""
    nothing = pd.DataFrame({name: pd.Series(dtype=str) for name in ("region", "space", "reference", "stars")})
    return GroupComparison(
        regions=_regions(scores, regions, [space], nothing, in_people, level),
        comparisons=nothing,
        subjects=None,
        reference=space,
        alpha=alpha,
        level=level,
        star_column=stars,
        correction="No other space is compared.",
    )


def _correction(n_regions: int, n_others: int, n_compared: int) -> str:
    """What q is corrected over, in a sentence."""
    whole = f"{n_regions} regions × {n_others} spaces"
    if n_compared == n_regions * n_others:
        return f"Benjamini-Hochberg over {whole}."
    return (
        f"Benjamini-Hochberg over {n_compared} of {whole}; in the others neither space predicts the region in anybody, "
        "and they are not compared."
    )


def _compared(in_people: pd.DataFrame | None, pairs: pd.MultiIndex, reference: str, alpha: float) -> Bools:
    """Whether one of the two spaces predicts the region in somebody; everywhere where that is not known."""
    if in_people is None:
        return np.ones(len(pairs), np.bool_)
    predicts = in_people["q_nobody"] < alpha
    first = predicts.reindex(pd.MultiIndex.from_arrays([pairs.get_level_values(0), [reference] * len(pairs)]))
    either: Bools = first.to_numpy(np.bool_) | predicts.reindex(pairs).to_numpy(np.bool_)
    return either


def _check_table(table: pd.DataFrame, needed: tuple[str, ...], what: str) -> None:
    """Refuse a table that lacks a column or says something twice."""
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InputError(f"{what} has no column '{missing[0]}'", remedy=f"give the columns {', '.join(needed)}")
    if table.empty:
        raise InputError(f"{what} is empty", remedy="give at least one row")
    twice = table.duplicated(["subject", "region", "space"])
    if twice.any():
        subject, region, space = table[twice.to_numpy()].iloc[0][["subject", "region", "space"]]
        raise InputError(
            f"{what} has '{subject}', '{region}', '{space}' more than once",
            remedy="give one row per subject, region and space",
        )


def _wide(table: pd.DataFrame, column: str, regions: list[str], spaces: list[str]) -> pd.DataFrame:
    """One row per person, one column per region and space; NaN where a person has none."""
    cells = pd.MultiIndex.from_product([regions, spaces], names=["region", "space"])
    return table.pivot(index="subject", columns=["region", "space"], values=column).reindex(columns=cells)


def _described(differences: Floats, compared: Bools, level: float, n_flips: int, seed: int) -> dict[str, Any]:
    """The columns over people of differences (n_subjects, n_pairs); only mean and s.d. of what is not compared."""
    n = (~np.isnan(differences)).sum(axis=0)
    mean, sd = _mean_sd(differences)
    error = np.where(compared, sd / np.sqrt(np.maximum(n, 1)), np.nan)
    reach = stats.t.ppf((1 + level) / 2, np.maximum(n - 1, 1)) * error
    t = np.divide(mean, error, out=np.full(len(mean), np.nan), where=error > 0)
    p_t = 2 * stats.t.sf(np.abs(t), np.maximum(n - 1, 1))
    dz, dz_low, dz_high = _effect_size(t, n, level)
    p_flip, smallest = _flipped(np.where(compared, differences, np.nan), n_flips, seed)
    return {
        "n_subjects": n, "difference": mean, "sd": sd, "low": mean - reach, "high": mean + reach,
        "t": t, "p_t": p_t, "q_t": false_discovery_rate(p_t),
        "p_flip": p_flip, "q_flip": false_discovery_rate(p_flip), "smallest_p_flip": smallest,
        "dz": dz, "dz_low": dz_low, "dz_high": dz_high,
    }  # fmt: skip


def _mean_sd(values: Floats) -> tuple[Floats, Floats]:
    """Mean and s.d. (n - 1) over the people who have a value; NaN without any, s.d. NaN with one."""
    n = (~np.isnan(values)).sum(axis=0)
    mean = np.divide(np.nansum(values, axis=0), n, out=np.full(values.shape[1], np.nan), where=n > 0)
    squares = np.nansum((values - mean) ** 2, axis=0)
    sd = np.sqrt(np.divide(squares, n - 1, out=np.full(values.shape[1], np.nan), where=n > 1))
    return mean, sd


def _flipped(differences: Floats, n_flips: int, seed: int) -> tuple[Floats, Floats]:
    """Sign-flip p per pair and the least it can be; pairs that the same people have are flipped together."""
    known = ~np.isnan(differences)
    p, smallest = np.full((2, differences.shape[1]), np.nan)
    for present in np.unique(known, axis=1).T:
        if not present.any():
            continue
        those = (known == present[:, None]).all(axis=0)
        found = sign_flip_test(differences[np.ix_(present, those)], n_flips=n_flips, seed=seed)
        p[those], smallest[those] = found.p, found.smallest_p
    return p, smallest


def _effect_size(t: Floats, n: NDArray[np.intp], level: float) -> tuple[Floats, Floats, Floats]:
    """Hedges' dz of paired differences, and the ends of the interval of the population's dz by the noncentral t."""
    dz, low, high = np.full((3, len(t)), np.nan)
    known = np.isfinite(t)
    freedom, root = n[known] - 1.0, np.sqrt(n[known])
    # With one degree of freedom the bias of the ratio is infinite.
    factor = np.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    dz[known] = np.where(freedom > 1, t[known] / root * factor, np.nan)
    low[known] = special.nctdtrinc(freedom, (1 + level) / 2, t[known]) / root
    high[known] = special.nctdtrinc(freedom, (1 - level) / 2, t[known]) / root
    return dz, low, high


def _prevalences(
    tests: pd.DataFrame, pairs: pd.MultiIndex, needed: Bools, alpha: float, level: float
) -> dict[str, Any]:
    """The columns that single people's tests make; NaN, beside the number tested, where they are not needed."""
    _check_table(tests, ("subject", "region", "space", "difference", "p"), "the table of tests")
    known = tests.dropna(subset=["difference", "p"])
    significant = known["p"] <= alpha
    counted = (
        known[["region", "space"]]
        .assign(
            n_tested=1, n_above=significant & (known["difference"] > 0), n_below=significant & (known["difference"] < 0)
        )
        .groupby(["region", "space"])
        .sum()
        .reindex(pairs, fill_value=0)
        .astype(int)
    )
    untested = counted.index[needed & (counted["n_tested"] == 0).to_numpy()]
    if len(untested):
        raise InputError(
            f"nobody was tested in {cut_short([f'{region}, {space}' for region, space in untested])}",
            source="the table of tests",
            remedy="give a test for every region and space of the scores, or leave that one out of both",
        )
    n = counted["n_tested"].to_numpy()
    columns: dict[str, Any] = {"n_tested": n}
    for side in ("above", "below"):
        count = counted[f"n_{side}"].to_numpy()
        columns[f"n_{side}"] = count if needed.all() else np.where(needed, count, np.nan)
        found = _counted(count, n, needed, alpha / 2, level)
        columns |= {
            side: found["most_likely"], f"{side}_low": found["low"], f"{side}_high": found["high"],
            f"{side}_bound": found["bound"], f"{side}_majority": found["majority"],
            f"p_{side}": found["p_nobody"],
        }  # fmt: skip
    columns["q_above"], columns["q_below"] = false_discovery_rate([columns["p_above"], columns["p_below"]])
    return columns


def _in_people(scores: pd.DataFrame, regions: list[str], spaces: list[str], alpha: float, level: float) -> pd.DataFrame:
    """In how many people every space predicts every region; one row per region and space, NaN where nobody has it."""
    has, p = (_wide(scores, name, regions, spaces).notna() for name in ("r", "p"))
    known, tested = has.any(axis=0).to_numpy(), p.sum(axis=0).to_numpy()
    if (known & (tested == 0)).any():
        region, space = has.columns[known & (tested == 0)][0]
        raise InputError(
            f"a region and space ({region}, {space}) have no p of any person",
            source="the table of scores",
            remedy="leave that region out",
        )
    k = (_wide(scores, "p", regions, spaces) <= alpha).sum(axis=0).to_numpy()
    found = _counted(k, tested, known, alpha, level)
    return pd.DataFrame(
        {
            "n_significant": k, "prevalence": found["most_likely"], "prevalence_low": found["low"],
            "prevalence_high": found["high"], "prevalence_bound": found["bound"], "p_nobody": found["p_nobody"],
            "q_nobody": false_discovery_rate(found["p_nobody"]),
        },
        index=has.columns,
    )  # fmt: skip


def _counted(k: NDArray[np.intp], n: NDArray[np.intp], needed: Bools, alpha: float, level: float) -> dict[str, Floats]:
    """The prevalence of k of n people where it is needed, NaN elsewhere."""
    names = ("most_likely", "low", "high", "bound", "majority", "p_nobody")
    found = {name: np.full(len(k), np.nan) for name in names}
    if needed.any():
        of_needed = prevalence(k[needed], n[needed], alpha=alpha, level=level)
        for name in names:
            found[name][needed] = getattr(of_needed, name)
    return found


def _regions(
    scores: pd.DataFrame,
    regions: list[str],
    spaces: list[str],
    comparisons: pd.DataFrame,
    in_people: pd.DataFrame | None,
    level: float,
) -> pd.DataFrame:
    """Mean over people of every region and space, and in how many people the space predicts it."""
    values = _wide(scores, "r", regions, spaces)
    cells = values.columns
    n = values.notna().sum(axis=0).to_numpy()
    mean, sd = _mean_sd(values.to_numpy(np.float64))
    reach = stats.t.ppf((1 + level) / 2, np.maximum(n - 1, 1)) * sd / np.sqrt(np.maximum(n, 1))
    starred = comparisons.set_index(["region", "space"])["stars"].reindex(cells, fill_value="").to_numpy()
    table = cells.to_frame(index=False).assign(
        n_subjects=n, mean=mean, sd=sd, low=mean - reach, high=mean + reach, stars=starred
    )
    return table if in_people is None else pd.concat([table, in_people.reset_index(drop=True)], axis=1)


def _starred(p: float) -> str:
    """Stars as in the paper."""
    return next((mark for edge, mark in _STARS if p < edge), "")
