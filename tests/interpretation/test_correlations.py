import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome import InputError, correlate_components, simulate_emotions
from affectome.interpretation import RatingCorrelations
from affectome.interpretation._correlations import (
    _middle_shares,
    _pearson,
    _pearson_interval,
    _spearman_interval,
    left_out_correlations,
    unit_columns,
)

IDS = [f"s{i:03d}" for i in range(80)]


def draw_frame(seed, columns, n=80):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(n, len(columns))), index=IDS[:n], columns=list(columns))


@pytest.fixture(scope="module")
def space():
    return draw_frame(0, ["component 01", "component 02", "component 03"])


@pytest.fixture(scope="module")
def ratings(space):
    """Two families, some of whose ratings follow a component."""
    category, dimension = draw_frame(1, ["Joy", "Fear", "Awe"]), draw_frame(2, ["valence", "arousal"])
    category["Joy"] += space["component 02"] * 2
    dimension["valence"] -= space["component 01"]
    return {"category": category, "dimension": dimension}


@pytest.fixture(scope="module")
def result(space, ratings):
    return correlate_components(space, ratings)


def table_of(r, q=None):
    """A result with these correlations, components A, B, ... and ratings a, b, ..."""
    r = pd.DataFrame(r, index=[chr(65 + i) for i in range(len(r))], columns=[chr(97 + i) for i in range(len(r[0]))])
    q = r * 0 if q is None else pd.DataFrame(q, index=r.index, columns=r.columns)
    family = pd.Series("category", index=r.columns)
    return RatingCorrelations(
        r, q, q, family, 10, ci_low=r, ci_high=r, rho=r, rho_p=q, rho_q=q, rho_ci_low=r, rho_ci_high=r
    )


def test_r_equals_scipy_for_every_pair_and_p_of_normal_columns_nearly(result, space, ratings):
    together = pd.concat(ratings.values(), axis=1)
    for component in space:
        for rating in together:
            expected = stats.pearsonr(space[component], together[rating])
            assert result.r.loc[component, rating] == pytest.approx(expected.statistic, abs=1e-12)
            if expected.pvalue > 1e-4:
                assert result.p.loc[component, rating] == pytest.approx(expected.pvalue, rel=0.05)
            else:
                assert result.p.loc[component, rating] < 2e-4
    assert result.n_stimuli == 80


def test_q_is_benjamini_hochberg_over_the_whole_table(result):
    expected = stats.false_discovery_control(result.p.to_numpy().ravel()).reshape(result.p.shape)
    np.testing.assert_allclose(result.q, expected, rtol=1e-12)
    assert (result.q.to_numpy() > result.p.to_numpy()).any()


def test_rho_equals_scipy_with_ties_and_its_p_nearly():
    rng = np.random.default_rng(3)
    space = pd.DataFrame(np.maximum(rng.normal(size=(80, 2)), 0), index=IDS, columns=["a", "b"])
    rating = pd.DataFrame(rng.poisson(0.5, (80, 1)) + space[["a"]].round().to_numpy(), index=IDS, columns=["Joy"])
    got = correlate_components(space, {"category": rating})
    for component in space:
        expected = stats.spearmanr(space[component], rating["Joy"])
        assert got.rho.loc[component, "Joy"] == pytest.approx(expected.statistic, abs=1e-12)
        assert got.rho_p.loc[component, "Joy"] == pytest.approx(expected.pvalue, rel=0.1, abs=1e-6)
    expected = stats.false_discovery_control(got.rho_p.to_numpy().ravel())
    np.testing.assert_allclose(got.rho_q.to_numpy().ravel(), expected, rtol=1e-12)


