import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from affectome import InputError
from affectome.neural import (
    Encoding,
    Recording,
    VolumeGrid,
    block_permutations,
    component_maps,
    encode,
    weight_components,
)
from affectome.neural.encoding._weight_components import _in_random_order

FEATURES = ("Joy", "Awe", "Fear")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def make_encoding(weights, *, subject="sub-01", space="mllm", r=None):
    """An encoding of which only the weights matter."""
    weights = np.asarray(weights, np.float32)
    none = np.empty((0, weights.shape[1]), np.float32)
    return Encoding(
        subject, space, FEATURES[: len(weights)], np.arange(2), np.ones((2, len(weights)), np.float32), np.arange(2),
        np.full(weights.shape[1], 0.1, np.float32) if r is None else np.asarray(r, np.float32),
        none, np.ones(1), none, (0.0, 0.0), weights, (),
    )  # fmt: skip


def make_recording(n_voxels, *, subject="sub-01", rois=None, space=None):
    trials = pd.DataFrame({"stimulus": ["a", "b"], "run": [1, 2], "session": 1})
    ijk = np.stack([np.arange(n_voxels), np.zeros(n_voxels), np.zeros(n_voxels)], axis=1).astype(np.int32)
    grid = VolumeGrid(ijk, np.eye(4), (n_voxels, 1, 1), space)
    return Recording(subject, np.zeros((2, n_voxels), np.float32), trials, geometry=grid, rois=rois or {})


def test_maps_reach_one_and_profiles_are_means_of_them():
    weights = np.array([[0.5, -2.0, 1.0, 0.25], [0.1, 0.2, -0.1, 0.4]])
    rois = {"V1": np.array([True, True, False, False]), "TPJ": np.array([False, True, True, True])}
    found = component_maps(make_encoding(weights), make_recording(4, rois=rois))
    np.testing.assert_allclose(found.weights, weights / [[2.0], [0.4]], rtol=1e-6)
    np.testing.assert_allclose(found.scale, [2.0, 0.4], rtol=1e-6)
    assert found.profiles.loc["Joy"].tolist() == pytest.approx([(0.25 - 1) / 2, (-1 + 0.5 + 0.125) / 3])
    assert found.n_voxels.tolist() == [2, 3]
    table = found.table()
    assert len(table) == 4 and table.loc[1, "weight"] == pytest.approx(found.profiles.loc["Joy", "TPJ"])


def test_a_mask_takes_voxels_out_of_maps_scale_and_profiles():
    weights = np.array([[0.5, -2.0, 1.0, np.nan]])
    rois = {"V1": np.array([True, True, False, False]), "gone": np.array([False, True, False, True])}
    mask = np.array([True, False, True, True])
    found = component_maps(make_encoding(weights), make_recording(4, rois=rois), mask=mask)
    assert found.kept.tolist() == [True, False, True, False]
    assert found.scale.tolist() == [1.0]
    np.testing.assert_array_equal(found.weights, [[0.5, np.nan, 1.0, np.nan]])
    assert found.n_voxels.tolist() == [1, 0] and np.isnan(found.profiles.loc["Joy", "gone"])


def test_a_component_without_weights_is_said_and_stays_zero(caplog):
    with caplog.at_level(logging.WARNING):
        found = component_maps(make_encoding([[0, 0], [1, 2]]), make_recording(2))
    assert "1 components of 'mllm' weigh nothing in any voxel of sub-01: Joy." in caplog.text
    assert found.weights[0].tolist() == [0, 0]


def test_selected_voxels_keep_their_scale_and_take_their_places_along():
    found = component_maps(make_encoding([[1.0, 4.0, 2.0]]), make_recording(3)).select_voxels(np.array([0, 2]))
    assert found.weights.tolist() == [[0.25, 0.5]]
    assert found.geometry.ijk[:, 0].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": np.ones(3)}, "the mask has the type float64"),
        ({"mask": np.zeros(3, bool)}, "no voxel is left to map"),
        ({"rois": {"V1": np.ones(2, bool)}}, "the regions V1 are no masks over 3 voxels"),
    ],
)
def test_what_cannot_be_mapped_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        component_maps(make_encoding([[1.0, 2.0, 3.0]]), make_recording(3), **arguments)
    with pytest.raises(InputError, match="is of sub-01 with 3 voxels, the recording of sub-01 with 4"):
        component_maps(make_encoding([[1.0, 2.0, 3.0]]), make_recording(4))


