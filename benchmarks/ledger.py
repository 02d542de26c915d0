"""Recompute what the reproduction ledger (docs/ledger.md) says is ours, from the published files.

    AFFECTOME_DATA=... python benchmarks/ledger.py            # prints the rows that can be recomputed, seconds
    AFFECTOME_DATA=... python benchmarks/ledger.py --write    # and puts them into the page

A row of the page begins with its number (B3, M7, ...) and has our value in the third column. Rows without an entry here
come from longer runs; the page names the page and the command they come from.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io
from scipy import stats
from scipy.spatial.distance import pdist

from affectome import StimulusSet
from affectome.behavior import guessing_modal
from affectome.interpretation import classify, score_type_rules, shuffled_baseline, top_categories
from affectome.neural import (
    ALPHAS,
    HCP_GROUPS,
    SUBCORTICAL,
    ModelGeometry,
    Neighbourhoods,
    Patterns,
    Recording,
    SpearmanScorer,
    encode,
    prevalence,
    sign_flip_test,
)
from affectome.stimuli import (
    HORIKAWA_DUPLICATES,
    N_VIDEOS,
    load_cowen_keltner,
    load_horikawa_features,
    load_mind_captioning,
    video_id,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "ledger.md"
DUPLICATES = [video_id(number) for number in HORIKAWA_DUPLICATES if number <= N_VIDEOS]


def share(value: float, digits: int = 3) -> str:
    """Write .971 for 0.9714."""
    return f"{value:.{digits}f}".removeprefix("0")


@cache
def ratings(data: Path) -> StimulusSet:
    return load_cowen_keltner(data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv")


@cache
def published_regions(data: Path) -> Any:
    return scipy.io.loadmat(data / "horikawa_2020" / "roiInf.mat", simplify_cells=True)["roiInf"]


# Stimuli ------------------------------------------------------------------------------------------------------------


def sizes(data: Path) -> str:
    spaces = ratings(data).spaces
    widths = ", ".join(str(spaces[name].shape[1]) for name in ("category", "dimension", "terms"))
    return f"{len(ratings(data).ids):,} videos; {widths}"


def presentations(data: Path) -> str:
    shown = len(scipy.io.loadmat(data / "horikawa_2020" / "category.mat", simplify_cells=True)["L"]["feat"])
    return (
        f"{shown:,} presentations, {shown - len(HORIKAWA_DUPLICATES):,} kept; {N_VIDEOS - len(DUPLICATES):,} as clips"
    )


def captions(data: Path) -> str:
    found = load_mind_captioning(data / "mind_captioning" / "caption_ck20.csv", repeats="drop")
    numbers = sorted({len(texts) for texts in found.values()})
    return f"{' or '.join(map(str, numbers))} of each of {len(found):,} videos"


def control_space(data: Path) -> str:
    space = load_horikawa_features(data / "horikawa_2020" / "semantic_features.csv")
    return f"{space.shape[1]} concepts, {space.to_numpy().min():g} to {space.to_numpy().max():g}"


# Behaviour ----------------------------------------------------------------------------------------------------------


def guessed_ceiling(_: Path) -> str:
    return " and ".join(f"{share(guessing_modal(repeats))} ({repeats} repeats)" for repeats in (20, 3))


def subset_sizes(_: Path) -> str:
    return f"{66 * 65 * 64 // 6:,} triplets, {66 * 65 // 2:,} pairs"


def pair_intervals(_: Path) -> str:
    """Fisher's interval of r over 2,145 independent pairs."""
    reach = stats.norm.ppf(0.975) / np.sqrt(2145 - 3)
    ends = [[share(np.tanh(np.arctanh(r) + side * reach), 2) for side in (-1, 1)] for r in (0.83, 0.85)]
    return ", ".join(f"[{low}, {high}]" for low, high in ends)


def divided_chance(_: Path) -> str:
    return share(1 / 3 / 0.6217)


# Meaning ------------------------------------------------------------------------------------------------------------


@cache
def _top(data: Path, space: str, most_common: int | None) -> pd.DataFrame:
    spaces = ratings(data).spaces
    labels = top_categories(spaces["category"], seed=0).labels
    settings = {"exclude": DUPLICATES, "n_permutations": 19, "n_subsamples": 2, "seed": 0}
    return classify(spaces[space], labels, most_common=most_common, **settings).accuracy


def tied(data: Path) -> str:
    category = ratings(data).spaces["category"]
    return f"{top_categories(category).n_tied / len(category):.1%}"


