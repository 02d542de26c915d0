"""Ridge with nested choice of the penalty, for feature tables that may be wider than there are stimuli."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome._fold_sums import Splits
from affectome._progress import Progress, silent
from affectome._tables import cut_short
from affectome.errors import InputError

__all__ = ["ALPHAS", "Basis", "Draws", "NestedRidge", "band_weightings", "check_alphas", "diagonalise"]

Floats = NDArray[np.floating]
Places = NDArray[np.intp]

#: Penalties, as the variance of the noise over that of the signal: from almost none to the mean alone.
ALPHAS: tuple[float, ...] = tuple(float(a) for a in np.logspace(-3, 4, 8))

_FLAT = 1e-9  # a feature that varies by less than this share of its size is constant
_EMPTY = 1e-10  # a direction with less than this share of the largest sum of squares has none
_TARGETS = 1024  # targets solved at once: their predictions stay in the cache


def check_alphas(alphas: ArrayLike) -> NDArray[np.float64]:
    """The grid, falling, so that of equally good penalties the largest is met first."""
    grid = np.unique(np.atleast_1d(np.asarray(alphas, np.float64)))[::-1]
    if not len(grid) or not np.isfinite(grid).all() or not (grid > 0).all():
        raise InputError("the alphas are not all finite and above 0", remedy="give penalties such as 0.001 to 10,000")
    return grid


def band_weightings(bands: Mapping[str, Sequence[Any]] | None, features: Sequence[Any]) -> NDArray[np.float64]:
    """What standardised features are multiplied by, one row per candidate, squares of each row of mean 1.

    The first gives every band the same total variance, however many features it has; one more per band leaves the
    others out. Without bands: ones.
    """
    if bands is None:
        return np.ones((1, len(features)))
    place = {name: k for k, name in enumerate(features)}
    named = [column for columns in bands.values() for column in columns]
    if sorted(map(str, named)) != sorted(map(str, features)) or not all(len(columns) for columns in bands.values()):
        odd = [str(c) for c in {*named} ^ {*features}] or [str(c) for c in named if named.count(c) > 1]
        raise InputError(
            f"the bands do not part the features ({cut_short(sorted(odd)) or 'one band is empty'})",
            source="bands",
            remedy="give every feature to exactly one band, and every band a feature",
        )
    only = np.zeros((len(bands), len(features)))
    for row, columns in zip(only, bands.values(), strict=True):
        row[[place[c] for c in columns]] = np.sqrt(len(features) / len(columns))
    if len(only) == 1:
        return only
    return np.vstack([only.sum(axis=0) / np.sqrt(len(only)), only])


@dataclass(frozen=True, eq=False)
class Basis:
    """Standardised training features in directions that are uncorrelated there.

    Attributes
    ----------
    mean, scale : arrays of shape (p,)
        z = (x - mean) * scale; the scale is the band's weight over the s.d., 0 for a constant feature.
    vectors : array of shape (p, r)
    squares : array of shape (r,)
        Sum over the training stimuli of the square of z @ vectors.
    """

    mean: Floats
    scale: Floats
    vectors: Floats
    squares: Floats

    def standardise(self, x: Floats) -> Floats:
        """Z of new rows, (n, p)."""
        z: Floats = (x - self.mean) * self.scale
        return z

    def coordinates(self, x: Floats) -> Floats:
        """Z of new rows along the directions, (n, r)."""
        along: Floats = self.standardise(x) @ self.vectors
        return along


def diagonalise(x: Floats, weights: Floats) -> Basis:
    """Standardise training features (n, p) and diagonalise them on their smaller side."""
    mean, spread = x.mean(axis=0), x.std(axis=0)
    scale = np.divide(weights, spread, out=np.zeros_like(spread), where=spread > _FLAT * np.abs(x).max(axis=0))
    z = (x - mean) * scale
    wide = z.shape[1] > len(z)
    squares, vectors = np.linalg.eigh(z @ z.T if wide else z.T @ z)
    kept = squares > max(_EMPTY * squares[-1], 0)
    squares, vectors = squares[kept], vectors[:, kept]
    return Basis(mean, scale, z.T @ (vectors / np.sqrt(squares)) if wide else vectors, squares)


@dataclass(frozen=True, eq=False)
class Draws:
    """The targets, and the orders in which their stimuli are handed to the features.

    Attributes
    ----------
    y : array of shape (n, T)
        Its dtype is that of products.
    orders : int array of shape (n_draws, n)
    """

    y: Floats
    orders: Places

    @classmethod
    def as_observed(cls, y: Floats) -> Draws:
        """The targets as they are."""
        return cls(y, np.arange(len(y))[None])

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Some draws at a time: their places among all targets of all draws, and the targets (n, n_some * T)."""
        width = self.y.shape[1]
        step = max(1, _TARGETS // width)
        for start in range(0, len(self.orders), step):
            orders = self.orders[start : start + step]
            yield slice(start * width, (start + len(orders)) * width), self.y[orders.T].reshape(len(self.y), -1)

    @property
    def n_targets(self) -> int:
        """Targets of all draws together."""
        return len(self.orders) * int(self.y.shape[1])


class NestedRidge:
    """Ridge from features to any number of targets, the penalty of each chosen inside each training set.

    With standardised training features Z (n x p, s.d. 1, times the weights of their bands) the coefficients minimise
    |y - mean - Z b|^2 + p alpha |b|^2; were all features equally informative, the best alpha would be the variance
    of the noise over that of the signal. Alpha and weighting are those with the least squared error over the inner
    folds. Features are standardised and targets centred on the training stimuli of each fit alone. The sums over
    folds of :mod:`affectome._fold_sums` take p x p numbers per fold; here each training set is diagonalised on its
    smaller side, so that no decomposition is larger than the number of stimuli.

    Parameters
    ----------
    x : array of shape (n, p)
    splits : Splits
    weightings : array of shape (n_weightings, p)
    alphas : array of shape (n_alphas,)
        Falling.
    floor : float
        Predictions below are raised to it; minus infinity leaves them alone.
    """

    def __init__(self, x: Floats, splits: Splits, weightings: Floats, alphas: Floats, floor: float) -> None:
        self.x, self.splits, self.weightings, self.alphas, self.floor = x, splits, weightings, alphas, floor
        self._learned = [np.flatnonzero(learned[splits.atom]) for learned in splits.learned]

    def choose(self, draws: Draws, progress: Progress = silent) -> Places:
        """Candidate with the least inner error, (n_outer, n_targets): weighting * n_alphas + alpha."""
        candidates = len(self.weightings) * len(self.alphas)
        errors = np.zeros((len(self.splits.final), candidates, draws.n_targets), draws.y.dtype)
        judged: dict[int, list[tuple[int, Places]]] = {}
        for outer, fit, held in self.splits.judged:
            judged.setdefault(fit, []).append((outer, np.flatnonzero(held[self.splits.atom])))
        for done, (fit, tests) in enumerate(judged.items(), start=1):
            for w in range(len(self.weightings)):
                at = slice(w * len(self.alphas), (w + 1) * len(self.alphas))
                self._add_errors(errors[:, at], draws, fit, w, tests)
            progress(done, len(judged))
        return np.asarray(errors.argmin(axis=1), np.intp)

    def _add_errors(
        self, errors: Floats, draws: Draws, fit: int, weighting: int, tests: Sequence[tuple[int, Places]]
    ) -> None:
        """Add to errors (n_outer, n_alphas, n_targets) those of one fit on the rows that judge it."""
        rows, basis = self._learned[fit], self.basis(fit, weighting)
        train, *held = (basis.coordinates(self.x[r]).astype(draws.y.dtype) for r in (rows, *(r for _, r in tests)))
        shrink = self._shrink(basis, self.alphas).astype(draws.y.dtype)  # (r, n_alphas)
        for part, y in draws.blocks():
            mean, product = y[rows].mean(axis=0), train.T @ y[rows]
            for (outer, test), along in zip(tests, held, strict=True):
                for a in range(len(self.alphas)):
                    missed = self._predicted(along, shrink[:, [a]] * product, mean) - y[test]
                    errors[outer, a, part] += np.einsum("nt,nt->t", missed, missed)

    def held_out(self, draws: Draws, choice: Places) -> Iterator[tuple[slice, Places, Floats, Floats, Floats]]:
        """Predictions of the rows that each outer fold holds out, its weighting and alpha as chosen.

        Yields
        ------
        Places of some targets; held-out rows; their targets; predictions; and the training means, (n_targets,).
        """
        for outer, fit in enumerate(self.splits.final):
            rows = self._learned[fit]
            test = np.setdiff1d(np.arange(len(self.x)), rows)
            bases = [self.basis(fit, w) for w in range(len(self.weightings))]
            along = [[basis.coordinates(self.x[r]).astype(draws.y.dtype) for r in (rows, test)] for basis in bases]
            for part, y in draws.blocks():
                weighting, alpha = np.divmod(choice[outer, part], len(self.alphas))
                mean, predicted = y[rows].mean(axis=0), np.empty((len(test), y.shape[1]), y.dtype)
                for w in np.unique(weighting):
                    own = weighting == w
                    shrink = self._shrink(bases[w], self.alphas[alpha[own]]).astype(y.dtype)
                    train, held = along[w]
                    predicted[:, own] = self._predicted(held, shrink * (train.T @ y[np.ix_(rows, own)]), mean[own])
                yield part, test, y[test], predicted, mean

    def r2(self, draws: Draws, progress: Progress = silent) -> NDArray[np.float64]:
        """Held-out R2 against the training means, pooled over outer folds, (n_draws, T)."""
        left, whole = np.zeros(draws.n_targets), np.zeros(draws.n_targets)
        for part, _, y, predicted, mean in self.held_out(draws, self.choose(draws, progress)):
            left[part] += ((y - predicted) ** 2).sum(axis=0)
            whole[part] += ((y - mean) ** 2).sum(axis=0)
        score = 1 - np.divide(left, whole, out=np.full_like(whole, np.nan), where=whole > 0)
        return score.reshape(len(draws.orders), -1)

    def influence(self, outer: int, y: Floats, choice: Places, on: Sequence[Floats]) -> tuple[Places, list[Floats]]:
        """What each training stimulus of an outer fold does to weighted sums of its held-out predictions.

        With weights s, the change of sum_i s_i y^_i when stimulus j is put in: sum_i s_i z_i'A^-1 z_j e_j / (1 - h_j),
        A = Z'Z + penalty, e the residual and h the leverage of j in training. (Alpha and the scale are held.)

        Parameters
        ----------
        y : array of shape (n, T)
        choice : array of shape (n_outer, T)
        on : arrays of shape (n_held_out, T)
            Weights of the held-out predictions, in the order of the stimuli.

        Returns
        -------
        Training rows, and for each of `on` an array of shape (n_training, T).
        """
        rows, fit = self._learned[int(self.splits.final[outer])], int(self.splits.final[outer])
        test = np.setdiff1d(np.arange(len(self.x)), rows)
        weighting, alpha = np.divmod(choice[outer], len(self.alphas))
        found: list[Floats] = [np.empty((len(rows), y.shape[1])) for _ in on]
        for w in np.unique(weighting):
            own, basis = np.flatnonzero(weighting == w), self.basis(fit, w)
            train, held = basis.coordinates(self.x[rows]), basis.coordinates(self.x[test])
            shrink, centred = self._shrink(basis, self.alphas[alpha[own]]), y[np.ix_(rows, own)]
            centred = centred - centred.mean(axis=0)
            residual = centred - train @ (shrink * (train.T @ centred))
            residual /= 1 - 1 / len(rows) - train**2 @ shrink
            for part, weights in zip(found, on, strict=True):
                part[:, own] = residual * (train @ (shrink * (held.T @ weights[:, own])))
        return rows, found

    def coefficients(self, y: Floats, choice: Places) -> tuple[Floats, Floats]:
        """Coefficients on features in their own units, (p, T), and intercepts (T,), of the first outer fold's fit."""
        fit = int(self.splits.final[0])
        rows, (weighting, alpha) = self._learned[fit], np.divmod(choice[0], len(self.alphas))
        mean, slopes, offset = y[rows].mean(axis=0), np.zeros((self.x.shape[1], y.shape[1])), np.zeros(y.shape[1])
        for w in np.unique(weighting):
            own, basis = weighting == w, self.basis(fit, w)
            product = basis.coordinates(self.x[rows]).T @ (y[rows][:, own] - mean[own])
            rotated = self._shrink(basis, self.alphas[alpha[own]]) * product
            slopes[:, own] = basis.scale[:, None] * (basis.vectors @ rotated)
            offset[own] = basis.mean @ slopes[:, own]
        return slopes, mean - offset

    def basis(self, fit: int, weighting: int) -> Basis:
        """The training features of a fit, diagonalised."""
        return diagonalise(self.x[self._learned[fit]], self.weightings[weighting])

    def _shrink(self, basis: Basis, alphas: Floats) -> Floats:
        """1 / (sum of squares + penalty) of each direction under each alpha, (r, n_alphas)."""
        shrink: Floats = 1 / (basis.squares[:, None] + self.x.shape[1] * alphas)
        return shrink

    def _predicted(self, along: Floats, coefficients: Floats, mean: Floats) -> Floats:
        predicted: Floats = along @ coefficients
        predicted += mean
        return np.maximum(predicted, self.floor, out=predicted)
