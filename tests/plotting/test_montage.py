"""The montage shows the strongest stimuli, in order, in text that can be read."""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from affectome.errors import InputError
from affectome.interpretation import top_stimuli
from affectome.plotting import PAGE_WIDTH, plot_top_stimuli, save_figure
from affectome.plotting._lettering import ink


@dataclass
class Tile:
    jpeg: bytes = b""
    blurred: bool = False
    problem: str = ""


def picture(grey, size=(40, 30), **kwargs):
    buffer = io.BytesIO()
    Image.new("RGB", size, (grey,) * 3).save(buffer, "JPEG")
    return Tile(buffer.getvalue(), **kwargs)


IDS = [f"s{k}" for k in range(12)]
LONG = "A man with a remarkably long coat walks $slowly$ over the bridge and looks at the water for hours on end."


@pytest.fixture(scope="module")
def top():
    weights = np.zeros((12, 3))
    weights[:, 0] = np.arange(12)
    weights[2:4, 1] = [0.5, 2]
    space = pd.DataFrame(weights, index=IDS, columns=["one", "two", "none"])
    return top_stimuli(space, {"s11": [LONG], "s10": ["A <b>dog</b> 日本."]})


def texts(figure, part):
    return [text.get_text() for text in figure.axes[0].texts if text.get_gid() == part]


def test_without_pictures_bars_have_the_lengths_of_the_weights(top):
    figure = plot_top_stimuli(top, {})  # as thumbnails of stimuli without clips
    assert figure.get_size_inches()[0] == PAGE_WIDTH
    bars = [patch.get_width() for patch in figure.axes[0].patches if patch.get_gid() == "bar"]
    np.testing.assert_allclose(np.array(bars[:8]) / bars[0], np.arange(11, 3, -1) / 11)
    np.testing.assert_allclose(np.array(bars[8:]) / bars[8], [1, 0.25])
    assert texts(figure, "id") == ["s11", "s10", "s9", "s8", "s7", "s6", "s5", "s4", "s3", "s2"]
    assert texts(figure, "weight")[:2] == ["11.00", "10.00"]
    assert texts(figure, "caption")[:3] == [LONG, "A <b>dog</b> \ufffd\ufffd.", ""]
    assert texts(figure, "share") == ["these 8: 90.9% of its weight", "these 2: 100.0% of its weight", ""]
    assert texts(figure, "none") == ["no stimulus has a weight"]


def test_pictures_stand_in_order_above_id_and_caption(top):
    tiles = {name: picture(20 * k) for k, name in enumerate(IDS)}
    tiles["s10"] = picture(200, size=(30, 40), blurred=True)
    tiles["s9"] = Tile(problem="clip missing")
    del tiles["s8"]
    figure = plot_top_stimuli(top, tiles, components=["one"], names={"one": "Calm"}, columns=4)
    ax = figure.axes[0]
    assert [image.get_gid() for image in ax.images] == [f"picture s{k}" for k in (11, 10, 7, 6, 5, 4)]
    shown = [int(np.asarray(image.get_array()).mean().round()) for image in ax.images]
    np.testing.assert_allclose(shown, [220, 200, 140, 120, 100, 80], atol=2)
    left, right, bottom, upper = ax.images[1].get_extent()
    assert (right - left) / (upper - bottom) == pytest.approx(0.75)  # neither stretched nor cut
    assert texts(figure, "problem") == ["clip\nmissing", "no\npicture"]
    lefts = [text.get_position() for text in ax.texts if text.get_gid() == "id"]
    assert [x for x, _ in lefts[:4]] == sorted(x for x, _ in lefts[:4]) and lefts[4][1] < lefts[0][1]
    assert texts(figure, "id")[0] == "s11 · 11.00"
    assert texts(figure, "name") == ["Calm"]
    assert "1 of 8 stimuli blurred on purpose" in texts(figure, "note")[0]
    caption = texts(figure, "caption")[:4]
    assert caption[0].startswith("A man with a") and " ".join(caption[:3]) in LONG


@pytest.mark.parametrize("pictured", [True, False])
def test_text_is_large_enough_and_nothing_lies_over_something_else(top, pictured, tmp_path):
    tiles = {name: picture(90) for name in IDS} if pictured else None
    figure = plot_top_stimuli(top, tiles, title="A title")
    figure.draw_without_rendering()
    drawn = [text for text in figure.findobj(Text) if text.get_text()]
    assert min(text.get_fontsize() for text in drawn) >= 7
    boxes = [text.get_window_extent() for text in drawn]
    page = figure.bbox
    for k, box in enumerate(boxes):
        assert page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 1 and page.y0 - 1 <= box.y0 and box.y1 <= page.y1 + 1
        for other in boxes[:k]:
            width = min(box.x1, other.x1) - max(box.x0, other.x0)
            height = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert width < 1 or height < 3  # boxes are as high as the highest letters, and a little more
    paths = save_figure(figure, tmp_path, "top", ("png", "svg", "pdf"))
    assert all(path.stat().st_size > 1000 for path in paths)


def test_bars_and_rules_take_the_colour_that_is_given(top):
    axes = plot_top_stimuli(top, colour="#009E73").axes[0]
    bars = [patch for patch in axes.patches if patch.get_gid() == "bar"]
    assert bars and {to_hex(bar.get_facecolor()) for bar in bars} == {"#009e73"}
    assert {to_hex(line.get_color()) for line in axes.lines if line.get_gid() == "rule"} == {"#009e73"}


def test_captions_of_several_components_stand_beside_each_other(top):
    figure = plot_top_stimuli(top, columns=2, components=["one", "two", "none"])
    assert figure.get_size_inches()[1] < plot_top_stimuli(top).get_size_inches()[1] - 0.4
    (one, two, none) = (text.get_position() for text in figure.axes[0].texts if text.get_gid() == "name")
    assert one[1] == two[1] > none[1] and one[0] == none[0] < two[0]
    for text in figure.axes[0].texts:
        if text.get_gid() == "caption" and text.get_position()[0] < two[0]:
            assert text.get_position()[0] + ink(text.get_text(), 7)[0] <= two[0]


def test_given_axes_are_used_and_refused_where_they_are_too_low(top):
    figure = Figure(figsize=(5, 6))
    assert plot_top_stimuli(top, ax=figure.add_subplot()) is figure
    with pytest.raises(InputError, match=r"the axes are 0\.9 inches high, and 3 components need 2\.\d"):
        plot_top_stimuli(top, ax=Figure(figsize=(7, 1.2)).add_subplot())


def test_components_come_in_the_order_asked_for_and_unknown_ones_are_named(top):
    assert texts(plot_top_stimuli(top, components=["two", "one"]), "name") == ["two", "one"]
    with pytest.raises(InputError, match="no component 'three'"):
        plot_top_stimuli(top, components=["three"])
    with pytest.raises(InputError, match="no component is named"):
        plot_top_stimuli(top, components=[])
    with pytest.raises(InputError, match="columns=-1"):
        plot_top_stimuli(top, columns=-1)
