"""Cross-validated ridge for many targets at once, from the sums of each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectome._tables import check_unique, cut_short
from affectome.errors import InputError

__all__ = ["ALPHAS", "Band", "FoldedRidge", "assign_folds", "check_folds", "group_codes"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

#: Penalties per training stimulus on standardised predictors: from no shrinkage worth the name to nearly the mean.
ALPHAS: tuple[float, ...] = tuple(float(a) for a in np.logspace(3, -3, 7))

_FLAT = 1e-6  # a spread below this share of the column's own is the rounding of a difference of sums: it is constant


@dataclass(frozen=True, eq=False)
class Band:
    """Predictors that a model may use, and how heavily each weighs.

    Attributes
    ----------
    columns : array of int
        Places of the predictors.
    weights : array of float
        What each standardised predictor is multiplied by; a larger weight is a smaller penalty.
    """

    columns: Places
    weights: Floats


@dataclass(frozen=True, eq=False)
class _Basis:
    """Training predictors of one fit, diagonalised: `rotate` takes a centred predictor to the eigenbasis."""

    columns: Places
    n: int
    mean: Floats  # (p,)
    eigenvalues: Floats  # (p,)
    rotate: Floats  # (p, p)


def check_folds(n: int, n_folds: int, n_repeats: int) -> None:
    """Refuse folds with too little in them."""
    if n_folds < 3 or n_repeats < 1:
        raise InputError(
            f"n_folds={n_folds} and n_repeats={n_repeats} cannot be done",
            remedy="use at least three folds (the penalty is chosen on the folds that are left) and one repeat",
        )
    if n < 5 * n_folds:
        raise InputError(
            f"{n} stimuli are too few for {n_folds} folds", remedy=f"give at least {5 * n_folds}, or use fewer folds"
        )


def group_codes(ids: Sequence[str], groups: object | None) -> Places:
    """The group of each stimulus as a number from 0; every stimulus is its own group by default.

    Parameters
    ----------
    groups : mapping from id to group, or None
        Stimuli that it does not name stand alone.
    """
    if groups is None:
        return np.arange(len(ids))
    named = dict(groups)  # type: ignore[call-overload]
    unknown = [str(i) for i in named if str(i) not in set(ids)]
    if unknown:
        raise InputError(
            f"{len(unknown)} ids of the groups are no stimuli ({cut_short(unknown)})", remedy="make the ids match"
        )
    check_unique([str(i) for i in named], source="the groups")
    text = {str(i): group for i, group in named.items()}
    labels = [("group", text[i]) if i in text else ("alone", i) for i in ids]
    known = {label: k for k, label in enumerate(dict.fromkeys(labels))}
    return np.array([known[label] for label in labels], np.intp)


def assign_folds(group: Places, n_folds: int, rng: np.random.Generator) -> Places:
    """A fold for each stimulus: folds of nearly equal size, no group in two of them."""
    n_groups = int(group.max()) + 1
    if n_groups < n_folds:
        raise InputError(f"{n_groups} groups of stimuli cannot fill {n_folds} folds", remedy="use fewer folds")
    size = np.bincount(group, minlength=n_groups)
    order = rng.permutation(n_groups)
    order = order[np.argsort(-size[order], kind="stable")]  # large groups first, so that small ones even out
    fold_of = np.empty(n_groups, np.intp)
    single = size[order] == 1
    filled = np.zeros(n_folds, np.intp)
    for k in order[~single]:
        fold_of[k] = filled.argmin()
        filled[fold_of[k]] += size[k]
    alone = order[single]
    room = np.maximum(0, int(filled.max()) - filled)
    first = np.repeat(np.arange(n_folds), room)[: len(alone)]  # level the folds, then deal in turn
    dealt = np.arange(len(alone) - len(first)) % n_folds
    fold_of[alone] = np.concatenate([first, dealt])
    return fold_of[group]


class FoldedRidge:
    """Ridge from the same predictors to any number of targets, each fold held out in turn.

    For each held-out fold f a target's penalty and band are those with the least squared error over the other folds,
    each of them left out of the training data in turn (nested cross-validation, inner folds = the other folds).
    Predictors are centred and scaled, targets centred, on the training stimuli of each fit alone. With standardised
    training predictors Z (n x p, population s.d. 1, times the band's weights) the coefficients minimise
    |y - Z b|^2 + n alpha |b|^2. A predictor that is constant in a training set gets no weight there.

    All fits need only the sums x'x, x'y, y'y of every fold, so that one eigendecomposition per pair of folds and band
    serves all targets and penalties.

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
        self.order = np.argsort(fold, kind="stable")
        ends = np.cumsum(np.bincount(fold))
        self.slices = [slice(int(end - size), int(end)) for end, size in zip(ends, np.bincount(fold), strict=True)]
        # Shifting and scaling a column changes no fit, since each standardises again; it keeps the sums accurate.
        self.centre, spread = x.mean(axis=0), x.std(axis=0)
        self.scale = np.where(spread > 0, spread, 1.0)
        self.x = np.ascontiguousarray((x[self.order] - self.centre) / self.scale)
        self.sizes = np.bincount(fold)
        self.sx = np.array([self.x[rows].sum(axis=0) for rows in self.slices])  # (F, p)
        self.xx = np.array([self.x[rows].T @ self.x[rows] for rows in self.slices])  # (F, p, p)
        self.bands = list(bands)
        folds = range(self.n_folds)
        self._inner = {(f, g): [self._basis((f, g), band) for band in bands] for f in folds for g in folds if f < g}
        self._outer = [[self._basis((f,), band) for band in bands] for f in folds]
        # What a held-out fold's predictors look like in the basis of the fit that predicts it.
        self._squares = {
            (left_out, k, held): self._rotated_square(basis, held)
            for left_out, bases in [*self._inner.items(), *(((f,), self._outer[f]) for f in folds)]
            for k, basis in enumerate(bases)
            for held in left_out
        }

    def _kept(self, left_out: tuple[int, ...]) -> list[int]:
        return [f for f in range(self.n_folds) if f not in left_out]

    def _basis(self, left_out: tuple[int, ...], band: Band) -> _Basis:
        kept = self._kept(left_out)
        n = int(self.sizes[kept].sum())
        columns = band.columns
        mean = self.sx[kept][:, columns].sum(axis=0) / n
        square = self.xx[kept].sum(axis=0)[np.ix_(columns, columns)] - n * mean[:, None] * mean
        spread = np.sqrt(np.maximum(square.diagonal() / n, 0))
        scale = np.divide(band.weights, spread, out=np.zeros_like(spread), where=spread > _FLAT)
        values, vectors = np.linalg.eigh(square * scale[:, None] * scale)
        return _Basis(columns, n, mean, np.maximum(values, 0), vectors.T * scale)

    def _rotated_square(self, basis: _Basis, held: int) -> Floats:
        """Sum over a fold of the outer product of predictors, about the training mean, in the eigenbasis."""
        sums = self.sx[held][basis.columns]
        square = self.xx[held][np.ix_(basis.columns, basis.columns)]
        cross = sums[:, None] * basis.mean
        square = square - cross - cross.T + self.sizes[held] * basis.mean[:, None] * basis.mean
        rotated: Floats = basis.rotate @ square @ basis.rotate.T
        return rotated

    def _sums(self, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Sums of y, y^2 (F, T) and x'y (F, p, T) of each fold; y in the order of `self.order`."""
        sy = np.array([y[rows].sum(axis=0) for rows in self.slices])
        yy = np.array([np.einsum("nt,nt->t", y[rows], y[rows]) for rows in self.slices])
        xy = np.array([self.x[rows].T @ y[rows] for rows in self.slices])
        return sy, yy, xy

    def _train(self, basis: _Basis, left_out: tuple[int, ...], sy: Floats, xy: Floats) -> tuple[Floats, Floats]:
        """Mean of each target (T,) and its products with the eigenvectors (p, T) over the training stimuli."""
        kept = self._kept(left_out)
        mean = sy[kept].sum(axis=0) / basis.n
        product = basis.rotate @ xy[kept].sum(axis=0)[basis.columns]
        return mean, product - np.outer(basis.n * (basis.rotate @ basis.mean), mean)

    def _held(
        self, basis: _Basis, held: int, mean: Floats, sy: Floats, yy: Floats, xy: Floats
    ) -> tuple[Floats, Floats]:
        """Squares of each target about the training mean (T,), and its products with the eigenvectors (p, T)."""
        size, sums = self.sizes[held], self.sx[held][basis.columns]
        total = yy[held] - 2 * mean * sy[held] + size * mean**2
        product = basis.rotate @ xy[held][basis.columns]
        product -= np.outer(basis.rotate @ sums, mean)
        product -= np.outer(basis.rotate @ basis.mean, sy[held] - size * mean)
        return total, product

    def inner_errors(self, y: Floats) -> Floats:
        """Squared error over the inner folds, (n_folds, n_bands, n_alphas, T); y (n, T) in the order of `order`."""
        sy, yy, xy = self._sums(y)
        errors = np.zeros((self.n_folds, len(self.bands), len(self.alphas), y.shape[1]))
        for left_out, bases in self._inner.items():
            for k, basis in enumerate(bases):
                mean, product = self._train(basis, left_out, sy, xy)
                shrink = 1 / (basis.eigenvalues + basis.n * self.alphas[:, None])  # (A, p)
                beta = product[:, None, :] * shrink.T[:, :, None]  # (p, A, T)
                flat = beta.reshape(len(product), -1)
                for outer, held in (left_out, left_out[::-1]):
                    total, seen = self._held(basis, held, mean, sy, yy, xy)
                    rotated = (self._squares[left_out, k, held] @ flat).reshape(beta.shape)
                    rotated -= 2 * seen[:, None, :]
                    errors[outer, k] += total + np.einsum("pat,pat->at", beta, rotated)
        return errors

    def choose(self, errors: Floats, bands: Sequence[int]) -> tuple[Places, Places]:
        """Band and penalty with the least inner error, each of shape (n_folds, T)."""
        part = errors[:, list(bands)]
        best = part.reshape(self.n_folds, -1, part.shape[-1]).argmin(axis=1)
        return np.asarray(list(bands), np.intp)[best // len(self.alphas)], best % len(self.alphas)

    def fit(self, y: Floats, band: Places, alpha: Places) -> tuple[Floats, Floats]:
        """Coefficients (n_folds, p, T) on `x` as it is held here, and intercepts (n_folds, T), of the chosen models."""
        sy, _, xy = self._sums(y)
        coefficients = np.zeros((self.n_folds, self.x.shape[1], y.shape[1]))
        intercepts = np.zeros((self.n_folds, y.shape[1]))
        for f, bases in enumerate(self._outer):
            for k in np.unique(band[f]):
                chosen = band[f] == k
                basis = bases[k]
                mean, product = self._train(basis, (f,), sy[:, chosen], xy[:, :, chosen])
                beta = product / (basis.eigenvalues[:, None] + basis.n * self.alphas[alpha[f, chosen]])
                slopes = basis.rotate.T @ beta
                coefficients[f, basis.columns[:, None], np.flatnonzero(chosen)] = slopes
                intercepts[f, chosen] = mean - basis.mean @ slopes
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
        mean = (sums.sum(axis=0) - sums) / (len(y) - self.sizes)[:, None]
        predicted = np.empty_like(y)
        for f, rows in enumerate(self.slices):
            predicted[self.order[rows]] = mean[f]
        return predicted

    def r2(self, y: Floats) -> Floats:
        """Held-out R2 (T,) of the first band from sums alone, penalty nested; y in the order of `order`.

        What :meth:`predict` gives, without a prediction for every stimulus: for thousands of permuted targets.
        """
        sy, yy, xy = self._sums(y)
        _, alpha = self.choose(self.inner_errors(y), [0])
        left, whole = np.zeros(y.shape[1]), np.zeros(y.shape[1])
        for f, bases in enumerate(self._outer):
            basis = bases[0]
            mean, product = self._train(basis, (f,), sy, xy)
            beta = product / (basis.eigenvalues[:, None] + basis.n * self.alphas[alpha[f]])
            total, seen = self._held(basis, f, mean, sy, yy, xy)
            left += total + np.einsum("pt,pt->t", beta, self._squares[(f,), 0, f] @ beta - 2 * seen)
            whole += total
        with np.errstate(invalid="ignore", divide="ignore"):
            score: Floats = 1 - left / whole
        return score
