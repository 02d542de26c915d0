import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from affectome.errors import EnvironmentFailure, InputError
from affectome.neural import Recording, encode
from affectome.neural.encoding._folds import nested_splits, outer_folds
from affectome.neural.encoding._projections import himalaya_backend
from affectome.neural.encoding._solvers import ALPHAS

GRID = np.logspace(-1, 3, 9)


def simulated(n=180, p=5, n_voxels=40, n_runs=12, seed=0, n_stimuli=None):
    """A space, and voxels that follow it more or less, far from 0; `n_stimuli` < n: some are shown again."""
    rng = np.random.default_rng(seed)
    ids = [f"s{k % (n_stimuli or n):03d}" for k in range(n)]
    known = sorted(set(ids))
    space = pd.DataFrame(rng.gamma(0.5, size=(len(known), p)), index=known, columns=[f"f{k}" for k in range(p)])
    space = space.astype(np.float32)
    trials = pd.DataFrame({"stimulus": ids, "run": np.arange(n) * n_runs // n + 1, "session": 1})
    signal = space.loc[ids].to_numpy() @ rng.normal(size=(p, n_voxels)) * rng.uniform(0, 1, n_voxels)
    responses = signal + 2 * rng.normal(size=(n, n_voxels)) + 100
    return space, Recording("sub-01", responses.astype(np.float32), trials, source="sub-01.h5")


def plain(space, recording, alphas, n_folds=6, drop=False):
    """Nested ridge by scikit-learn, loop by loop: alpha (n_folds, V), predictions, r, r2, weights."""
    stimulus = recording.trials["stimulus"].to_numpy()
    x, y = space.loc[stimulus].to_numpy(np.float64), recording.responses.astype(np.float64)
    run = recording.trials["run"].to_numpy()
    groups = np.array_split(np.unique(run), n_folds)
    assert len({len(g) for g in groups}) == 1
    fold = np.array([next(k for k, g in enumerate(groups) if r in g) for r in run])
    alphas = np.asarray(alphas, float)

    def fitted(train, alpha):
        scaler = StandardScaler().fit(x[train])
        return scaler, Ridge(alpha).fit(scaler.transform(x[train]), y[train])

    def without(train, held):
        return train & ~np.isin(stimulus, stimulus[held]) if drop else train

    chosen, predicted, base, weights = [], np.empty_like(y), np.empty_like(y), []
    for f in range(n_folds):
        outer = without(fold != f, fold == f)
        errors = np.zeros((len(alphas), y.shape[1]))
        for g in range(n_folds):
            held = outer & (fold == g)
            train = without(outer & (fold != g), held)
            for k, alpha in enumerate(alphas):
                scaler, model = fitted(train, alpha)
                errors[k] += (
                    ((y[held] - model.predict(scaler.transform(x[held]))) ** 2).sum(axis=0) if held.any() else 0
                )
        chosen.append(alphas[errors.argmin(axis=0)])
        scaler, model = fitted(outer, chosen[-1])
        predicted[fold == f] = model.predict(scaler.transform(x[fold == f]))
        base[fold == f] = y[outer].mean(axis=0)
        weights.append(model.coef_.T)
    r = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(y.T, predicted.T, strict=True)])
    r2 = 1 - ((y - predicted) ** 2).sum(axis=0) / ((y - base) ** 2).sum(axis=0)
    return np.array(chosen), predicted, r, r2, np.mean(weights, axis=0)


@pytest.mark.parametrize("solver", ["moments", "himalaya"])
def test_r_at_a_fixed_alpha_is_that_of_scikit_learn(solver):
    space, recording = simulated()
    found = encode(space, recording, name="x", alphas=[50.0], precision="float64", solver=solver)
    _, predicted, r, r2, weights = plain(space, recording, [50.0])
    np.testing.assert_allclose(found.r, r, atol=1e-6)
    np.testing.assert_allclose(found.r2, r2, atol=1e-6)
    np.testing.assert_allclose(found.weights, weights, atol=1e-6)
    np.testing.assert_allclose(found.predict(), predicted, rtol=1e-6)
    assert found.edges == (0, 0)


