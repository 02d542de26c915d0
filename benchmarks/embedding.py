"""SPoSE against the field's one-hot formulation and against plain torch at its best, and how it grows with a study.

Both sides get the same choices and the same cores, in turn, in one run. The choices are made from the published
category ratings of 2,185 videos (Cowen & Keltner 2017) where AFFECTOME_DATA holds them, else from simulated ratings;
the report says which. Compiled code is loaded before anything is timed, and torch gets as many threads as it is fastest
with. On a machine that others use, NUMBA_NUM_THREADS=1 holds both sides to one thread.

- throughput: triplets per second of a whole `fit` without L-BFGS-B (checks and start included, as many passes over all
  trials as by default) against the one-hot loop at batch 100 as published programs write it, reading loss and accuracy
  back after every step (the rate without that reading stands beside it). Median of paired rounds.
- accuracy: seconds to .90 held out. Ours: whole fits of the first m trials in two passes, m growing by half octaves;
  theirs: evaluated along its one fit. On both sides evaluation is not timed and the crossing is interpolated; the
  reference is stopped at ten minutes, and the ratio is then a lower bound.
- fair: seconds to .960 against torch that looks rows up, both tuned over batch, learning rate and a growing batch
  with cosine decay: every setting doubles its visits until it gets there or takes longer than the best so far. Tuning
  stops after four minutes a side; the best setting of each is then run from three seeds.
- growth: seconds per pass against the number of stimuli, components and trials, with the exponent of each.
- whole: 5.5 million choices in Parquet, read and fitted to rest (l1 = .003, else the defaults) by a fresh process: its
  seconds from start to end, and its peak memory. With --reference-minutes 20 the objective is held against that of the
  one-hot loop after so long; with --ten-seeds ten fits are timed.
- limits: what memory, cache and multiply-add units of this machine would allow, and how far the kernel is from them.

    pip install torch==2.13.0
    python benchmarks/embedding.py                        # about 25 minutes
    python benchmarks/embedding.py --only throughput limits --trials 500000

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from embedding_fair import fair_fight
from embedding_limits import machine_rates, triplet_limits
from embedding_study import (
    COMPONENTS,
    N_STIMULI,
    THREADS,
    Report,
    Study,
    crossing,
    fit_ours,
    make_study,
    one_hot,
    one_hot_threads,
    seconds_per_pass,
)

from affectome.simulation import simulate_emotions
from affectome.triplets import TripletSet, write_triplets

PARTS = ("throughput", "accuracy", "fair", "growth", "whole", "limits")
LEVEL = 0.90
STEPS, WARM_UP = 600, 50  # of the one-hot loop in a round of throughput
EVALUATED_EVERY = 1000  # steps of the one-hot loop between evaluations

# A fresh process per fit, so that its memory and the time of its imports are its own. VmHWM rather than getrusage: the
# latter's maximum begins with that of the process that started this one.
FIT = """
import json, resource, sys, time, warnings
begin = time.perf_counter()
import numpy as np
from affectome import SPoSE, read_triplets
trials = read_triplets(sys.argv[1])
read = time.perf_counter()
model = SPoSE(int(sys.argv[3]), 0.003, random_state=0).fit(trials)
fitted = time.perf_counter()
try:
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
np.save(sys.argv[2], model.embedding_)
print(json.dumps({
    "read_s": read - begin, "fit_s": fitted - read, "peak_rss_mb": peak / 1e6, "converged": model.converged_,
    "epochs": model.n_epochs_, "iterations": model.n_iter_, "n_components": model.n_components_,
}))
"""
TEN = """
import sys
from affectome import SPoSE, read_triplets
from affectome.embedding import fit_seeds
fits = fit_seeds(SPoSE(int(sys.argv[2]), 0.003), read_triplets(sys.argv[1]), range(10))
print(sum(fit.converged_ for fit in fits.values()))
"""


# --- the parts --------------------------------------------------------------------------------------------------------


def throughput(study: Study, given: argparse.Namespace) -> Report:
    report: Report = {}
    for components in (30, 100):
        rounds = [_throughput_round(study, components) for _ in range(given.rounds)]
        ours, theirs, silent = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratios = [a / b for a, b, _ in rounds]
        print(f"{components} components, triplets per second, round by round: ours / one-hot (without its log)")
        for a, b, c in rounds:
            print(f"  {a:12,.0f} / {b:9,.0f} ({c:9,.0f}) = {a / b:6.0f} ({a / c:6.0f})")
        report |= {
            f"throughput_ratio_{components}": round(statistics.median(ratios), 1),
            f"throughput_ratio_{components}_range": [round(min(ratios), 1), round(max(ratios), 1)],
            f"throughput_ratio_{components}_without_log": round(statistics.median(a / c for a, _, c in rounds), 1),
            f"triplets_per_s_{components}": round(ours),
            f"one_hot_triplets_per_s_{components}": round(theirs),
            f"one_hot_without_log_triplets_per_s_{components}": round(silent),
            f"one_hot_threads_{components}": one_hot_threads(N_STIMULI, components),
        }
    return report


def _throughput_round(study: Study, components: int) -> tuple[float, float, float]:
    seconds, model = fit_ours(study.train, n_components=components)
    rates = [model.n_epochs_ * len(study.train) / seconds]
    for logs in (True, False):
        fit = one_hot(study, components, logs=logs)
        fit.run(WARM_UP)
        rates.append(fit.BATCH * STEPS / fit.run(STEPS))
    return rates[0], rates[1], rates[2]


def time_to_accuracy(study: Study, given: argparse.Namespace) -> Report:
    climbs = [_climb(study, seed) for seed in range(3)]
    ours = statistics.median(climbs)
    print(f"ours reached {LEVEL} after {', '.join(f'{s:.2f}' for s in climbs)} s (three seeds)")
    fit, seconds, values = one_hot(study, COMPONENTS), [0.0], [0.0]
    while seconds[-1] < given.reference_limit and values[-1] < LEVEL:
        seconds.append(seconds[-1] + fit.run(EVALUATED_EVERY))
        values.append(study.accuracy(fit.weights))
        if len(seconds) % 10 == 0:
            print(f"  one-hot: {values[-1]:.4f} after {seconds[-1]:.0f} s", flush=True)
    theirs = crossing(seconds[1:], values[1:], LEVEL)
    reached = theirs is not None
    theirs = seconds[-1] if theirs is None else theirs
    print(f"one-hot {'reached' if reached else 'was stopped below'} {LEVEL} after {theirs:.0f} s (at {values[-1]:.4f})")
    return {
        "time_to_accuracy_ratio": round(theirs / ours, 1),
        "time_to_accuracy_is_lower_bound": not reached,
        "time_to_accuracy_s": round(ours, 3),
        "one_hot_time_to_accuracy_s": round(theirs, 1),
        "one_hot_accuracy_at_end": round(values[-1], 4),
    }


def _climb(study: Study, seed: int) -> float:
    """Seconds to the level over fits of more and more trials in two passes."""
    seconds: list[float] = []
    values: list[float] = []
    sizes = [min(len(study.train), round(50_000 * 2 ** (k / 2))) for k in range(14)]
    for size in sizes:
        spent, model = fit_ours(study.train[:size], n_epochs=2, random_state=seed)
        seconds.append(spent)
        values.append(study.accuracy(model.embedding_))
        if values[-1] >= LEVEL:
            break
    found = crossing(seconds, values, LEVEL)
    if found is None:
        raise SystemExit(f"Our fits of up to {sizes[-1]:,} trials did not reach {LEVEL}: give more --trials.")
    return found


def growth(study: Study, given: argparse.Namespace) -> Report:
    most = len(study.train)
    some = min(most, 2_000_000)
    ways: dict[str, tuple[tuple[int, ...], Callable[[int], float]]] = {
        "stimuli": ((500, 2185, 8000), lambda n: seconds_per_pass(planted(n, some), COMPONENTS)),
        "components": ((10, 30, 100), lambda p: seconds_per_pass(study.train[:some], p)),
        "trials": ((500_000, 2_000_000, 5_500_000), lambda t: seconds_per_pass(study.train[:t], COMPONENTS)),
    }
    report: Report = {}
    for name, (sizes, measure) in ways.items():
        found = {size: measure(size) for size in sizes if name != "trials" or size <= most}
        exponent = (
            float(np.polyfit(np.log(list(found)), np.log(list(found.values())), 1)[0]) if len(found) > 1 else None
        )
        shown = ", ".join(f"{size:,}: {seconds:.3f} s" for size, seconds in found.items())
        print(f"one pass by number of {name}: {shown}; exponent {exponent if exponent is None else round(exponent, 2)}")
        report[f"pass_s_by_{name}"] = {str(size): round(seconds, 4) for size, seconds in found.items()}
        report[f"exponent_{name}"] = None if exponent is None else round(exponent, 2)
    return report


def planted(n_stimuli: int, n_trials: int) -> TripletSet:
    """Choices of a simulated judge about any number of stimuli."""
    return simulate_emotions(n_stimuli, 12, seed=0).sample_answers(n_trials, temperature=None, seed=1)


def whole(study: Study, given: argparse.Namespace) -> Report:
    with tempfile.TemporaryDirectory(prefix="affectome-benchmark-") as folder:
        trials, weights = Path(folder) / "trials.parquet", Path(folder) / "weights.npy"
        write_triplets(trials, study.train)
        begin = time.perf_counter()
        fit = json.loads(run_python(FIT, str(trials), str(weights), str(COMPONENTS)))
        report: Report = {
            "seconds_5m": round(time.perf_counter() - begin, 1),
            "peak_rss_mb_5m": round(fit["peak_rss_mb"]),
            **{name: round(fit[name], 2) for name in ("read_s", "fit_s")},
            **{name: fit[name] for name in ("converged", "epochs", "iterations", "n_components")},
            "held_out_5m": round(study.accuracy(np.load(weights)), 4),
            "objective_5m": round(study.objective(np.load(weights)), 5),
            "n_trials": len(study.train),
        }
        print(
            f"{len(study.train):,} choices from a file: {report['seconds_5m']} s in a fresh process, of which "
            f"{report['read_s']} s import and reading and {report['fit_s']} s the fit; {report['peak_rss_mb_5m']} MB; "
            f"held out {report['held_out_5m']}, objective {report['objective_5m']}, "
            f"{'at rest' if report['converged'] else 'not at rest'} after {report['epochs']} passes and "
            f"{report['iterations']} iterations",
            flush=True,
        )
        if given.ten_seeds:
            begin = time.perf_counter()
            at_rest = int(run_python(TEN, str(trials), str(COMPONENTS)))
            report |= {"ten_seeds_s": round(time.perf_counter() - begin, 1), "ten_seeds_at_rest": at_rest}
            print(f"ten seeds: {report['ten_seeds_s']} s, {at_rest} at rest", flush=True)
    if given.reference_minutes > 0:
        report |= objective_of_reference(study, given.reference_minutes, report["objective_5m"])
    return report


def run_python(code: str, *arguments: str) -> str:
    """The last line that a fresh Python prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()[-1]


