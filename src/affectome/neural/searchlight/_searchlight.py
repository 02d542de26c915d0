"""Is the geometry of a space found in the patterns around a voxel: representational similarity, everywhere at once."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._resampling import check_level, check_permutations
from affectome._tables import check_unique
from affectome.errors import InputError
from affectome.neural.recordings import Recording
from affectome.neural.searchlight._chunks import CHUNK, Walk, walk_centres
from affectome.neural.searchlight._inputs import BrainMetric, ModelGeometry, ModelMetric, Neighbourhoods, Patterns
from affectome.neural.searchlight._io import content_key
from affectome.neural.searchlight._jackknife import JackknifedScores, score_differences, score_intervals, score_p
from affectome.neural.searchlight._mantel import mantel_test, model_nulls
from affectome.neural.searchlight._models import model_geometry, stored_geometry
from affectome.neural.searchlight._moments3 import RunBlocks
from affectome.neural.searchlight._order import warn_of_sorted_stimuli
from affectome.neural.searchlight._patterns import patterns
from affectome.neural.searchlight._permutations import stimulus_permutations
from affectome.neural.searchlight._rank_scorers import KendallChunks, SpearmanChunks, rank_nulls
from affectome.neural.searchlight._result import Searchlight
from affectome.neural.searchlight._scorers import Asked, PearsonChunks
from affectome.neural.searchlight._torch import Backend, Room, device_of
from affectome.neural.statistics import BlockPermutations, family_wise_p

__all__ = ["searchlight"]

logger = logging.getLogger(__name__)

Statistic = Literal["pearson", "spearman", "kendall"]
Test = Literal["closed", "drawn", "none"]
Arrays = dict[str, NDArray[Any]]

_SCORERS: dict[str, Callable[[Asked, Patterns], PearsonChunks | SpearmanChunks | KendallChunks]] = {
    "pearson": PearsonChunks,
    "spearman": SpearmanChunks,
    "kendall": KendallChunks,
}
_VERSION = 3  # raised when the same inputs would now give other chunks
_FEW = 30  # stimuli below which the moments do not tell the tail of all permutations
_ROUNDING = 1e-5  # of scores whose permutations are summed in float32
_CLOSED = "The stimuli of the space are exchangeable over the whole recording (all permutations, in closed form)."
_DRAWN = {
    "run": "The stimuli of the space are exchangeable within their runs (permutations drawn).",
    None: "The stimuli of the space are exchangeable over the whole recording (permutations drawn).",
}


def searchlight(
    recording: Recording | Patterns,
    spaces: Mapping[str, pd.DataFrame] | Sequence[ModelGeometry],
    neighbourhoods: Neighbourhoods,
    *,
    metric: ModelMetric | Mapping[str, ModelMetric] = "correlation",
    statistic: Statistic = "pearson",
    brain_metric: BrainMetric = "correlation",
    within_run: Literal["exclude", "include"] = "exclude",
    test: Test = "closed",
    n_permutations: int = 1000,
    permute_within: Literal["run"] | None = "run",
    differences: Sequence[tuple[str, str]] = (),
    intervals: bool = False,
    controls: Sequence[str] = (),
    units: Literal["stimulus", "run"] = "stimulus",
    level: float = 0.95,
    seed: int | None = None,
    n_jobs: int = 1,
    memory_gb: float = 4.0,
    backend: Backend = "numpy",
    resume: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> Searchlight:
    r"""Correlate the similarities of brain patterns around every centre with those of stimuli in every space.

    Parameters
    ----------
    recording : Recording, or Patterns
        Of one person. Of a recording, the mean pattern of each stimulus that it shows and all spaces have
        (:func:`patterns`).
    spaces : mapping from name to DataFrame (n_stimuli, n_features), or sequence of ModelGeometry
        All are scored in one pass over each neighbourhood. Geometries need Patterns, whose rows are theirs.
    neighbourhoods : Neighbourhoods
        Spheres, discs or parcels over the voxels of the recording.
    metric
        Similarity of stimuli in a space, one for all or one each (see :func:`model_geometry`).
    statistic
        ``"pearson"``: exact to 1e-6. ``"spearman"``: ranks by bins, with a bound on the error (`bound`).
        ``"kendall"``: tau-a, of at most 100,000 pairs; p by drawn permutations alone.
    brain_metric
        Similarity of patterns: ``"correlation"``, ``"cosine"``, or minus the (squared) Euclidean distance.
    within_run
        ``"exclude"``: pairs of stimuli of one run, which share its noise, do not count. ``"include"``: all pairs
        count, also those of means over several runs.
    test
        ``"closed"``: all permutations of the stimuli at once, by the moments of their scores. ``"drawn"``:
        `n_permutations` of them, within runs or over all stimuli. ``"none"``: no p.
    n_permutations
        Drawn at most; where there are fewer, each is taken once.
    permute_within
        Of drawn permutations: ``"run"``, where stimuli change places only within their run; None, over the whole
        recording (as the closed form does).
    differences : sequence of (space, space)
        Pairs of spaces to compare in every centre.
    intervals
        Standard errors and intervals of every score, which `differences` bring too.
    controls
        Spaces to hold constant: partial correlations with every other space, their intervals and one-sided p by the
        jackknife, and their `differences` (Pearson only; of ranks, :meth:`Searchlight.partial` gives them without).
    units
        What is independent for these: single stimuli, or whole runs, whose stimuli share noise.
    level
        Coverage of the intervals.
    seed : int
        Of drawn permutations; needed with ``test="drawn"`` alone, for nothing else is drawn.
    n_jobs
        Processes, -1 for all cores; a GPU has one. Neither this nor the memory moves a bit of the result in NumPy.
    memory_gb
        Beyond patterns and result; fewer processes run where more would not fit, and in torch batches are smaller.
    backend
        ``"numpy"``: compiled kernels. ``"torch_cuda"``: a GPU; ``"torch"``: the same code on the processor, to compare
        (docs/gpu.md). Results are equal to rounding; what has no form in torch is computed as with numpy, and logged.
    resume : folder, optional
        Finished chunks of 128 centres are kept there, in a folder named by the content of all that decides them, and a
        later call goes on from them. Remove it when the result is stored.
    progress
        Told after every chunk.

    Returns
    -------
    Searchlight

    Raises
    ------
    InputError
        Where stimuli or voxels do not match, a space tells no stimuli apart, permutations are asked for that there
        are not, or one chunk does not fit into the memory.

    Notes
    -----
    **Score.** With g the similarities of patterns and h those of stimuli over the P pairs that count,

    .. math:: r = \frac{\sum_{i<j} (g_{ij} - \bar g)(h_{ij} - \bar h)}
                       {\sqrt{\sum_{i<j} (g_{ij} - \bar g)^2 \sum_{i<j} (h_{ij} - \bar h)^2}},

    or the same of their ranks. The pair of a stimulus with itself never counts.

    **Null of p**, one-sided (more alike than by chance): the space does not know which stimulus evoked which pattern.
    *Permuted* are the stimuli of the space; the pairs that count belong to the patterns and stay. Over the whole
    recording that assumes stimuli were assigned to runs at random, or that a space knows nothing of runs; if stimuli of
    a run resemble one another in it *and* each run has a pattern of its own in the brain (or neighbouring runs have
    like ones: drift), p is too small: draw within runs then, which is valid unless stimuli and responses also follow
    their neighbours within a run. ``standardise_runs`` takes the pattern of a run off. Closed form: mean and variance
    exact; skewness exact for Pearson up to 512 stimuli (above, the mean cube comes from 32 of them), for Spearman in
    part that of the similarities in place of their ranks (exact for Euclidean distances up to 300 stimuli; above, where
    a pattern lies far out, p = .001 may be many times too small); a sum of a chi-squared and a gamma variable has these
    and about the right kurtosis. p below 1e-4 is extrapolated; of fewer than 30 stimuli p = .01 may be up to three
    times too small, and the log says so. Drawn: p = (b + 1) / (B + 1).
    **Correction:** `q`, Benjamini-Hochberg over the centres of one space; `p_family` (drawn), the largest r over all
    centres in each permutation, one space at a time. None over spaces.

    **Intervals and differences:** infinitesimal jackknife over stimuli (or runs); nothing is resampled. They speak of
    other stimuli of this kind and this person. Null of a difference: both spaces are equally related to the brain
    there, which no permutation of stimuli tests. Two-sided, t with one less degree of freedom than units;
    Benjamini-Hochberg over the centres of one pair.

    **Partial correlations:** permuting a space also breaks its relation to the controls, which is not their null. Their
    one-sided p is the jackknife's; null: nothing relates the space to the patterns beyond the controls.

    Cost: n V^2 + n V K operations per centre of V voxels, K factors of all spaces together. At n = 2,180, V = 123 and
    five spaces of 181 features a centre takes 3 ms of one core, with p 8, with standard errors 7.

    Examples
    --------
    >>> from affectome.neural import sphere_neighbourhoods, VolumeGrid
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k:02d}" for k in range(60)]
    >>> space = pd.DataFrame(rng.normal(size=(60, 4)), index=ids)
    >>> places = np.argwhere(np.ones((4, 4, 8), bool)).astype(np.int32)
    >>> responses = rng.normal(size=(60, 128))
    >>> responses[:, places[:, 2] < 4] += space.to_numpy() @ rng.normal(size=(4, 64))
    >>> trials = pd.DataFrame({"stimulus": ids, "run": np.arange(60) // 10, "session": 1})
    >>> recording = Recording("sub-01", responses.astype(np.float32), trials, VolumeGrid(places, np.eye(4), (4, 4, 8)))
    >>> found = searchlight(recording, {"planted": space}, sphere_neighbourhoods(recording.geometry, 2))
    >>> left = places[found.neighbourhoods.centres, 2] < 2
    >>> bool((found.q[left] < 0.05).all()), round(float(found.r[left].mean()), 2)
    (True, 0.68)
    """
    _check_choices(statistic, test, units, level)
    device = device_of(backend)
    if statistic == "kendall" and test == "closed":
        raise InputError("tau-a under permutations has no closed form", remedy='use test="drawn", or test="none"')
    given, models = _matched(recording, spaces, metric, within_run)
    given = _in_ordinary_units(given)
    counted = replace(given, run=None) if within_run == "include" else given
    if within_run not in ("exclude", "include"):
        raise InputError(f"within_run='{within_run}' is no choice", remedy="choose exclude or include")
    _check_voxels(neighbourhoods, given)
    names = [model.name for model in models]
    pairs, held = _checked_pairs(differences, names), _checked_controls(controls, names, statistic)
    asked = Asked(
        models=tuple(models),
        metric=brain_metric,
        blocks=RunBlocks(len(given.ids), counted.run),
        closed=test == "closed",
        drawn=_drawn(given, counted, statistic, permute_within, n_permutations, seed) if test == "drawn" else None,
        jackknifed=bool(pairs or held) or intervals,
        groups=_groups(given, units),
        controls=held,
    )
    scorer = _scorer(asked, counted, statistic, device, _bytes(memory_gb) / max(1, n_jobs))
    folder = None if resume is None else Path(resume) / _key(asked, given, neighbourhoods, statistic, backend)
    walk = Walk(1 if device == "cuda" else n_jobs, _bytes(memory_gb), folder, progress)
    found = walk_centres(scorer, given.responses, neighbourhoods, walk)
    _tell_of_directionless(found, given)
    if asked.closed:
        warn_of_sorted_stimuli(asked, given)
        _tell_of_few(given)
    return Searchlight(
        subject=given.subject,
        spaces=tuple(names),
        metrics=tuple(model.metric for model in models),
        statistic=statistic,
        brain_metric=brain_metric,
        within_run="include" if counted.run is None else "exclude",
        n_stimuli=len(given.ids),
        n_pairs=int(asked.blocks.n_ordered) // 2,
        neighbourhoods=neighbourhoods,
        space_r=scorer.model_r,
        r=found["r"],
        bound=found.get("bound"),
        test=test,
        null=_CLOSED if test == "closed" else _DRAWN[permute_within] if test == "drawn" else "",
        **_tested(found, asked, statistic),
        **_jackknifed(found, asked, pairs, level),
    )


def _check_choices(statistic: str, test: str, units: str, level: float) -> None:
    for name, value, known in (
        ("statistic", statistic, get_args(Statistic)),
        ("test", test, get_args(Test)),
        ("units", units, ("stimulus", "run")),
    ):
        if value not in known:
            raise InputError(f"{name}='{value}' is no choice", remedy=f"choose one of {', '.join(known)}")
    check_level(level)


def _matched(
    recording: Recording | Patterns,
    spaces: Mapping[str, pd.DataFrame] | Sequence[ModelGeometry],
    metric: ModelMetric | Mapping[str, ModelMetric],
    within_run: str,
) -> tuple[Patterns, list[ModelGeometry]]:
    """Patterns, and geometries over the same stimuli in the same order."""
    if not spaces:
        raise InputError("there is no space to look for", remedy="give at least one")
    if not isinstance(spaces, Mapping):
        if isinstance(recording, Recording):
            raise InputError(
                "geometries have rows without names, and those of a recording are not theirs",
                remedy="give the patterns that they were made for (patterns), or spaces",
            )
        return recording, list(spaces)
    metrics = dict(metric) if isinstance(metric, Mapping) else dict.fromkeys(spaces, metric)
    unnamed = [name for name in spaces if name not in metrics]
    if unnamed:
        raise InputError(f"the space '{unnamed[0]}' has no metric", remedy="name one for each space")
    if isinstance(recording, Recording):
        tables = [[str(one) for one in space.index] for space in spaces.values()]
        shared = set(tables[0]).intersection(*tables[1:])
        recording = _means(recording, [one for one in tables[0] if one in shared], within_run)
    models = [
        model_geometry(space, name=name, metric=metrics[name], ids=recording.ids) for name, space in spaces.items()
    ]
    return recording, models


def _means(recording: Recording, ids: list[str], within_run: str) -> Patterns:
    """One pattern per stimulus; if all pairs count, without runs where those do not tell stimuli apart."""
    if within_run != "include":
        return patterns(recording, ids)
    trials = recording.trials[recording.trials["stimulus"].astype(str).isin(set(ids))]
    repeated = (trials.groupby("stimulus")["run"].nunique() > 1).any()
    if repeated:
        logger.warning(
            "%s: patterns are means over runs, and those that share runs share noise; all pairs count.",
            recording.source or recording.subject,
        )
    return patterns(recording, ids, runs="ignore" if repeated or trials["run"].nunique() == 1 else "keep")


def _in_ordinary_units(given: Patterns) -> Patterns:
    """Very large or small responses times a power of two, which moves no score.

    Sums of cubes of squared distances would leave what float32 can hold.
    """
    responses = given.responses
    largest = float(max(responses.max(initial=0.0), -responses.min(initial=0.0)))
    if not 0 < largest < np.inf or 1e-5 < largest < 1e5:
        return given
    return replace(given, responses=np.ldexp(responses, -int(np.frexp(largest)[1])))


def _check_voxels(neighbourhoods: Neighbourhoods, given: Patterns) -> None:
    if not len(neighbourhoods):
        raise InputError("there are no centres", remedy="make neighbourhoods with at least one")
    n_voxels = given.responses.shape[1]
    last = int(neighbourhoods.voxels.max())
    if last >= n_voxels:
        raise InputError(
            f"the neighbourhoods name voxel {last}, and the patterns have {n_voxels}",
            source=given.subject,
            remedy="make them from the geometry of this recording",
        )


def _checked_pairs(differences: Sequence[tuple[str, str]], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    check_unique(list(names), source="the spaces")
    for pair in differences:
        unknown = [name for name in pair if name not in names]
        if unknown or len(pair) != 2 or pair[0] == pair[1]:
            what = f"there is no space '{unknown[0]}'" if unknown else f"{tuple(pair)} are no two spaces"
            raise InputError(what, source="differences", remedy=f"choose pairs among {', '.join(names)}")
    return tuple((first, second) for first, second in differences)


def _checked_controls(controls: Sequence[str], names: Sequence[str], statistic: str) -> tuple[str, ...]:
    if not controls:
        return ()
    check_unique(list(controls), source="controls")
    unknown = [name for name in controls if name not in names]
    if unknown or len(controls) == len(names):
        what = f"there is no space '{unknown[0]}'" if unknown else "all spaces are held constant"
        raise InputError(what, source="controls", remedy=f"choose some of {', '.join(names)}")
    if statistic != "pearson":
        raise InputError(
            "intervals of partial correlations are known for Pearson only",
            remedy="ask the result for partial() instead, or use Pearson",
        )
    return tuple(controls)


def _groups(given: Patterns, units: str) -> NDArray[np.intp] | None:
    if units == "stimulus":
        return None
    if given.run is None:
        raise InputError("the runs of the stimuli are not known", source=given.subject, remedy='use units="stimulus"')
    return given.run


def _drawn(
    given: Patterns,
    counted: Patterns,
    statistic: str,
    within: Literal["run"] | None,
    n_permutations: int,
    seed: int | None,
) -> BlockPermutations:
    check_permutations(n_permutations)
    if seed is None:
        raise InputError("permutations are drawn without a seed", remedy="give seed=")
    check_permuted_ranks(statistic, within, all_pairs=counted.run is None)
    return stimulus_permutations(len(given.ids), given.run, within=within, n_permutations=n_permutations, seed=seed)


def check_permuted_ranks(statistic: str, within: str | None, *, all_pairs: bool) -> None:
    """Refuse to draw permutations of ranks across runs where pairs within them do not count."""
    if statistic == "spearman" and within is None and not all_pairs:
        raise InputError(
            "ranks are known of the pairs that count only, and permutations across runs bring others there",
            remedy='permute within runs, let all pairs count (within_run="include"), or use test="closed"',
        )


def _scorer(
    asked: Asked, counted: Patterns, statistic: Statistic, device: str | None, memory: float
) -> PearsonChunks | SpearmanChunks | KendallChunks:
    """What scores chunks on this device; told where that is the processor all the same."""
    if device is None or statistic == "kendall":
        if device is not None:
            logger.info("Kendall's tau-a has no form in torch and is computed as with numpy.")
        return _SCORERS[statistic](asked, counted)
    from affectome.neural.searchlight._torch_pearson import TorchPearsonChunks
    from affectome.neural.searchlight._torch_spearman import TorchSpearmanChunks

    if asked.drawn is not None:
        logger.info("Permutations that are drawn have no form in torch and are scored as with numpy.")
    chunks = TorchPearsonChunks if statistic == "pearson" else TorchSpearmanChunks
    return chunks(asked, counted, Room(device, memory))


def _key(asked: Asked, given: Patterns, neighbourhoods: Neighbourhoods, statistic: str, backend: str) -> str:
    """The content of all that decides a chunk."""
    facts = {
        "backend": backend,
        "version": _VERSION,
        "chunk": CHUNK,
        "statistic": statistic,
        "metric": asked.metric,
        "closed": asked.closed,
        "jackknifed": asked.jackknifed,
        "controls": asked.controls,
        "models": [[model.name, model.metric] for model in asked.models],
    }
    arrays: list[NDArray[Any]] = [given.responses, neighbourhoods.starts, neighbourhoods.voxels]
    optional = (asked.blocks.run, asked.groups, None if asked.drawn is None else asked.drawn.orders)
    arrays += [np.empty(0) if part is None else part for part in optional]
    arrays += [part for model in asked.models for part in stored_geometry(model)]
    return content_key(json.dumps(facts, sort_keys=True), *arrays)


def _bytes(memory_gb: float) -> float:
    if not np.isfinite(memory_gb) or memory_gb <= 0:
        raise InputError(f"memory_gb={memory_gb} leaves no room", remedy="give gigabytes above 0")
    return float(memory_gb) * 1e9


def _tell_of_directionless(found: Arrays, given: Patterns) -> None:
    counts = found.get("n_directionless", np.zeros(1, np.int64))
    if counts.any():
        logger.warning(
            "%s: in %d centres patterns of up to %d stimuli have no direction and count as similar 0 to all others.",
            given.subject,
            int((counts > 0).sum()),
            int(counts.max()),
        )


def _tell_of_few(given: Patterns) -> None:
    if len(given.ids) < _FEW:
        logger.warning(
            "%s: p in closed form is rough for %d stimuli, and p = .01 may be up to three times too small: use "
            'test="drawn" where it matters.',
            given.subject,
            len(given.ids),
        )


def _tested(found: Arrays, asked: Asked, statistic: str) -> dict[str, Any]:
    """The fields of the result that a test fills."""
    if asked.closed:
        nulls = model_nulls(asked.models, asked.blocks) if statistic == "pearson" else rank_nulls(asked)
        test = mantel_test(found["r"], found["pair_sums"], nulls)
        return {
            "p": test.p,
            "null_mean": test.null_mean,
            "null_sd": test.null_sd,
            "null_skewness": test.null_skewness,
        }
    if asked.drawn is None:
        return {}
    n_permutations, scores, maxima = asked.drawn.n_permutations, found["drawn"], found["maxima"].max(axis=0)
    undefined = np.isnan(scores)
    per_space = zip(scores.T, maxima.T, strict=True)
    return {
        "p": np.where(undefined, np.nan, (found["reached"] + 1) / (n_permutations + 1)),
        "p_family": np.stack([family_wise_p(own, top, rounding=_ROUNDING) for own, top in per_space], axis=1),
        "n_permutations": n_permutations,
    }


def _jackknifed(found: Arrays, asked: Asked, pairs: tuple[tuple[str, str], ...], level: float) -> dict[str, Any]:
    """The fields of the result that the jackknife fills."""
    if not asked.jackknifed:
        return {}
    n_units = len(np.unique(asked.groups)) if asked.groups is not None else asked.blocks.n
    names = tuple(model.name for model in asked.models)
    scores = JackknifedScores(names, found["r"], found["covariances"], n_units)
    low, high = score_intervals(scores, level=level)
    fields: dict[str, Any] = {"se": scores.standard_errors, "low": low, "high": high, "level": level}
    if pairs:
        fields |= {"pairs": pairs, **_differing("", scores, pairs, level)}
    if not asked.controls:
        return fields
    partial = JackknifedScores(names, found["partial"], found["partial_covariances"], n_units)
    others = np.array([np.nan if name in asked.controls else 1.0 for name in names])
    low, high = score_intervals(partial, level=level)
    known = {"r": partial.scores, "se": partial.standard_errors, "low": low, "high": high, "p": score_p(partial)}
    fields |= {"controls": asked.controls, **{f"partial_{name}": values * others for name, values in known.items()}}
    if pairs:
        alone = np.array([np.nan if set(pair) & set(asked.controls) else 1.0 for pair in pairs])
        differing = _differing("partial_", partial, pairs, level)
        fields |= {name: values * alone for name, values in differing.items()}
    return fields


def _differing(
    kind: str, scores: JackknifedScores, pairs: tuple[tuple[str, str], ...], level: float
) -> dict[str, NDArray[np.float64]]:
    compared = score_differences(scores, pairs, level=level)
    return {
        f"{kind}difference": compared.difference,
        f"{kind}difference_se": compared.standard_error,
        f"{kind}difference_low": compared.low,
        f"{kind}difference_high": compared.high,
        f"{kind}difference_p": compared.p,
    }
