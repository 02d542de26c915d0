"""Which spaces are held against which recordings, with which settings; one person at a time in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from affectome._resampling import check_level, check_permutations
from affectome._seeds import named_seed
from affectome._tables import cut_short, read_table
from affectome.errors import InputError
from affectome.spaces import align, read_space
from affectome.study._recordings import RecordingSource

if TYPE_CHECKING:
    from affectome.neural import Encoding, Recording

logger = logging.getLogger(__name__)

__all__ = ["GROUP", "KNOWN_REGIONS", "Brain", "BrainReading", "Person", "read_labels", "shared_spaces"]

#: Where results of all people together lie, beside the folders of people.
GROUP = "group"
#: Regions that need no file.
KNOWN_REGIONS = ("hcp", "subcortical", "paper")


@dataclass(frozen=True, eq=False)
class Brain:
    """What is predicted from what, and how.

    Parameters
    ----------
    spaces : mapping from name to path
        Only how reliable recordings are can be asked without any.
    recordings : mapping from person to RecordingSource
    out
        Results folder.
    controls : mapping from name to path
        Spaces of what is merely seen or meant, for comparisons.
    regions
        ``"hcp"``, ``"subcortical"`` or ``"paper"`` (see :func:`affectome.neural.group_regions`), or a file (see
        :func:`affectome.neural.read_regions`); None: the regions of the recordings as they are.
    labels
        Table that says which stimulus a label of the recordings is (columns ``label`` and ``id``).
    excluded
        Ids to leave out.
    standardise
        Of the responses of each run, before anything else.
    average_repeats
        Whether trials of the same stimulus in a run become one.
    n_folds, folds, alphas, shared_stimuli, backend, memory_gb
        See :func:`affectome.neural.encode`.
    blocks, block_length, within
        What is exchanged under the null; see :func:`affectome.neural.block_permutations`.
    penalties
        Whether every permutation keeps the penalties or chooses them anew; see
        :func:`affectome.neural.encoding_significance`.
    reference
        Space that the others are held against; by default the first.
    n_permutations, level, seed
        Of every interval and null.
    prefix
        Folder inside `out` where results lie.
    made_here
        Spaces that earlier stages of the same run wrote.
    called : mapping from space to text
        What figures call it, where they are quickly drawn again when that changes; by default its name.
    """

    spaces: Mapping[str, Path]
    recordings: Mapping[str, RecordingSource]
    out: Path
    controls: Mapping[str, Path] = field(default_factory=dict)
    regions: str | None = None
    labels: Path | None = None
    excluded: tuple[str, ...] = ()
    standardise: Literal["zscore", "center", "none"] = "zscore"
    average_repeats: bool = False
    n_folds: int = 6
    folds: str = "runs"
    alphas: tuple[float, ...] | None = None
    shared_stimuli: Literal["drop", "allow", "raise"] = "drop"
    blocks: str | None = None
    block_length: int | None = None
    within: Literal["run"] | None = "run"
    penalties: Literal["kept", "chosen"] = "kept"
    reference: str | None = None
    backend: str = "numpy"
    memory_gb: float = 4.0
    n_permutations: int = 1000
    level: float = 0.95
    seed: int = 0
    prefix: str = ""
    made_here: frozenset[str] = frozenset()
    called: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.recordings:
            raise InputError("there is no recording", remedy="name at least one")
        for name in (*self.spaces, *self.controls, *self.recordings):
            if name == GROUP or "/" in name or name.startswith("."):
                raise InputError(f"nothing can be called '{name}' here", remedy="rename its file")
        twice = [name for name in self.controls if name in self.spaces]
        if twice:
            raise InputError(f"'{twice[0]}' is both a space and a control", remedy="give it once")
        if self.reference is not None and self.reference not in self.spaces:
            raise InputError(
                f"'{self.reference}' is not among the spaces ({cut_short(list(self.spaces))})",
                remedy="let --reference name one of them",
            )
        check_permutations(self.n_permutations)
        check_level(self.level)

    @property
    def first(self) -> str:
        """The space that the others are held against."""
        return self.reference or next(iter(self.spaces))

    def seed_of(self, *purpose: str) -> int:
        """A seed for one purpose."""
        return named_seed(self.seed, *purpose)

    def label(self, space: str) -> str:
        """What figures call a space."""
        return self.called.get(space, space)

    def called_otherwise(self, *spaces: str) -> dict[str, Any]:
        """What those of the spaces are called that have another name in figures, as a setting of a stage."""
        others = {name: self.called[name] for name in spaces if self.label(name) != name}
        return {"called": others} if others else {}

    def blocked(self) -> dict[str, Any]:
        """What is exchanged under the null, as keywords."""
        return {
            "n_permutations": self.n_permutations,
            "blocks": self.blocks,
            "block_length": self.block_length,
            "within": self.within,
        }

    def files(self, subject: str, *spaces: str) -> list[Path]:
        """Files that earlier stages did not write, and that a stage of these spaces reads."""
        named = {**self.spaces, **self.controls}
        found = [named[name] for name in spaces if name not in self.made_here]
        found += self.recordings[subject].files()
        if self.labels is not None:
            found.append(self.labels)
        if self.regions is not None and self.regions not in KNOWN_REGIONS:
            found.append(Path(str(self.regions)))
        return found

    def reads(self, *spaces: str) -> list[str]:
        """Spaces that earlier stages wrote."""
        named = {**self.spaces, **self.controls}
        return [named[name].relative_to(self.out).as_posix() for name in spaces if name in self.made_here]

    def parameters(self) -> dict[str, Any]:
        """What decides a result beside the files."""
        from affectome.neural import ALPHAS

        return {
            "regions": self.regions if self.regions in (None, *KNOWN_REGIONS) else "file",
            "excluded": list(self.excluded),
            "standardise": self.standardise,
            "average_repeats": self.average_repeats,
            "n_folds": self.n_folds,
            "folds": self.folds,
            "alphas": [float(a) for a in (ALPHAS if self.alphas is None else self.alphas)],
            "shared_stimuli": self.shared_stimuli,
            **self.blocked(),
            "penalties": self.penalties,
            "level": self.level,
            "seed": self.seed,
        }


class BrainReading:
    """The inputs, read when they are needed; of the recordings one at a time is kept."""

    def __init__(self, asked: Brain) -> None:
        self.asked = asked
        self._people: dict[str, Person] = {}
        self._places: dict[str, Recording] = {}

    def below(self, prefix: str) -> BrainReading:
        """The same inputs, read once for both, for results that lie in another folder."""
        other = BrainReading(replace(self.asked, prefix=prefix))
        other._people, other._places = self._people, self._places
        return other

    def person(self, subject: str) -> Person:
        """One person, prepared."""
        if subject not in self._people:
            self._people.clear()  # the memory of one is free before the next is read
            self._people[subject] = person = Person(self.asked, subject)
            self._places[subject] = person.recording.select_trials(np.arange(1))
        return self._people[subject]

    def place(self, subject: str) -> Recording:
        """The recording of a person without its responses: voxels and regions alone, which are kept."""
        if subject not in self._places:
            self.person(subject)
        return self._places[subject]


class Person:
    """The recording of one person over the stimuli that all spaces share, and what is asked of it."""

    def __init__(self, asked: Brain, subject: str) -> None:
        self.asked, self.subject = asked, subject
        self.spaces, self.controls = shared_spaces(asked)
        self.recording = _prepared(asked, subject, self._ids)

    def encode(self, space: str, progress: Any) -> Encoding:
        """Predict every voxel from a space."""
        from affectome.neural import ALPHAS, block_permutations, encode

        asked = self.asked
        block_permutations(self.recording.trials, **asked.blocked(), seed=asked.seed)  # refuses before time is spent
        return encode(
            self.spaces[space], self.recording, name=space, n_folds=asked.n_folds, folds=asked.folds,
            alphas=ALPHAS if asked.alphas is None else asked.alphas, shared_stimuli=asked.shared_stimuli,
            backend=asked.backend, memory_gb=asked.memory_gb, progress=progress,
        )  # fmt: skip

    def single_trials(self) -> tuple[Recording, int]:
        """The recording with every trial by itself, and how many of them the trials asked for are the mean of."""
        if not self.asked.average_repeats:
            return self.recording, 1
        n_averaged = int(self.recording.trials["n_averaged"].median())
        alone = replace(self.asked, average_repeats=False)
        return _prepared(alone, self.subject, self._ids), n_averaged

    @property
    def _ids(self) -> list[str] | None:
        """Stimuli that all spaces have; None without spaces."""
        return list(next(iter(self.spaces.values())).index) if self.spaces else None


def shared_spaces(asked: Brain) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Spaces and controls over the stimuli they share, so that all are held against the same trials."""
    named = {**asked.spaces, **asked.controls}
    if not named:
        return {}, {}
    together = align(*map(read_space, named.values()), how="intersect", names=[str(path) for path in named.values()])
    unknown = [i for i in asked.excluded if i not in set(together.ids)]
    if unknown:
        raise InputError(
            f"{len(unknown)} of the ids to leave out are not in all spaces ({cut_short(unknown)})",
            remedy="correct or delete them",
        )
    ids = [i for i in together.ids if i not in set(asked.excluded)]
    if not ids:
        raise InputError("no stimulus is left", remedy="leave out fewer")
    frames = {name: frame.loc[ids] for name, frame in zip(named, together.spaces, strict=True)}
    return {name: frames[name] for name in asked.spaces}, {name: frames[name] for name in asked.controls}


