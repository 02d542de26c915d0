"""The figures of docs/brain-figures.md: five simulated people whose areas follow two spaces, from recordings to maps.

python examples/brain_figures/figures.py docs/images
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from affectome.neural import (
    compare_encodings,
    component_consistency,
    component_maps,
    encode,
    encoding_significance,
    partition_variance,
    region_scores,
    region_tests,
    winner_map,
)
from affectome.neural.statistics import compare_group
from affectome.plotting import (
    plot_component_consistency,
    plot_component_maps,
    plot_difference_map,
    plot_glass_brain,
    plot_partition_parts,
    plot_region_bars,
    plot_region_partition,
    plot_slices,
    plot_surface,
    plot_voxel_scatter,
    plot_winner_map,
    save_figure,
)
from affectome.report import write_brain_view
from affectome.simulation import simulate_subjects

AREAS = {"V1": {}, "MST": {"mllm": 0.35}, "TPOJ1": {"mllm": 0.3}, "PGi": {"mllm": 0.2, "human_category": 0.1},
         "STSda": {"human_category": 0.3}, "EC": {"human_category": 0.2}, "9m": {"mllm": 0.15}, "10r": {}}  # fmt: skip
LABELS = {"mllm": "MLLM", "human_category": "Human (category)"}


def simulate():
    """Two spaces of 300 stimuli that share half of their variance, and five people."""
    rng = np.random.default_rng(0)
    ids, shared = [f"{k:03d}" for k in range(300)], rng.gamma(0.5, size=(300, 6))
    spaces = {name: pd.DataFrame(shared + rng.gamma(0.5, size=(300, 6)), ids, [f"{name} {k + 1}" for k in range(6)])
              for name in LABELS}  # fmt: skip
    return spaces, simulate_subjects(spaces, AREAS, n_subjects=5, n_runs=12, radius=12, seed=0).recordings


def both_sides(recording):
    """Areas of the left and right hemisphere together."""
    pairs = {area: (f"hcp180_r_lh.L_{area}_ROI", f"hcp180_r_rh.R_{area}_ROI") for area in AREAS}
    return {area: recording.rois[left] | recording.rois[right] for area, (left, right) in pairs.items()}


def main(folder):
    spaces, recordings = simulate()
    recordings = [type(one)(one.subject, one.responses, one.trials, one.geometry, both_sides(one), one.source)
                  for one in recordings]  # fmt: skip
    encodings = {name: [encode(space, one, name=name) for one in recordings] for name, space in spaces.items()}
    pairs = [compare_encodings(*two, one) for *two, one in zip(*encodings.values(), recordings, strict=True)]
    first, geometry = recordings[0], recordings[0].geometry
    found = encoding_significance(encodings["mllm"][0], first, n_permutations=200, block_length=5, seed=0)
    significant, r = found.q < 0.05, encodings["mllm"][0].r
    scores = pd.concat([region_scores(one, recording) for each in encodings.values()
                        for one, recording in zip(each, recordings, strict=True)])  # fmt: skip
    group = compare_group(scores, reference="mllm", tests=region_tests(pairs), seed=0)
    partition = partition_variance(spaces, first, seed=0)
    maps = [component_maps(one, recording) for one, recording in zip(encodings["mllm"], recordings, strict=True)]
    winners = winner_map([each[0] for each in encodings.values()], mask=significant)
    title = "Simulated person: MLLM"
    figures = {
        "slices": plot_slices(r, geometry, "Held-out r", significant=significant, title=title),
        "surface": plot_surface(r, geometry, "Held-out r", significant=significant, title=title),
        "glass": plot_glass_brain(r, geometry, "Held-out r", significant=significant, title=title),
        "regions": plot_region_bars(scores, group, LABELS, lines=True, title="Five simulated people"),
        "difference": plot_difference_map(pairs[0], geometry, LABELS, on="surface"),
        "winner": plot_winner_map(winners, geometry, LABELS, on="surface"),
        "scatter": plot_voxel_scatter(pairs[0], LABELS),
        "partition": plot_region_partition(partition, LABELS),
        "parts": plot_partition_parts(partition, LABELS, region="PGi"),
        "components": plot_component_maps(maps[0], on="surface", columns=2, title=title),
        "consistency": plot_component_consistency(component_consistency(maps, n_permutations=200, seed=0)),
    }  # fmt: skip
    for name, figure in figures.items():
        save_figure(figure, folder, f"brain_{name}", ("png",))
    write_brain_view(Path(folder) / "brain_view.html", r, geometry, "Held-out r", on="surface", title=title)


if __name__ == "__main__":
    main(sys.argv[1])
