"""How reliable eight categories are around every voxel of a real slice, through the stage that a user starts."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from affectome.neural import read_bdpy, standardise_runs, write_bdpy
from affectome.neural.searchlight import sphere_neighbourhoods
from affectome.study import Brain, Searching, found_recordings, recording_sources, reliability_brain

from .haxby import haxby_recording


@pytest.fixture(scope="module")
def result(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("haxby")
    write_bdpy(folder / "haxby.h5", haxby_recording(data, drift_model="polynomial"))
    recordings = recording_sources(found_recordings(folder / "haxby.h5"))
    asked = Brain(spaces={}, recordings=recordings, out=folder / "out")
    return reliability_brain(asked, Searching(radius=3))


def test_halves_of_the_runs_are_correlated_as_scipy_says(result):
    recording = standardise_runs(read_bdpy(result.results.parent / "haxby.h5"))
    half = recording.trials["run"].to_numpy() % 2
    spheres = sphere_neighbourhoods(recording.geometry, 3)
    table = pd.read_csv(result.results / "haxby/voxels.csv", index_col="voxel")
    for centre in (0, 150, 400):
        means = [
            pd.DataFrame(recording.responses[half == rest][:, spheres[centre]].astype(np.float64))
            .groupby(recording.trials["stimulus"].to_numpy()[half == rest])
            .mean()
            for rest in (0, 1)
        ]
        r = np.corrcoef(*(pdist(mean, "correlation") for mean in means))[0, 1]
        assert table.loc[spheres.centres[centre], "r"] == pytest.approx(r, abs=1e-5)


def test_geometry_is_most_reliable_where_categories_are_told_apart(result):
    table = pd.read_csv(result.results / "haxby/voxels.csv", index_col="voxel")
    told = result.summary["reliability/halves/haxby"]
    assert (told["n_stimuli"], told["n_centres"]) == (8, 529)
    assert 80 <= told["n_above"] <= 110 and told["median_r"] == pytest.approx(0.31, abs=0.02)
    recording = standardise_runs(read_bdpy(result.results.parent / "haxby.h5"))
    kinds = recording.trials["stimulus"].to_numpy()
    f = stats.f_oneway(*(recording.responses[kinds == kind] for kind in np.unique(kinds)))[0]
    spheres = sphere_neighbourhoods(recording.geometry, 3)
    around = np.array([f[inside].mean() for inside in spheres])
    reliable = table.loc[spheres.centres, "r"]
    assert stats.spearmanr(around, reliable).statistic > 0.5
    best = around >= np.quantile(around, 0.9)
    assert reliable[best].median() > 0.5 > 0.3 > reliable[around < np.median(around)].median()
