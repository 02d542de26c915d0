"""scikit-learn takes a TripletSet as X."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score, train_test_split

from affectome.triplets import TripletSet


class ShareOfSlot(BaseEstimator):
    """Scores the share of held-out trials in which `slot` was odd; remembers what it was fitted on."""

    def __init__(self, slot=0):
        self.slot = slot

    def fit(self, X, y=None):
        assert isinstance(X, TripletSet)
        self.n_trials_ = len(X)
        return self

    def score(self, X, y=None):
        return float((X.choice == self.slot).mean())


def test_kfold_indexes_every_trial_into_one_test_fold(trials):
    folds = [trials[test] for _, test in KFold(4, shuffle=True, random_state=0).split(trials)]
    assert [len(fold) for fold in folds] == [15] * 4
    together = np.concatenate([np.column_stack([fold.block, fold.triplets]) for fold in folds])
    everything = np.column_stack([trials.block, trials.triplets])
    assert sorted(together.tolist()) == sorted(everything.tolist())


def test_group_kfold_by_keys_keeps_repeats_on_one_side(trials):
    splits = list(GroupKFold(5).split(trials, groups=trials.keys()))
    assert sum(len(test) for _, test in splits) == 60
    for train, test in splits:
        assert not set(trials[train].keys()) & set(trials[test].keys())


def test_train_test_split_gives_triplet_sets(trials):
    train, test = train_test_split(trials, test_size=0.25, random_state=0)
    assert isinstance(train, TripletSet) and (len(train), len(test)) == (45, 15)
    assert train.ids == trials.ids


def test_cross_validation_scores_the_held_out_trials(trials):
    folds = KFold(3)
    scores = cross_val_score(ShareOfSlot(slot=1), trials, cv=folds)
    assert scores.tolist() == pytest.approx([(trials.choice[test] == 1).mean() for _, test in folds.split(trials)])


def test_a_grid_search_picks_the_slot_that_was_odd_most(trials):
    search = GridSearchCV(ShareOfSlot(), {"slot": [0, 1, 2]}, cv=KFold(3)).fit(trials)
    counts = [(trials.choice == slot).sum() for slot in range(3)]
    assert search.best_params_ == {"slot": int(np.argmax(counts))} and search.best_estimator_.n_trials_ == 60
    assert search.best_score_ == pytest.approx(max(counts) / 60)
