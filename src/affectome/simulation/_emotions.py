"""A small world of emotional clips in which everything is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._seeds import named_seed
from affectome.embedding import component_names
from affectome.errors import InputError
from affectome.judges import FeatureJudge, ask
from affectome.stimuli import StimulusSet
from affectome.triplets import Design, TripletSet, sample_triplets

__all__ = ["SimulatedEmotions", "simulate_emotions"]

#: Emotions that planted components stand for, each with words that its captions use.
VOCABULARY: dict[str, tuple[str, ...]] = {
    "Joy": ("laughing children", "a party", "a happy dog"),
    "Fear": ("a dark corridor", "a falling climber", "a snarling wolf"),
    "Sadness": ("a funeral", "a crying woman", "an empty chair"),
    "Disgust": ("rotten food", "crawling maggots", "an open wound"),
    "Awe": ("a vast canyon", "northern lights", "a breaking wave"),
    "Amusement": ("a clumsy cat", "a silly dance", "a failed prank"),
    "Romance": ("a kissing couple", "a wedding", "two people holding hands"),
    "Anger": ("a shouting man", "a street fight", "a slammed door"),
    "Calmness": ("a still lake", "slow clouds", "a sleeping baby"),
    "Craving": ("melting chocolate", "a grilled steak", "fresh bread"),
    "Surprise": ("a sudden jump", "a magic trick", "a hidden guest"),
    "Pride": ("a medal ceremony", "a graduation", "a raised flag"),
}

#: Where each emotion lies on two broad dimensions, valence and arousal, on the scale of 1 to 9.
AFFECT: dict[str, tuple[float, float]] = {
    "Joy": (8.0, 6.5),
    "Fear": (2.5, 7.5),
    "Sadness": (2.0, 3.5),
    "Disgust": (2.0, 6.0),
    "Awe": (7.0, 6.0),
    "Amusement": (7.5, 5.5),
    "Romance": (7.5, 5.0),
    "Anger": (2.0, 7.0),
    "Calmness": (6.5, 2.0),
    "Craving": (6.5, 5.0),
    "Surprise": (5.5, 7.0),
    "Pride": (7.5, 6.0),
}


@dataclass(frozen=True, eq=False)
class SimulatedEmotions:
    """Stimuli with planted components.

    Attributes
    ----------
    planted : DataFrame of shape (n_stimuli, n_components)
        The true embedding: non-negative and sparse.
    stimuli : StimulusSet
        With captions and the spaces ``planted``, ``category`` (noisy shares of raters, 0..1) and
        ``dimension`` (noisy means, 1..9), both made from `planted`.
    seed : int
    """

    planted: pd.DataFrame
    stimuli: StimulusSet
    seed: int

    def judge(self, *, temperature: float | None = 1.0, seed: int = 0) -> FeatureJudge:
        """A judge that follows the planted embedding.

        At temperature 1 its choice probabilities are the SPoSE model's own; None makes it noiseless.
        """
        return FeatureJudge(self.planted, metric="dot", temperature=temperature, seed=seed)

    def sample_answers(
        self, n: int, *, design: Design = "random", temperature: float | None = 1.0, seed: int = 0
    ) -> TripletSet:
        """Draw `n` triplets and let the planted judge answer them."""
        questions = sample_triplets(self.planted.index.tolist(), n, design=design, seed=named_seed(seed, "questions"))
        return ask(self.judge(temperature=temperature, seed=named_seed(seed, "answers")), questions)


def simulate_emotions(
    n_stimuli: int = 200, n_components: int = 6, *, strength: float = 2.0, rating_noise: float = 0.05, seed: int
) -> SimulatedEmotions:
    """Plant sparse components and make ratings and captions from them.

    Parameters
    ----------
    n_stimuli
    n_components
        At most 12, the emotions of the vocabulary.
    strength
        Typical weight of a stimulus on its main component. With 2, the planted judge at temperature 1
        repeats its own modal answer in about .67 of random triplets of 200 stimuli with 6 components.
    rating_noise
        Standard deviation of the noise in the ratings, as a share of their range.
    seed

    Returns
    -------
    SimulatedEmotions

    Notes
    -----
    Every stimulus has one main component (components take turns, so that each has equally many),
    and with probability one half a second, weaker one. All other weights are zero.
    """
    if not 1 <= n_components <= len(VOCABULARY):
        raise InputError(f"{n_components} components were asked for", remedy=f"ask for 1 to {len(VOCABULARY)}")
    if n_stimuli < max(3, n_components):
        raise InputError(f"{n_stimuli} stimuli were asked for", remedy=f"ask for at least {max(3, n_components)}")
    rng = np.random.default_rng(seed)
    emotions = list(VOCABULARY)[:n_components]
    main = rng.permutation(np.arange(n_stimuli) % n_components)
    weights = np.zeros((n_stimuli, n_components))
    weights[np.arange(n_stimuli), main] = strength * rng.uniform(0.6, 1.4, n_stimuli)
    if n_components > 1:
        second = (main + rng.integers(1, n_components, n_stimuli)) % n_components
        weights[np.arange(n_stimuli), second] = (
            strength * rng.uniform(0.2, 0.6, n_stimuli) * (rng.random(n_stimuli) < 0.5)
        )
    ids = [f"clip{i + 1:0{len(str(n_stimuli))}d}" for i in range(n_stimuli)]
    index = pd.Index(ids, name="id")
    planted = pd.DataFrame(weights.astype(np.float32), index=index, columns=component_names(n_components))
    share = weights / weights.sum(axis=1, keepdims=True)
    category = pd.DataFrame(
        np.clip(share + rng.normal(0, rating_noise, share.shape), 0, 1), index=index, columns=emotions
    )
    dimension = pd.DataFrame(_affect(share, emotions, rating_noise, rng), index=index, columns=["valence", "arousal"])
    stimuli = StimulusSet(
        tuple(ids),
        captions=captions_of(ids, share, emotions, rng),
        spaces={"planted": planted, "category": category, "dimension": dimension},
        source="the simulated stimuli",
    )
    return SimulatedEmotions(stimuli.spaces["planted"], stimuli, seed)


def _affect(
    share: NDArray[np.float64], emotions: list[str], noise: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    corners = np.array([AFFECT[name] for name in emotions])  # (k, 2)
    noisy = share @ corners + rng.normal(0, 8 * noise, (len(share), 2))
    bounded: NDArray[np.float64] = np.clip(noisy, 1, 9)
    return bounded


def captions_of(
    ids: list[str], share: NDArray[np.float64], emotions: list[str], rng: np.random.Generator, n_each: int = 3
) -> dict[str, tuple[str, ...]]:
    """Sentences whose words are drawn from a stimulus's emotions by their shares."""
    captions: dict[str, tuple[str, ...]] = {}
    for i, name in enumerate(ids):
        drawn = rng.choice(len(emotions), size=n_each, p=share[i])
        words = [VOCABULARY[emotions[k]] for k in drawn]
        captions[name] = tuple(f"The clip shows {options[rng.integers(len(options))]}." for options in words)
    return captions
