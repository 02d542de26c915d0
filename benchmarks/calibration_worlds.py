"""Worlds of which the truth is known, for `calibration.py`: each function draws one and lets the package judge it.

A world gives `null` (p where there is nothing), `effect` (p where there is the effect that the row states), `covers`
(whether an interval held the truth) or some of them, each with one or more values. Nothing here calls what it judges
to find the truth: that is arithmetic, or a sample a thousand times as large.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome import ask, sample_triplets, simulate_emotions
from affectome.behavior import choice_agreement, held_out_accuracy, measured_rsm, predicted_rsm, rsm_agreement
from affectome.collection import slot_bias
from affectome.comparison import compare_choices, compare_geometry, compare_rsa
from affectome.embedding import component_reproducibility
from affectome.gap import score_choices
from affectome.interpretation import (
    classify,
    component_types,
    correlate_components,
    predict_ratings,
    shares_above,
    silhouette,
)
from affectome.neural import (
    Neighbourhoods,
    Patterns,
    Recording,
    VolumeGrid,
    across_subject_ceiling,
    compare_encodings,
    compare_group,
    encode,
    encoding_significance,
    explainable_variance,
    prevalence,
    region_scores,
    region_tests,
    searchlight,
    unique_variance,
)
from affectome.simulation import SimulatedEmotions

Floats = NDArray[np.float64]
World = Mapping[str, ArrayLike]


# Features and noise -------------------------------------------------------------------------------------------------


def features(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Floats:
    """Draw columns: "gaussian"; "sparse" and skewed, as learned weights are; "drift" (neighbours correlate by .8)."""
    if kind == "sparse":
        return rng.gamma(0.5, size=shape) * (rng.random(shape) < 0.4) + 0.01 * rng.random(shape)
    return drifting(rng.normal(size=shape), 0.8 if kind == "drift" else 0.0)


def drifting(noise: Floats, rho: float) -> Floats:
    """Make rows depend on the row before by `rho`, at the same variance."""
    for t in range(1, len(noise)):
        noise[t] = rho * noise[t - 1] + np.sqrt(1 - rho**2) * noise[t]
    return noise


def frame(values: Floats, name: str = "c") -> pd.DataFrame:
    ids = [f"s{k:04d}" for k in range(len(values))]
    return pd.DataFrame(values, ids, [f"{name}{k}" for k in range(values.shape[1])])


def seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def holds(low: ArrayLike, high: ArrayLike, truth: ArrayLike) -> NDArray[np.bool_]:
    return (np.asarray(low) <= truth) & (truth <= np.asarray(high))


# Behaviour ----------------------------------------------------------------------------------------------------------


@cache
def _judged() -> tuple[SimulatedEmotions, float]:
    """Return 300 stimuli, and how often their noisy judge gives the likeliest answer, over all triplets."""
    world = simulate_emotions(300, 5, seed=0)
    return world, float(world.sample_answers(500_000, seed=1).probabilities.max(axis=1).mean())


def accuracy(rng: np.random.Generator, n: int, n_stimuli: int = 300) -> World:
    """Score n answers about random triplets of the stimuli, or of a few of them only (what the interval is not for)."""
    world, truth = _judged()
    ids = world.planted.index[rng.choice(300, n_stimuli, replace=False)].tolist()
    answers = ask(world.judge(seed=seed(rng)), sample_triplets(ids, n, seed=seed(rng)))
    found = held_out_accuracy(world.planted, answers, seed=seed(rng), n_jobs=1)
    return {"covers": holds(found.ci_low, found.ci_high, truth)}


def agreement(rng: np.random.Generator, n: int) -> World:
    """Ask two judges who share .6 of their answers and guess at the others: .6 + .4 / 3 agree."""
    questions = sample_triplets(100, n, seed=seed(rng))
    first = rng.integers(0, 3, n)
    second = np.where(rng.random(n) < 0.6, first, rng.integers(0, 3, n))
    answers = {"a": questions.with_answers(first), "b": questions.with_answers(second)}
    row = choice_agreement(answers, seed=seed(rng)).table.iloc[0]
    return {"covers": holds(row["ci_low"], row["ci_high"], 0.6 + 0.4 / 3)}


def rsms(rng: np.random.Generator, n: int, kind: str) -> World:
    """Compare similarities predicted by unrelated spaces; of one space and a copy with twice its variance as noise."""
    first, other = features(rng, (n, 4), kind), features(rng, (n, 4), kind)
    copy = first + np.sqrt(2) * features(rng, (n, 4), kind)
    made = [predicted_rsm(frame(np.abs(values)), n_jobs=1) for values in (first, other, copy)]
    p = [rsm_agreement(made[0], rsm, n_boot=2, n_permutations=199, seed=seed(rng)).pearson.p for rsm in made[1:]]
    return {"null": p[0], "effect": p[1]}


def measured(rng: np.random.Generator, n: int, share: float) -> World:
    """Hold a measured RSM of n stimuli against the right space, and a wrong one; `share` of all triplets are asked."""
    world = simulate_emotions(n, 4, seed=seed(rng))
    ids = world.planted.index.tolist()
    questions = sample_triplets(ids, int(share * n * (n - 1) * (n - 2) / 6), seed=seed(rng))
    found = measured_rsm(ask(world.judge(seed=seed(rng)), questions)).similarity
    wrong = pd.DataFrame(rng.permutation(world.planted.to_numpy()), ids, world.planted.columns)
    asked = found.index.tolist()
    p = [
        rsm_agreement(
            found, predicted_rsm(space, asked, n_jobs=1), n_boot=2, n_permutations=199, seed=seed(rng)
        ).pearson.p
        for space in (wrong, world.planted)
    ]
    return {"null": p[0], "effect": p[1]}


def slots(rng: np.random.Generator, n: int, orders: int) -> World:
    """Ask a judge who looks at content alone; with all orders of every triplet the answers balance each other."""
    odd = np.repeat(rng.integers(0, 3, n // orders), orders)
    shown = np.tile([0, 0, 1, 1, 2, 2], n // orders) if orders == 6 else rng.integers(0, 3, n)
    questions = sample_triplets(60, n, seed=seed(rng))
    unbiased, leaning = (odd + shown) % 3, np.where(rng.random(n) < 0.1, 0, (odd + shown) % 3)
    p = [slot_bias(questions.with_answers(answers)).p_value for answers in (unbiased, leaning)]
    return {"null": p[0], "effect": p[1]}


def seeds(rng: np.random.Generator, n: int) -> World:
    """Match four unrelated runs of five components; the first components of four others share .3 of their variance."""
    runs = [features(rng, (n, 5), "sparse") for _ in range(4)]
    source = features(rng, (n, 1), "sparse")[:, 0]
    alike = [np.c_[np.sqrt(0.3 / 0.7) * source + run[:, 0], run[:, 1:]] for run in runs]
    tables = [
        component_reproducibility([frame(x) for x in xs], n_null=199, n_halves=2, seed=seed(rng)).table
        for xs in (runs, alike)
    ]
    p = [table["p"].to_numpy() for table in tables]
    return {"null": p[0], "effect": p[1][0]}


# Meaning ------------------------------------------------------------------------------------------------------------


def correlations(rng: np.random.Generator, n: int, kind: str) -> World:
    """Correlate five components with eight ratings, a ninth has r = .2 with the first ("twice": every clip twice)."""
    rows = n // 2 if kind == "twice" else n
    form = "gaussian" if kind == "twice" else kind
    x, y = features(rng, (rows, 5), form), features(rng, (rows, 8), form)
    x /= x.std(axis=0)
    noise = features(rng, (rows, 1), form)
    y = np.c_[y, 0.2 * x[:, :1] + np.sqrt(1 - 0.04) * noise / noise.std()]
    if kind == "twice":
        x, y = np.repeat(x, 2, axis=0), np.repeat(y, 2, axis=0)
    found = correlate_components(frame(x), {"category": frame(y, "r")})
    p, low, high = (np.asarray(table, float) for table in (found.p, found.ci_low, found.ci_high))
    return {"null": p[:, :8], "effect": p[0, 8], "covers": holds(low, high, 0)[:, :8]}


def discoveries(rng: np.random.Generator, n: int, kind: str) -> World:
    """Take the smallest q of 5 × 8 unrelated pairs: with nothing to find, any is a false discovery."""
    found = correlate_components(
        frame(features(rng, (n, 5), kind)), {"category": frame(features(rng, (n, 8), kind), "r")}
    )
    return {"null": np.asarray(found.q, float).min()}


def maxima(rng: np.random.Generator, n: int, kind: str) -> World:
    """Take largest |r| of ratings that are unrelated, or of which the first shares r = .4 with the first component."""
    x, y = features(rng, (n, 3), kind), features(rng, (n, 6), kind)
    z = (x[:, 0] - x[:, 0].mean()) / x[:, 0].std()
    related = y.copy()
    related[:, 0] = 0.4 * z * y[:, 0].std() + np.sqrt(1 - 0.16) * y[:, 0]
    settings = {"thresholds": [0.2], "n_permutations": 199, "n_subsamples": 2}
    p = [
        np.asarray(shares_above(frame(x), {"category": frame(r, "r")}, seed=seed(rng), **settings).p_max, float)
        for r in (y, related)
    ]
    return {"null": p[0].min(), "effect": p[1][0, 0]}


def types(rng: np.random.Generator, n: int, kind: str) -> World:
    """Follow the dimensions alone (the categories add nothing), or a category as well that explains .05 of it."""
    categories = features(rng, (n, 6), kind)
    dimensions = categories[:, :4] @ rng.normal(size=(4, 4)) + features(rng, (n, 4), "gaussian")
    ratings = {"category": frame(categories, "k"), "dimension": frame(dimensions, "d")}
    base = dimensions @ rng.normal(size=4)
    alone = base / base.std() + rng.normal(size=n) * np.abs(1 + 0.5 * dimensions[:, 0] / dimensions[:, 0].std())
    extra = categories[:, 5] / categories[:, 5].std()
    both = alone + np.sqrt(0.05 / 0.95) * alone.std() * extra
    settings = {"n_repeats": 1, "n_permutations": 199, "n_subsamples": 0}
    found = component_types(frame(np.c_[alone, both]), ratings, seed=seed(rng), **settings)
    p = found.components["p_categories"].to_numpy()
    return {"null": p[0], "effect": p[1]}


def predictions(rng: np.random.Generator, n: int, kind: str) -> World:
    """Predict three unrelated ratings from five components, and one of which they explain .1."""
    x, y = features(rng, (n, 5), kind), features(rng, (n, 4), kind)
    signal = x @ rng.normal(size=5)
    y[:, 3] += np.sqrt(0.1 / 0.9) * y[:, 3].std() * signal / signal.std()
    found = predict_ratings(
        frame(x), {"category": frame(y, "r")}, n_repeats=1, n_permutations=199, seed=seed(rng)
    ).ratings
    p = found["p"].to_numpy()
    return {"null": p[:3], "effect": p[3]}


def labels(rng: np.random.Generator, n: int, kind: str) -> World:
    """Label stimuli at random with six categories; or let the categories' means scatter by .25 standard deviations."""
    names = pd.Series(rng.choice(list("uvwxyz"), n, p=[0.3, 0.2, 0.15, 0.15, 0.1, 0.1]))
    x = features(rng, (n, 8), kind)
    means = 0.25 * x.std() * rng.normal(size=(6, 8))
    p = []
    for space in (frame(x), frame(x + means[names.map("uvwxyz".find)])):
        given = names.set_axis(space.index)
        found = classify(space, given, n_permutations=199, n_subsamples=2, seed=seed(rng)).accuracy
        p.append(found["p"].to_numpy())
    return {"null": p[0], "effect": p[1][0]}


