"""Silhouettes: against scikit-learn, their influence by finite differences, intervals and nulls in simulated worlds."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import false_discovery_control
from sklearn.metrics import silhouette_samples, silhouette_score
from threadpoolctl import threadpool_limits

from affectome import InputError
from affectome.interpretation import silhouette
from affectome.interpretation._classification import labelled_points
from affectome.interpretation._silhouette import _silhouettes


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for one another on busy cores take many times as long."""
    with threadpool_limits(1):
        yield


def draw(seed, n=150, n_classes=5, p=6, sparse=False, signal=1.2):
    """Categories of falling size; sparse ones are non-negative and skewed, as weights are."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(6)
    share = 0.7 ** np.arange(n_classes)
    code = np.r_[np.repeat(np.arange(n_classes), 2), rng.choice(n_classes, n - 2 * n_classes, p=share / share.sum())]
    if sparse:
        active = 0.15 + 0.5 * signal * (fixed.random((n_classes, p)) < 0.35)
        values = rng.gamma(2, 0.3, (n, p)) * (rng.random((n, p)) < active[code])
    else:
        values = rng.normal(size=(n, p)) + signal * fixed.normal(size=(n_classes, p))[code]
    ids = [f"s{k:03d}" for k in range(n)]
    return pd.DataFrame(values.astype(np.float32), index=ids), pd.Series([f"c{c}" for c in code], index=ids)


@pytest.mark.parametrize("sparse", [False, True])
def test_every_silhouette_is_that_of_scikit_learn(sparse):
    space, labels = draw(0, sparse=sparse)
    got = silhouette(space, labels, n_permutations=19, n_boot=10, seed=0)
    values = silhouette_samples(space.to_numpy(float), labels)
    np.testing.assert_allclose(got.stimuli, values, atol=1e-12)
    assert got.overall["value"]["plain"] == pytest.approx(silhouette_score(space.to_numpy(float), labels))
    means = pd.Series(values, labels.index).groupby(labels).mean()
    pd.testing.assert_series_equal(got.classes["value"].sort_index(), means, check_names=False, check_index_type=False)
    assert got.overall["value"]["balanced"] == pytest.approx(means.mean())
    assert got.classes["n"].to_dict() == labels.value_counts().to_dict()
    np.testing.assert_allclose(got.classes["q"], false_discovery_control(got.classes["p"]))


def test_the_influence_of_a_stimulus_is_the_derivative_of_the_means_by_its_weight():
    space, labels = draw(1, n=40, n_classes=3, sparse=True)
    data = labelled_points(space, labels)
    x, member = data.points[data.order], data.member
    distance, one = cdist(x, x), np.eye(3)[data.member]

    def means(weights):
        """Weighted category means of the silhouettes; the weight of a stimulus in its own mean distances stays 0."""
        total = weights @ one
        sums = distance @ (weights[:, None] * one)
        own = sums[np.arange(40), member] / (total[member] - 1)
        other = np.where(one > 0, np.inf, sums / total).min(axis=1)
        # A stimulus of weight w counts w in its category but leaves out one: held fixed here, as in the jackknife.
        values = (other - own) / np.maximum(own, other)
        return (weights * values) @ one / total

    _, influence = _silhouettes(distance, data)
    step = 1e-5
    for j in range(0, 40, 7):
        w = np.ones(40)
        w[j] += step
        up = means(w)
        w[j] -= 2 * step
        slope = (up - means(w)) / (2 * step) * data.sizes
        # The reference lets a stimulus into the size of its own group: that part of the difference is known.
        sums = distance[j][member == member[j]].sum()
        size = data.sizes[member[j]]
        a = sums / (size - 1)
        other = np.where(one[j] > 0, np.inf, distance[j] @ one / data.sizes).min()
        moved = -a / (size - 1) * (-1 / other if a < other else -other / a**2)
        expected = influence[j].copy()
        expected[member[j]] += moved
        np.testing.assert_allclose(slope, expected, atol=1e-4)


@pytest.mark.parametrize("sparse", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_intervals_cover_the_silhouette_that_many_other_samples_have(sparse):
    tables, classes = [], []
    for seed in range(200):
        space, labels = draw(seed, sparse=sparse)
        got = silhouette(space, labels, n_permutations=1, n_boot=80, seed=seed)
        tables.append(got.overall), classes.append(got.classes.loc["c0"])
    values = np.array([table["value"] for table in tables])
    low, high = (np.array([table[name] for table in tables]) for name in ("ci_low", "ci_high"))
    least = 0.95 - 3 * np.sqrt(0.05 * 0.95 / 200)
    assert (((low <= values.mean(axis=0)) & (values.mean(axis=0) <= high)).mean(axis=0) >= least).all()
    largest = pd.DataFrame(classes)
    target = largest["value"].mean()
    assert ((largest["ci_low"] <= target) & (target <= largest["ci_high"])).mean() >= least
    width = (high - low).mean(axis=0)
    assert (width < 2 * 2.4 * values.std(axis=0)).all()  # and not by being twice as wide as need be


def test_p_is_valid_where_labels_say_nothing():
    overall, classes = [], []
    for seed in range(150):
        space, labels = draw(seed, n=50, n_classes=3, sparse=True, signal=0.0)
        got = silhouette(space, labels, n_permutations=99, n_boot=2, seed=seed)
        overall.append(got.overall["p"]), classes.append(got.classes["p"].sort_index())
    for p in (np.array(overall), np.array(classes)):
        for alpha in (0.01, 0.05, 0.1):
            assert ((p <= alpha + 1e-9).mean(axis=0) <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 150)).all()
        assert (p <= 0.5).mean() > 0.4


def test_p_of_few_stimuli_counts_the_permutations_that_change_nothing():
    """Of the 20 ways to label six stimuli two have the labels' own silhouette, so that p is about .1 at the least."""
    ids = [f"s{k}" for k in range(6)]
    labels = pd.Series(list("aaabbb"), index=ids)
    p = []
    for seed in range(40):
        space = pd.DataFrame(np.random.default_rng(seed).normal(size=(6, 3)), index=ids)
        p.append(silhouette(space, labels, n_permutations=199, n_boot=2, seed=seed).overall["p"])
    assert np.min(p) > 0.1 - 4 * np.sqrt(0.1 * 0.9 / 199)


