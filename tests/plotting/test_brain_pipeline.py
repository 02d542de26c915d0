"""Every figure of the brain takes what the analyses return, and tells the planted truth of simulated people."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from affectome import neural, plotting
from affectome.neural.statistics import compare_group
from affectome.simulation import simulate_subjects

AREAS = {"MST": {"mllm": 0.5}, "STSda": {"llm": 0.5}, "V1": {}}


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(0)
    ids = [f"{k:03d}" for k in range(120)]
    spaces = {name: pd.DataFrame(rng.gamma(0.5, size=(120, 3)), ids, list("abc")) for name in ("mllm", "llm")}
    people = []
    for one in simulate_subjects(spaces, AREAS, n_subjects=3, n_runs=6, seed=0).recordings:
        sides = {area: [mask for name, mask in one.rois.items() if f"_{area}_" in name] for area in AREAS}
        people.append(replace(one, rois={area: left | right for area, (left, right) in sides.items()}))
    encodings = {name: [neural.encode(space, one, name=name) for one in people] for name, space in spaces.items()}
    pairs = [neural.compare_encodings(*two, one) for *two, one in zip(*encodings.values(), people, strict=True)]
    scores = pd.concat([neural.region_scores(one, person) for each in encodings.values()
                        for one, person in zip(each, people, strict=True)])  # fmt: skip
    maps = [neural.component_maps(one, person) for one, person in zip(encodings["mllm"], people, strict=True)]
    return {
        "people": people, "first": [each[0] for each in encodings.values()], "pair": pairs[0], "scores": scores,
        "group": compare_group(scores, reference="mllm", tests=neural.region_tests(pairs), seed=0), "maps": maps,
        "consistency": neural.component_consistency(maps, n_permutations=30, seed=0),
        "partition": neural.partition_variance(spaces, people[0], seed=0),
        "significance": neural.encoding_significance(encodings["mllm"][0], people[0], n_permutations=99,
                                                     tail="empirical", block_length=4, seed=0),
    }  # fmt: skip


def test_every_figure_of_real_results_is_readable(results, assert_readable):
    geometry, first = results["people"][0].geometry, results["first"][0]
    significant = results["significance"].q < 0.05
    for figure in (
        plotting.plot_slices(first.r, geometry, "Held-out r", significant=significant, n_slices=3),
        plotting.plot_surface(first.r, geometry, "Held-out r", significant=significant),
        plotting.plot_glass_brain(first.r, geometry, "Held-out r", significant=significant),
        plotting.plot_region_bars(results["scores"], results["group"]),
        plotting.plot_difference_map(results["pair"], geometry, n_slices=3),
        plotting.plot_winner_map(neural.winner_map(results["first"]), geometry, n_slices=3),
        plotting.plot_voxel_scatter(results["pair"]),
        plotting.plot_region_partition(results["partition"]),
        plotting.plot_partition_parts(results["partition"], region="MST"),
        plotting.plot_component_maps(results["maps"][0], n_slices=3),
        plotting.plot_component_profiles(results["maps"][0].profiles),
        plotting.plot_component_consistency(results["consistency"]),
        plotting.plot_alphas(first),
        plotting.plot_p_values(results["significance"].p),
    ):
        assert_readable(figure)


def test_bars_and_parts_are_high_where_the_area_follows_the_space(results):
    (ax,) = plotting.plot_region_bars(results["scores"], results["group"]).axes
    heights = np.array([bar.get_height() for bar in ax.patches if bar.get_height()]).reshape(3, 2)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["MST", "STSda", "V1"]
    assert heights[0, 0] > 0.5 > heights[0, 1] + 0.3 and heights[1, 1] > 0.5 > heights[1, 0] + 0.3
    (ax,) = plotting.plot_region_partition(results["partition"], regions=list(AREAS)).axes
    mllm, llm, _ = ([bar.get_height() for bar in group] for group in ax.containers)
    assert mllm[0] > 0.3 and abs(mllm[1]) < 0.1 and llm[1] > 0.3 and abs(llm[0]) < 0.1


def test_the_winner_of_a_voxel_is_the_space_that_it_follows(results):
    geometry = results["people"][0].geometry
    winners = neural.winner_map(results["first"], mask=results["people"][0].rois["STSda"])
    figure = plotting.plot_winner_map(winners, geometry, n_slices=3)
    shares = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shares[1].startswith("llm, ") and int(shares[1][5:-1]) > 90
