"""Correlations with free-response terms: against scipy, under the null, and what is left out."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from affectome import InputError, correlate_components
from affectome.interpretation import term_correlations

IDS = [f"s{k:03d}" for k in range(120)]


def draw(seed, n=120):
    """Two sparse components and five terms of which the second follows the first component."""
    rng = np.random.default_rng(seed)
    space = pd.DataFrame(np.maximum(rng.gamma(0.4, size=(n, 2)) - 0.1, 0), index=IDS[:n], columns=["A", "B"])
    rates = np.array([0.3, 0.3, 0.2, 0.15, 0.02])
    terms = (rng.random((n, 5)) < rates) * rng.random((n, 5))
    return space, pd.DataFrame(terms, index=IDS[:n], columns=["awe", "joy", "dread", "pride", "rare"])


def test_r_and_p_equal_scipy():
    space, terms = draw(0)
    terms["joy"] += space["A"]
    found = term_correlations(space, terms, n_permutations=999, seed=0)
    for component in space:
        for term in found.r.columns:
            assert found.r.loc[component, term] == pytest.approx(stats.pearsonr(space[component], terms[term])[0])
    rng = np.random.default_rng(5)
    x, y = space["B"].to_numpy(), terms["dread"].to_numpy()
    null = np.array([np.corrcoef(rng.permutation(x), y)[0, 1] for _ in range(3000)])
    expected = (np.abs(null) >= abs(found.r.loc["B", "dread"])).mean()
    assert found.p.loc["B", "dread"] == pytest.approx(
        expected, abs=4 * np.sqrt(expected * (1 - expected) * (1 / 999 + 1 / 3000))
    )
    assert found.p.loc["A", "joy"] == 1 / 1000
    q = stats.false_discovery_control(found.p.to_numpy().ravel()).reshape(found.p.shape)
    np.testing.assert_allclose(found.q, q)


def test_rare_and_constant_terms_are_left_out_and_named():
    space, terms = draw(1)
    found = term_correlations(space, terms.assign(all=1.0), n_permutations=9, seed=0)
    assert found.left_out == ("rare", "all") and "rare" not in found.r
    assert found.n_stimuli["awe"] == (terms["awe"] > 0).sum()
    assert "rare" in term_correlations(space, terms, min_stimuli=1, n_permutations=9, seed=0).r


def test_intervals_are_those_of_the_ratings():
    space, terms = draw(2)
    found = term_correlations(space, terms, n_permutations=9, level=0.9, seed=0)
    other = correlate_components(space, {"terms": terms[list(found.r.columns)]}, level=0.9)
    np.testing.assert_allclose(found.ci_low, other.ci_low)
    np.testing.assert_allclose(found.ci_high, other.ci_high)


def test_p_is_valid_for_sparse_components_and_rare_terms():
    shares = {alpha: [] for alpha in (0.01, 0.05, 0.10)}
    for world in range(150):
        space, terms = draw(100 + world, 60)
        p = term_correlations(space, terms, min_stimuli=2, n_permutations=99, seed=world).p.to_numpy()
        for alpha, found in shares.items():
            found.append((p <= alpha).mean())
    for alpha, found in shares.items():
        assert np.mean(found) <= alpha + 3 * np.std(found) / np.sqrt(len(found))
        assert np.mean(found) > alpha / 3


def test_what_cannot_be_correlated_is_refused():
    space, terms = draw(3)
    with pytest.raises(InputError, match="no term was given to at least 200 stimuli"):
        term_correlations(space, terms, min_stimuli=200, seed=0)
    with pytest.raises(InputError, match="19 stimuli are too few"):
        term_correlations(space.iloc[:19], terms.iloc[:19], seed=0)
    with pytest.raises(InputError, match=r"the space: 1 of its ids are not in the terms \(s119\)"):
        term_correlations(space, terms.iloc[:-1], seed=0)
    with pytest.raises(InputError, match="no null without permutations"):
        term_correlations(space, terms, n_permutations=0, seed=0)
    with pytest.raises(InputError, match=r"level=2 makes no interval"):
        term_correlations(space, terms, level=2, seed=0)
    with pytest.raises(InputError, match="no components"):
        term_correlations(space.iloc[:, :0], terms, seed=0)
