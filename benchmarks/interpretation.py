"""How long the interpretation of four spaces takes, and its permutations beside the plain loop.

    python benchmarks/interpretation.py
    python benchmarks/interpretation.py --spaces spaces/ --ratings category.csv --ratings dimension.csv

Without files, four simulated spaces of 2,185 x 30 are interpreted. The last line is JSON: seconds of `interpret run`
and `interpret compare` with their default resampling (each a fresh process, everything included), seconds of every
analysis summed over spaces, and `permutation_ratio`: permutations of the RSA of one pair of spaces per second (a whole
call, Pearson and Spearman with intervals) beside scipy's rank correlation of permuted similarities (timed on three, the
same machine in the same run).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from affectome.comparison import compare_rsa
from affectome.spaces import read_space, write_space

N, P = 2185, 30
PERMUTATIONS = 1000


def simulate(folder: Path) -> argparse.Namespace:
    """Four spaces, and ratings that follow one of them."""
    rng = np.random.default_rng(0)
    index = pd.Index([f"s{k:04d}" for k in range(N)], name="id")
    names = [f"component {k + 1:02d}" for k in range(P)]
    base = rng.gamma(0.3, size=(N, P))
    (folder / "spaces").mkdir()
    for k in range(4):
        values = 0.5 * base + 0.5 * rng.gamma(0.3, size=(N, P))
        write_space(folder / "spaces" / f"space_{k}.parquet", pd.DataFrame(values, index=index, columns=names))
    category = np.hstack([base, rng.gamma(0.2, size=(N, 4))])
    category /= category.sum(axis=1, keepdims=True)
    dimension = 5 + base @ rng.normal(size=(P, 14)) + rng.normal(size=(N, 14))
    for name, values in (("category", category), ("dimension", dimension)):
        columns = [f"{name} {k + 1}" for k in range(values.shape[1])]
        write_space(folder / f"{name}.csv", pd.DataFrame(values, index=index, columns=columns))
    files = [folder / f"{name}.csv" for name in ("category", "dimension")]
    return argparse.Namespace(spaces=folder / "spaces", ratings=files, stimuli=None, terms=None)


def timed(command: list[str]) -> float:
    """Seconds of a command in a fresh process."""
    start = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("affectome")), *command], check=True)
    return time.perf_counter() - start


def stage_seconds(out: Path) -> dict[str, float]:
    """Seconds of every analysis, summed over spaces, as its record has them."""
    found: dict[str, float] = {}
    for path in sorted((out / ".affectome" / "stages").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        space, analysis = record["name"].split("/")
        key = f"{analysis} (together)" if space == "together" else analysis
        found[key] = round(found.get(key, 0.0) + record["seconds"], 1)
    return found


def permutation_ratio(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Permutations per second of ours, over those of scipy's Spearman on permuted similarities."""

    def cosine(space: pd.DataFrame) -> np.ndarray:
        x = space.to_numpy(float)
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        return unit @ unit.T

    compare_rsa({"a": first.iloc[:100], "b": second.iloc[:100]}, n_permutations=2, seed=0)  # compiles
    start = time.perf_counter()
    compare_rsa({"a": first, "b": second}, n_permutations=PERMUTATIONS, seed=0)
    ours = (time.perf_counter() - start) / PERMUTATIONS
    pairs, rng, few = np.triu_indices(len(first), 1), np.random.default_rng(0), 3
    a, b = cosine(first), cosine(second)
    start = time.perf_counter()
    for _ in range(few):
        order = rng.permutation(len(first))
        stats.spearmanr(a[pairs], b[np.ix_(order, order)][pairs])
    return (time.perf_counter() - start) / few / ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", type=Path)
    parser.add_argument("--ratings", type=Path, action="append")
    parser.add_argument("--stimuli", type=Path)
    parser.add_argument("--terms", type=Path)
    with tempfile.TemporaryDirectory() as name:
        asked = parser.parse_args()
        files = asked if asked.spaces else simulate(Path(name))
        out = Path(name) / "interpretation"
        rated = [text for path in files.ratings for text in ("--ratings", str(path))]
        others = [
            text
            for key in ("stimuli", "terms")
            if getattr(files, key)
            for text in (f"--{key}", str(getattr(files, key)))
        ]
        common = [str(files.spaces), *rated, "--out", str(out)]
        run = timed(["interpret", "run", *common, *others])
        compare = timed(["interpret", "compare", *common])
        spaces = [read_space(path) for path in sorted(files.spaces.glob("*.parquet"))[:2]]
        found = {
            "run_s": round(run, 1),
            "compare_s": round(compare, 1),
            "total_s": round(run + compare, 1),
            "analyses_s": stage_seconds(out),
            "permutation_ratio": round(permutation_ratio(*spaces), 1),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
