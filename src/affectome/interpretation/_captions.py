"""The stimuli that show what a component is about, and the sentences that show it without a picture."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.spaces import as_space

__all__ = ["TopStimuli", "TypicalCaption", "top_stimuli", "typical_captions"]

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class TopStimuli:
    """The strongest stimuli of every component.

    Attributes
    ----------
    table : DataFrame, one row per component and rank, strongest first
        Indexed by ``component`` and ``rank`` (1, 2, ...), with the columns ``id``; ``weight``; ``share``, of the
        component's weight summed over all stimuli; ``cumulative``, the share of this and all stronger ones;
        ``caption``, the most typical one, and ``video``, the path of the clip, both empty where there is none.
    components : tuple of str
        All components of the space, those without any weight included: they have no row.
    n_stimuli : int
        Stimuli of the space.
    """

    table: pd.DataFrame
    components: tuple[str, ...]
    n_stimuli: int

    def of(self, component: str) -> pd.DataFrame:
        """The rows of one component, indexed by rank; none where it has no weight."""
        if component not in self.components:
            raise InputError(
                f"there is no component '{component}'", remedy=f"choose one of {cut_short(self.components)}"
            )
        return self.table[self.table.index.get_level_values("component") == component].droplevel("component")

    def ids(self) -> list[str]:
        """Every stimulus shown, once, in the order of the table."""
        return list(dict.fromkeys(self.table["id"]))


def top_stimuli(
    space: pd.DataFrame,
    captions: Mapping[str, Sequence[str]] | None = None,
    *,
    videos: Mapping[str, str | os.PathLike[str]] | None = None,
    n: int = 8,
) -> TopStimuli:
    """Find the strongest stimuli of every component, each with its most typical caption.

    A description, not a test: nothing is resampled, and there is no null. The same weights pick the stimuli and
    call them strong, so what their captions share is a reading to check against ratings that the space has not seen.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    captions : mapping from id to captions, optional
    videos : mapping from id to path, optional
    n
        Stimuli per component. One whose weight is zero or negative is never shown, so there may be fewer.

    Returns
    -------
    TopStimuli

    Raises
    ------
    InputError
        When `space` is no space, or `n` is below 1.

    Notes
    -----
    Stimuli of equal weight keep the order of the space. ``share`` is of the sum of the positive weights. The
    typical caption is the medoid under the Jaccard similarity of word sets: no model is needed, and the same captions
    give the same choice. Ties go to the first.

    Examples
    --------
    >>> import pandas as pd
    >>> space = pd.DataFrame({"c1": [1.0, 0.0, 3.0]}, index=["a", "b", "c"])
    >>> top_stimuli(space, {"c": ["A dog runs."]}).table[["id", "weight", "share", "caption"]]
                   id  weight  share      caption
    component rank
    c1        1     c     3.0   0.75  A dog runs.
              2     a     1.0   0.25
    """
    if n < 1:
        raise InputError(f"n={n} shows no stimuli", remedy="use n >= 1")
    checked = as_space(space)
    captions, videos = captions or {}, videos or {}
    typical: dict[str, str] = {}  # a stimulus may lead several components
    rows: list[dict[str, object]] = []
    for component in checked.columns:
        weights = checked[component].to_numpy(np.float64)
        total, so_far = float(weights[weights > 0].sum()), 0.0
        strongest = [k for k in np.argsort(-weights, kind="stable")[:n] if weights[k] > 0]
        for rank, k in enumerate(strongest, start=1):
            name, share = str(checked.index[k]), float(weights[k]) / total
            so_far += share
            if name not in typical:
                typical[name] = _medoid(captions.get(name, ()))
            rows.append(
                {
                    "component": str(component),
                    "rank": rank,
                    "id": name,
                    "weight": float(weights[k]),
                    "share": share,
                    "cumulative": so_far,
                    "caption": typical[name],
                    "video": os.fspath(videos.get(name, "")),
                }
            )
    columns = ["component", "rank", "id", "weight", "share", "cumulative", "caption", "video"]
    table = pd.DataFrame(rows, columns=columns).set_index(["component", "rank"])
    return TopStimuli(table, tuple(str(name) for name in checked.columns), len(checked))


@dataclass(frozen=True, eq=False)
class TypicalCaption:
    """One of the strongest stimuli of a component and its most typical caption.

    Attributes
    ----------
    id : str
    weight : float
    caption : str
        Empty where the stimulus has none.
    """

    id: str
    weight: float
    caption: str


def typical_captions(
    space: pd.DataFrame, captions: Mapping[str, Sequence[str]], *, n: int = 5
) -> dict[str, list[TypicalCaption]]:
    """For every component, its strongest stimuli, each with the caption that its other captions resemble most.

    :func:`top_stimuli` as plain lists, without ranks, shares and clips.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    captions : mapping from id to captions
    n
        Stimuli per component; ones without any weight are not shown.
    """
    found = top_stimuli(space, captions, n=n)
    shown: dict[str, list[TypicalCaption]] = {name: [] for name in found.components}
    for component, name, weight, caption in zip(
        found.table.index.get_level_values("component"),
        found.table["id"],
        found.table["weight"],
        found.table["caption"],
        strict=True,
    ):
        shown[component].append(TypicalCaption(name, float(weight), caption))
    return shown


def _medoid(captions: Sequence[str]) -> str:
    if not captions:
        return ""
    words = [set(_WORD.findall(text.lower())) for text in captions]
    closeness = [sum(len(a & b) / max(len(a | b), 1) for b in words) for a in words]
    return captions[int(np.argmax(closeness))]
