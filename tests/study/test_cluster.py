"""Studies, and the people of one, on Dask workers."""

import json
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from affectome import write_space
from affectome.simulation import simulate_subjects, write_simulated_recordings
from affectome.study import Brain, encode_brain, found_recordings, recording_sources, run_study, study_status

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brain")
    rng, ids = np.random.default_rng(0), [f"clip{k:02d}" for k in range(48)]
    space = pd.DataFrame(rng.normal(size=(48, 2)), ids, ["joy", "awe"])
    write_space(folder / "planted.parquet", space)
    people = simulate_subjects({"planted": space}, {"MST": {"planted": 0.6}, "V1": {}}, n_runs=6, radius=3.0, seed=0)
    flat = [replace(person, geometry=None) for person in people.recordings[:2]]  # brains take long to draw
    write_simulated_recordings(flat, folder / "fmri")
    return folder


def contents(folder):
    """Every result but records, which hold times."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".affectome" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_people_on_a_cluster_give_the_bytes_of_people_in_processes(world, tmp_path):
    from affectome._cluster import _Dask
    from affectome._cluster_tables import LocalTable
    from affectome._processes import sent_elsewhere

    def asked(out):
        return Brain(
            spaces={"planted": world / "planted.parquet"},
            recordings=recording_sources(found_recordings(world / "fmri")),
            out=tmp_path / out,
            n_folds=3,
            n_permutations=50,
            alphas=(1.0, 100.0),
        )

    encode_brain(asked("here"), n_jobs=2)
    with ExitStack() as stack:
        dask = _Dask(LocalTable(kind="local", workers=2), stack)
        with sent_elsewhere(dask):
            encode_brain(asked("there"))
        assert len(dask.client.run(lambda: None)) == 2  # they were asked for, and none was lost
    here, there = contents(tmp_path / "here"), contents(tmp_path / "there")
    for found in (here, there):
        del found["encoding.json"]  # it names the folder
    assert len(here) > 20 and set(here) == set(there)
    assert [name for name in here if here[name] != there[name]] == []


CLUSTER = '[cluster]\nkind = "local"\nworkers = 4\n'


def check_on_four_workers(study, here, stage, stops_in_workers, untimed, caplog):
    """A study on workers, of which one is killed in a stage, finds what it found here; who did it decides nothing."""
    (study.parent / "cluster.toml").write_text(CLUSTER, encoding="utf-8")
    mark, there = study.parent / "killed", study.parent / "there"
    with stops_in_workers(stage, mark):
        found = run_study(study, there, cluster=study.parent / "cluster.toml")
    assert mark.exists() and "is gone; what it was doing is done by others" in caplog.text
    assert not found.failed
    written = [json.loads((out / "summary.json").read_text(encoding="utf-8")) for out in (here.results, there)]
    assert untimed(written[0]) == untimed(written[1])
    assert [record.name for record in found.records] == [record.name for record in here.records]
    study.write_text(study.read_text(encoding="utf-8") + CLUSTER, encoding="utf-8")
    for results in (here.results, there):
        assert {state.state for state in study_status(study, results)} == {"done"}
        assert [record.name for record in run_study(study, results).records if not record.reused] == []


@pytest.mark.slow
def test_a_study_on_four_workers_of_which_one_is_killed_is_the_study_here(
    study_file, first, stops_in_workers, untimed, caplog
):
    stage = "interpretation/human_category/correlations"
    check_on_four_workers(study_file, first, stage, stops_in_workers, untimed, caplog)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["embedding/third", "encode/sub-02/third", "rsa/searchlight/sub-03"])
def test_three_systems_and_three_people_on_four_workers_are_those_here(
    stage, whole_study, stops_in_workers, untimed, caplog
):
    here = run_study(whole_study, n_jobs=1)
    assert not here.failed and set(here.summary["systems"]) == {"human_category", "human_dimension", "third"}
    check_on_four_workers(whole_study, here, stage, stops_in_workers, untimed, caplog)
