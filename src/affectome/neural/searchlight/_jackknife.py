"""How certain a score is, and whether two spaces score differently: the infinitesimal jackknife over stimuli."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectome._resampling import check_level, false_discovery_rate
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.searchlight._pearson import PearsonSums

__all__ = [
    "JackknifedScores",
    "ScoreDifferences",
    "influence_of_correlations",
    "jackknife",
    "jackknife_covariance",
    "partial_influence",
    "score_differences",
    "score_intervals",
    "score_p",
]

Floats = NDArray[np.float64]

_SAME = 1e-7  # standard error, of numbers of order 1, below which two scores are one


@dataclass(frozen=True, eq=False)
class JackknifedScores:
    """Scores of centres and spaces, and how they vary over stimuli.

    Attributes
    ----------
    models : tuple of str
    scores : float64 array of shape (n_centres, n_models)
        r, or the partial r of the models that have controls; NaN where undefined.
    covariances : float64 array of shape (n_centres, n_models, n_models)
        Of the scores of a centre: the squared standard error of one is the element (s, s), that of a difference
        (s, s) + (t, t) - 2 (s, t).
    n_units : int
        Stimuli, or runs, that were taken as independent.
    """

    models: tuple[str, ...]
    scores: Floats
    covariances: Floats
    n_units: int

    @property
    def standard_errors(self) -> Floats:
        """(n_centres, n_models)."""
        errors: Floats = np.sqrt(np.einsum("css->cs", self.covariances))
        return errors


@dataclass(frozen=True, eq=False)
class ScoreDifferences:
    """Differences of two spaces in every centre.

    Attributes
    ----------
    pairs : tuple of (str, str)
        The score of the first minus that of the second.
    difference, standard_error, low, high, p, q : float64 arrays of shape (n_centres, n_pairs)
        p two-sided; q by Benjamini-Hochberg over the centres, for each pair by itself.
    n_units : int
    level : float
    """

    pairs: tuple[tuple[str, str], ...]
    difference: Floats
    standard_error: Floats
    low: Floats
    high: Floats
    p: Floats
    q: Floats
    n_units: int
    level: float


def jackknife(
    sums: PearsonSums,
    *,
    controls: Mapping[str, Sequence[str]] | None = None,
    groups: NDArray[np.intp] | None = None,
) -> JackknifedScores:
    r"""Standard errors and covariances of the scores of every centre.

    Parameters
    ----------
    sums : PearsonSums
        Made with ``per_stimulus=True``.
    controls : mapping from model to models, optional
        Those named are scored by their partial correlation with the brain given these others.
    groups : intp array of shape (n,), optional
        Run of each stimulus: whole runs are taken as the independent units, since what a run adds to all its responses
        makes its stimuli vary together. By default single stimuli.

    Returns
    -------
    JackknifedScores

    Notes
    -----
    **What is resampled.** Nothing: with weight w_i on stimulus i, each pair weighing w_i w_j, the influence of i is the
    derivative of the score at equal weights. With g and h of mean 0 and m ordered pairs that count,

    .. math:: I_i(r) = \frac{2}{m} \Big[ \frac{\sum_j g_{ij} h_{ij}}{s_g s_h}
              - \frac{r}{2} \Big( \frac{\sum_j g_{ij}^2}{s_g^2} + \frac{\sum_j h_{ij}^2}{s_h^2} \Big) \Big],

    sums over the stimuli that count with i. Those of a partial correlation follow by the chain rule. The covariance of
    two scores is n / (n - 1) times the sum of the products of their influences.

    **What it speaks of:** other stimuli of the same kind, independent of one another; one person, and spaces as they
    are. Nothing within runs is assumed, but runs beyond the pairs left out: noise that a run shares makes the stimuli
    of a run depend on one another, and `groups` are for that (they need 20 runs or so to be even).

    Where nothing is related at all (r = 0 and no stimulus has an influence of first order), the standard error is too
    large, by a factor of up to sqrt 2: conservative.

    Examples
    --------
    >>> from affectome.neural.searchlight import ModelGeometry, Neighbourhoods, Patterns
    >>> from affectome.neural.searchlight._pearson import pearson_sums
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(60, 4))
    >>> brain = (truth @ rng.normal(size=(4, 20)) + rng.normal(size=(60, 20))).astype(np.float32)
    >>> patterns = Patterns("sub-01", tuple(f"s{i}" for i in range(60)), brain, np.arange(60) // 6)
    >>> sphere = Neighbourhoods(np.array([0, 20]), np.arange(20, dtype=np.int32))
    >>> models = [ModelGeometry("truth", "dot", truth), ModelGeometry("other", "dot", rng.normal(size=(60, 4)))]
    >>> scores = jackknife(pearson_sums(patterns, sphere, models, metric="sqeuclidean", per_stimulus=True))
    >>> found = score_differences(scores, [("truth", "other")])
    >>> bool(found.p[0, 0] < 0.001), bool(found.low[0, 0] > 0)
    (True, True)
    """
    if len(sums.stimuli) != len(sums):
        raise InputError(
            "the sums of single stimuli were not kept, and without them nothing can be jackknifed",
            remedy="ask for the sums with per_stimulus=True",
        )
    n_models, m = len(sums.models), 2.0 * sums.n_pairs
    model_products = sums.model_stimuli.products
    model_r, between = influence_of_correlations(model_products, m)
    sets = _control_sets(sums.models, controls or {})
    scores = np.full((len(sums), n_models), np.nan)
    covariances = np.full((len(sums), n_models, n_models), np.nan)
    n_units = len(sums.degree) if groups is None else len(np.unique(groups))
    own = np.einsum("ssi->si", model_products)
    for c, stimuli in enumerate(sums.stimuli):
        if not sums.defined[c]:
            continue
        r, influence = _influence(stimuli.products, stimuli.squares, own, m)
        values, moved = r.copy(), influence.copy()
        for target, given in sets.items():
            values[target], moved[target] = partial_influence(r, influence, model_r, between, target, given)
        scores[c], covariances[c] = values, jackknife_covariance(moved, groups)
    return JackknifedScores(sums.models, scores, covariances, n_units)


def _influence(products: Floats, first: Floats, second: Floats, m: float) -> tuple[Floats, Floats]:
    """Correlation and its influences (..., n), from sums per stimulus of g h, g^2 and h^2."""
    one, two = first.sum(axis=-1) / m, second.sum(axis=-1) / m
    scale = np.sqrt(one * two)
    r = products.sum(axis=-1) / m / scale
    parts = first / one[..., None] + second / two[..., None]
    influence: Floats = 2 / m * (products / scale[..., None] - r[..., None] / 2 * parts)
    return r, influence


def influence_of_correlations(products: Floats, m: float) -> tuple[Floats, Floats]:
    """Correlations of several geometries with each other, and the influences of the stimuli on them.

    Parameters
    ----------
    products : array of shape (n_geometries, n_geometries, n)
        ``sum_j g_ij h_ij`` of geometries of mean 0, per stimulus, over the pairs that count.
    m
        Ordered pairs that count.

    Returns
    -------
    r : array of shape (n_geometries, n_geometries)
    influence : array of shape (n_geometries, n_geometries, n)
    """
    own = np.einsum("ssi->si", products)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _influence(products, own[:, None], own[None], m)


def _control_sets(models: Sequence[str], controls: Mapping[str, Sequence[str]]) -> dict[int, list[int]]:
    for name, given in controls.items():
        unknown = [one for one in [name, *given] if one not in models]
        if unknown:
            raise InputError(
                f"there is no model '{unknown[0]}' to control with", remedy=f"choose among {cut_short(models)}"
            )
        if name in given:
            raise InputError("a model cannot be its own control", source=name, remedy="leave it out of its controls")
    place = {name: k for k, name in enumerate(models)}
    return {place[name]: [place[one] for one in given] for name, given in controls.items() if given}


def partial_influence(
    r: Floats, influence: Floats, model_r: Floats, between: Floats, target: int, given: Sequence[int]
) -> tuple[float, Floats]:
    """The partial correlation of the brain with a model given others, and its influences.

    Parameters
    ----------
    r, influence : arrays of shape (n_models,) and (n_models, n)
        Of the brain with every model.
    model_r, between : arrays of shape (n_models, n_models) and (n_models, n_models, n)
        Of the models with each other.
    target
        The model.
    given
        The models held constant.

    Returns
    -------
    partial : float
        NaN where the others leave nothing of the model.
    influence : array of shape (n,)
    """
    models = [target, *given]
    size, n = len(models) + 1, influence.shape[-1]
    correlations, moved = np.eye(size), np.zeros((size, size, n))
    correlations[0, 1:] = correlations[1:, 0] = r[models]
    correlations[1:, 1:] = model_r[np.ix_(models, models)]
    moved[0, 1:] = moved[1:, 0] = influence[models]
    moved[1:, 1:] = between[np.ix_(models, models)]
    if np.linalg.cond(correlations) > 1e10:
        return np.nan, np.full(n, np.nan)
    precision = np.linalg.inv(correlations)
    top = precision[:2]
    change = -np.einsum("ac,cdi,bd->abi", top, moved, top)  # of the inverse
    scale = 1 / np.sqrt(precision[0, 0] * precision[1, 1])
    partial = -precision[0, 1] * scale
    spread = change[0, 0] / precision[0, 0] + change[1, 1] / precision[1, 1]
    return float(partial), -change[0, 1] * scale - partial / 2 * spread


def jackknife_covariance(influence: Floats, groups: NDArray[np.intp] | None = None) -> Floats:
    """Covariances (n_scores, n_scores) that influences (n_scores, n) of independent stimuli, or groups, add up to.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 6.0])  # the influences of a mean: its squared standard error
    >>> bool(np.isclose(jackknife_covariance((x - x.mean())[None] / 3)[0, 0], x.var(ddof=1) / 3))
    True
    """
    if groups is not None:
        codes = np.unique(groups, return_inverse=True)[1]
        influence = np.stack([np.bincount(codes, row) for row in influence])
    n = influence.shape[1]
    if n < 2:
        raise InputError("one unit has no spread", remedy="give at least two stimuli, or runs")
    covariance: Floats = influence @ influence.T * (n / (n - 1))
    return covariance


def score_intervals(scores: JackknifedScores, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Intervals of scores that are correlations, (n_centres, n_models) each.

    Symmetric in Fisher z, with a t quantile at n_units - 1 degrees of freedom; over stimuli, as :func:`jackknife`
    says. They hold for one centre and space: nothing is corrected over centres.

    Examples
    --------
    >>> low, high = score_intervals(JackknifedScores(("m",), np.array([[0.5]]), np.array([[[0.01]]]), 100))
    >>> round(float(low[0, 0]), 3), round(float(high[0, 0]), 3)
    (0.277, 0.672)
    """
    from scipy import special

    check_level(level)
    z = np.arctanh(np.clip(scores.scores, -1, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = special.stdtrit(scores.n_units - 1, (1 + level) / 2) * scores.standard_errors / (1 - scores.scores**2)
    return np.tanh(z - reach), np.tanh(z + reach)


def score_p(scores: JackknifedScores) -> Floats:
    """One-sided p that a score is not above 0, (n_centres, n_models).

    **Null:** no relation, over stimuli of this kind; nothing is permuted. t in Fisher z with n_units - 1 degrees of
    freedom, so that p is below (1 - level) / 2 where the interval of :func:`score_intervals` lies above 0.

    Examples
    --------
    >>> scores = JackknifedScores(("m",), np.array([[0.5], [0.0]]), np.full((2, 1, 1), 0.01), 100)
    >>> score_p(scores).round(6).ravel().tolist()
    [3.9e-05, 0.5]
    """
    from scipy import special

    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.arctanh(np.clip(scores.scores, -1, 1)) * (1 - scores.scores**2) / scores.standard_errors
    p: Floats = special.stdtr(scores.n_units - 1, -t)
    return p


def score_differences(
    scores: JackknifedScores, pairs: Sequence[tuple[str, str]], *, level: float = 0.95
) -> ScoreDifferences:
    """Test whether two spaces score differently, centre by centre.

    Parameters
    ----------
    scores : JackknifedScores
        Of :func:`jackknife`, or made of Spearman scores and their covariances.
    pairs
        Names of two models each: is the first score larger than the second?
    level
        Coverage of the intervals.

    Returns
    -------
    ScoreDifferences

    Notes
    -----
    **Null:** both spaces are equally related to the brain, over stimuli of this kind; they may well be related.
    Nothing is permuted (permuted stimuli would test that both are unrelated). t = difference / standard error, the
    spaces' common stimuli being in the covariance, with n_units - 1 degrees of freedom, two-sided. **Interval:**
    difference -+ t quantile x standard error, over stimuli. **Correction:** Benjamini-Hochberg over the centres, for
    each pair by itself.

    A space and its own copy differ by nothing, with p = 1.

    Examples
    --------
    >>> same = JackknifedScores(("a", "b"), np.array([[0.3, 0.1]]), np.array([[[0.01, 0.0], [0.0, 0.01]]]), 101)
    >>> found = score_differences(same, [("a", "b")])
    >>> round(float(found.p[0, 0]), 3)
    0.16
    """
    from scipy import special

    check_level(level)
    first, second = _places(scores.models, pairs)
    difference = scores.scores[:, first] - scores.scores[:, second]
    variances = np.einsum("css->cs", scores.covariances)
    covered = variances[:, first] + variances[:, second] - 2 * scores.covariances[:, first, second]
    error = np.sqrt(np.maximum(covered, 0))
    freedom = scores.n_units - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * special.stdtr(freedom, -np.abs(difference) / error)
    same = error < _SAME
    p = np.where(same, np.where(np.abs(difference) < _SAME, 1.0, np.nan), p)
    reach = special.stdtrit(freedom, (1 + level) / 2) * error
    q = np.stack([false_discovery_rate(column) for column in p.T], axis=1) if pairs else p
    return ScoreDifferences(
        pairs=tuple((a, b) for a, b in pairs),
        difference=difference, standard_error=error, low=difference - reach, high=difference + reach, p=p, q=q,
        n_units=scores.n_units, level=level,
    )  # fmt: skip


def _places(models: Sequence[str], pairs: Sequence[tuple[str, str]]) -> tuple[list[int], list[int]]:
    for pair in pairs:
        for name in pair:
            if name not in models:
                raise InputError(f"there is no model '{name}' to compare", remedy=f"choose among {cut_short(models)}")
        if pair[0] == pair[1]:
            raise InputError("a model is compared with itself", source=pair[0], remedy="name two models")
    place = {name: k for k, name in enumerate(models)}
    return [place[a] for a, _ in pairs], [place[b] for _, b in pairs]
