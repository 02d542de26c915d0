"""The slice of Haxby et al. (2001), drawn: what is where, and how large the files are."""

import importlib.util
from pathlib import Path

import numpy as np
from scipy.stats import f_oneway

from affectome.plotting import plot_slices, save_figure
from affectome.report import write_brain_view

_spec = importlib.util.spec_from_file_location("haxby", Path(__file__).with_name("haxby.py"))
haxby = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(haxby)


def test_the_slice_is_drawn_voxel_by_voxel_with_its_orientation(data, tmp_path):
    recording = haxby.haxby_recording(data)
    trials, responses = recording.trials, recording.responses
    centred = responses - np.stack([responses[trials["run"] == run].mean(0) for run in trials["run"]])
    found = f_oneway(*[centred[trials["stimulus"] == name] for name in trials["stimulus"].unique()])
    significant = found.pvalue < 0.05 / recording.n_voxels
    assert 40 < significant.sum() < 120
    figure = plot_slices(found.statistic, recording.geometry, "F over 8 categories", significant=significant)
    (image,) = (image for ax in figure.axes for image in ax.images if image.get_gid() == "map")
    drawn = image.get_array()
    assert drawn.shape == (20, 40, 4)
    assert (drawn[..., 3] == 1).sum() == significant.sum()
    best = recording.geometry.ijk[np.argmax(found.statistic)]
    # Its first index runs to the left, so that it is drawn from the right.
    assert tuple(np.unravel_index(np.argmax(drawn[..., :3].sum(-1) * (drawn[..., 3] == 1)), (20, 40))) == (
        best[1], 39 - best[0])  # fmt: skip
    np.testing.assert_allclose(np.diff(image.get_extent())[::2], [40 * 3.1, 20 * 3.75], rtol=1e-6)  # mm
    for path in save_figure(figure, tmp_path, "haxby", ("png", "pdf", "svg")):
        assert path.stat().st_size < 200_000
    page = write_brain_view(tmp_path / "haxby.html", found.statistic, recording.geometry, "F")
    assert page.stat().st_size < 500_000
