import dataclasses

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome import InputError
from affectome.interpretation import RatingCorrelations, RatingMap, SharesAbove
from affectome.plotting import (
    COLUMN_WIDTH,
    PAGE_WIDTH,
    house_style,
    plot_rating_correlations,
    plot_rating_maps,
    plot_shares_above,
    save_figure,
    system_colours,
)

COMPONENTS, RATINGS = ["component 01", "component 02"], ["Joy", "Fear", "valence", "flat"]


@pytest.fixture
def result():
    """Column order on the diagonal: Fear, Joy, then valence (component 02), with "flat" beside component 01."""
    r = [[0.2, 0.8, -0.3, np.nan], [0.9, 0.1, 0.4, np.nan]]
    q = [[0.06, 0.001, 0.05, np.nan], [0.0, 0.7, 0.049, np.nan]]
    tables = [pd.DataFrame(values, index=COMPONENTS, columns=RATINGS) for values in (r, q, q)]
    family = pd.Series(["category", "category", "dimension", "dimension"], index=RATINGS)
    shown = dict(zip(("r", "p", "q"), tables, strict=True))
    others = ("ci_low", "ci_high", "rho", "rho_p", "rho_q", "rho_ci_low", "rho_ci_high")
    return RatingCorrelations(**shown, **dict.fromkeys(others, tables[0]), family=family, n_stimuli=2180)


@pytest.fixture
def axes(result):
    return plot_rating_correlations(result).axes[0]


def test_image_shows_r_in_diagonal_order(axes, result):
    order = ["Fear", "Joy", "flat", "valence"]
    assert result.diagonal_order() == order
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown, result.r[order].to_numpy())
    assert axes.images[0].get_clim() == (-1, 1)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == order
    assert [tick.get_text() for tick in axes.get_yticklabels()] == COMPONENTS
    assert axes.get_xticks().tolist() == [0, 1, 2, 3]


def test_dots_mark_cells_that_do_not_survive_the_correction(axes):
    dots = {(int(x), int(y)) for x, y in axes.collections[0].get_offsets()}  # (column, row)
    assert dots == {(1, 0), (3, 0), (2, 0), (0, 1), (2, 1)}


def test_alpha_moves_the_dots_and_their_legend(result):
    figure = plot_rating_correlations(result, alpha=0.1)
    dots = {(int(x), int(y)) for x, y in figure.axes[0].collections[0].get_offsets()}
    assert dots == {(2, 0), (2, 1), (0, 1)}
    written = " ".join(text.get_text() for text in figure.findobj(Text))
    assert all(part in written for part in ("Pearson r", "2,180 stimuli", "q ≥ 0.1"))


def test_further_families_are_in_italics(axes):
    assert [tick.get_fontstyle() for tick in axes.get_xticklabels()] == ["normal", "normal", "italic", "italic"]


def test_title_can_be_given(result, axes):
    assert axes.get_title() == "Components and ratings"
    assert plot_rating_correlations(result, title="LLM").axes[0].get_title() == "LLM"


def test_text_is_at_least_seven_points_on_a_page_wide_figure(result):
    figure = plot_rating_correlations(result)
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert len(texts) >= 8
    assert min(text.get_fontsize() for text in texts) >= 7
    assert figure.get_figwidth() == pytest.approx(PAGE_WIDTH)


def test_everything_drawn_lies_inside_the_figure(result):
    figure = plot_rating_correlations(result)
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= figure.get_figwidth() + 0.01
    assert box.y1 <= figure.get_figheight() + 0.01


def test_few_components_with_long_names_stay_apart_and_leave_the_map_its_room(result):
    names = dict.fromkeys(COMPONENTS, "low fairness + Empathic Pain … " * 3)
    figure = plot_rating_correlations(result, names=names, title="a space")
    figure.draw_without_rendering()
    rows = [tick.get_window_extent() for tick in figure.axes[0].get_yticklabels()]
    assert not rows[0].overlaps(rows[1])
    assert all(tick.get_text().endswith("…") for tick in figure.axes[0].get_yticklabels())
    assert figure.axes[0].get_window_extent().width > 0.4 * figure.bbox.width
    bar = figure.axes[1]
    assert bar.yaxis.label.get_window_extent().height < 1.2 * figure.axes[0].get_window_extent().height


def test_global_settings_are_left_alone(result, tmp_path):
    before = dict(mpl.rcParams)
    save_figure(plot_rating_correlations(result), tmp_path, "ratings")
    assert dict(mpl.rcParams) == before
    with house_style():
        assert mpl.rcParams["xtick.labelsize"] >= 7
    assert dict(mpl.rcParams) == before


def test_given_axes_are_drawn_into(result):
    left, right = Figure(figsize=(10, 4)).subplots(1, 2)
    figure = plot_rating_correlations(result, ax=right)
    assert figure is left.figure
    assert not left.images
    assert right.images[0].get_array().shape == (2, 4)


def test_figure_is_known_to_no_window_manager(result):
    import matplotlib.pyplot as plt

    plot_rating_correlations(result)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_same_result_gives_the_same_bytes(result, tmp_path, suffix):
    written = [
        save_figure(plot_rating_correlations(result), tmp_path / str(turn), "ratings", formats=[suffix])[0]
        for turn in range(2)
    ]
    assert [path.name for path in written] == [f"ratings.{suffix}"] * 2
    first, second = (path.read_bytes() for path in written)
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])


def test_text_of_an_svg_stays_text(result, tmp_path):
    (path,) = save_figure(plot_rating_correlations(result), tmp_path, "ratings", formats=["svg"])
    assert ">valence<" in path.read_text(encoding="utf-8")


