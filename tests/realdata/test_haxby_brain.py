"""Eight categories as a space, through every stage that a user starts, on a real slice."""

import numpy as np
import pandas as pd
import pytest

from affectome import write_space
from affectome.neural import read_bdpy, read_map, write_bdpy
from affectome.plotting import plot_slices, save_figure
from affectome.study import Brain, encode_brain, found_recordings, recording_sources

from .haxby import haxby_recording


@pytest.fixture(scope="module")
def recording(data):
    return haxby_recording(data)


@pytest.fixture(scope="module")
def result(recording, tmp_path_factory):
    folder = tmp_path_factory.mktemp("haxby")
    names = sorted(recording.trials["stimulus"].unique())
    write_space(folder / "category.parquet", pd.DataFrame(np.eye(len(names)), names, names))
    write_bdpy(folder / "haxby.h5", recording)
    asked = Brain(
        spaces={"category": folder / "category.parquet"},
        recordings=recording_sources(found_recordings(folder / "haxby.h5")),
        out=folder / "out",
        shared_stimuli="allow",
        n_folds=12,
        alphas=tuple(np.logspace(-1, 4, 20)),
    )
    return encode_brain(asked)


def test_a_fifth_of_the_slice_tells_categories_apart_and_no_more_than_repeats_allow(result):
    assert not result.failed
    found = result.summary["encode/haxby/category"]
    assert (found["n_trials"], found["n_runs"], found["n_voxels"]) == (96, 12, 530)
    assert 90 <= found["n_significant"] <= 130 and 50 <= found["n_family"] <= 80
    assert found["largest_r"] == pytest.approx(0.91, abs=0.02)
    ceiling = result.summary["ceiling/haxby"]
    assert (ceiling["n_repeated"], ceiling["repeats"]) == (8, [12, 12])
    voxels = pd.read_csv(result.results / "haxby/ceiling/voxels.csv")
    reached = voxels["r/ceiling category"].dropna()
    assert 0.5 < reached.median() < 1.05  # eight conditions, linear in eight indicators: all that repeats share


def test_the_map_of_the_slice_is_believable_and_read_back(result, tmp_path):
    folder = result.results / "haxby/category"
    path = next((folder / "maps").glob("*stat-r_*.nii.gz"))
    table = pd.read_csv(folder / "voxels.csv")
    assert (folder / "view.html").stat().st_size > 10_000
    again = read_bdpy(result.results.parent / "haxby.h5")
    r = read_map(path, again)
    np.testing.assert_allclose(r, table["r"], rtol=1e-6)
    volume = np.squeeze(again.geometry.volume(np.where(table["q"] < 0.05, r, 0)))
    marked = np.nan_to_num(volume) > 0
    beside = [marked & np.roll(marked, step, axis) for axis in (0, 1) for step in (-1, 1)]
    assert (np.any(beside, axis=0) & marked).sum() > 0.85 * marked.sum()  # voxels that are found have found neighbours
    figure = plot_slices(r, again.geometry, "Held-out r", significant=(table["q"] < 0.05).to_numpy(), n_slices=1)
    save_figure(figure, tmp_path, "haxby", ("png",))
    assert (tmp_path / "haxby.png").stat().st_size > 10_000
