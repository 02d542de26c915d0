import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import NearestCentroid as SklearnCentroid

from affectome import InputError
from affectome.interpretation import (
    category_structure,
    classify,
    classify_categories,
    column_shuffled,
    silhouette,
    top_categories,
)


def draw(seed, n=60, n_classes=4, p=3, signal=1.0):
    """Points around the centres of their classes; every class has at least two."""
    rng = np.random.default_rng(seed)
    code = np.r_[np.repeat(np.arange(n_classes), 2), rng.integers(0, n_classes, n - 2 * n_classes)]
    values = rng.normal(size=(n, p)) + signal * rng.normal(size=(n_classes, p))[code]
    ids = [f"s{k:03d}" for k in range(n)]
    space = pd.DataFrame(values.astype(np.float32), index=ids)
    return space, pd.Series([f"class {c}" for c in code], index=ids)


def brute_force(space, labels, top):
    hits = []
    for i in labels.index:
        others = labels.drop(i)
        distance = {
            name: np.linalg.norm(
                space.loc[i].astype(float) - space.loc[others.index[others == name]].astype(float).mean()
            )
            for name in sorted(set(labels))
        }
        hits.append(sorted(distance, key=distance.get).index(labels[i]) < top)
    return pd.Series(hits, index=labels.index)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**20), top=st.integers(1, 3))
