"""Cross-validated ridge for any number of targets, from sums over the rows that no split parts.

Every fit of a nested cross-validation needs x'x, x'y and y'y over its training rows, and every error the same sums over
the rows held out. Rows that lie on the same side of every split form an *atom* (where whole folds are held out, a
fold), and all those sums are sums over atoms. So one pass over the targets serves all fits, and one
eigendecomposition per training set serves all targets and penalties.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["Band", "Basis", "FoldSums", "Prepared", "Splits", "TargetSums"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Mask = NDArray[np.bool_]

_FLAT = 1e-6  # a spread below this share of the column's own is the rounding of a difference of sums: it is constant
_PRODUCTS = 2**21  # products of coefficients held at once: 8 MB in float32


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
class Splits:
    """Which rows each fit learns from, and which rows judge it.

    Attributes
    ----------
    atom : array of shape (n,)
        Atom of each row.
    learned : bool array of shape (n_fits, n_atoms)
        Atoms that each distinct fit is trained on.
    final : array of shape (n_outer,)
        The fit that is used in the end by each outer fold.
    judged : tuple of (outer fold, fit, atoms)
        What the choice of the penalty for an outer fold rests on: the error of a fit on these atoms.
    """

    atom: Places
    learned: Mask
    final: Places
    judged: tuple[tuple[int, int, Mask], ...]

    @classmethod
    def from_masks(cls, outer: Sequence[Mask], inner: Sequence[Sequence[tuple[Mask, Mask]]]) -> Splits:
        """Find the atoms of these training rows and of the (training, held-out) rows inside each.

        Equal training sets become one fit: with whole folds held out, training without folds f and g serves the
        choice for f and the choice for g.
        """
        pairs = [pair for splits in inner for pair in splits]
        rows = np.array([*outer, *(mask for pair in pairs for mask in pair)])  # (masks, n)
        _, first, atom = np.unique(rows, axis=1, return_index=True, return_inverse=True)
        atoms = rows[:, first]  # (masks, n_atoms)
        fits: dict[bytes, int] = {}
        learned: list[Mask] = []

        def fit_of(mask: Mask) -> int:
            if mask.tobytes() not in fits:
                fits[mask.tobytes()] = len(learned)
                learned.append(mask)
            return fits[mask.tobytes()]

        final = [fit_of(atoms[k]) for k in range(len(outer))]
        judged, at = [], len(outer)
        for k, splits in enumerate(inner):
            for _ in splits:
                judged.append((k, fit_of(atoms[at]), atoms[at + 1]))
                at += 2
        return cls(atom.reshape(-1), np.array(learned), np.array(final, np.intp), tuple(judged))

    @classmethod
    def leave_folds_out(cls, fold: Places) -> Splits:
        """Each fold held out in turn, the penalty chosen by holding out each of the others."""
        folds = range(int(fold.max()) + 1)
        masks = np.eye(len(folds), dtype=bool)
        pairs = [(f, g) for f in folds for g in folds if f < g]
        learned = [~masks[f] for f in folds] + [~(masks[f] | masks[g]) for f, g in pairs]
        judged = [
            (outer, len(folds) + k, masks[held]) for k, pair in enumerate(pairs) for outer, held in (pair, pair[::-1])
        ]
        return cls(fold, np.array(learned), np.arange(len(folds)), tuple(judged))


@dataclass(frozen=True, eq=False)
class TargetSums:
    """Sums of the targets over each atom.

    Attributes
    ----------
    y, yy : arrays of shape (n_atoms, T)
        Of each target and of its square.
    xy : array of shape (n_atoms, p, T)
        Of its products with the predictors.
    """

    y: Floats
    yy: Floats
    xy: Floats

    def select(self, targets: slice | Mask | Places) -> TargetSums:
        """Those of some targets."""
        return TargetSums(self.y[:, targets], self.yy[:, targets], self.xy[:, :, targets])


@dataclass(frozen=True, eq=False)
class Basis:
    """Training predictors of one fit, diagonalised: `rotate` takes a centred predictor to the eigenbasis."""

    fit: int
    columns: Places
    n: int
    mean: Floats  # (p,)
    eigenvalues: Floats  # (p,)
    rotate: Floats  # (p, p)


@dataclass(frozen=True, eq=False)
class Prepared:
    """One band ready for any targets: a basis for every fit, and what the rows that judge it look like there."""

    bases: tuple[Basis, ...]
    squares: tuple[Floats, ...]  # (p, p) for each entry of `Splits.judged`


class FoldSums:
    """The predictors, as sums over atoms.

    Predictors are centred and scaled, targets centred, on the training rows of each fit alone. With standardised
    training predictors Z (n x p, population s.d. 1, times the band's weights) the coefficients of a fit minimise
    |y - Z b|^2 + penalty |b|^2. A predictor that is constant in a training set gets no weight there.

    Parameters
    ----------
    x : array of shape (n, p)
    splits : Splits
    """

    def __init__(self, x: Floats, splits: Splits) -> None:
        self.splits = splits
        self.sizes = np.bincount(splits.atom)
        self.order = np.argsort(splits.atom, kind="stable")
        ends = np.cumsum(self.sizes)
        self.slices = [slice(int(end - size), int(end)) for end, size in zip(ends, self.sizes, strict=True)]
        # Shifting and scaling a column changes no fit, since each standardises again; it keeps the sums accurate.
        self.centre, spread = x.mean(axis=0), x.std(axis=0)
        self.scale = np.where(spread > 0, spread, 1.0)
        self.x = np.ascontiguousarray((x[self.order] - self.centre) / self.scale)
        self.sx = np.array([self.x[rows].sum(axis=0) for rows in self.slices])  # (atoms, p)
        self.xx = np.array([self.x[rows].T @ self.x[rows] for rows in self.slices])  # (atoms, p, p)

    def moments(self, fit: int) -> tuple[int, Floats, Floats]:
        """Rows a fit is trained on, and mean and s.d. there of the predictors as they are held here, (p,)."""
        learned = self.splits.learned[fit]
        n = int(self.sizes[learned].sum())
        mean = self.sx[learned].sum(axis=0) / n
        variance = self.xx[learned].sum(axis=0).diagonal() / n - mean**2
        spread = np.sqrt(np.maximum(variance, 0))
        return n, mean, np.where(spread > _FLAT, spread, 0.0)

    def basis(self, fit: int, band: Band) -> Basis:
        """Diagonalise the training predictors of a fit."""
        n, means, spreads = self.moments(fit)
        columns = band.columns
        mean, spread = means[columns], spreads[columns]
        square = self.xx[self.splits.learned[fit]].sum(axis=0)[np.ix_(columns, columns)] - n * mean[:, None] * mean
        scale = np.divide(band.weights, spread, out=np.zeros_like(spread), where=spread > 0)
        values, vectors = np.linalg.eigh(square * scale[:, None] * scale)
        return Basis(fit, columns, n, mean, np.maximum(values, 0), vectors.T * scale)

    def prepare(self, band: Band) -> Prepared:
        """Everything about a band that the targets do not change."""
        bases = tuple(self.basis(fit, band) for fit in range(len(self.splits.learned)))
        return Prepared(bases, tuple(self.rotated_square(bases[fit], held) for _, fit, held in self.splits.judged))

    def rotated_square(self, basis: Basis, held: Mask) -> Floats:
        """Sum over held-out rows of the outer product of predictors, about the training mean, in the eigenbasis."""
        sums = self.sx[held].sum(axis=0)[basis.columns]
        square = self.xx[held].sum(axis=0)[np.ix_(basis.columns, basis.columns)]
        cross = sums[:, None] * basis.mean
        square = square - cross - cross.T + self.sizes[held].sum() * basis.mean[:, None] * basis.mean
        rotated: Floats = basis.rotate @ square @ basis.rotate.T
        return rotated

    def sums(self, y: Floats) -> TargetSums:
        """Sums of targets (n, T), their rows in the order of `order`."""
        return TargetSums(
            np.array([y[rows].sum(axis=0) for rows in self.slices]),
            np.array([np.einsum("nt,nt->t", y[rows], y[rows]) for rows in self.slices]),
            np.array([self.x[rows].T @ y[rows] for rows in self.slices]),
        )

    def train(self, basis: Basis, sums: TargetSums) -> tuple[Floats, Floats]:
        """Mean of each target (T,) and its products with the eigenvectors (p, T) over the training rows."""
        learned = self.splits.learned[basis.fit]
        mean = sums.y[learned].sum(axis=0) / basis.n
        product = basis.rotate @ _over(sums.xy, learned, basis.columns)
        return mean, product - np.outer(basis.n * (basis.rotate @ basis.mean), mean)

    def totals(self, held: Mask, mean: Floats, sums: TargetSums) -> Floats:
        """Squares of each target about its training mean, summed over held-out rows, (T,)."""
        size = int(self.sizes[held].sum())
        total: Floats = sums.yy[held].sum(axis=0) - 2 * mean * sums.y[held].sum(axis=0) + size * mean**2
        return total

    def seen(self, basis: Basis, held: Mask, mean: Floats, sums: TargetSums) -> Floats:
        """Products of the held-out targets with the eigenvectors, both about their training means, (p, T)."""
        product = basis.rotate @ _over(sums.xy, held, basis.columns)
        product -= np.outer(basis.rotate @ self.sx[held].sum(axis=0)[basis.columns], mean)
        product -= np.outer(basis.rotate @ basis.mean, sums.y[held].sum(axis=0) - self.sizes[held].sum() * mean)
        return product

    def inner_totals(self, sums: TargetSums) -> Floats:
        """Squared error over the inner folds of predicting each training mean, (n_outer, T)."""
        found = np.zeros((len(self.splits.final), sums.y.shape[1]))
        for outer, fit, held in self.splits.judged:
            learned = self.splits.learned[fit]
            found[outer] += self.totals(held, sums.y[learned].sum(axis=0) / self.sizes[learned].sum(), sums)
        return found

    def inner_gains(
        self,
        prepared: Prepared,
        sums: TargetSums,
        alphas: Floats,
        *,
        per_row: bool = False,
        dtype: DTypeLike = np.float64,
    ) -> NDArray[np.floating]:
        """Squared error over the inner folds, less that of the training means: (n_outer, n_alphas, T).

        Below 0 where a model predicts better than the mean. With products q of the training targets and the
        eigenvectors, coefficients b = s * q, s = 1 / (eigenvalues + penalty), the error of a held-out fold is
        sum_ij s_i s_j S_ij q_i q_j - 2 sum_i s_i q_i h_i: linear in products of q, which all penalties share.

        Parameters
        ----------
        alphas : array of shape (n_alphas,)
            The penalties; with `per_row` times the number of training rows.
        dtype
            In which products are formed and summed.
        """
        gains = np.zeros((len(self.splits.final), len(alphas), sums.y.shape[1]), dtype)
        for basis, judged in self._judges(prepared):
            shrink = 1 / (basis.eigenvalues + (basis.n if per_row else 1) * alphas[:, None])  # (A, p)
            weights = np.concatenate([_pair_weights(shrink, square) for _, _, square in judged]).astype(dtype)
            twice = (2 * shrink).astype(dtype)
            for part in _blocks(sums.y.shape[1], weights.shape[1]):  # what a block needs stays in the cache
                block = sums.select(part)
                mean, product = self.train(basis, block)
                q = product.astype(dtype)
                errors = (weights @ _pair_products(q)).reshape(len(judged), len(alphas), -1)
                for (outer, held, _), error in zip(judged, errors, strict=True):
                    error -= twice @ (q * self.seen(basis, held, mean, block).astype(dtype))
                    gains[outer, :, part] += error
        return gains

    def _judges(self, prepared: Prepared) -> Iterable[tuple[Basis, list[tuple[int, Mask, Floats]]]]:
        """Each fit that is judged, with the outer folds it serves, the atoms held out and their squares."""
        of_fit: dict[int, list[tuple[int, Mask, Floats]]] = {}
        for (outer, fit, held), square in zip(self.splits.judged, prepared.squares, strict=True):
            of_fit.setdefault(fit, []).append((outer, held, square))
        for fit, judged in of_fit.items():
            yield prepared.bases[fit], judged

    def coefficients(self, basis: Basis, sums: TargetSums, penalties: Floats) -> tuple[Floats, Floats, Floats]:
        """Coefficients in the eigenbasis and on `x` as it is held here, both (p, T), and intercepts (T,).

        Parameters
        ----------
        penalties : array of shape (T,)
        """
        mean, product = self.train(basis, sums)
        rotated = product / (basis.eigenvalues[:, None] + penalties)
        slopes = basis.rotate.T @ rotated
        return rotated, slopes, mean - basis.mean @ slopes


def _over(products: Floats, atoms: Mask, columns: Places) -> Floats:
    """Sum over atoms of (n_atoms, p, T), only these columns."""
    chosen = np.flatnonzero(atoms)
    whole = len(columns) == products.shape[1] and bool((columns == np.arange(len(columns))).all())
    if whole and len(chosen) == 1:
        only: Floats = products[chosen[0]]
        return only
    total: Floats = np.zeros((len(columns), products.shape[2]))
    for atom in chosen:
        total += products[atom] if whole else products[atom][columns]
    return total


def _pair_weights(shrink: Floats, square: Floats) -> Floats:
    """What each product q_i q_j, i <= j, adds to the error under each penalty, (A, p (p + 1) / 2)."""
    first, second = np.triu_indices(len(square))
    doubled = square[first, second] * np.where(first == second, 1.0, 2.0)
    return shrink[:, first] * shrink[:, second] * doubled


def _pair_products(q: NDArray[np.floating]) -> NDArray[np.floating]:
    """q_i q_j for i <= j, (p (p + 1) / 2, T)."""
    p, n_targets = q.shape
    products = np.empty((p * (p + 1) // 2, n_targets), q.dtype)
    at = 0
    for i in range(p):
        np.multiply(q[i], q[i:], out=products[at : at + p - i])
        at += p - i
    return products


def _blocks(n_targets: int, n_products: int) -> Iterable[slice]:
    size = max(32, min(1024, _PRODUCTS // max(n_products, 1)))
    return (slice(start, min(n_targets, start + size)) for start in range(0, n_targets, size))
