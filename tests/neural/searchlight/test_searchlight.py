import logging
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from affectome import InputError
from affectome.errors import Interrupted
from affectome.neural import (
    ModelGeometry,
    Neighbourhoods,
    Patterns,
    Recording,
    VolumeGrid,
    model_geometry,
    parcel_neighbourhoods,
    patterns,
    read_searchlight,
    searchlight,
    sphere_neighbourhoods,
    write_searchlight,
)
from affectome.neural.searchlight import _chunks
from affectome.neural.searchlight._moments3 import RunBlocks, dense_pair_sums, permutation_moments
from affectome.neural.searchlight._permutations import CentreGeometry, permuted_scores, stimulus_permutations

SHAPE = (7, 7, 8)
METRICS = ["correlation", "cosine", "euclidean", "sqeuclidean"]


@pytest.fixture(scope="module")
def recording():
    """Patterns of a space in one half of a box of voxels, on a level of 100; noise that runs share."""
    rng = np.random.default_rng(0)
    places = np.argwhere(np.ones(SHAPE, bool)).astype(np.int32)
    responses = rng.normal(size=(48, len(places)))
    run = np.repeat(np.arange(6), 8) + 1
    responses += rng.normal(size=(6, len(places)))[run - 1]
    responses[:, places[:, 2] < 4] += planted().to_numpy() @ rng.normal(size=(3, int((places[:, 2] < 4).sum())))
    trials = pd.DataFrame({"stimulus": [f"s{k:02d}" for k in range(48)], "run": run, "session": 1})
    grid = VolumeGrid(places, np.diag([2.0, 2.0, 2.0, 1.0]), SHAPE)
    return Recording("sub-01", (100 + responses).astype(np.float32), trials, grid)


def planted(seed=1, width=3):
    values = np.random.default_rng(seed).normal(size=(48, width))
    return pd.DataFrame(values, index=[f"s{k:02d}" for k in range(48)]).astype("float32")


@pytest.fixture(scope="module")
def spaces():
    return {"mllm": planted(), "human": planted(2, 5)}


@pytest.fixture(scope="module")
def spheres(recording):
    return sphere_neighbourhoods(recording.geometry, 2)


def by_scipy(recording, spaces, neighbourhoods, statistic, brain_metric, exclude):
    """Pair by pair, from explicit distances."""
    left, right = np.triu_indices(48, 1)
    run = recording.trials["run"].to_numpy()
    kept = run[left] != run[right] if exclude else np.ones(len(left), bool)
    correlate = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[statistic]
    models = [-pdist(space.to_numpy(float), "correlation")[kept] for space in spaces.values()]
    brains = [-pdist(recording.responses[:, inside].astype(float), brain_metric)[kept] for inside in neighbourhoods]
    return np.array([[correlate(brain, model)[0] for model in models] for brain in brains])


