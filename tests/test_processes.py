"""A process of this machine that is killed ends in one sentence."""

from contextlib import closing

import pytest

from affectome._processes import in_parallel, workers_for
from affectome.errors import EnvironmentFailure


def test_a_killed_worker_is_told_with_its_remedy():
    def killed(shared, part):  # no module has it, so that it travels by its content
        import os
        import signal

        if part == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return part

    parts = in_parallel(killed, None, range(4), workers_for(2, 4))
    with closing(parts) as results, pytest.raises(EnvironmentFailure, match=r"was killed.*fewer --jobs"):
        list(results)
