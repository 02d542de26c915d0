import numpy as np
import pandas as pd
import pytest

from affectome import InputError
from affectome.interpretation import describe_rating_map
from affectome.interpretation._rating_map import _own_ratings, _ratings_followed, _spread


def frame(values, prefix):
    return pd.DataFrame(values, index=[f"s{i}" for i in range(len(values))]).add_prefix(prefix)


def describe(x, y, **settings):
    few = {"n_splits": 10, "n_subsamples": 10, "n_permutations": 99, "seed": 0}
    return describe_rating_map(frame(x, "c"), {"category": frame(y, "k")}, **{**few, **settings})


def test_components_that_are_ratings_make_a_diagonal():
    x = np.random.default_rng(0).gamma(0.5, size=(400, 5))
    got = describe(x, x[:, ::-1]).families.loc["category"]
    assert got["diagonal"] == pytest.approx(1)
    assert (got["own"], got["own_of"], got["own_share"], got["own_low"]) == (5, 5, 1, 1)
    assert got["own_p"] < 0.2  # five pairs find each other by chance in some of the permutations
    assert got["ratings_followed"] == pytest.approx(1, abs=0.1)
    assert got["rest"] < 0.1


def test_unrelated_ratings_have_no_diagonal_although_matching_finds_one():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 20)), rng.normal(size=(200, 20))
    got = describe(x, y).families.loc["category"]
    matched = np.sort(np.corrcoef(x.T, y.T)[:20, 20:].max(axis=1))
    assert matched.mean() > 0.1  # what matching and measuring on the same stimuli would report
    assert abs(got["diagonal"]) < 0.03
    assert got["own_share"] == pytest.approx(got["own_null"], abs=0.25)
    assert got["own_p"] > 0.05


def test_p_of_the_own_ratings_is_valid_where_nothing_is_related():
    rng, p = np.random.default_rng(2), []
    for seed in range(400):
        world = [rng.gamma(0.5, size=(40, k)) * (rng.random((40, k)) < 0.4) for k in (5, 6)]
        p.append(_own_ratings(*world, iter([np.arange(40)]), 99, np.random.SeedSequence(seed))["own_p"])
    for a in (0.01, 0.05, 0.10):
        assert (np.array(p) <= a).mean() <= a + 3 * np.sqrt(a * (1 - a) / len(p))


def test_effective_numbers_are_those_of_equal_parts():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(20_000, 8))
    x = np.column_stack([y[:, :4].sum(axis=1), y[:, 5], np.ones(len(y))])
    each = describe(x, y, n_permutations=1).components["ratings_followed"].loc["category"]
    assert each.iloc[:2].tolist() == pytest.approx([4, 1], abs=0.02)
    assert np.isnan(each.iloc[2])
    spread = describe(np.abs(x[:, [1, 1, 1]]), y, n_permutations=1).spread["value"]
    assert spread["components_in_weight"] == pytest.approx(3)
    assert spread["components_in_variance"] == pytest.approx(3)
    assert spread["largest_share"] == pytest.approx(1)
    assert spread["breadth"] == pytest.approx(2 / np.pi, abs=0.01)  # (E|z|)^2 / E z^2 of a normal z


def sparse_world(rng, n):
    y = rng.gamma(0.6, size=(n, 6)) * (rng.random((n, 6)) < 0.5)
    return y[:, :5] @ mixture() + 0.3 * rng.gamma(0.5, size=(n, 7)), y


def normal_world(rng, n):
    y = rng.normal(size=(n, 6))
    return y[:, :5] @ mixture() + 0.5 * rng.normal(size=(n, 7)), y


def mixture():
    """Seven components from five ratings, the last two of them light, so that the five heaviest are known."""
    drawn = np.random.default_rng(9).gamma(0.4, size=(5, 7))
    return drawn / drawn.sum(axis=0) * [5, 4, 3, 3, 3, 1, 1]


@pytest.mark.parametrize("world", [sparse_world, pytest.param(normal_world, marks=pytest.mark.slow)])
def test_intervals_cover_at_their_nominal_rate(world):
    x, y = world(np.random.default_rng(1), 300_000)
    whole = _ratings_followed(x, y, 0.95)["ratings_followed"]
    spread, rng = _spread(x, 0.95)["value"].to_numpy(), np.random.default_rng(2)
    covered = []
    for _ in range(200):
        x, y = world(rng, 500)
        got = _ratings_followed(x, y, 0.95)
        ends = _spread(x, 0.95)
        inside = (ends["ci_low"].to_numpy() <= spread) & (spread <= ends["ci_high"].to_numpy())
        covered.append([got["ratings_followed_low"] <= whole <= got["ratings_followed_high"], *inside])
    rates = np.mean(covered, axis=0)
    assert np.abs(rates - 0.95).max() < 3.2 * np.sqrt(0.95 * 0.05 / 200), rates


def test_what_cannot_be_described_is_refused():
    x = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(InputError, match="0 splits of 30 stimuli"):
        describe(x, x, n_splits=0)
    with pytest.raises(InputError, match="no null without permutations"):
        describe(x, x, n_permutations=0)
    with pytest.raises(InputError, match="1 splits of 5 stimuli"):
        describe(x[:5], x[:5], n_splits=1)


def test_one_constant_component_gives_no_numbers_and_no_warning():
    x = np.random.default_rng(0).normal(size=(30, 2))
    got = describe(np.ones((30, 1)), x)
    assert np.isnan(got.families["ratings_followed"].iloc[0])
    assert got.families["own"].iloc[0] == 0


def test_a_rating_of_one_stimulus_alone_takes_nothing_from_the_others():
    rng = np.random.default_rng(6)
    x, y = rng.gamma(0.5, size=(300, 3)), rng.gamma(0.5, size=(300, 4))
    y[:, :2] += x[:, :2]
    lonely = np.zeros((300, 1))
    lonely[7] = 1
    without, got = (describe(x, ratings, n_permutations=1) for ratings in (y, np.hstack([y, lonely])))
    for table in ("families", "components"):
        ends = [name for name in getattr(got, table) if name.startswith("ratings_followed")]
        values, expected = (getattr(found, table)[ends].to_numpy(float)[:2] for found in (got, without))
        np.testing.assert_allclose(values, expected, rtol=0.03)


def test_a_component_of_one_stimulus_alone_has_no_number_and_the_family_keeps_its_own():
    rng = np.random.default_rng(7)
    y = rng.gamma(0.5, size=(300, 4))
    x = np.column_stack([y[:, :2] + 0.1 * rng.random((300, 2)), np.arange(300) == 7])
    got = describe(x, y, n_permutations=1)
    each = got.components["ratings_followed"].to_numpy()
    assert np.isfinite(each[:2]).all() and np.isnan(each[2])
    ends = ["ratings_followed", "ratings_followed_low", "ratings_followed_high"]
    assert got.families.loc["category", ends].to_numpy(float) == pytest.approx([1, 1, 1], abs=0.25)
