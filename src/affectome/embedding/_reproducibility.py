"""Does a component come back when the fit starts from another seed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome.embedding._runs import (
    CLIP,
    Runs,
    as_runs,
    correlations,
    fisher_z,
    halves,
    match_one_to_one,
    t_interval,
    unit_columns,
)
from affectome.errors import InputError

__all__ = ["FORMS", "Reproducibility", "component_reproducibility"]

Floats = NDArray[np.float64]

#: The three ways to ask, by the column that holds the answer.
FORMS = ("best_match", "split_half", "one_to_one")

# A null value this close below the observed one counts as reaching it: the null is computed in single precision.
_TIE = 1e-5


@dataclass(frozen=True, eq=False)
class Reproducibility:
    """How well the components of each run come back in the other runs.

    Attributes
    ----------
    table : DataFrame, one row per run and component
        ``run, component``; ``rank`` by falling sum of weights within the run, from 1; ``sum`` of weights;
        ``constant``: whether it has no spread, in which case every correlation is 0 and p is 1. Then

        ``best_match, best_match_low, best_match_high``
            Fisher-z mean over the other runs of the highest signed r in each, with its interval;
        ``chance_95``
            95% of the null values of ``best_match`` lie below this;
        ``p``
            share of null values that reach ``best_match``, (1 + count) / (1 + n_null);
        ``p_familywise``
            the same against the largest null value among the components of the run: corrected for having looked at
            all of them (single-step max-T);
        ``split_half`` with ``_low`` and ``_high``
            the match is chosen on one half of the stimuli, r is taken on the other; chance is 0;
        ``one_to_one`` with ``_low`` and ``_high``
            r with the partner of the assignment that has the largest sum of r; 0 in runs without a partner;
        ``partners``
            number of other runs in which the assignment has a partner for it.
    pairs : DataFrame, one row per run, component and other run
        ``run, component, other, best_match, match, split_half, one_to_one, partner``: the values behind the means, and
        the names of the components matched. ``one_to_one`` is NaN and ``partner`` empty where there is none.
    summary : DataFrame, one row per run and form, and last those over all runs (``run`` is ``"all"``)
        ``run, form, n_components, median, share_above_half, share_significant``; the last is the share of components
        with ``p_familywise`` at most 1 - level, for the best match alone.
    reference : str
        The run that stands for all in the figure.
    runs : tuple of str
    n_stimuli : int
    n_clipped : int
        Pairs of components of different runs with r beyond .9999, which counts as .9999.
    identical : tuple of pairs of str
        Runs that hold the same numbers and so say nothing about reproducibility.
    level : float
    n_null, n_halves, seed : int
    """

    table: pd.DataFrame
    pairs: pd.DataFrame
    summary: pd.DataFrame
    reference: str
    runs: tuple[str, ...]
    n_stimuli: int
    n_clipped: int
    identical: tuple[tuple[str, str], ...]
    level: float
    n_null: int
    n_halves: int
    seed: int


def component_reproducibility(
    runs: Mapping[str, pd.DataFrame] | Sequence[pd.DataFrame],
    *,
    level: float = 0.95,
    n_null: int = 1000,
    n_halves: int = 50,
    seed: int,
    reference: int | str = 0,
    progress: Progress = silent,
) -> Reproducibility:
    r"""Hold the components of several fits of the same trials against each other.

    For component i of run a and every other run b, three correlations over stimuli:

    - **best match**, :math:`\max_j r(x_{ai}, x_{bj})`, signed, since weights are not negative. It is positive by
      selection alone;
    - **split half**: the match j is chosen on a random half of the stimuli, and r is that of the other half. Both
      directions and `n_halves` halves are averaged (Fisher's z). No value was looked at to choose the match;
    - **one to one**: two components of a cannot share a match; the assignment with the largest sum of r is taken.

    Each is averaged over the other runs as Fisher's z, and transformed back.

    Parameters
    ----------
    runs : mapping from name to DataFrame, or sequence of DataFrame, each of shape (n_stimuli, n_components)
        At least two, about the same stimuli in any order. Numbers of components may differ.
    level
        Coverage that the intervals aim at: Student's t over the other runs, on the z scale. They say how the mean would
        vary with other seeds of the other runs; stimuli, trials and the component itself are fixed. With two runs
        there is one value and no interval (NaN).
    n_null
        Permutations. Null hypothesis: the run is unrelated to the others. The stimuli of each run are permuted, the
        maximum over its components is taken and averaged over runs as with the data, so that the null knows of
        the selection, of how many components there were to select from, and of how skewed they are.
    n_halves
        Random halves of the split-half form.
    seed
        Of the permutations and halves.
    reference
        Name or position of the run that the figure shows.
    progress
        Called now and then during the permutations.

    Returns
    -------
    Reproducibility

    Raises
    ------
    InputError
        For fewer than two runs or eight stimuli, runs about different stimuli or without components, a cell that is no
        finite number.

    References
    ----------
    Westfall & Young (1993), Resampling-based multiple testing (single-step max-T).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.gamma(1.0, size=(60, 2))
    >>> runs = [pd.DataFrame(truth + 0.3 * rng.standard_normal((60, 2))) for _ in range(4)]
    >>> result = component_reproducibility(runs, n_null=99, seed=0)
    >>> bool((result.table["split_half"] > 0.8).all()), float(result.table["p_familywise"].max())
    (True, 0.01)
    """
    if n_null < 1 or n_halves < 1 or not 0 < level < 1:
        raise InputError(
            f"n_null={n_null}, n_halves={n_halves} and level={level} are not accepted",
            remedy="use at least 1 permutation and half, and a level between 0 and 1",
        )
    known = as_runs(runs)
    chosen = known.names[known.position(reference)]
    null_seed, half_seed = np.random.SeedSequence(seed).spawn(2)
    stack = np.hstack(known.weights)
    r = correlations(stack)
    forms, match, partner = _three_forms(known, stack, r, n_halves, half_seed)
    null = _null_means(known, stack, n_null, null_seed, progress)
    table = _table(known, stack, forms, partner, null, level)
    return Reproducibility(
        table=table,
        pairs=_pairs(known, forms, match, partner),
        summary=_summary(known, table, level),
        reference=chosen,
        runs=known.names,
        n_stimuli=len(known.ids),
        n_clipped=sum(int((r[a, b] > CLIP).sum()) for k, a in enumerate(known.blocks) for b in known.blocks[k + 1 :]),
        identical=_identical(known),
        level=level,
        n_null=n_null,
        n_halves=n_halves,
        seed=seed,
    )


def _three_forms(
    known: Runs, stack: Floats, r: Floats, n_halves: int, seed: np.random.SeedSequence
) -> tuple[dict[str, Floats], NDArray[np.intp], NDArray[np.intp]]:
    """Fisher's z of every component (rows) with every run (columns) in each form, and whom it was matched to.

    A component is not compared with its own run: NaN. Partners are -1 where there is none, their z NaN.
    """
    blocks, everyone = known.blocks, np.arange(stack.shape[1])
    own = _own(known)
    match = _best(r, blocks)
    partner = np.full(match.shape, -1, np.intp)
    for a, first in enumerate(blocks):
        for b, second in enumerate(blocks[a + 1 :], start=a + 1):
            there = match_one_to_one(r[first, second])
            partner[first, b] = there
            back = partner[second, a]
            back[there[there >= 0]] = np.flatnonzero(there >= 0)
    starts = np.array([block.start for block in blocks])
    z = {"best_match": fisher_z(r[everyone[:, None], starts + match])}
    total = np.zeros(match.shape)
    for here, there_rows in halves(len(stack), n_halves, seed):
        chosen = starts + _best(correlations(stack[here]), blocks)
        total += fisher_z(correlations(stack[there_rows])[everyone[:, None], chosen])
    z["split_half"] = total / (2 * n_halves)
    z["one_to_one"] = np.where(partner >= 0, fisher_z(r[everyone[:, None], starts + np.maximum(partner, 0)]), np.nan)
    return {form: np.where(own, np.nan, value) for form, value in z.items()}, match, partner


def _own(known: Runs) -> NDArray[np.bool_]:
    """Which run (columns) a component (rows) is of."""
    own = np.zeros((sum(w.shape[1] for w in known.weights), len(known.names)), np.bool_)
    for run, block in enumerate(known.blocks):
        own[block, run] = True
    return own


def _best(r: Floats, blocks: Sequence[slice]) -> NDArray[np.intp]:
    """For every component, and each run, the position in that run of its highest r."""
    return np.stack([r[:, block].argmax(axis=1) for block in blocks], axis=1)


def _null_means(
    known: Runs, stack: Floats, n_null: int, seed: np.random.SeedSequence, progress: Progress
) -> NDArray[np.float32]:
    """Null values of the mean z of the best match, shape (n_null, components of all runs).

    Every run's stimuli are permuted by a permutation of its own. Relative to one run, those of the others are
    independent and uniform: one product serves the null of every run.
    """
    from threadpoolctl import threadpool_limits

    rows = np.ascontiguousarray(unit_columns(stack).T, np.float32)
    blocks, own = known.blocks, _own(known)
    starts = [block.start for block in blocks]
    means = np.empty((n_null, len(rows)), np.float32)
    shuffled = np.empty_like(rows)
    with threadpool_limits(1, user_api="blas"):  # the same bits on any machine of this kind, and faster at this size
        for draw, sequence in enumerate(seed.spawn(n_null)):
            rng = np.random.default_rng(sequence)
            for block in blocks:
                shuffled[block] = rows[block][:, rng.permutation(rows.shape[1])]
            r = shuffled @ shuffled.T
            z = fisher_z(np.maximum.reduceat(r, starts, axis=1).astype(np.float64))
            means[draw] = np.where(own, 0.0, z).sum(axis=1) / (len(blocks) - 1)
            if draw % 50 == 49 or draw == n_null - 1:
                progress(draw + 1, n_null, detail="permutations")
    return means


def _table(
    known: Runs,
    stack: Floats,
    forms: Mapping[str, Floats],
    partner: NDArray[np.intp],
    null: NDArray[np.float32],
    level: float,
) -> pd.DataFrame:
    sums = stack.sum(axis=0)
    rank = np.concatenate([np.argsort(np.argsort(-sums[block], kind="stable")) + 1 for block in known.blocks])
    constant = ~unit_columns(stack).any(axis=0)
    table = pd.DataFrame(
        {
            "run": np.repeat(known.names, [len(names) for names in known.columns]),
            "component": [name for names in known.columns for name in names],
            "rank": rank,
            "sum": sums,
            "constant": constant,
        }
    )
    own = _own(known)
    for form in FORMS:
        # Without a partner a component did not come back at all: r = 0 and not a value fewer.
        z = np.where(np.isnan(forms[form]) & ~own, 0.0, forms[form])
        low, high = t_interval(z, level)
        table[form], table[f"{form}_low"], table[f"{form}_high"] = np.tanh([np.nanmean(z, axis=1), low, high])
    observed = np.arctanh(table["best_match"].to_numpy())
    largest = np.stack([null[:, block].max(axis=1) for block in known.blocks], axis=1) @ own.T.astype(np.float32)
    table["chance_95"] = np.tanh(np.quantile(null, 0.95, axis=0))
    for name, values in (("p", null), ("p_familywise", largest)):
        reached = (1 + (values >= observed - _TIE).sum(axis=0)) / (1 + len(null))
        table[name] = np.where(constant, 1.0, reached)
    table["partners"] = (np.where(own, -1, partner) >= 0).sum(axis=1)
    chance = [table.pop(name) for name in ("chance_95", "p", "p_familywise")]
    place = table.columns.tolist().index("split_half")
    return pd.concat([table.iloc[:, :place], *chance, table.iloc[:, place:]], axis=1)


def _pairs(
    known: Runs, forms: Mapping[str, Floats], match: NDArray[np.intp], partner: NDArray[np.intp]
) -> pd.DataFrame:
    component, other = np.nonzero(~_own(known))
    run = np.repeat(np.arange(len(known.names)), [len(names) for names in known.columns])[component]
    names = [name for names in known.columns for name in names]
    columns: dict[str, Any] = {
        "run": [known.names[k] for k in run],
        "component": [names[k] for k in component],
        "other": [known.names[k] for k in other],
    }

    def matched(which: NDArray[np.intp]) -> list[str]:
        return [
            known.columns[b][k] if k >= 0 else "" for b, k in zip(other, which[component, other].tolist(), strict=True)
        ]

    r = {form: np.tanh(forms[form][component, other]) for form in FORMS}
    columns |= {"best_match": r["best_match"], "match": matched(match), "split_half": r["split_half"]}
    columns |= {"one_to_one": r["one_to_one"], "partner": matched(partner)}
    return pd.DataFrame(columns)


def _summary(known: Runs, table: pd.DataFrame, level: float) -> pd.DataFrame:
    rows = []
    for run in (*known.names, "all"):
        of_run = table if run == "all" else table[table["run"] == run]
        for form in FORMS:
            r = of_run[form]
            significant = (of_run["p_familywise"] <= 1 - level + 1e-12).mean() if form == "best_match" else np.nan
            rows.append((run, form, len(r), float(r.median()), float((r > 0.5).mean()), float(significant)))
    columns = ["run", "form", "n_components", "median", "share_above_half", "share_significant"]
    return pd.DataFrame(rows, columns=columns)


def _identical(known: Runs) -> tuple[tuple[str, str], ...]:
    return tuple(
        (known.names[a], known.names[b])
        for a in range(len(known.names))
        for b in range(a + 1, len(known.names))
        if np.array_equal(known.weights[a], known.weights[b])
    )
