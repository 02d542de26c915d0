"""How reliable geometries are, through the stages and back from the files."""

import json
import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from affectome import InputError, write_space
from affectome.neural import (
    Recording,
    VolumeGrid,
    geometry_ceiling,
    match_stimuli,
    patterns,
    read_map,
    run_halves,
    standardise_runs,
)
from affectome.neural.searchlight import parcel_neighbourhoods, sphere_neighbourhoods
from affectome.simulation import write_simulated_recordings
from affectome.study import Brain, Searching, found_recordings, recording_sources, reliability_brain, search_brain

PEOPLE = ("sub-01", "sub-02", "sub-03")
IDS = [f"clip{k:02d}" for k in range(24)]
IJK = np.argwhere(np.ones((5, 5, 6))).astype(np.int32)
#: What is planted: the lower half of the block answers stimuli alike in everybody.
ANSWERS = IJK[:, 2] < 3
ROIS = {"MST": IJK[:, 2] < 2, "V1": IJK[:, 2] > 3}
AFFINE = np.array([[4.0, 0, 0, -40], [0, 4, 0, -60], [0, 0, 4, 0], [0, 0, 0, 1]])


def person(k, *, place="MNI152NLin2009cAsym", keep=slice(None)):
    """Four runs of all stimuli; every person misses a voxel."""
    rng = np.random.default_rng(k)
    truth = np.random.default_rng(99).normal(size=(len(IDS), len(IJK))) * ANSWERS
    order = [rng.permutation(len(IDS)) for _ in range(4)]
    trials = pd.DataFrame({"stimulus": [IDS[i] for run in order for i in run], "run": np.repeat(range(1, 5), len(IDS))})
    responses = np.concatenate([truth[run] for run in order]) + 1.5 * rng.normal(size=(96, len(IJK)))
    grid = VolumeGrid(IJK, AFFINE, (5, 5, 6), place)
    made = Recording(f"sub-0{k}", responses.astype(np.float32), trials.assign(session=1), grid, ROIS)
    return made.select_voxels(np.delete(np.arange(len(IJK)), 147 - k))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reliability")
    write_simulated_recordings([person(k) for k in (1, 2, 3)], folder / "fmri")
    rng = np.random.default_rng(0)
    (folder / "spaces").mkdir()
    truth = np.random.default_rng(99).normal(size=(len(IDS), len(IJK)))[:, ROIS["MST"]]
    near = pd.DataFrame(truth[:, :20] + 0.3 * rng.normal(size=(24, 20)), IDS, [f"f{k}" for k in range(20)])
    write_space(folder / "spaces/near.parquet", near)
    return folder


def asked(world, out, **change):
    return Brain(
        **{"spaces": {}, "recordings": recording_sources(found_recordings(world / "fmri")), "out": out, **change}
    )


HOW = Searching(radius=1.5, within_run="include")


@pytest.fixture(scope="module")
def found(world, tmp_path_factory):
    return reliability_brain(asked(world, tmp_path_factory.mktemp("out")), HOW)


def prepared(k):
    return match_stimuli(standardise_runs(person(k)), IDS)[0]


def test_halves_hold_what_the_functions_give_and_are_alike_where_people_answer(found):
    assert not found.failed
    one = prepared(1)
    spheres = sphere_neighbourhoods(one.geometry, 1.5)
    expected = geometry_ceiling(run_halves(one, IDS), spheres)
    table = pd.read_csv(found.results / "sub-01/voxels.csv", index_col="voxel")
    assert len(table) == one.n_voxels == 149
    r = table.loc[spheres.centres, "r"]
    np.testing.assert_allclose(r, expected.correlations[:, 0, 1], atol=1e-6)
    both = table.loc[r.index[r > 0]]
    np.testing.assert_allclose(both["reliability"], 2 * both["r"] / (1 + both["r"]), atol=1e-6)  # Spearman-Brown
    np.testing.assert_allclose(both["ceiling"], np.sqrt(both["reliability"]), atol=1e-6)
    answers = one.geometry.ijk[:, 2]
    assert table["r"][answers < 2].median() > 0.1 > table["r"][answers > 4].median()
    regions = pd.read_csv(found.results / "sub-01/regions.csv", index_col="region")
    assert regions.loc["MST", "low"] > 0 and regions.loc["V1", "low"] < 0 < regions.loc["V1", "high"]
    (written,) = (found.results / "sub-01/maps").glob("*stat-r_statmap.nii.gz")
    np.testing.assert_allclose(read_map(written, one), table["r"], atol=1e-6)


def test_ceilings_of_people_hold_what_the_function_gives_of_regions_and_centres(found):
    members = {f"sub-0{k}": prepared(k) for k in (1, 2, 3)}
    given = {who: patterns(one, IDS, runs="ignore") for who, one in members.items()}
    parcels = {who: parcel_neighbourhoods(one.rois) for who, one in members.items()}
    expected = geometry_ceiling(given, parcels).table(parcels["sub-01"].names).rename(columns={"centre": "region"})
    table = pd.read_csv(found.results / "group/ceiling/regions.csv")
    pd.testing.assert_frame_equal(table, expected, atol=1e-6)
    told = found.summary["reliability/people/regions"]
    assert told["best_regions"][0]["region"] == "MST" and told["n_people"] == 3
    mst, v1 = table.set_index("region").loc[["MST", "V1"]].itertuples()
    assert mst.lower_low > 0.2 and mst.lower < mst.upper and v1.lower_low < 0 < v1.lower_high
    voxels = pd.read_csv(found.results / "group/ceiling/voxels.csv")
    common = len(IJK) - 3  # each of the three misses another voxel
    assert len(voxels) == common and voxels["lower"].nlargest(20).min() > 0.2
    assert found.summary["reliability/people/centres"]["n_centres"] == voxels["lower"].notna().sum()


