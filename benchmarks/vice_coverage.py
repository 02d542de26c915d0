"""What VICE finds in simulated studies: components, intervals that hold the planted weights, and predictions.

For every world (n stimuli, planted components, trials, strength of the weights) and seed, VICE starts with 60
components. Printed are the components kept; the share of planted weights that lie in their 95% interval, mean-field and
calibrated, over all weights of the matched components and over planted weights above .3; the mean width of the
latter; and by how many thousandths of a nat the held-out cross-entropy exceeds that of the true probabilities, for the
posterior means, for the posterior predictive by moments and by 100 draws, and for SPoSE with its default l1. Trials are
held out by drawing triplets anew, and compared with the judge's true probabilities, so that no noise of answers is
in it. VICE's seconds are given as a ratio to SPoSE's with 60 components at the start.

The second table brings in the divergence gradually: over the first 0, 30 or 60% of the epochs its weight rises from 0
to 1. The third lets the halves of split components stand.

    python benchmarks/vice_coverage.py                  # about 10 minutes on one core
    python benchmarks/vice_coverage.py --seeds 1 --only worlds

The last line is JSON: coverage_mean_field, coverage_calibrated (planted weights above .3, over all worlds), the lowest
of any world, components_within_one (share of fits), time_ratio (median), and the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from affectome.embedding import VICE, SPoSE, _vice, choice_probabilities
from affectome.embedding._engine import VariationalEngine
from affectome.embedding._schedule import default_epochs
from affectome.simulation import SimulatedEmotions, match_components, simulate_emotions
from affectome.triplets import TripletSet

Floats = NDArray[np.floating[Any]]
World = tuple[int, int, int, float]

WORLDS: tuple[World, ...] = (
    (40, 3, 2_000, 2.0),
    (40, 3, 6_000, 2.0),
    (100, 4, 5_000, 2.0),
    (100, 4, 20_000, 2.0),
    (100, 4, 100_000, 2.0),
    (200, 6, 20_000, 2.0),
    (200, 6, 100_000, 2.0),
    (200, 6, 100_000, 1.5),
    (300, 8, 200_000, 3.0),
    (200, 6, 6_000, 2.0),
    (100, 4, 20_000, 4.0),
)
GRADUAL: tuple[World, ...] = ((100, 4, 20_000, 2.0), (100, 4, 100_000, 2.0), (200, 6, 100_000, 2.0))
START, CLEAR, HELD_OUT = 60, 0.3, 50_000


def study(world: World, seed: int) -> tuple[SimulatedEmotions, TripletSet]:
    n, p, n_trials, strength = world
    planted = simulate_emotions(n, p, strength=strength, seed=seed)
    return planted, planted.sample_answers(n_trials, seed=seed + 1000)


def excess(chance: Floats, truth: Floats) -> float:
    """Cross-entropy of the true probabilities less their entropy, in thousandths of a nat."""
    return float(1000 * (truth * np.log(truth / np.maximum(chance, 1e-12))).sum(axis=1).mean())


def measure(world: World, seed: int) -> dict[str, Any]:
    planted, trials = study(world, seed)
    begun = time.perf_counter()
    model = VICE(START, random_state=seed, n_jobs=1).fit(trials)
    middle = time.perf_counter()
    spose = SPoSE(START, random_state=seed, n_jobs=1).fit(trials)
    found: dict[str, Any] = {
        "components": model.n_components_,
        "spose_components": spose.n_components_,
        "converged": model.converged_,
        "time_ratio": (middle - begun) / (time.perf_counter() - middle),
    }
    space = model.to_space()
    match = match_components(space, planted.planted)
    pairs = [(k, space.columns.get_loc(name)) for k, name in enumerate(match.match) if name]
    truth = planted.planted.to_numpy(np.float64)[:, [k for k, _ in pairs]]
    columns, clear = [c for _, c in pairs], truth > CLEAR
    found["r"] = float(match.correlation.min())
    for name, (low, high) in {
        "mean_field": model.weight_intervals(),
        "calibrated": model.weight_intervals(trials),
    }.items():
        inside = (low[:, columns] <= truth) & (truth <= high[:, columns])
        found[name] = {
            "clear": [int(inside[clear].sum()), int(clear.sum())],
            "all": [int(inside.sum()), inside.size],
            "width": float((high - low)[:, columns][clear].mean()),
        }
    asked = np.random.default_rng([seed, 7]).random((HELD_OUT, world[0])).argpartition(3, axis=1)[:, :3]
    asked = asked.astype(np.int32)
    true = choice_probabilities(planted.planted.to_numpy(), asked, n_jobs=1).astype(np.float64)
    found["excess"] = {
        "means": excess(choice_probabilities(model.embedding_, asked, n_jobs=1), true),
        "moments": excess(model.predict_proba(asked), true),
        "sampling": excess(model.predict_proba(asked, method="sampling"), true),
        "spose": excess(spose.predict_proba(asked), true),
    }
    return found


def share(runs: list[dict[str, Any]], method: str, which: str) -> float:
    hits, count = np.sum([run[method][which] for run in runs], axis=0)
    return round(float(hits / count), 3)


def summary(world: World, runs: list[dict[str, Any]]) -> dict[str, Any]:
    line: dict[str, Any] = dict(zip(("n", "planted", "trials", "strength"), world, strict=True))
    line["components"] = [run["components"] for run in runs]
    line["spose_components"] = [run["spose_components"] for run in runs]
    line["lowest_r"] = round(min(run["r"] for run in runs), 3)
    for method in ("mean_field", "calibrated"):
        line[f"{method}_clear"], line[f"{method}_all"] = share(runs, method, "clear"), share(runs, method, "all")
        line[f"{method}_width"] = round(statistics.mean(run[method]["width"] for run in runs), 3)
    line["excess"] = {k: round(statistics.mean(run["excess"][k] for run in runs), 2) for k in runs[0]["excess"]}
    line["time_ratio"] = round(statistics.median(run["time_ratio"] for run in runs), 2)
    return line


def worlds(n_seeds: int) -> dict[str, Any]:
    print(
        f"coverage of 95% intervals of planted weights above {CLEAR} and of all; excess in nats / 1000; {n_seeds} seeds"
    )
    print("   n  p   trials    s  kept                 mean-field  width   calibrated  width", end="")
    print("   means moments  draws  SPoSE  time")
    lines, fits = [], []
    for world in WORLDS:
        runs = [measure(world, seed) for seed in range(n_seeds)]
        fits += runs
        w = summary(world, runs)
        lines.append(w)
        kept, x = " ".join(str(k) for k in w["components"]), w["excess"]
        print(f"{w['n']:4} {w['planted']:2} {w['trials']:8,} {w['strength']:4}  {kept:<18}"
              f" {w['mean_field_clear']:6.3f} {w['mean_field_all']:5.3f} {w['mean_field_width']:6.3f}"
              f" {w['calibrated_clear']:6.3f} {w['calibrated_all']:5.3f} {w['calibrated_width']:6.3f}"
              f"  {x['means']:6.2f} {x['moments']:7.2f} {x['sampling']:6.2f} {x['spose']:6.2f} {w['time_ratio']:5.1f}",
              flush=True)  # fmt: skip
    near = [abs(k - w["planted"]) <= 1 for w in lines for k in w["components"]]
    return {
        "coverage_mean_field": share(fits, "mean_field", "clear"),
        "coverage_calibrated": share(fits, "calibrated", "clear"),
        "lowest_mean_field": min(w["mean_field_clear"] for w in lines),
        "lowest_calibrated": min(w["calibrated_clear"] for w in lines),
        "components_within_one": round(statistics.mean(near), 3),
        "time_ratio": statistics.median(w["time_ratio"] for w in lines),
        "worlds": lines,
    }


@contextmanager
def gradual(part: float) -> Iterator[None]:
    """Within, the weight of the divergence rises from 0 to 1 over the first `part` of the epochs."""

    class Gradual(VariationalEngine):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self._whole, self._epoch = self._share, 0

        def shuffle(self) -> None:
            super().shuffle()
            rise = part * 2 * default_epochs(len(self._triplets))
            self._share = self._whole * min(1.0, self._epoch / rise) if rise else self._whole
            self._epoch += 1

    with mock.patch.object(_vice, "VariationalEngine", Gradual):
        yield


@contextmanager
def halves_stand(_: float) -> Iterator[None]:
    with mock.patch.object(VICE, "_unite_halves", lambda *given: None):
        yield


def kept_under(change: Any, parts: tuple[float, ...], n_seeds: int) -> dict[str, Any]:
    """Components kept, objective and lowest r, per world and part."""
    out = {}
    for world in GRADUAL:
        for part in parts:
            kept, objective, lowest = [], [], []
            for seed in range(n_seeds):
                planted, trials = study(world, seed)
                with change(part):
                    model = VICE(START, random_state=seed, n_jobs=1).fit(trials)
                kept.append(model.n_components_)
                objective.append(model.objective_)
                lowest.append(float(match_components(model.to_space(), planted.planted).correlation.min()))
            name = " x ".join(str(k) for k in world) + f", {part:.0%}"
            out[name] = {
                "components": kept,
                "objective": round(statistics.mean(objective), 5),
                "lowest_r": round(min(lowest), 3),
            }
            print(
                f"  {name:34} kept {kept}, objective {out[name]['objective']:.5f}, lowest r {min(lowest):.3f}",
                flush=True,
            )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=["worlds", "gradual", "halves"], default=["worlds", "gradual", "halves"]
    )
    parser.add_argument("--seeds", type=int, default=4)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    report: dict[str, Any] = {"seeds": given.seeds, "load_average": round(os.getloadavg()[0], 1)}
    if "worlds" in given.only:
        report |= worlds(given.seeds)
    if "gradual" in given.only:
        print("the divergence brought in over the first part of the epochs")
        report["gradual"] = kept_under(gradual, (0.0, 0.3, 0.6), given.seeds)
    if "halves" in given.only:
        print("halves of split components left as they are")
        report["halves_stand"] = kept_under(halves_stand, (0.0,), given.seeds)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
