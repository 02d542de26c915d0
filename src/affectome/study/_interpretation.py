"""What is interpreted, from which files and with which settings; what a space and a comparison both need of it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from affectome._progress import Progress
from affectome._resampling import check_level, check_permutations
from affectome._seeds import named_seed
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation import (
    CategoryStructure,
    ComponentTypes,
    PredictionComparison,
    RatingMap,
    SharesAbove,
    category_structure,
    compare_predictions,
    component_types,
    describe_rating_map,
    shares_above,
)
from affectome.spaces import Metric, align, read_space
from affectome.stimuli import StimulusSet, Thumbnail, read_stimuli, thumbnails
from affectome.study._engine import Stage
from affectome.study._written import Written, written_stage

if TYPE_CHECKING:
    from affectome.judges import ChatJudge

logger = logging.getLogger(__name__)

__all__ = ["FOLDER", "Interpretation", "Reading", "reading_stage"]

#: Where comparisons lie, beside the folders of spaces.
FOLDER = "together"


@dataclass(frozen=True, eq=False)
class Interpretation:
    """What is interpreted, and how.

    Parameters
    ----------
    spaces : mapping from name to path
        Learned spaces.
    ratings : mapping from family to path
        Tables of ratings of the same stimuli.
    out
        Results folder.
    categories, dimensions
        Families whose highest rating is a stimulus's category, and that are broad dimensions; by default the first
        and the second.
    terms
        Counts of free-response terms.
    stimuli
        Table or folder with captions and clips.
    excluded
        Ids to leave out.
    judge
        A judge file of a chat model that is asked for names too.
    blur
        Ids whose thumbnails are blurred, ``"all"`` or ``"none"``.
    only
        Analyses to do; by default all that the files allow.
    circular : mapping from space to families
        Ratings that the choices behind a space were made from; results say so.
    metrics : mapping from space to metric
        Similarity within a space where spaces are compared; ``"cosine"`` by default.
    reference
        Space that the others are held against; by default the first.
    n_permutations, level, seed
        Of every interval and null.
    """

    spaces: Mapping[str, Path]
    out: Path
    ratings: Mapping[str, Path] = field(default_factory=dict)
    categories: str | None = None
    dimensions: str | None = None
    terms: Path | None = None
    stimuli: Path | None = None
    excluded: tuple[str, ...] = ()
    judge: Path | None = None
    blur: Literal["all", "none"] | tuple[str, ...] = "all"
    only: tuple[str, ...] = ()
    circular: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    reference: str | None = None
    n_permutations: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.spaces:
            raise InputError("there is no space to interpret", remedy="name at least one")
        if FOLDER in self.spaces:
            raise InputError(f"no space can be called '{FOLDER}'", remedy="rename its file")
        check_permutations(self.n_permutations)
        check_level(self.level)
        unknown = [name for names in self.circular.values() for name in names if name not in self.ratings]
        if unknown:
            raise InputError(
                f"--circular names '{unknown[0]}', which is not among the ratings", remedy="let it name one of them"
            )
        for what, name in (("categories", self.categories), ("dimensions", self.dimensions)):
            if name is not None and name not in self.ratings:
                raise InputError(
                    f"'{name}' is not among the ratings ({', '.join(self.ratings) or 'none are given'})",
                    remedy=f"let --{what} name one of them",
                )
        names = list(self.ratings)
        if self.categories is None and names:
            first = next(name for name in names if name != self.dimensions or len(names) == 1)
            object.__setattr__(self, "categories", first)
        rest = [name for name in names if name != self.categories]
        if self.dimensions is None and rest:
            object.__setattr__(self, "dimensions", rest[0])
        if self.reference is not None and self.reference not in self.spaces:
            raise InputError(
                f"'{self.reference}' is not among the spaces ({cut_short(list(self.spaces))})",
                remedy="let --reference name one of them",
            )

    def wanted(self, analyses: Collection[str]) -> list[str]:
        """The analyses that were asked for, in their order."""
        unknown = [name for name in self.only if name not in analyses]
        if unknown:
            raise InputError(f"there is no analysis '{unknown[0]}' here", remedy=f"choose among {', '.join(analyses)}")
        return [name for name in analyses if not self.only or name in self.only]

    def naming_judge(self, stimuli: StimulusSet | None) -> ChatJudge:
        """The chat model that is asked for names."""
        from affectome.judges import ChatJudge, read_judge

        assert self.judge is not None
        judge = read_judge(self.judge, stimuli=stimuli)
        if not isinstance(judge, ChatJudge):
            raise InputError("is no chat judge", source=self.judge, remedy='use kind = "chat"')
        return judge


class Reading:
    """The inputs of an interpretation over the stimuli they share, and the analyses of one space or of several."""

    def __init__(self, asked: Interpretation) -> None:
        self.asked = asked
        spaces = {name: read_space(path) for name, path in asked.spaces.items()}
        ratings = {name: read_space(path) for name, path in asked.ratings.items()}
        terms = [] if asked.terms is None else [asked.terms]
        self.stimuli: StimulusSet | None = None if asked.stimuli is None else read_stimuli(asked.stimuli)
        frames = [*spaces.values(), *ratings.values(), *map(read_space, terms)]
        paths = [*asked.spaces.values(), *asked.ratings.values(), *terms]
        together = align(*frames, how="intersect", names=[str(path) for path in paths])
        unknown = [i for i in asked.excluded if not any(i in frame.index for frame in frames)]
        if unknown:
            raise InputError(
                f"{len(unknown)} of the ids to leave out are nowhere ({cut_short(unknown)})",
                remedy="correct or delete them",
            )
        if isinstance(asked.blur, tuple) and self.stimuli is not None:
            unknown = [i for i in asked.blur if i not in set(self.stimuli.ids)]
            if unknown:
                raise InputError(
                    f"{len(unknown)} of the ids to blur are not among the stimuli ({cut_short(unknown)})",
                    source=asked.stimuli,
                    remedy="correct or delete them",
                )
        left_out = set(asked.excluded)
        ids = [i for i in together.ids if i not in left_out]
        if len(ids) < len(together.ids):
            logger.info("%d stimuli are left out as asked, %d remain.", len(together.ids) - len(ids), len(ids))
        if not ids:
            raise InputError("no stimulus is left", remedy="leave out fewer")
        shared = [frame.loc[ids] for frame in together.spaces]
        n = len(spaces)
        self.spaces = dict(zip(spaces, shared[:n], strict=True))
        self.ratings = dict(zip(ratings, shared[n : n + len(ratings)], strict=True))
        self.terms = shared[-1] if terms else None
        self.ids = ids

    def seed(self, *names: str) -> int:
        """A seed for one purpose."""
        return named_seed(self.asked.seed, *names)

    def drawn(self, *purpose: str) -> Any:
        """Permutations, level and seed of an analysis, as keywords."""
        return {
            "n_permutations": self.asked.n_permutations,
            "level": self.asked.level,
            "seed": self.seed(*purpose),
        }

    def files(self, *spaces: str, terms: bool = False, stimuli: bool = False, judge: bool = False) -> list[Path]:
        """The input files of an analysis of these spaces: theirs, all ratings, and what else it reads."""
        asked = self.asked
        others = ((terms, asked.terms), (stimuli, asked.stimuli), (judge, asked.judge))
        return [
            *(asked.spaces[name] for name in spaces),
            *asked.ratings.values(),
            *(path for used, path in others if used and path is not None),
        ]

    def families(self) -> dict[str, Any]:
        """Which ratings are which, as a parameter of stages."""
        return {"ratings": list(self.ratings), "categories": self.asked.categories, "dimensions": self.asked.dimensions}

    @property
    def reference(self) -> str:
        """The space that the others are held against."""
        return self.asked.reference or next(iter(self.spaces))

    def metrics(self) -> dict[str, Metric]:
        """Similarity within each space."""
        return {name: self.asked.metrics.get(name, "cosine") for name in self.spaces}

    def circular(self, space: str) -> list[str]:
        """Families that the choices behind a space were made from."""
        return list(self.asked.circular.get(space, ()))

    def captions(self) -> dict[str, tuple[str, ...]]:
        """Captions of the stimuli that are interpreted."""
        assert self.stimuli is not None
        known = set(self.stimuli.ids)
        return {i: tuple(self.stimuli.captions[i]) if i in known else () for i in self.ids}

    def captioned(self) -> bool:
        """Whether any stimulus has a caption."""
        return self.stimuli is not None and any(self.stimuli.captions.values())

    def clips(self) -> dict[str, list[int]]:
        """Size and time of every clip: what tells that one was replaced."""
        videos = {} if self.stimuli is None else self.stimuli.videos
        facts = {name: path.stat() for name, path in videos.items() if path.is_file()}
        return {name: [fact.st_size, fact.st_mtime_ns] for name, fact in facts.items()}

    def thumbnails(self, ids: Sequence[str], progress: Progress) -> dict[str, Thumbnail]:
        """Pictures of the stimuli that have a clip."""
        if self.stimuli is None:
            return {}
        shown = [i for i in ids if i in self.stimuli.videos]
        return thumbnails(
            self.stimuli, shown, blur=False if self.asked.blur == "none" else self.asked.blur, progress=progress
        )

    def component_names(self, space: str) -> dict[str, str]:
        """What the stage of names called the components; nothing where it was not asked for."""
        path = self.asked.out / space / "names.csv"
        if not self.reads_names(space):
            return {}
        table = pd.read_csv(path, dtype={"component": str, "name": str}, keep_default_na=False)
        return dict(zip(table["component"], table["name"], strict=True))

    def reads_names(self, space: str) -> list[str]:
        """The file of names, for stages that show them."""
        return [f"{space}/names.csv"] if not self.asked.only or "names" in self.asked.only else []

    # What is made of one space, and again of several side by side.

    def shares(self, space: str, progress: Progress) -> SharesAbove:
        """Share of components that follow a rating."""
        return shares_above(self.spaces[space], self.ratings, **self.drawn("shares", space), progress=progress)

    def rating_map(self, space: str, progress: Progress) -> RatingMap:
        """How diagonal the map of components and ratings is."""
        return describe_rating_map(
            self.spaces[space], self.ratings, **self.drawn("rating map", space), progress=progress
        )

    def types(self, space: str, progress: Progress) -> ComponentTypes:
        """Categorical, dimensional, hybrid or unassigned."""
        return component_types(
            self.spaces[space],
            self.ratings,
            categories=str(self.asked.categories),
            dimensions=str(self.asked.dimensions),
            **self.drawn("types", space),
            progress=progress,
        )

    def predictions(self, progress: Progress) -> PredictionComparison:
        """Ratings predicted from the spaces, and back; the same folds for all."""
        return compare_predictions(
            self.spaces, self.ratings, reference=self.reference, **self.drawn("prediction"), progress=progress
        )

    def category_structure(self, progress: Progress) -> CategoryStructure:
        """How categorical the spaces are."""
        family = str(self.asked.categories)
        return category_structure(
            self.spaces,
            {family: self.ratings[family]},
            family=family,
            circular=[name for name in self.spaces if family in self.circular(name)],
            **self.drawn("categories"),
            progress=progress,
        )


def reading_stage(
    reading: Reading,
    analysis: str,
    folder: str,
    run: Callable[[Progress], Written],
    *,
    tables: Sequence[str],
    figures: Sequence[str] = (),
    others: Sequence[str] = (),
    files: Sequence[Path] = (),
    reads: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    complete: Callable[[Mapping[str, Any]], bool] = lambda summary: True,
) -> Stage:
    """A stage that writes ``<folder>/<table>.csv`` and ``<folder>/figures/<figure>`` in every format.

    `others` are files of the folder that `run` writes itself.
    """
    asked = reading.asked
    settings = {
        "n_permutations": asked.n_permutations,
        "level": asked.level,
        "seed": asked.seed,
        "excluded": list(asked.excluded),
        "spaces": list(asked.spaces),
        **reading.families(),
        "circular": {name: reading.circular(name) for name in asked.spaces},
        "stimuli": hashlib.sha256("\n".join(reading.ids).encode()).hexdigest(),
        **(parameters or {}),
    }
    return written_stage(
        f"{analysis}/{folder}", asked.out, folder, run, tables=tables, figures=figures, others=others,
        parameters=settings, files=files, reads=reads, complete=complete,
    )  # fmt: skip
