"""How long searchlight RSA takes per centre, beside mne-rsa and a scipy loop over the same spheres.

    python benchmarks/searchlight.py
    python benchmarks/searchlight.py --centres 256
    python benchmarks/searchlight.py --backend torch_cuda

2,180 stimuli in 61 runs, spheres of radius 3 (123 voxels), 5 spaces of 30, 30, 34, 14 and 73 features (cosine), all of
them in one pass; CPU time of one thread for everyone, the best of a few. Ours leaves pairs within runs out, as is its
default, and which the others cannot; before anything is timed, scores over all pairs are compared. mne-rsa: rsa_array
with condensed model RDMs, all five in one call, so that it makes every data RDM once and ranks every model once; it
is left out (null) where it is not installed. The scipy loop: pdist, then pearsonr or the correlation of rankdata; with
permutations, each of 1,000 takes the permuted RDM of every space out of its square and correlates it (three are timed).

The last line is JSON. `pearson_ms_per_centre`, `spearman_ms_per_centre` and `p_ms_per_centre` (Pearson r and p of
`searchlight`, closed form) are ours, as is `spearman_full_ms_per_centre` (its rho, p, intervals and differences);
`pearson_ratio` and `spearman_ratio` are CPU time of mne-rsa over ours, `*_ratio_scipy` of the loop, `permutation_ratio`
of the loop with 1,000 permutations over ours with p. `floor_ms`: the products of a centre, n V^2 + 2 n V K operations,
at the speed of a large float32 product in the same run.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, rankdata
from threadpoolctl import threadpool_limits

from affectome.neural import VolumeGrid, searchlight, sphere_neighbourhoods
from affectome.neural.searchlight import ModelGeometry, Neighbourhoods, Patterns, model_geometry
from affectome.neural.searchlight._pearson import PearsonScorer
from affectome.neural.searchlight._spearman import SpearmanScorer

N, RUNS, RADIUS, WIDTHS, EDGE = 2180, 61, 3, (30, 30, 34, 14, 73), 16
N_PERMUTATIONS = 1000


def simulate(n: int) -> tuple[Patterns, list[ModelGeometry]]:
    """Voxels of a cube that carry a little of the first space, and five spaces of few large weights."""
    rng = np.random.default_rng(0)
    ids = tuple(f"s{k:04d}" for k in range(n))
    spaces = [pd.DataFrame(rng.gamma(0.3, size=(n, width)), index=list(ids)) for width in WIDTHS]
    x = rng.standard_normal((n, EDGE**3), dtype=np.float32)
    x += spaces[0].to_numpy(np.float32) @ rng.standard_normal((WIDTHS[0], EDGE**3), dtype=np.float32) / 4
    run = np.arange(n) * RUNS // N
    models = [model_geometry(space, name=f"space {k}", metric="cosine") for k, space in enumerate(spaces)]
    return Patterns("sub-01", ids, x, run), models


def whole_spheres(radius: float) -> Neighbourhoods:
    """Those inside the cube, in its order."""
    places = np.argwhere(np.ones((EDGE,) * 3, bool)).astype(np.int32)
    spheres = sphere_neighbourhoods(VolumeGrid(places, np.eye(4), (EDGE,) * 3), radius)
    return those(spheres, np.flatnonzero(spheres.sizes == spheres.sizes.max()))


def those(spheres: Neighbourhoods, numbers: np.ndarray) -> Neighbourhoods:
    starts = np.concatenate([[0], np.cumsum(spheres.sizes[numbers])])
    return Neighbourhoods(starts, np.concatenate([spheres[k] for k in numbers]))


def cpu(call: Callable[[], object], repeats: int = 3, *, warm: bool = True) -> float:
    """Milliseconds of CPU on one thread, the best of some."""
    with threadpool_limits(1, user_api="blas"):
        if warm:
            call()
        found = []
        for _ in range(repeats):
            start = time.process_time()
            call()
            found.append(time.process_time() - start)
    return min(found) * 1e3


def ours(patterns: Patterns, models: list[ModelGeometry], spheres: Neighbourhoods, n_centres: int) -> dict[str, float]:
    some = those(spheres, np.arange(n_centres))
    scorer = PearsonScorer(models, patterns)
    ranked = SpearmanScorer().prepare(models, patterns)
    few = those(spheres, np.arange(max(4, n_centres // 8)))
    half, quarter = (those(spheres, np.arange(n_centres // part)) for part in (2, 4))

    def tested(centres: Neighbourhoods) -> float:
        return cpu(lambda: searchlight(patterns, models, centres, test="closed"))

    def full(centres: Neighbourhoods) -> float:
        compared = [(models[0].name, other.name) for other in models[1:]]
        return cpu(lambda: searchlight(patterns, models, centres, statistic="spearman", differences=compared), 2)

    return {
        "pearson": cpu(lambda: scorer.score(some)) / len(some),
        "stimuli": cpu(lambda: scorer.score(few, per_stimulus=True)) / len(few),
        "spearman": cpu(lambda: ranked.score(few)) / len(few),
        # What is done once drops out of these.
        "spearman_full": (full(half) - full(quarter)) / (len(half) - len(quarter)),
        "tested": (tested(some) - tested(half)) / (len(some) - len(half)),
    }


def by_scipy(x: np.ndarray, models: list[np.ndarray], *, ranks: bool) -> list[float]:
    """One centre. The models are dissimilarities, or their ranks."""
    own = pdist(x, "correlation")
    if ranks:
        own = rankdata(own)
        return [float(np.corrcoef(own, model)[0, 1]) for model in models]
    return [float(pearsonr(own, model).statistic) for model in models]


def permuted_by_scipy(x: np.ndarray, squares: list[np.ndarray], n_permutations: int) -> list[float]:
    rng = np.random.default_rng(0)
    own = pdist(x, "correlation")
    orders = [rng.permutation(len(x)) for _ in range(n_permutations)]
    return [
        float(pearsonr(own, squareform(square[np.ix_(order, order)], checks=False)).statistic)
        for order in orders
        for square in squares
    ]


def by_mne(x: np.ndarray, models: list[np.ndarray], spheres: Neighbourhoods, metric: str) -> np.ndarray | None:
    """(n_models, n_centres), or None without mne-rsa."""
    try:
        from mne_rsa import rsa_array
    except ImportError:
        return None
    patches = [(slice(None), spheres[k]) for k in range(len(spheres))]
    return np.asarray(rsa_array(x, models, patches=patches, data_rdm_metric="correlation", rsa_metric=metric, n_jobs=1))


def peers(patterns: Patterns, models: list[ModelGeometry], spheres: Neighbourhoods) -> dict[str, float | None]:
    """Milliseconds per centre of the others, on one sphere, once their scores over all pairs are ours."""
    one = those(spheres, np.arange(1))
    every = Patterns(patterns.subject, patterns.ids, patterns.responses, None)
    squares = [1 - model.factors @ model.factors.T for model in models if model.factors is not None]
    for square in squares:
        np.fill_diagonal(square, 0)
    condensed = [squareform(square, checks=False) for square in squares]
    ranks = [rankdata(one) for one in condensed]
    x = patterns.responses[:, one[0]].astype(np.float64)
    r = PearsonScorer(models, every).score(one).r[0]
    rho = SpearmanScorer().prepare(models, every).score(one).rho[0]
    apart = {
        "pearson": np.abs(r - by_scipy(x, condensed, ranks=False)).max(),
        "spearman": np.abs(rho - by_scipy(x, ranks, ranks=True)).max(),
    }
    data = patterns.responses.astype(np.float64)
    found: dict[str, float | None] = {"mne_pearson": None, "mne_spearman": None}
    for metric, score in (("pearson", r), ("spearman", rho)):
        theirs = by_mne(data, condensed, one, metric)
        if theirs is not None:
            assert np.abs(theirs[:, 0] - score).max() < 1e-4, metric
            # Beyond one centre, nothing but centres is added: what it does once (ranks of models) drops out.
            three, two = (those(spheres, np.arange(k)) for k in (3, 1))
            found[f"mne_{metric}"] = (
                cpu(lambda s=three, m=metric: by_mne(data, condensed, s, m), 2, warm=False)
                - cpu(lambda s=two, m=metric: by_mne(data, condensed, s, m), 2, warm=False)
            ) / 2
    assert apart["pearson"] < 1e-6 and apart["spearman"] < 1e-4, apart
    found["scipy_pearson"] = cpu(lambda: by_scipy(x, condensed, ranks=False))
    found["scipy_spearman"] = cpu(lambda: by_scipy(x, ranks, ranks=True), 2)
    each = cpu(lambda: permuted_by_scipy(x, squares, 3), 1, warm=False) / 3
    found["scipy_permutations"] = each * N_PERMUTATIONS
    return found | {f"{name}_apart": float(value) for name, value in apart.items()}


def floor(n_voxels: int, width: int) -> tuple[float, float]:
    """Milliseconds of the products of a centre at the speed of a large one, and that speed in GFLOP/s."""
    a = np.random.default_rng(0).standard_normal((2048, 2048), dtype=np.float32)
    speed = 2 * 2048**3 / cpu(lambda: a @ a, 5) / 1e6
    return (N * n_voxels**2 + 2 * N * n_voxels * width) / speed / 1e6, speed


def growth(n_centres: int) -> None:
    """Print milliseconds of Pearson RSA per centre over n, V and spaces."""
    for n in (N // 4, N // 2, N):
        patterns, models = simulate(n)
        for radius in (2, RADIUS, 4):
            spheres = whole_spheres(radius)
            some = those(spheres, np.arange(min(n_centres, len(spheres))))
            scorers = [PearsonScorer(models[:k], patterns) for k in (1, 5)]
            took = [cpu(lambda s=s, c=some: s.score(c), 2) / len(some) for s in scorers]
            print(f"n {n:5d}  V {some.sizes[0]:4d}  one space {took[0]:.2f} ms  five {took[1]:.2f} ms")


def beside(backend: str, n_centres: int) -> dict[str, float]:
    """Milliseconds per centre of NumPy and another backend, without what is done once; scores must agree."""
    clock = time.perf_counter if backend == "torch_cuda" else time.process_time
    patterns, models = simulate(N)
    spheres = whole_spheres(RADIUS)
    found: dict[str, float] = {}
    for name, statistic, test, count in (
        ("pearson", "pearson", "none", n_centres),
        ("p", "pearson", "closed", n_centres),
        ("spearman", "spearman", "none", n_centres // 8),
    ):
        scores = {}
        for who in ("numpy", backend):
            took = []
            for centres in (2, 2, 2 + count):  # the first compiles
                start = clock()
                some = those(spheres, np.arange(centres))
                scores[who] = searchlight(patterns, models, some, statistic=statistic, test=test, backend=who).r
                took.append(clock() - start)
            found[f"{name}_ms_{who}"] = (took[2] - took[1]) / count * 1e3
        assert np.abs(scores["numpy"] - scores[backend]).max() < (1e-6 if statistic == "pearson" else 1e-4), name
        found[f"{name}_ratio"] = found[f"{name}_ms_numpy"] / found[f"{name}_ms_{backend}"]
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--centres", type=int, default=128)
    parser.add_argument("--backend", choices=["torch", "torch_cuda"])
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    if asked.backend:
        with threadpool_limits(1, user_api="blas"):
            print(json.dumps(beside(asked.backend, asked.centres)))
        return
    patterns, models = simulate(N)
    spheres = whole_spheres(RADIUS)
    assert spheres.sizes[0] == 123
    own = ours(patterns, models, spheres, asked.centres)
    others = peers(patterns, models, spheres)
    floor_ms, speed = floor(123, sum(WIDTHS))
    growth(asked.centres // 4)

    def ratio(theirs: str, mine: str) -> float | None:
        value = others[theirs]
        return None if value is None else round(value / own[mine], 1)

    found = {
        "pearson_ratio": ratio("mne_pearson", "pearson"),
        "spearman_ratio": ratio("mne_spearman", "spearman"),
        "permutation_ratio": ratio("scipy_permutations", "tested"),
        "pearson_ms_per_centre": round(own["pearson"], 2),
        "spearman_ms_per_centre": round(own["spearman"], 2),
        "spearman_full_ms_per_centre": round(own["spearman_full"], 2),
        "p_ms_per_centre": round(own["tested"], 2),
        "pearson_stimuli_ms_per_centre": round(own["stimuli"], 2),
        "pearson_ratio_scipy": ratio("scipy_pearson", "pearson"),
        "spearman_ratio_scipy": ratio("scipy_spearman", "spearman"),
        "pearson_apart": others["pearson_apart"],
        "spearman_apart": others["spearman_apart"],
        "floor_ms": round(floor_ms, 2),
        "floor_gflops": round(speed, 1),
        "over_floor": round(own["pearson"] / floor_ms, 2),
    }
    print({name: round(value, 1) for name, value in others.items() if value is not None and "apart" not in name})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
