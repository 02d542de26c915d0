"""What voxel-wise encoding of one person by one space found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError

__all__ = ["Encoding", "FoldModel"]


@dataclass(frozen=True, eq=False)
class FoldModel:
    """The model of one outer fold, in the units of the space and of the recording.

    Attributes
    ----------
    coefficients : float32 array of shape (n_features, n_voxels)
        On the features as the space has them.
    intercepts : float32 array of shape (n_voxels,)
    centre : float32 array of shape (n_features,) or None
        Mean of the features over the training trials, at which the model predicts the mean training response.
    """

    coefficients: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    centre: NDArray[np.float32] | None = None

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
    bands : tuple of str
        Names of the bands of features that have a penalty each; empty: one penalty for all.
    band_of : intp array of shape (n_features,) or None
        The band of each feature, a place in `bands`.
    band_weights : float32 array of shape (n_folds, n_bands, n_voxels) or None
        What was chosen: the penalty of a band is alpha / weight.
    inner_r2 : float32 array of shape (n_folds, n_voxels) or None
        R2 over the inner folds of what was chosen; optimistic, since it is the best of the grid.
    n_dropped : intp array of shape (n_folds,) or None
        Trials kept out of the training of each fold, since the held-out fold shows their stimulus.
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
    bands: tuple[str, ...] = ()
    band_of: NDArray[np.intp] | None = None
    band_weights: NDArray[np.float32] | None = None
    inner_r2: NDArray[np.float32] | None = None
    n_dropped: NDArray[np.intp] | None = None

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

    def training_means(self, voxels: slice = slice(None)) -> NDArray[np.float32]:
        """Mean response of these voxels over the training trials of each fold, (n_folds, n_chosen)."""
        return np.stack([model.predict(_centre(model)[None], voxels)[0] for model in self.models])

    def baseline(self, voxels: slice = slice(None)) -> NDArray[np.float32]:
        """Mean training response of these voxels in the fold of each trial, (n_trials, n_chosen)."""
        chosen: NDArray[np.float32] = self.training_means(voxels)[self.fold]
        return chosen

    def predict_bands(self, voxels: slice = slice(None)) -> dict[str, NDArray[np.float32]]:
        """What each band adds to the held-out predictions of these voxels, each (n_trials, n_chosen).

        With the features centred on their training means, so that all bands and :meth:`baseline` sum to
        :meth:`predict`.
        """
        if self.band_of is None:
            raise InputError(
                f"the encoding of {self.subject} by {self.space} has no bands", remedy="encode with bands="
            )
        width = self.models[0].intercepts[voxels].shape[0]
        parts = {band: np.empty((len(self.design), width), np.float32) for band in self.bands}
        for fold, model in enumerate(self.models):
            held_out = self.fold == fold
            features = self.design[held_out] - _centre(model)
            for k, band in enumerate(self.bands):
                columns = self.band_of == k
                parts[band][held_out] = features[:, columns] @ model.coefficients[columns, voxels]
        return parts


def _centre(model: FoldModel) -> NDArray[np.float32]:
    if model.centre is None:
        raise InputError("the models do not say the mean of their features", remedy="make them with encode")
    return model.centre
