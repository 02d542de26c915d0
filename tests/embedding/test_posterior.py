import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import softmax
from scipy.stats import false_discovery_control, norm

from affectome.embedding._posterior import (
    Prior,
    divergence,
    expected_probabilities,
    rectified_moments,
    sampled_probabilities,
    supporting_stimuli,
)

PRIORS = [Prior(0.25, 1.0, 0.5), Prior(0.05, 3.0, 0.9), Prior(0.4, 0.4, 0.2)]
priors = pytest.mark.parametrize("prior", PRIORS, ids=str)


@priors
def test_log_density_is_that_of_the_mixture_also_far_out(prior):
    x = np.array([-300.0, -3.0, -0.2, 0.0, 0.01, 0.7, 2.0, 40.0])
    parts = [
        np.log(prior.share) + norm.logpdf(x, 0, prior.spike),
        np.log1p(-prior.share) + norm.logpdf(x, 0, prior.slab),
    ]
    np.testing.assert_allclose(prior.log_density(x), np.logaddexp(*parts), rtol=1e-12)
    assert quad(lambda v: np.exp(prior.log_density(np.array(v))), -30, 30, points=[0], limit=200)[0] == pytest.approx(1)


@priors
def test_pull_is_minus_the_slope_of_the_log_density(prior):
    x, h = np.linspace(-6, 6, 121), 1e-6
    slope = (prior.log_density(x + h) - prior.log_density(x - h)) / (2 * h)
    np.testing.assert_allclose(prior.pull(x), -slope, atol=2e-6 * prior.spike**-2)
    assert prior.pull(np.array([500.0])) == pytest.approx(500 / prior.slab**2)  # there only the slab is left


def test_odds_at_zero_are_those_of_the_densities():
    prior = Prior(0.2, 1.5, 0.3)
    odds = 0.3 * norm.pdf(0, 0, 0.2) / (0.7 * norm.pdf(0, 0, 1.5))
    assert prior.log_odds_at_zero == pytest.approx(np.log(odds))


@pytest.mark.parametrize(
    ("mean", "scale"), [(0.0, 0.25), (0.0, 0.6), (0.5, 0.3), (2.0, 0.1), (-0.3, 0.05), (1.0, 1.0)], ids=str
)
def test_divergence_equals_quadrature(mean, scale):
    prior = PRIORS[0]

    def integrand(x):
        return norm.pdf(x, mean, scale) * (norm.logpdf(x, mean, scale) - float(prior.log_density(np.array(x))))

    exact = quad(integrand, mean - 12 * scale, mean + 12 * scale, limit=300)[0]
    assert divergence(np.array([[mean]]), np.array([[scale]]), prior) == pytest.approx(exact, abs=0.02)


