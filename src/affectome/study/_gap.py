"""The gap: which space follows behaviour, which the brain, what may be claimed, and does that hang on a choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from affectome._progress import Progress
from affectome.study._brain import BrainReading
from affectome.study._brain_of_study import COMPARISON
from affectome.study._engine import Stage
from affectome.study._gap_scores import (
    FOLDER,
    SIZES,
    choice_scores,
    dimensions_of,
    gap_brain,
    gap_level,
    gap_people,
    gap_reference,
    gap_spaces,
    gap_table,
    grounding_pairs,
    pairs_of,
    person_files,
    person_scores,
    who_answered,
)
from affectome.study._plan import Plan
from affectome.study._written import Written, written_stage

__all__ = ["gap_person_stages", "gap_stages"]

#: Threshold on p of one person, and on q of a claim.
_ALPHA = 0.05
_TEXTS = ("subject", "space", "where", "first", "second", "choices_of", "relation", "region")
_LABELS = ["first", "second", "measure", "where", "matched"]
#: Of the table, where the brain is asked.
_MEASURES = ("encoding", "rsa")


def gap_person_stages(plan: Plan) -> list[Stage]:
    """What the gap is read from: choices, and the recording of every person."""
    if plan.study.gap is None or len(gap_spaces(plan)) < 2:
        return []
    stages = [choice_scores(plan)]
    if plan.study.brain is not None:
        reading = BrainReading(gap_brain(plan))
        stages += [person_scores(plan, reading, who) for who in reading.asked.recordings]
    return stages


def gap_stages(plan: Plan) -> list[Stage]:
    """The table, the claims, the specifications and the grounding, without people whose data do not allow it."""
    if plan.study.gap is None or len(gap_spaces(plan)) < 2 or "gap_scores/choices" in plan.failed:
        return []
    people = [] if plan.study.brain is None else gap_people(plan)
    stages = [_table(plan, people), _claims(plan, people)]
    if people and gap_table(plan).specifications:
        stages.append(_specifications(plan, people))
    if people and gap_brain(plan).controls:
        stages.append(_grounding(plan, people))
    return stages


def _read(plan: Plan, *paths: str) -> pd.DataFrame:
    """Tables that earlier stages wrote, one below the other."""
    texts: dict[Any, Any] = dict.fromkeys(_TEXTS, str)
    parts = [pd.read_csv(plan.results / path, dtype=texts, keep_default_na=False, na_values=[""]) for path in paths]
    return pd.concat(parts, ignore_index=True)


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """A table as JSON holds it; what is unknown is null."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _headline(plan: Plan) -> str:
    return gap_table(plan).region or "all"


def _labels(plan: Plan) -> dict[str, str]:
    return {name: plan.study.label(name) if name in plan.study.systems else name for name in gap_spaces(plan)}


# One row per space


def _table(plan: Plan, people: list[str]) -> Stage:
    names, place, level = gap_spaces(plan), _headline(plan), gap_level(plan)
    reliability = {name: value for name, value in gap_table(plan).reliability.items() if name in names}
    answering = who_answered(plan)
    labels = _labels(plan)
    labels |= {who: plan.study.label(who) for who in answering if who in plan.study.systems}
    if plan.study.people is not None:
        labels |= dict.fromkeys(answering, plan.study.people.label)
    choices = f"{FOLDER}/choices.csv"

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_gap

        predicted = _read(plan, choices)
        scores = _read(plan, *person_files(people, "scores")) if people else None
        dimensions = dimensions_of(plan, {name: plan.space(name) for name in names})
        rows = []
        for name in names:
            for size in SIZES:
                row: dict[str, Any] = {"space": name, "label": labels[name], "size": size,
                                       "n_dimensions": dimensions[size][name]}  # fmt: skip
                own = predicted[(predicted["space"] == name) & (predicted["size"] == size)]
                row["choices"] = _by_who(own)
                for measure in _MEASURES if scores is not None else ():
                    assert scores is not None  # else there is no measure
                    asked = {"space": name, "size": size, "measure": measure, "where": place}
                    known = scores[np.all([scores[key] == value for key, value in asked.items()], axis=0)]
                    # How reliable a space is that was cut, nobody said.
                    row[measure] = _over_people(known, level, reliability.get(name) if size == "full" else None)
                rows.append(row)
        figures = (
            {}
            if scores is None
            else {
                f"gap_{who}": plot_gap(rows, choices_of=who, labels=labels, where=_place_name(place))
                for who in answering
            }
        )
        flat = pd.json_normalize([_without_people(row) for row in rows], sep="_").set_index("space")
        return Written({"table": flat}, figures, {"where": place, "choices_of": answering, "level": level,
                                                  "chance": 1 / 3, "n_people": len(people), "rows": rows})  # fmt: skip

    return written_stage(
        "gap/table", plan.results, FOLDER, run, tables=("table",),
        figures=[f"gap_{who}" for who in answering] if people else [],
        parameters={"spaces": names, "labels": labels, "where": place, "level": level, "reliability": reliability,
                    "people": people, "dimensions": gap_table(plan).dimensions, "choices_of": answering},
        reads=[choices, *person_files(people, "scores"), *(f"spaces/{name}.parquet" for name in names)],
    )  # fmt: skip


