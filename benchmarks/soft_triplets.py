"""How many fewer trials reach the same RSM when the judge reports probabilities instead of one choice.

Simulated judges about 200 stimuli have a planted embedding whose strength is set so that their true ceiling, the mean
of the likeliest answer's probability over random triplets, is .74 or .84. For growing numbers of random triplets a
SPoSE fit of their sampled choices (hard) is compared with fits of the probabilities they report (soft), by the Pearson
r of the predicted RSM with the true one; the trials at which r is .90 and .95 are interpolated. The sparsity l1 comes
from one grid for all: the value with the best r (--l1 best, which spares hard fits the difficulty of choosing it from
few choices), or the one with the lowest held-out cross-entropy against what that judge reports (--l1 held-out, which
is what a user can do).

Reported probabilities may be wrong: too sure or too unsure (temperature: p^(1/T), rescaled), mixed with guessing,
jittered (noise of so many log units on every logit of every trial), or nothing but the likeliest answer. The choices of
the hard fits are always drawn from the true probabilities, which favours them. Last, judges outside the model: every
pair of stimuli has an idiosyncrasy of half a log unit that no embedding holds.

    python benchmarks/soft_triplets.py                  # about an hour on one core; --jobs 2 halves it
    python benchmarks/soft_triplets.py --seeds 2 --only hard exact

The last line is JSON: soft_ratio_90_74 (trials of soft over hard at r = .90, ceiling .74) and its like, and every
condition's trials and ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.optimize import brentq

from affectome.behavior import predicted_rsm
from affectome.embedding import SPoSE, choice_probabilities
from affectome.simulation import simulate_emotions
from affectome.triplets import sample_triplets

Floats = NDArray[np.float64]
Reporter = Callable[[Floats, np.random.Generator], Floats]

N_STIMULI, PLANTED, COMPONENTS = 200, 5, 10
CEILINGS = (0.74, 0.84)
SIZES = tuple(250 * 2**k for k in range(10))  # to 128,000
L1_GRID = (0.003, 0.01, 0.03, 0.06, 0.1, 0.15)  # with 0.2 every component vanishes
LEVELS = (0.90, 0.95)
FEW = 4000  # below so many trials l1 is chosen by three folds, from there on by one held-out fifth
IDIOSYNCRASY = 0.5  # log units; with 1, no number of trials brings r to .90


# --- judges -----------------------------------------------------------------------------------------------------------


def softmax(logit: Floats) -> Floats:
    weight = np.exp(logit - logit.max(axis=1, keepdims=True))
    share: Floats = weight / weight.sum(axis=1, keepdims=True)
    return share


def in_slots(choice: NDArray[np.intp]) -> Floats:
    answers: Floats = np.eye(3)[choice]
    return answers


def sampled(logit: Floats, rng: np.random.Generator) -> Floats:
    """One choice, drawn from the true probabilities."""
    return in_slots((logit + rng.gumbel(size=logit.shape)).argmax(axis=1))


def at_temperature(temperature: float) -> Reporter:
    return lambda logit, rng: softmax(logit / temperature)


def mixed_with_guessing(share: float) -> Reporter:
    return lambda logit, rng: (1 - share) * softmax(logit) + share / 3


def jittered(deviation: float) -> Reporter:
    return lambda logit, rng: softmax(logit + rng.normal(0, deviation, logit.shape))


def likeliest(logit: Floats, rng: np.random.Generator) -> Floats:
    return in_slots(logit.argmax(axis=1))


REPORTERS: dict[str, Reporter] = {
    "hard": sampled,
    "exact": at_temperature(1.0),
    "temperature 0.25": at_temperature(0.25),
    "temperature 0.5": at_temperature(0.5),
    "temperature 2": at_temperature(2.0),
    "temperature 4": at_temperature(4.0),
    "25% guessing": mixed_with_guessing(0.25),
    "50% guessing": mixed_with_guessing(0.5),
    "jitter 0.5": jittered(0.5),
    "jitter 1": jittered(1.0),
    "jitter 2": jittered(2.0),
    "jitter 4": jittered(4.0),
    "likeliest only": likeliest,
    "hard, outside the model": sampled,
    "exact, outside the model": at_temperature(1.0),
    "jitter 1, outside the model": jittered(1.0),
    "likeliest only, outside the model": likeliest,
}


@dataclass(frozen=True)
class Judge:
    """Similarities of all pairs in log units, (n, n)."""

    similarity: Floats

    def logit(self, triplets: NDArray[np.int32]) -> Floats:
        """Similarity of the pair that is kept when slot 0, 1 or 2 is called odd, (t, 3)."""
        a, b, c = triplets.T
        return np.stack([self.similarity[b, c], self.similarity[a, c], self.similarity[a, b]], axis=1)

    def ceiling(self, triplets: NDArray[np.int32]) -> float:
        """Mean chance of the likeliest answer."""
        return float(softmax(self.logit(triplets)).max(axis=1).mean())

    def rsm(self) -> Floats:
        """Chance that a pair is kept, over all third stimuli; the pairs of the upper triangle."""
        return kept_share(self.similarity)


def kept_share(similarity: Floats) -> Floats:
    """The mean over third stimuli of the chance that each pair is kept, whatever the size of the similarities."""
    n = len(similarity)
    rows = []
    for i in range(n - 1):
        gap = np.maximum(similarity[i][None, :], similarity[i + 1 :]) - similarity[i, i + 1 :, None]  # (n - i - 1, n)
        difference = np.abs(similarity[i][None, :] - similarity[i + 1 :])
        kept = 1 / (1 + np.exp(np.minimum(gap, 500)) * (1 + np.exp(-difference)))
        kept[:, i] = 0
        kept[np.arange(n - i - 1), np.arange(i + 1, n)] = 0
        rows.append(kept.sum(axis=1) / (n - 2))
    return np.concatenate(rows)


def make_judge(ceiling: float, seed: int, *, outside: bool) -> Judge:
    """A judge with so high a ceiling over random triplets: the planted embedding is scaled until it has it."""
    planted = simulate_emotions(N_STIMULI, PLANTED, seed=seed).planted.to_numpy(np.float64)
    draw = np.random.default_rng([seed, 1]).normal(0, IDIOSYNCRASY / np.sqrt(2), (N_STIMULI, N_STIMULI))
    own = (draw + draw.T) * outside  # symmetric, with the wanted deviation off the diagonal
    triplets = sample_triplets(N_STIMULI, 100_000, seed=seed).triplets

    def at(scale: float) -> Judge:
        return Judge(scale**2 * planted @ planted.T + own)

    return at(float(brentq(lambda scale: at(scale).ceiling(triplets) - ceiling, 0.2, 5.0, xtol=1e-3)))


# --- fits -------------------------------------------------------------------------------------------------------------


def fit(
    triplets: NDArray[np.int32], answers: Floats, l1: float, seed: int, *, quick: bool = False
) -> NDArray[np.float32]:
    effort = {"n_init": 1, "max_iter": 40} if quick else {}
    model: SPoSE = SPoSE(COMPONENTS, l1, random_state=seed, n_jobs=1).set_params(**effort)
    return model.fit(triplets, answers, n_stimuli=N_STIMULI).embedding_


def cross_entropy(weights: NDArray[np.float32], triplets: NDArray[np.int32], answers: Floats) -> float:
    chance = np.maximum(choice_probabilities(weights, triplets, n_jobs=1), 1e-12)
    return float(-(answers * np.log(chance)).sum(axis=1).mean())


def chosen_l1(triplets: NDArray[np.int32], answers: Floats, seed: int) -> float:
    """The value of the grid with the lowest held-out cross-entropy against what the judge reports, by quick fits."""
    folds = np.array_split(np.arange(len(triplets)), 3 if len(triplets) < FEW else 5)
    folds = folds if len(triplets) < FEW else folds[:1]

    def loss(l1: float) -> float:
        losses = []
        for held_out in folds:
            rest = np.delete(np.arange(len(triplets)), held_out)
            weights = fit(triplets[rest], answers[rest], l1, seed, quick=True)
            losses.append(cross_entropy(weights, triplets[held_out], answers[held_out]))
        return statistics.mean(losses)

    return min(L1_GRID, key=loss)


@dataclass(frozen=True)
class Curve:
    """How well the RSM is known after so many trials: Pearson r with the true one, and the l1 that was chosen."""

    sizes: list[int]
    r: list[float]
    l1: list[float]

    def trials_for(self, level: float) -> float:
        """On straight lines in (log trials, arctanh r); infinite where it is never reached."""
        for k, r in enumerate(self.r):
            if r >= level:
                if k == 0:
                    return float(self.sizes[0])
                z0, z1, z = np.arctanh([self.r[k - 1], min(r, 1 - 1e-9), level])
                return float(self.sizes[k - 1] * (self.sizes[k] / self.sizes[k - 1]) ** ((z - z0) / (z1 - z0)))
        return float("inf")

    @property
    def points(self) -> Iterator[tuple[int, float, float]]:
        """Trials, r and l1, size by size."""
        return zip(self.sizes, self.r, self.l1, strict=True)

    @property
    def flat(self) -> bool:
        """Whether two doublings in a row changed nothing any more."""
        last = self.r[-3:]
        return len(last) == 3 and self.sizes[-1] >= 4 * FEW and max(last) - min(last) < 0.01


def correlation(weights: NDArray[np.float32], truth: Floats) -> float:
    """Pearson r of the RSM of an embedding with the true one; 0 where it holds nothing."""
    wide = weights.astype(np.float64)
    found = kept_share(wide @ wide.T)
    return float(np.corrcoef(found, truth)[0, 1]) if np.ptp(found) > 1e-9 else 0.0


def measure(condition: str, ceiling: float, seed: int, choice: str) -> Curve:
    """Ask one judge more and more until its RSM is known or more trials change nothing."""
    warnings.simplefilter("ignore")  # few trials end fits early
    judge = make_judge(ceiling, seed, outside=condition.endswith("outside the model"))
    truth, curve = judge.rsm(), Curve([], [], [])
    triplets = sample_triplets(N_STIMULI, SIZES[-1], seed=1000 + seed).triplets
    triplets = np.random.default_rng([seed, 2]).permutation(triplets)
    answers = REPORTERS[condition](judge.logit(triplets), np.random.default_rng([seed, 3]))
    for size in SIZES:
        asked = triplets[:size], answers[:size]
        grid = [chosen_l1(*asked, seed)] if choice == "held-out" else L1_GRID
        r, l1 = max((correlation(fit(*asked, l1, seed), truth), l1) for l1 in grid)
        curve.sizes.append(size)
        curve.r.append(r)
        curve.l1.append(l1)
        if curve.r[-1] >= LEVELS[-1] or curve.flat:
            break
    return curve


def check_rsm() -> None:
    """Our RSM of any similarities is the package's RSM of an embedding."""
    planted = simulate_emotions(30, 3, seed=0).planted
    ours = kept_share(planted.to_numpy(np.float64) @ planted.to_numpy(np.float64).T)
    assert np.allclose(ours, predicted_rsm(planted, n_jobs=1).to_numpy()[np.triu_indices(30, 1)])


