"""Pearson searchlights in torch: the sums of `PearsonScorer`, of many centres at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural.searchlight._chunks import CHUNK
from affectome.neural.searchlight._inputs import Neighbourhoods, Patterns
from affectome.neural.searchlight._moments3 import SUMS, RunBlocks
from affectome.neural.searchlight._pearson_scorer import CentreSums, PearsonScorer, PearsonSums, StimulusSums
from affectome.neural.searchlight._scorers import Asked, PearsonChunks
from affectome.neural.searchlight._torch import Room, exact_products
from affectome.neural.searchlight._torch_moments import dense_moments, factor_moments, sphere_moments
from affectome.neural.searchlight._torch_spheres import (
    DeviceRuns,
    DeviceTables,
    SphereBatch,
    batches,
    padded_columns,
    sphere_batch,
    turned_responses,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["TorchPearsonChunks", "TorchPearsonScorer"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


class TorchPearsonChunks(PearsonChunks):
    """`PearsonChunks` with all but drawn permutations in torch."""

    _scorer: TorchPearsonScorer

    def __init__(self, asked: Asked, patterns: Patterns, room: Room) -> None:
        self._room = room
        super().__init__(asked, patterns)

    def _ready(self, asked: Asked, patterns: Patterns) -> PearsonScorer:
        return TorchPearsonScorer(asked, patterns, self._room)

    def working_bytes(self, largest: int) -> int:
        """A batch, beside what is kept of the chunk."""
        count, each = self._scorer.batch(largest)
        return super().working_bytes(largest) + count * each

    def _sums(self, responses: Singles, neighbourhoods: Neighbourhoods) -> tuple[PearsonSums, Floats | None]:
        return self._scorer.sums(responses, neighbourhoods)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Sums of some centres over the ordered pairs that count, on the device.

    Attributes
    ----------
    taken : tensor of shape (B,)
        What is taken off g in all of them.
    directionless : tensor of shape (B,)
    rows, squares : tensors of shape (B, n)
    products : tensor of shape (B, n_models, n)
        Of each stimulus; of the stimuli together, (B, 1) and (B, n_models, 1), where no more was asked for.
    gram_square : tensor of shape (B,)
    made : tensor of shape (B, n_models)
        What products in float32 lose is a share of these two; both 0 for pairs made in float64.
    moments : tensor of shape (B, 10), or None
    """

    taken: Tensor
    directionless: Tensor
    rows: Tensor
    squares: Tensor
    products: Tensor
    gram_square: Tensor
    made: Tensor
    moments: Tensor | None = None


