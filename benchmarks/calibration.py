"""How often every test of the package errs, and how often its intervals hold the truth, in worlds that are known.

    python benchmarks/calibration.py                    # all tables, ten minutes of one core
    python benchmarks/calibration.py --share 0.4        # of the worlds; --quick is a twentieth
    python benchmarks/calibration.py --only correlations sphere --worlds 2000
    python benchmarks/calibration.py --write            # and put the tables into docs/calibration.md

Every row is a `Setting`: a world of `calibration_worlds.py`, its conditions, and how many are drawn. A cell is the
share of p at or below .05 or .01 where there is nothing to find, the share of 95% intervals that hold the truth, or the
share of p at or below .05 where the stated effect is there, each with its Monte-Carlo standard error over worlds
(voxels and cells of one world are not independent, and are never counted as if they were).
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import calibration_worlds as worlds
import numpy as np
from threadpoolctl import threadpool_limits

PAGE = Path(__file__).resolve().parents[1] / "docs" / "calibration.md"
CELLS = ("p ≤ .05", "p ≤ .01", "covered by 95%", "power")


@dataclass(frozen=True)
class Setting:
    """One row: what is judged, in which world, and where it may err.

    Attributes
    ----------
    table : str
        Name of the markers in the page between which the row stands.
    test, condition : str
        What the reader sees.
    world : str
        A function of `calibration_worlds`.
    options : dict
        Its conditions.
    n : int
        Worlds drawn.
    invalid : bool
        Whether the conditions break what the test assumes; the row shows what that costs.
    effect : str
        The effect that power is about.
    """

    table: str
    test: str
    condition: str
    world: str
    options: dict[str, object] = field(default_factory=dict)
    n: int = 1000
    invalid: bool = False
    effect: str = ""


@dataclass(frozen=True)
class Rate:
    """A share, and its standard error over worlds."""

    value: float
    error: float

    def __str__(self) -> str:
        digits = [f"{number:.3f}" for number in (self.value, self.error)]
        return " ± ".join(text.removeprefix("0") for text in digits)


@dataclass(frozen=True)
class Measured:
    """What a row came to, and its CPU seconds."""

    setting: Setting
    rates: dict[str, Rate]
    n: int
    seconds: float


def rate(per_world: Sequence[float]) -> Rate:
    """Average shares of worlds; where all worlds agree, the error is that of a share half a world off."""
    shares = np.asarray(per_world, float)
    n = len(shares)
    near = (shares.sum() + 0.5) / (n + 1)
    error = shares.std(ddof=1) / np.sqrt(n) if shares.std() > 0 else np.sqrt(near * (1 - near) / n)
    return Rate(float(shares.mean()), float(error))


def measure(setting: Setting, n: int | None = None) -> Measured:
    """Draw the worlds of a row; world k has the same seed in every row, and whatever else is measured."""
    n = setting.n if n is None else n
    world, found = getattr(worlds, setting.world), {cell: [] for cell in CELLS}
    start = time.process_time()
    for k in range(n):
        got = world(np.random.default_rng([7, k]), **setting.options)
        if "null" in got:
            p = np.asarray(got["null"], float)
            found["p ≤ .05"].append(np.mean(p <= 0.05 + 1e-12)), found["p ≤ .01"].append(np.mean(p <= 0.01 + 1e-12))
        if "covers" in got:
            found["covered by 95%"].append(np.mean(got["covers"]))
        if "effect" in got:
            found["power"].append(np.mean(np.asarray(got["effect"], float) <= 0.05 + 1e-12))
    rates = {cell: rate(values) for cell, values in found.items() if values}
    return Measured(setting, rates, n, time.process_time() - start)


def _rows(table: str, *rows: tuple[object, ...], test: str, world: str, effect: str = "") -> list[Setting]:
    """Make rows of one test: (condition, options, worlds[, invalid])."""
    return [
        Setting(table, test, str(row[0]), world, dict(row[1]), int(row[2]), len(row) > 3, effect)  # type: ignore[call-overload]
        for row in rows
    ]


SETTINGS: list[Setting] = [
    *_rows(
        "behaviour",
        ("50 trials", {"n": 50}, 1000), ("200 trials", {"n": 200}, 1000), ("2,000 trials", {"n": 2000}, 500),
        ("1,000 trials about 20 of the 300 stimuli, to speak of all", {"n": 1000, "n_stimuli": 20}, 500, "invalid"),
        test="held-out accuracy", world="accuracy",
    ),
    *_rows(
        "behaviour", ("50 trials", {"n": 50}, 2000), ("400 trials", {"n": 400}, 2000),
        test="agreement of two systems", world="agreement",
    ),
    *_rows(
        "behaviour",
        ("20 stimuli", {"n": 20, "kind": "gaussian"}, 600), ("66 stimuli, sparse", {"n": 66, "kind": "sparse"}, 400),
        ("66 stimuli, both drift (.8)", {"n": 66, "kind": "drift"}, 300, "invalid"),
        test="agreement of RSMs", world="rsms", effect="a third of the variance of features shared",
    ),
    *_rows(
        "behaviour", ("20 stimuli, .05 of the triplets asked", {"n": 20, "share": 0.05}, 300),
        ("40 stimuli, .01", {"n": 40, "share": 0.01}, 200),
        test="measured RSM and a space", world="measured", effect="the right space",
    ),
    *_rows(
        "behaviour", ("300 answers, one order", {"n": 300, "orders": 1}, 10000),
        ("300 answers, all six orders of each triplet", {"n": 300, "orders": 6}, 5000),
        test="slots called odd", world="slots", effect="a tenth of the answers are slot 1",
    ),
    *_rows(
        "behaviour", ("60 stimuli, 4 runs", {"n": 60}, 300), ("400 stimuli, 4 runs", {"n": 400}, 150),
        test="components over seeds, best match", world="seeds", effect="r = .3 with the other runs",
    ),
    *_rows(
        "meaning",
        ("60 stimuli", {"n": 60, "kind": "gaussian"}, 500), ("60, sparse", {"n": 60, "kind": "sparse"}, 500),
        ("400, sparse", {"n": 400, "kind": "sparse"}, 400), ("2,000, sparse", {"n": 2000, "kind": "sparse"}, 150),
        ("400, both drift (.8)", {"n": 400, "kind": "drift"}, 200, "invalid"),
        ("400, each clip twice", {"n": 400, "kind": "twice"}, 300, "invalid"),
        test="component and rating, r", world="correlations", effect="r = .2",
    ),
    *_rows(
        "meaning", ("60 stimuli, 40 pairs", {"n": 60, "kind": "gaussian"}, 600),
        ("60, sparse", {"n": 60, "kind": "sparse"}, 600), ("400, sparse", {"n": 400, "kind": "sparse"}, 600),
        test="any q of them (FDR)", world="discoveries",
    ),
    *_rows(
        "meaning", ("60 stimuli, sparse", {"n": 60, "kind": "sparse"}, 500),
        ("200, sparse", {"n": 200, "kind": "sparse"}, 500),
        test="largest \\|r\\| of all, family-wise", world="maxima", effect="r = .4",
    ),
    *_rows(
        "meaning", ("100 stimuli, 6 + 4 ratings, sparse", {"n": 100, "kind": "sparse"}, 250),
        ("400, sparse", {"n": 400, "kind": "sparse"}, 200),
        test="types: categories add nothing", world="types", effect="unique R² .05",
    ),
    *_rows(
        "meaning", ("60 stimuli, sparse", {"n": 60, "kind": "sparse"}, 250),
        ("200, sparse", {"n": 200, "kind": "sparse"}, 200),
        ("200, both drift (.8)", {"n": 200, "kind": "drift"}, 150, "invalid"),
        test="ratings predicted", world="predictions", effect="R² .1",
    ),
    *_rows(
        "meaning", ("60 stimuli, 6 categories, sparse", {"n": 60, "kind": "sparse"}, 250),
        ("240, sparse", {"n": 240, "kind": "sparse"}, 150),
        test="nearest centroid", world="labels", effect="means scatter by .25 s.d.",
    ),
    *_rows(
        "meaning", ("60 stimuli, 6 categories, sparse", {"n": 60, "kind": "sparse"}, 250),
        ("240, Gaussian", {"n": 240, "kind": "gaussian"}, 150),
        test="silhouette", world="silhouettes", effect="means scatter by .25 s.d.",
    ),
    *[
        row
        for call, name, effect, sizes in (
            ("rsa", "RSA, Pearson", "a copy, nine times its variance of noise", (30, 100)),
            ("geometry", "CKA", "the same", (60, 200)),
            ("choices", "odd-one-out choices", "the same", (30, 80)),
        )
        for row in _rows(
            "spaces",
            *[(f"{n} stimuli, sparse", {"n": n, "kind": "sparse", "call": call}, 250) for n in sizes],
            *([("100 stimuli, both drift (.8)", {"n": 100, "kind": "drift", "call": call}, 150, "invalid")]
              if call == "rsa" else []),
            test=f"{name}: unrelated", world="unrelated", effect=effect,
        )
    ],
    *[
        row
        for call, name, sizes in (("rsa", "RSA, Pearson", (30, 100)), ("geometry", "CKA", (60, 200)),
                                  ("choices", "odd-one-out choices", (30, 80)))
        for row in _rows(
            "spaces", *[(f"{n} stimuli, sparse", {"n": n, "kind": "sparse", "call": call}, 250) for n in sizes],
            *([("100 stimuli, both drift (.8)", {"n": 100, "kind": "drift", "call": call}, 150, "invalid")]
              if call == "rsa" else []),
            test=f"{name}: interval, and p of a tie", world="related",
        )
    ],
    *_rows(
        "spaces", ("1,000 choices about 20 stimuli", {"n": 1000, "n_stimuli": 20}, 500),
        ("1,000 about 60", {"n": 1000, "n_stimuli": 60}, 500),
        ("10,000 about 60", {"n": 10_000, "n_stimuli": 60}, 300),
        test="choices predicted, over stimuli; p of a tie", world="choices_of_new_stimuli",
        effect="a copy with half of the noise",
    ),
    *_rows(
        "voxels",
        ("120 trials, kept penalties", {"n": 120, "rho": 0.0}, 150),
        ("240, kept", {"n": 240, "rho": 0.0}, 100),
        ("120, chosen anew", {"n": 120, "rho": 0.0, "penalties": "chosen"}, 150),
        (
            "240, chosen; space and noise AR(.5), single trials",
            {"n": 240, "rho": 0.5, "penalties": "chosen"}, 100, "invalid",
        ),
        ("240, chosen; AR(.5), blocks of 5", {"n": 240, "rho": 0.5, "penalties": "chosen", "block_length": 5}, 100),
        test="voxel predicted", world="voxels", effect="R² .1",
    ),
    *_rows(
        "voxels", ("120 trials, 40 voxels, kept", {"n": 120, "penalties": "kept"}, 250),
        ("120, chosen", {"n": 120, "penalties": "chosen"}, 200),
        test="any voxel, family-wise", world="brains",
    ),
    *_rows(
        "voxels", ("8 runs of 20", {"n_runs": 8, "rho": 0.0}, 200), ("12 runs", {"n_runs": 12, "rho": 0.0}, 200),
        ("24 runs", {"n_runs": 24, "rho": 0.0}, 100), ("12 runs, AR(.5)", {"n_runs": 12, "rho": 0.5}, 200),
        test="two spaces in a region, a tie", world="ties", effect="one copy with twice the variance of noise",
    ),
    *_rows(
        "voxels", ("8 runs of 20", {"n_runs": 8, "rho": 0.0}, 300),
        ("12 runs, AR(.5)", {"n_runs": 12, "rho": 0.5}, 300),
        test="mean r of a region", world="regions",
    ),
    *_rows(
        "voxels", ("8 runs of 20", {"n_runs": 8}, 80), ("24 runs", {"n_runs": 24}, 40),
        test="unique beyond a control", world="unique", effect="R² .1 of its own",
    ),
    *_rows(
        "voxels", ("72 stimuli, 5 times", {"n": 72, "n_repeats": 5, "ev": 0.1}, 1000),
        ("30 stimuli, twice", {"n": 30, "n_repeats": 2, "ev": 0.1}, 1000),
        test="explainable variance", world="repeats", effect="a tenth of a single trial",
    ),
    *_rows(
        "voxels", ("5 people, 100 stimuli", {"n": 100, "n_people": 5}, 500),
        ("3 people, 60", {"n": 60, "n_people": 3}, 500),
        test="ceiling across people, lower", world="persons", effect="a tenth shared",
    ),
    *_rows(
        "searchlight",
        ("Pearson, closed, 24 stimuli in 6 runs", {"n": 24, "n_runs": 6}, 300),
        ("Pearson, closed, 60 in 10", {"n": 60, "n_runs": 10}, 300),
        ("Pearson, closed, 60 in 10, sorted stimuli", {"n": 60, "n_runs": 10, "sort": True}, 150, "invalid"),
        ("Pearson, drawn within runs, 60 in 10", {"n": 60, "n_runs": 10, "test": "drawn"}, 400),
        ("Pearson, drawn, sorted stimuli", {"n": 60, "n_runs": 10, "test": "drawn", "sort": True}, 400),
        ("Spearman, closed, 60 in 10", {"n": 60, "n_runs": 10, "statistic": "spearman"}, 250),
        ("Kendall, drawn, 24 in 6", {"n": 24, "n_runs": 6, "statistic": "kendall", "test": "drawn"}, 300),
        test="sphere related", world="sphere", effect="a weak geometry, R² .08 a voxel",
    ),
    *_rows(
        "searchlight", ("60 stimuli in 10 runs", {"n": 60, "n_runs": 10, "noise": 1.0}, 600),
        ("200 in 20", {"n": 200, "n_runs": 20, "noise": 1.0}, 400),
        ("200 in 20, very noisy copies", {"n": 200, "n_runs": 20, "noise": 3.0}, 400),
        ("200 in 20, noise of runs, runs as units", {"n": 200, "n_runs": 20, "noise": 1.0, "units": "run"}, 400),
        ("60 in 6, noise of runs, runs as units", {"n": 60, "n_runs": 6, "noise": 1.0, "units": "run"}, 600),
        test="two spaces in a sphere, a tie", world="sphere_ties", effect="a copy with .8 of the noise",
    ),
    *[
        row
        for column, name in (("p_t", "paired t over people"), ("p_flip", "sign flip over people"))
        for row in _rows(
            "people", *[(f"{n} people, 6 regions", {"n": n, "column": column}, 200) for n in (5, 10, 20)],
            test=name, world="people", effect="one s.d.",
        )
    ],
    *_rows(
        "people", ("5 people", {"n": 5}, 20), ("20 people", {"n": 20}, 20),
        test="prevalence, densest interval", world="share_of_people",
    ),
]  # fmt: skip

TABLES = tuple(dict.fromkeys(setting.table for setting in SETTINGS))


def as_table(rows: Sequence[Measured]) -> str:
    """Write rows as a Markdown table; conditions that break an assumption are in italics."""
    lines = [f"| test or interval | conditions | {' | '.join(CELLS)} (effect) | worlds |", "|---|---|" + "---|" * 5]
    before = None
    for row in rows:
        setting, cells = row.setting, [str(row.rates.get(cell, "")) for cell in CELLS]
        if cells[-1]:
            cells[-1] += f" ({setting.effect})" if setting.test != before else ""
        condition = f"*{setting.condition}*" if setting.invalid else setting.condition
        lines.append(
            f"| {setting.test if setting.test != before else ''} | {condition} | {' | '.join(cells)} | {row.n:,} |"
        )
        before = setting.test
    return "\n".join(lines)


def write_page(measured: Sequence[Measured], page: Path = PAGE) -> None:
    """Replace the tables between the markers of the page; tables of which nothing was measured stay."""
    text = page.read_text(encoding="utf-8")
    for table in TABLES:
        rows = [row for row in measured if row.setting.table == table]
        if rows:
            start, end = (
                f"<!-- {table}: {side} of what benchmarks/calibration.py writes -->" for side in ("start", "end")
            )
            head, rest = text.split(start)
            text = f"{head}{start}\n\n{as_table(rows)}\n\n{end}{rest.split(end)[1]}"
    page.write_text(text, encoding="utf-8")


def main() -> None:
    logging.getLogger("affectome").setLevel(logging.ERROR)  # few permutations, few stimuli: said in every world else
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the worlds of every row, ten at least")
    parser.add_argument("--quick", dest="share", action="store_const", const=0.05, help="the same as --share 0.05")
    parser.add_argument("--worlds", type=int, help="so many worlds in every row")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these worlds or tables")
    parser.add_argument("--write", action="store_true", help="put each table into the page once it is measured")
    arguments = parser.parse_args()
    chosen = [s for s in SETTINGS if not arguments.only or {s.world, s.table} & set(arguments.only)]
    with threadpool_limits(1):
        for table in TABLES:
            measured = []
            for setting in (setting for setting in chosen if setting.table == table):
                n = arguments.worlds or max(10, round(arguments.share * setting.n))
                row = measure(setting, n)
                measured.append(row)
                cells = ", ".join(f"{cell} {value}" for cell, value in row.rates.items())
                print(f"{setting.test}, {setting.condition}: {cells} ({n} worlds, {row.seconds:.0f} s)", flush=True)
            if arguments.write:
                write_page(measured)


if __name__ == "__main__":
    main()
