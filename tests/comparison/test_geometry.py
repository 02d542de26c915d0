import logging

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from sklearn.cross_decomposition import CCA

from affectome.comparison import compare_geometry
from affectome.comparison._geometry import _held_out, _jackknifed, _ratio
from affectome.comparison._matrix import PairStatistic, pair_table
from affectome.errors import InputError


def centred(values):
    return values - values.mean(axis=0)


def unbiased_cka(x, y):
    """Debiased CKA from kernels with zero diagonals (Song et al. 2012, equation 5)."""

    def hsic(k, m):
        n = len(k)
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        cross = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m).sum()
        return np.trace(k @ m) + cross

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def spread_out(rng, n):
    """Two related spaces without an order of components that is hard to tell."""
    x = rng.normal(size=(n, 4)) * [3, 2, 1, 0.5]
    return x, x[:, :3] @ rng.normal(size=(3, 3)) + rng.normal(size=(n, 3))


def test_in_sample_values_equal_kernels_scipy_and_scikit_learn():
    x, y = spread_out(np.random.default_rng(0), 80)
    got = compare_geometry({"x": pd.DataFrame(x), "y": pd.DataFrame(y)}, n_permutations=0, seed=0)
    rows = got.table.droplevel(["first", "second"])
    k, m = centred(x) @ centred(x).T, centred(y) @ centred(y).T
    assert rows.loc["cka", "in_sample"] == pytest.approx((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))
    assert rows.loc["cka", "value"] == pytest.approx(unbiased_cka(x.copy(), y.copy()), rel=1e-5)
    disparity = procrustes(x, np.column_stack([y, np.zeros(80)]))[2]
    assert 1 - rows.loc["procrustes", "in_sample"] ** 2 == pytest.approx(disparity, abs=1e-5)
    u, v = CCA(n_components=3, tol=1e-12, max_iter=20_000).fit_transform(x, y)
    expected = [np.corrcoef(u[:, j], v[:, j])[0, 1] for j in range(3)]
    np.testing.assert_allclose(got.canonical["in_sample"], expected, atol=1e-4)
    assert rows.loc["canonical", "in_sample"] == pytest.approx(np.mean(expected), abs=1e-4)


def test_held_out_values_equal_directions_of_the_other_folds():
    x, y = spread_out(np.random.default_rng(1), 90)
    folds = np.arange(90) % 5
    got = _held_out(x, y, folds)
    for fold in range(5):
        test = folds == fold
        a, b = x[~test].mean(axis=0), y[~test].mean(axis=0)
        padded = np.column_stack([y - b, np.zeros(90)])
        turn, _ = orthogonal_procrustes((x - a)[~test], padded[~test])
        np.testing.assert_allclose(got.match[test], (((x - a) @ turn) * padded).sum(axis=1)[test], atol=1e-8)
        fit = CCA(n_components=3, scale=False, tol=1e-12, max_iter=20_000).fit(x[~test], y[~test])
        u, v = fit.transform(x[test], y[test])
        r = [np.corrcoef(u[:, j], v[:, j])[0, 1] for j in range(3)]
        mine = [np.corrcoef(got.u[test, j], got.v[test, j])[0, 1] for j in range(3)]
        np.testing.assert_allclose(mine, r, atol=1e-4)
    np.testing.assert_allclose(got.one.sum(), (centred(x) ** 2).sum(), rtol=0.05)


def test_only_cka_has_differences_and_they_are_those_of_the_table():
    rng = np.random.default_rng(12)
    spaces = {k: pd.DataFrame(rng.normal(size=(30, 3))) for k in "xyz"}
    got = compare_geometry(spaces, n_permutations=0, seed=0)
    assert got.differences.index.tolist() == [("cka", "x", "y", "z"), ("cka", "y", "x", "z"), ("cka", "z", "x", "y")]
    matrix = got.matrix("cka")
    assert got.differences["difference"].iloc[0] == pytest.approx(matrix.loc["x", "y"] - matrix.loc["x", "z"])


