import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from affectome import InputError
from affectome.neural import dense_geometry, model_geometry

KINDS = {"correlation": "correlation", "cosine": "cosine", "euclidean": "euclidean", "sqeuclidean": "sqeuclidean"}


def similarities(model):
    if model.dense is not None:
        return model.dense.astype(np.float64)
    return (model.factors * model.signs) @ model.factors.T


def space_of(values, ids=None):
    values = np.asarray(values)
    names = [f"s{k}" for k in range(len(values))] if ids is None else ids
    return pd.DataFrame(values, index=names, columns=[f"f{k}" for k in range(values.shape[1])])


@pytest.mark.parametrize("metric", KINDS)
@pytest.mark.parametrize("width", [2, 7, 40])
def test_factors_give_the_distances_of_scipy(metric, width):
    values = np.random.default_rng(width).gamma(1.0, size=(25, width)).astype(np.float32)
    made = similarities(model_geometry(space_of(values), name="human", metric=metric))
    distance = squareform(pdist(values.astype(np.float64), KINDS[metric]))
    offset = 1.0 if metric in ("correlation", "cosine") else 0.0
    off = ~np.eye(25, dtype=bool)
    np.testing.assert_allclose(made[off], (offset - distance)[off], atol=3e-6 * max(1, distance.max()), rtol=0)


def test_dot_is_the_product_and_a_wide_space_keeps_it_with_as_many_factors_as_stimuli():
    values = np.random.default_rng(0).normal(size=(12, 300)).astype(np.float32)
    made = model_geometry(space_of(values), name="vgg", metric="dot")
    assert made.factors.shape == (12, 12)
    np.testing.assert_allclose(similarities(made), values.astype(float) @ values.T.astype(float), rtol=0, atol=1e-10)


@given(
    seed=st.integers(0, 1000),
    shift=st.floats(-1e3, 1e3),
    n=st.integers(4, 30),
    width=st.integers(1, 5),
)
@settings(max_examples=50, deadline=None)
def test_squared_distances_do_not_see_where_the_origin_is(seed, shift, n, width):
    values = np.random.default_rng(seed).normal(size=(n, width))
    moved = (values + shift).astype(np.float32)  # what a space can hold
    made = model_geometry(space_of(moved), name="dims", metric="sqeuclidean")
    assert made.factors.shape == (n, width + 2)
    assert made.signs.tolist() == [1.0] * (width + 1) + [-1.0]
    reference = -squareform(pdist(moved.astype(np.float64), "sqeuclidean"))
    np.testing.assert_allclose(similarities(made), reference, rtol=0, atol=1e-11 * -reference.min() + 1e-12)


def test_rows_follow_the_ids_also_repeated_ones():
    values = np.random.default_rng(1).normal(size=(5, 4))
    space = space_of(values, list("abcde"))
    ids = list("dadb")
    made = similarities(model_geometry(space, name="human", ids=ids))
    np.testing.assert_allclose(made, np.corrcoef(values.astype(np.float32)[[3, 0, 3, 1]]), atol=1e-7)
    with pytest.raises(InputError, match=r"human: 1 of 2 stimuli are not in it \(x\)"):
        model_geometry(space, name="human", ids=["a", "x"])


def test_stimuli_without_direction_are_named_and_similar_to_nothing(caplog):
    values = np.random.default_rng(2).normal(size=(6, 3))
    values[2], values[4] = 0.0, 5.0
    with caplog.at_level(logging.WARNING):
        made = model_geometry(space_of(values), name="semantic", metric="correlation")
    assert "semantic: 2 stimuli have no direction under correlation" in caplog.text and "s2, s4" in caplog.text
    assert np.all(similarities(made)[[2, 4]] == 0)
    caplog.clear()
    model_geometry(space_of(values), name="semantic", metric="cosine")
    assert "1 stimuli have no direction under cosine" in caplog.text


def test_a_space_that_tells_no_stimuli_apart_is_refused():
    with pytest.raises(InputError, match="flat: all pairs of its stimuli are equally similar under cosine"):
        model_geometry(space_of(np.ones((5, 3))), name="flat", metric="cosine")
    with pytest.raises(InputError, match="one feature has no direction under correlation"):
        model_geometry(space_of(np.arange(5.0)[:, None]), name="one", metric="correlation")
    with pytest.raises(InputError, match="metric='manhattan'"):
        model_geometry(space_of(np.eye(4)), name="one", metric="manhattan")


def test_a_table_is_taken_by_its_ids_and_its_diagonal_counts_for_nothing():
    rng = np.random.default_rng(3)
    table = squareform(rng.random(10))
    ids = list("abcde")
    frame = pd.DataFrame(table.copy(), index=ids, columns=ids)
    frame.iloc[2, 2] = np.nan
    shuffled = frame.loc[list("cabed"), list("edbac")]
    made = dense_geometry(shuffled, name="judged", kind="dissimilarity", ids=list("badc"))
    np.testing.assert_array_equal(made.dense, -table[np.ix_([1, 0, 3, 2], [1, 0, 3, 2])].astype(np.float32))
    assert np.all(np.diag(made.dense) == 0) and made.factors is None and made.dense.dtype == np.float32
    similar = dense_geometry(shuffled, name="judged", kind="similarity")
    np.testing.assert_array_equal(similar.dense, -dense_geometry(shuffled, name="j", kind="dissimilarity").dense)


def test_rows_of_one_stimulus_are_as_alike_as_the_diagonal_says():
    frame = pd.DataFrame([[1.0, 0.2, 0.4], [0.2, 0.9, 0.1], [0.4, 0.1, 1.0]], index=list("abc"), columns=list("abc"))
    made = dense_geometry(frame, name="rsm", kind="similarity", ids=list("abcb"))
    np.testing.assert_allclose(made.dense[1], [0.2, 0.0, 0.1, 0.9], atol=1e-7)
    frame.iloc[0, 0] = np.nan
    with pytest.raises(InputError, match="its diagonal is needed"):
        dense_geometry(frame, name="rsm", kind="similarity", ids=list("abcb"))


def test_damaged_tables_are_refused_by_name():
    ids = list("abcd")
    frame = pd.DataFrame(squareform(np.arange(6.0)), index=ids, columns=ids)
    with pytest.raises(InputError, match=r"judged: its rows and columns name other stimuli"):
        dense_geometry(frame.set_axis(list("abcx"), axis=1), name="judged", kind="dissimilarity")
    lopsided = frame.copy()
    lopsided.iloc[0, 3] = 9.0
    with pytest.raises(InputError, match=r"judged, a and d: it is not symmetric \(9 and 2\)"):
        dense_geometry(lopsided, name="judged", kind="dissimilarity")
    lopsided.iloc[1, 2] = np.inf
    with pytest.raises(InputError, match="judged, b, c: a cell is no finite number"):
        dense_geometry(lopsided, name="judged", kind="dissimilarity")
    with pytest.raises(InputError, match="equally similar"):
        dense_geometry(frame * 0, name="judged", kind="similarity")
    with pytest.raises(InputError, match=r"1 of 2 stimuli are not in it \(z\)"):
        dense_geometry(frame, name="judged", kind="similarity", ids=["a", "z"])
    with pytest.raises(InputError, match="kind='distance'"):
        dense_geometry(frame, name="judged", kind="distance")
