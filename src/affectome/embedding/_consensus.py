"""One embedding from several fits: what they share, without what only one of them found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome.embedding._components import component_names
from affectome.embedding._runs import Runs, as_runs, correlations, fisher_z, halves, match_one_to_one, unit_columns
from affectome.errors import InputError

__all__ = ["Consensus", "consensus_embedding"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Consensus:
    """What several fits of the same trials agree on.

    Attributes
    ----------
    space : DataFrame of shape (n_stimuli, n_kept)
        Mean weights of the reproduced components, by falling sum.
    sd : DataFrame, shape, ids and columns of `space`
        Standard deviation of each weight over the runs that hold the component (ddof 1): how far a single fit can be
        trusted about this stimulus.
    table : DataFrame, one row per component of the reference run, the kept ones first and in the order of `space`
        ``component``: its name in `space`, empty where it was dropped; ``kept``; ``sum`` of its mean weights;
        ``n_runs``: runs that hold it, which means that its partner there has a ``split_half`` of at least the
        threshold; ``mean_r``: Fisher-z mean of the correlations between the partners of all runs, which were matched on
        the same stimuli; ``split_half``: the same with partners matched on one half of the stimuli and correlated on
        the other, for which chance is 0 (but for the choice of the reference: .005 in simulations); then, in a column
        per run, the name of its partner (empty: none).
    reference : str
        The run that the others were first matched to: the one with the highest mean agreement.
    runs : tuple of str
    threshold : float
    n_iterations : int
        Rounds of matching and averaging until no partner changed.
    converged : bool
    """

    space: pd.DataFrame
    sd: pd.DataFrame
    table: pd.DataFrame
    reference: str
    runs: tuple[str, ...]
    threshold: float
    n_iterations: int
    converged: bool


def consensus_embedding(
    runs: Mapping[str, pd.DataFrame] | Sequence[pd.DataFrame],
    *,
    threshold: float = 0.5,
    n_halves: int = 20,
    max_iter: int = 50,
    seed: int,
) -> Consensus:
    """Match the components of several fits one to one, average them, keep what is reproduced.

    The reference is the run with the highest mean agreement: the mean r of the assignment with each other run, where a
    component without a partner counts 0. Every run is matched to it by the assignment with the largest sum of r; the
    partners are averaged; every run is matched to the averages; and so on until no partner changes.

    Whether a component is reproduced is asked on stimuli that its partners were not chosen on: the whole
    matching is done again on a random half, and the partners are correlated on the other half, run by run. A component
    is kept where the Fisher-z mean over all pairs of runs reaches `threshold` (a run without a partner counts 0) and at
    least two runs hold it. It is then the mean over the runs that hold it.

    Parameters
    ----------
    runs : mapping from name to DataFrame, or sequence of DataFrame, each of shape (n_stimuli, n_components)
        At least two, about the same stimuli, in one unit: fits of the same trials by the same model.
    threshold
        Split-half r that a component must reach.
    n_halves, seed
        Random halves, each used in both directions.
    max_iter
        Rounds of matching at most.

    Returns
    -------
    Consensus
        Possibly without a component. Components that the reference lacks cannot come back, whatever the others hold.
        Means are less sparse than fits: a weight is 0 only where it is 0 in every run.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.gamma(1.0, size=(60, 2))
    >>> runs = [pd.DataFrame(truth[:, rng.permutation(2)] + 0.2 * rng.random((60, 2))) for _ in range(5)]
    >>> result = consensus_embedding(runs, seed=0)
    >>> result.space.shape, result.table["n_runs"].tolist()
    ((60, 2), [5, 5])
    """
    if not -1 <= threshold <= 1 or n_halves < 1 or max_iter < 1:
        raise InputError(
            f"threshold={threshold}, n_halves={n_halves} and max_iter={max_iter} are not accepted",
            remedy="use a threshold between -1 and 1, and at least 1 half and round",
        )
    known = as_runs(runs)
    reference = _most_agreed(known)
    everyone = np.arange(len(known.ids))
    partner, n_iterations, converged = _matched(known, reference, everyone, max_iter)
    aligned = _aligned(known, partner, everyone)
    z = np.zeros(partner.shape)
    for here, there in halves(len(everyone), n_halves, seed):
        matched, _, _ = _matched(known, reference, here, max_iter)
        z += _mean_agreement(_aligned(known, matched, there))
    z /= 2 * n_halves
    held = (np.tanh(z) >= threshold) & (partner >= 0)
    split_half = np.tanh(z.mean(axis=1))
    kept = (split_half >= threshold) & (held.sum(axis=1) >= 2)
    # A component that is not kept is described by all of its partners.
    used = np.where(kept[:, None], held, partner >= 0)
    mean, sd = _moments(aligned, used)
    order = np.lexsort((-mean.sum(axis=1), ~kept))
    n_kept = int(kept.sum())
    names = component_names(n_kept)
    table = pd.DataFrame(
        {
            "component": [*names, *[""] * (len(kept) - n_kept)],
            "kept": kept[order],
            "sum": mean.sum(axis=1)[order],
            "n_runs": held.sum(axis=1)[order],
            "mean_r": np.tanh(_mean_agreement(aligned).mean(axis=1))[order],
            "split_half": split_half[order],
        }
    )
    for run, name in enumerate(known.names):
        theirs = [known.columns[run][k] if k >= 0 else "" for k in partner[order, run].tolist()]
        table = pd.concat([table, pd.Series(theirs, name=name, dtype=object)], axis=1)

    def as_frame(values: Floats) -> pd.DataFrame:
        index = pd.Index(known.ids, name="id")
        return pd.DataFrame(values[order[:n_kept]].T.astype(np.float32), index=index, columns=names)

    return Consensus(
        space=as_frame(mean),
        sd=as_frame(sd),
        table=table,
        reference=known.names[reference],
        runs=known.names,
        threshold=threshold,
        n_iterations=n_iterations,
        converged=converged,
    )


def _most_agreed(known: Runs) -> int:
    """The run whose one-to-one partners in the others correlate highest on average; the first of equals."""
    r, blocks = correlations(np.hstack(known.weights)), known.blocks
    agreement = np.zeros((len(blocks), len(blocks)))
    for a, first in enumerate(blocks):
        for b, second in enumerate(blocks[a + 1 :], start=a + 1):
            between = r[first, second]
            partner = match_one_to_one(between)
            rows = np.flatnonzero(partner >= 0)
            agreement[a, b] = agreement[b, a] = between[rows, partner[rows]].sum() / max(between.shape)
    return int(agreement.sum(axis=1).argmax())


def _matched(known: Runs, reference: int, rows: NDArray[np.intp], max_iter: int) -> tuple[NDArray[np.intp], int, bool]:
    """Partner in every run (columns) of each component of the reference (rows), -1 for none, judged on `rows` alone."""
    template = known.weights[reference][rows]
    n = template.shape[1]
    partner = np.full((n, len(known.names)), -2, np.intp)
    for iteration in range(1, max_iter + 1):
        before = partner
        partner = np.stack(
            [match_one_to_one(correlations(np.hstack([template, w[rows]]))[:n, n:]) for w in known.weights], axis=1
        )
        if np.array_equal(partner, before):
            return partner, iteration, True
        template = _moments(_aligned(known, partner, rows), partner >= 0)[0].T
    return partner, max_iter, False


def _aligned(known: Runs, partner: NDArray[np.intp], rows: NDArray[np.intp]) -> Floats:
    """Weights of the partners, shape (components, runs, stimuli); zeros for none."""
    aligned = np.zeros((*partner.shape, len(rows)))
    for run, weights in enumerate(known.weights):
        there = partner[:, run] >= 0
        aligned[there, run] = weights[rows][:, partner[there, run]].T
    return aligned


def _mean_agreement(aligned: Floats) -> Floats:
    """For each component (rows) and run (columns) the mean z of its partner with those of the other runs."""
    n_runs = aligned.shape[1]
    z = np.zeros(aligned.shape[:2])
    for component, weights in enumerate(aligned):
        unit = unit_columns(weights.T)
        between = fisher_z(unit.T @ unit)
        z[component] = (between.sum(axis=1) - np.diag(between)) / (n_runs - 1)
    return z


def _moments(aligned: Floats, used: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean and standard deviation (ddof 1, 0 for a single run) over the runs used; each (components, stimuli)."""
    share = used / np.maximum(used.sum(axis=1, keepdims=True), 1)
    mean = np.einsum("kr,krn->kn", share, aligned)
    square = np.einsum("kr,krn->kn", used.astype(np.float64), (aligned - mean[:, None]) ** 2)
    return mean, np.sqrt(square / np.maximum(used.sum(axis=1, keepdims=True) - 1, 1))
