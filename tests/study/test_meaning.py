"""The interpretation inside a study: what the table asks, what depends on which key, what is circular."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from affectome._progress import silent
from affectome.errors import InputError
from affectome.simulation import simulate_emotions
from affectome.spaces import write_space
from affectome.stimuli import StimulusSet, write_stimuli
from affectome.study._engine import run_stages
from affectome.study._interpret_space import SPACE_ANALYSES
from affectome.study._interpret_together import TOGETHER_ANALYSES
from affectome.study._meaning import check_meaning, meaning_stages
from affectome.study._plan import STIMULI, Plan
from affectome.study._schema import Study, read_study
from affectome.study._study_tables import Interpretation, SpaceAnalysis, SpaceComparison

WORLD = simulate_emotions(60, 4, seed=0)
RATINGS = {"ratings": ["category", "dimension"]}
FAMILIES = {"category": {"path": "category.csv"}, "dimension": {"path": "dimension.csv"}}


def judging(space):
    return {"judge": {"kind": "features", "space": space}}


def study_of(interpretation, **changes):
    tables = {
        "study": {"name": "Small", "seed": 1},
        "stimuli": {"path": "stimuli.csv", "dataset": "simulated"},
        "spaces": {**FAMILIES, "both": {"concatenate": ["category", "dimension"]}},
        "triplets": {"train": 10, "test": 10},
        "systems": {"first": {**judging("category"), "label": "The first"}, "second": judging("both")},
        "interpretation": interpretation,
    }
    return Study.model_validate({**tables, **changes})


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What the stages before the interpretation leave behind: stimuli, ratings, embeddings."""
    folder = tmp_path_factory.mktemp("results")
    for place in ("stimuli", "spaces"):
        (folder / place).mkdir()
    write_stimuli(folder / STIMULI, WORLD.stimuli)
    noise = np.random.default_rng(1).normal(0, 0.4, WORLD.planted.shape)
    spaces = {
        "first": WORLD.planted,
        "second": np.maximum(WORLD.planted + noise, 0),
        **{name: WORLD.stimuli.spaces[name] for name in FAMILIES},
    }
    for name, space in spaces.items():
        write_space(folder / f"spaces/{name}.parquet", space)
    return folder


def keys(results, interpretation, **changes):
    """All that decides what a stage finds, by its name."""
    stages = meaning_stages(Plan(study_of({**RATINGS, **interpretation}, **changes), results))
    return {stage.name: (stage.parameters, stage.files, stage.reads, stage.outputs) for stage in stages}


def of_both(*analyses):
    return {f"interpretation/{name}/{analysis}" for name in ("first", "second") for analysis in analyses}


def together(*analyses):
    return {f"interpretation/together/{analysis}" for analysis in analyses}


DEPENDS = {
    "tau": (0.3, of_both("types") | together("types")),
    "perplexity": (15, of_both("maps")),
    "captions": (3, of_both("stimuli")),
    "top": (2, of_both("categories") | together("categories", "ratings")),
    "most_common": (3, of_both("categories") | together("categories", "ratings")),
    "ties": ("first", of_both("categories", "maps") | together("categories", "ratings")),
    "reference": ("second", together("prediction", "profiles")),
    "alpha": (
        0.01,
        of_both("names", "correlations", "types", "prediction", "gradients")
        | together("types", "prediction", "clusters", "rsa", "geometry", "choices"),
    ),
    "level": (
        0.9,
        of_both("names", "correlations", "types", "prediction", "categories", "gradients")
        | together("types", "prediction", "categories", "ratings", "shares", "rsa", "geometry", "choices"),
    ),
    "permutations": (
        99,
        of_both("names", "correlations", "types", "prediction", "categories", "gradients", "graph")
        | together("types", "prediction", "categories", "ratings", "shares", "clusters", "rsa", "geometry", "choices"),
    ),
}


@pytest.mark.parametrize("key", DEPENDS)
def test_a_changed_key_reaches_the_analyses_that_use_it_and_no_other(results, key):
    value, expected = DEPENDS[key]
    before, after = keys(results, {}), keys(results, {key: value})
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == expected


