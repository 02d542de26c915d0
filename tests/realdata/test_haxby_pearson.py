"""Pearson RSA of real fMRI against scipy on explicit matrices: eight categories in twelve runs, spheres of a slice."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from affectome.neural.searchlight import Neighbourhoods, Patterns, dense_geometry, model_geometry
from affectome.neural.searchlight._pearson import pearson_sums

from .haxby import haxby_recording


@pytest.fixture(scope="module")
def blocks(data):
    """96 blocks as patterns, their category, and spheres of 9 to 65 voxels."""
    recording = haxby_recording(data)
    category = recording.trials["stimulus"].to_numpy()
    run = recording.trials["run"].to_numpy() - 1
    responses = np.asarray(recording.responses, np.float32)
    rng = np.random.default_rng(0)
    sizes = [9, 21, 37, 65, 65]
    voxels = np.concatenate([np.sort(rng.choice(responses.shape[1], size, replace=False)) for size in sizes])
    spheres = Neighbourhoods(np.concatenate([[0], np.cumsum(sizes)]), voxels.astype(np.int32))
    return Patterns("haxby", tuple(f"b{i}" for i in range(len(run))), responses, run.astype(np.intp)), category, spheres


@pytest.mark.parametrize("metric", ["correlation", "cosine", "sqeuclidean", "euclidean"])
@pytest.mark.parametrize("within_run", ["exclude", "include"])
def test_r_is_that_of_scipy_on_real_patterns(blocks, metric, within_run):
    patterns, category, spheres = blocks
    dummies = pd.get_dummies(pd.Series(category, index=patterns.ids)).astype(float)
    animate = dummies[["cat", "face"]].assign(size=np.linspace(0, 1, len(dummies)))
    same = pd.DataFrame(category[:, None] == category, patterns.ids, patterns.ids).astype(float)
    models = [
        model_geometry(dummies, name="category", metric="cosine"),
        model_geometry(animate, name="animate", metric="sqeuclidean"),
        dense_geometry(same, name="same", kind="similarity"),
    ]
    found = pearson_sums(patterns, spheres, models, metric=metric, within_run=within_run)
    upper = np.triu(np.ones((96, 96), bool), 1)
    if within_run == "exclude":
        upper &= patterns.run[:, None] != patterns.run
    assert found.n_pairs == upper.sum()
    a = animate.to_numpy()
    hs = [same.to_numpy(), -squareform(pdist(a, "sqeuclidean")), same.to_numpy()]
    for centre in range(len(spheres)):
        g = -squareform(pdist(patterns.responses[:, spheres[centre]].astype(float), metric))
        wanted = [stats.pearsonr(g[upper], h[upper]).statistic for h in hs]
        np.testing.assert_allclose(found.r[centre], wanted, atol=1e-6)
