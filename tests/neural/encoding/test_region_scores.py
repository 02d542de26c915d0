import logging

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from affectome import InputError
from affectome._resampling import false_discovery_rate
from affectome.neural import (
    Recording,
    compare_encodings,
    compare_group,
    encode,
    encoding_significance,
    region_scores,
    region_tests,
)

ALPHAS = np.logspace(1, 4, 5)
RUNS, PER_RUN, FEATURES, VOXELS = 12, 15, 6, 16
ROIS = {"TPJ": np.arange(VOXELS) < 10, "IPL": np.arange(VOXELS) >= 8}  # they overlap


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def draw_world(seed, *, signal=0.5, within=0.0, subject="sub-01", rois=ROIS):
    """A space and a recording that follows it: voxels share noise, noise of a run is AR(1)."""
    rng = np.random.default_rng(seed)
    n = RUNS * PER_RUN
    ids = [f"s{k:03d}" for k in range(n)]
    space = pd.DataFrame(rng.normal(size=(n, FEATURES)), index=ids, columns=[f"c{k}" for k in range(FEATURES)])
    noise = rng.normal(size=(RUNS, PER_RUN, VOXELS + 1))
    for trial in range(1, PER_RUN):
        noise[:, trial] = within * noise[:, trial - 1] + np.sqrt(1 - within**2) * noise[:, trial]
    noise = noise.reshape(n, VOXELS + 1)
    weights = np.random.default_rng(99).normal(size=(FEATURES, VOXELS)) / np.sqrt(FEATURES)
    responses = signal * space.to_numpy() @ weights + 0.7 * noise[:, 1:] + 0.7 * noise[:, :1]
    trials = pd.DataFrame({"stimulus": ids, "run": np.repeat(np.arange(RUNS), PER_RUN) + 1, "session": 1})
    return space, Recording(subject, responses.astype(np.float32), trials, rois=rois)


@pytest.fixture(scope="module")
def world():
    space, recording = draw_world(0)
    return space, recording, encode(space, recording, name="mllm", alphas=ALPHAS)


def test_region_r_is_the_mean_of_the_r_of_its_voxels(world):
    _, recording, encoding = world
    found = region_scores(encoding, recording).set_index("region")
    for name, roi in ROIS.items():
        assert found.loc[name, "r"] == pytest.approx(encoding.r[roi].mean(), abs=1e-6)
        assert found.loc[name, "n_voxels"] == roi.sum()
        assert found.loc[name, "low"] < found.loc[name, "r"] < found.loc[name, "high"]
    assert list(found.columns) == ["subject", "space", "n_voxels", "r", "se", "low", "high"]


def test_standard_error_equals_leaving_out_and_moving_every_run_by_hand(world):
    """The brute-force twin: np.corrcoef without each run, and the noise of fitting run by run."""
    _, recording, encoding = world
    run = recording.trials["run"].to_numpy()[encoding.rows]
    y, x = recording.responses[encoding.rows].astype(float), encoding.predict().astype(float)
    by_fold = np.stack([model.predict(encoding.design) for model in encoding.models]).astype(float)

    def mean_r(rows):
        return np.mean([np.corrcoef(x[rows, v], y[rows, v])[0, 1] for v in np.flatnonzero(ROIS["TPJ"])])

    whole, without = mean_r(run > 0), np.array([mean_r(run != k) for k in np.unique(run)])
    jackknife, fitting = (RUNS - 1) / RUNS * ((without - without.mean()) ** 2).sum(), 0.0
    yc, xc = y - y.mean(0), x - x.mean(0)
    residual = yc - xc * (xc * yc).sum(0) / (xc**2).sum(0)
    length = np.sqrt((xc**2).sum(0) * (yc**2).sum(0))
    for k in np.unique(run):
        rows = run == k
        for fold, predicted in enumerate(by_fold):
            if encoding.fold[rows][0] != fold:
                moved = (residual[rows] * (predicted - by_fold.mean(0))[rows]).sum(0) / length
                fitting += 6 / 5 * moved[ROIS["TPJ"]].mean() ** 2
    variance = jackknife + min(fitting, 1.5 * jackknife)
    found = region_scores(encoding, recording).set_index("region").loc["TPJ"]
    assert found["r"] == pytest.approx(whole, abs=1e-6)
    assert found["se"] == pytest.approx(np.sqrt(variance), rel=1e-5)
    assert (found["high"] - found["r"]) / found["se"] == pytest.approx(2.200985, rel=1e-5)  # t, 11 degrees of freedom


