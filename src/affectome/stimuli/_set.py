"""Stimuli and what is known of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from affectome._tables import check_unique, cut_short
from affectome.errors import InputError
from affectome.spaces import align, as_space

__all__ = ["StimulusSet"]


@dataclass(frozen=True, eq=False)
class StimulusSet:
    """Named stimuli with captions, videos and spaces that describe them.

    Parameters
    ----------
    ids : sequence of str
        Unique and in a fixed order; triplets index into it.
    captions : mapping from id to a sequence of str, optional
        Any number per stimulus; a stimulus without captions has none.
    videos : mapping from id to path, optional
    spaces : mapping from name to DataFrame, optional
        Each holds exactly these ids; see :meth:`with_space` to add one with other stimuli.
    source : str, optional
        Where the set came from, for messages.

    Examples
    --------
    >>> stimuli = StimulusSet(["v1", "v2"], captions={"v1": ["A dog runs.", "A happy dog."]})
    >>> len(stimuli), stimuli.captions["v2"]
    (2, ())
    """

    ids: tuple[str, ...]
    captions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    videos: Mapping[str, Path] = field(default_factory=dict)
    spaces: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    source: str = "the stimulus set"

    def __post_init__(self) -> None:
        ids = tuple(str(i) for i in self.ids)
        if not ids:
            raise InputError("there are no stimuli", source=self.source, remedy="give at least one")
        check_unique(ids, source=self.source)
        known = set(ids)
        for what, mapping in (("captions", self.captions), ("videos", self.videos)):
            unknown = [str(i) for i in mapping if str(i) not in known]
            if unknown:
                raise InputError(
                    f"there are {what} for {len(unknown)} unknown stimuli ({cut_short(unknown)})",
                    source=self.source,
                    remedy="make the ids match",
                )
        for name, texts in self.captions.items():
            if isinstance(texts, str):
                raise InputError(
                    f"the captions of '{name}' are one text", source=self.source, remedy="give a list of texts"
                )
        captions = {str(i): tuple(texts) for i, texts in self.captions.items()}
        reference = pd.DataFrame({"present": 1.0}, index=pd.Index(ids, name="id"))
        spaces = {}
        for name, frame in self.spaces.items():
            space = as_space(frame, source=name)
            spaces[str(name)] = align(reference, space, names=[self.source, name]).spaces[1]
        put = object.__setattr__
        put(self, "ids", ids)
        put(self, "captions", {i: captions.get(i, ()) for i in ids})
        put(self, "videos", {str(i): Path(path) for i, path in self.videos.items()})
        put(self, "spaces", spaces)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        texts = sum(len(texts) for texts in self.captions.values())
        spaces = ", ".join(f"{name} ({space.shape[1]})" for name, space in self.spaces.items()) or "none"
        return f"StimulusSet({len(self):,} stimuli, {texts:,} captions, {len(self.videos):,} videos, spaces: {spaces})"

    def select(self, ids: Sequence[str]) -> StimulusSet:
        """The stimuli with these ids, in this order."""
        wanted = [str(i) for i in ids]
        unknown = [i for i in wanted if i not in self.captions]
        if unknown:
            raise InputError(
                f"{len(unknown)} ids are unknown ({cut_short(unknown)})", source=self.source, remedy="correct them"
            )
        return replace(
            self,
            ids=tuple(wanted),
            captions={i: self.captions[i] for i in wanted},
            videos={i: self.videos[i] for i in wanted if i in self.videos},
            spaces={name: space.loc[wanted] for name, space in self.spaces.items()},
        )

    def with_space(
        self,
        name: str,
        space: pd.DataFrame,
        *,
        how: Literal["exact", "intersect"] = "exact",
        source: str | os.PathLike[str] | None = None,
    ) -> StimulusSet:
        """Add a named space; ``how="intersect"`` keeps the shared stimuli and logs what dropped.

        `source` is what messages call the space, by default its name.
        """
        origin = name if source is None else os.fspath(source)
        if name in self.spaces:
            raise InputError(
                f"there is already a space called '{name}'", source=self.source, remedy="choose another name"
            )
        checked = as_space(space, source=origin)
        reference = pd.DataFrame({"present": 1.0}, index=pd.Index(self.ids, name="id"))
        aligned = align(reference, checked, how=how, names=[self.source, origin])
        kept = self if aligned.ids == self.ids else self.select(aligned.ids)
        return replace(kept, spaces={**kept.spaces, name: aligned.spaces[1]})

    def with_captions(self, captions: Mapping[str, Sequence[str]]) -> StimulusSet:
        """The same stimuli with these captions; ids that are not in the set are refused."""
        return replace(self, captions=captions)  # type: ignore[arg-type]  # checked and copied by the constructor
