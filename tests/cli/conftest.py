"""A simulated world in files, for commands."""

import pytest

from affectome.simulation import simulate_emotions, write_simulated_tables


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_simulated_tables(simulate_emotions(30, 3, seed=0), folder)
    return folder
