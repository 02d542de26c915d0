"""``affectome demo``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from affectome.cli._common import Jobs, Json, LogFile, Quiet, command, print_json, stage_progress, start_logging
from affectome.cli._study import print_brain, print_gap, print_systems
from affectome.errors import InputError

#: Areas of the simulated people, and the share of their response variance that follows a space.
AREAS = {
    "MST": {"planted": 0.2},
    "TPOJ1": {"planted": 0.1},
    "PGi": {"dimension": 0.2},
    "AAIC": {"planted": 0.05, "dimension": 0.05},
    "V1": {},
}


@command
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the simulated data and the results.")] = Path(
        "affectome-demo"
    ),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the simulation; the study has its own.")] = 0,
    jobs: Jobs = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Run a simulated study end to end; no data and no network are needed.

    Example: affectome demo --out affectome-demo
    """
    start_logging(quiet, log_file)
    import pandas as pd

    from affectome._files import atomic_path
    from affectome.simulation import (
        match_components,
        simulate_emotions,
        simulate_subjects,
        write_simulated_recordings,
        write_simulated_tables,
    )
    from affectome.spaces import read_space
    from affectome.study import run_study

    planted = simulate_emotions(n_stimuli=300, n_components=8, strength=3.0, seed=seed)
    study_file = out / "study.toml"
    text = files("affectome.cli").joinpath("demo_study.toml").read_text("utf-8")
    if study_file.exists() and study_file.read_text("utf-8", errors="replace") != text:
        raise InputError(
            "is there already, and is not the study of this demo",
            source=study_file,
            remedy="run it with `affectome study run`, or choose another --out",
        )
    write_simulated_tables(planted, out / "data")
    people = simulate_subjects(planted.stimuli.spaces, AREAS, seed=seed)
    write_simulated_recordings(people.recordings, out / "data/fmri")
    groups = "".join(f'{area} = ["{area}"]\n' for area in AREAS)
    for path, content in ((out / "data/regions.toml", f"[groups]\n{groups}"), (study_file, text)):
        with atomic_path(path) as temporary:
            temporary.write_text(content, "utf-8")
    with stage_progress(quiet) as progress:
        result = run_study(study_file, out / "results", n_jobs=jobs, progress=progress)
    print_systems(result.summary)
    print_brain(result.summary)
    print_gap(result.summary)
    recovery = match_components(read_space(result.results / "spaces/observer.parquet"), planted.planted)
    print(
        f"\nPlanted components found again by the noisy observer's embedding: "
        f"{int((recovery.correlation >= 0.9).sum())} of {len(recovery.correlation)} with r of at least .90 "
        f"(lowest r = {recovery.correlation.min():.3f})."
    )
    print(f"Study file: {study_file}\nSummary: {result.results / 'summary.json'}\nReport: {result.report}")
    if json:
        recovered = {str(name): round(float(r), 4) for name, r in pd.Series(recovery.correlation).items()}
        print_json({"results": str(result.results), "recovery": recovered, "summary": result.summary})