# Principal components of weights.

RUNS, PER_RUN, WIDTH, VOXELS = 10, 12, 6, 40


def draw_people(seed, *, n_people=3, signal=0.0):
    """Correlated features, smooth noise over voxels; with a signal, weights lie in two directions, shared by all."""
    rng = np.random.default_rng(seed)
    n = RUNS * PER_RUN
    mixing = np.linalg.cholesky(0.6 + 0.4 * np.eye(WIDTH)).T
    ids = [f"s{k:03d}" for k in range(n)]
    space = pd.DataFrame(rng.normal(size=(n, WIDTH)) @ mixing, index=ids, columns=[f"c{k}" for k in range(WIDTH)])
    smooth = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(np.arange(VOXELS), np.arange(VOXELS))) / 5)).T
    directions = np.linalg.qr(np.random.default_rng(99).normal(size=(WIDTH, 2)))[0]
    trials = pd.DataFrame({"stimulus": ids, "run": np.repeat(np.arange(RUNS), PER_RUN) + 1, "session": 1})
    recordings, encodings = [], []
    for person in range(n_people):
        responses = rng.normal(size=(n, VOXELS)) @ smooth
        responses += signal * space.to_numpy() @ directions @ rng.normal(size=(2, VOXELS))
        recordings.append(Recording(f"sub-{person}", responses.astype(np.float32), trials))
        logging.disable(logging.WARNING)
        encodings.append(encode(space, recordings[-1], name="mllm", alphas=[10.0, 100.0, 1000.0]))
        logging.disable(logging.NOTSET)
    return encodings, recordings, directions


@pytest.fixture(scope="module")
def planted():
    encodings, recordings, directions = draw_people(0, signal=1.0)
    found = weight_components(encodings, recordings, n_components=4, n_permutations=99, seed=1)
    return encodings, recordings, directions, found


def test_planted_directions_are_retained_and_found_in_people_left_out(planted):
    *_, directions, found = planted
    assert found.retained == 2
    angles = np.linalg.svd(directions.T @ found.loadings.to_numpy()[:, :2], compute_uv=False)
    assert angles.min() > 0.97
    two = found.held_out[found.held_out["n_components"] == 2]
    assert (two["p"] == 0.01).all() and len(two) == 3
    assert (two["explained"] > 0.9).all() and (two["explained"] <= two["best"] + 1e-9).all()
    assert (two["explained"] > two["stimuli"]).all() and (two["null"] < 0.5).all()


def test_shares_and_scores_equal_a_decomposition_by_hand(planted):
    """The plain twin: ridge by scikit-learn for every person, pooled, through numpy's SVD."""
    from sklearn.linear_model import Ridge

    encodings, recordings, _, found = planted
    pooled, by_person = [], {}
    for encoding, recording in zip(encodings, recordings, strict=True):
        z = (encoding.design - encoding.design.mean(0)) / encoding.design.std(0)
        alpha = float(np.exp(np.median(np.log(encoding.alpha.astype(float)))))
        weights = Ridge(alpha=alpha, solver="svd").fit(z.astype(float), recording.responses.astype(float)).coef_.T
        weights -= weights.mean(axis=1, keepdims=True)
        by_person[encoding.subject] = weights
        pooled.append(weights / np.linalg.norm(recording.responses - recording.responses.mean(axis=0)))
    left, singular, _ = np.linalg.svd(np.hstack(pooled), full_matrices=False)
    np.testing.assert_allclose(found.table["share"], (singular**2 / (singular**2).sum())[:4], rtol=1e-4)
    np.testing.assert_allclose(found.table["cumulative"], np.cumsum(found.table["share"]))
    loadings = found.loadings.to_numpy()
    np.testing.assert_allclose(np.abs((left[:, :4] * loadings).sum(axis=0)), 1, atol=1e-3)
    np.testing.assert_allclose(found.scores["sub-1"], loadings.T @ by_person["sub-1"], atol=1e-4)
    others = np.hstack([pooled[0], pooled[2]])
    basis = np.linalg.svd(others, full_matrices=False)[0][:, :2]
    explained = (np.linalg.norm(basis.T @ pooled[1]) ** 2) / np.linalg.norm(pooled[1]) ** 2
    row = found.held_out.set_index(["subject", "n_components"]).loc[("sub-1", 2)]
    assert row["explained"] == pytest.approx(explained, abs=1e-5)


