"""Searchlights in torch, on the processor and (where there is one) a GPU, against the compiled kernels and scipy."""

import logging
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from affectome import InputError
from affectome.errors import EnvironmentFailure
from affectome.neural import Neighbourhoods, Patterns, model_geometry, searchlight
from affectome.neural.searchlight._moments3 import RunBlocks, dense_pair_sums

torch = pytest.importorskip("torch", reason="torch is not installed (extra gpu)")

from affectome.neural.searchlight import _torch, _torch_pearson  # noqa: E402  (needs torch)
from affectome.neural.searchlight._scorers import Asked  # noqa: E402
from affectome.neural.searchlight._torch import Room, device_of, exact_products  # noqa: E402
from affectome.neural.searchlight._torch_moments import dense_moments, factor_moments  # noqa: E402
from affectome.neural.searchlight._torch_pearson import TorchPearsonChunks  # noqa: E402
from affectome.neural.searchlight._torch_spearman import TorchSpearmanChunks  # noqa: E402
from affectome.neural.searchlight._torch_spheres import DeviceRuns, sphere_batch  # noqa: E402

METRICS = ["correlation", "cosine", "euclidean", "sqeuclidean"]
cuda = pytest.param(
    "torch_cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
)
on_each_device = pytest.mark.parametrize("backend", ["torch", cuda])
on_cuda = pytest.mark.parametrize("backend", [cuda])


def parcels(*sizes):
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return Neighbourhoods(starts, np.arange(starts[-1], dtype=np.int32))


