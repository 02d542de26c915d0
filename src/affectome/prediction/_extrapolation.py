"""How far new stimuli lie from those that a predictor was learned from."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome.prediction._ridge import Basis

__all__ = ["FAR", "extrapolation_table", "leverages", "own_leverages"]

Floats = NDArray[np.floating]

#: A new stimulus is far where fewer than this share of the training stimuli are as far from all others.
FAR = 0.01


def leverages(basis: Basis, penalty: float, x: Floats) -> Floats:
    """z'(Z'Z + penalty)^-1 z of each row of x (n, p), Z the training features: (n,)."""
    z = basis.standardise(x)
    along = z @ basis.vectors
    beyond = np.maximum((z**2).sum(axis=1) - (along**2).sum(axis=1), 0)  # where no training stimulus varies
    found: Floats = along**2 @ (1 / (basis.squares + penalty)) + beyond / penalty
    return found


def own_leverages(basis: Basis, penalty: float, x: Floats) -> Floats:
    """The same of each training stimulus as if it were new: h / (1 - h), Z without its own row."""
    inside = leverages(basis, penalty, x)
    outside: Floats = inside / (1 - inside)
    return outside


def extrapolation_table(found: Floats, own: Floats, n_outside: NDArray[np.intp], ids: pd.Index) -> pd.DataFrame:
    """Leverages of new stimuli beside those of the training stimuli; columns as in :class:`PlacedStimuli`."""
    ranked = np.sort(own)
    as_far = len(own) - np.searchsorted(ranked, found)
    return pd.DataFrame(
        {
            "leverage": found,
            "relative": found / np.median(own),
            "share_as_far": (as_far + 1) / (len(own) + 1),
            "n_outside": n_outside,
            "far": found > np.quantile(own, 1 - FAR),
        },
        index=ids,
    )
