"""Mean, variance and skewness of a sum over pairs of stimuli under all n! relabellings, in closed form.

T = sum_{i != j} a_ij b_pi(i)pi(j), a of the brain and b of a model, both symmetric. T^k is a sum over k pairs; what
its expectation needs of each matrix is a sum over every way in which k pairs can share stimuli. For k = 3 there are
eight: one pair thrice, a pair twice beside one that touches it or does not, triangle, star, path, two that touch and
one apart, three apart. All follow from the first eight sums in :data:`SUMS`; the
other two say how heavy the tail is beyond that, in the limit of many stimuli.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome.errors import InputError

__all__ = [
    "DEGREES",
    "SUMS",
    "PermutationMoments",
    "RunBlocks",
    "centred_pair_sums",
    "cubed_rows",
    "dense_pair_sums",
    "low_rank_pair_sums",
    "permutation_moments",
]

Floats = NDArray[np.float64]
Array = NDArray[np.floating]

#: Sums over ordered pairs i != j that count, of a_ij less its mean over them; r_i = sum_j a_ij, q_i = sum_j a_ij^2:
#: sum a (0 since centred), sum a^2, sum r^2, sum a^3, sum q r, sum a_ij a_jk a_ki, sum r^3, sum r_i a_ij r_j; and of
#: the similarities centred over rows and columns the traces of the third and the fourth power (from factors: of all
#: pairs, which an approximation may use).
SUMS = (
    "value", "square", "row_square", "cube", "square_row", "triangle", "row_cube", "path",
    "centred_third", "centred_fourth",
)  # fmt: skip
#: How often a similarity is a factor of each sum.
DEGREES = (1, 2, 2, 3, 3, 3, 3, 3, 3, 4)

_CUBED_ROWS = 32  # stimuli whose pairs estimate the mean cube where there are many
_EXACT_CUBES = 512  # stimuli up to which every pair is cubed
_BLOCK = 256  # rows of a matrix of all pairs made at once


@dataclass(frozen=True, eq=False)
class RunBlocks:
    """Which pairs of stimuli do not count: those within a run, and each stimulus with itself.

    Attributes
    ----------
    n : int
        Stimuli.
    run : intp array of shape (n,) or None
        None: all pairs count.
    """

    n: int
    run: NDArray[np.intp] | None = None

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """Stimuli of each run, (n_runs, longest), filled up with n."""
        if self.run is None:
            return np.arange(self.n)[:, None]
        order = np.argsort(self.run, kind="stable")
        sizes = np.bincount(self.run)
        sizes = sizes[sizes > 0]
        places = np.full((len(sizes), int(sizes.max())), self.n)
        places[np.arange(places.shape[1]) < sizes[:, None]] = order
        return places

    @cached_property
    def both(self) -> NDArray[np.float32]:
        """1 where two places of a run name stimuli, else 0; (n_runs, longest, longest)."""
        real = (self.places < self.n).astype(np.float32)
        both: NDArray[np.float32] = real[:, :, None] * real[:, None, :]
        return both

    @cached_property
    def degree(self) -> NDArray[np.float64]:
        """Pairs of each stimulus that count, (n,)."""
        if self.run is None:
            return np.full(self.n, self.n - 1.0)
        degree: Floats = self.n - np.bincount(self.run)[self.run].astype(np.float64)
        return degree

    @cached_property
    def n_ordered(self) -> float:
        """Ordered pairs that count: twice the number of pairs."""
        return float(self.degree.sum())

    def gather(self, rows: Array) -> Array:
        """Rows (n, ...) run by run, (n_runs, longest, ...), with zeros where a run is shorter."""
        gathered = np.take(rows, self.places, axis=0, mode="clip")
        if self._ragged:
            gathered[self.places == self.n] = 0
        return gathered

    @cached_property
    def _ragged(self) -> bool:
        return self.places.size > self.n

    def pairs(self, values: Array) -> Array:
        """Sums of the values (n,) of two stimuli of a run, (n_runs, longest, longest)."""
        in_run = self.gather(values)
        return in_run[:, :, None] + in_run[:, None, :]

    @staticmethod
    def products(left: Array, right: Array) -> Array:
        """Dot products of rows within runs, of two gathered arrays (n_runs, longest, k)."""
        if left.shape[1] == 1:  # a stimulus with itself
            itself: Array = np.einsum("rik,rik->ri", left, right)[:, :, None]
            return itself
        product: Array = np.matmul(left, right.transpose(0, 2, 1))
        return product

    def scatter(self, values: Array) -> Floats:
        """What `gather` took apart: (n_runs, longest) to (n,)."""
        out = np.empty(self.n + 1)
        out[self.places] = values
        return out[: self.n]

    def counts(self, rows: slice | NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether the pairs of these stimuli with all others count, (n_rows, n)."""
        code = np.arange(self.n) if self.run is None else self.run
        counted: NDArray[np.bool_] = code[rows][:, None] != code[None]
        return counted


