import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from affectome import InputError
from affectome.neural import prevalence


def density(g, k, n, alpha, sensitivity):
    """Posterior density of the prevalence, up to its mass: a uniform prior times the binomial likelihood."""
    return stats.binom.pmf(k, n, alpha * (1 - g) + sensitivity * g)


def mass(low, high, k, n, alpha=0.05, sensitivity=1.0):
    given = (k, n, alpha, sensitivity)
    return integrate.quad(density, low, high, args=given)[0] / integrate.quad(density, 0, 1, args=given)[0]


def test_five_of_five_leave_the_bound_of_the_paper():
    found = prevalence(5, 5)
    assert found.bound == pytest.approx(0.586, abs=5e-4)  # posterior 5% quantile, one-sided
    assert found.low == pytest.approx(found.bound)  # the density rises: the densest 95% are the upper ones
    assert (found.most_likely, found.high) == (1.0, 1.0)
    assert found.p_nobody == pytest.approx(0.05**5)


@pytest.mark.parametrize(
    ("k", "n", "alpha", "sensitivity"), [(3, 5, 0.05, 1.0), (14, 20, 0.05, 1.0), (7, 30, 0.025, 0.8)]
)
def test_posterior_equals_numerical_integration(k, n, alpha, sensitivity):
    found = prevalence(k, n, alpha=alpha, sensitivity=sensitivity)
    settings_ = (k, n, alpha, sensitivity)
    assert mass(float(found.bound), 1, *settings_) == pytest.approx(0.95, abs=1e-6)
    assert mass(0.5, 1, *settings_) == pytest.approx(float(found.majority), abs=1e-6)
    assert mass(float(found.low), float(found.high), *settings_) == pytest.approx(0.95, abs=1e-6)
    ends = density(found.low, *settings_), density(found.high, *settings_)
    assert ends[0] == pytest.approx(ends[1], rel=1e-6) or found.low == 0 or found.high == 1
    grid = np.linspace(0, 1, 20_001)
    assert grid[density(grid, *settings_).argmax()] == pytest.approx(float(found.most_likely), abs=1e-4)
    assert found.p_nobody == pytest.approx(stats.binom.sf(k - 1, n, alpha))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.data(), st.sampled_from([0.01, 0.05, 0.2]), st.sampled_from([0.8, 0.95]))
def test_densest_interval_holds_its_level_and_no_other_is_shorter(n, data, alpha, level):
    k = data.draw(st.integers(0, n))
    found = prevalence(k, n, alpha=alpha, level=level)
    low, high = float(found.low), float(found.high)
    assert mass(low, high, k, n, alpha) == pytest.approx(level, abs=1e-5)
    assert low - 1e-9 <= found.most_likely <= high + 1e-9
    for shift in (-0.01, 0.01):  # as wide, but elsewhere: never holds more
        moved = np.clip(low + shift, 0, 1), np.clip(high + shift, 0, 1)
        assert mass(*moved, k, n, alpha) <= level + 1e-6


def test_more_people_who_show_it_never_lower_the_prevalence():
    found = prevalence(np.arange(11), 10)
    for values in (found.most_likely, found.low, found.high, found.bound, found.majority):
        assert (np.diff(values) >= -1e-12).all()
    assert (np.diff(found.p_nobody) < 0).all()
    assert found.p_nobody[0] == 1


def test_a_map_of_counts_equals_its_voxels_one_by_one():
    k = np.array([[0, 3, 5], [5, 1, 3]])
    found = prevalence(k, 5, level=0.9)
    assert found.bound.shape == k.shape
    for place in np.ndindex(k.shape):
        assert found.bound[place] == pytest.approx(float(prevalence(k[place], 5, level=0.9).bound))
        assert found.high[place] == pytest.approx(float(prevalence(k[place], 5, level=0.9).high))
    assert found.table()["k"].tolist() == k.ravel().tolist()


def test_bound_holds_for_the_population_it_was_drawn_from():
    """With the prior that it assumes, the bound lies below the true prevalence in 95% of studies, exactly."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=40_000)
    k = rng.binomial(8, 0.05 + 0.95 * truth)
    found = prevalence(k, 8)
    assert (truth > found.bound).mean() == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 40_000))
    inside = (found.low <= truth) & (truth <= found.high)
    assert inside.mean() == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 40_000))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((6,), 5), "6 of 5 people is no count"),
        ((([2, -1],), 5), "place 2: -1 of 5 people"),
        (((1.5,), 5), "1.5 of 5"),
        (((0,), 0), "0 of 0"),
    ],
)
def test_impossible_counts_are_refused(arguments, message):
    (k,), n = arguments
    with pytest.raises(InputError, match=message):
        prevalence(k, n)


def test_a_test_no_better_than_chance_is_refused():
    with pytest.raises(InputError, match=r"alpha=0.5 and sensitivity=0.4 describe no test"):
        prevalence(1, 5, alpha=0.5, sensitivity=0.4)
