"""Is a mean over people other than zero, when the sign of each person's value is all that chance could change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome._resampling import check_permutations
from affectome.errors import InputError

__all__ = ["SignFlip", "sign_flip_test"]

Floats = NDArray[np.float64]

EXACT_UP_TO = 16  # people: 65,536 sign patterns
_BLOCK = 4096  # sign patterns at once, fewer where they meet many places
_MEANS = 2**22  # held at once: 32 MB
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class SignFlip:
    """Two-sided sign-flip test of means over people.

    Attributes
    ----------
    mean : float array, the shape of one person's values
    p : float array
        Share of sign patterns whose |mean| is at least the observed one; NaN where the value of a person is.
    smallest_p : float
        What p can reach at best: 2 / 2^n, or 1 / (B + 1) where patterns are drawn.
    exact : bool
        All 2^n patterns were counted.
    n_flips : int
        Patterns compared with the observed one.
    """

    mean: Floats
    p: Floats
    smallest_p: float
    exact: bool
    n_flips: int


def sign_flip_test(differences: ArrayLike, *, n_flips: int = 10_000, seed: int) -> SignFlip:
    """Test whether means over people differ from zero.

    Parameters
    ----------
    differences : array of shape (n_people, ...)
        One row per person; each other place (region, pair of spaces) is tested by itself, by the same patterns.
    n_flips
        Patterns to draw for more than 16 people; up to 16, all are counted and nothing is drawn.
    seed
        Of the drawn patterns.

    Returns
    -------
    SignFlip

    Notes
    -----
    Null: each person's difference is as likely to have either sign, independently of the other people (values
    symmetric about 0); the signs of whole people are flipped, so that dependence between places stays. p is the share
    of all 2^n patterns, the observed one included, whose absolute mean reaches the observed one; drawn patterns give
    (b + 1) / (B + 1). No correction over places. Five people cannot give less than 2 / 32 = .0625.

    Examples
    --------
    >>> found = sign_flip_test([0.2, 0.1, 0.3, 0.2, 0.1], seed=0)
    >>> float(found.p), found.smallest_p
    (0.0625, 0.0625)
    """
    values = np.asarray(differences, np.float64)
    if values.ndim == 0 or len(values) == 0:
        raise InputError("there are no people to flip the signs of", remedy="give one row per person")
    n, exact = len(values), len(values) <= EXACT_UP_TO
    flat = values.reshape(n, -1)
    mean = flat.mean(axis=0)
    # Sums of the same numbers in another order differ by rounding, which must not decide.
    needed = np.abs(mean) - _ROUNDING * np.abs(flat).mean(axis=0)
    reached, counted = np.zeros(flat.shape[1], np.int64), 0
    block = max(1, min(_BLOCK, _MEANS // max(1, flat.shape[1])))
    if exact:
        # A pattern and its mirror image have the same |mean|: one person keeps the sign.
        patterns = np.arange(2 ** (n - 1))
        for start in range(0, len(patterns), block):
            flipped = (patterns[start : start + block, None] >> np.arange(n) & 1).astype(bool)
            reached += _reached(flipped, flat, needed)
        counted = len(patterns)
        p = reached / counted
    else:
        check_permutations(n_flips)
        rng = np.random.default_rng(seed)
        for start in range(0, n_flips, block):
            flipped = rng.integers(0, 2, size=(min(block, n_flips - start), n)).astype(bool)
            reached += _reached(flipped, flat, needed)
        counted = n_flips
        p = (reached + 1) / (n_flips + 1)
    return SignFlip(
        mean=mean.reshape(values.shape[1:]),
        p=np.where(np.isnan(mean), np.nan, p).reshape(values.shape[1:]),
        smallest_p=min(1.0, 2.0 / 2**n) if exact else 1 / (n_flips + 1),
        exact=exact,
        n_flips=2**n if exact else counted,
    )


def _reached(flipped: NDArray[np.bool_], values: Floats, needed: Floats) -> NDArray[np.int64]:
    """How many of these patterns (m, n_people) give every place an absolute mean that reaches the needed one."""
    signs = np.where(flipped, -1.0, 1.0)
    with np.errstate(invalid="ignore"):
        reached: NDArray[np.int64] = (np.abs(signs @ values / len(values)) >= needed).sum(axis=0)
    return reached