def test_a_turned_and_scaled_space_is_the_same_geometry():
    rng = np.random.default_rng(2)
    x = rng.gamma(0.5, size=(60, 4))
    turned = 7 * x @ np.linalg.qr(rng.normal(size=(4, 4)))[0] + 3
    got = compare_geometry({"x": pd.DataFrame(x), "y": pd.DataFrame(turned)}, n_permutations=49, seed=0)
    np.testing.assert_allclose(got.table[["value", "in_sample", "ci_low"]], 1, atol=1e-5)
    assert (got.table["p"] == 1 / 50).all()


def test_canonical_correlations_ignore_a_linear_map_and_the_others_do_not():
    rng = np.random.default_rng(3)
    x, y = spread_out(rng, 70)
    mapped = {"x": pd.DataFrame(x @ rng.normal(size=(4, 4))), "y": pd.DataFrame(y)}
    one, two = (compare_geometry(s, n_permutations=0, seed=0).table["value"].to_numpy()
                for s in ({"x": pd.DataFrame(x), "y": pd.DataFrame(y)}, mapped))  # fmt: skip
    assert one[2] == pytest.approx(two[2], abs=1e-4)
    assert np.abs(one - two)[:2].min() > 0.01


def test_unrelated_spaces_of_many_features_are_told_by_null_and_cross_validation():
    rng = np.random.default_rng(4)
    spaces = {k: pd.DataFrame(rng.normal(size=(150, 25))) for k in "xy"}
    got = compare_geometry(spaces, n_permutations=99, seed=0)
    rows = got.table.droplevel(["first", "second"])
    assert (rows["p"] > 0.02).all() and (rows["value"].abs() < 0.1).all()
    assert rows.loc["procrustes", "in_sample"] > 0.25 and rows.loc["canonical", "in_sample"] > 0.3
    np.testing.assert_allclose(rows["null_mean"][["procrustes", "canonical"]],
                               rows["in_sample"][["procrustes", "canonical"]], atol=0.05)  # fmt: skip
    first = got.canonical.loc[("x", "y")].iloc[0]
    assert first["in_sample"] > 0.6 and first["null_high"] > 0.6 and abs(first["cross_validated"]) < 0.3


def test_p_is_valid_where_spaces_are_unrelated(unrelated, assert_valid):
    rng = np.random.default_rng(5)
    tables = [compare_geometry(unrelated(rng, 40), n_folds=2, n_permutations=99, seed=w).table for w in range(100)]
    assert_valid(np.array([table["p"] for table in tables]))