def test_hits_equal_a_leave_one_out_loop(seed, top):
    space, labels = draw(seed, n=30)
    got = classify_categories(space, labels, top=top, n_permutations=1, seed=0)
    hits = brute_force(space, labels, top)
    per_class = hits.groupby(labels).mean()
    assert got.value == pytest.approx(hits.mean(), abs=1e-12)
    assert got.balanced == pytest.approx(per_class.mean(), abs=1e-12)
    pd.testing.assert_series_equal(got.classes["value"].sort_index(), per_class, check_names=False, check_dtype=False)
    assert got.classes["n"].to_dict() == labels.value_counts().to_dict()
    assert (np.diff(got.classes["n"]) <= 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_one_is_what_scikit_learn_predicts_for_a_stimulus_left_out(seed):
    space, labels = draw(seed)
    predicted = cross_val_predict(SklearnCentroid(), space.to_numpy(), labels.to_numpy(), cv=LeaveOneOut())
    got = classify_categories(space, labels, top=1, n_permutations=1, seed=0)
    assert got.value == pytest.approx((predicted == labels.to_numpy()).mean(), abs=1e-12)
    assert 0.3 < got.value < 1


@given(seed=st.integers(0, 2**20))
@settings(deadline=None, max_examples=10)
def test_neither_order_nor_rotation_nor_scale_nor_names_matter(seed):
    space, labels = draw(seed)
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = pd.DataFrame(space.to_numpy() @ rotation * 3 + 1, index=space.index).iloc[rng.permutation(60)]
    one = classify_categories(space, labels, top=2, n_permutations=1, seed=0)
    other = classify_categories(turned, labels.iloc[rng.permutation(60)], top=2, n_permutations=1, seed=0)
    assert other.value == pytest.approx(one.value) and other.balanced == pytest.approx(one.balanced)


def test_p_is_uniform_where_labels_say_nothing():
    p = []
    for seed in range(300):
        space, _ = draw(seed, n=150, n_classes=6, signal=0)
        labels = pd.Series(np.random.default_rng(seed + 10_000).integers(0, 6, 150).astype(str), index=space.index)
        got = classify(space, labels, top=2, n_permutations=39, n_subsamples=2, seed=seed)  # its interval costs most
        p.append(got.accuracy["p"]["plain", 2])
    assert classify_categories(space, labels, top=2, n_permutations=39, seed=seed).p == p[-1]
    p = np.array(p)
    assert set(np.round(p * 40, 9) % 1) == {0}
    for alpha in (0.05, 0.1, 0.25):
        assert binomtest(int((p <= alpha + 1e-9).sum()), 300, alpha).pvalue > 1e-3
    assert p.mean() == pytest.approx(
        0.5 + 1 / 80, abs=0.03 + 4 / np.sqrt(12 * 300)
    )  # ties with the null push p up a little


def test_the_null_lies_about_guessing_and_a_signal_far_above():
    space, labels = draw(0, n=120, n_classes=6, signal=3)
    got = classify_categories(space, labels, top=2, n_permutations=99, seed=0)
    assert got.null_mean < got.null_high < got.value and got.p == 1 / 100
    assert got.null_mean == pytest.approx(2 / 6, abs=0.03)
    rng = np.random.default_rng(1)
    redone = [brute_force(space, pd.Series(rng.permutation(labels), index=labels.index), 2).mean() for _ in range(3)]
    assert got.null_mean == pytest.approx(np.mean(redone), abs=4 * np.std(redone) / np.sqrt(3) + 0.01)


def test_the_interval_is_at_least_that_of_wilson():
    space, labels = draw(2, n=400)
    got = classify_categories(space, labels, top=1, n_permutations=1, seed=0)
    wilson = binomtest(round(got.value * 400), 400).proportion_ci(0.95, method="wilson")
    assert got.ci_low <= wilson.low + 1e-12 < got.value < wilson.high - 1e-12 <= got.ci_high
    assert got.ci_high - got.ci_low < 1.5 * (wilson.high - wilson.low)
    assert got.balanced_low < got.balanced < got.balanced_high


def test_priors_are_those_of_always_naming_the_commonest():
    space, _ = draw(0, n=20, n_classes=4)
    labels = pd.Series(["a"] * 9 + ["b"] * 6 + ["c"] * 3 + ["d"] * 2, index=space.index)
    got = classify_categories(space, labels, top=2, n_permutations=1, seed=0)
    assert (got.prior, got.prior_balanced) == (15 / 20, 2 / 4)
    assert (got.top, got.n_stimuli, got.n_classes, got.n_permutations, got.n_single) == (2, 20, 4, 1, 0)


def test_singletons_rare_categories_excluded_ids_and_unlabelled_stimuli_are_left_out():
    space, _ = draw(0, n=20, n_classes=4)
    labels = pd.Series(["a"] * 7 + ["b"] * 5 + ["c"] * 4 + ["d"] * 2 + ["alone"], index=space.index[:19])
    got = classify_categories(space, labels, top=1, n_permutations=1, seed=0)
    assert (got.n_stimuli, got.n_classes, got.n_single) == (18, 4, 1)
    common = classify_categories(space, labels, top=1, most_common=3, n_permutations=1, seed=0)
    assert common.classes["n"].to_dict() == {"a": 7, "b": 5, "c": 4}
    assert common.value == pytest.approx(brute_force(space, labels[:16], 1).mean())
    fewer = classify_categories(
        space, labels, top=1, exclude=[*space.index[:3], space.index[16]], n_permutations=1, seed=0
    )
    assert fewer.classes["n"].to_dict() == {"b": 5, "a": 4, "c": 4}
    assert fewer.n_single == 2  # "d" has lost one of its two
    stranger = pd.concat([labels, pd.Series(["a"], index=["not in the space"])])
    assert classify_categories(space, stranger, top=1, n_permutations=1, seed=0).n_stimuli == 18


def test_the_seed_decides_the_null():
    space, labels = draw(0, signal=0.3)
    one, again, other = (classify_categories(space, labels, n_permutations=20, seed=seed) for seed in (0, 0, 1))
    assert one.value == other.value
    for name in ("null_mean", "p", "null_high", "balanced_p"):
        assert getattr(one, name) == getattr(again, name)
    assert one.null_mean != other.null_mean


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top": 4}, "top=4 is no test among 4 categories; use more categories or a smaller top"),
        ({"top": 0}, "top=0 is no test among 4 categories"),
        ({"top": 2, "most_common": 2}, "top=2 is no test among 2 categories"),
        ({"n_permutations": 0}, "there is no null without permutations; use n_permutations >= 1"),
    ],
)
def test_a_test_that_is_none_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        classify_categories(*draw(0), **{"seed": 0} | arguments)


# Labels from ratings

RATINGS = pd.DataFrame(
    [[0.9, 0.1, 0.0, 0.0], [0.4, 0.4, 0.2, 0.0], [0.3, 0.3 + 1e-9, 0.3, 0.1], [0.0, 0.2, 0.8, 0.0]],
    index=list("wxyz"),
    columns=["Joy", "Awe", "Fear", "Envy"],
)


def test_the_highest_rating_is_the_label_and_ties_are_counted():
    first = top_categories(RATINGS, ties="first")
    assert first.labels.to_dict() == {"w": "Joy", "x": "Joy", "y": "Joy", "z": "Fear"}
    assert (first.n_tied, first.ties, first.empty) == (2, "first", ("Awe", "Envy"))
    dropped = top_categories(RATINGS, ties="drop")
    assert dropped.labels.to_dict() == {"w": "Joy", "z": "Fear"} and dropped.n_tied == 2
    with pytest.raises(InputError, match="'last' is no way to resolve ties; choose random, first or drop"):
        top_categories(RATINGS, ties="last")


