"""Similarities agree with scikit-learn, NumPy and SciPy, and have the invariances of their formulas."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics.pairwise import cosine_similarity

from affectome.errors import InputError
from affectome.spaces import METRICS, paired_similarity, similarity, similarity_coordinates

REFERENCE = {
    "cosine": cosine_similarity,
    "correlation": np.corrcoef,
    "dot": lambda rows: rows @ rows.T,
    "euclidean": lambda rows: -squareform(pdist(rows)),
}


@pytest.mark.parametrize("metric", METRICS)
def test_similarity_agrees_with_an_independent_library(space, metric):
    result = similarity(space, metric)
    np.testing.assert_allclose(result, REFERENCE[metric](space.to_numpy(np.float64)), rtol=1e-10, atol=1e-12)
    assert result.index.equals(space.index) and result.columns.equals(space.index)
    assert np.array_equal(result, result.T)


@pytest.mark.parametrize("metric", METRICS)
def test_paired_similarity_is_the_entry_of_the_matrix(space, metric):
    left, right = np.random.default_rng(1).integers(0, len(space), (2, 50))
    pairs = paired_similarity(similarity_coordinates(space.to_numpy(), metric), left, right, metric)
    np.testing.assert_allclose(pairs, similarity(space, metric).to_numpy()[left, right], atol=1e-12)


def transformed(values, metric, rng):
    """The values under a map that leaves the metric alone."""
    if metric == "cosine":
        return values * rng.uniform(0.1, 10, (len(values), 1))
    if metric == "correlation":
        return values * rng.uniform(0.1, 10, (len(values), 1)) + rng.normal(0, 5, (len(values), 1))
    rotation = np.linalg.qr(rng.normal(size=(values.shape[1],) * 2))[0]
    return values @ rotation + (rng.normal(size=values.shape[1]) if metric == "euclidean" else 0)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 8), p=st.integers(2, 6))
@pytest.mark.parametrize("metric", METRICS)
def test_similarity_has_the_invariances_of_its_metric(metric, seed, n, p):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, p))
    once = similarity(pd.DataFrame(values), metric).to_numpy()
    np.testing.assert_allclose(similarity(pd.DataFrame(transformed(values, metric, rng)), metric), once, atol=1e-7)
    order = rng.permutation(n)
    np.testing.assert_allclose(similarity(pd.DataFrame(values[order]), metric), once[np.ix_(order, order)], atol=1e-12)


@pytest.mark.parametrize(("metric", "row"), [("cosine", [0.0, 0.0, 0.0]), ("correlation", [0.1, 0.1, 0.1])])
def test_a_stimulus_without_direction_is_similar_zero_to_all_and_reported(metric, row, caplog):
    result = similarity(pd.DataFrame([row, [1.0, 2.0, 4.0], [3.0, 1.0, 1.0]]), metric)
    assert (result.iloc[0] == 0).all() and (result.iloc[:, 0] == 0).all()
    assert result.iloc[1, 1] == pytest.approx(1)
    assert caplog.messages == [f"1 stimuli have no direction under {metric}; they count as similar 0 to every other."]


def test_an_unknown_metric_is_refused(space):
    with pytest.raises(InputError, match="'jaccard' is no similarity; choose one of cosine, correlation, dot, euclid"):
        similarity(space, "jaccard")
