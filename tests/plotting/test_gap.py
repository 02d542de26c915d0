"""Figures of the gap: every number is where it belongs, and what cannot be drawn is told."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from affectome import InputError
from affectome.gap import SPECIFICATIONS
from affectome.plotting import plot_gap, plot_specification_curve, system_colours


@pytest.fixture
def curve():
    rng = np.random.default_rng(0)
    rows = [dict(zip(SPECIFICATIONS, chosen, strict=True)) for chosen in itertools.product(*SPECIFICATIONS.values())]
    difference = rng.normal(0.03, 0.05, len(rows))
    return pd.DataFrame(rows).assign(
        first="mllm", second="llm", where="TPJ", difference=difference, ci_low=difference - 0.05,
        ci_high=difference + 0.05, p=np.where(np.abs(difference) > 0.05, 0.01, 0.3),
    )  # fmt: skip


def of(ax, gid):
    [drawn] = [part for part in ax.collections if part.get_gid() == gid]
    return drawn


def test_differences_are_sorted_and_every_choice_stands_below_its_difference(curve):
    top, bottom = plot_specification_curve(curve, {"mllm": "MLLM"}).axes
    ordered = curve.sort_values("difference", kind="stable", ignore_index=True)
    np.testing.assert_allclose(of(top, "differences").get_offsets()[:, 1], ordered["difference"])
    for name, values in SPECIFICATIONS.items():
        for value in values:
            at = of(bottom, f"{name}={value}").get_offsets()[:, 0]
            assert at.tolist() == ordered.index[ordered[name] == value].tolist()
    assert top.get_ylabel() == "Difference in RSA r\nMLLM − llm"
    [median] = [line for line in top.lines if line.get_gid() == "median"]
    assert median.get_ydata()[0] == pytest.approx(curve["difference"].median())


def test_only_significant_specifications_have_the_colour_of_their_sign(curve):
    top, _ = plot_specification_curve(curve).axes
    drawn = of(top, "differences").get_facecolors()[:, :3]
    ordered = curve.sort_values("difference", kind="stable")
    grey = np.ptp(drawn, axis=1) < 1e-9
    assert (grey == (ordered["p"] > 0.05).to_numpy()).all()
    assert len({tuple(colour) for colour in drawn[~grey]}) == 2


def test_what_was_not_varied_has_no_line(curve):
    few = curve[(curve["statistic"] == "pearson") & (curve["metric"] != "euclidean")]
    _, bottom = plot_specification_curve(few).axes
    assert not any("Statistic" in label.get_text() for label in bottom.get_yticklabels())
    assert len(bottom.get_yticklabels()) == 8


def test_text_has_seven_points_and_lines_do_not_touch(curve):
    figure = plot_specification_curve(curve)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[1].get_yticklabels()]
    assert all(not a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 7


def test_curves_of_several_claims_or_of_none_are_refused(curve):
    with pytest.raises(InputError, match="2 pairs or places"):
        plot_specification_curve(pd.concat([curve, curve.assign(where="IPL")]))
    with pytest.raises(InputError, match="no specification"):
        plot_specification_curve(curve.iloc[:0])


def row(space, size, accuracy, r, relation=""):
    brain = {"r": r, "low": r - 0.02, "high": r + 0.02}
    choices = {"accuracy": accuracy, "low": accuracy - 0.01, "high": accuracy + 0.01, "relation": relation}
    return {"space": space, "size": size, "choices": {"people": choices}, "encoding": brain, "rsa": brain}


def test_every_space_is_a_dot_and_rings_are_cut():
    rows = [row("mllm", "full", 0.6, 0.1), row("mllm", "matched", 0.55, 0.08),
            row("ratings", "full", 0.8, 0.05, "chosen from")]  # fmt: skip
    figure = plot_gap(rows, choices_of="people", labels={"mllm": "MLLM", "people": "People"}, where="TPJ")
    colours = system_colours(["mllm", "ratings"])
    for ax, name in zip(figure.axes, ("Encoding r", "RSA r"), strict=True):
        assert ax.get_ylabel() == name and ax.get_xlabel() == "Choices of People, accuracy"
        dots = [line for line in ax.lines if line.get_gid() == "space"]
        assert [(float(d.get_xdata()[0]), float(d.get_ydata()[0])) for d in dots] == [
            (0.6, 0.1),
            (0.55, 0.08),
            (0.8, 0.05),
        ]
        assert [d.get_markerfacecolor() for d in dots] == [colours["mllm"], "white", colours["ratings"]]
        assert sum(line.get_gid() == "related" for line in ax.lines) == 1


def test_a_space_without_a_score_is_left_out_and_no_space_at_all_is_refused():
    figure = plot_gap([row("mllm", "full", 0.6, np.nan), row("llm", "full", 0.5, 0.1)], choices_of="people")
    assert sum(line.get_gid() == "space" for line in figure.axes[0].lines) == 1
    with pytest.raises(InputError, match="no space to draw"):
        plot_gap([], choices_of="people")
