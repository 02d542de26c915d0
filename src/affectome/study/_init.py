"""A study file to begin with, and the schema that editors check it by."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from affectome._files import atomic_path, make_folder
from affectome.errors import InputError

__all__ = ["init_study", "study_json_schema"]

_SCHEMA = "study.schema.json"


def init_study(folder: str | os.PathLike[str], *, name: str | None = None) -> Path:
    """Write a commented ``study.toml`` into a folder, and beside it the schema that editors know its keys by.

    Parameters
    ----------
    folder
        Made where it is not there.
    name
        Title of the study; by default made of the folder's name.

    Returns
    -------
    Path of the study file.

    Raises
    ------
    InputError
        When there is a study in the folder already.

    Examples
    --------
    >>> import tempfile
    >>> init_study(tempfile.mkdtemp(), name="Emotional videos").name
    'study.toml'
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise InputError("is a file, not a folder", source=place, remedy="choose another name")
    target = place / "study.toml"
    if target.exists():
        raise InputError("is there already", source=target, remedy="edit it, or choose another folder")
    title = name or place.resolve().name.replace("-", " ").replace("_", " ").capitalize()
    text = files("affectome.study").joinpath("study_template.toml").read_text("utf-8")
    make_folder(place)
    written = {
        place / _SCHEMA: json.dumps(study_json_schema(), indent=2) + "\n",
        target: text.replace('"NAME"', json.dumps(title, ensure_ascii=False)),
    }
    for path, content in written.items():
        with atomic_path(path) as temporary:
            temporary.write_text(content, "utf-8")
    return target


def study_json_schema() -> dict[str, Any]:
    """The schema of ``study.toml`` as JSON Schema: every table and key with its type, default and meaning.

    Examples
    --------
    >>> schema = study_json_schema()
    >>> schema["$defs"]["Embedding"]["properties"]["components"]["description"]
    'Components at the start.'
    """
    from affectome.study._schema import Study

    schema = Study.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "study.toml"}
