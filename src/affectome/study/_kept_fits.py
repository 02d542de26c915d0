"""Fits from several seeds that are kept on disk, and what they agree on; for studies and for the command line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectome._files import read_parquet
from affectome._progress import Progress, silent
from affectome.errors import InputError
from affectome.spaces import read_space, write_space
from affectome.study._io import json_value
from affectome.triplets import TripletSet

if TYPE_CHECKING:
    import pandas as pd

    from affectome.embedding import VICE, Consensus, Reproducibility, SPoSE

logger = logging.getLogger(__name__)

__all__ = ["fit_facts", "fit_settings", "kept_fits", "reproducibility_facts", "write_consensus"]


def kept_fits(
    estimator: SPoSE | VICE,
    trials: TripletSet,
    paths: Mapping[int, Path],
    settings: Mapping[str, Any],
    *,
    check: Callable[[int, SPoSE | VICE], None],
    probabilities: Any = None,
    n_jobs: int | None = None,
    progress: Progress = silent,
) -> dict[int, pd.DataFrame]:
    """The space of every seed, from its file where that is there, and fitted into it where it is not.

    `check` may refuse a fit. Fits of probabilities come one after the other, each on all threads.
    """
    from sklearn.base import clone

    from affectome.embedding import fit_seeds

    missing = [seed for seed, path in paths.items() if not path.exists()]
    if len(missing) < len(paths):
        logger.info("%d of %d runs are there already.", len(paths) - len(missing), len(paths))

    def keep(seed: int, model: SPoSE | VICE) -> None:
        check(seed, model)
        space = model.to_space(trials.ids)
        write_space(paths[seed], space, {"settings": {**settings, "seed": seed}, **fit_facts(model)})

    if probabilities is None and missing:
        fit_seeds(estimator, trials, missing, n_jobs=n_jobs, finished=keep, progress=progress)
    elif missing:
        for done, seed in enumerate(missing, start=1):
            model = clone(estimator).set_params(random_state=seed)
            keep(seed, model.fit(trials, probabilities))
            progress(done, len(missing), detail=f"seed {seed}")
    # All are read back, so that runs fitted now and runs found give the same numbers.
    return {seed: read_space(path) for seed, path in paths.items()}


def fit_facts(model: SPoSE | VICE) -> dict[str, Any]:
    """How a fit ended."""
    return {
        "n_components": model.n_components_,
        "objective": model.objective_,
        "epochs": model.n_epochs_,
        "converged": model.converged_,
        "n_trials": model.n_trials_,
        "n_dropped": model.n_dropped_,
    }


def fit_settings(path: Path) -> dict[str, Any]:
    """What a kept fit says it was made with; nothing where it is no such file."""
    try:
        found = read_parquet(path)[1].get("settings")
    except InputError:
        return {}
    return dict(found) if isinstance(found, dict) else {}


def write_consensus(folder: Path, consensus: Consensus) -> list[Path]:
    """Write mean and s.d. of the components that came back, as spaces; the files written (none without components)."""
    facts = {"runs": list(consensus.runs), "reference": consensus.reference, "threshold": consensus.threshold}
    written = []
    for name, space in (("consensus", consensus.space), ("consensus_sd", consensus.sd)):
        path = folder / f"{name}.parquet"
        if space.shape[1]:
            write_space(path, space, {"settings": {"method": name, **facts}})
            written.append(path)
        else:
            path.unlink(missing_ok=True)  # of an earlier call; it would be taken for this one's
    return written


def reproducibility_facts(result: Reproducibility, consensus: Consensus) -> dict[str, Any]:
    """All of both but the tables of single components."""
    facts: dict[str, Any] = json_value(
        {
            "runs": list(result.runs),
            "reference": result.reference,
            "n_stimuli": result.n_stimuli,
            "level": result.level,
            "n_permutations": result.n_null,
            "n_halves": result.n_halves,
            "n_clipped": result.n_clipped,
            "identical": [list(pair) for pair in result.identical],
            "summary": result.summary.to_dict("records"),
            "consensus": {
                "reference": consensus.reference,
                "threshold": consensus.threshold,
                "n_components": consensus.space.shape[1],
                "n_iterations": consensus.n_iterations,
                "converged": consensus.converged,
                "table": consensus.table.to_dict("records"),
            },
        }
    )
    return facts
