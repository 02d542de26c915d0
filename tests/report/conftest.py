"""A finished study whose captions, ids and labels try to break the page."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from affectome.interpretation import top_stimuli
from affectome.report import ComponentCard, write_gallery
from affectome.simulation import simulate_emotions, write_simulated_tables
from affectome.stimuli import StimulusSet, thumbnails
from affectome.study import run_study

HOSTILE = [
    "<script>document.title='broken'; console.error('ran')</script>",
    "<img src=x onerror=\"console.error('ran')\">",
    "\u202eright to left override \u2067mixed\u2069 שלום عالم",
    "long " * 2000 + "x" * 10_000,
    "😱🎉👩‍👩‍👧‍👦 emoji & ampersand \"quotes\" 'single' {{ 7 * 7 }} {% raw %}",
]

STUDY = """
[study]
name = "A <b>bold</b> & hostile study"
seed = 1
[stimuli]
path = "stimuli.csv"
[spaces.category]
path = "category.csv"
[spaces.dimension]
path = "dimension.csv"
[triplets]
train = 3000
test = 500
[systems.first]
label = "First </h2><script>console.error('ran')</script> system"
judge = { kind = "features", space = "category" }
[systems.second]
judge = { kind = "features", space = "dimension", standardise = "zscore" }
[embedding]
components = 4
[interpretation]
ratings = ["category", "dimension"]
categories = "category"
most_common = 4
analyses = ["components", "correlations", "categories", "maps", "stimuli"]
comparisons = ["components", "categories", "ratings"]
permutations = 20
captions = 40
"""


@pytest.fixture(scope="session")
def hostile_study(tmp_path_factory, drawing_quickly):
    """Results folder of a study full of hostile text."""
    folder = tmp_path_factory.mktemp("hostile <i> & folder")
    world = simulate_emotions(40, 5, seed=0)
    write_simulated_tables(world, folder)
    renamed = {old: f"<em>{old}</em>&\u202e" for old in world.stimuli.ids[:5]}
    for name in ("stimuli", "category", "dimension"):
        table = pd.read_csv(folder / f"{name}.csv", dtype={"id": str})
        table["id"] = table["id"].replace(renamed)
        if name == "stimuli":
            for row, text in enumerate(HOSTILE):
                table.loc[row, ["caption_1", "caption_2", "caption_3"]] = text
        table.to_csv(folder / f"{name}.csv", index=False)
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    with drawing_quickly("affectome.plotting.save_figure"):
        return run_study(folder / "study.toml").results


@pytest.fixture(scope="session")
def gallery_stimuli(tmp_path_factory):
    """Three stimuli: a picture of noise with a hostile id, another picture, and a clip that is not there."""
    folder = tmp_path_factory.mktemp("gallery")
    ids = ("<em>clip</em>&", "a", "b")
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "0.png")
    Image.fromarray(noise.transpose(1, 0, 2)).save(folder / "1.png")
    captions = {ids[0]: [HOSTILE[0]], "a": ["A dog <runs>."], "b": [HOSTILE[3]]}
    return StimulusSet(ids, captions=captions, videos={i: folder / f"{k}.png" for k, i in enumerate(ids)})


@pytest.fixture(scope="session")
def hostile_gallery(tmp_path_factory, gallery_stimuli):
    """A gallery of two components, full of hostile text; one picture is blurred, one missing."""
    ids = gallery_stimuli.ids
    space = pd.DataFrame({"c1": [3.0, 1.0, 1.0], "<b>c2</b>": [0.0, 1.0, 2.0]}, index=list(ids))
    top = top_stimuli(space, gallery_stimuli.captions)
    ratings = pd.DataFrame(
        {"r": [0.71, -0.3], "ci_low": [0.66, None], "ci_high": [0.75, None], "q": [1e-9, 0.2],
         "family": ["category", "dimension"]},
        index=["Joy", "control"],
    )  # fmt: skip
    words = pd.Series({"dog": 9.1, HOSTILE[1]: -2.0, '"quoted" & <word>': 4.0}, name="log-odds z")
    cards = [
        ComponentCard(
            "c1",
            "A <b>name</b>",
            {"share of all weights": "6.1%"},
            ratings,
            pd.Series({"happiness": 0.4, "{{ 7 * 7 }} {% raw %}": 0.1}, name="r"),
            words,
            {"Words": words.rename({HOSTILE[1]: "cat"})},
            top.of("c1"),
            ["Names were made from these very ratings."],
        ),
        ComponentCard("<b>c2</b>", stimuli=top.of("<b>c2</b>")),
    ]
    return write_gallery(
        tmp_path_factory.mktemp("page") / "gallery.html",
        cards,
        title="A <b>hostile</b> gallery",
        thumbnails=thumbnails(gallery_stimuli, ids, blur=[ids[0]]),
        notes=[HOSTILE[2]],
    )


class PageReader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.text.append(data)

    def of(self, tag, name):
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]


@pytest.fixture(scope="session")
def parsed():
    """Reads the text of a page."""

    def read(text):
        reader = PageReader()
        reader.feed(text)
        return reader

    return read
