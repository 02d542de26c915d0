"""The free-response terms that go with a component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._resampling import (
    check_level,
    check_permutations,
    false_discovery_rate,
    permutation_p,
    warn_of_resolution,
)
from affectome._seeds import named_seed
from affectome.errors import InputError
from affectome.interpretation._correlations import correlate_components, unit_columns
from affectome.interpretation._words import least_stimuli
from affectome.spaces import align

__all__ = ["TermCorrelations", "term_correlations"]


@dataclass(frozen=True, eq=False)
class TermCorrelations:
    """Correlation of every component with every free-response term.

    Attributes
    ----------
    r : DataFrame of shape (n_components, n_terms)
        Pearson correlation over stimuli.
    ci_low, ci_high : DataFrame
        Of r over stimuli, the studentised jackknife of :func:`correlate_components`. For terms that only a few stimuli
        were given it falls short of its level.
    p : DataFrame
        Two-sided: (b + 1) / (B + 1), b the permutations of stimuli whose |r| reached the observed. The null: the
        component has nothing to do with the terms. Both are far too skewed for a t-test.
    q : DataFrame
        p after Benjamini-Hochberg over all components and terms of the table.
    n_stimuli : Series of int, index terms
        Stimuli that were given the term.
    left_out : tuple of str
        Terms that too few stimuli were given.
    n_permutations : int
    """

    r: pd.DataFrame
    ci_low: pd.DataFrame
    ci_high: pd.DataFrame
    p: pd.DataFrame
    q: pd.DataFrame
    n_stimuli: pd.Series[int]
    left_out: tuple[str, ...]
    n_permutations: int


def term_correlations(
    space: pd.DataFrame,
    terms: pd.DataFrame,
    *,
    min_stimuli: int | None = None,
    n_permutations: int = 1000,
    level: float = 0.95,
    seed: int,
    progress: Progress = silent,
) -> TermCorrelations:
    """Correlate every component with free-response terms.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    terms : DataFrame of shape (n_stimuli, n_terms)
        How often, or by what share of raters, each stimulus was given each term; same ids as `space`.
    min_stimuli
        Terms that fewer stimuli were given are left out; by default fewer than 1%, and never fewer than 10.
    n_permutations, seed
        Of the null, see :class:`TermCorrelations`.
    level
        Of the intervals.
    progress

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"v{k}" for k in range(100)]
    >>> terms = pd.DataFrame(rng.random((100, 2)) < 0.3, index=ids, columns=["giggling", "dread"]).astype(float)
    >>> space = pd.DataFrame({"fun": terms["giggling"] + rng.random(100)}, index=ids)
    >>> found = term_correlations(space, terms, seed=0)
    >>> found.q.loc["fun"].round(2).tolist()
    [0.0, 0.14]
    """
    check_permutations(n_permutations)
    check_level(level)
    if space.shape[1] == 0:
        raise InputError("the space has no components", remedy="fit it with a smaller l1 or more triplets")
    left, right = align(space, terms, names=["the space", "the terms"]).spaces
    n = len(left)
    if n < 20:
        raise InputError(f"{n} stimuli are too few for free-response terms", remedy="give at least 20")
    given = (right.to_numpy() != 0).sum(axis=0)
    varies = np.ptp(right.to_numpy(), axis=0) > 0
    least = least_stimuli(n, min_stimuli, 10)
    kept = np.flatnonzero((given >= least) & varies)
    if not len(kept):
        raise InputError(
            f"no term was given to at least {least} stimuli",
            source="the terms",
            remedy="use a smaller min_stimuli",
        )
    given_names = [str(name) for name in right.columns]
    common = right.iloc[:, kept].set_axis([given_names[k] for k in kept], axis=1)
    found = correlate_components(left, {"terms": common}, level=level)
    x, y = (unit_columns(frame.to_numpy(np.float64)) for frame in (left, common))
    r = found.r.to_numpy()
    rng = np.random.default_rng(named_seed(seed, "term correlations"))
    order = rng.permuted(np.tile(np.arange(n), (n_permutations, 1)), axis=1)  # (draws, stimuli), all components alike
    p = np.full(r.shape, np.nan)
    for k, column in enumerate(x.T):
        if np.isfinite(column).all():
            p[k] = permutation_p(r[k], column[order] @ y, tail="two-sided")
        progress(k + 1, x.shape[1])
    warn_of_resolution(p, n_permutations, of="the terms")
    names = pd.Index(common.columns, name="term")
    components = pd.Index([str(name) for name in left.columns], name="component")

    def table(values: NDArray[np.float64]) -> pd.DataFrame:
        return pd.DataFrame(values, index=components, columns=names)

    return TermCorrelations(
        r=table(r),
        ci_low=table(found.ci_low.to_numpy()),
        ci_high=table(found.ci_high.to_numpy()),
        p=table(p),
        q=table(false_discovery_rate(p)),
        n_stimuli=pd.Series(given[kept], index=names, name="n_stimuli"),
        left_out=tuple(name for name in given_names if name not in names),
        n_permutations=n_permutations,
    )
