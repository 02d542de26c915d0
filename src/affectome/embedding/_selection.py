"""How many components and how much sparsity: settings held against answers that were kept from the fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from affectome._processes import in_parallel, workers_for
from affectome._progress import Progress, silent
from affectome._seeds import named_seed
from affectome.embedding._choices import shared_hits
from affectome.embedding._folds import Fold, FoldPlan, Over, plan_folds
from affectome.embedding._placement import answer_shares, place_rows
from affectome.embedding._spose import SPoSE
from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = ["Criterion", "Rule", "Selection", "Setting", "select_embedding"]

Criterion = Literal["log_loss", "accuracy"]
Rule = Literal["one-se", "best"]
#: One fold and one number of components: what is fitted in one go, and finished or not.
Path = tuple[int, int]

_CHUNK = 100_000  # trials whose rows are gathered at once


@dataclass(frozen=True, order=True)
class Setting:
    """One point of the grid.

    Attributes
    ----------
    n_components : int
    l1 : float
    """

    n_components: int
    l1: float


@dataclass(frozen=True, eq=False)
class Selection:
    """What cross-validation says about the number of components and the sparsity.

    Attributes
    ----------
    scores : DataFrame, one row per fold and setting
        ``fold`` (from 1), ``n_components``, ``l1``; ``accuracy``, share of held-out answers predicted, ties shared,
        chance 1/3; ``log_loss``, mean held-out cross-entropy in nats, chance log 3 = 1.0986; ``n_kept``, components
        the fit kept; ``objective`` on the training trials; ``converged``.
    summary : DataFrame, one row per setting
        ``n_components``, ``l1``; means over folds of accuracy, log loss and components kept (``accuracy``,
        ``log_loss``, ``n_kept``), and standard errors of the first two, ``accuracy_se`` and ``log_loss_se``.
    best : Setting
        Best mean by `criterion`.
    one_se : Setting
        The simplest setting whose mean is within one standard error of the best. Simplest: fewest components kept
        (mean over folds, rounded), then fewest at the start, then highest l1.
    chosen : Setting
        The one of the two that `rule` names.
    warnings : tuple of str
        What speaks against taking the choice at face value, in full sentences.
    criterion : "log_loss" or "accuracy"
    rule : "one-se" or "best"
    over : "triplets" or "stimuli"
    n_folds : int
    n_trials, n_unanswered : int
        Answered trials that were used, and those that were not.
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    best: Setting
    one_se: Setting
    chosen: Setting
    warnings: tuple[str, ...]
    criterion: Criterion
    rule: Rule
    over: Over
    n_folds: int
    n_trials: int
    n_unanswered: int

    def at(self, setting: Setting) -> pd.Series[Any]:
        """The row of `summary` of a setting."""
        table = self.summary
        found = table[(table["n_components"] == setting.n_components) & (table["l1"] == setting.l1)]
        if found.empty:
            raise InputError(f"{setting} is not in the grid", remedy="name one that was tried")
        return found.iloc[0]


