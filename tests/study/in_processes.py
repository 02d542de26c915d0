"""What processes of a test load first: they may stop in the middle of a stage, and draw figures quickly.

Where the environment has ``STOPS_IN``, a stage and a file, the first process that is about to give the first file of
that stage its name touches the file, and is killed; where ``STOPS`` is ``wait``, it waits until the file is gone.
Where it has ``QUICK_FIGURES``, figures are those of the fixture of that name.
"""

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import affectome.plotting
import affectome.study._engine
import affectome.study._written
from affectome.plotting import plot_voxel_values

stops_in, _, mark = os.environ.get("STOPS_IN", "").partition("=")
if "noted" not in globals():  # Dask loads it again
    noted, give_name = affectome.study._engine._noted, Path.replace


def histogram(values, geometry, label, *, significant, title, diverging):
    return plot_voxel_values(values, label, significant=significant, title=title)


def histogram_of_difference(result, geometry, *, on, title, labels=None, significant=None):
    return histogram(result.voxels["difference"], geometry, on, significant=significant, title=title, diverging=True)


def stop(temporary, target):
    if not Path(mark).exists():
        Path(mark).touch()
        if os.environ.get("STOPS") != "wait":
            os.kill(os.getpid(), signal.SIGKILL)
        while Path(mark).exists():
            time.sleep(0.01)
    return give_name(temporary, target)


@contextmanager
def noted_and_stopped(stage, results):
    with noted(stage, results), patch.object(Path, "replace", stop if stage.name == stops_in else give_name):
        yield


if os.environ.get("QUICK_FIGURES"):
    affectome.study._written.FORMATS = ("png",)
    affectome.plotting.plot_glass_brain = affectome.plotting.plot_surface = histogram
    affectome.plotting.plot_difference_map = histogram_of_difference
affectome.study._engine._noted = noted_and_stopped