def objective_of_reference(study: Study, minutes: float, ours: float) -> Report:
    """The same objective of the one-hot loop after some minutes: as it stands or cut off at 0, the lower."""
    fit, seconds, steps = one_hot(study, COMPONENTS), 0.0, 0
    while seconds < 60 * minutes:
        seconds += fit.run(EVALUATED_EVERY)
        steps += EVALUATED_EVERY
    objective = min(study.objective(fit.weights), study.objective(np.maximum(fit.weights, 0)))
    print(f"one-hot after {seconds / 60:.1f} minutes and {steps:,} steps: objective {objective:.5f}, ours {ours:.5f}")
    return {
        "one_hot_objective": round(objective, 5),
        "one_hot_held_out": round(study.accuracy(fit.weights), 4),
        "one_hot_minutes": round(seconds / 60, 2),
        "objective_ratio": round(ours / objective, 4),
    }


def limits(study: Study, given: argparse.Namespace) -> Report:
    report: Report = {}
    for threads in range(1, THREADS + 1):
        rates = machine_rates(threads)
        print(
            f"{threads} threads: memory {rates['memory_copy'] / 1e9:.1f} GB/s copy, "
            f"{rates['memory_triad'] / 1e9:.1f} GB/s triad; cache {rates['cache_triad'] / 1e9:.0f} GB/s; "
            f"{rates['multiply_adds'] / 1e9:.0f} G multiply-adds/s"
        )
        report[f"machine_{threads}"] = {name: round(rate / 1e9, 2) for name, rate in rates.items()}
        for components in (30, 100):
            reached = len(study.train) / seconds_per_pass(study.train, components, threads)
            allowed = triplet_limits(rates, components)
            shown = ", ".join(f"{name} {limit:,.0f} (reached {reached / limit:.2f})" for name, limit in allowed.items())
            print(f"  {components} components: the kernel does {reached:,.0f} triplets/s; {shown}")
            shares = {name: round(reached / limit, 3) for name, limit in allowed.items()}
            report[f"share_of_limit_{components}_{threads}"] = shares
    return report