def silhouettes(rng: np.random.Generator, n: int, kind: str) -> World:
    """Take the silhouette of labels as those of `labels`."""
    names = rng.choice(6, n, p=[0.3, 0.2, 0.15, 0.15, 0.1, 0.1])
    x = features(rng, (n, 8), kind)
    p = []
    for space in (frame(x), frame(x + (0.25 * x.std() * rng.normal(size=(6, 8)))[names])):
        given = pd.Series([f"e{k}" for k in names], space.index)
        p.append(float(silhouette(space, given, n_permutations=199, n_boot=2, seed=seed(rng)).overall.at["plain", "p"]))
    return {"null": p[0], "effect": p[1]}


# Spaces against each other ------------------------------------------------------------------------------------------


def _related(rng: np.random.Generator, n: int, kind: str) -> dict[str, pd.DataFrame]:
    """Make three spaces that share a source: a and c are related to b alike."""
    source = features(rng, (n, 6), kind) * [1.6, 1.3, 1, 1, 0.7, 0.5]
    a, b, c = (source + 0.7 * features(rng, (n, 6), kind) for _ in "abc")
    return {"a": frame(a), "b": frame(b[:, :5]), "c": frame(c)}


def _compared(spaces: dict[str, pd.DataFrame], call: str, n_permutations: int, rng: np.random.Generator):
    settings = {"n_permutations": n_permutations, "seed": seed(rng)}
    if call == "geometry":
        return compare_geometry(spaces, **settings)
    if call == "choices":
        return compare_choices(spaces, n_tested=2000, **settings)
    return compare_rsa(spaces, metric="cosine", **settings)


