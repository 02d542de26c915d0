import numpy as np
import pandas as pd
import pytest

from affectome.neural import Recording, VolumeGrid


def draw_recording(n_trials=12, n_voxels=30, *, n_runs=3, subject="sub-01", seed=0, **parts):
    """Random responses; voxels here and there in a 4 × 5 × 6 volume of 2 × 2 × 2.5 mm; two regions that overlap."""
    rng = np.random.default_rng(seed)
    places = np.argwhere(np.ones((4, 5, 6), bool))[np.random.default_rng(1).permutation(120)[:n_voxels]].astype(
        np.int32
    )
    affine = np.array([[-2.0, 0, 0, 70], [0, 2, 0, -100], [0, 0, 2.5, -50], [0, 0, 0, 1]])
    trials = pd.DataFrame(
        {
            "stimulus": [str(k % 8 + 1) for k in range(n_trials)],
            "run": np.arange(n_trials) * n_runs // n_trials + 1,
            "session": 1,
            "block": np.arange(n_trials) + 1,
        }
    )
    known = {
        "geometry": VolumeGrid(places, affine, (4, 5, 6), "MNI152NLin2009cAsym"),
        "rois": {"V1": np.arange(n_voxels) < 10, "V2": (np.arange(n_voxels) > 5) & (np.arange(n_voxels) < 20)},
    }
    return Recording(subject, rng.normal(size=(n_trials, n_voxels)).astype(np.float32), trials, **(known | parts))


@pytest.fixture(scope="session")
def draw():
    return draw_recording


@pytest.fixture
def recording():
    return draw_recording()
