"""The folders of fMRIPrep in: which runs there are, and the files that belong to each."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._files import read_json
from affectome._tables import cut_short, read_table
from affectome.errors import InputError
from affectome.neural.recordings._events import read_events
from affectome.neural.recordings._recording import Recording, SurfaceMesh, VolumeGrid
from affectome.neural.recordings._surfaces import read_hemispheres, surface_mesh
from affectome.neural.recordings._timed_runs import CutOff, TimedRun, agreed_tr, check_estimate, timed_recording
from affectome.neural.recordings._trial_estimates import EstimateOptions, Method
from affectome.neural.recordings._volumes import open_image, read_series, repetition_time, volume_grid

__all__ = ["CONFOUND_SETS", "read_bids"]

_ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")
#: What a derivative adds to the name of the raw run that it came from.
_DERIVED = ("space", "cohort", "res", "den", "hemi", "desc")
_MOTION = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")
#: Names for columns of fMRIPrep's table; a star stands for a number, and there may be none of such columns.
CONFOUND_SETS: dict[str, tuple[str, ...]] = {
    "motion": _MOTION,
    "motion24": tuple(
        f"{name}{of}" for name in _MOTION for of in ("", "_derivative1", "_power2", "_derivative1_power2")
    ),
    "csf_wm": ("csf", "white_matter"),
    "acompcor": tuple(f"a_comp_cor_{number:02d}" for number in range(5)),
    "cosine": ("cosine*",),
    "scrubbing": ("motion_outlier*",),
    "non_steady_state": ("non_steady_state_outlier*",),
}


def read_bids(
    derivatives: str | os.PathLike[str],
    *,
    subject: str,
    task: str | None = None,
    session: str | Sequence[str] | None = None,
    space: str | None = "MNI152NLin2009cAsym",
    resolution: str | None = None,
    confounds: str | Sequence[str] = (),
    estimate: Method = "window",
    raw: str | os.PathLike[str] | None = None,
    tr: float | None = None,
    label_column: str = "trial_type",
    ignore: Collection[str] = (),
    cut_off: CutOff = "refuse",
    **options: Unpack[EstimateOptions],
) -> Recording:
    """Read the runs of one person that fMRIPrep has prepared.

    Parameters
    ----------
    derivatives
        Folder of fMRIPrep with the folders ``sub-..``.
    subject
        ``"01"`` or ``"sub-01"``.
    task
        Needed where the person did several.
    session
        Labels of the sessions to read; None: all.
    space
        ``"MNI152NLin2009cAsym"``, ``"T1w"`` and so on: volumes. ``"fsaverage5"``, ``"fsnative"``, ``"fsLR"``: the
        pair of surface files. None: volumes in the space of the scanner, whose names have none.
    resolution
        ``res`` (volumes) or ``den`` (surfaces) of the names; needed where a run is there in several.
    confounds
        Columns of fMRIPrep's confounds, and names of sets of them, see :data:`CONFOUND_SETS`: ``"motion"`` (6),
        ``"motion24"``, ``"csf_wm"``, ``"acompcor"`` (first 5), ``"cosine"``, ``"scrubbing"``,
        ``"non_steady_state"``. Empty cells in the first rows, as of derivatives, become 0.
    estimate, label_column, ignore, cut_off, **options
        See :func:`read_nifti`. `slice_time_ref` is what the sidecar says (``StartTime`` / TR) unless given.
    raw
        Dataset with the events; None: the nearest folder above `derivatives` that is a BIDS dataset. An events
        file at the top that fits all runs of the task counts, as BIDS has it.

    tr
        Seconds from one volume to the next, where neither sidecar nor header says it; what they say must agree.

    Returns
    -------
    Recording
        Runs are numbered over all sessions, in the order of session, task and run; ``run_in_session`` and ``task``
        are columns. A session has the number of its label, or of its place where labels are no numbers. Voxels lie
        in the brain mask of every run; the log says how many some run lacks.

    Raises
    ------
    InputError
        Where nothing fits (the message says what is there), or a run lacks its events, mask, confounds or other
        hemisphere.

    Notes
    -----
    TR is what the sidecar says (of the derivative, else of the raw run); the header, where it can be believed, must
    agree.

    Examples
    --------
    ::

        read_bids(
            "ds005191/derivatives/fmriprep", subject="01", resolution="2", label_column="stim_file",
            confounds=["motion", "cosine"], estimate="lss",
        )
    """
    check_estimate(estimate, cut_off, options, of=Method)
    folder, label = Path(derivatives), subject.removeprefix("sub-")
    surface = space is not None and space.startswith("fs")
    wanted = [session] if isinstance(session, str) else session
    chosen = _chosen_runs(
        _found_runs(folder, label, surface=surface),
        folder / f"sub-{label}",
        task=task,
        sessions=None if wanted is None else [name.removeprefix("ses-") for name in wanted],
        space=space,
        resolution=resolution,
        size="den" if surface else "res",
    )
    dataset = _raw_dataset(folder) if raw is None else Path(raw)
    asked = [confounds] if isinstance(confounds, str) else confounds
    belongs = [
        (read_events(_events_file(run, dataset), label_column=label_column, ignore=ignore), _confounds(run, asked))
        for run in chosen
    ]
    facts = [_facts(run, dataset, tr) for run in chosen]
    sources, geometry = (_surface_sources if surface else _volume_sources)(chosen, facts, space, f"sub-{label}")
    runs = [
        TimedRun(
            name=run.path.name,
            read=source.read,
            events=events,
            tr=source.tr,
            confounds=series,
            session=session_number,
            slice_time_ref=fact.slice_time_ref,
            said={"run_in_session": number, "task": run.entities["task"]},
        )
        for run, source, fact, (events, series), (session_number, number) in zip(
            chosen, sources, facts, belongs, _numbers(chosen), strict=True
        )
    ]
    source_name = os.fspath(folder / f"sub-{label}")
    return timed_recording(
        runs, geometry, subject=f"sub-{label}", source=source_name, method=estimate, cut_off=cut_off, options=options
    )


@dataclass(frozen=True, eq=False)
class _Run:
    """A prepared series and what its name says."""

    path: Path
    entities: dict[str, str]

    def raw_name(self, *without: str) -> str:
        """Name of the raw run, without suffix: entities that no derivative adds, in their order."""
        kept = [f"{key}-{value}" for key, value in self.entities.items() if key not in (*_DERIVED, *without)]
        return "_".join(kept)

    def beside(self, suffix: str, *, ends: str, **entities: str | None) -> Path:
        """File in the same folder whose name has these entities changed (None: absent) and this suffix."""
        changed = {**self.entities, **entities}
        parts = [f"{key}-{value}" for key, value in changed.items() if value is not None]
        return self.path.with_name("_".join([*parts, suffix]) + ends)


@dataclass(frozen=True)
class _Facts:
    """What the sidecars say of a run."""

    tr: float | None
    slice_time_ref: float | None


class _Source(NamedTuple):
    """How the series of a run is read, and its seconds from volume to volume."""

    read: Callable[[], NDArray[np.float32]]
    tr: float


def _entities(name: str) -> tuple[dict[str, str], str] | None:
    """Entities of a file name and what follows them (``"bold.nii.gz"``); None where it is no BIDS name."""
    *parts, rest = name.split("_")
    matches = [_ENTITY.fullmatch(part) for part in parts]
    if not parts or any(match is None for match in matches):
        return None
    return {match[1]: match[2] for match in matches if match is not None}, rest


def _found_runs(folder: Path, subject: str, *, surface: bool) -> list[_Run]:
    """Every prepared series of a person; of surfaces, the left ones."""
    place = folder / f"sub-{subject}"
    if not place.is_dir():
        there = sorted(path.name for path in folder.glob("sub-*") if path.is_dir())
        what = f"it holds {cut_short(there)}" if there else "it holds no folder sub-.., so it may not be fMRIPrep's"
        raise InputError(f"there is no sub-{subject}; {what}", source=folder, remedy="choose another subject or folder")
    found = []
    for path in sorted([*place.glob("func/*_bold.*"), *place.glob("ses-*/func/*_bold.*")]):
        named = _entities(path.name)
        if named is None or "task" not in named[0]:
            continue
        entities, rest = named
        volume = rest in ("bold.nii.gz", "bold.nii") and entities.get("desc") == "preproc"
        left = rest in ("bold.func.gii", "bold.func.gii.gz") and entities.get("hemi") == "L"
        if left if surface else volume:
            found.append(_Run(path, entities))
    if not found:
        what = "surface series (_hemi-L_.._bold.func.gii)" if surface else "series (_desc-preproc_bold.nii.gz)"
        raise InputError(f"there are no {what}", source=place, remedy="check the folder and the space asked for")
    return found


def _chosen_runs(
    found: list[_Run],
    place: Path,
    *,
    task: str | None,
    sessions: Sequence[str] | None,
    space: str | None,
    resolution: str | None,
    size: str,
) -> list[_Run]:
    """Runs that fit what was asked for, each once, by session, task and run."""

    def there(key: str) -> str:
        return cut_short(sorted({run.entities.get(key, "(none)") for run in found}), 12)

    asked = {key: value for key, value in {"task": task, size: resolution}.items() if value is not None}
    chosen = [
        run
        for run in found
        if run.entities.get("space") == space
        and all(run.entities.get(key) == value for key, value in asked.items())
        and (sessions is None or run.entities.get("ses") in sessions)
    ]
    if not chosen:
        wanted = [f"space {space or '(none)'}", *(f"{key} {value}" for key, value in asked.items())]
        wanted += [] if sessions is None else [f"session {cut_short(list(sessions))}"]
        raise InputError(
            f"no run has {', '.join(wanted)}; there are the spaces {there('space')}, the tasks {there('task')}, "
            f"the sessions {there('ses')}, {size} {there(size)}",
            source=place,
            remedy="ask for what is there",
        )
    tasks = sorted({run.entities["task"] for run in chosen})
    if len(tasks) > 1:
        raise InputError(f"there are {len(tasks)} tasks, {cut_short(tasks)}", source=place, remedy="name one")
    twice = [name for name, count in Counter(run.raw_name() for run in chosen).items() if count > 1]
    if twice:
        raise InputError(
            f"{twice[0]} is there in several forms, {size} {there(size)}", source=place, remedy="name the resolution"
        )
    return sorted(chosen, key=lambda run: (_natural(run.entities.get("ses", "")), _natural(run.raw_name())))


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key under which 10 follows 9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)]


def _numbers(runs: Sequence[_Run]) -> list[tuple[int, int]]:
    """Number of the session of each run, and of the run within it."""
    labels = [run.entities.get("ses", "1") for run in runs]
    distinct = list(dict.fromkeys(labels))
    as_said = all(label.isdigit() for label in distinct) and len({int(label) for label in distinct}) == len(distinct)
    session = {label: int(label) if as_said else place for place, label in enumerate(distinct, start=1)}
    said = [run.entities.get("run", "") for run in runs]
    by_name = all(number.isdigit() for number in said) and len(set(zip(labels, said, strict=True))) == len(runs)
    placed: Counter[str] = Counter()
    numbers = []
    for label, number in zip(labels, said, strict=True):
        placed[label] += 1
        numbers.append((session[label], int(number) if by_name else placed[label]))
    return numbers


def _raw_dataset(folder: Path) -> Path:
    """The dataset that the derivatives stand in."""
    for above in list(folder.resolve().parents)[:2]:
        if (above / "dataset_description.json").is_file():
            return above
    raise InputError(
        "stands in no BIDS dataset (no dataset_description.json one or two folders above), so the events are unknown",
        source=folder,
        remedy="give raw, the folder of the dataset",
    )


def _inherited(run: _Run, dataset: Path, suffix: str) -> list[Path]:
    """Places where a file of a raw run may stand, nearest first."""
    subject, session = f"sub-{run.entities['sub']}", run.entities.get("ses")
    person = dataset / subject
    within = person / f"ses-{session}" if session else person
    names = [run.raw_name(), run.raw_name("run")]
    return [
        *(within / "func" / f"{name}_{suffix}" for name in names),
        *(within / f"{name}_{suffix}" for name in names),
        *(dataset / f"{run.raw_name('sub', 'ses', *without)}_{suffix}" for without in ((), ("run",))),
    ]


def _events_file(run: _Run, dataset: Path) -> Path:
    places = _inherited(run, dataset, "events.tsv")
    for path in places:
        if path.is_file():
            return path
    raise InputError(
        f"has no events ({places[0].name} is neither in {places[0].parent} nor above it)",
        source=run.path,
        remedy="add the file, give raw, or choose sessions and a task that have them",
    )


def _facts(run: _Run, dataset: Path, given: float | None) -> _Facts:
    """TR and moment of a volume, by the sidecar of the derivative or else of the raw run."""
    own = run.path.with_name(run.path.name.split(".")[0] + ".json")
    said: dict[str, float] = {}
    for path in (own, *_inherited(run, dataset, "bold.json")):
        if path.is_file():
            content = read_json(path)
            for key in ("RepetitionTime", "StartTime"):
                value = content.get(key)
                if isinstance(value, (int, float)) and key not in said:
                    said[key] = float(value)
    tr, start = said.get("RepetitionTime"), said.get("StartTime")
    if tr is not None and not tr > 0:
        raise InputError(f"says a RepetitionTime of {tr:g}", source=own, remedy="correct it")
    if tr is not None and given is not None and abs(tr - given) > 1e-3 * tr:
        raise InputError(f"says a RepetitionTime of {tr:g} s, and tr is {given:g}", source=own, remedy="leave tr out")
    tr = given if tr is None else tr
    share = start / tr if start is not None and tr is not None else None
    return _Facts(tr, share if share is not None and 0 <= share <= 1 else None)


def _confounds(run: _Run, asked: Sequence[str]) -> pd.DataFrame | None:
    """Columns asked for, empty cells of the first rows filled with 0."""
    if not asked:
        return None
    absent = dict.fromkeys(("space", "cohort", "res", "den", "hemi"))
    path = run.beside("timeseries", ends=".tsv", **{**absent, "desc": "confounds"})
    if not path.is_file():
        raise InputError(f"has no confounds ({path.name} is missing)", source=run.path, remedy="add the file")
    table = read_table(path, text_columns=())
    names: list[str] = []
    for name in asked:
        for column in CONFOUND_SETS.get(name, (name,)):
            if column.endswith("*"):
                names += [there for there in table.columns if re.fullmatch(re.escape(column[:-1]) + r"\d+", there)]
            elif column in table.columns:
                names.append(column)
            else:
                raise InputError(
                    f"has no column '{column}'",
                    source=path,
                    remedy=f"choose columns that are there ({cut_short(table.columns, 12)}) or the sets "
                    f"{', '.join(CONFOUND_SETS)}",
                )
    values: pd.DataFrame = table[list(dict.fromkeys(names))].apply(pd.to_numeric, errors="coerce")
    begun = values.notna().cummax()
    return values.where(begun, 0.0)


def _volume_sources(
    runs: Sequence[_Run], facts: Sequence[_Facts], space: str | None, subject: str
) -> tuple[list[_Source], VolumeGrid]:
    """How the volumes of each run are read in the voxels of all masks."""
    images = [open_image(run.path) for run in runs]
    masks = []
    for run in runs:
        mask = run.beside("mask", ends=".nii.gz" if run.path.suffix == ".gz" else ".nii", desc="brain")
        if not mask.is_file():
            raise InputError(f"has no brain mask ({mask.name} is missing)", source=run.path, remedy="add the file")
        masks.append(mask)
    grid = volume_grid(images, masks, space=space, name=subject)
    sources = [
        _Source(partial(read_series, image, grid.ijk), repetition_time(image, fact.tr))
        for image, fact in zip(images, facts, strict=True)
    ]
    return sources, grid


def _surface_sources(
    runs: Sequence[_Run], facts: Sequence[_Facts], space: str | None, subject: str
) -> tuple[list[_Source], SurfaceMesh]:
    """How the two hemispheres of each run are read."""
    pairs = []
    for run in runs:
        right = run.path.with_name(run.path.name.replace("_hemi-L_", "_hemi-R_"))
        if not right.is_file():
            raise InputError(f"has no right hemisphere ({right.name} is missing)", source=run.path, remedy="add it")
        pairs.append((run.path, right))
    mesh, said = surface_mesh(*pairs[0], space=space)
    sources = []
    for (left, right), fact in zip(pairs, facts, strict=True):
        tr = agreed_tr(said, fact.tr, os.fspath(left))
        sources.append(_Source(partial(read_hemispheres, left, right, mesh.mesh_sizes, tr), tr))
    return sources, mesh
