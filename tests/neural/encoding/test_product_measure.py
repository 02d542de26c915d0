"""Shares of bands in a joint score: himalaya's own, with sums that are exact."""

import warnings

import numpy as np
import pandas as pd
import pytest

from affectome.errors import InputError
from affectome.neural import encode, join_spaces, product_measure

M = 12


@pytest.fixture(scope="module")
def fitted(recorded):
    rng = np.random.default_rng(2)
    n, n_voxels = M * 20, 60
    a, b = rng.normal(size=(2, n, 4))
    b[:, :2] += a[:, :2]
    y = a @ rng.normal(size=(4, n_voxels)) / 2 + b @ rng.normal(size=(4, n_voxels)) / 3 + rng.normal(size=(n, n_voxels))
    y[:, 7] = 3.0
    ids = [f"s{k}" for k in range(n)]
    joint, bands = join_spaces({"a": pd.DataFrame(a, index=ids), "b": pd.DataFrame(b, index=ids)})
    recording = recorded(y, M, rois={"TPJ": np.arange(60) < 20})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return recording, encode(joint, recording, name="both", bands=bands, weightings=10, seed=1)


def test_parts_of_r2_are_those_of_himalaya_and_add_up(fitted):
    from himalaya.scoring import r2_score_split

    recording, encoding = fitted
    found = product_measure(encoding, recording).voxels
    y = recording.responses[encoding.rows].astype(float) - encoding.baseline()
    bands = np.stack(list(encoding.predict_bands().values())).astype(float)
    varied = np.arange(60) != 7
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="y_true has to be zero-mean")
        expected = r2_score_split(y[:, varied], bands[:, :, varied])
    np.testing.assert_allclose(found.loc[varied, ["a", "b"]].T, expected, atol=1e-6)
    np.testing.assert_allclose(found[["a", "b"]].sum(axis=1)[varied], found["joint"][varied], atol=1e-12)
    np.testing.assert_allclose(found["joint"][varied], encoding.r2[varied], atol=1e-5)
    assert found.loc[7].isna().all()


def test_parts_of_the_correlation_are_those_of_himalaya_within_folds(fitted):
    from himalaya.scoring import correlation_score_split

    recording, encoding = fitted
    found = product_measure(encoding, recording, split="correlation").voxels
    varied = np.arange(60) != 7
    values = [recording.responses[encoding.rows], *encoding.predict_bands().values()]
    centred = []
    for value in values:
        value = value[:, varied].astype(float)
        for fold in range(6):
            value[encoding.fold == fold] -= value[encoding.fold == fold].mean(axis=0)
        centred.append(value)
    expected = correlation_score_split(centred[0], np.stack(centred[1:]))
    np.testing.assert_allclose(found.loc[varied, ["a", "b"]].T, expected, atol=1e-6)
    np.testing.assert_allclose(found[["a", "b"]].sum(axis=1)[varied], found["joint"][varied], atol=1e-12)


@pytest.mark.parametrize("split", ["r2", "correlation"])
def test_regions_are_means_with_intervals_and_batches_change_nothing(fitted, split):
    recording, encoding = fitted
    found = product_measure(encoding, recording, split=split)
    part = found.regions.loc["TPJ"]
    np.testing.assert_allclose(part["value"], found.voxels.iloc[:20].mean())
    assert part["n_voxels"].tolist() == [19] * 3 and part.index.tolist() == ["a", "b", "joint"]
    assert ((part["low"] < part["value"]) & (part["value"] < part["high"])).all()
    again = product_measure(encoding, recording, split=split, memory_gb=0.002)
    np.testing.assert_allclose(again.voxels, found.voxels, atol=1e-6)
    np.testing.assert_allclose(again.regions, found.regions, atol=1e-6)


@pytest.mark.parametrize("split", ["r2", "correlation"])
def test_the_joint_interval_covers_what_the_model_explains_in_new_runs(recorded, split):
    rng = np.random.default_rng(12)
    n, n_voxels = 24 * 20, 1000
    a, b = rng.normal(size=(2, n, 3))
    slopes = rng.normal(size=(6, n_voxels)) * 0.15
    ids = [f"s{k}" for k in range(n)]
    joint, bands = join_spaces({"a": pd.DataFrame(a, index=ids), "b": pd.DataFrame(b, index=ids)})
    recording = recorded(np.c_[a, b] @ slopes + rng.normal(size=(n, n_voxels)), 24)
    encoding = encode(joint, recording, name="j", bands=bands, alphas=[30.0], weightings=[[1.0, 1.0]])
    fits = np.stack([model.coefficients for model in encoding.models])
    variance, along = 1 + (slopes**2).sum(axis=0), (fits * slopes).sum(axis=1).mean(axis=0)
    length = (fits**2).sum(axis=1).mean(axis=0)
    target = (2 * along - length) / variance if split == "r2" else along / np.sqrt(variance * length)
    covered = []
    for v in range(0, n_voxels, 10):
        one = product_measure(encoding_of(encoding, v), recording.select_voxels(np.arange(v, v + 1)), split=split)
        low, high = one.regions.loc[("all", "joint"), ["low", "high"]]
        covered.append(low <= target[v] <= high)
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 100)


def encoding_of(encoding, voxel):
    """The same encoding of one voxel."""
    from dataclasses import replace

    models = tuple(
        replace(m, coefficients=m.coefficients[:, voxel : voxel + 1], intercepts=m.intercepts[voxel : voxel + 1])
        for m in encoding.models
    )
    return replace(encoding, models=models, r=encoding.r[voxel : voxel + 1], r2=encoding.r2[voxel : voxel + 1])


def test_what_cannot_be_split_is_refused(fitted):
    recording, encoding = fitted
    plain = encode(
        pd.DataFrame(encoding.design[:, :2], index=[f"s{k}" for k in range(M * 20)]),
        recording.select_voxels(np.arange(3)),
        name="plain",
    )
    with pytest.raises(InputError, match="by plain has no bands"):
        product_measure(plain, recording)
    with pytest.raises(InputError, match="split='rho' is not known"):
        product_measure(encoding, recording, split="rho")