def low_rank_pair_sums(
    factors: Array, signs: Floats | None, blocks: RunBlocks, *, every_cube: bool | None = None
) -> Floats:
    """The sums of similarities ``sum_k signs[k] factors[i, k] factors[j, k]`` over the pairs that count.

    Parameters
    ----------
    factors : array of shape (n, k), float32 or float64
        Products are made in its precision, and added in float64.
    signs : array of shape (k,), optional
        +1 or -1; by default +1.
    blocks
    every_cube
        Whether the sum of cubes takes every pair (n^2 k operations), or the pairs of 32 stimuli spread evenly over
        their order, with all others. By default every pair with up to 512 stimuli. The cubes add a term of order 1/n
        to the skewness; nothing is drawn.

    Returns
    -------
    array of shape (10,)
        As in :data:`SUMS`.

    Notes
    -----
    With m the mean row and S the signs, similarities less their mean c are L = F S F' + u 1' + 1 u' + d 1 1', F the
    factors about m, u = F S m, d = m' S m - c. What counts is A = L - D, D the blocks of L within runs (the diagonal
    included), so that

        tr A^3 = tr L^3 - 3 tr(L^2 D) + 2 tr D^3,

    of which the first needs F'F alone and the others pairs within runs alone. Two products of n k^2 operations, two
    of (pairs within runs) x k, and 32 n k for the cubes.
    """
    n, k = factors.shape
    if k >= n:
        return dense_pair_sums(_times(factors, signs) @ factors.T, blocks)
    signed = np.ones(k) if signs is None else np.asarray(signs, np.float64)
    mean = factors.mean(axis=0, dtype=np.float64)
    about = factors - mean.astype(factors.dtype)
    effect = (about @ (signed * mean).astype(factors.dtype)).astype(np.float64)
    return centred_pair_sums(about, effect, signs, blocks, every_cube=every_cube)


def centred_pair_sums(
    about: Array,
    effect: Floats,
    signs: Floats | None,
    blocks: RunBlocks,
    *,
    gram: Array | None = None,
    every_cube: bool | None = None,
) -> Floats:
    """The sums of similarities ``u_i + u_j + sum_k signs[k] f_ik f_jk``, and any constant, which drops out.

    Parameters
    ----------
    about : array of shape (n, k), float32 or float64
        f, whose columns sum to 0 up to rounding.
    effect : array of shape (n,)
        u, likewise.
    signs, blocks, every_cube
        As in :func:`low_rank_pair_sums`, whose Notes say what is computed.
    gram : array of shape (k, k), optional
        f'f, where it is known already.
    """
    n, kind = len(about), about.dtype
    u = np.asarray(effect, np.float64)
    signed = np.ones(about.shape[1]) if signs is None else np.asarray(signs, np.float64)
    squares: Floats = (about.T @ about if gram is None else gram).astype(np.float64)
    pulled = (about.T @ u.astype(kind)).astype(np.float64)
    in_run = blocks.gather(about)
    within = blocks.products(_times(in_run, signs), in_run)
    within += blocks.pairs(u.astype(kind))
    within *= blocks.both
    # d of the mean similarity alone: a constant taken on and off again is lost in float32 where patterns are alike.
    d = float(within.sum(dtype=np.float64) / blocks.n_ordered)
    within += kind.type(d) * blocks.both

    stretched = about @ (signed[:, None] * squares * signed).astype(kind)  # rows of f S f'f S
    squared = blocks.products(blocks.gather(stretched), in_run)  # pairs within runs of L^2
    shifted = blocks.gather((u + d).astype(kind))
    squared += blocks.pairs(about @ (signed * pulled).astype(kind))
    squared += kind.type(n) * shifted[:, :, None] * shifted[:, None, :]
    squared += kind.type(u @ u)
    row: Floats = n * (u + d) - blocks.scatter(within.sum(axis=2))
    diagonal = blocks.scatter(np.diagonal(squared, axis1=1, axis2=2))
    square_row: Floats = diagonal - blocks.scatter(np.einsum("rij,rij->ri", within, within))

    whole = _core_product(squares, pulled, u, signed, d, n)
    triangle = float(((whole @ whole) * whole.T).sum()) - 3 * _dot(squared, within)
    triangle += 2 * _dot(blocks.products(within, within), within)
    third, fourth = _powers(signed[:, None] * squares)
    pull = (about.T @ row.astype(kind)).astype(np.float64)
    row_run = blocks.gather(row)
    path = float(pull @ (signed * pull)) - _dot(np.einsum("ri,rij->rj", row_run, within), row_run)
    cube = _cubes(about, u, signs, d, blocks, every_cube)
    cubic = [cube, square_row @ row, triangle, (row**3).sum(), path]
    return np.array([0.0, square_row.sum(), row @ row, *cubic, third, fourth])


