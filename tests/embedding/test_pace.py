"""Threads that are slower than one are left alone, and looked at again."""

import numba
import pytest

from affectome.embedding import _pace
from affectome.embedding._pace import Pace


def legs(monkeypatch, pace, count, *, one, all_of_them, most=2):
    """Run legs that take `one` or `all_of_them` seconds; with how many threads each was run."""
    clock, used = [0.0], []
    monkeypatch.setattr(_pace.time, "perf_counter", lambda: clock[0])
    for _ in range(count):
        with pace.threads(most, work=100) as threads:
            used.append(threads)
            clock[0] += one if threads == 1 else all_of_them
    return used


pytestmark = pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="there is but one thread to choose from")


def test_on_a_free_machine_all_threads_work_and_one_is_tried_now_and_then(monkeypatch):
    used = legs(monkeypatch, Pace(2), 50, one=2.0, all_of_them=1.0)
    assert [k for k, threads in enumerate(used) if threads == 1] == [1, 3, 24, 48]


def test_where_threads_wait_for_one_another_one_does_the_work_until_the_machine_is_free(monkeypatch):
    pace = Pace(2)
    used = legs(monkeypatch, pace, 24, one=1.0, all_of_them=5.0)
    assert used == [2, 1, 1, 2, *[1] * 20]
    used = legs(monkeypatch, pace, 10, one=2.0, all_of_them=1.0)
    assert used == [2] * 10


@pytest.mark.parametrize(("n_jobs", "most"), [(1, 8), (2, 1)], ids=["one job", "one block"])
def test_one_thread_is_no_choice(monkeypatch, n_jobs, most):
    assert legs(monkeypatch, Pace(n_jobs), 60, one=1.0, all_of_them=0.1, most=most) == [1] * 60
