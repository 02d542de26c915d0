import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome.interpretation import RatingCorrelations
from affectome.plotting import COLUMN_WIDTH, PAGE_WIDTH, house_style, plot_rating_correlations, save_figure

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


def test_widths_are_those_of_journal_columns():
    assert pytest.approx((89, 183), abs=0.5) == (COLUMN_WIDTH * 25.4, PAGE_WIDTH * 25.4)