def _powers(core: Floats) -> tuple[float, float]:
    """Traces of the third and the fourth power of a square matrix."""
    square = core @ core
    return float((square * core.T).sum()), float((square * square.T).sum())


def _dot(first: Array, second: Array) -> float:
    """Sum of products, rows in their own precision, their sums in float64."""
    rows = np.einsum("...i,...i->...", first, second)
    return float(rows.sum(dtype=np.float64))


def _times(factors: Array, signs: Floats | None) -> Array:
    return factors if signs is None else factors * signs.astype(factors.dtype)


def _core_product(gram: Floats, pulled: Floats, u: Floats, signed: Floats, d: float, n: int) -> Floats:
    """K W'W of L = W K W' with W = [F, u, 1], (k + 2, k + 2)."""
    k = len(gram)
    whole = np.zeros((k + 2, k + 2))
    whole[:k, :k], whole[:k, k] = signed[:, None] * gram, signed * pulled
    whole[k, k + 1] = n  # u 1' + 1 u' + d 1 1'
    whole[k + 1, :k], whole[k + 1, k], whole[k + 1, k + 1] = pulled, u @ u, d * n
    return whole


def cubed_rows(n: int, *, every: bool | None = None) -> NDArray[np.intp]:
    """Stimuli whose pairs with all others are cubed: every one of up to 512, else 32 spread over their order."""
    if n <= _EXACT_CUBES if every is None else every:
        return np.arange(n)
    return np.unique(np.linspace(0, n - 1, _CUBED_ROWS).round().astype(np.intp))


def _cubes(about: Array, u: Floats, signs: Floats | None, d: float, blocks: RunBlocks, every: bool | None) -> float:
    """Sum of cubes over the pairs that count, or its estimate from the pairs of stimuli spread over their order."""
    rows = cubed_rows(blocks.n, every=every)
    total, pairs = 0.0, float(blocks.degree[rows].sum())
    for start in range(0, len(rows), _BLOCK):
        those = rows[start : start + _BLOCK]
        value = _times(about[those], signs) @ about.T
        value += (u + d).astype(value.dtype)
        value += u[those, None].astype(value.dtype)
        value *= blocks.counts(those)
        total += _dot(value * value, value)
    return total * blocks.n_ordered / pairs


def dense_pair_sums(similarity: Array, blocks: RunBlocks) -> Floats:
    """The sums of any symmetric matrix (n, n), by a product of n^3 operations.

    Examples
    --------
    >>> sums = dense_pair_sums(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0.0]]), RunBlocks(3))
    >>> dict(zip(SUMS, sums.round(3).tolist()))["square"]  # one pair 2/3 above the mean, two 1/3 below it
    1.333
    """
    a = similarity.astype(np.float64)
    n, counted = blocks.n, blocks.counts(slice(None))
    a = (a - a[counted].mean()) * counted
    square = a * a
    row, square_row, cube = a.sum(axis=1), square.sum(axis=1), float((square * a).sum())
    path = float(row @ a @ row)
    a -= (row[:, None] + row) / n  # centred over rows and columns
    beside, third, fourth = float(row @ a @ row), 0.0, 0.0
    for start in range(0, n, _BLOCK):
        part = a[start : start + _BLOCK]
        product = part @ a
        third += float((product * part).sum())
        fourth += float((product**2).sum())
    cubic = [cube, square_row @ row, third + 3 / n * beside, (row**3).sum(), path]
    return np.array([0.0, square_row.sum(), row @ row, *cubic, third, fourth])


