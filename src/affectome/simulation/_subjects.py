"""People whose brain regions follow planted spaces, so that every analysis of recordings has a known answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural import Recording, VolumeGrid
from affectome.spaces import align

__all__ = ["PLACES", "SimulatedSubjects", "simulate_subjects"]

Floats = NDArray[np.float64]

#: Areas of the HCP-MMP1 atlas and structures below the cortex, and where the simulation puts them: millimetres (MNI,
#: right hemisphere), roughly right.
PLACES: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "V1": (12, -88, 2),
        "V4": (30, -78, -14),
        "MST": (46, -66, 6),
        "TPOJ1": (58, -46, 12),
        "PGi": (50, -62, 34),
        "STSda": (54, -6, -16),
        "TE1a": (60, -14, -28),
        "EC": (22, -8, -32),
        "9m": (8, 52, 32),
        "10r": (8, 46, -8),
        "pOFC": (20, 18, -20),
        "AAIC": (36, 10, -10),
        "31pv": (10, -52, 30),
        "p24": (6, 34, 14),
        "46": (40, 40, 22),
        "45": (52, 28, 6),
        "TF": (36, -34, -22),
        "Thalamus": (12, -18, 8),
        "Hippocampus": (26, -22, -14),
        "Hypothalamus": (4, -4, -12),
        "Pallidum": (18, -4, -2),
        "Brainstem": (4, -28, -32),
        "Caudate": (14, 14, 10),
        "Putamen": (28, 2, 2),
        "Accumbens": (10, 12, -8),
        "Amygdala": (24, -4, -20),
        "Cerebellum": (26, -60, -34),
    }
)

_SIZE = 4.0  # mm, of a voxel
_AFFINE = np.array([[_SIZE, 0, 0, -90], [0, _SIZE, 0, -126], [0, 0, _SIZE, -72], [0, 0, 0, 1]])
_SHAPE = (46, 55, 47)


@dataclass(frozen=True, eq=False)
class SimulatedSubjects:
    """Recordings with a known answer.

    Attributes
    ----------
    recordings : tuple of Recording
        One per person, in one common space; the regions are called ``hcp180_r_lh.L_<area>_ROI`` and
        ``hcp180_r_rh.R_<area>_ROI``.
    truth : DataFrame of shape (n_areas, n_spaces)
        Share of a voxel's response variance that follows each space; 0 where an area does not.
    seed : int
    """

    recordings: tuple[Recording, ...]
    truth: pd.DataFrame
    seed: int


def simulate_subjects(
    spaces: Mapping[str, pd.DataFrame],
    areas: Mapping[str, Mapping[str, float]],
    *,
    n_subjects: int = 3,
    n_runs: int = 12,
    repeats: int = 1,
    radius: float = 8.0,
    autocorrelation: float = 0.3,
    agreement: float = 0.5,
    shift: float = 0.0,
    seed: int,
) -> SimulatedSubjects:
    """Record people who watch every stimulus, in whom each area follows the spaces it was told to.

    Parameters
    ----------
    spaces : mapping from name to DataFrame
        Stimuli × features, over the same ids.
    areas : mapping from area to {space: share}
        Areas of :data:`PLACES`, each in both hemispheres, and the share of response variance that follows each
        space; an empty mapping is an area that follows none.
    n_subjects
    n_runs
        The stimuli are dealt to the runs in an order of its own for each person.
    repeats
        How often each stimulus is shown, always within one run, so that no stimulus is in two folds.
    radius
        Of an area, in mm; voxels have 4 mm.
    autocorrelation
        Of the noise of successive trials of a run: AR(1).
    agreement
        Share of the variance of a voxel's weights that is the same in all people, 0 to 1.
    shift
        Each person's areas are moved by up to so many mm along each axis against the regions of the atlas.
    seed

    Returns
    -------
    SimulatedSubjects

    Notes
    -----
    Response of voxel v to stimulus i: ``y = sum_s sqrt(share_s) f_s(i, v) + sqrt(1 - sum_s share_s) e``, where f_s is a
    random weighting of the standardised features of space s with unit variance over the stimuli, and e has unit
    variance. Half of the variance of the weights is common to the voxels of an area. Shares are exact where the
    spaces are uncorrelated.

    Examples
    --------
    >>> from affectome.simulation import simulate_emotions
    >>> category = simulate_emotions(60, seed=0).stimuli.spaces["category"]
    >>> world = simulate_subjects({"category": category}, {"MST": {"category": 0.2}, "V1": {}}, n_runs=6, seed=0)
    >>> world.recordings[0]
    <Recording sub-01: 60 trials of 60 stimuli in 6 runs, 120 voxels>
    """
    _check(spaces, areas, n_subjects, n_runs, repeats, autocorrelation, agreement)
    together = align(*spaces.values(), names=list(spaces))
    features = {name: _standardised(space) for name, space in zip(spaces, together.spaces, strict=True)}
    ids = np.array(together.ids)
    if len(ids) < n_runs:
        raise InputError(f"{len(ids)} stimuli cannot fill {n_runs} runs", remedy="use fewer runs")
    ijk, rois = _anatomy(areas, radius, shift)
    grid = VolumeGrid(ijk, _AFFINE, _SHAPE, space="MNI152NLin2009cAsym")
    shared, *own = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(n_subjects + 1)]
    common = {
        (area, space): _weights(shared, features[space].shape[1], len(ijk))
        for area, follows in areas.items()
        for space in follows
    }
    recordings = []
    for person, rng in enumerate(own):
        trials = _trials(ids, n_runs, repeats, rng)
        moved = _where(areas, ijk, radius, rng.uniform(-shift, shift, 3))
        responses = _noise(trials["run"].to_numpy(), len(ijk), autocorrelation, rng)
        shown = pd.Index(ids).get_indexer(trials["stimulus"])
        for area, follows in areas.items():
            voxels = moved[area]
            signal = np.zeros((len(ids), len(voxels)))
            for space, share in follows.items():
                one = np.sqrt(agreement) * common[area, space][:, voxels]
                one = one + np.sqrt(1 - agreement) * _weights(rng, features[space].shape[1], len(voxels))
                signal += np.sqrt(share) * _standardised(features[space] @ one)
            responses[:, voxels] *= np.sqrt(1 - sum(follows.values()))
            responses[:, voxels] += signal[shown]
        recordings.append(
            Recording(f"sub-{person + 1:02d}", responses.astype(np.float32), trials, grid, rois, "the simulation")
        )
    truth = pd.DataFrame({s: {a: float(follows.get(s, 0.0)) for a, follows in areas.items()} for s in spaces})
    return SimulatedSubjects(tuple(recordings), truth.rename_axis("area"), seed)


def _check(
    spaces: Mapping[str, pd.DataFrame],
    areas: Mapping[str, Mapping[str, float]],
    n_subjects: int,
    n_runs: int,
    repeats: int,
    autocorrelation: float,
    agreement: float,
) -> None:
    if not spaces or not areas:
        raise InputError("there is nothing to simulate", remedy="give at least one space and one area")
    unknown = [area for area in areas if area not in PLACES]
    if unknown:
        raise InputError(f"there is no area '{unknown[0]}' here", remedy=f"choose among {', '.join(PLACES)}")
    for area, follows in areas.items():
        strange = [name for name in follows if name not in spaces]
        if strange:
            raise InputError(
                f"{area} follows '{strange[0]}', which is not among the spaces ({cut_short(list(spaces))})",
                remedy="name one of them",
            )
        if min(follows.values(), default=0) < 0 or sum(follows.values()) > 1:
            raise InputError(f"the shares of {area} are not between 0 and 1 in all", remedy="make them smaller")
    if min(n_subjects, n_runs, repeats) < 1 or not 0 <= autocorrelation < 1 or not 0 <= agreement <= 1:
        raise InputError(
            f"n_subjects={n_subjects}, n_runs={n_runs}, repeats={repeats}, autocorrelation={autocorrelation}, "
            f"agreement={agreement} cannot be simulated",
            remedy="use counts of at least 1, 0 <= autocorrelation < 1 and 0 <= agreement <= 1",
        )


def _standardised(values: pd.DataFrame | Floats) -> Floats:
    """Columns of mean 0 and s.d. 1; constant ones 0."""
    given = np.asarray(values, np.float64)
    centred = given - given.mean(axis=0)
    spread = centred.std(axis=0)
    found: Floats = centred / np.where(spread > 0, spread, 1)
    return found


def _centres(area: str) -> list[Floats]:
    """Left and right."""
    x, y, z = PLACES[area]
    return [np.array([-x, y, z]), np.array([x, y, z])]


def _anatomy(
    areas: Mapping[str, object], radius: float, shift: float
) -> tuple[NDArray[np.int32], dict[str, NDArray[np.bool_]]]:
    """Voxels within reach of any area, and the masks of the areas where the atlas has them."""
    every = np.indices(_SHAPE).reshape(3, -1).T.astype(np.int32)
    millimetres = every @ _AFFINE[:3, :3].T + _AFFINE[:3, 3]
    reach = radius + np.sqrt(3) * shift
    near = np.zeros(len(every), bool)
    for area in areas:
        for centre in _centres(area):
            near |= ((millimetres - centre) ** 2).sum(axis=1) <= reach**2
    ijk, places = every[near], millimetres[near]
    rois = {}
    for area in areas:
        for side, hemisphere, centre in zip(("lh", "rh"), "LR", _centres(area), strict=True):
            inside = ((places - centre) ** 2).sum(axis=1) <= radius**2
            rois[f"hcp180_r_{side}.{hemisphere}_{area}_ROI"] = inside
    return ijk, rois


def _where(
    areas: Mapping[str, object], ijk: NDArray[np.int32], radius: float, displacement: Floats
) -> dict[str, NDArray[np.intp]]:
    """The voxels of each area in a person whose areas are displaced; a voxel belongs to the first that has it."""
    places = ijk @ _AFFINE[:3, :3].T + _AFFINE[:3, 3]
    free = np.ones(len(ijk), bool)
    found = {}
    for area in areas:
        inside = np.zeros(len(ijk), bool)
        for centre in _centres(area):
            inside |= ((places - centre - displacement) ** 2).sum(axis=1) <= radius**2
        found[area] = np.flatnonzero(inside & free)
        free &= ~inside
    return found


def _weights(rng: np.random.Generator, n_features: int, n_voxels: int) -> Floats:
    """Half of the variance is common to all voxels."""
    one = rng.normal(size=(n_features, 1)) + rng.normal(size=(n_features, n_voxels))
    weights: Floats = one / np.sqrt(2)
    return weights


def _trials(ids: NDArray[np.str_], n_runs: int, repeats: int, rng: np.random.Generator) -> pd.DataFrame:
    """Each stimulus in one run, shown there as often as asked, in an order of the person's own."""
    parts = np.array_split(rng.permutation(ids), n_runs)
    runs = [np.concatenate([rng.permutation(part) for _ in range(repeats)]).tolist() for part in parts]
    run = np.repeat(np.arange(1, n_runs + 1), [len(shown) for shown in runs])
    return pd.DataFrame({"stimulus": [i for shown in runs for i in shown], "run": run, "session": 1})


def _noise(run: NDArray[np.int64], n_voxels: int, autocorrelation: float, rng: np.random.Generator) -> Floats:
    """Stationary AR(1) of unit variance within each run."""
    noise: Floats = rng.normal(size=(len(run), n_voxels))
    for t in range(1, len(run)):
        if run[t] == run[t - 1]:
            noise[t] = autocorrelation * noise[t - 1] + np.sqrt(1 - autocorrelation**2) * noise[t]
    return noise