# --- what came out ----------------------------------------------------------------------------------------------------


def summary(curves: list[Curve], hard: list[Curve]) -> dict[str, Any]:
    """Medians over seeds; ratios to the hard fits of the same judges, geometric mean and range."""
    found: dict[str, Any] = {"r_at_end": round(statistics.median(c.r[-1] for c in curves), 3)}
    found["trials_at_end"] = max(c.sizes[-1] for c in curves)
    for level in LEVELS:
        name = f"{100 * level:.0f}"
        trials = [c.trials_for(level) for c in curves]
        ratios = [a / b.trials_for(level) for a, b in zip(trials, hard, strict=True)]
        reached = bool(np.isfinite(trials).all())
        found[f"trials_{name}"] = round(statistics.median(trials)) if reached else None
        found[f"ratio_{name}"] = round(statistics.geometric_mean(ratios), 3) if reached else None
        found[f"range_{name}"] = [round(min(ratios), 3), round(max(ratios), 3)] if reached else None
    return found


def show(condition: str, found: dict[str, Any]) -> None:
    cells = []
    for name in ("90", "95"):
        if found[f"trials_{name}"] is None:
            cells.append(f"{'not reached':>32}")
        else:
            low, high = found[f"range_{name}"]
            cells.append(
                f"{found[f'trials_{name}']:8,} = {found[f'ratio_{name}']:5.2f} ({low:5.2f}-{high:5.2f})".rjust(32)
            )
    print(f"  {condition:34} {cells[0]} {cells[1]}   r {found['r_at_end']:.3f} at {found['trials_at_end']:,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=REPORTERS, default=list(REPORTERS), help="conditions, hard included"
    )
    parser.add_argument("--seeds", type=int, default=3, help="judges per condition")
    parser.add_argument("--l1", choices=("best", "held-out"), default="best", help="how l1 is chosen")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    given = parser.parse_args()
    check_rsm()
    conditions = [name for name in REPORTERS if name in given.only or name == "hard"]
    if any(name.endswith("outside the model") for name in given.only) and "hard, outside the model" not in conditions:
        conditions.append("hard, outside the model")
    work = [(name, ceiling, seed) for ceiling in CEILINGS for name in conditions for seed in range(given.seeds)]
    curves: dict[tuple[str, float, int], Curve] = {}
    measured = Parallel(n_jobs=given.jobs, return_as="generator")(delayed(measure)(*task, given.l1) for task in work)
    for task, curve in zip(work, measured, strict=True):
        curves[task] = curve
        print(*task, *(f"{size:,}: {r:.3f} (l1 {l1})" for size, r, l1 in curve.points), sep="  ", flush=True)
    report: dict[str, Any] = {"seeds": given.seeds, "l1": given.l1, "load_average": round(os.getloadavg()[0], 1)}
    for ceiling in CEILINGS:
        print(
            f"ceiling {ceiling}: trials for r = .90 and .95 = share of the hard ones (range over {given.seeds} judges)"
        )
        for name in conditions:
            outside = ", outside the model" if name.endswith("outside the model") else ""
            mine, hard = ([curves[which, ceiling, s] for s in range(given.seeds)] for which in (name, f"hard{outside}"))
            found = summary(mine, hard)
            show(name, found)
            report[f"{name} at {ceiling}"] = found
            if name == "exact":
                report |= {f"soft_ratio_{k}_{100 * ceiling:.0f}": found[f"ratio_{k}"] for k in ("90", "95")}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
