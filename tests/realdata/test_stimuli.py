"""The published files of the 2,185 videos, held against each other and the figures in science.md."""

import numpy as np
import pytest

from affectome._files import file_digest
from affectome.stimuli import (
    check_stimuli,
    load_cowen_keltner,
    load_horikawa_features,
    load_mind_captioning,
)

RATINGS = "cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv"
CAPTIONS = "mind_captioning/caption_ck20.csv"
#: As published beside the data.
SHA256 = {
    RATINGS: "91dfc5d33d4529e7e42e48e07fcd844a1236f32cb4927dee89767d57be7435ff",
    CAPTIONS: "633ae47a361f6116aa6c0c145c013a95d70aad30861c95a420a4a05d9c9e3c39",
    "horikawa_2020/category.mat": "c54ab99f3eb1889bb8a71f1d5277c1771581a45ec42767c38edb27025b5ad632",
    "horikawa_2020/semantic_features.csv": "2fc4466ae951899fe4e8d334cff250be94a8abfe24569c70e9caf2ef06f1339a",
}
IDS = tuple(f"{k:04d}" for k in range(1, 2186))


@pytest.fixture(scope="module")
def stimuli(data):
    return load_cowen_keltner(data / RATINGS)


@pytest.mark.parametrize("name", SHA256)
def test_the_files_are_the_published_ones(data, name):
    assert file_digest(data / name) == SHA256[name]


def test_ratings_have_the_published_sizes_and_scales(stimuli):
    assert stimuli.ids == IDS
    assert {name: space.shape for name, space in stimuli.spaces.items()} == {
        "category": (2185, 34),
        "dimension": (2185, 14),
        "terms": (2185, 600),
    }
    report = check_stimuli(stimuli)
    assert report.spaces["category"] == (34, 0.0, 1.0)
    assert report.spaces["dimension"] == (14, 1.0, 9.0)
    assert {"arousal", "certainty", "dominance"} <= set(stimuli.spaces["terms"].columns)


def test_top_categories_are_as_science_md_counts_them(stimuli):
    category = stimuli.spaces["category"]
    shares = category.to_numpy()
    tied = (shares == shares.max(axis=1, keepdims=True)).sum(axis=1) > 1
    assert round(tied.mean(), 2) == 0.14
    counts = np.bincount(shares.argmax(axis=1), minlength=34)
    assert (counts == 0).sum() == 4
    assert counts[category.columns.get_loc("Pride")] == 2


def test_ratings_mean_what_their_names_say(stimuli):
    category, dimension = stimuli.spaces["category"], stimuli.spaces["dimension"]
    valence = {name: np.corrcoef(dimension["valence"], category[name])[0, 1] for name in category}
    assert min(valence["Joy"], valence["Adoration"]) > 0.4
    assert max(valence["Disgust"], valence["Horror"]) < -0.3


def test_horikawas_category_file_holds_the_same_ratings_under_the_same_ids(data, stimuli, caplog):
    theirs = load_horikawa_features(data / "horikawa_2020/category.mat")
    ours = stimuli.spaces["category"]
    assert theirs.index.equals(ours.index)
    assert [name.lower() for name in theirs] == [name.lower() for name in ours]
    np.testing.assert_array_equal(theirs, ours)
    assert caplog.messages == []  # the repeated presentations 2186..2196 agree with clips 1..11


def test_semantic_features_join_the_ratings_as_a_space(data, stimuli):
    more = stimuli.with_space("semantic", load_horikawa_features(data / "horikawa_2020/semantic_features.csv"))
    assert more.ids == IDS and more.spaces["semantic"].shape == (2185, 73)
    assert check_stimuli(more).spaces["semantic"] == (73, 0.0, 1.0)


@pytest.mark.parametrize(("repeats", "total"), [("drop", 20 * 2185), ("merge", 43_920)])
def test_every_clip_has_its_twenty_captions(data, stimuli, repeats, total):
    captions = load_mind_captioning(data / CAPTIONS, repeats=repeats)
    captioned = stimuli.with_captions(captions)
    assert check_stimuli(captioned).n_captions == total
    counts = {i: len(texts) for i, texts in captioned.captions.items()}
    assert set(counts.values()) == ({20} if repeats == "drop" else {20, 40})
    assert [i for i, n in counts.items() if n == 40] == (list(IDS[:11]) if repeats == "merge" else [])
    assert all(text == text.strip() != "" for texts in captions.values() for text in texts)
