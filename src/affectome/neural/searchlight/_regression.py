"""Which space explains the geometry of patterns beside others: partial and multiple-regression RSA, from sums alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import check_unique, cut_short
from affectome.errors import InputError
from affectome.neural.searchlight._inputs import Correlations

__all__ = ["RegressionRSA", "partial_rsa", "regression_rsa"]

Floats = NDArray[np.float64]

_SINGULAR = 1e-8  # eigenvalue of correlations below which models determine one another but for rounding


@dataclass(frozen=True, eq=False)
class RegressionRSA:
    """Least squares of the similarities of patterns on those of several models, at every centre.

    Attributes
    ----------
    models : tuple of str
    beta : float64 array of shape (n_centres, n_models)
        Standardised: all similarities have variance 1 over the pairs that count.
    partial_r : float64 array of shape (n_centres, n_models)
        Correlation with a model once all the others are regressed out of both.
    semipartial_r : float64 array of shape (n_centres, n_models)
        Once they are regressed out of the model alone; its square is what R2 loses without that model.
    r2 : float64 array of shape (n_centres,)
        Share of the variance of the similarities that all models explain together, with no correction for their number.
    vif : float64 array of shape (n_models,)
        Variance inflation factors: 1 / (1 - R2 of a model on the others).
    n_pairs : int
    """

    models: tuple[str, ...]
    beta: Floats
    partial_r: Floats
    semipartial_r: Floats
    r2: Floats
    vif: Floats
    n_pairs: int

    @property
    def table(self) -> pd.DataFrame:
        """One row per centre and model: ``centre``, ``model``, ``beta``, ``partial_r``, ``semipartial_r``, ``r2``."""
        n_centres, n_models = self.beta.shape
        return pd.DataFrame(
            {
                "centre": np.repeat(np.arange(n_centres), n_models),
                "model": np.tile(self.models, n_centres),
                "beta": self.beta.ravel(),
                "partial_r": self.partial_r.ravel(),
                "semipartial_r": self.semipartial_r.ravel(),
                "r2": np.repeat(self.r2, n_models),
            }
        )


def regression_rsa(sums: Correlations, models: Sequence[str] | None = None) -> RegressionRSA:
    r"""Multiple regression of the similarities of patterns on those of models, over the pairs that count.

    Parameters
    ----------
    sums : PearsonSums, or correlations of ranks over the same pairs
    models : sequence of str, optional
        By default all.

    Returns
    -------
    RegressionRSA
        NaN at centres whose similarities are all the same number.

    Raises
    ------
    InputError
        Without models, for one that the sums lack or that comes twice, and where one is a combination of the others.

    Notes
    -----
    With C the correlations of the models and c those with the patterns,

    .. math:: \beta = C^{-1}c, \quad R^2 = c'\beta, \quad
              sr_k = \frac{\beta_k}{\sqrt{(C^{-1})_{kk}}}, \quad
              pr_k = \frac{sr_k}{\sqrt{1 - R^2 + sr_k^2}}.

    An intercept is included, signs are not constrained. Pairs share stimuli, so that the usual standard errors and p
    of a regression are wrong; none are given. R2 is not corrected for chance: of M unrelated models with n_pairs pairs
    it is small but above 0.

    Examples
    --------
    >>> from affectome.neural.searchlight import ModelGeometry, Neighbourhoods, Patterns
    >>> from affectome.neural.searchlight._pearson import pearson_sums
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((30, 4))
    >>> patterns = Patterns("sub-01", tuple(f"s{i}" for i in range(30)), x.astype(np.float32))
    >>> models = [ModelGeometry(name, "dot", factors=x[:, part]) for name, part in [("a", [0, 1]), ("b", [2, 3])]]
    >>> sums = pearson_sums(patterns, Neighbourhoods(np.array([0, 4]), np.arange(4)), models, metric="cosine")
    >>> found = regression_rsa(sums)
    >>> bool(np.isclose(found.r2[0], (found.beta * sums.r).sum())), found.table.columns.tolist()[2:]
    (True, ['beta', 'partial_r', 'semipartial_r', 'r2'])
    """
    names = tuple(sums.models if models is None else models)
    places = _places(sums, names)
    if not names:
        raise InputError("there is no model to regress on", remedy="name at least one")
    inverse = _inverse(sums.model_r[np.ix_(places, places)], names)
    r = sums.r[:, places]
    beta = r @ inverse
    r2 = np.clip((beta * r).sum(axis=1), 0, 1)
    vif = np.diag(inverse)
    semipartial = beta / np.sqrt(vif)
    return RegressionRSA(names, beta, _partial(semipartial, r2[:, None]), semipartial, r2, vif.copy(), sums.n_pairs)


def partial_rsa(sums: Correlations, *, given: Sequence[str]) -> pd.DataFrame:
    """Correlation of patterns with each model once the models `given` are regressed out of both, pair by pair.

    Parameters
    ----------
    sums : PearsonSums, or correlations of ranks over the same pairs
    given : sequence of str
        Models to hold constant, such as visual features and motion energy.

    Returns
    -------
    DataFrame of shape (n_centres, n_models - n_given)
        Columns: the other models. NaN where the similarities of a centre are all the same number, or the given models
        explain all of them.

    Raises
    ------
    InputError
        Where `given` is empty, names a model that the sums lack or all of them, or explains another model entirely.

    Notes
    -----
    Other models than those given are not held constant; :func:`regression_rsa` has the correlation with each given all
    others. Linear, as correlations are: what a control explains in a curved way stays.
    """
    held = tuple(given)
    if not held:
        raise InputError("no model is held constant", source="given", remedy="name at least one")
    _places(sums, held)
    others = [name for name in sums.models if name not in held]
    if not others:
        raise InputError("all models are held constant", source="given", remedy="leave one to correlate")
    found = {name: regression_rsa(sums, [name, *held]).partial_r[:, 0] for name in others}
    return pd.DataFrame(found)


def _partial(semipartial: Floats, r2: Floats) -> Floats:
    """Correlation with what the others leave of both; NaN where they leave nothing."""
    left = np.maximum(1 - r2 + semipartial**2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r: Floats = np.where(left > 1e-12, np.clip(semipartial / np.sqrt(left), -1, 1), np.nan)
    return r


def _places(sums: Correlations, names: Sequence[str]) -> list[int]:
    check_unique(names, source="models")
    missing = [name for name in names if name not in sums.models]
    if missing:
        raise InputError(
            f"{cut_short(missing)} is none of the models ({cut_short(sums.models)})", remedy="name a model of the sums"
        )
    return [sums.models.index(name) for name in names]


def _inverse(correlations: Floats, names: Sequence[str]) -> Floats:
    """Of the correlations between models; refused where one of them is a combination of others."""
    values, vectors = np.linalg.eigh(correlations)
    if values[0] > _SINGULAR:
        inverse: Floats = (vectors / values) @ vectors.T
        return inverse
    joined = [name for name, weight in zip(names, np.abs(vectors[:, 0]), strict=True) if weight > 1e-3]
    raise InputError(
        f"the similarities of {cut_short(joined)} determine one another",
        source="models",
        remedy="leave one of them out",
    )
