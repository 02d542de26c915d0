"""Accuracy of placements is that of models that have not seen the stimulus, and its p and intervals hold."""

import itertools

import numpy as np
import pandas as pd
import pytest

from affectome import SpacePredictor, TripletSet, held_out_accuracy, prediction_accuracy
from affectome._groups import assign_folds
from affectome.errors import InputError
from affectome.prediction._agreement import shared_variance, similarity_agreement


def world(n=150, p=8, n_components=4, seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    y = signal * x @ rng.normal(size=(p, n_components)) / np.sqrt(p) + rng.normal(size=(n, n_components))
    ids = [f"v{k:03d}" for k in range(n)]
    return (
        pd.DataFrame(x, ids, [f"f{k}" for k in range(p)]),
        pd.DataFrame(y, ids, [f"c{k}" for k in range(n_components)]),
    )


def folds_of(n, seed, n_folds=5):
    return assign_folds(np.arange(n), n_folds, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))))


@pytest.mark.parametrize("p", [8, 200])
def test_placements_are_those_of_predictors_fitted_to_the_other_folds(p):
    features, space = world(p=p)
    found = prediction_accuracy(features, space, n_permutations=19, seed=3)
    fold = folds_of(150, 3)
    expected, means = np.empty((150, 4)), np.empty((150, 4))
    for f in range(5):
        train, held = fold != f, fold == f
        inner = fold[train]
        cv = [(np.flatnonzero(inner != g), np.flatnonzero(inner == g)) for g in range(5) if g != f]
        expected[held] = SpacePredictor(cv=cv).fit(features[train], space[train]).predict(features[held])
        means[held] = space[train].mean()
    np.testing.assert_allclose(found.predicted, expected, atol=1e-5)
    y = space.to_numpy()
    np.testing.assert_allclose(
        found.components["r2"], 1 - ((y - expected) ** 2).sum(axis=0) / ((y - means) ** 2).sum(axis=0), atol=1e-6
    )
    r = [np.corrcoef((expected - means)[:, k], y[:, k])[0, 1] for k in range(4)]
    np.testing.assert_allclose(found.components["r"], r, atol=1e-6)


def test_stimulus_cannot_reach_its_own_placement():
    features, space = world()
    before = prediction_accuracy(features, space, n_permutations=1, seed=0).predicted
    changed = space.copy()
    changed.iloc[7] += 50
    after = prediction_accuracy(features, changed, n_permutations=1, seed=0).predicted
    fold = folds_of(150, 0)
    same = fold == fold[7]
    np.testing.assert_allclose(after[same], before[same], atol=1e-6)
    assert (np.abs(after[~same] - before[~same]).max(axis=1) > 1e-3).all()


def test_one_p_in_twenty_is_below_05_without_any_relation():
    p = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        ids = [f"v{k}" for k in range(80)]
        features = pd.DataFrame(rng.gamma(0.3, size=(80, 10)), ids).add_prefix("f")
        space = pd.DataFrame(rng.gamma(0.3, size=(80, 40)), ids).add_prefix("c")
        p.append(prediction_accuracy(features, space, n_permutations=99, seed=seed).components["p"])
    shares = [(np.concatenate(p) <= level).mean() for level in (0.05, 0.2, 0.5)]
    np.testing.assert_allclose(shares, [0.05, 0.2, 0.5], atol=0.06)
    assert shares[0] < 0.08


def test_planted_components_are_found_and_the_mean_scores_zero():
    features, space = world(signal=1.5)
    space["noise"] = np.random.default_rng(9).normal(size=150)
    space["constant"] = 1.0
    table = prediction_accuracy(features, space, n_permutations=199, seed=0).components
    assert (table["q"][:4] < 0.05).all() and table.loc["noise", "q"] > 0.05
    assert abs(table.loc["noise", "r2"]) < 0.05
    assert table.loc["constant"].isna().all()


def test_intervals_hold_the_accuracy_on_new_stimuli():
    held = {"r": [], "r2": []}
    n, p = 150, 30
    for seed in range(25):
        rng = np.random.default_rng(seed)
        slopes = np.random.default_rng(99).normal(size=(p, 8)) / np.sqrt(p)
        x = rng.normal(size=(n + 1500, p))
        y = x @ slopes + rng.normal(size=(n + 1500, 8))
        ids = [f"v{k}" for k in range(n + 1500)]
        features, space = pd.DataFrame(x, ids).add_prefix("f"), pd.DataFrame(y, ids).add_prefix("c")
        table = prediction_accuracy(features[:n], space[:n], n_permutations=1, seed=seed).components
        model = SpacePredictor().fit(features[: int(0.8 * n)], space[: int(0.8 * n)])
        placed, new = model.predict(features[n:]), y[n:]
        truth = {
            "r": np.array([np.corrcoef(placed[:, k], new[:, k])[0, 1] for k in range(8)]),
            "r2": 1 - ((new - placed) ** 2).sum(axis=0) / ((new - y[: int(0.8 * n)].mean(axis=0)) ** 2).sum(axis=0),
        }
        for name, value in truth.items():
            held[name].append((table[f"{name}_low"] <= value) & (value <= table[f"{name}_high"]))
    assert 0.85 < np.mean(held["r"]) < 0.99
    assert 0.85 < np.mean(held["r2"]) < 0.99


