"""What voxel-wise encoding of one person by one space found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Encoding", "FoldModel"]


@dataclass(frozen=True, eq=False)
class FoldModel:
    """The model of one outer fold, in the units of the space and of the recording.

    Attributes
    ----------
    coefficients : float32 array of shape (n_features, n_voxels)
        On the features as the space has them.
    intercepts : float32 array of shape (n_voxels,)
    """

    coefficients: NDArray[np.float32]
    intercepts: NDArray[np.float32]

    def predict(self, features: NDArray[np.float32], voxels: slice = slice(None)) -> NDArray[np.float32]:
        """Responses to stimuli with these features (n, n_features), of these voxels."""
        predicted: NDArray[np.float32] = features @ self.coefficients[:, voxels] + self.intercepts[voxels]
        return predicted


@dataclass(frozen=True, eq=False)
class Encoding:
    """How well a space predicts every voxel, each trial by a model that saw neither it nor its run.

    Attributes
    ----------
    subject, space : str
    features : tuple of str
        The columns of the space.
    rows : intp array of shape (n_trials,)
        Trials of the recording that were used (those whose stimulus the space has).
    design : float32 array of shape (n_trials, n_features)
        The space at these trials.
    fold : intp array of shape (n_trials,)
        Outer fold of each, 0 .. n_folds - 1.
    r : float32 array of shape (n_voxels,)
        Pearson r of responses and pooled held-out predictions; NaN where a voxel is constant.
    r2 : float32 array of shape (n_voxels,)
        Held-out R2 against the training mean of each fold.
    alphas : float array of shape (n_alphas,)
        The grid.
    alpha : float32 array of shape (n_folds, n_voxels)
        What was chosen.
    edges : tuple of two floats
        Share of choices (folds × voxels) at the lowest and the highest alpha of the grid.
    weights : float32 array of shape (n_features, n_voxels)
        Mean over outer folds of the coefficients on features of unit variance in the training trials.
    models : tuple of FoldModel
        One per outer fold; `fold` says which trials each predicts.
    predictions : float32 array of shape (n_trials, n_voxels) or None
        Held-out predictions, where they were asked for.
    """

    subject: str
    space: str
    features: tuple[str, ...]
    rows: NDArray[np.intp]
    design: NDArray[np.float32]
    fold: NDArray[np.intp]
    r: NDArray[np.float32]
    r2: NDArray[np.float32]
    alphas: NDArray[np.float64]
    alpha: NDArray[np.float32]
    edges: tuple[float, float]
    weights: NDArray[np.float32]
    models: tuple[FoldModel, ...]
    predictions: NDArray[np.float32] | None = None

    def predict(self, voxels: slice = slice(None)) -> NDArray[np.float32]:
        """Held-out predictions of these voxels, (n_trials, n_chosen): each trial by the model of its own fold."""
        if self.predictions is not None:
            return self.predictions[:, voxels]
        first = self.models[0].predict(self.design[:1], voxels)
        predicted = np.empty((len(self.design), first.shape[1]), np.float32)
        for fold, model in enumerate(self.models):
            held_out = self.fold == fold
            predicted[held_out] = model.predict(self.design[held_out], voxels)
        return predicted
