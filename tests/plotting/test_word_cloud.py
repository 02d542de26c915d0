"""Words stand apart, in the sizes of their weights, and are never too small to read."""

import builtins

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.textpath import TextPath

from affectome.errors import EnvironmentFailure, InputError
from affectome.plotting import (
    COLUMN_WIDTH,
    PAGE_WIDTH,
    lay_out_words,
    plot_word_cloud,
    plot_word_clouds,
    save_figure,
    system_colours,
)
from affectome.plotting._lettering import drawable, ink, shortened, wrapped

pytest.importorskip("wordcloud", reason="needs affectome[words]")
WEIGHTS = pd.Series({"Joy": 0.8, "Aesthetic Appreciation": 0.4, "Fear": -0.6, "$awe$": 0.2, "zero": 0.0, "calm": 0.2})


def box(word):
    """Left, right, bottom, top of the ink, from the outlines of the letters."""
    path = TextPath((word.left, word.baseline), word.text, size=word.size, prop={"family": "DejaVu Sans"})
    extent = path.get_extents()
    return extent.x0, extent.x1, extent.y0, extent.y1


def darkest(words, size):
    """The darkest pixel where every word is half transparent: below a half where two of them lie over each other."""
    figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=150)
    canvas = FigureCanvasAgg(figure)
    for word in words:
        figure.text(word.left / size[0], word.baseline / size[1], word.text, fontsize=word.size, alpha=0.5,
                    family="DejaVu Sans", va="baseline", ha="left", parse_math=False)  # fmt: skip
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0].min() / 255


def test_sizes_are_linear_in_the_weights_from_seven_points():
    words = lay_out_words(WEIGHTS, 240, 140)
    assert [word.text for word in words] == ["Joy", "−Fear", "Aesthetic Appreciation", "$awe$", "calm"]
    sizes = np.array([word.size for word in words])
    assert sizes.max() > 14
    expected = 7 + (sizes.max() - 7) * np.array([0.8, 0.6, 0.4, 0.2, 0.2]) / 0.8
    np.testing.assert_allclose(sizes, expected, atol=0.5)  # half a point is the grain


@settings(deadline=None, max_examples=15)
@given(
    weights=st.dictionaries(st.text("abcdefg hij", min_size=1, max_size=14).filter(str.strip),
                            st.floats(-1, 1).filter(lambda w: abs(w) > 1e-3), min_size=1, max_size=30),
    size=st.sampled_from([(100, 76), (250, 150), (60, 200)]),
    seed=st.integers(0, 5),
)  # fmt: skip
def test_words_lie_within_the_rectangle_and_apart(weights, size, seed):
    words = lay_out_words(pd.Series(weights), *size, seed=seed)
    assert darkest(words, size) > 0.45
    for word in words:
        left, right, bottom, top = box(word)
        assert left > -0.6 and right < size[0] + 0.6 and bottom > -0.6 and top < size[1] + 0.6
        assert word.size >= 7
    strengths = [abs(word.weight) for word in words]
    assert strengths == sorted(strengths, reverse=True)


def test_the_same_words_give_the_same_picture_in_whatever_order_they_come(tmp_path):
    shuffled = WEIGHTS.sample(frac=1, random_state=1)
    assert lay_out_words(WEIGHTS, 200, 100) == lay_out_words(shuffled, 200, 100)
    assert lay_out_words(WEIGHTS, 200, 100) != lay_out_words(WEIGHTS, 200, 100, seed=1)
    one, two = (
        save_figure(plot_word_cloud(weights), tmp_path / name, "cloud", ("png", "svg", "pdf"))
        for name, weights in (("a", WEIGHTS), ("b", shuffled))
    )
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_weak_words_are_left_out_before_strong_ones_become_small():
    many = pd.Series({f"word number {k}": 1 - k / 100 for k in range(60)})
    words = lay_out_words(many, 120, 80, max_words=60)
    assert 3 < len(words) < 60 and words[0].size >= 10
    assert [word.text for word in words] == [f"word number {k}" for k in range(len(words))]
    few = lay_out_words(many, 400, 300, max_words=7)
    assert len(few) == 7


def test_a_word_wider_than_the_rectangle_is_left_out_and_the_others_stay():
    words = lay_out_words(pd.Series({"an endless name " * 4: 1.0, "Joy": 0.5}), 100, 60)
    assert [word.text for word in words] == ["Joy"]


def drawn(figure, part):
    return [text for text in figure.axes[0].texts if text.get_gid() == part]


