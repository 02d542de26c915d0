"""Does a judge prefer a slot, and answers with that preference taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome.collection._slot_prior import SlotPrior, refuse_unknown_order
from affectome.errors import InputError
from affectome.triplets import UNANSWERED, TripletSet

__all__ = ["SlotBias", "check_slot_prior", "debias", "slot_bias", "slot_bias_from_counts", "undivided_slot_prior"]

_Z = 1.959963984540054  # 97.5% quantile of the normal
_TIE = 1e-6  # debiased probabilities closer than this tie: the rounding of float32 must not choose


@dataclass(frozen=True, eq=False)
class SlotBias:
    """How often each slot was called odd, against a third each.

    Attributes
    ----------
    counts : int64 array of shape (3,)
        Answers per slot.
    rates, ci_low, ci_high : float64 arrays of shape (3,)
        Share of the answers per slot, with Wilson's 95% interval.
    chi2 : float
        Pearson's statistic against equal rates, 2 degrees of freedom.
    p_value : float
    effect : float
        Largest distance of a rate from 1/3.
    cohens_w : float
        ``sqrt(chi2 / n)``: .1 is called small, .3 medium, .5 large (Cohen 1988).
    n : int
        Answered trials.
    """

    counts: NDArray[np.int64]
    rates: NDArray[np.float64]
    ci_low: NDArray[np.float64]
    ci_high: NDArray[np.float64]
    chi2: float
    p_value: float
    effect: float
    cohens_w: float
    n: int


def slot_bias(trials: TripletSet) -> SlotBias:
    r"""Test whether a judge calls each slot odd equally often.

    Parameters
    ----------
    trials : TripletSet
        Answered trials in the order shown; unanswered ones are left out.

    Raises
    ------
    InputError
        When nothing is answered, or the set was imported odd-last, so that its slots are not those shown.

    Notes
    -----
    The null: the slots of every trial were drawn at random, independently of its stimuli, and the judge's
    answer depends on the stimuli alone. Then every answer falls on each slot with probability 1/3, whatever
    the judge finds odd, and :math:`\chi^2 = \sum_s (c_s - n/3)^2 / (n/3)` has 2 degrees of freedom, for which
    :math:`p = e^{-\chi^2/2}`.

    Answers to different orders of one triplet (``orders=3`` or ``6``) balance each other under the null, so
    with them the test is conservative. The same order asked again would make it too liberal.

    The rates understate a bias where the content decides: see :func:`estimate_slot_prior`.

    Examples
    --------
    >>> trials = TripletSet([[0, 1, 2], [2, 1, 0], [1, 2, 0]] * 20, ids="abc", choice=[0, 0, 1] * 20)
    >>> bias = slot_bias(trials)
    >>> bias.counts.tolist(), round(bias.chi2, 1), f"{bias.p_value:.1e}"
    ([40, 20, 0], 40.0, '2.1e-09')
    """
    refuse_unknown_order(trials)
    return slot_bias_from_counts(np.bincount(trials.choice[trials.answered], minlength=3))


def slot_bias_from_counts(counts: ArrayLike) -> SlotBias:
    """:func:`slot_bias` of answers that are already counted, shape (3,)."""
    array = np.asarray(counts)
    if array.shape != (3,) or array.dtype.kind not in "iu" or (array < 0).any():
        raise InputError("the slot counts are not three numbers of answers", remedy="count the answers per slot")
    n = int(array.sum())
    if n == 0:
        raise InputError("no trial is answered, so no slot was preferred", remedy="give answered trials")
    rates = array / n
    chi2 = float(((array - n / 3) ** 2).sum() / (n / 3))
    centre = (rates + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(rates * (1 - rates) / n + _Z**2 / (4 * n**2))
    return SlotBias(
        counts=array.astype(np.int64),
        rates=rates,
        ci_low=np.maximum(centre - half, 0.0),
        ci_high=np.minimum(centre + half, 1.0),
        chi2=chi2,
        p_value=math.exp(-chi2 / 2),
        effect=float(np.abs(rates - 1 / 3).max()),
        cohens_w=math.sqrt(chi2 / n),
        n=n,
    )


def check_slot_prior(prior: ArrayLike) -> NDArray[np.float64]:
    """Three positive numbers as a prior over the slots that sums to 1."""
    try:
        array = np.asarray(prior, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (3,) or not (np.isfinite(array) & (array > 0)).all():
        raise InputError(f"the slot prior {prior!r} is not three numbers above 0", remedy="give one per slot")
    normalised: NDArray[np.float64] = array / array.sum()
    return normalised


def undivided_slot_prior(trials: TripletSet) -> NDArray[np.float64] | None:
    """The slot prior that goes with some answers and still belongs into the likelihood; None where there is none.

    An export of single choices carries it in the metadata; one that divided it out of probabilities says so.
    """
    known = trials.metadata.get("slot_prior")
    if not isinstance(known, dict) or known.get("divided_out"):
        return None
    return check_slot_prior(known.get("prior", ()))


def debias(
    trials: TripletSet, prior: SlotPrior | Sequence[float] | NDArray[np.floating], *, seed: int = 0
) -> TripletSet:
    """Divide a slot prior out of the answers.

    Parameters
    ----------
    trials : TripletSet
    prior : SlotPrior, or three positive numbers
        As :func:`estimate_slot_prior` gives it.
    seed : int
        Breaks ties between debiased probabilities (within 1e-6), so that no slot does.

    Returns
    -------
    TripletSet
        Probabilities are divided by the prior and normalised. A choice that was the most probable slot becomes the most
        probable slot after that; any other choice (drawn at a temperature, or parsed from free text) stays,
        as do all choices where there are no probabilities: a single choice cannot be corrected, and has the
        prior in the likelihood of the embedding instead (``SPoSE(slot_offsets=...)``).

        ``metadata["slot_prior"]`` holds the prior and how it was estimated; ``divided_out``, whether
        probabilities were corrected; and ``n_choices_changed``, ``n_choices_kept`` (choices that were not
        the most probable slot) and ``n_without_probabilities``.

    Raises
    ------
    InputError
        When the slots shown are unknown, or a prior was divided out before.
    """
    refuse_unknown_order(trials)
    known = trials.metadata.get("slot_prior")
    if isinstance(known, dict) and known.get("divided_out"):
        raise InputError("a slot prior was already divided out of these answers", remedy="give the raw answers")
    values = check_slot_prior(prior.prior if isinstance(prior, SlotPrior) else prior)
    facts = prior.describe() if isinstance(prior, SlotPrior) else {"prior": values.tolist()}
    facts["divided_out"] = trials.probabilities is not None
    if trials.probabilities is None:
        return trials.with_answers(trials.choice, metadata={"slot_prior": facts})
    raw = trials.probabilities.astype(np.float64)
    corrected = raw / values
    corrected /= corrected.sum(axis=1, keepdims=True)
    soft = trials.answered & ~np.isnan(raw).any(axis=1)
    rows, chosen = np.flatnonzero(soft), trials.choice[soft]
    modal = raw[rows, chosen] >= raw[rows].max(axis=1)
    best = corrected >= corrected.max(axis=1, keepdims=True) - _TIE  # (n, 3)
    drawn = np.where(best, np.random.default_rng(seed).random(best.shape), -1.0).argmax(axis=1)
    choice = trials.choice.copy()
    choice[rows[modal]] = drawn[rows[modal]]
    facts |= {
        "n_choices_changed": int((choice != trials.choice).sum()),
        "n_choices_kept": int((~modal).sum()),
        "n_without_probabilities": int((trials.choice != UNANSWERED).sum()) - len(rows),
    }
    return trials.with_answers(choice, corrected.astype(np.float32), {"slot_prior": facts})