class TorchPearsonScorer(PearsonScorer):
    """Models made ready once, on a device too.

    The centres of a chunk are scored in batches by the products of factors that `PearsonScorer` makes one by one;
    those whose float32 products would lose too much are made again in float64. Where factors do not pay, and for
    Euclidean distances, all pairs are made, in float64.
    """

    def __init__(self, asked: Asked, patterns: Patterns, room: Room) -> None:
        super().__init__(asked.models, patterns, metric=asked.metric)
        self._asked, self._room, self._tables = asked, room, DeviceTables(room.device)

    def batch(self, largest: int) -> tuple[int, int]:
        """How many centres are scored together, and the bytes of each."""
        asked, (n, width) = self._asked, self.ready.factors.shape
        in_runs = asked.blocks.places.size * asked.blocks.places.shape[1]
        numbers = 6 * n * largest + 10 * in_runs + 3 * largest * (largest + width)
        numbers += 100 * n if asked.closed else 0
        numbers += 2 * n * (width + largest) if asked.jackknifed else 0
        numbers += 8 * n * n if self._over_all(largest) or (asked.closed and n <= 512) else 0
        return self._room.fitting(8 * numbers, CHUNK), 8 * numbers

    def sums(self, responses: Singles, neighbourhoods: Neighbourhoods) -> tuple[PearsonSums, Floats | None]:
        """Of the scores of all centres, and if p is closed those of its moments, (n_centres, 10)."""
        import torch

        sizes, every = neighbourhoods.sizes, np.arange(len(neighbourhoods))
        if (sizes == 0).any():
            raise InputError(f"centre {every[sizes == 0][0]} has no voxels", remedy="leave it out")
        count = self.batch(int(sizes.max()))[0]
        found: dict[int, CentreSums] = {}
        moments = np.empty((len(sizes), len(SUMS)))
        over_all = np.array([self._over_all(size) for size in sizes])
        with exact_products(self._tables.device):
            source = turned_responses(responses, self.ready.order, self._tables)

            def score(centres: NDArray[np.intp], dtype: torch.dtype, *, all_pairs: bool = False) -> None:
                for those in batches(centres, sizes, count):
                    columns = self._tables.send(padded_columns(neighbourhoods, those))
                    sphere = sphere_batch(source, columns, self.metric, dtype)
                    batch = self._of_all_pairs(sphere) if all_pairs else self._of_products(sphere)
                    kept = self._about_means(batch, all_pairs=all_pairs, exact=dtype == torch.float64)
                    found.update((those[b], centre) for b, centre in kept.items())
                    if batch.moments is not None:
                        moments[those] = batch.moments.cpu().numpy()

            score(every[~over_all], torch.float32)
            score(np.array([c for c in every[~over_all] if c not in found], np.intp), torch.float64)
            for wide in (False, True):  # where voxels are as many as stimuli, moments are made of all pairs too
                score(every[over_all & ((sizes >= self.ready.n) == wide)], torch.float64, all_pairs=True)
        sums = self._sums([found[c] for c in range(len(sizes))], visiting=False)
        return sums, moments if self._asked.closed else None

    def _over_all(self, size: int) -> bool:
        return self.metric == "euclidean" or size + self.ready.factors.shape[1] >= self.ready.n

    @property
    def _runs(self) -> DeviceRuns:
        def make() -> DeviceRuns:
            runs = None if self._asked.blocks.run is None else self.ready.runs
            return DeviceRuns(RunBlocks(self.ready.n, runs), self._tables.device)

        runs: DeviceRuns = self._tables.held("runs", make)
        return runs

    def _of_products(self, sphere: SphereBatch) -> _Batch:
        """Of a batch, by products of factors in the precision of d."""
        import torch

        ready, runs, table = self.ready, self._runs, self._tables.table
        d, effect, n = sphere.d, sphere.effect, self.ready.n
        factors = table("factors", lambda: ready.factors).to(d.dtype)
        effects, signed = table("effects", lambda: ready.effects), table("signed", lambda: self._signed)
        gram, across = d @ d.mT, d @ factors  # (B, V, V), (B, V, K)
        through = {m: d @ self._dense(m).to(d.dtype) for m in ready.dense}  # (B, V, n)

        within = runs.within(sphere)
        models_within = table("within", lambda: runs.unpacked(ready.within))
        squares_within = runs.scatter((within * within).sum(3))
        products_within = torch.stack([runs.scatter((within * h).sum(3)) for h in models_within], 1)
        gram_square, across_squares = _sum_of_squares(gram, (1, 2)), _sum_of_squares(across, (1,))
        made = across_squares @ signed.abs().T
        for m in through:
            made[:, m] = (gram_square * self._squares[m]).sqrt()
        if self._asked.jackknifed:
            squares, products = self._of_every_stimulus(sphere, gram, across, through)
            squares, products = squares - squares_within, products - products_within
        else:
            squares = 2 * n * (effect * effect).sum(1) + gram_square - squares_within.sum(1)
            product = 2 * n * effect @ effects.T + across_squares @ signed.T - products_within.sum(2)
            for m, pulled in through.items():
                product[:, m] += 2 * effect @ self._rows_of_models[m] + (d.double() * pulled.double()).sum((1, 2))
            squares, products = squares[:, None], product[:, :, None]
        return _Batch(
            taken=sphere.constant,
            directionless=sphere.directionless,
            rows=n * effect - runs.scatter(within.sum(3)),
            squares=squares,
            products=products,
            gram_square=gram_square,
            made=made,
            moments=factor_moments(sphere, gram, within, runs) if self._asked.closed else None,
        )

    def _dense(self, model: int) -> Tensor:
        return self._tables.table(f"dense {model}", partial(self.ready.dense.__getitem__, model))

    @property
    def _rows_of_models(self) -> Tensor:
        return self._tables.table("rows", lambda: self.ready.alone.rows)

    def _of_every_stimulus(
        self, sphere: SphereBatch, gram: Tensor, across: Tensor, through: dict[int, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Sums of g^2 (B, n) and of g h (B, n_models, n) over all j, for each i; g without its constant."""
        ready, table, n = self.ready, self._tables.table, self.ready.n
        d, effect = sphere.d, sphere.effect
        exact, length = d.double(), (effect * effect).sum(1, keepdim=True)
        pulled = (d @ effect.to(d.dtype)[:, :, None]).double()  # (B, V, 1)
        squares = n * effect**2 + length + (((gram @ d).double() + 2 * pulled) * exact).sum(1)
        factors, effects = table("factors", lambda: ready.factors), table("effects", lambda: ready.effects)
        products = n * effect[:, None] * effects + (effect @ effects.T)[:, :, None]
        products += ((effects.to(d.dtype) @ d.mT) @ d).double()
        onto = (across.mT @ d).double() + (effect @ factors)[:, :, None]  # (B, K, n)
        products += table("signed", lambda: self._signed) @ (onto * factors.T)
        for m, pulled_by in through.items():
            products[:, m] += effect * self._rows_of_models[m] + effect @ self._dense(m).double()
            products[:, m] += (pulled_by.double() * exact).sum(1)
        return squares, products

    def _of_all_pairs(self, sphere: SphereBatch) -> _Batch:
        """Of a batch, by making all pairs, in float64."""
        import torch

        runs, d, effect, constant = self._runs, sphere.d, sphere.effect, sphere.constant
        root = self.metric == "euclidean"
        g = d.mT @ d + effect[:, :, None] + effect[:, None]  # (B, n, n)
        if root:
            g += constant[:, None, None]
            g = -(-g).clamp(min=0).sqrt()
            constant = -(-constant).clamp(min=0).sqrt()
            g -= constant[:, None, None]
        g *= runs.counts
        moments = None
        if self._asked.closed:
            moments = dense_moments(g, runs) if root else sphere_moments(sphere, runs)
        models = self._tables.table("pairs", lambda: self.ready.pairs)
        nothing = torch.zeros_like(constant)
        return _Batch(
            taken=constant,
            directionless=sphere.directionless,
            rows=g.sum(2),
            squares=(g * g).sum(2),
            products=torch.stack([(g * h).sum(2) for h in models], 1),
            gram_square=nothing,
            made=nothing[:, None].expand(-1, len(models)),
            moments=moments,
        )

    def _about_means(self, batch: _Batch, *, all_pairs: bool, exact: bool) -> dict[int, CentreSums]:
        """Of each place in a batch, the means over the pairs that count taken off; not where float32 loses too much."""
        ready, found = self.ready, {}
        # The models are about their means already where all pairs are made.
        shift = np.zeros(len(ready.names)) if all_pairs else ready.shift
        parts = (batch.taken, batch.directionless, batch.rows, batch.squares, batch.products, batch.gram_square)
        on_device = (*parts, batch.made)
        for b, (taken, directionless, rows, squares, products, gram_square, made) in enumerate(
            zip(*(part.cpu().numpy() for part in on_device), strict=True)
        ):
            centre = self._about_mean(taken, rows, squares.sum(), products.sum(axis=1), directionless, shift)
            if not exact and self._loses(centre, gram_square, made):
                continue
            if self._asked.jackknifed:
                sums = StimulusSums(rows, squares, products)
                centre = replace(centre, stimuli=self._stimuli(centre.mean - taken, sums, shift))
            found[b] = centre
        return found


def _sum_of_squares(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    exact = values.double()
    return (exact * exact).sum(axes)