def test_copies_leak_unless_they_are_in_one_group(caplog):
    features, space = world(n=80, p=200, signal=0)
    twice, answer = (pd.concat([part, part.add_suffix("+", axis=0)]) for part in (features, space))
    group = {name: name.rstrip("+") for name in twice.index}
    leaked = prediction_accuracy(twice, answer, n_permutations=19, seed=0)
    assert "160 stimuli have exactly the features of another (v000, v001" in caplog.text
    caplog.clear()
    kept = prediction_accuracy(twice, answer, groups=group, n_permutations=19, seed=0)
    assert "exactly the features" not in caplog.text
    assert leaked.components["r"].min() > 0.5 and kept.components["r"].max() < 0.4
    assert kept.similarity.n_pairs < leaked.similarity.n_pairs


def test_similarity_counts_pairs_of_one_fold_and_none_within_a_group():
    rng = np.random.default_rng(0)
    predicted, actual = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    actual += predicted
    fold, group = np.arange(30) % 3, np.minimum(np.arange(30), 27)
    fold[27:] = 0

    def of(rows):
        pairs = [(i, j) for i, j in itertools.combinations(rows, 2) if fold[i] == fold[j] and group[i] != group[j]]
        a, b = (np.array([part[i] @ part[j] for i, j in pairs]) for part in (predicted, actual))
        return np.corrcoef(a, b)[0, 1], len(pairs)

    found = similarity_agreement(predicted, actual, fold, group, "dot", 0.95)
    assert (found.r, found.n_pairs) == (pytest.approx(of(range(30))[0]), of(range(30))[1])
    without = np.arctanh([of(np.flatnonzero(group != g))[0] for g in range(28)])
    spread = np.sqrt(27 / 28 * ((without - without.mean()) ** 2).sum())
    assert np.arctanh(found.r_high) - np.arctanh(found.r) == pytest.approx(1.959964 * spread)
    with pytest.raises(InputError, match="similarities are products"):
        similarity_agreement(predicted, actual, fold, group, "euclidean", 0.95)


def test_choices_are_scored_from_placements_beside_the_space():
    features, space = world(signal=2)
    trials = TripletSet(
        np.array([[0, 1, 2], [3, 4, 5], [6, 7, 150], [8, 9, 10], [0, 5, 9]]),
        ids=[*space.index, "other"],
        choice=[0, 1, 2, -1, 2],
    )
    found = prediction_accuracy(features, space, trials=trials, n_permutations=1, seed=0)
    assert (found.choices.n_trials, found.choices.n_left_out) == (3, 2)
    usable = TripletSet(trials.triplets[[0, 1, 4]], ids=space.index.tolist(), choice=trials.choice[[0, 1, 4]])
    for name, part in (("placed", found.predicted), ("space", space)):
        assert found.choices.table.loc[name, "accuracy"] == held_out_accuracy(part, usable, seed=0).value
    table = found.choices.table["accuracy"]
    assert table["difference"] == pytest.approx(table["space"] - table["placed"])
    with pytest.raises(InputError, match="no answered trial is among"):
        prediction_accuracy(features, space, trials=trials[3:4], n_permutations=1, seed=0)


def test_variance_of_trials_counts_every_pair_that_shares_a_stimulus_once():
    rng = np.random.default_rng(0)
    members = np.array([rng.choice(8, 3, replace=False) for _ in range(40)])
    residual = rng.normal(size=40)
    total = sum(residual[s] * residual[t] for s in range(40) for t in range(40) if set(members[s]) & set(members[t]))
    assert shared_variance(residual, members) == pytest.approx(max(total, (residual**2).sum()) / 40**2)
    apart = np.arange(120).reshape(40, 3)
    assert shared_variance(residual, apart) == pytest.approx((residual**2).sum() / 40**2)


def test_bad_input_is_named():
    features, space = world()
    with pytest.raises(InputError, match=r"the features: 2 of 150 stimuli are not in it \(v003, v004\)"):
        prediction_accuracy(features.drop(["v003", "v004"]), space, seed=0)
    with pytest.raises(InputError, match="12 stimuli are too few for 5 folds"):
        prediction_accuracy(features, space[:12], seed=0)
    with pytest.raises(InputError, match=r"row 2 \(id v001\).*column 'c0' is missing"):
        prediction_accuracy(features, space.assign(c0=np.r_[1.0, np.nan, np.ones(148)]), seed=0)
    with pytest.raises(InputError, match="every feature is constant"):
        prediction_accuracy(features * 0, space, seed=0)
    with pytest.raises(InputError, match="no null without permutations"):
        prediction_accuracy(features, space, n_permutations=0, seed=0)
