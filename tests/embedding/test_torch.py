"""SPoSE in torch: the same steps, the same objective; what needs a GPU is skipped where there is none."""

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from affectome import EnvironmentFailure, InputError, SPoSE, simulate_emotions
from affectome.embedding import _engine, _torch
from affectome.embedding._engine import BETAS, KernelEngine
from affectome.embedding._schedule import Leg
from affectome.embedding._torch import TorchEngine
from affectome.embedding._trials import Trials
from affectome.simulation import match_components

torch = pytest.importorskip("torch", reason="torch is not installed (the extra gpu or local)")

cuda = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
)
on_each_device = pytest.mark.parametrize("device", ["torch-cpu", cuda])
on_cuda = pytest.mark.parametrize("device", [cuda])
SLOPE = {"beta1": BETAS[0], "beta2": BETAS[1]}
OFFSETS = (0.9, -0.2, -0.7)


def make_problem(seed, *, soft, n=15, p=7, t=300):
    """Trials, where to start, and the wanted probabilities for the twin."""
    rng = np.random.default_rng(seed)
    triplets = np.argsort(rng.random((t, n)), axis=1)[:, :3].astype(np.int32)
    q = rng.dirichlet([1, 1, 1], t).astype(np.float32) if soft else np.tile(np.float32([0, 0, 1]), (t, 1))
    trials = Trials(triplets, q if soft else np.empty((0, 3), np.float32), n, 0)
    return trials, rng.uniform(0, 1, (n, p)).astype(np.float32), q.astype(float)


def make_engine(trials, x, *, device, batch=64, l1=0.002, offsets=(0, 0, 0), seed=0, engine=TorchEngine):
    rng = np.random.default_rng(seed)
    place = {"device": device} if engine is TorchEngine else {"n_jobs": 1}
    return engine(trials, x, l1=l1, offsets=np.float32(offsets), rng=rng, batch=batch, **place)


def legs_of(trials, batch, *, rate=0.05, cuts=()):
    return [Leg(start, stop, batch, rate) for start, stop in pairwise([0, *cuts, len(trials.triplets)])]


# A step


@on_each_device
@pytest.mark.parametrize("offsets", [(0, 0, 0), OFFSETS], ids=["content", "content and slot"])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("batch", [300, 128, 37], ids=["one step", "three steps", "nine steps"])
def test_steps_equal_the_plain_twin(device, batch, soft, offsets, adam_twin):
    trials, x, q = make_problem(3, soft=soft)
    engine = make_engine(trials, x, device=device, batch=batch, offsets=offsets)
    loss = sum(engine.descend(leg) for leg in legs_of(trials, batch))
    twin, _, _, twin_loss, _ = adam_twin(
        x, trials.triplets, q, batch=batch, rate=0.05, l1=0.002, offsets=offsets, **SLOPE
    )
    assert abs(twin - x).max() > 0.04  # a rate of 0.05 moves weights by that much in one step
    np.testing.assert_allclose(engine.weights, twin, atol=2e-5)
    assert loss == pytest.approx(twin_loss, rel=1e-6)


@on_each_device
def test_moments_live_on_from_leg_to_leg_and_through_a_new_batch_size(device):
    trials, x, _ = make_problem(5, soft=True)
    ours, kernel = (make_engine(trials, x, device=device, batch=20, engine=e) for e in (TorchEngine, KernelEngine))
    for legs in (legs_of(trials, 20, cuts=(40, 200)), legs_of(trials, 80, rate=0.01, cuts=(160,))):
        for leg in legs:
            assert ours.descend(leg) == pytest.approx(kernel.descend(leg), rel=1e-5)
    np.testing.assert_allclose(ours.weights, kernel.weights, atol=5e-5)


@on_each_device
def test_l1_shift_and_projection_reach_zero_as_in_the_twin(device, adam_twin):
    trials, x, q = make_problem(5, soft=True)
    engine = make_engine(trials, x, device=device, l1=0.01)
    for leg in legs_of(trials, 20, rate=0.02):
        engine.descend(leg)
    twin, *_ = adam_twin(x, trials.triplets, q, batch=20, rate=0.02, l1=0.01, **SLOPE)
    assert 0 < (engine.weights == 0).mean() < 1
    assert engine.weights.min() == 0
    np.testing.assert_allclose(engine.weights, twin, atol=2e-5)


