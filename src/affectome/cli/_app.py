"""The command groups, put together."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import affectome
from affectome.cli import (
    _behavior,
    _collect,
    _data,
    _demo,
    _embed,
    _embed_convert,
    _embed_reproducibility,
    _embed_select,
    _interpret,
    _neural,
    _neural_reliability,
    _neural_searchlight,
    _predict,
    _stimuli,
    _study,
    _triplets,
    _triplets_export,
)
from affectome.cli._common import INTERRUPTED

__all__ = ["app", "main"]

app = typer.Typer(
    name="affectome",
    help="Map affective geometry: odd-one-out judgements, the space behind them, its meaning, its place in the brain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(_demo.demo)
app.add_typer(_study.group, name="study")
app.add_typer(_data.group, name="data")
app.add_typer(_stimuli.group, name="stimuli")
_triplets.group.command("export")(_triplets_export.export)
app.add_typer(_triplets.group, name="triplets")
app.add_typer(_collect.group, name="collect")
_embed.group.command("convert")(_embed_convert.convert)
_embed.group.command("reproducibility")(_embed_reproducibility.reproducibility)
_embed.group.command("select")(_embed_select.select)
app.add_typer(_embed.group, name="embed")
app.add_typer(_behavior.group, name="behavior")
app.add_typer(_interpret.group, name="interpret")
_neural.group.command("reliability")(_neural_reliability.reliability)
_neural.group.command("searchlight")(_neural_searchlight.searchlight)
app.add_typer(_neural.group, name="neural")
app.add_typer(_predict.group, name="predict")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"affectome {affectome.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Map affective geometry: odd-one-out judgements, the space behind them, its meaning, its place in the brain."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows few letters gets escapes, not a crash
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="affectome")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:  # before a command began, or as it ended
        return INTERRUPTED
    return 0
