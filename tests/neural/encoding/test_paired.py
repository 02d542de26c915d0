"""Two spaces in the same voxels: equal ones are called different at the nominal rate, intervals cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome.errors import InputError
from affectome.neural import compare_encodings, winner_map

M, FOLDS = 24, 6


def slopes(rng, p, n_voxels, size):
    drawn = rng.normal(size=(p, n_voxels))
    return size * drawn / np.linalg.norm(drawn, axis=0)


def within_folds(y, x, fold):
    """Correlation of what is left when every fold loses its mean."""
    y, x = (v - np.array([v[fold == f].mean() for f in range(fold.max() + 1)])[fold] for v in (y, x))
    return (y @ x) / np.sqrt((y @ y) * (x @ x))


@pytest.fixture(scope="module")
def small(recorded, ridge_encoding):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 96, 3))
    y = a @ slopes(rng, 3, 40, 0.6) + b @ slopes(rng, 3, 40, 0.5) + rng.normal(size=(96, 40))
    rois = {"TPJ": np.arange(40) < 10, "none": np.zeros(40, bool)}
    recording = recorded(y, 12, rois=rois)
    return recording, *(ridge_encoding(name, x, recording, FOLDS, 10.0) for name, x in (("a", a), ("b", b)))


def test_correlations_are_those_within_folds(small):
    recording, a, b = small
    found = compare_encodings(a, b, recording).voxels
    for encoding, column in ((a, "r_first"), (b, "r_second")):
        predicted = encoding.predict().astype(float)
        expected = [within_folds(y, x, encoding.fold) for y, x in zip(recording.responses.T, predicted.T, strict=True)]
        np.testing.assert_allclose(found[column], expected, atol=1e-6)
    np.testing.assert_allclose(found["difference"], found["r_first"] - found["r_second"], atol=1e-12)


def test_standard_error_equals_leaving_out_runs_and_moving_them_one_by_one(small):
    recording, a, b = small
    y, fold, run = recording.responses.astype(float), a.fold, recording.trials["run"].to_numpy()
    found = compare_encodings(a, b, recording).voxels
    by_fold = {e: np.stack([m.predict(e.design) for m in e.models]).astype(float) for e in (a, b)}
    own = {e: by_fold[e][fold, np.arange(96)] for e in (a, b)}
    for v in range(5):
        left = [
            within_folds(y[run != j, v], own[a][run != j, v], fold[run != j])
            - within_folds(y[run != j, v], own[b][run != j, v], fold[run != j])
            for j in range(1, 13)
        ]
        jackknife = 11 / 12 * np.sum((np.array(left) - np.mean(left)) ** 2)
        centred = {k: own[k][:, v].copy() for k in own} | {"y": y[:, v].copy()}
        for values in centred.values():
            for f in range(FOLDS):
                values[fold == f] -= values[fold == f].mean()
        residual = centred["y"].copy()
        for e in (a, b):
            residual -= centred[e] * (centred[e] @ centred["y"]) / (centred[e] @ centred[e]) / 2
        scale = {e: np.sqrt((centred["y"] @ centred["y"]) * (centred[e] @ centred[e])) for e in (a, b)}
        fitting = 0.0
        for j in range(1, 13):
            rows = run == j
            for f in set(range(FOLDS)) - {fold[rows][0]}:
                steps = [
                    residual[rows] @ (by_fold[e][f, rows, v] - by_fold[e][:, rows, v].mean(axis=0)) / scale[e]
                    for e in (a, b)
                ]
                fitting += FOLDS / (FOLDS - 1) * (steps[0] - steps[1]) ** 2
        expected = np.sqrt(jackknife + min(fitting, 1.5 * jackknife))
        assert found["se"][v] == pytest.approx(expected, rel=1e-4)
        p = 2 * stats.t.sf(abs(found["difference"][v]) / expected, 11)
        assert found["p"][v] == pytest.approx(p, rel=1e-3)
    assert found["q"].to_numpy() == pytest.approx(stats.false_discovery_control(found["p"]))


@pytest.fixture(scope="module")
def ties(recorded, ridge_encoding):
    """2,400 voxels that two spaces predict equally well: not at all, or through what they share."""

    def make(kind, autocorrelation=0.0, p=8, n_voxels=2400):
        rng = np.random.default_rng([5, p, int(100 * autocorrelation), len(kind)])
        n = M * 20
        shared = rng.normal(size=(n, p))
        a, b = (shared * (kind == "copies") + 0.7 * rng.normal(size=(n, p)) for _ in "ab")
        noise = rng.normal(size=(M, 20, n_voxels))
        for t in range(1, 20):
            noise[:, t] = autocorrelation * noise[:, t - 1] + np.sqrt(1 - autocorrelation**2) * noise[:, t]
        y = noise.reshape(n, -1) + (shared @ slopes(rng, p, n_voxels, 0.4) if kind == "copies" else 0)
        recording = recorded(y, M, rois={f"r{k}": np.arange(n_voxels) % 60 == k for k in range(60)})
        return recording, *(ridge_encoding(name, x, recording, FOLDS, 100.0) for name, x in (("a", a), ("b", b)))

    return make


@pytest.mark.parametrize(("kind", "autocorrelation"), [("nothing", 0.0), ("nothing", 0.5), ("copies", 0.0)])
def test_equal_spaces_differ_at_the_nominal_rate(ties, kind, autocorrelation):
    recording, a, b = ties(kind, autocorrelation)
    found = compare_encodings(a, b, recording)
    for alpha in (0.05, 0.01):
        error = np.sqrt(alpha * (1 - alpha) / 2400)
        share = (found.voxels["p"] <= alpha).mean()
        assert alpha / 4 < share < alpha + 4 * error  # voxels share their design: they are not quite 2,400 draws
    assert (found.regions["p"].iloc[1:] <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    low, high = found.regions["share_low"].iloc[1:], found.regions["share_high"].iloc[1:]
    assert ((low <= 0.5) & (high >= 0.5)).mean() >= 0.8  # a share has no smooth interval: .85 to .97


def test_the_jackknife_alone_would_call_spaces_different_that_predict_nothing(ties):
    recording, a, b = ties("nothing")
    found = compare_encodings(a, b, recording).voxels
    held = [[e.predict()[:, v].astype(float) for v in range(150)] for e in (a, b)]
    run, wrong = recording.trials["run"].to_numpy(), 0
    for v in range(150):
        left = np.array([
            np.subtract(*[
                within_folds(recording.responses[run != j, v].astype(float), h[v][run != j], a.fold[run != j])
                for h in held
            ])
            for j in range(1, M + 1)
        ])  # fmt: skip
        se = np.sqrt((M - 1) / M * ((left - left.mean()) ** 2).sum())
        wrong += 2 * stats.t.sf(abs(found["difference"][v]) / se, M - 1) <= 0.05
    assert wrong / 150 > 0.1


@pytest.mark.parametrize("size", [0.0, 0.3, 1.0])
def test_intervals_cover_what_these_models_correlate_in_new_runs(recorded, ridge_encoding, size):
    rng = np.random.default_rng([2, int(10 * size)])
    n, p, n_voxels, alpha = M * 20, 6, 2000, 60.0
    a, b = rng.normal(size=(2, n, p))
    true = slopes(rng, p, n_voxels, size), slopes(rng, p, n_voxels, size / 2)
    recording = recorded(a @ true[0] + b @ true[1] + rng.normal(size=(n, n_voxels)), M)
    encodings = [ridge_encoding(name, x, recording, FOLDS, alpha) for name, x in (("a", a), ("b", b))]
    spread = 1 + (true[0] ** 2).sum(axis=0) + (true[1] ** 2).sum(axis=0)
    expected = []  # of standard normal features
    for encoding, slope in zip(encodings, true, strict=True):
        fits = np.stack([model.coefficients for model in encoding.models])
        expected.append((fits * slope).sum(axis=1).mean(axis=0) / np.sqrt(spread * (fits**2).sum(axis=1).mean(axis=0)))
    found = compare_encodings(*encodings, recording).voxels
    target = expected[0] - expected[1]
    covered = ((found["low"] <= target) & (target <= found["high"])).mean()
    assert 0.925 < covered < 0.98


def test_a_better_space_is_found_and_a_space_equals_itself(recorded, ridge_encoding):
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(2, 240, 3))
    recording = recorded(a @ slopes(rng, 3, 50, 1.0) + rng.normal(size=(240, 50)), 12)
    first, second = (ridge_encoding(name, x, recording, FOLDS, 1.0) for name, x in (("a", a), ("b", b)))
    found = compare_encodings(first, second, recording)
    assert (found.voxels["q"] < 0.01).all() and found.regions.loc["all", "share_above"] == 1
    same = compare_encodings(first, first, recording)
    assert (same.voxels["p"] == 1).all() and same.regions.loc["all", "share_above"] == 0.5
    assert same.regions.loc["all", ["slope", "slope_low", "slope_high"]].tolist() == pytest.approx([1, 1, 1])
    turned = compare_encodings(second, first, recording)
    np.testing.assert_allclose(turned.voxels["difference"], -found.voxels["difference"])
    np.testing.assert_allclose(turned.voxels["p"], found.voxels["p"])
    assert "sub-01, the models of a and of b correlate equally" in found.null


def test_regions_are_means_and_axes_over_their_voxels(small):
    recording, a, b = small
    found = compare_encodings(a, b, recording)
    part, table = found.voxels.iloc[:10], found.regions
    assert table.index.tolist() == ["all", "TPJ", "none"] and table["n_voxels"].tolist() == [40, 10, 0]
    assert table.loc["TPJ", "difference"] == pytest.approx(part["difference"].mean())
    assert table.loc["TPJ", "share_above"] == (part["r_first"] > part["r_second"]).mean()
    _, vectors = np.linalg.eigh(np.cov(found.voxels["r_second"], found.voxels["r_first"]))
    axis = vectors[1, -1] / vectors[0, -1]
    assert table.loc["all", "slope"] == pytest.approx(axis) if axis > 0 else np.isnan(table.loc["all", "slope"])
    assert table.loc["none", ["difference", "p", "q", "share_above", "slope"]].isna().all()
    assert np.isnan(table.loc["all", "q"]) and table.loc["TPJ", "q"] == pytest.approx(table.loc["TPJ", "p"])


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=5)
def test_order_of_voxels_batches_and_units_change_nothing(small, seed, recorded, ridge_encoding):
    recording, a, b = small
    rng = np.random.default_rng(seed)
    order, scale = rng.permutation(40), rng.uniform(0.1, 10)
    moved = recorded(recording.responses[:, order] * scale + 3, 12)
    again = [ridge_encoding(e.space, e.design.astype(float), moved, FOLDS, 10.0) for e in (a, b)]
    got = compare_encodings(*again, moved, memory_gb=1e-4 * rng.uniform(5, 20)).voxels
    expected = compare_encodings(a, b, recording).voxels.iloc[order].reset_index(drop=True)
    np.testing.assert_allclose(got[["difference", "se"]], expected[["difference", "se"]], atol=2e-5)


def test_a_mask_bounds_correction_and_regions_and_a_constant_voxel_is_missing(small, recorded, ridge_encoding):
    recording, a, b = small
    responses = recording.responses.copy()
    responses[:, 3] = 7
    flat = recorded(responses, 12, rois=recording.rois)
    again = [ridge_encoding(e.space, e.design.astype(float), flat, FOLDS, 10.0) for e in (a, b)]
    mask = np.arange(40) < 8
    found = compare_encodings(*again, flat, mask=mask)
    assert found.voxels.loc[3].isna().all() and found.regions.loc["all", "n_voxels"] == 7
    assert found.voxels["q"].notna().sum() == 7
    kept = found.voxels["p"][mask & (np.arange(40) != 3)]
    assert found.voxels["q"].dropna().to_numpy() == pytest.approx(stats.false_discovery_control(kept))


def test_the_winner_has_the_highest_r_and_the_rest_is_missing(small):
    recording, a, b = small
    mask = np.arange(40) < 30
    found = winner_map([a, b], mask=mask)
    np.testing.assert_array_equal(found.winner[:30], (b.r > a.r)[:30])
    assert np.isnan(found.winner[30:]).all() and np.isnan(found.margin[30:]).all()
    np.testing.assert_allclose(found.margin[:30], np.abs(a.r - b.r)[:30], rtol=1e-5)
    shares = found.shares(recording.rois)
    assert shares.loc["all", ["a", "b"]].sum() == pytest.approx(1) and shares.loc["all", "n_voxels"] == 30
    assert shares.loc["TPJ", "b"] == pytest.approx((b.r > a.r)[:10].mean()) and shares.loc["none", "a":].isna().all()


def test_what_cannot_be_compared_is_refused(small, recorded, ridge_encoding):
    recording, a, b = small
    few = recorded(recording.responses[:32], 4)
    short = [ridge_encoding(e.space, e.design[:32].astype(float), few, 4, 10.0) for e in (a, b)]
    other = ridge_encoding("c", b.design.astype(float), recording, 4, 10.0)
    stranger = recorded(recording.responses, 12, subject="sub-02")
    for words, call in {
        "4 runs are too few": lambda: compare_encodings(*short, few),
        "a and c are not of the same folds": lambda: compare_encodings(a, other, recording),
        "the recording of sub-02": lambda: compare_encodings(a, b, stranger),
        "give one bool for each of the 40 voxels": lambda: compare_encodings(a, b, recording, mask=np.ones(3, bool)),
        "holds no voxel": lambda: compare_encodings(a, b, recording, mask=np.zeros(40, bool)),
        "makes no interval": lambda: compare_encodings(a, b, recording, level=1.0),
        "too little for one voxel": lambda: compare_encodings(a, b, recording, memory_gb=1e-9),
        "1 encodings have no winner": lambda: winner_map([a]),
        "two encodings are called a": lambda: winner_map([a, a]),
    }.items():
        with pytest.raises(InputError, match=words):
            call()


def test_runs_in_two_folds_are_refused(small):
    from dataclasses import replace

    recording, a, b = small
    fold = np.arange(96) % FOLDS
    with pytest.raises(InputError, match="lie in two folds; keep runs together"):
        compare_encodings(replace(a, fold=fold), replace(b, fold=fold), recording)
