"""New stimuli in a space that stays as it is: for each of them a small convex problem, solved exactly."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = ["Placement", "Rows", "answer_shares", "place_rows", "place_stimuli"]

Floats = NDArray[np.float64]

_CELLS = 2**22  # numbers in one batch's gathered rows: 32 MB, whatever the study
_ARMIJO = 1e-4  # share of the promised decrease that a step must deliver
_HALVINGS = 40  # a step that is still no decrease after these is rounding
_SLACK = 1e-14  # what rounding may add to an objective, as its share
_RIDGE = (
    1e-10  # added to a Hessian, as a share of its largest diagonal, so that unidentified weights divide by something
)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where new stimuli lie in a space that was learned without them.

    Attributes
    ----------
    space : DataFrame of shape (n_new, n_components)
        One row per new stimulus, in the order of the trials' ids; the columns are those of the given space.
    table : DataFrame, one row per new stimulus
        ``n_trials`` it was placed from; ``log_loss``, its mean over them; ``objective``, that plus the L1 term;
        ``residual``, the largest violation of the optimality conditions; ``converged``, whether that is within `tol`.
    n_left_out : int
        Answered trials that hold no new stimulus, or more than one.
    """

    space: pd.DataFrame
    table: pd.DataFrame
    n_left_out: int


@dataclass(frozen=True, eq=False)
class Rows:
    """Weights that solve the placement of some stimuli, with what is known of each solution.

    Attributes
    ----------
    stimuli : int array of shape (n_new,)
        Which stimuli were placed: every one that is new in some usable trial, ascending.
    weights : float64 array of shape (n_new, n_components)
    n_trials, log_loss, objective, residual : arrays of shape (n_new,)
    """

    stimuli: NDArray[np.intp]
    weights: Floats
    n_trials: NDArray[np.intp]
    log_loss: Floats
    objective: Floats
    residual: Floats


def place_stimuli(
    space: pd.DataFrame,
    trials: TripletSet,
    *,
    l1: float,
    y: ArrayLike | None = None,
    slot_offsets: Sequence[float] | None = None,
    tol: float = 1e-8,
    max_iter: int = 200,
    n_jobs: int | None = None,
) -> Placement:
    r"""Place stimuli that a space does not hold, from trials with two stimuli that it does.

    With the other rows fixed, the loss of a trial is convex in the row x of the new stimulus: the two similarities
    it takes part in are linear in x and the third is a constant. For each new stimulus with m trials this minimises,
    over :math:`x \ge 0`,

    .. math:: \frac{1}{m}\sum_t -\log P_t(\text{choice}) + \frac{\lambda}{3} \sum_c x_c

    by projected Newton steps. The third is what makes `l1` mean the same as in :class:`SPoSE`, whose objective,
    seen from one row with its share 3T/n of the T trials, is this one: a stimulus that took part in the fit, placed
    again from its trials, comes back to where it was.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
        An embedding, index the stimulus ids. It stays as it is.
    trials : TripletSet
        Answered trials. Those with exactly one stimulus that is not in the space are used.
    l1 : float
        The weight :math:`\lambda` that the space was learned with (`l1_` of a fitted SPoSE). At 0 a stimulus whose
        answers can be predicted without error has no finite place.
    y : array of shape (n_trials, 3), optional
        Probabilities of the three slots, to learn from in place of the choices.
    slot_offsets : three numbers, optional
        The judge's preference for slots 0, 1, 2 in log units, as in :class:`SPoSE`.
    tol : float
        Largest violation of the optimality conditions, in units of the objective per unit of weight.
    max_iter : int
        Newton steps per stimulus; who is not there then is warned of.
    n_jobs : int or None
        Threads; None or -1 uses all. The result is the same, bit for bit, for any number.

    Returns
    -------
    Placement

    Raises
    ------
    InputError
        When no stimulus is new, or a new one is in no trial with two stimuli of the space.

    Examples
    --------
    >>> import pandas as pd
    >>> space = pd.DataFrame({"joy": [2.0, 2.0, 0.0, 0.0], "fear": [0.0, 0.0, 2.0, 2.0]}, index=list("abcd"))
    >>> trials = TripletSet([[4, 0, 2], [4, 1, 2], [4, 1, 3]], ids=list("abcde"), choice=[2, 2, 2])
    >>> placed = place_stimuli(space, trials, l1=0.03).space
    >>> placed.index.tolist(), placed.round(2).to_numpy().tolist()
    (['e'], [[2.990000009536743, 0.0]])
    """
    _check_settings(l1, tol, max_iter)
    weights = _checked_weights(space)
    known = {str(name): row for row, name in enumerate(space.index)}
    row_of = np.array([known.get(name, -1) for name in trials.ids])
    shares, answered = answer_shares(trials, y)
    new = row_of[trials.triplets] < 0  # (n_trials, 3)
    usable = answered & (new.sum(axis=1) == 1)
    _check_new(trials, new, usable)
    rows = place_rows(
        weights,
        row_of,
        trials.triplets[usable],
        shares[usable],
        l1=l1,
        offsets=slot_offsets,
        tol=tol,
        max_iter=max_iter,
        n_jobs=n_jobs,
    )
    index = pd.Index([trials.ids[k] for k in rows.stimuli], name="id")
    missed = index[rows.residual > tol]
    if len(missed):
        warnings.warn(
            f"{len(missed)} of {len(index)} stimuli are not yet at their optimum after {max_iter} steps "
            f"({cut_short(missed.tolist())}): raise l1 or max_iter.",
            ConvergenceWarning,
            stacklevel=2,
        )
    table = pd.DataFrame(
        {
            "n_trials": rows.n_trials,
            "log_loss": rows.log_loss,
            "objective": rows.objective,
            "residual": rows.residual,
            "converged": rows.residual <= tol,
        },
        index=index,
    )
    placed = pd.DataFrame(rows.weights.astype(np.float32), index=index, columns=space.columns)
    return Placement(placed, table, int(answered.sum() - usable.sum()))


