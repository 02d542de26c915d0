"""What every embedding of choices can do once it is fitted, and how its parameters are checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from affectome.embedding._choices import CHUNK, choice_probabilities, predicted_choice, shared_hits
from affectome.embedding._components import component_names
from affectome.embedding._trials import answered_slots, as_trials
from affectome.errors import InputError
from affectome.triplets import TripletSet, check_indices

__all__ = ["ChoiceEmbedding", "centred_offsets", "is_count", "is_device", "is_offsets", "is_size", "refuse_false"]


class ChoiceEmbedding(BaseEstimator):  # type: ignore[misc]
    """A fitted `embedding_` (n_stimuli, n_components_) predicts choices and becomes a space."""

    embedding_: NDArray[np.float32]
    n_components_: int
    n_stimuli_: int
    ids_: tuple[str, ...] | None
    n_jobs: int | None

    def predict(self, X: TripletSet | ArrayLike) -> NDArray[np.int8]:
        """Slot called odd for each triplet in the order shown; exact ties go to the first tied slot.

        By content alone: `slot_offsets` have no part in it.
        """
        shown = self._same_stimuli(X)
        return predicted_choice(self.embedding_, shown, n_jobs=self.n_jobs)

    def predict_proba(self, X: TripletSet | ArrayLike) -> NDArray[np.float32]:
        """Probability that each slot is the odd one, shape (n_trials, 3), by content alone, without `slot_offsets`."""
        shown = self._same_stimuli(X)
        return choice_probabilities(self.embedding_, shown, n_jobs=self.n_jobs)

    def score(self, X: TripletSet | ArrayLike, y: ArrayLike | None = None) -> float:
        """Share of answered trials predicted right, ties shared; chance is 1/3.

        With probabilities as `y`: the mean probability of the predicted slot. Predicted is by content alone, so
        that fits with and without `slot_offsets` compare.
        """
        self._same_stimuli(X)
        rows = X if isinstance(X, TripletSet) else np.asarray(X)
        answers = None if y is None else np.asarray(y)
        known = None if isinstance(X, TripletSet) else self.n_stimuli_
        total, count = 0.0, 0
        for start in range(0, len(rows), CHUNK):  # in parts: checked copies of all trials would take much memory
            part = slice(start, start + CHUNK)
            trials = as_trials(rows[part], None if answers is None else answers[part], n_stimuli=known)
            hits = shared_hits(self.embedding_, trials.triplets, answered_slots(trials), n_jobs=self.n_jobs)
            total, count = total + float(hits.sum()), count + len(hits)
        if count == 0:
            raise InputError("there is no answered triplet to score", remedy="give trials with choices")
        return total / count

    def _checked_triplets(self, X: TripletSet | ArrayLike) -> NDArray[np.int32]:
        """The triplets of X in the order shown, about the stimuli of the fit."""
        shown = self._same_stimuli(X)
        return check_indices(shown, self.n_stimuli_)

    def to_space(self, ids: Sequence[str] | None = None) -> pd.DataFrame:
        """The embedding as a space: stimulus ids x named components.

        The ids are those of the TripletSet it was fitted to; give them where it was fitted to an array.
        """
        check_is_fitted(self)
        if ids is None:
            ids = self.ids_ if self.ids_ is not None else [str(i) for i in range(self.n_stimuli_)]
        if self.ids_ is not None and tuple(ids) != self.ids_:
            raise InputError(
                "these are not the ids of the fit, in their order", source=type(self).__name__, remedy="leave them out"
            )
        if len(ids) != self.n_stimuli_:
            raise InputError(
                f"{len(ids)} ids were given for {self.n_stimuli_} stimuli", remedy="give one id per stimulus"
            )
        index = pd.Index([str(i) for i in ids], name="id")
        return pd.DataFrame(self.embedding_, index=index, columns=component_names(self.n_components_))

    def _same_stimuli(self, X: TripletSet | ArrayLike) -> ArrayLike:
        """The triplets of X in the order shown; a set about other stimuli than the fit is refused."""
        check_is_fitted(self)
        if not isinstance(X, TripletSet):
            return X
        if self.ids_ is not None and X.ids != self.ids_:
            raise InputError(
                "the triplets are about other stimuli, or the same in another order, than the fit",
                source=type(self).__name__,
                remedy="use the ids it was fitted with",
            )
        return X.triplets


def is_count(value: Any, least: int = 1) -> bool:
    """Whether `value` is a whole number of at least `least`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def is_size(value: Any, least: float = 0.0) -> bool:
    """Whether `value` is a finite number of at least `least`."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and bool(np.isfinite(value)) and float(value) >= least


def is_device(value: Any) -> bool:
    """Whether `value` names a device that a fit can be asked to run on; whether it is there is another question."""
    return isinstance(value, str) and re.fullmatch(r"cpu|torch-cpu|cuda(:\d+)?|mps", value) is not None


def is_offsets(value: Any) -> bool:
    """Whether `value` is None or three numbers that a log probability could be."""
    return value is None or (np.shape(value) == (3,) and all(is_size(each, -1e6) and each <= 1e6 for each in value))


def centred_offsets(given: Sequence[float] | None) -> NDArray[np.float32]:
    """Slot offsets of mean 0, which changes no probability, (3,); zeros where there are none."""
    offsets = np.asarray((0.0, 0.0, 0.0) if given is None else given, np.float64)
    centred: NDArray[np.float32] = (offsets - offsets.mean()).astype(np.float32)
    return centred


def refuse_false(model: BaseEstimator, good: Mapping[str, bool]) -> None:
    """Name the first parameter of `model` that is not good."""
    for name in (name for name, fine in good.items() if not fine):
        value = getattr(model, name)
        raise InputError(
            f"{name}={value!r} is not accepted", source=type(model).__name__, remedy="see its documentation"
        )