FLAT = pd.DataFrame(
    [[0.0] * 4, [0.25] * 4, [0.25 + 1e-9, 0.25, 0.25, 0.25]], index=list("abc"), columns=RATINGS.columns
)


@pytest.mark.parametrize("ties", ["random", "first", "drop"])
def test_ratings_that_are_the_same_in_every_category_make_no_label(ties, caplog):
    got = top_categories(pd.concat([FLAT, RATINGS]), ties=ties)
    assert got.without == ("a", "b", "c") and got.n_tied == 2
    assert list(got.labels.index) == list(top_categories(RATINGS, ties=ties).labels.index)
    (warning,) = caplog.messages
    assert warning == "3 stimuli are rated the same in every category and have no label: a, b, c."
    assert top_categories(RATINGS[["Joy"]]).without == ()  # one category has nothing to be the same as


def test_what_uses_the_labels_copes_with_stimuli_without_one(caplog):
    space, code = draw(3, n=90, signal=3)
    ratings = pd.get_dummies(code).astype(float) + np.random.default_rng(0).integers(0, 3, (90, 4)) / 2
    ratings.iloc[:5] = 0
    ratings.iloc[5] = 0.5
    settings = {
        "most_common": None,
        "n_permutations": 5,
        "n_boot": 5,
        "n_shuffles": 3,
        "n_jobs": 1,
        "seed": 0,
        "top": 2,
    }
    got = category_structure({"x": space, "same": ratings}, {"category": ratings}, circular=["same"], **settings)
    assert len(caplog.messages) == 1  # shuffles and resolutions of ties say nothing
    assert len(got.labels.without) >= 6 and set(space.index[:6]) <= set(got.labels.without)
    n_left = 90 - len(got.labels.without)
    assert {score.n_stimuli for score in got.details.values()} == {n_left}
    assert {one.n_stimuli for one in got.silhouette_details.values()} == {n_left}
    assert np.isfinite(got.baseline).all(axis=None) and np.isfinite(got.ties).all(axis=None) and len(got.ties)
    labelled = got.labels.labels.index
    alone = silhouette(space.loc[labelled], got.labels.labels, n_permutations=5, n_boot=5, seed=0).overall["value"]
    np.testing.assert_allclose(alone, got.silhouettes["value"].loc["x"])


def test_random_ties_are_broken_evenly_among_the_tied_by_the_seed():
    drawn = pd.DataFrame([top_categories(RATINGS, seed=seed).labels for seed in range(600)])
    assert set(drawn["w"]) == {"Joy"} and set(drawn["z"]) == {"Fear"}
    for name, n_tied in (("x", 2), ("y", 3)):
        counts = drawn[name].value_counts()
        assert len(counts) == n_tied
        assert all(binomtest(int(count), 600, 1 / n_tied).pvalue > 1e-3 for count in counts)
    assert top_categories(RATINGS, seed=3).labels.equals(top_categories(RATINGS, seed=3).labels)


def test_column_shuffling_keeps_the_values_of_every_column_and_shuffles_each_on_its_own():
    ratings = pd.DataFrame(
        np.arange(200.0).reshape(100, 2), columns=["Joy", "Fear"], index=[f"s{k}" for k in range(100)]
    )
    shuffled = column_shuffled(ratings, seed=0)
    assert shuffled.index.equals(ratings.index) and shuffled.columns.equals(ratings.columns)
    for name in ratings:
        assert sorted(shuffled[name]) == ratings[name].tolist()
    assert (shuffled["Fear"] - shuffled["Joy"] == 1).mean() < 0.1  # the two no longer go together
    assert (shuffled == ratings).to_numpy().mean() < 0.1
    pd.testing.assert_frame_equal(shuffled, column_shuffled(ratings, seed=0))
    assert not shuffled.equals(column_shuffled(ratings, seed=1))


def test_ties_are_resolved_alike_whatever_the_order_of_stimuli_and_categories():
    rng = np.random.default_rng(5)
    values = rng.integers(0, 3, (200, 6)).astype(float)
    ratings = pd.DataFrame(values, index=[f"v{k:03d}" for k in range(200)], columns=list("ABCDEF"))
    got = top_categories(ratings, seed=3)
    assert got.n_tied > 50
    turned = ratings.iloc[rng.permutation(200), rng.permutation(6)]
    again = top_categories(turned, seed=3)
    pd.testing.assert_series_equal(again.labels.reindex(got.labels.index), got.labels)
    assert (top_categories(ratings, seed=4).labels != got.labels).any()
