"""A study from end to end: numbers, what is stale, what survives."""

import itertools
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from filelock import FileLock

from affectome.cli import main
from affectome.errors import EnvironmentFailure, InputError
from affectome.spaces import read_space
from affectome.study import run_study
from affectome.triplets import TripletSet, read_triplets, write_triplets


def ran(result):
    return [record.name for record in result.records if not record.reused]


def test_summary_holds_what_a_reader_looks_for(first):
    summary = json.loads((first.results / "summary.json").read_text())
    assert summary["affectome_schema"] == 1
    for name in ("human_category", "human_dimension"):
        system = summary["systems"][name]
        accuracy = system["held_out_accuracy"]
        assert 1 / 3 < accuracy["ci_low"] <= accuracy["value"] <= accuracy["ci_high"] <= 1
        assert system["n_components"] == read_space(first.results / f"spaces/{name}.parquet").shape[1]
        assert system["seconds"] > 0
        assert len(system["interpretation"]["components"]["sizes"]) == system["n_components"]
        assert len(system["interpretation"]["correlations"]["top_ratings"]) == system["n_components"]
    [pair] = summary["together"]["rsa"]["pearson"]
    assert pair["ci_low"] < pair["value"] < pair["ci_high"]
    assert summary["systems"]["human_category"]["held_out_accuracy"]["value"] > 0.9


def test_systems_answer_the_same_questions_and_no_test_triplet_was_trained_on(first):
    sets = {n: read_triplets(first.results / f"triplets/{n}.parquet") for n in
            ("train", "test", "human_category_train", "human_dimension_train", "human_category_test")}  # fmt: skip
    assert (sets["train"].triplets == sets["human_category_train"].triplets).all()
    assert (sets["train"].triplets == sets["human_dimension_train"].triplets).all()
    assert not set(sets["train"].keys()) & set(sets["human_category_test"].keys())
    assert (len(sets["train"]), len(sets["test"])) == (3000, 500)


def test_the_outputs_are_where_the_docs_say(first):
    for path in (
        "provenance.json",
        "behavior/human_category/accuracy.json",
        "interpretation/human_dimension/correlations.csv",
        "interpretation/human_category/figures/correlations.png",
        "interpretation/together/rsa.csv",
        "figures/accuracy.svg",
        "interpretation/human_category/components.csv",
        "behavior/agreement.csv",
        "report.html",
    ):
        assert (first.results / path).stat().st_size > 0
    provenance = json.loads((first.results / "provenance.json").read_text())
    assert provenance["study"]["embedding"]["l1"] is None
    assert provenance["software"]["python"] == sys.version.split()[0]
    assert [stage["name"] for stage in provenance["stages"]][:2] == ["stimuli", "questions"]


def test_a_second_run_does_nothing(study_file, first):
    assert ran(run_study(study_file)) == []


def of_one_system(name):
    """Stages that depend on a system: its own, and those that hold all of them against each other."""
    own = {f"{stage}/{name}" for stage in ("answers", "embedding", "accuracy")}
    meaning = {
        f"interpretation/{name}/components",
        f"interpretation/{name}/correlations",
        "interpretation/together/rsa",
    }
    return own | meaning | {"agreement", "figures", "report"}