def test_family_says_where_a_rating_came_from(result):
    assert result.family.to_dict() == {
        "Joy": "category", "Fear": "category", "Awe": "category", "valence": "dimension", "arousal": "dimension",
    }  # fmt: skip


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_order_of_stimuli_and_scale_of_ratings_do_not_matter(seed, space, ratings, result):
    rng = np.random.default_rng(seed)
    scale, shift = rng.uniform(0.1, 10), rng.normal()
    moved = {key: (frame * scale + shift).sample(frac=1, random_state=seed) for key, frame in ratings.items()}
    got = correlate_components(space.sample(frac=1, random_state=seed + 1 if seed < 2**31 else 0), moved)
    np.testing.assert_allclose(got.r, result.r, atol=1e-12)
    np.testing.assert_allclose(got.q, result.q, rtol=1e-9)


def test_constant_rating_is_missing_and_logged_and_counts_for_no_correction(space, ratings, result, caplog):
    flat = ratings["category"].assign(Flat=0.1)
    with caplog.at_level(logging.WARNING, logger="affectome"):
        got = correlate_components(space, {**ratings, "category": flat})
    assert got.r["Flat"].isna().all()
    assert got.p["Flat"].isna().all()
    assert got.q["Flat"].isna().all()
    pd.testing.assert_frame_equal(got.q[result.q.columns], result.q)
    assert "1 ratings are constant and have no correlation: Flat." in caplog.text
    assert all("Flat" not in dict(top) for top in got.top_ratings(9, alpha=1.1).values())
    assert sorted(got.diagonal_order()) == sorted(got.r.columns)


def test_constant_component_is_missing_and_leaves_the_others_alone(space, ratings, result):
    got = correlate_components(space.assign(**{"component 04": 0.0}), ratings)
    assert got.q.loc["component 04"].isna().all()
    pd.testing.assert_frame_equal(got.q.loc[result.q.index], result.q)


@pytest.mark.parametrize("n_components", [1, 2])
def test_constant_component_is_logged_by_its_name(space, ratings, caplog, n_components):
    columns = space.columns[: n_components - 1].tolist()
    with caplog.at_level(logging.WARNING, logger="affectome"):
        correlate_components(space[columns].assign(flat=1.0), ratings)
    assert "flat" in caplog.text
    assert "Joy" not in caplog.text


def test_p_is_uniform_where_nothing_is_related():
    null = correlate_components(draw_frame(5, range(25)), {"noise": draw_frame(6, range(100, 140))})
    assert stats.kstest(null.p.to_numpy().ravel(), "uniform").pvalue > 0.01
    assert not (null.q.to_numpy() < 0.05).any()


def test_planted_components_follow_their_own_emotion():
    world = simulate_emotions(200, 6, seed=0)
    found = correlate_components(world.planted, {k: world.stimuli.spaces[k] for k in ("category", "dimension")})
    tops = found.top_ratings(1)
    emotions = world.stimuli.spaces["category"].columns.tolist()
    assert [top[0][0] for top in tops.values()] == emotions
    assert min(top[0][1] for top in tops.values()) > 0.85
    assert found.diagonal_order()[:6] == emotions


def test_name_of_two_families_is_prefixed(space):
    got = correlate_components(space, {"human": draw_frame(1, ["Joy", "Fear"]), "model": draw_frame(2, ["Joy", "Awe"])})
    assert got.r.columns.tolist() == ["human: Joy", "Fear", "model: Joy", "Awe"]
    assert got.family["model: Joy"] == "model"


# Intervals


def sparse_world(rng, n, k=4):
    """Columns as ours: components sparse and skewed, ratings mostly zero, from none to strong relations."""
    x = rng.gamma(0.6, size=(n, k)) * (rng.random((n, k)) < 0.5)
    y = rng.gamma(0.5, size=(n, k)) * (rng.random((n, k)) < 0.3) + np.array([0.0, 0.2, 0.5, 1.0])[:k] * x
    return x, y


def normal_world(rng, n, k=4):
    """Normal columns with population r of 0, .3, .6 and .9 on the diagonal, 0 elsewhere."""
    r = np.array([0.0, 0.3, 0.6, 0.9])[:k]
    x = rng.normal(size=(n, k))
    return x, r * x + np.sqrt(1 - r**2) * rng.normal(size=(n, k))


