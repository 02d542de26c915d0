"""The published ratings, with choices and people simulated from them: no recordings of these stimuli are at hand."""

import numpy as np
import pandas as pd
import pytest

from affectome import TripletSet
from affectome.gap import cut_space, pool_people, score_choices, score_person, space_rank, state_claims
from affectome.simulation import simulate_subjects
from affectome.spaces import concatenate, similarity, standardise
from affectome.stimuli import load_cowen_keltner
from affectome.triplets import sample_triplets

PAIRS = [("category", "dimension"), ("category", "both")]


@pytest.fixture(scope="module")
def spaces(data):
    given = load_cowen_keltner(data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv").spaces
    ids = list(np.random.default_rng(0).permutation(given["category"].index)[:400])
    category, dimension = (given[name].loc[ids] for name in ("category", "dimension"))
    both = concatenate({"category": category, "dimension": dimension})
    return {"category": category, "dimension": standardise(dimension), "both": both}


def test_choices_by_categories_are_followed_by_categories_also_at_equal_size(spaces):
    ids = list(spaces["category"].index)
    assert [space_rank(space) for space in spaces.values()] == [34, 14, 48]
    asked = sample_triplets(ids, 10_000, seed=0)
    near = similarity(spaces["category"], "cosine").to_numpy()
    a, b, c = asked.triplets.T
    kept = np.stack([near[b, c], near[a, c], near[a, b]], axis=1)
    kept += np.random.default_rng(0).gumbel(scale=0.15, size=kept.shape)
    trials = TripletSet(asked.triplets, ids, kept.argmax(axis=1))
    for given in (spaces, {name: cut_space(space, 14) for name, space in spaces.items()}):
        found = score_choices(given, trials, pairs=PAIRS)
        assert (found.differences["low"] > 0.1).all()
        assert found.scores.loc["category", "low"] > 0.65 > 0.6 > found.scores.loc["both", "high"]
        assert found.scores.loc["dimension", "low"] > 0.4  # related, for feelings are: well above chance


def test_an_area_that_follows_categories_is_claimed_and_one_that_follows_none_is_not(spaces):
    planted = {"category": spaces["category"]}
    world = simulate_subjects(planted, {"TPOJ1": {"category": 0.2}, "V1": {}}, n_runs=10, seed=0)
    parts = []
    for recording in world.recordings:
        found = score_person(recording, spaces, pairs=PAIRS[:1], n_components=14).differences
        parts.append(found.assign(subject=recording.subject, matched=found["size"] == "matched"))
    pooled = pool_people(pd.concat(parts), ["first", "second", "measure", "where", "matched"])
    verdicts = state_claims(pooled).set_index(["measure", "where", "matched"])["verdict"]
    for measure in ("encoding", "rsa"):
        for matched in (False, True):
            assert verdicts[measure, "hcp180_r_lh.L_TPOJ1_ROI", matched] == "category above dimension"
            assert verdicts[measure, "hcp180_r_lh.L_V1_ROI", matched] == "undecided"
