"""How often two systems call the same stimulus odd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from affectome.behavior._bootstrap import bootstrap_share
from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = ["Agreement", "choice_agreement"]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Share of trials on which each pair of systems made the same choice; chance is 1/3.

    Attributes
    ----------
    table : DataFrame, one row per pair
        Columns ``first, second, value, ci_low, ci_high, n_trials``. The interval is a percentile bootstrap
        over triplets; stimuli and systems are taken as fixed.
    level : float
    n_boot : int
    """

    table: pd.DataFrame
    level: float
    n_boot: int

    def matrix(self) -> pd.DataFrame:
        """Systems x systems, 1 on the diagonal."""
        names = list(dict.fromkeys([*self.table["first"], *self.table["second"]]))
        square = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
        for first, second, value in zip(self.table["first"], self.table["second"], self.table["value"], strict=True):
            square.loc[first, second] = square.loc[second, first] = value
        return square


def choice_agreement(
    answers: Mapping[str, TripletSet], *, n_boot: int = 1000, level: float = 0.95, seed: int
) -> Agreement:
    """Compare the choices of systems that answered the same questions.

    Parameters
    ----------
    answers : mapping from system to TripletSet
        At least two, over the same stimuli and with the same triplets in the same rows and slots.
        Trials that one of a pair left unanswered are left out for that pair.
    n_boot, level, seed
        Of the bootstrap over triplets.

    Returns
    -------
    Agreement
    """
    if len(answers) < 2:
        raise InputError(f"{len(answers)} system has nobody to agree with", remedy="give at least two")
    rows = []
    for (first, a), (second, b) in combinations(answers.items(), 2):
        if a.ids != b.ids or not np.array_equal(a.triplets, b.triplets):
            raise InputError(
                f"'{first}' and '{second}' answered different questions",
                remedy="ask both the same triplets in the same order",
            )
        both = a.answered & b.answered
        if not both.any():
            raise InputError(
                f"'{first}' and '{second}' have no answered trial in common", remedy="answer the same trials"
            )
        same = np.equal(a.choice, b.choice)[both].astype(np.float64)
        share = bootstrap_share(same, a.keys()[both], n_boot=n_boot, level=level, seed=seed)
        rows.append((first, second, share.value, share.ci_low, share.ci_high, int(both.sum())))
    table = pd.DataFrame(rows, columns=["first", "second", "value", "ci_low", "ci_high", "n_trials"])
    return Agreement(table, level, n_boot)
