"""Asks a journal's open questions until there are none, a budget is spent, or somebody stops it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome._asynchronous import run_to_end
from affectome.collection._dispatch import Dispatch, dispatch_order
from affectome.collection._journal import FAILED, OPEN, Journal
from affectome.collection._totals import Totals
from affectome.collection._writer import Writer
from affectome.errors import EnvironmentFailure, InputError
from affectome.judges import Judge, Prices, Reply
from affectome.triplets import TripletSet

logger = logging.getLogger(__name__)

__all__ = ["Budget", "Collected", "Collector"]

_NO_ROOM = "the disk is nearly full"  # how a collection ends that stopped while what was in flight still fitted
_LOOK = 0.5  # seconds between two looks at the clock, the disk and the budget
_RESERVE = 64 * 2**20  # bytes of free disk at which asking ends, so that what is in flight still fits
_HOPELESS = 200  # failures without one answer at which the judge, not the questions, is at fault
_BATCHES = 8  # batches in one call to a judge that has a batch size: enough for shared beginnings to pay
_GROUP = 512  # questions of one call to any other judge


@dataclass(frozen=True)
class Budget:
    """Where a collection ends by itself. Trials, tokens and cost count the whole journal, hours this run.

    What is in flight when a limit is reached is still taken in.
    """

    trials: int | None = None
    tokens: int | None = None
    cost: float | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise InputError(f"a budget of {value} {name} is nothing", remedy="give a number above 0")


@dataclass(frozen=True)
class Collected:
    """Where a collection stands.

    Attributes
    ----------
    n_questions, n_answered, n_failed, n_open : int
        Of the whole journal; questions that are with a provider in a batch file count as open.
    n_asked : int
        Questions this run has closed, answered or not.
    n_planned : int
        Questions this run set out to ask.
    seconds : float
        Of this run, start-up apart.
    prompt_tokens, completion_tokens, cached_tokens : int
        Of the whole journal, failures included.
    cost : float or None
        In the currency of the judge's prices; None without prices.
    slots : three int
        How often each slot was called odd.
    failures : dict from kind to int
        Of this run.
    faults : dict from kind to int
        Requests of this run that had to be sent again, by what was wrong.
    ended : str
        ``"running"``, ``"all asked"``, ``"interrupted"``, ``"the disk is nearly full"``, or which budget was spent.
    """

    n_questions: int
    n_answered: int
    n_failed: int
    n_open: int
    n_asked: int
    n_planned: int
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost: float | None
    slots: tuple[int, int, int]
    failures: dict[str, int]
    faults: dict[str, int]
    ended: str

    @property
    def rate(self) -> float:
        """Questions closed per second of this run."""
        return self.n_asked / self.seconds if self.seconds > 0 else 0.0

    @property
    def lacks_room(self) -> bool:
        """Whether it ended since the disk is nearly full."""
        return self.ended == _NO_ROOM


class Collector:
    """Puts questions to a judge and keeps every answer in a journal.

    Parameters
    ----------
    questions : TripletSet
    judge
        A :class:`~affectome.judges.ChatJudge` is asked about many questions at once, any other judge in batches.
    journal
        SQLite file; where it exists the collection goes on. See docs/collection.md.
    budget : Budget, optional
    dispatch
        ``"prefix"``, ``"random"`` or ``"given"``; see :func:`dispatch_order`.
    shard
        ``(k, n)``: only the k-th of n parts of the questions.
    sample
        Ask only so many of the open questions, drawn at random: a trial run to extrapolate from.
    retry_failed
        Ask again what was given up in an earlier run.
    accept_changes
        Go on although judge or questions differ from the journal's, see :meth:`Journal.resume`.
    journal_mode, max_mb
        SQLite's journal mode (``"wal"``), and a bound on the size of the file.
    watch : callable, optional
        Told where the collection stands, about twice a second and at the end.

    Examples
    --------
    >>> import tempfile
    >>> from affectome.simulation import simulate_emotions
    >>> from affectome.judges import FeatureJudge
    >>> planted = simulate_emotions(n_stimuli=20, n_components=3, seed=0)
    >>> from affectome.triplets import sample_triplets
    >>> questions = sample_triplets(planted.stimuli.ids, 50, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     judge = FeatureJudge(planted.stimuli.spaces["category"], seed=0)
    ...     collected = Collector(questions, judge, f"{folder}/answers.sqlite").run_sync()
    >>> collected.n_answered, collected.ended
    (50, 'all asked')
    """

    def __init__(
        self,
        questions: TripletSet,
        judge: Judge,
        journal: str | os.PathLike[str],
        *,
        budget: Budget | None = None,
        dispatch: Dispatch = "prefix",
        shard: tuple[int, int] = (1, 1),
        sample: int | None = None,
        retry_failed: bool = False,
        accept_changes: bool = False,
        journal_mode: str = "wal",
        max_mb: float | None = None,
        watch: Callable[[Collected], None] | None = None,
    ) -> None:
        self.questions = questions
        self.judge = judge
        self.path = Path(journal)
        self.budget = budget or Budget()
        self.dispatch: Dispatch = dispatch
        self.shard = shard
        self.sample = sample
        self.retry_failed = retry_failed
        self.accept_changes = accept_changes
        self.journal_mode = journal_mode
        self.max_mb = max_mb
        self.watch = watch
        self._stopping: str | None = None

    @property
    def stopping(self) -> bool:
        """Whether no further question is sent."""
        return self._stopping is not None

    def stop(self, reason: str = "interrupted") -> None:
        """Send no further questions; those in flight are still taken in. May be called from a signal handler."""
        self._stopping = self._stopping or reason

    def run_sync(self) -> Collected:
        """:meth:`run` for ordinary code, notebooks included."""
        return run_to_end(self.run())

    async def run(self) -> Collected:
        """Ask until the end; return where the collection stands then.

        Raises
        ------
        InputError
            When questions, judge or journal do not fit together, or the judge refuses every question.
        EnvironmentFailure
            When the disk is full or no server is reachable any more. Whatever was answered before is in the journal.
        """
        require = getattr(self.judge, "require", None)
        if require is not None:
            require(self.questions.used_ids())
        description = dict(self.judge.describe())
        order = dispatch_order(self.questions.triplets, self.dispatch, self.shard)
        with Journal.resume(
            self.path,
            self.questions,
            description,
            accept_changes=self.accept_changes,
            journal_mode=self.journal_mode,
            max_mb=self.max_mb,
        ) as journal:
            states = journal.states()
            plan = self._plan(order, states)
            again = int((states[plan] == FAILED).sum())
            faults: Counter[str] = Counter()
            desk = _Desk(self, journal.totals(), len(plan), again, faults)
            if len(plan) > 0:  # where nothing is left, nobody has to be there to be asked
                async with self._answering(faults) as (ask, many, size, abilities):
                    journal.agree_on_server(abilities, self.accept_changes)
                    journal.begin_run(abilities, getattr(self.judge, "prices", None))
                    desk.start()
                    await self._ask_all(journal, _groups(plan, size), ask, many, desk)
            collected = desk.stand(self._stopping or "all asked")
        if self.watch is not None:
            self.watch(collected)
        return collected

    def _plan(self, order: NDArray[np.int64], states: NDArray[np.int8]) -> NDArray[np.int64]:
        wanted = states[order] == OPEN
        if self.retry_failed:
            wanted |= states[order] == FAILED
        plan = order[wanted]
        if self.sample is not None and self.sample < len(plan):
            plan = np.random.default_rng(len(plan)).permutation(plan)[: self.sample]
        if self.dispatch == "prefix" and self.budget != Budget() and len(plan):
            logger.info(
                "Questions are asked by first stimulus; if the budget ends them early they are no random sample."
            )
        return np.asarray(plan, np.int64)

    @asynccontextmanager
    async def _answering(self, faults: Counter[str]) -> AsyncIterator[tuple[_Ask, int, int, dict[str, Any]]]:
        """How questions are put, how many calls at once, how many questions in a call, and what the server can do.

        Requests that fail are counted in `faults`.
        """
        ids = self.questions.ids
        rows = self.questions.triplets
        opened = getattr(self.judge, "session", None)
        if opened is None:
            batch = getattr(self.judge, "batch_size", None)
            yield self._ask_batch, 1, _GROUP if batch is None else _BATCHES * int(batch), {}
            return
        async with opened() as session:
            session.transport.faults = faults

            async def ask(questions: NDArray[np.int64]) -> list[Reply]:
                a, b, c = rows[questions[0]]
                return [await session.reply((ids[a], ids[b], ids[c]))]

            yield ask, int(getattr(self.judge, "concurrency", 1)), 1, session.describe()

    async def _ask_batch(self, questions: NDArray[np.int64]) -> list[Reply]:
        """Put some questions to a judge that answers batches, in a thread beside the loop."""
        replies_of = getattr(self.judge, "replies", None)

        def work() -> list[Reply]:
            began = time.monotonic()
            asked = self.questions[questions]
            if replies_of is not None:
                return list(replies_of(asked))
            answers = self.judge.answer(asked)
            share = (time.monotonic() - began) / len(asked)
            replies = []
            for k, choice in enumerate(answers.choice.tolist()):
                soft = None if answers.probabilities is None else tuple(answers.probabilities[k].tolist())
                failure = None if choice >= 0 else "unanswered"
                replies.append(Reply(choice, soft, latency=share, failure=failure))
            return replies

        return await asyncio.to_thread(work)

    async def _ask_all(
        self, journal: Journal, left: Iterator[NDArray[np.int64]], ask: _Ask, many: int, desk: _Desk
    ) -> None:
        async def work(writer: Writer) -> None:
            for questions in left:
                if self._stopping is not None:
                    return
                replies = await ask(questions)
                # A place is free again only when its answer is on disk: what a crash can lose is what is in flight.
                await writer.put(list(zip(questions.tolist(), replies, strict=True)))
                desk.add(replies)
                if desk.is_hopeless():
                    raise InputError(
                        f"the first {_HOPELESS} questions all failed ({desk.kinds()})",
                        source="the judge",
                        remedy="look at the replies with 'collect status --failures', and mend the judge",
                    )

        async with Writer(journal) as writer:
            watching = asyncio.create_task(self._look_after(desk))
            watching.add_done_callback(lambda task: None if task.cancelled() else self.stop("nobody watches any more"))
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(many, desk.n_planned)):
                        group.create_task(work(writer))
            except BaseExceptionGroup as faults:
                raise _first(faults) from None
            finally:
                failed = watching.done()
                watching.cancel()
            if failed:
                watching.result()  # says what the watch stumbled over

    async def _look_after(self, desk: _Desk) -> None:
        """Watch the clock, the disk and the budget beside the asking."""
        while True:
            spent = desk.spent()
            if spent is not None:
                self.stop(spent)
            if shutil.disk_usage(self.path.parent).free < _RESERVE and self._stopping is None:
                logger.warning("The disk of %s is nearly full; no further questions are asked.", self.path)
                self.stop(_NO_ROOM)
            if self.watch is not None:
                self.watch(desk.stand("running"))
            await asyncio.sleep(_LOOK)


_Ask = Callable[[NDArray[np.int64]], Any]


class _Desk:
    """Counts what comes in, on top of what the journal held."""

    def __init__(
        self, collector: Collector, before: Totals, n_planned: int, n_again: int, faults: Counter[str]
    ) -> None:
        self._budget = collector.budget
        self._stop = collector.stop
        self._prices: Prices | None = getattr(collector.judge, "prices", None)
        self._before = before
        self.n_planned = n_planned
        self._n_failed_before = before.n_failed - n_again  # what is asked again is open until it comes back
        self._faults = faults
        self._began = time.monotonic()
        self._answered = self._failed = 0
        self._tokens = [before.prompt_tokens, before.completion_tokens, before.cached_tokens]
        self._slots = list(before.slots)
        self._failures: Counter[str] = Counter()
        if self._budget.cost is not None and self._prices is None:
            raise InputError("a budget of cost needs the judge's prices", remedy="add a [prices] table to the judge")

    def start(self) -> None:
        """Count time from now on: what went before was start-up."""
        self._began = time.monotonic()

    def add(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            self._tokens[0] += reply.prompt_tokens
            self._tokens[1] += reply.completion_tokens
            self._tokens[2] += reply.cached_tokens
            if reply.failure is None:
                self._answered += 1
                self._slots[reply.choice] += 1
            else:
                self._failed += 1
                self._failures[reply.failure.partition(":")[0]] += 1
        spent = self.spent()
        if spent is not None:
            self._stop(spent)

    def cost(self) -> float | None:
        return None if self._prices is None else self._prices.cost(*self._tokens)

    def spent(self) -> str | None:
        """The budget that is used up."""
        budget = self._budget
        if budget.trials is not None and self._before.n_answered + self._answered >= budget.trials:
            return f"the budget of {budget.trials:,} trials is spent"
        if budget.tokens is not None and self._tokens[0] + self._tokens[1] >= budget.tokens:
            return f"the budget of {budget.tokens:,} tokens is spent"
        cost = self.cost() if budget.cost is not None else None
        if cost is not None and budget.cost is not None and cost >= budget.cost:
            return f"the budget of {budget.cost:g} is spent"
        if budget.hours is not None and time.monotonic() - self._began >= 3600 * budget.hours:
            return f"the budget of {budget.hours:g} hours is spent"
        return None

    def is_hopeless(self) -> bool:
        return self._answered == 0 and self._before.n_answered == 0 and self._failed >= _HOPELESS

    def kinds(self) -> str:
        return ", ".join(f"{kind} {count}" for kind, count in self._failures.most_common(3))

    def stand(self, ended: str) -> Collected:
        n_answered = self._before.n_answered + self._answered
        n_failed = self._n_failed_before + self._failed
        return Collected(
            n_questions=self._before.n_questions,
            n_answered=n_answered,
            n_failed=n_failed,
            n_open=self._before.n_questions - n_answered - n_failed,
            n_asked=self._answered + self._failed,
            n_planned=self.n_planned,
            seconds=time.monotonic() - self._began,
            prompt_tokens=self._tokens[0],
            completion_tokens=self._tokens[1],
            cached_tokens=self._tokens[2],
            cost=self.cost(),
            slots=(self._slots[0], self._slots[1], self._slots[2]),
            failures=dict(self._failures),
            faults=dict(self._faults),
            ended=ended,
        )


def _groups(plan: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(plan), size):
        yield plan[start : start + size]


def _first(faults: BaseExceptionGroup[BaseException]) -> BaseException:
    """The fault that ended it: what affectome says itself comes before what else broke with it."""
    leaves = [_first(fault) if isinstance(fault, BaseExceptionGroup) else fault for fault in faults.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, (InputError, EnvironmentFailure))), leaves[0])
