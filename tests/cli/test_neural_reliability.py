"""Reliability of geometries as a user types it."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome.neural import Recording, VolumeGrid, read_recording
from affectome.simulation import write_simulated_recordings

pytestmark = pytest.mark.usefixtures("quick_figures")

IJK = np.argwhere(np.ones((4, 4, 4))).astype(np.int32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two people who answer alike to stimuli that come in each of four runs."""
    folder = tmp_path_factory.mktemp("reliability")
    truth, ids = np.random.default_rng(9).normal(size=(20, len(IJK))), [f"clip{k:02d}" for k in range(20)]
    trials = pd.DataFrame({"stimulus": ids * 4, "run": np.repeat(range(1, 5), 20), "session": 1})
    grid = VolumeGrid(IJK, np.diag([4.0, 4, 4, 1]), (4, 4, 4), "MNI152NLin2009cAsym")
    people = [
        Recording(
            f"sub-0{k}",
            (np.tile(truth, (4, 1)) + np.random.default_rng(k).normal(size=(80, len(IJK)))).astype(np.float32),
            trials, grid, {"MST": IJK[:, 2] < 2},
        )
        for k in (1, 2)
    ]  # fmt: skip
    write_simulated_recordings(people, folder / "fmri")
    return folder


def test_one_sentence_per_finding_and_the_same_as_json(run, folder, tmp_path):
    code, out, err = run(
        "neural", "reliability", "--fmri", folder / "fmri", "--radius", 1.5, "--within-run", "include", "--out",
        tmp_path, "--quiet", "--json",
    )  # fmt: skip
    assert code == 0 and "Traceback" not in err
    *lines, last = out.splitlines()
    found = json.loads(last)["found"]
    halves = found["reliability/halves/sub-01"]
    assert lines[0] == (
        f"sub-01, odd against even runs: {halves['n_above']} of 56 centres above 0, with their interval; median r "
        f"{halves['median_r']:.3f}, largest {halves['largest_r']:.3f} (20 stimuli in both)."
    )
    assert halves["n_above"] > 40
    region = halves["best_regions"][0]
    assert lines[1] == (
        f"sub-01, halves of regions: MST {region['r']:.3f} [{region['low']:.3f}, {region['high']:.3f}]."
    )
    ceiling = found["reliability/people/regions"]["best_regions"][0]
    assert f"Noise ceilings of 2 people, lower to upper: MST {ceiling['lower']:.3f} to {ceiling['upper']:.3f}." in lines
    assert any(line.startswith("People agree in ") and " of 56 centres" in line for line in lines)
    assert lines[-1] == f"Results: {tmp_path}"


def test_one_person_who_saw_everything_once_ends_with_one_sentence(run, folder, tmp_path):
    one = read_recording(folder / "fmri/sub-01.h5")
    write_simulated_recordings([one.select_trials(np.arange(20))], tmp_path / "once")
    code, out, err = run("neural", "reliability", "--fmri", tmp_path / "once", "--out", tmp_path / "out", "--quiet")
    assert (code, out) == (2, "") and "Traceback" not in err
    assert "nothing says how reliable geometries are: " in err and "give several people who saw the same" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--brain-metric", "euclidean"], "--brain-metric cannot be 'euclidean'; choose correlation, cosine, sqeucl"),
        (["--within-run", "keep"], "--within-run cannot be 'keep'; choose exclude, include"),
        (["--radius", "0"], "a radius of 0 holds no voxel"),
        (["--level", "1"], "level"),
        (["--fmri", "nowhere.h5"], "nowhere.h5"),
    ],
)
def test_what_cannot_be_is_one_sentence(run, folder, tmp_path, arguments, message):
    code, out, err = run("neural", "reliability", "--fmri", folder / "fmri", "--out", tmp_path / "out", *arguments)
    assert (code, out) == (2, "") and message in err and "Traceback" not in err
