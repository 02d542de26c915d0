"""Loaders for the public data on the 2,185 emotional videos, under one id scheme.

The id of a video is its number in the ratings file of Cowen & Keltner (2017), four digits wide:
``"0001"`` .. ``"2185"`` (its clip is ``0001.mp4``). Horikawa et al. (2020) and MindCaptioning
number *presentations* 1 .. 2196, of which 2186 .. 2196 repeat the clips 1 .. 11.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._files import unreadable
from affectome._tables import cut_short, read_indexed_table, read_table
from affectome.errors import InputError
from affectome.spaces import as_space
from affectome.stimuli._io import read_captions
from affectome.stimuli._set import StimulusSet

logger = logging.getLogger(__name__)

__all__ = [
    "DATASETS",
    "HORIKAWA_DUPLICATES",
    "N_PRESENTATIONS",
    "N_VIDEOS",
    "load_cowen_keltner",
    "load_horikawa_features",
    "load_mind_captioning",
    "video_id",
]

#: Clips in the ratings file.
N_VIDEOS = 2185
#: Presentations in the scanner and in the caption and feature files.
N_PRESENTATIONS = 2196
#: Presentations (1-based) that Horikawa et al. dropped as duplicates; 2,196 - 15 leaves 2,181.
HORIKAWA_DUPLICATES = (1, 4, 5, 6, 7, 8, 11, 859, 866, 1673, 2157, 2187, 2188, 2194, 2195)

_N_CATEGORIES = 34
_N_DIMENSIONS = 14
_FIRST_REPEAT = N_VIDEOS + 1


def video_id(presentation: int) -> str:
    """Id of the clip shown in a presentation (1-based).

    Examples
    --------
    >>> video_id(7), video_id(2186)
    ('0007', '0001')
    """
    if not 1 <= presentation <= N_PRESENTATIONS:
        raise InputError(f"there is no presentation {presentation}", remedy=f"they are numbered 1 to {N_PRESENTATIONS}")
    clip = presentation if presentation <= N_VIDEOS else presentation - N_VIDEOS
    return f"{clip:04d}"


def load_cowen_keltner(path: str | os.PathLike[str]) -> StimulusSet:
    """Load the ratings file of Cowen & Keltner (2017).

    Returns
    -------
    StimulusSet
        With the spaces ``category`` (34 shares of raters, 0..1), ``dimension`` (14 means on a scale
        of 1..9) and ``terms`` (600 free-response terms).

    Raises
    ------
    InputError
        When a column is missing, an id is repeated or a rating is not a number.

    References
    ----------
    Cowen & Keltner (2017). Self-report captures 27 distinct categories of emotion bridged by continuous
    gradients. PNAS 114(38).
    """
    frame = read_indexed_table(path, id_column="Filename", repeated_columns=True)
    if frame.shape[1] < _N_CATEGORIES + _N_DIMENSIONS:
        raise InputError(
            f"has {frame.shape[1]} rating columns, not the {_N_CATEGORIES} categories and {_N_DIMENSIONS} dimensions",
            source=path,
            remedy="download the ratings file again",
        )
    for position, expected in ((0, "Admiration"), (33, "Triumph"), (34, "approach"), (47, "valence")):
        if frame.columns[position] != expected:
            raise InputError(
                f"its rating column {position + 1} is '{frame.columns[position]}', not '{expected}'",
                source=path,
                remedy="keep the columns of the published file in their order",
            )
    frame.index = pd.Index([str(name).rsplit(".", 1)[0] for name in frame.index], name="id")
    scored = as_space(frame, source=path)
    end = _N_CATEGORIES + _N_DIMENSIONS
    spaces = {"category": scored.iloc[:, :_N_CATEGORIES], "dimension": scored.iloc[:, _N_CATEGORIES:end]}
    if scored.shape[1] > end:
        # Three terms (arousal, certainty, dominance) bear the name of a dimension and were read as "arousal.1".
        terms = scored.iloc[:, end:]
        spaces["terms"] = terms.set_axis([name.removesuffix(".1") for name in terms.columns], axis=1)
    return StimulusSet(tuple(scored.index), spaces=spaces, source=Path(path).name)


def load_mind_captioning(
    path: str | os.PathLike[str], *, repeats: Literal["drop", "merge"] = "drop"
) -> Mapping[str, tuple[str, ...]]:
    """Load the captions of MindCaptioning (Horikawa): 20 human sentences per presentation.

    Parameters
    ----------
    path
        ``caption_ck20.csv`` (columns ``video_id, description``; a byte-order mark is ignored).
    repeats
        Presentations 2186..2196 show clips 1..11 again and have captions of their own:
        ``"drop"`` leaves them out (20 captions for every clip), ``"merge"`` adds them (40 for eleven).

    Returns
    -------
    dict from video id to captions.
    """
    if repeats not in ("drop", "merge"):
        raise InputError(f"'{repeats}' is no way to treat repeats", remedy="choose drop or merge")
    captions: dict[str, tuple[str, ...]] = {}
    for name, texts in read_captions(path, id_column="video_id", text_column="description").items():
        number = _presentation(name, path)
        if number >= _FIRST_REPEAT and repeats == "drop":
            continue
        key = video_id(number)
        captions[key] = captions.get(key, ()) + texts
    return captions


def _presentation(text: str, path: str | os.PathLike[str]) -> int:
    if not text.isdigit() or not 1 <= int(text) <= N_PRESENTATIONS:
        raise InputError(
            f"'{text}' is no presentation number",
            source=path,
            remedy=f"presentations are numbered 1 to {N_PRESENTATIONS}",
        )
    return int(text)


def load_horikawa_features(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Load a feature file of Horikawa et al. (2020) as a space over the 2,185 clips.

    Parameters
    ----------
    path
        A ``.mat`` file with the struct ``L`` (``L.feat``, ``L.featname``), such as ``category.mat`` or
        ``categcontinuous.mat``, or ``semantic_features.csv`` (``stimulus_num`` and 73 concepts).

    Returns
    -------
    DataFrame of shape (2185, n_features)
        Presentations 2186..2196 repeat the features of clips 1..11 and are left out; where they
        differ, the log says so. Underscores in names become spaces.
    """
    source = Path(path)
    frame = _read_mat(source) if source.suffix.lower() == ".mat" else _read_semantic(source)
    if len(frame) != N_PRESENTATIONS:
        raise InputError(
            f"has {len(frame)} rows, one for each of {N_PRESENTATIONS} presentations is needed",
            source=source,
            remedy="download the file again",
        )
    space = as_space(frame, source=source)
    first, repeated = space.iloc[: N_PRESENTATIONS - N_VIDEOS].to_numpy(), space.iloc[N_VIDEOS:].to_numpy()
    if not np.array_equal(first, repeated):
        logger.warning("%s gives repeated clips other features the second time; the first ones are kept.", source)
    clips = space.iloc[:N_VIDEOS]
    return clips.set_axis(pd.Index([video_id(int(i)) for i in clips.index], name="id"), axis=0)


