import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.glm.first_level import compute_regressor, make_first_level_design_matrix, run_glm
from numpy.testing import assert_allclose

from affectome.errors import InputError
from affectome.neural import estimate_trials, read_events

TR = 2.0


def events_at(onsets, durations, labels=None):
    labels = labels or [f"s{k}" for k in range(len(onsets))]
    return pd.DataFrame({"stimulus": labels, "onset": np.asarray(onsets, float), "duration": durations})


def noise(rng, n_scans, n_voxels, rho=0.3):
    """AR(1) noise of unit variance."""
    made = rng.normal(size=(n_scans, n_voxels))
    for scan in range(1, n_scans):
        made[scan] = rho * made[scan - 1] + np.sqrt(1 - rho**2) * made[scan]
    return made


def planted(rng, events, n_scans, n_voxels, sigma):
    """A series in which every trial has its own amplitude, and the amplitudes, (n_trials, n_voxels)."""
    times = (np.arange(n_scans) + 0.5) * TR
    amplitude = 1 + rng.normal(size=(len(events), n_voxels))
    shapes = [
        compute_regressor(([o], [d], [1]), "glover", times)[0][:, 0]
        for o, d in zip(events["onset"], events["duration"], strict=True)
    ]
    return 100 + np.column_stack(shapes) @ amplitude + sigma * noise(rng, n_scans, n_voxels), amplitude


def mean_r(found, truth):
    return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(found.T, truth.T, strict=True)])


@pytest.fixture
def run():
    rng = np.random.default_rng(1)
    events = events_at([4, 12.5, 21, 30, 33, 47], [4.0, 2.0, 6.0, 4.0, 5.0, 4.0], list("abcabc"))
    confounds = pd.DataFrame(rng.normal(size=(40, 2)), columns=["x", "y"])
    return 50 + rng.normal(size=(40, 7)) + np.linspace(0, 3, 40)[:, None], events, confounds


def windows(events, n_scans, delay, ref=0.5):
    """Volumes of each trial, one comparison at a time."""
    return [
        [k for k in range(n_scans) if o + delay <= (k + ref) * TR < o + d + delay]
        for o, d in zip(events["onset"], events["duration"], strict=True)
    ]


def test_a_window_is_the_mean_of_the_volumes_whose_midpoint_lies_in_the_delayed_trial(run):
    series, events, _ = run
    for delay, ref in ((4.0, 0.5), (5.0, 0.5), (4.0, 0.0)):
        expected = [series[scans].mean(axis=0) for scans in windows(events, 40, delay, ref)]
        found = estimate_trials(series, events, tr=TR, delay=delay, slice_time_ref=ref)
        assert found.dtype == np.float32
        assert_allclose(found, expected, rtol=1e-6)


def test_a_window_begins_with_its_onset_and_ends_before_its_end():
    series = np.arange(6.0)[:, None]  # midpoints at 1, 3, 5, 7, 9, 11 s
    events = events_at([1.0], [4.0])
    assert estimate_trials(series, events, tr=TR, delay=2.0) == [[1.5]]  # 3 and 5 s, not 7
    assert estimate_trials(series, events, tr=TR, delay=2.0, window=4.1) == [[2.0]]


def test_window_baselines_are_percent_and_z_of_the_run(run):
    series, events, confounds = run
    means = np.array([series[scans].mean(axis=0) for scans in windows(events, 40, 4.0)])
    level = series.mean(axis=0)
    percent = estimate_trials(series, events, tr=TR, baseline="percent")
    assert_allclose(percent, 100 * (means - level) / level, rtol=1e-5)
    z = estimate_trials(series, events, tr=TR, baseline="z")
    assert_allclose(z, (means - level) / series.std(axis=0), rtol=1e-5)
    x = np.column_stack([np.ones(40), confounds])
    left = series - x @ np.linalg.lstsq(x, series, rcond=None)[0]
    z = estimate_trials(series, events, tr=TR, baseline="z", confounds=confounds)
    expected = np.array([left[scans].mean(axis=0) for scans in windows(events, 40, 4.0)]) / left.std(axis=0)
    assert_allclose(z, expected, rtol=1e-5)


