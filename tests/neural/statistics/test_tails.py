import numpy as np
import pytest
from scipy import stats

from affectome._resampling import permutation_p
from affectome.errors import InputError
from affectome.neural import pareto_tail_p
from affectome.neural.statistics._tails import _CRITICAL, _SHAPES, _anderson_darling, _survival, _weighted_moments


def test_shape_and_scale_are_found_again():
    rng = np.random.default_rng(0)
    for shape, scale in ((-0.2, 1.0), (0.0, 3.0), (0.25, 0.5)):
        excess = np.sort(stats.genpareto.rvs(-shape, scale=scale, size=(20_000, 3), random_state=rng), axis=0)
        k, s = _weighted_moments(excess)
        assert k == pytest.approx(shape, abs=0.03) and s == pytest.approx(scale, rel=0.03)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3])
def test_survival_is_that_of_scipy(shape):
    excess = np.linspace(0, 3, 7)
    ours = _survival(excess, np.full(7, shape), np.full(7, 0.8))
    assert ours == pytest.approx(stats.genpareto.sf(excess, -shape, scale=0.8), abs=1e-12)


def test_anderson_darling_is_that_of_its_definition():
    excess = np.sort(stats.expon.rvs(size=(40, 1), random_state=1), axis=0)
    chance = stats.expon.cdf(excess[:, 0], scale=1.2)
    i = np.arange(1, 41)
    expected = -40 - ((2 * i - 1) * (np.log(chance) + np.log(1 - chance[::-1]))).sum() / 40
    assert _anderson_darling(excess, np.zeros(1), np.array([1.2]))[0] == pytest.approx(expected)


def test_few_true_tails_are_rejected_and_many_others():
    rng = np.random.default_rng(2)

    def share(excess):
        k, s = _weighted_moments(np.sort(excess, axis=0))
        distance = _anderson_darling(np.sort(excess, axis=0), k, s)
        return (distance > np.interp(k, _SHAPES, _CRITICAL)).mean()

    for shape in _SHAPES[1:7]:
        assert 0.01 <= share(stats.genpareto.rvs(-shape, size=(50, 4000), random_state=rng)) <= 0.06
    assert share(rng.chisquare(1, size=(200, 500)) + rng.integers(0, 2, size=(200, 500)) * 8) > 0.95


def test_many_reaching_permutations_leave_the_empirical_p():
    rng = np.random.default_rng(3)
    null, observed = rng.normal(size=(500, 50)), rng.normal(size=50)
    got, empirical = pareto_tail_p(observed, null), permutation_p(observed, null)
    assert (got.p[~got.fitted] == empirical[~got.fitted]).all()
    assert (empirical[got.fitted] < 11 / 501).all() and got.fitted.any()


def test_a_fitted_tail_agrees_with_fifty_times_as_many_permutations():
    rng = np.random.default_rng(4)
    n_trials, chance = 100, np.array([0.01, 0.003, 0.001, 0.0003])
    observed = np.tanh(stats.norm.isf(chance) / np.sqrt(n_trials - 3))  # correlations of two independent columns

    def null(n):
        z = rng.normal(size=(n, n_trials))
        first = rng.normal(size=n_trials)
        first, z = first - first.mean(), z - z.mean(axis=1, keepdims=True)
        return z @ first / np.linalg.norm(first) / np.linalg.norm(z, axis=1)

    long = permutation_p(observed, null(30_000)[:, None].repeat(4, axis=1))
    short = np.mean(
        [np.log10(pareto_tail_p(observed, null(600)[:, None].repeat(4, axis=1)).p) for _ in range(50)], axis=0
    )
    assert (np.log10(long) - 0.1 <= short).all() and (short <= np.log10(long) + 0.45).all()  # errs to larger p
    assert short[3] < np.log10(1 / 601)  # and is below what 600 permutations can count


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("normal", lambda rng, size: rng.normal(size=size)),
        ("correlation", lambda rng, size: rng.beta(24, 24, size=size)),
        ("skewed", lambda rng, size: rng.gamma(4, size=size)),
    ],
)
def test_p_from_few_permutations_is_valid_far_out(name, draw):
    """How likely each voxel's p falls to a or below, from the true chance of what it takes, not from few draws."""
    rng = np.random.default_rng(5)
    true = {"normal": stats.norm(), "correlation": stats.beta(24, 24), "skewed": stats.gamma(4)}[name]
    null = draw(rng, (500, 400))
    chances = np.logspace(-1, -8, 36)
    p = np.stack([pareto_tail_p(np.full(400, value), null).p for value in true.isf(chances)])
    for level in (1e-2, 1e-3, 1e-4, 1e-5):
        reached = p <= level
        first = np.where(reached.any(axis=0), chances[reached.argmax(axis=0)], 0)
        assert first.mean() <= 1.5 * level, level


def test_no_p_is_zero_or_below_the_floor():
    null = np.random.default_rng(6).normal(size=(200, 3))
    got = pareto_tail_p([4.0, 50.0, 1e6], null)
    assert got.p[1] == got.p[2] == 1 / (1000 * 201) and got.p[0] > got.p[1]


def test_a_null_of_few_values_falls_back_to_the_empirical_p():
    null = np.random.default_rng(7).integers(0, 2, size=(400, 4)).astype(float)
    got = pareto_tail_p(np.full(4, 3.0), null)
    assert not got.fitted.any() and (got.p == 1 / 401).all()


def test_what_is_undefined_stays_so_or_counts_against():
    null = np.random.default_rng(8).normal(size=(200, 2))
    null[3, 1] = np.nan
    got = pareto_tail_p([np.nan, 9.0], null)
    assert np.isnan(got.p[0]) and got.p[1] == 2 / 201 and not got.fitted.any()


def test_too_few_permutations_and_shapes_are_refused():
    with pytest.raises(InputError, match="100 permutations have no tail to fit; use at least 120"):
        pareto_tail_p([1.0], np.zeros((100, 1)))
    with pytest.raises(InputError, match="does not belong to 2 values"):
        pareto_tail_p([1.0, 2.0], np.zeros((200, 3)))
