"""Is a voxel predicted better than chance: the encoding fitted anew to responses rearranged in blocks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome._progress import Progress, silent
from affectome._resampling import false_discovery_rate, permutation_p, warn_of_resolution
from affectome.errors import InputError
from affectome.neural.encoding._masks import checked_regions
from affectome.neural.encoding._permuted import ROUNDING, PermutedPart, parts
from affectome.neural.encoding._refit import Refit
from affectome.neural.encoding._result import Encoding
from affectome.neural.encoding._solvers import quiet_threads
from affectome.neural.recordings import Recording
from affectome.neural.statistics import (
    BlockPermutations,
    block_permutations,
    correlation_p,
    effective_trials,
    family_wise_p,
    pareto_tail_p,
)
from affectome.neural.statistics._tails import BEYOND, FEWEST

__all__ = ["Significance", "encoding_significance"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_ALPHA = 0.05  # of the counts
_LEAST_SD = 1e-3  # of r over permutations, that it is divided by: below, it is rounding
_INFLATED = 1.2  # variance of r, over that of independent trials, from which on it is said


@dataclass(frozen=True, eq=False)
class Significance:
    """Which voxels, and which regions, a space predicts better than chance.

    Attributes
    ----------
    subject, space : str
    r : float32 array of shape (n_voxels,)
        Pooled held-out r, as in the encoding.
    p : float32 array of shape (n_voxels,)
        One-sided, by permutation; NaN where r is.
    q : float32 array of shape (n_voxels,)
        Benjamini-Hochberg over the voxels.
    p_family : float32 array of shape (n_voxels,)
        Against the largest over all voxels of each permutation, of r less its null mean, over its null s.d.
    p_analytic : float32 array of shape (n_voxels,)
        By theory, to compare: see Notes of :func:`encoding_significance` for why it is no test.
    null_mean, null_sd : float32 arrays of shape (n_voxels,)
        Of r over the permutations. The mean is below 0: see there.
    fitted : bool array of shape (n_voxels,)
        Whether p comes from a fitted tail.
    maxima : array of shape (n_permutations,)
        Largest r over the voxels, per permutation, each less its null mean and over its null s.d.
    regions : DataFrame
        One row per region: ``region``, ``n_voxels`` (with an r), ``r`` (their mean), ``p`` (of the mean, by the same
        permutations), ``q`` (over regions), ``null`` (mean over the permutations of that mean), ``largest_r``,
        ``p_largest`` (as `p_family`, over the voxels of the region).
    table : DataFrame
        How many voxels each criterion finds at .05: ``criterion``, ``n_voxels``, ``share``.
    n_permutations : int
    n_distinct : int
        Rearrangements that there are, the observed one included.
    smallest_p : float
        The least that `p` can be.
    tail, penalties : str
        As asked; ``"empirical"`` where all rearrangements were taken.
    null : str
        The null, in words.
    """

    subject: str
    space: str
    r: Singles
    p: Singles
    q: Singles
    p_family: Singles
    p_analytic: Singles
    null_mean: Singles
    null_sd: Singles
    fitted: NDArray[np.bool_]
    maxima: Floats
    regions: pd.DataFrame
    table: pd.DataFrame
    n_permutations: int
    n_distinct: int
    smallest_p: float
    tail: str
    penalties: str
    null: str


def encoding_significance(
    encoding: Encoding,
    recording: Recording,
    *,
    n_permutations: int = 1000,
    blocks: str | ArrayLike | None = None,
    block_length: int | None = None,
    within: Literal["run"] | None = "run",
    penalties: Literal["kept", "chosen"] = "kept",
    tail: Literal["gpd", "empirical"] = "gpd",
    rois: Mapping[str, NDArray[np.bool_]] | None = None,
    seed: int,
    memory_gb: float = 4.0,
    n_jobs: int | None = None,
    progress: Progress = silent,
) -> Significance:
    r"""Test every voxel of an encoding by fitting it anew to responses rearranged in blocks.

    Parameters
    ----------
    encoding : Encoding
    recording : Recording
        The one that was encoded.
    n_permutations
        At most; where blocks can be arranged in fewer ways, each way is taken once and p is exact.
    blocks, block_length, within
        What is exchanged with what: see :func:`block_permutations`. An array of `blocks` has one label per trial of
        the encoding. By default single trials within runs.
    penalties
        ``"kept"``: refitted with the alpha that the encoding chose; fast, and conservative. ``"chosen"``: alpha is
        chosen anew in every permutation, as in the encoding; exact, and about ten times slower.
    tail
        ``"gpd"``: p-values that fewer than ten permutations reach come from a fitted tail, :func:`pareto_tail_p`.
        ``"empirical"``: (b + 1) / (n_permutations + 1).
    rois : mapping from region to bool array of shape (n_voxels,)
        By default the regions of the recording.
    seed
        Of the permutations; the same ones in all voxels.
    memory_gb
        For responses, nulls and sums beyond the recording and the encoding.
    n_jobs
        Threads; by default all processors. Neither this nor the memory changes r by more than rounding (5e-6).
    progress
        Told in batches of voxels × permutations.

    Returns
    -------
    Significance

    Notes
    -----
    **Null.** The responses, in blocks, are exchangeable with respect to the design: whatever the brain did, it did not
    depend on which of the exchanged stimuli were shown. The statistic is the pooled held-out r.

    **What is permuted.** The responses of whole blocks, in all voxels alike, and every fold is *fitted anew* to them.
    Rearranging the held-out responses under predictions that stay as they are is faster and wrong after
    cross-validation: each response is held out once and trained on in all other folds, so that the terms of the
    covariance,

    .. math:: \sum_f y_f' \hat y_f = \sum_f \sum_{g \ne f} y_f' H_{fg} y_g ,

    come in pairs, f with g and g with f, that are nearly the same number. The null variance of r is therefore up to
    *twice* that of fixed predictions, and 7 to 11% of null voxels have p < .05, 2 to 5% p < .01.

    **Below zero.** The null mean of r is not 0. A fold whose mean response is high leaves a low one to the others, so
    that predictions, pooled over folds, are negatively related to what they predict. Refitting keeps that in the null
    of each voxel (`null_mean`), and centring within folds is not needed. Standardising runs beforehand removes a good
    part of it.

    **Penalties.** With one alpha, p is exact. An alpha that was chosen in the training data is small in those
    folds whose training data agreed by chance, and they are not the folds that are then predicted well. So the
    observed r, whose alpha was chosen on it, lies lower than those of permutations with the same alpha:
    ``penalties="kept"`` is conservative where nothing is predicted (2 to 4% of null voxels have p < .05), and
    ``penalties="chosen"`` puts it right.

    **Correction.** `q`: Benjamini-Hochberg over all voxels with an r. `p_family`: maximum over the same voxels, of r in
    units of the null of each voxel (its mean and s.d. over the permutations and the observed r). Where penalties are
    kept, r itself is not on one scale: voxels with a small alpha have a higher null, and they are few and those that
    happened to be predicted, so that the largest r found any null voxel in up to .23 of brains at .05, and the largest
    in these units in .00 to .03. Regions: `q` over regions.

    **Analytic check.** t of r with as many trials as Bartlett's formula leaves of them. It knows neither of the
    doubled variance nor of the mean below zero, which err in opposite directions; it is for comparison with what
    others report.

    **Cost.** Per permutation n p V multiplications for the sums and some p² V per fold. Time for 100,000 voxels is in
    docs/significance.md.

    References
    ----------
    Winkler et al. (2014, 2016), NeuroImage 92 and 141; Nichols and Holmes (2002), Human Brain Mapping 15.

    Examples
    --------
    >>> from affectome.neural import encode
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k:03d}" for k in range(120)]
    >>> space = pd.DataFrame(rng.normal(size=(120, 3)), index=ids, columns=["Joy", "Awe", "Fear"])
    >>> trials = pd.DataFrame({"stimulus": ids, "run": np.arange(120) // 10 + 1, "session": 1})
    >>> responses = rng.normal(size=(120, 20)).astype(np.float32)
    >>> responses[:, 0] += space["Joy"]
    >>> recording = Recording("sub-01", responses, trials)
    >>> found = encoding_significance(encode(space, recording, name="planted"), recording, n_permutations=199, seed=0)
    >>> np.flatnonzero(found.q < 0.05).tolist(), np.flatnonzero(found.p_family < 0.05).tolist()
    ([0], [0])
    """
    regions = dict(recording.rois if rois is None else rois)
    _check(encoding, recording, regions, n_permutations, penalties, tail)
    trials = recording.trials.iloc[encoding.rows].reset_index(drop=True)
    permutations = block_permutations(
        trials, blocks=blocks, block_length=block_length, within=within, n_permutations=n_permutations, seed=seed
    )
    voxels = np.flatnonzero(np.isfinite(encoding.r))
    if not len(voxels):
        raise InputError("no voxel has an r", source=encoding.subject, remedy="give a recording that varies")
    chosen = penalties == "chosen"
    refit = Refit(encoding, trials["stimulus"].to_numpy().astype(str), choose=chosen)
    maps = _Maps(encoding, permutations, regions, "empirical" if permutations.exact else tail)
    for part in parts(encoding, recording, refit, voxels, len(permutations.orders), memory_gb, n_jobs, chosen):
        said = partial(_say, progress, int(np.searchsorted(voxels, part.voxels[0])), len(voxels))
        maps.add(part, part.null(permutations.orders, said), trials["run"].to_numpy())
    maps.warn()
    return maps.finish(penalties)


def _say(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total, detail="voxels")


def _check(
    encoding: Encoding,
    recording: Recording,
    regions: Mapping[str, NDArray[np.bool_]],
    n_permutations: int,
    penalties: str,
    tail: str,
) -> None:
    source = recording.source or recording.subject
    if len(encoding.r) != recording.n_voxels or encoding.rows.max() >= len(recording.trials):
        raise InputError(
            f"it has {len(recording.trials)} trials and {recording.n_voxels} voxels, and the encoding "
            f"{len(encoding.rows)} and {len(encoding.r)}",
            source=source,
            remedy="give the recording that was encoded",
        )
    if penalties not in ("kept", "chosen"):
        raise InputError(f"penalties='{penalties}' is not known", remedy='choose "kept" or "chosen"')
    if penalties == "chosen" and encoding.band_weights is not None:
        raise InputError(
            "the weights of bands cannot be chosen anew in every permutation",
            source=encoding.space,
            remedy='use penalties="kept"',
        )
    if tail not in ("gpd", "empirical"):
        raise InputError(f"tail='{tail}' is not known", remedy='choose "gpd" or "empirical"')
    if tail == "gpd" and n_permutations < FEWEST:
        raise InputError(
            f"{n_permutations} permutations have no tail to fit", remedy=f'use {FEWEST} or more, or tail="empirical"'
        )
    checked_regions(regions, recording.n_voxels, source=source)


class _Maps:
    """What is known of all voxels, filled part by part."""

    def __init__(
        self,
        encoding: Encoding,
        permutations: BlockPermutations,
        regions: Mapping[str, NDArray[np.bool_]],
        tail: str,
    ) -> None:
        self.encoding, self.permutations, self.regions, self.tail = encoding, permutations, regions, tail
        n_voxels, n = len(encoding.r), len(permutations.orders)
        self.observed, self.standardised = np.full((2, n_voxels), np.nan)
        self.p, self.p_analytic, self.mean, self.sd, self.inflation = (np.full(n_voxels, np.nan) for _ in range(5))
        self.fitted = np.zeros(n_voxels, bool)
        self.maxima = np.full(n, -np.inf)
        self.region_sums = np.zeros((n, len(regions)))
        self.region_maxima = np.full((n, len(regions)), -np.inf)

    def add(self, part: PermutedPart, null: Singles, runs: NDArray[Any]) -> None:
        """Take what a part found: r under every permutation, (n_permutations, n_voxels of the part)."""
        self.observed[part.voxels] = part.observed
        for number, batch in enumerate(part.batches):
            voxels, draws = part.voxels[batch], null[:, batch].astype(np.float64)
            self.mean[voxels], self.sd[voxels] = draws.mean(axis=0), draws.std(axis=0)
            if self.tail == "gpd":
                tail = pareto_tail_p(part.observed[batch], draws, rounding=ROUNDING)
                self.p[voxels], self.fitted[voxels] = np.maximum(tail.p, 1 / self.permutations.n_distinct), tail.fitted
            else:
                self.p[voxels] = permutation_p(part.observed[batch], draws, rounding=ROUNDING)
            with quiet_threads(len(self.encoding.features)):
                predicted = self.encoding.predict(slice(int(voxels[0]), int(voxels[-1]) + 1))[:, voxels - voxels[0]]
            effective = effective_trials(predicted, part.responses[number], runs)
            self.inflation[voxels] = len(predicted) / effective
            self.p_analytic[voxels] = correlation_p(self.encoding.r[voxels], effective)
            for place, roi in enumerate(self.regions.values()):
                inside = roi[voxels]
                if inside.any():
                    self.region_sums[:, place] += draws[:, inside].sum(axis=1)
            self._add_maxima(voxels, part.observed[batch], draws)

    def _add_maxima(self, voxels: NDArray[np.intp], observed: Singles, draws: Floats) -> None:
        """Take the largest of each permutation, in units of the null of each voxel; `draws` are used up.

        With the observed r among those that mean and s.d. are taken of, all of them are treated alike, and p stays
        exact where it is.
        """
        n = len(draws) + 1
        mean = (draws.sum(axis=0) + observed) / n
        draws -= mean
        sd = np.sqrt((np.einsum("pv,pv->v", draws, draws) + (observed - mean) ** 2) / n)
        sd = np.maximum(sd, _LEAST_SD)
        draws /= sd
        self.standardised[voxels] = (observed - mean) / sd
        draws[:, np.isnan(observed)] = -np.inf
        np.maximum(self.maxima, draws.max(axis=1), out=self.maxima)
        for place, roi in enumerate(self.regions.values()):
            inside = roi[voxels]
            if inside.any():
                largest = draws[:, inside].max(axis=1)
                np.maximum(self.region_maxima[:, place], largest, out=self.region_maxima[:, place])

    @property
    def smallest_p(self) -> float:
        """The least p there can be."""
        if self.tail == "gpd":
            return max(self.permutations.smallest_p / BEYOND, 1 / self.permutations.n_distinct)
        return self.permutations.smallest_p

    def warn(self) -> None:
        """Say where permutations are too few, and where single trials are exchanged that are not independent."""
        who = f"{self.encoding.subject}, {self.encoding.space}"
        if self.tail == "empirical":
            warn_of_resolution(self.p, len(self.permutations.orders), of=who)
        known = self.inflation[np.isfinite(self.inflation)]
        inflation = float(np.median(known)) if len(known) else 1.0
        if np.bincount(self.permutations.block).max() == 1 and inflation > _INFLATED:
            logger.warning(
                "%s: neighbouring trials are alike in predictions and responses (the variance of r is %.2f times that "
                "of independent trials, median over voxels), but single trials are exchanged; use longer blocks.",
                who,
                inflation,
            )

    def finish(self, penalties: str) -> Significance:
        """Correct over voxels and regions."""
        q = false_discovery_rate(self.p)
        family = family_wise_p(self.standardised, self.maxima, rounding=ROUNDING / _LEAST_SD)
        criteria = {"p": self.p, "q": q, "p_family": family, "p_analytic": self.p_analytic}
        found = [int((values < _ALPHA).sum()) for values in criteria.values()]
        table = pd.DataFrame({"criterion": list(criteria), "n_voxels": found})
        table["share"] = table["n_voxels"] / np.isfinite(self.p).sum()
        return Significance(
            subject=self.encoding.subject,
            space=self.encoding.space,
            r=self.encoding.r,
            **{
                name: values.astype(np.float32)
                for name, values in {**criteria, "null_mean": self.mean, "null_sd": self.sd}.items()
            },
            fitted=self.fitted,
            maxima=self.maxima,
            regions=self._region_table(),
            table=table,
            n_permutations=len(self.permutations.orders),
            n_distinct=self.permutations.n_distinct,
            smallest_p=self.smallest_p,
            tail=self.tail,
            penalties=penalties,
            null=f"{self.permutations.null}, with respect to the design; every fold fitted anew",
        )

    def _region_table(self) -> pd.DataFrame:
        """Mean and largest r of every region, against the same of every permutation."""
        rows = []
        for place, (name, roi) in enumerate(self.regions.items()):
            inside = roi & np.isfinite(self.observed)
            values = self.observed[inside]
            row: dict[str, Any] = {"region": name, "n_voxels": len(values)}
            if len(values):
                null = self.region_sums[:, place] / len(values)
                row |= {
                    "r": values.mean(),
                    "p": float(permutation_p(values.mean(), null, rounding=ROUNDING)),
                    "null": null.mean(),
                    "largest_r": values.max(),
                    "p_largest": float(
                        permutation_p(
                            self.standardised[inside].max(),
                            self.region_maxima[:, place],
                            rounding=ROUNDING / _LEAST_SD,
                        )
                    ),
                }
            rows.append(row)
        columns = ["region", "n_voxels", "r", "p", "q", "null", "largest_r", "p_largest"]
        table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))
        table["q"] = false_discovery_rate(table["p"])
        return table
