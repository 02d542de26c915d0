"""The RSM figure and that of the components needed: the right numbers in the right places, readable."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from affectome import components_needed, measured_rsm, predicted_rsm, rsm_agreement, simulate_emotions
from affectome.behavior import rsm_by_components, rsm_order
from affectome.interpretation import top_categories
from affectome.plotting import plot_components_needed, plot_rsm, plot_rsm_by_components, save_figure

WORLD = simulate_emotions(30, 4, seed=0)
TRIALS = WORLD.sample_answers(2500, seed=1)
MEASURED = measured_rsm(TRIALS).similarity
MEASURED.iloc[4, 9] = MEASURED.iloc[9, 4] = np.nan
PREDICTED = predicted_rsm(WORLD.planted)
AGREEMENT = rsm_agreement(MEASURED, PREDICTED, n_boot=100, n_permutations=0, seed=0)
GROUPS = top_categories(WORLD.stimuli.spaces["category"]).labels
NEEDED = components_needed(WORLD.planted, TRIALS, shares=[0.9, 0.955], n_boot=100, seed=0)
BY_RSM = rsm_by_components(WORLD.planted, MEASURED, n_boot=100, seed=0)


def readable(figure):
    figure.draw_without_rendering()
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
    box = figure.get_tightbbox()
    inside = min(box.x0, box.y0) >= -0.01 and box.x1 <= figure.get_figwidth() + 0.01
    return min(sizes) >= 7 and inside and box.y1 <= figure.get_figheight() + 0.01


def test_both_rsms_are_drawn_in_one_order_and_on_one_scale():
    order = rsm_order(MEASURED)
    figure = plot_rsm(MEASURED, PREDICTED, AGREEMENT, order=order, ordered_by="clustering")
    left, middle = (ax.images[0] for ax in figure.axes[:2])
    for image, rsm in ((left, MEASURED), (middle, PREDICTED)):
        shown = np.ma.filled(image.get_array(), np.nan)
        np.testing.assert_array_equal(shown, rsm.loc[order, order].where(~np.eye(30, dtype=bool)))
    assert left.get_clim() == middle.get_clim()
    values = np.concatenate([rsm.to_numpy()[np.triu_indices(30, 1)] for rsm in (MEASURED, PREDICTED)])
    assert left.get_clim() == (np.nanmin(values), np.nanmax(values))
    assert figure.axes[0].get_xlabel() == "30 stimuli, by clustering"
    assert readable(figure)


def test_every_pair_both_hold_is_a_dot_under_r_and_its_interval():
    figure = plot_rsm(MEASURED, PREDICTED, AGREEMENT)
    scatter = figure.axes[2]
    above = np.triu_indices(30, 1)
    x, y = MEASURED.to_numpy()[above], PREDICTED.to_numpy()[above]
    dots = np.asarray(scatter.collections[0].get_offsets())
    np.testing.assert_allclose(dots, np.column_stack([x, y])[np.isfinite(x)])
    assert len(dots) == AGREEMENT.n_pairs == 434
    found = AGREEMENT.pearson
    assert scatter.get_title().startswith(
        f"r = {found.r:.3f} [{found.ci_low:.3f}, {found.ci_high:.3f}]\n434 pairs, 95%"
    )
    assert scatter.get_xlim() == scatter.get_ylim()


def test_groups_are_named_where_they_lie():
    order = rsm_order(MEASURED, GROUPS)
    figure = plot_rsm(MEASURED, PREDICTED, AGREEMENT, order=order, groups=GROUPS, ordered_by="top category")
    axes = figure.axes[0]
    sizes = GROUPS.value_counts()
    for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        members = [k for k, name in enumerate(order) if GROUPS[name] == label.get_text()]
        assert tick == np.mean(members) and len(members) == sizes[label.get_text()]
    assert len(axes.get_yticklabels()) == (sizes >= 2).sum() >= 4
    assert readable(figure)


def test_stimuli_without_a_group_stand_last_without_a_name():
    known = GROUPS.drop(GROUPS.index[:4])
    order = rsm_order(MEASURED, known)
    assert set(order[-4:]) == set(GROUPS.index[:4])
    labels = plot_rsm(MEASURED, PREDICTED, AGREEMENT, order=order, groups=known).axes[0].get_yticklabels()
    assert {label.get_text() for label in labels} <= {*known, ""} and labels[-1].get_text() == ""


def test_many_pairs_become_a_density():
    n = 150
    x = np.random.default_rng(0).normal(size=(n, 3))
    rsm = pd.DataFrame(x @ x.T)
    agreement = rsm_agreement(rsm, rsm**3, n_boot=5, n_permutations=0, seed=0)
    bins = plot_rsm(rsm, rsm**3, agreement).axes[2].collections[0]
    assert bins.get_array().sum() == n * (n - 1) / 2 and len(bins.get_array()) < 4000


def test_curve_band_and_marks_are_those_of_the_result():
    figure = plot_components_needed(NEEDED)
    above, below = figure.axes
    line = next(line for line in above.lines if line.get_marker() == "o")
    assert line.get_ydata().tolist() == NEEDED.curve["accuracy"].tolist() and line.get_xdata().tolist() == [1, 2, 3, 4]
    band = above.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((NEEDED.curve["ci_low"].min(), NEEDED.curve["ci_high"].max()))
    assert any(np.allclose(line.get_ydata(), 1 / 3) for line in above.lines)
    marks = {line.get_label(): line.get_xdata().tolist() for line in below.lines}
    by_base = NEEDED.needed.groupby("baseline")["k"].apply(list)
    assert marks == {"of the accuracy": by_base["zero"], "of the accuracy above chance": by_base["chance"]}
    assert [label.get_text() for label in below.get_yticklabels()] == ["90%", "95.5%"]
    assert readable(figure)


def test_fit_to_the_rsm_stands_beside():
    figure = plot_components_needed(NEEDED, BY_RSM)
    beside = figure.axes[2]
    assert beside.lines[0].get_ydata().tolist() == BY_RSM.curve["r"].tolist()
    assert beside.get_ylabel() == "r with the measured RSM" and beside.get_title() == "30 stimuli, 434 pairs"
    assert readable(figure)
    alone = plot_rsm_by_components(BY_RSM)
    assert alone.axes[0].lines[0].get_ydata().tolist() == BY_RSM.curve["r"].tolist() and readable(alone)


def test_a_space_without_skill_still_makes_a_figure():
    nothing = components_needed(WORLD.planted * 0, TRIALS, n_boot=10, seed=0)
    below = plot_components_needed(nothing).axes[1]
    assert [len(line.get_xdata()) for line in below.lines] == [5, 0]


@pytest.mark.parametrize(
    "draw", [lambda: plot_rsm(MEASURED, PREDICTED, AGREEMENT), lambda: plot_components_needed(NEEDED)]
)
def test_the_same_result_gives_the_same_bytes(tmp_path, draw):
    one, two = (save_figure(draw(), tmp_path / name, "f", ("png",))[0].read_bytes() for name in "ab")
    assert one == two and len(one) > 5000
