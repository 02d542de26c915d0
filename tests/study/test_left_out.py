"""What its data do not allow is left out of a study with a sentence; the rest is done."""

import json

import pandas as pd
import pytest

from affectome.cli import main
from affectome.study import run_study
from affectome.triplets import TripletSet, write_triplets

STRANGE = """
[systems.strange]
judge = { kind = "answers", path = "strange.parquet" }
[embedding]"""


@pytest.fixture
def with_strange_answers(study_file, edit):
    """A system whose answers are about other stimuli than the study's."""
    write_triplets(study_file.parent / "strange.parquet", TripletSet([[0, 1, 2], [0, 2, 3]], "abcd", [0, 1]))
    edit("[embedding]", STRANGE)
    return study_file


def test_a_fault_of_one_system_one_person_and_one_analysis_stops_nothing_else(whole_study, edit, capsys):
    folder = whole_study.parent
    write_triplets(folder / "strange.parquet", TripletSet([[0, 1, 2], [0, 2, 3]], "abcd", [0, 1]))
    edit("\n[embedding]", STRANGE)
    recording = folder / "fmri/sub-02.h5"
    recording.write_bytes(recording.read_bytes()[: recording.stat().st_size // 2])
    joy = pd.read_csv(folder / "category.csv", index_col="id", dtype={"id": str})
    pd.DataFrame({"Joy": 1.0, "Fear": 0.1}, index=joy.index).to_csv(folder / "joyful.csv")  # every stimulus is joy
    edit("[triplets]", '[spaces.joyful]\npath = "joyful.csv"\n[triplets]')
    edit('"correlations"]', '"correlations", "categories"]\ncategories = "joyful"')
    edit('ratings = ["category", "dimension"]', 'ratings = ["category", "dimension", "joyful"]')

    assert main(["study", "run", str(whole_study), "--jobs", "1", "--quiet"]) == 4
    shown = capsys.readouterr()
    summary = json.loads((folder / "results/summary.json").read_text(encoding="utf-8"))
    causes = {
        "answers/strange": "strange.parquet: is about 4 stimuli that the study does not have (a, b, c, d); ",
        "encode/sub-02/third": "sub-02.h5",
        "interpretation/third/categories": "1 categories have at least two stimuli",
    }
    for stage, sentence in causes.items():
        assert sentence in summary["left_out"][stage]
    told = shown.err[shown.err.index("Stopped: ") :].splitlines()
    assert {line.split(":")[0].strip() for line in told[1:]} >= causes.keys()
    assert not [line for line in told if "which could not be made" in line]  # a cause is told once
    systems = {"human_category", "human_dimension", "third"}
    assert set(summary["systems"]) == systems
    for name in systems:
        assert set(summary["systems"][name]["interpretation"]) == {"components", "correlations"}
    assert set(summary["brain"]["encode"]) == {
        f"{who}/{space}" for who in ("sub-01", "sub-03") for space in ("human_category", "third")
    }
    assert summary["brain"]["group"]["n_people"] == 2
    assert "Human (category)" in shown.out and (folder / "results/report.html").is_file()
    # What is left out is tried again, and nothing else is done again.
    assert not [record.name for record in run_study(whole_study, n_jobs=1).records if not record.reused]


def test_systems_of_which_none_can_be_learned_from_end_with_one_sentence_and_no_report(study_file, capsys):
    text = study_file.read_text(encoding="utf-8")
    write_triplets(study_file.parent / "strange.parquet", TripletSet([[0, 1, 2], [0, 2, 3]], "abcd", [0, 1]))
    start, end = text.index("[systems.human_category]"), text.index("[embedding]")
    study_file.write_text(text[:start] + STRANGE.removesuffix("[embedding]") + text[end:], encoding="utf-8")
    assert main(["study", "run", str(study_file), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("Error: ") and "Traceback" not in said
    assert all("strange.parquet: is about 4 stimuli" in line for line in said.splitlines())
    assert not (study_file.parent / "results/report.html").exists()