def test_threads_change_no_bit():
    space, labels = draw(1, n=300)
    with threadpool_limits(2):
        two = silhouette(space, labels, n_permutations=20, n_boot=20, seed=0)
    one = silhouette(space, labels, n_permutations=20, n_boot=20, seed=0)
    pd.testing.assert_frame_equal(one.overall, two.overall, check_exact=True)
    pd.testing.assert_frame_equal(one.classes, two.classes, check_exact=True)


def test_draws_that_miss_one_of_two_categories_leave_the_interval_defined():
    rng = np.random.default_rng(0)
    ids = [f"s{k:02d}" for k in range(30)]
    space = pd.DataFrame(rng.normal(size=(30, 3)), index=ids)  # one in eight draws has none of the two rare ones
    got = silhouette(space, pd.Series(["rare"] * 2 + ["common"] * 28, index=ids), n_permutations=9, seed=0).overall
    assert (got["ci_low"] < got["value"]).all() and (got["value"] < got["ci_high"]).all()


def test_the_null_is_that_of_scikit_learn_with_labels_shuffled():
    space, labels = draw(3, n=80)
    got = silhouette(space, labels, n_permutations=300, n_boot=2, seed=0).overall.loc["plain"]
    rng = np.random.default_rng(1)
    redone = [silhouette_score(space.to_numpy(float), rng.permutation(labels)) for _ in range(100)]
    error = np.std(redone) * np.sqrt(1 / 100 + 1 / 300)
    assert got["null_mean"] == pytest.approx(np.mean(redone), abs=4 * error)
    assert got["null_high"] == pytest.approx(np.quantile(redone, 0.95), abs=8 * error)
    assert got["p"] == 1 / 301


def test_small_categories_have_a_value_and_no_interval_and_stimuli_alone_are_left_out():
    space, labels = draw(0, n=60, n_classes=2)
    labels.iloc[:3], labels.iloc[3] = "few", "alone"
    got = silhouette(space, labels, n_permutations=9, n_boot=50, seed=0)
    few = got.classes.loc["few"]
    assert few["n"] == 3 and np.isfinite(few["value"]) and np.isnan(few[["ci_low", "ci_high"]].astype(float)).all()
    assert (got.n_single, got.n_stimuli, got.n_classes) == (1, 59, 3)
    with pytest.raises(InputError, match=r"n_boot=0 and level=0\.95 make no interval"):
        silhouette(space, labels, n_boot=0, seed=0)
    again = silhouette(space.iloc[::-1], labels, n_permutations=9, n_boot=50, seed=0)
    pd.testing.assert_frame_equal(again.overall, got.overall)
