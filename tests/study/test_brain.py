"""Simulated people whose answer is planted, through every stage of the brain and back from the files."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from affectome import InputError, write_space
from affectome.neural import read_bdpy, read_encoding, read_map
from affectome.simulation import simulate_subjects, write_simulated_recordings
from affectome.spaces import read_space
from affectome.study import (
    Brain,
    compare_brain,
    encode_brain,
    found_recordings,
    read_study,
    recording_sources,
    run_study,
    search_brain,
    study_status,
)

#: What is planted: MST follows one space, PGi the other, V1 none.
AREAS = {"MST": {"planted": 0.6}, "PGi": {"dimension": 0.6}, "V1": {}}
SPACES = ("planted", "dimension")
PEOPLE = ("sub-01", "sub-02", "sub-03")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brain")
    (folder / "spaces").mkdir()
    rng, ids = np.random.default_rng(0), [f"clip{k:03d}" for k in range(120)]
    spaces = {name: pd.DataFrame(rng.normal(size=(120, n)), ids, [f"{name} {k}" for k in range(n)])
              for name, n in (("planted", 4), ("dimension", 2), ("category", 3))}  # fmt: skip
    for name in spaces:
        write_space(folder / f"spaces/{name}.parquet", spaces[name])
    people = simulate_subjects(spaces, AREAS, n_runs=6, radius=4.0, repeats=2, agreement=0.8, seed=0)
    write_simulated_recordings(people.recordings, folder / "fmri")
    (folder / "regions.toml").write_text("[groups]\n" + "".join(f'{area} = ["{area}"]\n' for area in AREAS))
    return folder


def asked(world, out, **change):
    settings = {
        "spaces": {name: world / f"spaces/{name}.parquet" for name in SPACES},
        "recordings": recording_sources(found_recordings(world / "fmri")),
        "regions": str(world / "regions.toml"),
        "n_permutations": 120,
        "alphas": (1.0, 10.0, 100.0, 1000.0),
        "block_length": 2,
        **change,
    }
    return Brain(out=out, **settings)


@pytest.fixture(scope="module")
def first(world, tmp_path_factory):
    return encode_brain(asked(world, tmp_path_factory.mktemp("out")))


def ran(result):
    return [record.name for record in result.records if not record.reused]


def contents(folder):
    """Every result but records, which hold times."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".affectome" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_planted_preferences_are_in_the_tables_of_people_and_of_the_group(first):
    assert not first.failed
    for who in PEOPLE:
        regions = {name: pd.read_csv(first.results / who / name / "regions.csv").set_index("region") for name in SPACES}
        assert regions["planted"].loc["MST", "p"] < 0.05 < regions["planted"].loc["V1", "p"]
        assert regions["planted"].loc["MST", "r"] > 0.5 > regions["dimension"].loc["MST", "r"] + 0.2
        assert regions["dimension"].loc["PGi", "r"] > 0.5 > regions["planted"].loc["PGi", "r"] + 0.2
        won = pd.read_csv(first.results / who / "between/winners.csv", index_col="region")
        assert won.loc["MST", "planted"] > 0.9 and won.loc["PGi", "dimension"] > 0.9
    group = pd.read_csv(first.results / "group/regions.csv").set_index(["region", "space"])
    assert group.loc[("MST", "planted"), "n_significant"] == 3
    comparisons = pd.read_csv(first.results / "group/comparisons.csv").set_index("region")
    assert comparisons.loc["MST", "n_above"] == 3 and comparisons.loc["PGi", "n_below"] == 3


def test_maps_equal_the_tables_and_open_elsewhere(world, first):
    recording = read_bdpy(world / "fmri/sub-01.h5", subject="sub-01")
    folder = first.results / "sub-01/planted"
    table = pd.read_csv(folder / "voxels.csv")
    stem = "sub-01_space-MNI152NLin2009cAsym_stat-{}_desc-planted_statmap.nii.gz"
    for statistic in ("r", "r2", "p", "q", "pfamily"):
        path = folder / "maps" / stem.format(statistic)
        np.testing.assert_allclose(read_map(path, recording), table[statistic].to_numpy(), rtol=1e-6)
        assert nibabel.load(path).shape == recording.geometry.shape
    weights = read_map(folder / "maps" / stem.format("weights"), recording)
    assert np.array_equal(weights, read_encoding(folder / "encoding.npz").weights)


