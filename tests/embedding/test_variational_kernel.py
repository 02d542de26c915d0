from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import chisquare, norm

from affectome._numba import kernel_threads
from affectome.embedding._kernels import information_blocks, scattered, variational_steps

SPIKE, SLAB, SHARE = 0.25, 1.0, 0.4  # deviations of the prior's parts, and the share of the first
WEIGHT = 1 / 300  # of the divergence: one over the trials
USED, PADDED = 5, 8
TABLE = np.random.default_rng(8).standard_normal(2**20 + PADDED, dtype=np.float32)


def log_prior(x):
    return np.logaddexp(np.log(SHARE) + norm.logpdf(x, 0, SPIKE), np.log(1 - SHARE) + norm.logpdf(x, 0, SLAB))


def prior_pull(x):
    spike, slab = SHARE * norm.pdf(x, 0, SPIKE), (1 - SHARE) * norm.pdf(x, 0, SLAB)
    return x * (spike / SPIKE**2 + slab / SLAB**2) / (spike + slab)


def hashed_place(seed, step, row):
    """SplitMix64's finaliser, in Python's whole numbers; the upper 20 bits."""
    whole = 2**64 - 1
    z = (seed + step * 0x9E3779B97F4A7C15 + row * 0xD1B54A32D192ED03) & whole
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & whole
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & whole
    return (z ^ (z >> 31)) >> 44


def noise_of(seed, step, n):
    return np.array([TABLE[(at := hashed_place(seed, step, i)) : at + USED] for i in range(n)], np.float64)


def make_problem(seed, *, soft, n=15, t=300):
    rng = np.random.default_rng(seed)
    triplets = np.argsort(rng.random((t, n)), axis=1)[:, :3].astype(np.int32)
    q = rng.dirichlet([1, 1, 1], t).astype(np.float32) if soft else np.tile(np.float32([0, 0, 1]), (t, 1))
    mean = rng.normal(0.3, 0.6, (n, USED)).astype(np.float32)
    return SimpleNamespace(
        mean=mean,
        log_scale=rng.uniform(-2, 0, (n, USED)).astype(np.float32),
        triplets=triplets,
        targets=q if soft else np.empty((0, 3), np.float32),
        q=q.astype(np.float64),
    )


