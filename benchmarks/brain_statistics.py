"""How long statistics of a whole brain take: significance, two spaces compared, regions scored, variance partitioned.

    python benchmarks/brain_statistics.py
    python benchmarks/brain_statistics.py --voxels 2048 --twin 64

2,180 trials in 61 runs, spaces of 30 features, 6 outer folds, 20 alphas, 360 regions. Each analysis runs on some
thousands of voxels, and its seconds are scaled to 100,000: all are linear in voxels. Beside each a plain twin runs on
fewer voxels, its seconds scaled alike, and gives the same numbers, which is checked before anything is reported:

- significance: every fold fitted anew to the rearranged responses by scikit-learn's Ridge, one alpha per voxel;
- comparison and regions: predictions of all trials by the models of all folds, formed and summed trial by trial (of
  the comparison only the voxels, not the regions);
- partition of two spaces, 10 weightings of the bands: their three encodings alone, on as many voxels, R2 without its
  uncertainty; the ratio, below 1, is the share of encoding in a partition.

The last line is JSON: per analysis `cpu_seconds_100k_*` and `ratio_*` (CPU seconds of the twin over ours, per voxel),
significance per 1,000 permutations (scaled from 200); `peak_gb` of the whole process, responses included.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from affectome.neural import (
    Encoding,
    Recording,
    block_permutations,
    compare_encodings,
    encode,
    encoding_significance,
    join_spaces,
    partition_variance,
    region_scores,
)

Call = Callable[[], np.ndarray]
N, P, RUNS, REGIONS, WEIGHTINGS = 2180, 30, 61, 360, 10
PERMUTATIONS, FEW = 200, 19  # ours, and the twin's


def simulate(n_voxels: int) -> tuple[dict[str, pd.DataFrame], Recording]:
    """Two spaces that explain a little of every voxel."""
    rng = np.random.default_rng(0)
    ids = [f"s{k:04d}" for k in range(N)]
    responses, spaces = rng.standard_normal((N, n_voxels), dtype=np.float32), {}
    for name in "ab":
        x = rng.gamma(0.3, size=(N, P)).astype(np.float32)
        spaces[name] = pd.DataFrame(x, index=ids, columns=[f"{name}{k}" for k in range(P)])
        z = (x - x.mean(axis=0)) / x.std(axis=0)
        responses += z @ (rng.standard_normal((P, n_voxels), dtype=np.float32) * np.float32(0.05))
    trials = pd.DataFrame({"stimulus": ids, "run": np.arange(N) * RUNS // N + 1, "session": 1})
    region = rng.integers(0, REGIONS, n_voxels)
    rois = {f"area {k}": region == k for k in range(REGIONS) if (region == k).any()}
    return spaces, Recording("sub-01", responses, trials, rois=rois)


def cpu_seconds(call: Call) -> tuple[float, np.ndarray]:
    start = time.process_time()
    found = call()
    return time.process_time() - start, found


def largest_by_sklearn(encoding: Encoding, recording: Recording) -> np.ndarray:
    """Largest r over the voxels in each permutation, all folds fitted anew with the alphas that the encoding chose."""
    permutations = block_permutations(recording.trials, within="run", n_permutations=FEW, seed=0)
    x, found = encoding.design.astype(np.float64), []
    for order in permutations.orders:
        y = recording.responses[order].astype(np.float64)
        predicted = np.empty_like(y)
        for fold, alpha in enumerate(encoding.alpha):
            held = encoding.fold == fold
            scaler = StandardScaler().fit(x[~held])
            model = Ridge(alpha.astype(np.float64)).fit(scaler.transform(x[~held]), y[~held])
            predicted[held] = model.predict(scaler.transform(x[held]))
        a, b = y - y.mean(axis=0), predicted - predicted.mean(axis=0)
        found.append(((a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))).max())
    return np.array(found)


def jackknife(encodings: list[Encoding], recording: Recording, *, within: bool) -> np.ndarray:
    """r, or the difference of two (within folds, or pooled), and its variance over runs and fits, in plain sums."""
    run, fold = recording.trials["run"].to_numpy(), encodings[0].fold
    y = recording.responses.astype(np.float64)
    every = [np.stack([m.predict(e.design) for m in e.models]).astype(np.float64) for e in encodings]
    own = [p[fold, np.arange(N)] for p in every]

    def centred(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
        groups = fold[kept] if within else np.zeros(kept.sum())
        return values[kept] - pd.DataFrame(values[kept]).groupby(groups).transform("mean").to_numpy()

    def r_of(kept: np.ndarray) -> list[np.ndarray]:
        b = centred(y, kept)
        pairs = [(centred(p, kept), b) for p in own]
        return [(a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)) for a, b in pairs]

    def difference(values: list[np.ndarray]) -> np.ndarray:
        return values[0] - values[1] if len(values) == 2 else values[0]

    all_trials = np.ones(N, bool)
    value, runs = difference(r_of(all_trials)), np.unique(run)
    without = np.array([difference(r_of(run != k)) for k in runs])
    b, centres = centred(y, all_trials), [centred(p, all_trials) for p in own]
    residual = b - sum(a * ((a * b).sum(axis=0) / (a**2).sum(axis=0)) for a in centres) / len(centres)
    fitting, n_folds = np.zeros_like(value), encodings[0].fold.max() + 1
    for k in runs:
        for f in set(range(n_folds)) - {fold[run == k][0]}:
            moved = [
                (residual * (p[f] - p.mean(axis=0)))[run == k].sum(axis=0) / np.sqrt((a**2).sum(axis=0))
                for p, a in zip(every, centres, strict=True)
            ]
            fitting += n_folds / (n_folds - 1) * (difference(moved) ** 2) / (b**2).sum(axis=0)
    spread = (len(runs) - 1) / len(runs) * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    return np.array([value, spread + np.minimum(fitting, 1.5 * spread)])


def three_encodings(spaces: dict[str, pd.DataFrame], recording: Recording) -> np.ndarray:
    """R2 of the models of a, b and both, and nothing about how certain it is."""
    joint, bands = join_spaces(spaces)
    scores = []
    for names in ("a", "b", "ab"):
        chosen = {name: bands[name] for name in names} if len(names) > 1 else None
        columns = [column for name in names for column in bands[name]]
        scores.append(encode(joint[columns], recording, name=names, bands=chosen, weightings=WEIGHTINGS, seed=0).r2)
    return np.array(scores)


def analyses(spaces: dict[str, pd.DataFrame], recording: Recording, n_permutations: int) -> dict[str, Call]:
    """Ours; what each gives back is what the twins give."""
    a, b = (encode(space, recording, name=name) for name, space in spaces.items())

    def difference() -> np.ndarray:
        voxels = compare_encodings(a, b, recording).voxels
        return np.array([voxels["difference"], voxels["se"] ** 2])

    def regions() -> np.ndarray:
        table = region_scores(a, recording)
        return np.array([table["r"], table["se"] ** 2])

    return {
        "significance": lambda: (
            encoding_significance(a, recording, n_permutations=n_permutations, tail="empirical", seed=0).maxima
        ),
        "comparison": difference,
        "regions": regions,
        "partition": lambda: partition_variance(spaces, recording, weightings=WEIGHTINGS, seed=0).models.to_numpy().T,
    }


def twins(spaces: dict[str, pd.DataFrame], recording: Recording) -> dict[str, Call]:
    """The same in plain steps."""
    a, b = (encode(space, recording, name=name) for name, space in spaces.items())
    return {
        "significance": lambda: largest_by_sklearn(a, recording),
        "comparison": lambda: jackknife([a, b], recording, within=True),
        "regions": lambda: jackknife([a], recording, within=False),
        "partition": lambda: three_encodings(spaces, recording),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, default=4096)
    parser.add_argument("--twin", type=int, default=128, help="voxels of the plain twins")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    spaces, recording = simulate(asked.voxels)
    part = recording.select_voxels(np.arange(asked.twin))
    each = {f"voxel {k}": np.arange(asked.twin) == k for k in range(asked.twin)}
    part = Recording("sub-01", part.responses, part.trials, rois=each)
    few, plain, found = analyses(spaces, part, FEW), twins(spaces, part), {}
    alike = twins(spaces, recording)["partition"]  # its eigendecompositions cost the same for any number of voxels
    for name, call in analyses(spaces, recording, PERMUTATIONS).items():
        seconds, _ = cpu_seconds(call)
        with threadpool_limits(1):  # else threads of the BLAS wait for one another, and count
            twin_seconds, expected = cpu_seconds(plain[name])
        np.testing.assert_allclose(few[name](), expected, rtol=1e-3, atol=2e-5)
        n_twin = asked.twin
        if name == "partition":
            n_twin, (twin_seconds, _) = asked.voxels, cpu_seconds(alike)
        of = {"significance": (PERMUTATIONS, FEW)}.get(name, (1, 1))  # permutations
        ours, theirs = seconds / asked.voxels / of[0], twin_seconds / n_twin / of[1]
        found[f"cpu_seconds_100k_{name}"] = round(ours * 1e5 * (1000 if name == "significance" else 1), 1)
        found[f"ratio_{name}"] = round(theirs / ours, 1)
    found["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
