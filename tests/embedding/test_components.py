import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.embedding import component_names, kept_components


def test_components_above_the_threshold_come_by_falling_sum():
    weights = np.array([[0.1, 0.0, 0.11, 0.9], [0.1, 0.0, 0.11, 0.0], [0.1, 0.0, 0.11, 0.2]])
    assert kept_components(weights, 0.1).tolist() == [3, 2]  # .1 is not above .1, however often
    assert kept_components(weights, 0.0).tolist() == [3, 2, 0]
    assert kept_components(weights, 1.0).tolist() == []


def test_nothing_is_kept_of_nothing():
    assert kept_components(np.empty((0, 3))).tolist() == kept_components(np.empty((3, 0))).tolist() == []


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_kept_components_do_not_depend_on_the_order_of_columns(seed):
    rng = np.random.default_rng(seed)
    weights = rng.exponential(0.04, (6, 9))
    shuffle = rng.permutation(9)
    assert np.array_equal(shuffle[kept_components(weights[:, shuffle])], kept_components(weights))


def test_component_names_sort_as_text():
    assert component_names(2) == ["component 01", "component 02"]
    assert component_names(120) == sorted(component_names(120))
