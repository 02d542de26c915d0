import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.interpretation import describe_components


def table(columns):
    return pd.DataFrame(columns, index=[f"s{k}" for k in range(len(next(iter(columns.values()))))])


def test_every_column_is_what_its_name_says():
    got = describe_components(
        table({"wide": [1.0, 1.0, 1.0, 1.0], "one": [0.0, 2.0, 0.0, 0.0], "pair": [0, 1, 0.05, 0]})
    )
    assert got.index.tolist() == ["wide", "one", "pair"] and got.index.name == "component"
    assert got["weight_sum"].tolist() == [4, 2, 1.05]
    assert got["share"].to_numpy() == pytest.approx(np.array([4, 2, 1.05]) / 7.05)
    assert got["largest"].tolist() == [1, 2, 1]
    assert got["present"].tolist() == [1, 0.25, 0.25]
    assert got.loc[["wide", "one"], "hoyer"].tolist() == [0, 1]
    assert got.loc[["wide", "one"], "effective_stimuli"].tolist() == [4, 1]


@settings(deadline=None, max_examples=40)
@given(
    weights=st.lists(st.floats(0, 10), min_size=2, max_size=12).filter(lambda w: max(w) > 1e-3), scale=st.floats(0.1, 9)
)
def test_sparsity_follows_its_formula_and_forgets_the_scale(weights, scale):
    w = np.array(weights)
    one = describe_components(table({"c": w})).loc["c"]
    ratio = np.abs(w).sum() / np.sqrt((w**2).sum())
    assert one["hoyer"] == pytest.approx((np.sqrt(len(w)) - ratio) / (np.sqrt(len(w)) - 1), abs=1e-9)
    assert one["effective_stimuli"] == pytest.approx(ratio**2)
    assert 1 - 1e-9 <= one["effective_stimuli"] <= len(w) + 1e-9
    other = describe_components(table({"c": w * scale})).loc["c"]
    assert other[["share", "hoyer", "effective_stimuli"]].tolist() == pytest.approx(
        one[["share", "hoyer", "effective_stimuli"]].tolist(), abs=1e-9
    )


def test_the_threshold_says_what_is_present():
    space = table({"c": [0.1, 0.2, 0.3, 0.4]})
    assert describe_components(space)["present"].tolist() == [0.75]
    assert describe_components(space, threshold=0.3)["present"].tolist() == [0.25]


def test_an_empty_component_has_no_share_and_no_shape():
    got = describe_components(table({"none": [0.0, 0.0], "one": [1.0, 0.0]}))
    assert got.loc["none"].tolist() == [0] * 6
    assert (describe_components(table({"none": [0.0, 0.0]}))["share"] == 0).all()
