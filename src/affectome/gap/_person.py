"""How well spaces predict one person: by encoding and geometry, at full and equal size, and under other choices."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome.errors import InputError
from affectome.gap._sizes import cut_space, principal_scores
from affectome.neural import Recording
from affectome.neural.searchlight import Searchlight, model_geometry, parcel_neighbourhoods, searchlight

__all__ = ["SPECIFICATIONS", "PersonScores", "compare_geometries", "score_person"]

logger = logging.getLogger(__name__)

Pairs = Sequence[tuple[str, str]]
Units = Literal["stimulus", "run"]

#: What could reasonably have been chosen otherwise in a comparison of geometries.
SPECIFICATIONS: dict[str, tuple[str, ...]] = {
    "metric": ("correlation", "cosine", "euclidean"),
    "statistic": ("pearson", "spearman"),
    "within_run": ("exclude", "include"),
    "brain_metric": ("correlation", "cosine"),
    "size": ("full", "matched"),
}
#: All voxels, beside the regions of a recording.
ALL = "all"
_DIFFERENCE = ["first", "second", "difference", "se", "low", "high", "p"]
_SCORE = ["space", "n_voxels", "r", "se", "low", "high"]


@dataclass(frozen=True, eq=False)
class PersonScores:
    """Every space in every place of one person, and pairs of spaces against each other.

    Attributes
    ----------
    scores : DataFrame
        ``measure`` (``"encoding"``: mean over voxels of the pooled held-out r; ``"rsa"``: correlation of geometries;
        ``"rsa_beyond_controls"``: the same with the controls held constant), ``where`` (``"all"`` voxels, or a
        region), ``size`` (``"full"``, ``"matched"``), ``space``, ``n_voxels``, ``r``, ``se``, ``low``, ``high``.
    differences : DataFrame
        The same labels, ``first``, ``second``, ``difference``, ``se``, ``low``, ``high``, ``p`` (two-sided) and
        ``df`` (degrees of freedom of p and interval). Of encoding: of correlations within folds.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame


