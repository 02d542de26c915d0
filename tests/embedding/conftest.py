"""Small planted worlds, and plain NumPy twins of what the kernels compute."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from affectome.simulation import simulate_emotions


@pytest.fixture(scope="session")
def planted():
    return simulate_emotions(40, 3, seed=0)


@pytest.fixture(scope="session")
def trials(planted):
    """6,000 different triplets, answered with probabilities."""
    return planted.sample_answers(6000, seed=1)


def kept_similarities(x, triplets):
    """Similarity of the pair that stays when slot 0, 1, 2 is called odd; (t, 3)."""
    a, b, c = np.asarray(x, np.float64)[np.asarray(triplets).T]
    return np.stack([(b * c).sum(1), (a * c).sum(1), (a * b).sum(1)], axis=1)


def choice_losses(x, triplets, q, offsets=(0, 0, 0)):
    """Cross-entropy of the softmax choice against q, one per trial, in float64."""
    s = kept_similarities(x, triplets) + np.asarray(offsets)
    return logsumexp(s, axis=1) - (q * s).sum(axis=1)


def choice_gradient(x, triplets, q, offsets=(0, 0, 0)):
    """Gradient of the mean of `choice_losses` by x."""
    d = softmax(kept_similarities(x, triplets) + np.asarray(offsets), axis=1) - q
    g = np.zeros_like(x)
    for slot in range(3):  # calling `slot` odd keeps the other two
        i, j = (triplets[:, other] for other in range(3) if other != slot)
        np.add.at(g, i, d[:, [slot]] * x[j])
        np.add.at(g, j, d[:, [slot]] * x[i])
    return g / len(triplets)


def adam_run(x, triplets, q, *, batch, rate, l1, beta1=0.9, beta2=0.999, offsets=(0, 0, 0)):
    """Adam over the trials in order: the L1 term shifts the gradient, then weights are projected onto X >= 0.

    A weight stays where it is until the first gradient reaches it.
    """
    x = np.array(x, np.float64)
    m, v, total, step = np.zeros_like(x), np.zeros_like(x), 0.0, 0
    for low in range(0, len(triplets), batch):
        rows = slice(low, low + batch)
        total += choice_losses(x, triplets[rows], q[rows], offsets).sum()
        g = choice_gradient(x, triplets[rows], q[rows], offsets)
        step += 1
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        moved = x - rate * (m / (1 - beta1**step) + l1) / (np.sqrt(v / (1 - beta2**step)) + 1e-8)
        x = np.where(v > 0, np.maximum(moved, 0), x)
    return x, m, v, total, step


@pytest.fixture(scope="session")
def losses_twin():
    return choice_losses


@pytest.fixture(scope="session")
def gradient_twin():
    return choice_gradient


@pytest.fixture(scope="session")
def similarities_twin():
    return kept_similarities


@pytest.fixture(scope="session")
def adam_twin():
    return adam_run