def _check_settings(l1: float, tol: float, max_iter: int) -> None:
    good = {"l1": (l1, 0 <= l1 < np.inf), "tol": (tol, 0 < tol < np.inf), "max_iter": (max_iter, max_iter >= 1)}
    for name, (value, fine) in good.items():
        if not fine:
            raise InputError(
                f"{name}={value!r} is not accepted", source="place_stimuli", remedy="see its documentation"
            )


def _checked_weights(space: pd.DataFrame) -> Floats:
    if space.index.has_duplicates:
        twice = space.index[space.index.duplicated()][0]
        raise InputError(f"the id '{twice}' is there twice", source="the space", remedy="keep one of its rows")
    try:
        weights = space.to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("a column is not numeric", source="the space", remedy="leave it out") from error
    if weights.size == 0:
        raise InputError(f"has shape {weights.shape}", source="the space", remedy="give one with components")
    broken = np.flatnonzero(~np.isfinite(weights).all(axis=1))
    if len(broken):
        raise InputError(
            "a weight is missing or infinite",
            source="the space",
            where=f"id {space.index[broken[0]]}",
            remedy="fill it in, or leave the stimulus out",
        )
    return weights


def _check_new(trials: TripletSet, new: NDArray[np.bool_], usable: NDArray[np.bool_]) -> None:
    """Every stimulus that is new in some trial must be the only new one in a usable trial."""
    seen = np.unique(trials.triplets[new])
    if len(seen) == 0:
        raise InputError("every stimulus of the trials is in the space already", remedy="give trials with new ones")
    lost = np.setdiff1d(seen, trials.triplets[usable][new[usable]])
    if len(lost):
        raise InputError(
            f"{len(lost)} of {len(seen)} new stimuli are in no answered trial with two stimuli of the space "
            f"({cut_short([trials.ids[k] for k in lost])})",
            remedy="leave them out, or ask for such trials",
        )