@pytest.mark.parametrize(("world", "n"), [(sparse_world, 2185), (normal_world, 100)])
def test_intervals_cover_at_their_nominal_rate(world, n):
    measures = {"r": (lambda x: x, _pearson_interval), "rho": (_middle_shares, _spearman_interval)}
    rng = np.random.default_rng(2)
    x, y = world(np.random.default_rng(1), 400_000)
    truth = {name: _pearson(scale(x), scale(y)).diagonal() for name, (scale, _) in measures.items()}
    covered = {name: [] for name in measures}
    for _ in range(150):
        x, y = world(rng, n)
        for name, (scale, interval) in measures.items():
            low, high = interval(x, y, _pearson(scale(x), scale(y)), 0.95)
            covered[name].append((low.diagonal() <= truth[name]) & (truth[name] <= high.diagonal()))
    for name, inside in covered.items():
        rates = np.mean(inside, axis=0)
        assert rates.mean() == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 600)), (name, rates)
        assert np.abs(rates - 0.95).max() < 3.2 * np.sqrt(0.95 * 0.05 / 150), (name, rates)


def frames(x, y):
    ids = [f"s{i}" for i in range(len(x))]
    return pd.DataFrame(x, index=ids).add_prefix("c"), {"category": pd.DataFrame(y, index=ids).add_prefix("k")}


def test_left_out_correlations_equal_those_of_the_other_stimuli():
    rng = np.random.default_rng(0)
    x, y = sparse_world(rng, 40)
    got = left_out_correlations(unit_columns(x)[:, 0], unit_columns(y))
    for i in (0, 7, 39):
        expected = [stats.pearsonr(np.delete(x[:, 0], i), np.delete(column, i)).statistic for column in y.T]
        np.testing.assert_allclose(got[i], expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["r", "rho"])
def test_interval_is_that_of_leaving_every_stimulus_out(name):
    x, y = sparse_world(np.random.default_rng(5), 300)
    x, y = x[:, [3]].round(1), y[:, [3]].round(1)
    correlation = {"r": stats.pearsonr, "rho": stats.spearmanr}[name]
    whole = np.arctanh(correlation(x[:, 0], y[:, 0]).statistic)
    left = [np.arctanh(correlation(np.delete(x, i), np.delete(y, i)).statistic) for i in range(300)]
    moved = 299 * (whole - np.array(left))
    freedom = 2 * 300 / (stats.kurtosis(moved, fisher=False) - 1)
    reach = stats.t.ppf(0.95, freedom) * moved.std() / np.sqrt(299)
    got = correlate_components(*frames(x, y), level=0.9)
    low, high = ("ci_low", "ci_high") if name == "r" else ("rho_ci_low", "rho_ci_high")
    tolerance = 1e-9 if name == "r" else 2e-3  # ranks: the influence function is the limit of leaving one out
    assert getattr(got, low).iloc[0, 0] == pytest.approx(np.tanh(whole - reach), abs=tolerance)
    assert getattr(got, high).iloc[0, 0] == pytest.approx(np.tanh(whole + reach), abs=tolerance)


def test_perfect_correlation_is_its_own_interval(space):
    got = correlate_components(space, {"model": -2 * space.add_prefix("m")})
    for table in (got.ci_low, got.ci_high, got.rho_ci_low, got.rho_ci_high):
        np.testing.assert_allclose(table.to_numpy().diagonal(), -1, atol=1e-9)


def test_correlation_that_one_stimulus_makes_alone_has_no_interval(space, ratings):
    once = pd.DataFrame({"Once": np.eye(80)[3]}, index=IDS)
    got = correlate_components(space, {**ratings, "rare": once})
    assert got.ci_low["Once"].isna().all()
    assert got.r["Once"].notna().all()
    few = correlate_components(space.iloc[:9], {key: frame.iloc[:9] for key, frame in ratings.items()})
    assert few.ci_low.isna().all().all()
    assert few.rho_ci_high.isna().all().all()


# Reading the table


