"""The sentences that show what a component is about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["TypicalCaption", "typical_captions"]

_WORD = re.compile(r"\w+")


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

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    captions : mapping from id to captions
    n
        Stimuli per component; ones without any weight are not shown.

    Notes
    -----
    The typical caption is the medoid under the Jaccard similarity of word sets: no model is needed, and the same
    captions give the same choice. Ties go to the first.
    """
    shown: dict[str, list[TypicalCaption]] = {}
    for name in space.columns:
        weights = space[name].to_numpy()
        strongest = [k for k in np.argsort(-weights, kind="stable")[:n] if weights[k] > 0]
        shown[str(name)] = [
            TypicalCaption(str(space.index[k]), float(weights[k]), _medoid(captions.get(str(space.index[k]), ())))
            for k in strongest
        ]
    return shown


def _medoid(captions: Sequence[str]) -> str:
    if not captions:
        return ""
    words = [set(_WORD.findall(text.lower())) for text in captions]
    closeness = [sum(len(a & b) / max(len(a | b), 1) for b in words) for a in words]
    return captions[int(np.argmax(closeness))]
