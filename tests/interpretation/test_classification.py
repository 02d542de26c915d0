"""Three rules, their intervals and nulls: against scikit-learn, by brute force, and in simulated worlds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import LeaveOneOut, PredefinedSplit, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from affectome import InputError
from affectome.interpretation import category_structure, classify, shuffled_baseline
from affectome.interpretation._classification import labelled_points
from affectome.interpretation._proportions import balanced_interval, wilson_interval
from affectome.interpretation._rules import centroid_rule, linear_rule, nearest_others, neighbour_rule, own_rank

METHODS = ("centroid", "knn", "linear")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for one another on busy cores take many times as long."""
    with threadpool_limits(1):
        yield


def draw(seed, n=120, n_classes=4, p=4, signal=1.0, sparse=False):
    """Stimuli of categories of unequal size; sparse ones are non-negative and skewed, as weights are."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    share = 0.75 ** np.arange(n_classes)
    code = np.r_[np.repeat(np.arange(n_classes), 2), rng.choice(n_classes, n - 2 * n_classes, p=share / share.sum())]
    if sparse:
        active = np.clip(0.3 + 0.5 * signal * (fixed.random((n_classes, p)) - 0.3), 0.05, 0.95)
        values = rng.gamma(2, 0.3, (n, p)) * (rng.random((n, p)) < active[code])
    else:
        values = rng.normal(size=(n, p)) + signal * fixed.normal(size=(n_classes, p))[code]
    ids = [f"s{k:03d}" for k in range(n)]
    return pd.DataFrame(values.astype(np.float32), index=ids), pd.Series([f"c{c}" for c in code], index=ids)


# Against scikit-learn


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_name_what_scikit_learn_names(seed):
    space, labels = draw(seed)
    reference = KNeighborsClassifier(7)
    proba = cross_val_predict(reference, space.to_numpy(float), labels, cv=LeaveOneOut(), method="predict_proba")
    got = classify(space, labels, method="knn", n_neighbors=7, n_permutations=1, n_subsamples=2, seed=0)
    named = proba[np.arange(len(labels)), [sorted(set(labels)).index(c) for c in got.stimuli["predicted"]]]
    np.testing.assert_allclose(
        named, proba.max(axis=1)
    )  # the same where one category has most votes, else one of those
    own = proba[np.arange(len(labels)), [sorted(set(labels)).index(c) for c in labels]]
    assert (got.stimuli["rank"].isna() == (own == 0)).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shrinkage", [0.01, 0.5])
def test_linear_predictions_are_those_of_scikit_learn_on_the_same_folds(seed, shrinkage):
    space, labels = draw(seed)
    space = space * [1, 10, 0.1, 1] + 50  # scales and offsets are taken away inside each fold
    got = classify(
        space, labels, method="linear", n_folds=5, shrinkage=shrinkage, n_permutations=1, n_subsamples=2, seed=0
    )
    model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage))
    folds = PredefinedSplit(got.stimuli["fold"].to_numpy())
    expected = cross_val_predict(model, space.astype(np.float32).to_numpy(float), labels, cv=folds)
    assert got.stimuli["predicted"].tolist() == expected.tolist()
    assert got.accuracy["value"]["plain", 1] == pytest.approx((expected == labels).mean())


def test_folds_are_even_over_all_stimuli_and_within_every_category():
    space, labels = draw(0, n=103)
    got = classify(space, labels, method="linear", n_folds=5, n_permutations=1, n_subsamples=2, seed=0)
    assert got.stimuli["fold"].value_counts().between(20, 21).all()
    table = pd.crosstab(got.stimuli["category"], got.stimuli["fold"])
    assert (table.max(axis=1) - table.min(axis=1) <= 1).all()
    other = classify(space, labels, method="linear", n_folds=5, n_permutations=1, seed=1)
    assert (got.stimuli["fold"] != other.stimuli["fold"]).any()


def test_of_categories_with_as_many_votes_the_one_with_the_nearest_neighbour_wins():
    space = pd.DataFrame({"x": [0, 1.0, -2, 3, -4, 90, 91]}, index=list("abcdefg"))
    labels = pd.Series(["A", "B", "A", "B", "A", "C", "C"], index=space.index)
    got = classify(space, labels, method="knn", n_neighbors=2, top=2, n_permutations=1, n_subsamples=2, seed=0)
    assert got.stimuli.loc["a", ["predicted", "rank"]].tolist() == ["B", 2]  # neighbours b (B) and c (A)
    assert got.stimuli.loc["d", "predicted"] == "B"  # b, then a
    assert np.isnan(
        classify(space, labels, method="knn", n_neighbors=1, top=1, n_permutations=1, n_subsamples=2, seed=0).stimuli[
            "rank"
        ]["a"]
    )


# The table


@pytest.mark.parametrize("method", METHODS)
def test_accuracies_confusions_and_ranks_agree(method):
    space, labels = draw(1)
    got = classify(space, labels, method=method, top=2, n_permutations=19, seed=0)
    stimuli, value = got.stimuli, got.accuracy["value"]
    assert stimuli["category"].tolist() == labels.tolist()
    for k in (1, 2):
        hits = stimuli["rank"] <= k
        assert value["plain", k] == pytest.approx(hits.mean())
        assert value["balanced", k] == pytest.approx(hits.groupby(labels.to_numpy()).mean().mean())
    pd.testing.assert_frame_equal(
        got.confusion, pd.crosstab(stimuli["category"], stimuli["predicted"]).reindex_like(got.confusion).fillna(0),
        check_dtype=False, check_names=False,
    )  # fmt: skip
    sizes = labels.value_counts()
    common = (sizes.iloc[0] / 120, sizes.iloc[:2].sum() / 120)
    assert got.accuracy["prior"].tolist() == pytest.approx([*common, 0.25, 0.5])
    assert sorted(got.confusion_order()) == sorted(sizes.index)
    assert (got.accuracy["p"] == 1 / 20).all() and (got.accuracy["null_mean"] < got.accuracy["null_high"]).all()
    low, high = wilson_interval(got.classes["topk"], got.classes["n"], 0.95)
    np.testing.assert_allclose(got.classes[["ci_low", "ci_high"]], np.column_stack([low, high]))


@pytest.mark.parametrize("method", METHODS)
def test_neither_the_order_of_the_table_nor_the_names_of_other_ids_matter(method):
    space, labels = draw(2)
    one = classify(space, labels, method=method, n_permutations=20, seed=0)
    other = classify(space.iloc[::-1], labels.sample(frac=1, random_state=0), method=method, n_permutations=20, seed=0)
    pd.testing.assert_frame_equal(one.accuracy, other.accuracy)
    pd.testing.assert_frame_equal(one.stimuli, other.stimuli)


def test_categories_taken_for_one_another_stand_side_by_side():
    rng = np.random.default_rng(0)
    centre = {"a": (0, 0), "b": (30, 0), "c": (0.5, 0), "d": (30.5, 0)}
    labels = pd.Series(np.repeat(list(centre), 30), index=[f"s{k:03d}" for k in range(120)])
    space = pd.DataFrame(rng.normal(size=(120, 2)) + [centre[c] for c in labels], index=labels.index)
    order = classify(space, labels, top=1, n_permutations=1, n_subsamples=2, seed=0).confusion_order()
    assert abs(order.index("a") - order.index("c")) == abs(order.index("b") - order.index("d")) == 1


# Intervals


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [
        ([2] * 20, np.full(20, 0.95)),
        ([2, 4, 8, 16, 32, 64, 128, 256, 300] + [5] * 20, np.linspace(0.3, 1, 29)),
        ([100] * 17, np.full(17, 0.97)),
        ([30] * 10, np.full(10, 0.5)),
    ],
)
def test_the_interval_of_a_balanced_share_covers_where_shares_are_near_one_and_categories_tiny(sizes, shares):
    rng, n = np.random.default_rng(0), np.array(sizes)
    limits = np.array([balanced_interval(rng.binomial(n, shares) / n, n, 0.95) for _ in range(1000)])
    covered = ((limits[:, 0] <= shares.mean()) & (shares.mean() <= limits[:, 1])).mean()
    assert 0.95 - 3 * np.sqrt(0.05 * 0.95 / 1000) <= covered <= 0.98
    assert balanced_interval(np.ones(4), np.full(4, 25), 0.95) == pytest.approx(
        tuple(float(x) for x in wilson_interval(1.0, 100, 0.95))
    )


@pytest.mark.parametrize("sparse", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", METHODS)
def test_intervals_cover_the_accuracy_that_many_other_samples_have(method, sparse):
    """The target is the mean accuracy of rules learned from as many stimuli, over new samples."""
    values, low, high = [], [], []
    worlds = 150 if sparse else 400  # the slow ones look closer
    for seed in range(worlds):
        space, labels = draw(seed, n=120, sparse=sparse, p=6)
        got = classify(
            space, labels, method=method, top=2, n_folds=5, n_permutations=1, n_subsamples=20, seed=seed
        ).accuracy
        values.append(got["value"]), low.append(got["ci_low"]), high.append(got["ci_high"])
    target = np.mean(values, axis=0)
    covered = ((np.array(low) <= target) & (target <= np.array(high))).mean(axis=0)
    assert (covered >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / worlds)).all(), covered
    assert (covered <= 0.995).all(), covered


# Nulls


@pytest.mark.parametrize("method", METHODS)
def test_p_is_valid_where_labels_say_nothing(method):
    """Both averages, top 1 and top 2, with labels drawn independently of sparse points."""
    rng, p = np.random.default_rng(0), []
    for seed in range(150):
        space, _ = draw(seed, n=40, sparse=True, signal=0.0)
        labels = pd.Series([*"aabbcc", *rng.choice(list("aaabbc"), 34)], index=space.index)
        p.append(
            classify(
                space,
                labels,
                method=method,
                top=2,
                n_neighbors=5,
                n_folds=3,
                n_permutations=39,
                n_subsamples=2,
                seed=seed,
            ).accuracy["p"]
        )
    p = np.array(p)
    for alpha in (0.025, 0.05, 0.1):
        share = (p <= alpha + 1e-9).mean(axis=0)
        assert (share <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 150)).all(), (alpha, share)
    assert (p <= 0.5).mean() > 0.3  # and not by never rejecting


@pytest.mark.parametrize("method", METHODS)
def test_the_null_does_everything_again(method):
    """Shuffled labels, classified from scratch, fall where the permutations do."""
    space, labels = draw(3, n=80)
    got = classify(space, labels, method=method, top=2, n_permutations=300, seed=0).accuracy
    rng = np.random.default_rng(5)
    redone = np.array([
        classify(space, other, method=method, top=2, n_permutations=1, n_subsamples=2, seed=0).accuracy["value"]
        for other in (pd.Series(rng.permutation(labels), labels.index) for _ in range(60))
    ])  # fmt: skip
    error = redone.std(axis=0) * np.sqrt(1 / 60 + 1 / 300)
    assert (np.abs(redone.mean(axis=0) - got["null_mean"]) < 4 * error).all()


def test_a_rule_asked_with_another_order_is_a_rule_of_other_labels():
    space, labels = draw(4)
    data = labelled_points(space, labels)
    order = np.random.default_rng(0).permutation(len(labels))
    for make in (
        centroid_rule,
        lambda x, m: neighbour_rule(nearest_others(x, 9), m, 9),
        lambda x, m: linear_rule(x, m, 4, 0.1),
    ):
        moved = make(data.points, data.member)(order)
        fresh = make(data.points[order], data.member)(np.arange(len(order)))
        np.testing.assert_array_equal(own_rank(moved, data.member), own_rank(fresh, data.member))


# Circularity


def test_shuffled_ratings_labelled_by_their_own_maximum_score_far_above_chance():
    ratings = pd.DataFrame(np.random.default_rng(0).random((200, 5)), index=[f"s{k:03d}" for k in range(200)])
    got = shuffled_baseline(ratings, top=2, n_shuffles=5, seed=0)
    assert (got["low"] <= got["value"]).all() and (got["value"] <= got["high"]).all()
    assert got["value"]["plain", 1] > 0.6 and got["value"]["plain", 2] > 0.85
    pd.testing.assert_frame_equal(got, shuffled_baseline(ratings, top=2, n_shuffles=5, seed=0))
    with pytest.raises(InputError, match="there is no baseline without a shuffle"):
        shuffled_baseline(ratings, n_shuffles=0, seed=0)


# Several spaces


def test_one_call_classifies_every_space_and_corrects_over_the_table():
    rng = np.random.default_rng(0)
    ratings = pd.DataFrame(
        rng.dirichlet(np.full(6, 0.3), 150).round(1), index=[f"s{k:03d}" for k in range(150)], columns=list("abcdef")
    )
    noise = pd.DataFrame(rng.normal(size=(150, 4)), index=ratings.index)
    settings = {"n_permutations": 39, "n_boot": 40, "n_shuffles": 4, "most_common": 5, "top": 2, "seed": 0}
    seen = []
    got = category_structure(
        {"same": ratings, "noise": noise}, {"category": ratings}, circular=["same"], **settings,
        progress=lambda done, total, *, detail="": seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(k, 20) for k in range(1, 21)]  # 12 classifications, 2 silhouettes, 6 baselines
    assert got.scores.index.names == ["space", "categories", "method", "average", "top"] and len(got.scores) == 48
    from scipy.stats import false_discovery_control

    np.testing.assert_allclose(got.scores["q"], false_discovery_control(got.scores["p"]))
    by_space = got.scores.groupby(level="space")
    assert by_space["circular"].agg(["min", "max"]).loc[["same", "noise"]].to_numpy().tolist() == [[1, 1], [0, 0]]
    assert by_space["q"].max()["same"] < 0.06 < by_space["q"].min()["noise"]
    assert got.silhouettes["value"]["same", "plain"] > got.silhouettes["value"]["noise", "plain"]
    assert (got.ties["low"] <= got.ties["high"]).all() and len(got.ties) == 4
    assert got.labels.n_tied > 0 and set(got.classes.loc["same"].index) == set(got.labels.labels)
    alone = category_structure({"noise": noise}, {"category": ratings}, n_jobs=1, **settings)
    pd.testing.assert_frame_equal(
        alone.scores.loc[["noise"]].drop(columns="q"), got.scores.loc[["noise"]].drop(columns="q")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "svm"}, "'svm' is no way to classify; choose one of centroid, knn, linear"),
        ({"level": 1.0}, "level=1.0 makes no interval"),
        (
            {"method": "knn", "n_neighbors": 120},
            "n_neighbors=120 is no number of neighbours among 120 stimuli; use 1 to 40",
        ),
        ({"method": "linear", "n_folds": 1}, "n_folds=1 is no cross-validation of 120 stimuli"),
        ({"method": "linear", "shrinkage": 0.0}, "shrinkage=0.0 is not between 0 and 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        classify(*draw(0), **{"seed": 0} | arguments)


def test_points_and_labels_that_cannot_be_classified_are_refused():
    space, labels = draw(0)
    with pytest.raises(InputError, match="all stimuli lie at the same place in the space"):
        classify(space * 0, labels, seed=0)
    with pytest.raises(InputError, match="1 categories have at least two stimuli of the space"):
        classify(space, labels.where(labels == "never", "one"), seed=0)
    with pytest.raises(InputError, match="a stimulus has two labels"):
        classify(space, pd.concat([labels, labels.iloc[:1]]), seed=0)
    with pytest.raises(InputError, match="there are no ratings 'dimension'; choose one of category"):
        category_structure({"a": space}, {"category": space}, family="dimension", seed=0)
    with pytest.raises(InputError, match="no space is called 'b'"):
        category_structure({"a": space}, {"category": space}, circular=["b"], seed=0)


@pytest.mark.parametrize("depth", [1, 15, 79, 80])
def test_nearest_others_come_in_their_order_where_distances_are_shared(depth):
    points = np.random.default_rng(0).integers(0, 3, size=(80, 3)).astype(float)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    want = np.argsort(distance, axis=1, kind="stable")[:, :depth]
    np.testing.assert_array_equal(nearest_others(points, depth), want)
