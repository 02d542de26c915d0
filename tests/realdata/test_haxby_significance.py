"""Which voxels of a real slice tell eight categories apart, beside recordings whose labels are shuffled."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from affectome.neural import encode, encoding_significance, standardise_runs

from .haxby import haxby_recording

ALPHAS = np.logspace(-1, 4, 20)


@pytest.fixture(scope="module")
def recording(data):
    return standardise_runs(haxby_recording(data))


def categories(recording):
    names = sorted(recording.trials["stimulus"].unique())
    return pd.DataFrame(np.eye(len(names)), index=names, columns=names)


def significance(recording, seed, **settings):
    encoding = encode(
        categories(recording), recording, name="category", n_folds=12, shared_stimuli="allow", alphas=ALPHAS
    )
    return encoding_significance(encoding, recording, seed=seed, **settings)


def shuffled(recording, seed):
    """The same responses, the labels of the blocks shuffled within runs."""
    rng = np.random.default_rng(seed)
    stimulus = recording.trials.groupby("run")["stimulus"].transform(lambda s: rng.permutation(s.to_numpy()))
    return replace(recording, trials=recording.trials.assign(stimulus=stimulus))


def test_a_fifth_of_the_slice_tells_categories_apart(recording):
    found = significance(recording, 0)
    assert 90 <= (found.q < 0.05).sum() <= 130 and 50 <= (found.p_family < 0.05).sum() <= 80
    assert np.nanmax(found.r) == pytest.approx(0.91, abs=0.01)
    assert found.q[np.nanargmax(found.r)] < 0.001


def test_r_far_below_zero_of_unstandardised_runs_finds_the_same_voxels(data, recording):
    raw = significance(haxby_recording(data), 0)
    assert np.nanmean(raw.r) < -0.6 and np.nanmean(raw.null_mean) < -0.7
    strong = significance(recording, 0).p_family < 0.01
    assert (raw.q[strong] < 0.05).mean() > 0.9


def test_shuffled_labels_find_nothing(recording):
    found = [significance(shuffled(recording, seed), seed, n_permutations=500) for seed in range(6)]
    assert sum((one.q < 0.05).any() for one in found) <= 1
    assert np.mean([(one.p < 0.05).mean() for one in found]) < 0.05


@pytest.mark.slow
def test_of_a_hundred_shuffled_recordings_at_most_five_find_any_voxel(recording):
    found = [significance(shuffled(recording, seed), seed) for seed in range(100)]
    assert sum((one.q < 0.05).any() for one in found) <= 5
    assert sum((one.p_family < 0.05).any() for one in found) <= 10
