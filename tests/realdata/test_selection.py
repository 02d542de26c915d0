"""Selection and placement on choices made from the published ratings of 2,185 videos."""

import numpy as np
import pytest

from affectome import FeatureJudge, SPoSE, ask, place_stimuli, sample_triplets, select_embedding
from affectome.behavior import held_out_accuracy
from affectome.stimuli import load_cowen_keltner


@pytest.fixture(scope="module")
def trials(data):
    stimuli = load_cowen_keltner(data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv")
    questions = sample_triplets(stimuli.ids, 200_000, seed=0)
    return ask(FeatureJudge(stimuli.spaces["category"], seed=0), questions)


def test_few_trials_want_sparsity(trials):
    quick = SPoSE(n_epochs=16, max_iter=10)
    found = select_embedding(trials[:60_000], components=(20,), l1=(0.003, 0.03), n_folds=2, estimator=quick, seed=0)
    assert found.best.l1 == found.one_se.l1 == 0.03
    # Overfitting shows in the log loss, and hardly in the accuracy.
    loose, sparse = (found.summary.query("l1 == @w").iloc[0] for w in (0.003, 0.03))
    assert loose["log_loss"] > 1.3 * sparse["log_loss"]
    assert abs(sparse["accuracy"] - loose["accuracy"]) < 0.03


def test_videos_that_a_space_never_saw_are_placed_in_it(trials):
    new = np.arange(0, trials.n_stimuli, 10)
    count = np.isin(trials.triplets, new).sum(axis=1)
    space = SPoSE(20, 0.03, random_state=0).fit(trials[count == 0]).to_space()
    known = space.drop(index=space.index[new])
    mine = trials[count == 1]
    half = np.random.default_rng(0).random(len(mine)) < 0.5
    placed = place_stimuli(known, mine[half], l1=0.03)
    assert placed.table["converged"].all() and len(placed.space) == len(new)
    space.loc[placed.space.index] = placed.space
    assert held_out_accuracy(space, mine[~half], seed=0).value > 0.8
