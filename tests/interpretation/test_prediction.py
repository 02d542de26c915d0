import numpy as np
import pandas as pd
import pytest
from scipy import stats
from threadpoolctl import threadpool_limits

from affectome import InputError
from affectome._groups import jackknife_variance
from affectome.interpretation import compare_predictions, predict_ratings
from affectome.interpretation._prediction import (
    _permutation_test,
    _ridge,
    _score,
    _Settings,
    _table,
)


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def sparse(n, p, rng):
    """Non-negative weights, many near 0 and a few large, as those of an embedding."""
    return rng.gamma(0.4, size=(n, p)) * (rng.random((n, p)) < 0.7)


IDS = [f"s{k:03d}" for k in range(300)]


@pytest.fixture(scope="module")
def space():
    return pd.DataFrame(sparse(300, 4, np.random.default_rng(0)), IDS, [f"component {k}" for k in range(4)])


@pytest.fixture(scope="module")
def ratings(space):
    rng = np.random.default_rng(1)
    joy = space["component 0"] + rng.normal(size=300) * space["component 0"].std()
    pride = pd.Series(0.0, IDS)
    pride.iloc[:3] = 0.5
    category = pd.DataFrame({"Joy": joy, "Awe": rng.normal(size=300), "Pride": pride, "Flat": 0.1}, IDS)
    return {"category": category, "dimension": pd.DataFrame({"valence": -space["component 1"]}, IDS)}


@pytest.fixture(scope="module")
def result(space, ratings):
    return predict_ratings(space, ratings, n_permutations=199, seed=0)


# Prediction


def test_held_out_accuracy_is_what_was_planted(result):
    """A rating that is half noise can be predicted up to r = sqrt(1/2), R2 = 1/2; a component itself up to 1."""
    table = result.ratings
    assert table.loc["Joy", "r"] == pytest.approx(np.sqrt(0.5), abs=0.06)
    assert table.loc["Joy", "r2"] == pytest.approx(0.5, abs=0.08)
    assert table.loc["valence", "r"] == pytest.approx(1, abs=1e-3)
    assert abs(table.loc["Awe", "r2"]) < 0.03
    assert table.loc["Joy", "p"] == pytest.approx(1 / 200)
    assert table.loc["Awe", "p"] > 0.05


def test_scores_are_those_of_the_held_out_predictions(space, ratings):
    once = predict_ratings(space, ratings, n_repeats=1, n_permutations=1, seed=3)
    joy = ratings["category"]["Joy"]
    assert once.ratings.loc["Joy", "r"] == pytest.approx(np.corrcoef(once.predicted["Joy"], joy)[0, 1], abs=0.01)
    left = ((joy - once.predicted["Joy"]) ** 2).sum() / ((joy - joy.mean()) ** 2).sum()
    assert once.ratings.loc["Joy", "r2"] == pytest.approx(1 - left, abs=0.01)  # but for the training means
    assert once.predicted.index.tolist() == IDS


def test_reverse_says_how_much_of_a_component_is_in_the_ratings(result):
    r2 = result.components["r2"]
    assert r2["component 1"] == pytest.approx(1, abs=1e-3)
    assert r2["component 0"] == pytest.approx(0.5, abs=0.1)
    assert r2[["component 2", "component 3"]].max() < 0.05
    assert result.components.index.name == "component"


def test_rating_of_a_handful_and_constant_one_are_undefined_not_zero(result):
    assert result.ratings["n_rated"].tolist()[2:4] == [3, 0]
    for name in ("Pride", "Flat"):
        assert result.ratings.loc[name, ["r", "r_low", "r_high", "r2", "p", "q"]].isna().all()
    known = result.ratings["p"].dropna()
    np.testing.assert_allclose(result.ratings["q"].dropna(), stats.false_discovery_control(known))


