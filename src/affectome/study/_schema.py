"""study.toml: what it may say, and one clear line for everything it may not."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from affectome._cluster_tables import CLUSTER_KINDS, ClusterTable
from affectome._toml import Table, checked, read_toml
from affectome.errors import InputError
from affectome.judges._config import Captions
from affectome.stimuli import DATASETS
from affectome.study._brain import KNOWN_REGIONS
from affectome.study._study_tables import (
    About,
    AnswersTable,
    Behavior,
    BrainTable,
    Embedding,
    FeatureJudgeTable,
    GapTable,
    Interpretation,
    JudgeFileTable,
    Name,
    People,
    SentenceJudgeTable,
    SpaceTable,
    Stimuli,
    System,
    Triplets,
)

__all__ = ["Study", "read_study"]


class Study(Table):
    """A study file after its environment variables were expanded."""

    study: About
    stimuli: Stimuli
    captions: Captions | None = None
    spaces: dict[Name, SpaceTable] = Field(default_factory=dict)
    triplets: Triplets
    systems: dict[Name, System] = Field(min_length=1)
    embedding: Embedding = Embedding()
    behavior: Behavior = Behavior()
    people: People | None = None
    interpretation: Interpretation = Interpretation()
    brain: BrainTable | None = None
    gap: GapTable | None = None
    cluster: Annotated[ClusterTable, Field(discriminator="kind")] | None = None

    def label(self, system: str) -> str:
        """The name a reader sees."""
        return self.systems[system].label or system

    def spaces_used(self) -> list[str]:
        """Names of the stimulus spaces that a judge or an analysis reads, each once."""
        judged = [s.judge.space for s in self.systems.values() if isinstance(s.judge, FeatureJudgeTable)]
        read = [name for _, name in self.spaces_named() if name not in self.systems]
        return list(dict.fromkeys([*judged, *read]))

    def spaces_named(self) -> list[tuple[str, str]]:
        """Every space or system that an analysis names, with the key that names it."""
        meaning, brain, gap = self.interpretation, self.brain, self.gap
        named = [("[interpretation] ratings", name) for name in meaning.ratings]
        single = (("categories", meaning.categories), ("dimensions", meaning.dimensions), ("terms", meaning.terms))
        named += [(f"[interpretation] {key}", name) for key, name in single if name is not None]
        if brain is not None:
            named += [("[brain] spaces", name) for name in brain.spaces]
            named += [("[brain] controls", name) for name in brain.controls]
        if gap is not None:
            named += [("[gap] spaces", name) for name in gap.spaces]
        return named

    @property
    def brain_spaces(self) -> list[str]:
        """Systems and spaces that recordings are held against."""
        return [] if self.brain is None else self.brain.spaces or list(self.systems)


def read_study(
    path: str | os.PathLike[str],
    *,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Study:
    """Read and check a study file.

    ``${NAME}`` and ``${NAME:-default}`` inside text values take their value from the environment.
    Relative paths are read from the folder of the file and come back absolute.

    Parameters
    ----------
    path
        A ``study.toml``.
    overrides
        Values by dotted key, such as ``{"triplets.train": 20_000}``, in place of the file's; None takes a key or a
        whole table out (``{"systems.mllm": None}``).
    environment
        By default that of the process.

    Raises
    ------
    InputError
        One line for every unknown key, wrong type, unset variable or missing file.
    """
    source = Path(path)
    study = checked(Study, read_toml(source, environment=environment, overrides=overrides), source, variants=_VARIANTS)
    return _check_names(_absolute(study, source), source)


_JUDGES: dict[str, type[BaseModel]] = {
    "features": FeatureJudgeTable,
    "sentences": SentenceJudgeTable,
    "answers": AnswersTable,
    "file": JudgeFileTable,
}
_VARIANTS = {**_JUDGES, **CLUSTER_KINDS}


def _absolute(study: Study, source: Path) -> Study:
    folder = source.resolve().parent

    def place(path: str, where: str) -> str:
        try:
            target = (folder / Path(path).expanduser()).resolve()
            there = target.exists()
        except (OSError, ValueError, RuntimeError):  # too long, a NUL inside, an unknown ~user
            target, there = folder / "?", False
        if not there:
            raise InputError(
                f"there is no '{target if target.name != '?' else path[:200]}'",
                source=source,
                where=where,
                remedy="correct the path or fetch the data",
            )
        return str(target)

    def resolve_keys(table: Any, where: str, keys: Sequence[str]) -> Any:
        """The keys of a table that are paths, where they are given."""
        given = {key: getattr(table, key) for key in keys}
        found = {key: place(path, f"[{where}] {key}") for key, path in given.items() if path is not None}
        return table.model_copy(update=found)

    spaces = {name: resolve_keys(table, f"spaces.{name}", ["path"]) for name, table in study.spaces.items()}
    systems = {name: _with_model_folder(system, folder) for name, system in study.systems.items()}
    for name, system in systems.items():
        keys = {AnswersTable: ["path", "validation", "repeats"], JudgeFileTable: ["path"]}.get(type(system.judge), [])
        judge = resolve_keys(system.judge, f"systems.{name}.judge", keys)
        systems[name] = system.model_copy(update={"judge": judge})
    brain = study.brain
    if brain is not None:
        brain = resolve_keys(brain, "brain", ["path", *([] if brain.regions in KNOWN_REGIONS else ["regions"])])
    return study.model_copy(
        update={
            "stimuli": resolve_keys(study.stimuli, "stimuli", ["path"]),
            "captions": study.captions and resolve_keys(study.captions, "captions", ["path"]),
            "spaces": spaces,
            "systems": systems,
            "people": study.people and resolve_keys(study.people, "people", ["path"]),
            "interpretation": resolve_keys(study.interpretation, "interpretation", ["judge"]),
            "brain": brain,
        }
    )


def _with_model_folder(system: System, folder: Path) -> System:
    """An encoder that is a folder beside the study file, by its full path; a hub id as it is."""
    judge = system.judge
    if not isinstance(judge, SentenceJudgeTable) or not (folder / Path(judge.model).expanduser()).is_dir():
        return system
    found = str((folder / Path(judge.model).expanduser()).resolve())
    return system.model_copy(update={"judge": judge.model_copy(update={"model": found})})


#: Spaces that come with a dataset.
_DATASET_SPACES = {"cowen-keltner-2017": ("category", "dimension", "terms")}


def _check_names(study: Study, source: Path) -> Study:
    """Every name that is used must be defined, and none twice."""

    def fail(where: str, problem: str, remedy: str) -> InputError:
        return InputError(problem, source=source, where=where, remedy=remedy)

    dataset = study.stimuli.dataset
    if dataset is not None and dataset not in DATASETS:
        raise fail("[stimuli] dataset", f"'{dataset}' is no known dataset", f"choose one of {', '.join(DATASETS)}")
    built_in = _DATASET_SPACES.get(dataset or "", ())
    known = [*built_in, *study.spaces]
    for name, table in study.spaces.items():
        where = f"[spaces.{name}]"
        if name in built_in:
            raise fail(where, f"the dataset already has a space called '{name}'", "rename this one")
        if (table.path is None) == (not table.concatenate):
            raise fail(where, "a space is read from a path or put together by concatenate", "give one of them")
        _check_parts(study, name, known, fail)
    for name, system in study.systems.items():
        if name in known:
            raise fail(f"[systems.{name}]", f"a space is called '{name}' too", "rename the system")
        if isinstance(system.judge, FeatureJudgeTable) and system.judge.space not in known:
            _raise_unknown(f"[systems.{name}.judge] space", "space", system.judge.space, known, fail)
    _check_labels(study, fail)
    for where, name in study.spaces_named():
        if "[interpretation]" in where and name not in known:
            _raise_unknown(where, "space", name, known, fail)
        if name not in known and name not in study.systems:
            _raise_unknown(where, "system or space", name, [*study.systems, *known], fail)
    _check_references(study, fail)
    return study


#: Makes the error of a key: where, problem, remedy.
Fail = Callable[[str, str, str], InputError]


def _raise_unknown(where: str, what: str, name: str, known: Sequence[str], fail: Fail) -> None:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"choose among {', '.join(known)}" if known else "define it"
    raise fail(where, f"there is no {what} '{name}'", hint)


def _check_labels(study: Study, fail: Fail) -> None:
    """A reader can tell systems, and people, from one another."""
    called: dict[str, str] = {}
    named = {f"[systems.{name}]": study.label(name) for name in study.systems}
    if study.people is not None:
        named["[people]"] = study.people.label
    for where, label in named.items():
        other = called.setdefault(label, where)
        if other != where:
            raise fail(f"{where} label", f"{other} is called '{label}' too", "give each a label of its own")


def _check_parts(study: Study, name: str, known: Sequence[str], fail: Fail) -> None:
    """Spaces are put together from spaces that are read, each once."""
    parts, where = study.spaces[name].concatenate, f"[spaces.{name}] concatenate"
    for part in parts:
        if part not in known:
            _raise_unknown(where, "space", part, [other for other in known if other != name], fail)
        if part in study.spaces and study.spaces[part].concatenate:
            raise fail(where, f"'{part}' is put together itself", "name the spaces that it is made of")
    if parts and len(set(parts)) < max(2, len(parts)):
        raise fail(where, "it takes two spaces or more, each once", "correct the list")


def _check_references(study: Study, fail: Fail) -> None:
    """What others are held against is among those that are compared; nothing is both a space and its control."""
    held = {
        "interpretation": (study.interpretation.reference, list(study.systems)),
        "brain": (study.brain and study.brain.reference, study.brain_spaces),
        "gap": (study.gap and study.gap.reference, (study.gap and study.gap.spaces) or study.brain_spaces),
    }
    for table, (reference, among) in held.items():
        if reference is not None and reference not in among:
            raise fail(f"[{table}] reference", f"'{reference}' is not among them", f"choose among {', '.join(among)}")
    twice = [name for name in (study.brain.controls if study.brain else ()) if name in study.brain_spaces]
    if twice:
        raise fail("[brain] controls", f"'{twice[0]}' is one of the spaces too", "give it once")
    searched = study.brain and study.brain.searchlight
    if study.brain and study.brain.reliability and searched and searched.brain_metric == "euclidean":
        how = 'let brain_metric of [brain.searchlight] be "sqeuclidean"'
        raise fail("[brain] reliability", "Euclidean distances of patterns have no ceiling", how)
    if study.gap is not None:
        _check_gap(study, study.gap, fail)


def _check_gap(study: Study, gap: GapTable, fail: Fail) -> None:
    """There are spaces to compare, and what is said of some is said of these."""
    spaces, grounding = gap.spaces or study.brain_spaces, gap.grounding
    if len(spaces) < 2:
        raise fail("[gap]", "there are not two spaces to compare", "name them, or give the study a [brain]")
    named = [("reliability", name) for name in gap.reliability]
    if grounding is not None:
        if study.brain is None or not study.brain.controls:
            raise fail("[gap] grounding", "there is nothing to be grounded beyond", "name [brain] controls")
        named += [(f"grounding {key}", name) for key, name in grounding if name is not None]
    for key, name in named:
        if name not in spaces:
            raise fail(f"[gap] {key}", f"'{name}' is not among the spaces", f"choose among {', '.join(spaces)}")
    if gap.region is not None and study.brain is None:
        raise fail("[gap] region", "there is no [brain] that it could be a region of", "leave it out")