def test_every_file_that_a_stage_leaves_is_an_output_of_it(first):
    known = {name for record in first.records for name in record.outputs}
    assert set(contents(first.results)) == known | {"encoding.json"}
    assert "sub-01/planted/maps/sub-01_space-MNI152NLin2009cAsym_stat-r_desc-planted_statmap.json" in known


def test_a_second_run_computes_nothing_and_leaves_every_byte(world, first):
    before = contents(first.results)
    again = encode_brain(asked(world, first.results))
    assert ran(again) == [] and again.summary == first.summary
    assert contents(first.results) == before


def test_a_map_that_was_deleted_is_made_again_and_nothing_that_reads_other_files_is(world, first, tmp_path):
    shutil.copytree(first.results, tmp_path / "out")
    name = "sub-02/dimension/maps/sub-02_space-MNI152NLin2009cAsym_stat-q_desc-dimension_statmap.nii.gz"
    path = tmp_path / "out" / name
    content = path.read_bytes()
    path.unlink()
    again = encode_brain(asked(world, tmp_path / "out"))
    assert ran(again) == ["encode/sub-02/dimension"]
    assert path.read_bytes() == content


def test_other_permutations_run_what_depends_on_them(world, first, tmp_path):
    shutil.copytree(first.results, tmp_path / "out")
    again = encode_brain(asked(world, tmp_path / "out", n_permutations=150))
    assert {"encode/sub-01/planted", "between/sub-03", "consistency/planted", "weights/dimension"} <= set(ran(again))
    both = [pd.read_csv(folder / "sub-01/planted/voxels.csv") for folder in (first.results, tmp_path / "out")]
    assert both[0]["r"].equals(both[1]["r"]) and not both[0]["p"].equals(both[1]["p"])


@pytest.mark.slow
def test_people_in_processes_give_the_same_bytes(world, tmp_path, monkeypatch):
    monkeypatch.setattr("affectome.study._written.FORMATS", ("png", "pdf", "svg"))  # as in the processes
    people = [replace(read_bdpy(world / f"fmri/{who}.h5", subject=who), geometry=None) for who in PEOPLE[:2]]
    write_simulated_recordings(people, tmp_path / "fmri")
    recordings = recording_sources(found_recordings(tmp_path / "fmri"))
    spaces = {"planted": world / "spaces/planted.parquet"}
    found = []
    for n_jobs in (1, 2):
        out = tmp_path / f"out{n_jobs}"
        encode_brain(asked(world, out, recordings=recordings, spaces=spaces), n_jobs=n_jobs)
        found.append(contents(out))
        del found[-1]["encoding.json"]  # it names the folder
    assert set(found[0]) == set(found[1]) and len(found[0]) > 50
    assert [name for name in found[0] if found[0][name] != found[1][name]] == []