def run_kernel(
    problem, *, batch, block=64, rate=0.05, beta1=0.9, beta2=0.99, offsets=(0, 0, 0), threads=1, cuts=(), seed=2**61 + 5
):
    n, t = len(problem.mean), len(problem.triplets)

    def padded(values):
        return np.pad(np.asarray(values, np.float32), ((0, 0), (0, PADDED - USED)))

    mean, log_scale = padded(problem.mean), padded(problem.log_scale)
    scale, moments = padded(np.exp(problem.log_scale)), np.zeros((4, n, PADDED), np.float32)
    gradients = np.full((-(-batch // block), n, PADDED), np.nan, np.float32)  # whatever is in it must not matter
    odds = np.log(SHARE / (1 - SHARE)) + np.log(SLAB / SPIKE)
    total, step = 0.0, 0
    with kernel_threads(threads):
        for start, stop in zip([0, *cuts], [*cuts, t], strict=True):
            loss, step = variational_steps(
                mean, log_scale, scale, moments, USED, TABLE, seed, gradients, problem.triplets, problem.targets,
                np.array(offsets, np.float32), np.arange(t, dtype=np.int32), 1, start, stop, batch, block, step, rate,
                WEIGHT, odds, SPIKE**-2, SLAB**-2, beta1, beta2,
            )  # fmt: skip
            total += loss
    return SimpleNamespace(mean=mean, log_scale=log_scale, scale=scale, moments=moments, loss=total, step=step)


@pytest.fixture(scope="module")
def variational_twin(losses_twin, gradient_twin):
    """The same steps in float64, from the formulas of the divergence, without any of the kernel's short cuts."""

    def run(problem, *, batch, rate=0.05, beta1=0.9, beta2=0.99, offsets=(0, 0, 0), seed=2**61 + 5):
        mean, log_scale = problem.mean.astype(np.float64), problem.log_scale.astype(np.float64)
        first, second = np.zeros((2, *mean.shape)), np.zeros((2, *mean.shape))
        total, step = 0.0, 0
        for low in range(0, len(problem.triplets), batch):
            rows = slice(low, low + batch)
            eps, scale = noise_of(seed, step, len(mean)), np.exp(log_scale)
            drawn = mean + scale * eps
            x = np.maximum(drawn, 0)
            total += losses_twin(x, problem.triplets[rows], problem.q[rows], offsets).sum()
            by_x = np.where(drawn > 0, gradient_twin(x, problem.triplets[rows], problem.q[rows], offsets), 0)
            by_x = by_x + WEIGHT * prior_pull(drawn)
            slopes = np.stack([by_x, by_x * scale * eps - WEIGHT])
            step += 1
            first = beta1 * first + (1 - beta1) * slopes
            second = beta2 * second + (1 - beta2) * slopes**2
            moved = rate * (first / (1 - beta1**step)) / (np.sqrt(second / (1 - beta2**step)) + 1e-8)
            mean, log_scale = mean - moved[0], log_scale - moved[1]
        return SimpleNamespace(mean=mean, log_scale=log_scale, first=first, second=second, loss=total, step=step)

    return run


@pytest.mark.parametrize("offsets", [(0, 0, 0), (0.9, -0.2, -0.7)], ids=["plain", "slot offsets"])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("batch", [300, 128, 37], ids=["one step", "three steps", "nine steps"])
def test_variational_kernel_equals_its_plain_twin(batch, soft, offsets, variational_twin):
    problem = make_problem(3, soft=soft)
    got = run_kernel(problem, batch=batch, offsets=offsets)
    twin = variational_twin(problem, batch=batch, offsets=offsets)
    assert got.step == twin.step == -(-300 // batch)
    np.testing.assert_allclose(got.mean[:, :USED], twin.mean, atol=3e-5)
    np.testing.assert_allclose(got.log_scale[:, :USED], twin.log_scale, atol=3e-5)
    np.testing.assert_allclose(got.moments[::2, :, :USED], twin.first, atol=1e-6)
    np.testing.assert_allclose(got.moments[1::2, :, :USED], twin.second, atol=1e-7)
    np.testing.assert_allclose(got.scale[:, :USED], np.exp(got.log_scale[:, :USED]), rtol=1e-6)
    assert got.loss == pytest.approx(twin.loss, rel=1e-6)
    assert (got.mean[:, USED:] == 0).all() and (got.scale[:, USED:] == 0).all() and (got.moments[..., USED:] == 0).all()


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_its_gradient_is_that_of_the_expected_objective_at_one_draw(soft, losses_twin):
    problem = make_problem(1, soft=soft, n=8, t=120)
    eps = noise_of(2**61 + 5, 0, 8)

    def objective(mean, log_scale):
        drawn = mean + np.exp(log_scale) * eps
        # log q of the draw, by the density of the Gaussian, and log p, by the two of the prior
        apart = norm.logpdf(drawn, mean, np.exp(log_scale)) - log_prior(drawn)
        return losses_twin(np.maximum(drawn, 0), problem.triplets, problem.q).mean() + WEIGHT * apart.sum()

    # Without momentum, Adam's first moments after one step are the gradient itself.
    got = run_kernel(problem, batch=120, rate=0.0, beta1=0.0)
    at, h = [problem.mean.astype(np.float64), problem.log_scale.astype(np.float64)], 1e-5
    for which in (0, 1):
        numeric = np.empty_like(at[which])
        for cell in np.ndindex(*numeric.shape):
            sides = []
            for move in (-h, h):
                moved = [each.copy() for each in at]
                moved[which][cell] += move
                sides.append(objective(*moved))
            numeric[cell] = (sides[1] - sides[0]) / (2 * h)
        np.testing.assert_allclose(got.moments[2 * which, :, :USED], numeric, atol=3e-7)


@pytest.mark.parametrize("threads", [1, 2])
def test_cutting_an_epoch_into_calls_changes_no_bit(threads):
    problem = make_problem(7, soft=False)
    whole = run_kernel(problem, batch=40, block=16)
    cut = run_kernel(problem, batch=40, block=16, cuts=(40, 200), threads=threads)
    assert np.array_equal(whole.mean, cut.mean) and np.array_equal(whole.scale, cut.scale)
    assert np.array_equal(whole.moments, cut.moments) and whole.step == cut.step
    assert whole.loss == pytest.approx(cut.loss, rel=1e-12)


def test_draws_come_from_all_over_the_table():
    # As many in each of 64 stretches of the table, hardly two alike, and neighbours in no relation.
    places = np.array([scattered(11, step, row) for step in range(100) for row in range(200)])
    assert places.min() >= 0 and places.max() < 2**20
    assert [scattered(11, 3, row) for row in (0, 9)] == [hashed_place(11, 3, row) for row in (0, 9)]
    assert chisquare(np.bincount(places >> 14, minlength=64)).pvalue > 1e-3
    assert len(np.unique(places)) > 0.98 * len(places)
    along = places.reshape(100, 200).astype(float)
    assert abs(np.corrcoef(along[:, :-1].ravel(), along[:, 1:].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(along[:-1].ravel(), along[1:].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_information_equals_brute_force(parts, similarities_twin):
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, (7, 3)).astype(np.float32)
    triplets = np.argsort(rng.random((50, 7)), axis=1)[:, :3].astype(np.int32)
    chance = softmax(similarities_twin(x, triplets), axis=1)
    blocks = np.zeros((parts, 7, 3, 3))
    with kernel_threads(2):
        information_blocks(x, triplets, chance.astype(np.float32), blocks)
    # Fisher: the variance of the slope of log p(answer), over the answers, by each stimulus alone.
    expected = np.zeros((7, 3, 3))
    for trial, p in zip(triplets, chance, strict=True):
        for slot in range(3):
            slope_of_s = np.zeros((3, 3))  # similarity of the pair kept when `odd` is, by the stimulus in `slot`
            for odd in range(3):
                if odd != slot:
                    slope_of_s[odd] = x[trial[3 - slot - odd]]
            for answer in range(3):
                score = slope_of_s[answer] - p @ slope_of_s
                expected[trial[slot]] += p[answer] * np.outer(score, score)
    np.testing.assert_allclose(blocks.sum(axis=0), expected, atol=1e-5)
    with kernel_threads(1):
        information_blocks(x, triplets, chance.astype(np.float32), again := np.zeros_like(blocks))
    assert np.array_equal(again, blocks)
