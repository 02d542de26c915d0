"""A space is float32, with unique text ids and columns; its columns can be put on one scale."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from affectome.errors import InputError
from affectome.spaces import as_space, concatenate, standardise

MATRICES = arrays(np.float32, st.tuples(st.integers(2, 8), st.integers(1, 4)), elements=st.integers(-50, 50))


def test_as_space_gives_text_ids_text_columns_and_float32_and_leaves_its_argument_alone():
    given_frame = pd.DataFrame({1: [1, 2], "y": ["0.5", "3"]}, index=[10, 20])
    space = as_space(given_frame)
    assert space.index.tolist() == ["10", "20"] and space.index.name == "id"
    assert space.columns.tolist() == ["1", "y"]
    assert space.to_numpy().tolist() == [[1, 0.5], [2, 3]] and set(space.dtypes) == {np.dtype("float32")}
    assert given_frame.index.tolist() == [10, 20] and given_frame.columns.tolist() == [1, "y"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"x": []}), "t.csv: the space has no stimuli; give it at least one of each."),
        (pd.DataFrame(index=["a"]), "t.csv: the space has no feature columns; give it at least one of each."),
        (
            pd.DataFrame({"x": [1, 2]}, index=[1, "1"]),
            "t.csv, row 2: the id '1' was already used in row 1; rename or delete one of the two rows.",
        ),
        (
            pd.DataFrame([[1, 2]], index=["a"], columns=[7, "7"]),
            "t.csv: the column '7' appears more than once; rename one of them.",
        ),
        (
            pd.DataFrame({"x": [1, np.nan]}, index=["a", "b"]),
            "t.csv, row 2 (id b): the value in column 'x' is missing; fill it in, or remove the row or the column.",
        ),
        (
            pd.DataFrame({"x": [1, 1e300]}, index=["a", "b"]),
            "t.csv, row 2 (id b): the value in column 'x' is '1e+300', not a finite number; "
            "fill it in, or remove the row or the column.",
        ),
    ],
)
def test_a_table_that_is_no_space_is_refused_by_place_and_remedy(frame, message):
    with pytest.raises(InputError) as caught:
        as_space(frame, source="t.csv")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("how", "reference"),
    [
        ("zscore", StandardScaler()),
        ("centre", StandardScaler(with_std=False)),
        ("minmax", MinMaxScaler()),
    ],
)
def test_standardise_agrees_with_scikit_learn(space, how, reference):
    ours = standardise(space, how)
    theirs = reference.fit_transform(space.to_numpy(dtype=np.float64))
    np.testing.assert_allclose(ours.to_numpy(), theirs, atol=2e-6)
    assert ours.index.equals(space.index) and ours.columns.equals(space.columns)
    assert set(ours.dtypes) == {np.dtype("float32")}


def test_standardise_none_changes_nothing(space):
    pd.testing.assert_frame_equal(standardise(space, "none"), space)


@settings(deadline=None, max_examples=40)
@given(values=MATRICES, scale=st.integers(1, 20), shift=st.integers(-20, 20), seed=st.integers(0, 99))
@pytest.mark.parametrize("how", ["zscore", "minmax"])
def test_standardise_forgets_the_unit_of_a_column_and_the_order_of_rows(values, scale, shift, seed, how):
    frame = pd.DataFrame(values)
    once = standardise(frame, how)
    np.testing.assert_allclose(standardise(frame * scale + shift, how), once, atol=1e-5)
    order = np.random.default_rng(seed).permutation(len(frame))
    np.testing.assert_allclose(standardise(frame.iloc[order], how), once.iloc[order], atol=1e-6)


@pytest.mark.parametrize("how", ["zscore", "minmax", "centre"])
def test_a_constant_column_becomes_zero_and_is_reported_where_its_scale_was_lost(space, how, caplog):
    space = space.iloc[:3].astype(np.float64).assign(q=0.1)  # the mean of three is 0.1 + 1.4e-17
    assert (standardise(space, how)["q"] == 0).all()
    assert ("Columns without any spread become 0: q." in caplog.messages) == (how != "centre")


def test_an_unknown_standardisation_is_refused(space):
    with pytest.raises(InputError, match="'rank' is no way to standardise; choose one of none, centre, zscore, minmax"):
        standardise(space, "rank")


def test_spaces_side_by_side_weigh_the_same_in_every_distance(space):
    wide = concatenate({"narrow": space[["p", "q"]], "all": space})
    assert wide.columns.tolist() == ["narrow: p", "narrow: q", *(f"all: {c}" for c in "pqrst")]
    of_each = [wide.filter(like=name).to_numpy(np.float64) for name in ("narrow: ", "all: ")]
    spread = [(part**2).sum(axis=1).mean() for part in of_each]  # half the mean squared distance
    assert np.allclose(spread, 1.0, atol=1e-6)


def test_spaces_of_other_stimuli_or_a_single_one_are_not_put_side_by_side(space):
    with pytest.raises(InputError, match="'b' and 'a' are not about the same stimuli"):
        concatenate({"a": space, "b": space.iloc[::-1]})
    with pytest.raises(InputError, match="not two spaces"):
        concatenate({"a": space})