def test_every_key_of_the_table_does_something(results, tmp_path):
    judge = tmp_path / "judge.toml"
    judge.write_text('kind = "chat"\nmodel = "m"\n', encoding="utf-8")
    others = {
        **{key: value for key, (value, _) in DEPENDS.items()},
        "ratings": ["dimension", "category"],
        "categories": "dimension",
        "dimensions": "category",
        "terms": "category",
        "analyses": ["graph"],
        "comparisons": ["rsa"],
        "judge": str(judge),
    }
    assert {*others, "drop_duplicates"} == set(Interpretation.model_fields)  # duplicates have a test of their own
    before = keys(results, {})
    assert [key for key, value in others.items() if keys(results, {key: value}) == before] == []


def test_names_of_analyses_in_the_schema_are_those_that_exist(results, study_file, edit):
    assert set(get_args(SpaceAnalysis)) == set(SPACE_ANALYSES)
    assert set(get_args(SpaceComparison)) == set(TOGETHER_ANALYSES)
    assert keys(results, {}).keys() == of_both(*SPACE_ANALYSES) | together(*TOGETHER_ANALYSES)
    edit('"components", "correlations"', '"corelations"')
    with pytest.raises(InputError, match=r"study\.toml.*analyses"):
        read_study(study_file)


def run(results, interpretation, **changes):
    plan = Plan(study_of(interpretation, **changes), results)
    records = run_stages(meaning_stages(plan), results, progress=lambda name, state: silent, failed=plan.failed)
    assert not plan.failed
    return {record.name: record.summary for record in records}


def test_types_by_threshold_are_those_of_plain_correlations(results):
    tau, alpha = 0.35, 0.01
    asked = {**RATINGS, "analyses": ["types"], "comparisons": ["types"], "tau": tau, "alpha": alpha, "permutations": 9}
    found = run(results, asked)
    r = np.corrcoef(WORLD.planted.T, pd.concat([WORLD.stimuli.spaces[n] for n in FAMILIES], axis=1).T)[:4, 4:]
    t = r * np.sqrt(58 / (1 - r**2))
    q = stats.false_discovery_control((2 * stats.t.sf(np.abs(t), 58)).ravel()).reshape(r.shape)
    counts, n = (np.abs(r) >= tau) & (q < alpha), WORLD.stimuli.spaces["category"].shape[1]
    kinds = [(bool(row[:n].any()), bool(row[n:].any())) for row in counts]
    expected = {
        kind: kinds.count(which) / 4
        for kind, which in (("categorical", (True, False)), ("dimensional", (False, True)), ("hybrid", (True, True)))
    }
    shares = found["interpretation/first/types"]["shares_by_tau"]
    assert {kind: shares[kind] for kind in expected} == pytest.approx(expected)
    table = pd.read_csv(results / "interpretation/together/type_shares_by_tau.csv")
    assert tau in table[table["space"] == "first"]["tau"].to_list()
    rules = pd.read_csv(results / "interpretation/together/type_rules.csv")
    assert set(rules["rule"]) == {"threshold 0.35", "variance partition"}


def test_a_system_is_circular_for_the_families_its_judge_looked_at(results):
    of = {"analyses": ["correlations"], "comparisons": ["ratings"], "permutations": 9, "most_common": 3, "top": 2}
    found = run(results, {**RATINGS, **of})
    assert found["interpretation/first/correlations"]["circular"] == ["category"]
    assert found["interpretation/second/correlations"]["circular"] == ["category", "dimension"]  # side by side
    ratings = found["interpretation/together/ratings"]
    assert {name: part["circular"] for name, part in ratings.items()} == {"category": True, "dimension": False}
    # Labels made from noise are found in it: far above chance without any structure.
    assert ratings["category"]["column_shuffled"]["plain"]["value"] > 0.7
    top = found["interpretation/first/correlations"]["top_ratings"]
    emotions = WORLD.stimuli.spaces["category"]
    for name, rows in top.items():
        r = emotions.corrwith(WORLD.planted[name].astype(float))
        assert rows[0]["rating"] == r.abs().idxmax()
        assert rows[0]["r"] == pytest.approx(r[rows[0]["rating"]], abs=1e-5) and rows[0]["q"] < 0.05


