"""What spaces alone decide is made once for searchlights that follow one another."""

import numpy as np
import pandas as pd
import pytest

from affectome import InputError
from affectome.neural import Neighbourhoods, Patterns, searchlight
from affectome.neural.searchlight import _kept, _rank_scorers

N = 24
SPHERES = Neighbourhoods(np.array([0, 6, 14]), np.r_[0:6, 4:12].astype(np.int32))
PARCEL = Neighbourhoods(np.array([0, 12]), np.arange(12, dtype=np.int32), names=("MST",))
SPACE = pd.DataFrame(np.random.default_rng(0).normal(size=(N, 3)), [f"s{k}" for k in range(N)])


def patterns(seed, subject="sub-01", n_runs=4):
    responses = np.random.default_rng(seed).normal(size=(N, 12)).astype(np.float32)
    return Patterns(subject, tuple(SPACE.index), responses, np.arange(N) % n_runs)


def scored(given, around=SPHERES, space=SPACE, **settings):
    found = searchlight(given, {"mllm": space}, around, statistic="spearman", **settings)
    return found.r, found.p


@pytest.fixture
def made(monkeypatch):
    """What is ranked, one entry per call; nothing is kept from other tests."""
    calls, rank = [], _rank_scorers.rank_models
    monkeypatch.setattr(_rank_scorers, "rank_models", lambda *given: calls.append(given) or rank(*given))
    monkeypatch.setattr(_kept, "_LAST", {})
    return calls


@pytest.mark.filterwarnings("ignore")
def test_centres_regions_and_people_who_saw_the_same_share_the_ranks_of_spaces(made):
    first = scored(patterns(1), intervals=False)
    again = [
        scored(patterns(1), PARCEL, intervals=True),
        scored(patterns(2, "sub-02"), units="run", intervals=True),
    ]
    assert len(made) == 1
    _kept._LAST.clear()
    alone = [scored(patterns(1), PARCEL, intervals=True), scored(patterns(2, "sub-02"), units="run", intervals=True)]
    for one, other in zip(again, alone, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0], again[1][0])


@pytest.mark.filterwarnings("ignore")
def test_other_spaces_runs_or_pairs_are_ranked_anew(made):
    scored(patterns(1))
    moved = SPACE + np.eye(N, 3) * 1e-3
    changed = [{"space": moved}, {"metric": "cosine"}, {"within_run": "include"}]
    for k, change in enumerate(changed):
        scored(patterns(1), **change)
        assert len(made) == k + 2
    scored(patterns(1, n_runs=6))
    assert len(made) == 5


def test_responses_that_are_no_numbers_are_refused_whatever_is_kept(made):
    scored(patterns(1))
    broken = patterns(1)
    broken.responses[0, 3] = np.nan
    with pytest.raises(InputError, match="responses of 1 voxels are NaN or infinite"):
        scored(broken)