def test_a_window_is_taken_of_what_drift_and_confounds_leave_of_the_run_its_mean_kept(run):
    series, events, confounds = run
    times = (np.arange(40) + 0.5) * TR
    design = make_first_level_design_matrix(times, drift_model="cosine", high_pass=0.02, add_regs=confounds)
    x = design.to_numpy() - design.to_numpy().mean(axis=0)
    left = series - x @ np.linalg.lstsq(x, series - series.mean(axis=0), rcond=None)[0]
    expected = [left[scans].mean(axis=0) for scans in windows(events, 40, 4.0)]
    found = estimate_trials(series, events, tr=TR, confounds=confounds, drift_model="cosine", high_pass=0.02)
    assert_allclose(found, expected, rtol=1e-6)


def nilearn_design(events, confounds, names):
    """nilearn's own design with these condition names."""
    times = (np.arange(40) + 0.5) * TR
    frame = events.assign(trial_type=names)[["onset", "duration", "trial_type"]]
    return make_first_level_design_matrix(times, frame, hrf_model="glover", high_pass=0.02, add_regs=confounds)


def nilearn_betas(series, design, columns, noise_model):
    labels, results = run_glm(series, design.to_numpy(), noise_model=noise_model)
    found = np.empty((design.shape[1], series.shape[1]))
    for label, result in results.items():
        found[:, labels == label] = result.theta
    return found[[list(design.columns).index(name) for name in columns]]


@pytest.mark.parametrize("noise_model", ["ols", "ar1"])
def test_lsa_is_nilearns_model_with_a_condition_per_trial(run, noise_model):
    series, events, confounds = run
    names = [f"t{k}" for k in range(6)]
    expected = nilearn_betas(series, nilearn_design(events, confounds, names), names, noise_model)
    found = estimate_trials(
        series, events, tr=TR, method="lsa", confounds=confounds, high_pass=0.02, noise_model=noise_model
    )
    assert_allclose(found, expected, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("noise_model", ["ols", "ar1"])
@pytest.mark.parametrize("others", ["one", "label"])
def test_lss_is_nilearns_model_of_each_trial_beside_the_others(run, noise_model, others):
    series, events, confounds = run
    expected = []
    for trial in range(6):
        names = [f"rest_{label}" if others == "label" else "rest" for label in events["stimulus"]]
        names[trial] = "own"
        design = nilearn_design(events, confounds, names)
        expected.append(nilearn_betas(series, design, ["own"], noise_model)[0])
    found = estimate_trials(
        series, events, tr=TR, method="lss", others=others, confounds=confounds, high_pass=0.02, noise_model=noise_model
    )
    assert_allclose(found, expected, rtol=1e-6, atol=2e-6)


def test_coefficients_in_percent_and_z_are_those_of_the_rescaled_series(run):
    series, events, _ = run
    level = series.mean(axis=0)
    for noise_model in ("ols", "ar1"):
        keywords = {"tr": TR, "method": "lsa", "noise_model": noise_model}
        percent = estimate_trials(series, events, baseline="percent", **keywords)
        assert_allclose(percent, estimate_trials(100 * series / level, events, **keywords), rtol=1e-4, atol=1e-5)
    times = (np.arange(40) + 0.5) * TR
    x = make_first_level_design_matrix(times, drift_model="polynomial", drift_order=2).to_numpy()
    spread = (series - x @ np.linalg.lstsq(x, series, rcond=None)[0]).std(axis=0)
    keywords = {"tr": TR, "method": "lss", "drift_model": "polynomial", "drift_order": 2}
    z = estimate_trials(series, events, baseline="z", **keywords)
    assert_allclose(z, estimate_trials(series, events, **keywords) / spread, rtol=1e-4)


def test_every_method_recovers_planted_responses_of_a_slow_design():
    rng = np.random.default_rng(2)
    events = events_at(np.arange(10, 490, 24), 8.0)
    series, truth = planted(rng, events, 260, 60, sigma=0.5)
    for method in ("window", "lsa", "lss"):
        assert mean_r(estimate_trials(series, events, tr=TR, method=method), truth) > 0.95


def test_lss_recovers_more_than_lsa_and_windows_where_trials_overlap():
    rng = np.random.default_rng(3)
    r = {method: [] for method in ("window", "lsa", "lss")}
    for _ in range(3):
        events = events_at(np.cumsum(rng.uniform(2.5, 4.5, 40)), 2.0)
        series, truth = planted(rng, events, 85, 60, sigma=1.0)
        for method, found in r.items():
            found.append(mean_r(estimate_trials(series, events, tr=TR, method=method), truth))
    means = {method: np.mean(found) for method, found in r.items()}
    assert means["lss"] > means["lsa"] + 0.05
    assert means["lss"] > means["window"] + 0.05


def test_a_window_on_the_plateau_of_long_blocks_is_unbiased():
    rng = np.random.default_rng(4)
    events = events_at(np.arange(20, 900, 60), 30.0)
    series, truth = planted(rng, events, 480, 200, sigma=1.0)
    found = estimate_trials(series, events, tr=TR, delay=16.0, window=12.0)
    error = found - 100 - truth  # a block that lasts reaches its amplitude: the response has the area 1
    assert abs(error.mean()) < 4 * error.mean(axis=0).std() / np.sqrt(200)
    assert error.mean(axis=0).std() < 0.3


def test_prewhitening_does_not_bias_coefficients():
    rng = np.random.default_rng(5)
    events = events_at(np.arange(10, 250, 16), 4.0)
    series, truth = planted(rng, events, 140, 150, sigma=0.5)
    error = estimate_trials(series, events, tr=TR, method="lsa", noise_model="ar1") - truth
    assert abs(error.mean()) < 4 * error.mean(axis=0).std() / np.sqrt(150)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), method=st.sampled_from(["window", "lsa", "lss"]), scale=st.floats(0.1, 10))
