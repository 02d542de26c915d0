"""What is interpreted, from which files and with which settings; what a space and a comparison both need of it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

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
    top_categories,
)
from affectome.spaces import Metric, align, read_space
from affectome.stimuli import StimulusSet, Thumbnail, read_stimuli, thumbnails
from affectome.study._engine import Stage
from affectome.study._written import Written, written_stage

if TYPE_CHECKING:
    from affectome.judges import ChatJudge

logger = logging.getLogger(__name__)

__all__ = ["DRAWN", "FOLDER", "FOUND", "Interpretation", "Reading", "reading_stage"]

Content = TypeVar("Content")

#: Where comparisons lie, beside the folders of spaces.
FOLDER = "together"
#: Settings of a null and its intervals, and of what is called found.
DRAWN = ("n_permutations", "level")
FOUND = (*DRAWN, "alpha")
#: Analyses of a space, and comparisons, that need no ratings.
WITHOUT_RATINGS = frozenset({"components", "maps", "graph", "stimuli", "rsa", "geometry", "choices"})


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
    alpha
        Threshold on q of everything that is called found: names, types, links, verdicts.
    tau
        |r| that counts in the threshold rule of types; see :func:`affectome.interpretation.component_types`.
    ties, top, most_common
        Of the classification by category; see :func:`affectome.interpretation.category_structure`.
    perplexity
        Of the main map; maps at 10, 30 and 100 are drawn beside it.
    n_shown
        Strongest stimuli shown per component.
    labels : mapping from space to text
        How figures call a space; by default by its name.
    videos : mapping from id to path
        Clips that `stimuli` does not name.
    prefix
        Folder inside `out` where results lie.
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
    only: Sequence[str] | None = None
    circular: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    reference: str | None = None
    n_permutations: int = 1000
    level: float = 0.95
    seed: int = 0
    alpha: float = 0.05
    tau: float = 0.2
    ties: Literal["random", "first", "drop"] = "random"
    top: int = 3
    most_common: int = 17
    perplexity: float = 30.0
    n_shown: int = 8
    labels: Mapping[str, str] = field(default_factory=dict)
    videos: Mapping[str, Path] = field(default_factory=dict)
    prefix: str = ""

    def __post_init__(self) -> None:
        if not self.spaces:
            raise InputError("there is no space to interpret", remedy="name at least one")
        if FOLDER in self.spaces:
            raise InputError(f"no space can be called '{FOLDER}'", remedy="rename it")
        check_permutations(self.n_permutations)
        check_level(self.level)
        self._check_thresholds()
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

    def _check_thresholds(self) -> None:
        for name, value in (("alpha", self.alpha), ("tau", self.tau)):
            if not 0 < value < 1:
                raise InputError(f"{name}={value} is no threshold", remedy="use one between 0 and 1")
        for name, value in (("top", self.top), ("most_common", self.most_common), ("n_shown", self.n_shown)):
            if value < 1:
                raise InputError(f"{name}={value} keeps nothing", remedy="use 1 or more")
        if not self.perplexity > 1:
            raise InputError(f"a perplexity of {self.perplexity} is no neighbourhood", remedy="use one above 1")

    def wanted(self, analyses: Collection[str]) -> list[str]:
        """The analyses that were asked for and that the ratings allow, in their order."""
        named = self.only or ()
        unknown = [name for name in named if name not in analyses]
        if unknown:
            raise InputError(f"there is no analysis '{unknown[0]}' here", remedy=f"choose among {', '.join(analyses)}")
        lost = [name for name in named if not self.does(name)]
        if lost:
            needed = "two families of ratings" if self.ratings else "ratings"
            raise InputError(f"{lost[0]} needs {needed}", remedy="give --ratings, once for each table")
        return [name for name in analyses if self.does(name)]

    def does(self, analysis: str) -> bool:
        """Whether an analysis was asked for, or all were, and there are ratings for it."""
        if self.only is not None and analysis not in self.only:
            return False
        if analysis == "types":
            return self.dimensions is not None
        return bool(self.ratings) or analysis in WITHOUT_RATINGS

    def place(self, space: str) -> str:
        """Folder of a space, or of comparisons, inside `out`."""
        return f"{self.prefix}/{space}" if self.prefix else space

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
        spaces = {name: _read(read_space, path) for name, path in asked.spaces.items()}
        ratings = {name: _read(read_space, path) for name, path in asked.ratings.items()}
        terms = [] if asked.terms is None else [asked.terms]
        self.stimuli: StimulusSet | None = None if asked.stimuli is None else _with_clips(asked)
        frames = [*spaces.values(), *ratings.values(), *(_read(read_space, path) for path in terms)]
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

    def files(
        self, *spaces: str, ratings: Sequence[str] = (), terms: bool = False, stimuli: bool = False, judge: bool = False
    ) -> list[Path]:
        """The input files of an analysis: of these spaces, of these families of ratings, and what else it reads."""
        asked = self.asked
        others = ((terms, asked.terms), (stimuli, asked.stimuli), (judge, asked.judge))
        return [
            *(asked.spaces[name] for name in spaces),
            *(asked.ratings[name] for name in dict.fromkeys(ratings)),
            *(path for used, path in others if used and path is not None),
        ]

    def setting(self, name: str) -> Any:
        """What was asked for under this name, as a parameter of stages."""
        if name == "ratings":
            return list(self.ratings)
        if name == "circular":
            return {space: self.circular(space) for space in self.spaces}
        return getattr(self.asked, name)

    @property
    def categories(self) -> str:
        """The family whose highest rating is a stimulus's category."""
        return str(self.asked.categories)

    @property
    def dimensions(self) -> str:
        """The family of broad dimensions."""
        return str(self.asked.dimensions)

    def label(self, space: str) -> str:
        """How figures call a space."""
        return self.asked.labels.get(space, space)

    def labels(self) -> dict[str, str]:
        """How figures call the spaces."""
        return {space: self.label(space) for space in self.spaces}

    def place(self, space: str) -> str:
        """Folder of a space, or of comparisons, inside the results."""
        return self.asked.place(space)

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
        if not self.reads_names(space):
            return {}
        path = self.asked.out / self.place(space) / "names.csv"
        table = pd.read_csv(path, dtype={"component": str, "name": str}, keep_default_na=False)
        return dict(zip(table["component"], table["name"], strict=True))

    def reads_names(self, space: str) -> list[str]:
        """The file of names, for stages that show them."""
        return [f"{self.place(space)}/names.csv"] if self.asked.does("names") else []

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
            categories=self.categories,
            dimensions=self.dimensions,
            alpha=self.asked.alpha,
            tau=self.asked.tau,
            **self.drawn("types", space),
            progress=progress,
        )

    def predictions(self, progress: Progress) -> PredictionComparison:
        """Ratings predicted from the spaces, and back; the same folds for all."""
        return compare_predictions(
            self.spaces,
            self.ratings,
            reference=self.reference,
            alpha=self.asked.alpha,
            **self.drawn("prediction"),
            progress=progress,
        )

    def category_structure(self, progress: Progress) -> CategoryStructure:
        """How categorical the spaces are."""
        family = self.categories
        return category_structure(
            self.spaces,
            {family: self.ratings[family]},
            family=family,
            circular=[name for name in self.spaces if family in self.circular(name)],
            **self.classified(),
            **self.drawn("categories"),
            progress=progress,
        )

    def classified(self) -> Any:
        """How stimuli are labelled and classified, as keywords."""
        return {name: getattr(self.asked, name) for name in ("ties", "top", "most_common")}

    def labelled(self) -> pd.Series[str]:
        """The category of every stimulus that has one, ties resolved as in the classification."""
        ties_seed = named_seed(self.seed("categories"), "ties")
        return top_categories(self.ratings[self.categories], ties=self.asked.ties, seed=ties_seed).labels


