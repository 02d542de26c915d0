"""Spaces made ready for Pearson searchlights: factors side by side, and every sum that is of the models alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from affectome._tables import check_unique
from affectome.errors import InputError
from affectome.neural.searchlight._inputs import ModelGeometry

__all__ = ["PairsOfModels", "ReadyModels", "ready_models"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_BLOCK = 128  # rows of the matrix of all pairs made at once
_NONE = 1e-13  # share of the largest eigenvalue below which a factor is rounding
_ALIKE = 1e-9  # spread over mean below which all similarities are the same number


@dataclass(frozen=True, eq=False)
class PairsOfModels:
    """Sums of the models alone, over the pairs that count; h is a similarity less its mean over these pairs.

    Attributes
    ----------
    mean : float64 array of shape (n_models,)
        Of the similarities, as given.
    rows : float64 array of shape (n_models, n)
        ``sum_j h_ij`` for each stimulus i.
    products : float64 array of shape (n_models, n_models, n)
        ``sum_j h_ij h'_ij`` for each stimulus i.
    """

    mean: Floats
    rows: Floats
    products: Floats


@dataclass(frozen=True, eq=False)
class ReadyModels:
    """Models over stimuli sorted by run.

    The similarity of a model of low rank is ``constant + w_i + w_j + sum_k signs[k] f_ik f_jk`` with columns of f and
    w that sum to 0; what is called a sum of h here leaves the constant out. A dense model is kept with its mean taken
    off and 0 wherever a pair does not count.

    Attributes
    ----------
    names : tuple of str
    order : intp array of shape (n,)
        The stimuli, sorted by run.
    starts : int64 array of shape (n_runs + 1,)
        Run r is ``order[starts[r] : starts[r + 1]]``; every stimulus is a run where pairs within runs count.
    effects : float64 array of shape (n_models, n)
        w; 0 for dense models.
    factors : float64 array of shape (n, k)
        f of all models side by side.
    signs : float64 array of shape (k,)
    bounds : tuple of int
        The factors of model m are ``bounds[m] : bounds[m + 1]``.
    dense : dict from model to float32 array of shape (n, n)
    within : float64 array of shape (n_models, sum of squared run lengths)
        h inside the blocks of runs, row by row; 0 for dense models.
    shift : float64 array of shape (n_models,)
        Mean of h over the pairs that count.
    alone : PairsOfModels
        In the order of `order`.
    """

    names: tuple[str, ...]
    order: NDArray[np.intp]
    starts: NDArray[np.int64]
    effects: Floats
    factors: Floats
    signs: Floats
    bounds: tuple[int, ...]
    dense: dict[int, Singles]
    within: Floats
    shift: Floats
    alone: PairsOfModels

    @property
    def n(self) -> int:
        return len(self.order)

    @cached_property
    def runs(self) -> NDArray[np.int64]:
        """The run of each sorted stimulus, (n,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    @cached_property
    def degree(self) -> Floats:
        """Pairs of each stimulus that count, (n,)."""
        sizes = np.diff(self.starts).astype(np.float64)
        return self.n - np.repeat(sizes, np.diff(self.starts))

    @cached_property
    def single_factors(self) -> Singles:
        """`factors` as float32."""
        return self.factors.astype(np.float32)

    @cached_property
    def pairs(self) -> Singles:
        """All similarities less their mean over the pairs that count, 0 for the others; (n_models, n, n)."""
        out = np.empty((len(self.names), self.n, self.n), np.float32)
        for start in range(0, self.n, _BLOCK):
            rows = slice(start, min(self.n, start + _BLOCK))
            for m in range(len(self.names)):
                block = self.similarities(m, rows) - self.shift[m]
                block[self.runs[rows, None] == self.runs] = 0
                out[m, rows] = block
        return out

    def similarities(self, m: int, rows: slice) -> Floats:
        """Similarities h of these stimuli with all others, (n_rows, n)."""
        if m in self.dense:
            return self.dense[m][rows].astype(np.float64)
        own = slice(self.bounds[m], self.bounds[m + 1])
        f = self.factors[:, own]
        block: Floats = (f[rows] * self.signs[own]) @ f.T
        block += self.effects[m, rows, None]
        block += self.effects[m]
        return block


def ready_models(models: Sequence[ModelGeometry], n: int, run: NDArray[np.intp] | None) -> ReadyModels:
    """Sort stimuli by run, reduce the factors of every model to those that are not rounding, and sum over pairs.

    Raises
    ------
    InputError
        Without models or pairs, with two of one name, with a model of other stimuli, without numbers, or in which all
        pairs that count are alike.
    """
    if not models:
        raise InputError("there is no model", remedy="give at least one space")
    check_unique([model.name for model in models], source="models")
    for model in models:
        _check(model, n)
    order, starts = _sorted_by_run(n, run)
    runs = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    counted = n * n - int((np.diff(starts) ** 2).sum())
    if counted == 0:
        raise InputError(
            "no pair of stimuli lies in two runs", remedy="count pairs within runs, or give patterns of several runs"
        )
    effects, parts, signs = np.zeros((len(models), n)), [], []
    constants, dense = np.zeros(len(models)), {}
    for m, model in enumerate(models):
        if model.factors is None:
            assert model.dense is not None  # _check
            constants[m], dense[m] = _masked(model.dense, order, runs, counted)
            parts.append(np.empty((n, 0)))
            signs.append(np.empty(0))
        else:
            given = np.ones(model.factors.shape[1]) if model.signs is None else model.signs
            constants[m], effects[m], f, s = _centred_factors(model.factors[order], given)
            parts.append(f)
            signs.append(s)
    bounds = tuple(np.cumsum([0] + [part.shape[1] for part in parts]).tolist())
    factors, sign = np.ascontiguousarray(np.concatenate(parts, axis=1)), np.concatenate(signs)
    within = _within(effects, factors, sign, bounds, starts, dense)
    names = tuple(model.name for model in models)
    nothing = PairsOfModels(np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0, 0)))
    ready = ReadyModels(
        names, order, starts, effects, factors, sign, bounds, dense, within, np.zeros(len(models)), nothing
    )
    shift, alone = _alone(ready, constants, counted)
    _check_spread(names, alone, counted)
    return replace(ready, shift=shift, alone=alone)