def test_table_has_one_row_for_each_cell(space, ratings, result):
    table = correlate_components(space, ratings, circular=["category"]).table()
    assert table.index.names == ["component", "rating"]
    assert len(table) == 15
    row = table.loc[("component 02", "valence")]
    assert row["family"] == "dimension"
    for name in ("r", "ci_low", "ci_high", "p", "q", "rho", "rho_ci_low", "rho_ci_high", "rho_p", "rho_q"):
        assert row[name] == getattr(result, name).loc["component 02", "valence"]
    assert table.groupby("family")["circular"].unique().map(list).to_dict() == {
        "category": [True],
        "dimension": [False],
    }
    assert (table["ci_low"] < table["r"]).all()
    assert (table["r"] < table["ci_high"]).all()


def test_share_above_counts_the_largest_of_each_family():
    result = table_of([[0.15, -0.45, 0.1], [0.05, 0.2, 0.35], [0.0, 0.0, np.nan]])
    result.family.loc["c"] = "dimension"
    shares = result.share_above([0.1, 0.3])
    assert shares.index.tolist() == ["category", "dimension", "all"]
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3], [1 / 3, 1 / 3], [2 / 3, 2 / 3]])


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 8))
@settings(deadline=None, max_examples=30)
def test_diagonal_order_undoes_a_permutation(seed, k):
    rng = np.random.default_rng(seed)
    shuffle = rng.permutation(k)
    r = rng.uniform(-0.2, 0.2, (k, k)) + np.eye(k) * 0.6
    result = table_of(r[:, shuffle])
    np.testing.assert_allclose(result.r[result.diagonal_order()].to_numpy(), r)


def test_ratings_left_over_follow_beside_their_component():
    r = [[0.1, 0.9, 0.8, 0.0, 0.0], [0.2, 0.0, 0.0, 0.9, 0.7]]
    assert table_of(r).diagonal_order() == ["b", "d", "c", "a", "e"]


def test_more_components_than_ratings_give_every_rating_once():
    assert table_of([[0.1, 0.0], [0.9, 0.3], [0.0, 0.8]]).diagonal_order() == ["a", "b"]


def test_top_ratings_are_significant_and_strongest_whatever_the_sign():
    r = [[0.5, 0.9, -0.95, 0.6, 0.2], [0.3, 0.1, 0.2, -0.4, np.nan]]
    q = [[0.01, 0.2, 0.0, 0.0, 0.04], [0.06, 0.05, 0.5, 0.0, np.nan]]
    result = table_of(r, q)
    assert result.top_ratings(3) == {"A": [("c", -0.95), ("d", 0.6), ("a", 0.5)], "B": [("d", -0.4)]}
    assert result.top_ratings(1, alpha=0.3) == {"A": [("c", -0.95)], "B": [("d", -0.4)]}
    assert result.top_ratings(9, alpha=0.02)["A"] == [("c", -0.95), ("d", 0.6), ("a", 0.5)]


# What is refused


def test_ids_that_do_not_match_are_named(space, ratings):
    with pytest.raises(InputError, match=r"the space: 1 of its ids are not in dimension \(s079\)"):
        correlate_components(space, {**ratings, "dimension": ratings["dimension"].iloc[:-1]})


def test_settings_that_mean_nothing_are_refused(space, ratings):
    with pytest.raises(InputError, match="level=1 makes no interval"):
        correlate_components(space, ratings, level=1)
    with pytest.raises(InputError, match="circular names mood, which is no family"):
        correlate_components(space, ratings, circular=["mood"])
    with pytest.raises(InputError, match="column 'component 01' is missing"):
        correlate_components(space.replace(space.iloc[0, 0], np.nan), ratings)


def test_nothing_to_correlate_is_refused(space, ratings):
    with pytest.raises(InputError, match="no ratings"):
        correlate_components(space, {})
    with pytest.raises(InputError, match="no components"):
        correlate_components(space.iloc[:, :0], ratings)
    with pytest.raises(InputError, match="2 stimuli are too few"):
        correlate_components(space.iloc[:2], {"category": ratings["category"].iloc[:2]})