@dataclass(frozen=True, eq=False)
class PermutationMoments:
    """Of T under all n! permutations of the stimuli.

    Attributes
    ----------
    mean, variance, skewness : arrays of the broadcast shape of the two sets of sums
        Exact. Skewness is the third central moment over variance^(3/2); NaN where the variance is 0.
    kurtosis : array of that shape
        In excess of 3, an approximation: with many stimuli T is a normal variable and a sum of w (chi^2_1 - 1), the
        weights w products of the eigenvalues of both matrices, centred; with few, all w shrink alike, by what the
        exact skewness falls short of theirs. Never below that of Pearson III, 1.5 skewness^2.
    """

    mean: Floats
    variance: Floats
    skewness: Floats
    kurtosis: Floats


def permutation_moments(first: ArrayLike, second: ArrayLike, n: int) -> PermutationMoments:
    """Moments of sum_{i != j} a_ij b_pi(i)pi(j) over all permutations pi of n stimuli, exactly.

    Parameters
    ----------
    first, second : arrays of shape (..., 10)
        Sums of both matrices as in :data:`SUMS`; any matrices that are symmetric and 0 on the diagonal.
    n
        Stimuli, at least 3.

    Returns
    -------
    PermutationMoments

    Notes
    -----
    Mean and variance are Mantel's (1967); the third moment is sum_c w_c A_c B_c / (n)_v(c) over the eight ways c in
    which three pairs share v stimuli, A_c the sum over all placements of c on distinct stimuli, w_c the number of
    ordered triples of ordered pairs per placement, (n)_v = n (n - 1) ... (n - v + 1).

    Examples
    --------
    >>> a = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0.0]])
    >>> sums = dense_pair_sums(a, RunBlocks(3))
    >>> found = permutation_moments(sums, sums, 3)  # T is 4/3 in two of six permutations, else -2/3
    >>> [round(float(value), 3) for value in (found.mean, found.variance, found.skewness)]
    [0.0, 0.889, 0.707]
    """
    if n < 3:
        raise InputError(f"{n} stimuli have no pairs to exchange", remedy="give at least three")
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    falling = np.cumprod(n - np.arange(6.0))  # (n)_1 .. (n)_6
    inverse = np.divide(1, falling, out=np.zeros(6), where=falling > 0)  # what needs more stimuli does not occur
    mean = a[..., 0] * b[..., 0] * inverse[1]
    second_moment = _expected(_twice(a), _twice(b), (2.0, 4.0, 1.0), inverse[[1, 2, 3]])
    third_moment = _expected(_thrice(a), _thrice(b), _TRIPLES, inverse[[1, 2, 3, 2, 3, 3, 4, 5]])
    variance = np.maximum(second_moment - mean**2, 0.0)
    third = third_moment - 3 * mean * second_moment + 2 * mean**3
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = third / variance**1.5
        limit = 8 * a[..., 8] * b[..., 8] / n**3 / variance**1.5
        shrunk = np.where((skewness > 0) & (limit > 0), np.clip(skewness / limit, 0, 1), 0.0)
        kurtosis = 48 * a[..., 9] * b[..., 9] / n**4 / variance**2 * shrunk ** (4 / 3)
    return PermutationMoments(mean, variance, skewness, np.maximum(kurtosis, 1.5 * skewness**2))


#: Ordered triples of ordered pairs per placement: pair thrice, twice beside one that touches, or does not, triangle,
#: star, path, two that touch and one apart, three apart.
_TRIPLES = (4.0, 24.0, 6.0, 8.0, 8.0, 24.0, 12.0, 1.0)


def _expected(a: list[Floats], b: list[Floats], weights: tuple[float, ...], inverse: Floats) -> Floats:
    terms = (w * x * y * part for w, x, y, part in zip(weights, a, b, inverse, strict=True))
    return np.asarray(sum(terms), np.float64)


def _twice(sums: Floats) -> list[Floats]:
    """Two pairs: the same, touching, apart."""
    value, square, row_square = (sums[..., k] for k in range(3))
    touching = row_square - square
    return [square, touching, value**2 - 4 * touching - 2 * square]


def _thrice(sums: Floats) -> list[Floats]:
    """Three pairs, in the order of `_TRIPLES`."""
    value, square, row_square, cube, square_row, triangle, row_cube, path = (sums[..., k] for k in range(8))
    beside = square_row - cube
    aside = square * value - 4 * beside - 2 * cube
    star = row_cube - 3 * square_row + 2 * cube
    line = path - 2 * square_row + cube - triangle
    split = (row_square - square) * value - 4 * beside - 2 * triangle - 2 * star - 4 * line
    found = [cube, beside, aside, triangle, star, line, split]
    apart = value**3 - sum(w * part for w, part in zip(_TRIPLES, found, strict=False))
    return [*found, apart]