def _check(model: ModelGeometry, n: int) -> None:
    values = model.dense if model.factors is None else model.factors
    if values is None:
        raise InputError("it has neither factors nor similarities", source=model.name, remedy="make it anew")
    if len(values) != n:
        raise InputError(
            f"it has {len(values)} stimuli and the patterns have {n}",
            source=model.name,
            remedy="make it with ids= of the patterns",
        )
    if not np.isfinite(values if model.factors is not None else values[~np.eye(n, dtype=bool)]).all():
        raise InputError("a similarity is no number", source=model.name, remedy="repair or drop those stimuli")


def _sorted_by_run(n: int, run: NDArray[np.intp] | None) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    if run is None:
        return np.arange(n), np.arange(n + 1)
    if len(run) != n:
        raise InputError(f"{len(run)} stimuli have a run and {n} a pattern", remedy="give every stimulus its run")
    order = np.argsort(run, kind="stable")
    return order, np.r_[0, np.flatnonzero(np.diff(run[order])) + 1, n]


def _masked(dense: Singles, order: NDArray[np.intp], runs: NDArray[np.int64], counted: int) -> tuple[float, Singles]:
    """The mean over the pairs that count, and the table less that mean, 0 elsewhere."""
    table = dense[np.ix_(order, order)].astype(np.float64)
    same = runs[:, None] == runs
    table[same] = 0
    mean = float(table.sum() / counted)
    table -= mean
    table[same] = 0
    return mean, table.astype(np.float32)


def _centred_factors(factors: Floats, signs: Floats) -> tuple[float, Floats, Floats, Floats]:
    """Constant, w, and the fewest factors f with signs that give the same similarities.

    The mean row goes into the constant and w. What is left, F S F' = Q (R S R') Q', is written in the eigenvectors of
    R S R': columns that cancel each other (those of squared Euclidean distances) are gone, and so is what a mean
    over features took.
    """
    mean = factors.mean(axis=0)
    about = factors - mean
    effect = about @ (signs * mean)
    middle = effect.mean()
    q, r = np.linalg.qr(about)
    values, vectors = np.linalg.eigh((r * signs) @ r.T)
    kept = np.abs(values) > _NONE * np.abs(values).max(initial=0.0)
    f = q @ (vectors[:, kept] * np.sqrt(np.abs(values[kept])))
    f -= f.mean(axis=0)
    return float(mean @ (signs * mean) + 2 * middle), effect - middle, f, np.sign(values[kept])


def _within(
    effects: Floats,
    factors: Floats,
    signs: Floats,
    bounds: tuple[int, ...],
    starts: NDArray[np.int64],
    dense: dict[int, Singles],
) -> Floats:
    """Similarities h of low-rank models in the blocks of runs."""
    out = np.zeros((len(effects), int((np.diff(starts) ** 2).sum())))
    for m in range(len(effects)):
        if m in dense:
            continue
        own, w, place = slice(bounds[m], bounds[m + 1]), effects[m], 0
        for start, stop in pairwise(starts.tolist()):
            f = factors[start:stop, own]
            block = (f * signs[own]) @ f.T + w[start:stop, None] + w[start:stop]
            out[m, place : place + block.size] = block.ravel()
            place += block.size
    return out


def _alone(models: ReadyModels, constants: Floats, counted: int) -> tuple[Floats, PairsOfModels]:
    """Mean of h, and sums over the pairs that count, all of them made in blocks of rows."""
    n_models, n = len(models.names), models.n
    rows, products = np.empty((n_models, n)), np.empty((n_models, n_models, n))
    for start in range(0, n, _BLOCK):
        part = slice(start, min(n, start + _BLOCK))
        same = models.runs[part, None] == models.runs
        blocks = []
        for m in range(n_models):
            block = models.similarities(m, part)
            block[same] = 0
            blocks.append(block)
            rows[m, part] = block.sum(axis=1)
            for other in range(m + 1):
                products[m, other, part] = np.einsum("ij,ij->i", block, blocks[other])
                products[other, m, part] = products[m, other, part]
    shift = rows.sum(axis=1) / counted
    degree = models.degree
    products -= shift[:, None, None] * rows + shift[None, :, None] * rows[:, None]
    products += (shift[:, None] * shift)[:, :, None] * degree
    return shift, PairsOfModels(shift + constants, rows - shift[:, None] * degree, products)


def _check_spread(names: tuple[str, ...], alone: PairsOfModels, counted: int) -> None:
    spread = np.sqrt(np.einsum("mmi->m", alone.products).clip(0) / counted)
    for name, sd, mean in zip(names, spread, alone.mean, strict=True):
        if not sd > _ALIKE * abs(mean):
            raise InputError(
                "all pairs of stimuli that count are equally similar, and nothing correlates with that",
                source=name,
                remedy="leave it out",
            )