MEASURES: dict[str, Callable[[Study, argparse.Namespace], Report]] = {
    "throughput": throughput,
    "accuracy": time_to_accuracy,
    "fair": fair_fight,
    "growth": growth,
    "whole": whole,
    "limits": limits,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run")
    parser.add_argument("--trials", type=int, default=5_500_000, help="choices to learn from")
    parser.add_argument("--rounds", type=int, default=5, help="paired rounds of throughput")
    parser.add_argument("--reference-limit", type=float, default=600, help="seconds after which time to .90 gives up")
    parser.add_argument("--tuning-minutes", type=float, default=4, help="time for tuning each side of the fair fight")
    parser.add_argument(
        "--reference-minutes", type=float, default=0, help="minutes of the one-hot loop, for objectives"
    )
    parser.add_argument("--ten-seeds", action="store_true", help="also time ten seeds")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # fits that end with Adam say so
    study = make_study(given.trials)
    for components in (10, 30, 100):  # loads what is compiled
        fit_ours(study.train[:20_000], n_components=components, n_epochs=1)
    print(f"{len(study.train):,} choices from {study.source}; load average {os.getloadavg()[0]:.1f}", flush=True)
    report: Report = {"source": study.source, "threads": THREADS, "load_average": round(os.getloadavg()[0], 1)}
    for part in given.only:
        report |= MEASURES[part](study, given)
    report["load_average_at_end"] = round(os.getloadavg()[0], 1)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
