"""Cross-validated ridge for many targets at once, from the sums of each fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from affectome._fold_sums import Band, FoldSums, Splits
from affectome.errors import InputError

__all__ = ["ALPHAS", "Band", "FoldedRidge"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

#: Penalties per training stimulus on standardised predictors: from no shrinkage worth the name to nearly the mean.
ALPHAS: tuple[float, ...] = tuple(float(a) for a in np.logspace(3, -3, 7))

_FLAT = 1e-6  # a target that varies by less than this share of its size is constant


class FoldedRidge:
    """Ridge from the same predictors to any number of targets, each fold held out in turn.

    For each held-out fold f a target's penalty and band are those with the least squared error over the other folds,
    each of them left out of the training data in turn (nested cross-validation, inner folds = the other folds).
    Predictors are centred and scaled, targets centred, on the training stimuli of each fit alone. With standardised
    training predictors Z (n x p, population s.d. 1, times the band's weights) the coefficients minimise
    |y - Z b|^2 + n alpha |b|^2. A predictor that is constant in a training set gets no weight there.

    All fits need only the sums x'x, x'y, y'y of every fold (:class:`affectome._fold_sums.FoldSums`).

    Parameters
    ----------
    x : array of shape (n, p)
    fold : array of shape (n,)
        0 .. n_folds - 1.
    bands : sequence of Band
        What a model may choose from; among equals the first is taken.
    alphas : sequence of float
        Penalties, largest first.
    """

    def __init__(self, x: Floats, fold: Places, bands: Sequence[Band], alphas: Sequence[float] = ALPHAS) -> None:
        self.alphas = np.asarray(alphas, np.float64)
        if len(self.alphas) == 0 or not (self.alphas > 0).all() or not np.isfinite(self.alphas).all():
            raise InputError("the penalties are not all above 0", remedy="give alphas > 0")
        self.n_folds = int(fold.max()) + 1
        self.bands = list(bands)
        self._engine = FoldSums(x, Splits.leave_folds_out(fold))
        self._prepared = [self._engine.prepare(band) for band in self.bands]
        self.x, self.order, self.slices = self._engine.x, self._engine.order, self._engine.slices
        self.centre, self.scale = self._engine.centre, self._engine.scale

    def inner_errors(self, y: Floats) -> Floats:
        """Squared error over the inner folds, (n_folds, n_bands, n_alphas, T); y (n, T) in the order of `order`."""
        sums = self._engine.sums(y)
        gains = [self._engine.inner_gains(band, sums, self.alphas, per_row=True) for band in self._prepared]
        errors: Floats = np.stack(gains, axis=1) + self._engine.inner_totals(sums)[:, None, None]
        return errors

    def choose(self, errors: Floats, bands: Sequence[int]) -> tuple[Places, Places]:
        """Band and penalty with the least inner error, each of shape (n_folds, T)."""
        part = errors[:, list(bands)]
        best = part.reshape(self.n_folds, -1, part.shape[-1]).argmin(axis=1)
        return np.asarray(list(bands), np.intp)[best // len(self.alphas)], best % len(self.alphas)

    def fit(self, y: Floats, band: Places, alpha: Places) -> tuple[Floats, Floats]:
        """Coefficients (n_folds, p, T) on `x` as it is held here, and intercepts (n_folds, T), of the chosen models."""
        sums = self._engine.sums(y)
        coefficients = np.zeros((self.n_folds, self.x.shape[1], y.shape[1]))
        intercepts = np.zeros((self.n_folds, y.shape[1]))
        for f in range(self.n_folds):
            for k in np.unique(band[f]):
                chosen = band[f] == k
                basis = self._prepared[k].bases[f]
                penalties = basis.n * self.alphas[alpha[f, chosen]]
                _, slopes, intercepts[f, chosen] = self._engine.coefficients(basis, sums.select(chosen), penalties)
                coefficients[f, basis.columns[:, None], np.flatnonzero(chosen)] = slopes
        return coefficients, intercepts

    def predict(self, y: Floats, bands: Sequence[int], errors: Floats | None = None) -> Floats:
        """Held-out predictions (n, T), rows and y in the order of the data; penalty and band nested."""
        sorted_y = y[self.order]
        errors = self.inner_errors(sorted_y) if errors is None else errors
        coefficients, intercepts = self.fit(sorted_y, *self.choose(errors, bands))
        predicted = np.empty_like(sorted_y)
        for f, rows in enumerate(self.slices):
            predicted[self.order[rows]] = self.x[rows] @ coefficients[f] + intercepts[f]
        return predicted

    def baseline(self, y: Floats) -> Floats:
        """Mean of the training stimuli of each stimulus's fold, (n, T)."""
        sums = np.array([y[self.order[rows]].sum(axis=0) for rows in self.slices])
        mean = (sums.sum(axis=0) - sums) / (len(y) - self._engine.sizes)[:, None]
        predicted = np.empty_like(y)
        for f, rows in enumerate(self.slices):
            predicted[self.order[rows]] = mean[f]
        return predicted

    def r2(self, y: Floats) -> Floats:
        """Held-out R2 (T,) of the first band from sums alone, penalty nested; y in the order of `order`.

        What :meth:`predict` gives, without a prediction for every stimulus: for thousands of permuted targets.
        """
        engine = self._engine
        sums = engine.sums(y)
        _, alpha = self.choose(self.inner_errors(y), [0])
        left, whole = np.zeros(y.shape[1]), np.zeros(y.shape[1])
        for f, basis in enumerate(self._prepared[0].bases[: self.n_folds]):
            held = np.arange(self.n_folds) == f
            mean, _ = engine.train(basis, sums)
            beta, _, _ = engine.coefficients(basis, sums, basis.n * self.alphas[alpha[f]])
            total = engine.totals(held, mean, sums)
            seen = engine.seen(basis, held, mean, sums)
            left += total + np.einsum("pt,pt->t", beta, engine.rotated_square(basis, held) @ beta - 2 * seen)
            whole += total
        varies = whole > _FLAT**2 * sums.yy.sum(axis=0)  # else the target is constant, and both are rounding
        score: Floats = 1 - np.divide(left, whole, out=np.full_like(whole, np.nan), where=varies)
        return score
