"""Rating spaces of the 2,185 videos against each other: figures measured before, by another route."""

import numpy as np
import pytest

from affectome.comparison import compare_choices, compare_rsa
from affectome.spaces import standardise
from affectome.stimuli import load_cowen_keltner


@pytest.fixture(scope="module")
def ratings(data):
    stimuli = load_cowen_keltner(data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv")
    return {"category": stimuli.spaces["category"], "dimension": standardise(stimuli.spaces["dimension"])}


def test_categories_and_dimensions_choose_the_same_odd_one_in_half_of_the_triplets(ratings):
    got = compare_choices(ratings, n_permutations=99, seed=0)
    row = got.table.iloc[0]
    assert row["value"] == pytest.approx(0.508, abs=0.004)  # .51 over random triplets asked of feature judges
    assert 0.01 < row["ci_high"] - row["ci_low"] < 0.04 and row["p"] == 0.01
    assert 3.4e8 < got.n_triplets < 4e8


def test_rsa_of_categories_and_dimensions_hardly_depends_on_what_is_permuted(ratings):
    got = compare_rsa(ratings, n_permutations=49, seed=0)
    values = got.table["value"].to_numpy()
    assert (values > 0.3).all() and (values < 0.5).all()
    assert np.abs(got.table["null_mean"]).max() < 0.005 and (got.table["p"] == 1 / 50).all()