def score_person(
    recording: Recording,
    spaces: Mapping[str, pd.DataFrame],
    *,
    pairs: Pairs,
    n_components: int,
    controls: Mapping[str, pd.DataFrame] | None = None,
    controlled_pairs: Pairs = (),
    encoding: Mapping[str, Any] | None = None,
    geometry: Mapping[str, Any] | None = None,
    level: float = 0.95,
    progress: Progress = silent,
) -> PersonScores:
    """Hold every space against one person, as it is and cut to the same number of principal components.

    Parameters
    ----------
    recording : Recording
        Its regions are the places, beside all voxels: nobody chooses voxels by what predicts them.
    spaces : mapping from name to DataFrame
        Over stimuli that the recording shows.
    pairs
        Spaces to compare, the first minus the second.
    n_components
        Principal components of the cut spaces: :func:`cut_space` for geometries, :func:`principal_scores` for encoding.
    controls : mapping from name to DataFrame
        Held constant in ``rsa_beyond_controls`` (spaces as they are; Pearson).
    controlled_pairs
        Further pairs, compared beyond the controls alone.
    encoding, geometry
        Further arguments of :func:`affectome.neural.encode` and
        :func:`affectome.neural.searchlight.searchlight`.
    level
        Coverage of the intervals.
    progress
        Told after every space, or pass.

    Returns
    -------
    PersonScores

    Notes
    -----
    Intervals and p are those of :func:`affectome.neural.region_scores` and
    :func:`affectome.neural.compare_encodings` (over runs) and of the searchlight (over stimuli, or runs).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k:02d}" for k in range(60)]
    >>> a, b = (pd.DataFrame(rng.normal(size=(60, 3)), index=ids) for _ in "ab")
    >>> responses = (a.to_numpy() @ rng.normal(size=(3, 12)) + rng.normal(size=(60, 12))).astype(np.float32)
    >>> trials = pd.DataFrame({"stimulus": ids, "run": np.arange(60) // 10, "session": 1})
    >>> found = score_person(Recording("sub-01", responses, trials), {"a": a, "b": b}, pairs=[("a", "b")],
    ...                      n_components=2, encoding={"alphas": [1.0, 10.0]})
    >>> found.differences[["measure", "size"]].values.tolist()
    [['encoding', 'full'], ['encoding', 'matched'], ['rsa', 'full'], ['rsa', 'matched']]
    >>> bool((found.differences["difference"] > 0).all())
    True
    """
    sizes = {
        "full": dict(spaces),
        "matched": {name: principal_scores(space, n_components) for name, space in spaces.items()},
    }
    places = {ALL: np.ones(recording.n_voxels, bool), **recording.rois}
    scores, differences = [], []
    for size, given in sizes.items():
        of_spaces, of_pairs = _encoded(given, recording, pairs, places, dict(encoding or {}), level, progress)
        scores.append(of_spaces.assign(measure="encoding", size=size))
        differences.append(of_pairs.assign(measure="encoding", size=size))
    settings = dict(geometry or {})
    for size, of_spaces, of_pairs in _compared(spaces, recording, pairs, n_components, places, settings, level):
        scores.append(of_spaces.assign(measure="rsa", size=size))
        differences.append(of_pairs.assign(measure="rsa", size=size))
    if controls:
        both = list(dict.fromkeys([*pairs, *controlled_pairs]))
        of_spaces, of_pairs = _beyond(spaces, controls, recording, both, places, settings, level)
        scores.append(of_spaces.assign(measure="rsa_beyond_controls", size="full"))
        differences.append(of_pairs.assign(measure="rsa_beyond_controls", size="full"))
    labels = ["measure", "where", "size"]
    return PersonScores(
        pd.concat(scores, ignore_index=True)[[*labels, *_SCORE]],
        pd.concat(differences, ignore_index=True)[[*labels, *_DIFFERENCE, "df"]],
    )


