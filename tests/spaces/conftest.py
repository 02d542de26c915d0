import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def space():
    """Twelve stimuli, five features of unlike scale and sign."""
    rng = np.random.default_rng(0)
    values = rng.normal([0, 1, -2, 5, 0], [1, 0.1, 3, 1, 10], (12, 5)).astype(np.float32)
    return pd.DataFrame(values, index=pd.Index([f"{k:04d}" for k in range(12)], name="id"), columns=list("pqrst"))