def unrelated(rng: np.random.Generator, n: int, kind: str, call: str) -> World:
    """Compare spaces that share nothing; and one that is another with nine times its variance as noise."""
    a, b = features(rng, (n, 5), kind), features(rng, (n, 4), kind)
    copy = a + 3 * features(rng, (n, 5), kind)
    tables = [_compared({"a": frame(a), "b": frame(other)}, call, 199, rng).table for other in (b, copy)]
    first = {"rsa": "pearson", "geometry": "cka", "choices": "agreement"}[call]
    return {"null": tables[0].xs(first, level="statistic")["p"], "effect": tables[1].xs(first, level="statistic")["p"]}


@cache
def _population(kind: str, call: str) -> Floats:
    """Return agreements of a and b, a and c, b and c among very many stimuli."""
    rng = np.random.default_rng(9)
    worlds = 12 if call == "choices" else 3
    sizes = 400 if call == "choices" else 1500
    tables = [_compared(_related(rng, sizes, kind), call, 1, rng).table for _ in range(worlds)]
    first = {"rsa": "pearson", "geometry": "cka", "choices": "agreement"}[call]
    return np.mean([table.xs(first, level="statistic")["value"] for table in tables], axis=0)


def related(rng: np.random.Generator, n: int, kind: str, call: str) -> World:
    """Compare spaces related by construction: the interval of an agreement, and p of a difference that is 0."""
    found = _compared(_related(rng, n, kind), call, 1, rng)
    first = {"rsa": "pearson", "geometry": "cka", "choices": "agreement"}[call]
    table, tie = found.table.xs(first, level="statistic"), found.differences.xs(first, level="statistic")
    return {
        "covers": holds(table["ci_low"], table["ci_high"], _population(kind, call)),
        "null": tie.loc["b", "p"],
    }


