"""How long voxel-wise encoding takes, beside scikit-learn and himalaya called by hand in the same nested scheme.

    python benchmarks/encoding.py
    python benchmarks/encoding.py --voxels 20000

2,180 trials of 30 features in 61 runs: 6 outer folds of runs, 5 inner ones, 20 alphas per voxel. The full size runs in
a process of its own, so that its peak memory is known (the responses alone are 0.87 GB). The others run on a share of
the voxels, and their seconds are scaled: both are linear in voxels. scikit-learn: StandardScaler and Ridge for every
inner fold and alpha, its squared errors summed, then Ridge with one alpha per voxel. himalaya: RidgeCV over the inner
folds, its features scaled once per outer fold (its own cross-validation cannot scale inside), so that its alphas may
differ where two are nearly as good. Before anything is reported, the alphas and the r of all three are compared.

The last line is JSON: `seconds_100k` (wall), `cpu_seconds_100k`, `peak_gb` (the whole process, responses included),
`ratio_sklearn` and `ratio_himalaya` (their CPU seconds over ours on the same voxels, all
on one thread), `same_alpha_*`, `r_apart_*`.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from himalaya.ridge import RidgeCV
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from affectome.neural import Encoding, Recording, encode
from affectome.neural.encoding._solvers import ALPHAS

N, P, RUNS, FOLDS = 2180, 30, 61, 6


def simulate(n_voxels: int) -> tuple[pd.DataFrame, Recording]:
    """A space, and voxels that it explains by 0 to a fifth of their variance."""
    rng = np.random.default_rng(0)
    ids = [f"s{k:04d}" for k in range(N)]
    space = pd.DataFrame(rng.gamma(0.3, size=(N, P)).astype(np.float32), index=ids, columns=[f"c{k}" for k in range(P)])
    trials = pd.DataFrame({"stimulus": ids, "run": np.arange(N) * RUNS // N + 1, "session": 1})
    responses = rng.standard_normal((N, n_voxels), dtype=np.float32)
    z = ((space - space.mean()) / space.std()).to_numpy(np.float32)
    for start in range(0, n_voxels, 5000):
        part = responses[:, start : start + 5000]
        shape = (P, part.shape[1])
        part += z @ (rng.standard_normal(shape, dtype=np.float32) * rng.uniform(0, 0.08, shape[1]).astype(np.float32))
    return space, Recording("sub-01", responses, trials)


def full(n_voxels: int) -> None:
    """Seconds and peak memory of this process."""
    space, recording = simulate(n_voxels)
    start, cpu = time.perf_counter(), time.process_time()
    encode(space, recording, name="space")
    found = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }
    print(json.dumps(found))


def by_sklearn(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Alpha per voxel and fold, and held-out predictions, by scikit-learn in plain loops."""
    chosen, predicted = np.empty((FOLDS, y.shape[1])), np.empty_like(y)
    for f in range(FOLDS):
        errors = np.zeros((len(ALPHAS), y.shape[1]))
        for g in range(FOLDS):
            if g == f:
                continue
            train, held = (fold != f) & (fold != g), fold == g
            scaler = StandardScaler().fit(x[train])
            a, b = scaler.transform(x[train]), scaler.transform(x[held])
            for k, alpha in enumerate(ALPHAS):
                errors[k] += ((y[held] - Ridge(alpha).fit(a, y[train]).predict(b)) ** 2).sum(axis=0)
        chosen[f] = np.asarray(ALPHAS)[errors.argmin(axis=0)]
        scaler = StandardScaler().fit(x[fold != f])
        model = Ridge(chosen[f]).fit(scaler.transform(x[fold != f]), y[fold != f])
        predicted[fold == f] = model.predict(scaler.transform(x[fold == f]))
    return chosen, predicted


def by_himalaya(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same by himalaya's RidgeCV."""
    chosen, predicted = np.empty((FOLDS, y.shape[1])), np.empty_like(y)
    for f in range(FOLDS):
        train = fold != f
        scaler = StandardScaler().fit(x[train])
        inner = [(np.flatnonzero(fold[train] != g), np.flatnonzero(fold[train] == g)) for g in range(FOLDS) if g != f]
        model = RidgeCV(np.asarray(ALPHAS, np.float32), fit_intercept=True, cv=inner)
        model.fit(scaler.transform(x[train]).astype(np.float32), y[train])
        chosen[f] = model.best_alphas_
        predicted[fold == f] = model.predict(scaler.transform(x[fold == f]).astype(np.float32))
    return chosen, predicted


def cpu_seconds(call: Callable[[], object]) -> tuple[float, object]:
    """With one thread of BLAS for everyone: threads that wait for each other count as CPU time."""
    with threadpool_limits(1, user_api="blas"):
        start = time.process_time()
        found = call()
        return time.process_time() - start, found


def agreement(ours: Encoding, theirs: tuple[np.ndarray, np.ndarray], y: np.ndarray) -> tuple[float, float]:
    """Share of equal alphas, and how far r is apart at most where all of a voxel's alphas are equal."""
    chosen, predicted = theirs
    same = np.isclose(ours.alpha, chosen, rtol=1e-4)
    a, b = y - y.mean(axis=0), predicted - predicted.mean(axis=0)
    r = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return float(same.mean()), float(np.abs(r - ours.r)[same.all(axis=0)].max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, default=100_000)
    parser.add_argument("--full", action="store_true", help="one encoding of so many voxels, and nothing else")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    if asked.full:
        full(asked.voxels)
        return
    command = [sys.executable, __file__, "--full", "--voxels", str(asked.voxels)]
    alone = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found = {
        "seconds_100k": round(alone["seconds"] * 1e5 / asked.voxels, 1),
        "cpu_seconds_100k": round(alone["cpu_seconds"] * 1e5 / asked.voxels, 1),
        "peak_gb": round(alone["peak_gb"], 2),
    }
    for name, call, n_voxels in (("sklearn", by_sklearn, 512), ("himalaya", by_himalaya, 1024)):
        space, recording = simulate(n_voxels)
        x, y = space.to_numpy(np.float64), recording.responses
        encode(space, recording, name="space")  # loads
        ours, encoding = cpu_seconds(lambda s=space, r=recording: encode(s, r, name="space"))
        assert isinstance(encoding, Encoding)
        given = y.astype(np.float64) if name == "sklearn" else y
        theirs, result = cpu_seconds(lambda c=call, a=x, b=given, f=encoding.fold: c(a, b, f))
        same, apart = agreement(encoding, result, y.astype(np.float64))
        # himalaya scales features once per outer fold: see above.
        assert same >= (0.99 if name == "sklearn" else 0.9) and apart < 1e-4, (name, same, apart)
        found[f"ratio_{name}"] = round(theirs / ours, 1)
        found[f"same_alpha_{name}"], found[f"r_apart_{name}"] = round(same, 4), float(f"{apart:.1e}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
