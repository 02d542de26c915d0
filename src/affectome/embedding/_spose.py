"""SPoSE: a sparse, non-negative embedding that explains odd-one-out choices."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from affectome._progress import Progress
from affectome.embedding._components import kept_components
from affectome.embedding._descent import descend_to_rest
from affectome.embedding._engine import Engine, KernelEngine
from affectome.embedding._model import (
    ChoiceEmbedding,
    centred_offsets,
    is_count,
    is_device,
    is_offsets,
    is_size,
    refuse_false,
)
from affectome.embedding._schedule import annealing, default_batch, default_epochs, default_sparsity, default_tolerance
from affectome.embedding._trials import Trials, as_trials
from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = ["SPoSE"]

_TRYOUT_EPOCHS = 4  # after which the objectives of good and poor starts have parted (docs/embedding.md)
_TRYOUT_TRIALS = 200_000
_FEW_TRIALS = 10_000  # every start is then run to the end
_WARM_RATE = 0.1  # share of the learning rate at which a warm start begins: the full rate would shake it loose


@dataclass(frozen=True, eq=False)
class _Run:
    """One start, run to the end: the objective after each epoch and iteration, and whether it rests there."""

    engine: Engine
    weights: NDArray[np.float32]
    path: list[float]
    n_epochs: int
    rested: bool


class SPoSE(ChoiceEmbedding):
    r"""Sparse positive similarity embedding.

    Finds :math:`X \ge 0` (stimuli x components) that minimises

    .. math:: \frac{1}{T}\sum_t -\log\frac{e^{x_i \cdot x_j}}{e^{x_i \cdot x_j}
              + e^{x_i \cdot x_k} + e^{x_j \cdot x_k}} + \frac{\lambda}{n}\sum |X|

    where (i, j) is the pair that was kept in trial t and k the odd one. Given choice probabilities,
    the first term is the cross-entropy against them. With `slot_offsets` b, the similarity that is kept when slot s
    is called odd is raised by :math:`b_s` in the likelihood: content and slot explain a choice together.

    Parameters
    ----------
    n_components : int
        Components at the start; those that stay below `prune` are dropped at the end.
    l1 : float or None
        The weight :math:`\lambda` of the sparsity term. The sum over all trials holds it as :math:`\lambda T / n` for
        every unit of weight, against which the evidence of T trials about n stimuli stands: the same :math:`\lambda`
        is weak where trials are few. None: n / T times 4, or times sqrt(T / n) / 4 where that is more, and at most
        0.06; planted components came back, and no others, over a wide range of n and T (docs/embedding.md). Stimuli
        that no trial holds do not count. The value that was used is `l1_`.
    learning_rate : float
        First rate of Adam. It falls along half a cosine to a two-hundredth of itself.
    batch_size : int or None
        Trials per step at first; it doubles four times on the way. None: the power of two below a two-hundredth of
        the trials, between 64 and 4,096. Small first batches and high first rates matter: their noise is what carries
        the fit out of poor optima, in which two components share one meaning.
    n_epochs : int or None
        Passes over the trials with Adam. None: 16 for millions of trials, 32 for a hundred thousand, up to 64 for few.
    max_iter : int
        After Adam the objective is lowered further by at most so many iterations of L-BFGS-B, each about one pass over
        the trials; with 0 the fit ends as Adam left it, and `converged_` is False.
    tol : float or None
        The fit has converged when ten of these iterations lowered the objective by less than this share. None: a
        billionth for each trial, from 1e-5 for few to 1e-3 for millions.
    prune : float
        A component is kept when its largest weight exceeds this.
    init : tuple of float
        Mean and standard deviation of the normal that starting weights are drawn from; negative draws
        become 0. The SPoSE papers start at (0.1, 0.01); starting wider found planted components more
        often (docs/embedding.md).
    n_init : int
        The problem is not convex, and a poor start can merge two components for good. So this many starts are tried
        for four epochs on at most 200,000 of the trials, and the one with the lowest objective goes on; with at most
        10,000 trials all of them are run to the end, and the best is kept.
    warm_start : bool
        Start from the weights of the last fit where there is one: its strongest components, filled
        up with fresh ones where `n_components` has grown; the learning rate then begins at a tenth.
    slot_offsets : three numbers, or None
        How much the judge prefers to call slot 0, 1, 2 of the order shown odd, in log units: the ``log_offsets``
        of an estimated slot prior (docs/bias.md). They belong to the judge, not to the stimuli: they are in the
        likelihood that is maximised and in `objective_`, and not in what is predicted. For probabilities from
        which the prior was divided out, leave them out.
    random_state : int, RandomState or None
        Seeds the start and the order of the triplets.
    n_jobs : int or None
        Threads of the kernel; None or -1 uses all. The result is the same, bit for bit, for any number.
    device : str
        ``"cpu"``: the compiled kernels. ``"cuda"`` or ``"cuda:1"``: torch on that GPU, with the triplets held there
        (docs/gpu.md). ``"torch-cpu"``: the same torch code on the processor. Another device, another rounding: the
        objective agrees, not the bits.

    Attributes
    ----------
    embedding_ : float32 array of shape (n_stimuli, n_components_)
        Kept components by falling sum of weights.
    n_components_ : int
    l1_ : float
        The weight of the sparsity term that was used.
    objective_ : float
        The objective of `embedding_` on the training trials.
    objective_path_ : float64 array of shape (n_epochs_ + n_iter_,)
        Objective along each epoch of Adam, then after each iteration of L-BFGS-B.
    n_epochs_ : int
    n_iter_ : int
    converged_ : bool
    n_stimuli_ : int
    ids_ : tuple of str or None
        Ids of the TripletSet it was fitted to; other sets are only scored where theirs are the same.
    n_trials_ : int
        Answered trials that were used.
    n_dropped_ : int
        Unanswered trials that were not.

    References
    ----------
    Zheng, Pereira, Baker & Hebart (2019), ICLR. Hebart, Zheng, Pereira & Baker (2020), Nature Human
    Behaviour 4.

    Examples
    --------
    >>> from affectome.simulation import simulate_emotions
    >>> planted = simulate_emotions(n_stimuli=40, n_components=3, seed=0)
    >>> trials = planted.sample_answers(5_000, seed=1)
    >>> SPoSE(n_components=3, random_state=0).fit(trials).embedding_.shape
    (40, 3)
    """

    def __init__(
        self,
        n_components: int = 30,
        l1: float | None = None,
        *,
        learning_rate: float = 0.2,
        batch_size: int | None = None,
        n_epochs: int | None = None,
        max_iter: int = 1000,
        tol: float | None = None,
        prune: float = 0.1,
        init: tuple[float, float] = (0.3, 0.1),
        n_init: int = 4,
        warm_start: bool = False,
        slot_offsets: tuple[float, float, float] | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.n_components = n_components
        self.l1 = l1
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.prune = prune
        self.init = init
        self.n_init = n_init
        self.warm_start = warm_start
        self.slot_offsets = slot_offsets
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.device = device

    def fit(
        self,
        X: TripletSet | ArrayLike,
        y: ArrayLike | None = None,
        *,
        n_stimuli: int | None = None,
        progress: Progress | None = None,
    ) -> SPoSE:
        """Learn the embedding.

        Parameters
        ----------
        X : TripletSet, or int array of shape (n_trials, 3)
            Stimulus indices in the order shown. An array without `y` is read as odd one last.
        y : array of shape (n_trials,) or (n_trials, 3), optional
            Slot of the odd one (-1 where unanswered), or choice probabilities. With a TripletSet it
            takes the place of the set's choices.
        n_stimuli : int, optional
            Number of stimuli where X is an array; by default its highest index plus one.
        progress : callable, optional
            Called after every epoch of Adam and every iteration of L-BFGS-B.

        Raises
        ------
        InputError
            When no trial is answered, an index is out of range, or a parameter is; and when `slot_offsets`
            meet triplets whose order shown is not known (odd-last).
        """
        self._check_parameters()
        trials = as_trials(X, y, n_stimuli=n_stimuli, in_slots=self.slot_offsets is not None)
        n_trials = len(trials.triplets)
        if n_trials == 0:
            raise InputError("there is no answered triplet to learn from", remedy="give trials with choices")
        default = default_sparsity(trials.n_stimuli, int(trials.used().sum()), n_trials)
        self.l1_ = default if self.l1 is None else float(self.l1)
        state = check_random_state(self.random_state)
        rng = np.random.default_rng(state.randint(0, 2**31 - 1, size=4))
        ids = X.ids if isinstance(X, TripletSet) else None
        warm = self.warm_start and hasattr(self, "_weights")
        starts = [self._warm(trials, ids, rng)] if warm else self._starts(trials, rng)
        runs = [
            self._run(trials, start, rng, _WARM_RATE if warm else 1.0, _progress_of(progress, number, len(starts)))
            for number, start in enumerate(starts)
        ]
        best = min(runs, key=lambda run: run.path[-1])
        self._weights, self.converged_ = best.weights, best.rested
        kept = kept_components(self._weights, self.prune)
        if len(kept) == 0:
            too_strong = self.l1_ > 0 and not self._weights.any()
            cause = "l1 is too strong for these triplets" if too_strong else "no weight exceeds prune"
            warnings.warn(f"Every component vanished: {cause}.", ConvergenceWarning, stacklevel=2)
        elif not self.converged_:
            warnings.warn(
                f"SPoSE stopped after max_iter={self.max_iter} iterations, before its objective came to rest.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.embedding_: NDArray[np.float32] = np.ascontiguousarray(self._weights[:, kept])
        self.n_components_ = len(kept)
        self.objective_path_ = np.array(best.path)
        self.n_epochs_ = best.n_epochs
        self.n_iter_ = len(best.path) - best.n_epochs
        self.n_stimuli_ = trials.n_stimuli
        self.ids_ = ids
        self.n_trials_ = n_trials
        self.n_dropped_ = trials.n_dropped
        loss, _ = best.engine.value_and_gradient(self.embedding_.astype(np.float64))
        self.objective_ = loss + self.l1_ / trials.n_stimuli * float(self.embedding_.sum(dtype=np.float64))
        return self

    def _check_parameters(self) -> None:
        pair = isinstance(self.init, (tuple, list)) and len(self.init) == 2
        good = {
            "n_components": is_count(self.n_components),
            "l1": self.l1 is None or is_size(self.l1),
            "learning_rate": is_size(self.learning_rate, 1e-30),
            "batch_size": self.batch_size is None or is_count(self.batch_size),
            "n_epochs": self.n_epochs is None or is_count(self.n_epochs),
            "max_iter": is_count(self.max_iter, 0),
            "tol": self.tol is None or is_size(self.tol),
            "prune": is_size(self.prune),
            "n_init": is_count(self.n_init),
            "init": pair and is_size(self.init[0], -np.inf) and is_size(self.init[1]),
            "slot_offsets": is_offsets(self.slot_offsets),
            "device": is_device(self.device),
            "n_jobs": self.n_jobs is None or self.n_jobs == -1 or is_count(self.n_jobs),
        }
        refuse_false(self, good)

    def _warm(self, trials: Trials, ids: tuple[str, ...] | None, rng: np.random.Generator) -> NDArray[np.float32]:
        """The last fit's weights: its strongest components, and fresh ones where more are wanted."""
        before = self._weights
        if len(before) != trials.n_stimuli or self.ids_ != ids:
            raise InputError(
                f"the last fit was about {len(before)} stimuli, and this one is about {trials.n_stimuli} others",
                source="SPoSE",
                remedy="set warm_start=False",
            )
        strongest = kept_components(before, 0.0)[: self.n_components]  # what has vanished could not come back
        weights = self._draw(trials.n_stimuli, rng)
        weights[:, : len(strongest)] = before[:, strongest]
        return weights

    def _starts(self, trials: Trials, rng: np.random.Generator) -> list[NDArray[np.float32]]:
        """Fresh weights to run from: every start where trials are few, else the best of short tryouts."""
        n, n_trials = trials.n_stimuli, len(trials.triplets)
        draws = [self._draw(n, rng) for _ in range(self.n_init)]
        if self.n_init == 1 or n_trials <= _FEW_TRIALS:
            return draws
        some = trials
        if n_trials > _TRYOUT_TRIALS:
            some = trials.at(rng.choice(n_trials, _TRYOUT_TRIALS, replace=False))
        tried = []
        for start in draws:
            engine = self._engine(some, start, rng)
            path = self._anneal(engine, len(some.triplets), self.learning_rate, _TRYOUT_EPOCHS, _unreported)
            tried.append((path[-1], engine.weights))
        return [min(tried, key=lambda pair: pair[0])[1]]

    def _draw(self, n_stimuli: int, rng: np.random.Generator) -> NDArray[np.float32]:
        return np.maximum(rng.normal(*self.init, (n_stimuli, self.n_components)), 0.0).astype(np.float32)

    def _batch(self, n_trials: int) -> int:
        return min(self.batch_size or default_batch(n_trials), n_trials)

    def _engine(self, trials: Trials, weights: NDArray[np.float32], rng: np.random.Generator) -> Engine:
        """The trials and the weights where the fit starts; a stimulus that no trial holds gets zeros, its optimum."""
        start = np.where(trials.used()[:, None], weights, np.float32(0.0))
        parts: dict[str, Any] = {
            "l1": self.l1_ / trials.n_stimuli,
            "offsets": centred_offsets(self.slot_offsets),
            "rng": rng,
            "batch": self._batch(len(trials.triplets)),
        }
        if self.device == "cpu":
            return KernelEngine(trials, start, **parts, n_jobs=self.n_jobs)
        from affectome.embedding._torch import TorchEngine

        return TorchEngine(trials, start, **parts, device=self.device)

    def _run(
        self,
        trials: Trials,
        start: NDArray[np.float32],
        rng: np.random.Generator,
        rate: float,
        progress: Progress,
    ) -> _Run:
        """Anneal from `start`, with `rate` times the learning rate, then lower the objective until it rests."""
        n_trials = len(trials.triplets)
        n_epochs = self.n_epochs or default_epochs(n_trials)
        tol = default_tolerance(n_trials) if self.tol is None else self.tol
        total = n_epochs + self.max_iter
        engine = self._engine(trials, start, rng)

        def report(done: int, objective: float) -> None:
            progress(done, total, detail=f"objective {objective:.4f}")

        path = self._anneal(engine, n_trials, rate * self.learning_rate, n_epochs, report)
        weights, iterations, rested = descend_to_rest(
            engine,
            self.l1_ / trials.n_stimuli,
            tol=tol,
            max_iter=self.max_iter,
            report=lambda done, objective: report(n_epochs + done, objective),
        )
        return _Run(engine, weights, path + iterations, n_epochs, rested)

    def _anneal(
        self, engine: Engine, n_trials: int, rate: float, n_epochs: int, report: Callable[[int, float], None]
    ) -> list[float]:
        """Run Adam down the schedule; return the objective along each epoch."""
        path: list[float] = []
        for legs in annealing(n_trials, n_epochs, rate, self._batch(n_trials)):
            engine.shuffle()
            loss = sum(engine.descend(leg) for leg in legs) / n_trials
            weights = engine.weights
            path.append(loss + self.l1_ / len(weights) * float(weights.sum(dtype=np.float64)))
            if not np.isfinite(path[-1]):
                raise InputError(
                    "the weights grew beyond all bounds",
                    source="SPoSE",
                    remedy="lower learning_rate or init",
                )
            report(len(path), path[-1])
        return path


def _unreported(done: int, objective: float) -> None:
    pass


def _progress_of(progress: Progress | None, number: int, count: int) -> Progress:
    """The display of run `number` of `count`, as a part of the display of all."""

    def report(done: int, total: int, /, *, detail: str = "") -> None:
        if progress is not None:
            progress(number * total + done, count * total, detail=detail)

    return report