@on_each_device
def test_a_stimulus_keeps_its_start_until_its_first_trial(device):
    trials, x, _ = make_problem(3, soft=False)
    late = np.argsort((trials.triplets == 4).any(axis=1), kind="stable")  # stimulus 4 comes last
    trials = replace(trials, triplets=np.ascontiguousarray(trials.triplets[late]))
    first = int(np.flatnonzero((trials.triplets == 4).any(axis=1))[0])
    engine = make_engine(trials, x, device=device, batch=20, l1=0.01)
    cut = first // 20 * 20
    before, after = legs_of(trials, 20, cuts=(cut,))
    engine.descend(before)
    moved = engine.weights
    assert cut >= 60 and np.array_equal(moved[4], x[4])
    assert (np.delete(moved, 4, axis=0) != np.delete(x, 4, axis=0)).all()
    engine.descend(after)
    assert (engine.weights[4] != x[4]).any()


@on_each_device
def test_a_step_cut_into_chunks_changes_no_bit(device, monkeypatch):
    trials, x, _ = make_problem(7, soft=True)
    weights = []
    for numbers in (1 << 25, 6 * 7 * 11):  # the whole batch at once, or 11 trials
        monkeypatch.setattr(_torch, "_NUMBERS", numbers)
        engine = make_engine(trials, x, device=device, batch=50)
        for leg in legs_of(trials, 50):
            engine.descend(leg)
        weights.append(engine.weights)
    assert np.array_equal(*weights)
    assert not np.array_equal(weights[0], x)


# The order of the trials


@on_each_device
def test_shuffling_loses_no_trial_and_keeps_answers_with_their_triplets(device, losses_twin):
    trials, x, q = make_problem(2, soft=True, t=1000)
    engine = make_engine(trials, x, device=device, batch=1000)
    before = engine.value_and_gradient(x)
    engine.shuffle()
    after = engine.value_and_gradient(x)
    assert after[0] == pytest.approx(before[0], rel=1e-12) == pytest.approx(losses_twin(x, trials.triplets, q).mean())
    assert np.array_equal(after[1], before[1])  # summed in fixed point: the order leaves no trace


@on_each_device
@pytest.mark.parametrize("many", [1000, 2000], ids=["in tiles", "one by one"])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_the_order_is_that_of_the_kernels(device, many, soft, monkeypatch):
    monkeypatch.setattr(_engine, "_MANY", many)
    trials, x, _ = make_problem(2, soft=soft, t=1003)
    ours, kernel = (make_engine(trials, x, device=device, batch=16, engine=e) for e in (TorchEngine, KernelEngine))
    for _ in range(2):
        for engine in (ours, kernel):
            engine.shuffle()
            engine.loss = sum(engine.descend(leg) for leg in legs_of(trials, 16, rate=0.01, cuts=(320,)))
        assert ours.loss == pytest.approx(kernel.loss, rel=1e-5)
    np.testing.assert_allclose(ours.weights, kernel.weights, atol=1e-4)  # another order is 0.01 or more away


@on_each_device
def test_the_seed_decides_the_order(device):
    trials, x, _ = make_problem(2, soft=False, t=1000)

    def run(seed):
        engine = make_engine(trials, x, device=device, batch=50, seed=seed)
        engine.shuffle()
        for leg in legs_of(trials, 50):
            engine.descend(leg)
        return engine.weights

    assert np.array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


# A pass over all trials


@on_each_device
@pytest.mark.parametrize("stimuli", [8192, 0], ids=["by pairs", "by rows"])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_value_and_gradient_equal_the_plain_twin(device, stimuli, soft, monkeypatch, losses_twin, adam_twin):
    monkeypatch.setattr(_torch, "_PAIR_STIMULI", stimuli)
    monkeypatch.setattr(_torch, "_PAIR_TRIALS", 70)
    monkeypatch.setattr(_torch, "_NUMBERS", 6 * 7 * 70)  # both in chunks, the last one shorter
    trials, x, q = make_problem(1, soft=soft)
    x[0] *= 40  # weights beyond what a fit meets
    engine = make_engine(trials, x, device=device, offsets=OFFSETS)
    loss, gradient = engine.value_and_gradient(x.astype(np.float64))
    # Without momentum, the twin's first moment after one step is the gradient itself.
    _, expected, *_ = adam_twin(x, trials.triplets, q, batch=300, rate=0, l1=0, beta1=0, offsets=OFFSETS)
    assert loss == pytest.approx(losses_twin(x, trials.triplets, q, OFFSETS).mean(), rel=1e-7)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


