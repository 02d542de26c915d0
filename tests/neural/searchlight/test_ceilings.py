"""Noise ceilings of geometries: against written-out pairs, what they bracket, and whether their intervals cover."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist

from affectome import InputError
from affectome.neural import Neighbourhoods, Patterns, Recording, geometry_ceiling, run_halves

N_VOXELS = 15
SPHERES = Neighbourhoods(np.array([0, N_VOXELS, N_VOXELS + 6]), np.r_[0:N_VOXELS, 3:9].astype(np.int32))


def people(rng, n=40, n_people=4, noise=1.0, same_runs=True):
    shared, ids = rng.normal(size=(n, N_VOXELS)), tuple(f"s{i}" for i in range(n))
    made = {}
    for k in range(n_people):
        run = np.arange(n) // 8 if same_runs else rng.permutation(np.arange(n) // 8)
        responses = shared + noise * rng.normal(size=(n, N_VOXELS)) + 1
        made[f"sub-{k}"] = Patterns(f"sub-{k}", ids, responses.astype(np.float32), run)
    return made


def by_pairs(members, voxels, metric):
    """Correlations, lower and upper from explicit dissimilarities."""
    left, right = np.triu_indices(len(next(iter(members.values())).ids), 1)
    counted = np.all([m.run[left] != m.run[right] for m in members.values()], axis=0)
    values = np.stack([-pdist(m.responses[:, voxels].astype(np.float64), metric)[counted] for m in members.values()])
    z = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    lower = [np.corrcoef(z[s], np.delete(z, s, axis=0).mean(axis=0))[0, 1] for s in range(len(z))]
    upper = [np.corrcoef(z[s], z.mean(axis=0))[0, 1] for s in range(len(z))]
    return np.corrcoef(values), np.mean(lower), np.mean(upper), int(counted.sum())


@pytest.mark.parametrize("metric", ["correlation", "cosine", "sqeuclidean"])
@pytest.mark.parametrize("same_runs", [True, False])
def test_ceilings_are_those_of_written_out_pairs(metric, same_runs):
    """Also where each person saw the stimuli in other runs: pairs count that are between runs for all."""
    members = people(np.random.default_rng(0), same_runs=same_runs)
    found = geometry_ceiling(members, SPHERES, metric=metric)
    for c in range(2):
        r, lower, upper, n_pairs = by_pairs(members, SPHERES[c], metric)
        np.testing.assert_allclose(found.correlations[c], r, atol=1e-6)
        assert (found.lower[c], found.upper[c]) == pytest.approx((lower, upper), abs=1e-6)
        assert found.n_pairs == n_pairs
    mean = (found.correlations.sum(axis=(1, 2)) - 4) / 12
    np.testing.assert_allclose(found.reliability, 4 * mean / (1 + 3 * mean))
    table = found.table(["left", "right"])
    assert table["centre"].tolist() == ["left", "right"] and (table["lower_low"] < table["lower"]).all()


def test_each_member_may_have_parcels_of_its_own():
    members = people(np.random.default_rng(1))
    shuffled = np.random.default_rng(2).permutation(N_VOXELS).astype(np.int32)
    moved = Patterns("sub-0", members["sub-0"].ids, members["sub-0"].responses[:, shuffled], members["sub-0"].run)
    parcel = Neighbourhoods(np.array([0, 6]), np.arange(6, dtype=np.int32), names=("MTC",))
    own = Neighbourhoods(np.array([0, 6]), np.sort(np.argsort(shuffled)[:6]).astype(np.int32), names=("MTC",))
    one = geometry_ceiling(members, parcel)
    other = geometry_ceiling({**members, "sub-0": moved}, dict.fromkeys(members, parcel) | {"sub-0": own})
    np.testing.assert_allclose(one.correlations, other.correlations, atol=1e-6)


def test_what_members_share_scores_between_the_bounds():
    """The truth, as a model, over 40 groups of people: between lower and upper on average."""
    rng = np.random.default_rng(3)
    lower, upper, truth = [], [], []
    for _ in range(40):
        shared = rng.normal(size=(40, N_VOXELS))
        members = {
            name: Patterns(
                name, tuple(map(str, range(40))), (shared + rng.normal(size=shared.shape)).astype(np.float32)
            )
            for name in "abcde"
        }
        found = geometry_ceiling(members, Neighbourhoods(SPHERES.starts[:2], SPHERES.voxels[:N_VOXELS]))
        scores = [
            np.corrcoef(pdist(m.responses, "correlation"), pdist(shared, "correlation"))[0, 1] for m in members.values()
        ]
        lower.append(found.lower[0]), upper.append(found.upper[0]), truth.append(np.mean(scores))
    assert np.mean(lower) < np.mean(truth) < np.mean(upper)
    assert (np.array(lower) < np.array(upper)).all()


def test_intervals_cover_over_stimuli():
    """Three people and their noise statistics fixed, 60 stimuli drawn anew 300 times."""
    mixing = np.random.default_rng(4).normal(size=(3, 6, N_VOXELS))
    rng = np.random.default_rng(5)
    sphere = Neighbourhoods(SPHERES.starts[:2], SPHERES.voxels[:N_VOXELS])
    lower, ends, upper, upper_ends = [], [], [], []
    for _ in range(300):
        latent = rng.normal(size=(60, 6))
        members = {
            str(k): Patterns(
                str(k), tuple(map(str, range(60))),
                (latent @ mixing[k] + rng.normal(size=(60, N_VOXELS))).astype(np.float32), np.arange(60) // 6,
            )
            for k in range(3)
        }  # fmt: skip
        found = geometry_ceiling(members, sphere)
        lower.append(found.lower[0]), ends.append(found.lower_interval[0])
        upper.append(found.upper[0]), upper_ends.append(found.upper_interval[0])
    for values, interval in ((lower, ends), (upper, upper_ends)):
        truth, (low, high) = np.tanh(np.arctanh(values).mean()), np.array(interval).T
        assert ((low <= truth) & (high >= truth)).mean() == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize("noise", [0.7, 2.0])
def test_halves_of_runs_measure_the_reliability_of_their_mean(noise):
    """Against the correlation of two whole recordings; too low where noise is large, never too high."""
    rng = np.random.default_rng(6)
    trials = pd.DataFrame({"stimulus": [f"s{i:02d}" for i in range(80)] * 4, "run": np.repeat([1, 2, 3, 4], 80)})
    sphere = Neighbourhoods(SPHERES.starts[:2], SPHERES.voxels[:N_VOXELS])
    said, known = [], []
    for _ in range(20):
        shared = np.tile(rng.normal(size=(80, N_VOXELS)), (4, 1))
        one, other = (
            Recording(
                "s", (shared + noise * rng.normal(size=shared.shape)).astype(np.float32), trials.assign(session=1)
            )
            for _ in range(2)
        )
        halves = run_halves(one)
        means = one.responses.reshape(4, 80, N_VOXELS)
        assert halves["odd"].ids == halves["even"].ids and halves["odd"].run is None
        np.testing.assert_allclose(halves["odd"].responses, means[[0, 2]].mean(axis=0), atol=1e-5)
        found = geometry_ceiling(halves, sphere)
        r = found.correlations[0, 0, 1]
        assert found.reliability[0] == pytest.approx(2 * r / (1 + r))
        assert found.lower[0] == pytest.approx(r)
        said.append(found.reliability[0])
        whole = [pdist(rec.responses.reshape(4, 80, N_VOXELS).mean(axis=0), "correlation") for rec in (one, other)]
        known.append(np.corrcoef(*whole)[0, 1])
    short = np.mean(known) - np.mean(said)
    assert -0.01 < short < (0.02 if noise < 1 else 0.12)


def test_members_that_cannot_be_compared_are_refused():
    members = people(np.random.default_rng(7))
    first = members["sub-0"]
    with pytest.raises(InputError, match="give the patterns of at least two"):
        geometry_ceiling({"sub-0": first}, SPHERES)
    turned = Patterns("x", first.ids[::-1], first.responses, first.run)
    with pytest.raises(InputError, match="x: its stimuli are not those of 'sub-0'"):
        geometry_ceiling({"sub-0": first, "x": turned}, SPHERES)
    broken = first.responses.copy()
    broken[3, 7] = np.nan
    with pytest.raises(InputError, match="x, voxel 7: a response is NaN"):
        geometry_ceiling({"sub-0": first, "x": Patterns("x", first.ids, broken, first.run)}, SPHERES)
    with pytest.raises(InputError, match="sub-1: it has no neighbourhoods"):
        geometry_ceiling(members, {"sub-0": SPHERES})
    with pytest.raises(InputError, match="Euclidean distances have no factors"):
        geometry_ceiling(members, SPHERES, metric="euclidean")
    one_run = Patterns("x", first.ids, first.responses, np.zeros(40, np.intp))
    with pytest.raises(InputError, match="no pair of stimuli counts"):
        geometry_ceiling({"sub-0": first, "x": one_run}, SPHERES)
    trials = pd.DataFrame({"stimulus": list("abcdef"), "run": [1, 1, 1, 2, 2, 2], "session": 1})
    recording = Recording("sub-01", np.zeros((6, 3), np.float32), trials)
    with pytest.raises(InputError, match="0 stimuli are shown in both halves"):
        run_halves(recording)
    with pytest.raises(InputError, match="not in both halves"):
        run_halves(recording, ["a", "b", "c", "d"])
    with pytest.raises(InputError, match="there is one run"):
        run_halves(Recording("sub-01", np.zeros((6, 3), np.float32), trials.assign(run=1)))