@pytest.mark.parametrize("kind", ["sparse", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_intervals_and_differences_of_cka_cover(kind, related, assert_covers):
    settings = {"n_folds": 2, "n_permutations": 0, "seed": 0}
    whole = [compare_geometry(related(np.random.default_rng(s), 20_000, kind), **settings) for s in range(2)]
    truth = np.mean([got.rows("cka")["value"] for got in whole], axis=0)
    rng = np.random.default_rng(6)
    worlds = [compare_geometry(related(rng, 250, kind), **settings) for _ in range(150)]
    assert_covers(np.array([got.rows("cka")[["ci_low", "ci_high"]] for got in worlds]), truth, at_most=0.97)
    ties = [got.differences.loc[("cka", "b", "a", "c")] for got in worlds]
    assert np.mean([tie["p"] <= 0.05 for tie in ties]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def of_the_population(x, y, folds, everyone):
    """What the directions that each fold is scored with reach in a population: Procrustes r, mean canonical r."""
    sums, products = np.zeros(3), np.zeros((3, min(x.shape[1], y.shape[1])))
    for fold in range(folds.max() + 1):
        fit, share = folds != fold, np.mean(folds == fold)
        a, b = x[fit].mean(axis=0), y[fit].mean(axis=0)
        xf, yf, xp, yp = x[fit] - a, y[fit] - b, everyone[0] - a, everyone[1] - b
        left, _, right = np.linalg.svd(xf.T @ yf, full_matrices=False)
        sums += share * np.array([((xp @ left) * (yp @ right.T)).sum(), (xp**2).sum(), (yp**2).sum()])
        (qx, rx), (qy, ry) = np.linalg.qr(xf), np.linalg.qr(yf)
        left, _, right = np.linalg.svd(qx.T @ qy, full_matrices=False)
        u, v = xp @ np.linalg.solve(rx, left), yp @ np.linalg.solve(ry, right.T)
        products += share * np.array([(u * v).sum(axis=0), (u**2).sum(axis=0), (v**2).sum(axis=0)])
    return [part[0] / np.sqrt(part[1] * part[2]) for part in (sums, products)]


@pytest.mark.parametrize("kind", ["sparse", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_intervals_of_directions_cover_what_these_directions_reach(kind, related):
    everyone = [f.to_numpy() for f in related(np.random.default_rng(9), 10_000, kind, names="ab").values()]
    rng, held = np.random.default_rng(7), []
    for _ in range(200):
        x, y = (frame.to_numpy() for frame in related(rng, 600, kind, names="ab").values())
        folds = rng.permutation(600) % 5
        turned, canonical = of_the_population(x, y, folds, everyone)
        pair = _held_out(x, y, folds)
        r, left_out = _ratio(pair.match, pair.one, pair.two)
        each, each_left_out = _ratio(pair.u * pair.v, pair.u**2, pair.v**2)
        values = np.array([float(r), each.mean()])
        influences = np.array([_jackknifed(values[0], left_out), _jackknifed(values[1], each_left_out.mean(axis=1))])
        for q, truth in enumerate((turned, canonical.mean())):
            part = PairStatistic(values[[q]], influences[[q]], "correlation", values[[q]], np.empty((0, 1)), None)
            row = pair_table("ab", {"r": part}, 0.95).iloc[0]
            held.append(row["ci_low"] <= truth <= row["ci_high"])
    covered = np.reshape(held, (200, 2)).mean(axis=0)
    assert (np.abs(covered - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / 200)).all(), covered


def test_too_many_features_leave_canonical_correlations_out_and_say_so(caplog):
    rng = np.random.default_rng(8)
    spaces = {"x": pd.DataFrame(rng.normal(size=(20, 9))), "y": pd.DataFrame(rng.normal(size=(20, 9)))}
    with caplog.at_level(logging.WARNING):
        got = compare_geometry(spaces, n_permutations=19, seed=0)
    assert "x and y have too many features together for 20 stimuli" in caplog.text
    assert got.rows("canonical")[["value", "ci_low", "p", "q", "in_sample"]].isna().all(axis=None)
    assert got.rows("procrustes").notna().all(axis=None)


def test_columns_that_repeat_others_change_no_canonical_correlation():
    x, y = spread_out(np.random.default_rng(9), 60)
    twice = pd.DataFrame(np.column_stack([x, x[:, 0] - x[:, 1], np.ones(60)]))
    one, two = (compare_geometry({"x": s, "y": pd.DataFrame(y)}, n_permutations=0, seed=0).rows("canonical")
                for s in (pd.DataFrame(x), twice))  # fmt: skip
    np.testing.assert_allclose(one.to_numpy(float), two.to_numpy(float), atol=1e-4, equal_nan=True)


def test_a_feature_in_small_units_counts_for_canonical_correlations_as_in_any_other():
    x, y = spread_out(np.random.default_rng(12), 60)
    one, two = (compare_geometry({"x": pd.DataFrame(s), "y": pd.DataFrame(y)}, n_permutations=19, seed=0)
                for s in (x, x * np.r_[1e-7, np.ones(x.shape[1] - 1)]))  # fmt: skip
    first, second = (got.rows("canonical").to_numpy(float) for got in (one, two))
    np.testing.assert_allclose(first, second, atol=1e-8)


def test_a_space_that_one_stimulus_carries_has_no_interval():
    rng = np.random.default_rng(11)
    lonely = pd.DataFrame(np.eye(20)[:, :2] * 50 + 0.01 * rng.normal(size=(20, 2)))
    got = compare_geometry({"x": lonely, "y": pd.DataFrame(rng.normal(size=(20, 2)))}, n_permutations=19, seed=0)
    assert got.rows("cka")[["ci_low", "ci_high"]].isna().all(axis=None)


def test_bad_input_is_said():
    x = pd.DataFrame(np.random.default_rng(10).normal(size=(20, 2)))
    with pytest.raises(InputError, match="y: all stimuli are at the same place"):
        compare_geometry({"x": x, "y": x * 0 + 1}, seed=0)
    with pytest.raises(InputError, match="n_folds=11 does not divide 20 stimuli"):
        compare_geometry({"x": x, "y": x}, n_folds=11, seed=0)