def test_memory_changes_nothing_but_rounding(world):
    _, recording, encoding = world
    whole = region_scores(encoding, recording)
    said = []
    parts = region_scores(
        encoding, recording, memory_gb=1e-4, progress=lambda done, total, detail="": said.append((done, total))
    )
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-10)
    assert len(said) > 2 and said[-1] == (VOXELS, VOXELS)


def test_constant_voxels_are_left_out_and_an_empty_region_is_undefined(caplog):
    space, recording = draw_world(1)
    responses = recording.responses.copy()
    responses[:, :4] = 3.0
    rois = {**ROIS, "flat": np.arange(VOXELS) < 4}
    flat = Recording("sub-01", responses, recording.trials, rois=rois)
    with caplog.at_level(logging.CRITICAL):
        found = region_scores(encode(space, flat, name="mllm", alphas=ALPHAS), flat).set_index("region")
    assert found["n_voxels"].tolist() == [6, 8, 0]
    assert found.loc["TPJ"].notna().all() and found.loc["flat", ["r", "se", "low", "high"]].isna().all()


@pytest.mark.parametrize(("signal", "within"), [(0.5, 0.5), (0.0, 0.0)])
def test_interval_covers_what_other_runs_and_fits_give(signal, within):
    """100 recordings, the encoding fitted to each; AR(1) noise in runs. Over 300 worlds coverage was .935 to .98."""
    with_fits = []
    for seed in range(100):
        space, recording = draw_world(seed, signal=signal, within=within)
        logging.disable(logging.WARNING)
        encoding = encode(space, recording, name="mllm", alphas=ALPHAS)
        logging.disable(logging.NOTSET)
        with_fits.append(region_scores(encoding, recording).loc[0, ["r", "low", "high"]].to_numpy(float))
    r, low, high = np.array(with_fits).T
    covered = ((low <= r.mean()) & (r.mean() <= high)).mean()
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 100) <= covered
    assert np.std(r) == pytest.approx(np.mean(high - low) / 2 / 2.201, rel=0.35)  # and it is no wider than needed


def test_p_is_that_of_the_permutations_of_the_regions(world):
    _, recording, encoding = world
    tested = encoding_significance(encoding, recording, n_permutations=99, tail="empirical", seed=0)
    found = region_scores(encoding, recording, significance=tested)
    assert found["p"].tolist() == [0.01, 0.01]
    for name, null in zip(ROIS, found["null"], strict=True):  # the mean over voxels of what each has over permutations
        assert null == pytest.approx(tested.null_mean[ROIS[name]].mean(), abs=1e-6) and null < -0.03
    np.testing.assert_allclose(found["q"], false_discovery_rate(found["p"]))
    nothing, silence = draw_world(7, signal=0.0)
    unrelated = encode(nothing, silence, name="mllm", alphas=ALPHAS)
    chance = encoding_significance(unrelated, silence, n_permutations=99, tail="empirical", seed=0)
    chance = region_scores(unrelated, silence, significance=chance)
    assert ((chance["low"] < chance["null"]) & (chance["null"] < chance["high"]) & (chance["high"] < 0.1)).all()
    one = region_scores(encoding, recording, significance=tested, rois={"IPL": ROIS["IPL"]})
    assert one["q"].tolist() == one["p"].tolist()
    with pytest.raises(InputError, match="the regions STS were not tested"):
        region_scores(encoding, recording, significance=tested, rois={"STS": ROIS["IPL"]})


def test_from_encodings_to_the_group():
    """Three people, a space that the regions follow beside noise: the whole way, with the tests of single people."""
    rng = np.random.default_rng([5, 1])
    scores, differences = [], []
    logging.disable(logging.WARNING)
    for person in range(3):
        space, recording = draw_world(person, signal=0.8, subject=f"sub-0{person}")
        other = pd.DataFrame(rng.normal(size=space.shape), index=space.index, columns=space.columns)
        first = encode(space, recording, name="mllm", alphas=ALPHAS)
        second = encode(other, recording, name="llm", alphas=ALPHAS)
        scores += [region_scores(one, recording) for one in (first, second)]
        differences.append(compare_encodings(first, second, recording))
    logging.disable(logging.NOTSET)
    tests = region_tests(differences)
    assert tests[["subject", "region", "space", "reference"]].iloc[0].tolist() == ["sub-00", "TPJ", "llm", "mllm"]
    assert len(tests) == 6
    found = compare_group(pd.concat(scores), reference="mllm", tests=tests, seed=0)
    assert found.comparisons["n_above"].tolist() == [3, 3]
    expected = [np.mean([one.regions.loc[region, "difference"] for one in differences]) for region in ROIS]
    np.testing.assert_allclose(found.comparisons["difference"], expected)


