import itertools
import socket

import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


@pytest.fixture
def no_network(monkeypatch):
    """Whoever opens a socket fails."""

    def refuse(*arguments, **named):
        raise AssertionError("a figure asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture(scope="session")
def assert_readable():
    """Text of at least 7 pt, inside the figure, none over another, on a figure no wider than a page."""

    def check(figure):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        hidden = {id(text) for ax in figure.findobj(Axes) for text in _not_drawn(ax)}
        shown = [text for text in figure.findobj(Text) if text.get_text().strip() and id(text) not in hidden]
        assert len(shown) >= 2 and min(text.get_fontsize() for text in shown) >= 7
        boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in shown]
        across, up = figure.get_size_inches() * figure.dpi
        for text, box in boxes:
            assert box.x0 > -1 and box.x1 < across + 1 and box.y0 > -1 and box.y1 < up + 1, f"'{text}' is cut off"
        for (first, a), (second, b) in itertools.combinations(boxes, 2):
            overlap = (min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0))
            assert min(overlap) < 1.5, f"'{first}' lies over '{second}'"
        assert figure.get_figwidth() <= 7.21

    return check


def _not_drawn(ax):
    """Text of an axis that is switched off, and of ticks beyond the limits."""
    for axis in (ax.xaxis, ax.yaxis):
        ticks = [] if not (ax.axison and axis.get_visible()) else axis._update_ticks()
        visible = {id(label) for tick in ticks for label in (tick.label1, tick.label2) if label.get_visible()}
        if ticks or (ax.axison and axis.get_visible()):
            visible |= {id(axis.label), id(axis.offsetText)}
        yield from (text for text in axis.findobj(Text) if id(text) not in visible)
