import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from affectome import InputError
from affectome._groups import assign_folds
from affectome.interpretation import component_types, score_type_rules
from affectome.interpretation._partition import (
    PARTS,
    family_losses,
    part_interval,
    second_order,
    signs_of,
    unique_p,
)
from affectome.interpretation._ridge import Band, FoldedRidge

ALPHAS_OF_TEST = (0.01, 0.05, 0.10)


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def rated(n, rng, n_categories=6, n_dimensions=4):
    """Sparse category shares, and dimensions that follow some of them."""
    first = rng.gamma(0.3, size=(n, n_categories))
    second = rng.normal(size=(n, n_dimensions)) + first[:, :n_dimensions] * 0.8
    return first, second


def frames(first, second):
    ids = [f"s{k:04d}" for k in range(len(first))]
    return {
        "category": pd.DataFrame(first, ids, [f"emotion {k}" for k in range(first.shape[1])]),
        "dimension": pd.DataFrame(second, ids, [f"scale {k}" for k in range(second.shape[1])]),
    }


@pytest.fixture(scope="module")
def planted():
    """Five components of each kind, noisy, sparse and non-negative, whose type is known."""
    rng = np.random.default_rng(3)
    first, second = rated(800, rng)
    parts = {"categorical": [], "dimensional": [], "hybrid": [], "unassigned": []}
    for _ in range(5):
        c, d = first @ rng.dirichlet(np.ones(6)), second @ rng.normal(size=4)
        c, d, e = ((v - v.mean()) / v.std() for v in (c, d, rng.normal(size=800)))
        parts["categorical"].append(c + 0.7 * e)
        parts["dimensional"].append(d + 0.7 * e)
        parts["hybrid"].append(c + d + 0.7 * e)
        parts["unassigned"].append(np.maximum(rng.normal(size=800), 0))
    weights = {f"{kind} {k}": v - v.min() for kind, columns in parts.items() for k, v in enumerate(columns)}
    ratings = frames(first, second)
    return pd.DataFrame(weights, ratings["category"].index), ratings


@pytest.fixture(scope="module")
def result(planted):
    return component_types(*planted, n_subsamples=10, n_permutations=400, seed=0)


# The types


def test_planted_components_get_their_type(result):
    truth = [name.split()[0] for name in result.components.index]
    confusion = pd.crosstab(pd.Series(truth), result.components["type"].to_numpy())
    assert np.trace(confusion.reindex(columns=confusion.index, fill_value=0)) >= 19  # of 20
    assert result.shares["n"].sum() == 20
    assert result.components["recurs"].mean() > 0.9


def test_parts_of_the_variance_add_up_to_what_both_explain(result):
    table = result.components
    total = table["unique_categories"] + table["unique_dimensions"] + table["shared"]
    np.testing.assert_allclose(total, table["r2_both"], atol=1e-12)
    np.testing.assert_allclose(table["unique_categories"], table["r2_both"] - table["r2_dimensions"], atol=1e-12)
    np.testing.assert_allclose(table["unique_dimensions"], table["r2_both"] - table["r2_categories"], atol=1e-12)


def test_held_out_r2_is_what_was_planted(result):
    """A category component of variance 1 with noise of variance .49 can be predicted up to 1 / 1.49."""
    r2 = result.components["r2_categories"][[f"categorical {k}" for k in range(5)]]
    assert r2.mean() == pytest.approx(1 / 1.49, abs=0.03)
    assert (result.components["r2_both"] - result.components["r2_categories"]).min() > -0.01


def test_type_needs_both_a_small_q_and_the_minimum(result):
    table = result.components
    for minimum, row in result.by_minimum.iterrows():
        one = (table["q_categories"] < 0.05) & (table["unique_categories"] >= minimum)
        two = (table["q_dimensions"] < 0.05) & (table["unique_dimensions"] >= minimum)
        expected = [(one & ~two).mean(), (two & ~one).mean(), (one & two).mean(), (~one & ~two).mean()]
        np.testing.assert_allclose(row, expected)
    assert result.by_minimum.loc[0.01].tolist() == result.shares["share"].tolist()
    expected = stats.false_discovery_control(table[["p_categories", "p_dimensions"]].to_numpy().ravel())
    np.testing.assert_allclose(table[["q_categories", "q_dimensions"]].to_numpy().ravel(), expected)


