"""What semantic concepts say of the emotions that people named, by models that have not seen the clip."""

import pytest

from affectome import (
    FeatureJudge,
    ask,
    load_cowen_keltner,
    load_horikawa_features,
    prediction_accuracy,
    sample_triplets,
)
from affectome.prediction import SpacePredictor
from affectome.stimuli import HORIKAWA_DUPLICATES, video_id


@pytest.fixture(scope="module")
def tables(data):
    """73 concepts, and both rating spaces without clips shown twice."""
    spaces = load_cowen_keltner(data / "cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv").spaces
    concepts = load_horikawa_features(data / "horikawa_2020/semantic_features.csv")
    copies = {video_id(k) for k in HORIKAWA_DUPLICATES}
    kept = [i for i in concepts.index if i not in copies]
    return concepts, spaces["category"].loc[kept], spaces["dimension"].loc[kept]


def test_concepts_predict_categories_that_a_scene_shows_and_hardly_guilt(tables):
    concepts, category, _ = tables
    trials = ask(FeatureJudge(category, metric="cosine"), sample_triplets(category.index.tolist(), 5000, seed=3))
    found = prediction_accuracy(concepts, category, metric="cosine", trials=trials, n_permutations=39, seed=0)
    r = found.components["r"]
    assert r.idxmax() == "Sexual Desire" and r.idxmin() == "Guilt"
    assert r["Sexual Desire"] == pytest.approx(0.89, abs=0.02) and r["Guilt"] == pytest.approx(0.18, abs=0.05)
    assert r.median() == pytest.approx(0.55, abs=0.02)
    assert (found.components["p"] == 1 / 40).all()
    assert found.similarity.r == pytest.approx(0.59, abs=0.02)
    placed = found.choices.table.loc["placed", "accuracy"]
    assert placed == pytest.approx(0.61, abs=0.02)  # chance .33, the space itself .91


def test_scales_are_predicted_and_arousal_least(tables):
    concepts, _, dimension = tables
    r = prediction_accuracy(concepts, dimension, n_permutations=1, seed=0).components["r"]
    assert {"safety", "valence", "control"} == set(r.nlargest(3).index) and r.idxmin() == "arousal"
    assert r["safety"] == pytest.approx(0.75, abs=0.02)


def test_clips_like_the_others_are_far_in_one_case_of_a_hundred(tables):
    concepts, category, _ = tables
    predictor = SpacePredictor().fit(concepts.loc[category.index[::2]], category[::2])
    seen = predictor.place(concepts.loc[category.index[1::2]]).extrapolation
    assert seen["far"].mean() == pytest.approx(0.01, abs=0.015)
    shuffled = predictor.place(concepts.loc[category.index[1::2]].iloc[:, ::-1].set_axis(concepts.columns, axis=1))
    assert shuffled.extrapolation["far"].mean() > 0.5  # other columns under these names