def _encoded(
    spaces: Mapping[str, pd.DataFrame],
    recording: Recording,
    pairs: Pairs,
    places: Mapping[str, NDArray[np.bool_]],
    settings: dict[str, Any],
    level: float,
    progress: Progress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    from affectome.neural import compare_encodings, encode, region_scores

    found, scores, differences = {}, [], []
    for done, (name, space) in enumerate(spaces.items()):
        found[name] = encode(space, recording, name=name, **settings)
        scores.append(region_scores(found[name], recording, rois=places, level=level))
        progress(done + 1, len(spaces), detail=f"encoding, {name}")
    for first, second in pairs:
        compared = compare_encodings(found[first], found[second], recording, level=level)
        table = compared.regions.reset_index().assign(first=first, second=second, df=compared.n_runs - 1)
        differences.append(table.rename(columns={"region": "where"})[["where", *_DIFFERENCE, "df"]])
    return pd.concat(scores).rename(columns={"region": "where"})[["where", *_SCORE]], pd.concat(differences)


def _compared(
    spaces: Mapping[str, pd.DataFrame],
    recording: Recording,
    pairs: Pairs,
    n_components: int,
    places: Mapping[str, NDArray[np.bool_]],
    settings: dict[str, Any],
    level: float,
) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Scores and differences of full and of cut spaces, from one pass over the patterns."""
    both = _both_sizes(spaces, n_components)
    metrics = {key: _metric_of(key[0], settings) for key in both}
    others = {name: value for name, value in settings.items() if name != "metric"}
    found = _searched(both, metrics, recording, pairs, places, others, level)
    df = _degrees(found, recording, settings)
    return [(size, _scores_of(found, size), _differences_of(found, size, df)) for size in SPECIFICATIONS["size"]]


def _metric_of(space: str, settings: Mapping[str, Any]) -> str:
    metric = settings.get("metric", "correlation")
    return str(metric if isinstance(metric, str) else metric.get(space, "correlation"))


#: A space and its size, and how a searchlight calls it.
_Sized = dict[tuple[str, str], pd.DataFrame]


def _both_sizes(spaces: Mapping[str, pd.DataFrame], n_components: int) -> _Sized:
    full = {(name, "full"): space for name, space in spaces.items()}
    return full | {(name, "matched"): cut_space(space, n_components) for name, space in spaces.items()}


def _called(name: str, size: str) -> str:
    return f"{size}: {name}"


def _searched(
    spaces: _Sized,
    metrics: Mapping[tuple[str, str], str],
    recording: Recording,
    pairs: Pairs,
    places: Mapping[str, NDArray[np.bool_]],
    settings: Mapping[str, Any],
    level: float,
) -> Searchlight:
    compared = [
        (_called(first, size), _called(second, size))
        for size in SPECIFICATIONS["size"]
        for first, second in pairs
        if (first, size) in spaces and (second, size) in spaces
    ]
    return searchlight(
        recording,
        {_called(*key): space for key, space in spaces.items()},
        parcel_neighbourhoods(places),
        metric={_called(*key): kind for key, kind in metrics.items()},  # type: ignore[misc]
        test="none",
        differences=compared,
        intervals=True,
        level=level,
        **settings,
    )


def _scores_of(found: Searchlight, size: str) -> pd.DataFrame:
    table = _of_size(found.table(), ("space",), size)
    return table.rename(columns={"parcel": "where"})[["where", *_SCORE]]


def _differences_of(found: Searchlight, size: str, df: int) -> pd.DataFrame:
    table = _of_size(found.difference_table(), ("first", "second"), size)
    table = table.rename(columns={"parcel": "where"}).assign(df=df)
    return table[["where", *_DIFFERENCE, "df"]]


def _of_size(table: pd.DataFrame, columns: tuple[str, ...], size: str) -> pd.DataFrame:
    """The rows of one size, under the names that the spaces were given."""
    prefix = _called("", size)
    kept = table[table[columns[0]].str.startswith(prefix)]
    return kept.assign(**{name: kept[name].str.removeprefix(prefix) for name in columns})


def _degrees(found: Searchlight, recording: Recording, settings: Mapping[str, Any]) -> int:
    """Of p and intervals: one less than the units that were taken as independent."""
    by_run = settings.get("units", "stimulus") == "run"
    return (int(recording.trials["run"].nunique()) if by_run else found.n_stimuli) - 1


def _beyond(
    spaces: Mapping[str, pd.DataFrame],
    controls: Mapping[str, pd.DataFrame],
    recording: Recording,
    pairs: Pairs,
    places: Mapping[str, NDArray[np.bool_]],
    settings: Mapping[str, Any],
    level: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    named = {**spaces, **controls}
    metrics = {name: _metric_of(name, settings) for name in named}
    how = {name: value for name, value in settings.items() if name not in ("metric", "statistic")}
    found = searchlight(
        recording, named, parcel_neighbourhoods(places), metric=metrics, statistic="pearson", test="none",  # type: ignore[arg-type]
        differences=list(pairs), controls=tuple(controls), level=level, **how,
    )  # fmt: skip
    partial = {f"partial_{name}": name for name in ("r", "se", "low", "high", "p", "difference")}
    scores = found.table().drop(columns=list(partial.values()), errors="ignore").rename(columns=partial)
    differences = found.difference_table().drop(columns=list(partial.values()), errors="ignore")
    differences = differences.rename(columns=partial).rename(columns={"parcel": "where"})
    scores = scores[~scores["space"].isin(list(controls))].rename(columns={"parcel": "where"})
    return scores[["where", *_SCORE]], differences.assign(df=_degrees(found, recording, settings))[
        ["where", *_DIFFERENCE, "df"]
    ]


def compare_geometries(
    recording: Recording,
    spaces: Mapping[str, pd.DataFrame],
    *,
    pairs: Pairs,
    n_components: int,
    where: Mapping[str, NDArray[np.bool_]] | None = None,
    specifications: Mapping[str, Sequence[str]] | None = None,
    units: Units = "stimulus",
    level: float = 0.95,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Compare pairs of spaces in one person under every combination of reasonable choices.

    Parameters
    ----------
    recording, spaces, pairs, n_components, level
        As in :func:`score_person`.
    where : mapping from place to bool array of shape (n_voxels,)
        By default all voxels and the regions of the recording.
    specifications
        What is varied; by default :data:`SPECIFICATIONS`: how similar stimuli are in a space (``metric``), the
        correlation of geometries (``statistic``), pairs of stimuli of one run (``within_run``), how similar patterns
        are (``brain_metric``: ``"correlation"`` centres every pattern, ``"cosine"`` does not), and the ``size`` of
        spaces.
    units
        What is independent: stimuli, or runs.
    progress
        Told after every pass.

    Returns
    -------
    DataFrame, one row per specification, place and pair: the choices, ``where``, ``first``, ``second``,
    ``difference``, ``se``, ``low``, ``high``, ``p``, ``df``. A space that has no geometry under a metric (all stimuli
    equally similar, as under correlation over one feature) has no rows there, and the log says so.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k:02d}" for k in range(40)]
    >>> a, b = (pd.DataFrame(rng.normal(size=(40, 4)), index=ids) for _ in "ab")
    >>> responses = (a.to_numpy() @ rng.normal(size=(4, 12)) + rng.normal(size=(40, 12))).astype(np.float32)
    >>> trials = pd.DataFrame({"stimulus": ids, "run": np.arange(40) // 8, "session": 1})
    >>> few = {"metric": ["correlation", "cosine"], "statistic": ["pearson"], "within_run": ["exclude"],
    ...        "brain_metric": ["correlation"], "size": ["full"]}
    >>> found = compare_geometries(Recording("sub-01", responses, trials), {"a": a, "b": b}, pairs=[("a", "b")],
    ...                            n_components=2, specifications=few)
    >>> found["metric"].tolist(), bool((found["difference"] > 0.2).all())
    (['correlation', 'cosine'], True)
    """
    varied = {**SPECIFICATIONS, **(specifications or {})}
    places = {ALL: np.ones(recording.n_voxels, bool), **recording.rois} if where is None else where
    known = {key: space for key, space in _both_sizes(spaces, n_components).items() if key[1] in varied["size"]}
    others = [name for name in varied if name not in ("metric", "size")]
    passes = list(product(varied["metric"], *(varied[name] for name in others)))
    rows = []
    usable = {metric: _with_geometry(known, metric) for metric in varied["metric"]}
    for done, (metric, *chosen) in enumerate(passes):
        settings = dict(zip(others, chosen, strict=True))
        given = usable[metric]
        if any((a, size) in given and (b, size) in given for size in varied["size"] for a, b in pairs):
            found = _searched(given, dict.fromkeys(given, metric), recording, pairs, places,
                              {**settings, "units": units}, level)  # fmt: skip
            df = _degrees(found, recording, {"units": units})
            rows += [_differences_of(found, size, df).assign(metric=metric, **settings, size=size)
                     for size in varied["size"]]  # fmt: skip
        progress(done + 1, len(passes), detail="specifications")
    columns = [*SPECIFICATIONS, "where", *_DIFFERENCE, "df"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def _with_geometry(spaces: _Sized, metric: str) -> _Sized:
    """Those of the spaces that tell stimuli apart under a metric."""
    kept = {}
    for (name, size), space in spaces.items():
        try:
            model_geometry(space, name=name, metric=metric)  # type: ignore[arg-type]
        except InputError as error:
            logger.warning("There is no specification with the %s of %s: %s", metric, name, error)
        else:
            kept[name, size] = space
    return kept
