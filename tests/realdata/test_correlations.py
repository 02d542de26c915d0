"""Correlations of the published ratings of 2,185 videos with one another, whose answers are known."""

import numpy as np
import pytest
from scipy import stats

from affectome.interpretation import compare_profiles, correlate_components, describe_rating_map, shares_above
from affectome.stimuli import load_cowen_keltner


@pytest.fixture(scope="module")
def ratings(data):
    return load_cowen_keltner(data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv").spaces


def test_dimensions_follow_the_categories_that_they_should(ratings):
    found = correlate_components(ratings["dimension"], {"category": ratings["category"]})
    expected = stats.spearmanr(ratings["dimension"]["valence"], ratings["category"]["Joy"])
    assert found.rho.loc["valence", "Joy"] == pytest.approx(expected.statistic, abs=1e-9)
    assert found.ci_low.loc["valence", "Joy"] > 0.2
    assert found.ci_high.loc["valence", "Disgust"] < -0.2
    widths = (found.ci_high - found.ci_low).to_numpy()
    assert np.isfinite(widths).all()
    assert 0.03 < np.median(widths) < 0.2


def test_ratings_are_a_diagonal_against_themselves_and_not_against_the_others(ratings):
    few = {"n_splits": 10, "n_subsamples": 10, "n_permutations": 100, "seed": 0}
    maps = describe_rating_map(ratings["category"], ratings, **few).families
    assert maps.loc["category", "diagonal"] == pytest.approx(1)
    assert maps.loc["category", "own"] == 34
    assert maps.loc["dimension", "diagonal"] < 0.6
    shares = shares_above(ratings["category"], {"dimension": ratings["dimension"]}, n_permutations=100, seed=0)
    assert shares.table.loc[("dimension", 0.1), "share"] > 0.9
    assert shares.null_max < 0.12


def test_dimensions_lack_what_only_categories_say(ratings):
    category = ratings["category"]
    craving = category["Craving"].idxmax()
    found = compare_profiles({"dimension": ratings["dimension"], "category": category}, category, [craving], seed=0)
    assert found.r.loc["Craving", "category"] > 0.99
    assert found.r.loc["Craving", "dimension"] < 0.6
    assert found.marked.loc[craving, "Craving"]
    assert found.difference.loc[craving, "Craving"] > 0.3
