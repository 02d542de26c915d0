import numpy as np
import pandas as pd
import pytest

from affectome.neural import patterns, searchlight, sphere_neighbourhoods, standardise_runs

from .haxby import haxby_recording


@pytest.fixture(scope="module")
def recording(data):
    return standardise_runs(haxby_recording(data, drift_model="polynomial"))


@pytest.fixture(scope="module")
def spheres(recording):
    return sphere_neighbourhoods(recording.geometry, 3)


def categories(recording):
    names = sorted(set(recording.trials["stimulus"]))
    return pd.DataFrame(np.eye(8), index=names, columns=names)


@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
def test_categories_are_told_apart_in_the_same_places_in_odd_and_even_runs(recording, spheres, statistic):
    run, maps = recording.trials["run"].to_numpy(), []
    for odd in (0, 1):
        half = patterns(recording.select_trials(run % 2 == odd), average=False)
        space = {"category": categories(recording)}
        maps.append(searchlight(half, space, spheres, metric="dot", statistic=statistic, test="none").r[:, 0])
    assert np.corrcoef(maps)[0, 1] > 0.6
    both = np.mean(maps, axis=0)
    assert both.max() > 0.25 and both.mean() > 0.05


def test_closed_p_of_real_patterns_are_those_of_permutations_within_runs(recording, spheres):
    given, space = patterns(recording, average=False), {"category": categories(recording)}
    closed = searchlight(given, space, spheres, metric="dot")
    drawn = searchlight(given, space, spheres, metric="dot", test="drawn", n_permutations=499, seed=0)
    known = drawn.p[:, 0] > 0.005
    assert np.abs(np.log10(closed.p[known, 0] / drawn.p[known, 0])).mean() < 0.3
    assert np.corrcoef(np.log(np.maximum(closed.p[:, 0], 0.002)), np.log(drawn.p[:, 0]))[0, 1] > 0.95
    assert (drawn.p_family[:, 0] < 0.05).mean() > 0.5


def test_categories_that_were_shuffled_within_runs_are_found_nowhere(recording, spheres):
    rng = np.random.default_rng(1)
    shuffled = recording.trials.copy()
    shuffled["stimulus"] = recording.trials.groupby("run")["stimulus"].transform(lambda names: rng.permutation(names))
    given = patterns(recording, average=False)
    mixed = type(given)(given.subject, tuple(shuffled["stimulus"]), given.responses, given.run)
    found = searchlight(mixed, {"category": categories(recording)}, spheres, metric="dot")
    assert np.abs(found.r).max() < 0.12 and (found.q < 0.05).sum() == 0