def made(n, n_voxels, *, n_runs=7, level=2.0, seed=0):
    """Patterns of a sparse space (whose similarities are often tied), in runs of unequal length, and three models."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"s{k}" for k in range(n))
    sparse = np.where(rng.random((n, 5)) < 0.4, rng.integers(1, 5, (n, 5)), 0.0)
    x = sparse @ rng.normal(size=(5, n_voxels)) / 2 + rng.normal(size=(n, n_voxels)) + level
    run = np.r_[np.arange(n_runs), rng.integers(0, n_runs, n - n_runs)]
    spaces = {"sparse": sparse, "euclid": rng.normal(size=(n, 3)), "square": sparse[:, :2] + rng.normal(size=(n, 2))}
    kinds = {"sparse": "dot", "euclid": "euclidean", "square": "sqeuclidean"}
    models = [
        model_geometry(pd.DataFrame(space, index=list(ids)), name=name, metric=kinds[name])
        for name, space in spaces.items()
    ]
    return Patterns("sub-01", ids, x.astype(np.float32), run), models


def largest_gap(first, second, part, *, relative=False):
    one, other = getattr(first, part), getattr(second, part)
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other), err_msg=part)
    gap = np.abs(one - other) / (np.abs(one) if relative else 1)
    return np.nanmax(gap)


@on_each_device
@pytest.mark.parametrize("within_run", ["exclude", "include"])
@pytest.mark.parametrize("brain_metric", METRICS)
def test_pearson_is_that_of_the_compiled_kernels(backend, brain_metric, within_run):
    given, models = made(90, 260)
    spheres = parcels(30, 7, 70, 95, 3, 55)  # by factors, by pairs, with more voxels than stimuli
    asked = {
        "brain_metric": brain_metric, "within_run": within_run, "controls": ["square"], "intervals": True,
        "differences": [("sparse", "euclid")],
    }  # fmt: skip
    ours, theirs = (searchlight(given, models, spheres, backend=b, **asked) for b in ("numpy", backend))
    assert max(largest_gap(ours, theirs, part) for part in ("r", "partial_r", "low", "high", "null_skewness")) < 1e-6
    for part in ("null_sd", "se", "partial_se", "difference_se"):
        assert largest_gap(ours, theirs, part, relative=True) < 1e-5
    # p moves with r: by a thousandth of itself where it is as small as 1e-12.
    assert largest_gap(ours, theirs, "p", relative=True) < 1e-3
    assert largest_gap(ours, theirs, "difference_p", relative=True) < 1e-3


@on_each_device
@pytest.mark.parametrize("brain_metric", METRICS)
def test_scores_are_those_of_scipy(backend, brain_metric):
    given, models = made(60, 24, seed=1)
    tables = [  # beyond nine decimals ties are no ties any more
        model.dense.astype(float)
        if model.factors is None
        else ((model.factors * model.signs) @ model.factors.T).round(9)
        for model in models
    ]
    above = np.triu_indices(60, 1)
    kept = given.run[above[0]] != given.run[above[1]]
    brain = (-pdist(given.responses.astype(float), brain_metric)[kept]).round(9)
    for statistic, correlate in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        found = searchlight(
            given, models, parcels(24), brain_metric=brain_metric, statistic=statistic, test="none", backend=backend
        )
        exact = [correlate(brain, table[above][kept]).statistic for table in tables]
        np.testing.assert_allclose(found.r[0], exact, rtol=0, atol=1e-6)
        assert found.bound is None if statistic == "pearson" else (found.bound == 0).all()


@on_each_device
@pytest.mark.parametrize("within_run", ["exclude", "include"])
@pytest.mark.parametrize("brain_metric", METRICS)
@pytest.mark.parametrize("n", [40, 310])  # sorted there too, and binned there
def test_spearman_is_that_of_the_compiled_kernels_within_their_bound(backend, brain_metric, within_run, n):
    given, models = made(n, 80, seed=2)
    spheres = parcels(30, 2, 48)
    asked = {
        "statistic": "spearman", "brain_metric": brain_metric, "within_run": within_run, "intervals": True,
        "differences": [("sparse", "square")],
    }  # fmt: skip
    ours, theirs = (searchlight(given, models, spheres, backend=b, **asked) for b in ("numpy", backend))
    assert (theirs.bound == 0).all()
    assert (np.abs(ours.r - theirs.r) <= ours.bound + 1e-6).all()
    sorted_too = (ours.bound == 0).all(axis=1)
    assert n == 310 or sorted_too.all()
    np.testing.assert_allclose(theirs.r[sorted_too], ours.r[sorted_too], rtol=0, atol=1e-10)
    np.testing.assert_allclose(theirs.se[sorted_too], ours.se[sorted_too], rtol=1e-8)
    assert largest_gap(ours, theirs, "se", relative=True) < 1e-3
    assert largest_gap(ours, theirs, "null_sd", relative=True) < 1e-4
    assert largest_gap(ours, theirs, "null_skewness") < 1e-4
    np.testing.assert_allclose(np.log(theirs.p), np.log(ours.p), atol=0.01)


@on_each_device
@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
def test_runs_as_units_and_cubes_of_many_stimuli(backend, statistic):
    given, models = made(530, 20, n_runs=25, seed=3)
    asked = {"statistic": statistic, "units": "run", "intervals": True}
    ours, theirs = (searchlight(given, models, parcels(12, 8), backend=b, **asked) for b in ("numpy", backend))
    assert largest_gap(ours, theirs, "se", relative=True) < (1e-5 if statistic == "pearson" else 1e-3)
    assert largest_gap(ours, theirs, "null_skewness") < 1e-5


@pytest.mark.parametrize("with_runs", [True, False])
@pytest.mark.parametrize("metric", ["correlation", "sqeuclidean"])
def test_moments_are_those_of_all_pairs(metric, with_runs):
    given, _ = made(50, 20, seed=4)
    run = np.sort(given.run) if with_runs else None
    blocks, cpu = RunBlocks(50, run), torch.device("cpu")
    runs = DeviceRuns(blocks, cpu)
    source = torch.tensor(given.responses.T.copy())
    columns = torch.tensor([[*range(20)], [*range(13), *[-1] * 7]])
    tables = [-(pdist(given.responses[:, :size].astype(float), metric)) for size in (20, 13)]
    expected = []
    for table in tables:
        square = np.zeros((50, 50))
        square[np.triu_indices(50, 1)] = table
        expected.append(dense_pair_sums(square + square.T, blocks)[:8])  # by n^3 operations; two are of all pairs
    for dtype, rtol in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        sphere = sphere_batch(source, columns, metric, dtype)
        found = factor_moments(sphere, sphere.d @ sphere.d.mT, runs.within(sphere), runs)
        np.testing.assert_allclose(found[:, :8], expected, rtol=rtol, atol=rtol)
    exact = sphere_batch(source, columns, metric, torch.float64)
    g = exact.d.mT @ exact.d + exact.effect[:, :, None] + exact.effect[:, None]
    np.testing.assert_allclose(dense_moments(g, runs)[:, :8], expected, rtol=1e-10, atol=1e-10)


@on_each_device
def test_centres_that_float32_would_spoil_are_made_in_float64(backend, monkeypatch):
    rng = np.random.default_rng(5)
    given, models = made(80, 30, n_runs=2, seed=5)
    # Two runs with patterns of their own: nearly all of the similarities lies in pairs that do not count.
    responses = given.responses + 3000 * rng.normal(size=(2, 30)).astype(np.float32)[given.run]
    apart = Patterns("sub-01", given.ids, responses, given.run)
    used = []

    def spied(source, columns, metric, dtype):
        used.append(dtype)
        return sphere_batch(source, columns, metric, dtype)

    monkeypatch.setattr(_torch_pearson, "sphere_batch", spied)
    asked = {"brain_metric": "sqeuclidean", "test": "none"}
    ours, theirs = (searchlight(apart, models[:1], parcels(20), backend=b, **asked) for b in ("numpy", backend))
    assert used == [torch.float32, torch.float64]
    np.testing.assert_allclose(theirs.r, ours.r, rtol=0, atol=1e-9)
    used.clear()
    searchlight(given, models[:1], parcels(20), backend=backend, **asked)
    assert used == [torch.float32]


@on_each_device
@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
def test_patterns_without_direction_and_neighbourhoods_that_tell_nothing(backend, statistic, caplog):
    given, models = made(40, 12, seed=6)
    given.responses[3, :8] = 1.25
    given.responses[:, 8:12] = given.responses[0, 8:12]  # all patterns there are the same
    ours, theirs = (
        searchlight(given, models, parcels(8, 4), statistic=statistic, intervals=True, backend=b)
        for b in ("numpy", backend)
    )
    for part in ("r", "p", "se"):
        np.testing.assert_allclose(getattr(theirs, part), getattr(ours, part), rtol=1e-4, atol=1e-6)
    assert np.isfinite(theirs.r[0]).all() and np.isnan(theirs.r[1]).all() and np.isnan(theirs.p[1]).all()
    told = [record.message for record in caplog.records if "no direction" in record.message]
    assert len(told) == (2 if statistic == "pearson" else 0) and len(set(told)) <= 1


@on_each_device
@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
def test_centres_do_not_depend_on_those_of_their_batch(backend, statistic, monkeypatch):
    given, models = made(40, 300, seed=7)
    rng = np.random.default_rng(7)
    spheres = [np.sort(rng.choice(300, size, replace=False)) for size in rng.integers(4, 20, 40)]
    many = Neighbourhoods(np.cumsum([0] + [len(s) for s in spheres]), np.concatenate(spheres).astype(np.int32))
    asked = {"statistic": statistic, "backend": backend, "intervals": True}
    together = searchlight(given, models, many, **asked)
    monkeypatch.setattr(_torch, "_MOST", {"cpu": 1, "cuda": 1})
    apart = searchlight(given, models, many, **asked)
    for part in ("r", "p", "se"):
        np.testing.assert_allclose(getattr(apart, part), getattr(together, part), rtol=1e-4, atol=1e-6, err_msg=part)


@pytest.mark.parametrize("chunks", [TorchPearsonChunks, TorchSpearmanChunks])
def test_a_scorer_travels_to_a_process_without_its_tables(chunks):
    given, models = made(60, 24, seed=8)
    blocks = RunBlocks(60, given.run)
    asked = Asked(tuple(models), "correlation", blocks, closed=True, drawn=None, jackknifed=True, groups=None)
    scorer = chunks(asked, given, Room("cpu", 1e9))
    before = len(pickle.dumps(scorer))
    found = scorer.score(given.responses, parcels(14, 10))
    assert len(pickle.dumps(scorer)) < 1.1 * before
    elsewhere = pickle.loads(pickle.dumps(scorer)).score(given.responses, parcels(14, 10))
    assert found.keys() == elsewhere.keys()
    for name, values in found.items():
        np.testing.assert_array_equal(elsewhere[name], values, err_msg=name)


def test_finished_chunks_of_another_backend_are_left_alone(tmp_path, caplog):
    given, models = made(40, 12, seed=8)
    asked = {"resume": tmp_path, "test": "none"}
    with caplog.at_level(logging.INFO):
        searchlight(given, models, parcels(12), **asked)
        searchlight(given, models, parcels(12), backend="torch", **asked)
        assert len(list(tmp_path.iterdir())) == 2 and "were there already" not in caplog.text
        searchlight(given, models, parcels(12), backend="torch", **asked)
    assert "1 of 1 chunks of centres were there already." in caplog.text


def test_what_has_no_form_in_torch_is_computed_as_with_numpy_and_said(caplog):
    given, models = made(40, 12, seed=9)
    with caplog.at_level(logging.INFO):
        found = [
            searchlight(given, models, parcels(12), statistic="kendall", test="none", backend=b).r
            for b in ("numpy", "torch")
        ]
        assert "Kendall's tau-a has no form in torch and is computed as with numpy." in caplog.text
        drawn = [
            searchlight(given, models, parcels(12), test="drawn", n_permutations=99, seed=1, backend=b).p
            for b in ("numpy", "torch")
        ]
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(*drawn)
    assert caplog.text.count("Permutations that are drawn have no form in torch") == 1


def test_a_backend_that_is_not_there_is_one_sentence(monkeypatch):
    given, models = made(40, 12)
    with pytest.raises(InputError, match="backend='cuda' is not known; choose numpy, torch, torch_cuda"):
        searchlight(given, models, parcels(12), backend="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentFailure, match=r"torch_cuda cannot be used here \(torch finds no CUDA device\)"):
        searchlight(given, models, parcels(12), backend="torch_cuda")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EnvironmentFailure, match=r'the backend torch needs torch.*pip install "affectome\[gpu\]"'):
        device_of("torch")


def test_a_gpu_without_room_is_one_sentence(monkeypatch):
    given, models = made(40, 12)

    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(_torch_pearson, "sphere_batch", full)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GPU 7")
    with pytest.raises(
        EnvironmentFailure, match="the memory of GPU 7 is too small for a batch of centres; lower memory_gb"
    ):
        searchlight(given, models, parcels(12), backend="torch")


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_are_exact_whatever_the_session_allows(precision):
    before, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_float32_matmul_precision(precision)
    try:
        with pytest.raises(KeyError), exact_products(torch.device("cpu")):
            assert getattr(torch.backends.cuda.matmul, "fp32_precision", "ieee") == "ieee"
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_float32_matmul_precision() == precision and torch.get_num_threads() == threads
    finally:
        torch.set_float32_matmul_precision(before)


@on_cuda
@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
def test_bits_repeat_on_one_gpu(backend, statistic):
    given, models = made(300, 90)
    asked = {"statistic": statistic, "intervals": True, "backend": backend}
    first, again = (searchlight(given, models, parcels(40, 30, 20), **asked) for _ in range(2))
    for part in ("r", "p", "se") if statistic == "pearson" else ("r", "p"):  # torch sums along ranks in no fixed order
        np.testing.assert_array_equal(getattr(first, part), getattr(again, part))
