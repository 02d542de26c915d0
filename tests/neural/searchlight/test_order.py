import logging

import numpy as np
import pandas as pd

from affectome.neural import parcel_neighbourhoods, searchlight
from affectome.neural.searchlight import Patterns


def _searched(space, run, caplog, test="closed", said="are alike", **asked):
    rng = np.random.default_rng(1)
    ids = tuple(space.index)
    given = Patterns("sub-01", ids, rng.normal(size=(len(ids), 12)).astype(np.float32), run)
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        searchlight(given, [_geometry(space)], parcel_neighbourhoods({"V1": np.ones(12, bool)}), test=test, seed=0,
                    n_permutations=19, **asked)  # fmt: skip
    return [record.getMessage() for record in caplog.records if said in record.getMessage()]


def _geometry(space):
    from affectome.neural import model_geometry

    return model_geometry(space, name="mood", ids=tuple(space.index))


def test_a_space_that_knows_the_order_of_runs_is_told_and_one_that_does_not_is_not(caplog):
    rng = np.random.default_rng(0)
    run = np.repeat(np.arange(10), 12)
    ids = [f"s{k}" for k in range(120)]
    drifting = pd.DataFrame(rng.normal(size=(120, 5)) + 0.4 * run[:, None] * [1, -1, 0.5, 0, -0.5], index=ids)
    [said] = _searched(drifting, run, caplog)
    assert said.startswith("sub-01: in mood the stimuli of a run are alike (r = 0.")
    assert 'use test="drawn"' in said
    assert _searched(drifting, run, caplog, test="drawn") == []
    told = [_searched(pd.DataFrame(rng.normal(size=(120, 5)), index=ids), run, caplog) for _ in range(20)]
    assert sum(map(bool, told)) <= 1


def test_a_space_of_runs_with_themes_is_told_although_neighbouring_runs_differ(caplog):
    rng = np.random.default_rng(2)
    run = np.repeat(np.arange(10), 12)
    ids = [f"s{k}" for k in range(120)]
    themes = rng.normal(size=(10, 5))
    themed = pd.DataFrame(rng.normal(size=(120, 5)) + themes[run], index=ids)
    for within_run in ("exclude", "include"):
        [said] = _searched(themed, run, caplog, within_run=within_run)
        assert said.startswith("sub-01: in mood the stimuli of a run are alike (r = 0.")
        assert "a pattern of its own in each run, p in closed form is far too small" in said
    assert _searched(themed, run, caplog, test="drawn") == []
