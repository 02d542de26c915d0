"""The figure of a selection: the right lines and bands, both choices marked, nothing clipped."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome.embedding import Selection, Setting
from affectome.plotting import plot_selection, save_figure
from affectome.plotting._style import OKABE_ITO

COUNTS, WEIGHTS = (5, 10, 20, 50), (0.003, 0.01, 0.03)


def selection(**change):
    rng = np.random.default_rng(0)
    grid = [(c, w) for c in COUNTS for w in WEIGHTS]
    summary = pd.DataFrame(grid, columns=["n_components", "l1"]).assign(
        accuracy=rng.uniform(0.7, 0.9, 12),
        accuracy_se=0.01,
        log_loss=rng.uniform(0.3, 0.6, 12),
        log_loss_se=0.02,
        n_kept=[c * 0.8 for c, _ in grid],
    )
    facts = {
        "scores": summary, "summary": summary, "best": Setting(50, 0.01), "one_se": Setting(20, 0.03),
        "chosen": Setting(20, 0.03), "warnings": (), "criterion": "log_loss", "rule": "one-se", "over": "triplets",
        "n_folds": 5, "n_trials": 1000, "n_unanswered": 0,
    }  # fmt: skip
    return Selection(**{**facts, **change})


RESULT = selection()


@pytest.mark.parametrize(("panel", "column"), [(0, "accuracy"), (1, "log_loss")])
def test_each_l1_is_a_line_of_means_in_a_band_of_one_standard_error(panel, column):
    axes = plot_selection(RESULT).axes[panel]
    for k, weight in enumerate(WEIGHTS):
        rows = RESULT.summary[RESULT.summary["l1"] == weight]
        line = next(line for line in axes.lines if line.get_label() == f"l1 {weight:g}")
        assert line.get_xdata().tolist() == list(COUNTS) and line.get_ydata().tolist() == rows[column].tolist()
        assert to_hex(line.get_color()).upper() == OKABE_ITO[k]
        edge = axes.collections[k].get_paths()[0].vertices
        assert edge[:, 1].min() == pytest.approx((rows[column] - rows[f"{column}_se"]).min())
        assert edge[:, 1].max() == pytest.approx((rows[column] + rows[f"{column}_se"]).max())
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [str(count) for count in COUNTS]


def test_both_choices_are_marked_and_the_criterion_is_in_bold():
    left, right = plot_selection(RESULT).axes
    for axes, column in ((left, "accuracy"), (right, "log_loss")):
        marks = {line.get_label(): line for line in axes.lines if line.get_linestyle() == "None"}
        assert list(marks) == ["best (40.0 components kept)", "one-SE choice (16.0 components kept)"]
        for mark, setting in zip(marks.values(), (RESULT.best, RESULT.one_se), strict=True):
            assert (*mark.get_xdata(), *mark.get_ydata()) == (setting.n_components, RESULT.at(setting)[column])
    assert (left.yaxis.label.get_fontweight(), right.yaxis.label.get_fontweight()) == ("normal", "bold")
    left, right = plot_selection(selection(criterion="accuracy")).axes
    assert (left.yaxis.label.get_fontweight(), right.yaxis.label.get_fontweight()) == ("bold", "normal")


def test_text_is_readable_and_nothing_is_clipped():
    figure = plot_selection(RESULT)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= figure.get_figwidth() + 0.01 and box.y1 <= figure.get_figheight() + 0.01


def test_the_same_result_gives_the_same_bytes(tmp_path):
    one, two = (save_figure(plot_selection(RESULT), tmp_path / name, "s")[0].read_bytes() for name in "ab")
    assert one == two and len(one) > 5000
