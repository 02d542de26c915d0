"""What study.toml may say, and the one clear line for what it may not."""

import pytest

from affectome.errors import InputError
from affectome.study import read_study


def test_a_study_file_is_read_with_its_defaults(study_file):
    study = read_study(study_file)
    assert study.embedding.components == 3
    assert study.embedding.l1 is None
    assert study.behavior.level == 0.95
    assert study.triplets.design == "random"
    assert study.label("human_dimension") == "human_dimension"
    assert study.stimuli.path == str(study_file.parent / "stimuli.csv")


FAULTS = {
    "unknown key": (
        "components = 3",
        "componets = 3",
        ["[embedding] componets", "unknown", "did you mean 'components'?"],
    ),
    "unknown key without a neighbour": ("name =", "zzz = 1\nname =", ["[study] zzz", "known keys are name, seed"]),
    "unknown table": ("[embedding]", "[embeddding]", ["[embeddding]", "did you mean 'embedding'?"]),
    "unknown judge key": (
        'space = "category" }',
        'space = "category", metrik = 1 }',
        ["metrik", "did you mean 'metric'?"],
    ),
    "wrong type": ("train = 3000", 'train = "many"', ["[triplets] train", "'many'", "integer"]),
    "out of range": ("test = 500", "test = 0", ["[triplets] test", "greater than or equal to 1"]),
    "unknown metric": ('space = "category"', 'space = "category", metric = "l7"', ["metric", "'cosine'"]),
    "missing key": ("seed = 1", "", ["[study] seed", "the key is missing", "add it"]),
    "missing file": (
        '"dimension.csv"',
        '"nowhere.csv"',
        ["[spaces.dimension] path", "nowhere.csv", "correct the path"],
    ),
    "space nobody defines": ('space = "category"', 'space = "categry"', ["categry", "did you mean 'category'?"]),
    "ratings nobody defines": ('"dimension"]', '"terms"]', ["[interpretation] ratings", "no space 'terms'"]),
    "unset variable": (
        '"category.csv"',
        '"${AFFECTOME_NOPE}/x.csv"',
        ["AFFECTOME_NOPE is not set", "[spaces.category] path"],
    ),
    "unknown dataset": ('path = "stimuli.csv"', 'path = "stimuli.csv"\ndataset = "x"', ["'x' is no known dataset"]),
    "system named like a space": (
        "[systems.human_category]",
        "[systems.category]",
        ["a space is called 'category' too"],
    ),
    "two systems that a reader cannot tell apart": (
        "[systems.human_dimension]",
        '[systems.twin]\nlabel = "human_dimension"\njudge = { kind = "features", space = "dimension" }\n'
        "[systems.human_dimension]",
        ["[systems.human_dimension] label", "[systems.twin] is called 'human_dimension' too", "a label of its own"],
    ),
    "answers that are nowhere": (
        '{ kind = "features", space = "category" }',
        '{ kind = "answers", path = "nowhere.parquet" }',
        ["[systems.human_category.judge] path", "nowhere.parquet", "correct the path"],
    ),
    "all answers held out": (
        '{ kind = "features", space = "category" }',
        '{ kind = "answers", path = "stimuli.csv", held_out = 1.0 }',
        ["held_out", "less than 1"],
    ),
    "unknown key of answers": (
        '{ kind = "features", space = "category" }',
        '{ kind = "answers", path = "stimuli.csv", heldout = 0.1 }',
        ["heldout", "did you mean 'held_out'?"],
    ),
    "a space from nowhere": ('path = "dimension.csv"', "", ["[spaces.dimension]", "give one of them"]),
    "a space of one part": (
        'path = "dimension.csv"',
        'concatenate = ["category"]',
        ["[spaces.dimension] concatenate", "two spaces or more"],
    ),
    "a space of unknown parts": (
        'path = "dimension.csv"',
        'concatenate = ["category", "categry"]',
        ["[spaces.dimension] concatenate", "did you mean 'category'?"],
    ),
    "terms nobody defines": ("ratings = ", 'terms = "words"\nratings = ', ["[interpretation] terms", "'words'"]),
    "a gap of nothing": ("[embedding]", "[gap]\n[embedding]", ["[gap]", "not two spaces"]),
    "a gap of unknown spaces": (
        "[embedding]",
        '[gap]\nspaces = ["human_categry", "dimension"]\n[embedding]',
        ["[gap] spaces", "did you mean 'human_category'?"],
    ),
    "people who are nowhere": (
        "[embedding]",
        '[people]\npath = "nobody.parquet"\n[embedding]',
        ["[people] path", "nobody.parquet"],
    ),
    "a judge file that is nowhere": (
        '{ kind = "features", space = "category" }',
        '{ kind = "file", path = "qwen.toml" }',
        ["[systems.human_category.judge] path", "qwen.toml"],
    ),
    "invalid TOML": ("seed = 1", "seed = ", ["not valid TOML", "line"]),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_one_line_with_its_place_and_a_remedy(case, study_file, edit):
    old, new, expected = FAULTS[case]
    edit(old, new)
    with pytest.raises(InputError) as caught:
        read_study(study_file)
    message = str(caught.value)
    assert "study.toml" in message
    assert "\n" not in message
    for part in expected:
        assert part in message


def test_several_faults_are_all_listed(study_file, edit):
    edit("components = 3", "componets = 3")
    edit("test = 500", "test = 0")
    with pytest.raises(InputError) as caught:
        read_study(study_file)
    lines = str(caught.value).splitlines()
    assert "has 2 faults" in lines[0]
    assert len(lines) == 3


def test_variables_expand_with_shell_defaults(study_file, edit):
    edit('"category.csv"', '"${AFFECTOME_SOME:-category}.csv"')
    folder = study_file.parent
    assert read_study(study_file, environment={}).spaces["category"].path == str(folder / "category.csv")
    given = read_study(study_file, environment={"AFFECTOME_SOME": "dimension"})
    assert given.spaces["category"].path == str(folder / "dimension.csv")
    empty = read_study(study_file, environment={"AFFECTOME_SOME": ""})
    assert empty.spaces["category"].path == str(folder / "category.csv")


def test_a_missing_study_file_says_so(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_study(tmp_path / "study.toml")