def _read(reader: Callable[[Path], Content], path: Path) -> Content:
    """The content of a file, read once for all spaces that are interpreted by it; nobody changes it."""
    if not path.is_file():
        return reader(path)  # a folder of clips, or a fault that the reader tells
    facts = path.stat()
    return cast("Content", _read_once(reader, path, facts.st_size, facts.st_mtime_ns))


@lru_cache(maxsize=16)
def _read_once(reader: Callable[[Path], object], path: Path, size: int, written: int) -> object:
    return reader(path)


def _with_clips(asked: Interpretation) -> StimulusSet:
    """Captions and clips."""
    assert asked.stimuli is not None
    found = _read(read_stimuli, asked.stimuli)
    more = {name: path for name, path in asked.videos.items() if name in set(found.ids)}
    return replace(found, videos={**found.videos, **more}) if more else found


def reading_stage(
    reading: Reading,
    analysis: str,
    space: str,
    run: Callable[[Progress], Written],
    *,
    uses: Sequence[str] = (),
    tables: Sequence[str],
    figures: Sequence[str] = (),
    others: Sequence[str] = (),
    files: Sequence[Path] = (),
    reads: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    complete: Callable[[Mapping[str, Any]], bool] = lambda summary: True,
) -> Stage:
    """The stage of an analysis of one space, or of all (`space` is then the folder of comparisons).

    `uses` names the settings of the interpretation that the analysis depends on: a change of the others leaves what it
    found as it is. For `tables` and the rest see :func:`written_stage`.
    """
    asked = reading.asked
    settings = {
        "seed": asked.seed,
        "spaces": reading.labels(),
        "stimuli": hashlib.sha256("\n".join(reading.ids).encode()).hexdigest(),
        **{name: reading.setting(name) for name in uses},
        **(parameters or {}),
    }
    place = reading.place(space)
    return written_stage(
        f"{place}/{analysis}", asked.out, place, run, tables=tables, figures=figures, others=others,
        parameters=settings, files=files, reads=reads, complete=complete,
    )  # fmt: skip
