"""One centre in detail, and two spaces centre by centre, against their definitions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from affectome.errors import InputError
from affectome.neural import Neighbourhoods, Patterns, Searchlight, centre_pair, centre_profile, searchlight

N = 30
IDS = [f"clip{k:02d}" for k in range(N)]


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    spaces = {name: pd.DataFrame(rng.normal(size=(N, 4)), IDS) for name in ("a", "b")}
    responses = spaces["a"].to_numpy() @ rng.normal(size=(4, 40)) + rng.normal(size=(N, 40))
    return Patterns("sub-01", tuple(IDS), responses.astype(np.float32), np.arange(N) % 3), spaces


def test_scores_and_similarities_are_those_of_numpy_and_of_a_searchlight(world):
    given, spaces = world
    found = centre_profile(given, spaces, np.arange(7, 29))
    counted = (given.run[:, None] != given.run) & ~np.eye(N, dtype=bool)
    brain = np.corrcoef(given.responses[:, 7:29])
    for name, space in spaces.items():
        upper = np.triu(counted)
        expected = pearsonr(brain[upper], np.corrcoef(space)[upper]).statistic
        assert found.scores.loc[name, "r"] == pytest.approx(expected, abs=1e-6)
    assert (found.nearest, found.n_voxels, found.subject) == ("a", 22, "sub-01")
    drawn = found.rsm.loc[IDS, IDS].to_numpy()
    assert np.array_equal(np.isfinite(drawn), counted)
    np.testing.assert_allclose(drawn[counted], brain[counted], atol=1e-5)
    np.testing.assert_allclose(
        found.space_rsm.loc[IDS, IDS].to_numpy()[counted], np.corrcoef(spaces["a"])[counted], atol=1e-6
    )
    centre = Neighbourhoods(np.array([0, 22]), np.arange(7, 29, dtype=np.int32))
    whole = searchlight(given, spaces, centre, intervals=True)
    np.testing.assert_array_equal(found.scores[["r", "low", "high", "p"]].to_numpy().T,
                                  [whole.r[0], whole.low[0], whole.high[0], whole.p[0]])  # fmt: skip


@pytest.mark.parametrize("within_run", ["exclude", "include"])
def test_what_stimuli_carry_adds_up_to_r_and_pairs_are_the_largest_products(world, within_run):
    given, spaces = world
    found = centre_profile(given, spaces, np.arange(40), within_run=within_run, n_pairs=5)
    assert found.carried.sum() == pytest.approx(found.scores.loc["a", "r"], abs=1e-6)
    assert found.carried.is_monotonic_decreasing and set(found.carried.index) == set(IDS)
    upper = np.triu(np.isfinite(found.rsm.to_numpy()))
    z = [(rsm.to_numpy() - rsm.to_numpy()[upper].mean()) / rsm.to_numpy()[upper].std()
         for rsm in (found.rsm, found.space_rsm)]  # fmt: skip
    products = pd.DataFrame(np.where(upper, z[0] * z[1], -np.inf), found.rsm.index, found.rsm.columns)
    best = np.sort(products.to_numpy().ravel())[::-1][:5]
    np.testing.assert_allclose(found.pairs["brain"] * found.pairs["space"], best, rtol=1e-4)
    named = [max(products.loc[a, b], products.loc[b, a]) for a, b in found.pairs[["first", "second"]].to_numpy()]
    np.testing.assert_allclose(named, best, rtol=1e-4)


def test_stimuli_lie_along_the_leading_factor_or_as_told(world):
    given, spaces = world
    line = pd.DataFrame({"x": np.linspace(-3, 3, N), "y": 0.1}, IDS)
    mixed = line.iloc[np.random.default_rng(1).permutation(N)].set_axis(IDS)
    responses = np.outer(mixed["x"], np.ones(12)) + np.random.default_rng(2).normal(0, 0.1, (N, 12))
    one = replace(given, responses=responses.astype(np.float32))
    found = centre_profile(one, {"line": mixed}, np.arange(12), metric="sqeuclidean", brain_metric="sqeuclidean")
    along = mixed.loc[found.rsm.index, "x"]
    assert along.is_monotonic_increasing or along.is_monotonic_decreasing
    assert found.ordered_by == "along the leading factor of line" and found.scores.loc["line", "r"] > 0.9
    told = centre_profile(given, spaces, np.arange(40), order=IDS[::-1])
    assert list(told.rsm.index) == list(told.space_rsm.columns) == IDS[::-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voxels": []}, "no voxels among the 40"),
        ({"voxels": [40]}, "no voxels among the 40"),
        ({"order": IDS[1:]}, "does not name every stimulus once"),
    ],
)
def test_what_cannot_be_drawn_is_refused(world, change, message):
    given, spaces = world
    with pytest.raises(InputError, match=message):
        centre_profile(given, spaces, **{"voxels": np.arange(40), **change})


def test_repeated_stimuli_and_silent_voxels_are_refused(world, caplog):
    given, spaces = world
    twice = replace(given, ids=(IDS[0], *IDS[:-1]))
    with pytest.raises(InputError, match="several patterns"):
        centre_profile(twice, spaces, np.arange(40))
    with pytest.raises(InputError, match="all its patterns are alike"):
        centre_profile(replace(given, responses=np.zeros_like(given.responses)), spaces, np.arange(40))


def scored(first, second):
    """A searchlight with these scores."""
    r = np.column_stack([first, second]).astype(float)
    around = Neighbourhoods(np.arange(len(r) + 1), np.arange(len(r), dtype=np.int32), np.arange(len(r)))
    return Searchlight("sub-01", ("a", "b"), ("cosine",) * 2, "spearman", "cosine", "exclude", 9, 36, around,
                       np.eye(2), r)  # fmt: skip


def test_two_spaces_centre_by_centre():
    rng = np.random.default_rng(0)
    second = rng.normal(0.1, 0.1, 400)
    first = 0.02 + 1.5 * second + rng.normal(0, 0.01, 400)
    first[:3], second[3] = second[:3], np.nan
    found = centre_pair(scored(first, second), "a", "b")
    row, known = found.regions.loc["all"], np.isfinite(second)
    assert (found.subject, found.first, found.second, found.statistic) == ("sub-01", "a", "b", "spearman")
    assert row["n_voxels"] == 399
    assert row["share_above"] == pytest.approx(((first > second).sum() + 1.5) / 399)  # ties count half
    _, vectors = np.linalg.eigh(np.cov(first[known], second[known]))
    assert row["slope"] == pytest.approx(vectors[0, 1] / vectors[1, 1])
    assert row[["r_first", "r_second"]].tolist() == pytest.approx([first[known].mean(), second[known].mean()])
    np.testing.assert_array_equal(found.voxels["difference"], first - second)
    back = centre_pair(scored(first, second), "b", "a").regions.loc["all"]
    assert back["slope"] == pytest.approx(1 / row["slope"])
    assert back["share_above"] == pytest.approx(1 - row["share_above"])


def test_spaces_that_are_not_positively_related_have_no_slope_and_unknown_ones_no_pair():
    up = np.linspace(0, 1, 9)
    assert np.isnan(centre_pair(scored(up, -up), "a", "b").regions.loc["all", "slope"])
    nothing = centre_pair(scored(np.full(4, np.nan), up[:4]), "a", "b").regions.loc["all"]
    assert nothing["n_voxels"] == 0 and np.isnan(nothing["share_above"])
    with pytest.raises(InputError, match="no space 'c'"):
        centre_pair(scored(up, up), "a", "c")
