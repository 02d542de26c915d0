"""The affective graph of the ratings themselves, as 34 categories and as 14 dimensions of 2,185 videos."""

import pytest

from affectome import load_cowen_keltner
from affectome.comparison import match_clusters
from affectome.interpretation import affective_graph, cluster_profiles

FAST = {"n_seeds": 10, "n_subsamples": 20, "n_permutations": 99}


@pytest.fixture(scope="module")
def ratings(data):
    spaces = load_cowen_keltner(data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv").spaces
    return {key: spaces[key] for key in ("category", "dimension")}


@pytest.fixture(scope="module")
def graphs(ratings):
    return {key: affective_graph(space, **FAST, seed=1) for key, space in ratings.items()}


def test_feelings_that_go_together_are_in_one_community(graphs):
    together = [set(inside) for inside in graphs["category"].members().values()]
    for pair in ({"Fear", "Horror"}, {"Sadness", "Sympathy"}, {"Romance", "Sexual Desire"}, {"Joy", "Adoration"}):
        assert any(pair <= inside for inside in together), pair


def test_names_are_those_of_the_members(graphs, ratings):
    names = cluster_profiles(graphs["category"], ratings).names
    members = graphs["category"].members()
    own = [name.removeprefix("low ").split(",")[0] in members[cluster] for cluster, name in names.items()]
    assert sum(own) >= 0.8 * len(own)


def test_communities_of_the_categories_are_stable_over_stimuli(graphs):
    assert graphs["category"].subsample_agreement > 0.7
    assert graphs["category"].seed_agreement > 0.8


def test_a_space_shares_every_cluster_that_can_be_told_apart_with_itself(graphs, ratings):
    twice = {"category": graphs["category"], "again": graphs["category"]}
    found = match_clusters(twice, ratings, n_permutations=199, n_subsamples=2, seed=0).matches
    assert (found["cluster_a"] == found["cluster_b"]).all()
    assert found["congruence"].min() == pytest.approx(1)
    assert (found["q"] < 0.05).mean() > 0.8
