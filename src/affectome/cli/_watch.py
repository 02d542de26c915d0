"""Shows a running collection: a live table on a terminal, a log line now and then without one."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from affectome.collection import Collected

logger = logging.getLogger(__name__)

__all__ = ["duration", "spending", "watched"]

_BETWEEN_LINES = 30.0  # seconds between two log lines
_RECENT = 30.0  # seconds over which the rate is taken


def duration(seconds: float | None) -> str:
    """Seconds in words.

    Examples
    --------
    >>> duration(42), duration(5400), duration(200_000), duration(None)
    ('42 s', '1 h 30 min', '2 d 7 h', 'unknown')
    """
    if seconds is None:
        return "unknown"
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if minutes < 2:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes:.0f} min"
    if days < 2:
        return f"{int(hours)} h {int(minutes) % 60} min"
    return f"{int(days)} d {int(hours) % 24} h"


def spending(prompt_tokens: int, completion_tokens: int, cached_tokens: int, cost: float | None) -> str:
    """Tokens, the share of them that came from the server's cache, and what they cost."""
    cached = f", {cached_tokens / prompt_tokens:.0%} of the input cached" if prompt_tokens and cached_tokens else ""
    money = "" if cost is None else f"; cost {cost:,.4f}"
    return f"{prompt_tokens:,} tokens in, {completion_tokens:,} out{cached}{money}"


class _Pace:
    """Rate over the last half minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, n_asked: int) -> float:
        now = time.monotonic()
        self._seen.append((now, n_asked))
        while len(self._seen) > 2 and now - self._seen[0][0] > _RECENT:
            self._seen.popleft()
        began, before = self._seen[0]
        passed = now - began
        return (n_asked - before) / passed if passed > 0 else 0.0


def _facts(state: Collected, rate: float) -> dict[str, str]:
    left = state.n_planned - state.n_asked
    answered = max(1, sum(state.slots))
    again = ", ".join(f"{kind} {count:,}" for kind, count in sorted(state.faults.items())) or "none"
    failed = ", ".join(f"{kind} {count:,}" for kind, count in sorted(state.failures.items())) or "none"
    return {
        "asked": f"{state.n_asked:,} of {state.n_planned:,} in this run; {state.n_answered:,} answers in the journal",
        "rate": f"{rate:,.1f} a second, {duration(left / rate if rate > 0 else None)} left",
        "spent": spending(state.prompt_tokens, state.completion_tokens, state.cached_tokens, state.cost),
        "slots called odd": " ".join(f"{count / answered:.3f}" for count in state.slots),
        "sent again": again,
        "given up": failed,
    }


@contextmanager
def watched(quiet: bool) -> Iterator[Callable[[Collected], None]]:
    """Something to tell where a collection stands."""
    pace = _Pace()
    if quiet or not sys.stderr.isatty():
        last = time.monotonic()

        def line(state: Collected) -> None:
            nonlocal last
            rate = pace.rate(state.n_asked)
            if time.monotonic() - last >= _BETWEEN_LINES:
                last = time.monotonic()
                logger.info("%s.", "; ".join(f"{name}: {text}" for name, text in _facts(state, rate).items()))

        yield line
        return
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    def drawn(state: Collected) -> Group:
        table = Table.grid(padding=(0, 2))
        for name, text in _facts(state, pace.rate(state.n_asked)).items():
            table.add_row(name, text)
        return Group(ProgressBar(total=max(1, state.n_planned), completed=state.n_asked, width=60), table)

    with Live(console=Console(stderr=True), auto_refresh=False) as live:
        yield lambda state: live.update(drawn(state), refresh=True)
