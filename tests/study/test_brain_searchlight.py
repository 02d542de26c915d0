"""Simulated people whose geometry is planted, through the stages of a searchlight and back from the files."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from affectome import InputError, write_space
from affectome.neural import Recording, SurfaceMesh, match_stimuli, read_bdpy, read_map, standardise_runs
from affectome.neural.searchlight import parcel_neighbourhoods, searchlight, sphere_neighbourhoods
from affectome.neural.searchlight._scorers import PearsonChunks
from affectome.plotting._brain_surface import load_mesh
from affectome.simulation import simulate_subjects, write_simulated_recordings
from affectome.spaces import read_space
from affectome.study import (
    Brain,
    Searching,
    compare_brain,
    encode_brain,
    found_recordings,
    recording_sources,
    search_brain,
)

#: What is planted: MST has the geometry of one space, PGi of the other, V1 of none.
AREAS = {"MST": {"planted": 0.6}, "PGi": {"dimension": 0.6}, "V1": {}}
SPACES = ("planted", "dimension")
PEOPLE = ("sub-01", "sub-02", "sub-03")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searchlight")
    (folder / "spaces").mkdir()
    rng, ids = np.random.default_rng(0), [f"clip{k:02d}" for k in range(60)]
    spaces = {name: pd.DataFrame(rng.normal(size=(60, 5)), ids, list("abcde")) for name in SPACES}
    for name, space in spaces.items():
        write_space(folder / f"spaces/{name}.parquet", space)
    people = simulate_subjects(spaces, AREAS, n_runs=6, radius=8.0, seed=0)
    write_simulated_recordings(people.recordings, folder / "fmri")
    (folder / "regions.toml").write_text("[groups]\n" + "".join(f'{area} = ["{area}"]\n' for area in AREAS))
    return folder


def asked(world, out, *people, **change):
    settings = {
        "spaces": {name: world / f"spaces/{name}.parquet" for name in SPACES},
        "recordings": recording_sources([world / f"fmri/{who}.h5" for who in people or PEOPLE]),
        "regions": str(world / "regions.toml"),
        **change,
    }
    return Brain(out=out, **settings)


@pytest.fixture(scope="module")
def first(world, tmp_path_factory):
    return search_brain(asked(world, tmp_path_factory.mktemp("out")), Searching(radius=2))


@pytest.fixture(scope="module")
def prepared(world):
    """The first person as the stages prepare them, and the spaces."""
    spaces = {name: read_space(world / f"spaces/{name}.parquet") for name in SPACES}
    recording = standardise_runs(read_bdpy(world / "fmri/sub-01.h5", subject="sub-01"))
    return match_stimuli(recording, list(spaces["planted"].index))[0], spaces


def ran(result):
    return [record.name for record in result.records if not record.reused]


def contents(folder):
    """Every result but records, which hold times, and the summary, which names the folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".affectome" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.parent != folder}


def regions_of(folder, who, space):
    return pd.read_csv(folder / who / space / "regions.csv").set_index("region")


def test_planted_preferences_are_in_the_tables_of_people_and_of_the_group(first):
    assert not first.failed
    of_people = [f"rsa/{kind}/{who}" for who in PEOPLE for kind in ("searchlight", "regions")]
    of_all = ["rsa/people/regions", "rsa/group", "rsa/average/planted", "rsa/average/dimension"]
    assert list(first.summary) == [*of_people, *of_all]
    for who in PEOPLE:
        planted, dimension = (regions_of(first.results, who, name) for name in SPACES)
        assert planted.loc["MST", "q"] < 0.01 and dimension.loc["PGi", "q"] < 0.01
        assert planted.loc["MST", "low"] > 0.2 > dimension.loc["MST", "high"]
        assert dimension.loc["PGi", "low"] > 0.2 > planted.loc["PGi", "high"]
        assert abs(planted.loc["V1", "r"]) < 0.15
    group = pd.read_csv(first.results / "group/regions.csv").set_index(["region", "space"])
    assert group.loc[("MST", "planted"), "n_significant"] == group.loc[("PGi", "dimension"), "n_significant"] == 3
    each = [regions_of(first.results, who, "planted").loc["MST", "r"] for who in PEOPLE]
    assert group.loc[("MST", "planted"), "mean"] == pytest.approx(np.mean(each), abs=1e-6)
    compared = pd.read_csv(first.results / "group/comparisons.csv").set_index("region")
    assert compared.loc["MST", ["n_above", "n_below"]].tolist() == [3, 0]
    assert compared.loc["PGi", ["n_above", "n_below"]].tolist() == [0, 3]
    assert compared["compared"].to_dict() == {"MST": True, "PGi": True, "V1": False}  # V1 is like neither in anybody
    assert (compared["space"] == "dimension").all() and (compared["reference"] == "planted").all()


