"""Parts of the variance: planted ones come back, they add up, and nothing is unique that adds nothing."""

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome.errors import InputError
from affectome.neural import encode, join_spaces, partition_variance, unique_variance

M, LENGTH = 24, 20
#: One penalty, bands alike: ridge whose coefficients are known to the test.
FIXED = {"alphas": [30.0], "weightings": [[1.0, 1.0]], "seed": 0}


def unit(rng, p, n_voxels):
    drawn = rng.normal(size=(p, n_voxels))
    return drawn / np.linalg.norm(drawn, axis=0)


def framed(values, name="c"):
    return pd.DataFrame(
        values, index=[f"s{k}" for k in range(len(values))], columns=[f"{name}{k}" for k in range(values.shape[1])]
    )


@pytest.fixture(scope="module")
def planted(recorded):
    """Variance .3 from features that a and b have, .2 and .1 from those of a and b alone, .1 from c, .3 noise."""
    rng = np.random.default_rng(0)
    n, n_voxels = M * LENGTH, 300
    shared, own_a, own_b, c = (rng.normal(size=(n, p)) for p in (4, 4, 6, 5))
    y = (
        np.sqrt(0.3) * shared @ unit(rng, 4, n_voxels)
        + np.sqrt(0.2) * own_a @ unit(rng, 4, n_voxels)
        + np.sqrt(0.1) * own_b @ unit(rng, 6, n_voxels)
        + np.sqrt(0.1) * c @ unit(rng, 5, n_voxels)
        + np.sqrt(0.3) * rng.normal(size=(n, n_voxels))
    )
    spaces = {"a": framed(np.c_[shared, own_a]), "b": framed(np.c_[shared, own_b]), "c": framed(c)}
    recording = recorded(y, M, rois={"TPJ": np.arange(n_voxels) < 100, "none": np.zeros(n_voxels, bool)})
    settings = {"alphas": np.logspace(-1, 4, 8), "weightings": 12, "seed": 1}
    return spaces, recording, settings, partition_variance(spaces, recording, **settings)


def test_parts_add_up_to_the_joint_model_exactly_and_none_is_clipped(planted, caplog):
    spaces, recording, settings, found = planted
    assert list(found.models) == ["a", "b", "c", "a + b", "a + c", "b + c", "a + b + c"]
    assert list(found.parts) == ["only a", "only b", "only c", "a & b", "a & c", "b & c", "a & b & c"]
    np.testing.assert_allclose(found.parts.sum(axis=1), found.models["a + b + c"], atol=1e-12)
    for name in spaces:  # and those with a space in them to the R2 of its own model
        within = [part for part in found.parts if name in found.members[part]]
        np.testing.assert_allclose(found.parts[within].sum(axis=1), found.models[name], atol=1e-12)
    assert (found.parts["a & c"] < 0).any()
    with caplog.at_level(logging.INFO, logger="affectome"):
        partition_variance({k: spaces[k] for k in "ac"}, recording, **settings)
    assert "parts below 0" in caplog.text and "a & c (" in caplog.text


def test_planted_variance_comes_back(planted):
    table = planted[-1].regions.loc["all"]
    # R2 of the population, less what p coefficients cost to estimate: about noise * p / n of training.
    expected = {"only a": 0.2, "only b": 0.1, "only c": 0.1, "a & b": 0.3, "a & c": 0.0, "a & b & c": 0.0}
    for part, variance in expected.items():
        assert table.loc[part, "r2"] == pytest.approx(variance, abs=4 * table.loc[part, "se"] + 0.012), part
    assert (table.loc[["only a", "only b", "only c"], "p"] < 1e-6).all()
    assert (planted[-1].q < 0.05).to_numpy().mean() > 0.98


def test_models_have_the_r2_of_their_encoding(planted):
    spaces, recording, settings, found = planted
    alone = encode(spaces["a"], recording, name="a", **settings)
    np.testing.assert_allclose(found.models["a"], alone.r2, atol=1e-6)
    joint, bands = join_spaces({name: spaces[name] for name in "ab"})
    both = encode(joint, recording, name="a + b", bands=bands, **settings)
    np.testing.assert_allclose(found.models["a + b"], both.r2, atol=1e-6)


def test_regions_are_means_over_their_voxels(planted):
    found = planted[-1]
    for part in ("a + b", "only a"):
        values = (found.models if part in found.models else found.parts)[part]
        row = found.regions.loc[("TPJ", part)]
        assert row["r2"] == pytest.approx(values[:100].mean()) and row["n_voxels"] == 100
        assert row["share_negative"] == (values[:100] < 0).mean()
    assert found.regions.loc[("none", "only a"), ["r2", "se", "p"]].isna().all()
    q = found.regions.xs("TPJ").loc[["only a", "only b", "only c"]]
    assert q["q"].to_numpy() == pytest.approx(stats.false_discovery_control(q["p"]))
    assert found.regions.loc["all", "q"].isna().all()


