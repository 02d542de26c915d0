"""Correlations of responses and held-out predictions within folds, whole and with each run left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affectome.neural.encoding._run_sums import Floats, RunLayout

__all__ = ["centre_folds", "run_correlations"]

_ROUNDING = 1e-12  # share of a sum of squares that is rounding


def centre_folds(values: Floats, layout: RunLayout) -> Floats:
    """Values (n_trials, n_voxels) less the mean of their held-out fold."""
    of_runs = layout.sums(values)
    means = [
        of_runs[layout.run_fold == fold].sum(axis=0) / (layout.fold == fold).sum()
        for fold in range(layout.run_fold.max() + 1)
    ]
    centred = np.empty_like(values)
    for trials, fold in zip(layout.runs, layout.run_fold, strict=True):
        np.subtract(values[trials], means[fold], out=centred[trials])
    return centred


def run_correlations(y: Floats, joint: Floats, parts: Sequence[Floats], layout: RunLayout) -> tuple[Floats, Floats]:
    """Share of each part of a prediction in its correlation with y, cov(y, part) / sqrt(var(y) var(joint)).

    Parameters
    ----------
    y, joint, parts : arrays of shape (n_trials, n_voxels)
        Centred within folds, in the order of the runs. The prediction itself, as a part, has its correlation.

    Returns
    -------
    value : array of shape (n_parts, n_voxels)
        NaN where y or the prediction never varies.
    without : array of shape (n_parts, n_runs, n_voxels)
        With each run left out, and the means of its fold taken anew.
    """
    spread = [_products(own, own, layout) for own in (y, joint)]
    shared = [_products(y, part, layout) for part in parts]
    found = []
    for whole in (0, 1):
        with np.errstate(invalid="ignore", divide="ignore"):
            # Without the only run that varies, what is left of a spread is rounding, and may be below 0.
            known = [part[whole] > _ROUNDING * part[0] for part in spread]
            scale = np.where(known[0] & known[1], np.sqrt(spread[0][whole] * spread[1][whole]), np.nan)
            found.append(np.stack([product[whole] / scale for product in shared]))
    return found[0], found[1]


def _products(a: Floats, b: Floats, layout: RunLayout) -> tuple[Floats, Floats]:
    """Sum of products about the means of the folds, (n_voxels,), and without each run, (n_runs, n_voxels)."""
    sum_a, product = layout.sums(a), layout.products(a, b)
    sum_b = sum_a if b is a else layout.sums(b)
    n = np.broadcast_to(layout.sizes[:, None], sum_a.shape)
    folds = range(layout.run_fold.max() + 1)
    of_fold = [
        np.stack([runs[layout.run_fold == fold].sum(axis=0) for fold in folds]) for runs in (n, sum_a, sum_b, product)
    ]
    each = _about_mean(*of_fold)
    left = (in_fold[layout.run_fold] - runs for in_fold, runs in zip(of_fold, (n, sum_a, sum_b, product), strict=True))
    whole = each.sum(axis=0)
    return whole, whole - each[layout.run_fold] + _about_mean(*left)


def _about_mean(n: Floats, a: Floats, b: Floats, product: Floats) -> Floats:
    """Sum of products about the means; 0 where a run was the whole fold."""
    about: Floats = np.where(n > 0.5, product - a * b / np.maximum(n, 1.0), 0.0)
    return about
