"""Two spaces in the same voxels: which of them predicts better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from affectome._progress import Progress, silent
from affectome._resampling import check_level, false_discovery_rate
from affectome.errors import InputError
from affectome.neural.encoding._masks import checked_mask
from affectome.neural.encoding._result import Encoding
from affectome.neural.encoding._run_correlations import centre_folds, run_correlations
from affectome.neural.encoding._run_sums import (
    FITTING_BOUND,
    Floats,
    RegionMembers,
    RunLayout,
    affine_models,
    check_same_trials,
    half_width,
    held_out_predictions,
    region_masks,
    run_layout,
    run_variance,
    variance_parts,
    voxel_batches,
)
from affectome.neural.encoding._solvers import quiet_threads
from affectome.neural.recordings import Recording

__all__ = ["EncodingDifference", "WinnerMap", "compare_encodings", "winner_map"]

_ROUNDING = 1e-9  # differences of correlations below it are rounding


@dataclass(frozen=True, eq=False)
class EncodingDifference:
    """Held-out correlation of one space minus that of another, in every voxel and region.

    Attributes
    ----------
    subject, first, second : str
        The person, and the names of the spaces.
    voxels : DataFrame of n_voxels rows
        ``r_first``, ``r_second`` (within folds, see :func:`compare_encodings`), ``difference`` (first minus second),
        ``se``, ``low``, ``high``, ``p`` (two-sided), ``q`` (Benjamini-Hochberg over the voxels of the mask). NaN where
        either correlation is undefined; `q` is NaN outside the mask.
    regions : DataFrame, index region (``"all"`` first)
        Over the voxels of the mask: ``n_voxels``, means ``r_first`` and ``r_second``, ``difference`` with ``se``,
        ``low``, ``high``, ``p``, and ``q`` (Benjamini-Hochberg over the regions of the recording, without ``"all"``);
        ``share_above``, of voxels whose `r_first` is the larger one (ties count half), with ``share_low`` and
        ``share_high``; ``slope`` of the major axis of r_first (up) over r_second, with ``slope_low`` and
        ``slope_high``, NaN where the two are not positively related.
    n_runs : int
    level : float
        Coverage the intervals aim at, each by itself.
    """

    subject: str
    first: str
    second: str
    voxels: pd.DataFrame
    regions: pd.DataFrame
    n_runs: int
    level: float

    @property
    def null(self) -> str:
        """The null hypothesis, as a sentence."""
        return (
            f"In new runs of {self.subject}, the models of {self.first} and of {self.second} correlate equally "
            "with the voxel (in a region: on average over its voxels)."
        )


@dataclass(frozen=True, eq=False)
class WinnerMap:
    """Which of several spaces predicts each voxel best.

    Attributes
    ----------
    subject : str
    spaces : tuple of str
    winner : float32 array of shape (n_voxels,)
        Place in `spaces` of the one with the highest r (the first of equals); NaN outside the mask, or where no space
        has an r.
    r : float32 array of shape (n_voxels,)
        Its correlation.
    margin : float32 array of shape (n_voxels,)
        That minus the second highest.
    """

    subject: str
    spaces: tuple[str, ...]
    winner: NDArray[np.float32]
    r: NDArray[np.float32]
    margin: NDArray[np.float32]

    def shares(self, rois: Mapping[str, NDArray[np.bool_]] | None = None) -> pd.DataFrame:
        """Share of voxels that each space wins.

        Returns
        -------
        DataFrame, index region (``"all"`` first), columns ``n_voxels`` (with a winner) and the spaces; NaN where a
        region has none.
        """
        regions = {"all": np.ones(len(self.winner), np.bool_), **(rois or {})}
        rows = {}
        for name, roi in regions.items():
            winners = self.winner[roi]
            won = winners[~np.isnan(winners)].astype(np.intp)
            counts = np.bincount(won, minlength=len(self.spaces)).astype(np.float64)
            rows[name] = [len(won), *(counts / len(won) if len(won) else np.full(len(self.spaces), np.nan))]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=["n_voxels", *self.spaces])
        return table.rename_axis("region").astype({"n_voxels": int})


def compare_encodings(
    first: Encoding,
    second: Encoding,
    recording: Recording,
    *,
    mask: NDArray[np.bool_] | None = None,
    level: float = 0.95,
    memory_gb: float = 2.0,
    progress: Progress = silent,
) -> EncodingDifference:
    """Compare how well two spaces predict the same voxels.

    A control space, or one that joins several controls, is compared in the same way.

    Parameters
    ----------
    first, second : Encoding
        Of the same recording, over the same trials and folds.
    recording : Recording
        Its ``rois`` are summarised.
    mask : bool array of shape (n_voxels,), optional
        Voxels that the correction and the regions are about, by default all. Choose it without looking at `first` or
        `second` (by anatomy, a noise ceiling, another space): voxels chosen because `first` predicts them favour
        `first`.
    level
    memory_gb
        Voxels are taken in batches that fit, of at most 512; it changes nothing but rounding.
    progress
        Told after every batch, in voxels.

    Returns
    -------
    EncodingDifference

    Raises
    ------
    InputError
        For encodings of other recordings, trials or folds, runs that lie in two folds, or fewer than five runs.

    Notes
    -----
    Null: in new runs both spaces, as fitted here, correlate equally with the voxel. Both correlations share the
    responses; since the same runs are left out of both, that dependence is in the standard error.

    Nothing is permuted, for a permutation of trials tests that both spaces predict nothing, not that they predict
    equally. Variance: delete-one-run jackknife of the difference of pooled correlations with the fitted models held
    fixed, from sums per run, plus the noise of fitting, which the jackknife cannot see and without which two spaces
    that predict nothing would differ at .05 in about one voxel of six; see ``docs/partition.md``. Test and interval: t
    with n_runs - 1 degrees of freedom; two-sided. Correction: Benjamini-Hochberg over the voxels of the mask, and over
    regions. The interval speaks of other runs of this person with these stimuli's kind, not of other people.

    Intervals of `slope` take the same variance from the slope itself. A share is no smooth function of the runs: all
    contributions to that variance are added to the differences with signs from a Hadamard matrix, so that every draw
    moves all voxels together, and the spread of the share over these draws is its standard error. Voxels are never
    counted as independent.

    Correlations are taken within folds: the mean of each held-out fold is removed from responses and predictions
    first. A prediction starts from the mean of the training trials, which is low where that of the held-out ones is
    high; in pooled correlations (``Encoding.r``) this makes a negative bias, larger for the space that predicts less,
    and spaces would differ where both predict nothing.

    Examples
    --------
    >>> from affectome.neural.encoding._result import FoldModel
    >>> rng = np.random.default_rng(0)
    >>> x, runs = rng.normal(size=(60, 2)).astype("float32"), np.repeat(np.arange(6), 10)
    >>> responses = (x[:, :1] + rng.normal(size=(60, 3))).astype("float32")
    >>> trials = pd.DataFrame({"stimulus": [f"s{k}" for k in range(60)], "run": runs, "session": 1})
    >>> recording = Recording("sub-01", responses, trials)
    >>> def by(column, name):  # stands for encode(...)
    ...     model = FoldModel(np.ones((1, 3), "float32"), np.zeros(3, "float32"))
    ...     flat = np.ones(3, "float32")
    ...     return Encoding("sub-01", name, (name,), np.arange(60), x[:, [column]], runs // 2, flat, flat,
    ...                     np.ones(1), flat[None], (0.0, 0.0), flat[None], (model,) * 3)
    >>> found = compare_encodings(by(0, "true"), by(1, "other"), recording)
    >>> found.regions[["difference", "low", "high"]].round(2).values.tolist()
    [[0.66, 0.26, 1.06]]
    """
    check_level(level)
    check_same_trials(first, second)
    layout = run_layout(first, recording)
    run_layout(second, recording)
    inside = region_masks(recording, mask)
    n, n_folds, n_voxels = len(layout.order), len(first.models), recording.n_voxels
    n_features = max(len(first.features), len(second.features))
    variants = 1 + len(layout) * (1 + n_folds)
    bytes_per_voxel = 8.0 * (n * 9 + 3 * n_folds * (1 + n_features) + 30 * variants)
    parts, sums = [], _ScatterSums(inside.shape[1], len(layout), n_folds)
    with quiet_threads(n_features):
        for voxels in voxel_batches(n_voxels, bytes_per_voxel, memory_gb):
            pair = _paired_correlations(first, second, recording, layout, voxels)
            parts.append(_voxel_table(pair, level))
            sums.add(pair, inside.iloc[voxels].to_numpy())
            progress(voxels.stop, n_voxels)
    table = pd.concat(parts, ignore_index=True)
    table["q"] = false_discovery_rate(table["p"].where(inside["all"]))
    regions = sums.table(inside.columns, level)
    return EncodingDifference(first.subject, first.space, second.space, table, regions, len(layout), level)


def winner_map(encodings: Sequence[Encoding], *, mask: NDArray[np.bool_] | None = None) -> WinnerMap:
    """Say for every voxel which space predicts it best.

    Parameters
    ----------
    encodings : sequence of Encoding
        At least two, of one person, over the same trials and folds.
    mask : bool array of shape (n_voxels,), optional
        Voxels that may have a winner, for example those that any space predicts significantly. Without it every
        voxel has one, also where nothing is predicted.

    Notes
    -----
    Nothing is tested: a winner by a hair's breadth is one. :func:`compare_encodings` tests pairs.

    Examples
    --------
    >>> def by(name, *r):
    ...     none = np.empty((0, len(r)), "float32")
    ...     return Encoding("sub-01", name, (), np.arange(2), none, np.arange(2), np.array(r, "float32"), none[0:0],
    ...                     np.ones(1), none, (0.0, 0.0), none, ())
    >>> winner_map([by("a", 0.3, 0.1, np.nan), by("b", 0.2, 0.4, np.nan)]).winner.tolist()
    [0.0, 1.0, nan]
    """
    if len(encodings) < 2:
        raise InputError(f"{len(encodings)} encodings have no winner", remedy="give at least two")
    names = [encoding.space for encoding in encodings]
    if len(set(names)) < len(names):
        raise InputError(f"two encodings are called {max(names, key=names.count)}", remedy="name each space once")
    for other in encodings[1:]:
        if other.subject != encodings[0].subject or other.r.shape != encodings[0].r.shape:
            raise InputError(
                f"the encodings are of {encodings[0].subject} with {len(encodings[0].r)} voxels and of "
                f"{other.subject} with {len(other.r)}",
                remedy="give encodings of one recording",
            )
        check_same_trials(encodings[0], other)
    r = np.stack([encoding.r for encoding in encodings])
    allowed = checked_mask(mask, r.shape[1])
    known = np.where(np.isnan(r), -np.inf, r)
    best, ordered = known.argmax(axis=0), np.sort(known, axis=0)
    shown = allowed & np.isfinite(ordered[-1])
    winner = np.where(shown, best, np.nan).astype(np.float32)
    highest = np.where(shown, ordered[-1], np.nan).astype(np.float32)
    with np.errstate(invalid="ignore"):
        margin = np.where(shown & np.isfinite(ordered[-2]), ordered[-1] - ordered[-2], np.nan).astype(np.float32)
    return WinnerMap(encodings[0].subject, tuple(names), winner, highest, margin)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Correlations of both spaces in a batch of voxels: the value, with each run left out, with each run moved."""

    value: Floats  # (2, V)
    without: Floats  # (2, m, V)
    moved: Floats  # (2, m, K, V)

    @property
    def variants(self) -> Floats:
        """All of them, (2, 1 + m + m K, V), in this order."""
        n_voxels = self.value.shape[1]
        return np.concatenate([self.value[:, None], self.without, self.moved.reshape(2, -1, n_voxels)], axis=1)