@on_each_device
def test_value_and_gradient_take_fewer_components_than_the_fit(device, losses_twin, adam_twin):
    trials, x, q = make_problem(1, soft=False)
    engine, few = make_engine(trials, x, device=device), x[:, :3].astype(np.float64)
    loss, gradient = engine.value_and_gradient(few)
    _, expected, *_ = adam_twin(few, trials.triplets, q, batch=300, rate=0, l1=0, beta1=0)
    assert loss == pytest.approx(losses_twin(few, trials.triplets, q).mean(), rel=1e-9)
    np.testing.assert_allclose(gradient, expected, atol=1e-9)


# A whole fit


@pytest.fixture(scope="module")
def world():
    return simulate_emotions(100, 5, seed=3)


@pytest.fixture(scope="module")
def study(world):
    return world.sample_answers(20_000, seed=1)


@on_each_device
def test_a_fit_reaches_the_objective_and_the_components_of_the_kernels(device, study):
    ours, kernel = (SPoSE(5, random_state=0, device=name).fit(study) for name in (device, "cpu"))
    assert ours.converged_
    assert ours.objective_ == pytest.approx(kernel.objective_, rel=1e-3)
    match = match_components(ours.to_space(), kernel.to_space())
    assert match.correlation.min() > 0.99
    assert ours.score(study) == pytest.approx(kernel.score(study), abs=0.003)


@on_each_device
def test_the_same_seed_gives_the_same_bits(device, study):
    once, again = (SPoSE(5, n_init=2, n_epochs=4, max_iter=20, tol=1.0, random_state=0, device=device) for _ in "ab")
    assert np.array_equal(once.fit(study).embedding_, again.fit(study).embedding_)


@on_each_device
def test_slot_offsets_and_probabilities_reach_the_objective_of_the_kernels(device, study):
    given = {"n_epochs": 16, "random_state": 0, "slot_offsets": OFFSETS}
    ours, kernel = (SPoSE(5, device=name, **given).fit(study, study.probabilities) for name in (device, "cpu"))
    assert ours.objective_ == pytest.approx(kernel.objective_, rel=1e-3)


@on_cuda
def test_recorded_steps_equal_steps_that_were_not(device, monkeypatch):
    trials, x, _ = make_problem(4, soft=True, t=1000)
    recorded, plain = (make_engine(trials, x, device=device, batch=64) for _ in "ab")
    monkeypatch.setattr(plain, "_take_step", lambda size, last: plain._move(size))
    for batch in (64, 128):
        for engine in (recorded, plain):
            engine.shuffle()
            engine.losses = [engine.descend(leg) for leg in legs_of(trials, batch, cuts=(512,))]
        assert recorded._graph is not None and plain._graph is None
        assert recorded.losses == plain.losses
        assert np.array_equal(recorded.weights, plain.weights)


# Devices that are not there


def test_torch_that_is_not_installed_is_named_with_its_remedy(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EnvironmentFailure, match=r'device=\'cuda\' needs torch; install it .* "affectome\[gpu\]"'):
        SPoSE(2, device="cuda").fit(study)


def test_a_gpu_that_is_not_there_is_refused(study, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentFailure, match="device cuda:0: torch finds no CUDA device; use device='cpu'"):
        SPoSE(2, device="cuda:0").fit(study)


def test_a_gpu_beyond_the_last_is_refused(study, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(EnvironmentFailure, match="device cuda:2: there are 2 CUDA devices, counted from 0"):
        SPoSE(2, device="cuda:2").fit(study)


@pytest.mark.parametrize("name", ["gpu", "meta", "", "cuda:x"])
def test_an_unknown_device_is_refused(study, name):
    with pytest.raises(InputError, match=f"device='{name}' is not accepted"):
        SPoSE(2, device=name).fit(study)


def test_a_device_without_64_bits_is_refused(study):
    with pytest.raises(InputError, match="64 bits, which mps does not have; use device='cpu'"):
        SPoSE(2, device="mps").fit(study)


def test_memory_that_runs_out_is_said_in_a_sentence(study, monkeypatch):
    def full(engine, batch):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TorchEngine, "_make_room", full)
    expected = "memory of torch-cpu is too small for 20,000 trials and 100 x 2 weights; free some of it, use another"
    with pytest.raises(EnvironmentFailure, match=expected):
        SPoSE(2, n_init=1, device="torch-cpu").fit(study)