def _place_name(place: str) -> str:
    return "All voxels" if place == "all" else place


def _by_who(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    columns = ["accuracy", "low", "high", "relation"]
    known = rows.assign(relation=rows["relation"].fillna(""))
    return {row["choices_of"]: {name: row[name] for name in columns} for _, row in known.iterrows()}


def _over_people(rows: pd.DataFrame, level: float, reliability: float | None) -> dict[str, Any]:
    """Mean over people with a t interval, and each with their own; corrected for attenuation where that is known."""
    from scipy import stats

    known = rows[np.isfinite(rows["r"])]
    n, r = len(known), known["r"]
    mean = float(r.mean()) if n else np.nan
    reach = float(stats.t.ppf((1 + level) / 2, n - 1) * r.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    corrected = {} if reliability is None else {"r_corrected": mean / np.sqrt(reliability), "reliability": reliability}
    each = {row["subject"]: {name: row[name] for name in ("r", "low", "high")} for _, row in rows.iterrows()}
    return {"r": mean, "low": mean - reach, "high": mean + reach, **corrected, "n_people": n, "people": each}


def _without_people(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose values are numbers and texts, for a table."""
    return {
        key: {name: part for name, part in value.items() if name != "people"} if key in _MEASURES else value
        for key, value in row.items()
    }


# Claims


def _claims(plan: Plan, people: list[str]) -> Stage:
    level, source = gap_level(plan), f"{FOLDER}/choice_differences.csv"
    kinds = ("differences", "scores")

    def run(progress: Progress) -> Written:
        from affectome.gap import only_predicted, pool_people, state_claims

        parts = [_choice_claims(_read(plan, source), _read(plan, f"{FOLDER}/choices.csv"))]
        if people:
            differences, scores = (_read(plan, *person_files(people, kind)) for kind in kinds)
            wanted = pd.MultiIndex.from_tuples(pairs_of(plan))
            asked = differences[pd.MultiIndex.from_frame(differences[["first", "second"]]).isin(wanted)]
            asked = asked.assign(matched=asked["size"] == "matched")
            pooled = pool_people(asked, [*_LABELS, "size"], alpha=_ALPHA, level=level)
            parts.append(only_predicted(pooled, scores))
        claims = state_claims(pd.concat(parts, ignore_index=True), alpha=_ALPHA, level=level)
        return Written({"claims": claims.set_index("first")}, {}, {
            "reference": gap_reference(plan), "headline": _headline(plan), "alpha": _ALPHA, "rule": _RULE,
            "correction": f"Benjamini-Hochberg over the {int(claims['p'].notna().sum())} claims that have a p.",
            "claims": _rows(claims),
        })  # fmt: skip

    return written_stage(
        "gap/claims", plan.results, FOLDER, run, tables=("claims",),
        parameters={"reference": gap_reference(plan), "spaces": gap_spaces(plan), "level": level, "people": people,
                    "headline": _headline(plan)},
        reads=[source, f"{FOLDER}/choices.csv", *(path for kind in kinds for path in person_files(people, kind))],
    )  # fmt: skip


_RULE = (
    "A is above B where q <= .05 and, of brains, at least three people were recorded, more than half of whom show it "
    "by themselves and none the reverse; all else is undecided."
)


def _choice_claims(differences: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Differences in predicted choices, but where a space was the source of the choices, or learned from them."""
    related = set(scores.loc[scores["relation"].fillna("") != "", ["choices_of", "space"]].itertuples(index=False))
    fair = [
        (row.choices_of, row.first) not in related and (row.choices_of, row.second) not in related
        for row in differences.itertuples()
    ]
    kept = differences[np.array(fair, bool)]
    nobody = dict.fromkeys(("n_subjects", "n_above", "n_below", "prevalence_low"), np.nan)
    renamed = kept.rename(columns={"choices_of": "where", "low": "ci_low", "high": "ci_high"})
    return renamed.assign(measure="choices", matched=kept["size"] == "matched", **nobody)


# Specifications


def _specifications(plan: Plan, people: list[str]) -> Stage:
    level, labels = gap_level(plan), _labels(plan)
    others = [second for _, second in pairs_of(plan)]

    def run(progress: Progress) -> Written:
        from affectome.gap import specification_curve
        from affectome.plotting import plot_specification_curve

        found = specification_curve(_read(plan, *person_files(people, "specifications")), alpha=_ALPHA, level=level)
        figures = {
            f"specification_curve_{second}": plot_specification_curve(rows, labels, alpha=_ALPHA, level=level)
            for second, rows in found.table.groupby("second", sort=False)
        }
        return Written(
            {
                "specifications": found.table.set_index("first"),
                "specification_summary": found.summary.set_index("first"),
            },
            figures,
            {"alpha": _ALPHA, "n_people": len(people), "note": _NOTE, "pairs": found.summary.to_dict("records")},
        )

    return written_stage(
        "gap/specifications", plan.results, FOLDER, run, tables=("specifications", "specification_summary"),
        parameters={"level": level, "people": people, "others": others, "headline": _headline(plan), "labels": labels},
        reads=person_files(people, "specifications"),
    )  # fmt: skip


_NOTE = (
    "Descriptive: the specifications share people and stimuli, so that their p are not independent and no share of "
    "them is a test."
)


# Grounding


def _grounding(plan: Plan, people: list[str]) -> Stage:
    asked, level, pairs = gap_brain(plan), gap_level(plan), grounding_pairs(plan)
    unique = {
        f"{COMPARISON}/{who}/beyond_controls_{space}/regions.csv": (who, space)
        for who in people
        for space in plan.brain_spaces
        if f"comparison/beyond_controls/{who}/{space}" not in plan.failed
    }

    def run(progress: Progress) -> Written:
        from affectome.gap import pool_people, state_claims

        scores = _read(plan, *person_files(people, "scores"))
        scores = scores[scores["measure"] == "rsa_beyond_controls"]
        parts = [scores[["subject", "measure", "where", "space", "r", "low", "high"]].rename(columns={"r": "value"})]
        for path, (who, space) in unique.items():
            rows = _read(plan, path).rename(columns={"region": "where", "unique": "value"})
            rows = rows[["where", "value", "low", "high"]].assign(subject=who, space=space, measure="unique_r2")
            parts.append(rows)
        each = pd.concat(parts, ignore_index=True)
        summary = [
            {"measure": measure, "where": where, "space": space, "mean": float(rows["value"].mean()),
             "n_people": int(rows["value"].notna().sum()), "n_above": int((rows["low"] > 0).sum())}
            for (measure, where, space), rows in each.groupby(["measure", "where", "space"], sort=False)
        ]  # fmt: skip
        tables = {"beyond_controls": each.set_index("subject")}
        told: dict[str, Any] = {"controls": list(asked.controls), "level": level, "spaces": summary}
        if pairs:
            differences = _read(plan, *person_files(people, "differences"))
            differences = differences[differences["measure"] == "rsa_beyond_controls"]
            wanted = pd.MultiIndex.from_tuples(pairs)
            kept = differences[pd.MultiIndex.from_frame(differences[["first", "second"]]).isin(wanted)]
            pooled = pool_people(kept.assign(matched=False), _LABELS, alpha=_ALPHA, level=level)
            claims = state_claims(pooled, alpha=_ALPHA, level=level)
            tables["grounding"] = claims.set_index("first")
            told["claims"] = _rows(claims)
        return Written(tables, {}, told)

    return written_stage(
        "gap/grounding", plan.results, FOLDER, run, tables=("beyond_controls", *(["grounding"] if pairs else [])),
        parameters={"level": level, "people": people, "controls": list(asked.controls),
                    "pairs": [list(pair) for pair in pairs]},
        reads=[*(path for kind in ("scores", "differences") for path in person_files(people, kind)), *unique],
    )  # fmt: skip
