import numpy as np
import pandas as pd
import pytest

from affectome.triplets import TripletSet, sample_triplets


@pytest.fixture(scope="session")
def space():
    """Thirty stimuli with six features of unlike scale."""
    values = np.random.default_rng(0).normal([0, 1, -2, 1, 0, 0], [1, 0.2, 2, 1, 3, 1], (30, 6)).astype(np.float32)
    return pd.DataFrame(values, index=pd.Index([f"s{k:02d}" for k in range(30)], name="id"), columns=list("uvwxyz"))


@pytest.fixture(scope="session")
def questions(space):
    """A thousand different triplets of the space, each asked twice."""
    return sample_triplets(space.index, 1000, design="repeated", repeats=2, seed=0)


@pytest.fixture(scope="session")
def same_question():
    """One triplet of the stimuli of a space, asked many times in the same slots."""

    def repeat(ids, times, slots=(0, 1, 2)):
        return TripletSet(np.tile(slots, (times, 1)), ids=ids)

    return repeat
