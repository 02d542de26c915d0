"""What is known to be wrong before a recording is read, and what is said once of all people and spaces."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from affectome.errors import InputError
from affectome.study._brain import KNOWN_REGIONS, Brain, read_labels, shared_spaces
from affectome.study._brain_searchlight import Searching
from affectome.study._engine import StageRecord
from affectome.study._engine import logger as stages

logger = logging.getLogger(__name__)

__all__ = ["check_asked", "check_searched", "said_once", "warn_of_grid_edges"]


def check_asked(asked: Brain, *, of_spaces: bool = True) -> None:
    """Refuse at once what no recording can mend: options, spaces, ids to leave out, labels, groups of regions."""
    from affectome.neural import read_region_groups
    from affectome.neural.encoding._solvers import BACKENDS, check_alphas

    if of_spaces and not asked.spaces:
        raise InputError("there is no space to predict from", remedy="name at least one")
    if asked.backend not in BACKENDS:
        raise InputError(f"the backend '{asked.backend}' is not known", remedy=f"choose {', '.join(BACKENDS)}")
    if asked.alphas is not None:
        check_alphas(asked.alphas)
    if asked.blocks is not None and asked.block_length is not None:
        raise InputError("both blocks and block_length are given", remedy="give one of them")
    if not asked.made_here:  # else earlier stages write them
        shared_spaces(asked)
    read_labels(asked.labels)
    if asked.regions is not None and asked.regions not in KNOWN_REGIONS:
        if not Path(asked.regions).exists():
            raise InputError(
                "there is no such file of regions",
                source=asked.regions,
                remedy=f"check the path, or use {', '.join(KNOWN_REGIONS[:-1])} or {KNOWN_REGIONS[-1]}",
            )
        if Path(asked.regions).suffix.lower() == ".toml":
            read_region_groups(asked.regions)


def check_searched(asked: Brain, how: Searching) -> None:
    """Refuse at once what no recording can mend of a searchlight."""
    if how.test == "drawn":
        from affectome.neural.searchlight._searchlight import check_permuted_ranks

        check_permuted_ranks(how.statistic, asked.within, all_pairs=how.within_run == "include")


@contextmanager
def said_once() -> Iterator[None]:
    """Meanwhile nothing is said twice of a recording that is read twice, and of penalties a warning sums all up.

    What an encoding says of penalties at the edge of the grid becomes information; see :func:`warn_of_grid_edges`.
    Those who write the log leave out what they wrote; a stage that keeps its warnings hears all of them.
    """
    import affectome.neural
    from affectome.neural.encoding._encode import EDGES
    from affectome.neural.encoding._encode import logger as encodings

    rooms = tuple(f"{affectome.neural.__name__}.{room}." for room in ("recordings", "rois", "searchlight"))
    # A person whose stage fails in a process is tried again in this one, and one may be read for several stages.
    readers = (stages.name, Brain.__module__)

    def once() -> Callable[[logging.LogRecord], bool]:
        said: set[tuple[int, str]] = set()

        def is_new(record: logging.LogRecord) -> bool:
            if not record.name.startswith(rooms) and record.name not in readers:
                return True
            key = (record.levelno, record.getMessage())
            new = key not in said or record.name.endswith("._chunks")  # what is resumed is told of every walk
            said.add(key)
            return new

        return is_new

    def of_encodings(record: logging.LogRecord) -> bool:
        if record.msg == EDGES:
            record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        return True

    writers = [(h, once()) for h in (*logging.getLogger(affectome.__name__).handlers, *logging.root.handlers)]
    encodings.addFilter(of_encodings)
    for handler, is_new in writers:
        handler.addFilter(is_new)
    try:
        yield
    finally:
        encodings.removeFilter(of_encodings)
        for handler, is_new in writers:
            handler.removeFilter(is_new)


def warn_of_grid_edges(records: Sequence[StageRecord], alphas: Sequence[float] | None = None) -> None:
    """Say once, of all encodings, how many penalties lie at the edges of the grid, and where most do."""
    from affectome.neural import ALPHAS
    from affectome.neural.encoding._encode import MANY_AT_AN_EDGE

    shares = {
        record.name.removeprefix("encode/").replace("/", ", "): (
            float(record.summary["at_lowest_alpha"]),
            float(record.summary["at_highest_alpha"]),
        )
        for record in records
        if "at_lowest_alpha" in record.summary
    }
    if not shares or max(max(pair) for pair in shares.values()) < MANY_AT_AN_EDGE:
        return
    grid = ALPHAS if alphas is None else alphas
    low, high = (max(shares, key=lambda name, edge=edge: shares[name][edge]) for edge in (0, 1))  # type: ignore[misc]
    most = "" if len(shares) == 1 else "up to "
    logger.warning(
        "The chosen alpha is the lowest of the grid (%g) in %s%.1f%% of voxels and folds (%s) and the highest (%g) in "
        "%s%.1f%% (%s); a voxel that the space does not predict takes the highest, else the grid is too narrow.",
        min(grid), most, 100 * shares[low][0], low, max(grid), most, 100 * shares[high][1], high,
    )  # fmt: skip
