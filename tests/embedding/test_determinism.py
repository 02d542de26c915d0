"""The same problem and seed give the same bits, whatever does the computing."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from affectome import SPoSE
from affectome.simulation import simulate_emotions

SETTINGS = {"n_components": 5, "batch_size": 6000, "random_state": 3}  # three gradient blocks a step, so threads matter

FIT = f"""
import hashlib
from affectome import SPoSE, simulate_emotions
trials = simulate_emotions(60, 4, seed=2).sample_answers(12_000, seed=5)
print(hashlib.sha256(SPoSE(**{SETTINGS!r}).fit(trials).embedding_.tobytes()).hexdigest())
"""

TWO_THREADS = """
import threading
import numpy as np
from affectome import SPoSE, predicted_rsm, simulate_emotions
world = simulate_emotions(30, 3, seed=2)
trials = world.sample_answers(3000, seed=5)
work = lambda: (SPoSE(3, random_state=0).fit(trials).embedding_, predicted_rsm(world.planted).to_numpy())
alone, found = work(), []
threads = [threading.Thread(target=lambda: found.extend(work() for _ in range(10))) for _ in range(2)]
[t.start() for t in threads]
[t.join() for t in threads]
assert len(found) == 20
assert all(np.array_equal(a, b, equal_nan=True) for pair in found for a, b in zip(alone, pair))
print("same")
"""


@pytest.fixture(scope="module")
def blocky_trials():
    return simulate_emotions(60, 4, seed=2).sample_answers(12_000, seed=5)


@pytest.fixture(scope="module")
def bits(blocky_trials):
    return SPoSE(**SETTINGS, n_jobs=2).fit(blocky_trials).embedding_.tobytes()


def run_python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize("settings", [{}, {"tol": 0.0}], ids=["defaults", "to the last bit"])
def test_number_of_threads_changes_no_bit_of_the_path(settings):
    trials = simulate_emotions(100, 4, seed=0).sample_answers(60_000, seed=1)
    one, two = (SPoSE(6, n_init=1, random_state=0, n_jobs=n, **settings).fit(trials) for n in (1, 2))
    assert np.array_equal(one.objective_path_, two.objective_path_) and one.objective_ == two.objective_
    assert np.array_equal(one.embedding_, two.embedding_)


@pytest.mark.parametrize("n_jobs", [1, None, -1])
def test_number_of_threads_changes_no_bit(blocky_trials, bits, n_jobs):
    assert SPoSE(**SETTINGS, n_jobs=n_jobs).fit(blocky_trials).embedding_.tobytes() == bits


def test_process_with_one_thread_gives_the_same_bits(bits):
    assert run_python(FIT, NUMBA_NUM_THREADS="1") == hashlib.sha256(bits).hexdigest()


def test_process_that_compiles_gives_the_bits_of_one_that_loads_the_cache(tmp_path):
    compiled, loaded = (run_python(FIT, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert compiled == loaded


def test_another_seed_gives_another_fit(blocky_trials, bits):
    other = SPoSE(**{**SETTINGS, "random_state": 4}).fit(blocky_trials)
    assert other.embedding_.tobytes() != bits


def test_random_state_object_is_the_same_as_its_seed(trials):
    a = SPoSE(3, random_state=np.random.RandomState(7)).fit(trials)
    b = SPoSE(3, random_state=7).fit(trials)
    assert np.array_equal(a.embedding_, b.embedding_)


def test_two_python_threads_may_compute_at_once():
    # numba's own pool ends the process when it is entered twice at once.
    assert run_python(TWO_THREADS, NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="2") == "same"
