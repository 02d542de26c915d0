"""A study and where its results go, as every room of stages sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectome._seeds import named_seed
from affectome.errors import AffectomeError
from affectome.spaces import read_space
from affectome.stimuli import StimulusSet, read_stimuli
from affectome.study._schema import Study
from affectome.study._study_tables import AnswersTable, FeatureJudgeTable, SentenceJudgeTable
from affectome.triplets import TripletSet, read_triplets

__all__ = ["STIMULI", "Plan"]

#: Where the first stage writes ids and captions.
STIMULI = "stimuli/stimuli.parquet"


@dataclass(frozen=True, eq=False)
class Plan:
    """A study and where its results go; every path a stage writes lies below `results`.

    Attributes
    ----------
    study : Study
    results : Path
    n_jobs : int or None
        Threads of the kernels, or processes.
    failed : dict from stage to AffectomeError
        What was left out so far; stages that are made later go on with the other systems and people.
    """

    study: Study
    results: Path
    n_jobs: int | None = None
    failed: dict[str, AffectomeError] = field(default_factory=dict)

    @property
    def systems(self) -> list[str]:
        """Systems that have an embedding, or will."""
        lost = {
            name.split("/")[1] for name in self.failed if name.split("/")[0] in ("captions", "answers", "embedding")
        }
        return [name for name in self.study.systems if name not in lost]

    @property
    def brain_spaces(self) -> list[str]:
        """Systems and spaces that recordings are held against, but for systems without an embedding."""
        chosen = self.study.brain_spaces
        return [name for name in chosen if name in self.systems or name not in self.study.systems]

    def seed(self, *names: str) -> int:
        """A seed for one purpose."""
        return named_seed(self.study.study.seed, *names)

    def space(self, name: str | None) -> Any:
        """A space that an earlier stage wrote."""
        return read_space(self.results / f"spaces/{name}.parquet")

    def trials(self, name: str) -> TripletSet:
        """Triplets that an earlier stage wrote."""
        return read_triplets(self.results / f"triplets/{name}.parquet")

    def stimuli(self) -> StimulusSet:
        """Ids and captions as the first stage wrote them."""
        return read_stimuli(self.results / STIMULI)

    @property
    def asked_systems(self) -> list[str]:
        """Systems that answer the study's own questions; the others bring theirs."""
        return [name for name in self.systems if not isinstance(self.study.systems[name].judge, AnswersTable)]

    def judged_space(self, system: str) -> str | None:
        """Name of the space that a system's judge looks at; None where it looks at none."""
        judge = self.study.systems[system].judge
        if isinstance(judge, SentenceJudgeTable):
            return f"{system}_captions"
        return judge.space if isinstance(judge, FeatureJudgeTable) else None

    @property
    def question_parts(self) -> list[str]:
        """Sets of questions of the study, in the order in which they are asked."""
        design = self.study.triplets
        wanted = {
            "train": True,
            "test": True,
            "validation": design.validation > 0,
            "repeats": design.repeated > 0,
            "people": self.study.people is not None,
        }
        return [part for part, there in wanted.items() if there]

    def parts(self, system: str) -> list[str]:
        """Sets of answers that a system has, each a file of its own."""
        judge = self.study.systems[system].judge
        if not isinstance(judge, AnswersTable):
            return self.question_parts
        given = {"validation": judge.validation, "repeats": judge.repeats}
        return ["train", "test", *(part for part, path in given.items() if path is not None)]

    def answer_files(self, system: str, parts: Sequence[str] | None = None) -> tuple[str, ...]:
        """Where answers of a system lie; by default all of them."""
        return tuple(f"triplets/{system}_{part}.parquet" for part in (self.parts(system) if parts is None else parts))
