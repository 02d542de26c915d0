"""Parts of explained variance add up to the joint model, and none below zero is hidden."""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from affectome.errors import InputError
from affectome.neural.encoding import VariancePartition
from affectome.plotting import plot_partition_parts, plot_region_partition, system_colours


def partition(spaces, regions, seed=0):
    rng, members, parts, models, rows = np.random.default_rng(seed), {}, [], [], []
    for k in range(1, len(spaces) + 1):
        for chosen in combinations(spaces, k):
            parts.append(f"only {chosen[0]}" if k == 1 else " & ".join(chosen))
            models.append(" + ".join(chosen))
            members |= {parts[-1]: chosen, models[-1]: chosen}
    for region in ("all", *regions):
        values = rng.normal(0.01, 0.012, len(parts))
        rows += [(region, part, "part", 40, r2, r2 - 0.004, r2 + 0.006) for part, r2 in zip(parts, values, strict=True)]
        rows.append((region, models[-1], "model", 40, values.sum(), values.sum() - 0.01, values.sum() + 0.02))
    table = pd.DataFrame(rows, columns=["region", "part", "kind", "n_voxels", "r2", "low", "high"])
    empty = pd.DataFrame()
    return VariancePartition("sub-01", tuple(spaces), pd.DataFrame(columns=models), pd.DataFrame(columns=parts),
                             members, empty, empty, table.set_index(["region", "part"]), 12, 0.95)  # fmt: skip


def of(result, region, part):
    return result.regions.loc[(region, part)]


def test_segments_are_the_parts_and_both_sides_of_the_line_add_up_to_the_joint_r2(assert_readable):
    result = partition(["mllm", "vgg19"], ["TPJ", "OFC"], seed=3)
    assert (result.regions["r2"] < 0).any()  # there is something to hide
    figure = plot_region_partition(result, {"mllm": "MLLM"}, title="Parts")
    (ax,) = figure.axes
    bars = np.array([[bar.get_height() for bar in group] for group in ax.containers])
    regions = ["all", "TPJ", "OFC"]
    expected = [[of(result, region, part)["r2"] for region in regions] for part in ("only mllm", "only vgg19",
                                                                                    "mllm & vgg19")]  # fmt: skip
    np.testing.assert_allclose(bars, expected)
    joint = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(joint.get_ydata(), bars.sum(0))
    for column in range(3):  # stacked without overlap, on its side of the line
        edges = sorted((min(0, bar.get_height()) + bar.get_y(), max(0, bar.get_height()) + bar.get_y())
                       for bar in (group[column] for group in ax.containers))  # fmt: skip
        assert all(a[1] <= b[0] + 1e-12 for a, b in pairwise(edges))
        assert any(0 in (round(a, 12), round(b, 12)) for a, b in edges)
    ends = np.array([path.vertices[:, 1] for path in ax.collections[0].get_paths()])
    np.testing.assert_allclose(ends, np.c_[bars.sum(0) - 0.01, bars.sum(0) + 0.02])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "only MLLM", "only vgg19", "shared by two", "all spaces, 95% interval"]  # fmt: skip
    own = [to_hex(group[0].get_facecolor()) for group in ax.containers]
    assert own[:2] == [colour.lower() for colour in system_colours(["mllm", "vgg19"]).values()]
    assert_readable(figure)


def test_regions_are_chosen_and_ordered_and_26_of_them_are_readable(assert_readable):
    names = [f"region number {k}" for k in range(26)]
    result = partition(["mllm", "human_category", "vgg19"], names)
    assert_readable(plot_region_partition(result))
    ax = plot_region_partition(result, regions=[names[3], "all"]).axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == [names[3], "all"]
    with pytest.raises(InputError, match="no region elsewhere"):
        plot_region_partition(result, regions=["elsewhere"])
    with pytest.raises(InputError, match="no region 'elsewhere'"):
        plot_partition_parts(result, region="elsewhere")


@pytest.mark.parametrize("n", [2, 5])
def test_every_part_has_a_bar_over_the_dots_of_its_spaces(n, assert_readable):
    spaces = ["mllm", "llm", "human_category", "human_dimension", "human"][:n]
    result = partition(spaces, ["TPJ"])
    figure = plot_partition_parts(result, {"mllm": "MLLM"}, region="TPJ")
    bars, dots = figure.axes
    assert len(bars.patches) == 2**n - 1
    heights = [bar.get_height() for bar in bars.patches]
    parts = sorted(result.parts.columns, key=lambda part: len(result.members[part]))
    np.testing.assert_allclose(heights, [of(result, "TPJ", part)["r2"] for part in parts])
    inside = [c for c in dots.collections if c.get_gid() == "inside"]
    for column, (points, part) in enumerate(zip(inside, parts, strict=True)):
        rows = [spaces.index(space) for space in result.members[part]]
        np.testing.assert_array_equal(points.get_offsets(), [[column, row] for row in rows])
    assert [t.get_text() for t in dots.get_yticklabels()] == ["MLLM", *spaces[1:]]
    assert dots.get_xlabel() == "40 voxels; 95% intervals over 12 runs"
    assert bars.get_title(loc="left") == "sub-01, TPJ"
    assert_readable(figure)
