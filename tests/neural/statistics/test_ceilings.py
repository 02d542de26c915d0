import numpy as np
import pandas as pd
import pytest
from scipy import stats

from affectome.errors import InputError
from affectome.neural import (
    Recording,
    VolumeGrid,
    across_subject_ceiling,
    explainable_variance,
    normalised_scores,
)


def repeated(rng, counts, ev, n_voxels=600):
    stimulus = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    evoked = np.sqrt(ev) * rng.normal(size=(len(counts), n_voxels))[stimulus]
    noise = np.sqrt(1 - ev) * rng.normal(size=(len(stimulus), n_voxels))
    trials = pd.DataFrame({"stimulus": stimulus.astype(str), "run": 1, "session": 1})
    return Recording("sub-01", (evoked + noise).astype(np.float32), trials)


@pytest.mark.parametrize(
    ("counts", "ev"), [([5] * 72, 0.1), ([5] * 40, 0.5), ([2] * 20 + [4] * 20, 0.3), ([5] * 72, 0.0)]
)
def test_explainable_variance_is_unbiased_and_its_interval_covers(counts, ev):
    found = explainable_variance(repeated(np.random.default_rng(0), counts, ev))
    assert found.ev.mean() == pytest.approx(ev, abs=4 * found.ev.std() / np.sqrt(600) + 0.003)
    assert ((found.low <= ev) & (ev <= found.high)).mean() == pytest.approx(0.95, abs=0.03)
    assert found.repeats == (min(counts), max(counts)) and found.n_trials == sum(counts)
    if ev == 0:
        assert (found.p < 0.05).mean() == pytest.approx(0.05, abs=0.03)
        assert 0.4 < (found.ev < 0).mean() < 0.7  # not clipped


def test_explainable_variance_is_the_anova_of_its_definition():
    rng = np.random.default_rng(1)
    recording = repeated(rng, [2, 3, 5, 2], 0.4, n_voxels=1)
    y, stimulus = recording.responses[:, 0].astype(float), recording.trials["stimulus"].to_numpy()
    own = [y[stimulus == name] for name in "0123"]
    within = sum(((v - v.mean()) ** 2).sum() for v in own) / 8
    between = sum(len(v) * (v.mean() - y.mean()) ** 2 for v in own) / 3
    n0 = (12 - (4 + 9 + 25 + 4) / 12) / 3
    found = explainable_variance(recording)
    assert found.ev[0] == pytest.approx((between - within) / (between + (n0 - 1) * within), rel=1e-5)
    assert np.isnan(found.low[0])  # four stimuli say too little about their spread


def test_the_interval_leaves_out_one_stimulus_after_the_other():
    """The brute-force twin: F of scipy without each stimulus, far from 0 and in small units as raw responses are."""
    counts = [2] * 6 + [3] * 6 + [5] * 4
    recording = repeated(np.random.default_rng(7), counts, 0.4, n_voxels=3)
    stimulus = recording.trials["stimulus"].to_numpy()
    raw = Recording("sub-01", (recording.responses / 64 + 100).astype(np.float32), recording.trials)
    found = explainable_variance(raw)
    for voxel in range(3):
        own = [raw.responses[stimulus == str(name), voxel].astype(float) for name in range(len(counts))]
        whole = np.log(stats.f_oneway(*own).statistic) / 2
        left = [np.log(stats.f_oneway(*own[:k], *own[k + 1 :]).statistic) / 2 for k in range(len(own))]
        error = np.std(15 * (whole - np.array(left)), ddof=1) / 4
        ends = np.exp(2 * (whole + stats.t.ppf([0.025, 0.975], 15) * error))
        n = np.array(counts)
        n0 = (n.sum() - (n**2).sum() / n.sum()) / 15
        np.testing.assert_allclose([found.low[voxel], found.high[voxel]], (ends - 1) / (ends + n0 - 1), rtol=1e-4)


@pytest.mark.parametrize("n_averaged", [1, 5])
def test_the_ceiling_is_the_r_of_the_true_signal(n_averaged):
    rng = np.random.default_rng(2)
    recording = repeated(rng, [5] * 500, 0.2, n_voxels=40)
    evoked = np.sqrt(0.2) * rng.normal(size=(4000, 40))
    seen = evoked + np.sqrt(0.8 / n_averaged) * rng.normal(size=(4000, 40))
    best = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(evoked.T, seen.T, strict=True)])
    assert explainable_variance(recording, n_averaged=n_averaged).ceiling.mean() == pytest.approx(best, abs=0.02)


def test_stimuli_shown_once_do_not_count_and_flat_voxels_have_no_ceiling():
    recording = repeated(np.random.default_rng(3), [3] * 20 + [1] * 15, 0.4, n_voxels=3)
    recording.responses[:, 1] = 7
    recording.responses[4, 2] = np.nan
    only = recording.select_trials(recording.trials["stimulus"].astype(int).to_numpy() < 20)
    found, expected = explainable_variance(recording), explainable_variance(only)
    assert found.n_stimuli == 20 and found.ev[0] == pytest.approx(expected.ev[0], abs=1e-6)
    assert np.isnan(found.ev[1:]).all() and np.isnan(found.ceiling[1:]).all() and np.isnan(found.q[1:]).all()


