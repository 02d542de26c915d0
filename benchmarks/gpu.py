"""The same fit by the compiled kernels on the processor and by torch on a GPU: same objective, how many seconds.

Choices over 2,185 stimuli by a judge who compares the shares of raters who named each of 34 emotions (drawn from a
Dirichlet distribution: few emotions per stimulus); the defaults of SPoSE, once with 30 components and once with 100.
The default is the size of the published studies, 5.5 million trials.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device torch-cpu --trials 100000 --components 10   # no GPU at hand

Per device: seconds of the whole fit, of its starts, its Adam phase and its descent, triplets per second of the Adam
phase (and of its first and last epoch: small and large batches). Once, the kernels fit with a second seed too: the
problem is not convex, and two devices cannot agree better than two seeds of one. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch

from affectome.embedding import SPoSE, choice_probabilities
from affectome.judges import FeatureJudge, ask
from affectome.triplets import sample_triplets

N_STIMULI, N_EMOTIONS = 2185, 34


def plain_objective(model: SPoSE, odd_last: np.ndarray) -> float:
    """The objective of a fit, recomputed from its choice probabilities in float64."""
    chunks = [
        np.log(choice_probabilities(model.embedding_, odd_last[rows : rows + 1_000_000])[:, 2].astype(np.float64)).sum()
        for rows in range(0, len(odd_last), 1_000_000)
    ]
    return -sum(chunks) / len(odd_last) + model.l1_ / N_STIMULI * float(model.embedding_.sum(dtype=np.float64))


def timed_fit(odd_last: np.ndarray, components: int, device: str, seed: int = 0) -> tuple[SPoSE, dict[str, Any]]:
    """A fit as a user runs it, and where its seconds went."""
    model, ticks = SPoSE(components, random_state=seed, device=device), []
    begin = time.perf_counter()
    model.fit(odd_last, n_stimuli=N_STIMULI, progress=lambda *_, **__: ticks.append(time.perf_counter() - begin))
    seconds, epochs = time.perf_counter() - begin, np.array(ticks[: model.n_epochs_])
    rates = len(odd_last) / np.diff(epochs)
    start = epochs[0] - len(odd_last) / rates[0]  # the first epoch taken to last as long as the second
    measured = {
        "seconds": round(seconds, 2),
        "start_s": round(float(start), 2),
        "adam_s": round(float(epochs[-1] - start), 2),
        "descent_s": round(seconds - float(epochs[-1]), 2),
        "iterations": model.n_iter_,
        "triplets_per_s": round(float((len(epochs) - 1) * len(odd_last) / (epochs[-1] - epochs[0]))),
        "first_epoch_triplets_per_s": round(float(rates[0])),
        "last_epoch_triplets_per_s": round(float(rates[-1])),
        "objective": round(model.objective_, 7),
        "objective_recomputed_rel": float(f"{plain_objective(model, odd_last) / model.objective_ - 1:.1e}"),
        "components_kept": model.n_components_,
        "converged": bool(model.converged_),
    }
    print(f"{components} components, {device}, seed {seed}: {json.dumps(measured)}", flush=True)
    return model, measured


def compared(odd_last: np.ndarray, components: int, device: str) -> dict[str, Any]:
    """Both devices on the same choices with the same seed."""
    _, there = timed_fit(odd_last, components, device)
    _, here = timed_fit(odd_last, components, "cpu")
    return {
        "cpu": here,
        device: there,
        "objective_rel": float(f"{there['objective'] / here['objective'] - 1:.1e}"),
        "fit_ratio": round(here["seconds"] / there["seconds"], 2),
        "adam_ratio": round(there["triplets_per_s"] / here["triplets_per_s"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--trials", type=int, default=5_500_000)
    parser.add_argument("--components", type=int, nargs="+", default=[30, 100])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    shares = np.random.default_rng(0).dirichlet(np.full(N_EMOTIONS, 0.1), N_STIMULI)
    ratings = pd.DataFrame(shares, index=[f"{stimulus:04d}" for stimulus in range(N_STIMULI)])
    questions = sample_triplets(tuple(ratings.index), given.trials, seed=1)
    odd_last = ask(FeatureJudge(ratings, seed=2), questions).odd_last()
    for device in ("cpu", given.device):  # compiles, and wakes the GPU
        SPoSE(5, random_state=0, device=device).fit(odd_last[:20_000], n_stimuli=N_STIMULI)
    on_gpu = given.device.startswith("cuda")
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(given.device) if on_gpu else given.device,
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "trials": given.trials,
    }
    for components in given.components:
        report[str(components)] = compared(odd_last, components, given.device)
    first = given.components[0]
    _, other_seed = timed_fit(odd_last, first, "cpu", seed=1)
    spread = other_seed["objective"] / report[str(first)]["cpu"]["objective"] - 1
    report["objective_rel_of_another_seed"] = float(f"{spread:.1e}")
    if on_gpu:
        report["peak_gpu_gb"] = round(torch.cuda.max_memory_allocated(given.device) / 1e9, 2)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