def choices_of_new_stimuli(rng: np.random.Generator, n: int, n_stimuli: int) -> World:
    """Score n choices about a few of 300 stimuli, to speak of all: the truth, two noisy copies, a better one."""
    world, truth = _judged()
    ids = world.planted.index[rng.choice(300, n_stimuli, replace=False)].tolist()
    answers = ask(world.judge(seed=seed(rng)), sample_triplets(ids, n, seed=seed(rng)))
    planted = world.planted.loc[ids]
    spread = planted.to_numpy().std()
    copies = {
        name: planted + s * spread * rng.normal(size=planted.shape) for name, s in (("a", 1), ("b", 1), ("c", 0.5))
    }
    found = score_choices({"truth": planted, **copies}, answers, pairs=[("a", "b"), ("c", "a")], metric="dot")
    row, p = found.scores.loc["truth"], found.differences["p"].to_numpy()
    return {"covers": holds(row["low"], row["high"], truth), "null": p[0], "effect": p[1]}


# Voxels and regions -------------------------------------------------------------------------------------------------


def _recorded(responses: Floats, n_runs: int, subject: str = "sub-01", **rois: NDArray[np.bool_]) -> Recording:
    places = np.argwhere(np.ones((responses.shape[1], 1, 1))).astype(np.int32)
    grid = VolumeGrid(places, np.eye(4), (responses.shape[1], 1, 1), "MNI152NLin6Asym")
    ids, run = [f"s{k:04d}" for k in range(len(responses))], np.arange(len(responses)) * n_runs // len(responses) + 1
    trials = pd.DataFrame({"stimulus": ids, "run": run, "session": 1})
    return Recording(subject, responses.astype(np.float32), trials, grid, rois)


