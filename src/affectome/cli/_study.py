"""``affectome study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from affectome.cli._common import (
    Cluster,
    Jobs,
    Json,
    LogFile,
    Out,
    Quiet,
    command,
    print_json,
    stage_progress,
    start_logging,
)
from affectome.errors import InputError, Interrupted

group = typer.Typer(help="A whole study from one file.", no_args_is_help=True)

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A value in place of the file's, as TOML: --set triplets.train=20000; repeatable.",
        metavar="KEY=VALUE",
    ),
]
LeftOut = Annotated[
    list[str] | None,
    typer.Option(
        "--without", help="A key or table of the file to do without: --without brain; repeatable.", metavar="KEY"
    ),
]


@group.command("init")
@command
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the study; made where it is not there.", metavar="FOLDER")],
    name: Annotated[str | None, typer.Option("--name", help="Title; by default made of the folder's name.")] = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Write a commented study.toml, and the schema that editors check it by.

    Example: affectome study init emotion-videos
    """
    start_logging(quiet, log_file)
    from affectome.study import init_study

    path = init_study(folder, name=name)
    print(f"Study file: {path}\nPut in your paths, and run: affectome study run {path}")
    if json:
        print_json({"study": str(path)})


@group.command("schema")
@command
def schema(quiet: Quiet = False, log_file: LogFile = None) -> None:
    """Print the JSON Schema of study.toml: every key with its type, default and meaning.

    Example: affectome study schema
    """
    start_logging(quiet, log_file)
    import json

    from affectome.study import study_json_schema

    print(json.dumps(study_json_schema(), indent=2))


@group.command("run")
@command
def run(
    study: Annotated[Path, typer.Argument(help="The study file.", metavar="STUDY.toml")],
    out: Out = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    settings: Settings = None,
    without: LeftOut = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Run everything that is missing or stale, and nothing else.

    Example: affectome study run examples/emotion_videos/study.toml --out results/
    """
    start_logging(quiet, log_file)
    from affectome.study import run_study

    overrides = _overrides(settings, without)
    with stage_progress(quiet) as progress:
        result = run_study(study, out, n_jobs=jobs, cluster=cluster, overrides=overrides, progress=progress)
    print_systems(result.summary)
    print_brain(result.summary)
    print_gap(result.summary)
    print(f"\nReport: {result.report}\nSummary: {result.results / 'summary.json'}")
    if json:
        print_json({"results": str(result.results), "summary": result.summary})
    if result.failed:
        n, further = len(result.failed), len(result.failed) - len(result.causes)
        needing = f", {further} of them for want of what another would have made" if further else ""
        told = "".join(f"\n  {stage}: {error}" for stage, error in result.causes.items())
        raise Interrupted(f"{'one stage was' if n == 1 else f'{n} stages were'} left out{needing}{told}")


@group.command("status")
@command
def status(
    study: Annotated[Path, typer.Argument(help="The study file.", metavar="STUDY.toml")],
    out: Out = None,
    settings: Settings = None,
    without: LeftOut = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Show which stages are done, running, stale, open or waiting for one of those; nothing is run.

    Example: affectome study status examples/emotion_videos/study.toml --out results/
    """
    start_logging(quiet, log_file)
    from affectome.study import study_status

    states = study_status(study, out, overrides=_overrides(settings, without))
    for stage in states:
        seconds = "" if stage.seconds is None else f"{stage.seconds:8.1f} s"
        print(f"{stage.state:8} {stage.name:40}{seconds}".rstrip())
    if json:
        print_json({"stages": [vars(stage) for stage in states]})


@group.command("report")
@command
def report(
    results: Annotated[Path, typer.Argument(help="The results folder of a study.", metavar="RESULTS")],
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Write report.html again from what is in a results folder.

    Example: affectome study report results/
    """
    start_logging(quiet, log_file)
    from affectome.report import write_report

    page = write_report(results)
    print(f"Report: {page}")
    if json:
        print_json({"report": str(page)})


def _overrides(settings: list[str] | None, without: list[str] | None) -> dict[str, Any]:
    """Values by dotted key, None where the key is left out."""
    import tomllib

    found: dict[str, Any] = {}
    for text in settings or ():
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value):
            raise InputError(f"'{text}' sets nothing", source="--set", remedy="write KEY=VALUE")
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:  # a text that stands without quotation marks
            found[key] = value
    return found | dict.fromkeys(without or ())


def print_systems(summary: Any) -> None:
    """The systems of a study as a small table on stdout."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        "system", "held-out accuracy", "components", "its strongest components follow", box=None, pad_edge=False
    )
    for system in summary["systems"].values():
        accuracy = system.get("held_out_accuracy")  # left out where the data did not allow it
        interval = "–"
        if accuracy is not None:
            interval = f"{accuracy['value']:.3f} [{accuracy['ci_low']:.3f}, {accuracy['ci_high']:.3f}]"
        of_components = system["interpretation"].get("correlations", {}).get("top_ratings", {})
        tops = [ratings[0] for ratings in of_components.values() if ratings]
        leading = [top["rating"] if top["r"] > 0 else f"low {top['rating']}" for top in tops[:5]]
        follows = ", ".join(dict.fromkeys(leading))
        table.add_row(escape(system["label"]), interval, str(system["n_components"]), escape(follows))
    Console(highlight=False, width=None if Console().is_terminal else 120).print(table)
    if any(s["interpretation"].get("correlations", {}).get("circular") for s in summary["systems"].values()):
        print(
            "Where a system's choices were made from the ratings shown, the match checks the method; it is no finding."
        )


#: What is asked of brains beside encodings, and what a reader calls it.
_APART = {
    "comparison": "What is unique to spaces and what they share",
    "rsa": "Geometries around voxels and in regions, compared with those of spaces (RSA)",
    "reliability": "Reliability of the geometries",
}


def print_brain(summary: Any) -> None:
    """What brains follow, in a few lines on stdout; nothing where no brain was asked."""
    if "brain" not in summary:
        return
    from affectome.cli._neural_told import told

    brain = summary["brain"]
    headings = {
        "Responses predicted from spaces": [kind for kind in brain if kind not in ("settings", *_APART)],
        **{heading: [kind] for kind, heading in _APART.items() if kind in brain},
    }
    for heading, kinds in headings.items():
        lines: list[str] = []
        for kind in kinds:
            if kind in ("group", "across"):
                lines += told(kind, brain[kind])
            else:
                lines += [line for where, found in brain[kind].items() for line in told(f"{kind}/{where}", found)]
        if lines:
            print("\n".join(["", f"{heading}:", *lines]))


def print_gap(summary: Any) -> None:
    """What may be claimed, a line per verdict on stdout; nothing where the gap was not asked for."""
    found = summary.get("gap", {}).get("claims")
    if not found:
        return
    print("\nThe gap (corrected over all claims):")
    for row in found["claims"]:
        if not row["matched"]:
            interval = f"{row['difference']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
            print(f"  {row['measure']}, {row['where']}: {row['verdict']} ({row['first']} - {row['second']} {interval})")
