"""The errors a user can meet, each a full sentence with a remedy.

Only the command line turns them into an exit code; see :mod:`affectome.cli`.
"""

from __future__ import annotations

from os import PathLike, fspath

__all__ = ["AffectomeError", "EnvironmentFailure", "InputError", "Interrupted"]


class AffectomeError(Exception):
    """Base of every error that affectome raises on purpose.

    Parameters
    ----------
    problem
        What is wrong, as a clause without a final stop.
    source
        The file, table or argument that holds the problem.
    where
        The place inside the source, for example ``"row 14 (id 0014)"``.
    remedy
        What the user can do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        source: str | PathLike[str] | None = None,
        where: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.source = None if source is None else fspath(source)
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.source, self.where) if part)
        sentence = f"{place}: {self.problem}" if place else self.problem
        if self.remedy:
            sentence = f"{sentence}; {self.remedy}"
        return sentence if sentence.endswith((".", "?")) else f"{sentence}."


class InputError(AffectomeError, ValueError):
    """Something the user gave is wrong: a file, a table, a parameter.

    Examples
    --------
    >>> str(InputError("the rating is missing", source="ratings.csv", where="row 3", remedy="fill it in"))
    'ratings.csv, row 3: the rating is missing; fill it in.'
    """


class EnvironmentFailure(AffectomeError, OSError):
    """The machine is in the way: a full disk, a read-only folder, a lock, a dead server."""


class Interrupted(AffectomeError):
    """The work stopped before its end, on purpose; what was finished is kept."""
