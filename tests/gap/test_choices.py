"""Which space follows choices: against brute force, and how often equal spaces differ."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome import InputError, TripletSet, held_out_accuracy
from affectome.gap import score_choices
from affectome.spaces import similarity
from affectome.triplets import sample_triplets

IDS = [f"s{k:02d}" for k in range(25)]


def space_of(values):
    return pd.DataFrame(values, IDS[: len(values)], [f"c{k}" for k in range(values.shape[1])])


def answers(n=25, n_trials=300, seed=0):
    trials = sample_triplets(IDS[:n], n_trials, seed=seed)
    return TripletSet(trials.triplets, trials.ids, np.random.default_rng(seed).integers(-1, 3, n_trials))


def brute_hits(space, trials, metric):
    """Trial by trial, from the whole matrix of similarities; ties shared."""
    near = similarity(space, metric).to_numpy()
    hits = []
    for (a, b, c), choice in zip(trials.triplets, trials.choice, strict=True):
        if choice >= 0:
            pairs = np.array([near[b, c], near[a, c], near[a, b]])
            best = np.isclose(pairs, pairs.max(), rtol=0, atol=1e-9)
            hits.append(best[choice] / best.sum())
    return np.array(hits)


@pytest.mark.parametrize("metric", ["cosine", "correlation", "dot", "euclidean"])
def test_accuracy_is_that_of_every_trial_looked_up(metric):
    space, trials = space_of(np.random.default_rng(1).integers(0, 3, (25, 4)).astype(float) + np.eye(25, 4)), answers()
    found = score_choices({"a": space}, trials, metric=metric)
    assert found.scores.loc["a", "accuracy"] == pytest.approx(brute_hits(space, trials, metric).mean(), abs=1e-12)
    assert found.n_trials == int((trials.choice >= 0).sum()) and found.n_stimuli == 25


def test_embeddings_score_as_held_out_accuracy_does():
    space, trials = space_of(np.random.default_rng(2).gamma(1, size=(25, 5))), answers()
    expected = held_out_accuracy(space, trials, seed=0).value
    assert score_choices({"a": space}, trials, metric="dot").scores["accuracy"].iloc[0] == pytest.approx(expected)


def test_the_standard_error_is_that_of_weights_moved_a_little():
    rng = np.random.default_rng(3)
    a, b = (space_of(rng.normal(size=(25, 3))) for _ in "ab")
    trials = answers(n_trials=200)
    found = score_choices({"a": a, "b": b}, trials, pairs=[("a", "b")])
    shown = trials.triplets[trials.choice >= 0]
    for hits, se in (
        (brute_hits(a, trials, "cosine"), found.scores.loc["a", "se"]),
        (brute_hits(a, trials, "cosine") - brute_hits(b, trials, "cosine"), found.differences["se"].iloc[0]),
    ):
        moved = []
        for stimulus in range(25):  # the derivative of the weighted mean, by a small step
            weights = np.where((shown == stimulus).any(axis=1), 1 + 1e-6, 1.0)
            moved.append((np.average(hits, weights=weights) - hits.mean()) / 1e-6)
        assert se**2 == pytest.approx(np.square(moved).sum() * 25 / 24, rel=1e-4)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_neither_the_order_of_trials_nor_that_of_stimuli_or_slots_matters(seed):
    rng = np.random.default_rng(seed)
    spaces = {name: space_of(rng.normal(size=(25, 3))) for name in "ab"}
    trials = answers(seed=seed)
    new, slots = rng.permutation(25), np.argsort(rng.random((len(trials), 3)), axis=1)
    moved = np.argsort(new)[trials.triplets]
    shuffled = np.take_along_axis(moved, slots, axis=1)
    choice = np.where(trials.choice < 0, -1, (slots == trials.choice[:, None]).argmax(axis=1))
    order = rng.permutation(len(trials))
    again = TripletSet(shuffled[order], [IDS[k] for k in new], choice[order])
    first, second = (score_choices(spaces, t, pairs=[("a", "b")]) for t in (trials, again))
    columns = ["accuracy", "se", "low", "high"]
    np.testing.assert_allclose(first.scores[columns], second.scores[columns], atol=1e-12)
    np.testing.assert_allclose(first.differences.iloc[:, 2:], second.differences.iloc[:, 2:], atol=1e-12)


def study_of(seed, noise, n=40, n_trials=600):
    """Choices by a truth that is known, and two spaces that each see it with some noise."""
    rng = np.random.default_rng(seed)
    ids = [str(k) for k in range(n)]
    truth = pd.DataFrame(rng.normal(size=(n, 3)), ids)
    spaces = {name: truth + size * rng.normal(size=(n, 3)) for name, size in zip("ab", noise, strict=True)}
    trials = sample_triplets(ids, n_trials, seed=seed)
    near = similarity(truth, "cosine").to_numpy()
    a, b, c = trials.triplets.T
    kept = np.stack([near[b, c], near[a, c], near[a, b]], axis=1) + rng.gumbel(scale=0.3, size=(n_trials, 3))
    return spaces, TripletSet(trials.triplets, ids, kept.argmax(axis=1))


def test_equally_related_spaces_differ_at_05_in_no_more_than_one_study_of_twenty():
    p = [score_choices(*study_of(seed, (1.0, 1.0)), pairs=[("a", "b")]).differences["p"].iloc[0] for seed in range(300)]
    assert np.mean(np.array(p) <= 0.05) <= 0.075  # s.e. .0126


def test_a_space_with_less_noise_is_found():
    p = [score_choices(*study_of(seed, (0.2, 3.0)), pairs=[("a", "b")]).differences.iloc[0] for seed in range(10)]
    assert all(row["p"] < 0.01 and row["difference"] > 0 and row["low"] > 0 for row in p)


def test_a_space_against_itself_is_equal_in_every_trial():
    space = space_of(np.random.default_rng(0).normal(size=(25, 3)))
    found = score_choices({"a": space, "b": space.copy()}, answers(), pairs=[("a", "b")]).differences.iloc[0]
    assert found[["difference", "low", "high", "p"]].tolist() == [0, 0, 0, 1]


def test_what_cannot_be_scored_is_told():
    trials, space = answers(), space_of(np.random.default_rng(0).normal(size=(25, 3)))
    with pytest.raises(InputError, match="no trial is answered"):
        score_choices({"a": space}, TripletSet(trials.triplets, trials.ids))
    few = trials[np.isin(trials.triplets, range(8)).all(axis=1)]
    with pytest.raises(InputError, match="too few to compare spaces"):
        score_choices({"a": space}, few)
    with pytest.raises(InputError, match="s24"):
        score_choices({"a": space.iloc[:24]}, trials)
