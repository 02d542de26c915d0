"""Rank RSA on real fMRI: runs x categories of one slice, against scipy."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from affectome.neural.recordings import standardise_runs
from affectome.neural.searchlight import ModelGeometry, Patterns, sphere_neighbourhoods
from affectome.neural.searchlight._kendall import KendallScorer
from affectome.neural.searchlight._spearman import SpearmanScorer

from .haxby import haxby_recording


@pytest.fixture(scope="module")
def blocks(data):
    """Twelve runs of eight categories; a space of categories, and one of faces and houses against things."""
    recording = standardise_runs(haxby_recording(data, drift_model="polynomial"))
    stimuli = recording.trials["stimulus"].to_numpy()
    names = np.unique(stimuli)
    run = recording.trials["run"].to_numpy().astype(np.intp) - 1
    ids = tuple(f"{s} {r}" for s, r in zip(stimuli, run, strict=True))
    patterns = Patterns("haxby", ids, recording.responses.astype(np.float32), run)
    categories = (stimuli[:, None] == names).astype(float)
    kinds = np.select([np.isin(stimuli, ["face", "cat"]), stimuli == "house"], [0, 1], 2)
    models = [
        ModelGeometry("categories", "dot", factors=categories, signs=np.ones(len(names))),
        ModelGeometry("kinds", "dot", factors=np.eye(3)[kinds], signs=np.ones(3)),
    ]
    spheres = sphere_neighbourhoods(recording.geometry, radius=3, min_voxels=15)
    return patterns, models, spheres


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean", "sqeuclidean"])
def test_rho_and_tau_of_every_centre_are_those_of_scipy(blocks, metric):
    patterns, models, spheres = blocks
    n = len(patterns.ids)
    counts = np.triu(patterns.run[:, None] != patterns.run, 1)
    scores = SpearmanScorer(metric=metric, tolerance=1e-3).prepare(models, patterns).score(spheres)
    assert scores.n_pairs == counts.sum() == n * (n - 8) // 2
    assert np.isfinite(scores.rho).all() and (scores.bound <= 1e-3).all()
    taus = KendallScorer(metric=metric).prepare(models, patterns)
    for centre in range(0, len(spheres), 20):
        own = -squareform(pdist(patterns.responses[:, spheres[centre]].astype(float), metric))[counts]
        theirs = [(m.factors @ m.factors.T)[counts] for m in models]
        rho = [stats.spearmanr(own, y).statistic for y in theirs]
        np.testing.assert_allclose(scores.rho[centre], rho, atol=1e-4)
        assert (np.abs(scores.rho[centre] - rho) <= scores.bound[centre] + 1e-6).all()
    one = taus.score(type(spheres)(spheres.starts[:2], spheres.voxels[: spheres.starts[1]]))
    own = -pdist(patterns.responses[:, spheres[0]].astype(float), metric)[counts[np.triu_indices(n, 1)]]
    y = (models[0].factors @ models[0].factors.T)[counts]
    share = np.sign(own[:, None] - own) * np.sign(y[:, None] - y)
    assert one.tau[0, 0] == pytest.approx(share.sum() / (len(y) * (len(y) - 1)), abs=1e-9)


def test_categories_are_found_in_the_slice(blocks):
    patterns, models, spheres = blocks
    scores = SpearmanScorer(jackknife=True).prepare(models, patterns).score(spheres)
    best = int(scores.rho[:, 0].argmax())
    z = scores.rho[best, 0] / np.sqrt(scores.covariances[best, 0, 0])
    assert scores.rho[best, 0] > 0.2 and z > 4
    shuffled = np.random.default_rng(0).permutation(len(patterns.ids))
    null = [ModelGeometry(m.name, m.metric, factors=m.factors[shuffled], signs=m.signs) for m in models]
    assert np.abs(SpearmanScorer().prepare(null, patterns).score(spheres).rho[:, 0]).max() < scores.rho[best, 0] / 2
