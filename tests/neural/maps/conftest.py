import numpy as np
import pandas as pd
import pytest

from affectome.neural import Recording


@pytest.fixture
def record():
    """A recording of one trial with this geometry."""

    def make(geometry=None, subject="sub-01", n_voxels=5):
        n_voxels = n_voxels if geometry is None else len(geometry)
        trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
        return Recording(subject, np.zeros((1, n_voxels), np.float32), trials, geometry)

    return make