def test_same_seed_gives_the_same_numbers_whatever_else_is_predicted(space, ratings, result):
    again = predict_ratings(space, ratings, n_permutations=199, seed=0)
    pd.testing.assert_frame_equal(again.ratings, result.ratings)
    pd.testing.assert_frame_equal(again.components, result.components)
    alone = predict_ratings(space, {"category": ratings["category"][["Joy"]]}, n_permutations=9, seed=0)
    assert alone.ratings.loc["Joy", "r"] == pytest.approx(result.ratings.loc["Joy", "r"], abs=1e-12)
    other = predict_ratings(space, ratings, n_permutations=9, seed=1)
    assert other.ratings.loc["Joy", "r"] != result.ratings.loc["Joy", "r"]


def test_copies_leak_unless_they_share_a_group_or_are_excluded():
    rng = np.random.default_rng(0)
    ids = [f"s{k}" for k in range(120)]
    space = pd.DataFrame(np.tile(rng.normal(size=(60, 40)), (2, 1)), ids, [f"c{k}" for k in range(40)])
    rated = pd.DataFrame(np.tile(rng.normal(size=(60, 6)), (2, 1)), ids, list("abcdef"))
    settings = {"n_permutations": 99, "seed": 0}
    leaking = predict_ratings(space, {"f": rated}, **settings).ratings
    grouped = predict_ratings(space, {"f": rated}, groups={i: k % 60 for k, i in enumerate(ids)}, **settings).ratings
    excluded = predict_ratings(space, {"f": rated}, exclude=ids[60:], **settings).ratings
    assert leaking["r"].mean() > 0.25
    assert (leaking["p"] < 0.05).sum() >= 3
    assert grouped["r"].mean() < 0.2
    assert excluded["r"].mean() < 0.2
    assert (grouped["p"] > 0.05).sum() >= 5
    # Every stimulus twice: the intervals of the groups are those of 60 stimuli, not of 120.
    assert (grouped["r_high"] - grouped["r_low"]).mean() > 0.4


def test_too_few_permutations_say_once_how_many_are_needed(space, ratings, caplog):
    settings = {"n_repeats": 1, "seed": 0}
    assert (predict_ratings(space, ratings, n_permutations=19, **settings).ratings["q"].dropna() >= 0.05).all()
    compare_predictions({"a": space, "b": space}, ratings, reference="a", n_permutations=19, **settings)
    assert len(caplog.messages) == 2
    assert all(said.startswith("19 permutations are too few: no q of the pred") for said in caplog.messages)
    needed = int(caplog.messages[0].split()[-1].rstrip("."))
    caplog.clear()
    enough = predict_ratings(space, ratings, n_permutations=needed, **settings)
    assert enough.ratings["q"].min() < 0.05 and enough.components["q"].min() < 0.05 and not caplog.messages


# Validity and coverage


