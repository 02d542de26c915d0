"""What a run would do, and what one is doing."""

import json
import time

import pytest

from affectome.cli import main
from affectome.study import run_study, study_status


def states_of(study, **options):
    return {stage.name: stage.state for stage in study_status(study, **options)}


def test_what_depends_on_a_changed_value_is_stale_or_waits(study_file, first, edit):
    assert set(states_of(study_file).values()) == {"done"}
    edit("components = 3", "components = 2")
    states = states_of(study_file)
    assert states["answers/human_category"] == "done"
    assert states["embedding/human_category"] == "stale"
    assert states["accuracy/human_category"] == "waiting"
    assert states["agreement"] == "done"
    assert states["report"] == "waiting"


def test_status_of_a_new_study_is_open_and_writes_nothing(study_file):
    states = [stage.state for stage in study_status(study_file)]
    assert states[0] == "open"
    assert set(states[1:]) == {"waiting"}
    assert not (study_file.parent / "results").exists()


def test_status_tells_what_a_run_in_another_process_is_at(study_file, in_a_process, capsys):
    mark = study_file.parent / "waits"
    process = in_a_process(study_file, stops_in="embedding/human_dimension", mark=mark, wait=True)
    try:
        limit = time.monotonic() + 300
        while not mark.exists():
            assert process.poll() is None and time.monotonic() < limit, process.stderr.read()
            time.sleep(0.05)
        assert main(["study", "status", str(study_file), "--json"]) == 0
        lines = capsys.readouterr().out.splitlines()
        told = {stage["name"]: stage for stage in json.loads(lines[-1])["stages"]}
        assert told["embedding/human_dimension"]["state"] == "running"
        assert 0 < told["embedding/human_dimension"]["seconds"] < 300
        assert any(line.startswith("running  embedding/human_dimension") for line in lines)
        assert {name: told[name]["state"] for name in ("questions", "accuracy/human_category", "report")} == {
            "questions": "done", "accuracy/human_category": "done", "report": "waiting"
        }  # fmt: skip
        assert told["accuracy/human_dimension"] == {
            "name": "accuracy/human_dimension", "state": "waiting", "seconds": None
        }  # fmt: skip
        assert told["interpretation"]["state"] == "waiting"  # of stages that no space says the names of yet
    finally:
        mark.unlink(missing_ok=True)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert set(states_of(study_file).values()) == {"done"}


def test_what_a_killed_run_was_at_is_open(study_file, in_a_process):
    in_a_process(study_file, stops_in="answers/human_category", mark=study_file.parent / "killed").communicate()
    assert list((study_file.parent / "results/.affectome/running").iterdir())  # its note is still there
    states = states_of(study_file)
    assert (states["questions"], states["answers/human_category"], states["report"]) == ("done", "open", "waiting")
    assert states["embedding/human_category"] == "waiting"


def test_a_report_that_no_longer_tells_what_was_found_is_stale(study_file, first, edit):
    edit('label = "Human (category)"', 'label = "Human, by category"')
    assert states_of(study_file)["report"] in ("stale", "waiting")
    run_study(study_file, n_jobs=1)
    (study_file.parent / "results/report.html").write_text("cut", encoding="utf-8")
    assert states_of(study_file)["report"] == "stale"
    run_study(study_file, n_jobs=1)
    edit('name = "Small"', 'name = "Smaller"')  # no number depends on it, but the title of the page does
    states = states_of(study_file)
    assert states.pop("report") == "stale" and set(states.values()) == {"done"}


@pytest.mark.parametrize("key", ['[cluster]\nkind = "local"\nworkers = 2\n', "\n# noted\n"])
def test_what_decides_no_result_makes_nothing_stale(study_file, first, key):
    study_file.write_text(study_file.read_text(encoding="utf-8") + key, encoding="utf-8")
    assert set(states_of(study_file).values()) == {"done"}
