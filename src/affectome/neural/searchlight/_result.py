"""What a searchlight found: a score per centre and space, its p-value, and how spaces differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome._resampling import false_discovery_rate
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.searchlight._inputs import Neighbourhoods
from affectome.neural.searchlight._regression import RegressionRSA, partial_rsa, regression_rsa

__all__ = ["Searchlight"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Searchlight:
    """Representational similarity of the patterns around every centre with every space.

    A column of `r`, `p` ... belongs to a space, a column of `difference` ... to a pair of spaces. What was not asked
    for is None; what is undefined (all patterns of a centre equally similar) is NaN.

    Attributes
    ----------
    subject : str
    spaces : tuple of str
    metrics : tuple of str
        Of each space.
    statistic : "pearson", "spearman" or "kendall"
    brain_metric : str
        Of patterns.
    within_run : "exclude" or "include"
        Whether pairs of stimuli of one run counted. Always "include" where the patterns have no runs.
    n_stimuli : int
    n_pairs : int
        Pairs of stimuli that counted.
    neighbourhoods : Neighbourhoods
        The centres, or parcels, in the order of the rows of everything below.
    space_r : float64 array of shape (n_spaces, n_spaces)
        The same correlation of the spaces with one another.
    r : float64 array of shape (n_centres, n_spaces)
        The correlation of similarities over pairs.
    p : float64 array of shape (n_centres, n_spaces) or None
        One-sided, under the null of `test`.
    p_family : float64 array of shape (n_centres, n_spaces) or None
        Against the largest r over all centres of each drawn permutation, per space; only with drawn permutations.
    null_mean, null_sd, null_skewness : float64 arrays of shape (n_centres, n_spaces) or None
        Of r over all permutations, in closed form.
    se, low, high : float64 arrays of shape (n_centres, n_spaces) or None
        Standard error and interval of r over stimuli, by the infinitesimal jackknife.
    controls : tuple of str
        Spaces that were held constant.
    partial_r, partial_se, partial_low, partial_high, partial_p : float64 arrays (n_centres, n_spaces) or None
        Partial correlation given the controls, its standard error and interval over stimuli, and its one-sided p by the
        jackknife; NaN for the controls.
    pairs : tuple of (first, second)
        Spaces compared.
    difference, difference_se, difference_low, difference_high, difference_p : arrays (n_centres, n_pairs) or None
        r of the first less r of the second; its standard error and interval over stimuli; p, two-sided, under the null
        that both are equally related to the brain there.
    partial_difference, partial_difference_se, .._low, .._high, .._p : arrays (n_centres, n_pairs) or None
        The same of partial correlations.
    level : float
        Coverage of the intervals.
    bound : float64 array of shape (n_centres, n_spaces) or None
        No further is a Spearman r from that of sorted similarities.
    test : "closed", "drawn" or "none"
    n_permutations : int
        Drawn; 0 otherwise.
    null : str
        The null of p, in words; "" without a test.
    """

    subject: str
    spaces: tuple[str, ...]
    metrics: tuple[str, ...]
    statistic: str
    brain_metric: str
    within_run: str
    n_stimuli: int
    n_pairs: int
    neighbourhoods: Neighbourhoods
    space_r: Floats
    r: Floats
    p: Floats | None = None
    p_family: Floats | None = None
    null_mean: Floats | None = None
    null_sd: Floats | None = None
    null_skewness: Floats | None = None
    se: Floats | None = None
    low: Floats | None = None
    high: Floats | None = None
    controls: tuple[str, ...] = ()
    partial_r: Floats | None = None
    partial_se: Floats | None = None
    partial_low: Floats | None = None
    partial_high: Floats | None = None
    partial_p: Floats | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    difference: Floats | None = None
    difference_se: Floats | None = None
    difference_low: Floats | None = None
    difference_high: Floats | None = None
    difference_p: Floats | None = None
    partial_difference: Floats | None = None
    partial_difference_se: Floats | None = None
    partial_difference_low: Floats | None = None
    partial_difference_high: Floats | None = None
    partial_difference_p: Floats | None = None
    level: float = 0.95
    bound: Floats | None = None
    test: str = "none"
    n_permutations: int = 0
    null: str = ""

    def __repr__(self) -> str:
        what = "parcels" if self.neighbourhoods.names else "centres"
        return (
            f"<Searchlight {self.subject}: {self.statistic}, {len(self.r)} {what}, spaces {cut_short(self.spaces)}, "
            f"{self.n_stimuli} stimuli>"
        )

    @property
    def q(self) -> Floats | None:
        """Benjamini-Hochberg over the centres, in each space by itself; (n_centres, n_spaces)."""
        return None if self.p is None else _over_centres(self.p)

    @property
    def difference_q(self) -> Floats | None:
        """Benjamini-Hochberg over the centres, in each pair of spaces by itself."""
        return None if self.difference_p is None else _over_centres(self.difference_p)

    @property
    def partial_q(self) -> Floats | None:
        """Benjamini-Hochberg over the centres, in each space by itself; NaN for the controls."""
        return None if self.partial_p is None else _over_centres(self.partial_p)

    @property
    def partial_difference_q(self) -> Floats | None:
        """Benjamini-Hochberg over the centres, in each pair of spaces by itself."""
        return None if self.partial_difference_p is None else _over_centres(self.partial_difference_p)

    def regression(self, spaces: Sequence[str] | None = None) -> RegressionRSA:
        """Multiple regression of similarities of patterns (or their ranks) on those of these spaces, by default all.

        See :func:`regression_rsa`. It needs no other pass, for the correlations say all.
        """
        return regression_rsa(self._correlations(), spaces)

    def partial(self, given: Sequence[str]) -> pd.DataFrame:
        """Partial correlation with every other space, these given; centres × spaces. See :func:`partial_rsa`."""
        return partial_rsa(self._correlations(), given=given)

    def table(self) -> pd.DataFrame:
        """One row per centre and space: ``centre`` (or ``parcel``), ``space``, ``n_voxels``, ``r``, and what is known.

        Further columns, where they were asked for: ``p``, ``q``, ``p_family``, ``se``, ``low``, ``high``,
        ``partial_r``, ``partial_se``, ``partial_low``, ``partial_high``, ``partial_p``, ``partial_q``, ``bound``.
        """
        n_centres, n_spaces = self.r.shape
        known = {
            "r": self.r,
            "p": self.p,
            "q": self.q,
            "p_family": self.p_family,
            "se": self.se,
            "low": self.low,
            "high": self.high,
            "partial_r": self.partial_r,
            "partial_se": self.partial_se,
            "partial_low": self.partial_low,
            "partial_high": self.partial_high,
            "partial_p": self.partial_p,
            "partial_q": self.partial_q,
            "bound": self.bound,
        }
        label, centres = self._centres()
        return pd.DataFrame(
            {
                label: np.repeat(centres, n_spaces),
                "space": np.tile(np.array(self.spaces, object), n_centres),
                "n_voxels": np.repeat(self.neighbourhoods.sizes, n_spaces),
                **{name: values.ravel() for name, values in known.items() if values is not None},
            }
        )

    def difference_table(self) -> pd.DataFrame:
        """One row per centre and pair of spaces.

        ``centre`` (or ``parcel``), ``first``, ``second``, ``difference``, ``se``, ``low``, ``high``, ``p``, ``q``; the
        same of partial correlations as ``partial_difference`` to ``partial_q``, where there are controls.
        """
        label, centres = self._centres()
        n_pairs = len(self.pairs)
        first, second = (np.array([pair[k] for pair in self.pairs], object) for k in range(2))
        known = {
            "difference": self.difference,
            "se": self.difference_se,
            "low": self.difference_low,
            "high": self.difference_high,
            "p": self.difference_p,
            "q": self.difference_q,
        }
        beyond = {
            "partial_difference": self.partial_difference,
            "partial_se": self.partial_difference_se,
            "partial_low": self.partial_difference_low,
            "partial_high": self.partial_difference_high,
            "partial_p": self.partial_difference_p,
            "partial_q": self.partial_difference_q,
        }
        return pd.DataFrame(
            {
                label: np.repeat(centres, n_pairs),
                "first": np.tile(first, len(self.r)),
                "second": np.tile(second, len(self.r)),
                **{name: [] if values is None else values.ravel() for name, values in known.items()},
                **{name: values.ravel() for name, values in beyond.items() if values is not None},
            }
        )

    def on_voxels(self, values: ArrayLike, n_voxels: int) -> Floats:
        """Values of the centres laid out on the voxels of the recording, for a map; NaN where no centre is.

        Parameters
        ----------
        values : array of shape (n_centres,) or (n_centres, n_columns)
        n_voxels
            Of the recording.

        Returns
        -------
        array of shape (n_voxels,) or (n_columns, n_voxels)
            A voxel in several parcels has the value of the last one.
        """
        given = np.asarray(values, np.float64)
        if len(given) != len(self.r):
            raise InputError(f"{len(given)} values are given for {len(self.r)} centres", remedy="give one per centre")
        laid = np.full((n_voxels, *given.shape[1:]), np.nan)
        if self.neighbourhoods.centres is not None:
            laid[self.neighbourhoods.centres] = given
        else:
            laid[self.neighbourhoods.voxels] = np.repeat(given, self.neighbourhoods.sizes, axis=0)
        return laid.T

    def of_space(self, name: str) -> int:
        """The column of a space."""
        if name not in self.spaces:
            raise InputError(f"there is no space '{name}'", remedy=f"choose one of {cut_short(self.spaces)}")
        return self.spaces.index(name)

    def _correlations(self) -> _Held:
        if self.statistic == "kendall":
            raise InputError("tau-a is no correlation to regress with", remedy="use pearson or spearman")
        return _Held(self.spaces, self.n_pairs, self.r, self.space_r)

    def _centres(self) -> tuple[str, NDArray[np.object_] | NDArray[np.int32]]:
        held = self.neighbourhoods
        if held.names:
            return "parcel", np.array(held.names, object)
        return "centre", np.arange(len(held), dtype=np.int32) if held.centres is None else held.centres


class _Held(NamedTuple):
    """The correlations of a searchlight, as regressions take them."""

    models: tuple[str, ...]
    n_pairs: int
    r: Floats
    model_r: Floats


def _over_centres(p: Floats) -> Floats:
    return np.stack([false_discovery_rate(column) for column in p.T], axis=1)