def test_responses_follow_their_trials_their_voxels_and_the_units(seed, method, scale):
    rng = np.random.default_rng(seed)
    events = events_at(np.cumsum(rng.uniform(5, 9, 6)), 4.0)
    series = rng.normal(10, 1, (40, 5))
    found = estimate_trials(series, events, tr=TR, method=method)
    order, voxels = rng.permutation(6), rng.permutation(5)[:3]
    again = estimate_trials(scale * series[:, voxels], events.iloc[order], tr=TR, method=method)
    assert_allclose(again, scale * found[order][:, voxels], rtol=1e-4, atol=1e-4 * scale)


def test_a_response_does_not_depend_on_how_many_voxels_are_computed_at_once(monkeypatch, run):
    series, events, _ = run
    whole = estimate_trials(series, events, tr=TR, method="lss", baseline="percent")
    monkeypatch.setattr("affectome.neural.recordings._trial_estimates._BLOCK", 2)
    assert_allclose(estimate_trials(series, events, tr=TR, method="lss", baseline="percent"), whole, rtol=1e-5)


def test_windows_that_share_volumes_are_named_in_the_log(caplog):
    series = np.arange(20.0)[:, None]
    with caplog.at_level(logging.WARNING):
        estimate_trials(series, events_at([2, 4, 20], 6.0), tr=TR)
    assert "the windows of 2 of 3 trials share volumes" in caplog.text


def refused(match, series, events, **keywords):
    with pytest.raises(InputError, match=match):
        estimate_trials(series, events, **{"tr": TR, **keywords})


def test_trials_outside_the_run_or_between_two_volumes_are_named(run):
    series, events, _ = run
    late = pd.concat([events, events_at([77, 200], 4.0, ["late", "later"])], ignore_index=True)
    for method in ("window", "lsa", "lss"):
        refused(r"'late' at 77 s, 'later' at 200 s \(the run ends at 80 s\)", series, late, method=method)
    refused("no volume was taken in the window of 's0' at 5.2 s", series, events_at([5.2], 0.5))
    refused("in the window of 's0' at 5 s", series, events_at([5], 0.0))


def test_lsa_names_trials_at_the_same_moment_and_lss_tells_them_from_the_rest(run):
    series, events, _ = run
    double = pd.concat([events, events_at([21], 6.0, ["twin"])], ignore_index=True)
    refused("cannot tell 'c' at 21 s, 'twin' at 21 s", series, double, method="lsa")
    found = estimate_trials(series, double, tr=TR, method="lss")
    assert_allclose(found[2], found[6], rtol=1e-4)
    refused("cannot tell", series, events_at([21, 21], 6.0), method="lss")


