import itertools
import socket

import pytest
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
        shown = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible() and _drawn(t)]
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


def _drawn(text):
    """Whether its axes show it: ticks beyond the limits exist, and are not drawn."""
    axes = text.axes
    if axes is None or not axes.axison:
        return axes is None or text in axes.texts or text in (axes.title, axes._left_title)
    if text in axes.get_xticklabels():
        low, high = sorted(axes.get_xlim())
        return low <= text.get_position()[0] <= high
    if text in axes.get_yticklabels():
        low, high = sorted(axes.get_ylim())
        return low <= text.get_position()[1] <= high
    return text not in [t for axis in (axes.xaxis, axes.yaxis) for t in axis.get_ticklabels(minor=True)]