def empty(data: Path) -> str:
    category = ratings(data).spaces["category"]
    first, drawn = (len(top_categories(category, ties=ties).empty) for ties in ("first", "random"))
    pride = (category.to_numpy().argmax(axis=1) == category.columns.get_loc("Pride")).sum()
    return f"{first} where the first of a tie counts, {drawn} where ties are drawn; Pride {pride}"


def circular_share(data: Path) -> str:
    own = _top(data, "category", None).at[("plain", 3), "value"]
    settings = {"exclude": DUPLICATES, "n_shuffles": 5, "seed": 0}
    shuffled = shuffled_baseline(ratings(data).spaces["category"], **settings).loc[("plain", 3)]
    return f"{share(shuffled['value'])} [{share(shuffled['low'])}, {share(shuffled['high'])}] against {share(own)}"


def raw_dimensions(data: Path) -> str:
    return share(_top(data, "dimension", 17).at[("plain", 3), "value"])


def prior(data: Path) -> str:
    return share(_top(data, "category", 17).at[("plain", 3), "prior"])


def null_below_chance(data: Path) -> str:
    found = {n: _top(data, "category", n).at[("plain", 3), "null_mean"] for n in (None, 17)}
    return f"{share(found[None])} (all), {share(found[17])} (17)"


def threshold_rule(data: Path) -> str:
    spaces = ratings(data).spaces
    pair = {name: spaces[name] for name in ("category", "dimension")}
    scores = score_type_rules(pair, n_permutations=99, seed=0).scores.loc["threshold 0.2"].loc["kept", "hybrid"]
    return f"{scores['category']:.0%} and {scores['dimension']:.0%}"


# Brain --------------------------------------------------------------------------------------------------------------


def _areas(members: Any) -> set[str]:
    return {re.fullmatch(r"hcp180_r_[lr]h\.[LR]_(.+)_ROI", name)[1] for name in np.atleast_1d(members)}  # type: ignore[index]


def region_sizes(data: Path) -> str:
    groups = published_regions(data)["individual"]
    found = dict(zip(groups["roiDescrip"], map(len, groups["roiName"]), strict=True))
    ours = {name: 2 * len(areas) for name, areas in HCP_GROUPS.items() if name in found}
    differing = [name for name in ours if ours[name] != found[name]]
    return f"VC {ours['VC']}; {len(ours)} groups, other sizes in {' and '.join(differing)}"


def swapped_names(data: Path) -> str:
    groups = published_regions(data)["individual"]
    theirs = {name: _areas(areas) for name, areas in zip(groups["roiDescrip"], groups["roiName"], strict=True)}
    names = [name for name in theirs if theirs[name] != set(HCP_GROUPS[name])]
    equal = theirs["ACC"] == set(HCP_GROUPS["Insula"]) and theirs["Insula"] == set(HCP_GROUPS["ACC"])
    return f"{' and '.join(sorted(names))} differ, each {'has' if equal else 'has not'} the areas of the other"


def subcortical(data: Path) -> str:
    return f"{len(published_regions(data)['subcortex']['roiDescrip'])} there, {len(SUBCORTICAL)} here"


def nested(_: Path) -> str:
    return "inside VC" if set(HCP_GROUPS["MST"]) <= set(HCP_GROUPS["VC"]) else "not inside VC"


def folds(_: Path) -> str:
    """First and last run of each fold of 61 runs."""
    run = np.arange(122) // 2 + 1
    ids = [f"s{k}" for k in range(122)]
    x = np.random.default_rng(0).normal(size=(122, 3))
    trials = pd.DataFrame({"stimulus": ids, "run": run, "session": 1})
    recording = Recording("sub-01", x[:, :2].astype(np.float32), trials)
    fold = encode(pd.DataFrame(x[:, 1:], ids, ["a", "b"]), recording, name="a", n_folds=6).fold
    return ", ".join(f"{run[fold == f].min()}-{run[fold == f].max()}" for f in np.unique(fold))


def alphas(_: Path) -> str:
    return f"{len(ALPHAS)} from {ALPHAS[0]:g} to {ALPHAS[-1]:,.0f}"


def normal_tail(_: Path) -> str:
    """Share of permutations beyond three standard deviations, 60 stimuli, similarities of 4 and of 8 directions."""
    rng, n = np.random.default_rng(0), 60
    off = ~np.eye(n, dtype=bool)
    similar = []
    for width in (4, 8):
        x = rng.normal(size=(n, width))
        s = x @ x.T * off
        similar.append(np.where(off, s - s[off].mean(), 0))
    orders = [rng.permutation(n) for _ in range(20_000)]
    null = np.array([(similar[0] * similar[1][np.ix_(order, order)]).sum() for order in orders])
    beyond = ((null - null.mean()) / null.std() > 3).mean()
    return f"{share(beyond, 4)} where a normal distribution has {share(stats.norm.sf(3), 4)}"