def test_tables_hold_what_the_functions_give(first, prepared):
    recording, spaces = prepared
    pairs = [("planted", "dimension")]
    found = searchlight(recording, spaces, sphere_neighbourhoods(recording.geometry, 2), differences=pairs)
    for k, name in enumerate(SPACES):
        table = pd.read_csv(first.results / "sub-01" / name / "voxels.csv", index_col="voxel")
        assert len(table) == recording.n_voxels and list(table) == ["r", "p", "q", "low", "high"]
        for column in table:
            values = found.on_voxels(getattr(found, column)[:, k], recording.n_voxels)
            np.testing.assert_allclose(table[column], values, rtol=1e-6, atol=1e-12)
    told = first.summary["rsa/searchlight/sub-01"]
    assert told["n_centres"] == len(found.r) and told["n_pairs"] == found.n_pairs == 60 * 59 // 2 - 6 * 10 * 9 // 2
    assert told["spaces"]["planted"]["n_significant"] == (found.q[:, 0] < 0.05).sum() > 40
    assert (
        told["against"]["dimension"]["n_above"]
        == ((found.difference_q[:, 0] < 0.05) & (found.difference[:, 0] > 0)).sum()
    )
    # the regions of the study are made of those of the recording
    mask = recording.rois["hcp180_r_lh.L_MST_ROI"] | recording.rois["hcp180_r_rh.R_MST_ROI"]
    alone = searchlight(recording, spaces, parcel_neighbourhoods({"MST": mask}), differences=pairs)
    row = regions_of(first.results, "sub-01", "planted").loc["MST"]
    assert (row["n_voxels"], row["subject"], row["space"]) == (mask.sum(), "sub-01", "planted")
    for column in ("r", "p", "low", "high"):
        assert row[column] == pytest.approx(getattr(alone, column)[0, 0], rel=1e-6)
    test = pd.read_csv(first.results / "sub-01/between/tests.csv").set_index("region").loc["MST"]
    assert test["difference"] == pytest.approx(alone.difference[0, 0], rel=1e-6)
    assert test["p"] == pytest.approx(alone.difference_p[0, 0], rel=1e-6)


def test_maps_equal_the_tables(world, first):
    recording = read_bdpy(world / "fmri/sub-01.h5", subject="sub-01")
    table = pd.read_csv(first.results / "sub-01/planted/voxels.csv")
    maps, known = first.results / "sub-01/maps", np.isfinite(table["r"])
    for statistic in ("r", "p", "q"):
        (path,) = maps.glob(f"sub-01_*stat-{statistic}_desc-planted_statmap.nii.gz")
        np.testing.assert_allclose(read_map(path, recording)[known], table[statistic][known], rtol=1e-6)
    assert "all permutations, in closed form" in json.loads(
        next(maps.glob("*stat-p_desc-planted_statmap.json")).read_text(encoding="utf-8")
    )["Null"]  # fmt: skip
    other = pd.read_csv(first.results / "sub-01/dimension/voxels.csv")
    (path,) = maps.glob("*stat-difference*.nii.gz")
    np.testing.assert_allclose(
        read_map(path, recording)[known], (table["r"] - other["r"])[known], rtol=1e-5, atol=1e-6
    )  # fmt: skip
    (average,) = (first.results / "group/planted/maps").glob("*stat-meanr*.nii.gz")
    each = [pd.read_csv(first.results / who / "planted/voxels.csv")["r"] for who in PEOPLE]
    mean = read_map(average, recording)
    np.testing.assert_allclose(mean[known], np.mean(each, axis=0)[known], atol=1e-6)


@pytest.fixture(scope="module")
def controlled(world, tmp_path_factory):
    """Two people, and a control that is the planted space with noise."""
    rng, path = np.random.default_rng(1), world / "visual.parquet"
    planted = read_space(world / "spaces/planted.parquet")
    write_space(path, planted + 0.8 * rng.normal(size=planted.shape))
    how = Searching(radius=2, metric={"dimension": "cosine", "visual": "euclidean"})
    out = tmp_path_factory.mktemp("controlled")
    return search_brain(asked(world, out, "sub-01", "sub-02", controls={"visual": path}), how)