def _prepared(asked: Brain, subject: str, ids: list[str] | None) -> Recording:
    """Read, standardise by run, match to the stimuli (None: all that were shown), average, name the regions."""
    from affectome.neural import average_repeats, group_regions, match_stimuli, read_regions, standardise_runs

    recording = replace(asked.recordings[subject].read(), subject=subject)
    recording = standardise_runs(recording, method=asked.standardise)
    labels = read_labels(asked.labels)
    shown = list(dict.fromkeys(labels.values() if labels else recording.trials["stimulus"].astype(str)))
    stimuli = [one for one in shown if one not in asked.excluded] if ids is None else ids
    recording, found = match_stimuli(recording, stimuli, labels=labels)
    logger.info(
        "%s: %d trials show a stimulus of the spaces (labels matched by %s), %d do not.",
        subject, found.n_matched, found.rule, found.n_unmatched,
    )  # fmt: skip
    if asked.average_repeats:
        recording = average_repeats(recording, within="run")
    if asked.regions is None:
        return recording
    if asked.regions in KNOWN_REGIONS:
        named = group_regions(recording, asked.regions, skip_missing=True)
    else:
        named = read_regions(asked.regions, recording)
    # What was asked for is what is reported and corrected over, without the areas that it is made of.
    return replace(named, rois={name: roi for name, roi in named.rois.items() if name not in recording.rois})


def read_labels(path: Path | None) -> dict[str, str] | None:
    """Which stimulus a label is, where a table says it; a label says it once."""
    if path is None:
        return None
    table = read_table(path, text_columns=("label", "id"))
    missing = [name for name in ("label", "id") if name not in table.columns]
    if missing:
        raise InputError(f"has no column '{missing[0]}'", source=path, remedy="name the columns label and id")
    known: dict[str, str] = {}
    for row, (label, id_) in enumerate(zip(table["label"], table["id"], strict=True), start=2):
        if known.setdefault(label, id_) != id_:
            raise InputError(
                f"'{label}' is '{known[label]}' and '{id_}'",
                source=path,
                where=f"line {row}",
                remedy="let every label be one stimulus",
            )
    return known
