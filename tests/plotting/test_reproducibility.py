"""The figure of reproducibility shows the reference run's numbers where they belong."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome.embedding import component_reproducibility
from affectome.plotting import COLUMN_WIDTH, PAGE_WIDTH, plot_reproducibility, save_figure


def fits(n_runs=5, p=4, n=80):
    rng = np.random.default_rng(0)
    truth = rng.gamma(1.0, 1.0, (n, p))
    noise = np.linspace(0.2, 3, p)
    return {f"seed {k}": pd.DataFrame(truth + noise * rng.random((n, p))) for k in range(n_runs)}


RESULT = component_reproducibility(fits(), n_null=99, n_halves=4, seed=0, reference="seed 3")
OWN = RESULT.table[RESULT.table["run"] == "seed 3"].sort_values("rank")


def line(axes, **wanted):
    return next(a for a in axes.lines if all(getattr(a, f"get_{key}")() == value for key, value in wanted.items()))


def test_every_dot_mean_interval_and_chance_line_is_a_number_of_the_result():
    axes = plot_reproducibility(RESULT).axes[0]
    dots = line(axes, label="best match in another run")
    pairs = RESULT.pairs[RESULT.pairs["run"] == "seed 3"]
    rank = dict(zip(OWN["component"], OWN["rank"], strict=True))
    assert sorted(zip(*dots.get_data(), strict=True)) == sorted(
        zip(pairs["component"].map(rank) - 0.22, pairs["best_match"], strict=True)
    )
    assert len(pairs) == 4 * 4
    points, _, (bars,) = axes.containers[0]
    assert points.get_xdata().tolist() == [1, 2, 3, 4]
    assert points.get_ydata().tolist() == OWN["best_match"].tolist()
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert ends == pytest.approx(OWN[["best_match_low", "best_match_high"]].to_numpy())
    halves = line(axes, marker="D")
    assert halves.get_ydata().tolist() == OWN["split_half"].tolist()
    chance = line(axes, linestyle="--")
    assert chance.get_ydata()[1:-1] == pytest.approx(OWN["chance_95"].to_numpy())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "best match in another run",
        "split-half mean (matched on other stimuli)",
        "95% of means with permuted stimuli",
        "mean over 4 runs, 95% interval",
    ]
    assert axes.get_xlabel() == "Component of seed 3, by falling sum of weights"
    assert axes.get_ylabel() == "Correlation over stimuli (r)"


def test_of_two_runs_there_are_dots_without_means():
    axes = plot_reproducibility(component_reproducibility(fits(2), n_null=9, n_halves=2, seed=0)).axes[0]
    assert not axes.containers
    assert axes.get_legend().get_texts()[0].get_text() == "best match in the other run"


def test_values_below_zero_are_seen_and_many_components_take_the_page():
    rng = np.random.default_rng(1)
    runs = [pd.DataFrame(rng.standard_normal((20, 13))) for _ in range(3)]
    result = component_reproducibility(runs, n_null=9, n_halves=2, seed=0)
    figure = plot_reproducibility(result)
    low = result.table.query("run == 'run 1'")["split_half"].min()
    assert low < 0 and figure.axes[0].get_ylim()[0] < low
    assert figure.get_figwidth() == PAGE_WIDTH and plot_reproducibility(RESULT).get_figwidth() == COLUMN_WIDTH


@pytest.mark.parametrize("result", [RESULT, component_reproducibility(fits(3, 40), n_null=9, n_halves=2, seed=0)])
def test_text_is_readable_nothing_is_clipped_and_given_axes_are_used(result):
    figure = plot_reproducibility(result, "Language")
    assert "Language" in [text.get_text() for text in figure.findobj(Text)]
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= figure.get_figwidth() + 0.01 and box.y1 <= figure.get_figheight() + 0.01
    own = Figure().add_subplot()
    assert plot_reproducibility(result, ax=own) is own.figure


def test_the_same_result_gives_the_same_bytes(tmp_path):
    one, two = (save_figure(plot_reproducibility(RESULT), tmp_path / name, "r")[0].read_bytes() for name in "ab")
    assert one == two and len(one) > 5000