def test_beyond_controls_tables_hold_what_the_functions_give(controlled, world, prepared):
    recording, spaces = prepared
    spaces = {**spaces, "visual": read_space(world / "visual.parquet")}
    spheres = sphere_neighbourhoods(recording.geometry, 2)
    found = searchlight(
        recording, spaces, spheres, controls=["visual"], differences=[("planted", "dimension")],
        metric={"planted": "correlation", "dimension": "cosine", "visual": "euclidean"},
    )  # fmt: skip
    folder = controlled.results / "sub-01"
    planted, visual = (pd.read_csv(folder / name / "voxels.csv", index_col="voxel") for name in ("planted", "visual"))
    for column in ("partial_r", "partial_p", "partial_q", "partial_low", "partial_high"):
        expected = found.on_voxels(getattr(found, column)[:, 0], recording.n_voxels)
        np.testing.assert_allclose(planted[column], expected, rtol=1e-6, atol=1e-12)
    assert list(visual) == ["r", "p", "q", "low", "high"]
    between = pd.read_csv(folder / "between/voxels.csv")
    np.testing.assert_array_equal(between["voxel"], spheres.centres)
    np.testing.assert_allclose(between["difference"], found.difference[:, 0], rtol=1e-6)
    np.testing.assert_allclose(between["partial_p"], found.partial_difference_p[:, 0], rtol=1e-6)
    assert set(between["reference"]) == {"planted"} and set(between["space"]) == {"dimension"}
    weights = pd.read_csv(folder / "regression/voxels.csv").pivot(index="voxel", columns="space", values="beta")
    np.testing.assert_allclose(weights.loc[spheres.centres, list(spaces)], found.regression().beta, rtol=1e-6)
    (partial,) = (folder / "maps").glob("*stat-partialr_desc-planted_statmap.nii.gz")
    np.testing.assert_allclose(read_map(partial, recording), planted["partial_r"], atol=1e-6)
    facts = json.loads(next((folder / "maps").glob("*stat-partialp_desc-planted*.json")).read_text(encoding="utf-8"))
    assert facts["Null"] == "Nothing relates the space to the patterns beyond visual."
    assert {"profile.png", "partial_planted.png", "partial_dimension.png"} <= {
        path.name for path in (folder / "figures").iterdir()
    }


def test_beyond_controls_the_group_keeps_what_the_control_lacks(controlled):
    told = controlled.summary["rsa/group/beyond_controls"]
    assert told["controls"] == ["visual"] and told["n_people"] == 2
    beyond, whole = (
        pd.read_csv(controlled.results / f"group/{table}.csv").set_index(["region", "space"])
        for table in ("beyond_controls/regions", "regions")
    )
    each = [
        pd.read_csv(controlled.results / f"{who}/planted/regions.csv", index_col="region").loc["MST", "partial_r"]
        for who in ("sub-01", "sub-02")
    ]
    assert beyond.loc[("MST", "planted"), "mean"] == pytest.approx(np.mean(each))
    assert 0.3 < beyond.loc[("MST", "planted"), "mean"] < whole.loc[("MST", "planted"), "mean"] - 0.03
    assert beyond.loc[("PGi", "dimension"), "mean"] == pytest.approx(whole.loc[("PGi", "dimension"), "mean"], abs=0.02)


def test_the_profile_is_that_of_the_centre_with_the_largest_r(controlled):
    folder = controlled.results / "sub-01"
    r = pd.read_csv(folder / "planted/voxels.csv")["r"]
    scores = pd.read_csv(folder / "profile/scores.csv", index_col="space")
    assert scores.loc["planted", "r"] == pytest.approx(r.max(), abs=1e-6)
    carried = pd.read_csv(folder / "profile/stimuli.csv", index_col="stimulus")["carried"]
    assert carried.sum() == pytest.approx(scores["r"].max(), abs=1e-6) and len(carried) == 60
    assert len(pd.read_csv(folder / "profile/pairs.csv")) == 10