def test_divergence_from_a_prior_of_one_part_is_the_closed_form():
    mean, scale = np.array([0.0, 0.3, -2.0]), np.array([0.4, 1.0, 0.02])
    closed = np.log(0.4 / scale) + (scale**2 + mean**2) / (2 * 0.4**2) - 0.5
    np.testing.assert_allclose(divergence(mean, scale, Prior(0.4, 0.4, 0.7)), closed, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_supporting_stimuli_are_those_of_scipys_step_up(alpha):
    rng = np.random.default_rng(4)
    mean, scale = rng.normal(0.3, 1.0, (50, 9)), rng.uniform(0.1, 1.0, (50, 9))
    mean[:, 7], mean[:, 8] = -1, 5
    p = norm.cdf(0, mean, scale)
    rejected = false_discovery_control(p, axis=0) <= alpha
    assert supporting_stimuli(mean, scale, alpha).tolist() == rejected.sum(axis=0).tolist()
    assert supporting_stimuli(mean, scale, alpha)[7] == 0 and supporting_stimuli(mean, scale, alpha)[8] == 50


def test_a_p_above_its_own_line_is_rejected_when_a_later_one_lies_below():
    # Lines at 5%: .01, .02, .03, .04, .05. The first two p lie above theirs, the third below, and takes them along.
    p = np.array([0.9, 0.025, 0.5, 0.028, 0.026])
    mean = -norm.ppf(p)[:, None]
    assert (np.sort(p)[:2] > [0.01, 0.02]).all() and np.sort(p)[2] <= 0.03
    assert supporting_stimuli(mean, np.ones((5, 1)), 0.05).tolist() == [3]
    step_down = np.array([0.9, 0.025, 0.5, 0.031, 0.026])
    assert supporting_stimuli(-norm.ppf(step_down)[:, None], np.ones((5, 1)), 0.05).tolist() == [0]


@pytest.mark.parametrize("mean", [-4.0, -0.5, 0.0, 0.2, 3.0])
@pytest.mark.parametrize("scale", [0.05, 1.0, 4.0])
def test_rectified_moments_equal_quadrature(mean, scale):
    ends = max(mean - 12 * scale, 0.0), max(mean + 12 * scale, 1e-9)
    first, second = (
        quad(lambda x, k=k: x**k * norm.pdf(x, mean, scale), *ends, epsabs=1e-14, limit=200)[0] for k in (1, 2)
    )
    got = rectified_moments(np.array([mean]), np.array([scale]))
    assert got[0] == pytest.approx(first, abs=1e-9)
    assert got[1] == pytest.approx(second - first**2, abs=1e-9)


def test_rectified_moments_without_spread_are_the_positive_part():
    first, variance = rectified_moments(np.array([-2.0, 0.0, 3.0]), np.zeros(3))
    np.testing.assert_allclose(first, [0, 0, 3], atol=1e-12)
    np.testing.assert_allclose(variance, 0, atol=1e-12)


def posterior(spread, seed=0):
    """Means of sparse weights up to 3 and deviations about `spread`, as a fit leaves them."""
    rng = np.random.default_rng(seed)
    mean = np.where(rng.random((30, 5)) < 0.35, rng.uniform(0.5, 3.0, (30, 5)), rng.normal(0, 0.05, (30, 5)))
    triplets = np.argsort(rng.random((400, 30)), axis=1)[:, :3].astype(np.int32)
    return mean, spread * rng.uniform(0.5, 1.5, mean.shape), triplets


def test_without_spread_the_predictive_probabilities_are_a_plain_softmax(similarities_twin):
    mean, scale, triplets = posterior(1e-7)
    plain = softmax(similarities_twin(np.maximum(mean, 0), triplets), axis=1)
    np.testing.assert_allclose(expected_probabilities(mean, scale, triplets), plain, atol=1e-6)
    drawn = sampled_probabilities(mean, scale, triplets, n_samples=2, seed=0, n_jobs=1)
    np.testing.assert_allclose(drawn, plain, atol=1e-5)


@pytest.mark.parametrize(
    ("spread", "mean_error", "largest"), [(0.1, 0.0015, 0.01), (0.3, 0.008, 0.04), (0.6, 0.02, 0.07)]
)
def test_moments_come_near_to_heavy_sampling(spread, mean_error, largest, similarities_twin):
    mean, scale, triplets = posterior(spread)
    rng = np.random.default_rng(1)
    total = np.zeros((len(triplets), 3))
    for _ in range(4000):
        total += softmax(similarities_twin(np.maximum(rng.normal(mean, scale), 0), triplets), axis=1)
    got = expected_probabilities(mean, scale, triplets)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-6)
    error = np.abs(got - total / 4000)
    assert error.mean() < mean_error and error.max() < largest
    plain = softmax(similarities_twin(np.maximum(mean, 0), triplets), axis=1)
    assert error.mean() < 0.25 * np.abs(plain - total / 4000).mean()  # what ignoring the spread would err


def test_sampling_has_the_same_mean_as_an_independent_one(similarities_twin):
    mean, scale, triplets = posterior(0.4)
    rng = np.random.default_rng(5)
    draws = np.stack(
        [softmax(similarities_twin(np.maximum(rng.normal(mean, scale), 0), triplets), axis=1) for _ in range(600)]
    )
    got = sampled_probabilities(mean, scale, triplets, n_samples=600, seed=3, n_jobs=1)
    z = (got - draws.mean(axis=0)) / (draws.std(axis=0) * np.sqrt(2 / 600) + 1e-6)
    assert 0.7 < np.sqrt((z**2).mean()) < 1.3
    assert np.array_equal(got, sampled_probabilities(mean, scale, triplets, n_samples=600, seed=3, n_jobs=2))


def test_slots_may_be_renamed():
    mean, scale, triplets = posterior(0.4)
    plain = expected_probabilities(mean, scale, triplets)
    turned = expected_probabilities(mean, scale, triplets[:, [2, 0, 1]])
    np.testing.assert_allclose(turned, plain[:, [2, 0, 1]], atol=1e-6)


def test_more_doubt_flattens_and_overflows_nowhere():
    mean = np.array([[900.0], [900.0], [0.0]])
    trial = np.array([[0, 1, 2]], np.int32)
    sure, unsure = (expected_probabilities(mean, np.full((3, 1), s), trial)[0] for s in (1e-6, 300.0))
    assert sure.tolist() == [0, 0, 1]
    assert np.isfinite(unsure).all() and 0.5 < unsure[2] < 1 and unsure[0] > 0
