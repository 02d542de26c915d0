import numpy as np
import pandas as pd
import pytest

from affectome.neural import Recording
from affectome.neural.encoding import Encoding, FoldModel


@pytest.fixture(scope="session")
def recorded():
    """Make a recording: one stimulus per trial, `n_runs` runs of equal length."""

    def make(responses, n_runs, *, rois=None, subject="sub-01"):
        n = len(responses)
        run = np.repeat(np.arange(n_runs), n // n_runs) + 1
        trials = pd.DataFrame({"stimulus": [f"s{k}" for k in range(n)], "run": run, "session": 1})
        return Recording(subject, np.asarray(responses, np.float32), trials, rois=rois or {})

    return make


@pytest.fixture(scope="session")
def ridge_encoding():
    """Encode by ridge at one alpha, written out: centred in training, features as they are."""

    def make(name, x, recording, n_folds, alpha):
        y = recording.responses.astype(np.float64)
        n_runs = recording.trials["run"].nunique()
        fold = (recording.trials["run"].to_numpy() - 1) * n_folds // n_runs
        own, base, models = np.empty_like(y), np.empty_like(y), []
        for f in range(n_folds):
            train = fold != f
            centre, mean = x[train].mean(axis=0), y[train].mean(axis=0)
            z = x[train] - centre
            slopes = np.linalg.solve(z.T @ z + alpha * np.eye(x.shape[1]), z.T @ (y[train] - mean))
            model = FoldModel(
                slopes.astype(np.float32), (mean - centre @ slopes).astype(np.float32), centre.astype(np.float32)
            )
            own[~train], base[~train] = model.predict(x[~train].astype(np.float32)), mean
            models.append(model)
        centred = [values - values.mean(axis=0) for values in (y, own)]
        with np.errstate(invalid="ignore"):
            r = (centred[0] * centred[1]).sum(axis=0) / np.sqrt(np.prod([(c**2).sum(axis=0) for c in centred], axis=0))
            r2 = 1 - ((y - own) ** 2).sum(axis=0) / ((y - base) ** 2).sum(axis=0)
        return Encoding(
            recording.subject,
            name,
            tuple(f"{name} {k}" for k in range(x.shape[1])),
            np.arange(len(y)),
            x.astype(np.float32),
            fold,
            r.astype(np.float32),
            r2.astype(np.float32),
            np.array([alpha], float),
            np.full((n_folds, y.shape[1]), alpha, np.float32),
            (0.0, 0.0),
            np.mean([model.coefficients for model in models], axis=0),
            tuple(models),
        )

    return make
