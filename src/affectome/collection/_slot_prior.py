"""What a judge would answer for its slot alone: estimated from triplets asked in several orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = ["SMALLEST_PROBABILITY", "SlotPrior", "estimate_slot_prior", "refuse_unknown_order"]

#: A set of orders with a probability below this is left out of the estimate: such a value is a rounding, or the
#: stand-in for a label that the server did not report, and its logarithm would count for more than all the others.
SMALLEST_PROBABILITY = 1e-12

_RANKS = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])  # order x slot -> which item
_KINDS: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3, 4, 5), (0, 3, 4), (1, 2, 5))  # permutations, rotations, rotations
_PLANE = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]).T / np.sqrt([2.0, 6.0])  # (3, 2): offsets that sum to 0
_FAR = 30.0  # an offset beyond this is as good as infinite
_ASK = "ask some in several orders (affectome triplets sample --orders 6 --orders-share 0.1)"


@dataclass(frozen=True, eq=False)
class SlotPrior:
    """How much a judge likes each slot, whatever is in it.

    Attributes
    ----------
    prior : float64 array of shape (3,)
        Sums to 1.
    ci_low, ci_high : float64 arrays of shape (3,)
        95% interval of each entry: percentiles of a bootstrap over triplets.
    method : str
        ``"probabilities"`` or ``"choices"``.
    n_sets : int
        Complete sets of orders that were used.
    n_informative : int
        Those of them that say something about the slots: all of them for probabilities; for choices those in
        which not all orders led to the same stimulus.
    n_dropped : int
        Triplets asked in several orders that made no complete, fully answered set.
    n_below_floor : int
        Sets left out since one of their probabilities was below `SMALLEST_PROBABILITY`.
    """

    prior: NDArray[np.float64]
    ci_low: NDArray[np.float64]
    ci_high: NDArray[np.float64]
    method: str
    n_sets: int
    n_informative: int
    n_dropped: int
    n_below_floor: int

    @property
    def log_offsets(self) -> NDArray[np.float64]:
        """Logarithm of the prior with mean 0: the ``slot_offsets`` of SPoSE."""
        offsets: NDArray[np.float64] = np.log(self.prior) - np.log(self.prior).mean()
        return offsets

    def describe(self) -> dict[str, Any]:
        """Everything it holds, as JSON values."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}


def refuse_unknown_order(trials: TripletSet) -> None:
    """Odd-last files keep no slots: every answer of them would fall on the last one."""
    if trials.metadata.get("order_shown") == "unknown":
        raise InputError(
            "the trials were imported odd-last, and the slots that were shown are not known",
            remedy="give the file that the collection wrote",
        )


def estimate_slot_prior(
    trials: TripletSet,
    *,
    n_boot: int = 200,
    seed: int,
    method: Literal["auto", "probabilities", "choices"] = "auto",
) -> SlotPrior:
    r"""Estimate a judge's slot prior from triplets asked in all three rotations or all six permutations.

    Parameters
    ----------
    trials : TripletSet
        Complete, fully answered sets of orders are found in it; everything else is ignored.
    n_boot : int
        Bootstrap samples of triplets behind the intervals.
    seed : int
        Of the bootstrap.
    method
        ``"auto"`` uses probabilities where a complete set has them, and the choices otherwise.

    Raises
    ------
    InputError
        When there is no complete set, or the choices do not identify a prior: no set disagrees with itself, or
        those that do all lean to one side, so that an offset would be infinite.

    Notes
    -----
    The model: in order *o* the judge calls slot *s* odd with probability
    :math:`p_{os} = \pi_s w_{i(o,s)} / Z_o`, where *w* is how odd it finds the stimulus in that slot.

    *Probabilities*. Over a full set of orders every stimulus is in every slot equally often, so the mean of
    :math:`\log p_{os}` over *o* is :math:`\log\pi_s` plus a constant: the stimuli cancel. The prior is the
    softmax of that mean over all sets (kin of PriDe, Zheng et al. 2024, arXiv 2309.03882).

    *Choices*. Given how often each stimulus was chosen over the orders of a set, all *w* and *Z* cancel from the
    likelihood (the conditional logit of Chamberlain 1980): an observed sequence of slots has probability
    :math:`e^{\sum_o b_{s_o}}` over the sum of the same over all sequences with the same stimulus counts (of 27, or
    729, sequences), with :math:`b = \log\pi`. The log-likelihood is concave in the two free offsets and maximised by
    Newton's method. A set in which one stimulus was chosen in every order says nothing.

    The plain rates of the slots are *not* the prior: a decisive judge picks the same stimulus in whatever slot,
    and keeps rates of 1/3 with a prior of (.6, .3, .1); an undecided one shows the prior itself.
    """
    refuse_unknown_order(trials)
    if method not in ("auto", "probabilities", "choices"):
        raise InputError(f"method='{method}' is unknown", remedy="use auto, probabilities or choices")
    if n_boot < 1:
        raise InputError(f"n_boot={n_boot} makes no interval", remedy="give at least 1, better 200")
    if method == "probabilities" and trials.probabilities is None:
        raise InputError("the trials carry no probabilities", remedy="use method choices")
    rng = np.random.default_rng(seed)
    if method == "choices" or trials.probabilities is None:
        return _from_choices(trials, n_boot, rng)
    try:
        return _from_probabilities(trials, n_boot, rng)
    except InputError:
        if method == "probabilities":
            raise
        return _from_choices(trials, n_boot, rng)