def test_the_figure_shows_the_words_as_text_in_two_colours():
    figure = plot_word_cloud(WEIGHTS, title="What it follows")
    assert figure.get_size_inches()[0] == COLUMN_WIDTH
    words = drawn(figure, "word")
    assert [word.get_text() for word in words] == ["Joy", "−Fear", "Aesthetic Appreciation", "$awe$", "calm"]
    assert [word.get_color() for word in words] == ["#0072B2", "#B34700", "#0072B2", "#0072B2", "#0072B2"]
    assert not any(word.get_parse_math() for word in words)
    assert drawn(figure, "note")[0].get_text() == "− and vermilion: negative"
    assert drawn(figure, "name")[0].get_text() == "What it follows"
    assert drawn(plot_word_cloud(WEIGHTS.abs()), "note")[0].get_text() == ""


def test_words_take_the_colour_that_is_given_dark_enough_to_read():
    given = system_colours(["human_dimension"])["human_dimension"]
    for figure in (plot_word_cloud(WEIGHTS, colour=given), plot_word_clouds({"a": WEIGHTS}, colour=given)):
        colours = {word.get_text()[:1] == "−": word.get_color() for word in drawn(figure, "word")}
        assert colours == {False: "#9e6d00", True: "0.35"}
        assert drawn(figure, "note")[0].get_text() == "− and grey: negative"


def test_a_page_has_one_cloud_per_component_below_its_name():
    clouds = {f"component {k:02d}": WEIGHTS * (k + 1) for k in range(30)} | {"empty": WEIGHTS * 0}
    figure = plot_word_clouds(clouds, names={"component 00": "Happy and a very long name that does not fit"})
    assert figure.get_size_inches()[0] == PAGE_WIDTH
    names = [text.get_text() for text in drawn(figure, "name")]
    assert names[0].startswith("Happy and a") and names[0].endswith("…") and names[1:] == list(clouds)[1:]
    counts = sum(text.get_text() == "Joy" for text in drawn(figure, "word"))
    assert counts == 30 and len(drawn(figure, "none")) == 1
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    # Every word lies in the tile of its component: between its own name and the next row's.
    tops = {text.get_text(): text.get_position() for text in drawn(figure, "name")}
    first_row = [word for word in drawn(figure, "word") if word.get_position()[1] > tops["component 05"][1]]
    assert sum(word.get_text() == "Joy" for word in first_row) == 5
    assert "sizes compare within a cloud" in drawn(figure, "note")[0].get_text()


def test_a_cloud_in_letters_that_the_font_lacks_leaves_its_place_empty():
    figure = plot_word_clouds({"a": WEIGHTS, "b": pd.Series({"愛": 1.0, "calm": 0.0})})
    assert len(drawn(figure, "none")) == 1
    assert len(drawn(figure, "word")) == len(drawn(plot_word_cloud(WEIGHTS), "word"))


def test_given_axes_are_used():
    figure = Figure(figsize=(6, 4))
    assert plot_word_cloud(WEIGHTS, ax=figure.add_subplot(1, 2, 2)) is figure
    assert len(drawn(figure, "word")) == 5


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (pd.Series({"a": 0.0}), "no word with a weight"),
        (pd.Series(dtype=float), "no word with a weight"),
        (pd.Series({"日本": 1.0}), "no word with a weight"),
        (pd.Series({"a": np.nan}), "the weight of the word 'a' is not a finite number"),
        (pd.Series([1.0, 2.0], index=["a", "a"]), "the word 'a' appears more than once"),
    ],
)
def test_wrong_weights_are_named(weights, message):
    with pytest.raises(InputError, match=message):
        lay_out_words(weights, 100, 100)


def test_wrong_settings_are_named():
    with pytest.raises(InputError, match="100 x 10 points are no room for words"):
        lay_out_words(WEIGHTS, 100, 10)
    with pytest.raises(InputError, match="max_words=0"):
        lay_out_words(WEIGHTS, 100, 100, max_words=0)
    with pytest.raises(InputError, match="0 clouds"):
        plot_word_clouds({})


def test_without_the_library_the_remedy_is_named(monkeypatch):
    original = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "wordcloud":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(EnvironmentFailure, match=r'pip install "affectome\[words\]"'):
        lay_out_words(WEIGHTS, 100, 100)


def test_text_is_measured_shortened_and_wrapped():
    assert drawable(" a\n\tb \u202e日") == "a b \ufffd"
    assert ink("mm", 14)[0] == pytest.approx(2 * ink("mm", 7)[0], rel=1e-3)
    assert shortened("short", 100, 7) == "short"
    cut = shortened("one two three four five six", 60, 7)
    assert cut == "one two three…" and ink(cut, 7)[0] <= 60
    assert ink(shortened("i" * 500, 60, 7), 7)[0] == pytest.approx(60, abs=3)
    assert wrapped("one two three four five six seven", 40, 7, 3) == ["one two", "three four", "five six…"]
    assert wrapped("", 40, 7, 3) == []
    assert wrapped("low attention/arousal / a/b", 50, 7, 3) == ["low attention/", "arousal / a/b"]