def _read_semantic(source: Path) -> pd.DataFrame:
    frame = read_table(source, text_columns=())
    if "stimulus_num" not in frame.columns:
        raise InputError(
            "has no column 'stimulus_num'",
            source=source,
            remedy=f"give the published file (this has {cut_short(frame.columns)})",
        )
    expected = [f"stimulus_{number}" for number in range(1, len(frame) + 1)]
    wrong = np.flatnonzero(frame["stimulus_num"].astype(str).to_numpy() != np.array(expected))
    if len(wrong):
        raise InputError(
            f"the stimulus is '{frame['stimulus_num'].iloc[wrong[0]]}', not '{expected[wrong[0]]}'",
            source=source,
            where=f"row {wrong[0] + 1}",
            remedy="keep the rows of the published file in their order",
        )
    return frame.drop(columns="stimulus_num").set_axis(range(1, len(frame) + 1), axis=0)


def _read_mat(source: Path) -> pd.DataFrame:
    import zlib

    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        with open(source, "rb") as handle:
            content = loadmat(handle, squeeze_me=True, struct_as_record=False)
    except FileNotFoundError as error:
        raise unreadable(source, error) from error
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError, zlib.error) as error:
        raise InputError("is not a whole MATLAB v5 file", source=source, remedy="download it again") from error
    layer = content.get("L")
    if layer is None or not hasattr(layer, "feat") or not hasattr(layer, "featname"):
        raise InputError(
            "has no struct L with feat and featname", source=source, remedy="give a feature file of the release"
        )
    features: NDArray[Any] = np.atleast_2d(layer.feat)
    names = [str(name).replace("_", " ") for name in np.atleast_1d(layer.featname)]
    if features.shape[1] != len(names):
        raise InputError(
            f"names {len(names)} features and holds {features.shape[1]}", source=source, remedy="download it again"
        )
    return pd.DataFrame(features, index=range(1, len(features) + 1), columns=names)


#: Stimulus datasets a study file can name, and how each is loaded.
DATASETS = {"cowen-keltner-2017": load_cowen_keltner}
