"""Held-out r of rearranged responses, every fold being fitted anew, from sums over groups of trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectome._fold_sums import Band, Basis, FoldSums, Prepared, TargetSums
from affectome.neural.encoding._banded import weighted_band
from affectome.neural.encoding._folds import SharedStimuli, nested_splits
from affectome.neural.encoding._result import Encoding

__all__ = ["Refit", "Stack"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_CONSTANT = 1e-6  # share of the mean square of predictions below which their spread is rounding


@dataclass(frozen=True, eq=False)
class Stack:
    """The design as several rearrangements of the responses meet it, group by group.

    Attributes
    ----------
    n : int
        Rearrangements.
    sources : tuple of int arrays
        Which responses ever come into each group.
    designs : tuple of float32 arrays of shape ((1 + n_features) * n, n_sources)
        Times the responses, all sums of 1 and x with y, of all rearrangements.
    """

    n: int
    sources: tuple[NDArray[np.intp], ...]
    designs: tuple[Singles, ...]


@dataclass(frozen=True, eq=False)
class _Fold:
    """What an outer fold needs: `rotate` takes sums of (1, x) y to sums of z y, z centred and in the eigenbasis."""

    learned: NDArray[np.bool_]  # groups
    held: NDArray[np.bool_]  # groups
    n_learned: int
    n_held: int
    rotate: Singles  # (rank, 1 + n_features)
    eigenvalues: Floats  # (rank,)
    held_sum: Singles  # (rank,), of z
    held_square: Singles  # (rank, rank), of z z'


class Refit:
    """An encoding but for its responses.

    Parameters
    ----------
    encoding
    stimulus : array of shape (n_trials,)
        Of its trials.
    choose
        Whether penalties will be chosen anew, one for all features.
    """

    def __init__(self, encoding: Encoding, stimulus: NDArray[np.object_], *, choose: bool) -> None:
        shared: SharedStimuli = "allow" if encoding.n_dropped is None or not encoding.n_dropped.any() else "drop"
        nested = nested_splits(encoding.fold, stimulus, shared, source=encoding.subject)
        engine = FoldSums(encoding.design.astype(np.float64), nested.splits)
        self.engine, self.alphas = engine, encoding.alphas
        # Groups: what every training set takes or leaves as a whole, fold by fold.
        pairs, group = np.unique(np.column_stack([nested.splits.atom, nested.fold]), axis=0, return_inverse=True)
        self.group, self.atom_of_group = group.reshape(-1), pairs[:, 0]
        x = np.empty_like(engine.x)
        x[engine.order] = engine.x
        self.augmented = np.column_stack([np.ones(len(x)), x]).astype(np.float32)
        bands, self.weighting = _weightings(encoding)
        self.folds = [
            [self._fold(fold, pairs, engine.basis(int(fit), band)) for band in bands]
            for fold, fit in enumerate(nested.splits.final)
        ]
        self.prepared: Prepared | None = engine.prepare(bands[0]) if choose else None

    def _fold(self, fold: int, pairs: NDArray[np.intp], basis: Basis) -> _Fold:
        learned, held = self.engine.splits.learned[basis.fit][pairs[:, 0]], pairs[:, 1] == fold
        sizes = np.bincount(self.group)
        rotate = np.column_stack([-basis.rotate @ basis.mean, basis.rotate])
        z = self.augmented[held[self.group]].astype(np.float64) @ rotate.T
        return _Fold(
            learned,
            held,
            int(sizes[learned].sum()),
            int(sizes[held].sum()),
            rotate.astype(np.float32),
            basis.eigenvalues,
            z.sum(axis=0).astype(np.float32),
            (z.T @ z).astype(np.float32),
        )

    def stack(self, orders: NDArray[np.int32]) -> Stack:
        """The design under rearrangements (n, n_trials) of the responses."""
        came_to = np.argsort(orders, axis=1)  # the place that each response has come to
        sources, designs = [], []
        for number in range(len(self.atom_of_group)):
            inside = self.group[came_to] == number
            source = np.flatnonzero(inside.any(axis=0))
            design = self.augmented[came_to[:, source]]  # (n, n_sources, 1 + p)
            design[~inside[:, source]] = 0
            sources.append(source)
            designs.append(np.ascontiguousarray(design.transpose(2, 0, 1)).reshape(-1, len(source)))
        return Stack(len(orders), tuple(sources), tuple(designs))

    def scores(self, stack: Stack, responses: Singles, voxels: NDArray[np.intp], alpha: Singles | None) -> Singles:
        """Pooled held-out r, (stack.n, n_voxels); NaN where predictions or responses are constant.

        Parameters
        ----------
        stack
        responses : float32 array of shape (n_trials, n_voxels)
            Centred.
        voxels : array of shape (n_voxels,)
            Which voxels of the encoding these are.
        alpha : float32 array of shape (n_folds, n_voxels) or None
            None: chosen anew for every rearrangement.
        """
        n_voxels = responses.shape[1]
        width = stack.n * n_voxels
        sums = [
            (design @ responses[source]).reshape(-1, width)  # (1 + p, n × n_voxels)
            for design, source in zip(stack.designs, stack.sources, strict=True)
        ]
        whole = np.sum(sums, axis=0)
        penalties = self._chosen(sums) if alpha is None else np.tile(alpha, stack.n)
        total = np.zeros((3, width))  # of predictions: their sum, squares, and products with the responses
        for number, (fold, penalty) in enumerate(zip(self.folds, penalties, strict=True)):
            if len(fold) == 1:
                total += _predicted(fold[0], sums, whole, penalty)
                continue
            weighting = np.tile(self.weighting[number, voxels], stack.n)
            for k in np.unique(weighting):
                at = np.flatnonzero(weighting == k)
                total[:, at] += _predicted(fold[k], [part[:, at] for part in sums], whole[:, at], penalty[at])
        squares = np.tile((responses.astype(np.float64) ** 2).sum(axis=0), stack.n)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = total[1] - total[0] ** 2 / len(responses)
            r = total[2] / np.sqrt(np.where(spread > _CONSTANT * total[1], spread * squares, np.nan))
        found: Singles = r.astype(np.float32).reshape(stack.n, n_voxels)
        return found

    def _chosen(self, sums: Sequence[Singles]) -> Singles:
        """The penalty of the least squared error over inner folds, (n_folds, n × n_voxels)."""
        assert self.prepared is not None
        n_atoms = len(self.engine.sizes)
        atoms = np.zeros((n_atoms, *sums[0].shape), np.float32)
        for atom, part in zip(self.atom_of_group, sums, strict=True):
            atoms[atom] += part
        targets = TargetSums(atoms[:, 0], np.empty((n_atoms, 0)), atoms[:, 1:])
        gains = self.engine.inner_gains(self.prepared, targets, self.alphas, dtype=np.float32)
        place = gains.shape[1] - 1 - gains[:, ::-1].argmin(axis=1)  # the largest of equals
        chosen: Singles = self.alphas[place].astype(np.float32)
        return chosen


def _weightings(encoding: Encoding) -> tuple[list[Band], NDArray[np.intp]]:
    """The weightings of the features that any voxel has in any fold, and which each has, (n_folds, n_voxels)."""
    n_features = encoding.design.shape[1]
    if encoding.band_weights is None or encoding.band_of is None:
        return [Band(np.arange(n_features), np.ones(n_features))], np.zeros(encoding.alpha.shape, np.intp)
    every = np.moveaxis(encoding.band_weights, 1, -1)
    rows, place = np.unique(every.reshape(-1, every.shape[-1]), axis=0, return_inverse=True)
    return [weighted_band(encoding.band_of, row.astype(np.float64)) for row in rows], place.reshape(every.shape[:2])


def _predicted(fold: _Fold, sums: Sequence[Singles], whole: Singles, penalty: Singles) -> Singles:
    """Of the predictions of a held-out fold: sum, sum of squares, sum of products with the responses."""
    training = whole - sum(part for part, learned in zip(sums, fold.learned, strict=True) if not learned)
    held = np.sum([part for part, is_held in zip(sums, fold.held, strict=True) if is_held], axis=0)
    mean = training[0] / np.float32(fold.n_learned)
    weights = fold.rotate @ training
    for row, eigenvalue in zip(weights, fold.eigenvalues, strict=True):
        row /= penalty + np.float32(eigenvalue)
    sloped = fold.held_sum @ weights
    squares = np.einsum("rt,rt->t", weights, fold.held_square @ weights)
    products = np.einsum("rt,rt->t", weights, fold.rotate @ held)
    return np.stack([
        fold.n_held * mean + sloped,
        fold.n_held * mean**2 + 2 * mean * sloped + squares,
        mean * held[0] + products,
    ])  # fmt: skip
