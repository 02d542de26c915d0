from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from affectome._numba import kernel_threads
from affectome.embedding._kernels import adam_steps, choice_errors, pair_similarities, sum_gradients


def make_problem(seed, *, soft, n=15, p=8, t=300):
    rng = np.random.default_rng(seed)
    triplets = np.argsort(rng.random((t, n)), axis=1)[:, :3].astype(np.int32)
    q = rng.dirichlet([1, 1, 1], t) if soft else np.tile([0.0, 0.0, 1.0], (t, 1))
    targets = q.astype(np.float32) if soft else np.empty((0, 3), np.float32)
    x = rng.uniform(0, 1, (n, p)).astype(np.float32)
    return SimpleNamespace(x=x, triplets=triplets, targets=targets, q=targets.astype(float) if soft else q)


def run_kernel(
    problem,
    *,
    batch,
    block=64,
    rate=0.05,
    l1=0.002,
    beta1=0.9,
    beta2=0.999,
    cuts=(),
    threads=1,
    offsets=(0, 0, 0),
    order=None,
    tile=1,
):
    """Run the kernel from fresh moments, in one call or cut at these trial numbers."""
    x, t = problem.x.copy(), len(problem.triplets)
    first, second = np.zeros_like(x), np.zeros_like(x)
    gradients = np.full(
        (-(-batch // block), *x.shape), np.nan, np.float32
    )  # scratch: whatever is in it must not matter
    order, total, step = np.arange(t, dtype=np.int32) if order is None else order, 0.0, 0
    with kernel_threads(threads):
        for start, stop in pairwise([0, *cuts, t]):
            loss, step = adam_steps(
                x, first, second, gradients, problem.triplets, problem.targets, np.array(offsets, np.float32), order,
                tile,
                start, stop, batch, block, step, rate, l1, beta1, beta2,
            )  # fmt: skip
            total += loss
    return SimpleNamespace(x=x, first=first, second=second, loss=total, step=step)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("batch", [300, 128, 37], ids=["one step", "three steps", "nine steps"])
def test_adam_kernel_equals_its_plain_twin(soft, batch, adam_twin):
    problem = make_problem(3, soft=soft)
    got = run_kernel(problem, batch=batch)
    x, m, v, loss, step = adam_twin(problem.x, problem.triplets, problem.q, batch=batch, rate=0.05, l1=0.002)
    assert got.step == step == -(-300 // batch)
    np.testing.assert_allclose(got.x, x, atol=1e-5)
    np.testing.assert_allclose(got.first, m, atol=1e-6)
    np.testing.assert_allclose(got.second, v, atol=1e-7)
    assert got.loss == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("offsets", [(0.9, -0.2, -0.7), (-3.0, 1.0, 2.0)], ids=str)
def test_kernel_with_slot_offsets_equals_its_plain_twin(offsets, adam_twin, losses_twin):
    problem = make_problem(3, soft=True)
    got = run_kernel(problem, batch=37, offsets=offsets)
    x, m, v, loss, _ = adam_twin(problem.x, problem.triplets, problem.q, batch=37, rate=0.05, l1=0.002, offsets=offsets)
    np.testing.assert_allclose(got.x, x, atol=2e-5)
    np.testing.assert_allclose(got.first, m, atol=1e-6)
    np.testing.assert_allclose(got.second, v, atol=1e-7)
    assert got.loss == pytest.approx(loss, rel=1e-6)
    assert abs(loss / run_kernel(problem, batch=37).loss - 1) > 0.01


def test_a_stimulus_keeps_its_start_until_its_first_trial(adam_twin):
    problem = make_problem(3, soft=True)
    problem.triplets = problem.triplets[(problem.triplets != 4).all(axis=1) | (np.arange(300) >= 100)]
    problem.targets = problem.targets[: len(problem.triplets)]
    problem.q = problem.targets.astype(float)
    late = int(np.flatnonzero((problem.triplets == 4).any(axis=1))[0])
    first = late // 20 * 20
    before = run_kernel(SimpleNamespace(**vars(problem) | {"triplets": problem.triplets[:first]}), batch=20, l1=0.01)
    assert first >= 60 and np.array_equal(before.x[4], problem.x[4]) and (before.second[4] == 0).all()
    assert (before.x[np.delete(np.arange(15), 4)] != problem.x[np.delete(np.arange(15), 4)]).all()
    got = run_kernel(problem, batch=20, l1=0.01)
    x, *_ = adam_twin(problem.x, problem.triplets, problem.q, batch=20, rate=0.05, l1=0.01)
    np.testing.assert_allclose(got.x, x, atol=5e-5)
    assert (got.x[4] != problem.x[4]).any()


def test_l1_shift_and_projection_reach_zero_and_match_the_twin(adam_twin):
    problem = make_problem(5, soft=True)
    got = run_kernel(problem, batch=20, rate=0.02, l1=0.01)
    x, *_ = adam_twin(problem.x, problem.triplets, problem.q, batch=20, rate=0.02, l1=0.01)
    assert 0 < (x == 0).mean() < 1
    assert got.x.min() == 0
    np.testing.assert_allclose(got.x, x, atol=2e-5)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_kernel_gradient_equals_finite_differences(soft, losses_twin):
    problem = make_problem(1, soft=soft, n=8, t=120)
    # Without momentum, Adam's first moment after one step is the gradient itself.
    gradient = run_kernel(problem, batch=120, rate=0.0, l1=0.0, beta1=0.0).first
    x, h = problem.x.astype(np.float64), 1e-5
    numeric = np.empty_like(x)
    for cell in np.ndindex(*x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][cell] -= h
        moved[1][cell] += h
        down, up = (losses_twin(m, problem.triplets, problem.q).mean() for m in moved)
        numeric[cell] = (up - down) / (2 * h)
    np.testing.assert_allclose(gradient, numeric, atol=2e-7)


def test_first_step_follows_the_sign_of_the_gradient_at_the_learning_rate():
    # Adam's first step is rate * g / |g| wherever g is not tiny (Kingma & Ba 2015, section 2.1).
    problem = make_problem(2, soft=True)
    problem.x += 1.0  # far from the projection
    got = run_kernel(problem, batch=300, rate=0.01, l1=0.0)
    clear = np.abs(got.first) > 1e-5
    assert clear.mean() > 0.9
    np.testing.assert_allclose((got.x - problem.x)[clear], -0.01 * np.sign(got.first)[clear], atol=2e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_cutting_an_epoch_into_calls_changes_no_bit(threads):
    problem = make_problem(7, soft=False)
    whole = run_kernel(problem, batch=40, block=16, threads=1)
    cut = run_kernel(problem, batch=40, block=16, cuts=(40, 200), threads=threads)
    assert np.array_equal(whole.x, cut.x)
    assert np.array_equal(whole.second, cut.second)
    assert whole.step == cut.step
    assert whole.loss == pytest.approx(cut.loss, rel=1e-12)


def test_similarity_kernel_equals_its_plain_twin(similarities_twin):
    problem = make_problem(0, soft=False)
    out = np.empty((300, 3), np.float32)
    with kernel_threads(2):
        pair_similarities(problem.x, problem.triplets, out)
    np.testing.assert_allclose(out, similarities_twin(problem.x, problem.triplets), rtol=1e-5)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize(("parts", "block"), [(1, 1024), (3, 64), (16, 32), (16, 7)])
def test_gradient_over_all_trials_equals_its_plain_twin(soft, parts, block, losses_twin, gradient_twin):
    problem, offsets = make_problem(4, soft=soft), np.array([0.3, -0.1, -0.2], np.float32)
    buffers = np.full((parts, *problem.x.shape), np.nan, np.float32)
    with kernel_threads(2):
        loss, gradient = sum_gradients(problem.x, buffers, problem.triplets, problem.targets, offsets, block)
    assert loss == pytest.approx(losses_twin(problem.x, problem.triplets, problem.q, offsets).sum(), rel=1e-6)
    np.testing.assert_allclose(
        gradient / 300, gradient_twin(problem.x, problem.triplets, problem.q, offsets), atol=1e-6
    )


def test_choice_errors_hold_for_any_similarity(losses_twin):
    # Far apart, tied, and beyond what float32 could exponentiate.
    s = np.array([[0, 0, 0], [900, 0, -900], [1e4, 1e4, 1e4 - 1], [-50, 40, 0], [3, 3, -200]], np.float32)
    q = np.tile(np.float32([0.2, 0.3, 0.5]), (5, 1))
    columns, wanted = [s[:, slot].copy() for slot in (2, 1, 0)], [q[:, slot].copy() for slot in (2, 1, 0)]
    loss = choice_errors(*columns, *wanted)
    exact = s.astype(float)
    np.testing.assert_allclose(np.stack(columns[::-1], axis=1), softmax(exact, axis=1) - q, atol=2e-7)
    assert loss == pytest.approx(float((logsumexp(exact, axis=1) - (q * exact).sum(axis=1)).sum()), rel=1e-6)


def test_tiles_visit_the_same_trials_as_single_ones():
    problem = make_problem(3, soft=True)
    tiles = np.random.default_rng(0).permutation(300 // 4).astype(np.int32)
    single = (tiles[:, None] * 4 + np.arange(4)).ravel().astype(np.int32)
    one, four = (
        run_kernel(problem, batch=40, block=20, order=order, tile=tile) for order, tile in ((single, 1), (tiles, 4))
    )
    assert np.array_equal(one.x, four.x) and one.loss == four.loss


def test_a_last_shorter_tile_is_visited():
    problem = make_problem(3, soft=False, t=299)
    whole = run_kernel(problem, batch=299, rate=0.0)
    tiled = run_kernel(problem, batch=304, block=152, rate=0.0, order=np.arange(38, dtype=np.int32), tile=8)
    assert tiled.loss == pytest.approx(whole.loss, rel=1e-7)
    np.testing.assert_allclose(tiled.first, whole.first, atol=1e-7)