def _paired_correlations(
    first: Encoding, second: Encoding, recording: Recording, layout: RunLayout, voxels: slice
) -> _Pair:
    y = recording.responses[layout.rows, voxels].astype(np.float64)
    own = [held_out_predictions(encoding, layout, voxels) for encoding in (first, second)]
    flat = np.ptp(y, axis=0) == 0
    y, *own = (centre_folds(values, layout) for values in (y, *own))
    pairs = [run_correlations(y, held_out, [held_out], layout) for held_out in own]
    value, without = (np.concatenate(part) for part in zip(*pairs, strict=True))
    value[:, flat] = np.nan
    spread_y, *products = (np.einsum("nv,nv->v", values, values) for values in (y, *own))
    residual = y.copy()
    for held_out, square in zip(own, products, strict=True):  # what both, each put on the scale of y, leave on average
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = np.einsum("nv,nv->v", y, held_out) / square
        residual -= held_out * (np.nan_to_num(slope) / 2)
    moved = []
    for encoding, square, r in zip((first, second), products, value, strict=True):
        drift = layout.drift(layout.design_of(encoding), affine_models(encoding, voxels), residual)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved.append(r + drift / np.sqrt(spread_y * square))
    return _Pair(value, without, np.stack(moved))


def _voxel_table(pair: _Pair, level: float) -> pd.DataFrame:
    difference = pair.value[0] - pair.value[1]
    variance = run_variance(pair.without[0] - pair.without[1], pair.moved[0] - pair.moved[1], difference)
    columns = {"r_first": pair.value[0], "r_second": pair.value[1]}
    return pd.DataFrame({**columns, **_tested(difference, variance, len(pair.without[0]), level)})