@dataclass(frozen=True, eq=False)
class _Sets:
    """Complete sets of orders of one kind: rows (m, n_orders) of the trials, and a number per triplet (m,)."""

    orders: tuple[int, ...]
    rows: NDArray[np.intp]
    triplet: NDArray[np.intp]


def _complete_sets(trials: TripletSet, usable: NDArray[np.bool_]) -> tuple[list[_Sets], int]:
    """All complete sets of usable trials, and how many triplets asked in several orders made none.

    A triplet that was asked more than once in the same order takes part in as many sets as are complete.
    """
    _, triplet, asked = np.unique(trials.keys(), return_inverse=True, return_counts=True)
    rows = np.flatnonzero(asked[triplet] > 1)
    triplet, shown, usable = triplet[rows], trials.triplets[rows], usable[rows]
    place = (shown[:, :2, None] > shown[:, None, :]).sum(axis=2)  # rank of the stimuli in slots 0 and 1
    order = 2 * place[:, 0] + (place[:, 1] > 3 - place.sum(axis=1))
    cell = 6 * triplet + order
    n_several = int((np.unique(np.unique(cell) // 6, return_counts=True)[1] > 1).sum())
    by_cell = np.argsort(cell, kind="stable")  # repeats stay in the order asked
    by_cell = by_cell[usable[by_cell]]
    rows, cell = rows[by_cell], cell[by_cell]
    start = np.flatnonzero(np.diff(cell, prepend=-1))
    repeat = np.arange(len(cell)) - np.repeat(start, np.diff(start, append=len(cell)))
    most = 1 + int(repeat.max(initial=0))
    group, which = np.unique(cell // 6 * most + repeat, return_inverse=True)
    owner = group // most
    where = np.full((len(owner), 6), -1, np.intp)
    where[which, cell % 6] = rows
    found, taken = [], np.zeros(len(owner), np.bool_)
    for orders in _KINDS:  # all six first: their rotations are not used twice
        whole = (where[:, orders] >= 0).all(axis=1) & ~taken
        if orders == _KINDS[0]:
            taken = whole
        if whole.any():
            found.append(_Sets(orders, where[whole][:, list(orders)], owner[whole]))
    n_used = len(np.unique(np.concatenate([s.triplet for s in found]))) if found else 0
    if not found:
        raise InputError("no triplet was answered in all three rotations or all six permutations", remedy=_ASK)
    return found, n_several - n_used


def _from_probabilities(trials: TripletSet, n_boot: int, rng: np.random.Generator) -> SlotPrior:
    assert trials.probabilities is not None
    sets, n_dropped = _complete_sets(trials, np.isfinite(trials.probabilities.sum(axis=1)))
    means, triplets, n_below_floor = [], [], 0
    for some in sets:
        p = trials.probabilities[some.rows].astype(np.float64)  # (m, orders, slots)
        kept = (p >= SMALLEST_PROBABILITY).all(axis=(1, 2))
        means.append(np.log(p[kept]).mean(axis=1))
        triplets.append(some.triplet[kept])
        n_below_floor += int((~kept).sum())
    mean, triplet = np.concatenate(means), np.concatenate(triplets)
    if len(mean) == 0:
        raise InputError(
            f"all {n_below_floor:,} sets of orders have a probability below {SMALLEST_PROBABILITY}, and none says how a"
            " slot is weighed",
            remedy="use method choices",
        )

    def prior_of(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        return _softmax(weight @ mean / weight.sum())

    prior, low, high = _with_interval(prior_of, triplet, n_boot, rng)
    return SlotPrior(prior, low, high, "probabilities", len(mean), len(mean), n_dropped, n_below_floor)


def _from_choices(trials: TripletSet, n_boot: int, rng: np.random.Generator) -> SlotPrior:
    sets, n_dropped = _complete_sets(trials, trials.answered)
    likelihood = _conditional_likelihood(trials, sets)
    likelihood.refuse_unidentified()
    triplet = np.concatenate([some.triplet for some in sets])

    def prior_of(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        return _softmax(likelihood.best_offsets(weight))

    prior, low, high = _with_interval(prior_of, triplet, n_boot, rng)
    return SlotPrior(prior, low, high, "choices", len(triplet), likelihood.n_informative, n_dropped, 0)


def _with_interval(
    prior_of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    triplet: NDArray[np.intp],
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The estimate with every set weighing one, and its 95% interval over resampled triplets."""
    _, owner = np.unique(triplet, return_inverse=True)
    n = int(owner.max()) + 1
    drawn = np.empty((n_boot, 3))
    for k in range(n_boot):
        times = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        drawn[k] = prior_of(times[owner])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return prior_of(np.ones(len(owner))), low, high


def _softmax(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    weight = np.exp(offsets - offsets.max())
    prior: NDArray[np.float64] = weight / weight.sum()
    return prior


@dataclass(frozen=True, eq=False)
class _ConditionalLikelihood:
    """Conditional logit of the slots chosen in sets of orders, given how often each stimulus was chosen.

    Sets with the same kind of orders and the same stimulus counts form a *group*: they share the list of slot
    counts that were possible, each with the number of sequences that lead to it.

    Attributes
    ----------
    group : (n_sets,)
    slots : (n_sets, 3)
        How often each slot was chosen.
    possible : (n_possible, 3)
        Slot counts, group after group.
    sequences : (n_possible,)
        Number of sequences behind each.
    start : (n_groups,)
        Where each group begins in `possible`.
    """

    group: NDArray[np.intp]
    slots: NDArray[np.float64]
    possible: NDArray[np.float64]
    sequences: NDArray[np.float64]
    start: NDArray[np.intp]

    @property
    def n_informative(self) -> int:
        """Sets in which the stimulus counts leave more than one possibility for the slots."""
        sizes = np.diff(self.start, append=len(self.possible))
        return int((sizes[self.group] > 1).sum())

    def refuse_unidentified(self) -> None:
        """Raise unless the likelihood has a finite, unique maximum.

        It has one exactly when no direction exists in which every set already lies at an end of what was possible
        for it: when the ways from observed to possible slot counts reach all around the plane of offsets.
        """
        n = self.n_informative
        if n == 0:
            raise InputError(
                f"in all {len(self.group):,} sets of orders the same stimulus was chosen in every order, so the choices"
                " say nothing about the slots",
                remedy="ask more triplets in several orders, or use probabilities",
            )
        ways = []
        for g, *slots in np.unique(np.column_stack([self.group, self.slots]), axis=0):
            begin = self.start[int(g)]
            end = np.append(self.start, len(self.possible))[int(g) + 1]
            ways.append((self.possible[begin:end] - slots) @ _PLANE)
        step = np.concatenate(ways)
        step = step[(np.abs(step) > 1e-9).any(axis=1)]
        angle = np.sort(np.arctan2(step[:, 1], step[:, 0]))
        gaps = np.diff(angle, append=angle[0] + 2 * np.pi)
        if gaps.max() > np.pi - 1e-9:
            raise InputError(
                f"the {n:,} sets of orders with different choices all lean to one side, so that a slot's prior would be"
                " estimated as 0 or 1",
                remedy="ask more triplets in several orders, or use probabilities",
            )

    def best_offsets(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Offsets (3,) of mean 0 that maximise the likelihood of the weighted sets, by Newton's method.

        A resampled data set may have its maximum at infinity; the search then stops at offsets of about 30.
        """
        n_group = np.bincount(self.group, weights=weight, minlength=len(self.start)).astype(np.float64)
        total = weight @ self.slots
        theta = np.zeros(2)
        value, gradient, curvature = self._at(theta, n_group, total)
        for _ in range(100):
            ridge = 1e-9 * (1.0 + np.trace(curvature)) * np.eye(2)
            step = np.linalg.solve(curvature + ridge, gradient)
            step *= min(1.0, 3.0 / max(float(np.abs(step).max()), 1e-300))
            ahead = self._at(theta + step, n_group, total)
            while ahead[0] < value - 1e-9 * abs(value) and np.abs(step).max() > 1e-12:
                step /= 2
                ahead = self._at(theta + step, n_group, total)
            theta, (value, gradient, curvature) = theta + step, ahead
            # Newton converges quadratically: after a step of 1e-6 the next would be of 1e-12.
            if np.abs(step).max() < 1e-6 or np.abs(theta).max() > _FAR:
                break
        offsets: NDArray[np.float64] = _PLANE @ theta
        return offsets

    def _at(
        self, theta: NDArray[np.float64], n_group: NDArray[np.float64], total: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Log-likelihood, its gradient (2,) and minus its Hessian (2, 2)."""
        sizes = np.diff(self.start, append=len(self.possible))
        offsets = _PLANE @ theta
        logit = self.possible @ offsets + np.log(self.sequences)
        top = np.maximum.reduceat(logit, self.start)
        weight = np.exp(logit - np.repeat(top, sizes))
        z = np.add.reduceat(weight, self.start)
        p = weight / np.repeat(z, sizes)
        mean = np.add.reduceat(p[:, None] * self.possible, self.start)  # (groups, 3)
        second = self.possible.T @ ((p * np.repeat(n_group, sizes))[:, None] * self.possible)
        spread = second - mean.T @ (n_group[:, None] * mean)
        value = float(total @ offsets - n_group @ (np.log(z) + top))
        return value, _PLANE.T @ (total - n_group @ mean), _PLANE.T @ spread @ _PLANE


def _conditional_likelihood(trials: TripletSet, sets: list[_Sets]) -> _ConditionalLikelihood:
    group, slots, possible, sequences, start = [], [], [], [], []
    n_groups = n_possible = 0
    for some in sets:
        ranks, n_orders = _RANKS[list(some.orders)], len(some.orders)
        every = np.array(list(product(range(3), repeat=n_orders)))  # all sequences of slots
        lines, times = np.unique(_item_and_slot_counts(every, ranks), axis=0, return_counts=True)
        items, first = np.unique(lines[:, :3], axis=0, return_index=True)  # groups, sorted as the lines are
        chosen = _item_and_slot_counts(trials.choice[some.rows].astype(np.intp), ranks)
        code = np.array([(n_orders + 1) ** 2, n_orders + 1, 1])
        group.append(n_groups + np.searchsorted(items @ code, chosen[:, :3] @ code))
        slots.append(chosen[:, 3:])
        possible.append(lines[:, 3:])
        sequences.append(times)
        start.append(n_possible + first)
        n_groups, n_possible = n_groups + len(items), n_possible + len(lines)
    return _ConditionalLikelihood(
        np.concatenate(group),
        np.concatenate(slots).astype(np.float64),
        np.concatenate(possible).astype(np.float64),
        np.concatenate(sequences).astype(np.float64),
        np.concatenate(start),
    )


def _item_and_slot_counts(chosen: NDArray[np.intp], ranks: NDArray[np.intp]) -> NDArray[np.intp]:
    """How often each item and each slot was chosen, (m, 6), from the slots chosen in each order, (m, n_orders)."""
    item = ranks[np.arange(len(ranks)), chosen]  # (m, n_orders)
    counts = [(what == k).sum(axis=1) for what in (item, chosen) for k in range(3)]
    return np.column_stack(counts)
