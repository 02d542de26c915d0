import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome import InputError, simulate_emotions
from affectome.simulation import match_components

PLANTED = simulate_emotions(60, 5, seed=0).planted


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_shuffled_and_scaled_components_are_matched_with_r_one(seed):
    rng = np.random.default_rng(seed)
    shuffle = rng.permutation(5)
    found = PLANTED.iloc[rng.permutation(60), shuffle] * rng.uniform(0.5, 2)
    found.columns = [f"found {k}" for k in range(5)]
    recovery = match_components(found, PLANTED)
    np.testing.assert_allclose(recovery.correlation, 1, atol=1e-6)
    assert recovery.match.tolist() == [f"found {k}" for k in np.argsort(shuffle)]


def test_one_found_component_serves_one_planted_one():
    twice = PLANTED.iloc[:, [0, 0]].set_axis(["x", "y"], axis=1)
    recovery = match_components(twice, PLANTED)
    assert recovery.correlation.iloc[0] == pytest.approx(1)
    assert sorted(recovery.match) == ["", "", "", "x", "y"]
    assert (recovery.correlation[recovery.match == ""] == 0).all()


def test_matched_correlation_is_pearson():
    noise = PLANTED + np.random.default_rng(0).normal(0, 0.5, PLANTED.shape)
    recovery = match_components(noise, PLANTED)
    expected = [np.corrcoef(PLANTED[name], noise[name])[0, 1] for name in PLANTED]
    np.testing.assert_allclose(recovery.correlation, expected, rtol=1e-6)


def test_empty_fit_recovers_nothing():
    recovery = match_components(PLANTED.iloc[:, :0], PLANTED)
    assert (recovery.correlation == 0).all()
    assert (recovery.match == "").all()


def test_other_stimuli_are_refused():
    with pytest.raises(InputError, match="the found space"):
        match_components(pd.DataFrame({"x": [1.0]}, index=["clip01"]), PLANTED)
