"""What a model is told: versioned Jinja templates, rendered once, with gaps where the stimuli go."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from affectome._files import unreadable
from affectome.errors import InputError

__all__ = ["PROMPTS", "Prompt", "Turn", "load_prompt"]

#: A turn of the user: text, and the slot (0, 1, 2) whose stimulus stands between two texts.
Turn = tuple[str | int, ...]

#: Templates that come with affectome.
PROMPTS = ("choice", "paper-captions", "paper-video")
_GAP = re.compile("\ue000([012])\ue000")
_VERSION = re.compile(r"^\s*\{#.*?\bversion\s+(\S+)\s*#\}", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Prompt:
    """What is said to a model, apart from the stimuli.

    Attributes
    ----------
    name, version : str
    source : str
        The template itself, which a journal keeps.
    labels : three str
        What the slots are called.
    system : str
        The system message; empty for none.
    turns : tuple of Turn
        What the user says; the model answers each turn, and its last answer names the odd one.
    clarify : str
        What is said after an answer that names no slot, or several.
    """

    name: str
    version: str
    source: str
    labels: tuple[str, str, str]
    system: str
    turns: tuple[Turn, ...]
    clarify: str

    def describe(self) -> Mapping[str, Any]:
        """Name, version, labels and wording, as JSON values."""
        digest = hashlib.sha256(self.source.encode()).hexdigest()
        return {
            "name": self.name,
            "version": self.version,
            "labels": list(self.labels),
            "sha256": digest,
            "source": self.source,
        }


def load_prompt(name: str, labels: Sequence[str] = ("A", "B", "C"), *, noun: str = "video") -> Prompt:
    """Render a template that comes with affectome, or one of the user's (a path that ends in ``.j2``).

    A template has the blocks ``system`` (may be missing), ``turn1``, ``turn2`` ... and ``clarify``. It is given
    ``labels`` (three texts), ``noun`` (what a stimulus is called) and ``stimuli`` (three gaps, in the order shown).

    Raises
    ------
    InputError
        When there is no such template, it cannot be rendered, or a stimulus is shown never or twice in its turns.
    """
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # a template may come with a judge file of someone else

    names = tuple(str(label).strip() for label in labels)
    if len(names) != 3 or len({label.casefold() for label in names}) != 3 or not all(names):
        raise InputError(f"the labels {list(labels)} are not three different texts", remedy="give one per slot")
    source, version = _read(name)
    try:
        template = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True).from_string(source)
        gaps = [f"\ue000{slot}\ue000" for slot in range(3)]
        context = template.new_context({"labels": names, "noun": noun, "stimuli": gaps})
        blocks = {block: "".join(render(context)).strip() for block, render in template.blocks.items()}
    except Exception as error:  # jinja2's own, and whatever its expressions raise: 1 / 0
        raise InputError(f"cannot be rendered ({error})", source=name, remedy="correct the template") from error
    said = sorted((block for block in blocks if re.fullmatch(r"turn[1-9]", block)), key=lambda block: block)
    if said != [f"turn{k + 1}" for k in range(len(said))] or not said or "clarify" not in blocks:
        raise InputError(
            "lacks one of its blocks", source=name, remedy="give it the blocks turn1 (turn2 ...) and clarify"
        )
    turns = tuple(_split(blocks[block]) for block in said)
    shown = sorted(part for turn in turns for part in turn if isinstance(part, int))
    if shown != [0, 1, 2]:
        raise InputError(
            "does not show each of the three stimuli once",
            source=name,
            remedy="use stimuli[0], stimuli[1] and stimuli[2] once each in its turns",
        )
    stem = name if name in PROMPTS else Path(name).stem
    return Prompt(
        stem, version, source, (names[0], names[1], names[2]), blocks.get("system", ""), turns, blocks["clarify"]
    )


def _read(name: str) -> tuple[str, str]:
    """Text and version of a template."""
    if name in PROMPTS:
        source = (files("affectome.judges") / "prompts" / f"{name}.j2").read_text(encoding="utf-8")
    elif name.endswith(".j2"):
        try:
            source = Path(name).expanduser().read_text(encoding="utf-8-sig")
        except OSError as error:
            raise unreadable(name, error) from error
        except UnicodeDecodeError as error:
            raise InputError("is not UTF-8 text", source=name, remedy="save it as UTF-8") from error
    else:
        raise InputError(
            f"there is no prompt '{name}'", remedy=f"choose one of {', '.join(PROMPTS)}, or give a file ending in .j2"
        )
    stated = _VERSION.match(source)
    return source, stated[1] if stated else "unstated"


def _split(text: str) -> Turn:
    """Text with gaps as (text, slot, text, ...); empty texts are left out."""
    parts = [int(part) if number % 2 else part for number, part in enumerate(_GAP.split(text))]
    return tuple(part for part in parts if part != "")