def select_embedding(
    trials: TripletSet,
    *,
    components: Sequence[int] = (5, 10, 20, 30, 50),
    l1: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.1),
    n_folds: int = 5,
    over: Over = "triplets",
    criterion: Criterion = "log_loss",
    rule: Rule = "one-se",
    estimator: SPoSE | None = None,
    soft: bool = False,
    warm_start: bool = False,
    seed: int,
    n_jobs: int | None = None,
    progress: Progress = silent,
    finished: Mapping[Path, pd.DataFrame] | None = None,
    keep: Callable[[Path, pd.DataFrame], None] | None = None,
) -> Selection:
    """Cross-validate the number of components and the sparsity of an embedding.

    Parameters
    ----------
    trials : TripletSet
        Answered trials; unanswered ones are counted and left out. Split a test set off first
        (:func:`affectome.split_triplets`): the score of the setting that is selected here is the best of many, and
        therefore optimistic.
    components, l1
        The grid.
    n_folds : int
    over
        ``"triplets"``: each fold predicts triplets that its fit has not seen; repeats of an unordered triplet are in
        one fold. ``"stimuli"``: each fold predicts triplets with a stimulus that its fit has not seen in any. The
        stimulus is placed by :func:`place_stimuli`, with the rest as it is, from one half of its triplets with two
        training stimuli, and the other half is predicted.
    criterion
        ``"log_loss"`` compares the whole predicted distribution with the answer, ``"accuracy"`` only its top.
    rule
        ``"one-se"`` chooses the simplest setting within one standard error of the best, ``"best"`` the best.
    estimator : SPoSE, optional
        Everything but the grid, seeds and threads is taken from it; by default ``SPoSE()``.
    soft : bool
        Learn from, and be scored on, the probabilities of `trials` in place of its choices.
    warm_start : bool
        Fit each number of components from its largest l1 to its smallest, each fit starting where the last one
        ended: somewhat better optima, but what is scored is then not what a fit of its own with the same setting gives.
    seed : int
        Of the folds and of every fit. A setting meets the same folds and the same seed whatever else is in the grid.
    n_jobs : int or None
        Processes, each with one fold and number of components; None or -1 uses all processors. The result is the
        same, bit for bit, for any number.
    progress : callable
        Told how many of the fits are done.
    finished, keep
        To go on after a stop: `keep` is given the scores of each path, (fold, number of components), as soon as it
        is fitted; those in `finished`, from an earlier call with the same settings, are not fitted again.

    Returns
    -------
    Selection

    Raises
    ------
    InputError
        When the grid, the folds or the trials cannot be used.

    Notes
    -----
    The standard error is that of the fold means, s / sqrt(n_folds). Folds share most of their training trials, so
    it is no unbiased estimate of the sampling error (Bengio & Grandvalet 2004), and with five folds it is itself
    uncertain by a third: the rule is a convention for preferring simple models, not a test.

    Examples
    --------
    >>> from affectome.simulation import simulate_emotions
    >>> trials = simulate_emotions(n_stimuli=40, n_components=3, seed=0).sample_answers(6_000, seed=1)
    >>> found = select_embedding(trials, components=(1, 3, 8), l1=(0.003, 0.03), n_folds=3, seed=0, n_jobs=1)
    >>> found.chosen.n_components
    3
    """
    grid = _checked_grid(components, l1)
    for name, value, known in (("over", over, Over), ("criterion", criterion, Criterion), ("rule", rule, Rule)):
        if value not in get_args(known):
            raise InputError(f"{name}='{value}' is not known", remedy=f"choose {' or '.join(get_args(known))}")
    model = SPoSE() if estimator is None else estimator
    if not {"n_components", "l1", "random_state"} <= set(model.get_params()):
        raise InputError("the estimator has no parameters n_components and l1", remedy="give a SPoSE")
    if soft and trials.probabilities is None:
        raise InputError("the trials carry no probabilities to learn from", remedy="leave soft out")
    answered = answer_shares(trials, trials.probabilities if soft else None)[1]
    used = trials[np.flatnonzero(answered)]
    plan = plan_folds(used, over, n_folds, named_seed(seed, "folds"))
    work = _Work(plan, model, grid[1], soft, warm_start, seed)
    scores = _run(work, grid[0], n_jobs, progress, dict(finished or {}), keep)
    summary = _summary(scores)
    best, one_se = _best(summary, criterion), _one_se(summary, criterion)
    return Selection(
        scores,
        summary,
        best,
        one_se,
        one_se if rule == "one-se" else best,
        tuple(_doubts(scores, best, grid)),
        criterion,
        rule,
        over,
        n_folds,
        len(used),
        len(trials) - len(used),
    )


