"""The sums behind Pearson RSA: of one neighbourhood after the other, by products of factors or over all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural.searchlight._inputs import BrainMetric, ModelGeometry, Neighbourhoods, Patterns
from affectome.neural.searchlight._pearson_models import PairsOfModels, ready_models

__all__ = ["CentreSums", "PearsonScorer", "PearsonSums", "SphereFactors", "StimulusSums", "WithinRun"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Array = NDArray[np.floating]
WithinRun = Literal["exclude", "include"]

_GATHERED = 2**14  # voxels, counted once per centre, that are copied out of the responses together
_ROWS = 128  # rows of the matrix of all pairs made at once
#: Relative error of the sum of squares of a product in float32, at most: see docs/searchlight-pearson.md.
_SINGLE_ERROR = 2.5e-7
_ALLOWED = 5e-7  # error of r that float32 may bring
_ALIKE = 1e-9  # spread over mean below which all similarities are the same number


@dataclass(frozen=True, eq=False)
class StimulusSums:
    """What each stimulus brings to the sums of one centre; stimuli in the order of the patterns.

    With g and h less their means over the pairs that count, and sums over the stimuli j that count with i:

    Attributes
    ----------
    rows : float64 array of shape (n,)
        ``sum_j g_ij``.
    squares : float64 array of shape (n,)
        ``sum_j g_ij^2``.
    products : float64 array of shape (n_models, n)
        ``sum_j g_ij h_ij``.
    """

    rows: Floats
    squares: Floats
    products: Floats


@dataclass(frozen=True, eq=False)
class SphereFactors:
    """The patterns of one centre as factors: ``g_ij = constant + effect_i + effect_j + d_i . d_j``.

    Attributes
    ----------
    d : float32 or float64 array of shape (V, n)
        Stimuli in columns, sorted by run (``PearsonScorer.ready.order``); rows sum to 0. The memory is used again for
        the next centre.
    effect : float64 array of shape (n,)
        Sums to 0.
    constant : float
    gram : array of shape (V, V) or None
        ``d d'``, where it was needed.
    """

    d: Array
    effect: Floats
    constant: float
    gram: Array | None


@dataclass(frozen=True, eq=False)
class PearsonSums:
    """Sums over the pairs of stimuli that count, for every centre.

    g is the similarity of two patterns in a sphere and h that of two stimuli in a space, each less its mean over the
    pairs that count.

    Attributes
    ----------
    models : tuple of str
    n_pairs : int
        Unordered pairs of stimuli that count.
    mean : float64 array of shape (n_centres,)
        Of the similarities of patterns.
    squares : float64 array of shape (n_centres,)
        Sum of g^2 over unordered pairs.
    rows : float64 array of shape (n_centres,)
        ``sum_i (sum_j g_ij)^2``. With ``A1 = 0`` and ``A2 = 2 squares``, it is A3 of a Mantel test.
    products : float64 array of shape (n_centres, n_models)
        Sum of g h over unordered pairs.
    model_mean : float64 array of shape (n_models,)
    model_products : float64 array of shape (n_models, n_models)
        Sum of h h' over unordered pairs.
    model_rows : float64 array of shape (n_models,)
        ``sum_i (sum_j h_ij)^2``.
    n_directionless : int64 array of shape (n_centres,)
        Stimuli whose pattern there has no direction (constant under correlation, 0 under cosine); their similarity
        with all others is taken as 0.
    defined : bool array of shape (n_centres,)
        False where all similarities of patterns are the same number, as in a neighbourhood of one voxel under
        correlation.
    stimuli : tuple of StimulusSums
        One per centre, where asked for; otherwise empty.
    visited : tuple
        What `visit` returned, one per centre; empty without one.
    model_stimuli : PairsOfModels
        The sums of the models alone, per stimulus, in the order of the patterns.
    degree : float64 array of shape (n,)
        Pairs of each stimulus that count.
    """

    models: tuple[str, ...]
    n_pairs: int
    mean: Floats
    squares: Floats
    rows: Floats
    products: Floats
    model_mean: Floats
    model_products: Floats
    model_rows: Floats
    n_directionless: NDArray[np.int64]
    defined: NDArray[np.bool_]
    stimuli: tuple[StimulusSums, ...]
    visited: tuple[object, ...]
    model_stimuli: PairsOfModels
    degree: Floats

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def r(self) -> Floats:
        """Pearson r of patterns and models over the pairs that count, (n_centres, n_models); NaN where undefined."""
        scale = np.sqrt(np.where(self.defined, self.squares, np.nan))[:, None] * np.sqrt(np.diag(self.model_products))
        r: Floats = np.clip(self.products / scale, -1, 1)
        return r

    @property
    def model_r(self) -> Floats:
        """Pearson r of the models with each other over the same pairs, (n_models, n_models)."""
        scale = np.sqrt(np.diag(self.model_products))
        r: Floats = np.clip(self.model_products / scale / scale[:, None], -1, 1)
        return r


@dataclass(frozen=True, eq=False)
class CentreSums:
    """Sums of one centre over ordered pairs that count; stimuli sorted by run, but for those in `stimuli`."""

    mean: float
    square: float
    row_square: float
    product: Floats
    n_directionless: int
    stimuli: StimulusSums | None = None
    visited: object = None


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is asked of every centre beside its sums."""

    per_stimulus: bool
    visit: Callable[[SphereFactors], object] | None


