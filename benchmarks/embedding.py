"""Triplets per second: our SPoSE fit against the field's one-hot formulation, side by side.

The reference turns every triplet into three one-hot rows, multiplies them with the weights, and takes
one Adam step (1e-3) per 100 triplets with an L1 and a positivity penalty: the form in which SPoSE is
usually written in torch. Both sides get the same two million choices over 2,185 stimuli and the same two
threads, in turn, and the median ratio of the rounds is reported.

    pip install torch==2.13.0
    python benchmarks/embedding.py

The last line is JSON: throughput_ratio_30, throughput_ratio_100 and the rates behind them.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings

import numpy as np
import torch

from affectome.embedding import SPoSE
from affectome.judges import FeatureJudge, ask
from affectome.simulation import simulate_emotions
from affectome.triplets import sample_triplets

N_STIMULI, N_TRIALS, THREADS, ROUNDS, REFERENCE_STEPS, OUR_EPOCHS = 2185, 2_000_000, 2, 5, 600, 3


def reference_rate(odd_last: torch.Tensor, components: int, steps: int) -> float:
    """Triplets per second of the one-hot formulation, batch 100."""
    generator = torch.Generator().manual_seed(0)
    start = 0.1 + 0.01 * torch.randn(components, N_STIMULI, generator=generator)
    weights = torch.nn.Linear(N_STIMULI, components, bias=False)
    weights.weight.data.copy_(start)
    optimiser = torch.optim.Adam(weights.parameters(), lr=1e-3)
    one_hot = torch.eye(N_STIMULI)
    begin = time.perf_counter()
    for step in range(steps):
        batch = odd_last[100 * step : 100 * (step + 1)]
        rows = weights(one_hot[batch.flatten()]).view(-1, 3, components)
        i, j, k = rows.unbind(dim=1)
        logits = torch.stack([(i * j).sum(1), (i * k).sum(1), (j * k).sum(1)], dim=1)
        loss = torch.nn.functional.cross_entropy(logits, torch.zeros(len(batch), dtype=torch.long))
        loss = loss + 0.003 / N_STIMULI * weights.weight.abs().sum() + 0.01 * torch.relu(-weights.weight).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return 100 * steps / (time.perf_counter() - begin)


def our_rate(odd_last: np.ndarray, components: int, epochs: int) -> float:
    """Triplets per second of a fit as a user runs it, but for the number of epochs and a single start."""
    model = SPoSE(components, tol=0, max_epochs=epochs, n_init=1, random_state=0, n_jobs=THREADS)
    begin = time.perf_counter()
    model.fit(odd_last, n_stimuli=N_STIMULI)
    return epochs * len(odd_last) / (time.perf_counter() - begin)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(THREADS)
    world = simulate_emotions(N_STIMULI, 12, seed=0)
    questions = sample_triplets(world.stimuli.ids, N_TRIALS, seed=1)
    odd_last = ask(FeatureJudge(world.stimuli.spaces["category"], seed=2), questions).odd_last()
    in_torch = torch.from_numpy(odd_last).long()
    our_rate(odd_last[:100_000], 30, 1)  # compiles
    report: dict[str, float] = {}
    for components in (30, 100):
        rounds = [
            (our_rate(odd_last, components, OUR_EPOCHS), reference_rate(in_torch, components, REFERENCE_STEPS))
            for _ in range(ROUNDS)
        ]
        ratios = [ours / theirs for ours, theirs in rounds]
        print(f"{components} components: ours / one-hot, triplets per second, round by round:")
        for (ours, theirs), ratio in zip(rounds, ratios, strict=True):
            print(f"  {ours:12,.0f} / {theirs:9,.0f} = {ratio:6.0f}")
        report[f"throughput_ratio_{components}"] = round(statistics.median(ratios), 1)
        report[f"triplets_per_s_{components}"] = round(statistics.median(ours for ours, _ in rounds))
        report[f"one_hot_triplets_per_s_{components}"] = round(statistics.median(theirs for _, theirs in rounds))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
