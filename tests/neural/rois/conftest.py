import numpy as np
import pandas as pd
import pytest

from affectome.neural import Recording

SIDES = {"L": "lh", "R": "rh"}


@pytest.fixture
def record():
    """A recording of one trial, with this geometry or these regions."""

    def make(geometry=None, rois=None, n_voxels=6):
        rois = {name: np.asarray(mask, bool) for name, mask in (rois or {}).items()}
        n_voxels = len(geometry) if geometry is not None else len(next(iter(rois.values()), np.zeros(n_voxels)))
        trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
        return Recording("sub-01", np.zeros((1, n_voxels), np.float32), trials, geometry, rois)

    return make


@pytest.fixture
def bdpy_record(record):
    """A recording with one voxel per named area and hemisphere, named as bdpy files of HCP areas name them."""

    def make(*areas, sides="LR"):
        names = [f"hcp180_r_{SIDES[side]}.{side}_{area}_ROI" for side in sides for area in areas]
        return record(rois=dict(zip(names, np.eye(len(names), dtype=bool), strict=True)))

    return make
