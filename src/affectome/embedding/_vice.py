"""VICE: an embedding of choices that knows how sure it is of every weight."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from affectome._numba import kernel_threads
from affectome._progress import Progress, silent
from affectome.embedding._choices import slot_similarities
from affectome.embedding._engine import KernelEngine, VariationalEngine
from affectome.embedding._kernels import information_blocks
from affectome.embedding._model import ChoiceEmbedding, centred_offsets, is_count, is_offsets, is_size, refuse_false
from affectome.embedding._posterior import (
    Prior,
    divergence,
    expected_probabilities,
    sampled_probabilities,
    supporting_stimuli,
)
from affectome.embedding._schedule import annealing, default_batch, default_epochs
from affectome.embedding._trials import Trials, as_trials
from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = ["VICE"]

_STABLE = 0.25  # share of the epochs, the last ones, over which the number of components must not change
_REST = 3  # and no fewer than so many
_PARTS = 8  # buffers that the information is summed in, where they fit into so many numbers
_ROOM = 32_000_000
_CHUNK = 1_000_000
_ALIKE = 0.6  # cosine of two components from which on it is tried whether they are one
_FLAT = 10.0  # slabs: deviation of the normal that bounds what no choice bounds, while intervals are calibrated
_MOST_PASSES = 100  # over the trials, to the highest likelihood; some twenty are usual
_SURE = 2.0  # a weight takes part in the calibration of its stimulus when it lies so many deviations above 0


class VICE(ChoiceEmbedding):
    r"""Variational interpretable concept embedding.

    Every weight has a Gaussian posterior :math:`q = N(\mu, \sigma^2)`. Minimised is

    .. math:: \mathrm{E}_q\Big[\frac{1}{T}\sum_t -\log\frac{e^{s_{ij}}}{e^{s_{ij}} + e^{s_{ik}} + e^{s_{jk}}}\Big]
              + \frac{1}{T} \mathrm{KL}(q \,\|\, p), \qquad s_{ij} = \max(x_i, 0) \cdot \max(x_j, 0)

    with the spike-and-slab prior :math:`p = \pi N(0, \mathrm{spike}^2) + (1 - \pi) N(0, \mathrm{slab}^2)`. The weights
    are drawn anew for every step. A component is kept when more than `min_stimuli` stimuli have a weight whose
    :math:`P(x \le 0)` is rejected (Benjamini-Hochberg over the stimuli, at `alpha`): how many components there are is
    found, not given. Half way, two components that are halves of one are put together, where that lowers the objective.

    Parameters
    ----------
    n_components : int
        Components at the start; give more than there can be.
    spike, slab : float
        Standard deviations of the prior's two parts.
    spike_share : float
        Share :math:`\pi` of the spike.
    alpha : float
        False discovery rate of the pruning.
    min_stimuli : int
        A component needs more stimuli than this.
    learning_rate : float
        First rate of Adam. It falls along half a cosine to a two-hundredth of itself.
    batch_size : int or None
        Trials per step at first; it doubles four times on the way. None: as for :class:`SPoSE`.
    n_epochs : int or None
        Passes over the trials. None: twice those of :class:`SPoSE`.
    init : tuple of float
        Mean and standard deviation of the normal that the starting means are drawn from.
    init_scale : float
        Where all posterior deviations start.
    slot_offsets : three numbers, or None
        As for :class:`SPoSE`.
    random_state : int, RandomState or None
        Seeds the start, the order of the triplets and the draws.
    n_jobs : int or None
        Threads of the kernel; None or -1 uses all. The result is the same, bit for bit, for any number.

    Attributes
    ----------
    embedding_ : float32 array of shape (n_stimuli, n_components_)
        The posterior means, negative ones 0: kept components by falling sum of weights.
    loc_, scale_ : float32 arrays of shape (n_stimuli, n_components_)
        Posterior means and standard deviations of the weights before they are rectified.
    n_components_ : int
    support_ : int array of shape (n_components_,)
        Stimuli that carry each kept component.
    n_supported_path_ : int array of shape (n_epochs_,)
        Components that would be kept after each epoch.
    objective_ : float
        The objective at the end: `objective_path_[-1]`.
    objective_path_ : float64 array of shape (n_epochs_,)
        Loss along each epoch plus the divergence after it.
    n_epochs_ : int
    converged_ : bool
        The number of components did not change over the last quarter of the epochs, and three at least.
    n_stimuli_, ids_, n_trials_, n_dropped_
        As for :class:`SPoSE`.

    References
    ----------
    Muttenthaler, Zheng, McClure, Vandermeulen, Hebart & Pereira (2022), NeurIPS.

    Examples
    --------
    >>> from affectome.simulation import simulate_emotions
    >>> planted = simulate_emotions(n_stimuli=40, n_components=3, seed=0)
    >>> trials = planted.sample_answers(6_000, seed=1)
    >>> model = VICE(n_components=12, random_state=0).fit(trials)
    >>> model.n_components_, model.scale_.shape
    (3, (40, 3))
    """

    def __init__(
        self,
        n_components: int = 60,
        *,
        spike: float = 0.25,
        slab: float = 1.0,
        spike_share: float = 0.5,
        alpha: float = 0.05,
        min_stimuli: int = 5,
        learning_rate: float = 0.1,
        batch_size: int | None = None,
        n_epochs: int | None = None,
        init: tuple[float, float] = (0.3, 0.1),
        init_scale: float = 0.3,
        slot_offsets: tuple[float, float, float] | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.spike = spike
        self.slab = slab
        self.spike_share = spike_share
        self.alpha = alpha
        self.min_stimuli = min_stimuli
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.init = init
        self.init_scale = init_scale
        self.slot_offsets = slot_offsets
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(
        self,
        X: TripletSet | ArrayLike,
        y: ArrayLike | None = None,
        *,
        n_stimuli: int | None = None,
        progress: Progress | None = None,
    ) -> VICE:
        """Learn the posterior of the embedding.

        Parameters
        ----------
        X, y, n_stimuli
            As for :meth:`SPoSE.fit`: a TripletSet, or indices with choices or probabilities.
        progress : callable, optional
            Called after every epoch.
        """
        self._check_parameters()
        trials = as_trials(X, y, n_stimuli=n_stimuli, in_slots=self.slot_offsets is not None)
        if len(trials.triplets) == 0:
            raise InputError("there is no answered triplet to learn from", remedy="give trials with choices")
        engine = self._descend(trials, progress or silent)
        self.n_stimuli_ = trials.n_stimuli
        self.ids_ = X.ids if isinstance(X, TripletSet) else None
        self.n_trials_, self.n_dropped_ = len(trials.triplets), trials.n_dropped
        self._keep(engine)
        return self

    def predict_proba(
        self,
        X: TripletSet | ArrayLike,
        *,
        method: Literal["moments", "sampling"] = "moments",
        n_samples: int = 100,
        seed: int = 0,
    ) -> NDArray[np.float32]:
        """Posterior predictive probability that each slot is the odd one, shape (n_trials, 3), by content alone.

        Parameters
        ----------
        X
            TripletSet, or indices in the order shown.
        method
            ``"moments"``: deterministic, from the exact mean and variance of the similarities; ``"sampling"``: the mean
            over `n_samples` draws of all weights, from `seed`.
        """
        shown = self._checked_triplets(X)
        loc, scale = self.loc_.astype(np.float64), self.scale_.astype(np.float64)
        if method == "moments":
            return expected_probabilities(loc, scale, shown)
        if method != "sampling":
            raise InputError(f"method='{method}' is unknown", source="VICE", remedy="choose moments or sampling")
        if not is_count(n_samples):
            raise InputError(f"n_samples={n_samples!r} is no number of draws", source="VICE", remedy="give 1 or more")
        return sampled_probabilities(loc, scale, shown, n_samples=n_samples, seed=seed, n_jobs=self.n_jobs)

    def to_scale_space(self, ids: ArrayLike | None = None) -> pd.DataFrame:
        """The posterior standard deviations, under the names of :meth:`to_space`."""
        means = self.to_space(None if ids is None else [str(i) for i in np.asarray(ids)])
        return pd.DataFrame(self.scale_, index=means.index, columns=means.columns)

    def weight_intervals(
        self, X: TripletSet | ArrayLike | None = None, y: ArrayLike | None = None, *, level: float = 0.95
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lower and upper end of an interval for every weight, each of shape (n_stimuli, n_components_), at least 0.

        Parameters
        ----------
        X, y
            None: the credible intervals of the mean-field posterior. They are too narrow where the prior pulls large
            weights down and where the weights of a stimulus are correlated. The trials of the fit: intervals
            calibrated on them. The weights that are clearly above 0 are put where the likelihood is highest, the others
            held, which undoes the pull of the prior (all but that of a slab ten times as wide, for what no choice
            bounds); their width comes from the inverse Fisher information of those of one stimulus. The other weights
            keep the interval of the posterior. Probabilities are counted as one choice a trial: they know more, so that
            these intervals are then too wide.
        level : float
            Coverage they aim at; what they reach on planted weights is in docs/vice.md.
        """
        check_is_fitted(self)
        if not 0 < level < 1:
            raise InputError(f"level={level} makes no interval", source="VICE", remedy="use a number between 0 and 1")
        centre, width = self.loc_.astype(np.float64), self.scale_.astype(np.float64)
        if X is not None:
            self._same_stimuli(X)
            given = None if isinstance(X, TripletSet) else self.n_stimuli_
            trials = as_trials(X, y, n_stimuli=given, in_slots=self.slot_offsets is not None)
            if len(trials.triplets) == 0:
                raise InputError("there is no answered triplet to calibrate on", remedy="give the trials of the fit")
            centre, width = self._calibrated(trials, centre, width)
        reach = float(ndtri(0.5 + level / 2)) * width
        return np.maximum(centre - reach, 0).astype(np.float32), np.maximum(centre + reach, 0).astype(np.float32)

    def _check_parameters(self) -> None:
        pair = isinstance(self.init, (tuple, list)) and len(self.init) == 2
        good = {
            "n_components": is_count(self.n_components),
            "spike": is_size(self.spike, 1e-6),
            "slab": is_size(self.slab, 1e-6) and self.slab >= self.spike,
            "spike_share": is_size(self.spike_share, 1e-9) and self.spike_share < 1,
            "alpha": is_size(self.alpha, 1e-9) and self.alpha < 1,
            "min_stimuli": is_count(self.min_stimuli, 0),
            "learning_rate": is_size(self.learning_rate, 1e-30),
            "batch_size": self.batch_size is None or is_count(self.batch_size),
            "n_epochs": self.n_epochs is None or is_count(self.n_epochs),
            "init": pair and is_size(self.init[0], -np.inf) and is_size(self.init[1]),
            "init_scale": is_size(self.init_scale, 1e-6),
            "slot_offsets": is_offsets(self.slot_offsets),
            "n_jobs": self.n_jobs is None or self.n_jobs == -1 or is_count(self.n_jobs),
        }
        refuse_false(self, good)

    def _descend(self, trials: Trials, progress: Progress) -> VariationalEngine:
        """Anneal; leaves the paths and whether the number of components came to rest."""
        state = check_random_state(self.random_state)
        rng = np.random.default_rng(state.randint(0, 2**31 - 1, size=4))
        prior = Prior(self.spike, self.slab, self.spike_share)
        n_trials = len(trials.triplets)
        batch = min(self.batch_size or default_batch(n_trials), n_trials)
        epochs = self.n_epochs or 2 * default_epochs(n_trials)
        start = rng.normal(*self.init, (trials.n_stimuli, self.n_components)).astype(np.float32)
        engine = VariationalEngine(
            trials, start, scale=self.init_scale, prior=prior, offsets=centred_offsets(self.slot_offsets), rng=rng,
            batch=batch, n_jobs=self.n_jobs,
        )  # fmt: skip
        path: list[float] = []
        counts: list[int] = []
        for legs in annealing(n_trials, epochs, self.learning_rate, batch):
            if len(path) == epochs // 2:
                self._unite_halves(engine, prior, n_trials)
            engine.shuffle()
            loss = sum(engine.descend(leg) for leg in legs) / n_trials
            mean, scale = engine.weights.astype(np.float64), engine.scales.astype(np.float64)
            if not (np.isfinite(mean).all() and np.isfinite(scale).all() and scale.all()):
                raise InputError(
                    f"the weights grew beyond all numbers in epoch {len(path) + 1}",
                    source="VICE",
                    remedy="lower learning_rate",
                )
            draw = mean + scale * rng.standard_normal(mean.shape)
            density = -0.5 * ((draw - mean) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
            path.append(loss + float((density - prior.log_density(draw)).sum()) / n_trials)
            counts.append(int((supporting_stimuli(mean, scale, self.alpha) > self.min_stimuli).sum()))
            progress(len(path), epochs, detail=f"objective {path[-1]:.4f}, {counts[-1]} components")
        self.objective_path_, self.n_supported_path_ = np.array(path), np.array(counts)
        self.objective_, self.n_epochs_ = path[-1], epochs
        self.converged_ = len(set(counts[-max(_REST, round(_STABLE * epochs)) :])) == 1 and epochs >= _REST
        return engine

    def _unite_halves(self, engine: VariationalEngine, prior: Prior, n_trials: int) -> None:
        """Put two components together that are halves of one, where that lowers the objective; changes the means.

        A component x may as well be two, x cos(a) and x sin(a): their similarities add up to the same, and descent
        seldom leaves that valley. So where two look alike, the one that comes nearest to their similarities (their
        first singular vector) is tried in place of both. For halves of one that costs next to no loss, and spares the
        divergence of the second.
        """
        mean, scale = engine.weights, engine.scales.astype(np.float64)
        idle = divergence(np.zeros(1), np.full(1, prior.spike), prior)[0] * len(mean)
        refused: set[tuple[int, int]] = set()
        while True:
            centre = mean.astype(np.float64)
            weights = np.maximum(centre, 0)
            length = np.linalg.norm(weights, axis=0)
            carried = supporting_stimuli(centre, scale, self.alpha) > self.min_stimuli
            cosine = np.triu(weights.T @ weights / np.maximum(np.outer(length, length), 1e-30), 1)
            cosine *= np.outer(carried, carried)
            cosine[tuple(np.array(sorted(refused), int).reshape(-1, 2).T)] = 0
            i, j = (int(k) for k in np.unravel_index(cosine.argmax(), cosine.shape))
            if cosine[i, j] <= _ALIKE:
                return
            united = weights.copy()
            left, size, _ = np.linalg.svd(weights[:, [i, j]], full_matrices=False)
            united[:, i], united[:, j] = np.abs(left[:, 0]) * size[0], 0
            added = engine.value_and_gradient(united)[0] - engine.value_and_gradient(weights)[0]
            apart = divergence(centre[:, [i, j]], scale[:, [i, j]], prior).sum()
            together = divergence(united[:, i], scale[:, i], prior).sum() + idle
            if n_trials * added + together < apart:
                mean[:, i], mean[:, j] = united[:, i], 0
            else:
                refused.add((i, j))

    def _keep(self, engine: VariationalEngine) -> None:
        """Prune and sort."""
        mean, scale = engine.weights, engine.scales
        support = supporting_stimuli(mean.astype(np.float64), scale.astype(np.float64), self.alpha)
        weights = np.maximum(mean, 0)
        order = np.argsort(-weights.sum(axis=0, dtype=np.float64), kind="stable")
        kept = order[support[order] > self.min_stimuli]
        self.embedding_ = np.ascontiguousarray(weights[:, kept])
        self.loc_, self.scale_ = np.ascontiguousarray(mean[:, kept]), np.ascontiguousarray(scale[:, kept])
        self.support_, self.n_components_ = support[kept], len(kept)
        if self.n_components_ == 0:
            warnings.warn(
                f"No component is carried by more than min_stimuli={self.min_stimuli} stimuli: there are too few "
                "triplets, or nothing that the choices have in common.",
                ConvergenceWarning,
                stacklevel=3,
            )
        elif not self.converged_:
            warnings.warn(
                f"VICE ended while the number of components was still changing; allow more than "
                f"n_epochs={self.n_epochs_}.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _calibrated(
        self, trials: Trials, centre: NDArray[np.float64], width: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centre and width of the intervals, of weights clearly above 0 by the likelihood of `trials`."""
        sure = centre > _SURE * width
        if not sure.any():
            return centre, width
        precision = (_FLAT * self.slab) ** -2
        centre = centre.copy()
        centre[sure] = self._likeliest(trials, np.maximum(centre, 0), width, sure, precision)
        weights = np.maximum(centre, 0).astype(np.float32)
        information, width = self._information(trials, weights), width.copy()
        for i in np.flatnonzero(sure.any(axis=1)):
            own = sure[i]
            known = information[i][np.ix_(own, own)] + precision * np.eye(own.sum())
            width[i, own] = np.sqrt(np.maximum(np.diag(np.linalg.inv(known)), width[i, own] ** 2))
        return centre, width

    def _likeliest(
        self,
        trials: Trials,
        weights: NDArray[np.float64],
        unit: NDArray[np.float64],
        free: NDArray[np.bool_],
        precision: float,
    ) -> NDArray[np.float64]:
        """The free weights where the likelihood, times a normal of that precision, is highest; the others stay."""
        from scipy.optimize import minimize

        engine = KernelEngine(
            trials, weights.astype(np.float32), l1=0.0, offsets=centred_offsets(self.slot_offsets),
            rng=np.random.default_rng(0), batch=1, n_jobs=self.n_jobs,
        )  # fmt: skip
        n_trials, at, step = len(trials.triplets), weights.copy(), unit[free]

        def objective(moved: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            at[free] = weights[free] + step * moved  # in units of the deviations, so that all are of one size
            loss, gradient = engine.value_and_gradient(at)
            pull = precision * at[free]
            return n_trials * loss + 0.5 * float(pull @ at[free]), step * (n_trials * gradient[free] + pull)

        bounds = [(-weight / size, None) for weight, size in zip(weights[free], step, strict=True)]
        options = {"maxiter": _MOST_PASSES, "ftol": 1e-9, "gtol": 1e-3}
        with threadpool_limits(1, user_api="blas"):  # so that the bits do not depend on how many there are
            found = minimize(
                objective, np.zeros(len(step)), jac=True, method="L-BFGS-B", bounds=bounds, options=options
            )
        likeliest: NDArray[np.float64] = weights[free] + step * found.x
        return likeliest

    def _information(self, trials: Trials, weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """Fisher information of the trials about each stimulus, (n_stimuli, p, p)."""
        p = weights.shape[1]
        offsets = centred_offsets(self.slot_offsets)
        count = min(max(_ROOM // max(trials.n_stimuli * p * p, 1), 1), _PARTS)  # by the problem alone, never by threads
        parts = np.zeros((count, trials.n_stimuli, p, p))
        for start in range(0, len(trials.triplets), _CHUNK):
            rows = trials.triplets[start : start + _CHUNK]
            logit = slot_similarities(weights, rows, n_jobs=self.n_jobs) + offsets
            shares = np.exp(logit - logit.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            with kernel_threads(self.n_jobs):
                information_blocks(weights, rows, shares, parts)
        together: NDArray[np.float64] = parts.sum(axis=0)
        return together
