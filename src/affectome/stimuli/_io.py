"""Stimuli from a table or a folder of clips."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from affectome._files import write_parquet
from affectome._tables import read_indexed_table, read_table, row_name, write_csv
from affectome.errors import InputError
from affectome.stimuli._set import StimulusSet

__all__ = ["MEDIA_SUFFIXES", "read_captions", "read_stimuli", "write_stimuli"]

#: Files of a stimulus folder that count as clips.
MEDIA_SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif")


def read_stimuli(path: str | os.PathLike[str], *, id_column: str = "id") -> StimulusSet:
    """Read stimuli from a table, or from a folder of clips.

    A table (CSV, TSV, Parquet) has one row per stimulus: the id; ``caption`` or any columns that begin with
    ``caption_`` (empty cells are no caption); ``video``, a path relative to the table. Rating spaces are
    tables of their own, see :meth:`StimulusSet.with_space`.

    A folder gives one stimulus per clip, called by the file's name without its extension; a text
    file of the same name beside it holds captions, one a line.

    Raises
    ------
    InputError
        Naming file, row and remedy.
    """
    source = Path(path)
    return _from_folder(source) if source.is_dir() else _from_table(source, id_column)


def _from_table(source: Path, id_column: str) -> StimulusSet:
    header = read_table(source, text_columns=(id_column,)).columns
    text = [name for name in header if name == "video" or name == "caption" or str(name).startswith("caption_")]
    frame = read_indexed_table(source, id_column=id_column, text_columns=text)
    frame[text] = frame[text].fillna("")
    captions: dict[str, tuple[str, ...]] = {}
    caption_columns = [name for name in text if name != "video"]
    for row in frame[caption_columns].itertuples(name=None):
        captions[row[0]] = tuple(cell.strip() for cell in row[1:] if str(cell).strip())
    videos: dict[str, Path] = {}
    if "video" in frame.columns:
        for number, (name, cell) in enumerate(frame["video"].items()):
            if not str(cell).strip():
                continue
            video = source.parent / str(cell).strip()
            if not video.is_file():
                raise InputError(
                    f"the video '{cell}' does not exist",
                    source=source,
                    where=row_name(frame.index, number),
                    remedy="write its path relative to the table, or leave the cell empty",
                )
            videos[str(name)] = video
    return StimulusSet(tuple(frame.index), captions=captions, videos=videos, source=str(source))


def write_stimuli(path: str | os.PathLike[str], stimuli: StimulusSet) -> None:
    """Write ids and captions as a stimulus table, CSV or Parquet; clips and spaces have files of their own."""
    import pyarrow as pa

    most = max((len(texts) for texts in stimuli.captions.values()), default=0)
    columns = {
        f"caption_{k + 1:0{len(str(most))}d}": [(*stimuli.captions[i], *[""] * most)[k] for i in stimuli.ids]
        for k in range(most)
    }
    frame = pd.DataFrame({"id": list(stimuli.ids), **columns})
    if Path(path).suffix.lower() == ".parquet":
        write_parquet(path, pa.Table.from_pandas(frame, preserve_index=False), {"kind": "stimuli"})
        return
    write_csv(path, frame, index=False)


def _from_folder(folder: Path) -> StimulusSet:
    clips = sorted(path for path in folder.iterdir() if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file())
    if not clips:
        raise InputError(
            "holds no clips",
            source=folder,
            remedy=f"put video files there ({', '.join(MEDIA_SUFFIXES)}) or give a table",
        )
    videos: dict[str, Path] = {}
    captions: dict[str, tuple[str, ...]] = {}
    for clip in clips:
        if clip.stem in videos:
            raise InputError(
                f"the clips '{videos[clip.stem].name}' and '{clip.name}' would share the id '{clip.stem}'",
                source=folder,
                remedy="rename one of them",
            )
        videos[clip.stem] = clip
        text = clip.with_suffix(".txt")
        if text.is_file():
            try:
                lines = text.read_text(encoding="utf-8-sig").splitlines()
            except UnicodeDecodeError as error:
                raise InputError("is not UTF-8 text", source=text, remedy="save it as UTF-8") from error
            captions[clip.stem] = tuple(line.strip() for line in lines if line.strip())
    return StimulusSet(tuple(videos), captions=captions, videos=videos, source=str(folder))


def read_captions(
    path: str | os.PathLike[str], *, id_column: str = "id", text_column: str = "caption"
) -> Mapping[str, tuple[str, ...]]:
    """Read a long caption table, one row per caption; an id may be in many rows.

    Returns
    -------
    dict from id to captions, in the order of the table.
    """
    frame = read_table(path, text_columns=(id_column, text_column))
    for name in (id_column, text_column):
        if name not in frame.columns:
            raise InputError(
                f"has no column '{name}'",
                source=path,
                remedy=f"name the right one (it has {', '.join(map(str, frame.columns))})",
            )
    if frame.empty:
        raise InputError("holds no captions", source=path, remedy="give it one line per caption")
    numbered = frame.reset_index(drop=True)
    for name in (id_column, text_column):
        blank = numbered.index[numbered[name].isna() | (numbered[name].astype(str).str.strip() == "")]
        if len(blank):
            raise InputError(
                f"the {name} is empty", source=path, where=f"row {blank[0] + 1}", remedy="fill it in or delete the row"
            )
    texts: pd.Series[str] = numbered[text_column].str.strip()
    return {str(i): tuple(group) for i, group in texts.groupby(numbered[id_column], sort=False)}