def test_ranks_have_partial_scores_without_p_and_spaces_of_one_geometry_no_regression(world, tmp_path, caplog):
    spaces = {name: world / f"spaces/{name}.parquet" for name in SPACES}
    copy = tmp_path / "copy.parquet"
    write_space(copy, read_space(spaces["planted"]) * 2)
    how = Searching(radius=2, statistic="spearman", intervals=False)
    one = asked(world, tmp_path / "out", "sub-01", regions=None, controls={"copy": copy})
    with caplog.at_level(logging.WARNING):
        found = search_brain(replace(one, spaces={"dimension": spaces["dimension"]}), how)
    table = pd.read_csv(tmp_path / "out/sub-01/dimension/voxels.csv", index_col="voxel")
    assert not found.failed and list(table) == ["r", "p", "q", "partial_r"]
    told = found.summary["rsa/searchlight/sub-01"]["spaces"]["dimension"]
    assert "n_beyond" not in told and told["largest_partial_r"] == pytest.approx(table["partial_r"].max())
    assert not caplog.text
    with caplog.at_level(logging.WARNING):
        again = search_brain(replace(one, out=tmp_path / "again"), Searching(radius=2))
    assert "There is no regression on all spaces together" in caplog.text and not again.failed
    assert not (tmp_path / "again/sub-01/regression").exists()
    assert "partial_r" not in pd.read_csv(tmp_path / "again/sub-01/planted/voxels.csv")  # its copy leaves nothing


def test_the_group_has_partial_rank_correlations_without_tests_of_single_people(controlled, world, tmp_path):
    how = Searching(radius=2, statistic="spearman", intervals=False)
    two = asked(world, tmp_path, "sub-01", "sub-02", controls={"visual": world / "visual.parquet"})
    found = search_brain(two, how)
    assert not found.failed and found.summary["rsa/group/beyond_controls"]["controls"] == ["visual"]
    table = pd.read_csv(tmp_path / "group/beyond_controls/regions.csv").set_index(["region", "space"])
    each = [regions_of(tmp_path, who, "planted").loc["MST", "partial_r"] for who in ("sub-01", "sub-02")]
    assert table.loc[("MST", "planted"), "mean"] == pytest.approx(np.mean(each))
    assert "partial_p" not in regions_of(tmp_path, "sub-01", "planted")


def test_a_metric_of_a_space_that_is_not_there_is_refused_before_a_recording_is_read(world, tmp_path):
    with pytest.raises(InputError, match="a metric is given for 'visual', which is no space and no control"):
        search_brain(asked(world, tmp_path), Searching(metric={"visual": "dot"}))


def test_regions_that_are_all_too_small_are_told_and_the_person_goes_on(world, tmp_path, caplog):
    person = read_bdpy(world / "fmri/sub-01.h5", subject="sub-01")
    few = {name: roi & (np.cumsum(roi) <= 1) for name, roi in person.rois.items()}
    write_simulated_recordings([replace(person, rois=few)], tmp_path / "fmri")
    recordings = recording_sources(found_recordings(tmp_path / "fmri"))
    with caplog.at_level(logging.INFO):
        found = search_brain(asked(world, tmp_path / "out", recordings=recordings), Searching(radius=2))
    assert caplog.text.count("sub-01: 60 trials show a stimulus") == 1  # however often it is read
    assert not found.failed and found.summary["rsa/regions/sub-01"]["best_regions"] == []
    assert "sub-01: nothing is said of regions: no region has 3 voxels" in caplog.text
    assert (tmp_path / "out/sub-01/planted/view.html").exists()


def test_every_file_that_a_stage_leaves_is_an_output_of_it_and_no_chunk_stays(first):
    known = {name for record in first.records for name in record.outputs}
    assert set(contents(first.results)) == known
    assert {
        "sub-01/figures/r_planted.png",
        "sub-01/figures/difference_dimension.png",
        "sub-01/figures/scatter_dimension.png",
    } <= known
    assert not list(first.results.rglob(".chunks"))
    summary = json.loads((first.results / "searchlight.json").read_text(encoding="utf-8"))
    assert set(summary["found"]) == set(first.summary) and summary["left_out"] == {}


def test_a_second_run_computes_nothing_and_leaves_every_byte(world, first):
    before = contents(first.results)
    again = search_brain(asked(world, first.results), Searching(radius=2))
    assert ran(again) == [] and again.summary == first.summary
    assert contents(first.results) == before