CHANGES = {
    "threshold of the ratings": (
        "[interpretation]",
        "[interpretation]\nalpha = 0.01",
        {
            "interpretation/human_category/correlations",
            "interpretation/human_dimension/correlations",
            "interpretation/together/rsa",  # its matrix marks what lies below the threshold
            "report",
        },
    ),
    "bootstrap": (
        "bootstrap = 100",
        "bootstrap = 50",
        {"accuracy/human_category", "accuracy/human_dimension", "agreement", "figures", "report"},
    ),
    "one judge": (
        ', standardise = "zscore"',
        "",
        of_one_system("human_dimension"),
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_changed_value_reruns_what_depends_on_it_and_nothing_else(study_file, first, edit, case):
    old, new, expected = CHANGES[case]
    edit(old, new)
    assert set(ran(run_study(study_file))) == expected


def test_an_added_system_leaves_the_others_alone(study_file, first, edit):
    edit(
        "[embedding]", '[systems.third]\njudge = { kind = "features", space = "category", metric = "dot" }\n[embedding]'
    )
    again = run_study(study_file)
    assert set(ran(again)) == of_one_system("third")
    before, after = first.summary["systems"]["human_category"], again.summary["systems"]["human_category"]
    assert before["held_out_accuracy"]["value"] == after["held_out_accuracy"]["value"]


def test_changed_data_reruns_and_moved_data_does_not(study_file, first, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(study_file.parent, moved, ignore=shutil.ignore_patterns("elsewhere"))
    assert ran(run_study(moved / "study.toml")) == []
    table = study_file.parent / "category.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].split(",")[0] + ",0.5,0.25,0.25"
    table.write_text("\n".join(lines) + "\n")
    stale = ran(run_study(study_file))
    assert "stimuli" in stale and "answers/human_category" in stale


def test_a_damaged_output_or_record_is_made_again(study_file, first, caplog, monkeypatch):
    # The page tells the seconds of every system, and so depends on them: let no stage take as long as before by chance.
    monkeypatch.setattr(time, "perf_counter", itertools.count(step=7).__next__)
    (first.results / "spaces/human_category.parquet").write_bytes(b"cut")
    record = first.results / ".affectome/stages/accuracy.human_dimension.json"
    record.write_text("{")
    again = run_study(study_file)
    # The damaged space comes out as it was, so nothing after it is stale.
    assert set(ran(again)) == {"embedding/human_category", "accuracy/human_dimension", "report"}
    assert "was changed or removed" in caplog.text
    assert (
        again.summary["systems"]["human_category"]["held_out_accuracy"]
        == (first.summary["systems"]["human_category"]["held_out_accuracy"])
    )


def test_a_locked_folder_is_refused_with_code_3(study_file, first, capsys):
    with FileLock(first.results / ".affectome/lock"):
        with pytest.raises(EnvironmentFailure, match="another affectome run"):
            run_study(study_file)
        assert main(["study", "run", str(study_file), "--quiet"]) == 3
    assert "another affectome run" in capsys.readouterr().err


def test_a_fault_in_the_data_ends_with_code_2_and_keeps_finished_stages(study_file, first, capsys):
    table = study_file.parent / "dimension.csv"
    table.write_text(table.read_text().replace("clip05,", "clip04,"))
    assert main(["study", "run", str(study_file), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "dimension.csv, row 5" in err and "clip04" in err and err.count("\n") == 1
    with pytest.raises(InputError):
        run_study(study_file)


def test_the_numbers_do_not_depend_on_the_number_of_threads(study_file, first, tmp_path):
    code = f"from affectome import run_study; run_study({str(study_file)!r}, {str(tmp_path / 'one')!r}, n_jobs=1)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    one = read_space(tmp_path / "one/spaces/human_category.parquet")
    assert one.equals(read_space(first.results / "spaces/human_category.parquet"))


def test_status_and_report_commands(study_file, first, capsys):
    assert main(["study", "status", str(study_file), "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[-1])["stages"][0] == {
        "name": "stimuli", "state": "done", "seconds": first.records[0].seconds
    }  # fmt: skip
    (first.results / "report.html").unlink()
    assert main(["study", "report", str(first.results)]) == 0
    assert (first.results / "report.html").is_file()
    assert main(["study", "report", str(study_file.parent)]) == 2


def test_a_balanced_design_stays_balanced_in_training_and_shares_nothing_with_the_test(study_file, edit):
    edit("train = 3000", 'design = "balanced"\ntrain = 3000')
    results = run_study(study_file).results
    train, test = read_triplets(results / "triplets/train.parquet"), read_triplets(results / "triplets/test.parquet")
    counts = np.bincount(train.triplets.ravel(), minlength=40)
    assert np.ptp(counts) <= 2
    assert not set(train.keys()) & set(test.keys())


def test_spaces_may_share_only_some_stimuli_where_the_study_says_so(study_file, edit, caplog):
    table = study_file.parent / "dimension.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-3]) + "\n")
    with pytest.raises(InputError, match=r"dimension\.csv"):
        run_study(study_file)
    edit('path = "dimension.csv"', 'path = "dimension.csv"\nhow = "intersect"')
    assert run_study(study_file).summary["stimuli"]["n"] == 37
    assert "were dropped" in caplog.text


def test_a_system_left_out_takes_nothing_from_the_others(study_file, edit, first, untimed):
    """The finished study is a first run without that system."""
    write_triplets(study_file.parent / "strange.parquet", TripletSet([[0, 1, 2], [0, 2, 3]], "abcd", [0, 1]))
    strange = '[systems.strange]\njudge = { kind = "answers", path = "strange.parquet" }\n'
    edit("[embedding]", f"{strange}[embedding]")
    again = run_study(study_file, n_jobs=1)
    assert set(again.failed) == {f"{kind}/strange" for kind in ("answers", "embedding", "accuracy")}
    assert {record.name for record in again.records if not record.reused} == {"report"}
    assert {**untimed(again.summary), "left_out": {}} == untimed(first.summary)
