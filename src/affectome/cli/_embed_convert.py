"""``affectome embed convert``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectome.cli._common import Json, LogFile, Quiet, about, command, listed_ids, print_json, start_logging
from affectome.errors import InputError

if TYPE_CHECKING:
    from affectome.embedding import Weights

logger = logging.getLogger(__name__)

_SPACES = (".parquet", ".csv", ".tsv")


@command
def convert(
    source: Annotated[
        Path, typer.Argument(help="Weights as .txt, .csv, .npy, .npz, .mat or torch checkpoint; or a space.")
    ],
    out: Annotated[Path, typer.Option("--out", help="A space (.parquet, .csv, .tsv) or weights (.txt, .npy, .npz).")],
    ids: Annotated[
        Path | None,
        typer.Option("--ids", help="The stimuli in the order of the file: a table with an id column, or a .txt list."),
    ] = None,
    id_column: Annotated[str, typer.Option("--id-column", help="Name of the id column.")] = "id",
    rows: Annotated[
        str, typer.Option("--rows", help="What a row of the file is: auto, stimuli or components.")
    ] = "auto",
    key: Annotated[str | None, typer.Option("--key", help="Which array of an archive or checkpoint to read.")] = None,
    prune: Annotated[
        float | None,
        typer.Option("--prune", min=0, help="Keep components whose largest weight exceeds this, by falling sum."),
    ] = None,
    clip: Annotated[bool, typer.Option("--clip", help="Set negative weights to 0.")] = False,
    scale: Annotated[
        Path | None,
        typer.Option("--scale", help="Posterior deviations of a space; by default the file that the space names."),
    ] = None,
    scale_out: Annotated[
        Path | None,
        typer.Option("--scale-out", help="File for the deviations; by default inside an .npz, else beside --out."),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Turn weights of a SPoSE or VICE program into a space, or a space into such weights.

    Example: affectome embed convert pruned_params.npz --ids stimuli.csv --out space.parquet

    And back: affectome embed convert space.parquet --out weights.txt

    Of a checkpoint that keeps every component: --prune 0.1. Posterior deviations are kept in a file of their own.
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome.embedding import WEIGHT_OUTPUTS

    for target in (out, scale_out):
        if target is not None:
            check_output(target, (*_SPACES, *WEIGHT_OUTPUTS))
    if scale_out is not None and scale_out.resolve() == out.resolve():
        raise InputError("--out and --scale-out name one file", source=out, remedy="give the deviations another name")
    if _is_space(source):
        if ids is not None or key is not None or rows != "auto":
            raise InputError(
                "is a space, which knows its stimuli", source=source, remedy="leave out --ids, --rows and --key"
            )
        weights, attributes = _from_space(source, scale, id_column)
    else:
        if scale is not None:
            raise InputError("--scale is for a space", source=source, remedy="leave it out")
        weights, attributes = _from_weights(source, ids, id_column, rows, key)
    as_found = weights
    with about(source):
        weights = weights if prune is None else weights.pruned(prune)
        negative = {"n_negative": weights.n_negative, "lowest": weights.lowest}
        weights = weights.clipped() if clip else weights
    written = _write(weights, source, out, scale_out, {**attributes, **negative, "clipped": clip, "pruned_at": prune})
    facts = {
        "n_stimuli": len(weights.ids),
        "n_components": len(weights.names),
        "n_dropped": len(as_found.names) - len(weights.names),
        "array": weights.array or None,
        "transposed": weights.transposed,
        **negative,
        "clipped": clip,
        "scale_out": None if written is None else str(written),
    }
    print(f"{facts['n_stimuli']:,} stimuli × {facts['n_components']:,} components: {out}")
    if not quiet:
        for sentence in _findings(weights, facts, source, out, ids):
            print(sentence)
    if json:
        print_json({"out": str(out), **facts})


def _is_space(source: Path) -> bool:
    """A Parquet file, or a table whose first line is a header and no row of numbers."""
    suffix = source.suffix.lower()
    if suffix not in (".csv", ".tsv"):
        return suffix == ".parquet"
    try:
        with open(source, encoding="utf-8-sig", errors="replace") as handle:
            first = next((line for line in handle if line.strip() and not line.startswith("#")), "")
    except OSError:
        return False  # the reader of weights says what is wrong with it
    try:
        [float(cell) for cell in first.replace(",", " ").split()]
    except ValueError:
        return True
    return False


def _from_space(source: Path, scale: Path | None, id_column: str) -> tuple[Weights, dict[str, Any]]:
    from affectome.embedding import Weights
    from affectome.spaces import read_space

    space = read_space(source, id_column=id_column)
    if scale is None and isinstance(space.attrs.get("scale_file"), str):
        scale = source.with_name(space.attrs["scale_file"])
        if not scale.exists():
            logger.warning("The posterior deviations %s are not beside %s and were left out.", scale.name, source)
            scale = None
    with about(source):
        weights = Weights.from_space(space, None if scale is None else read_space(scale, id_column=id_column))
    return weights, {str(name): value for name, value in space.attrs.items() if name != "scale_file"}


def _from_weights(
    source: Path, ids: Path | None, id_column: str, rows: str, key: str | None
) -> tuple[Weights, dict[str, Any]]:
    from affectome.embedding import read_weights

    known = None if ids is None else _read_ids(ids, id_column)
    with about(source):
        weights = read_weights(source, ids=known, rows=rows, key=key)  # type: ignore[arg-type]
    return weights, {"imported_from": source.name, "array": weights.array, "transposed": weights.transposed}


def _read_ids(path: Path, id_column: str) -> list[str]:
    """Ids of a stimulus table, or the lines of a text file, as THINGS lists its objects."""
    from affectome.stimuli import read_stimuli

    return listed_ids(path) if path.suffix.lower() == ".txt" else list(read_stimuli(path, id_column=id_column).ids)


def _write(
    weights: Weights, source: Path, out: Path, scale_out: Path | None, attributes: dict[str, Any]
) -> Path | None:
    """Write weights and deviations; the file of the latter, None where there are none."""
    from affectome.embedding import write_weights
    from affectome.spaces import write_space

    def put(target: Path, space: Any, *, attached: Any = None, metadata: dict[str, Any] | None = None) -> None:
        if target.suffix.lower() in _SPACES:
            write_space(target, space, metadata)
        else:
            write_weights(target, space, attached)

    space, deviations = weights.to_space(), weights.scale_space()
    if deviations is None:
        if scale_out is not None:
            raise InputError("has no posterior deviations to write", source=source, remedy="leave out --scale-out")
        put(out, space, metadata=attributes)
        return None
    if scale_out is None and out.suffix.lower() == ".npz":
        put(out, space, attached=deviations)
        return out
    beside = out.with_name(f"{out.stem}.scale{out.suffix}") if scale_out is None else scale_out
    put(beside, deviations, metadata={**attributes, "deviations_of": out.name})
    named = {"scale_file": beside.name} if beside.parent.resolve() == out.parent.resolve() else {}
    put(out, space, metadata={**attributes, **named})
    return beside


def _findings(weights: Weights, facts: dict[str, Any], source: Path, out: Path, ids: Path | None) -> list[str]:
    """One sentence for each thing that a user may not expect."""
    said = []
    if weights.array:
        said.append(f"The weights are the array '{weights.array}' of {source}.")
    if weights.transposed:
        said.append("The file has components in its rows; it was turned.")
    if facts["n_dropped"]:
        before = facts["n_dropped"] + facts["n_components"]
        said.append(f"{facts['n_dropped']:,} of {before:,} components have no weight above --prune and were dropped.")
    if facts["n_negative"]:
        share = f"{facts['n_negative']:,} of {weights.values.size:,} weights are below 0 (lowest {facts['lowest']:.4g})"
        said.append(f"{share}; " + ("they were set to 0." if facts["clipped"] else "they are kept (--clip: 0)."))
    if facts["scale_out"] is not None:
        said.append(f"The posterior standard deviations are in {facts['scale_out']}.")
    if out.suffix.lower() in (".txt", ".npy"):
        said.append(f"{out} holds the numbers alone: keep the list of ids with it.")
    elif ids is None and weights.ids == tuple(str(k) for k in range(len(weights.ids))):
        said.append(f"The stimuli are called 0 to {len(weights.ids) - 1}; --ids names them.")
    return said
