"""Does a space predict the responses of one person: ridge for every voxel, cross-validated by runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome._progress import Progress, silent
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.encoding._banded import band_weightings, check_bands, weighted_band
from affectome.neural.encoding._folds import NestedSplits, SharedStimuli, nested_splits, outer_folds
from affectome.neural.encoding._result import Encoding, FoldModel
from affectome.neural.encoding._score import held_out_scores
from affectome.neural.encoding._solvers import (
    ALPHAS,
    Precision,
    Problem,
    Solution,
    Solver,
    check_alphas,
    solve,
)
from affectome.neural.recordings import Recording
from affectome.spaces import as_space

__all__ = ["check_memory", "check_precision", "edge_shares", "encode", "warn_of_edges"]

logger = logging.getLogger(__name__)

#: Share of choices at an end of the grid from which on the user is told, and how.
MANY_AT_AN_EDGE = 0.01
EDGES = (
    "%s: the chosen alpha is the lowest of the grid (%g) in %.1f%% of voxels and folds and the highest (%g) in %.1f%%; "
    "a voxel that the space does not predict takes the highest, else the grid is too narrow."
)
_BLOCK = 2**24  # responses looked at at once


def encode(
    space: pd.DataFrame,
    recording: Recording,
    *,
    name: str,
    n_folds: int = 6,
    folds: Literal["runs"] | str | ArrayLike = "runs",
    alphas: ArrayLike = ALPHAS,
    shared_stimuli: SharedStimuli = "drop",
    bands: Mapping[str, Sequence[str]] | None = None,
    weightings: int | ArrayLike = 50,
    seed: int | None = None,
    precision: Precision = "float32",
    memory_gb: float = 4.0,
    backend: str = "numpy",
    solver: Solver = "auto",
    keep_predictions: bool = False,
    progress: Progress = silent,
) -> Encoding:
    r"""Predict every voxel from a space, each trial by a model that saw neither it nor its run nor its stimulus.

    For each outer fold and voxel the coefficients minimise

    .. math:: \sum_t (y_t - \bar y - z_t b)^2 + \alpha |b|^2

    over the training trials, where the features z have mean 0 and s.d. 1 and the responses mean 0 *in these training
    trials*: nothing is scaled before a split. :math:`\alpha` is chosen per voxel and outer fold among `alphas` by the
    least squared error over the inner folds, which are the other outer folds, each left out in turn; the largest of
    equals is taken. With `bands`, the penalty of a band is :math:`\alpha / w`, and the weights w of the bands are
    chosen together with :math:`\alpha`.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
        Index: stimulus ids.
    recording : Recording
        Trials whose stimulus the space lacks are left out, and logged.
    name : str
        Of the space.
    n_folds : int
        Outer folds, where they are made of runs.
    folds
        ``"runs"``: contiguous groups of runs, in the order of their numbers, of sizes that differ by at most one
        (61 runs in 6 folds: 1-10, 11-20, .. 51-61). Another text: that column of the trials. An array: the fold of
        each trial of the recording.
    alphas : sequence of float
        The grid of penalties, all above 0. Default: 20 values from 10 to 10,000, evenly spaced in the logarithm.
    shared_stimuli
        Trials that show a stimulus of the held-out fold too are kept out of training (``"drop"``), allowed there
        (``"allow"``: for designs in which every run shows the same conditions; what is tested is then whether the
        response to a condition repeats), or refused (``"raise"``).
    bands : mapping from band name to columns of the space, or None
        Groups of features with a penalty each; together all columns.
    weightings : int or array of shape (n_weightings, n_bands)
        With `bands`: how many weights are tried (equal ones, each band nearly alone, then draws from Dirichlet
        distributions of concentration 0.1 and 1, scaled to a mean of 1), or which.
    seed : int or None
        Of these draws; needed where there are any.
    precision
        ``"float32"`` chooses alpha by sums in float32 and keeps coefficients so; ``"float64"`` uses that. Sums over
        the responses, and scores, are float64 in both.
    memory_gb : float
        Working memory beyond the recording and the result.
    backend
        ``"numpy"``, ``"torch"``, ``"torch_cuda"``, as himalaya calls them.
    solver
        ``"moments"``: sums over folds, for up to hundreds of features. ``"himalaya"``: predictions of held-out trials
        on a backend of himalaya, for wide spaces and GPUs. ``"auto"``: moments on numpy with at most 256 features and
        no more than training trials, else himalaya. Both solve the same problem.
    keep_predictions : bool
        Keep the held-out predictions of all voxels.
    progress

    Returns
    -------
    Encoding

    Raises
    ------
    InputError
        Where space and recording share no stimuli, responses are NaN, runs are too few, or dropping shared stimuli
        leaves nothing to learn from.

    References
    ----------
    Horikawa, Cowen, Keltner & Kamitani (2020), iScience 23. Dupre la Tour, Eickenberg, Nunez-Elizalde & Gallant
    (2022), NeuroImage 264 (banded ridge).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from affectome.neural import Recording
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k:03d}" for k in range(120)]
    >>> space = pd.DataFrame(rng.normal(size=(120, 3)), index=ids, columns=["Joy", "Awe", "Fear"])
    >>> trials = pd.DataFrame({"stimulus": ids, "run": np.arange(120) // 10 + 1, "session": 1})
    >>> noise = rng.normal(size=(120, 2))
    >>> noise[:, 0] += 2 * space["Joy"]
    >>> found = encode(space, Recording("sub-01", noise.astype(np.float32), trials), name="planted")
    >>> [round(float(r), 2) for r in found.r]
    [0.9, -0.21]
    """
    recording_name = recording.source or recording.subject
    space = as_space(space, source=name)
    grid = check_alphas(alphas)
    rows = _matching_trials(space, recording, name)
    _check_responses(recording, rows)
    fold = outer_folds(recording, folds, n_folds)[rows]
    stimulus = recording.trials["stimulus"].to_numpy()[rows].astype(str)
    nested = nested_splits(fold, stimulus, shared_stimuli, source=recording_name)
    design = space.loc[list(stimulus)].to_numpy(np.float32)
    _warn_of_flat_features(design, space, nested, name)
    band_of = None if bands is None else check_bands(bands, list(space.columns))
    weights = np.ones((1, 1)) if band_of is None else band_weightings(len(bands or {}), weightings, seed)
    columns = np.zeros(design.shape[1], np.intp) if band_of is None else band_of
    problem = Problem(
        x=design.astype(np.float64),
        y=recording.responses,
        rows=None if len(rows) == len(recording.trials) else rows,
        splits=nested.splits,
        bands=[weighted_band(columns, row) for row in weights],
        alphas=grid,
        dtype=check_precision(precision),
        memory=check_memory(memory_gb),
        progress=progress,
    )
    solution = solve(problem, solver=solver, backend=backend)
    scores = held_out_scores(problem, solution, nested.fold, keep=keep_predictions)
    edges = edge_shares(solution, len(grid))
    warn_of_edges(edges, grid, f"{recording.subject}, {name}")
    n_constant = int(solution.constant.sum())
    if n_constant:
        logger.warning("%s: %d voxels are constant; their r is undefined.", recording_name, n_constant)
    return Encoding(
        subject=recording.subject,
        space=name,
        features=tuple(space.columns),
        rows=rows,
        design=design,
        fold=nested.fold,
        r=scores.r,
        r2=scores.r2,
        alphas=grid,
        alpha=np.where(solution.constant, np.nan, grid[solution.alpha]).astype(np.float32),
        edges=edges,
        weights=_mean_weights(solution),
        models=_models(solution),
        predictions=scores.predictions,
        bands=() if bands is None else tuple(bands),
        band_of=band_of,
        band_weights=None if bands is None else np.moveaxis(weights[solution.band], -1, 1).astype(np.float32),
        inner_r2=solution.inner_r2,
        n_dropped=nested.n_dropped,
    )


def _mean_weights(solution: Solution) -> NDArray[np.float32]:
    """Mean over outer folds of the coefficients on features of unit variance, a few voxels at a time in float64."""
    n_outer, n_features, n_voxels = solution.slopes.shape
    weights = np.empty((n_features, n_voxels), np.float32)
    width = max(1, _BLOCK // (n_outer * n_features))
    for start in range(0, n_voxels, width):
        voxels = slice(start, start + width)
        weights[:, voxels] = (solution.slopes[:, :, voxels] * solution.spread[:, :, None]).mean(axis=0)
    return weights


def _models(solution: Solution) -> tuple[FoldModel, ...]:
    return tuple(
        FoldModel(
            solution.slopes[k].astype(np.float32, copy=False),
            solution.intercepts[k].astype(np.float32, copy=False),
            solution.centre[k].astype(np.float32),
        )
        for k in range(len(solution.slopes))
    )


def _matching_trials(space: pd.DataFrame, recording: Recording, name: str) -> NDArray[np.intp]:
    """Trials whose stimulus the space has."""
    stimulus = recording.trials["stimulus"].astype(str)
    known = stimulus.isin(set(space.index)).to_numpy()
    lacking = list(stimulus[~known].unique())
    source = recording.source or recording.subject
    if not known.any():
        raise InputError(
            f"the space {name} has none of its stimuli ('{stimulus.iloc[0]}' here, '{space.index[0]}' there)",
            source=source,
            remedy="make the ids match",
        )
    if stimulus[known].nunique() < 2:
        raise InputError(
            f"it shows one stimulus of the space {name} only ('{stimulus[known].iloc[0]}')",
            source=source,
            remedy="nothing can be learned from one; make the ids match",
        )
    if len(lacking):
        logger.warning(
            "%s: %d trials were left out, since the space %s lacks their stimuli: %s.",
            source,
            int((~known).sum()),
            name,
            cut_short(lacking),
        )
    return np.flatnonzero(known)


def _check_responses(recording: Recording, rows: NDArray[np.intp]) -> None:
    """Refuse responses that are no numbers, saying where."""
    responses = recording.responses
    step = max(1, _BLOCK // responses.shape[1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        finite = np.isfinite(responses[part])
        if not finite.all():
            at = int(part[np.flatnonzero(~finite.all(axis=1))[0]])
            bad = np.flatnonzero(~np.isfinite(responses[at]))
            raise InputError(
                f"{len(bad)} voxels are NaN or infinite (the first is voxel {bad[0]})",
                source=recording.source or recording.subject,
                where=f"trial {at} (run {recording.trials['run'].iloc[at]})",
                remedy="leave out these trials or voxels (select_trials, select_voxels)",
            )


def _warn_of_flat_features(design: NDArray[np.float32], space: pd.DataFrame, nested: NestedSplits, name: str) -> None:
    """Say which features are constant in a training set, and refuse a space in which all are."""
    flat = np.array([(np.ptp(design[rows], axis=0) == 0) for rows in nested.learned])
    if flat.all(axis=1).any():
        raise InputError(
            "every feature is constant over the training trials of a fold",
            source=name,
            remedy="give features that vary over the stimuli shown",
        )
    constant = [str(c) for k, c in enumerate(space.columns) if flat[:, k].any()]
    if constant:
        logger.warning(
            "%s: %d features are constant over the training trials of a fold and get no weight there: %s.",
            name,
            len(constant),
            cut_short(constant),
        )


def check_precision(precision: str) -> np.dtype[np.floating]:
    """The dtype of that name."""
    if precision not in ("float32", "float64"):
        raise InputError(f"precision='{precision}' is not known", remedy="choose float32 or float64")
    return np.dtype(precision)


def check_memory(memory_gb: float) -> float:
    """Bytes."""
    if not np.isfinite(memory_gb) or memory_gb <= 0:
        raise InputError(f"memory_gb={memory_gb} leaves no room", remedy="give gigabytes above 0")
    return float(memory_gb) * 1e9


def edge_shares(solution: Solution, n_alphas: int) -> tuple[float, float]:
    """Share of choices (outer folds x voxels that vary) at the lowest and the highest alpha; (0, 0) for one alpha."""
    chosen = solution.alpha[:, ~solution.constant]
    if n_alphas == 1 or not chosen.size:
        return 0.0, 0.0
    return float((chosen == 0).mean()), float((chosen == n_alphas - 1).mean())


def warn_of_edges(edges: tuple[float, float], alphas: NDArray[np.float64], what: str) -> None:
    """Tell the user where the grid may be too narrow."""
    if max(edges) >= MANY_AT_AN_EDGE:
        logger.warning(
            EDGES,
            what,
            alphas[0],
            100 * edges[0],
            alphas[-1],
            100 * edges[1],
        )