def test_batches_change_nothing_but_rounding(planted, monkeypatch):
    monkeypatch.setattr("affectome.neural.encoding._partition._AT_ONCE", 70)
    spaces, recording, settings, found = planted
    heard = []
    again = partition_variance(
        spaces,
        recording,
        **settings,
        memory_gb=0.105,
        progress=lambda done, total, detail="": heard.append((done, total)),
    )
    assert heard[-1] == (5 * 7, 5 * 7)
    np.testing.assert_allclose(again.parts, found.parts, atol=1e-5)
    pd.testing.assert_frame_equal(again.regions, found.regions, atol=1e-5, rtol=1e-3)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=4)
def test_order_of_spaces_features_and_voxels_does_not_matter(planted, recorded, seed):
    spaces, recording = planted[:2]
    rng = np.random.default_rng(seed)
    voxels = rng.permutation(300)[:40]
    part = recording.select_voxels(voxels)
    found = partition_variance({"a": spaces["a"], "b": spaces["b"]}, part, **FIXED)
    mixed = {k: spaces[k].iloc[rng.permutation(M * LENGTH), rng.permutation(spaces[k].shape[1])] for k in "ba"}
    again = partition_variance(mixed, part, **FIXED)
    np.testing.assert_allclose(again.parts["only a"], found.parts["only a"], atol=1e-5)
    np.testing.assert_allclose(again.parts["b & a"], found.parts["a & b"], atol=1e-5)


def test_suppression_is_a_negative_shared_part(recorded):
    rng = np.random.default_rng(3)
    n = M * LENGTH
    signal, noise = rng.normal(size=(2, n, 1))
    recording = recorded(signal + 0.3 * rng.normal(size=(n, 30)), M)
    spaces = {"mixed": framed(signal + noise), "noise": framed(noise)}  # noise is informative only beside the mixture
    found = partition_variance(spaces, recording, alphas=[0.1], weightings=[[1.0, 1.0]], seed=0).regions.loc["all"]
    population = 1 / 1.09  # R2 of signal
    assert found.loc["only noise", "r2"] == pytest.approx(population / 2, abs=0.05)
    assert found.loc["mixed & noise", "r2"] == pytest.approx(-population / 2, abs=0.05)


@pytest.mark.parametrize("size", [0.0, 0.5, 1.5])
def test_intervals_cover_what_these_models_explain_in_new_runs(recorded, size):
    covered = [_covered(recorded, seed, size) for seed in range(12)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.025)  # voxels of a world share its features


def _covered(recorded, seed, size, n_voxels=120):
    """Share of voxels whose unique variance, as a sum over all possible new trials, lies in its interval."""
    rng = np.random.default_rng([seed, int(10 * size)])
    n, p = M * LENGTH, 4
    a, b = rng.normal(size=(2, n, p))
    true = np.vstack([size * unit(rng, p, n_voxels), 0.5 * size * unit(rng, p, n_voxels)])
    recording = recorded(np.c_[a, b] @ true + rng.normal(size=(n, n_voxels)), M)
    spaces = {"a": framed(a), "b": framed(b)}
    found = unique_variance(spaces["a"], {"b": spaces["b"]}, recording, name="a", **FIXED).voxels
    joint, bands = join_spaces(spaces)
    variance, explained = 1 + (true**2).sum(axis=0), []
    for space, rows, chosen in ((spaces["b"], slice(p, None), None), (joint, slice(None), bands)):
        encoding = encode(space, recording, name="x", bands=chosen, **FIXED)
        fits = np.stack([model.coefficients for model in encoding.models])
        gain = 2 * (fits * true[rows]).sum(axis=1) - (fits**2).sum(axis=1)  # of standard normal features
        explained.append(gain.mean(axis=0) / variance)
    target = explained[1] - explained[0]
    return ((found["low"] <= target) & (target <= found["high"])).mean()


NULLS = {
    "unrelated": {"p": 8, "q": 8, "size": 0.0},
    "unrelated to a predicted voxel": {"p": 8, "q": 8, "size": 0.7},
    "noisy copy": {"p": 8, "q": 8, "size": 0.7, "copy": True},
    "noisy copy, autocorrelated": {"p": 8, "q": 8, "size": 0.3, "copy": True, "autocorrelation": 0.5},
    "wide noisy copy": {"p": 30, "q": 30, "size": 0.3, "copy": True},
}


def null_world(recorded, seed, *, p, q, size, copy=False, autocorrelation=0.0, n_voxels=1000):
    rng = np.random.default_rng(seed)
    n = M * LENGTH
    control, space = rng.normal(size=(n, q)), rng.normal(size=(n, p))
    if copy:
        space = control[:, :p] + 0.5 * space
    noise = rng.normal(size=(M, LENGTH, n_voxels))
    for t in range(1, LENGTH):
        noise[:, t] = autocorrelation * noise[:, t - 1] + np.sqrt(1 - autocorrelation**2) * noise[:, t]
    y = size * control @ unit(rng, q, n_voxels) + noise.reshape(n, -1)
    rois = {f"r{k}": np.arange(n_voxels) % 50 == k for k in range(50)}
    return framed(space), {"control": framed(control)}, recorded(y, M, rois=rois)