def _noise(rng: np.random.Generator, n: int, n_voxels: int, rho: float) -> Floats:
    """Draw noise of voxels that share half of its variance, autocorrelated by rho from trial to trial."""
    own, common = rng.normal(size=(n, n_voxels)), rng.normal(size=(n, 1))
    return drifting((own + common) / np.sqrt(2), rho)


def voxels(
    rng: np.random.Generator, n: int, rho: float, block_length: int | None = None, penalties: str = "kept"
) -> World:
    """Encode 40 voxels that share noise; the last four follow the space with an R2 of .1 in truth."""
    x = drifting(rng.normal(size=(n, 5)), rho)
    y = _noise(rng, n, 40, rho)
    y[:, 36:] += np.sqrt(0.1 / 0.9) * (x @ rng.normal(size=(5, 4))) / np.sqrt(5)
    recording = _recorded(y, 12)
    found = encoding_significance(
        encode(frame(x), recording, name="a", n_folds=6, alphas=np.logspace(0, 4, 8)), recording,
        n_permutations=199, block_length=block_length, penalties=penalties, seed=seed(rng),
    )  # fmt: skip
    return {"null": found.p[:36], "effect": found.p[36:]}


def brains(rng: np.random.Generator, n: int, penalties: str) -> World:
    """Take the smallest family-wise p of 40 voxels that follow nothing: a false alarm anywhere in the brain."""
    recording = _recorded(_noise(rng, n, 40, 0.0), 12)
    encoding = encode(frame(rng.normal(size=(n, 5))), recording, name="a", n_folds=6, alphas=np.logspace(0, 4, 8))
    found = encoding_significance(encoding, recording, n_permutations=199, penalties=penalties, seed=seed(rng))
    return {"null": found.p_family.min()}


def ties(rng: np.random.Generator, n_runs: int, rho: float) -> World:
    """Compare two equally noisy copies of what drives a region; then one copy with twice the variance of noise."""
    n = 20 * n_runs
    truth = rng.normal(size=(n, 5))
    y = _noise(rng, n, 20, rho) + 0.3 * truth @ rng.normal(size=(5, 20))
    recording = _recorded(y, n_runs, region=np.ones(20, bool))
    spaces = [frame(truth + spread * rng.normal(size=(n, 5))) for spread in (0.7, 0.7, 1.0)]
    encodings = [
        encode(space, recording, name=name, n_folds=6, alphas=[100.0])
        for space, name in zip(spaces, "abc", strict=True)
    ]
    p = [
        region_tests([compare_encodings(encodings[0], other, recording)]).set_index("region").loc["region", "p"]
        for other in encodings[1:]
    ]
    return {"null": p[0], "effect": p[1]}