def test_components_of_noise_hold_their_level():
    """Shared stimuli make noise alike in everybody; over 150 worlds .047 of p were <= .05, .044 for people left out."""
    of_share, of_others = [], []
    for seed in range(40):
        encodings, recordings, _ = draw_people(seed)
        found = weight_components(encodings, recordings, n_components=2, n_permutations=39, seed=seed)
        of_share.append(found.table["p"].iloc[0])
        of_others.append(found.held_out["p"].to_numpy())
    assert np.mean(np.array(of_share) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
    assert np.mean(np.array(of_others) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
    assert 0.3 < np.mean(of_others) < 0.7


def test_seed_decides_and_a_person_keeps_theirs(planted):
    encodings, recordings, _, found = planted
    settings = {"n_components": 4, "n_permutations": 99}
    again = weight_components(encodings, recordings, **settings, seed=1)
    pd.testing.assert_frame_equal(found.held_out, again.held_out)
    turned = weight_components(encodings[::-1], recordings[::-1], **settings, seed=1)
    np.testing.assert_allclose(found.table["null"], turned.table["null"], rtol=1e-5)
    other = weight_components(encodings, recordings, **settings, seed=2)
    assert (found.table["null"] != other.table["null"]).all()


def test_masked_voxels_have_no_score_and_one_person_nobody_to_explain(planted):
    encodings, recordings, *_ = planted
    mask = np.arange(VOXELS) < 30
    found = weight_components(
        encodings[:1], recordings[:1], n_components=99, masks={"sub-0": mask}, n_permutations=19, seed=0
    )
    assert np.isnan(found.scores["sub-0"][:, 30:]).all() and np.isfinite(found.scores["sub-0"][:, :30]).all()
    assert found.held_out.empty and found.loadings.shape == (WIDTH, WIDTH)
    assert found.table["cumulative"].iloc[-1] == pytest.approx(1)


def test_people_who_do_not_fit_are_refused(planted):
    encodings, recordings, *_ = planted
    with pytest.raises(InputError, match="2 encodings and 1 recordings are no pairs"):
        weight_components(encodings[:2], recordings[:1], seed=0)
    with pytest.raises(InputError, match="two encodings of sub-0"):
        weight_components(encodings[:1] * 2, recordings[:1] * 2, seed=0)
    with pytest.raises(InputError, match="n_components=0"):
        weight_components(encodings, recordings, n_components=0, seed=0)
    banded = replace(encodings[0], band_weights=np.ones((5, 2, VOXELS), np.float32))
    with pytest.raises(InputError, match="sub-0 have a penalty for every band"):
        weight_components([banded], recordings[:1], seed=0)
    with pytest.raises(InputError, match="the recording of sub-1"):
        weight_components(encodings[:1], recordings[1:2], seed=0)


def test_all_rearrangements_come_in_an_order_of_each_persons_own():
    """Sorted, the first hundred of 719 would leave the first blocks where they are, in everybody alike."""
    trials = pd.DataFrame({"stimulus": list("abcdef"), "run": 1, "session": 1})
    every = block_permutations(trials, n_permutations=1000, seed=0)
    assert every.exact and (every.orders[:100, 0] == 0).all()
    first, second = (_in_random_order(every, seed).orders for seed in (1, 2))
    assert {tuple(order) for order in first} == {tuple(order) for order in every.orders}
    assert (first[:100, 0] != 0).sum() > 60 and (first != second).any(axis=1).mean() > 0.9
    drawn = block_permutations(trials, n_permutations=100, seed=0)
    assert _in_random_order(drawn, 1) is drawn
