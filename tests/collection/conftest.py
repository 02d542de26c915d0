import numpy as np
import pytest

from affectome.judges import Reply
from affectome.triplets import sample_triplets


@pytest.fixture(scope="session")
def questions():
    """Two hundred different triplets of fifteen stimuli."""
    return sample_triplets([f"s{k:02d}" for k in range(15)], 200, seed=0)


@pytest.fixture(scope="session")
def judge_facts():
    return {"kind": "chat", "model": "m", "prompt": {"name": "choice", "sha256": "0"}}


@pytest.fixture(scope="session")
def make_reply():
    """A reply to a question, different for every question and the same every time."""

    def make(question, *, soft=True, text=None, failure=None):
        rng = np.random.default_rng(question)
        p = rng.dirichlet([1, 1, 1])
        return Reply(
            -1 if failure else int(p.argmax()),
            tuple(p) if soft and not failure else None,
            mass=0.9 if soft and not failure else None,
            text="ABC"[p.argmax()] if text is None else text,
            prompt_tokens=100,
            completion_tokens=2,
            cached_tokens=60,
            latency=0.25,
            model="m-1",
            server="http://a/v1",
            failure=failure,
        )

    return make
