"""The few directions of a space along which voxels differ: principal components of encoding weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._resampling import permutation_p
from affectome._seeds import named_seed
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.encoding._components import kept_voxels
from affectome.neural.encoding._result import Encoding
from affectome.neural.recordings import Recording
from affectome.neural.statistics._blocks import BlockPermutations, block_permutations

__all__ = ["WeightComponents", "weight_components"]

Floats = NDArray[np.float64]

_DIRECTION = 1e-6  # of the largest singular value: a direction that the design does not have


@dataclass(frozen=True, eq=False)
class WeightComponents:
    """Principal components of the weights of one space, pooled over people.

    Attributes
    ----------
    space : str
    loadings : DataFrame, index the features, columns ``PC 1`` ..
        Unit vectors; the largest absolute loading of each is positive.
    table : DataFrame, index the components
        ``share`` (of the variance of weights), ``cumulative``, ``null`` and ``null_high`` (median and 95th percentile
        of the variance of the same component under the null, over the observed total), ``p`` (one-sided).
    retained : int
        Components before the first with p > .05.
    held_out : DataFrame
        One row per person and number of components: ``subject``, ``n_components``, ``explained`` (variance of this
        person's weights in the span of the first components of the *others*), ``best`` (of this person's own),
        ``stimuli`` (of the principal components of the design itself), ``null`` (median), ``p`` (one-sided). Empty
        with one person.
    scores : dict from subject to float32 array of shape (n_components, n_voxels)
        The weights of every voxel along the components; NaN in voxels left out.
    n_permutations : int
    null : str
        The null hypothesis, as a sentence.
    """

    space: str
    loadings: pd.DataFrame
    table: pd.DataFrame
    retained: int
    held_out: pd.DataFrame
    scores: dict[str, NDArray[np.float32]]
    n_permutations: int
    null: str


def weight_components(
    encodings: Sequence[Encoding],
    recordings: Sequence[Recording],
    *,
    n_components: int = 10,
    masks: Mapping[str, NDArray[np.bool_]] | None = None,
    n_permutations: int = 200,
    blocks: str | None = None,
    block_length: int | None = None,
    within: Literal["run"] | None = "run",
    seed: int,
    progress: Progress = silent,
) -> WeightComponents:
    r"""Find the directions of a space along which weights vary most over voxels, and whether people share them.

    Parameters
    ----------
    encodings, recordings
        One each per person, of one space, in the same order. Recordings are taken one after the other, once, and what
        is kept of each are the responses of the chosen voxels.
    n_components
        At most as many as the space has features.
    masks : mapping from subject to bool array of shape (n_voxels,), optional
        Voxels to take; by default all that have an r. The null takes the mask as given, so that p holds for masks made
        without this encoding (anatomy, a noise ceiling, other runs). Voxels chosen because this encoding predicts them
        have larger weights along what the design varies most, in everybody, and p is too small.
    n_permutations, blocks, block_length, within
        Of the trials, see :func:`block_permutations`.
    seed
        Of the permutations; each person has its own.
    progress
        Told after every permutation.

    Returns
    -------
    WeightComponents

    Notes
    -----
    The weights of a voxel are those of one ridge over all trials, features z of mean 0 and s.d. 1:

    .. math:: w_v = (Z'Z + \alpha I)^{-1} Z' y_v

    with one penalty for all voxels of a person, the median of those that the encoding chose. A penalty per voxel would
    be smallest where noise happened to fit, and blow those weights up. The weights are centred over the voxels of a
    person, and scaled by the variance of the person's responses, so that neither units nor the number of voxels make
    anybody count more. The components are eigenvectors of the mean over people of the second moments.

    **Null.** The responses, in blocks of trials, are exchangeable with respect to the stimuli. Whole trials are
    permuted, all voxels alike, separately for each person, and the weights are computed anew with the same penalty.
    This keeps what makes components out of noise alone: the correlations of the features, which shape the noise of
    weights alike in everybody who saw the same stimuli, and the correlations of voxels. Shares of independent
    surrogate voxels (parallel analysis) would be too small, for neighbours are alike. p = (b + 1) /
    (n_permutations + 1), of the variance of the first component, the second, and so on; the test stops at the first
    that fails. Beyond the first it is conservative, for the permutation turns earlier components into noise as well.

    **Others' components.** For each person, those of the other people [1]_: `explained` beside `stimuli` says whether
    the brain picks directions that the stimuli do not simply vary most along, beside `null` whether anything is shared.

    No interval is given: people are too few, and voxels are not independent.

    References
    ----------
    .. [1] Huth, Nishimoto, Vu & Gallant (2012). A continuous semantic space describes the representation of thousands
       of object and action categories across the human brain. Neuron 76, 1210-1224.
    """
    _check(encodings, recordings, n_components, n_permutations)
    people, drawn = [], []
    for encoding, recording in zip(encodings, recordings, strict=True):  # each is looked at once
        people.append(_Person(encoding, recording, None if masks is None else masks.get(encoding.subject)))
        own_seed = named_seed(seed, encoding.subject)
        drawn.append(
            _in_random_order(
                block_permutations(
                    recording.trials.iloc[encoding.rows],
                    blocks=blocks,
                    block_length=block_length,
                    within=within,
                    n_permutations=n_permutations,
                    seed=own_seed,
                ),
                own_seed,
            )
        )
    n_shown = min(n_components, len(encodings[0].features))
    moments = np.stack([person.second_moment(None) for person in people])
    stimuli = np.stack([person.stimuli for person in people])
    observed = _Spread(moments, stimuli, n_shown)
    n_drawn = min(one.n_permutations for one in drawn)
    nulls = []
    for draw in range(n_drawn):
        permuted = [person.second_moment(one.orders[draw]) for person, one in zip(people, drawn, strict=True)]
        nulls.append(_Spread(np.stack(permuted), stimuli, n_shown))
        progress(draw + 1, n_drawn)
    names = pd.Index([f"PC {place + 1}" for place in range(n_shown)], name="component")
    table = _component_table(observed, nulls, names)
    failed = np.flatnonzero(~(table["p"].to_numpy() <= 0.05))
    features = pd.Index(encodings[0].features, name="feature")
    return WeightComponents(
        space=encodings[0].space,
        loadings=pd.DataFrame(observed.vectors[:, :n_shown], index=features, columns=names),
        table=table,
        retained=int(failed[0]) if len(failed) else n_shown,
        held_out=_held_out_table(observed, nulls, [one.subject for one in encodings], n_shown),
        scores={
            one.subject: person.scores(observed.vectors[:, :n_shown])
            for one, person in zip(encodings, people, strict=True)
        },
        n_permutations=n_drawn,
        null=f"Nothing is encoded: {drawn[0].null}, in every person.",
    )


def _check(
    encodings: Sequence[Encoding], recordings: Sequence[Recording], n_components: int, n_permutations: int
) -> None:
    if not encodings or len(encodings) != len(recordings):
        raise InputError(
            f"{len(encodings)} encodings and {len(recordings)} recordings are no pairs",
            remedy="give one each per person",
        )
    if n_components < 1:
        raise InputError(f"n_components={n_components} shows nothing", remedy="use n_components >= 1")
    banded = [one.subject for one in encodings if one.band_weights is not None]
    if banded:
        raise InputError(
            f"the encodings of {cut_short(banded)} have a penalty for every band",
            source=encodings[0].space,
            remedy="encode the space without bands: its components are those of weights under one penalty",
        )
    subjects = [one.subject for one in encodings]
    if len(set(subjects)) < len(subjects):
        raise InputError(
            f"there are two encodings of {max(subjects, key=subjects.count)}", remedy="give one per person"
        )
    first = encodings[0]
    for other in encodings[1:]:
        if (other.space, other.features) != (first.space, first.features):
            raise InputError(
                f"the encodings of {first.subject} and {other.subject} are of different spaces or features",
                remedy="give encodings of one space",
            )
    if len(first.features) < 2:
        raise InputError(f"the space {first.space} has one feature", remedy="give a space with at least two")


def _in_random_order(permutations: BlockPermutations, seed: int) -> BlockPermutations:
    """Drawn rearrangements as they are; all of them, which come sorted, in an order of this person's own.

    Sorted, people with equal designs would be rearranged alike, and beside a person who has fewer only the last blocks
    of the others would ever move.
    """
    if not permutations.exact:
        return permutations
    return replace(permutations, orders=np.random.default_rng(seed).permutation(permutations.orders))


class _Person:
    """Everything of one person but the order of the trials."""

    def __init__(self, encoding: Encoding, recording: Recording, mask: NDArray[np.bool_] | None) -> None:
        self.kept = kept_voxels(encoding, recording, mask)
        design = encoding.design.astype(np.float64)
        spread = design.std(axis=0)
        z = (design - design.mean(axis=0)) / np.where(spread == 0, 1.0, spread)
        self.stimuli = z.T @ z / len(z)
        left, singular, right = np.linalg.svd(z, full_matrices=False)
        there = singular > _DIRECTION * singular[0]
        self.left = left[:, there].astype(np.float32)
        self.right = right[there]
        self.responses = recording.responses[np.ix_(encoding.rows, np.flatnonzero(self.kept))].astype(
            np.float32, copy=False
        )
        self.responses -= self.responses.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.total = float(np.einsum("tv,tv->", self.responses, self.responses, dtype=np.float64))
        alpha = np.exp(np.median(np.log(encoding.alpha[:, self.kept].astype(np.float64))))
        self.gains = (singular[there, None] / (singular[there, None] ** 2 + alpha)).astype(np.float32)

    def _rotated(self, order: NDArray[np.int32] | None) -> NDArray[np.float32]:
        """Weights on the principal axes of the design, centred over voxels, (rank, n_kept)."""
        left = self.left if order is None else self.left[np.argsort(order)]
        weights: NDArray[np.float32] = self.gains * (left.T @ self.responses)
        weights -= weights.mean(axis=1, keepdims=True)
        return weights

    def second_moment(self, order: NDArray[np.int32] | None) -> Floats:
        """Second moment of the weights on the features over that of the responses, with the responses in this order."""
        weights = self._rotated(order)
        moment: Floats = self.right.T @ (weights @ weights.T).astype(np.float64) @ self.right / self.total
        return moment

    def scores(self, vectors: Floats) -> NDArray[np.float32]:
        """Weights along these directions, (n_directions, n_voxels)."""
        along = np.full((vectors.shape[1], len(self.kept)), np.nan, np.float32)
        along[:, self.kept] = (self.right @ vectors).T.astype(np.float32) @ self._rotated(None)
        return along


class _Spread:
    """Eigenvalues of the mean moment, and what the eigenvectors of the others explain in each person."""

    def __init__(self, moments: Floats, stimuli: Floats, n_shown: int) -> None:
        self.values, self.vectors = _falling(moments.mean(axis=0))
        n = len(moments)
        self.explained, self.best, self.by_stimuli = np.full((3, n, n_shown), np.nan)
        if n == 1:
            return
        for person in range(n):
            others = moments[np.arange(n) != person].mean(axis=0)
            self.explained[person] = _explained(moments[person], _falling(others)[1], n_shown)
            self.by_stimuli[person] = _explained(moments[person], _falling(stimuli[person])[1], n_shown)
            self.best[person] = _explained(moments[person], _falling(moments[person])[1], n_shown)


def _falling(moment: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues, largest first, and eigenvectors whose largest entry is positive."""
    values, vectors = np.linalg.eigh(moment)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    return values, vectors * signs


def _explained(moment: Floats, vectors: Floats, n_shown: int) -> Floats:
    """Share of a moment in the span of the first 1, 2, .. vectors."""
    along = np.einsum("fk,fg,gk->k", vectors[:, :n_shown], moment, vectors[:, :n_shown])
    cumulative: Floats = np.cumsum(along) / np.trace(moment)
    return cumulative


def _component_table(observed: _Spread, nulls: Sequence[_Spread], names: pd.Index) -> pd.DataFrame:
    n_shown = len(names)
    total = observed.values.sum()
    shares = np.stack([null.values[:n_shown] for null in nulls]) / total
    return pd.DataFrame(
        {
            "share": observed.values[:n_shown] / total,
            "cumulative": np.cumsum(observed.values)[:n_shown] / total,
            "null": np.median(shares, axis=0),
            "null_high": np.quantile(shares, 0.95, axis=0),
            "p": permutation_p(observed.values[:n_shown] / total, shares, rounding=1e-6),
        },
        index=names,
    )


def _held_out_table(observed: _Spread, nulls: Sequence[_Spread], subjects: list[str], n_shown: int) -> pd.DataFrame:
    explained = np.stack([null.explained for null in nulls])
    table = pd.DataFrame(
        {
            "subject": np.repeat(subjects, n_shown),
            "n_components": np.tile(np.arange(1, n_shown + 1), len(subjects)),
            "explained": observed.explained.ravel(),
            "best": observed.best.ravel(),
            "stimuli": observed.by_stimuli.ravel(),
            "null": np.median(explained, axis=0).ravel(),
            "p": permutation_p(observed.explained, explained, rounding=1e-6).ravel(),
        }
    )
    return table.iloc[:0] if len(subjects) == 1 else table
