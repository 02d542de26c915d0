"""Bars of regions: a bar per space, a dot per person, and what the table says of errors, stars and ceilings."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from affectome.errors import InputError
from affectome.neural.statistics import compare_group
from affectome.plotting import plot_region_bars, save_figure, system_colours

SPACES = ["mllm", "llm", "human_category", "human_dimension", "human"]
CORTEX = ["VC", "TPJ", "IPL", "PC", "STS", "TE", "MTC", "DLPFC", "DMPFC", "VMPFC", "OFC", "ACC", "Insula", "MST", "TF",
          "VLPFC"]  # fmt: skip
BELOW = ["thalamus", "hippocampus", "hypothalamus", "pallidum", "brainstem", "caudate", "putamen", "accumbens",
         "amygdala", "cerebellum"]  # fmt: skip


def tables(regions, spaces, n=5):
    rng = np.random.default_rng(0)
    rows = [(f"sub-{person + 1:02d}", region, space, 0.15 - 0.02 * k + rng.normal(0, 0.02))
            for region in regions for k, space in enumerate(spaces) for person in range(n)]  # fmt: skip
    scores = pd.DataFrame(rows, columns=["subject", "region", "space", "r"])
    grouped = scores.groupby(["region", "space"], sort=False)["r"]
    summary = grouped.agg(mean="mean", sd="std").reset_index()
    summary["low"], summary["high"] = summary["mean"] - 0.03, summary["mean"] + 0.04
    summary["stars"] = np.where(summary["space"] == spaces[0], "", "**")
    return scores, summary


def dots(ax):
    return np.array([line.get_xydata() for line in ax.lines if line.get_gid() == "people"])


def stars(ax):
    return [text for text in ax.texts if text.get_gid() == "stars"]


def test_heights_are_the_means_errors_the_spread_and_every_person_is_a_dot():
    scores, summary = tables(["TPJ", "IPL"], SPACES[:3])
    (ax,) = plot_region_bars(scores, summary).axes
    bars = [bar for bar in ax.patches if bar.get_height()]
    np.testing.assert_allclose([bar.get_height() for bar in bars], summary["mean"])
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [c.lower() for c in system_colours(SPACES[:3]).values()] * 2
    lines = np.concatenate([[path.vertices for path in c.get_paths()] for c in ax.collections])
    np.testing.assert_allclose(lines[:, :, 1], np.c_[summary["mean"] - summary["sd"], summary["mean"] + summary["sd"]])
    shown = dots(ax)
    assert shown.shape == (2, 15, 2)
    expected = scores.pivot(index="subject", columns=["region", "space"], values="r")
    for k, region in enumerate(["TPJ", "IPL"]):
        np.testing.assert_allclose(np.sort(shown[k, :, 1]), np.sort(expected[region].to_numpy().ravel()))
        middles = [bar.get_x() + bar.get_width() / 2 for bar in bars[3 * k : 3 * k + 3]]
        for x, y in shown[k]:
            own = int(np.argmin(np.abs(np.array(middles) - x)))
            assert y in expected[region][SPACES[own]].to_numpy()  # a dot stands on the bar of its space
    assert [t.get_text() for t in ax.get_xticklabels()] == ["TPJ", "IPL"]


def test_error_bars_are_the_interval_where_asked_and_the_legend_says_which():
    scores, summary = tables(["TPJ"], SPACES[:2])
    figure = plot_region_bars(scores, summary, {"mllm": "MLLM"}, error="interval")
    lines = np.array([path.vertices[:, 1] for path in figure.axes[0].collections[0].get_paths()])
    np.testing.assert_allclose(lines, summary[["low", "high"]])
    said = [t.get_text() for t in figure.legends[0].get_texts()]
    assert said == ["MLLM", "llm", "one person", "mean and its interval"]
    assert "mean ± s.d. over people" in [t.get_text() for t in plot_region_bars(scores, summary).legends[0].get_texts()]


def test_stars_stand_above_the_bar_that_they_belong_to_and_all_that_is_drawn_on_it():
    scores, summary = tables(["TPJ", "IPL"], SPACES[:2])
    (ax,) = plot_region_bars(scores, summary, stars="against mllm").axes
    written = stars(ax)
    assert [text.get_text() for text in written] == ["**", "**"]
    bars = [bar for bar in ax.patches if bar.get_height()]
    for text, bar, at in zip(written, bars[1::2], ["TPJ", "IPL"], strict=True):
        x, y = text.xy
        assert x == pytest.approx(bar.get_x() + bar.get_width() / 2)
        own = scores.loc[(scores["region"] == at) & (scores["space"] == "llm"), "r"].max()
        row = summary.set_index(["region", "space"]).loc[(at, "llm")]
        assert y == pytest.approx(max(own, row["mean"] + row["sd"]))
    assert ax.figure.legends[0].get_title().get_text() == "against mllm"


def test_stars_of_a_comparison_say_what_they_are():
    scores, _ = tables(["TPJ", "IPL"], SPACES[:2])
    scores.loc[scores["space"] == "llm", "r"] -= 0.2
    found = compare_group(scores, reference="mllm", seed=0)
    figure = plot_region_bars(scores, found, {"mllm": "MLLM"})
    title = figure.legends[0].get_title().get_text()
    assert title == "* < .05, ** < .01, *** < .001 against MLLM (paired t, q)"
    assert [t.get_text() for t in stars(figure.axes[0])] == list(found.comparisons["stars"])


def test_ceilings_are_bands_behind_their_regions():
    scores, summary = tables(["TPJ", "IPL"], SPACES[:2])
    ceiling = pd.DataFrame({"low": [0.2], "high": [0.3]}, index=["IPL"])
    figure = plot_region_bars(scores, summary, ceiling=ceiling)
    bands = [c for c in figure.axes[0].collections if c.get_zorder() == 0]
    (band,) = bands
    vertices = band.get_paths()[0].vertices
    assert (vertices[:, 1].min(), vertices[:, 1].max()) == (0.2, 0.3)
    assert vertices[:, 0].min() == pytest.approx(0.54) and vertices[:, 0].max() == pytest.approx(1.46)
    assert "noise ceiling" in [t.get_text() for t in figure.legends[0].get_texts()]
    assert figure.axes[0].get_ylim()[1] > 0.3


def test_the_dots_of_a_person_are_joined_where_asked():
    scores, summary = tables(["TPJ"], SPACES[:3])
    drawn = [len(plot_region_bars(scores, summary, lines=lines).axes[0].lines) for lines in (False, True)]
    assert drawn[1] - drawn[0] == 5


def test_26_regions_and_5_spaces_are_readable_at_page_width_in_panels_with_scales_of_their_own(
    assert_readable, tmp_path
):
    scores, summary = tables(CORTEX + BELOW, SPACES)
    scores.loc[scores["region"].isin(BELOW), "r"] *= 0.2
    summary.loc[summary["region"].isin(BELOW), ["mean", "sd"]] *= 0.2
    figure = plot_region_bars(scores, summary, panels={"Cortex": CORTEX, "Subcortical": BELOW}, title="Regions")
    assert figure.get_figwidth() == pytest.approx(7.2)
    assert [t.get_text() for ax in figure.axes for t in ax.get_xticklabels()] == CORTEX + BELOW
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Cortex", "", "Subcortical"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert figure.axes[2].get_ylim()[1] < 0.5 * figure.axes[0].get_ylim()[1]
    assert sum(len(points) for ax in figure.axes for points in dots(ax)) == 26 * 5 * 5
    assert_readable(figure)
    (path,) = save_figure(figure, tmp_path, "bars", ("pdf",))
    assert path.stat().st_size < 500_000


def test_one_region_one_space_one_person_and_long_names(assert_readable):
    region = "Posterior cingulate and precuneus with a long name"
    scores, summary = tables([region, "a_b $x$ <i>"], SPACES[:1], n=1)
    summary["sd"] = np.nan
    figure = plot_region_bars(scores, summary, title="One person")
    assert len(dots(figure.axes[0])) == 2 and not stars(figure.axes[0])
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == [region, "a_b $x$ <i>"]
    assert_readable(figure)


def test_a_score_that_is_missing_leaves_a_gap():
    scores, summary = tables(["TPJ", "IPL"], SPACES[:2])
    summary.loc[0, ["mean", "sd", "stars"]] = np.nan, np.nan, None
    scores = scores.drop(index=scores.query("region == 'TPJ' and space == 'mllm'").index)
    (ax,) = plot_region_bars(scores, summary).axes
    assert np.isnan(dots(ax)[0, :, 1]).sum() == 5 and np.isfinite(ax.get_ylim()).all()


def test_tables_that_lack_something_are_refused():
    scores, summary = tables(["TPJ"], SPACES[:2])
    for call, sentence in (
        (lambda: plot_region_bars(scores.drop(columns="r"), summary), "scores have no column 'r'"),
        (lambda: plot_region_bars(scores, summary.drop(columns="sd")), "summary have no column 'sd'"),
        (lambda: plot_region_bars(scores, summary[:0]), "summary are empty"),
        (lambda: plot_region_bars(scores, summary, panels={"": ["TPJ", "OFC"]}), "no row of the regions OFC"),
    ):
        with pytest.raises(InputError, match=sentence):
            call()
