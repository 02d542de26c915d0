"""Predictors on disk: one file of arrays and facts, that holds no code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from sklearn.utils.validation import check_is_fitted

from affectome._files import SCHEMA, atomic_path, check_output, check_schema, unreadable
from affectome.errors import InputError
from affectome.prediction._predictor import SpacePredictor
from affectome.prediction._ridge import Basis

__all__ = ["PREDICTOR_FORMATS", "read_predictor", "write_predictor"]

#: Extensions that a predictor can be written with.
PREDICTOR_FORMATS = (".npz",)

_ARRAYS = ("coef_", "intercept_", "alpha_", "weighting_", "leverages_", "range_")
_BASIS = ("mean", "scale", "vectors", "squares")


def write_predictor(
    path: str | os.PathLike[str], predictor: SpacePredictor, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a fitted predictor of named features and components.

    Parameters
    ----------
    path
        A ``.npz`` file.
    predictor : SpacePredictor
        Fitted with DataFrames, its `cv` a number.
    metadata
        How it was made, as JSON values; kept inside the file.

    Raises
    ------
    InputError
        Where the extension is another, or names are missing.
    EnvironmentFailure
        When the file cannot be written; nothing is left of it.
    """
    check_output(path, PREDICTOR_FORMATS)
    check_is_fitted(predictor)
    if not hasattr(predictor, "feature_names_in_") or predictor.components_ is None:
        raise InputError(
            "the predictor knows no names of features and components", source=path, remedy="fit it with DataFrames"
        )
    if not isinstance(predictor.cv, (int, np.integer)):
        raise InputError("the folds of the predictor are no number", source=path, remedy="fit it with cv=5")
    bands = predictor.bands
    facts = {
        "affectome_schema": SCHEMA,
        "kind": "predictor",
        "parameters": {
            "alphas": np.asarray(predictor.alphas, np.float64).tolist(),
            "cv": int(predictor.cv),
            "bands": None if bands is None else {str(k): [str(c) for c in columns] for k, columns in bands.items()},
            "clip": predictor.clip,
            "random_state": int(predictor.random_state),
        },
        "features": [str(name) for name in predictor.feature_names_in_],
        "components": [str(name) for name in predictor.components_],
        "clipped": predictor.clip_,
        "penalty": predictor.penalty_,
        "metadata": dict(metadata or {}),
    }
    text = json.dumps(facts, allow_nan=False).encode()
    arrays: dict[str, Any] = {name: getattr(predictor, name) for name in _ARRAYS}
    arrays |= {f"basis.{name}": getattr(predictor.basis_, name) for name in _BASIS}
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, facts=np.frombuffer(text, np.uint8), **arrays)


def read_predictor(path: str | os.PathLike[str]) -> tuple[SpacePredictor, dict[str, Any]]:
    """Read what :func:`write_predictor` wrote.

    Returns
    -------
    The fitted predictor, and how it was made.

    Raises
    ------
    InputError
        When there is no such file, it is cut short or something else, or a newer affectome wrote it.
    """
    source = Path(path)
    try:
        with open(source, "rb") as handle, np.load(handle, allow_pickle=False) as stored:
            facts = json.loads(stored["facts"].tobytes())
            check_schema(facts, source)
            predictor = SpacePredictor(**facts["parameters"])
            for name in _ARRAYS:
                setattr(predictor, name, stored[name])
            predictor.basis_ = Basis(*(stored[f"basis.{name}"] for name in _BASIS))
        predictor.feature_names_in_ = np.array(facts["features"], dtype=object)
        predictor.n_features_in_ = len(facts["features"])
        predictor.components_ = np.array(facts["components"], dtype=object)
        predictor.clip_, predictor.penalty_ = bool(facts["clipped"]), float(facts["penalty"])
        return predictor, dict(facts["metadata"])
    except InputError:
        raise
    except (BadZipFile, ValueError, KeyError, EOFError, TypeError, AttributeError) as error:
        raise InputError(
            "is not a whole predictor, or it was cut short", source=source, remedy="write it again with predict fit"
        ) from error
    except OSError as error:
        raise unreadable(source, error) from error