@pytest.mark.parametrize(
    ("solver", "precision"), [("moments", "float64"), ("moments", "float32"), ("himalaya", "float32")]
)
def test_alpha_and_r_of_nested_folds_are_those_of_plain_loops(solver, precision):
    space, recording = simulated()
    found = encode(space, recording, name="x", alphas=GRID, precision=precision, solver=solver)
    alpha, _, r, r2, _ = plain(space, recording, GRID)
    assert np.isclose(found.alpha, alpha).mean() >= 0.99
    np.testing.assert_allclose(found.r, r, atol=1e-5)
    np.testing.assert_allclose(found.r2, r2, atol=1e-5)
    assert found.edges == (np.isclose(alpha, GRID[0]).mean(), np.isclose(alpha, GRID[-1]).mean())


@pytest.mark.parametrize("solver", ["moments", "himalaya"])
def test_trials_that_share_a_stimulus_with_the_held_out_fold_teach_nothing(solver):
    space, recording = simulated(n_stimuli=130)  # the last 50 trials repeat the first 50
    found = encode(space, recording, name="x", alphas=GRID, precision="float64", solver=solver)
    alpha, _, r, r2, _ = plain(space, recording, GRID, drop=True)
    assert np.isclose(found.alpha, alpha).mean() >= 0.99
    np.testing.assert_allclose(found.r, r, atol=1e-5)
    np.testing.assert_allclose(found.r2, r2, atol=1e-5)
    assert found.n_dropped.tolist() == [30, 20, 0, 0, 20, 30]
    allowed = encode(space, recording, name="x", alphas=GRID, shared_stimuli="allow")
    assert np.isclose(allowed.alpha, plain(space, recording, GRID)[0]).mean() >= 0.99
    assert allowed.n_dropped.tolist() == [0] * 6
    with pytest.raises(InputError, match="50 stimuli are shown in several folds"):
        encode(space, recording, name="x", shared_stimuli="raise")


