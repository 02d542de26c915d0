"""Studies that are killed in the middle of a stage: the next run goes on, and finds the same."""

import json
import signal

import pytest

from affectome.study import run_study


def finished_stages(results):
    """Names of the stages that have a record."""
    return {json.loads(path.read_text())["name"] for path in (results / ".affectome/stages").glob("*.json")}


def killed_in(stage, study, start, **options):
    """Run the study until it is in the middle of a stage, and kill it there; give what is finished then."""
    mark, results = study.parent / "killed", study.parent / "results"
    process = start(study, stops_in=stage, mark=mark, **options)
    _, said = process.communicate(timeout=600)
    assert mark.exists() and process.returncode == -signal.SIGKILL, said
    kept = finished_stages(results)
    assert stage not in kept and not (results / "summary.json").exists()
    return kept


@pytest.mark.parametrize("stage", ["embedding/human_dimension"])
def test_a_killed_study_goes_on_from_what_is_finished(stage, study_file, finished, in_a_process, untimed):
    kept = killed_in(stage, study_file, in_a_process)
    again = run_study(study_file, n_jobs=1)
    assert kept == {record.name for record in again.records if record.reused} and "questions" in kept
    assert untimed(again.summary) == untimed(finished.summary)
    assert not list((again.results / ".affectome/running").iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Keeps the summary of the whole study, which is the same for every stage that is killed."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage",
    [
        "stimuli",
        "answers/third",
        "embedding/third",
        "accuracy/third",
        "agreement",
        "interpretation/third/components",
        "interpretation/together/rsa",
        "encode/sub-02/third",
        "rsa/searchlight/sub-02",
        "group",
        "rsa/average/third",
        "figures",
    ],
)
def test_a_study_that_is_killed_in_any_stage_goes_on_from_what_is_finished(
    stage, whole_study, in_a_process, untimed, whole
):
    def told(found):  # wherever it was
        return json.loads(json.dumps(untimed(found.summary)).replace(str(whole_study.parent), ""))

    if not whole:
        whole.update(told(run_study(whole_study, whole_study.parent / "never_killed", n_jobs=1)))
    kept = killed_in(stage, whole_study, in_a_process)
    again = run_study(whole_study, n_jobs=1)
    assert not again.failed
    assert {record.name for record in again.records if record.reused} == kept
    assert told(again) == whole


def test_a_study_that_is_killed_in_its_report_has_only_that_to_do(study_file, finished, in_a_process, untimed):
    mark = study_file.parent / "killed"
    process = in_a_process(study_file, stops_in="report", mark=mark)
    _, said = process.communicate(timeout=600)
    assert mark.exists() and process.returncode == -signal.SIGKILL, said
    assert not (study_file.parent / "results/report.html").exists()
    again = run_study(study_file, n_jobs=1)
    assert [record.name for record in again.records if not record.reused] == ["report"]
    assert again.report.is_file() and untimed(again.summary) == untimed(finished.summary)