def test_another_reference_or_statistic_is_another_result_and_more_processes_are_not(world, first, tmp_path):
    shutil.copytree(first.results, tmp_path / "out")
    assert ran(search_brain(asked(world, tmp_path / "out"), Searching(radius=2), n_jobs=2)) == []
    again = search_brain(asked(world, tmp_path / "out", reference="dimension"), Searching(radius=2))
    assert {"rsa/searchlight/sub-01", "rsa/regions/sub-02", "rsa/group"} <= set(ran(again))
    compared = pd.read_csv(tmp_path / "out/group/comparisons.csv").set_index("region")
    assert compared.loc["PGi", "n_above"] == 3 and (compared["space"] == "planted").all()


def test_a_results_folder_holds_searchlights_encodings_and_comparisons_side_by_side(world, tmp_path):
    one = asked(world, tmp_path, "sub-01", n_permutations=19, n_folds=3)
    kinds = {"neural": encode_brain, "neural/compared": compare_brain, "neural/rsa": search_brain}
    runs = [run(replace(one, prefix=prefix)) for prefix, run in kinds.items()]
    names = [record.name for found in runs for record in found.records]
    assert len(names) == len(set(names)) and not any(found.failed for found in runs)
    for prefix, run in kinds.items():
        assert ran(run(replace(one, prefix=prefix))) == []
    assert (tmp_path / "neural/rsa/sub-01/planted/voxels.csv").exists() and not list(tmp_path.rglob(".chunks"))


class Killed(Exception):
    pass


def killed_after(n_chunks):
    def progress(stage, state):
        def told(done, total, detail=""):
            if stage.startswith("rsa/searchlight/") and done == n_chunks:
                raise Killed

        return told

    return progress


def test_a_run_killed_in_the_middle_goes_on_from_its_chunks_to_the_same_bytes(world, first, tmp_path, monkeypatch):
    with pytest.raises(Killed):
        search_brain(asked(world, tmp_path), Searching(radius=2), progress=killed_after(1))
    assert [path.name for path in tmp_path.rglob("chunk-*.npz")] == ["chunk-000000.npz"]
    scored, score = [], PearsonChunks.score

    def counted(self, responses, neighbourhoods):
        scored.append(len(neighbourhoods))
        return score(self, responses, neighbourhoods)

    monkeypatch.setattr(PearsonChunks, "score", counted)
    again = search_brain(asked(world, tmp_path), Searching(radius=2))
    n_centres = first.summary["rsa/searchlight/sub-01"]["n_centres"]
    assert 128 < n_centres < 256
    # two chunks of each person, of which one was there
    assert (scored.count(128), scored.count(n_centres - 128)) == (2, 3)
    assert not again.failed and not list(tmp_path.rglob("chunk-*.npz"))
    before, after = contents(first.results), contents(tmp_path)
    assert set(before) == set(after) and [name for name in before if before[name] != after[name]] == []


def test_chunks_of_other_settings_are_not_used_and_are_removed_too(world, tmp_path):
    one = asked(world, tmp_path, "sub-01", regions=None)
    with pytest.raises(Killed):
        search_brain(one, Searching(radius=2), progress=killed_after(1))
    found = search_brain(one, Searching(radius=1.5))
    fresh = search_brain(replace(one, out=tmp_path / "fresh"), Searching(radius=1.5))
    assert found.summary["rsa/searchlight/sub-01"] == fresh.summary["rsa/searchlight/sub-01"]
    assert not list(tmp_path.rglob("chunk-*.npz"))


def test_one_person_has_a_map_to_turn_and_another_radius_runs_what_depends_on_it(world, tmp_path):
    one = asked(world, tmp_path, "sub-01")
    found = search_brain(one, Searching(radius=2))
    assert list(found.summary) == ["rsa/searchlight/sub-01", "rsa/regions/sub-01", "rsa/view/sub-01/planted",
                                   "rsa/view/sub-01/dimension"]  # fmt: skip
    page = (tmp_path / "sub-01/planted/view.html").read_text(encoding="utf-8")
    assert "sub-01: planted" in page and "Pearson RSA r" in page
    assert not (tmp_path / "group").exists()
    regions = (tmp_path / "sub-01/planted/regions.csv").read_bytes()
    wider = search_brain(one, Searching(radius=3))
    assert {"rsa/searchlight/sub-01", "rsa/view/sub-01/planted"} <= set(ran(wider))
    small, large = (run.summary["rsa/searchlight/sub-01"]["median_voxels"] for run in (found, wider))
    assert large > small
    assert (tmp_path / "sub-01/planted/regions.csv").read_bytes() == regions


