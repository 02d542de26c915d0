"""A study file to begin with: it says everything there is, it runs, and editors know its keys."""

import json
import re

import pytest

from affectome.cli import main
from affectome.errors import InputError
from affectome.simulation import simulate_emotions, write_simulated_tables
from affectome.study import init_study, read_study, study_json_schema

FILES = ("captions.csv", "semantic.csv", "answers.parquet", "people.parquet", "fmri")


@pytest.fixture
def folder(tmp_path):
    write_simulated_tables(simulate_emotions(40, 3, seed=0), tmp_path / "data")
    return tmp_path


def test_what_init_writes_is_a_study_that_can_be_read(folder, capsys):
    assert main(["study", "init", str(folder)]) == 0
    assert f"affectome study run {folder / 'study.toml'}" in capsys.readouterr().out
    study = read_study(folder / "study.toml")
    assert list(study.systems) == ["human_category", "human_dimension"]
    assert study.embedding.components == 30


def test_every_setting_it_suggests_is_one(folder):
    path = init_study(folder, name='A "quoted" name')
    assert read_study(path).study.name == 'A "quoted" name'
    text = re.sub(r"^#(?=[a-z\[])", "", path.read_text("utf-8"), flags=re.MULTILINE)
    path.write_text(text.replace('dataset = "cowen-keltner-2017"', ""), "utf-8")
    for name in FILES:
        (folder / "data" / name).touch()
    (folder / "mllm.toml").touch()
    study = read_study(path)
    assert set(study.systems) == {"human_category", "human_dimension", "language", "mllm", "collected"}
    assert study.brain is not None and study.brain.searchlight is not None and study.gap is not None


def test_a_study_that_is_there_is_not_written_over(folder):
    init_study(folder)
    with pytest.raises(InputError, match=r"study\.toml: is there already"):
        init_study(folder)
    with pytest.raises(InputError, match="is a file, not a folder"):
        init_study(folder / "data/stimuli.csv")


def test_the_schema_names_every_key_and_what_it_means(folder, capsys):
    assert main(["study", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == study_json_schema()
    init_study(folder / "new")
    assert json.loads((folder / "new/study.schema.json").read_text("utf-8")) == schema
    for table in schema["$defs"].values():
        assert table["additionalProperties"] is False
        for key, of_key in table["properties"].items():
            assert of_key.get("description") or key in ("kind", "judge", "train"), (table["title"], key)