def binned_ranks(_: Path) -> str:
    """Error of rho with 4,095 bins, against scipy: 1,000 stimuli, two spaces."""
    rng, n = np.random.default_rng(0), 1000
    x = rng.normal(size=(n, 4))
    responses = (x @ rng.normal(size=(4, 30)) + rng.normal(size=(n, 30))).astype(np.float32)
    given = Patterns("a", tuple(f"s{k}" for k in range(n)), responses, np.arange(n))
    spaces = [ModelGeometry(str(k), "dot", x + k * rng.normal(size=(n, 4)), np.ones(4)) for k in (1, 2)]
    sphere = Neighbourhoods(np.array([0, 30]), np.arange(30, dtype=np.int32))
    rho = SpearmanScorer(bins=4095, tolerance=1).prepare(spaces, given).score(sphere).rho[0]
    upper = np.triu_indices(n, 1)
    brain = 1 - pdist(responses.astype(float), "correlation")
    exact = [stats.spearmanr(brain, (s.factors @ s.factors.T)[upper]).statistic for s in spaces]
    error = np.abs(rho - exact).max()
    return f"{error:.0e}".replace("e-0", "e-")


def rejected_ties(_: Path) -> str:
    """Share of true ties that permuting the stimuli calls different: 100 worlds of 200 stimuli, p <= .05."""
    rng, n = np.random.default_rng(0), 200
    upper, rejected = np.triu_indices(n, 1), 0
    for _world in range(100):
        truth = rng.normal(size=(n, 5))
        patterns = truth @ rng.normal(size=(5, 20)) + 2 * rng.normal(size=(n, 20))
        copies = [truth + rng.normal(size=(n, 5)) for _copy in range(2)]
        brain, *spaces = (s - s[upper].mean() for s in (np.corrcoef(patterns), *(x @ x.T for x in copies)))
        difference = np.subtract(*(s / np.linalg.norm(s[upper]) for s in spaces))
        orders = [np.arange(n), *(rng.permutation(n) for _draw in range(99))]
        scores = np.abs([(brain[np.ix_(order, order)][upper] * difference[upper]).sum() for order in orders])
        rejected += (scores >= scores[0]).mean() <= 0.05
    return share(rejected / 100, 2)


def least_sign_flip(_: Path) -> str:
    return share(float(sign_flip_test(np.full((5, 1), 0.1), seed=0).p[0]), 4)


def five_of_five(_: Path) -> str:
    return share(float(prevalence(5, 5).bound), 2)


def needed_draws(_: Path) -> str:
    """Permutations for q = .05 where 1% of the voxels are found."""
    return f"{round(1 / (0.05 * 0.01)) - 1:,}"


ENTRIES: dict[str, Callable[[Path], str]] = {
    "S1": sizes,
    "S2": presentations,
    "S3": captions,
    "S4": control_space,
    "B5": guessed_ceiling,
    "B6": subset_sizes,
    "B8": pair_intervals,
    "B13": divided_chance,
    "M5": threshold_rule,
    "M8": raw_dimensions,
    "M11": prior,
    "M12": circular_share,
    "M13": tied,
    "M14": empty,
    "M15": null_below_chance,
    "N1": region_sizes,
    "N2": swapped_names,
    "N3": subcortical,
    "N4": nested,
    "N5": folds,
    "N6": alphas,
    "N10": rejected_ties,
    "N11": binned_ranks,
    "N12": normal_tail,
    "N14": least_sign_flip,
    "N15": five_of_five,
    "N16": needed_draws,
}


def page_rows(text: str) -> dict[str, list[str]]:
    """Return the cells of every numbered row of the page."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row for row in rows if re.fullmatch(r"[SBMN]\d+", row[0])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the values into docs/ledger.md")
    arguments = parser.parse_args()
    logging.getLogger("affectome").setLevel(logging.ERROR)  # few permutations suffice for a mean
    data = Path(os.environ["AFFECTOME_DATA"])
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    at = {line.split("|")[1].strip(): k for k, line in enumerate(lines) if line.startswith("| ")}
    for number, compute in ENTRIES.items():
        cells = lines[at[number]].split("|")
        cells[3] = f" {compute(data)} "
        lines[at[number]] = "|".join(cells)
        print(lines[at[number]])
    if arguments.write:
        PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