@pytest.mark.parametrize(
    ("n_permutations", "n_subsamples", "message"),
    [
        (19, 0, "19 permutations are too few: no q of the types falls below 0.05, though smaller p may be hidden; use"),
        (60, 2, "60 permutations are too few for subsamples, which get a quarter of them: no q falls below 0.05 there"),
        (60, 0, None),
        (400, 2, None),
    ],
)
def test_too_few_permutations_say_how_many_are_needed(planted, caplog, n_permutations, n_subsamples, message):
    space, ratings = planted
    few = space.iloc[:, :15]  # all have a type
    settings = {"n_subsamples": n_subsamples, "n_repeats": 1, "seed": 0}
    got = component_types(few, ratings, n_permutations=n_permutations, **settings)
    if message is None:
        assert not caplog.messages
        return
    (said,) = caplog.messages
    assert said.startswith(message)
    assert (got.shares["n"]["unassigned"] == 15) == (n_subsamples == 0)
    assert (got.components["recurs"] == 0).all() or n_subsamples == 0
    caplog.clear()
    needed = 2 * int(said.split()[-1].rstrip("."))  # with more, fewer p are the least there can be
    enough = component_types(few, ratings, n_permutations=needed, **settings)
    assert not caplog.messages and enough.shares["n"]["unassigned"] < 15


def test_threshold_rule_is_the_largest_significant_correlation_of_each_family(result, planted):
    space, ratings = planted
    strongest = pd.DataFrame(
        {family: [max(abs(np.corrcoef(space[c], frame[r])[0, 1]) for r in frame) for c in space]
         for family, frame in ratings.items()}, index=space.columns)  # fmt: skip
    over = strongest >= 0.3  # at n = 800 every |r| of .3 is significant
    expected = np.select([over.all(axis=1), over["category"], over["dimension"]],
                         ["hybrid", "categorical", "dimensional"], "unassigned")  # fmt: skip
    assert result.threshold_types["tau 0.3"].tolist() == expected.tolist()
    assert result.by_tau.loc[0.3, "hybrid"] == (expected == "hybrid").mean()
    assert result.by_tau["unassigned"].is_monotonic_increasing


def test_shares_carry_their_stability_and_the_binomial_interval(result):
    shares = result.shares
    wilson = stats.binomtest(int(shares.loc["hybrid", "n"]), 20).proportion_ci(0.95, method="wilson")
    assert shares.loc["hybrid", ["wilson_low", "wilson_high"]].tolist() == pytest.approx([wilson.low, wilson.high])
    assert (shares["stability_low"] <= shares["stability_high"]).all()
    assert shares.loc["categorical", "stability_low"] >= 0.15


def test_same_seed_gives_the_same_table_and_another_seed_does_not(planted, result):
    again = component_types(*planted, n_subsamples=10, n_permutations=400, seed=0)
    pd.testing.assert_frame_equal(again.components, result.components)
    pd.testing.assert_frame_equal(again.shares, result.shares)
    other = component_types(*planted, n_subsamples=0, n_permutations=400, seed=1)
    assert (other.components["r2_both"] != result.components["r2_both"]).all()
    assert other.components["recurs"].isna().all()


def test_constant_component_and_constant_rating_are_undefined_and_change_nothing_else(planted, result):
    space, ratings = planted
    more = {**ratings, "category": ratings["category"].assign(flat=0.2)}
    got = component_types(space.assign(flat=1.0), more, n_subsamples=0, n_permutations=400, seed=0).components
    assert got.loc["flat", "type"] == "unassigned"
    assert got.loc["flat"].drop(["type"]).isna().all()
    pd.testing.assert_frame_equal(got[["r2_both", "p_dimensions"]].drop("flat"),
                                  result.components[["r2_both", "p_dimensions"]])  # fmt: skip