@pytest.mark.parametrize("kind", NULLS)
def test_a_space_that_adds_nothing_is_unique_no_more_often_than_alpha(recorded, kind):
    space, controls, recording = null_world(recorded, 6, **NULLS[kind])
    grid = {"alphas": np.logspace(1, 4, 5), "weightings": 8, "seed": 1}
    found = unique_variance(space, controls, recording, name="a", **grid)
    for alpha in (0.05, 0.01):
        assert (found.voxels["p"] <= alpha).mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 1000)
    assert (found.regions["p"].iloc[1:] <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 50)
    assert (found.voxels["q"] < 0.05).sum() == 0


def test_heavily_shrunk_spaces_that_add_nothing_need_the_noise_of_fitting(recorded):
    space, controls, recording = null_world(recorded, 7, p=30, q=2, size=0.0, n_voxels=1500)
    fixed = {"alphas": [5000.0], "weightings": [[1.0, 1.0]], "seed": 0}
    found = unique_variance(space, controls, recording, name="a", **fixed)
    assert (found.voxels["p"] <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)
    joint, bands = join_spaces({"a": space, **controls})
    models = [
        encode(controls["control"], recording, name="c", **fixed),
        encode(joint, recording, name="j", bands=bands, **fixed),
    ]
    losses = [((recording.responses - model.predict()) ** 2).reshape(M, LENGTH, -1).sum(axis=1) for model in models]
    gains = losses[0] - losses[1]
    naive = stats.ttest_1samp(gains, 0, alternative="greater").pvalue
    assert (naive <= 0.05).mean() > 0.07


def test_unique_variance_is_the_unique_part_(planted):
    spaces, recording = planted[:2]
    fixed = {**FIXED, "alphas": [1.0]}
    pair = {name: spaces[name] for name in "ab"}
    parts = partition_variance(pair, recording, **fixed)
    alone = unique_variance(spaces["a"], {"b": spaces["b"]}, recording, name="a", **fixed)
    np.testing.assert_allclose(alone.voxels["unique"], parts.parts["only a"], atol=1e-12)
    np.testing.assert_allclose(alone.voxels["p"], parts.p["a"], rtol=1e-6)
    np.testing.assert_allclose(alone.voxels["r2_controls"], parts.models["b"], atol=1e-12)
    assert alone.regions.loc["TPJ", "unique"] == pytest.approx(alone.voxels["unique"][:100].mean())
    assert alone.controls == ("b",) and alone.n_runs == M


def test_a_mask_bounds_what_is_corrected_and_a_constant_voxel_is_missing(planted, recorded):
    spaces, recording = planted[:2]
    responses = recording.responses[:, :20].copy()
    responses[:, 2] = 5
    part = recorded(responses, M, rois={"some": np.arange(20) < 5})
    mask = np.arange(20) < 10
    found = partition_variance({"a": spaces["a"], "b": spaces["b"]}, part, mask=mask, **FIXED)
    assert found.parts.loc[2].isna().all() and found.models.loc[2].isna().all() and found.p.loc[2].isna().all()
    assert found.regions.loc[("all", "a"), "n_voxels"] == 9 and found.regions.loc[("some", "a"), "n_voxels"] == 4
    assert found.q["a"].notna().sum() == 9


def test_what_cannot_be_partitioned_is_refused(planted, recorded):
    spaces, recording = planted[:2]
    a = spaces["a"]
    few = recording.select_trials(np.arange(4 * LENGTH)).select_voxels(np.arange(3))
    for words, call in {
        "1 spaces cannot be partitioned": lambda: partition_variance({"a": a}, recording, **FIXED),
        "3 spaces cannot be partitioned; give 2 to 2": lambda: partition_variance(
            spaces, recording, max_spaces=2, **FIXED
        ),
        "share no stimulus ids": lambda: partition_variance(
            {"a": a, "b": spaces["b"].add_prefix("x").rename(index=lambda i: f"x{i}")}, recording, **FIXED
        ),
        "4 runs are too few": lambda: partition_variance({"a": a, "b": spaces["b"]}, few, n_folds=4, **FIXED),
        "there are no controls": lambda: unique_variance(a, {}, recording, name="a", **FIXED),
        "a control is called a": lambda: unique_variance(a, {"a": a}, recording, name="a", **FIXED),
        "makes no interval": lambda: unique_variance(a, {"b": a}, recording, name="a", level=0, **FIXED),
    }.items():
        with pytest.raises(InputError, match=words):
            call()
