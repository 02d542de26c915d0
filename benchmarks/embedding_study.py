"""The choices that the benchmarks of SPoSE learn from, and how a fit of either side is timed and judged."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
import torch
from embedding_reference import L1, OneHotFit
from numpy.typing import NDArray

from affectome._progress import Progress
from affectome.embedding import SPoSE, choice_probabilities, shared_hits
from affectome.judges import FeatureJudge, ask
from affectome.simulation import simulate_emotions
from affectome.stimuli import load_cowen_keltner
from affectome.triplets import TripletSet, sample_triplets

N_STIMULI, N_TEST, COMPONENTS = 2185, 20_000, 30
THREADS: int = numba.config.NUMBA_NUM_THREADS  # all cores, or what NUMBA_NUM_THREADS says

Report = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """Choices to learn from and to test on; `odd_last` are those of `train`, as torch takes them."""

    train: TripletSet
    test: TripletSet
    odd_last: NDArray[np.int32]
    source: str

    def accuracy(self, weights: NDArray[np.float32]) -> float:
        """Held-out accuracy, ties shared."""
        odd_last = self.test.odd_last()
        return float(shared_hits(weights, odd_last, np.tile([0, 0, 1], (len(odd_last), 1))).mean())

    def objective(self, weights: NDArray[np.float32]) -> float:
        """Mean loss over the training choices plus L1 / n times the sum of |X|."""
        parts = np.array_split(self.odd_last, max(1, len(self.odd_last) // 1_000_000))
        loss = -sum(np.log(choice_probabilities(weights, part)[:, 2]).sum(dtype=np.float64) for part in parts)
        return float(loss) / len(self.odd_last) + L1 / len(weights) * float(np.abs(weights).sum(dtype=np.float64))


def ratings() -> tuple[pd.DataFrame, str]:
    """Category ratings of the videos, and where they come from."""
    beside = Path(__file__).resolve().parents[1] / "../shared/data"
    table = Path(os.environ.get("AFFECTOME_DATA") or beside) / "cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv"
    if table.is_file():
        return load_cowen_keltner(table).spaces["category"], "published category ratings of 2,185 videos"
    return simulate_emotions(N_STIMULI, 12, seed=0).stimuli.spaces["category"], "simulated ratings of 2,185 stimuli"


def make_study(n_trials: int) -> Study:
    space, source = ratings()
    questions = sample_triplets(space.index.tolist(), n_trials + N_TEST, seed=0)
    answered = ask(FeatureJudge(space, seed=0), questions)
    rows = np.random.default_rng(1).permutation(len(answered))
    train, test = answered[rows[N_TEST:]], answered[rows[:N_TEST]]
    return Study(train, test, train.odd_last(), source)


def fit_ours(
    trials: TripletSet, *, n_components: int = COMPONENTS, progress: Progress | None = None, **settings: Any
) -> tuple[float, SPoSE]:
    """Seconds of a whole fit that ends with Adam, from one start, and the fit."""
    model = SPoSE(n_components, L1, max_iter=0, n_init=1, **{"random_state": 0, **settings})
    begin = time.perf_counter()
    model.fit(trials, progress=progress)
    return time.perf_counter() - begin, model


def crossing(seconds: list[float], values: list[float], level: float) -> float | None:
    """When the values first reach a level, on straight lines between them; None where they never do."""
    for (t0, v0), (t1, v1) in pairwise(zip([0.0, *seconds], [1 / 3, *values], strict=True)):
        if v1 >= level:
            return t0 + (t1 - t0) * (level - v0) / (v1 - v0)
    return None


def seconds_per_pass(trials: TripletSet, n_components: int, n_jobs: int | None = None, passes: int = 4) -> float:
    """Of the passes after the first, so that checks and start do not count."""
    moments: list[float] = []

    def note(done: int, total: int, /, *, detail: str = "") -> None:
        moments.append(time.perf_counter())

    fit_ours(trials, progress=note, n_components=n_components, n_epochs=passes, n_jobs=n_jobs)
    return (moments[-1] - moments[0]) / (passes - 1)


@cache
def one_hot_threads(n_stimuli: int, components: int) -> int:
    """With how many threads the one-hot loop is fastest here; busy machines punish more than one."""
    rng = np.random.default_rng(0)
    triplets = rng.integers(0, n_stimuli, (2000, 3), dtype=np.int32)

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        fit = OneHotFit(triplets, n_stimuli, components)
        return min(fit.run(200) for _ in range(3))

    return min(range(1, THREADS + 1), key=seconds)


def one_hot(study: Study, components: int, *, logs: bool = True) -> OneHotFit:
    torch.set_num_threads(one_hot_threads(N_STIMULI, components))
    return OneHotFit(study.odd_last, N_STIMULI, components, logs=logs)
