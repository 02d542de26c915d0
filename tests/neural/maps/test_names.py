import re

from hypothesis import given
from hypothesis import strategies as st

from affectome.neural.maps._names import bids_label, map_stem

NAMES = st.text(st.characters(max_codepoint=400), min_size=1, max_size=12)


@given(st.lists(NAMES, min_size=2, max_size=20, unique=True))
def test_labels_are_alphanumeric_and_different_for_different_names(names):
    labels = [bids_label(name) for name in names]
    assert all(re.fullmatch("[A-Za-z0-9]+", label) for label in labels)
    assert len(set(labels)) == len(names)


def test_names_that_differ_in_what_a_label_may_not_hold_stay_apart():
    labels = [bids_label(name) for name in ("human category", "human_category", "human-category", "humanCategory")]
    assert len(set(labels)) == 4
    assert all(label.startswith("humanCategory") for label in labels)
    assert bids_label("humanCategory") == "humanCategory"


def test_entities_stand_in_the_order_of_bids():
    stem = map_stem(subject="sub-01", hemisphere="L", grid_space="fsaverage5", statistic="r", space="mllm")
    assert stem == "sub-01_hemi-L_space-fsaverage5_stat-r_desc-mllm_statmap"
    assert map_stem(subject=None, hemisphere=None, grid_space=None, statistic="r", space=None) == "stat-r_statmap"
