"""Cross-validated settings: honest folds, right scores, the rule, the planted number, stops and processes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from affectome import SPoSE, TripletSet, sample_triplets, select_embedding, simulate_emotions
from affectome.embedding import Setting, choice_probabilities
from affectome.embedding._folds import plan_folds
from affectome.embedding._selection import _best, _one_se
from affectome.embedding._selection_io import FinishedPaths, selection_key
from affectome.errors import InputError

WORLD = simulate_emotions(40, 3, seed=0)
TRIALS = WORLD.sample_answers(6000, seed=1)
GRID = {"components": (1, 3), "l1": (0.003, 0.03), "n_folds": 3, "seed": 0}


class Known(SPoSE):
    """Knows the planted embedding of whatever stimuli it is given, whatever the setting."""

    def fit(self, X, y=None, **rest):
        self.embedding_ = WORLD.planted.loc[list(X.ids)].to_numpy()
        self.n_components_, self.objective_, self.converged_ = 3, 0.0, True
        return self


class Unfinished(Known):
    """Never comes to rest."""

    def fit(self, X, y=None, **rest):
        super().fit(X, y)
        self.converged_ = False
        return self


def repeated():
    """600 different triplets, each asked five times in slots of its own."""
    questions = sample_triplets(40, 600, design="repeated", repeats=5, seed=0)
    return questions.with_answers(np.random.default_rng(0).integers(0, 3, 3000))


def test_every_trial_is_held_out_once_and_repeats_stay_together():
    trials = repeated()
    plan = plan_folds(trials, "triplets", 4, seed=0)
    folds = [plan.fold(k) for k in range(4)]
    assert [len(np.unique(fold.test.keys())) for fold in folds] == [150] * 4
    assert sum(len(fold.test) for fold in folds) == 3000
    for fold in folds:
        assert not np.isin(fold.test.keys(), fold.train.keys()).any()
        assert len(fold.train) + len(fold.test) == 3000


def test_stimuli_are_held_out_of_all_that_is_learned_and_placed_from_half_of_their_triplets():
    trials = repeated()
    plan = plan_folds(trials, "stimuli", 4, seed=0)
    held_out = []
    for number in range(4):
        fold = plan.fold(number)
        held = np.setdiff1d(np.arange(40), fold.stimuli)
        held_out += held.tolist()
        assert fold.train.ids == tuple(trials.ids[k] for k in fold.stimuli)
        names = np.array(trials.ids)[trials.triplets]
        rows = ~np.isin(names, np.array(trials.ids)[held]).any(axis=1)
        assert (np.array(fold.train.ids)[fold.train.triplets] == names[rows]).all()  # the same trials, renumbered
        for part in (fold.place, fold.test):
            assert (np.isin(part.triplets, held).sum(axis=1) == 1).all()
        assert not np.isin(fold.test.keys(), fold.place.keys()).any()
        for k in held:
            placed, tested = (
                len(np.unique(part.keys()[(part.triplets == k).any(axis=1)])) for part in (fold.place, fold.test)
            )
            assert placed - tested in (0, 1)
    assert sorted(held_out) == list(range(40))


def test_scores_are_those_of_an_independent_computation():
    found = select_embedding(TRIALS, estimator=Known(), **GRID, n_jobs=1)
    p = choice_probabilities(WORLD.planted.to_numpy(), TRIALS.triplets).astype(np.float64)
    p /= p.sum(axis=1, keepdims=True)
    row = found.at(Setting(3, 0.003))
    assert row["log_loss"] == pytest.approx(log_loss(TRIALS.choice, p), abs=1e-6)  # folds are of one size
    best = p == p.max(axis=1, keepdims=True)
    hits = best[np.arange(6000), TRIALS.choice] / best.sum(axis=1)
    assert row["accuracy"] == pytest.approx(hits.mean(), abs=1e-9)
    folds = found.scores[(found.scores["n_components"] == 3) & (found.scores["l1"] == 0.003)]["log_loss"]
    assert row["log_loss_se"] == pytest.approx(folds.std(ddof=1) / np.sqrt(3))
    # All settings tie: the simplest is the best.
    assert found.best == found.one_se == Setting(1, 0.03)
    soft = select_embedding(TRIALS, estimator=Known(), **GRID, n_jobs=1, soft=True)
    entropy = -(TRIALS.probabilities * np.log(np.maximum(TRIALS.probabilities, 1e-30))).sum(axis=1).mean()
    assert soft.at(soft.best)["log_loss"] == pytest.approx(entropy, abs=1e-5)


def test_slot_offsets_of_the_estimator_enter_the_log_loss_and_not_the_accuracy():
    plain, biased = (
        select_embedding(TRIALS, estimator=Known(slot_offsets=b), **GRID, n_jobs=1).summary
        for b in (None, (1.0, 0.0, -1.0))
    )
    assert plain["accuracy"].equals(biased["accuracy"])
    s = np.log(choice_probabilities(WORLD.planted.to_numpy(), TRIALS.triplets)) + np.array([1.0, 0.0, -1.0])
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    assert biased["log_loss"][0] == pytest.approx(log_loss(TRIALS.choice, p), abs=1e-5)


def test_held_out_stimuli_are_predicted_from_their_place_alone():
    found = select_embedding(TRIALS, estimator=Known(), over="stimuli", **GRID, n_jobs=1)
    known = select_embedding(TRIALS, estimator=Known(), **GRID, n_jobs=1)
    gap = found.at(Setting(3, 0.003))["log_loss"] - known.at(Setting(3, 0.003))["log_loss"]
    assert 0 < gap < 0.05  # about a hundred trials place a stimulus nearly, not exactly
    # The judge is the same, but the triplets of a stranger say nothing: placing must not have seen the answers.
    guesses = TRIALS.with_answers(np.random.default_rng(0).integers(0, 3, len(TRIALS)))
    random = select_embedding(guesses, estimator=Known(), over="stimuli", **GRID, n_jobs=1)
    assert random.summary["accuracy"].between(0.30, 0.37).all()


@pytest.mark.parametrize("over", ["triplets", "stimuli"])
def test_the_planted_number_is_found(over):
    found = select_embedding(
        TRIALS, components=(1, 2, 3, 4, 6), l1=(0.003, 0.03), n_folds=4, over=over, seed=0, n_jobs=1
    )
    assert found.one_se.n_components == 3 and round(found.at(found.one_se)["n_kept"]) == 3
    by_count = found.summary.groupby("n_components")["log_loss"].min()
    assert by_count[1] > by_count[2] > by_count[3] + 0.05 and abs(by_count[3] - by_count[6]) < 0.02
    assert found.chosen == found.one_se and found.criterion == "log_loss" and found.n_trials == 6000


def table(rows):
    names = ["n_components", "l1", "log_loss", "log_loss_se", "n_kept"]
    made = pd.DataFrame(rows, columns=names)
    return made.assign(accuracy=1 - made["log_loss"], accuracy_se=made["log_loss_se"])


@pytest.mark.parametrize("criterion", ["log_loss", "accuracy"])
def test_the_rule_takes_the_simplest_within_one_error_of_the_best(criterion):
    rows = [(5, 0.1, 0.61, 0.9, 5), (10, 0.01, 0.52, 0, 10), (10, 0.03, 0.53, 0, 10), (30, 0.01, 0.50, 0.04, 29)]
    assert _best(table(rows), criterion) == Setting(30, 0.01)
    assert _one_se(table(rows), criterion) == Setting(10, 0.03)  # the error of the best counts, not that of others
    rows[3] = (30, 0.01, 0.50, 0.001, 29)
    assert _one_se(table(rows), criterion) == Setting(30, 0.01)
    # Kept components make a model simple, not those it starts with.
    rows[3] = (30, 0.01, 0.50, 0.04, 8.2)
    assert _one_se(table(rows), criterion) == Setting(30, 0.01)


def test_the_result_does_not_depend_on_processes_or_on_the_rest_of_the_grid():
    one, two = (select_embedding(TRIALS, **GRID, n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one.scores, two.scores, check_exact=True)
    wider = select_embedding(TRIALS, **{**GRID, "components": (1, 2, 3), "l1": (0.003, 0.01, 0.03)}, n_jobs=1).scores
    shared = wider[wider["n_components"].isin([1, 3]) & wider["l1"].isin([0.003, 0.03])]
    pd.testing.assert_frame_equal(one.scores, shared.reset_index(drop=True), check_exact=True)


def test_a_stop_loses_only_what_was_in_progress(tmp_path):
    whole = select_embedding(TRIALS, **GRID, n_jobs=1)
    store = FinishedPaths(tmp_path, selection_key(TRIALS, {"l1": [0.003, 0.03]}))

    def stop(path, scores):
        store.write(path, scores)
        if len(store.read()) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select_embedding(TRIALS, **GRID, n_jobs=1, keep=stop)
    (tmp_path / "fold-9-components-9.json").write_text('{"key": "cut sh')
    kept, told = [], []
    again = select_embedding(
        TRIALS, **GRID, n_jobs=1, finished=store.read(), keep=lambda path, scores: kept.append(path),
        progress=lambda done, total, detail="": told.append((done, total)),
    )  # fmt: skip
    assert len(kept) == 2 and told[0] == (8, 12) and told[-1] == (12, 12)
    pd.testing.assert_frame_equal(again.scores, whole.scores, check_exact=True)
    assert again.chosen == whole.chosen


def test_kept_parts_of_other_answers_or_settings_are_not_taken(tmp_path):
    settings = {"l1": [0.1], "seed": 0}
    key = selection_key(TRIALS, settings)
    FinishedPaths(tmp_path, key).write((1, 3), pd.DataFrame({"l1": [0.1]}))
    other = TRIALS.choice.copy()
    other[7] = (other[7] + 1) % 3
    changed = [
        selection_key(TRIALS, {**settings, "seed": 1}),
        selection_key(TRIALS.with_answers(other, TRIALS.probabilities), settings),
        selection_key(TripletSet(TRIALS.triplets, TRIALS.ids, TRIALS.choice), settings),
        selection_key(TRIALS[::-1], settings),
    ]
    assert len({key, *changed}) == 5
    assert list(FinishedPaths(tmp_path, key).read()) == [(1, 3)]
    assert not any(FinishedPaths(tmp_path, k).read() for k in changed)


def test_warm_paths_begin_as_cold_ones_and_end_no_worse():
    cold, warm = (select_embedding(TRIALS, **GRID, n_jobs=1, warm_start=w).scores for w in (False, True))
    first = cold["l1"] == 0.03
    pd.testing.assert_frame_equal(cold[first], warm[first], check_exact=True)
    assert not cold[~first].equals(warm[~first])
    assert (warm["objective"] < cold["objective"] + 0.002).all()


def test_doubts_are_said_in_sentences():
    found = select_embedding(TRIALS, components=(1, 2), l1=(0.003, 0.3), n_folds=2, seed=0, n_jobs=1)
    assert found.warnings[0] == (
        "The best number of components, 2, is the largest of the grid, so that the optimum may lie beyond it."
    )
    unfinished = select_embedding(TRIALS, estimator=Unfinished(), **GRID, n_jobs=1)
    assert unfinished.warnings[-1] == "12 of 12 fits stopped while their objective was still falling."


def test_unanswered_trials_are_counted_and_rules_differ_in_what_they_choose():
    choice = TRIALS.choice.copy()
    choice[:100] = -1
    best = select_embedding(
        TRIALS.with_answers(choice), **{**GRID, "components": (3, 6)}, n_jobs=1, rule="best", criterion="accuracy"
    )
    assert (best.n_trials, best.n_unanswered) == (5900, 100)
    assert best.chosen == best.best
    assert best.at(best.best)["accuracy"] == best.summary["accuracy"].max()
    with pytest.raises(InputError, match="not in the grid"):
        best.at(replace(best.best, l1=9.0))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"components": ()}, "is no grid; give whole numbers of at least 1"),
        ({"components": (0, 3)}, "is no grid"),
        ({"components": (2.5,)}, "is no grid"),
        ({"l1": (float("nan"),)}, "is no grid; give numbers of at least 0"),
        ({"n_folds": 1}, "6,000 different triplets cannot be dealt into 1 folds"),
        ({"n_folds": 41, "over": "stimuli"}, "40 stimuli cannot be dealt into 41 folds"),
        ({"over": "people"}, "over='people' is not known; choose triplets or stimuli"),
        ({"rule": "worst"}, "choose one-se or best"),
        ({"criterion": "auc"}, "choose log_loss or accuracy"),
        ({"soft": True}, "no probabilities to learn from"),
    ],
)
def test_unusable_settings_are_named(change, expected):
    hard = TripletSet(TRIALS.triplets, TRIALS.ids, TRIALS.choice)
    with pytest.raises(InputError, match=expected):
        select_embedding(hard, **{**GRID, **change})


def test_too_few_trials_over_stimuli_are_refused():
    few = TripletSet([[0, 1, 2], [3, 4, 5]], ids=list("abcdef"), choice=[0, 1])
    with pytest.raises(InputError, match="trials to learn from and 0 to predict"):
        select_embedding(few, components=(1,), l1=(0.01,), n_folds=2, over="stimuli", seed=0)
    with pytest.raises(InputError, match="0 different triplets cannot be dealt"):
        select_embedding(few[:0], components=(1,), l1=(0.01,), seed=0)