def _checked_grid(components: Sequence[int], l1: Sequence[float]) -> tuple[list[int], list[float]]:
    counts, weights = sorted(set(components)), sorted({float(value) for value in l1})
    if not counts or not all(float(count).is_integer() and count >= 1 for count in counts):
        raise InputError(f"components={list(components)} is no grid", remedy="give whole numbers of at least 1")
    if not weights or not all(0 <= value < np.inf for value in weights):
        raise InputError(f"l1={list(l1)} is no grid", remedy="give numbers of at least 0")
    return [int(count) for count in counts], weights


@dataclass(frozen=True, eq=False)
class _Work:
    """All that a process needs to know to fit any path."""

    plan: FoldPlan
    estimator: SPoSE
    l1: list[float]
    soft: bool
    warm_start: bool
    seed: int

    def path(self, fold: int, n_components: int, threads: int | None) -> Iterator[dict[str, Any]]:
        """One row of scores per l1, from the largest to the smallest."""
        part = self.plan.fold(fold - 1)
        y = part.train.probabilities if self.soft else None
        model: SPoSE | None = None
        for l1 in reversed(self.l1):
            # A component that vanished on the way stays at zero, where no gradient finds it: then start afresh.
            if model is None or not self.warm_start or model.n_components_ < n_components:
                model = clone(self.estimator)
            state = named_seed(self.seed, "fit", str(fold), str(n_components), repr(l1))
            model.set_params(
                n_components=n_components,
                l1=l1,
                random_state=state,
                n_jobs=threads,
                warm_start=self.warm_start,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # it is in the table
                model.fit(part.train, y)
            accuracy, log_loss = self._score(model, part, l1, threads)
            yield {
                "fold": fold,
                "n_components": n_components,
                "l1": l1,
                "accuracy": accuracy,
                "log_loss": log_loss,
                "n_kept": model.n_components_,
                "objective": model.objective_,
                "converged": model.converged_,
            }

    def _score(self, model: SPoSE, part: Fold, l1: float, threads: int | None) -> tuple[float, float]:
        weights = np.zeros((self.plan.trials.n_stimuli, model.n_components_))
        weights[part.stimuli] = model.embedding_
        offsets = model.get_params().get("slot_offsets")
        if part.place is not None:
            row_of = np.full(len(weights), -1)
            row_of[part.stimuli] = part.stimuli
            placed = place_rows(
                weights,
                row_of,
                part.place.triplets,
                answer_shares(part.place, part.place.probabilities if self.soft else None)[0],
                l1=l1,
                offsets=offsets,
                n_jobs=threads,
            )
            weights[placed.stimuli] = placed.weights
        shares = answer_shares(part.test, part.test.probabilities if self.soft else None)[0]
        hits = shared_hits(weights, part.test.triplets, shares, n_jobs=threads)
        return float(hits.mean()), _mean_log_loss(weights, part.test.triplets, shares, offsets)


def _mean_log_loss(
    weights: NDArray[np.float64],
    triplets: NDArray[np.int32],
    shares: NDArray[np.float32],
    offsets: Sequence[float] | None,
) -> float:
    """Mean cross-entropy of the softmax choice, slot offsets included, against the answers; in float64."""
    shift = np.zeros(3) if offsets is None else np.asarray(offsets, np.float64)
    total = 0.0
    for low in range(0, len(triplets), _CHUNK):
        a, b, c = (weights[column] for column in triplets[low : low + _CHUNK].T)
        logit = np.stack([np.einsum("tc,tc->t", *pair) for pair in ((b, c), (a, c), (a, b))], axis=1) + shift
        top = logit.max(axis=1)
        spread = np.log(np.exp(logit - top[:, None]).sum(axis=1)) + top
        total += float((spread - (logit * shares[low : low + _CHUNK]).sum(axis=1)).sum())
    return total / len(triplets)


def _run(
    work: _Work,
    components: list[int],
    n_jobs: int | None,
    progress: Progress,
    finished: dict[Path, pd.DataFrame],
    keep: Callable[[Path, pd.DataFrame], None] | None,
) -> pd.DataFrame:
    """Scores of all paths, fold by fold, fitted where they are not yet known."""
    paths = [(fold, n_components) for fold in range(1, work.plan.n_folds + 1) for n_components in components]
    known = {path: finished[path] for path in paths if path in finished}
    # The longest first, so that no process is left alone with one at the end.
    todo = sorted((path for path in paths if path not in known), key=lambda path: -path[1])
    each, total = len(work.l1), len(work.l1) * len(paths)
    done = each * len(known)

    def take(path: Path, table: pd.DataFrame) -> None:
        known[path] = table
        if keep is not None:
            keep(path, table)

    progress(done, total)
    workers = workers_for(n_jobs, len(todo))
    if workers.here:
        for path in todo:
            rows = []
            for row in work.path(*path, n_jobs):
                rows.append(row)
                done += 1
                progress(done, total, detail=_said(row))
            take(path, pd.DataFrame(rows))
    else:
        with closing(in_parallel(_fit_path, work, todo, workers)) as fitted:
            for path, table in fitted:
                take(path, table)
                done += each
                progress(done, total, detail=_said(table.iloc[-1]))
    scores = pd.concat([known[path] for path in paths], ignore_index=True)
    return scores.sort_values(["fold", "n_components", "l1"], ignore_index=True)


def _fit_path(work: _Work, path: Path) -> tuple[Path, pd.DataFrame]:
    """One path in a process of its own: one thread, for the other processors have work already."""
    return path, pd.DataFrame(list(work.path(*path, 1)))


def _said(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    return f"fold {int(row['fold'])}, {int(row['n_components'])} components, l1 {row['l1']:g}"


def _summary(scores: pd.DataFrame) -> pd.DataFrame:
    groups = scores.groupby(["n_components", "l1"], sort=True)
    means = groups[["accuracy", "log_loss", "n_kept"]].mean()
    errors = groups[["accuracy", "log_loss"]].sem(ddof=1)
    columns = {
        "accuracy": means["accuracy"],
        "accuracy_se": errors["accuracy"],
        "log_loss": means["log_loss"],
        "log_loss_se": errors["log_loss"],
        "n_kept": means["n_kept"],
    }
    return pd.DataFrame(columns).reset_index()


def _losses(summary: pd.DataFrame, criterion: Criterion) -> NDArray[np.float64]:
    values = summary[criterion].to_numpy(np.float64)
    return values if criterion == "log_loss" else -values


def _simplest(rows: pd.DataFrame) -> Setting:
    # A fit that may start with more components than it keeps is no less simple, and found planted ones more often.
    ranked = rows.assign(kept=rows["n_kept"].round())
    first = ranked.sort_values(["kept", "n_components", "l1"], ascending=[True, True, False]).iloc[0]
    return Setting(int(first["n_components"]), float(first["l1"]))


def _best(summary: pd.DataFrame, criterion: Criterion) -> Setting:
    losses = _losses(summary, criterion)
    return _simplest(summary[losses == losses.min()])


def _one_se(summary: pd.DataFrame, criterion: Criterion) -> Setting:
    losses = _losses(summary, criterion)
    error = float(summary[f"{criterion}_se"].iloc[int(losses.argmin())])
    return _simplest(summary[losses <= losses.min() + error])


def _doubts(scores: pd.DataFrame, best: Setting, grid: tuple[list[int], list[float]]) -> Iterator[str]:
    """Sentences about a best setting at the edge of the grid, and about fits that did not end."""
    for value, tried, least, name in (
        (best.n_components, grid[0], 1, "number of components"),
        (best.l1, grid[1], 0, "l1"),
    ):
        edge = {tried[0]: "smallest", tried[-1]: "largest"}.get(value)
        if len(tried) > 1 and edge is not None and value > least:
            yield f"The best {name}, {value:g}, is the {edge} of the grid, so that the optimum may lie beyond it."
    unfinished = scores[~scores["converged"].astype(bool)]
    if len(unfinished):
        yield f"{len(unfinished)} of {len(scores)} fits stopped while their objective was still falling."