def test_response_that_only_names_a_repeated_stimulus_is_not_predicted_once_they_are_dropped():
    rng = np.random.default_rng(0)
    names = [f"s{k:02d}" for k in range(60)]
    space = pd.DataFrame(rng.normal(size=(60, 20)), index=names, columns=[f"f{k}" for k in range(20)])
    memory = dict(zip(names, rng.normal(size=(60, 30)), strict=True))  # unrelated to the features
    ids = [*names, *rng.permutation(names)]
    trials = pd.DataFrame({"stimulus": ids, "run": np.arange(120) // 10 + 1, "session": 1})
    recording = Recording("s", np.array([memory[i] for i in ids], np.float32), trials)
    leaking = encode(space, recording, name="x", alphas=GRID, shared_stimuli="allow")
    honest = encode(space, recording, name="x", alphas=GRID)
    assert leaking.r.mean() > 0.2
    assert honest.r.mean() < 0.05


def test_61_runs_make_the_folds_of_the_paper():
    trials = pd.DataFrame({"stimulus": "a", "run": np.repeat(np.arange(1, 62), 2), "session": 1})
    recording = Recording("s", np.zeros((122, 1), np.float32), trials)
    fold = outer_folds(recording, "runs", 6)
    first = [int(trials["run"][fold == f].min()) for f in range(6)]
    last = [int(trials["run"][fold == f].max()) for f in range(6)]
    assert first == [1, 11, 21, 31, 41, 51]
    assert last == [10, 20, 30, 40, 50, 61]


def test_folds_come_from_a_column_or_an_array_alike(caplog):
    space, recording = simulated()
    by_array = np.arange(180) % 4
    recording.trials["part"] = [f"part {k}" for k in by_array]
    a = encode(space, recording, name="x", folds="part", alphas=GRID)
    assert "12 runs lie in several folds" in caplog.text
    b = encode(space, recording, name="x", folds=by_array, alphas=GRID)
    assert np.array_equal(a.fold, by_array)
    assert np.array_equal(a.r, b.r)
    assert len(a.models) == 4


def test_one_eigendecomposition_serves_a_pair_of_folds():
    fold, stimulus = np.repeat(np.arange(6), 5), np.array([f"s{k}" for k in range(30)], object)
    splits = nested_splits(fold, stimulus, "drop", source="s").splits
    assert len(splits.learned) == 6 + 15
    assert splits.learned.shape[1] == 6
    assert len(splits.judged) == 30


def test_model_of_a_fold_knows_nothing_of_that_fold():
    space, recording = simulated()
    first = encode(space, recording, name="x", alphas=GRID, precision="float64")
    held = first.fold == 2
    changed_space, changed = space.copy(), recording.responses.copy()
    changed[held] += np.random.default_rng(9).normal(size=changed[held].shape) * 50
    shown = recording.trials["stimulus"][held]
    changed_space.loc[shown] = changed_space.loc[shown] * 30 - 7
    second = encode(
        changed_space, Recording("s", changed, recording.trials), name="x", alphas=GRID, precision="float64"
    )
    assert np.array_equal(first.alpha[2], second.alpha[2])
    np.testing.assert_allclose(first.models[2].coefficients, second.models[2].coefficients, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(first.models[2].intercepts, second.models[2].intercepts, rtol=1e-6)
    assert not np.allclose(first.models[1].coefficients, second.models[1].coefficients, rtol=0.1)


@settings(max_examples=15)
@given(
    scale=st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=5),
    shift=st.lists(st.floats(-50, 50), min_size=5, max_size=5),
    gain=st.floats(1e-6, 1e6),
)
def test_units_of_features_and_voxels_change_nothing(scale, shift, gain):
    space, recording = simulated(n=96, n_voxels=8)
    moved = space * np.array(scale) + np.array(shift) * np.array(scale)
    louder = Recording("s", (recording.responses * gain).astype(np.float32), recording.trials)
    kw = {"name": "x", "alphas": np.logspace(0, 2, 3), "precision": "float64"}
    first, second = encode(space, recording, **kw), encode(moved, louder, **kw)
    assert (first.alpha == second.alpha).mean() > 0.9
    same = (first.alpha == second.alpha).all(axis=0)
    np.testing.assert_allclose(first.r[same], second.r[same], atol=1e-4)


def test_order_of_trials_and_voxels_changes_nothing():
    space, recording = simulated(n_stimuli=150)
    rng = np.random.default_rng(1)
    trials, voxels = rng.permutation(180), rng.permutation(40)
    first = encode(space, recording, name="x", alphas=GRID, precision="float64")
    second = encode(
        space, recording.select_trials(trials).select_voxels(voxels), name="x", alphas=GRID, precision="float64"
    )
    np.testing.assert_allclose(first.r[voxels], second.r, atol=1e-6)
    assert (first.alpha[:, voxels] == second.alpha).mean() > 0.99


@pytest.mark.parametrize("solver", ["moments", "himalaya"])
def test_memory_limit_and_threads_change_nothing_beyond_rounding(solver):
    space, recording = simulated(n_voxels=2500)
    kw = {"name": "x", "alphas": GRID, "solver": solver}
    whole = encode(space, recording, **kw)
    with threadpool_limits(1):
        small = encode(space, recording, memory_gb=0.055 if solver == "moments" else 0.002, **kw)
    assert (whole.alpha == small.alpha).mean() > 0.999
    same = (whole.alpha == small.alpha).all(axis=0)
    np.testing.assert_allclose(whole.r[same], small.r[same], atol=1e-6)
    np.testing.assert_allclose(whole.weights[:, same], small.weights[:, same], atol=1e-5)


def test_memory_too_small_for_a_batch_says_how_much_is_needed():
    space, recording = simulated()
    for solver in ("moments", "himalaya"):
        with pytest.raises(InputError, match=r"memory_gb=1e-05 is too small.*give at least"):
            encode(space, recording, name="x", memory_gb=1e-5, solver=solver)
    with pytest.raises(InputError, match="leaves no room"):
        encode(space, recording, name="x", memory_gb=0)


def test_float32_differs_from_float64_by_rounding_alone():
    space, recording = simulated(n=600, n_voxels=500, n_runs=30)
    exact = encode(space, recording, name="x", alphas=GRID, precision="float64")
    quick = encode(space, recording, name="x", alphas=GRID)
    assert (
        exact.alpha == quick.alpha
    ).mean() > 0.998  # at the low end the errors of two alphas are the same in float32
    same = (exact.alpha == quick.alpha).all(axis=0)
    assert np.abs(exact.r - quick.r)[same].max() < 1e-5  # float32 coefficients of responses near 100
    assert np.abs(exact.r - quick.r).max() < 1e-3


def test_torch_gives_the_same_and_leaves_the_backend_as_it_was():
    pytest.importorskip("torch")
    from himalaya.backend import get_backend

    space, recording = simulated()
    ours = encode(space, recording, name="x", alphas=GRID, precision="float64")
    theirs = encode(space, recording, name="x", alphas=GRID, precision="float64", backend="torch")
    assert get_backend().name == "numpy"
    np.testing.assert_allclose(ours.r, theirs.r, atol=1e-6)
    assert (ours.alpha == theirs.alpha).mean() > 0.99


def test_interruption_leaves_the_backend_as_it_was():
    pytest.importorskip("torch")
    from himalaya.backend import get_backend

    space, recording = simulated()

    def stop(done, total, /, *, detail=""):
        assert get_backend().name == "torch"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(space, recording, name="x", backend="torch", progress=stop)
    assert get_backend().name == "numpy"


def test_backend_that_is_not_there_is_one_sentence(monkeypatch):
    import himalaya.backend

    def absent(name):
        if name != "numpy":
            raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.setattr(himalaya.backend, "set_backend", absent)
    with (
        pytest.raises(EnvironmentFailure, match=r'the backend torch needs torch.*pip install "affectome\[gpu\]"'),
        himalaya_backend("torch"),
    ):
        pass


@pytest.mark.parametrize("p", [120, 400])
def test_more_features_than_trials_are_solved_as_plain_loops_do(p):
    space, recording = simulated(n=72, p=p, n_voxels=12)
    grid = np.logspace(1, 5, 5)
    found = encode(space, recording, name="wide", alphas=grid, precision="float64")
    alpha, _, r, r2, weights = plain(space, recording, grid)
    assert np.isclose(found.alpha, alpha).mean() >= 0.99
    np.testing.assert_allclose(found.r, r, atol=1e-5)
    np.testing.assert_allclose(found.r2, r2, atol=1e-5)
    np.testing.assert_allclose(found.weights, weights, atol=1e-5)


def test_wide_space_goes_the_other_way_by_itself_and_agrees_with_sums():
    space, recording = simulated(n=72, p=60, n_voxels=12)
    by = {
        solver: encode(space, recording, name="x", alphas=np.logspace(1, 4, 4), precision="float64", solver=solver)
        for solver in ("moments", "himalaya")
    }
    np.testing.assert_allclose(by["moments"].r, by["himalaya"].r, atol=1e-6)
    assert (by["moments"].alpha == by["himalaya"].alpha).mean() > 0.98


def test_one_hot_conditions_are_solved_though_they_sum_to_one():
    rng = np.random.default_rng(0)
    names = list("abcdefgh")
    space = pd.DataFrame(np.eye(8), index=names, columns=names)
    trials = pd.DataFrame({"stimulus": names * 12, "run": np.repeat(np.arange(1, 13), 8), "session": 1})
    responses = np.tile(rng.normal(size=(8, 20)), (12, 1)) + rng.normal(size=(96, 20))
    recording = Recording("s", responses.astype(np.float32), trials)
    found = encode(space, recording, name="x", alphas=GRID, shared_stimuli="allow", precision="float64")
    alpha, _, r, _, _ = plain(space, recording, GRID)
    assert np.isclose(found.alpha, alpha).mean() >= 0.99
    np.testing.assert_allclose(found.r, r, atol=1e-5)
    with pytest.raises(InputError, match=r'0 training trials are left.*shared_stimuli="allow"'):
        encode(space, recording, name="x")


def test_kept_predictions_and_those_made_later_are_the_same():
    space, recording = simulated()
    kept = encode(space, recording, name="x", alphas=GRID, keep_predictions=True)
    made = encode(space, recording, name="x", alphas=GRID)
    assert made.predictions is None
    np.testing.assert_allclose(kept.predictions, made.predict(), rtol=1e-5)
    np.testing.assert_allclose(kept.predict(slice(3, 9)), made.predict(slice(3, 9)), rtol=1e-5)
    y = recording.responses
    train = [y[made.fold != f].mean(axis=0) for f in range(6)]
    np.testing.assert_allclose(made.baseline(), np.array(train)[made.fold], rtol=1e-5)
    left, whole = ((y - made.predict()) ** 2).sum(axis=0), ((y - made.baseline()) ** 2).sum(axis=0)
    np.testing.assert_allclose(made.r2, 1 - left / whole, atol=1e-4)


def test_inner_r2_is_that_of_the_chosen_alpha():
    space, recording = simulated(n_voxels=3)
    found = encode(space, recording, name="x", alphas=[20.0], precision="float64")
    x = space.loc[recording.trials["stimulus"]].to_numpy(np.float64)
    y, fold = recording.responses.astype(np.float64), found.fold
    left, whole = np.zeros(3), np.zeros(3)
    for g in range(1, 6):
        train, held = (fold != 0) & (fold != g), fold == g
        scaler = StandardScaler().fit(x[train])
        model = Ridge(20.0).fit(scaler.transform(x[train]), y[train])
        left += ((y[held] - model.predict(scaler.transform(x[held]))) ** 2).sum(axis=0)
        whole += ((y[held] - y[train].mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(found.inner_r2[0], 1 - left / whole, atol=1e-6)


@pytest.mark.parametrize("solver", ["moments", "himalaya"])
def test_constant_voxel_has_no_r_and_spoils_no_other(solver, caplog):
    space, recording = simulated()
    alone = encode(space, recording, name="x", alphas=GRID, solver=solver)
    responses = recording.responses.copy()
    responses[:, 7] = 0.3
    caplog.clear()
    found = encode(space, Recording("s", responses, recording.trials), name="x", alphas=GRID, solver=solver)
    assert "1 voxels are constant" in caplog.text
    assert np.isnan(found.r[7]) and np.isnan(found.r2[7]) and np.isnan(found.alpha[:, 7]).all()
    assert np.allclose(found.weights[:, 7], 0)
    assert np.allclose(found.predict()[:, 7], 0.3)
    others = np.arange(40) != 7
    np.testing.assert_allclose(found.r[others], alone.r[others], atol=1e-6)
    assert found.edges[0] == (alone.alpha[:, others] == GRID[0].astype(np.float32)).mean()


def test_trials_without_a_place_in_the_space_are_left_out_and_named(caplog):
    space, recording = simulated()
    found = encode(space.iloc[:-10], recording, name="emotions", alphas=GRID)
    assert "10 trials were left out, since the space emotions lacks their stimuli: s170" in caplog.text
    assert found.rows.tolist() == list(range(170))
    kept = encode(space, recording.select_trials(np.arange(170)), name="x", alphas=GRID)
    assert np.array_equal(found.r, kept.r)


def test_constant_feature_gets_no_weight_and_is_named(caplog):
    space, recording = simulated()
    with_flat = space.assign(flat=0.7)
    for solver in ("moments", "himalaya"):
        caplog.clear()
        found = encode(with_flat, recording, name="x", alphas=GRID, solver=solver)
        assert "1 features are constant over the training trials of a fold and get no weight there: flat" in caplog.text
        assert (found.weights[-1] == 0).all()
        np.testing.assert_allclose(found.r, encode(space, recording, name="x", alphas=GRID).r, atol=1e-6)
    with pytest.raises(InputError, match="every feature is constant"):
        encode(with_flat[["flat"]], recording, name="x")


def test_alpha_at_the_edge_of_the_grid_is_told_with_its_share(caplog):
    rng = np.random.default_rng(0)
    space, recording = simulated()
    noise = Recording("s", rng.normal(size=(180, 200)).astype(np.float32), recording.trials)
    caplog.set_level(logging.WARNING)
    found = encode(space, noise, name="x", alphas=[1.0, 10.0])
    shares = (found.alpha == 1).mean(), (found.alpha == 10).mean()
    assert found.edges == shares
    assert f"the lowest of the grid (1) in {100 * shares[0]:.1f}%" in caplog.text
    assert f"the highest (10) in {100 * shares[1]:.1f}%" in caplog.text


def test_default_grid_is_that_of_the_paper():
    assert len(ALPHAS) == 20
    assert ALPHAS[0] == pytest.approx(10) and ALPHAS[-1] == pytest.approx(1e4)
    assert np.allclose(np.diff(np.log(ALPHAS)), np.log(ALPHAS[1] / ALPHAS[0]))


def test_progress_ends_at_its_total():
    space, recording = simulated()
    for solver in ("moments", "himalaya"):
        told = []
        encode(
            space,
            recording,
            name="x",
            solver=solver,
            progress=lambda d, t, /, *, detail="", told=told: told.append((d, t)),
        )
        assert told[-1][0] == told[-1][1]
        assert [d for d, _ in told] == sorted(d for d, _ in told)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alphas": [1.0, 0.0]}, "alphas are not all finite and above 0"),
        ({"alphas": [-1.0]}, "alphas are not all finite and above 0"),
        ({"alphas": []}, "alphas are not all finite and above 0"),
        ({"n_folds": 2}, "n_folds=2 leaves no fold to choose alpha on"),
        ({"n_folds": 13}, r"sub-01.h5: 12 runs cannot fill 13 folds"),
        ({"folds": "fold"}, "the trials have no column 'fold'"),
        ({"folds": [1, 2, 3]}, r"folds of the shape \(3,\) are given for 180 trials"),
        ({"folds": "session"}, "1 folds leave none"),
        ({"shared_stimuli": "keep"}, "shared_stimuli='keep' is not known"),
        ({"precision": "float16"}, "precision='float16' is not known"),
        ({"solver": "svd"}, "solver='svd' is not known"),
        ({"backend": "jax"}, "backend='jax' is not known"),
        ({"backend": "torch", "solver": "moments"}, "the solver moments does not run on torch"),
    ],
)
def test_wrong_setting_is_named(wrong, message):
    space, recording = simulated()
    with pytest.raises(InputError, match=message):
        encode(space, recording, **{"name": "x", **wrong})


def test_bad_input_is_named_by_what_and_where():
    space, recording = simulated()
    responses = recording.responses.copy()
    responses[31, [4, 6]] = np.nan
    with pytest.raises(InputError, match=r"sub-01.h5, trial 31 \(run 3\): 2 voxels are NaN or infinite .* voxel 4"):
        encode(space, Recording("sub-01", responses, recording.trials, source="sub-01.h5"), name="x")
    with pytest.raises(InputError, match=r"the space x has none of its stimuli \('s000' here, 't0' there\)"):
        encode(pd.DataFrame({"f": [1.0, 2.0]}, index=["t0", "t1"]), recording, name="x")
    with pytest.raises(InputError, match="it shows one stimulus of the space x only"):
        encode(space.iloc[:1], recording, name="x")
    with pytest.raises(InputError, match="emotions"):
        encode(space.assign(f0=np.nan), recording, name="emotions")


def test_r2_is_the_planted_share_of_variance_less_what_estimation_costs():
    # With n training trials, p features and signal share s, least squares loses about (1 - s) p / n.
    rng = np.random.default_rng(0)
    n, p, n_voxels, share = 1800, 10, 400, 0.2
    ids = [f"s{k}" for k in range(n)]
    x = rng.normal(size=(n, p))
    beta = rng.normal(size=(p, n_voxels))
    beta *= np.sqrt(share / (beta**2).sum(axis=0))
    responses = x @ beta + np.sqrt(1 - share) * rng.normal(size=(n, n_voxels))
    trials = pd.DataFrame({"stimulus": ids, "run": np.arange(n) // 30, "session": 1})
    recording = Recording("s", responses.astype(np.float32), trials)
    found = encode(pd.DataFrame(x, index=ids, columns=list("abcdefghij")), recording, name="x")
    expected = share - (1 - share) * p / (n * 5 / 6)
    error = np.std(found.r2) / np.sqrt(n_voxels)
    assert abs(found.r2.mean() - expected) < 4 * error + 0.001  # ridge shrinks a little of the loss away
    assert abs((found.r**2).mean() - expected) < 0.01
    np.testing.assert_allclose(np.corrcoef(found.weights.ravel(), beta.ravel())[0, 1], 1, atol=0.03)


def test_voxels_of_noise_are_predicted_no_better_than_by_the_mean():
    space, recording = simulated(n=600, n_runs=30)
    noise = np.random.default_rng(1).normal(size=(600, 1000)).astype(np.float32)
    found = encode(space, Recording("s", noise, recording.trials), name="x")
    assert -0.12 < found.r.mean() < 0  # below 0: the training mean moves against the held-out mean
    assert -0.02 < found.r2.mean() < 0
