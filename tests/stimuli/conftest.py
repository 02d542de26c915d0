import numpy as np
import pandas as pd
import pytest

from affectome.stimuli import StimulusSet


def ratings(ids, names=("Joy", "Fear", "Awe"), seed=0):
    values = np.random.default_rng(seed).uniform(0, 1, (len(ids), len(names))).astype(np.float32)
    return pd.DataFrame(values, index=pd.Index(list(ids), name="id"), columns=list(names))


@pytest.fixture
def make_ratings():
    """A random rating table over given ids."""
    return ratings


@pytest.fixture
def stimuli(tmp_path):
    """Four stimuli; a and b have captions, c a video, all of them ratings."""
    clip = tmp_path / "c.mp4"
    clip.write_bytes(b"clip")
    return StimulusSet(
        "abcd",
        captions={"a": ["A dog runs.", "Happy dog."], "b": ["A fall."]},
        videos={"c": clip},
        spaces={"category": ratings("abcd")},
        source="the test set",
    )
