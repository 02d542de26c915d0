"""Which ratings a space predicts, how much of a space the ratings hold, and what one space lacks beside another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from affectome._groups import assign_folds, check_folds, group_codes, group_sums, jackknife_variance, permuted_groups
from affectome._progress import Progress, silent
from affectome._resampling import (
    check_level,
    check_permutations,
    false_discovery_rate,
    needed_permutations,
    permutation_p,
    warn_of_resolution,
)
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation._correlations import rating_labels
from affectome.interpretation._partition import fitting_noise
from affectome.interpretation._ridge import ALPHAS, Band, FoldedRidge
from affectome.spaces import align

__all__ = ["PredictionComparison", "RatingPrediction", "compare_predictions", "predict_ratings"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_TARGETS = 768  # permuted targets solved at once: they stay in the cache


@dataclass(frozen=True, eq=False)
class RatingPrediction:
    """How well a space predicts ratings, and ratings the space.

    Attributes
    ----------
    ratings : DataFrame, index ratings
        ``family``; ``n_rated`` (stimuli whose value is not the commonest one); held-out ``r`` and ``r2``, each with
        ``_low`` and ``_high``; ``p`` and ``q``. Undefined (NaN) for a rating that too few stimuli have.
    components : DataFrame, index components
        The same of each component predicted from all ratings together, without a family.
    predicted : DataFrame of shape (n_stimuli, n_ratings)
        Held-out predictions, averaged over repeats.
    level : float
    n_stimuli, n_folds, n_repeats, n_permutations : int
    """

    ratings: pd.DataFrame
    components: pd.DataFrame
    predicted: pd.DataFrame
    level: float
    n_stimuli: int
    n_folds: int
    n_repeats: int
    n_permutations: int


@dataclass(frozen=True, eq=False)
class PredictionComparison:
    """What systems predict of each rating, beside a reference system.

    Attributes
    ----------
    table : DataFrame, index (rating, system)
        ``family``, ``n_rated``, held-out ``r``, ``r_low``, ``r_high``, ``q`` (better than chance);
        ``difference`` from the reference in r with ``difference_low`` and ``difference_high`` (paired);
        ``p_margin`` and ``q_margin`` of being worse than the reference by more than the margin; ``lacking``.
    lacking : DataFrame of bool, ratings x systems
        Where a system lacks what the reference has; the reference itself lacks nothing.
    predictions : mapping from system to RatingPrediction
    reference : str
    margin, alpha, level : float
    n_stimuli : int
    """

    table: pd.DataFrame
    lacking: pd.DataFrame
    predictions: Mapping[str, RatingPrediction]
    reference: str
    margin: float
    alpha: float
    level: float
    n_stimuli: int


@dataclass(frozen=True, eq=False)
class _Scores:
    """Held-out scores of T targets (T,), and what their intervals need."""

    r: Floats
    r2: Floats
    r_without: Floats  # (n_groups, T), each group left out
    r_noise: Floats  # what the noise of the fits adds to the variance of r
    z_variance: Floats  # of Fisher's z of r
    log_variance: Floats  # of log(1 - R2)
    predicted: Floats
    n_rated: Places


@dataclass(frozen=True)
class _Settings:
    n_folds: int
    n_repeats: int
    n_permutations: int
    level: float


def predict_ratings(
    space: pd.DataFrame,
    ratings: Mapping[str, pd.DataFrame],
    *,
    n_folds: int = 5,
    n_repeats: int = 5,
    n_permutations: int = 1000,
    level: float = 0.95,
    groups: Mapping[str, object] | None = None,
    exclude: Sequence[str] = (),
    seed: int,
    progress: Progress = silent,
) -> RatingPrediction:
    """Predict every rating from a space, and every component from the ratings, by cross-validated ridge.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    ratings : mapping from family ("category", "dimension", ...) to DataFrame
        Over the same stimuli. A rating name that two families share is written ``"family: name"``.
    n_folds, n_repeats
        Scores are pooled over folds and averaged over repeats with other folds. The penalty of each target is chosen
        on the training folds (nested); standardisation is done on them alone.
    n_permutations
        Of the test. A warning says how many are needed where no q can fall below .05 with these.
    level
        Of the intervals.
    groups : mapping from id to group
        Stimuli of one group (a clip and its copy) never lie on both sides of a split and count as one in intervals.
        Without it, or `exclude`, duplicated clips leak from training to test.
    exclude
        Ids to leave out.
    seed

    Returns
    -------
    RatingPrediction

    Notes
    -----
    r: Pearson correlation of held-out predictions, about the training mean of their fold, with the ratings; R2: 1 -
    squared error / squared error of the training mean, which is below 0 for a prediction worse than that.

    Test: null, rating and space are independent over stimuli. Stimuli of the targets are permuted (whole groups among
    those of equal size), and folds, nested choice of the penalty, fit and held-out R2 are done again; p = (b + 1) /
    (B + 1) of the R2 of the first repeat, one-sided; Benjamini-Hochberg over ratings, and apart over components.

    Interval: jackknife over stimuli (groups) with the fits fixed and a second-order term for the noise of the fits;
    Fisher z for r, log(1 - R2) for R2. It speaks of these fits on other stimuli of the same kind. For fewer than
    about a thousand stimuli and r below .3 it is somewhat too narrow (91% for 95% at 400 stimuli).

    A rating that fewer than two stimuli per fold have is undefined. There is no ceiling: split-half ratings are not
    published, so that a low r may be the raters' and not the space's.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k}" for k in range(200)]
    >>> space = pd.DataFrame(rng.gamma(0.5, size=(200, 3)), ids, ["a", "b", "c"])
    >>> joy = space["a"] + rng.normal(scale=0.1, size=200)
    >>> ratings = {"category": pd.DataFrame({"Joy": joy, "Awe": rng.normal(size=200)})}
    >>> got = predict_ratings(space, ratings, n_permutations=99, seed=0)
    >>> got.ratings["r"].round(1).tolist()[0], (got.ratings["q"] < 0.05).tolist()
    (1.0, [True, False])
    """
    from threadpoolctl import threadpool_limits

    settings = _checked(n_folds, n_repeats, n_permutations, level)
    (space,), rated, labels, family = _aligned({"the space": space}, ratings, exclude)
    group = group_codes(space.index.tolist(), groups)
    check_folds(len(group), n_folds, n_repeats)
    with threadpool_limits(1):  # the matrices are small: threads of a BLAS would wait for one another
        found = _predict(space, rated, labels, family, group, settings, seed, progress)[0]
    _warn_of_resolution([found.ratings, found.components], n_permutations)
    return found


def compare_predictions(
    spaces: Mapping[str, pd.DataFrame],
    ratings: Mapping[str, pd.DataFrame],
    *,
    reference: str,
    margin: float = 0.05,
    alpha: float = 0.05,
    n_folds: int = 5,
    n_repeats: int = 5,
    n_permutations: int = 1000,
    level: float = 0.95,
    groups: Mapping[str, object] | None = None,
    exclude: Sequence[str] = (),
    seed: int,
    progress: Progress = silent,
) -> PredictionComparison:
    """Compare systems in what they predict of each rating: which emotions does one lack that a reference has?

    Parameters
    ----------
    spaces : mapping from system to DataFrame of shape (n_stimuli, n_components)
        At least two, over the same stimuli; all use the same folds.
    ratings
        As in :func:`predict_ratings`.
    reference
        The system that the others are held against. It is named and not the best of each rating: a maximum chosen by
        the same data would make the others look worse than they are.
    margin
        In r: worse than the reference by no more than this is no lack.
    alpha
        Bound on q.
    n_folds, n_repeats, n_permutations, level, groups, exclude, seed
        As in :func:`predict_ratings`.

    Returns
    -------
    PredictionComparison

    Notes
    -----
    A system lacks a rating that the reference predicts better than chance where it predicts it worse by more than
    `margin` (null: difference >= -margin; one-sided normal test; q < `alpha`, Benjamini-Hochberg over ratings x other
    systems). That its own prediction is not shown to be better than chance is no lack: of two systems that predict
    weakly and equally well, one often passes that test and the other does not. The interval of the difference is
    paired: every stimulus is left out of both at once.

    Where the reference was made from these ratings (a space of choices simulated from them) its own r is circular,
    and a lack says only that the other system is not those ratings.
    """
    from threadpoolctl import threadpool_limits

    settings = _checked(n_folds, n_repeats, n_permutations, level)
    if reference not in spaces:
        raise InputError(
            f"the reference '{reference}' is not among the systems ({cut_short(list(spaces)) or 'there are none'})",
            remedy="name one of them",
        )
    if margin < 0 or not 0 < alpha < 1:
        raise InputError(f"margin={margin} and alpha={alpha} make no rule", remedy="use margin >= 0 and 0 < alpha < 1")
    aligned, rated, labels, family = _aligned(spaces, ratings, exclude)
    group = group_codes(aligned[0].index.tolist(), groups)
    check_folds(len(group), n_folds, n_repeats)
    found: dict[str, tuple[RatingPrediction, _Scores]] = {}
    with threadpool_limits(1):
        for k, (name, space) in enumerate(zip(spaces, aligned, strict=True)):

            def told(done: int, total: int, /, *, detail: str = "", k: int = k, name: str = name) -> None:
                progress(k * total + done, len(spaces) * total, detail=name)

            found[name] = _predict(space, rated, labels, family, group, settings, seed, told)
    _warn_of_resolution([prediction.ratings for prediction, _ in found.values()], n_permutations, alpha)
    table = _differences(found, reference, margin, alpha, level)
    lacking = table["lacking"].unstack("system").loc[labels, list(spaces)]
    predictions = {name: prediction for name, (prediction, _) in found.items()}
    return PredictionComparison(
        table, lacking, predictions, reference, float(margin), float(alpha), float(level), len(group)
    )


def _checked(n_folds: int, n_repeats: int, n_permutations: int, level: float) -> _Settings:
    check_level(level)
    check_permutations(n_permutations)
    return _Settings(n_folds, n_repeats, n_permutations, level)


def _warn_of_resolution(tables: Sequence[pd.DataFrame], n_permutations: int, alpha: float = 0.05) -> None:
    """One warning, of the table that needs most."""
    tested = [table["p"].to_numpy(np.float64) for table in tables]
    most = max(tested, key=lambda p: needed_permutations(p, n_permutations, alpha))
    warn_of_resolution(most, n_permutations, alpha, of="the predictions")


def _aligned(
    spaces: Mapping[str, pd.DataFrame], ratings: Mapping[str, pd.DataFrame], exclude: Sequence[str]
) -> tuple[list[pd.DataFrame], Floats, list[str], list[str]]:
    """The spaces over the same stimuli, all ratings side by side, their labels and families."""
    if not ratings:
        raise InputError("there are no ratings to predict", remedy="give at least one rating space")
    empty = [name for name, space in spaces.items() if space.shape[1] == 0]
    if empty:
        raise InputError("the space has no components", source=empty[0], remedy="fit it with a smaller l1")
    left_out = {str(i) for i in exclude}
    frames = [frame[[str(i) not in left_out for i in frame.index]] for frame in (*spaces.values(), *ratings.values())]
    aligned = align(*frames, names=[*spaces, *ratings]).spaces
    rated = aligned[len(spaces) :]
    labels, family = rating_labels(dict(zip(ratings, rated, strict=True)))
    return list(aligned[: len(spaces)]), np.hstack([frame.to_numpy(np.float64) for frame in rated]), labels, family


def _predict(
    space: pd.DataFrame,
    rated: Floats,
    labels: list[str],
    family: list[str],
    group: Places,
    settings: _Settings,
    seed: int,
    progress: Progress,
) -> tuple[RatingPrediction, _Scores]:
    weights = space.to_numpy(np.float64)
    total = 2 * settings.n_permutations
    tables, kept = [], []
    directions = ((weights, rated, labels), (rated, weights, [str(name) for name in space.columns]))
    for k, (x, y, names) in enumerate(directions):
        # The same seeds for every space: systems are compared on the same folds and permutations.
        by_fold, by_permutation = np.random.SeedSequence(seed, spawn_key=(k,)).spawn(2)
        scores = _score(x, y, group, settings, np.random.default_rng(by_fold))

        def told(done: int, _: int, /, *, detail: str = "", k: int = k) -> None:
            progress(k * settings.n_permutations + done, total, detail=detail)

        p = _permutation_test(x, y, group, settings, by_fold, by_permutation, told)
        p[np.isnan(scores.r)] = np.nan
        tables.append(_table(scores, p, pd.Index(names, name=("rating", "component")[k]), settings.level))
        kept.append(scores)
    tables[0].insert(0, "family", family)
    prediction = RatingPrediction(
        ratings=tables[0],
        components=tables[1],
        predicted=pd.DataFrame(kept[0].predicted, index=space.index, columns=labels),
        level=float(settings.level),
        n_stimuli=len(weights),
        n_folds=settings.n_folds,
        n_repeats=settings.n_repeats,
        n_permutations=settings.n_permutations,
    )
    return prediction, kept[0]


def _ridge(x: Floats, group: Places, n_folds: int, rng: np.random.Generator) -> FoldedRidge:
    band = Band(np.arange(x.shape[1]), np.ones(x.shape[1]))
    return FoldedRidge(x, assign_folds(group, n_folds, rng), [band], ALPHAS)


def _score(x: Floats, y: Floats, group: Places, settings: _Settings, rng: np.random.Generator) -> _Scores:
    """Held-out r and R2 of every column of y predicted from x."""
    n, n_targets = y.shape
    m = int(group.max()) + 1
    r, product = np.zeros(n_targets), np.zeros(n_targets)
    r_without, z_without = np.zeros((m, n_targets)), np.zeros((m, n_targets))
    loss, whole, mean = np.zeros((n, n_targets)), np.zeros((n, n_targets)), np.zeros((n, n_targets))
    n_rated = np.array([n - np.unique(column, return_counts=True)[1].max() for column in y.T])
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(settings.n_repeats):
            ridge = _ridge(x, group, settings.n_folds, rng)
            predicted, baseline = ridge.predict(y, [0]), ridge.baseline(y)
            once, without, squares = _correlations(predicted - baseline, y, group)
            r += once
            r_without += without
            z_without += np.arctanh(without)
            product += squares
            loss += (y - predicted) ** 2
            whole += (y - baseline) ** 2
            mean += predicted
        for part in (r, product, r_without, z_without, loss, whole, mean):
            part /= settings.n_repeats
        noise = fitting_noise(x, np.empty((n, 0)), y - mean, group)
        left, total = group_sums(loss, group), group_sums(whole, group)
        lost = left.sum(axis=0), total.sum(axis=0)
        log_without = np.log((lost[0] - left) / (lost[1] - total))
        # `noise` is the variance of 2 sum(error * noise of the fit): a quarter of it is that of the sum itself.
        r_noise = noise / 4 / product
        z_variance = jackknife_variance(z_without) + r_noise / (1 - r**2) ** 2
        log_variance = jackknife_variance(log_without) + noise / lost[0] ** 2
        r2 = 1 - lost[0] / lost[1]
    undefined = n_rated < 2 * settings.n_folds
    for part in (r, r2):
        part[undefined] = np.nan
    return _Scores(r, r2, r_without, r_noise, z_variance, log_variance, mean, n_rated)


def _correlations(x: Floats, y: Floats, group: Places) -> tuple[Floats, Floats, Floats]:
    """Correlation of each column of x with that of y (T,), without each group (n_groups, T), and sum x^2 times sum y^2.

    Held-out predictions come about the training mean of their fold: that mean falls where the mean of the fold rises,
    which would pull the correlation over all folds down.
    """
    u, v = x - x.mean(axis=0), y - y.mean(axis=0)
    terms = [group_sums(part, group) for part in (u, v, u * u, v * v, u * v)]
    size = group_sums(np.ones((len(x), 1)), group)

    def correlation(n: Floats | int, su: Floats, sv: Floats, uu: Floats, vv: Floats, uv: Floats) -> Floats:
        r: Floats = (uv - su * sv / n) / np.sqrt((uu - su**2 / n) * (vv - sv**2 / n))
        return np.clip(r, -1, 1)

    sums = [part.sum(axis=0) for part in terms]
    without = [total - part for total, part in zip(sums, terms, strict=True)]
    return correlation(len(x), *sums), correlation(len(x) - size, *without), sums[2] * sums[3]


def _permutation_test(
    x: Floats,
    y: Floats,
    group: Places,
    settings: _Settings,
    by_fold: np.random.SeedSequence,
    by_permutation: np.random.SeedSequence,
    progress: Progress,
) -> Floats:
    """One-sided p (T,) of the held-out R2 of the first repeat."""
    ridge = _ridge(x, group, settings.n_folds, np.random.default_rng(by_fold))
    sorted_group = group[ridge.order]
    target = y[ridge.order] - y.mean(axis=0)
    spread = target.std(axis=0)
    target /= np.where(spread > 0, spread, 1.0)
    observed = ridge.r2(target)
    rng = np.random.default_rng(by_permutation)
    null = np.empty((settings.n_permutations, y.shape[1]))
    batch = max(1, _TARGETS // y.shape[1])
    for start in range(0, len(null), batch):
        rows = slice(start, min(len(null), start + batch))
        orders = np.array([permuted_groups(sorted_group, rng) for _ in range(rows.stop - rows.start)])
        drawn = target[orders.T].reshape(len(target), -1)
        null[rows] = ridge.r2(drawn).reshape(-1, y.shape[1])
        progress(rows.stop, len(null), detail="permutations")
    return permutation_p(observed, null)


def _table(scores: _Scores, p: Floats, names: pd.Index, level: float) -> pd.DataFrame:
    reach = float(stats.norm.ppf((1 + level) / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        z, half = np.arctanh(scores.r), reach * np.sqrt(scores.z_variance)
        left, wide = 1 - scores.r2, reach * np.sqrt(scores.log_variance)
        columns = {
            "n_rated": scores.n_rated,
            "r": scores.r,
            "r_low": np.tanh(z - half),
            "r_high": np.tanh(z + half),
            "r2": scores.r2,
            "r2_low": 1 - left * np.exp(wide),
            "r2_high": 1 - left * np.exp(-wide),
            "p": p,
            "q": false_discovery_rate(p),
        }
    return pd.DataFrame(columns, index=names)


def _differences(
    found: Mapping[str, tuple[RatingPrediction, _Scores]], reference: str, margin: float, alpha: float, level: float
) -> pd.DataFrame:
    """The long table of every rating and system."""
    reach = float(stats.norm.ppf((1 + level) / 2))
    base = found[reference][1]
    known = (found[reference][0].ratings["q"] < alpha).to_numpy()
    parts = []
    for name, (prediction, scores) in found.items():
        part = prediction.ratings[["family", "n_rated", "r", "r_low", "r_high", "q"]].copy()
        difference = scores.r - base.r
        variance = jackknife_variance(scores.r_without - base.r_without) + scores.r_noise + base.r_noise
        spread = np.sqrt(variance)
        part["difference"] = difference
        part["difference_low"], part["difference_high"] = difference - reach * spread, difference + reach * spread
        with np.errstate(invalid="ignore", divide="ignore"):
            part["p_margin"] = stats.norm.cdf((difference + margin) / spread)
        if name == reference:
            part[["difference", "difference_low", "difference_high", "p_margin"]] = np.nan
        part["system"] = name
        parts.append(part.reset_index())
    table = pd.concat(parts, ignore_index=True)
    table["q_margin"] = false_discovery_rate(table["p_margin"].to_numpy())
    other = (table["system"] != reference).to_numpy()
    table["lacking"] = other & np.tile(known, len(found)) & (table["q_margin"] < alpha).to_numpy()
    return table.set_index(["rating", "system"])