def test_without_regions_there_are_maps_and_an_empty_group(world, tmp_path, caplog):
    people = [replace(read_bdpy(world / f"fmri/{who}.h5", subject=who), rois={}) for who in PEOPLE[:2]]
    write_simulated_recordings(people, tmp_path / "fmri")
    recordings = recording_sources(found_recordings(tmp_path / "fmri"))
    with caplog.at_level(logging.WARNING):
        found = search_brain(asked(world, tmp_path / "out", regions=None, recordings=recordings), Searching(radius=2))
    assert not found.failed and found.summary["rsa/group"]["regions"] == []
    assert "The recordings have no regions" in caplog.text
    assert found.summary["rsa/regions/sub-01"]["best_regions"] == []
    assert found.summary["rsa/average/planted"]["n_everybody"] > 20


def test_voxels_without_places_are_one_sentence_and_regions_go_on(world, tmp_path):
    people = [replace(read_bdpy(world / f"fmri/{who}.h5", subject=who), geometry=None) for who in PEOPLE[:2]]
    write_simulated_recordings(people, tmp_path / "fmri")
    recordings = recording_sources(found_recordings(tmp_path / "fmri"))
    found = search_brain(asked(world, tmp_path / "out", "sub-01", recordings=recordings), Searching(radius=2))
    assert "its voxels have no place" in str(found.failed["rsa/searchlight/sub-01"])
    assert "\n" not in str(found.failed["rsa/searchlight/sub-01"])
    assert regions_of(tmp_path / "out", "sub-01", "planted").loc["MST", "q"] < 0.01


def test_a_surface_is_searched_by_discs(prepared, world, tmp_path, monkeypatch):
    recording, _ = prepared
    n = recording.n_voxels
    sphere = load_mesh("sphere", False)[0]
    patch = np.argsort(np.linalg.norm(sphere - sphere[0], axis=1))[:n].astype(np.int32)
    mesh = SurfaceMesh(np.sort(patch), np.zeros(n, bool), (len(sphere), len(sphere)), "fsaverage5")
    on_surface = Recording("sub-01", recording.responses, recording.trials, mesh, {}, "sub-01")
    monkeypatch.setattr("affectome.study._recordings.RecordingSource.read", lambda self: on_surface)
    found = search_brain(asked(world, tmp_path, "sub-01", regions=None), Searching(radius=10))
    assert not found.failed
    assert 15 < found.summary["rsa/searchlight/sub-01"]["median_voxels"] < 60  # 39 in the middle of the cortex
    assert list((tmp_path / "sub-01/maps").glob("*hemi-L*stat-r_desc-planted*.gii"))


def test_ranks_within_runs_by_drawn_permutations(world, first, tmp_path):
    how = Searching(radius=2, statistic="spearman", test="drawn", units="run")
    found = search_brain(asked(world, tmp_path, "sub-01", n_permutations=39), how)
    assert not found.failed
    table = pd.read_csv(tmp_path / "sub-01/planted/voxels.csv")
    pearson = pd.read_csv(first.results / "sub-01/planted/voxels.csv")
    assert table[["r"]].corrwith(pearson["r"]).item() > 0.95 and not np.allclose(table["r"], pearson["r"], atol=1e-3)
    assert table["p"].min() == 1 / 40 and (table["pfamily"].dropna() >= table["p"].dropna()).all()
    assert list((tmp_path / "sub-01/maps").glob("*stat-pfamily_desc-planted*.nii.gz"))
    assert "Spearman RSA r" in (tmp_path / "sub-01/planted/view.html").read_text(encoding="utf-8")
    regions = regions_of(tmp_path, "sub-01", "planted")
    assert regions["r"].idxmax() == "MST" and (regions["bound"] < 0.01).all()


@pytest.mark.slow
def test_processes_over_chunks_give_the_same_bytes(world, tmp_path):
    found = []
    for n_jobs in (1, 2):
        out = tmp_path / f"out{n_jobs}"
        search_brain(asked(world, out, "sub-01"), Searching(radius=2), n_jobs=n_jobs)
        found.append(contents(out))
    assert set(found[0]) == set(found[1]) and [name for name in found[0] if found[0][name] != found[1][name]] == []


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan")])
def test_a_radius_that_holds_nothing_is_refused(radius):
    with pytest.raises(InputError, match="holds no voxel"):
        Searching(radius=radius)
