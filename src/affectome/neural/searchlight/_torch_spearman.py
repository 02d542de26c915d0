"""Spearman searchlights in torch: exact mid-ranks by sorting, of a batch of centres at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from affectome.neural.searchlight._chunks import CHUNK
from affectome.neural.searchlight._inputs import Neighbourhoods, Patterns
from affectome.neural.searchlight._moments3 import SUMS, RunBlocks
from affectome.neural.searchlight._rank_scorers import SpearmanChunks
from affectome.neural.searchlight._scorers import Asked
from affectome.neural.searchlight._spearman import RESOLUTION, PreparedSpearman, SpearmanScores, check_sizes
from affectome.neural.searchlight._torch import Room, exact_products
from affectome.neural.searchlight._torch_moments import sphere_moments
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
    from torch import Tensor

__all__ = ["TorchSpearman", "TorchSpearmanChunks"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


class TorchSpearmanChunks(SpearmanChunks):
    """`SpearmanChunks` in torch, but for drawn permutations and the ranks of distances of few stimuli."""

    _prepared: TorchSpearman

    def __init__(self, asked: Asked, patterns: Patterns, room: Room) -> None:
        super().__init__(asked, patterns)
        made, self._tables = self._prepared, DeviceTables(room.device)
        self._prepared = TorchSpearman(
            made.scorer, made.responses, made.ranked, made.groups, room=room, tables=self._tables
        )
        run, order = asked.blocks.run, made.ranked.pairs.order
        self._sorted = RunBlocks(asked.blocks.n, None if run is None else np.asarray(run)[order])

    def shared_bytes(self) -> int:
        """Ranks of the spaces in float64, and where jackknifed their order."""
        each = 32 if self.asked.jackknifed else 8
        return super().shared_bytes() + each * self._prepared.ranked.ranks.size

    def working_bytes(self, largest: int) -> int:
        """A batch, beside what is kept of the chunk."""
        count, each = self._prepared.batch(largest)
        return super().working_bytes(largest) + count * each

    def _similarity_sums(self, responses: Singles, neighbourhoods: Neighbourhoods, asked: Asked) -> Floats:
        import torch

        tables, sizes, n = self._tables, neighbourhoods.sizes, self._sorted.n
        sums, count = np.empty((len(sizes), len(SUMS))), self._prepared.batch(int(sizes.max()))[0]
        with exact_products(tables.device):
            runs: DeviceRuns = tables.held("runs", lambda: DeviceRuns(self._sorted, tables.device))
            source = turned_responses(responses, self._prepared.ranked.pairs.order, tables)
            for wide, dtype in ((False, torch.float32), (True, torch.float64)):
                for those in batches(np.flatnonzero((sizes >= n) == wide), sizes, count):
                    columns = tables.send(padded_columns(neighbourhoods, those))
                    sphere = sphere_batch(source, columns, asked.metric, dtype)
                    sums[those] = sphere_moments(sphere, runs).cpu().numpy()
        return sums


@dataclass(frozen=True, eq=False)
class TorchSpearman(PreparedSpearman):
    """`PreparedSpearman` that sorts all centres, in batches on a device; its bound is 0.

    Similarities are made in float64 and tied as `brain_keys` ties them.
    """

    room: Room = field(kw_only=True)
    tables: DeviceTables = field(kw_only=True)

    def batch(self, largest: int) -> tuple[int, int]:
        """How many centres are scored together, and the bytes of each."""
        n, n_pairs = len(self.ranked.pairs.order), self.ranked.pairs.n_pairs
        numbers = 6 * n * largest + 4 * n * n + (20 if self.scorer.jackknife else 10) * n_pairs
        return self.room.fitting(8 * numbers, CHUNK), 8 * numbers

    def score(self, neighbourhoods: Neighbourhoods) -> SpearmanScores:
        """Rank correlations of every neighbourhood with every space, exactly."""
        import torch

        check_sizes(neighbourhoods, self.scorer.metric)
        scores, sizes = self._empty(neighbourhoods), neighbourhoods.sizes
        count = self.batch(int(sizes.max()))[0]
        with exact_products(self.tables.device):
            source = turned_responses(self.responses, self.ranked.pairs.order, self.tables)
            for those in batches(np.arange(len(sizes)), sizes, count):
                columns = self.tables.send(padded_columns(neighbourhoods, those))
                self._fill(scores, those, sphere_batch(source, columns, self.scorer.metric, torch.float64))
        return scores

    def _fill(self, scores: SpearmanScores, those: NDArray[np.intp], sphere: SphereBatch) -> None:
        """What one batch adds to the scores."""
        import torch

        table, ranked, n_pairs = self.tables.table, self.ranked, self.ranked.pairs.n_pairs
        own = _RankOrder.of(self._keys(sphere))
        u = own.mid_ranks()
        variance, means = (u * u).mean(1), u @ self._ranks.T / n_pairs
        spread = (variance[:, None] * table("variance", lambda: ranked.variance)).sqrt()  # (B, n_models)
        rho = (means / spread).clamp(-1, 1)
        rows, squares = self._sums_of_positions(u), self._sums_of_positions(u * u)
        square, cube = 2 * (u * u).sum(1), 2 * (u**3).sum(1)
        moments, third = (square, (rows * rows).sum(1)), (cube, (squares * rows).sum(1), (rows**3).sum(1))
        scores.rho[those], scores.products[those] = rho.cpu().numpy(), (2 * n_pairs * means).cpu().numpy()
        scores.moments[those] = torch.stack(moments, 1).cpu().numpy()
        scores.third[those] = torch.stack(third, 1).cpu().numpy()
        if scores.covariances is not None:
            scores.covariances[those] = self._covariances(own, u, variance, spread, rho).cpu().numpy()

    def _keys(self, sphere: SphereBatch) -> Tensor:
        """Whole numbers in the order of the similarities of the pairs that count, int32 (B, n_pairs)."""
        import torch

        effect = sphere.effect
        g = sphere.d.mT @ sphere.d + effect[:, :, None] + effect[:, None] + sphere.constant[:, None, None]
        similarities = g.flatten(1).index_select(1, self._places)
        scale = similarities.abs().amax(1, keepdim=True)
        return (similarities * (RESOLUTION / scale.masked_fill(scale == 0, 1.0))).round().to(torch.int32)

    @property
    def _places(self) -> Tensor:
        """Where the pairs that count lie in a table of all, (n_pairs,)."""
        first = self.ranked.pairs.first
        n = len(first)
        return self.tables.table(
            "places", lambda: np.concatenate([np.arange(f, n) + i * n for i, f in enumerate(first)])
        )

    @property
    def _ranks(self) -> Tensor:
        """Of the spaces, float64 (n_models, n_pairs)."""
        return self.tables.table("ranks", lambda: self.ranked.ranks.astype(np.float64))

    def _sums_of_positions(self, values: Tensor) -> Tensor:
        """Sum over the pairs that hold each stimulus, of (B, n_pairs); (B, n)."""
        n = len(self.ranked.pairs.first)
        table = values.new_zeros(len(values), n * n).index_copy_(1, self._places, values).view(-1, n, n)
        return table.sum(1) + table.sum(2)

    def _influence(self, values: Tensor) -> Tensor:
        """Derivative of the weighted mean of values (B, n_pairs) by the weight of each stimulus, (B, n)."""
        degree = self.tables.table("degree", lambda: self.ranked.pairs.degree)
        sums = self._sums_of_positions(values) - values.mean(1, keepdim=True) * degree
        return sums / self.ranked.pairs.n_pairs

    def _covariances(self, own: _RankOrder, u: Tensor, variance: Tensor, spread: Tensor, rho: Tensor) -> Tensor:
        """Of the rho of each centre, by the infinitesimal jackknife; NaN where all its pairs are alike."""
        import torch

        models = self.tables.table("influence", lambda: self.ranked.influence)  # (n_models, n)
        orders = self.tables.held("orders", lambda: [_RankOrder.of(ranks[None]) for ranks in self._ranks])
        of_own, parts = self._influence(u * u + 2 * own.above(u)) / variance[:, None], []
        for s, (v, order) in enumerate(zip(self._ranks, orders, strict=True)):
            moved = (
                self._influence(u * v + own.above(v.expand_as(u)) + order.repeated(len(u)).above(u))
                / spread[:, s, None]
            )
            parts.append(moved - rho[:, s, None] / 2 * (of_own + models[s]))
        influence = torch.stack(parts, 1)  # (B, n_models, n)
        if self.groups is not None:
            influence = influence @ self.tables.table("units", lambda: np.eye(self._units.max() + 1)[self._units])
        n_units = influence.shape[2]
        covariances = influence @ influence.mT * (n_units / (n_units - 1))
        return covariances.masked_fill((variance == 0)[:, None, None], float("nan"))


class _RankOrder:
    """The order of (B, n_pairs) keys along their last axis, and its ties.

    All rows lie one after another, since on a GPU one long sum runs in parallel and those along rows do not: group g
    of tied pairs is ``starts[g] : starts[g + 1]`` of all, and `group` (B n_pairs,) is that of each pair in the order.
    """

    def __init__(self, place: Tensor, group: Tensor, starts: Tensor) -> None:
        self._place, self._group, self._starts = place, group, starts

    @classmethod
    def of(cls, keys: Tensor) -> _RankOrder:
        """Sort each row."""
        import torch

        ordered, place = keys.sort(dim=1)
        differs = ordered[:, 1:] != ordered[:, :-1]
        first = torch.cat([differs.new_ones(len(keys), 1), differs], 1).flatten()
        ends = first.nonzero()[:, 0], place.new_tensor([keys.numel()])
        return cls(place, first.cumsum(0) - 1, torch.cat(ends))

    def repeated(self, count: int) -> _RankOrder:
        """The order of one row for so many rows."""
        import torch

        rows = torch.arange(count, device=self._place.device)[:, None]
        n_groups, n_pairs = len(self._starts) - 1, self._place.shape[1]
        starts = (self._starts[:-1] + rows * n_pairs).flatten()
        ends = starts, self._starts.new_tensor([count * n_pairs])
        return _RankOrder(self._place.expand(count, -1), (self._group + rows * n_groups).flatten(), torch.cat(ends))

    @property
    def _row(self) -> Tensor:
        """Of each group of ties."""
        return self._starts[:-1] // self._place.shape[1]

    def mid_ranks(self) -> Tensor:
        """About 0, in units of their number, float64 (B, n_pairs)."""
        n_pairs = self._place.shape[1]
        middle = (self._starts[:-1] + self._starts[1:]).double() / (2 * n_pairs) - self._row
        return self._spread(middle - 0.5)

    def above(self, values: Tensor) -> Tensor:
        """For each pair, the sum of `values` over those more similar and half of those tied, per pair."""
        import torch

        n_pairs = values.shape[1]
        upto = torch.cat([values.new_zeros(1), values.gather(1, self._place).flatten().cumsum(0)])
        edges, of_rows = upto[self._starts], upto[n_pairs::n_pairs]
        return self._spread((of_rows[self._row] - (edges[:-1] + edges[1:]) / 2) / n_pairs)

    def _spread(self, of_ties: Tensor) -> Tensor:
        """What belongs to groups of ties, in the order of the pairs."""
        ordered = of_ties[self._group].view(self._place.shape)
        return ordered.new_empty(ordered.shape).scatter_(1, self._place, ordered)