def test_a_difference_of_two_equal_spaces_holds_its_level():
    """True ties: both spaces are the planted one with noise of the same size. Over 200 worlds .035 to .05 at .05."""
    p = []
    logging.disable(logging.WARNING)
    for seed in range(60):
        rng = np.random.default_rng([seed, 1])
        space, recording = draw_world(seed, within=0.5)
        pair = [
            encode(space + 0.7 * rng.normal(size=space.shape), recording, name=name, alphas=ALPHAS) for name in "ab"
        ]
        p.append(region_tests([compare_encodings(*pair, recording)])["p"].iloc[0])
    logging.disable(logging.NOTSET)
    assert (np.array(p) <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    assert 0.3 < np.mean(p) < 0.7


def test_what_cannot_be_scored_is_refused(world):
    space, recording, encoding = world
    with pytest.raises(InputError, match="there are no regions"):
        region_scores(encoding, recording, rois={})
    with pytest.raises(InputError, match="the regions TPJ are no masks over 16 voxels"):
        region_scores(encoding, recording, rois={"TPJ": np.ones(3, bool)})
    with pytest.raises(InputError, match="level=1"):
        region_scores(encoding, recording, level=1)
    _, other = draw_world(3, subject="sub-02")
    with pytest.raises(InputError, match="the recording of sub-02"):
        region_scores(encoding, other)
    tested = encoding_significance(encoding, recording, n_permutations=99, tail="empirical", seed=0)
    renamed = encode(space, recording, name="llm", alphas=ALPHAS)
    with pytest.raises(InputError, match="the significance is of sub-01, mllm, the encoding of sub-01, llm"):
        region_scores(renamed, recording, significance=tested)
    with pytest.raises(InputError, match="no comparisons"):
        region_tests([])
    pairs = [compare_encodings(*pair, recording) for pair in ((encoding, renamed), (renamed, encoding))]
    with pytest.raises(InputError, match="different references, llm, mllm"):
        region_tests(pairs)


def test_a_voxel_that_varies_in_one_run_only_is_in_no_region_mean(caplog):
    space, recording = draw_world(2)
    responses, run = recording.responses.copy(), recording.trials["run"].to_numpy()
    responses[run != 3, :4] = 0.0
    odd = Recording("sub-01", responses, recording.trials, rois=ROIS)
    with caplog.at_level(logging.CRITICAL):
        encoding = encode(space, odd, name="mllm", alphas=ALPHAS)
        pair = compare_encodings(encoding, encode(space.iloc[:, :2], odd, name="llm", alphas=ALPHAS), odd)
    found = region_scores(encoding, odd).set_index("region")
    assert found["n_voxels"].tolist() == [6, 8] and pair.regions["n_voxels"].tolist() == [12, 6, 8]
    assert found.loc["TPJ", "r"] == pytest.approx(encoding.r[4:10].mean(), abs=1e-6)


@pytest.mark.parametrize("alpha", [100.0, 1e7])
def test_an_offset_of_the_scanner_changes_nothing(alpha, caplog):
    """Raw responses lie about 10,000; predictions that vary little about that need more than float32."""
    space, recording = draw_world(3)
    rounded = np.round(recording.responses * 256) / 256  # whole multiples of what float32 resolves at 10,000
    tables = []
    for offset in (0, 10_000):
        raw = Recording("sub-01", (rounded + offset).astype(np.float32), recording.trials, rois=ROIS)
        with caplog.at_level(logging.CRITICAL):
            pair = [
                encode(part, raw, name=name, alphas=[alpha]) for name, part in (("a", space), ("b", space.iloc[:, :2]))
            ]
        difference = compare_encodings(*pair, raw).regions
        tables.append(np.r_[
            region_scores(pair[0], raw)[["r", "se"]].to_numpy().ravel(),
            difference[["r_first", "r_second", "se"]].to_numpy().ravel(),
        ])  # fmt: skip
    np.testing.assert_allclose(tables[1], tables[0], rtol=0.01, atol=1e-3)
