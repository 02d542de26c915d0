"""Do models name the odd one that people name, and how well could anything?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._resampling import check_bootstrap, defined_interval
from affectome.behavior._bootstrap import resampled_sums
from affectome.behavior._ceiling import (
    CHANCE,
    NoiseCeiling,
    agreement_scores,
    explained_share,
    leave_one_out_scores,
    modal_scores,
)
from affectome.behavior._matching import Sorted, answer_counts, sort_answers
from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = ["Consistency", "choice_consistency"]

Floats = NDArray[np.float64]

# A slot is called leaking where both hold: below this p, and this far from a third.
_LEAK_P = 0.001
_LEAK_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class Consistency:
    """Agreement of models with people on the triplets that all of them answered; chance is 1/3.

    Attributes
    ----------
    table : DataFrame
        One row per model in the order given and, where triplets repeat, a last row for people among themselves
        (``kind`` is ``"model"`` or ``"people"``). Columns:

        ``agreement, ci_low, ci_high``
            raw agreement (of people: that of two answers to one triplet);
        ``on_repeated``
            the same on the triplets of the ceiling only;
        ``of_lower_ceiling, of_upper_ceiling``, each with ``_ci_low`` and ``_ci_high``
            (on_repeated - 1/3) / (ceiling - 1/3), 0 at chance and 1 at that end of the bracket; NaN without repeated
            triplets or where the ceiling is not above chance.
    ceiling : NoiseCeiling or None
        None where no triplet has two answers of people.
    differences : DataFrame, one row per pair of models
        ``first, second, value, ci_low, ci_high``: raw agreement of the first minus that of the second, the interval
        from the same draws.
    coverage : DataFrame, one row for people and one per model
        ``n_trials, n_answered``; ``n_triplets`` different ones answered; ``n_shared`` of them answered by people (for
        the row of people: by all models); ``n_compared`` used; ``n_dropped`` not used.
    slots : DataFrame, one row per model
        ``order_known``; ``slot_a, slot_b, slot_c``: share of the model's trials whose human odd one stood there;
        ``chi2`` (2 degrees of freedom), ``p``; ``by_slot_alone``: agreement that the model's slot rates would
        reach with no look at the stimuli.
    warnings : tuple of str
        What speaks against taking the numbers at face value, in full sentences.
    n_triplets, n_answers : int
        Triplets compared, and answers of people to them.
    resample : str
        ``"triplets"`` or ``"participants"``: the units that were resampled.
    level : float
    n_boot : int
    """

    table: pd.DataFrame
    ceiling: NoiseCeiling | None
    differences: pd.DataFrame
    coverage: pd.DataFrame
    slots: pd.DataFrame
    warnings: tuple[str, ...]
    n_triplets: int
    n_answers: int
    resample: str
    level: float
    n_boot: int


def choice_consistency(
    reference: TripletSet,
    models: Mapping[str, TripletSet],
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int,
    resample: Literal["triplets", "participants"] = "triplets",
) -> Consistency:
    r"""Hold the choices of models against those of people.

    With :math:`h_{tk}` answers of people that call stimulus k of triplet t odd, :math:`H_t` in all, and
    :math:`m_{tk}`, :math:`M_t` those of a model,

    .. math:: A = \frac{\sum_t H_t \sum_k (h_{tk}/H_t)(m_{tk}/M_t)}{\sum_t H_t}

    is the chance that an answer of a person, drawn at random, names the same stimulus as an answer of the model to the
    same triplet. Hard choices alone count; probabilities are not looked at.

    Parameters
    ----------
    reference : TripletSet
        The answers of people. The order in which they saw the stimuli may be unknown.
    models : mapping from name to TripletSet
        Sets are matched by stimulus ids and the unordered triplet: rows, slots and order of ids are free. All are
        compared on the triplets that people and every model answered.
    n_boot, level, seed
        Of the percentile bootstrap, joint over all statistics.
    resample
        ``"triplets"`` draws triplets with all their answers (people and models fixed); ``"participants"`` draws people
        with all their answers, each scored against the answers of the others as they are (triplets and models fixed).
        The second needs a reference from :func:`affectome.read_answers`.

    Returns
    -------
    Consistency

    Raises
    ------
    InputError
        Where a model shares no answered triplet with people or with the other models.

    Examples
    --------
    >>> ids = ["calm", "fear", "joy", "rage"]
    >>> people = TripletSet([[0, 1, 2], [0, 1, 2], [1, 2, 3]], ids, choice=[1, 1, 1])
    >>> model = TripletSet([[1, 2, 0], [3, 2, 1]], ids, choice=[0, 0])
    >>> result = choice_consistency(people, {"mine": model}, seed=0)
    >>> result.table["agreement"].tolist()[0], result.ceiling.n_triplets
    (0.6666666666666666, 1)
    """
    check_bootstrap(n_boot, level)
    if not models:
        raise InputError("no model is given", remedy="give at least one to compare with people")
    if resample not in ("triplets", "participants"):
        raise InputError(f"resample='{resample}' is unknown", remedy="choose triplets or participants")
    ids = list(dict.fromkeys(i for trials in (reference, *models.values()) for i in trials.ids))
    people = sort_answers(reference, ids)
    answers = {name: sort_answers(trials, ids) for name, trials in models.items()}
    common, coverage = _common_triplets(reference, people, models, answers)

    people, at = people.within(common)
    counts = answer_counts(at, people.odd, len(common))
    total = counts.sum(axis=1, keepdims=True)
    human, repeated = counts / total, total >= 2
    person, warnings = _participants(reference, people, at, resample)

    def per_unit(scores: Floats) -> Floats:
        """Sums over the units, for the scores (n_triplets, 3) of an answer by triplet and place."""
        if resample == "participants":
            return np.bincount(person, weights=scores[at, people.odd]).astype(np.float64)
        return np.asarray(np.einsum("tk,tk->t", counts, scores), np.float64)

    columns = [per_unit(np.ones_like(human)), per_unit(repeated * np.ones_like(human))]
    columns += [
        per_unit(scores(counts) * repeated) for scores in (leave_one_out_scores, modal_scores, agreement_scores)
    ]
    slots = []
    for name, own in answers.items():
        own, own_at = own.within(common)
        theirs = answer_counts(own_at, own.odd, len(common))
        share = theirs / theirs.sum(axis=1, keepdims=True)
        columns += [per_unit(share), per_unit(share * repeated)]
        known = models[name].metadata.get("order_shown") != "unknown"
        slots.append({"name": name, "order_known": known, **_slot_leak(own, own_at, human, known)})
    totals = np.stack(columns).T
    observed = _statistics(totals.sum(axis=0)[None])
    draws = _statistics(resampled_sums(totals, n_boot=n_boot, seed=seed))
    ceiling = _ceiling(observed, draws, level, int(repeated.sum()), int(total[repeated].sum()))
    table = _table(list(models), observed, draws, level, people=ceiling is not None)
    slot_table = pd.DataFrame(slots)
    warnings += [*_coverage_warnings(coverage, len(common)), *_ceiling_warnings(ceiling, table)]
    warnings += [sentence for row in slots if (sentence := _slot_warning(row))]
    return Consistency(
        table=table,
        ceiling=ceiling,
        differences=_differences(list(models), observed, draws, level),
        coverage=coverage,
        slots=slot_table,
        warnings=tuple(warnings),
        n_triplets=len(common),
        n_answers=int(total.sum()),
        resample=resample,
        level=level,
        n_boot=n_boot,
    )


def _common_triplets(
    reference: TripletSet, people: Sorted, models: Mapping[str, TripletSet], answers: Mapping[str, Sorted]
) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Sorted keys that people and every model answered, and the table of what matched."""
    asked = people.triplets()
    own = {name: answer.triplets() for name, answer in answers.items()}
    shared = {name: np.intersect1d(asked, keys, assume_unique=True) for name, keys in own.items()}
    for name, keys in shared.items():
        if len(keys) == 0:
            raise InputError(
                f"people and '{name}' have no answered triplet in common",
                remedy="ask the model the triplets of the people, under the same stimulus ids",
            )
    common = reduce(lambda one, other: np.intersect1d(one, other, assume_unique=True), shared.values())
    if len(common) == 0:
        raise InputError(
            "no triplet was answered by people and by every model", remedy="compare the models one at a time"
        )
    rows = [("people", reference, len(people.key), len(asked), len(common))]
    rows += [(name, models[name], len(answers[name].key), len(own[name]), len(shared[name])) for name in models]
    table = pd.DataFrame(
        [
            (name, len(trials), answered, n, both, len(common), n - len(common))
            for name, trials, answered, n, both in rows
        ],
        columns=["name", "n_trials", "n_answered", "n_triplets", "n_shared", "n_compared", "n_dropped"],
    )
    return common, table


