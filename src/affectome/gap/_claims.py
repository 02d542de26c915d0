"""From differences in single people to claims: the mean with its interval, in how many it was found, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from affectome._resampling import check_level, false_discovery_rate
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural import prevalence

__all__ = ["CLAIM", "FEWEST_PEOPLE", "only_predicted", "pool_people", "state_claims"]

Floats = NDArray[np.float64]

#: People below whom nothing is claimed of brains.
FEWEST_PEOPLE = 3
#: Columns of a claim, in their order.
CLAIM = (
    "first", "second", "measure", "where", "matched", "difference", "ci_low", "ci_high", "level", "n_subjects",
    "n_above", "n_below", "prevalence_low", "p", "q", "verdict",
)  # fmt: skip
_NEEDED = ("subject", "difference", "se", "p", "df")


def pool_people(
    differences: pd.DataFrame, by: Sequence[str], *, alpha: float = 0.05, level: float = 0.95
) -> pd.DataFrame:
    r"""The mean difference over people, and in how many people it is found.

    Parameters
    ----------
    differences : DataFrame
        One row per person and combination of `by`: ``subject``, ``difference``, ``se``, ``p`` (two-sided), ``df``.
    by
        Columns that say what is compared.
    alpha
        Level of the test of one person.
    level
        Coverage of the interval; probability of the prevalence bound.

    Returns
    -------
    DataFrame, a row per combination in the order in which it first comes: `by`, ``difference`` (mean over people),
    ``se``, ``ci_low``, ``ci_high``, ``p`` (two-sided), ``n_subjects``, ``n_above`` and ``n_below`` (people with
    p <= alpha and a difference above, below 0), ``prevalence_low``. A person without a difference (NaN) does not count;
    where one has a difference without a standard error, that of the mean is not known either (NaN).

    Notes
    -----
    **Interval and p** speak of other stimuli (or runs) and of *these* people. People who saw the same stimuli err
    alike, by an amount that nobody knows; so the standard error of their mean is taken as if they all erred together,

    .. math:: se\Big(\frac1n \sum_s d_s\Big) \le \frac1n \sum_s se(d_s),

    which is too large where they do not: conservative. t with the smallest degrees of freedom of the people.

    **Other people** are what ``prevalence_low`` speaks of: with probability `level` at least this share of the
    population would show the effect in the direction of the mean, if tested as these were (:func:`prevalence
    <affectome.neural.prevalence>`, with the false positive rate alpha / 2 of one direction).

    Examples
    --------
    >>> rows = [(f"sub-{k}", "TPJ", 0.1 + k / 100, 0.03, 0.001, 59) for k in range(5)]
    >>> people = pd.DataFrame(rows, columns=["subject", "where", "difference", "se", "p", "df"])
    >>> found = pool_people(people, ["where"]).iloc[0]
    >>> float(round(found["difference"], 2)), int(found["n_above"]), float(round(found["prevalence_low"], 2))
    (0.12, 5, 0.6)
    """
    check_level(level)
    missing = [name for name in (*_NEEDED, *by) if name not in differences.columns]
    if missing:
        raise InputError(f"the differences have no column '{missing[0]}'", remedy=f"give {', '.join((*_NEEDED, *by))}")
    if differences.duplicated(["subject", *by]).any():
        row = differences[differences.duplicated(["subject", *by])].iloc[0]
        raise InputError(
            f"{row['subject']} has two differences of {cut_short([str(row[name]) for name in by])}",
            remedy="give each person once",
        )
    known, significant = np.isfinite(differences["difference"]), differences["p"] <= alpha
    people = differences.assign(
        se=differences["se"].where(known),
        df=differences["df"].where(known),
        above=significant & (differences["difference"] > 0),
        below=significant & (differences["difference"] < 0),
    )
    found = people.groupby(list(by), sort=False).agg(
        difference=("difference", "mean"),
        se=("se", "mean"),
        df=("df", "min"),
        n_subjects=("difference", "count"),
        n_errors=("se", "count"),
        n_above=("above", "sum"),
        n_below=("below", "sum"),
    )
    whole = found["n_errors"] == found["n_subjects"]  # else the error of the mean is not known
    return _tested(found.assign(se=found["se"].where(whole)), alpha, level).drop(columns="n_errors").reset_index()


def _tested(found: pd.DataFrame, alpha: float, level: float) -> pd.DataFrame:
    difference, error = (found[name].to_numpy(np.float64) for name in ("difference", "se"))
    df = found["df"].to_numpy(np.float64)
    reach = stats.t.ppf((1 + level) / 2, df) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(difference == 0, 0.0, np.abs(difference) / error)
    bound, someone = np.full(len(found), np.nan), found["n_subjects"].to_numpy() > 0
    along = np.where(difference > 0, found["n_above"], found["n_below"])
    if someone.any():
        bound[someone] = prevalence(
            along[someone], found["n_subjects"].to_numpy()[someone], alpha=alpha / 2, level=level
        ).bound
    tested = {"ci_low": difference - reach, "ci_high": difference + reach, "p": 2 * stats.t.sf(t, df)}
    return found.assign(**tested, prevalence_low=bound).drop(columns="df")


def only_predicted(pooled: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The same differences, without a p of encodings where neither space predicts anything in anybody.

    Correlations within folds of spaces that predict nothing still lie a little below 0, the more the fewer features a
    space has (see :func:`compare_group <affectome.neural.compare_group>`): two spaces of different size would differ
    there. A space predicts a place if the interval of its r lies above 0 in at least one person.

    Parameters
    ----------
    pooled : DataFrame
        ``measure``, ``where``, ``size``, ``first``, ``second``, ``p`` ...
    scores : DataFrame
        Of people: ``measure``, ``where``, ``size``, ``space``, ``low``, as :func:`score_person` gives.

    Returns
    -------
    DataFrame
        `pooled`, ``p`` being NaN in these rows. Geometries have no such bias, and keep theirs.

    Examples
    --------
    >>> place = {"measure": "encoding", "where": "V1", "size": "full"}
    >>> pooled = pd.DataFrame([{**place, "first": "a", "second": "b", "p": 0.01}])
    >>> scores = pd.DataFrame([{**place, "space": name, "low": -0.1} for name in "ab"])
    >>> only_predicted(pooled, scores)["p"].tolist()
    [nan]
    """
    above = scores[(scores["measure"] == "encoding") & (scores["low"] > 0)]
    predicts = set(above[["where", "size", "space"]].itertuples(index=False, name=None))
    nothing = [
        row.measure == "encoding"
        and (row.where, row.size, row.first) not in predicts
        and (row.where, row.size, row.second) not in predicts
        for row in pooled.itertuples(index=False)
    ]
    return pooled.assign(p=pooled["p"].mask(np.array(nothing, bool)))