@pytest.mark.parametrize("kind", ["sparse", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_p_is_valid_where_ratings_and_space_are_unrelated(kind):
    rng = np.random.default_rng(4)
    settings = _Settings(4, 1, 99, 0.95)
    found = []
    for _ in range(700):
        x = rng.normal(size=(40, 3)) if kind == "gaussian" else sparse(40, 3, rng)
        y = rng.normal(size=(40, 4)) if kind == "gaussian" else sparse(40, 4, rng)
        found.append(_permutation_test(x, y, np.arange(40), settings, *_sources(rng), _silent))
    p = np.concatenate(found)
    for a in (0.01, 0.05, 0.10):
        assert (p <= a).mean() <= a + 3 * np.sqrt(a * (1 - a) / len(p)), a
    assert (p <= 0.2).mean() > 0.1


def _sources(rng):
    return np.random.SeedSequence(int(rng.integers(2**32))).spawn(2)


def _silent(done, total, /, *, detail=""):
    pass


def population_covariance(draw, n_draws, n_blocks):
    """Covariance of (x, y) over very many stimuli: all that r and R2 of a linear fit depend on, but for its mean."""
    parts = [np.hstack(draw(n_draws // n_blocks)) for _ in range(n_blocks)]
    return np.mean([part.mean(axis=0) for part in parts], axis=0), np.mean([np.cov(part.T) for part in parts], axis=0)


def new_accuracy(x, y, population, seed, settings):
    """r and R2, (2, T), that the fitted models of the folds reach on new stimuli."""
    ridge = _ridge(x, np.arange(len(x)), settings.n_folds, np.random.default_rng(seed))
    ordered = y[ridge.order]
    slopes, intercepts = ridge.fit(ordered, *ridge.choose(ridge.inner_errors(ordered), [0]))
    (mean, covariance), p = population, x.shape[1]
    variance = covariance.diagonal()[p:]
    r, left = [], []
    for b, a in zip(slopes / ridge.scale[:, None], intercepts, strict=True):
        spread, shared = np.einsum("it,ij,jt->t", b, covariance[:p, :p], b), (b * covariance[:p, p:]).sum(axis=0)
        bias = mean[p:] - (mean[:p] - ridge.centre) @ b - a
        r.append(shared / np.sqrt(spread * variance))
        left.append(variance - 2 * shared + spread + bias**2)
    return np.array([np.mean(r, axis=0), 1 - np.mean(left, axis=0) / variance])


@pytest.mark.parametrize("kind", ["sparse", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_intervals_of_r_and_r2_hold_the_accuracy_on_new_stimuli_at_their_rate(kind):
    rng = np.random.default_rng(6)
    settings, n, n_worlds = _Settings(4, 1, 1, 0.95), 1000, 200
    slopes = np.array([[1, 1, 0, 0, 0], [0.5, 0, 0, 1, 0], [0.3, 0, 0.3, 0, 0.3]]).T

    def world(m):
        if kind == "gaussian":
            x = rng.normal(size=(m, 5))
            return x, x @ slopes + rng.normal(size=(m, 3)) * [1, 1.5, 2]
        x = sparse(m, 5, rng)
        return x, x @ slopes * rng.gamma(3, 1 / 3, (m, 3)) + sparse(m, 3, rng) * [0.5, 1, 1]

    population = population_covariance(world, 500_000, 5)
    held = np.zeros((2, 3))
    for k in range(n_worlds):
        x, y = world(n)
        scores = _score(x, y, np.arange(n), settings, np.random.default_rng(k))
        table = _table(scores, np.full(3, np.nan), pd.Index(list("abc")), 0.95)
        truth = new_accuracy(x, y, population, k, settings)
        for row, name in enumerate(("r", "r2")):
            held[row] += (table[f"{name}_low"].to_numpy() <= truth[row]) & (truth[row] <= table[f"{name}_high"])
    se = np.sqrt(0.95 * 0.05 / n_worlds)
    assert (np.abs(held.mean(axis=1) / n_worlds - 0.95) <= 3 * se).all(), held / n_worlds
    assert held.min() / n_worlds >= 0.95 - 5 * se, held / n_worlds


# Comparison


@pytest.fixture(scope="module")
def worlds():
    """A reference that knows three emotions; one system lacks the second, another is the reference with noise."""
    rng = np.random.default_rng(2)
    emotions = sparse(300, 3, rng)
    rated = pd.DataFrame(emotions + 0.2 * rng.normal(size=(300, 3)), IDS, ["Joy", "Awe", "Fear"])
    rated["Noise"] = rng.normal(size=300)
    spaces = {
        "human": emotions,
        "without awe": np.column_stack([emotions[:, [0, 2]], sparse(300, 1, rng)]),
        "noisy": emotions + 0.05 * rng.normal(size=(300, 3)),
    }
    return {name: pd.DataFrame(x, IDS, list("abc")) for name, x in spaces.items()}, {"category": rated}


@pytest.fixture(scope="module")
def comparison(worlds):
    return compare_predictions(*worlds, reference="human", n_permutations=199, seed=0)


def test_lacking_is_what_was_left_out_and_nothing_else(comparison):
    assert comparison.lacking.columns.tolist() == ["human", "without awe", "noisy"]
    assert comparison.lacking.index.tolist() == ["Joy", "Awe", "Fear", "Noise"]
    expected = pd.DataFrame(False, comparison.lacking.index, comparison.lacking.columns)
    expected.loc["Awe", "without awe"] = True
    np.testing.assert_array_equal(comparison.lacking, expected)


def test_systems_that_predict_weakly_and_equally_well_lack_nothing():
    """Each passes the test against chance for some ratings and fails it for others, which makes no difference."""
    rng, lacking, known = np.random.default_rng(5), 0, 0
    for seed in range(12):
        z = rng.normal(size=(300, 8))
        rated = {"category": pd.DataFrame(0.22 * z + rng.normal(size=z.shape), IDS)}
        one, two = (pd.DataFrame(z + 0.5 * rng.normal(size=z.shape), IDS) for _ in range(2))
        got = compare_predictions(
            {"one": one, "two": two}, rated, reference="one", n_permutations=99, n_repeats=1, seed=seed
        )
        known += (got.predictions["one"].ratings["q"] < 0.05).sum()
        lacking += got.lacking["two"].sum()
    assert known > 20
    assert lacking <= 0.05 * known + 1


def test_difference_is_that_of_the_two_r_with_a_paired_interval(comparison):
    table = comparison.table.unstack("system")
    np.testing.assert_allclose(
        table["difference"]["noisy"].to_numpy(), (table["r"]["noisy"] - table["r"]["human"]).to_numpy(), atol=1e-12
    )
    assert table["difference"]["human"].isna().all()
    for rating in ("Joy", "Fear"):
        row = comparison.table.loc[(rating, "noisy")]
        assert row["difference_low"] < row["difference"] < row["difference_high"]
        # Nearly the same predictions: their difference is known far better than either.
        assert row["difference_high"] - row["difference_low"] < (row["r_high"] - row["r_low"]) / 1.5
    p = comparison.table["p_margin"].to_numpy()
    known = ~np.isnan(p)
    np.testing.assert_allclose(comparison.table["q_margin"][known], stats.false_discovery_control(p[known]))


def test_wider_margin_forgives_and_each_system_is_predicted_as_alone(worlds, comparison):
    forgiving = compare_predictions(*worlds, reference="human", margin=0.01, n_permutations=199, seed=0)
    assert (forgiving.table["p_margin"].dropna() <= comparison.table["p_margin"].dropna() + 1e-12).all()
    alone = predict_ratings(worlds[0]["noisy"], worlds[1], n_permutations=199, seed=0)
    pd.testing.assert_frame_equal(comparison.predictions["noisy"].ratings, alone.ratings)


def test_interval_of_a_difference_holds_the_true_one():
    """Two spaces that see an emotion with noise of their own; the difference of their accuracy is known."""
    rng = np.random.default_rng(8)
    settings, held = _Settings(4, 1, 1, 0.95), 0
    true = 1 / np.sqrt((1 + 0.5) * 1.25) - 1 / np.sqrt((1 + 1.5) * 1.25)
    for k in range(300):
        emotion = rng.normal(size=400)
        y = (emotion + 0.5 * rng.normal(size=400))[:, None]
        scores = [
            _score((emotion + spread * rng.normal(size=400))[:, None], y, np.arange(400), settings,
                   np.random.default_rng(k)) for spread in (np.sqrt(0.5), np.sqrt(1.5))
        ]  # fmt: skip
        variance = jackknife_variance(scores[0].r_without - scores[1].r_without) + scores[0].r_noise + scores[1].r_noise
        held += abs(scores[0].r - scores[1].r - true)[0] <= 1.96 * np.sqrt(variance[0])
    assert abs(held / 300 - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / 300), held / 300


# What is refused


def test_bad_input_is_refused(space, ratings):
    with pytest.raises(InputError, match="no ratings to predict"):
        predict_ratings(space, {}, seed=0)
    with pytest.raises(InputError, match="no components"):
        predict_ratings(space.iloc[:, :0], ratings, seed=0)
    with pytest.raises(InputError, match="ids are not in"):
        predict_ratings(space.iloc[:-1], ratings, seed=0)
    with pytest.raises(InputError, match="no null without permutations"):
        predict_ratings(space, ratings, n_permutations=0, seed=0)
    with pytest.raises(InputError, match=r"the reference 'human' is not among the systems \(mllm\)"):
        compare_predictions({"mllm": space}, ratings, reference="human", seed=0)
    with pytest.raises(InputError, match=r"margin=-0\.1"):
        compare_predictions({"a": space, "b": space}, ratings, reference="a", margin=-0.1, seed=0)
