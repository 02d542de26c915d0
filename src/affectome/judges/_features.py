"""A judge that looks at numbers: ratings, network activations, any space."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress
from affectome.errors import InputError
from affectome.judges._protocol import Answers
from affectome.spaces import (
    METRICS,
    STANDARDISATIONS,
    Metric,
    Standardisation,
    as_space,
    paired_similarity,
    rows_for,
    similarity_coordinates,
    standardise,
)
from affectome.triplets import TripletSet

__all__ = ["FeatureJudge"]

_CHUNK = 65_536  # trials answered at once; also the unit of the random stream, so that memory never changes an answer
_GATHERED = 2**22  # numbers gathered at once, whatever the number of features
_TIE = 1e-6  # similarities closer than this, in units of the largest, tie: float32 rounding must not decide


@dataclass(frozen=True, eq=False)
class FeatureJudge:
    """Keeps the two most similar stimuli of a space; the third is odd.

    This is how the "human" choices of the paper were made from rating tables (science.md,
    section 2): cosine similarity of the rating vectors.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
        What the judge knows of each stimulus.
    metric
        ``"cosine"``, ``"correlation"``, ``"dot"`` or ``"euclidean"``.
    standardise
        Scaling of the features over all stimuli of `space` before comparing:
        ``"none"``, ``"centre"``, ``"zscore"`` or ``"minmax"``.
    temperature
        None: the most similar pair always wins. A number T > 0: a pair is kept with probability
        proportional to exp(similarity / T), and the answers carry these probabilities.
    seed
        Choice noise is drawn from it, and ties are broken by it, never by slot.

    Examples
    --------
    >>> import pandas as pd
    >>> from affectome.triplets import TripletSet
    >>> ratings = pd.DataFrame({"Joy": [1.0, 0.9, 0.0], "Fear": [0.0, 0.1, 1.0]}, index=["a", "b", "c"])
    >>> judge = FeatureJudge(ratings, seed=0)
    >>> judge.answer(TripletSet([[2, 0, 1]], ids=["a", "b", "c"])).choice.tolist()
    [0]
    """

    space: pd.DataFrame
    metric: Metric = "cosine"
    standardise: Standardisation = "none"
    temperature: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", as_space(self.space, source="the judge's space"))
        for name, value, known in (
            ("metric", self.metric, METRICS),
            ("standardise", self.standardise, STANDARDISATIONS),
        ):
            if value not in known:
                raise InputError(f"{name}='{value}' is unknown", remedy=f"choose one of {', '.join(known)}")
        if self.temperature is not None and not (np.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(
                f"the temperature {self.temperature} is not above 0", remedy="give a positive number or none"
            )

    def describe(self) -> Mapping[str, Any]:
        """Settings of the judge, without the features themselves."""
        return {
            "kind": "features",
            "n_features": self.space.shape[1],
            "metric": self.metric,
            "standardise": self.standardise,
            "temperature": self.temperature,
            "seed": self.seed,
        }

    def answer(self, questions: TripletSet, *, progress: Progress | None = None) -> Answers:
        """Answer every question; probabilities only where there is a temperature."""
        known = rows_for(standardise(self.space, self.standardise), questions.ids, name="the judge's space")
        coordinates = similarity_coordinates(known.to_numpy(), self.metric)
        length = float(np.linalg.norm(coordinates, axis=1).max())
        scale = length**2 if self.metric != "euclidean" else length
        n = len(questions)
        choice = np.empty(n, np.int8)
        probabilities = None if self.temperature is None else np.empty((n, 3), np.float32)
        for number, start in enumerate(range(0, n, _CHUNK)):
            rows = slice(start, min(n, start + _CHUNK))
            asked = questions.triplets[rows]
            # Other questions get other noise under the same seed.
            key = (number, zlib.crc32(asked.tobytes()))
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
            kept = self._kept_pair(coordinates, asked)  # (t, 3)
            draw = rng.random(kept.shape)
            if probabilities is None or self.temperature is None:
                best = kept >= kept.max(axis=1, keepdims=True) - _TIE * scale
                choice[rows] = np.where(best, draw, -1.0).argmax(axis=1)
            else:
                logit = (kept - kept.max(axis=1, keepdims=True)) / self.temperature
                # The largest of logit + Gumbel noise is a draw from the softmax.
                choice[rows] = (logit - np.log(-np.log(np.maximum(draw, 1e-300)))).argmax(axis=1)
                weight = np.exp(logit)
                probabilities[rows] = weight / weight.sum(axis=1, keepdims=True)
            if progress is not None:
                progress(rows.stop, n)
        return Answers(choice, probabilities)

    def _kept_pair(self, coordinates: NDArray[np.float64], triplets: NDArray[np.int32]) -> NDArray[np.float64]:
        """Similarity of the pair that stays when slot 0, 1 or 2 is called odd; shape (t, 3)."""
        kept = np.empty(triplets.shape)
        step = max(1, _GATHERED // coordinates.shape[1])
        for start in range(0, len(triplets), step):
            rows = slice(start, start + step)
            a, b, c = triplets[rows].T
            for slot, (left, right) in enumerate(((b, c), (a, c), (a, b))):
                kept[rows, slot] = paired_similarity(coordinates, left, right, self.metric)
        return kept