def _tested(difference: Floats, variance: Floats, n_runs: int, level: float) -> dict[str, Floats]:
    """A difference with s.e., interval and two-sided p; equal in every run is p = 1."""
    se, reach = np.sqrt(variance), half_width(variance, n_runs, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(np.abs(difference) < _ROUNDING, 0.0, np.abs(difference) / se)
    p = 2 * stats.t.sf(t, n_runs - 1)
    return {"difference": difference, "se": se, "low": difference - reach, "high": difference + reach, "p": p}


class _ScatterSums:
    """Sums over the voxels of every region, for the value and each variant of it."""

    def __init__(self, n_regions: int, n_runs: int, n_folds: int) -> None:
        self.n_runs, self.n_folds = n_runs, n_folds
        self.count = np.zeros(n_regions)
        self.sums = np.zeros((5, 1 + n_runs * (1 + n_folds), n_regions))
        self.signs = _balanced_signs(n_runs * (1 + n_folds))  # (n_draws, m + m K)
        self.above = np.zeros((1 + len(self.signs), n_regions))

    def add(self, pair: _Pair, inside: NDArray[np.bool_]) -> None:
        variants = pair.variants
        known = np.asarray(np.isfinite(variants).all(axis=(0, 1)))
        members = RegionMembers(inside & known[:, None])
        variants[:, :, ~known] = 0.0
        y, x = variants
        self.count += members.count
        self.sums += np.stack([members.sums(part) for part in (y, x, y**2, x**2, y * x)])
        self.above += members.sums(self._above(y - x))

    def _above(self, variants: Floats) -> Floats:
        """Whether the difference lies above 0 (1/2: at 0), as it is and in every draw; (1 + n_draws, V)."""
        m = self.n_runs
        value, without, moved = variants[0], variants[1 : 1 + m], variants[1 + m :]
        jackknife, fitting = variance_parts(without, moved.reshape(m, self.n_folds, -1), value)
        with np.errstate(invalid="ignore", divide="ignore"):  # as in run_variance
            bound = np.sqrt(np.minimum(1.0, np.nan_to_num(FITTING_BOUND * jackknife / fitting, nan=1.0)))
        steps = np.concatenate([np.sqrt((m - 1) / m) * (without - without.mean(axis=0)), (moved - value) * bound])
        drawn = np.concatenate([value[None], value + self.signs @ steps])
        above: Floats = (drawn > _ROUNDING) + 0.5 * (np.abs(drawn) <= _ROUNDING)
        return above

    def table(self, names: pd.Index, level: float) -> pd.DataFrame:
        n, (y, x) = self.count, self.sums[:2]
        with np.errstate(invalid="ignore", divide="ignore"):
            difference, slopes, share = (y - x) / n, self._slopes(), self.above / n
            columns = {"n_voxels": n.astype(int), "r_first": (y / n)[0], "r_second": (x / n)[0]}
        columns |= _tested(difference[0], self._variance(difference), self.n_runs, level)
        columns["q"] = np.append(np.nan, false_discovery_rate(columns["p"][1:]))
        for name, value, variance, ends in (
            ("share", share[0], share[1:].var(axis=0), (0.0, 1.0)),
            ("slope", slopes[0], self._variance(slopes), (0.0, np.inf)),
        ):
            reach = half_width(variance, self.n_runs, level)
            columns["share_above" if name == "share" else name] = value
            columns[f"{name}_low"] = np.maximum(value - reach, ends[0])
            columns[f"{name}_high"] = np.minimum(value + reach, ends[1])
        return pd.DataFrame(columns, index=names.rename("region"))

    def _variance(self, variants: Floats) -> Floats:
        m = self.n_runs
        moved = variants[1 + m :].reshape(m, self.n_folds, -1)
        return run_variance(variants[1 : 1 + m], moved, variants[0])

    def _slopes(self) -> Floats:
        """Slope of the major axis: the direction in which (x, y) spread most."""
        n, (y, x, yy, xx, yx) = self.count, self.sums
        spread_y, spread_x, shared = yy - y**2 / n, xx - x**2 / n, yx - y * x / n
        gap = spread_y - spread_x
        slope: Floats = np.where(shared > 0, (gap + np.sqrt(gap**2 + 4 * shared**2)) / (2 * shared), np.nan)
        return slope


def _balanced_signs(n_columns: int) -> Floats:
    """Signs whose columns are orthogonal (a Hadamard matrix without its constant column): draws that need no seed."""
    from scipy.linalg import hadamard

    size = 1 << int(n_columns).bit_length()  # a power of two above n_columns
    signs: Floats = hadamard(size, dtype=np.float64)[:, 1 : n_columns + 1]
    return signs