def test_a_person_whose_file_is_broken_is_left_out_and_the_others_are_a_group(world, tmp_path, caplog):
    spaces = {"planted": world / "spaces/planted.parquet"}
    shutil.copytree(world / "fmri", tmp_path / "fmri")
    whole = (tmp_path / "fmri/sub-02.h5").read_bytes()
    (tmp_path / "fmri/sub-02.h5").write_bytes(whole[: len(whole) // 2])
    recordings = recording_sources(found_recordings(tmp_path / "fmri"))
    with caplog.at_level(logging.WARNING):
        found = encode_brain(asked(world, tmp_path / "out", recordings=recordings, spaces=spaces))
    assert {name.split("/")[1] for name in found.failed} == {"sub-02"}
    assert "sub-02.h5" in str(found.failed["encode/sub-02/planted"])
    assert "needs sub-02/planted/voxels.csv" in str(found.failed["ceiling/sub-02"])
    assert found.summary["group"]["n_people"] == 2
    assert set(pd.read_csv(tmp_path / "out/group/scores.csv")["subject"]) == {"sub-01", "sub-03"}
    left_out = json.loads((tmp_path / "out/encoding.json").read_text(encoding="utf-8"))["left_out"]
    assert set(left_out) == set(found.failed)


def test_mean_maps_of_people_in_one_space_count_people(first):
    table = pd.read_csv(first.results / "group/planted/average.csv")
    each = [pd.read_csv(first.results / who / "planted/voxels.csv") for who in PEOPLE]
    np.testing.assert_allclose(table["mean"], np.mean([one["r"] for one in each], axis=0), atol=1e-6)
    assert table["n_significant"].tolist() == np.sum([one["q"] < 0.05 for one in each], axis=0).tolist()
    maps = first.results / "group/planted/maps"
    volume = nibabel.load(maps / "space-MNI152NLin2009cAsym_stat-meanr_desc-planted_statmap.nii.gz").get_fdata()
    assert np.nanmax(volume) == pytest.approx(table["mean"].max(), abs=1e-6)
    assert first.summary["average/planted"]["largest_mean"] == pytest.approx(table["mean"].max(), abs=1e-6)
    page = (first.results / "group/planted/view.html").read_text(encoding="utf-8")
    assert "planted, 3 people" in page and "Mean held-out r of 3 people" in page


def test_people_without_a_common_space_have_no_mean_map_and_no_failure(world, tmp_path, caplog):
    people = [read_bdpy(world / f"fmri/{who}.h5", subject=who) for who in PEOPLE[:2]]
    native = [replace(one, geometry=replace(one.geometry, space=None)) for one in people]
    write_simulated_recordings(native, tmp_path / "fmri")
    recordings = recording_sources(found_recordings(tmp_path / "fmri"))
    sources = {who: replace(source, kind="bdpy", given={**source.given, "space": None})
               for who, source in recordings.items()}  # fmt: skip
    spaces = {"planted": world / "spaces/planted.parquet"}
    with caplog.at_level(logging.INFO):
        found = encode_brain(asked(world, tmp_path / "out", recordings=sources, spaces=spaces))
    assert not found.failed
    assert found.summary["average/planted"]["common"] is False
    assert "the person's own space" in found.summary["average/planted"]["why"]
    assert not (tmp_path / "out/group/planted/view.html").exists()
    assert "by_region" in found.summary["consistency/planted"]
    assert "by_voxel" not in found.summary["consistency/planted"]


def test_components_lie_in_the_same_places_by_region_and_by_voxel(first):
    found = first.summary["consistency/planted"]
    assert found["by_region"]["places"] == 3 and found["by_voxel"]["places"] == 24
    assert found["r"] == found["by_region"]["r"]
    assert found["by_voxel"]["p"] < 0.05 and found["by_voxel"]["accuracy"] > found["by_voxel"]["chance"]


def test_directions_of_the_weights_are_more_than_chance_for_a_planted_space(first):
    found = first.summary["weights/planted"]
    assert found["retained"] >= 1 and found["p"] < 0.05 and found["share"] > found["null_share"]
    loadings = pd.read_csv(first.results / "group/planted/pc_loadings.csv", index_col=0)
    np.testing.assert_allclose(loadings.T @ loadings, np.eye(4), atol=1e-6)
    scores = list((first.results / "group/planted/maps").glob("sub-01_*stat-pcscores*.nii.gz"))
    assert nibabel.load(scores[0]).shape[-1] == 4


def test_ceilings_of_repeats_are_above_what_is_reached(first):
    for who in PEOPLE:
        found = first.summary[f"ceiling/{who}"]
        assert (found["n_repeated"], found["repeats"], found["n_averaged"]) == (120, [2, 2], 1)
        regions = pd.read_csv(first.results / who / "ceiling/regions.csv").set_index(["map", "region"])
        # planted: sixty per cent; repeats share their run and neighbouring noise adds a little
        assert regions.loc[("ev", "MST"), "mean"] == pytest.approx(0.6, abs=0.08)
        assert regions.loc[("ev", "V1"), "mean"] == pytest.approx(0, abs=0.1)
        assert 0.7 < regions.loc[("r/ceiling planted", "MST"), "mean"] < 1.1
    across = pd.read_csv(first.results / "group/ceiling/regions.csv", index_col="region")
    assert (across["lower"] < across["upper"]).all()
    assert across.loc["MST", "q"] < 0.05 < across.loc["V1", "q"]


def test_averaged_trials_are_held_against_the_ceiling_of_averages(world, tmp_path):
    one = {"sub-01": recording_sources([world / "fmri/sub-01.h5"])["sub-01"]}
    spaces = {"planted": world / "spaces/planted.parquet"}
    found = encode_brain(asked(world, tmp_path, recordings=one, spaces=spaces, average_repeats=True))
    told = found.summary["ceiling/sub-01"]
    assert (told["n_averaged"], told["n_repeated"], found.summary["encode/sub-01/planted"]["n_trials"]) == (2, 120, 120)
    voxels = pd.read_csv(tmp_path / "sub-01/ceiling/voxels.csv")
    known = voxels["ev"] > 0.3
    np.testing.assert_allclose(
        voxels["ceiling"][known], np.sqrt(2 * voxels["ev"][known] / (1 + voxels["ev"][known])), rtol=1e-5
    )
    # one person is no group, and gets a map to turn
    assert list(found.summary) == ["encode/sub-01/planted", "ceiling/sub-01", "view/sub-01/planted"]
    assert "sub-01: planted" in (tmp_path / "sub-01/planted/view.html").read_text(encoding="utf-8")


def test_a_winner_and_a_difference_are_drawn_and_written(world, first):
    recording = read_bdpy(world / "fmri/sub-01.h5", subject="sub-01")
    folder = first.results / "sub-01/between"
    winner = read_map(next((folder / "maps").glob("*stat-winner*.nii.gz")), recording)
    r = [pd.read_csv(first.results / "sub-01" / name / "voxels.csv") for name in SPACES]
    predicted = np.any([one["q"] < 0.05 for one in r], axis=0)
    assert np.array_equal(np.isfinite(winner), predicted)
    assert np.array_equal(winner[predicted], np.argmax([one["r"] for one in r], axis=0)[predicted])
    difference = read_map(next((folder / "maps").glob("*stat-difference*.nii.gz")), recording)
    best = np.abs(difference) > 0.3
    assert best.sum() >= 8
    assert np.array_equal(difference[best] > 0, (r[0]["r"] > r[1]["r"]).to_numpy()[best])
    for name in ("winner", "difference_dimension", "scatter_dimension"):
        assert (folder / f"figures/{name}.png").stat().st_size > 0


def test_comparison_cuts_what_spaces_explain_and_writes_it_on_the_brain(world, tmp_path):
    one = {"sub-01": recording_sources([world / "fmri/sub-01.h5"])["sub-01"]}
    brain = asked(world, tmp_path, recordings=one, controls={"category": world / "spaces/category.parquet"})
    found = compare_brain(brain)
    assert not found.failed
    assert list(found.summary) == ["comparison/partition/sub-01", "comparison/beyond_controls/sub-01/planted",
                                   "comparison/beyond_controls/sub-01/dimension"]  # fmt: skip
    recording = read_bdpy(world / "fmri/sub-01.h5", subject="sub-01")
    voxels = pd.read_csv(tmp_path / "sub-01/partition/voxels.csv")
    parts = read_map(next((tmp_path / "sub-01/partition/maps").glob("*stat-parts*.nii.gz")), recording)
    np.testing.assert_allclose(parts.sum(axis=0), voxels["planted + dimension"], atol=1e-5)
    regions = pd.read_csv(tmp_path / "sub-01/partition/regions.csv").set_index(["region", "part"])["r2"]
    assert regions["MST", "only planted"] > 0.3 > 0.1 > abs(regions["MST", "only dimension"])
    assert regions["PGi", "only dimension"] > 0.3
    beyond = read_map(next((tmp_path / "sub-01/beyond_controls_dimension/maps").glob("*stat-unique*.gz")), recording)
    table = pd.read_csv(tmp_path / "sub-01/beyond_controls_dimension/voxels.csv")
    np.testing.assert_allclose(beyond, table["unique"], rtol=1e-5, atol=1e-7)
    assert (tmp_path / "sub-01/partition/figures/unique_planted.png").stat().st_size > 0
    assert ran(compare_brain(brain)) == []


def test_recordings_without_regions_are_compared_by_voxel(world, tmp_path):
    people = [replace(read_bdpy(world / f"fmri/{who}.h5", subject=who), rois={}) for who in PEOPLE[:2]]
    write_simulated_recordings(people, tmp_path / "fmri")
    recordings = recording_sources(found_recordings(tmp_path / "fmri"))
    spaces = {"planted": world / "spaces/planted.parquet"}
    found = encode_brain(asked(world, tmp_path / "out", recordings=recordings, spaces=spaces, regions=None))
    assert not found.failed
    assert found.summary["group"]["regions"] == [] and found.summary["across"]["n_regions"] == 0
    assert found.summary["consistency/planted"]["by"] == "voxel"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recordings": {}}, "no recording"),
        ({"reference": "mllm"}, "'mllm' is not among the spaces"),
        ({"controls": {"planted": Path("x.csv")}}, "'planted' is both a space and a control"),
        ({"n_permutations": 0}, "n_permutations"),
        ({"level": 1.0}, "level"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(world, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        asked(world, tmp_path, **change)


def test_nothing_to_compare_and_unknown_ids_are_refused(world, tmp_path):
    spaces = {"planted": world / "spaces/planted.parquet"}
    with pytest.raises(InputError, match="nothing to compare"):
        compare_brain(asked(world, tmp_path, spaces=spaces))
    for run in (encode_brain, compare_brain, search_brain):
        with pytest.raises(InputError, match=r"no space to predict from|nothing to compare"):
            run(asked(world, tmp_path, spaces={}))
    with pytest.raises(InputError, match="1 of the ids to leave out are not in all spaces"):
        encode_brain(asked(world, tmp_path, excluded=("clip9999",)))


BRAIN = """
[brain]
path = "fmri"
spaces = ["human_category", "dimension"]
reference = "human_category"
regions = "regions.toml"
folds = 5
permutations = 120
"""


@pytest.fixture
def brain_study(study_file):
    """The small study, and two people who see its forty stimuli four times."""
    spaces = {name: read_space(study_file.parent / f"{name}.csv") for name in ("category", "dimension")}
    people = simulate_subjects(
        spaces, {"MST": {"category": 0.7}, "V1": {}}, n_subjects=2, n_runs=5, repeats=4, radius=4.0, seed=0
    )
    write_simulated_recordings(people.recordings, study_file.parent / "fmri")
    (study_file.parent / "regions.toml").write_text('[groups]\nMST = ["MST"]\nV1 = ["V1"]\n')
    study_file.write_text(study_file.read_text(encoding="utf-8") + BRAIN, encoding="utf-8")
    return study_file


def test_a_study_asks_brains_of_the_spaces_that_it_made(brain_study, edit):
    result = run_study(brain_study)
    found = result.summary["brain"]
    assert set(found["encode"]) == {f"sub-0{k}/{name}" for k in (1, 2) for name in ("human_category", "dimension")}
    best = found["encode"]["sub-01/human_category"]["best_regions"][0]
    assert best["region"] == "MST" and best["r"] > 0.4
    assert found["group"]["n_people"] == 2 and found["average"]["human_category"]["common"]
    assert found["ceiling"]["sub-02"]["repeats"] == [4, 4]
    assert set(found["view"]) == set()
    assert found["settings"]["reference"] == "human_category" and "path" not in found["settings"]
    assert (result.results / "neural/group/human_category/view.html").exists()
    page = result.report.read_text(encoding="utf-8")
    for text in ('id="brain"', "All people", "Regions over people", "sub-02", "Do components lie in the same places?"):
        assert text in page
    assert page.count("Map of the held-out correlation of every voxel") >= 4
    states = {state.name: state.state for state in study_status(brain_study)}
    assert states["encode/sub-01/human_category"] == states["group"] == states["weights/dimension"] == "done"
    assert [record.name for record in run_study(brain_study).records if not record.reused] == []
    edit("n_epochs = 16", "n_epochs = 17")  # another embedding is another space
    states = {state.name: state.state for state in study_status(brain_study)}
    assert states["encode/sub-01/human_category"] == "waiting" and states["embedding/human_category"] == "stale"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('"dimension"]\nreference', '"moods"]\nreference', ["[brain] spaces", "no system or space 'moods'"]),
        ('reference = "human_category"', 'reference = "human_dimension"', ["[brain] reference", "not among them"]),
        ('path = "fmri"', 'path = "nowhere"', ["[brain] path", "nowhere"]),
        ('regions = "regions.toml"', 'regions = "atlas.toml"', ["[brain] regions", "atlas.toml"]),
        ("folds = 5", "folds = 2", ["[brain] folds", "greater than or equal to 3"]),
        ("folds = 5", "fold = 5", ["[brain] fold", "did you mean 'folds'?"]),
        ("permutations = 120", 'standardise = "robust"', ["[brain] standardise", "'robust'"]),
    ],
)
def test_faults_of_the_brain_table_are_named(brain_study, edit, old, new, parts):
    edit(old, new)
    with pytest.raises(InputError) as caught:
        read_study(brain_study)
    for part in parts:
        assert part in str(caught.value)