def test_little_memory_reads_people_again_for_parts_and_changes_nothing(found, world, tmp_path):
    # 24 stimuli, 3 people and at most 150 voxels take 86 kB, so that neither centres nor regions fit at once
    again = reliability_brain(asked(world, tmp_path, memory_gb=3e-5), HOW)
    for name in ("regions", "voxels"):
        tables = [pd.read_csv(folder / f"group/ceiling/{name}.csv") for folder in (found.results, tmp_path)]
        pd.testing.assert_frame_equal(*tables, atol=1e-9)
    assert again.summary["reliability/people/centres"] == found.summary["reliability/people/centres"]


def test_a_second_run_computes_nothing_and_every_file_is_an_output(found, world):
    again = reliability_brain(asked(world, found.results), HOW)
    assert all(record.reused for record in again.records)
    known = {name for record in found.records for name in record.outputs}
    written = {
        path.relative_to(found.results).as_posix()
        for path in found.results.rglob("*")
        if path.is_file() and ".affectome" not in path.parts and path.name != "reliability.json"
    }
    assert written == known
    settings = json.loads((found.results / "reliability.json").read_text(encoding="utf-8"))["settings"]
    assert settings["radius"] == 1.5 and settings["within_run"] == "include"


def test_regions_of_a_searchlight_are_shares_of_the_ceiling(found, world, tmp_path, caplog):
    spaces = {"near": world / "spaces/near.parquet"}
    with caplog.at_level(logging.WARNING):
        searched = search_brain(asked(world, tmp_path, spaces=spaces), replace(HOW, intervals=False))
    assert caplog.text.count("sub-01: p in closed form is rough") == 1  # of centres and regions
    table = pd.read_csv(tmp_path / "group/regions.csv").set_index("region")
    bracket = pd.read_csv(found.results / "group/ceiling/regions.csv").set_index("region")
    for end in ("lower", "upper"):
        assert table.loc["MST", f"ceiling_{end}"] == pytest.approx(bracket.loc["MST", end], abs=1e-6)
        share = table.loc["MST", "mean"] / bracket.loc["MST", end]
        assert table.loc["MST", f"share_of_{end}"] == pytest.approx(share, abs=1e-6)
    assert table.loc["MST", "share_of_upper"] > 0.2 and not searched.failed
    ranks = search_brain(asked(world, tmp_path / "ranks", spaces=spaces), replace(HOW, statistic="spearman"))
    assert ranks.summary["rsa/people/regions"]["n_regions"] == 0 and not ranks.failed
    assert "share_of_lower" not in pd.read_csv(tmp_path / "ranks/group/regions.csv")


def test_people_who_share_nothing_and_stimuli_that_come_once_are_told(world, tmp_path, caplog):
    one, other = person(1, place=None), person(2, place=None)
    once = one.select_trials(np.arange(24))
    renamed = other.trials.assign(stimulus=other.trials["stimulus"] + "x")
    write_simulated_recordings([once, replace(other, trials=renamed, rois={})], tmp_path / "fmri")
    recordings = recording_sources(found_recordings(tmp_path / "fmri"))
    with caplog.at_level(logging.INFO):
        found = reliability_brain(asked(world, tmp_path / "out", recordings=recordings), HOW)
    assert not found.failed
    assert found.summary["reliability/halves/sub-01"]["n_stimuli"] == 0
    assert "sub-01: nothing is said of halves:" in caplog.text
    assert "People share no region" in caplog.text
    assert found.summary["reliability/people/regions"]["n_regions"] == 0
    assert found.summary["reliability/people/centres"]["n_centres"] == 0
    assert found.summary["reliability/halves/sub-02"]["n_stimuli"] == 24


def test_regions_alone_leave_what_they_leave_with_centres(found, world, tmp_path):
    again = reliability_brain(asked(world, tmp_path), HOW, centres=False)
    assert "reliability/people/centres" not in again.summary and not list(tmp_path.rglob("voxels.csv"))
    for name in ("group/ceiling/regions.csv", "sub-02/regions.csv"):
        assert (tmp_path / name).read_bytes() == (found.results / name).read_bytes()


def test_stimuli_of_a_space_alone_are_looked_at(world, tmp_path):
    few = tmp_path / "few.csv"
    pd.DataFrame({"id": IDS[:10], "a": range(10)}).to_csv(few, index=False)
    one = recording_sources([world / "fmri/sub-01.h5"])
    found = reliability_brain(asked(world, tmp_path / "out", spaces={"few": few}, recordings=one), HOW)
    assert list(found.summary) == ["reliability/halves/sub-01"]
    assert found.summary["reliability/halves/sub-01"]["n_stimuli"] == 10


def test_distances_without_factors_are_refused_before_anything_is_read(world, tmp_path):
    with pytest.raises(InputError, match="Euclidean distances of patterns have no ceiling here"):
        reliability_brain(asked(world, tmp_path), Searching(brain_metric="euclidean"))
    assert not list(tmp_path.iterdir())