def state_claims(differences: pd.DataFrame, *, alpha: float = 0.05, level: float = 0.95) -> pd.DataFrame:
    """Correct p over all claims, and say of each what may be said.

    Parameters
    ----------
    differences : DataFrame
        As :func:`pool_people` gives, with ``first``, ``second``, ``measure``, ``where`` and ``matched``. Of choices,
        which have no people to be replicated in, ``n_subjects`` is NaN. A p of NaN is not tested.
    alpha, level
        Threshold on q, and coverage of the intervals, which is told.

    Returns
    -------
    DataFrame with the columns :data:`CLAIM`.

    Notes
    -----
    **Correction:** Benjamini-Hochberg over all rows that have a p: pairs, measures, places and sizes together.

    **Verdict.** ``"A above B"`` (the names of the spaces) where

    1. q <= alpha and the mean difference is above 0, and
    2. for brains: at least three people, more than half of whom show it by themselves (``n_above``), none the reverse.

    ``"B above A"`` the other way round. ``"too few people"``: fewer than three. Everything else is ``"undecided"``,
    which does not say that the spaces are equal: read the interval.

    Examples
    --------
    >>> row = {"first": "mllm", "second": "llm", "measure": "rsa", "where": "TPJ", "matched": True, "difference": 0.1,
    ...        "ci_low": 0.05, "ci_high": 0.15, "n_subjects": 5, "n_above": 4, "n_below": 0, "prevalence_low": 0.4,
    ...        "p": 0.001}
    >>> state_claims(pd.DataFrame([row, {**row, "n_above": 2}, {**row, "n_subjects": 2}]))["verdict"].tolist()
    ['mllm above llm', 'undecided', 'too few people']
    """
    check_level(level)
    q = false_discovery_rate(differences["p"]) if len(differences) else np.empty(0)
    whole = dict.fromkeys(("n_subjects", "n_above", "n_below"), "Int64")
    stated = differences.assign(level=level, q=q, matched=differences["matched"].astype(bool)).astype(whole)
    verdicts = [_verdict(row, alpha) for _, row in stated.iterrows()]
    return stated.assign(verdict=pd.Series(verdicts, stated.index, dtype=object))[list(CLAIM)]


def _verdict(row: pd.Series, alpha: float) -> str:
    n, first, second = row["n_subjects"], row["first"], row["second"]
    if not pd.isna(n) and n < FEWEST_PEOPLE:
        return "too few people"
    if not row["q"] <= alpha:
        return "undecided"
    above = row["difference"] > 0
    if not pd.isna(n):
        along, against = (row["n_above"], row["n_below"]) if above else (row["n_below"], row["n_above"])
        if against > 0 or along <= n / 2:
            return "undecided"
    return f"{first} above {second}" if above else f"{second} above {first}"
