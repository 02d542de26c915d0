"""Interpreting spaces: what is written, what is done again, and what bad files get."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome.errors import EnvironmentFailure, InputError
from affectome.simulation import simulate_emotions
from affectome.spaces import write_space
from affectome.stimuli import write_stimuli
from affectome.study import Interpretation
from affectome.study import compare_spaces as compare_in_processes
from affectome.study import interpret_spaces as interpret_in_processes


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two spaces of one world: the planted one, and a noisy one of its own."""
    folder = tmp_path_factory.mktemp("world")
    clips = simulate_emotions(120, 5, seed=0)
    planted = clips.planted
    rng = np.random.default_rng(1)
    write_space(folder / "planted.parquet", planted)
    write_space(folder / "noisy.parquet", np.maximum(planted + rng.normal(0, 0.4, planted.shape), 0))
    for name in ("category", "dimension"):
        write_space(folder / f"{name}.csv", clips.stimuli.spaces[name])
    write_stimuli(folder / "stimuli.csv", clips.stimuli)
    return folder


def interpret_spaces(asked, n_jobs=1):
    return interpret_in_processes(asked, n_jobs=n_jobs)


def compare_spaces(asked, n_jobs=1):
    return compare_in_processes(asked, n_jobs=n_jobs)


def files_of(world, *names):
    return {name: world / f"{name}.parquet" for name in names}


def asked(world, out, **changes):
    settings = {
        "spaces": files_of(world, "planted", "noisy"),
        "ratings": {name: world / f"{name}.csv" for name in ("category", "dimension")},
        "stimuli": world / "stimuli.csv",
        "out": out,
        "n_permutations": 19,
        "seed": 3,
    }
    return Interpretation(**{**settings, **changes})


