"""Studies small enough to run many times."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from affectome.simulation import (
    simulate_emotions,
    simulate_subjects,
    write_simulated_recordings,
    write_simulated_tables,
)
from affectome.spaces import read_space
from affectome.study import run_study

STUDY = """
[study]
name = "Small"
seed = 1
[stimuli]
path = "stimuli.csv"
[spaces.category]
path = "category.csv"
[spaces.dimension]
path = "dimension.csv"
[triplets]
train = 3000
test = 500
[systems.human_category]
label = "Human (category)"
judge = { kind = "features", space = "category" }
[systems.human_dimension]
judge = { kind = "features", space = "dimension", standardise = "zscore" }
[embedding]
components = 3
n_epochs = 16
[behavior]
bootstrap = 100
components_needed = false
[interpretation]
ratings = ["category", "dimension"]
analyses = ["components", "correlations"]
comparisons = ["rsa"]
permutations = 19
"""

BRAIN = """
[systems.third]
judge = { kind = "features", space = "category", metric = "dot" }
[brain]
path = "fmri"
spaces = ["human_category", "third"]
regions = "regions.toml"
folds = 3
permutations = 60
partition = false
[brain.searchlight]
radius = 3.0
"""


def simulated(folder):
    """The small study and its tables."""
    write_simulated_tables(simulate_emotions(40, 3, seed=0), folder)
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    return folder / "study.toml"


@pytest.fixture
def study_file(tmp_path):
    return simulated(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def _figures(request):
    """Quick, unless a file says that it is about figures as users get them."""
    if not getattr(request.module, "FIGURES_AS_USERS_GET_THEM", False):
        request.getfixturevalue("quick_figures")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, drawing_quickly):
    """The small study, run once."""
    with drawing_quickly():
        return run_study(simulated(tmp_path_factory.mktemp("finished")), n_jobs=1)


@pytest.fixture
def first(finished, study_file):
    """The first run of the study of this test: a finished study that was moved."""
    shutil.copytree(finished.results, study_file.parent / "results")
    return replace(finished, results=study_file.parent / "results")


@pytest.fixture
def whole_study(study_file):
    """Three systems, two of them held against three people; one area follows a space."""
    folder = study_file.parent
    areas = {"MST": {"category": 0.7}, "V1": {}}
    people = simulate_subjects(
        {"category": read_space(folder / "category.csv")}, areas, n_runs=5, repeats=2, radius=6.0, seed=0
    )
    write_simulated_recordings(people.recordings, folder / "fmri")
    (folder / "regions.toml").write_text('[groups]\nMST = ["MST"]\nV1 = ["V1"]\n', encoding="utf-8")
    study_file.write_text(STUDY + BRAIN, encoding="utf-8")
    return study_file


@pytest.fixture
def edit(study_file):
    """Replace text in the study file, which must be there."""

    def change(old, new, path=study_file):
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change


#: What processes of a test load first, and what the process of the tests itself must not: it changes the package.
BEFORE = Path(__file__).with_name("in_processes.py")
collect_ignore = [BEFORE.name]
QUICK_FIGURES = str(Path(__file__).parents[1] / "quick_figures.py")


@pytest.fixture
def in_a_process():
    """Start a study in a process of its own, which may be killed, or wait, in the middle of a stage."""
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]); from affectome import run_study; "
        "run_study(sys.argv[2], n_jobs=1)"
    )

    def start(study, *, stops_in, mark, wait=False):
        given = {
            "STOPS_IN": f"{stops_in}={mark}",
            "STOPS": "wait" if wait else "",
            "QUICK_FIGURES": QUICK_FIGURES,
        }
        command = [sys.executable, "-c", code, str(BEFORE), str(study)]
        return subprocess.Popen(command, env={**os.environ, **given}, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def stops_in_workers(monkeypatch):
    """Let the first Dask worker that comes to a stage die in it, of those that start meanwhile."""
    dask = pytest.importorskip("dask", reason="the extra 'cluster' is not installed")

    def set_up(stage, mark):
        monkeypatch.setenv("STOPS_IN", f"{stage}={mark}")
        monkeypatch.setenv("QUICK_FIGURES", QUICK_FIGURES)
        return dask.config.set({"distributed.worker.preload": [str(BEFORE)]})

    return set_up


@pytest.fixture(scope="session")
def untimed():
    """What a summary says, but for how long it took."""

    def of(content):
        if isinstance(content, dict):
            return {key: of(value) for key, value in content.items() if key != "seconds"}
        return content

    return of
