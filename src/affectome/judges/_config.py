"""judge.toml: any judge from a file, its keys being the parameters of its class."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, Field, create_model

from affectome._toml import Table, checked, read_toml
from affectome.errors import InputError
from affectome.judges._prices import Prices
from affectome.judges._protocol import Judge
from affectome.spaces import read_space
from affectome.stimuli import StimulusSet, load_mind_captioning, read_captions, read_stimuli

__all__ = ["Captions", "read_judge"]


class Captions(Table):
    """Sentences about the stimuli, beside those of the stimulus table."""

    path: str = Field(description="A table with one row per caption.")
    dataset: Literal["mind-captioning"] | None = Field(default=None, description="The file of this public dataset.")
    id_column: str = Field(default="id", description="Name of the id column.")
    text_column: str = Field(default="caption", description="Name of the caption column.")

    def read(self) -> Mapping[str, tuple[str, ...]]:
        """Captions by id."""
        if self.dataset is not None:
            return load_mind_captioning(self.path)
        return read_captions(self.path, id_column=self.id_column, text_column=self.text_column)


class _Prices(Table):
    """What a provider charges per million tokens."""

    input: float = Field(default=0.0, ge=0)
    output: float = Field(default=0.0, ge=0)
    cached: float | None = Field(default=None, ge=0)


class _Kind(BaseModel):
    """The one key every judge file has."""

    kind: Literal["chat", "local", "features"]


#: Parameters that a file gives in another way.
_GIVEN = {"captions", "videos", "prices", "space"}


def _judge_class(kind: str) -> Any:
    if kind == "chat":
        from affectome.judges._chat import ChatJudge

        return ChatJudge
    if kind == "local":
        from affectome.judges._local import LocalJudge

        return LocalJudge
    from affectome.judges._features import FeatureJudge

    return FeatureJudge


@cache
def _table(kind: str) -> type[Table]:
    """Keys of a judge of this kind: the parameters of its class, and where its stimuli are."""
    judge = _judge_class(kind)
    types = get_type_hints(judge)
    keys: dict[str, Any] = {"kind": (Literal[kind], ...)}
    for parameter in fields(judge):
        if parameter.name in _GIVEN:
            continue
        default: Any = ... if parameter.default is MISSING else parameter.default
        if parameter.default_factory is not MISSING:
            default = Field(default_factory=parameter.default_factory)
        keys[parameter.name] = (types[parameter.name], default)
    if kind == "features":
        keys |= {"space": (str, ...), "id_column": (str, "id")}
    else:
        keys |= {"stimuli": (str | None, None), "id_column": (str, "id"), "captions": (Captions | None, None)}
    if kind == "chat":
        keys["prices"] = (_Prices | None, None)
    made: type[Table] = create_model(f"{judge.__name__}Table", __base__=Table, **keys)
    return made


def read_judge(
    path: str | os.PathLike[str],
    *,
    stimuli: str | os.PathLike[str] | StimulusSet | None = None,
    environment: Mapping[str, str] | None = None,
) -> Judge:
    """Make a judge from a TOML file.

    The key ``kind`` is ``"chat"``, ``"local"`` or ``"features"``; the others are the parameters of
    :class:`ChatJudge`, :class:`LocalJudge` or :class:`FeatureJudge`. ``stimuli`` is a stimulus table or a folder of
    clips, ``[captions]`` a caption table with one row per caption, ``[prices]`` what a provider charges. Relative
    paths start at the folder of the file; ``${NAME}`` takes its value from the environment.

    Parameters
    ----------
    stimuli
        In place of the file's own.

    Raises
    ------
    InputError
        Naming file, key and remedy.
    """
    source = Path(path)
    content = read_toml(source, environment=environment)
    _refuse_key(content, source)
    kind = checked(_Kind, {"kind": content.get("kind")} if "kind" in content else {}, source).kind
    given = checked(_table(kind), content, source)
    settings = {name: getattr(given, name) for name in type(given).model_fields if name != "kind"}
    folder = source.resolve().parent
    for name in ("prompt", "model"):
        settings |= {name: _beside(folder, settings[name])} if settings.get(name) else {}
    try:
        if kind == "features":
            space = read_space(folder / settings.pop("space"), id_column=settings.pop("id_column"))
            made: Judge = _judge_class(kind)(space, **settings)
            return made
        if settings.get("prices") is not None:
            settings["prices"] = Prices(**settings["prices"].model_dump())
        shown = _stimuli(settings, folder, stimuli, source)
        made = _judge_class(kind)(captions=shown.captions, videos=shown.videos, **settings)
    except InputError as error:
        if error.source is None or not Path(error.source).suffix:
            error.source = str(source)
        raise
    return made


def _stimuli(
    settings: dict[str, Any], folder: Path, given: str | os.PathLike[str] | StimulusSet | None, source: Path
) -> StimulusSet:
    """What the judge is shown; takes its keys out of the settings."""
    table, id_column, captions = (settings.pop(name) for name in ("stimuli", "id_column", "captions"))
    texts = None
    if captions is not None:
        texts = captions.model_copy(update={"path": str(folder / Path(captions.path).expanduser())}).read()
    if isinstance(given, StimulusSet):
        shown = given
    elif given is not None or table is not None:
        shown = read_stimuli(given if given is not None else folder / Path(table).expanduser(), id_column=id_column)
    elif texts is not None:
        return StimulusSet(tuple(texts), captions=texts, source=str(source))
    else:
        raise InputError("the judge has no stimuli to show", source=source, remedy="add the key 'stimuli'")
    if texts is None:
        return shown
    return shown.with_captions({name: group for name, group in texts.items() if name in shown.captions})


def _beside(folder: Path, name: str) -> str:
    """A file or folder beside the judge file by its full path; any other name as it is."""
    try:
        there = (folder / Path(name).expanduser()).exists()
    except (OSError, ValueError, RuntimeError):
        there = False
    return str((folder / Path(name).expanduser()).resolve()) if there else name


def _refuse_key(content: Mapping[str, Any], source: Path) -> None:
    """A key written into the file would be copied with it."""
    for name, value in content.items():
        if name == "api_key_env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(value)):
            raise InputError(
                "api_key_env is not the name of an environment variable",
                source=source,
                remedy="put the key into a variable and give its name here",
            )
        if name.replace("-", "_").casefold() in ("api_key", "key", "token", "authorization"):
            raise InputError(
                f"'{name}' would put a secret into a file",
                source=source,
                remedy="put the key into an environment variable and give its name as api_key_env",
            )
