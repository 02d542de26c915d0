"""A finished study whose captions, ids and labels try to break the page."""

import pandas as pd
import pytest

from affectome.simulation import simulate_emotions, write_simulated_tables
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
permutations = 20
captions = 40
"""


@pytest.fixture(scope="session")
def hostile_study(tmp_path_factory):
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
    return run_study(folder / "study.toml").results