@cache
def _region_truth(n_runs: int, rho: float) -> float:
    rng = np.random.default_rng(11)
    return float(np.mean([_region(rng, n_runs, rho)["r"] for _ in range(150)]))


def _region(rng: np.random.Generator, n_runs: int, rho: float) -> pd.Series:
    """Score a region of 20 voxels; slopes are the same in every world."""
    n = 20 * n_runs
    x = rng.normal(size=(n, 5))
    y = _noise(rng, n, 20, rho) + 0.2 * x @ np.random.default_rng(12).normal(size=(5, 20))
    recording = _recorded(y, n_runs, region=np.ones(20, bool))
    encoding = encode(frame(x), recording, name="a", n_folds=6, alphas=[100.0])
    return region_scores(encoding, recording).set_index("region").loc["region"]


def regions(rng: np.random.Generator, n_runs: int, rho: float) -> World:
    """Ask whether the interval of a region's mean r holds the mean over recordings."""
    row = _region(rng, n_runs, rho)
    return {"covers": holds(row["low"], row["high"], _region_truth(n_runs, rho))}


def unique(rng: np.random.Generator, n_runs: int) -> World:
    """Test a noisy copy of the controls beyond them; and a space with a part of its own that explains .1."""
    n = 20 * n_runs
    control, own = rng.normal(size=(2, n, 3))
    drive = control @ rng.normal(size=(3, 20))
    y = _noise(rng, n, 20, 0.0) + 0.6 * drive / np.sqrt(3)
    more = y + np.sqrt(0.1 / 0.9) * y.std() * own @ rng.normal(size=(3, 20)) / np.sqrt(3)
    p = []
    for space, responses in ((control + rng.normal(size=(n, 3)), y), (np.c_[control, own], more)):
        found = unique_variance(
            frame(space, "a"), {"visual": frame(control, "v")}, _recorded(responses, n_runs), name="a",
            n_folds=6, alphas=np.logspace(0, 4, 5), weightings=5, seed=seed(rng),
        )  # fmt: skip
        p.append(found.voxels["p"].to_numpy())
    return {"null": p[0], "effect": p[1]}