def test_no_repeats_are_refused():
    with pytest.raises(InputError, match="sub-01: 1 stimuli are shown more than once; the ceiling of one person needs"):
        explainable_variance(repeated(np.random.default_rng(0), [1, 1, 2], 0.5))
    with pytest.raises(InputError, match="n_averaged=0"):
        explainable_variance(repeated(np.random.default_rng(0), [2, 2], 0.5), n_averaged=0)


def people(rng, n, signal, n_stimuli=200, n_voxels=500):
    grid = VolumeGrid(
        np.column_stack([np.arange(n_voxels), np.zeros((n_voxels, 2), int)]).astype(np.int32),
        np.eye(4),
        (n_voxels, 1, 1),
        "MNI",
    )
    common = signal * rng.normal(size=(n_stimuli, n_voxels))
    trials = pd.DataFrame({"stimulus": np.arange(n_stimuli).astype(str), "run": 1, "session": 1})
    return [
        Recording(
            f"sub-{k}",
            (common + rng.normal(size=common.shape)).astype(np.float32),
            trials,
            grid,
            {"first": np.arange(n_voxels) < 1, "all": np.ones(n_voxels, bool)},
        )
        for k in range(n)
    ]


@pytest.mark.parametrize(("n", "signal"), [(5, 0.0), (5, 0.5), (3, 1.0)])
def test_subject_bounds_are_those_of_theory_and_the_interval_covers(n, signal):
    """Of n equally reliable persons, rho their correlation."""
    found = across_subject_ceiling(people(np.random.default_rng(4), n, signal))
    rho = signal**2 / (1 + signal**2)
    lower = (n - 1) * rho / np.sqrt((n - 1) * (1 + (n - 2) * rho))
    assert found.lower.mean() == pytest.approx(lower, abs=0.01)
    assert found.upper.mean() == pytest.approx((1 + (n - 1) * rho) / np.sqrt(n * (1 + (n - 1) * rho)), abs=0.01)
    assert ((found.low <= lower) & (lower <= found.high)).mean() == pytest.approx(0.95, abs=0.035)
    if not signal:
        assert (found.p < 0.05).mean() == pytest.approx(0.05, abs=0.035)
        assert np.isnan(found.ceiling[found.lower <= 0]).all()


def test_subject_bounds_are_correlations_with_means_of_standardised_others():
    recordings = people(np.random.default_rng(5), 4, 0.7, n_stimuli=30, n_voxels=2)
    shuffled = recordings[2].select_trials(np.random.default_rng(6).permutation(30))
    found = across_subject_ceiling([*recordings[:2], shuffled, recordings[3]])
    z = np.stack([(r.responses - r.responses.mean(0)) / r.responses.std(0) for r in recordings])
    for voxel in range(2):
        lower = [np.corrcoef(z[s, :, voxel], np.delete(z, s, 0)[:, :, voxel].mean(0))[0, 1] for s in range(4)]
        upper = [np.corrcoef(z[s, :, voxel], z[:, :, voxel].mean(0))[0, 1] for s in range(4)]
        assert found.lower[voxel] == pytest.approx(np.mean(lower), abs=1e-5)
        assert found.upper[voxel] == pytest.approx(np.mean(upper), abs=1e-5)


def test_regions_need_no_common_space():
    recordings = people(np.random.default_rng(7), 3, 0.7, n_voxels=20)
    by_voxel = across_subject_ceiling(recordings)
    recordings[1] = Recording(
        "sub-1", recordings[1].responses[:, ::-1], recordings[1].trials, None,
        {name: roi[::-1] for name, roi in recordings[1].rois.items()},
    )  # fmt: skip
    found = across_subject_ceiling(recordings, regions=["first", "all"])
    assert found.lower[0] == pytest.approx(by_voxel.lower[0], abs=1e-5)
    assert found.by_subject.shape == (3, 2) and found.by_subject.loc[:, "first"].mean() == pytest.approx(found.lower[0])
    with pytest.raises(InputError, match="sub-1: its voxels are not those of sub-0 in a common space"):
        across_subject_ceiling(recordings)


def test_scores_are_shares_only_where_there_is_a_ceiling_and_never_clipped():
    found = explainable_variance(repeated(np.random.default_rng(8), [4] * 60, 0.15, n_voxels=50))
    shares = normalised_scores(np.full(50, 0.5), found)
    assert np.isnan(shares[found.q >= 0.05]).all() and not np.isnan(shares[found.q < 0.05]).any()
    assert shares[found.q < 0.05] == pytest.approx(0.5 / found.ceiling[found.q < 0.05]) and np.nanmax(shares) > 1
    with pytest.raises(InputError, match="give the same voxels"):
        normalised_scores(np.zeros(3), found)


def test_persons_that_cannot_be_compared_are_refused():
    recordings = people(np.random.default_rng(9), 2, 0.5, n_stimuli=12, n_voxels=4)
    with pytest.raises(InputError, match="1 recordings have no others"):
        across_subject_ceiling(recordings[:1])
    with pytest.raises(InputError, match="two recordings are of the same person"):
        across_subject_ceiling([recordings[0], recordings[0]])
    with pytest.raises(InputError, match="sub-0: the regions MST are missing or empty"):
        across_subject_ceiling(recordings, regions=["MST"])
    with pytest.raises(InputError, match="0 stimuli were seen by all 2 persons"):
        across_subject_ceiling(
            [recordings[0].select_trials(np.arange(6)), recordings[1].select_trials(np.arange(6, 12))]
        )
