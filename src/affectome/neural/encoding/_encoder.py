"""Voxel-wise ridge as a scikit-learn regressor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import GroupKFold, check_cv
from sklearn.utils.validation import check_is_fitted, validate_data

from affectome._fold_sums import Splits
from affectome._progress import silent
from affectome.errors import InputError
from affectome.neural.encoding._banded import band_weightings, check_bands, weighted_band
from affectome.neural.encoding._encode import check_memory, check_precision, edge_shares, warn_of_edges
from affectome.neural.encoding._solvers import ALPHAS, Precision, Problem, Solver, check_alphas, solve

__all__ = ["VoxelwiseEncoder"]


class VoxelwiseEncoder(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    r"""Ridge, or banded ridge, from features to any number of voxels, each with its own penalty.

    For each voxel the coefficients minimise

    .. math:: \sum_t (y_t - \bar y - z_t b)^2 + \alpha |b|^2

    where the features z have mean 0 and s.d. 1 in the training trials. :math:`\alpha` is chosen per voxel among
    `alphas` by the least squared error over the folds of `cv`, summed over their held-out trials; features are
    scaled and responses centred inside every training set, and the largest of equal alphas is taken. With `bands`,
    the penalty of a band is :math:`\alpha / w`, and the weights w are chosen together with :math:`\alpha`.

    Scores of `fit` itself are optimistic; cross-validate the encoder, or use :func:`affectome.neural.encode`, which
    nests the choice in outer folds of runs.

    Parameters
    ----------
    alphas : sequence of float
        The grid of penalties, all above 0. Default: 20 values from 10 to 10,000, evenly spaced in the logarithm.
    cv : int, splitter or iterable of (training, held-out)
        Folds that choose alpha. A number: so many contiguous folds, or, where `fit` is given groups (runs), folds
        that part no group.
    bands : mapping from band name to features, or None
        Groups of features with a penalty each: column names where X is a DataFrame, else places. Together all.
    weightings : int or array of shape (n_weightings, n_bands)
        With `bands`: how many weights are tried (equal ones, each band nearly alone, then draws from Dirichlet
        distributions of concentration 0.1 and 1, scaled to a mean of 1), or which.
    random_state : int or None
        Seeds these draws; needed where there are any.
    solver : str
        ``"moments"``, ``"himalaya"`` or ``"auto"``, see :func:`affectome.neural.encode`.
    backend : str
        ``"numpy"``, ``"torch"``, ``"torch_cuda"``.
    precision : str
        ``"float32"`` or ``"float64"``: of the sums that choose alpha, and of the coefficients.
    memory_gb : float
        Working memory beyond X, y and the coefficients.

    Attributes
    ----------
    alpha_ : array of shape (n_voxels,)
        What was chosen.
    coef_ : array of shape (n_voxels, n_features)
        On features in their own units; (n_features,) where y has one dimension.
    intercept_ : array of shape (n_voxels,)
    cv_scores_ : array of shape (n_voxels,)
        R2 over the folds of `cv`, against their training means, of what was chosen; NaN for a constant voxel.
    edge_shares_ : tuple of two floats
        Share of voxels with the lowest and the highest alpha of the grid.
    band_weights_ : array of shape (n_bands, n_voxels), or None
    n_features_in_ : int
    feature_names_in_ : array of str
        Where X was a DataFrame.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, noise = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    >>> Y = X @ [[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]] + noise
    >>> encoder = VoxelwiseEncoder().fit(X, Y)
    >>> [[round(float(c), 1) for c in voxel] for voxel in encoder.coef_]
    [[1.9, 0.1, -0.0], [-0.1, -0.0, -0.0]]
    >>> encoder.alpha_.round().tolist()
    [10.0, 264.0]
    """

    def __init__(
        self,
        alphas: ArrayLike = ALPHAS,
        *,
        cv: Any = 5,
        bands: Mapping[str, Sequence[Any]] | None = None,
        weightings: int | ArrayLike = 50,
        random_state: int | None = None,
        solver: Solver = "auto",
        backend: str = "numpy",
        precision: Precision = "float32",
        memory_gb: float = 4.0,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.bands = bands
        self.weightings = weightings
        self.random_state = random_state
        self.solver = solver
        self.backend = backend
        self.precision = precision
        self.memory_gb = memory_gb

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> VoxelwiseEncoder:
        """Choose alpha for every voxel, and fit.

        Parameters
        ----------
        X : array or DataFrame of shape (n_trials, n_features)
        y : array of shape (n_trials, n_voxels) or (n_trials,)
        groups : array of shape (n_trials,), or None
            Runs, for the folds of `cv`.
        """
        dtype = check_precision(self.precision)
        x, responses = validate_data(
            self, X, y, multi_output=True, y_numeric=True, dtype=[np.float64, np.float32], ensure_min_samples=3
        )
        single = responses.ndim == 1
        responses = responses[:, None] if single else responses
        features = list(getattr(self, "feature_names_in_", range(x.shape[1])))
        band_of, weights = self._weightings(features)
        grid = check_alphas(self.alphas)
        problem = Problem(
            x=x.astype(np.float64),
            y=responses if responses.dtype.kind == "f" else responses.astype(np.float64),
            rows=None,
            splits=self._splits(len(x), groups),
            bands=[weighted_band(band_of, row) for row in weights],
            alphas=grid,
            dtype=dtype,
            memory=check_memory(self.memory_gb),
            progress=silent,
        )
        solution = solve(problem, solver=self.solver, backend=self.backend)
        voxels: Any = 0 if single else slice(None)
        self.alpha_ = grid[solution.alpha[0]][voxels]
        self.coef_ = solution.slopes[0].T[voxels]
        self.intercept_ = solution.intercepts[0][voxels]
        self.cv_scores_ = solution.inner_r2[0][voxels]
        self.band_weights_ = None if self.bands is None else weights[solution.band[0]].T[:, voxels]
        self.edge_shares_ = edge_shares(solution, len(grid))
        warn_of_edges(self.edge_shares_, grid, type(self).__name__)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.floating]:
        """Responses to these features, (n, n_voxels), or (n,) where y had one dimension."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        predicted: NDArray[np.floating] = x @ self.coef_.T + self.intercept_
        return predicted

    def _weightings(self, features: list[Any]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        if self.bands is None:
            return np.zeros(len(features), np.intp), np.ones((1, 1))
        weights = band_weightings(len(self.bands), self.weightings, self.random_state)
        return check_bands(self.bands, features), weights

    def _splits(self, n: int, groups: ArrayLike | None) -> Splits:
        """One model of all trials, its alpha chosen over the folds of `cv`."""
        by_group = groups is not None and isinstance(self.cv, (int, np.integer))
        cv = GroupKFold(int(self.cv)) if by_group else check_cv(self.cv)
        inner = []
        for train, held in cv.split(np.zeros((n, 1)), groups=groups):
            masks = np.zeros((2, n), bool)
            masks[0, train], masks[1, held] = True, True
            if not masks.any(axis=1).all():
                raise InputError("a fold of cv is empty", source=type(self).__name__, remedy="use fewer folds")
            inner.append((masks[0], masks[1]))
        return Splits.from_masks([np.ones(n, bool)], [inner])