def test_names_stand_beside_components_and_circular_families_are_said(result):
    named = plot_rating_correlations(dataclasses.replace(result, circular=("category",)), names={"component 02": "joy"})
    rows = [tick.get_text() for tick in named.axes[0].get_yticklabels()]
    assert rows == ["component 01", "component 02  joy"]
    assert named.axes[0].get_xlabel().endswith("italics: dimension; circular: category")


# Shares above thresholds


def shares_of(values, low, high, chance):
    index = pd.MultiIndex.from_product([["category", "all"], [0.1, 0.3, 0.5]], names=["family", "threshold"])
    table = pd.DataFrame(
        {"share": values, "null_mean": chance, "null_high": chance, "p": 0.1, "q": 0.1, "subsample_low": low,
         "subsample_high": high}, index=index,
    )  # fmt: skip
    return SharesAbove(table, table, table, 0.2, 100, 10, 10, 0.8, 0.95)


@pytest.fixture
def shares():
    values = np.array([0.9, 0.5, 0.1, 1.0, 0.6, 0.2])
    return {
        "mllm": shares_of(values, values - 0.1, values, [0.3, 0.0, 0.0, 0.4, 0.1, 0.0]),
        "language": shares_of(values / 2, values / 2, values / 2 + 0.1, [0.2, 0.1, 0.0, 0.5, 0.0, 0.0]),
    }


def test_lines_show_the_shares_in_the_colours_of_the_systems(shares):
    ax = plot_shares_above(shares, {"mllm": "MLLM"}).axes[0]
    colours = system_colours(["mllm", "language"])
    lines = [container.lines[0] for container in ax.containers]
    np.testing.assert_allclose(lines[0].get_ydata(), [1.0, 0.6, 0.2])
    np.testing.assert_allclose(lines[1].get_ydata(), [0.5, 0.3, 0.1])
    assert [line.get_color() for line in lines] == [colours["mllm"], colours["language"]]
    bars = ax.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose(np.array(bars, np.float64)[..., 1], [[0.9, 1.0], [0.5, 0.6], [0.1, 0.2]])
    assert ax.get_title() == "All ratings"
    assert plot_shares_above(shares, family="category").axes[0].get_title() == "Ratings: category"


def test_band_is_the_largest_null_of_the_systems(shares):
    figure = plot_shares_above(shares)
    (path,) = figure.axes[0].collections[-1].get_paths()
    tops = {round(x, 1): y for x, y in path.vertices if y > 0}
    assert tops == {0.1: 0.5, 0.3: 0.1}
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["unrelated ratings (95%)", "mllm", "language"]


def test_family_that_is_not_there_is_refused(shares):
    with pytest.raises(InputError, match="no ratings of 'mood'; choose among category, all"):
        plot_shares_above(shares, family="mood")
    with pytest.raises(InputError, match="nothing to draw"):
        plot_shares_above({})


# How diagonal a map is


def map_of(diagonal, rest, own, variance):
    families = pd.DataFrame(
        {"diagonal": diagonal, "diagonal_low": diagonal - 0.05, "diagonal_high": diagonal + 0.02, "rest": rest,
         "own": own, "own_of": 30, "own_share": own / 30, "own_low": 0.1, "own_high": 0.9, "own_null": 0.5,
         "own_p": 0.01, "ratings_followed": 3.05, "ratings_followed_low": 2.0, "ratings_followed_high": 4.0},
        index=pd.Index(["category"], name="family"),
    )  # fmt: skip
    spread = pd.DataFrame({"value": [variance], "ci_low": [1.0], "ci_high": [2.0]}, index=["components_in_variance"])
    return RatingMap(families, families, spread, 100, 10, 10, 10, 0.8, 0.95)


def test_dots_and_numbers_show_how_diagonal_each_map_is():
    maps = {"human_category": map_of(0.94, 0.12, 29, 18.86), "language": map_of(0.27, 0.08, 12, 25.15)}
    figure = plot_rating_maps(maps, {"language": "Language"})
    ax = figure.axes[0]
    dots = [tuple(scatter.get_offsets()[0]) for scatter in ax.collections]
    assert dots == [(0.94, 0), (0.12, 0), (0.27, 1), (0.08, 1)]
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [0.89, 0.96])
    written = [text.get_text() for text in ax.texts]
    assert written[:3] == ["29 of 30 (15)", "3.0 [2.0, 4.0]", "18.9 [1.0, 2.0]"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["human_category", "Language"]
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    box = figure.get_tightbbox()
    assert box.x1 < PAGE_WIDTH + 0.05
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def test_every_family_has_a_panel_unless_one_is_chosen():
    one = map_of(0.94, 0.12, 29, 18.86)
    both = pd.concat([one.families, one.families.assign(diagonal=0.4).set_axis(["dimension"])])
    maps = {name: dataclasses.replace(one, families=both) for name in ("human_category", "language", "mllm")}
    figure = plot_rating_maps(maps, title="Maps")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Ratings: category", "Ratings: dimension"]
    assert [ax.collections[0].get_offsets()[0, 0] for ax in figure.axes] == [0.94, 0.4]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for ax in figure.axes for text in [*ax.texts, ax.title, *ax.get_xticklabels()]]
    boxes = [box for box in boxes if box.width]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    assert len(plot_rating_maps(maps, family="dimension").axes) == 1
    assert plot_rating_maps(maps, ax=Figure().add_subplot()).axes[0].get_title(loc="left") == "Ratings: category"


def test_widths_are_those_of_journal_columns():
    assert pytest.approx((89, 183), abs=0.5) == (COLUMN_WIDTH * 25.4, PAGE_WIDTH * 25.4)
