"""A study small enough to run many times."""

import pytest

from affectome.simulation import simulate_emotions, write_simulated_tables

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
[interpretation]
ratings = ["category", "dimension"]
analyses = ["components", "correlations"]
comparisons = ["rsa"]
permutations = 19
"""


@pytest.fixture
def study_file(tmp_path):
    write_simulated_tables(simulate_emotions(40, 3, seed=0), tmp_path)
    path = tmp_path / "study.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture
def edit(study_file):
    """Replace text in the study file, which must be there."""

    def change(old, new, path=study_file):
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change
