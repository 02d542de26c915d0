"""Strongest stimuli and word clouds of the published ratings, where it is known what they must show."""

import numpy as np
import pandas as pd
import pytest

from affectome.interpretation import top_stimuli
from affectome.plotting import plot_top_stimuli, plot_word_clouds
from affectome.report import ComponentCard, write_gallery
from affectome.stimuli import load_cowen_keltner, load_mind_captioning


@pytest.fixture(scope="module")
def stimuli(data):
    videos = load_cowen_keltner(data / "cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv")
    return videos.with_captions(load_mind_captioning(data / "mind_captioning/caption_ck20.csv"))


@pytest.fixture(scope="module")
def top(stimuli):
    return top_stimuli(stimuli.spaces["category"], stimuli.captions)


def test_the_strongest_videos_of_a_category_look_like_it(top):
    """In each of these categories, most of the eight captions hold a word that anyone would expect."""
    expected = {
        "Craving": "food cake chocolate meat pizza cooked plate sauce ice cheese burger eat pasta dessert cream bacon",
        "Sexual Desire": "woman women girl naked sex bikini sensual kissing couple breasts butt man",
        "Adoration": "baby dog cat puppy kitten puppies kittens babies animal panda rabbit duck bear dogs cats",
    }
    for name, words in expected.items():
        captions = top.of(name)["caption"]
        hits = [bool(set(words.split()) & set(caption.lower().replace(".", "").split())) for caption in captions]
        assert len(hits) == 8 and sum(hits) >= 5, (name, captions.tolist())


def test_every_category_shows_its_own_maximum_first(top, stimuli):
    ratings = stimuli.spaces["category"]
    assert list(top.components) == list(ratings.columns)
    for name in top.components:
        rows = top.of(name)
        assert rows["weight"].iloc[0] == pytest.approx(float(ratings[name].max()))
        assert rows["weight"].is_monotonic_decreasing
        assert rows["share"].sum() == pytest.approx(rows["cumulative"].iloc[-1])


def test_the_figures_and_the_gallery_hold_all_34_categories(top, stimuli, tmp_path):
    pytest.importorskip("wordcloud", reason="needs affectome[words]")
    ratings, terms = stimuli.spaces["category"], stimuli.spaces["terms"]
    terms = terms.loc[:, terms.std() > 0]
    r = np.corrcoef(ratings.to_numpy().T, terms.to_numpy().T)[:34, 34:]
    table = pd.DataFrame(r, index=ratings.columns, columns=terms.columns)
    clouds = {name: row[row > 0.1] for name, row in table.iterrows()}
    figure = plot_word_clouds(clouds)
    words = [text.get_text() for text in figure.axes[0].texts if text.get_gid() == "word"]
    assert {"hunger", "disgust", "nostalgia", "boredom"} <= set(words)
    names = [text.get_text() for text in figure.axes[0].texts if text.get_gid() == "name"]
    assert names == [*ratings.columns[:2], "Aesthetic Appreciation", *ratings.columns[3:]]
    drawn = plot_top_stimuli(top, components=top.components[:5]).axes[0].texts
    assert sum(text.get_gid() == "caption" for text in drawn) == 40
    cards = [ComponentCard(name, stimuli=top.of(name), clouds={"Terms": clouds[name]}) for name in top.components]
    assert write_gallery(tmp_path / "gallery.html", cards).stat().st_size < 400_000
