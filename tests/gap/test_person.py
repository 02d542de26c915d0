"""One person: the numbers are those of the functions they come from, or of brute force."""

import logging
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from affectome import Recording, encode
from affectome.gap import SPECIFICATIONS, compare_geometries, cut_space, principal_scores, score_person
from affectome.neural import compare_encodings, region_scores
from affectome.neural.searchlight import parcel_neighbourhoods, searchlight
from affectome.spaces import similarity

PAIRS = [("a", "b")]


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    ids = [f"s{k:02d}" for k in range(72)]
    spaces = {name: pd.DataFrame(rng.gamma(1, size=(72, p)), ids, [f"{name}{k}" for k in range(p)])
              for name, p in (("a", 6), ("b", 3), ("seen", 4))}  # fmt: skip
    seen = spaces.pop("seen")
    responses = rng.normal(size=(72, 24))
    responses[:, :12] += spaces["a"].to_numpy() @ rng.normal(size=(6, 12)) + seen.to_numpy() @ rng.normal(size=(4, 12))
    trials = pd.DataFrame({"stimulus": ids, "run": np.arange(72) // 9, "session": 1})
    rois = {"TPJ": np.arange(24) < 12, "V1": np.arange(24) >= 12}
    return Recording("sub-01", responses.astype(np.float32), trials, rois=rois), spaces, seen


@pytest.fixture(scope="module")
def found(world):
    recording, spaces, seen = world
    return score_person(recording, spaces, pairs=PAIRS, n_components=3, controls={"seen": seen})


def rows(table, **labels):
    return table[np.all([table[key] == value for key, value in labels.items()], axis=0)].set_index("where")


@pytest.mark.parametrize("size", ["full", "matched"])
def test_encoding_is_that_of_encode_and_compare_encodings(world, found, size):
    recording, spaces, _ = world
    given = spaces if size == "full" else {name: principal_scores(space, 3) for name, space in spaces.items()}
    encoded = {name: encode(space, recording, name=name) for name, space in given.items()}
    compared = compare_encodings(encoded["a"], encoded["b"], recording).regions
    got = rows(found.differences, measure="encoding", size=size)
    for column in ("difference", "se", "low", "high", "p"):
        np.testing.assert_allclose(got[column], compared.loc[got.index, column], rtol=1e-6)
    assert (got["df"] == 7).all() and list(got.index) == ["all", "TPJ", "V1"]
    expected = region_scores(encoded["a"], recording).set_index("region")
    scores = rows(found.scores, measure="encoding", size=size, space="a")
    np.testing.assert_allclose(scores.loc[["TPJ", "V1"], ["r", "low"]], expected[["r", "low"]], rtol=1e-6)


@pytest.mark.parametrize("size", ["full", "matched"])
def test_geometry_is_that_of_the_searchlight(world, found, size):
    recording, spaces, _ = world
    given = spaces if size == "full" else {name: cut_space(space, 3) for name, space in spaces.items()}
    expected = searchlight(recording, given, parcel_neighbourhoods(recording.rois), differences=PAIRS)
    got = rows(found.differences, measure="rsa", size=size).loc[["TPJ", "V1"]]
    np.testing.assert_allclose(got["difference"], expected.difference[:, 0], rtol=1e-6)
    np.testing.assert_allclose(got["p"], expected.difference_p[:, 0], rtol=1e-5)
    np.testing.assert_allclose(2 * stats.t.sf(np.abs(got["difference"] / got["se"]), got["df"]), got["p"], rtol=1e-6)


def test_what_holds_beyond_controls_is_a_partial_correlation(world, found):
    recording, spaces, seen = world
    expected = searchlight(recording, {**spaces, "seen": seen}, parcel_neighbourhoods(recording.rois), intervals=True,
                           controls=("seen",))  # fmt: skip
    got = rows(found.scores, measure="rsa_beyond_controls", space="a").loc[["TPJ", "V1"], "r"]
    np.testing.assert_allclose(got, expected.partial_r[:, 0], rtol=1e-6)
    assert set(found.scores.loc[found.scores["measure"] == "rsa_beyond_controls", "space"]) == {"a", "b"}


def test_a_planted_space_is_ahead_in_its_region_alone(found):
    for measure in ("encoding", "rsa"):
        got = rows(found.differences, measure=measure, size="full")
        assert got.loc["TPJ", "low"] > 0 and got.loc["TPJ", "p"] < 0.01
        assert abs(got.loc["V1", "difference"]) < abs(got.loc["TPJ", "difference"])


def brute_r(recording, space, roi, spec):
    """All pairs, by the letter."""
    y = recording.responses[:, roi].astype(np.float64)
    if spec["brain_metric"] == "correlation":
        y = y - y.mean(axis=1, keepdims=True)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    near, run = similarity(space, spec["metric"]).to_numpy(), recording.trials["run"].to_numpy()
    pairs = [(i, j) for i, j in combinations(range(len(y)), 2)
             if spec["within_run"] == "include" or run[i] != run[j]]  # fmt: skip
    g, h = (np.array([m[i, j] for i, j in pairs]) for m in (y @ y.T, near))
    return stats.pearsonr(g, h)[0] if spec["statistic"] == "pearson" else stats.spearmanr(g, h)[0]


def test_every_specification_is_what_it_says(world):
    recording, spaces, _ = world
    found = compare_geometries(recording, spaces, pairs=PAIRS, n_components=3, where={"TPJ": recording.rois["TPJ"]})
    assert len(found) == 48 and not found.duplicated(list(SPECIFICATIONS)).any()
    for _, spec in found.iterrows():
        given = spaces if spec["size"] == "full" else {name: cut_space(space, 3) for name, space in spaces.items()}
        a, b = (brute_r(recording, given[name], recording.rois["TPJ"], spec) for name in "ab")
        assert spec["difference"] == pytest.approx(a - b, abs=2e-5)


def test_a_metric_that_a_space_does_not_have_leaves_its_rows_out_and_is_told(world, caplog):
    recording, spaces, _ = world
    one = {"a": spaces["a"], "b": spaces["b"][["b0"]]}
    with caplog.at_level(logging.WARNING):
        found = compare_geometries(recording, one, pairs=PAIRS, n_components=2,
                                   specifications={"statistic": ["pearson"], "within_run": ["exclude"]})  # fmt: skip
    assert set(found["metric"]) == {"euclidean"} or set(found["metric"]) == {"euclidean", "cosine"}
    assert "There is no specification with the correlation of b" in caplog.text
