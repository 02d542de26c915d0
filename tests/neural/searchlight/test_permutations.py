"""Permuted stimuli, drawn: both forms, restricted to runs, family-wise over centres and over people."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest

from affectome import InputError
from affectome.neural import ModelGeometry, compare_group, family_wise_p
from affectome.neural.searchlight import _permutations
from affectome.neural.searchlight._moments3 import RunBlocks
from affectome.neural.searchlight._permutations import (
    CentreGeometry,
    permuted_scores,
    stimulus_permutations,
)


def models_and_centres(seed=0, n=48):
    rng = np.random.default_rng(seed)
    spaces = [
        ModelGeometry("one", "dot", rng.gamma(1, size=(n, 3)), np.ones(3)),
        ModelGeometry("two", "dot", rng.normal(size=(n, 4)) + 1, np.array([1.0, -1, 1, -1])),
    ]
    return spaces, [CentreGeometry((rng.normal(size=(n, 9)) + 0.5).astype(np.float32)) for _ in range(5)]


@pytest.mark.parametrize("run", [None, np.arange(48) // 8, np.array([0] * 20 + [1] * 3 + [2] * 25)])
@pytest.mark.parametrize("within", ["run", None])
def test_every_score_is_the_correlation_of_written_out_pairs(monkeypatch, run, within):
    """By pairs and by products; over all stimuli in units of the observed spread of the model."""
    if run is None and within == "run":
        return
    spaces, centres = models_and_centres()
    blocks = RunBlocks(48, run)
    drawn = stimulus_permutations(48, run, within=within, n_permutations=20, seed=1)
    by_pairs = permuted_scores(centres, spaces, blocks, drawn, keep=True)
    monkeypatch.setattr(_permutations, "_PAIRS_UP_TO", 0)
    monkeypatch.setattr(_permutations, "_BATCH_VALUES", 4000)
    by_products = permuted_scores(centres, spaces, blocks, drawn, keep=True)
    counted = blocks.counts(slice(None))
    expected = np.empty((21, 5, 2))
    for c, m in product(range(5), range(2)):
        a = (centres[c].factors @ centres[c].factors.T.astype(np.float64))[counted]
        b = (spaces[m].factors * spaces[m].signs) @ spaces[m].factors.T
        for k, order in enumerate([np.arange(48), *drawn.orders]):
            covariance = np.cov(a, b[np.ix_(order, order)][counted], ddof=0)[0, 1]
            expected[k, c, m] = covariance / (a.std() * b[counted].std())
    for found in (by_pairs, by_products):
        np.testing.assert_allclose(found.observed, expected[0], atol=2e-6)
        np.testing.assert_allclose(found.null, expected[1:], atol=2e-6)
        np.testing.assert_allclose(found.maxima, expected[1:].max(axis=1), atol=2e-6)
        np.testing.assert_array_equal(found.reached, (expected[1:] >= expected[0] - 1e-5).sum(axis=0))
    if within == "run":  # the pairs that count only change places, so that it is r
        order = drawn.orders[3]
        b = spaces[0].factors @ spaces[0].factors.T
        a = centres[0].factors @ centres[0].factors.T
        r = np.corrcoef(a[counted], b[np.ix_(order, order)][counted])[0, 1]
        assert by_pairs.null[3, 0, 0] == pytest.approx(r, abs=2e-6)


def test_all_arrangements_of_few_stimuli_give_an_exact_p():
    rng = np.random.default_rng(3)
    run = np.array([0, 0, 0, 1, 1, 1])
    drawn = stimulus_permutations(6, run, n_permutations=500, seed=0)
    spaces, centres = [ModelGeometry("m", "dot", rng.normal(size=(6, 2)), np.ones(2))], [rng.normal(size=(6, 4))]
    found = permuted_scores([CentreGeometry(x) for x in centres], spaces, RunBlocks(6, run), drawn, keep=True)
    halves = list(permutations(range(3)))
    orders = [np.r_[first, np.array(second) + 3] for first in halves for second in halves]
    counted = RunBlocks(6, run).counts(slice(None))
    a, b = centres[0] @ centres[0].T, spaces[0].factors @ spaces[0].factors.T
    r = np.array([np.corrcoef(a[counted], b[np.ix_(o, o)][counted])[0, 1] for o in orders])
    assert (drawn.exact, drawn.n_permutations) == (True, 35)
    np.testing.assert_allclose(np.sort(np.r_[found.observed[0], found.null[:, 0, 0]]), np.sort(r), atol=1e-6)
    assert found.p[0, 0] == pytest.approx((r >= r[0] - 1e-5).mean())


def test_parts_of_the_centres_make_the_whole_whatever_their_size(monkeypatch):
    spaces, centres = models_and_centres(4)
    blocks = RunBlocks(48, np.arange(48) // 6)
    drawn = stimulus_permutations(48, blocks.run, n_permutations=99, seed=2)
    whole = permuted_scores(centres, spaces, blocks, drawn)
    parts = [permuted_scores(part, spaces, blocks, drawn) for part in (centres[:2], centres[2:])]
    np.testing.assert_allclose(np.concatenate([part.observed for part in parts]), whole.observed, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([part.reached for part in parts]), whole.reached)
    np.testing.assert_allclose(np.max([part.maxima for part in parts], axis=0), whole.maxima, atol=1e-6)
    monkeypatch.setattr(_permutations, "_BATCH_VALUES", 9000)
    small = permuted_scores(centres, spaces, blocks, drawn)
    np.testing.assert_array_equal(small.reached, whole.reached)
    np.testing.assert_allclose(small.maxima, whole.maxima, atol=1e-6)
    other_seed = stimulus_permutations(48, blocks.run, n_permutations=99, seed=3)
    assert (permuted_scores(centres, spaces, blocks, other_seed).maxima != whole.maxima).any()


def test_dense_geometries_are_permuted_too_and_flat_ones_are_undefined():
    spaces, centres = models_and_centres(5)
    blocks = RunBlocks(48, np.arange(48) // 6)
    drawn = stimulus_permutations(48, blocks.run, n_permutations=19, seed=2)
    dense = [
        ModelGeometry(s.name, "dot", dense=((s.factors * s.signs) @ s.factors.T).astype(np.float32)) for s in spaces
    ]
    flat = CentreGeometry(dense=np.ones((48, 48)))
    found = permuted_scores([*centres, flat], dense, blocks, drawn)
    np.testing.assert_allclose(found.observed[:5], permuted_scores(centres, spaces, blocks, drawn).observed, atol=1e-5)
    assert np.isnan(found.observed[5]).all() and np.isnan(found.p[5]).all() and np.isfinite(found.maxima).all()


def test_what_cannot_be_permuted_is_refused():
    with pytest.raises(InputError, match="runs of the stimuli are not known"):
        stimulus_permutations(20, n_permutations=99, seed=0)
    with pytest.raises(InputError, match="ways only"):
        stimulus_permutations(4, np.array([0, 0, 1, 1]), n_permutations=99, seed=0)
    spaces, _ = models_and_centres()
    with pytest.raises(InputError, match="no centre or no model"):
        permuted_scores([], spaces, RunBlocks(48), stimulus_permutations(48, within=None, n_permutations=19, seed=0))


def null_study(rng, seed, n_people=5, n_centres=8, n=24, n_runs=4, n_permutations=99):
    """Observed mean maps over people, p per person, and the family-wise p of the mean; nothing is there to find."""
    run = np.arange(n) % n_runs
    blocks = RunBlocks(n, run)
    space = [ModelGeometry("m", "dot", rng.gamma(1, size=(n, 3)), np.ones(3))]
    drawn = stimulus_permutations(n, run, n_permutations=n_permutations, seed=seed)  # the same stimuli in all people
    maps, nulls = [], []
    for _ in range(n_people):
        voxels = rng.normal(size=(n, n_centres + 9)) + rng.normal(size=(n_runs, n_centres + 9))[run]
        centres = [CentreGeometry(voxels[:, c : c + 10].astype(np.float32)) for c in range(n_centres)]  # they overlap
        found = permuted_scores(centres, space, blocks, drawn, keep=True)
        maps.append(found.observed[:, 0])
        nulls.append(found.null[:, :, 0])
    mean, null = np.mean(maps, axis=0), np.mean(nulls, axis=0)
    return np.array(maps), family_wise_p(mean, null.max(axis=1), rounding=1e-6), found


def family_wise_rates(n_studies, seed):
    rng = np.random.default_rng(seed)
    any_found, any_of_person, any_of_t = [], [], []
    for study in range(n_studies):
        maps, p, last = null_study(rng, study)
        any_found.append(p.min() <= 0.05 + 1e-9)
        any_of_person.append(last.p_family.min() <= 0.05 + 1e-9)
        rows = [(s, c, space, maps[s, c] if space == "m" else 0.0)
                for s in range(5) for c in range(8) for space in ("m", "none")]  # fmt: skip
        if study < 150:
            scores = pd.DataFrame(rows, columns=["subject", "region", "space", "r"])
            any_of_t.append((compare_group(scores, reference="m", seed=0).comparisons["q_t"] <= 0.05).any())
    return np.mean(any_found), np.mean(any_of_person), np.mean(any_of_t)


def test_family_wise_error_of_people_and_of_a_group_is_nominal_under_the_null():
    """Largest over overlapping spheres: .05 within Monte-Carlo error; the t test over people is not above it."""
    group, person, over_people = family_wise_rates(300, seed=6)
    error = 3 * np.sqrt(0.05 * 0.95 / 300)
    assert group == pytest.approx(0.05, abs=error)
    assert person == pytest.approx(0.05, abs=error)
    assert over_people <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


@pytest.mark.slow
def test_family_wise_error_in_two_thousand_small_studies():
    group, person, _ = family_wise_rates(2000, seed=7)
    assert 0.037 <= group <= 0.064
    assert 0.037 <= person <= 0.064
