import numpy as np
import pandas as pd
import pytest
from scipy import stats

from affectome import InputError
from affectome.interpretation import correlate_components, shares_above


def frame(values, prefix):
    ids = [f"s{i}" for i in range(len(values))]
    return pd.DataFrame(values, index=ids).add_prefix(prefix)


def sparse(rng, shape):
    """Skewed, mostly zero columns, as shares of raters are."""
    return rng.gamma(0.5, size=shape) * (rng.random(shape) < 0.3)


@pytest.fixture(scope="module")
def related():
    rng = np.random.default_rng(0)
    x = sparse(rng, (150, 3))
    y = np.column_stack([x[:, 0] + 0.1 * sparse(rng, 150), sparse(rng, 150)])
    return frame(x, "c"), {"category": frame(y, "k"), "dimension": frame(x[:, [1]] + sparse(rng, (150, 1)), "d")}


@pytest.fixture(scope="module")
def found(related):
    return shares_above(*related, thresholds=(0.2, 0.9), n_permutations=200, n_subsamples=30, seed=1)


def test_shares_are_those_of_the_correlations(related, found):
    expected = correlate_components(*related).share_above((0.2, 0.9))
    for (family, edge), row in found.table.iterrows():
        assert row["share"] == expected.loc[family, edge]
        assert row["subsample_low"] <= row["subsample_high"]
    assert found.table.index.get_level_values("family").unique().tolist() == ["category", "dimension", "all"]
    assert found.table.loc[("category", 0.9), "share"] == pytest.approx(1 / 3)


def test_p_values_equal_a_brute_force_permutation(related, found):
    space, ratings = related
    x, y = space.to_numpy(), pd.concat(ratings.values(), axis=1).to_numpy()
    rng = np.random.default_rng(np.random.SeedSequence(1).spawn(2)[0])
    observed = np.abs(np.corrcoef(x.T, y.T)[:3, 3:])
    null = np.array([np.abs(np.corrcoef(x.T, y[rng.permutation(150)].T)[:3, 3:]) for _ in range(200)])
    np.testing.assert_allclose(found.p, ((null >= observed).sum(axis=0) + 1) / 201)
    largest = null.max(axis=(1, 2))
    np.testing.assert_allclose(found.p_max, ((largest[:, None, None] >= observed).sum(axis=0) + 1) / 201)
    assert found.null_max == pytest.approx(np.quantile(largest, 0.95))
    shares = (null.max(axis=2) > 0.2).mean(axis=1)
    row = found.table.loc[("all", 0.2)]
    assert row["null_mean"] == pytest.approx(shares.mean())
    assert row["null_high"] == pytest.approx(np.quantile(shares, 0.95))
    assert row["p"] == pytest.approx(((shares >= row["share"] - 1e-9).sum() + 1) / 201)
    np.testing.assert_allclose(found.table["q"], stats.false_discovery_control(found.table["p"]))


def test_p_values_are_valid_where_nothing_is_related():
    rng, p_cell, p_max, p_share = np.random.default_rng(3), [], [], []
    for seed in range(200):
        world = frame(sparse(rng, (40, 2)), "c"), {"category": frame(sparse(rng, (40, 3)), "k")}
        got = shares_above(*world, thresholds=(0.3,), n_permutations=99, n_subsamples=1, seed=seed)
        p_cell.append(got.p.iloc[0, 0])
        p_max.append(got.p_max.min().min())
        p_share.append(got.table["p"].iloc[0])
    for p in map(np.array, (p_cell, p_max, p_share)):
        for a in (0.01, 0.05, 0.10):
            assert (p <= a).mean() <= a + 3 * np.sqrt(a * (1 - a) / len(p))
    # Without ties, p is not merely valid but exact.
    assert (np.array(p_max) <= 0.10).mean() >= 0.10 - 3 * np.sqrt(0.09 / 200)


def test_p_of_heavy_tails_holds_where_that_of_t_does_not_and_closed_form_follows_drawn():
    rng, t, closed, exact = np.random.default_rng(5), [], [], []
    for seed in range(60):
        heavy = [rng.gamma(0.05, size=(60, 6)) for _ in range(2)]
        world = frame(heavy[0], "c"), {"category": frame(heavy[1], "k")}
        found = correlate_components(*world)
        size, freedom = found.r.abs().to_numpy(), 58
        t.append(2 * stats.t.sf(size * np.sqrt(freedom / (1 - size**2)), freedom))
        closed.append(found.p.to_numpy())
        exact.append(shares_above(*world, n_permutations=199, n_subsamples=1, seed=seed).p.to_numpy())
    assert (np.array(t) <= 0.005).mean() > 0.01
    assert (np.array(exact) <= 0.005).mean() < 0.01
    assert (np.array(closed) <= 0.005).mean() < 0.01


def test_same_seed_gives_the_same_table_and_another_seed_another(related, found):
    again = shares_above(*related, thresholds=(0.2, 0.9), n_permutations=200, n_subsamples=30, seed=1)
    pd.testing.assert_frame_equal(again.table, found.table)
    other = shares_above(*related, thresholds=(0.2, 0.9), n_permutations=200, n_subsamples=30, seed=2)
    assert other.null_max != found.null_max


def test_constant_component_lies_above_no_threshold(related):
    space, ratings = related
    got = shares_above(space.assign(flat=1.0), ratings, thresholds=(0.0,), n_permutations=9, n_subsamples=2, seed=0)
    assert got.table.loc[("all", 0.0), "share"] == 0.75
    assert got.p.loc["flat"].isna().all()
    assert got.p_max.loc["flat"].isna().all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"thresholds": ()}, "thresholds of |r|"),
        ({"thresholds": (1.0,)}, "thresholds of |r|"),
        ({"n_permutations": 0}, "no null without permutations"),
        ({"n_subsamples": 0}, "0 subsamples"),
        ({"fraction": 1.0}, "of 1 of 150 stimuli"),
        ({"level": 0}, "level=0 makes no interval"),
    ],
)
def test_settings_that_mean_nothing_are_refused(related, settings, said):
    with pytest.raises(InputError) as raised:
        shares_above(*related, **settings, seed=0)
    assert said in str(raised.value)
