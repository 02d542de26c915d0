"""Partial and multiple-regression RSA, against regressions on explicit similarities."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from affectome.errors import InputError
from affectome.neural.searchlight import ModelGeometry, Neighbourhoods, Patterns, model_geometry
from affectome.neural.searchlight._pearson import pearson_sums
from affectome.neural.searchlight._regression import partial_rsa, regression_rsa

N = 90
RUN = np.arange(N) // 9
UPPER = np.triu(RUN[:, None] != RUN)


@pytest.fixture(scope="module")
def made():
    """Sums of two centres and three correlated models, and the standardised similarities g and h over pairs."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal((N, 6))
    parts = {"a": base[:, :3], "b": base[:, 1:5], "c": base[:, 4:]}
    models = [
        model_geometry(pd.DataFrame(x, index=[f"s{i}" for i in range(N)]), name=name, metric="sqeuclidean")
        for name, x in parts.items()
    ]
    x = np.hstack([base @ rng.standard_normal((6, 10)), rng.standard_normal((N, 8))]).astype(np.float32)
    patterns = Patterns("sub-01", tuple(f"s{i}" for i in range(N)), x, RUN)
    spheres = Neighbourhoods(np.array([0, 10, 18]), np.arange(18, dtype=np.int32))
    sums = pearson_sums(patterns, spheres, models, metric="cosine")
    h = np.column_stack([((m.factors * m.signs) @ m.factors.T)[UPPER] for m in models])
    unit = x.astype(float)
    g = []
    for c in range(2):
        part = unit[:, spheres[c]]
        part = part / np.linalg.norm(part, axis=1, keepdims=True)
        g.append((part @ part.T)[UPPER])
    scale = lambda v: (v - v.mean(axis=0)) / v.std(axis=0)  # noqa: E731
    return sums, scale(np.array(g).T), scale(h)


def residual(y, x):
    return y - LinearRegression().fit(x, y).predict(x)


def test_weights_and_explained_variance_are_those_of_least_squares_over_pairs(made):
    sums, g, h = made
    found = regression_rsa(sums)
    for centre in range(2):
        fitted = LinearRegression().fit(h, g[:, centre])
        np.testing.assert_allclose(found.beta[centre], fitted.coef_, atol=2e-6)
        assert found.r2[centre] == pytest.approx(fitted.score(h, g[:, centre]), abs=2e-6)
    assert found.r2[0] > 0.2 > found.r2[1]  # signal in the first only
    assert found.n_pairs == UPPER.sum()


def test_partial_and_semipartial_correlations_are_those_of_residuals(made):
    sums, g, h = made
    found = regression_rsa(sums)
    for k in range(3):
        others = np.delete(h, k, axis=1)
        own = residual(h[:, k], others)
        assert found.vif[k] == pytest.approx(1 / own.var(), rel=1e-5)
        for centre in range(2):
            wanted = np.corrcoef(residual(g[:, centre], others), own)[0, 1]
            assert found.partial_r[centre, k] == pytest.approx(wanted, abs=2e-6)
            assert found.semipartial_r[centre, k] == pytest.approx(np.corrcoef(g[:, centre], own)[0, 1], abs=2e-6)
    whole, without = found.r2, regression_rsa(sums, ["a", "c"]).r2
    np.testing.assert_allclose(found.semipartial_r[:, 1] ** 2, whole - without, atol=1e-9)


def test_partial_correlation_holds_only_the_named_models_constant(made):
    sums, g, h = made
    found = partial_rsa(sums, given=["b"])
    assert found.columns.tolist() == ["a", "c"] and len(found) == 2
    for name, k in (("a", 0), ("c", 2)):
        own = residual(h[:, k], h[:, [1]])
        wanted = [np.corrcoef(residual(g[:, centre], h[:, [1]]), own)[0, 1] for centre in range(2)]
        np.testing.assert_allclose(found[name], wanted, atol=2e-6)
    np.testing.assert_allclose(partial_rsa(sums, given=["a", "b"])["c"], regression_rsa(sums).partial_r[:, 2])


def test_one_model_alone_has_its_correlation_as_weight(made):
    sums, _, _ = made
    found = regression_rsa(sums, ["c"])
    np.testing.assert_allclose(found.beta, sums.r[:, [2]])
    np.testing.assert_allclose(found.partial_r, sums.r[:, [2]])
    np.testing.assert_allclose(found.r2, sums.r[:, 2] ** 2)


def test_table_has_a_row_per_centre_and_model(made):
    sums, _, _ = made
    found = regression_rsa(sums)
    assert found.table["model"].tolist() == ["a", "b", "c"] * 2
    assert found.table.query("centre == 1 and model == 'b'")["beta"].item() == found.beta[1, 1]


def test_a_centre_without_geometry_has_no_weights():
    rng = np.random.default_rng(1)
    patterns = Patterns("sub-01", tuple("abcdefgh"), np.ones((8, 3), np.float32))
    models = [ModelGeometry(name, "dot", rng.standard_normal((8, 2)), np.ones(2)) for name in "xy"]
    sums = pearson_sums(patterns, Neighbourhoods(np.array([0, 3]), np.arange(3)), models, metric="sqeuclidean")
    found = regression_rsa(sums)
    for values in (found.beta, found.partial_r, found.semipartial_r, found.r2):
        assert np.isnan(values).all()
    assert partial_rsa(sums, given=["x"])["y"].isna().all()


def test_where_the_control_explains_everything_nothing_is_left():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((40, 3)).astype(np.float32)
    patterns = Patterns("sub-01", tuple(f"s{i}" for i in range(40)), x)
    models = [
        ModelGeometry("same", "dot", x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)),
        ModelGeometry("other", "dot", rng.standard_normal((40, 2))),
    ]
    sums = pearson_sums(patterns, Neighbourhoods(np.array([0, 3]), np.arange(3)), models, metric="cosine")
    assert sums.r[0, 0] == pytest.approx(1, abs=1e-6)
    found = partial_rsa(sums, given=["same"])["other"]
    assert np.isnan(found[0]) or abs(found[0]) < 0.2  # what rounding leaves


def test_wrong_choices_are_named(made):
    sums, _, _ = made
    with pytest.raises(InputError, match="d is none of the models \\(a, b, c\\)"):
        regression_rsa(sums, ["a", "d"])
    with pytest.raises(InputError, match="'a' was already used"):
        regression_rsa(sums, ["a", "a"])
    with pytest.raises(InputError, match="no model to regress on"):
        regression_rsa(sums, [])
    with pytest.raises(InputError, match="no model is held constant"):
        partial_rsa(sums, given=[])
    with pytest.raises(InputError, match="all models are held constant"):
        partial_rsa(sums, given=["a", "b", "c"])


def test_models_that_determine_one_another_are_refused_by_name():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 40, 2))
    models = [
        ModelGeometry("x", "dot", x, np.ones(2)),
        ModelGeometry("y", "dot", y, np.ones(2)),
        ModelGeometry("alone", "dot", rng.standard_normal((40, 2)), np.ones(2)),
        ModelGeometry("both", "dot", np.hstack([x, y]), np.ones(4)),
    ]
    patterns = Patterns("sub-01", tuple(f"s{i}" for i in range(40)), rng.standard_normal((40, 5)).astype(np.float32))
    sums = pearson_sums(patterns, Neighbourhoods(np.array([0, 5]), np.arange(5)), models)
    with pytest.raises(InputError, match="the similarities of x, y, both determine one another"):
        regression_rsa(sums)