@pytest.mark.parametrize("brain_metric", METRICS)
@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
def test_scores_are_those_of_all_pairs_written_out(recording, spaces, spheres, statistic, brain_metric):
    some = sphere_neighbourhoods(recording.geometry, 2, centres=spheres.centres[::29])
    for within_run in ("exclude", "include"):
        found = searchlight(
            recording, spaces, some, statistic=statistic, brain_metric=brain_metric, within_run=within_run, test="none"
        )
        reference = by_scipy(recording, spaces, some, statistic, brain_metric, within_run == "exclude")
        np.testing.assert_allclose(found.r, reference, rtol=0, atol=1e-6 if statistic == "pearson" else 1e-4)
        assert found.n_pairs == (48 * 47 // 2 if within_run == "include" else 48 * 40 // 2)
        assert found.within_run == within_run and found.p is None and found.q is None


def test_what_is_planted_is_found_where_it_is(recording, spaces, spheres):
    found = searchlight(recording, spaces, spheres)
    at = recording.geometry.ijk[spheres.centres, 2]
    mllm, human = found.of_space("mllm"), found.of_space("human")
    assert (found.q[at < 2, mllm] < 0.01).all() and found.r[at < 2, mllm].min() > 0.25
    assert (found.q[at > 5] < 0.05).mean() < 0.05 and (found.q[:, human] < 0.05).mean() < 0.05
    np.testing.assert_allclose(found.q[:, mllm], stats.false_discovery_control(found.p[:, mllm]))
    laid = recording.geometry.volume(found.on_voxels(found.r[:, mllm], recording.n_voxels))
    assert laid[:, :, :2].mean() > 0.3 > 0.1 > abs(laid[:, :, 6:].mean())


def test_neither_processes_nor_memory_move_a_bit(recording, spaces, spheres, caplog):
    asked = {"differences": [("mllm", "human")], "statistic": "pearson"}
    alone = searchlight(recording, spaces, spheres, **asked)
    assert len(spheres) > 2 * _chunks.CHUNK
    with caplog.at_level(logging.WARNING):
        together = searchlight(recording, spaces, spheres, n_jobs=3, memory_gb=0.04, **asked)
    assert "2 processes run instead of 3" in caplog.text
    for part in fields(alone):
        one, other = getattr(alone, part.name), getattr(together, part.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other, err_msg=part.name)
    with pytest.raises(InputError, match=r"a chunk of 128 centres needs .* GB, and 0.001 GB are allowed"):
        searchlight(recording, spaces, spheres, memory_gb=0.001, **asked)


@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
def test_a_centre_does_not_depend_on_the_others_nor_on_the_order_of_voxels(recording, spaces, spheres, statistic):
    whole = searchlight(recording, spaces, spheres, statistic=statistic)
    alone = sphere_neighbourhoods(recording.geometry, 2, centres=[200])
    np.testing.assert_array_equal(searchlight(recording, spaces, alone, statistic=statistic).r[0], whole.r[200])
    order = np.random.default_rng(3).permutation(recording.n_voxels)
    turned = recording.select_voxels(order)
    found = searchlight(turned, spaces, sphere_neighbourhoods(turned.geometry, 2), statistic=statistic)
    for part in ("r", "p"):
        laid = found.on_voxels(getattr(found, part), recording.n_voxels)
        expected = whole.on_voxels(getattr(whole, part), recording.n_voxels)
        np.testing.assert_allclose(laid, expected[:, order], rtol=1e-4, atol=1e-5)


def test_the_order_of_stimuli_does_not_matter(recording, spaces, spheres):
    order = np.random.default_rng(4).permutation(48)
    shuffled = recording.select_trials(order)
    turned = {name: space.iloc[::-1] for name, space in spaces.items()}
    first = searchlight(recording, spaces, spheres, intervals=True)
    second = searchlight(shuffled, turned, spheres, intervals=True)
    for part in ("r", "p", "se"):
        np.testing.assert_allclose(getattr(second, part), getattr(first, part), rtol=1e-4, atol=2e-6, err_msg=part)


class Stops:
    """A progress that ends the work after some chunks."""

    def __init__(self, after):
        self.after, self.said = after, []

    def __call__(self, done, total, /, *, detail=""):
        self.said.append((done, total))
        if done == self.after:
            raise Interrupted("stopped")


def test_a_stopped_walk_goes_on_where_it_was(recording, spaces, spheres, tmp_path, monkeypatch, caplog):
    whole = searchlight(recording, spaces, spheres)
    with pytest.raises(Interrupted):
        searchlight(recording, spaces, spheres, resume=tmp_path, progress=Stops(2))
    scored, scorer = [], _chunks._one_thread
    monkeypatch.setattr(_chunks, "_one_thread", lambda *args: scored.append(len(args[2])) or scorer(*args))
    heard = Stops(None)
    resumed = searchlight(recording, spaces, spheres, resume=tmp_path, progress=heard)
    n_chunks = -(-len(spheres) // _chunks.CHUNK)
    assert len(scored) == n_chunks - 2 and heard.said[0] == (2, n_chunks) and heard.said[-1] == (n_chunks, n_chunks)
    for part in ("r", "p", "null_sd"):
        np.testing.assert_array_equal(getattr(resumed, part), getattr(whole, part))
    searchlight(recording, spaces, spheres, resume=tmp_path)
    assert len(scored) == n_chunks - 2  # nothing was left to do
    (folder,) = tmp_path.iterdir()
    damaged = folder / "chunk-000001.npz"
    damaged.write_bytes(damaged.read_bytes()[:500])
    with caplog.at_level(logging.WARNING):
        mended = searchlight(recording, spaces, spheres, resume=tmp_path)
    assert len(scored) == n_chunks - 1 and "scored anew" in caplog.text
    np.testing.assert_array_equal(mended.r, whole.r)


def test_chunks_of_another_question_are_not_taken(recording, spaces, tmp_path):
    parcels = parcel_neighbourhoods({"a": np.arange(392) < 30, "b": np.arange(392) > 350})
    moved = replace(recording, responses=recording.responses + np.eye(48, 392, dtype=np.float32))
    asked = [
        (recording, spaces, {}),
        (moved, spaces, {}),
        (recording, {"mllm": spaces["mllm"]}, {}),
        (recording, spaces, {"statistic": "spearman"}),
        (recording, spaces, {"brain_metric": "cosine"}),
        (recording, spaces, {"within_run": "include"}),
        (recording, spaces, {"metric": "cosine"}),
        (recording, spaces, {"intervals": True}),
        (recording, spaces, {"test": "drawn", "n_permutations": 20, "seed": 0}),
        (recording, spaces, {"test": "drawn", "n_permutations": 20, "seed": 1}),
    ]
    for given, those, options in asked:
        kept = searchlight(given, those, parcels, resume=tmp_path, **options)
        np.testing.assert_array_equal(kept.r, searchlight(given, those, parcels, **options).r)
    assert len(list(tmp_path.iterdir())) == len(asked)


@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
@pytest.mark.parametrize("within_run", ["exclude", "include"])
def test_closed_p_are_those_of_many_drawn_permutations(recording, spheres, statistic, within_run):
    spaces = {f"space {k}": planted(10 + k, 3 + k) for k in range(8)}  # related to nothing, so that p is anywhere
    some = sphere_neighbourhoods(recording.geometry, 2, centres=spheres.centres[::9])
    asked = {"statistic": statistic, "within_run": within_run}
    closed = searchlight(recording, spaces, some, **asked)
    if statistic == "spearman" and within_run == "exclude":
        # Drawn over runs, ranks of pairs that do not count would be needed: permuted by hand.
        drawn = permuted_by_hand(recording, spaces, some, 3000)
    else:
        drawn = searchlight(
            recording, spaces, some, test="drawn", n_permutations=3000, permute_within=None, seed=1, **asked
        ).p
    np.testing.assert_allclose(closed.p, drawn, rtol=0, atol=0.02 + 3 * np.sqrt(0.25 / 3000))
    assert np.abs(closed.p - drawn).mean() < 0.01
    small = (drawn > 0.01) & (drawn < 0.06)
    assert small.sum() >= 8
    ratio = np.log(closed.p[small] / drawn[small])
    assert np.abs(ratio).max() < np.log(1.7) and abs(ratio.mean()) < np.log(1.3)


def permuted_by_hand(recording, spaces, neighbourhoods, n_permutations):
    """Spearman over the pairs between runs: T, of the ranks of pairs of the space among those that count."""
    rng = np.random.default_rng(5)
    run = recording.trials["run"].to_numpy()
    left, right = np.triu_indices(48, 1)
    kept = run[left] != run[right]
    tables = []
    for space in spaces.values():
        values = np.corrcoef(space.to_numpy(float))
        counted = np.sort(values[left, right][kept])
        tables.append(np.searchsorted(counted, values, side="left") + np.searchsorted(counted, values, side="right"))
    brains = []
    for inside in neighbourhoods:
        ranks = stats.rankdata(-pdist(recording.responses[:, inside].astype(float), "correlation")[kept])
        brains.append(ranks - ranks.mean())
    orders = np.array([np.arange(48), *[rng.permutation(48) for _ in range(n_permutations)]])
    scores = [table[orders[:, left[kept]], orders[:, right[kept]]] @ np.array(brains).T for table in tables]
    return np.stack([(score >= score[0] - 1e-6).mean(axis=0) for score in scores], axis=1)


@pytest.mark.parametrize("brain_metric", ["correlation", "cosine"])
def test_nulls_survive_patterns_that_are_nearly_alike(brain_metric):
    """A pattern 10,000 times what tells stimuli apart leaves similarities 1 to eight digits: more than float32 has."""
    rng = np.random.default_rng(3)
    shared = 1e4 * rng.normal(size=24)
    responses = (rng.normal(size=(60, 24)) + shared).astype(np.float32)
    run, factors = np.arange(60) // 6, rng.normal(size=(60, 3))
    given = Patterns("sub-01", tuple(f"s{k}" for k in range(60)), responses, run)
    sphere, space = Neighbourhoods(np.array([0, 24]), np.arange(24, dtype=np.int32)), ModelGeometry("a", "dot", factors)
    exact = responses.astype(float)
    if brain_metric == "correlation":
        exact -= exact.mean(axis=1, keepdims=True)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    blocks = RunBlocks(60, run)
    sums = dense_pair_sums(exact @ exact.T, blocks)
    null = permutation_moments(sums, dense_pair_sums(factors @ factors.T, RunBlocks(60)), 60)

    closed = searchlight(given, [space], sphere, brain_metric=brain_metric)
    assert closed.null_skewness[0, 0] == pytest.approx(float(null.skewness), abs=1e-3)
    orders = np.array([rng.permutation(60) for _ in range(4000)])
    left, right = np.nonzero(np.triu(blocks.counts(slice(None)), 1))
    pairs = (exact @ exact.T)[left, right]
    permuted = (factors @ factors.T)[orders[:, left], orders[:, right]]
    unit = pairs.std() * (factors @ factors.T)[left, right].std() * len(pairs)
    scores = permuted @ (pairs - pairs.mean()) / unit
    assert closed.null_sd[0, 0] == pytest.approx(scores.std(), rel=0.05)

    drawn = searchlight(given, [space], sphere, brain_metric=brain_metric, test="drawn", n_permutations=999, seed=0)
    told = stimulus_permutations(60, run, n_permutations=999, seed=0)
    expected = permuted_scores([CentreGeometry(dense=exact @ exact.T)], [space], blocks, told)
    assert expected.observed[0, 0] == pytest.approx(drawn.r[0, 0], abs=1e-6)
    np.testing.assert_array_equal(drawn.p, expected.p)


@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
def test_p_of_drawn_permutations_and_the_largest_of_each(recording, spaces, spheres, statistic):
    parcels = parcel_neighbourhoods({f"p{k}": np.arange(392) // 28 == k for k in range(14)})
    found = searchlight(recording, spaces, parcels, statistic=statistic, test="drawn", n_permutations=199, seed=3)
    assert found.n_permutations == 199 and "within their runs" in found.null
    assert found.p.min() >= 1 / 200 and (found.p_family >= found.p).all()
    np.testing.assert_allclose(found.p * 200, np.round(found.p * 200))
    again = searchlight(recording, spaces, parcels, statistic=statistic, test="drawn", n_permutations=199, seed=3)
    np.testing.assert_array_equal(found.p, again.p)
    other = searchlight(recording, spaces, parcels, statistic=statistic, test="drawn", n_permutations=199, seed=4)
    assert (found.p != other.p).any()
    with pytest.raises(InputError, match="permutations are drawn without a seed"):
        searchlight(recording, spaces, parcels, test="drawn")


@pytest.mark.parametrize(("statistic", "test"), [("pearson", "closed"), ("spearman", "closed"), ("pearson", "drawn")])
def test_p_are_uniform_where_nothing_is_related_though_runs_share_noise(statistic, test):
    rng = np.random.default_rng(6)
    n, n_parcels, n_studies = 40, 60, 12
    run, ids = np.repeat(np.arange(5), 8), [f"s{k}" for k in range(n)]
    parcels = parcel_neighbourhoods({f"p{k}": np.arange(n_parcels * 12) // 12 == k for k in range(n_parcels)})
    trials = pd.DataFrame({"stimulus": ids, "run": run, "session": 1})
    p = []
    for study in range(n_studies):  # parcels of a study share nothing but the space
        responses = rng.normal(size=(n, n_parcels * 12)) + 2 * rng.normal(size=(5, n_parcels * 12))[run]
        recording = Recording("sub-01", responses.astype(np.float32), trials)
        spaces = {f"{width}": pd.DataFrame(rng.normal(size=(n, width)), index=ids) for width in (3, 10)}
        p.append(
            searchlight(recording, spaces, parcels, statistic=statistic, test=test, seed=study, n_permutations=199).p
        )
    p = np.concatenate(p)
    for alpha in (0.01, 0.05, 0.5):
        for share in (p <= alpha).mean(axis=0):
            assert abs(share - alpha) < 4 * np.sqrt(alpha * (1 - alpha) / len(p))


def test_differences_are_of_the_scores_and_turn_with_the_pair(recording, spaces, spheres):
    found = searchlight(recording, spaces, spheres, differences=[("mllm", "human"), ("human", "mllm")])
    assert found.pairs == (("mllm", "human"), ("human", "mllm"))
    np.testing.assert_allclose(found.difference[:, 0], found.r[:, 0] - found.r[:, 1])
    np.testing.assert_allclose(found.difference[:, 0], -found.difference[:, 1])
    np.testing.assert_allclose(found.difference_p[:, 0], found.difference_p[:, 1])
    at = recording.geometry.ijk[spheres.centres, 2]
    assert (found.difference_q[at < 2, 0] < 0.05).all() and (found.difference_q[at > 5, 0] < 0.05).mean() < 0.05
    assert (found.low < found.r).all() and (found.r < found.high).all()
    rows = found.difference_table()
    assert list(rows.columns) == ["centre", "first", "second", "difference", "se", "low", "high", "p", "q"]
    assert len(rows) == 2 * len(spheres) and rows["second"].tolist()[:2] == ["human", "mllm"]


def test_standard_errors_are_those_of_leaving_stimuli_out(recording, spaces):
    """The infinitesimal jackknife and that which leaves each stimulus out agree to order 1/n."""
    parcels = parcel_neighbourhoods({"seeing": recording.geometry.ijk[:, 2] < 2})
    for statistic in ("pearson", "spearman"):
        whole = searchlight(recording, spaces, parcels, statistic=statistic, intervals=True, test="none")
        left_out = [
            searchlight(
                recording.select_trials(np.arange(48) != k),
                {name: space.drop(index=f"s{k:02d}") for name, space in spaces.items()},
                parcels,
                statistic=statistic,
                test="none",
            ).r[0]
            for k in range(48)
        ]
        np.testing.assert_allclose(whole.se[0], np.std(left_out, axis=0) * np.sqrt(47), rtol=0.12)


def test_tables_and_maps_name_what_they_hold(recording, spaces):
    rois = {"left": np.arange(392) < 30, "right": np.arange(392) > 350}
    found = searchlight(recording, spaces, parcel_neighbourhoods(rois))
    table = found.table()
    assert table[["parcel", "space"]].values.tolist() == [
        ["left", "mllm"],
        ["left", "human"],
        ["right", "mllm"],
        ["right", "human"],
    ]
    assert table["n_voxels"].tolist() == [30, 30, 41, 41]
    np.testing.assert_array_equal(table["r"], found.r.ravel())
    laid = found.on_voxels(found.r, 392)
    assert laid.shape == (2, 392)
    np.testing.assert_array_equal(laid[:, 0], found.r[0])
    np.testing.assert_array_equal(laid[:, 391], found.r[1])
    assert np.isnan(laid[:, 100]).all()
    np.testing.assert_allclose(found.space_r[0, 1], found.space_r[1, 0])
    assert repr(found).startswith("<Searchlight sub-01: pearson, 2 parcels, spaces mllm, human")
    with pytest.raises(InputError, match="3 values are given for 2 centres"):
        found.on_voxels(np.zeros(3), 392)
    with pytest.raises(InputError, match="there is no space 'llm'"):
        found.of_space("llm")


def test_regression_and_partial_correlation_are_those_of_the_pairs_written_out(recording, spaces):
    three = spaces | {"visual": planted(9, 6)}
    parcels = parcel_neighbourhoods({"a": np.arange(392) < 60, "b": np.arange(392) >= 300})
    left, right = np.triu_indices(48, 1)
    run = recording.trials["run"].to_numpy()
    kept = run[left] != run[right]
    for statistic, scaled in (("pearson", stats.zscore), ("spearman", lambda x: stats.zscore(stats.rankdata(x)))):
        found = searchlight(recording, three, parcels, statistic=statistic, test="none")
        x = np.column_stack([scaled(-pdist(space.to_numpy(float), "correlation")[kept]) for space in three.values()])
        regressed, partial = found.regression(), found.partial(["visual"])
        for k, inside in enumerate(parcels):
            y = scaled(-pdist(recording.responses[:, inside].astype(float), "correlation")[kept])
            beta, rest = np.linalg.lstsq(x, y)[:2]
            np.testing.assert_allclose(regressed.beta[k], beta, atol=2e-4)
            np.testing.assert_allclose(regressed.r2[k], 1 - rest[0] / len(y), atol=2e-4)
            clean = [v - v @ x[:, 2] / len(y) * x[:, 2] for v in (y, x[:, 0], x[:, 1])]
            expected = [np.corrcoef(clean[0], other)[0, 1] for other in clean[1:]]
            np.testing.assert_allclose(partial.iloc[k][["mllm", "human"]], expected, atol=2e-4)


def test_partial_scores_and_their_errors_are_those_of_leaving_stimuli_out(recording, spaces):
    three = spaces | {"visual": planted() + 0.7 * planted(9)}
    parcels = parcel_neighbourhoods({"seeing": recording.geometry.ijk[:, 2] < 2})
    whole = searchlight(recording, three, parcels, controls=["visual"], test="none")
    np.testing.assert_allclose(whole.partial_r[0, :2], whole.partial(["visual"]).iloc[0], atol=1e-9)
    assert np.isnan(whole.partial_r[0, 2]) and whole.partial_low[0, 0] > 0 > whole.partial_low[0, 1]
    left_out = [
        searchlight(
            recording.select_trials(np.arange(48) != k),
            {name: space.drop(index=f"s{k:02d}") for name, space in three.items()},
            parcels,
            test="none",
        )
        .partial(["visual"])
        .iloc[0]
        for k in range(48)
    ]
    np.testing.assert_allclose(whole.partial_se[0, :2], np.std(left_out, axis=0) * np.sqrt(47), rtol=0.15)


def test_differences_beyond_controls_are_those_of_partial_scores_and_stay_in_tables_and_files(
    recording, spaces, tmp_path
):
    three = spaces | {"visual": planted() + 0.7 * planted(9)}
    parcels = parcel_neighbourhoods({"a": np.arange(392) < 60, "b": np.arange(392) >= 300})
    pairs = [("mllm", "human"), ("mllm", "visual")]
    found = searchlight(recording, three, parcels, controls=["visual"], differences=pairs, test="none")
    np.testing.assert_allclose(found.partial_difference[:, 0], found.partial_r[:, 0] - found.partial_r[:, 1])
    assert np.isnan(found.partial_difference[:, 1]).all()  # of the control itself nothing is left
    t = found.partial_difference[:, 0] / found.partial_difference_se[:, 0]
    np.testing.assert_allclose(found.partial_difference_p[:, 0], 2 * stats.t.sf(np.abs(t), 47))
    table = found.difference_table().set_index(["parcel", "second"])
    np.testing.assert_allclose(table.loc[("b", "human"), "partial_p"], found.partial_difference_p[1, 0])
    np.testing.assert_allclose(
        table["partial_q"].xs("human", level="second"), stats.false_discovery_control(found.partial_difference_p[:, 0])
    )
    scores = found.table().set_index(["parcel", "space"])
    np.testing.assert_allclose(scores["partial_p"].xs("mllm", level="space"), found.partial_p[:, 0])
    assert ((scores["partial_low"] > 0) == (scores["partial_p"] < 0.025)).all()
    back = read_searchlight(write_searchlight(tmp_path / "found.npz", found))
    pd.testing.assert_frame_equal(back.difference_table(), found.difference_table())


def test_kendall_is_that_of_all_pairs(recording, spaces):
    few = recording.select_trials(np.arange(0, 48, 3))
    parcels = parcel_neighbourhoods({"a": np.arange(392) < 60, "b": np.arange(392) >= 300})
    found = searchlight(few, spaces, parcels, statistic="kendall", test="none")
    left, right = np.triu_indices(16, 1)
    run = few.trials["run"].to_numpy()
    kept = run[left] != run[right]
    for k, inside in enumerate(parcels):
        brain = pdist(few.responses[:, inside].astype(float), "correlation")[kept]
        for m, space in enumerate(spaces.values()):
            model = pdist(space.iloc[::3].to_numpy(float), "correlation")[kept]
            assert found.r[k, m] == pytest.approx(stats.kendalltau(brain, model).statistic, abs=1e-12)  # without ties
    with pytest.raises(InputError, match="tau-a is no correlation"):
        found.regression()


def test_what_was_found_is_read_as_it_was_written(recording, spaces, spheres, tmp_path):
    rois = parcel_neighbourhoods({"a": np.arange(392) < 30, "b": np.arange(392) > 350})
    for around, options in ((spheres, {"differences": [("mllm", "human")]}), (rois, {"test": "drawn", "seed": 0})):
        found = searchlight(recording, spaces, around, **options)
        read = read_searchlight(write_searchlight(tmp_path / "rsa.npz", found))
        for part in fields(found):
            if part.name != "neighbourhoods":
                np.testing.assert_array_equal(getattr(read, part.name), getattr(found, part.name), err_msg=part.name)
        for part in fields(around):
            np.testing.assert_array_equal(getattr(read.neighbourhoods, part.name), getattr(around, part.name))
        pd.testing.assert_frame_equal(read.table(), found.table())
        pd.testing.assert_frame_equal(read.difference_table(), found.difference_table())
    with pytest.raises(InputError, match=r"use \.npz"):
        write_searchlight(tmp_path / "rsa.csv", found)
    with pytest.raises(InputError, match="no such file"):
        read_searchlight(tmp_path / "absent.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="is not whole"):
        read_searchlight(tmp_path / "other.npz")


def test_spaces_meet_the_recording_in_the_stimuli_all_have(recording, spaces, caplog):
    parcels = parcel_neighbourhoods({"a": np.arange(392) < 60})
    some = {"mllm": spaces["mllm"].iloc[4:], "human": spaces["human"].iloc[:44]}
    with caplog.at_level(logging.WARNING):
        found = searchlight(recording, some, parcels, test="none")
    assert found.n_stimuli == 40
    reduced = recording.select_trials(np.arange(4, 44))
    alone = searchlight(reduced, {name: space.iloc[4:44] for name, space in spaces.items()}, parcels, test="none")
    np.testing.assert_allclose(found.r, alone.r, atol=1e-12)
    given = patterns(recording)
    models = [model_geometry(space, name=name, ids=given.ids) for name, space in spaces.items()]
    np.testing.assert_array_equal(searchlight(given, models, parcels).r, searchlight(recording, spaces, parcels).r)


def test_patterns_without_direction_are_told_of(recording, spaces, caplog):
    responses = recording.responses.copy()
    responses[3, :60] = 7.0
    parcels = parcel_neighbourhoods({"a": np.arange(392) < 60, "b": np.arange(392) >= 60})
    with caplog.at_level(logging.WARNING):
        found = searchlight(replace(recording, responses=responses), spaces, parcels)
    assert "in 1 centres patterns of up to 1 stimuli have no direction" in caplog.text
    assert np.isfinite(found.r).all() and np.isfinite(found.p).all()


def test_what_cannot_be_asked_is_refused_in_a_sentence(recording, spaces, spheres):
    def refused(match, *args, **options):
        with pytest.raises(InputError, match=match):
            searchlight(*args, **options)

    refused("there is no space to look for", recording, {}, spheres)
    refused("statistic='tau' is no choice", recording, spaces, spheres, statistic="tau")
    refused("test='bootstrap' is no choice", recording, spaces, spheres, test="bootstrap")
    refused("within_run='drop' is no choice", recording, spaces, spheres, within_run="drop")
    refused("the space 'human' has no metric", recording, spaces, spheres, metric={"mllm": "dot"})
    refused("there is no space 'llm'", recording, spaces, spheres, differences=[("mllm", "llm")])
    refused("are no two spaces", recording, spaces, spheres, differences=[("mllm", "mllm")])
    refused("name voxel 391, and the patterns have 391", recording.select_voxels(np.arange(391)), spaces, spheres)
    refused("rows without names", recording, [model_geometry(spaces["mllm"], name="m")], spheres)
    refused(
        "it has 48 stimuli and the patterns have 40",
        patterns(recording.select_trials(np.arange(40))),
        [model_geometry(spaces["mllm"], name="m")],
        spheres,
    )
    refused("n_jobs=0 is no number", recording, spaces, spheres, n_jobs=0)
    refused("memory_gb=0 leaves no room", recording, spaces, spheres, memory_gb=0)
    refused("the runs of the stimuli are not known", patterns(recording, runs="ignore"), spaces, spheres, units="run")
    refused(
        "ranks are known of the pairs that count only",
        recording,
        spaces,
        spheres,
        statistic="spearman",
        test="drawn",
        permute_within=None,
        seed=0,
    )
    empty = Neighbourhoods(np.zeros(1, np.int64), np.empty(0, np.int32))
    refused("there is no space 'visual'", recording, spaces, spheres, controls=["visual"])
    refused("all spaces are held constant", recording, spaces, spheres, controls=["mllm", "human"])
    refused("known for Pearson only", recording, spaces, spheres, controls=["human"], statistic="spearman")
    refused("no closed form", recording, spaces, spheres, statistic="kendall")
    refused("there are no centres", recording, spaces, empty)


def test_stimuli_shown_in_several_runs_need_all_pairs_and_the_log_says_so(recording, spaces, spheres, caplog):
    trials = recording.trials.assign(stimulus=[f"s{k % 24:02d}" for k in range(48)])  # twice, in two runs
    repeated = replace(recording, trials=trials)
    with pytest.raises(InputError, match=r"shown in more than one run.*within_run=\"include\""):
        searchlight(repeated, spaces, spheres, test="none")
    with caplog.at_level(logging.WARNING):
        found = searchlight(repeated, spaces, spheres, test="none", within_run="include")
    assert (found.within_run, found.n_stimuli, found.n_pairs) == ("include", 24, 276)
    assert "patterns are means over runs" in caplog.text
    shown = [f"s{k:02d}" for k in range(24)]
    by_hand = searchlight(patterns(repeated, shown, runs="ignore"), spaces, spheres, test="none")
    np.testing.assert_array_equal(found.r, by_hand.r)
    caplog.clear()
    searchlight(recording, spaces, spheres, test="none", within_run="include", units="run", intervals=True)
    assert "means over runs" not in caplog.text  # runs are known, as each stimulus was shown in one


def test_a_single_run_is_enough_where_all_pairs_count(recording, spaces, spheres, caplog):
    single = replace(recording, trials=recording.trials.assign(run=1))
    with pytest.raises(InputError, match="all patterns come from run 1"):
        searchlight(single, spaces, spheres, test="none")
    found = searchlight(single, spaces, spheres, test="none", within_run="include")
    every = searchlight(recording, spaces, spheres, test="none", within_run="include")
    np.testing.assert_array_equal(found.r, every.r)
    assert "means over runs" not in caplog.text


@pytest.mark.parametrize("n", [16, 48])
def test_the_log_says_that_p_is_rough_for_few_stimuli(n, caplog):
    rng = np.random.default_rng(0)
    given = Patterns("sub-01", tuple(f"s{k}" for k in range(n)), rng.normal(size=(n, 9)).astype(np.float32))
    around = Neighbourhoods(np.array([0, 9]), np.arange(9, dtype=np.int32))
    space = ModelGeometry("a", "dot", rng.normal(size=(n, 3)))
    with caplog.at_level(logging.WARNING):
        searchlight(given, [space], around)
        searchlight(given, [space], around, test="none")
    told = [record.getMessage() for record in caplog.records if "rough" in record.getMessage()]
    assert len(told) == (n == 16)
    assert not told or told[0].startswith("sub-01: p in closed form is rough for 16 stimuli")


def test_an_outlying_pattern_does_not_bend_the_null_of_ranked_distances():
    """Skewness of T over drawn permutations; from the cubes of the distances themselves it would be .86, not .69."""
    rng = np.random.default_rng(6)
    factors = rng.normal(size=(60, 5)) * np.r_[8, np.ones(59)][:, None]
    responses = (factors @ rng.normal(size=(5, 40)) + 0.2 * rng.normal(size=(60, 40))).astype(np.float32)
    values = rng.normal(size=60)
    given = Patterns("sub-01", tuple(f"s{k}" for k in range(60)), responses)
    around = Neighbourhoods(np.array([0, 40]), np.arange(40, dtype=np.int32))
    space = ModelGeometry("valence", "dot", values[:, None])
    found = searchlight(given, [space], around, statistic="spearman", brain_metric="sqeuclidean")
    left, right = np.triu_indices(60, 1)
    ranks, table = stats.rankdata(-pdist(responses.astype(float), "sqeuclidean")), np.zeros((60, 60))
    table[left, right] = table[right, left] = stats.rankdata(np.outer(values, values)[left, right])
    orders = np.argsort(rng.random((20000, 60)), axis=1)
    drawn = table[orders[:, left], orders[:, right]] @ (ranks - ranks.mean())
    assert found.null_skewness[0, 0] == pytest.approx(stats.skew(drawn), rel=0.15)
    assert found.null_skewness[0, 0] > 0.5


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("unit", [2.0**-60, 2.0**30])
def test_units_of_responses_move_no_score(unit, backend):
    if backend == "torch":
        pytest.importorskip("torch", reason="the extra 'gpu' is not installed")
    rng = np.random.default_rng(0)
    space = rng.normal(size=(40, 3))
    responses = (space @ rng.normal(size=(3, 12)) + 2 * rng.normal(size=(40, 12))).astype(np.float32)
    model = ModelGeometry("space", "dot", factors=space, signs=np.ones(3))
    spheres = Neighbourhoods(np.array([0, 12]), np.arange(12, dtype=np.int32))
    plain, other = (
        searchlight(
            Patterns("sub-01", tuple(map(str, range(40))), responses * np.float32(scale), np.arange(40) // 8),
            [model], spheres, brain_metric="sqeuclidean", intervals=True, backend=backend,
        )
        for scale in (1.0, unit)
    )  # fmt: skip
    assert 0 < plain.p[0, 0] < 1
    for name in ("r", "se", "p"):
        np.testing.assert_allclose(getattr(other, name), getattr(plain, name), rtol=1e-5)
