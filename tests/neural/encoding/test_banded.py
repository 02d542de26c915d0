import numpy as np
import pandas as pd
import pytest
from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
from himalaya.ridge import Ridge, solve_group_ridge_random_search
from himalaya.scoring import r2_score, r2_score_split
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.errors import InputError
from affectome.neural import Recording, VoxelwiseEncoder, encode
from affectome.neural.encoding._banded import band_weightings, check_bands

GRID = np.logspace(-1, 3, 7)
BANDS = {"small": ["f0", "f1", "f2"], "large": [f"f{k}" for k in range(3, 23)]}
FREE = {"x": [f"f{k}" for k in range(23)]}


def simulated(n=180, n_voxels=30, seed=0):
    """Voxels that follow the small band; the large one is noise."""
    rng = np.random.default_rng(seed)
    ids = [f"s{k:03d}" for k in range(n)]
    space = pd.DataFrame(rng.normal(size=(n, 23)), index=ids, columns=[f"f{k}" for k in range(23)]).astype(np.float32)
    trials = pd.DataFrame({"stimulus": ids, "run": np.arange(n) // 15 + 1, "session": 1})
    responses = space.iloc[:, :3].to_numpy() @ rng.normal(size=(3, n_voxels)) + 2 * rng.normal(size=(n, n_voxels))
    return space, Recording("sub-01", responses.astype(np.float32), trials)


def scaled(x, train, weights):
    """Features standardised in training, times the root of their band's weight."""
    z = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    return z * np.sqrt(np.repeat(weights, [3, 20]))


@pytest.mark.parametrize("solver", ["moments", "himalaya"])
def test_fixed_weights_give_himalayas_ridge_on_features_scaled_so(solver):
    space, recording = simulated()
    weights = np.array([1.7, 0.3])
    found = encode(
        space, recording, name="x", alphas=[30.0], bands=BANDS, weightings=weights, precision="float64", solver=solver
    )
    x, y = space.to_numpy(np.float64), recording.responses.astype(np.float64)
    predicted = np.empty_like(y)
    for f in range(6):
        train = found.fold != f
        z = scaled(x, train, weights)
        model = Ridge(alpha=30.0, fit_intercept=True).fit(z[train], y[train])
        predicted[~train] = model.predict(z[~train])
        raw = model.coef_ * np.sqrt(np.repeat(weights, [3, 20]))[:, None] / x[train].std(axis=0)[:, None]
        np.testing.assert_allclose(found.models[f].coefficients, raw, atol=1e-6)
    np.testing.assert_allclose(found.predict(), predicted, atol=1e-5)
    assert (found.band_weights == weights.astype(np.float32)[None, :, None]).all()


@pytest.mark.parametrize("solver", ["moments", "himalaya"])
def test_search_over_weights_and_alphas_finds_what_himalayas_finds(solver):
    # One set of features, scaled once: himalaya's cross-validation scales no further.
    rng = np.random.default_rng(3)
    space, recording = simulated()
    x, y = space.to_numpy(np.float64), recording.responses.astype(np.float64)
    gammas = rng.dirichlet([0.7, 0.7], size=12)
    inner = [(np.flatnonzero(np.arange(180) % 4 != g), np.flatnonzero(np.arange(180) % 4 == g)) for g in range(4)]
    # Every fold the same features: each stretch of 4 rows repeats, so that a fold's mean and s.d. are those of all.
    x = np.repeat(x[:45], 4, axis=0)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    y = np.repeat(y[:45], 4, axis=0) + rng.normal(size=y.shape)
    deltas, weights, scores, _ = solve_group_ridge_random_search(
        [z[:, :3], z[:, 3:]],
        y,
        n_iter=gammas,
        alphas=GRID,
        cv=inner,
        fit_intercept=True,
        return_weights=True,
        progress_bar=False,
        warn=False,
    )
    encoder = VoxelwiseEncoder(
        GRID,
        cv=inner,
        bands={"a": [0, 1, 2], "b": list(range(3, 23))},
        weightings=gammas,
        precision="float64",
        solver=solver,
    ).fit(z, y)
    mine = encoder.band_weights_ / encoder.alpha_
    np.testing.assert_allclose(np.log(mine), deltas, atol=1e-6)
    np.testing.assert_allclose(encoder.coef_.T, weights, atol=1e-6)
    errors = -scores.max(axis=0) * 4 * 45  # mean squares of four folds of 45, averaged
    whole = sum(((y[held] - y[train].mean(axis=0)) ** 2).sum(axis=0) for train, held in inner)
    np.testing.assert_allclose(encoder.cv_scores_, 1 - errors / whole, atol=1e-5)
    kernels = np.stack([z[:, :3] @ z[:, :3].T, z[:, 3:] @ z[:, 3:].T])
    by_kernels = solve_multiple_kernel_ridge_random_search(
        kernels, y, n_iter=gammas, alphas=GRID, cv=inner, fit_intercept=True, return_weights="dual", progress_bar=False
    )
    np.testing.assert_allclose(by_kernels[0], deltas, atol=1e-6)


def test_bands_and_baseline_sum_to_the_predictions_and_split_r2_as_himalaya_does():
    space, recording = simulated()
    found = encode(space, recording, name="x", alphas=GRID, bands=BANDS, weightings=8, seed=0)
    parts = found.predict_bands()
    assert list(parts) == ["small", "large"]
    np.testing.assert_allclose(sum(parts.values()) + found.baseline(), found.predict(), atol=1e-5)
    some = found.predict_bands(slice(4, 9))
    np.testing.assert_allclose(some["large"], parts["large"][:, 4:9], atol=1e-6)
    # Without a mean in any fold, himalaya's split and the R2 of the encoding are the same sum.
    y = recording.responses - found.baseline()
    split = np.array([(part * (2 * y - sum(parts.values()))).sum(axis=0) for part in parts.values()])
    np.testing.assert_allclose(split.sum(axis=0) / (y**2).sum(axis=0), found.r2, atol=1e-4)
    theirs = r2_score_split(y - y.mean(axis=0), np.stack(list(parts.values())))
    assert np.allclose(theirs.sum(axis=0), r2_score(y - y.mean(axis=0), sum(parts.values())), atol=1e-4)


def test_a_penalty_per_band_keeps_a_large_band_of_noise_from_drowning_a_small_one():
    space, recording = simulated(n_voxels=100)
    one = encode(space, recording, name="x", alphas=GRID)
    banded = encode(space, recording, name="x", alphas=GRID, bands=BANDS, weightings=30, seed=0)
    alone = encode(space[BANDS["small"]], recording, name="small", alphas=GRID)
    assert banded.r2.mean() > one.r2.mean() + 0.02
    assert abs(banded.r2.mean() - alone.r2.mean()) < 0.02
    assert (banded.band_weights[:, 0] > banded.band_weights[:, 1]).mean() > 0.9


def test_one_band_and_equal_weights_are_plain_ridge():
    space, recording = simulated()
    plain = encode(space, recording, name="x", alphas=GRID, precision="float64")
    for bands, weightings in ((FREE, 1), (BANDS, 1), (BANDS, [[1.0, 1.0]])):
        found = encode(space, recording, name="x", alphas=GRID, bands=bands, weightings=weightings, precision="float64")
        assert np.array_equal(found.alpha, plain.alpha)
        np.testing.assert_allclose(found.r, plain.r, atol=1e-7)


def test_weight_of_zero_leaves_a_band_out():
    space, recording = simulated()
    found = encode(space, recording, name="x", alphas=GRID, bands=BANDS, weightings=[1.0, 0.0], precision="float64")
    alone = encode(space[BANDS["small"]], recording, name="x", alphas=GRID, precision="float64")
    np.testing.assert_allclose(found.r, alone.r, atol=1e-6)
    assert (found.weights[3:] == 0).all()


def test_choice_of_weights_is_nested_and_solvers_agree():
    space, recording = simulated()
    kw = {"name": "x", "alphas": GRID, "bands": BANDS, "weightings": 10, "seed": 4, "precision": "float64"}
    first, second = encode(space, recording, **kw), encode(space, recording, solver="himalaya", **kw)
    assert (first.band_weights == second.band_weights).mean() > 0.99
    np.testing.assert_allclose(first.r, second.r, atol=1e-5)
    held, changed = first.fold == 1, recording.responses.copy()
    changed[held] = np.random.default_rng(0).normal(size=changed[held].shape) * 9
    third = encode(space, Recording("s", changed, recording.trials), **kw)
    assert np.array_equal(first.band_weights[1], third.band_weights[1])
    np.testing.assert_allclose(first.models[1].coefficients, third.models[1].coefficients, atol=1e-5)


def test_wide_bands_are_solved_too():
    rng = np.random.default_rng(0)
    ids = [f"s{k}" for k in range(60)]
    space = pd.DataFrame(rng.normal(size=(60, 203)), index=ids, columns=[f"f{k}" for k in range(203)])
    trials = pd.DataFrame({"stimulus": ids, "run": np.arange(60) // 10 + 1, "session": 1})
    responses = space.iloc[:, :3].to_numpy() @ rng.normal(size=(3, 40)) + rng.normal(size=(60, 40))
    recording = Recording("s", responses.astype(np.float32), trials)
    bands = {"small": list(space.columns[:3]), "wide": list(space.columns[3:])}
    found = encode(space, recording, name="x", alphas=GRID, bands=bands, weightings=10, seed=0)
    one = encode(space, recording, name="x", alphas=GRID)
    assert found.r2.mean() > one.r2.mean() + 0.3


@settings(max_examples=30)
@given(n_bands=st.integers(1, 6), n=st.integers(1, 40), seed=st.integers(0, 99))
def test_drawn_weights_average_one_and_depend_on_the_seed_alone(n_bands, n, seed):
    weights = band_weightings(n_bands, n, seed)
    assert weights.shape == (n, n_bands)
    np.testing.assert_allclose(weights.mean(axis=1), 1)
    assert (weights > 0).all()
    assert np.array_equal(weights, band_weightings(n_bands, n, seed))
    assert np.array_equal(weights, band_weightings(n_bands, n + 5, seed)[:n])
    np.testing.assert_allclose(weights[0], 1)


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ({}, "there are no bands"),
        ({"a": []}, "band 'a': it has no columns"),
        ({"a": ["x", "q"], "b": ["y"]}, r"band 'a': the features lack 1 of its columns \(q\)"),
        ({"a": ["x", "y"], "b": ["y", "z"]}, r"band 'b': 1 of its columns lie in a band already \(y\)"),
        ({"a": ["x", "x"], "b": ["y", "z"]}, r"band 'a': 1 of its columns lie in a band already \(x\)"),
        ({"a": ["x"]}, r"2 features lie in no band \(y, z\)"),
    ],
)
def test_bands_that_do_not_part_the_features_are_named(bands, message):
    with pytest.raises(InputError, match=message):
        check_bands(bands, ["x", "y", "z"])


def test_bad_weightings_are_named():
    space, recording = simulated()
    kw = {"name": "x", "bands": BANDS}
    with pytest.raises(InputError, match="drawn without a seed; give seed="):
        encode(space, recording, **kw)
    with pytest.raises(InputError, match=r"weightings of the shape \(3,\) are given for 2 bands"):
        encode(space, recording, weightings=[1, 2, 3], **kw)
    with pytest.raises(InputError, match="negative, not finite or all 0"):
        encode(space, recording, weightings=[[1, -1]], **kw)
    with pytest.raises(InputError, match="weightings=0 leaves nothing"):
        encode(space, recording, weightings=0, **kw)
    with pytest.raises(InputError, match="has no bands"):
        encode(space, recording, name="x").predict_bands()