@pytest.fixture(scope="module")
def done(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("done")
    return interpret_spaces(asked(world, out, circular={"planted": ("category",)})), out


def test_every_analysis_leaves_tables_and_figures(done):
    result, out = done
    assert not result.failed
    tables = {path.name for path in (out / "planted").glob("*.csv")}
    assert {
        "names.csv",
        "evidence.csv",
        "correlations.csv",
        "types.csv",
        "category_accuracy.csv",
        "clusters.csv",
    } <= tables
    figures = {path.stem for path in (out / "planted" / "figures").glob("*.png")}
    assert {"correlations", "types", "prediction", "categories", "map", "graph", "gradients", "roses"} <= figures


def test_planted_components_get_the_names_of_their_emotions(done):
    result, out = done
    names = pd.read_csv(out / "planted" / "names.csv")["name"]
    assert sorted(name.split(" + ")[0] for name in names) == ["Awe", "Disgust", "Fear", "Joy", "Sadness"]
    assert sorted(result.summary["planted"]["names"]["names"].values()) == sorted(names)
    page = (out / "planted" / "gallery.html").read_text(encoding="utf-8")
    assert all(name in page for name in names) and "no finding" in page


def test_the_summary_on_disk_is_the_one_returned_and_says_what_was_asked(done):
    result, out = done
    content = json.loads((out / "interpretation.json").read_text(encoding="utf-8"))
    assert content["found"] == json.loads(json.dumps(result.summary))
    assert content["settings"]["seed"] == 3 and content["settings"]["categories"] == "category"
    assert (
        content["found"]["planted"]["categories"]["circular"]
        and not content["found"]["noisy"]["categories"]["circular"]
    )


def test_a_second_run_does_nothing_again_and_a_lost_figure_is_drawn_again(world, done):
    _, out = done
    again = asked(world, out, circular={"planted": ("category",)})
    assert all(record.reused for record in interpret_spaces(again).records)
    before = (out / "noisy" / "figures" / "map.png").read_bytes()
    (out / "noisy" / "figures" / "map.png").unlink()
    records = interpret_spaces(again).records
    assert [record.name for record in records if not record.reused] == ["noisy/maps"]
    assert (out / "noisy" / "figures" / "map.png").read_bytes() == before


def test_only_what_was_asked_for_is_done(world, tmp_path):
    result = interpret_spaces(asked(world, tmp_path, only=("graph",)))
    assert [record.name for record in result.records] == ["planted/graph", "noisy/graph"]
    with pytest.raises(InputError, match="no analysis 'grph' here; choose among components"):
        interpret_spaces(asked(world, tmp_path, only=("grph",)))


def test_an_analysis_that_the_data_do_not_allow_is_left_out_and_the_others_are_done(world, tmp_path):
    few = pd.read_csv(world / "category.csv", index_col="id")
    few = pd.DataFrame({"Joy": 1.0, "Fear": 0.1}, index=few.index)  # every stimulus is joy
    write_space(tmp_path / "category.csv", few)
    ratings = {"category": tmp_path / "category.csv", "dimension": world / "dimension.csv"}
    result = interpret_spaces(asked(world, tmp_path / "out", ratings=ratings, only=("categories", "graph")))
    assert set(result.failed) == {"planted/categories", "noisy/categories"}
    assert {record.name for record in result.records} == {"planted/graph", "noisy/graph"}
    left_out = json.loads((tmp_path / "out" / "interpretation.json").read_text(encoding="utf-8"))["left_out"]
    assert set(left_out) == set(result.failed)


def test_what_needs_a_stage_that_failed_says_so(world, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise InputError("nothing can be named")

    monkeypatch.setattr("affectome.study._interpret_space.name_components", refuse)
    result = interpret_spaces(asked(world, tmp_path, only=("names", "graph")))
    assert "planted/names" in result.failed
    assert "needs planted/names.csv, which could not be made" in str(result.failed["planted/graph"])


def test_stimuli_that_one_file_lacks_are_dropped_aloud(world, tmp_path, caplog):
    ratings = pd.read_csv(world / "dimension.csv", index_col="id", dtype={"id": str}).iloc[:-2]
    write_space(tmp_path / "dimension.csv", ratings)
    files = {"category": world / "category.csv", "dimension": tmp_path / "dimension.csv"}
    result = interpret_spaces(
        asked(world, tmp_path / "out", ratings=files, spaces=files_of(world, "planted"), only=("correlations",))
    )
    assert result.summary["planted"]["correlations"]["n_stimuli"] == 118
    assert "2 of the stimuli of" in caplog.text and "were dropped" in caplog.text


def test_excluded_stimuli_are_left_out_and_unknown_ones_refused(world, tmp_path):
    ids = tuple(pd.read_csv(world / "category.csv", dtype={"id": str})["id"][:3])
    result = interpret_spaces(
        asked(world, tmp_path, excluded=ids, spaces=files_of(world, "noisy"), only=("correlations",))
    )
    assert result.summary["noisy"]["correlations"]["n_stimuli"] == 117
    with pytest.raises(InputError, match=r"1 of the ids to leave out are nowhere \(nobody\)"):
        interpret_spaces(asked(world, tmp_path, excluded=("nobody",)))


def test_families_that_are_not_there_are_refused(world, tmp_path):
    with pytest.raises(InputError, match="'moods' is not among the ratings"):
        asked(world, tmp_path, categories="moods")
    with pytest.raises(InputError, match="--circular names 'moods'"):
        asked(world, tmp_path, circular={"planted": ("moods",)})
    with pytest.raises(InputError, match="level=2 makes no interval"):
        asked(world, tmp_path, level=2)
    with pytest.raises(InputError, match="there are no ratings"):
        interpret_spaces(asked(world, tmp_path, ratings={}))


def test_a_folder_in_use_is_refused(world, tmp_path):
    from affectome.study._engine import locked

    tmp_path.joinpath("out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(EnvironmentFailure, match="another affectome run"):
        interpret_spaces(asked(world, tmp_path / "out", only=("graph",)))


def test_spaces_are_compared_with_and_without_ratings(world, tmp_path):
    result = compare_spaces(asked(world, tmp_path))
    assert not result.failed
    found = result.summary["together"]
    assert set(found) == {
        "rsa", "geometry", "choices", "shares", "types", "categories", "clusters", "prediction", "profiles", "ratings",
        "components",
    }  # fmt: skip
    [pair] = found["rsa"]["pearson"]
    assert {pair["first"], pair["second"]} == {"planted", "noisy"} and pair["ci_low"] < pair["value"] < pair["ci_high"]
    bare = compare_spaces(asked(world, tmp_path / "bare", ratings={}))
    assert set(bare.summary["together"]) == {"rsa", "geometry", "choices", "components"}
    assert bare.summary["together"]["rsa"]["pearson"] == found["rsa"]["pearson"]


def test_one_space_is_not_compared(world, tmp_path):
    with pytest.raises(InputError, match="there is one space"):
        compare_spaces(asked(world, tmp_path, spaces={"planted": world / "planted.parquet"}))


def test_spaces_in_processes_of_their_own_give_the_same_and_what_they_log_is_heard(world, tmp_path, caplog):
    ratings = pd.read_csv(world / "dimension.csv", index_col="id", dtype={"id": str}).iloc[:-2]
    write_space(tmp_path / "dimension.csv", ratings)
    files = {"category": world / "category.csv", "dimension": tmp_path / "dimension.csv"}
    found = []
    for n_jobs in (1, 2):
        settings = asked(world, tmp_path / str(n_jobs), ratings=files, only=("correlations",))
        caplog.clear()
        found.append(interpret_spaces(settings, n_jobs=n_jobs))
        assert "2 of the stimuli of" in caplog.text
    one, two = found
    assert one.summary == two.summary and list(one.summary) == ["planted", "noisy"]
    table = "noisy/correlations.csv"
    assert (one.results / table).read_bytes() == (two.results / table).read_bytes()


def test_a_space_is_read_the_same_whatever_else_is_interpreted(world, done, tmp_path):
    alone = interpret_spaces(asked(world, tmp_path, spaces={"noisy": world / "noisy.parquet"}, only=("graph",)))
    assert alone.summary["noisy"]["graph"] == done[0].summary["noisy"]["graph"]


def test_a_renamed_space_or_table_is_not_taken_for_what_it_was(world, tmp_path):
    (tmp_path / "renamed.parquet").write_bytes((world / "noisy.parquet").read_bytes())
    compare_spaces(asked(world, tmp_path / "out", only=("rsa",)))
    spaces = {"planted": world / "planted.parquet", "renamed": tmp_path / "renamed.parquet"}
    [pair] = compare_spaces(asked(world, tmp_path / "out", spaces=spaces, only=("rsa",))).summary["together"]["rsa"][
        "pearson"
    ]
    assert pair["second"] == "renamed"
    ratings = {"emotions": world / "category.csv", "dimension": world / "dimension.csv"}
    for families in ({}, {"ratings": ratings}):
        interpret_spaces(
            asked(world, tmp_path / "run", spaces=files_of(world, "noisy"), only=("correlations",), **families)
        )
    table = pd.read_csv(tmp_path / "run" / "noisy" / "correlations.csv")
    assert set(table["family"]) == {"emotions", "dimension"}


def test_a_component_without_weights_has_no_rose_and_stops_nothing(world, tmp_path):
    planted = pd.read_parquet(world / "planted.parquet")
    planted.iloc[:, 1] = 0.0
    write_space(tmp_path / "gap.parquet", planted)
    result = interpret_spaces(
        asked(world, tmp_path / "out", spaces={"gap": tmp_path / "gap.parquet"}, only=("stimuli",))
    )
    assert not result.failed and (tmp_path / "out" / "gap" / "figures" / "roses.png").exists()
    write_space(tmp_path / "none.parquet", planted * 0)
    result = interpret_spaces(
        asked(world, tmp_path / "out", spaces={"none": tmp_path / "none.parquet"}, only=("stimuli",))
    )
    assert "no component has a positive weight" in str(result.failed["none/stimuli"])


def test_a_comparison_says_what_is_circular(world, tmp_path):
    found = compare_spaces(asked(world, tmp_path, only=("categories",), circular={"planted": ("category",)}))
    categories = found.summary["together"]["categories"]
    assert {name: part["circular"] for name, part in categories.items()} == {"planted": True, "noisy": False}
    table = pd.read_csv(tmp_path / "together" / "category_accuracy.csv")
    assert table.groupby("space")["circular"].first().to_dict() == {"planted": True, "noisy": False}


def test_a_name_that_comparisons_need_is_refused(world, tmp_path):
    with pytest.raises(InputError, match="no space can be called 'together'"):
        asked(world, tmp_path, spaces={"together": world / "planted.parquet"})


def test_what_cannot_be_done_with_these_ratings_is_refused_and_not_passed_over(world, tmp_path):
    with pytest.raises(InputError, match="types needs ratings"):
        compare_spaces(asked(world, tmp_path, ratings={}, only=("types",)))
    one = {"category": world / "category.csv"}
    with pytest.raises(InputError, match="types needs two families of ratings"):
        compare_spaces(asked(world, tmp_path, ratings=one, only=("types",)))
    with pytest.raises(InputError, match="types needs two families of ratings"):
        interpret_spaces(asked(world, tmp_path, ratings=one, only=("types",)))


def test_a_silent_judge_is_asked_again_and_a_faulty_file_is_told_first(world, tmp_path, caplog):
    judge = tmp_path / "judge.toml"
    judge.write_text(
        f'kind = "chat"\nmodel = "m"\nservers = ["http://127.0.0.1:9/v1"]\nstimuli = "{world / "stimuli.csv"}"\n'
        "patience_s = 0.2\nretries = 0\n",
        encoding="utf-8",
    )
    for _ in range(2):
        result = interpret_spaces(
            asked(world, tmp_path / "out", spaces={"planted": world / "planted.parquet"}, only=("names",), judge=judge)
        )
        [record] = result.records
        assert not record.reused and record.summary["unanswered"] == 5
    judge.write_text('kind = "chat"\nmodle = "m"\n', encoding="utf-8")
    with pytest.raises(InputError, match="modle"):
        interpret_spaces(asked(world, tmp_path / "none", judge=judge))
    assert not (tmp_path / "none" / "planted").exists()
