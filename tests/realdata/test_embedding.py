"""SPoSE on choices made from the published ratings of 2,185 videos (Cowen & Keltner 2017)."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from affectome import FeatureJudge, SPoSE, ask, correlate_components, held_out_accuracy, sample_triplets, split_triplets
from affectome.stimuli import load_cowen_keltner


@pytest.fixture(scope="module")
def ratings_path(data):
    return data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv"


@pytest.fixture(scope="module")
def stimuli(ratings_path):
    return load_cowen_keltner(ratings_path)


def judge_and_split(stimuli, space, standardise, n_train):
    questions = sample_triplets(stimuli.ids, n_train + 20_000, seed=0)
    answered = ask(FeatureJudge(stimuli.spaces[space], standardise=standardise, seed=0), questions)
    return split_triplets(answered, [n_train, 20_000], seed=1)


def test_category_choices_are_predicted_and_components_follow_emotions(stimuli):
    train, test = judge_and_split(stimuli, "category", "none", 300_000)
    space = SPoSE(30, random_state=0).fit(train).to_space(train.ids)
    assert held_out_accuracy(space, test, seed=0).value > 0.90
    # The choices were made from these ratings, so this checks the method: every well-fed component is an emotion.
    strongest = correlate_components(space, {"category": stimuli.spaces["category"]}).r.max(axis=1)
    assert (strongest > 0.5).mean() > 0.7


def test_dimension_choices_are_predicted(stimuli):
    train, test = judge_and_split(stimuli, "dimension", "zscore", 300_000)
    space = SPoSE(30, random_state=0).fit(train).to_space(train.ids)
    assert held_out_accuracy(space, test, seed=0).value > 0.91


def test_fit_of_all_videos_does_not_depend_on_threads(stimuli):
    train, _ = judge_and_split(stimuli, "category", "none", 100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        one, two = (
            SPoSE(30, batch_size=8192, n_epochs=2, max_iter=3, random_state=0, n_jobs=n).fit(train).embedding_
            for n in (1, 2)
        )
    assert np.array_equal(one, two)


@pytest.mark.slow
def test_two_million_category_choices_are_predicted_as_published(stimuli):
    # The paper's figure for Human (category), read off its plot: about .97.
    train, test = judge_and_split(stimuli, "category", "none", 2_000_000)
    space = SPoSE(30, random_state=0).fit(train).to_space(train.ids)
    assert held_out_accuracy(space, test, seed=0).value > 0.965
