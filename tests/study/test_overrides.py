"""Values of the command line in place of a study file's."""

import json

import pytest

from affectome.cli import main
from affectome.errors import InputError
from affectome.study import read_study, run_study, study_status


def test_a_value_stands_in_place_of_the_files_and_a_table_can_be_made(study_file):
    study = read_study(study_file, overrides={"triplets.train": 77, "behavior.bootstrap": 50})
    assert (study.triplets.train, study.triplets.test, study.behavior.bootstrap) == (77, 500, 50)
    assert read_study(study_file).triplets.train == 3000


def test_a_table_is_done_without_also_where_its_variable_is_not_set(study_file):
    text = study_file.read_text()
    study_file.write_text(text + '[brain]\npath = "${AFFECTOME_NOWHERE}/fmri"\n')
    with pytest.raises(InputError, match="AFFECTOME_NOWHERE"):
        read_study(study_file)
    study = read_study(study_file, overrides={"brain": None, "systems.human_dimension": None})
    assert study.brain is None and list(study.systems) == ["human_category"]


def test_a_wrong_value_has_the_line_that_it_would_have_in_the_file(study_file):
    with pytest.raises(InputError, match=r"\[triplets\] train: '20k' is not accepted"):
        read_study(study_file, overrides={"triplets.train": "20k"})
    with pytest.raises(InputError, match=r"\[triplets\] trains: the key is unknown; did you mean 'train'"):
        read_study(study_file, overrides={"triplets.trains": 5})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("systems.human_categry", None, "no 'systems.human_categry' to leave out; did you mean 'human_category'?"),
        ("brain.controls", None, "no 'brain' to leave out"),
        ("triplets.train.x", 1, r"\[triplets.train\] is no table"),
        ("triplets.", 1, "'triplets.' is no key"),
    ],
)
def test_a_key_that_leads_nowhere_is_told(study_file, key, value, said):
    with pytest.raises(InputError, match=said):
        read_study(study_file, overrides={key: value})


def test_what_was_overridden_is_run_reused_and_told(study_file):
    changes = {"triplets.train": 2500, "systems.human_dimension": None}
    first = run_study(study_file, overrides=changes)
    assert list(first.summary["systems"]) == ["human_category"]
    assert first.summary["triplets"]["train"] == 2500
    provenance = json.loads((first.results / "provenance.json").read_text())
    assert provenance["overrides"] == changes
    assert all(record.reused for record in run_study(study_file, overrides=changes).records)
    assert {stage.state for stage in study_status(study_file, overrides=changes)} == {"done"}
    assert "stale" in {stage.state for stage in study_status(study_file)}


def test_the_command_reads_values_as_toml_and_bare_words_as_text(study_file, capsys):
    given = [
        "--set",
        "triplets.train=2_500",
        "--set",
        "study.name=Tiny study",
        "--set",
        'interpretation.ratings=["category"]',
    ]
    left_out = ["--without", "systems.human_dimension", "--without", "interpretation.comparisons"]
    assert main(["study", "run", str(study_file), "--quiet", *given, *left_out]) == 0
    written = json.loads((study_file.parent / "results/provenance.json").read_text())["study"]
    assert written["study"]["name"] == "Tiny study" and written["triplets"]["train"] == 2500
    assert written["interpretation"]["ratings"] == ["category"] and list(written["systems"]) == ["human_category"]
    capsys.readouterr()
    assert main(["study", "status", str(study_file), *given, *left_out]) == 0
    assert "stale" not in capsys.readouterr().out
    assert main(["study", "run", str(study_file), "--set", "triplets.train"]) == 2
    assert "--set: 'triplets.train' sets nothing; write KEY=VALUE" in capsys.readouterr().err