def _participants(
    reference: TripletSet, people: Sorted, at: NDArray[np.intp], resample: str
) -> tuple[NDArray[np.intp], list[str]]:
    """Number of the person behind each answer (people without one left out), and what to say about them."""
    if reference.block is None or "participants" not in reference.metadata:
        if resample == "participants":
            raise InputError(
                "the reference does not say who answered",
                remedy="import the answers with their participants (affectome triplets import), or resample triplets",
            )
        return np.zeros(0, np.intp), []
    person = np.unique(reference.block[people.rows], return_inverse=True)[1].astype(np.intp)
    warnings = []
    again = len(at) - len(np.unique(person * np.int64(at.max() + 1) + at))
    if again:
        warnings.append(
            f"{again:,} answers repeat a triplet that the same person had answered before; the ceiling takes them for "
            "answers of different people, and so also measures how far people agree with themselves."
        )
    if resample == "participants" and person.max() < 9:
        warnings.append(f"The intervals resample only {person.max() + 1} people and are rough.")
    return person, warnings


def _statistics(sums: Floats) -> dict[str, Floats]:
    """All shares from sums over units; `sums` (n_draws, 5 + 2 models), each result (n_draws, ...).

    The columns are those that `choice_consistency` lays out: answers, repeated answers, lower, upper, pairs, and each
    model's agreement on all and on repeated triplets.
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # no repeated triplet: NaN
        agreement = sums[:, 5::2] / sums[:, :1]
        repeated = sums[:, 6::2] / sums[:, 1:2]
        lower, upper, pairs = (sums[:, 2:5] / sums[:, 1:2]).T
        repeated = np.column_stack([repeated, pairs])  # people among themselves come last
        scores = {
            f"of_{end}_ceiling": explained_share(repeated, ceiling[:, None])
            for end, ceiling in (("lower", lower), ("upper", upper))
        }
    return {"agreement": np.column_stack([agreement, pairs]), "on_repeated": repeated, "lower": lower, "upper": upper,
            **scores}  # fmt: skip


def _ceiling(
    observed: Mapping[str, Floats], draws: Mapping[str, Floats], level: float, n_triplets: int, n_answers: int
) -> NoiseCeiling | None:
    if n_triplets == 0:
        return None
    lower, upper = (float(observed[end][0]) for end in ("lower", "upper"))
    return NoiseCeiling(
        lower,
        *defined_interval(draws["lower"], level),
        upper,
        *defined_interval(draws["upper"], level),
        n_triplets,
        n_answers,
    )


def _table(
    names: list[str], observed: Mapping[str, Floats], draws: Mapping[str, Floats], level: float, *, people: bool
) -> pd.DataFrame:
    rows = []
    for column, name in enumerate([*names, "people"] if people else names):
        row: dict[str, Any] = {"name": name, "kind": "model" if column < len(names) else "people"}
        row["agreement"] = observed["agreement"][0, column]
        row["ci_low"], row["ci_high"] = defined_interval(draws["agreement"][:, column], level)
        row["on_repeated"] = observed["on_repeated"][0, column]
        for score in ("of_lower_ceiling", "of_upper_ceiling"):
            value = observed[score][0, column]
            low, high = (np.nan, np.nan) if np.isnan(value) else defined_interval(draws[score][:, column], level)
            row |= {score: value, f"{score}_ci_low": low, f"{score}_ci_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _differences(
    names: list[str], observed: Mapping[str, Floats], draws: Mapping[str, Floats], level: float
) -> pd.DataFrame:
    rows = []
    for (i, first), (j, second) in combinations(enumerate(names), 2):
        value, resampled = (source["agreement"][:, i] - source["agreement"][:, j] for source in (observed, draws))
        rows.append((first, second, float(value[0]), *defined_interval(resampled, level)))
    return pd.DataFrame(rows, columns=["first", "second", "value", "ci_low", "ci_high"])


def _slot_leak(own: Sorted, at: NDArray[np.intp], human: Floats, known: bool) -> dict[str, float]:
    """Where the human odd one stood among the slots that the model was shown; `human` (n_triplets, 3) are shares.

    Null: slots are drawn independently of what people answered, for every trial anew. Then a trial's human shares
    q, put into slots, have mean 1/3 and covariance (sum q^2 - 1/3) / 2 times (I - J/3), and the sum over trials gives a
    chi-square with 2 degrees of freedom; with one human answer each it is Pearson's.
    """
    if not known:
        return dict.fromkeys(("slot_a", "slot_b", "slot_c", "chi2", "p", "by_slot_alone"), np.nan)
    n = len(own.odd)
    stood = np.array([human[at, place].sum() for place in own.places.T])
    spread = float((human**2).sum(axis=1)[at].sum() - n / 3) / 2
    chi2 = float(((stood - n / 3) ** 2).sum() / spread) if spread > 1e-9 * n else 0.0
    named = np.array([(place == own.odd).mean() for place in own.places.T])
    shares = dict(zip(("slot_a", "slot_b", "slot_c"), (stood / n).tolist(), strict=True))
    return {**shares, "chi2": chi2, "p": float(np.exp(-chi2 / 2)), "by_slot_alone": float(named @ stood / n)}


def _slot_warning(row: Mapping[str, Any]) -> str | None:
    if not row["order_known"]:
        return (
            f"The order in which '{row['name']}' was shown the stimuli is unknown, so whether a slot gave the human "
            "answer away cannot be checked."
        )
    shares = [row[f"slot_{slot}"] for slot in "abc"]
    most = int(np.argmax(np.abs(np.array(shares) - CHANCE)))
    if row["p"] >= _LEAK_P or abs(shares[most] - CHANCE) <= _LEAK_SHARE:
        return None
    return (
        f"Slots and answers are confounded for '{row['name']}': what people called odd stood in slot {'abc'[most]} of "
        f"{100 * shares[most]:.1f}% of its trials, where 33.3% are expected (chi-square({2}) = {row['chi2']:.1f}, "
        f"p = {row['p']:.2g}), and a model that answered by slot alone, at the slot rates of this one, would agree in "
        f"{100 * row['by_slot_alone']:.1f}%; ask it again with the slots drawn at random."
    )


def _coverage_warnings(coverage: pd.DataFrame, n_common: int) -> list[str]:
    names, shared = coverage["name"].tolist()[1:], coverage["n_shared"].tolist()[1:]
    most = int(np.argmax(shared))
    if n_common >= 0.9 * shared[most]:
        return []
    return [
        f"All are compared on the {n_common:,} triplets that every model answered; of the {shared[most]:,} that people "
        f"share with '{names[most]}', {shared[most] - n_common:,} are left out."
    ]


def _ceiling_warnings(ceiling: NoiseCeiling | None, table: pd.DataFrame) -> list[str]:
    if ceiling is None:
        return ["No triplet was answered twice by people, so there is no noise ceiling and no chance-corrected score."]
    if table["of_lower_ceiling"].isna().all():
        return [
            f"The lower end of the human ceiling ({ceiling.lower:.3f}) is not above chance, so the score against it is "
            "undefined."
        ]
    if table["of_lower_ceiling_ci_low"].isna().all():
        return [
            f"The lower end of the human ceiling ({ceiling.lower:.3f}) is too close to chance for an interval of the "
            "score against it."
        ]
    return []