def repeats(rng: np.random.Generator, n: int, n_repeats: int, ev: float) -> World:
    """Show n stimuli n_repeats times: 20 voxels without, 20 with `ev` explainable variance; its interval."""
    stimulus = np.tile(np.arange(n), n_repeats)
    y = rng.normal(size=(len(stimulus), 40))
    y[:, 20:] += np.sqrt(ev / (1 - ev)) * rng.normal(size=(n, 20))[stimulus]
    trials = pd.DataFrame({"stimulus": stimulus.astype(str), "run": np.arange(len(stimulus)) // n + 1, "session": 1})
    found = explainable_variance(Recording("sub-01", y.astype(np.float32), trials))
    return {"null": found.p[:20], "effect": found.p[20:], "covers": holds(found.low, found.high, [0] * 20 + [ev] * 20)}


def persons(rng: np.random.Generator, n: int, n_people: int) -> World:
    """Correlate people who share nothing (20 voxels), or a tenth of their variance (20)."""
    shared = np.r_[np.zeros(20), np.full(20, np.sqrt(0.1 / 0.9))] * rng.normal(size=(n, 40))
    found = across_subject_ceiling([
        _recorded(shared + rng.normal(size=(n, 40)), 4, subject=f"sub-{k:02d}") for k in range(n_people)
    ])  # fmt: skip
    return {"null": found.p[:20], "effect": found.p[20:], "covers": holds(found.low, found.high, 0)[:20]}


# Searchlights -------------------------------------------------------------------------------------------------------

SPHERE = Neighbourhoods(np.array([0, 20]), np.arange(20, dtype=np.int32))


def sphere(
    rng: np.random.Generator, n: int, n_runs: int, statistic: str = "pearson", test: str = "closed", sort: bool = False
) -> World:
    """Place a sphere whose patterns drift from run to run and follow nothing, or (in part) the space.

    `sort`: stimuli come sorted by the first feature of the space.
    """
    x = rng.normal(size=(n, 4))
    if sort:
        x = x[np.argsort(x[:, 0])]
    run = np.arange(n) * n_runs // n
    drift = np.cumsum(rng.normal(size=(n_runs, 20)), axis=0)[run]
    noise = rng.normal(size=(n, 20))
    p = []
    for responses in (noise + 0.5 * drift, noise + 0.15 * x @ rng.normal(size=(4, 20))):
        patterns = Patterns("a", tuple(f"s{k:04d}" for k in range(n)), responses.astype(np.float32), run)
        settings = {"n_permutations": 199, "seed": seed(rng)} if test == "drawn" else {}
        found = searchlight(
            patterns, {"a": frame(x)}, SPHERE, metric="sqeuclidean", brain_metric="sqeuclidean", statistic=statistic,
            test=test, intervals=False, n_jobs=1, **settings,
        )  # fmt: skip
        p.append(float(found.p[0, 0]))
    return {"null": p[0], "effect": p[1]}


def sphere_ties(rng: np.random.Generator, n: int, n_runs: int, noise: float, units: str = "stimulus") -> World:
    """Compare two equally noisy copies of what a sphere knows; and a copy with four fifths of that noise."""
    truth, run = rng.normal(size=(n, 5)), np.arange(n) % n_runs
    copies = [truth + s * rng.normal(size=(n, 5)) for s in (noise, noise, 0.8 * noise)]
    mixing = np.random.default_rng(99).normal(size=(5, 20))
    own = 2 * rng.normal(size=(n, 20)) + 2 * rng.normal(size=(n_runs, 20))[run] * (units == "run")
    patterns = Patterns("a", tuple(f"s{k:04d}" for k in range(n)), (truth @ mixing + own).astype(np.float32), run)
    found = searchlight(
        patterns, {name: frame(x) for name, x in zip("abc", copies, strict=True)}, SPHERE, test="none", n_jobs=1,
        differences=[("a", "b"), ("c", "a")], intervals=True, units=units,
    )  # fmt: skip
    p = found.difference_table()["p"].to_numpy()
    return {"null": p[0], "effect": p[1]}


# People -------------------------------------------------------------------------------------------------------------


def people(rng: np.random.Generator, n: int, column: str) -> World:
    """Score six regions that share noise over n people: no difference of two spaces; one of a standard deviation."""
    person, p = rng.normal(size=(n, 1)), []
    for effect in (0.0, 1.0):
        difference = effect + np.sqrt(0.7) * person + np.sqrt(0.3) * rng.normal(size=(n, 6))
        rows = [
            (f"sub-{i:02d}", f"region {j}", space, 0.1 + 0.01 * difference[i, j] * (space == "a"))
            for i in range(n) for j in range(6) for space in "ab"
        ]  # fmt: skip
        table = pd.DataFrame(rows, columns=["subject", "region", "space", "r"])
        p.append(compare_group(table, reference="a", seed=seed(rng)).comparisons[column].to_numpy())
    return {"null": p[0], "effect": p[1]}


def share_of_people(rng: np.random.Generator, n: int) -> World:
    """Draw who has the effect from a uniform share, and who is significant at .05; does the interval hold the share?"""
    share = rng.random(2000)
    k = rng.binomial(n, 0.05 * (1 - share) + share)
    found = prevalence(k, np.full(2000, n))
    return {"covers": holds(found.low, found.high, share)}
