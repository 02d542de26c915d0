"""The RSM of 66 real videos, measured by every triplet of them, against the one of a space that saw none of those."""

import numpy as np
import pytest

from affectome import (
    FeatureJudge,
    SPoSE,
    ask,
    components_needed,
    measured_rsm,
    predicted_rsm,
    rsm_agreement,
    sample_triplets,
    split_triplets,
)
from affectome.behavior import rsm_by_components
from affectome.stimuli import load_cowen_keltner


@pytest.fixture(scope="module")
def stimuli(data):
    return load_cowen_keltner(data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv")


@pytest.fixture(scope="module")
def measured(stimuli):
    questions = sample_triplets(stimuli.ids, design="exhaustive", subset=66, seed=7)
    return measured_rsm(ask(FeatureJudge(stimuli.spaces["category"], seed=0), questions))


def learned(stimuli, measured, n_train):
    """A space from triplets none of which lies among the 66, and others held out."""
    questions = sample_triplets(stimuli.ids, n_train + 20_000, seed=1)
    some = [stimuli.ids.index(name) for name in measured.similarity.index]
    questions = questions[~np.isin(questions.triplets, some).all(axis=1)]
    answered = ask(FeatureJudge(stimuli.spaces["category"], seed=0), questions)
    train, test = split_triplets(answered, [len(answered) - 20_000, 20_000], seed=2)
    return SPoSE(34, random_state=0).fit(train).to_space(train.ids), test


def agreement(space, measured):
    predicted = predicted_rsm(space, measured.similarity.index.tolist())
    return rsm_agreement(measured.similarity, predicted, seed=0)


def test_rsm_of_66_videos_is_predicted_and_half_of_the_weights_do_most_of_it(stimuli, measured):
    assert (measured.n_trials, measured.n_missing) == (45_760, 0)
    space, test = learned(stimuli, measured, 300_000)
    found = agreement(space, measured)
    assert found.n_pairs == 2145 and found.pearson.r > 0.96 and found.spearman.r > 0.94
    for one in (found.pearson, found.spearman):
        assert one.ci_low < one.r < one.ci_high and one.p == pytest.approx(1 / 1001)
        assert one.ci_high - one.ci_low > 1.5 * (one.pairs_ci_high - one.pairs_ci_low)
    needed = components_needed(space, test, seed=0).needed.set_index(["baseline", "share"])["k"]
    assert 4 <= needed["zero", 0.95] <= needed["chance", 0.95] <= 17
    curve = rsm_by_components(space, measured.similarity, seed=0).curve["r"]
    assert curve.iloc[-1] == pytest.approx(found.pearson.r) and curve.iloc[0] < 0.75


@pytest.mark.slow
def test_a_million_triplets_predict_the_rsm_almost_perfectly(stimuli, measured):
    space, _ = learned(stimuli, measured, 1_000_000)
    found = agreement(space, measured).pearson
    assert found.ci_low > 0.99