def test_without_ratings_what_needs_none_is_done(results, monkeypatch):
    monkeypatch.setattr("affectome.study._interpret_shape.find_spec", lambda name: None)  # UMAP takes long to load
    assert keys(results, {"ratings": []}).keys() == (
        of_both("components", "maps", "graph", "stimuli") | together("rsa", "geometry", "choices", "components")
    )
    one = {"first": {**judging("category"), "label": "The first"}}
    found = run(results, {"permutations": 9}, systems=one)
    assert found["interpretation/first/graph"]["clusters"].keys() == set(
        found["interpretation/first/graph"]["clusters"].values()
    )
    prototypes = pd.read_csv(results / "interpretation/first/prototypes.csv")
    strongest = WORLD.planted.idxmax(axis=1)
    assert set(prototypes["category"]) == set(strongest)
    sizes = {row["component"]: row["share"] for row in found["interpretation/first/components"]["sizes"]}
    share = WORLD.planted.sum() / WORLD.planted.to_numpy().sum()
    assert sizes == pytest.approx(share.to_dict(), rel=1e-5)
    page = (results / "interpretation/first/gallery.html").read_text(encoding="utf-8")
    assert "Components of The first" in page


def test_an_empty_list_asks_for_nothing_and_none_for_all(results):
    def names(**lists):
        return {name.split("/")[1] for name in keys(results, lists)}

    assert names() == {"first", "second", "together"}
    assert names(analyses=[]) == {"together"} and names(comparisons=[]) == {"first", "second"}
    assert not names(analyses=[], comparisons=[])


def test_one_system_is_compared_with_nothing(results):
    alone = keys(results, {}, systems={"first": judging("category")})
    assert not [name for name in alone if "together" in name]


def test_a_system_without_an_embedding_is_left_out_and_is_no_reference(results):
    study = study_of(
        {**RATINGS, "reference": "third"}, systems={n: judging("both") for n in ("first", "second", "third")}
    )
    plan = Plan(study, results, failed={"embedding/third": InputError("every component vanished")})
    names = {stage.name: stage for stage in meaning_stages(plan)}
    assert not [name for name in names if "third" in name]
    assert names["interpretation/together/prediction"].parameters["reference"] is None
    assert (
        meaning_stages(Plan(study, results, failed={f"answers/{n}": InputError("none") for n in study.systems})) == []
    )


@pytest.mark.parametrize(("drop", "n"), [(True, 54), (False, 60)])
def test_repeated_clips_of_the_public_dataset_are_left_out(tmp_path, drop, n):
    ids = [f"{k:04d}" for k in range(2, 62)]  # 4 to 8 and 11 are among the repeated ones
    (tmp_path / "stimuli").mkdir()
    write_stimuli(tmp_path / STIMULI, StimulusSet(tuple(ids)))
    (tmp_path / "spaces").mkdir()
    write_space(tmp_path / "spaces/first.parquet", WORLD.planted.set_axis(pd.Index(ids, name="id")))
    changes = {
        "stimuli": {"path": "-", "dataset": "cowen-keltner-2017"},
        "systems": {"first": judging("category")},
    }
    found = run(tmp_path, {"analyses": ["components"], "drop_duplicates": drop}, **changes)
    assert found["interpretation/first/components"]["n_stimuli"] == n


def test_clips_of_a_stimulus_table_are_shown(results, tmp_path):
    ids = WORLD.stimuli.ids
    Image.new("RGB", (32, 24), "teal").save(tmp_path / "clip.png")
    pd.DataFrame({"id": ids, "video": ["clip.png"] * len(ids)}).to_csv(tmp_path / "stimuli.csv", index=False)
    stimuli = {"stimuli": {"path": str(tmp_path / "stimuli.csv")}}
    run(results, {"analyses": ["stimuli"], "comparisons": ["components"], "captions": 2}, **stimuli)
    table = pd.read_csv(results / "interpretation/first/top_stimuli.csv")
    assert table.groupby("component").size().eq(2).all() and table["video"].str.endswith("clip.png").all()
    assert "data:image/jpeg" in (results / "interpretation/first/gallery.html").read_text(encoding="utf-8")


def test_what_cannot_be_done_is_told_before_anything_runs(tmp_path):
    def plan(**asked):
        return Plan(study_of(asked), tmp_path)

    check_meaning(plan(**RATINGS))
    with pytest.raises(InputError, match="types needs two families of ratings"):
        check_meaning(plan(ratings=["category"], analyses=["types"]))
    with pytest.raises(InputError, match="clusters needs ratings"):
        check_meaning(plan(comparisons=["rsa", "clusters"]))
    judge = tmp_path / "judge.toml"
    judge.write_text('kind = "chat"\nmodle = "m"\n', encoding="utf-8")
    with pytest.raises(InputError, match="modle"):
        check_meaning(plan(**RATINGS, judge=str(judge)))
