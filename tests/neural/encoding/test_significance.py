import logging

import numpy as np
import pandas as pd
import pytest

from affectome.errors import InputError
from affectome.neural import Recording, block_permutations, encode, encoding_significance


def autoregressive(rng, runs, columns, phi):
    """Columns that depend on their past inside each run, variance 1."""
    values = rng.normal(size=(len(runs), columns))
    for t in range(1, len(runs)):
        if runs[t] == runs[t - 1]:
            values[t] = phi * values[t - 1] + np.sqrt(1 - phi**2) * values[t]
    return values


def world(seed, *, n=240, p=10, n_voxels=600, n_runs=12, phi=0.0, signal=(), repeats=1, offsets=0.0):
    """A space and a recording of voxels of noise, the first of which follow its first feature with these weights."""
    rng = np.random.default_rng(seed)
    runs = np.arange(n) * n_runs // n + 1
    features, noise = autoregressive(rng, runs, p, phi), autoregressive(rng, runs, n_voxels, phi)
    noise += offsets * rng.normal(size=(n_runs, n_voxels))[runs - 1]
    code = np.arange(n) % (n // repeats)
    noise[:, : len(signal)] += features[code, :1] * np.asarray(signal)
    space = pd.DataFrame(features[: n // repeats], index=[f"s{k:03d}" for k in range(n // repeats)])
    space.columns = [f"f{k}" for k in range(p)]
    trials = pd.DataFrame({"stimulus": space.index[code], "run": runs, "session": 1})
    halves = {"first": np.arange(n_voxels) < n_voxels // 2, "second": np.arange(n_voxels) >= n_voxels // 2}
    return space, Recording("sub-01", noise.astype(np.float32), trials, None, halves)


def refitted(space, recording, orders, **settings):
    """r of every rearrangement, by encoding the rearranged recording: the plain way."""
    return np.stack(
        [
            encode(space, Recording("sub-01", recording.responses[order], recording.trials), name="x", **settings).r
            for order in orders
        ]
    )


def binomial(level, n, width=3.5):
    return pytest.approx(level, abs=width * np.sqrt(level * (1 - level) / n))


@pytest.mark.parametrize(
    ("settings", "penalties", "kind"),
    [
        ({"alphas": [50.0]}, "kept", {}),
        ({"alphas": [50.0]}, "kept", {"repeats": 2}),
        ({"alphas": [50.0], "shared_stimuli": "allow"}, "kept", {"repeats": 2, "offsets": 1.0}),
        ({"alphas": [10.0, 100.0, 1000.0], "precision": "float64"}, "chosen", {}),
        ({"alphas": [10.0, 100.0, 1000.0], "precision": "float64"}, "chosen", {"repeats": 2}),
    ],
)
def test_the_null_is_that_of_encoding_rearranged_recordings(settings, penalties, kind):
    space, recording = world(0, n=96, p=4, n_voxels=12, n_runs=6, signal=[0.5], **kind)
    found = encoding_significance(
        encode(space, recording, name="x", **settings), recording, n_permutations=19, penalties=penalties,
        block_length=2, within=None, tail="empirical", seed=5,
    )  # fmt: skip
    orders = block_permutations(recording.trials, block_length=2, within=None, n_permutations=19, seed=5).orders
    null = refitted(space, recording, orders, **settings)
    assert found.null_mean == pytest.approx(null.mean(axis=0), abs=2e-5)
    assert found.null_sd == pytest.approx(null.std(axis=0), abs=2e-5)
    every = np.vstack([found.r[None], null])
    units = (every - every.mean(axis=0)) / every.std(axis=0)
    assert found.maxima == pytest.approx(units[1:].max(axis=1), abs=2e-3)
    assert found.p_family == pytest.approx(((units[1:].max(axis=1)[:, None] >= units[0]).sum(axis=0) + 1) / 20)
    largest = units[:, :6].max(axis=1)
    assert found.regions["p_largest"][0] == pytest.approx(((largest[1:] >= largest[0]).sum() + 1) / 20)
    assert found.p == pytest.approx(((null >= found.r - 1e-5).sum(axis=0) + 1) / 20)
    means = null[:, :6].mean(axis=1)
    assert found.regions["p"][0] == pytest.approx(((means >= found.r[:6].mean()).sum() + 1) / 20)


def test_the_null_of_bands_keeps_the_weights_of_every_voxel():
    space, recording = world(1, n=96, p=4, n_voxels=10, n_runs=6, signal=[0.5])
    settings = {"bands": {"a": ["f0", "f1"], "b": ["f2", "f3"]}, "alphas": [30.0]}
    encoding = encode(space, recording, name="x", weightings=[[1.5, 0.5], [0.5, 1.5]], **settings)
    found = encoding_significance(encoding, recording, n_permutations=19, tail="empirical", seed=5)
    orders = block_permutations(recording.trials, n_permutations=19, seed=5).orders
    each = {
        weights: refitted(space, recording, orders, weightings=[weights], **settings)
        for weights in ((1.5, 0.5), (0.5, 1.5))
    }
    alike = (encoding.band_weights == encoding.band_weights[:1]).all(axis=(0, 1))
    assert alike.any()
    for voxel in np.flatnonzero(alike):
        null = each[tuple(encoding.band_weights[0, :, voxel].tolist())][:, voxel]
        assert found.null_mean[voxel] == pytest.approx(null.mean(), abs=2e-5)


def test_p_is_valid_with_one_alpha_for_voxels_and_regions():
    space, recording = world(2, n_voxels=1500)
    found = encoding_significance(
        encode(space, recording, name="x", alphas=[100.0]), recording, n_permutations=299, tail="empirical", seed=0,
        rois={f"area {k}": np.arange(1500) // 5 == k for k in range(300)},
    )  # fmt: skip
    for level in (0.05, 0.01):
        assert (found.p <= level).mean() == binomial(level, 1500)
        assert (found.regions["p"] <= level).mean() == binomial(level, 300)
        assert (found.regions["p_largest"] <= level).mean() == binomial(level, 300)
    assert (found.q < 0.05).sum() == 0


def test_the_largest_of_a_brain_without_signal_is_rarely_significant():
    """Kept penalties, dependent voxels, runs that differ in mean: the largest r itself found some in .2."""
    p, largest = [], []
    for seed in range(40):
        space, recording = world(200 + seed, n=160, p=3, n_voxels=60, n_runs=8, offsets=0.3)
        shared = np.random.default_rng(seed).normal(size=(160, 1))
        recording = Recording("sub-01", (recording.responses + 0.6 * shared).astype(np.float32), recording.trials)
        found = encoding_significance(
            encode(space, recording, name="x"), recording, n_permutations=99, tail="empirical", seed=seed, n_jobs=1,
            rois={"all": np.ones(60, bool)},
        )  # fmt: skip
        p.append(np.nanmin(found.p_family))
        largest.append(found.regions["p_largest"][0])
    assert largest == pytest.approx(p)
    assert (np.array(p) <= 0.05).sum() <= 4


def test_predictions_that_stay_as_they_are_would_be_anticonservative():
    """Why every fold is refitted: the same permutations with fixed predictions."""
    space, recording = world(2, n_voxels=1500)
    encoding = encode(space, recording, name="x", alphas=[100.0])
    orders = block_permutations(recording.trials, n_permutations=299, seed=0).orders
    predicted = encoding.predict()
    predicted = (predicted - predicted.mean(axis=0)) / predicted.std(axis=0)
    responses = (recording.responses - recording.responses.mean(axis=0)) / recording.responses.std(axis=0)
    null = np.stack([(predicted * responses[order]).mean(axis=0) for order in orders])
    p = ((null >= encoding.r).sum(axis=0) + 1) / 300
    assert (p <= 0.05).mean() > 0.075 and (p <= 0.01).mean() > 0.02
    assert encoding.r.std() > 1.25 * null.std(axis=0).mean()  # by theory up to the root of 2


def test_kept_penalties_are_conservative_and_chosen_ones_exact():
    space, recording = world(3, n=180, p=6, n_voxels=600, n_runs=6)
    encoding = encode(space, recording, name="x", alphas=np.logspace(1, 4, 8))
    kept, chosen = (
        encoding_significance(encoding, recording, n_permutations=199, penalties=penalties, tail="empirical", seed=0)
        for penalties in ("kept", "chosen")
    )
    assert (chosen.p <= 0.05).mean() == binomial(0.05, 600) and (chosen.p <= 0.01).mean() <= 0.01 + 0.015
    assert (kept.p <= 0.05).mean() < 0.05


def test_below_zero_is_no_finding_either_way():
    """Runs that differ in their mean push r far below 0, and p stays what it should be."""
    space, recording = world(4, n_voxels=1500, offsets=1.5)
    found = encoding_significance(
        encode(space, recording, name="x", alphas=[300.0]), recording, n_permutations=199, tail="empirical", seed=0
    )
    assert np.mean(found.r) < -0.1 and np.mean(found.null_mean) == pytest.approx(np.mean(found.r), abs=0.01)
    assert (found.p <= 0.05).mean() == binomial(0.05, 1500)
    assert found.r[found.p <= 0.05].min() < 0  # less far below than by chance


@pytest.mark.parametrize(("block_length", "valid"), [(1, False), (10, True)])
def test_autocorrelated_trials_need_blocks(block_length, valid, caplog):
    space, recording = world(5, n=480, n_voxels=1200, phi=0.5)
    found = encoding_significance(
        encode(space, recording, name="x", alphas=[100.0]), recording, n_permutations=199, block_length=block_length,
        tail="empirical", seed=0,
    )  # fmt: skip
    share = (found.p <= 0.05).mean()
    assert share == binomial(0.05, 1200) if valid else share > 0.075
    assert ("neighbouring trials are alike" in caplog.text) == (not valid)


def test_planted_voxels_are_found_and_null_regions_are_not():
    space, recording = world(6, n_voxels=300, signal=[1.0] * 20)
    found = encoding_significance(encode(space, recording, name="x"), recording, n_permutations=300, seed=0)
    assert set(range(20)) <= set(np.flatnonzero(found.q < 0.05)) and (found.q < 0.05).sum() <= 24
    assert set(np.flatnonzero(found.p_family < 0.05)) >= set(range(20))
    assert found.fitted[:20].all() and found.smallest_p == 1 / (1000 * 301) and found.tail == "gpd"
    assert found.p[:20].max() < 1 / 301
    regions = found.regions.set_index("region")
    assert regions.loc["first", "q"] < 0.01 and regions.loc["second", "q"] > 0.05
    assert regions.loc["first", "p_largest"] < 0.01
    assert found.table.set_index("criterion").loc["q", "n_voxels"] == (found.q < 0.05).sum()


def test_the_rate_of_false_discoveries_is_nominal():
    """Brains in which a tenth of the voxels are predicted: the mean share of false ones among those found."""
    shares = []
    for seed in range(24):
        space, recording = world(100 + seed, n=120, p=3, n_voxels=60, n_runs=6, signal=[0.5] * 6)
        found = encoding_significance(
            encode(space, recording, name="x", alphas=[30.0]), recording, n_permutations=300, seed=seed
        )
        hits = np.flatnonzero(found.q < 0.05)
        shares.append((hits >= 6).sum() / max(len(hits), 1))
    assert np.mean(shares) <= 0.05 + 3 * np.std(shares) / np.sqrt(24)
    assert np.mean(shares) < 0.1


def test_the_design_of_few_rearrangements_is_exact():
    space, recording = world(7, n=48, p=2, n_voxels=8, n_runs=3)
    found = encoding_significance(
        encode(space, recording, name="x", n_folds=3, alphas=[10.0]), recording, block_length=8, within=None, seed=0
    )
    assert found.n_distinct == 720 and found.n_permutations == 719 and found.tail == "empirical"
    assert found.smallest_p == 1 / 720 and "all rearrangements" in found.null


def test_nothing_depends_on_threads_memory_or_other_voxels():
    space, recording = world(8, n_voxels=4500, n=60, p=2, n_runs=6)
    encoding = encode(space, recording, name="x", alphas=[30.0])
    settings = {"n_permutations": 25, "tail": "empirical", "seed": 0}
    first = encoding_significance(encoding, recording, n_jobs=1, **settings)
    other = encoding_significance(encoding, recording, n_jobs=3, memory_gb=0.15, **settings)
    assert (first.p == other.p).all() and (first.maxima == other.maxima).all() and first.regions.equals(other.regions)


def test_progress_ends_where_it_should():
    space, recording = world(9, n_voxels=50, n=60, p=2, n_runs=6)
    said = []
    encoding_significance(
        encode(space, recording, name="x"), recording, n_permutations=300, seed=0,
        progress=lambda done, total, /, *, detail="": said.append((done, total, detail)),
    )  # fmt: skip
    assert said[-1] == (50, 50, "voxels") and [s[0] for s in said] == sorted(s[0] for s in said)


def test_constant_voxels_have_no_p_and_count_for_nothing():
    space, recording = world(10, n_voxels=6, n=60, p=2, n_runs=6)
    recording.responses[:, 2] = 3
    found = encoding_significance(encode(space, recording, name="x"), recording, n_permutations=200, seed=0)
    assert np.flatnonzero(np.isnan(found.p)).tolist() == np.flatnonzero(np.isnan(found.q)).tolist() == [2]
    assert found.regions["n_voxels"].tolist() == [2, 3]


def test_another_recording_is_noticed():
    space, recording = world(11, n_voxels=5, n=60, p=2, n_runs=6)
    encoding = encode(space, recording, name="x")
    _, other = world(12, n_voxels=5, n=60, p=2, n_runs=6)
    with pytest.raises(InputError, match=r"sub-01: the r of \d voxels is not that of the encoding"):
        encoding_significance(encoding, other, seed=0)
    with pytest.raises(InputError, match="it has 60 trials and 3 voxels, and the encoding 60 and 5"):
        encoding_significance(encoding, recording.select_voxels(np.arange(3)), seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tail": "normal"}, "tail='normal' is not known"),
        ({"penalties": "all"}, "penalties='all' is not known"),
        ({"n_permutations": 50}, "50 permutations have no tail to fit; use 120 or more"),
        ({"memory_gb": 0.0001}, "memory_gb=0.0001 is too small for 60 trials, 2 features"),
        ({"rois": {"TPJ": np.ones(3, bool)}}, "the regions TPJ are no masks over 5 voxels"),
        ({"block_length": 10}, "arranged in 1 ways only"),
    ],
)
def test_settings_that_make_no_test_are_refused(changes, message):
    space, recording = world(11, n_voxels=5, n=60, p=2, n_runs=6)
    with pytest.raises(InputError, match=message):
        encoding_significance(encode(space, recording, name="x"), recording, seed=0, **changes)


@pytest.mark.parametrize("centred", [True, False])
def test_penalties_that_leave_nothing_of_the_predictions_give_no_finding(centred, caplog):
    """With centred runs r is 0; else it is that of the training means, which no rearrangement within runs changes."""
    space, recording = world(3, n=120, n_voxels=8, n_runs=6)
    responses, run = recording.responses.astype(np.float64), recording.trials["run"].to_numpy()
    if centred:
        for k in np.unique(run):
            responses[run == k] -= responses[run == k].mean(axis=0)
    raw = Recording("sub-01", responses.astype(np.float32), recording.trials, None, recording.rois)
    with caplog.at_level(logging.CRITICAL):
        encoding = encode(space, raw, name="x", alphas=[1e12])
        found = encoding_significance(encoding, raw, n_permutations=120, seed=0)
    assert (encoding.r == 0).all() if centred else (encoding.r < 0).all()
    assert (found.q > 0.05).all() and (found.regions["p"] > 0.05).all()
    if not centred:
        assert (found.p == 1).all()
        assert found.regions["null"].to_numpy() == pytest.approx(found.regions["r"].to_numpy(), abs=1e-4)
