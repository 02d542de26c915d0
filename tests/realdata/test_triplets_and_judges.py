"""Odd-one-out choices from real ratings: the figures of the data sheet and what a rating must imply."""

import numpy as np
import pytest
from scipy.spatial.distance import cosine
from scipy.stats import chisquare

from affectome.judges import FeatureJudge, ask
from affectome.stimuli import load_cowen_keltner
from affectome.triplets import read_triplets, sample_triplets, split_triplets, write_triplets


@pytest.fixture(scope="module")
def stimuli(data):
    return load_cowen_keltner(data / "cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv")


@pytest.fixture(scope="module")
def answered(stimuli):
    """100,000 random triplets of all videos, judged by category and by dimension ratings (centred, cosine)."""
    questions = sample_triplets(stimuli.ids, 100_000, seed=0)
    return {
        name: ask(FeatureJudge(stimuli.spaces[name], standardise="centre", seed=1), questions)
        for name in ("category", "dimension")
    }


def test_category_and_dimension_judges_agree_as_measured(answered):
    agreement = (answered["category"].choice == answered["dimension"].choice).mean()
    assert agreement == pytest.approx(0.51, abs=0.012)  # data sheet: about .51; sampling error .0016


@pytest.mark.parametrize("name", ["category", "dimension"])
def test_choices_agree_with_brute_force_on_raw_ratings(stimuli, name):
    questions = sample_triplets(stimuli.ids, 500, seed=2)
    rows = stimuli.spaces[name].to_numpy(np.float64)
    apart = np.array(
        [
            [cosine(rows[b], rows[c]), cosine(rows[a], rows[c]), cosine(rows[a], rows[b])]
            for a, b, c in questions.triplets
        ]
    )
    ranked = np.sort(apart, axis=1)
    clear = ranked[:, 1] - ranked[:, 0] > 1e-9
    assert clear.mean() > 0.98
    choice = ask(FeatureJudge(stimuli.spaces[name]), questions).choice
    np.testing.assert_array_equal(choice[clear], apart.argmin(axis=1)[clear])


@pytest.mark.parametrize("name", ["category", "dimension"])
def test_no_slot_is_preferred(answered, name):
    assert chisquare(np.bincount(answered[name].choice, minlength=3)).pvalue > 1e-3


def test_two_videos_of_one_category_stay_together_for_the_category_judge(stimuli, answered):
    top = stimuli.spaces["category"].to_numpy().argmax(axis=1)
    shares = {}
    for name, trials in answered.items():
        left, right, odd = top[trials.odd_last()].T
        one_pair = (left == right) ^ (left == odd) ^ (right == odd)
        one_pair &= ~((left == right) & (left == odd))
        shares[name] = (left == right)[one_pair].mean()
    assert shares["category"] > 0.85
    assert 1 / 3 + 0.1 < shares["dimension"] < shares["category"]


def test_all_questions_about_66_videos_are_45760(stimuli):
    questions = sample_triplets(stimuli.ids, design="exhaustive", subset=66, seed=0)
    assert len(questions) == 45_760 and len(set(questions.keys().tolist())) == 45_760
    assert np.unique(np.bincount(questions.triplets.ravel(), minlength=2185)).tolist() == [0, 65 * 64 // 2]


def test_a_real_collection_survives_the_disk_and_splits_cleanly(answered, tmp_path):
    trials = answered["category"]
    write_triplets(tmp_path / "t.parquet", trials)
    read = read_triplets(tmp_path / "t.parquet")
    np.testing.assert_array_equal(read.triplets, trials.triplets)
    np.testing.assert_array_equal(read.choice, trials.choice)
    assert read.ids == trials.ids and read.metadata == trials.metadata
    write_triplets(tmp_path / "t.txt", trials)
    np.testing.assert_array_equal(read_triplets(tmp_path / "t.txt", stimuli=2185).triplets, trials.odd_last())
    train, test = split_triplets(read, [0.9, 0.1], seed=0)
    assert (len(train), len(test)) == (90_000, 10_000)
    assert not set(train.keys().tolist()) & set(test.keys().tolist())


def test_a_balanced_design_over_all_videos_asks_each_equally_often(stimuli):
    questions = sample_triplets(stimuli.ids, 20_000, design="balanced", seed=0)
    assert np.ptp(np.bincount(questions.triplets.ravel(), minlength=2185)) <= 1
