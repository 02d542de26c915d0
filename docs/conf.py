"""How Sphinx makes the site (``make docs``): MyST Markdown, API pages from the docstrings, warnings as errors."""

import re
import textwrap
from types import FunctionType, ModuleType
from typing import Any

from sphinx.application import Sphinx

import affectome

project = "affectome"
author = copyright = "The affectome developers"
version = release = affectome.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"affectome {release}"

autosummary_generate = False  # every name has its entry on the page of its room, below the tables
autodoc_typehints = "none"  # the docstrings say more: shapes, units, ranges
autodoc_member_order = "groupwise"
autodoc_default_options = {  # which scikit-learn gives to every estimator
    "exclude-members": ",".join(
        f"set_{method}_request" for method in ("fit", "partial_fit", "predict", "predict_proba", "score")
    )
}
numpydoc_show_class_members = False
default_role = "py:obj"  # `Recording` in a docstring leads to its entry, where there is one

MARKUP = re.compile(r"\||(?<=[^\W_])_(?![\w`])|(?<=\S )\*+(?= )")


def write_tables(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Put tables of a room's public names below what its docstring says: by part of the room, constants last."""
    if what != "module":
        return
    parts: dict[str, list[str]] = {}
    constants: list[str] = []
    for public in sorted(obj.__all__, key=str.lower):
        member = getattr(obj, public)
        if isinstance(member, type | FunctionType):
            part = member.__module__.removeprefix(name).split("._")[0].removeprefix(".")
            parts.setdefault(part, []).append(public)
        elif not isinstance(member, ModuleType) and public != "__version__":
            value = textwrap.shorten(repr(member), 80, placeholder=" …")
            constants += ["", f".. py:data:: {public}", f"   :value: {value}"]
    for part, publics in sorted(parts.items()):
        home = f"{part}." if name == "affectome" and part else ""
        lines += ["", f"**{part}**" if part and len(parts) > 1 else "", "", ".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   ~{home}{public}" for public in publics]
    if name == "affectome":  # what has no room has its entry here
        lines += ["", *(f".. autofunction:: {public}" for public in parts.get("", []))]
    lines += constants


def write_plainly(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep ``|r|``, ``n_iter_`` and ``** below .01`` what they are; reStructuredText would take them for markup."""
    in_example = False
    for number, line in enumerate(lines):
        in_example = bool(line.strip()) and (in_example or line.lstrip().startswith(">>>"))
        if not in_example:
            pieces = re.split(r"(``.*?``|`[^`]*`_*)", line)
            pieces[::2] = [MARKUP.sub(r"\\\g<0>", text) for text in pieces[::2]]
            lines[number] = "".join(pieces)


def setup(app: Sphinx) -> None:
    """Have docstrings made plain before numpydoc reads them, and the tables put in after it."""
    app.connect("autodoc-process-docstring", write_plainly, priority=100)
    app.connect("autodoc-process-docstring", write_tables, priority=900)