def answer_shares(trials: TripletSet, y: ArrayLike | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Weight of each slot as the answer, (n, 3), and which trials have an answer."""
    if y is None:
        return np.eye(3, dtype=np.float32)[trials.choice], trials.answered
    shares = trials.with_answers(trials.choice, y).probabilities
    assert shares is not None
    known = np.logical_not(np.isnan(shares).any(axis=1))
    return shares, known


def place_rows(
    weights: Floats,
    row_of: NDArray[np.intp],
    triplets: NDArray[np.int32],
    shares: NDArray[np.float32],
    *,
    l1: float,
    offsets: Sequence[float] | None = None,
    tol: float = 1e-8,
    max_iter: int = 200,
    n_jobs: int | None = None,
) -> Rows:
    """Solve the placement of every stimulus k with ``row_of[k] < 0``; each triplet holds exactly one of them.

    Parameters
    ----------
    weights : float64 array of shape (n_rows, n_components)
    row_of : int array of shape (n_stimuli,)
        Row of each stimulus in `weights`, or -1.
    triplets : int array of shape (n_trials, 3)
    shares : array of shape (n_trials, 3)
        Weight of each slot as the answer.
    """
    from joblib import Parallel, delayed
    from threadpoolctl import threadpool_limits

    slot = np.argmax(row_of[triplets] < 0, axis=1)
    who = np.take_along_axis(triplets, slot[:, None], axis=1)[:, 0]
    order = np.argsort(who, kind="stable")
    stimuli, start, count = np.unique(who[order], return_index=True, return_counts=True)
    turned = (slot[order, None] + np.arange(3)) % 3  # the new stimulus first, its partners after it
    partners = row_of[np.take_along_axis(triplets[order], turned, axis=1)[:, 1:]]
    wanted = np.take_along_axis(shares[order], turned, axis=1).astype(np.float64)
    shift = np.zeros(3) if offsets is None else np.asarray(offsets, np.float64)
    first = np.maximum(weights, 0).mean(axis=0)
    batches = _batches(count, weights.shape[1])

    def solve(members: NDArray[np.intp]) -> tuple[Floats, ...]:
        problems = _gather(weights, partners, wanted, shift[turned], start[members], count[members])
        return _descend(problems, first, l1 / 3, tol, max_iter)

    with threadpool_limits(1):  # the bits of a matrix product depend on the threads it is cut for
        solved = Parallel(n_jobs=-1 if n_jobs is None else n_jobs, prefer="threads")(delayed(solve)(b) for b in batches)
    at = np.argsort(np.concatenate(batches))
    x, loss, objective, residual = (np.concatenate(parts)[at] for parts in zip(*solved, strict=True))
    return Rows(stimuli.astype(np.intp), x, count.astype(np.intp), loss, objective, residual)


def _batches(count: NDArray[np.intp], p: int) -> list[NDArray[np.intp]]:
    """Stimuli with about equally many trials together, as many as the memory of one batch holds."""
    order = np.argsort(-count, kind="stable")
    batches, low = [], 0
    while low < len(order):
        size = max(1, int(_CELLS // max(1, 2 * count[order[low]] * max(p, 1))))
        batches.append(order[low : low + size])
        low += size
    return batches


@dataclass(frozen=True, eq=False)
class _Problems:
    """b placements of up to m trials each, padded with trials of weight 0.

    Slot 0 is the new stimulus; slots 1 and 2 are its partners, whose own similarity stays when it is odd.
    """

    pull: Floats  # (b, 2 m, p): the row that x is multiplied with when slot 1 is odd (m times), then when slot 2 is
    constant: Floats  # (b, m, 3): what is added to each logit
    wanted: Floats  # (b, m, 3): weight of each slot as the answer
    weight: Floats  # (b, m): 1 / number of trials, or 0

    def part(self, rows: NDArray[np.intp]) -> _Problems:
        return _Problems(self.pull[rows], self.constant[rows], self.wanted[rows], self.weight[rows])

    def logits(self, x: Floats) -> Floats:
        b, m, _ = self.constant.shape
        logit = self.constant.copy()
        logit[:, :, 1:] += np.matmul(self.pull, x[:, :, None]).reshape(b, 2, m).transpose(0, 2, 1)
        return logit

    def losses(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean loss of each placement, (b,), and the probabilities, (b, m, 3)."""
        logit = self.logits(x)
        top = logit.max(axis=2, keepdims=True)
        raised = np.exp(logit - top)
        total = raised.sum(axis=2, keepdims=True)
        loss = (np.log(total) + top)[:, :, 0] - (self.wanted * logit).sum(axis=2)
        return (loss * self.weight).sum(axis=1), raised / total

    def gradient(self, probability: Floats) -> Floats:
        b, m, _ = self.constant.shape
        surplus = (probability - self.wanted)[:, :, 1:] * self.weight[:, :, None]
        by_row = surplus.transpose(0, 2, 1).reshape(b, 1, 2 * m)
        gradient: Floats = np.matmul(by_row, self.pull)[:, 0, :]
        return gradient

    def hessian(self, probability: Floats) -> Floats:
        """Sum over trials of A'(diag(P) - PP')A, where A holds the two rows that x is multiplied with; (b, p, p)."""
        m = self.constant.shape[1]
        p1, p2 = probability[:, :, 1], probability[:, :, 2]
        own = np.concatenate([p1 * (1 - p1) * self.weight, p2 * (1 - p2) * self.weight], axis=1)
        cross = p1 * p2 * self.weight
        one, two = self.pull[:, :m], self.pull[:, m:]
        leaned = own[:, :, None] * self.pull
        leaned[:, :m] -= cross[:, :, None] * two
        leaned[:, m:] -= cross[:, :, None] * one
        hessian: Floats = np.matmul(self.pull.transpose(0, 2, 1), leaned)
        return hessian


def _gather(
    weights: Floats,
    partners: NDArray[np.intp],
    wanted: Floats,
    shift: Floats,
    start: NDArray[np.intp],
    count: NDArray[np.intp],
) -> _Problems:
    b, m, p = len(start), int(count.max()), weights.shape[1]
    column = np.arange(m)
    there = column < count[:, None]
    trial = np.where(there, start[:, None] + column, start[:, None])  # padding repeats a trial that exists
    second, third = weights[partners[trial, 0]], weights[partners[trial, 1]]  # (b, m, p)
    constant = shift[trial]
    constant[:, :, 0] += np.einsum("bmp,bmp->bm", second, third)
    # Slot 1 is odd when the new stimulus stays with slot 2, and the other way round.
    pull = np.concatenate([third, second], axis=1).reshape(b, 2 * m, p)
    return _Problems(pull, constant, wanted[trial], there / count[:, None])


def _descend(problems: _Problems, first: Floats, penalty: float, tol: float, max_iter: int) -> tuple[Floats, ...]:
    """Projected Newton (Bertsekas 1982) on all problems at once; those at rest drop out."""
    b = len(problems.weight)
    # A component that none of the partners has says nothing about the new stimulus.
    seen = (problems.pull != 0).any(axis=1)  # (b, p)
    x = np.where(seen, first, 0.0)
    loss, probability = problems.losses(x)
    residual = np.full(b, np.inf)
    busy, here = np.arange(b), problems
    for step in range(max_iter + 1):
        gradient = here.gradient(probability) + penalty
        residual[busy] = _violation(x[busy], gradient)
        moving = residual[busy] > tol
        if step == max_iter or not moving.any():  # also when none is busy any more
            break
        if not moving.all():
            busy, here = busy[moving], here.part(np.flatnonzero(moving))
            gradient, probability = gradient[moving], probability[moving]
        direction, free = _newton(here.hessian(probability), gradient, x[busy], residual[busy])
        x[busy], loss[busy], probability, stuck = _search(
            here, x[busy], loss[busy], probability, gradient, direction, free, penalty
        )
        if stuck.any():  # no step is a decrease that float64 can show: their residual is what it is
            busy, here, probability = busy[~stuck], here.part(np.flatnonzero(~stuck)), probability[~stuck]
    return x, loss, loss + penalty * x.sum(axis=1), residual


def _violation(x: Floats, gradient: Floats) -> Floats:
    """Largest |x - max(x - gradient, 0)| of each problem: 0 exactly where the optimality conditions hold."""
    if x.shape[1] == 0:
        return np.zeros(len(x))
    worst: Floats = np.abs(x - np.maximum(x - gradient, 0)).max(axis=1)
    return worst


def _newton(hessian: Floats, gradient: Floats, x: Floats, residual: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Newton direction over the free weights, plain descent over those at the bound."""
    near = np.minimum(residual, 1e-3)[:, None]
    free = ~((x <= near) & (gradient > 0))
    pair = free[:, :, None] & free[:, None, :]
    system = np.where(pair, hessian, 0.0)
    diagonal = np.arange(x.shape[1])
    top = np.maximum(hessian[:, diagonal, diagonal].max(axis=1, keepdims=True), 1e-12)
    system[:, diagonal, diagonal] += np.where(free, _RIDGE * top, 1.0)
    direction = -np.linalg.solve(system, np.where(free, gradient, 0.0)[:, :, None])[:, :, 0]
    return np.where(free, direction, -gradient), free


def _search(
    problems: _Problems,
    x: Floats,
    loss: Floats,
    probability: Floats,
    gradient: Floats,
    direction: Floats,
    free: NDArray[np.bool_],
    penalty: float,
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Halve steps along the projected arc until each delivers its share of the promised decrease (Armijo)."""
    slope = -(np.where(free, gradient * direction, 0.0)).sum(axis=1)
    before = loss + penalty * x.sum(axis=1)
    size = np.ones(len(x))
    x, loss, probability = x.copy(), loss.copy(), probability.copy()
    waiting, here, origin = np.arange(len(x)), problems, x.copy()
    for _ in range(_HALVINGS):
        tried = np.maximum(origin[waiting] + size[waiting, None] * direction[waiting], 0.0)
        new_loss, new_probability = here.losses(tried)
        at_bound = np.where(free[waiting], 0.0, gradient[waiting] * (origin[waiting] - tried)).sum(axis=1)
        promised = _ARMIJO * (size[waiting] * slope[waiting] + at_bound)
        after = new_loss + penalty * tried.sum(axis=1)
        good = after <= before[waiting] - promised + _SLACK * np.abs(before[waiting])
        took = waiting[good]
        x[took], loss[took], probability[took] = tried[good], new_loss[good], new_probability[good]
        if good.all():
            waiting = waiting[:0]
            break
        here, waiting = here.part(np.flatnonzero(~good)), waiting[~good]
        size[waiting] /= 2
    stuck = np.zeros(len(x), np.bool_)
    stuck[waiting] = True
    return x, loss, probability, stuck