class PearsonScorer:
    """Models and patterns made ready once, for any number of centres.

    Parameters
    ----------
    models, patterns, metric, within_run
        As in :func:`pearson_sums`.

    Attributes
    ----------
    ready : ReadyModels
    """

    def __init__(
        self,
        models: Sequence[ModelGeometry],
        patterns: Patterns,
        *,
        metric: BrainMetric = "correlation",
        within_run: WithinRun = "exclude",
    ) -> None:
        if metric not in get_args(BrainMetric):
            raise InputError(
                f"metric='{metric}' compares no patterns", remedy=f"choose one of {', '.join(get_args(BrainMetric))}"
            )
        if within_run not in get_args(WithinRun):
            raise InputError(f"within_run='{within_run}' is unknown", remedy="choose exclude or include")
        _check_numbers(patterns)
        self.metric = metric
        self.responses = patterns.responses
        self.ready = ready_models(models, len(patterns.ids), patterns.run if within_run == "exclude" else None)
        owner = np.repeat(np.arange(len(models)), np.diff(self.ready.bounds))
        self._signed = (owner == np.arange(len(models))[:, None]) * self.ready.signs
        self._turned = np.ascontiguousarray(self.ready.factors.T)
        self._remainders = self.ready.alone.rows.sum(axis=1)  # 0 but for rounding
        self._longest = int(np.diff(self.ready.starts).max())
        self._squares = np.einsum("mmi->m", self.ready.alone.products)

    def score(
        self,
        neighbourhoods: Neighbourhoods,
        centres: slice | NDArray[np.intp] | None = None,
        *,
        per_stimulus: bool = False,
        visit: Callable[[SphereFactors], object] | None = None,
    ) -> PearsonSums:
        """Sums of these centres (a slice, or their numbers; by default all), on one thread.

        `visit` is given the factors of every centre in the same pass, and what it returns is kept. Euclidean distances
        have none.
        """
        import scipy.linalg  # noqa: F401  (its BLAS makes the compiled products, and must be loaded to be limited)
        from threadpoolctl import threadpool_limits

        if visit is not None and self.metric == "euclidean":
            raise InputError("Euclidean distances have no factors to visit", remedy="use squared distances")
        numbers, asked = np.arange(len(neighbourhoods)), _Asked(per_stimulus, visit)
        wanted = numbers if centres is None else numbers[centres]
        # One memory for the factors of all spheres: to get and return a megabyte costs as much as to fill it.
        space = np.empty((int(neighbourhoods.sizes[wanted].max(initial=0)), self.ready.n), np.float32)
        with threadpool_limits(1, user_api="blas"):  # centres are spread over processes, products are small
            found = [
                self._score(source, columns, space[: len(columns)], asked)
                for source, columns in self._gathered(neighbourhoods, wanted)
            ]
        return self._sums(found, visit is not None)

    def _gathered(
        self, neighbourhoods: Neighbourhoods, centres: NDArray[np.intp]
    ) -> Iterator[tuple[Singles, NDArray[np.intp]]]:
        """Responses (voxels of several centres, n) sorted by run, and the rows of each centre among them."""
        from affectome.neural.searchlight._pearson_kernels import gather

        sizes = neighbourhoods.sizes[centres]
        if (sizes == 0).any():
            raise InputError(f"centre {centres[sizes == 0][0]} has no voxels", remedy="leave it out")
        last, start = np.cumsum(sizes), 0
        while start < len(centres):
            before = last[start] - sizes[start]
            stop = max(start + 1, int(np.searchsorted(last, before + _GATHERED, side="right")))
            voxels = np.concatenate([neighbourhoods[c] for c in centres[start:stop]])
            used, places = np.unique(voxels, return_inverse=True)
            source = np.empty((len(used), self.ready.n), np.float32)
            gather(np.asarray(self.responses), self.ready.order, used, source)
            at = 0
            for size in sizes[start:stop]:
                yield source, places[at : at + size]
                at += size
            start = stop

    def _score(self, source: Singles, columns: NDArray[np.intp], space: Singles, asked: _Asked) -> CentreSums:
        """Of one centre, by the cheapest way that is exact there."""
        ready = self.ready
        if self.metric == "euclidean" or len(columns) + ready.factors.shape[1] >= ready.n:
            return self._over_pairs(source, columns, asked)
        found = self._by_factors(source, columns, ready.single_factors, space, asked)
        if found is None:  # float32 would lose too much
            wide = np.empty(space.shape)
            found = self._by_factors(source, columns, ready.factors, wide, asked)
            assert found is not None
        return found

    def _factors(self, source: Singles, columns: NDArray[np.intp], d: Array) -> tuple[Floats, float, int]:
        """Fill `d` (V, n); return u, the constant, and how many stimuli have no direction."""
        from affectome.neural.searchlight import _pearson_kernels as kernels

        code = {
            "correlation": kernels.CORRELATION,
            "cosine": kernels.COSINE,
            "sqeuclidean": kernels.SQUARED_EUCLIDEAN,
            "euclidean": kernels.EUCLIDEAN,
        }[self.metric]
        effect, *scratch = np.empty((4, self.ready.n))
        constant, directionless = kernels.fill_factors(source, columns, code, d, effect, *scratch)
        return effect, float(constant), int(directionless)

    def _by_factors(
        self, source: Singles, columns: NDArray[np.intp], factors: Array, d: Array, asked: _Asked
    ) -> CentreSums | None:
        """By products with `factors`, in their precision and with `d` to fill; None if float32 loses too much."""
        from affectome.neural.searchlight import _pearson_kernels as kernels

        ready, n = self.ready, self.ready.n
        effect, constant, directionless = self._factors(source, columns, d)
        totals, in_run = np.zeros(1 + len(ready.names)), np.zeros(n)
        within = _zeros(len(ready.names), n if asked.per_stimulus else 0)
        kernels.add_within(
            d, effect, ready.starts, self._longest, ready.within, in_run, totals,
            asked.per_stimulus, within.squares, within.products,
        )  # fmt: skip
        gram, across = d @ d.T, d @ factors
        through = {m: d @ table for m, table in ready.dense.items()}

        gram_square, across_squares = _sums_of_squares(gram).sum(), _sums_of_squares(across)
        rows = n * effect - in_run
        square = 2 * n * (effect @ effect) + gram_square - totals[0]
        product = 2 * n * (ready.effects @ effect) + self._signed @ across_squares - totals[1:]
        made = np.abs(self._signed) @ across_squares
        for m, table in through.items():
            product[m] += 2 * (ready.alone.rows[m] @ effect) + np.einsum("vi,vi", d, table, dtype=np.float64)
            made[m] = np.sqrt(gram_square * self._squares[m])
        centre = self._about_mean(constant, rows, square, product, directionless)
        if factors.dtype == np.float32 and self._loses(centre, gram_square, made):
            return None
        if asked.visit is not None:
            centre = replace(centre, visited=asked.visit(SphereFactors(d, effect, constant, gram)))
        if not asked.per_stimulus:
            return centre
        squares, products = self._every_stimulus(d, effect, gram, across, through)
        sums = StimulusSums(rows, squares - within.squares, products - within.products)
        return replace(centre, stimuli=self._stimuli(centre.mean - constant, sums, ready.shift))

    def _every_stimulus(
        self, d: Array, effect: Floats, gram: Array, across: Array, through: Mapping[int, Array]
    ) -> tuple[Floats, Floats]:
        """Sums of g^2 (n,) and of g h (n_models, n) over all j, for each i; g without its constant."""
        from affectome.neural.searchlight._pearson_kernels import add_row_products

        ready, n, ones = self.ready, self.ready.n, np.ones(len(d))
        squares = n * effect**2 + effect @ effect
        pulled = (d @ effect.astype(d.dtype)).astype(np.float64)
        add_row_products(gram @ d, d, ones, 2 * pulled, squares)
        products = effect * (n * ready.effects) + (ready.effects @ effect)[:, None]
        products += (ready.effects.astype(d.dtype) @ d.T) @ d
        onto, along = across.T @ d, effect @ ready.factors
        for m, product in enumerate(products):
            own = slice(ready.bounds[m], ready.bounds[m + 1])
            add_row_products(onto[own], self._turned[own], ready.signs[own], along[own], product)
        for m, table in through.items():
            products[m] += effect * ready.alone.rows[m] + ready.dense[m] @ effect
            add_row_products(table, d, ones, np.zeros(len(d)), products[m])
        return squares, products

    def _over_pairs(self, source: Singles, columns: NDArray[np.intp], asked: _Asked) -> CentreSums:
        """By making all pairs, in float64, a block of rows at a time."""
        from affectome.neural.searchlight import _pearson_kernels as kernels

        ready, n = self.ready, self.ready.n
        d = np.empty((len(columns), n))
        effect, constant, directionless = self._factors(source, columns, d)
        root = self.metric == "euclidean"
        shift = -np.sqrt(max(0.0, -constant)) if root else constant
        sums, scratch = _zeros(len(ready.names), n), np.empty(n)
        for start in range(0, n, _ROWS):
            dots = d[:, start : start + _ROWS].T @ d
            kernels.add_pairs(
                dots, effect, constant, shift, root, start, ready.runs, ready.pairs, scratch,
                sums.rows, sums.squares, sums.products,
            )  # fmt: skip
        none = np.zeros(len(ready.names))  # the models are about their means already
        centre = self._about_mean(shift, sums.rows, sums.squares.sum(), sums.products.sum(axis=1), directionless, none)
        if asked.visit is not None:
            centre = replace(centre, visited=asked.visit(SphereFactors(d, effect, constant, None)))
        if asked.per_stimulus:
            centre = replace(centre, stimuli=self._stimuli(centre.mean - shift, sums, none))
        return centre

    def _about_mean(
        self,
        constant: float,
        rows: Floats,
        square: float,
        product: Floats,
        directionless: int,
        shift: Floats | None = None,
    ) -> CentreSums:
        """Take the means over the pairs that count off g, and off h (where it is still about `shift`)."""
        ready = self.ready
        total, counted = rows.sum(), ready.degree.sum()
        mean = total / counted
        about = rows - mean * ready.degree
        product = product - (ready.shift if shift is None else shift) * total - mean * self._remainders
        return CentreSums(constant + mean, square - mean * total, float(about @ about), product, directionless)

    def _stimuli(self, mean: float, sums: StimulusSums, shift: Floats) -> StimulusSums:
        """The same for every stimulus, in the order of the patterns; `mean` of g as summed."""
        ready = self.ready
        rows = sums.rows - mean * ready.degree
        squares = sums.squares - 2 * mean * sums.rows + mean**2 * ready.degree
        products = sums.products - shift[:, None] * sums.rows - mean * ready.alone.rows
        place = np.argsort(ready.order)
        return StimulusSums(rows[place], squares[place], products[:, place])

    def _loses(self, centre: CentreSums, gram_square: float, made: Floats) -> bool:
        """Whether float32 products may cost r too much: the errors of the sums, over what is left of them."""
        if centre.square <= 0:
            return True
        share = gram_square / centre.square / 2 + (made / np.sqrt(centre.square * self._squares)).max()
        return not _SINGLE_ERROR * share < _ALLOWED

    def _sums(self, found: Sequence[CentreSums], visiting: bool) -> PearsonSums:
        ready = self.ready
        n_models, counted = len(ready.names), ready.degree.sum()
        mean, square = np.array([c.mean for c in found]), np.array([c.square for c in found])
        place = np.argsort(ready.order)
        alone = PairsOfModels(ready.alone.mean, ready.alone.rows[:, place], ready.alone.products[:, :, place])
        return PearsonSums(
            models=ready.names,
            n_pairs=int(counted) // 2,
            mean=mean,
            squares=square / 2,
            rows=np.array([c.row_square for c in found]),
            products=np.array([c.product for c in found]).reshape(-1, n_models) / 2,
            model_mean=alone.mean,
            model_products=alone.products.sum(axis=2) / 2,
            model_rows=(alone.rows**2).sum(axis=1),
            n_directionless=np.array([c.n_directionless for c in found], np.int64),
            defined=square / counted > (_ALIKE * mean) ** 2,
            stimuli=tuple(c.stimuli for c in found if c.stimuli is not None),
            visited=tuple(c.visited for c in found) if visiting else (),
            model_stimuli=alone,
            degree=ready.degree[place],
        )


def _zeros(n_models: int, n: int) -> StimulusSums:
    return StimulusSums(np.zeros(n), np.zeros(n), np.zeros((n_models, n)))


def _sums_of_squares(matrix: Array) -> Floats:
    """Of each column, in float64."""
    from affectome.neural.searchlight._pearson_kernels import squares_of_columns

    out = np.empty(matrix.shape[1])
    squares_of_columns(matrix, out)
    return out


def _check_numbers(patterns: Patterns) -> None:
    responses = patterns.responses
    if np.isfinite(responses.sum(dtype=np.float64)):  # NaN and infinity survive a sum, and cost no copy
        return
    voxel = int(np.flatnonzero(~np.isfinite(responses.sum(axis=0, dtype=np.float64)))[0])
    raise InputError(
        "a response is no number",
        source=patterns.subject,
        where=f"voxel {voxel}",
        remedy="leave such voxels out of the recording",
    )
