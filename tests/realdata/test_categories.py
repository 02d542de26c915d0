"""Top-3 classification of embeddings of the published ratings, beside the published shares (.98 and .60)."""

import pytest

from affectome import FeatureJudge, SPoSE, ask, sample_triplets
from affectome.interpretation import category_prototypes, category_structure, classify, project_many, top_categories
from affectome.spaces import standardise
from affectome.stimuli import HORIKAWA_DUPLICATES, N_VIDEOS, load_cowen_keltner, video_id

DUPLICATES = [video_id(number) for number in HORIKAWA_DUPLICATES if number <= N_VIDEOS]


@pytest.fixture(scope="module")
def ratings(data):
    return load_cowen_keltner(data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv").spaces


def learn(space, n_triplets):
    answered = ask(FeatureJudge(space, seed=0), sample_triplets(space.index.tolist(), n_triplets, seed=1))
    return SPoSE(30, random_state=0).fit(answered).to_space(answered.ids)


@pytest.fixture(scope="module")
def spaces(ratings):
    """Embeddings of 30 components, from 300,000 choices each."""
    dimension = standardise(ratings["dimension"], "zscore")
    return {"category": learn(ratings["category"], 300_000), "dimension": learn(dimension, 300_000)}


def test_embeddings_of_ratings_tell_categories_apart_as_published(ratings, spaces):
    got = category_structure(
        spaces, ratings, methods=["centroid"], circular=["category"], exclude=DUPLICATES, n_permutations=99, n_boot=20,
        n_shuffles=3, seed=0,
    )  # fmt: skip
    value = got.scores["value"]
    assert value["category", "all", "centroid", "plain", 3] > 0.9  # more choices bring it to .98: see below
    assert 0.5 < value["dimension", "17 commonest", "centroid", "plain", 3] < 0.65
    assert got.baseline["value"]["all", "centroid", "plain", 3] > 0.94  # circular: shuffled columns score as high
    assert (got.scores["p"] == 1 / 100).all()
    assert got.silhouettes["value"]["category", "plain"] > 0.05 > 0 > got.silhouettes["value"]["dimension", "plain"]
    assert 0.13 < got.labels.n_tied / len(ratings["category"]) < 0.15
    assert {"Contempt", "Guilt", "Disappointment", "Envy"} >= set(got.labels.empty)


def test_prototypes_of_the_category_space_are_rated_as_their_category(ratings, spaces):
    labels = top_categories(ratings["category"], seed=0).labels
    got = category_prototypes(spaces["category"], labels, most_common=17)
    highest = ratings["category"].loc[got["id"]].idxmax(axis=1)
    assert (highest.to_numpy() == got.index).mean() > 0.9
    assert (got["distance"] < got["spread"]).all()


@pytest.mark.slow
def test_maps_of_the_category_space_are_faithful(spaces):
    maps = project_many({"category": spaces["category"]}, perplexities=(30,), seed=0)
    assert maps["category", 30.0].trustworthiness > 0.97 and maps["category", 30.0].continuity > 0.95


@pytest.mark.slow
def test_a_million_choices_bring_the_category_space_to_the_published_share(ratings):
    labels = top_categories(ratings["category"], seed=0).labels
    space = learn(ratings["category"], 1_000_000)
    got = classify(space, labels, exclude=DUPLICATES, n_permutations=19, seed=0).accuracy
    assert got["value"]["plain", 3] > 0.95