def test_copies_leak_unless_they_share_a_group():
    """Noise components: every stimulus twice. Nothing can be predicted, but a copy in training predicts its copy."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(75, 15)), rng.normal(size=(75, 10))
    ratings = frames(np.tile(first, (2, 1)), np.tile(second, (2, 1)))
    ids = ratings["category"].index
    names = [f"component {k}" for k in range(40)]
    space = pd.DataFrame(np.tile(rng.normal(size=(75, 40)), (2, 1)), ids, names)
    settings = {"n_subsamples": 0, "n_permutations": 199, "seed": 0, "n_repeats": 1}
    leaking = component_types(space, ratings, **settings).components
    grouped = component_types(space, ratings, groups={i: k % 75 for k, i in enumerate(ids)}, **settings).components
    excluded = component_types(space, ratings, exclude=ids[75:], **settings).components
    assert leaking["r2_both"].max() > 0.1
    assert grouped["r2_both"].max() < 0.1
    assert excluded["r2_both"].max() < 0.1
    rejected = [(table[["p_categories", "p_dimensions"]] < 0.05).to_numpy().mean() for table in (leaking, grouped)]
    assert rejected[0] > 0.3
    assert rejected[1] < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 80)


# The rules on columns whose type is known


def test_rules_scored_with_too_few_permutations_say_so_once(planted, caplog):
    score_type_rules(planted[1], n_permutations=9, seed=0)
    (said,) = caplog.messages
    assert said.startswith("9 permutations are too few: no q of the rules of types falls below 0.05")


def test_rules_are_scored_on_the_ratings_themselves():
    rng = np.random.default_rng(5)
    first, second = rated(300, rng)
    first = first + first.sum(axis=1, keepdims=True) * 0.5  # so that categories tell of one another
    second = second @ rng.normal(size=(4, 4)) + rng.normal(size=(300, 1)) * 2
    got = score_type_rules(frames(first, second), n_permutations=99, seed=0)
    kept = got.scores.loc[("variance partition", "kept")]
    assert kept["correct"].tolist() == [1.0, 1.0]  # by construction
    np.testing.assert_allclose(got.scores[["categorical", "dimensional", "hybrid", "unassigned"]].sum(axis=1), 1)
    reach = [max(abs(np.corrcoef(first[:, k], second[:, j])[0, 1]) for j in range(4)) >= 0.2 for k in range(6)]
    assert got.scores.loc[("threshold 0.2", "kept", "category"), "hybrid"] == pytest.approx(np.mean(reach))
    assert got.columns["family"].tolist() == ["category"] * 6 + ["dimension"] * 4
    without = LinearRegression().fit(np.delete(first, 0, axis=1), first[:, 0])
    left_out = got.columns.loc["emotion 0", "r2_categories"]
    assert left_out == pytest.approx(without.score(np.delete(first, 0, axis=1), first[:, 0]), abs=0.08)


# Validity of the test


def null_worlds(n_worlds, n, seed):
    """p of either family where the truth is linear in the other, errors equal or skewed, sparse and unequal."""
    rng = np.random.default_rng(seed)
    p = {"equal": [], "sparse": []}
    for _ in range(n_worlds):
        first, second = rated(n, rng)
        signs = signs_of(n, 199, rng)
        for own, other in ((first, second), (second, first)):
            mean = other @ rng.normal(size=(other.shape[1], 5))
            positive = mean - mean.min(axis=0)
            # E[y | ratings] is linear in `other` alone; the errors grow with it and with the other family's columns.
            sparse = positive * (rng.random(mean.shape) < 0.4) / 0.4 * rng.gamma(2, 0.5, mean.shape)
            sparse += rng.normal(size=mean.shape) * np.abs(own[:, :1])
            both = unique_p(np.hstack([mean + rng.normal(size=mean.shape), sparse]), own, other, signs, np.arange(n))
            p["equal"].append(both[:5])
            p["sparse"].append(both[5:])
    return {kind: np.concatenate(parts) for kind, parts in p.items()}


def test_p_of_a_family_that_adds_nothing_is_valid():
    for kind, p in null_worlds(150, 200, seed=0).items():
        for a in ALPHAS_OF_TEST:
            # Targets of one world share ratings and signs: count worlds x families as the independent draws.
            share, se = (p <= a).mean(), np.sqrt(a * (1 - a) / len(p))
            assert share <= a + 3 * se, (kind, a, share)
        assert (p <= 0.2).mean() > 0.1, kind  # and not valid for never rejecting


def test_p_finds_a_family_that_adds_something():
    rng = np.random.default_rng(1)
    first, second = rated(300, rng)
    y = np.column_stack([second[:, 0] + 0.6 * first[:, 5], second[:, 0]]) + rng.normal(size=(300, 2))
    p = unique_p(y, first, second, signs_of(300, 999, rng), np.arange(300))
    assert p[0] == pytest.approx(0.001)
    assert p[1] > 0.05


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_p_does_not_depend_on_the_unit_of_a_component(unit):
    rng = np.random.default_rng(4)
    first, second = rated(120, rng)
    y = second[:, :3] + np.array([0.0, 0.5, 1.0]) * first[:, 4:5] + rng.normal(size=(120, 3))
    signs = signs_of(120, 199, rng)
    p = unique_p(y, first, second, signs, np.arange(120))
    assert p[2] == pytest.approx(0.005)
    np.testing.assert_array_equal(unique_p(unit * y, first, second, signs, np.arange(120)), p)


def test_statistic_of_the_test_is_the_partial_sum_of_squares():
    """With every sign kept the draws equal the observed value up to the leverages, so that p is 1."""
    rng = np.random.default_rng(2)
    first, second = rated(120, rng)
    y = second @ rng.normal(size=(4, 3)) + rng.normal(size=(120, 3))
    assert (unique_p(y, first, second, np.ones((9, 120)), np.arange(120)) == 1).all()
    # A family that the other holds already adds nothing that could be tested.
    assert np.isnan(unique_p(y, second @ rng.normal(size=(4, 2)), second, np.ones((9, 120)), np.arange(120))).all()


# Coverage of the intervals


def draw_targets(first, second, means, spread, rng):
    """Four Gaussian targets and four sparse, skewed, non-negative ones."""
    mean = np.hstack([first, second]) @ means
    positive = np.maximum(mean, 0)
    gaussian = mean + rng.normal(size=mean.shape) * spread
    sparse = positive * (rng.random(mean.shape) < 0.8) * rng.gamma(4, 0.25, mean.shape)
    return np.hstack([gaussian, sparse + rng.exponential(0.2, mean.shape) * (rng.random(mean.shape) < 0.3)])


def population_moments(draw, n_draws, n_blocks):
    """Mean of (1, x, y) (1, x, y)' over very many stimuli: all that the squared error of a linear fit depends on."""
    total = 0.0
    for _ in range(n_blocks):
        x, y = draw(n_draws // n_blocks)
        z = np.hstack([np.ones((len(x), 1)), x, y])
        total = total + z.T @ z
    return total / n_draws


def risks(ridge, y, models, moments):
    """Squared error of the fitted models on new stimuli, averaged over folds, (4, T)."""
    p, n_targets = ridge.x.shape[1], y.shape[1]
    ordered = y[ridge.order]
    errors = ridge.inner_errors(ordered)

    def squared_error(intercepts, slopes):
        """Of each target: c' moments c with c = (-a, -b, 1 at the target)."""
        slopes = slopes / ridge.scale[:, None]
        contrast = np.vstack([ridge.centre @ slopes - intercepts, -slopes, np.eye(n_targets)])
        return np.einsum("it,ij,jt->t", contrast, moments, contrast, optimize=True)

    means = [np.delete(ordered, rows, axis=0).mean(axis=0) for rows in ridge.slices]
    found = [np.mean([squared_error(mean, np.zeros((p, n_targets))) for mean in means], axis=0)]
    for model in models:
        slopes, intercepts = ridge.fit(ordered, *ridge.choose(errors, model))
        found.append(np.mean([squared_error(*part) for part in zip(intercepts, slopes, strict=True)], axis=0))
    return np.array(found)


def coverage(n_worlds, n, seed):
    """Share of intervals that hold the accuracy of the fitted models on new stimuli: part -> (n_targets,)."""
    rng = np.random.default_rng(seed)
    means = np.array([[1, 1, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, -1, 0, 0],
                      [0, 1, 0, 0, 1, 0, 0, 0, 1, 1], [0, 0, 0.5, 0, 0, 0.5, 1, 0, 0, 0]], float).T  # fmt: skip
    spread = (np.hstack(rated(100_000, rng)) @ means).std(axis=0)

    def draw(m):
        ratings = rated(m, rng)
        return np.hstack(ratings), draw_targets(*ratings, means, spread, rng)

    moments = population_moments(draw, 500_000, 5)
    held = {part: np.zeros(8) for part in PARTS}
    group, p = np.arange(n), np.arange(10)
    bands = [Band(p[:6], np.ones(6)), Band(p[6:], np.ones(4))]
    bands += [Band(p, np.sqrt(np.r_[np.full(6, w), np.full(4, 1 - w)])) for w in (0.1, 0.5, 0.9)]
    for k in range(n_worlds):
        x, y = draw(n)
        first, second = x[:, :6], x[:, 6:]
        losses = family_losses(y, first, second, group, 4, 1, np.random.default_rng(k))
        noise = second_order(y, first, second, group)
        ridge = FoldedRidge(x, assign_folds(group, 4, np.random.default_rng(k)), bands)
        risk = risks(ridge, y, ([0], [1], range(5)), moments)
        for part, sign in PARTS.items():
            truth = np.tensordot(np.array(sign, float), risk, axes=1) / risk[0]
            _, low, high = part_interval(losses, part, noise[part], group, 0.95)
            held[part] += (low <= truth) & (truth <= high)
    return {part: count / n_worlds for part, count in held.items()}


def test_intervals_hold_the_accuracy_on_new_stimuli_at_their_rate():
    """Over 150 worlds: at least 95% - 3 s.e. for every part, averaged over targets; 95% - 5 s.e. for each target."""
    se = np.sqrt(0.95 * 0.05 / 150)
    for part, share in coverage(150, 1000, seed=0).items():
        assert share.mean() >= 0.95 - 3 * se / np.sqrt(2), (part, share)
        assert share.min() >= 0.95 - 5 * se, (part, share)
        if part.startswith("r2"):
            assert share.mean() <= 0.95 + 3 * se, (part, share)


def test_interval_widens_with_level_and_holds_the_estimate():
    rng = np.random.default_rng(0)
    first, second = rated(200, rng)
    y = draw_targets(first, second, rng.normal(size=(10, 4)), np.ones(4), rng)
    losses = family_losses(y, first, second, np.arange(200), 5, 2, rng)
    for part in PARTS:
        value, low, high = part_interval(losses, part, np.zeros(8), np.arange(200), 0.95)
        _, lower, higher = part_interval(losses, part, np.zeros(8), np.arange(200), 0.99)
        assert ((lower < low) & (low < value) & (value < high) & (high < higher)).all()
        assert (high < 1).all()


# What is refused


def test_missing_family_and_bad_settings_are_refused(planted):
    space, ratings = planted
    with pytest.raises(
        InputError, match="types need ratings of two families, 'category' and 'dimension', and there is category"
    ):
        component_types(space, {"category": ratings["category"]}, seed=0)
    with pytest.raises(InputError, match="no components"):
        component_types(space.iloc[:, :0], ratings, seed=0)
    with pytest.raises(InputError, match=r"minimum=1\.5"):
        component_types(space, ratings, minimum=1.5, seed=0)
    with pytest.raises(InputError, match="n_subsamples=-1"):
        component_types(space, ratings, n_subsamples=-1, seed=0)
    with pytest.raises(InputError, match="ids are not in"):
        component_types(space.iloc[:-1], ratings, seed=0)
    with pytest.raises(InputError, match=r"26 stimuli \(or groups of them\) are too few for 10 ratings"):
        component_types(space, ratings, exclude=space.index[26:], seed=0)
    with pytest.raises(InputError, match="20 stimuli are too few for 5 folds"):
        component_types(space, ratings, exclude=space.index[20:], seed=0)
