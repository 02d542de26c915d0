"""study.toml: what it may say, and one clear line for everything it may not."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from affectome._toml import Table, checked, read_toml
from affectome.errors import InputError
from affectome.judges._config import Captions
from affectome.spaces import Metric, Standardisation
from affectome.stimuli import DATASETS
from affectome.study._brain import KNOWN_REGIONS

__all__ = ["Study", "read_study"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1, le=1_000_000_000)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class About(Table):
    """Who the study is."""

    name: str = Field(description="Title, used in the report.")
    seed: Seed = Field(description="Everything random in the study derives from it.")


class Stimuli(Table):
    """What is judged."""

    path: str = Field(description="A stimulus table, a folder of clips, or the file of a dataset.")
    dataset: str | None = Field(default=None, description=f"Name of a public dataset: {', '.join(DATASETS)}.")
    id_column: str = Field(default="id", description="Id column of a stimulus table.")


class SpaceFile(Table):
    """A named space read from a table."""

    path: str = Field(description="CSV, TSV or Parquet: one row per stimulus, an id column, numbers.")
    id_column: str = Field(default="id", description="Name of the id column.")
    how: Literal["exact", "intersect"] = Field(
        default="exact", description="Whether other stimuli are a fault, or only the shared ones are kept."
    )


class FeatureJudgeTable(Table):
    """A judge that keeps the two most similar stimuli of a space."""

    kind: Literal["features"]
    space: str = Field(description="Name of the space it looks at.")
    metric: Metric = Field(default="cosine", description="How similarity is measured.")
    standardise: Standardisation = Field(default="none", description="Scaling of the features over all stimuli.")
    temperature: float | None = Field(default=None, gt=0, description="Choice noise; without it the judge never errs.")


class SentenceJudgeTable(Table):
    """A language system: the captions through a sentence encoder, compared by cosine."""

    kind: Literal["sentences"]
    model: str = Field(
        default="sentence-transformers/all-MiniLM-L6-v2", description="Model folder, or an id on the Hugging Face hub."
    )
    batch_size: Positive = Field(default=64, description="Sentences encoded together.")
    device: str | None = Field(default=None, description="cpu, cuda, mps; by default what torch finds.")
    temperature: float | None = Field(default=None, gt=0, description="Choice noise; without it the judge never errs.")


class AnswersTable(Table):
    """Answers that were collected elsewhere: by 'affectome collect', from people, or by another program."""

    kind: Literal["answers"]
    path: str = Field(description="A triplet file: Parquet, or odd-last .txt or .npy.")
    held_out: float = Field(default=0.1, gt=0, lt=1, description="Share of the different triplets kept for the score.")


class System(Table):
    """One system under study: who answers the questions."""

    label: str | None = Field(default=None, description="How figures and the report call it.")
    judge: Annotated[FeatureJudgeTable | SentenceJudgeTable | AnswersTable, Field(discriminator="kind")]


class Triplets(Table):
    """The questions, the same for every system."""

    design: Literal["random", "balanced"] = Field(default="random", description="How the triplets are chosen.")
    train: Positive = Field(description="Different triplets to learn from.")
    test: Positive = Field(description="Different triplets held out; none is among the others.")


class Embedding(Table):
    """How the space behind the answers is learned; see affectome.embedding.SPoSE."""

    components: Count = Field(default=30, description="Components at the start.")
    l1: float | None = Field(default=None, ge=0, description="Weight of the sparsity term; by the number of trials.")
    learning_rate: float = Field(default=0.2, gt=0, description="First learning rate of Adam.")
    n_epochs: Positive | None = Field(default=None, description="Passes of Adam over the triplets; by their number.")
    max_iter: Count = Field(default=1000, description="Most iterations of L-BFGS-B after them.")
    tol: float | None = Field(default=None, ge=0, description="Fall of the objective over ten of them that ends a fit.")


class Behavior(Table):
    """How the prediction of choices is scored."""

    bootstrap: Count = Field(default=1000, description="Resamples behind the interval.")
    level: float = Field(default=0.95, gt=0, lt=1, description="Coverage the interval aims at.")


class Interpretation(Table):
    """What the components are held against."""

    ratings: list[str] = Field(
        default_factory=list, description="Spaces whose columns are correlated with the components."
    )
    alpha: float = Field(default=0.05, gt=0, lt=1, description="Threshold on q after the correction over the table.")
    categories: str | None = Field(default=None, description="Space whose largest column labels each stimulus.")
    ties: Literal["random", "first", "drop"] = Field(default="random", description="How tied labels are resolved.")
    top: Positive = Field(default=3, description="Nearest centroids among which the own category counts as found.")
    most_common: Positive = Field(default=17, description="Categories of the second, smaller classification.")
    drop_duplicates: bool = Field(default=True, description="Leave out the repeated clips of the dataset.")
    permutations: Count = Field(default=200, description="Label permutations behind the null.")
    perplexity: float = Field(default=30.0, gt=0, description="Of the t-SNE map.")
    captions: Count = Field(default=5, description="Strongest stimuli shown per component, with a caption each.")


class BrainTable(Table):
    """Which recordings the spaces are held against; see affectome.study.Brain."""

    path: str = Field(description="A recording, a folder of them, or a recordings.toml.")
    spaces: list[str] = Field(default_factory=list, description="Systems and spaces; by default all systems.")
    reference: str | None = Field(default=None, description="The one that the others are held against; the first.")
    regions: str | None = Field(
        default=None, description="hcp, subcortical, paper, or a file; by default those of the recordings."
    )
    standardise: Literal["zscore", "center", "none"] = Field(default="zscore", description="Responses of each run.")
    folds: Annotated[int, Field(ge=3, le=1000)] = Field(default=6, description="Outer folds, of whole runs.")
    shared_stimuli: Literal["drop", "allow", "raise"] = Field(
        default="drop", description="Training trials whose stimulus is in the held-out fold too."
    )
    block_length: Count | None = Field(default=None, description="Trials that stay together under the null.")
    permutations: Count = Field(default=1000, description="Permutations behind every p.")
    level: float = Field(default=0.95, gt=0, lt=1, description="Coverage the intervals aim at.")


class Study(Table):
    """A study file after its environment variables were expanded."""

    study: About
    stimuli: Stimuli
    captions: Captions | None = None
    spaces: dict[Name, SpaceFile] = Field(default_factory=dict)
    triplets: Triplets
    systems: dict[Name, System] = Field(min_length=1)
    embedding: Embedding = Embedding()
    behavior: Behavior = Behavior()
    interpretation: Interpretation = Interpretation()
    brain: BrainTable | None = None

    def label(self, system: str) -> str:
        """The name a reader sees."""
        return self.systems[system].label or system

    def spaces_used(self) -> list[str]:
        """Names of the stimulus spaces that a judge or an analysis reads, each once."""
        judged = [s.judge.space for s in self.systems.values() if isinstance(s.judge, FeatureJudgeTable)]
        labels = [] if self.interpretation.categories is None else [self.interpretation.categories]
        predicting = [] if self.brain is None else [name for name in self.brain.spaces if name not in self.systems]
        return list(dict.fromkeys([*judged, *self.interpretation.ratings, *labels, *predicting]))


def read_study(path: str | os.PathLike[str], *, environment: Mapping[str, str] | None = None) -> Study:
    """Read and check a study file.

    ``${NAME}`` and ``${NAME:-default}`` inside text values take their value from the environment.
    Relative paths are read from the folder of the file and come back absolute.

    Raises
    ------
    InputError
        One line for every unknown key, wrong type, unset variable or missing file.
    """
    source = Path(path)
    study = checked(Study, read_toml(source, environment=environment), source, variants=_JUDGES)
    return _check_names(_absolute(study, source), source)


_JUDGES: dict[str, type[BaseModel]] = {
    "features": FeatureJudgeTable,
    "sentences": SentenceJudgeTable,
    "answers": AnswersTable,
}


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

    def resolve(table: Any, where: str) -> Any:
        return table.model_copy(update={"path": place(table.path, f"[{where}] path")})

    spaces = {name: resolve(table, f"spaces.{name}") for name, table in study.spaces.items()}
    captions = None if study.captions is None else resolve(study.captions, "captions")
    stimuli = resolve(study.stimuli, "stimuli")
    systems = {name: _with_model_folder(system, folder) for name, system in study.systems.items()}
    for name, system in systems.items():
        if isinstance(system.judge, AnswersTable):
            found = resolve(system.judge, f"systems.{name}.judge")
            systems[name] = system.model_copy(update={"judge": found})
    brain = study.brain
    if brain is not None:
        brain = resolve(brain, "brain")
        if brain.regions not in (None, *KNOWN_REGIONS):
            brain = brain.model_copy(update={"regions": place(brain.regions, "[brain] regions")})
    return study.model_copy(
        update={"stimuli": stimuli, "captions": captions, "spaces": spaces, "systems": systems, "brain": brain}
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
    for name in study.spaces:
        if name in built_in:
            raise fail(f"[spaces.{name}]", f"the dataset already has a space called '{name}'", "rename this one")
    for name, system in study.systems.items():
        if name in known:
            raise fail(f"[systems.{name}]", f"a space is called '{name}' too", "rename the system")
        if isinstance(system.judge, FeatureJudgeTable) and system.judge.space not in known:
            near = difflib.get_close_matches(system.judge.space, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"the spaces are {', '.join(known) or 'none'}"
            raise fail(f"[systems.{name}.judge] space", f"there is no space '{system.judge.space}'", hint)
    named = [("ratings", name) for name in study.interpretation.ratings]
    if study.interpretation.categories is not None:
        named.append(("categories", study.interpretation.categories))
    if study.brain is not None:
        _check_brain(study, study.brain, known, fail)
    for key, name in named:
        if name not in known:
            raise fail(
                f"[interpretation] {key}",
                f"there is no space '{name}'",
                f"the spaces are {', '.join(known) or 'none'}",
            )
    return study


def _check_brain(
    study: Study, brain: BrainTable, known: Sequence[str], fail: Callable[[str, str, str], InputError]
) -> None:
    for name in brain.spaces:
        if name not in known and name not in study.systems:
            choice = f"choose among {', '.join([*study.systems, *known])}"
            raise fail("[brain] spaces", f"there is no system or space '{name}'", choice)
    chosen = brain.spaces or list(study.systems)
    if brain.reference is not None and brain.reference not in chosen:
        raise fail("[brain] reference", f"'{brain.reference}' is not among them", f"choose among {', '.join(chosen)}")
