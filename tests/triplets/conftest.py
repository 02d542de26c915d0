import numpy as np
import pytest

from affectome.triplets import TripletSet, sample_triplets


@pytest.fixture
def trials():
    """Sixty trials of nine stimuli with choices, probabilities, blocks and metadata; the first two unanswered."""
    rng = np.random.default_rng(0)
    questions = sample_triplets([f"s{k}" for k in range(9)], 30, design="repeated", repeats=2, seed=1)
    probabilities = rng.dirichlet([1, 1, 1], 60).astype(np.float32)
    choice = probabilities.argmax(axis=1)
    choice[:2], probabilities[:2] = -1, np.nan
    return TripletSet(
        questions.triplets, questions.ids, choice, probabilities, questions.block, {**questions.metadata, "judge": "ä"}
    )


@pytest.fixture(scope="session")
def assert_same():
    """Compare everything two triplet sets hold."""

    def compare(one, other, *, metadata=True):
        assert one.ids == other.ids
        np.testing.assert_array_equal(one.triplets, other.triplets)
        np.testing.assert_array_equal(one.choice, other.choice)
        for name in ("probabilities", "block"):
            left, right = getattr(one, name), getattr(other, name)
            assert (left is None) == (right is None)
            if left is not None:
                np.testing.assert_array_equal(left, right)
                assert left.dtype == right.dtype
        assert not metadata or one.metadata == other.metadata

    return compare