def test_a_model_with_more_trials_than_volumes_is_refused(run):
    series, _, _ = run
    refused("12 volumes, 20 trials", series[:12], events_at(np.arange(20) * 0.9, 1.0), method="lsa")


def test_unknown_durations_need_a_window(run):
    series, events, _ = run
    unknown = events.assign(duration=[4, 2, np.nan, 4, 5, 4])
    refused("duration of 'c' at 21 s is n/a", series, unknown)
    assert_allclose(
        estimate_trials(series, unknown, tr=TR, window=4.0), estimate_trials(series, events, tr=TR, window=4.0)
    )


def test_voxels_and_confounds_that_cannot_be_used_are_counted_and_placed(run):
    series, events, confounds = run
    broken = series.copy()
    broken[5, 3] = np.nan
    refused("column 4: 1 of 7 voxels are not finite", broken, events)
    refused("column 2: 1 of 7 voxels are constant", np.where(np.arange(7) == 1, 3.0, series), events, baseline="z")
    refused("7 of 7 voxels have no mean above 0", series - 100, events, baseline="percent")
    confounds.loc[3, "y"] = np.nan
    refused(r"row 4: the confound 'y' is 'nan'", series, events, confounds=confounds)
    refused("39 rows of confounds are given for 40 volumes", series, events, confounds=confounds.iloc[1:])
    refused("39 nuisance series leave nothing of 40", series, events, drift_model="cosine", high_pass=0.245)
    refused("60 nuisance series leave nothing of 40", series, events, drift_model="polynomial", drift_order=60)
    refused("nuisance series leave nothing", series[:6], events.iloc[:1], confounds=pd.DataFrame(np.eye(6)))


@pytest.mark.parametrize(
    ("keywords", "match"),
    [
        ({"method": "ols"}, "method is 'ols'"),
        ({"baseline": "mean"}, "baseline is 'mean'"),
        ({"drift_model": "spline"}, "drift_model is 'spline'"),
        ({"others": "two", "method": "lss"}, "others is 'two'"),
        ({"tr": 0.0}, "tr is 0"),
        ({"window": -1.0}, "window is -1"),
        ({"high_pass": 0.0}, "high_pass is 0"),
        ({"slice_time_ref": 2.0}, "slice_time_ref is 2"),
        ({"delay": np.inf}, "delay is inf"),
    ],
)
def test_a_setting_that_is_none_is_refused(run, keywords, match):
    refused(match, run[0], run[1], **keywords)


def test_events_are_sorted_and_keep_their_labels_and_columns(tmp_path):
    path = tmp_path / "events.tsv"
    path.write_text("onset\tduration\ttrial_type\tstim_file\n9\tn/a\tx\t0002.mp4\n2.5\t4\tx\t0001.mp4\n0\t2\trest\t\n")
    read = read_events(path, label_column="stim_file", ignore=["", "rest"])
    assert read["stimulus"].tolist() == ["0001.mp4", "0002.mp4"]
    assert read["onset"].tolist() == [2.5, 9.0]
    assert np.isnan(read["duration"][1])
    assert read["trial_type"].tolist() == ["x", "x"]


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ("onset\tduration\n1\t2", "no column 'trial_type'.*the table has onset, duration"),
        ("onset\tduration\ttrial_type", "holds no trial"),
        ("onset\tduration\ttrial_type\n1\t2\trest", "holds no trial"),
        ("onset\tduration\ttrial_type\nn/a\t2\ta", "row 1: the onset is 'n/a', not a number of seconds"),
        ("onset\tduration\ttrial_type\n1\t2\ta\n2\tlong\tb", "row 2: the duration is 'long'"),
        ("onset\tduration\ttrial_type\n1\t-2\ta", "row 1: the duration is negative"),
        ("onset\tduration\ttrial_type\n1\t2\tn/a", "row 1: the trial_type is 'n/a'"),
    ],
)
def test_events_that_say_nothing_are_named_by_row(tmp_path, rows, match):
    path = tmp_path / "events.tsv"
    path.write_text(rows + "\n")
    with pytest.raises(InputError, match=match):
        read_events(path, ignore=["rest"])
