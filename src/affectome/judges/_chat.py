"""A judge behind an OpenAI-compatible server: captions for language models, clips for multimodal ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from affectome._asynchronous import run_to_end
from affectome._progress import Progress
from affectome._tables import cut_short
from affectome.errors import EnvironmentFailure, InputError
from affectome.judges._media import SHOWN, Shown, caption_texts, content_digests, shown_digest
from affectome.judges._prices import Prices
from affectome.judges._probe import Abilities, probe
from affectome.judges._prompts import Prompt, load_prompt
from affectome.judges._protocol import Answers, Reply, as_answers
from affectome.judges._session import ChatSession
from affectome.judges._transport import RequestFailed, Transport, read_key
from affectome.triplets import TripletSet

logger = logging.getLogger(__name__)

__all__ = ["MODES", "ChatJudge", "Mode"]

#: ``paper``: free text, parsed. ``choice``: held to one label. ``auto``: held where the server can, else parsed.
Mode = Literal["auto", "choice", "paper"]
MODES: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True, eq=False)
class ChatJudge:
    """Asks a model behind any OpenAI-compatible chat server.

    Parameters
    ----------
    model
        As the server calls it.
    servers
        One base address or several, as ``http://localhost:8000/v1``.
    captions, videos : mapping from id to captions, or to a path
        What is shown; at least what `show` needs.
    show
        ``"captions"``; ``"video"``: the clips as they are; ``"frames"``: frames sampled here, sent as one video;
        ``"images"``: the same frames as single images, for servers that take no video.
    mode
        ``"choice"``: the server holds the answer to one label, probabilities come from its log-probabilities,
        and a server on which no constraint binds is refused. ``"paper"``: free text, parsed. ``"auto"``: as
        ``"choice"`` where a constraint binds, else the short answer is parsed.
    prompt
        A built-in template or a file; by default ``"choice"``, and in mode ``"paper"`` the published task in our words.
    labels, noun
        What slots and stimuli are called.
    captions_per_stimulus
        The first so many captions of each stimulus are shown, as one text.
    n_frames, longest_side, jpeg_quality
        Of sampled frames, see :func:`affectome.stimuli.sample_frames`.
    media_url
        Where the server itself finds the clips (``https://...`` or, where it is allowed to, ``file:///...``).
    temperature, max_tokens, seed, extra
        Of every request; `extra` holds any further keys. `max_tokens` bounds free text (512 by default).
    raw_mass
        Report the probability on the three labels together (vLLM: needs one token per label).
    clarifications
        Times that an answer which names no slot, or several, is asked again.
    api_key_env
        Name of the environment variable with the key. The key itself is never stored.
    concurrency, timeout_s, retries, backoff_s, patience_s
        See :class:`affectome.judges.Transport`. None of them changes what is asked.
    media_mb
        Memory for encoded clips.
    prices : Prices, optional

    Examples
    --------
    >>> judge = ChatJudge("llama", "http://localhost:8000/v1", captions={"v1": ["A dog runs."]})
    >>> judge.describe()["prompt"]["name"]
    'choice'
    """

    model: str
    servers: str | Sequence[str]
    captions: Mapping[str, Sequence[str]] | None = None
    videos: Mapping[str, Path] | None = None
    show: Shown = "captions"
    mode: Mode = "auto"
    prompt: str | None = None
    labels: Sequence[str] = ("A", "B", "C")
    noun: str = "video"
    captions_per_stimulus: int = 1
    n_frames: int = 8
    longest_side: int | None = 336
    jpeg_quality: int = 90
    media_url: str | None = None
    temperature: float = 0.0
    max_tokens: int | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    raw_mass: bool = False
    clarifications: int = 1
    api_key_env: str | None = None
    concurrency: int = 64
    timeout_s: float = 120.0
    retries: int = 6
    backoff_s: float = 0.5
    patience_s: float = 300.0
    media_mb: float = 512.0
    prices: Prices | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("show", self.show, SHOWN), ("mode", self.mode, MODES)):
            if value not in known:
                raise InputError(f"{name}='{value}' is unknown", remedy=f"choose one of {', '.join(known)}")
        given = self.captions if self.show == "captions" else self.videos
        if not given:
            needed = "captions" if self.show == "captions" else "videos"
            raise InputError(f"show='{self.show}' needs {needed}", remedy="give stimuli that have them")
        if not self.addresses or not all(url.startswith(("http://", "https://")) for url in self.addresses):
            raise InputError(
                f"the servers {list(self.addresses)} are no http addresses", remedy="as in http://localhost:8000/v1"
            )
        positive = {
            name: getattr(self, name)
            for name in ("captions_per_stimulus", "n_frames", "concurrency", "timeout_s", "patience_s", "media_mb")
        }
        not_negative = {name: getattr(self, name) for name in ("clarifications", "retries", "backoff_s", "temperature")}
        wrong = [f"{k}={v}" for k, v in positive.items() if not v > 0]
        wrong += [f"{k}={v}" for k, v in not_negative.items() if not v >= 0]
        if wrong:
            raise InputError(f"{wrong[0]} is too small", source="ChatJudge", remedy="see its documentation")
        _ = self.loaded_prompt  # a template that cannot be used is a fault now, not after the start

    @property
    def addresses(self) -> tuple[str, ...]:
        """Base addresses of the servers, without a final slash, each once."""
        given = (self.servers,) if isinstance(self.servers, str) else self.servers
        return tuple(dict.fromkeys(str(url).strip().rstrip("/") for url in given))

    @cached_property
    def loaded_prompt(self) -> Prompt:
        """The prompt with its labels in place."""
        name = self.prompt
        if name is None:
            paper = "paper-captions" if self.show == "captions" else "paper-video"
            name = paper if self.mode == "paper" else "choice"
        return load_prompt(name, self.labels, noun=self.noun)

    @cached_property
    def shown_texts(self) -> dict[str, str]:
        """What stands for each stimulus where captions are shown."""
        return caption_texts(self.captions or {}, self.captions_per_stimulus)

    @cached_property
    def clips(self) -> dict[str, Path]:
        """Path of each stimulus's clip."""
        return {str(name): Path(path) for name, path in (self.videos or {}).items()}

    @cached_property
    def digests(self) -> dict[str, str]:
        """Content of each clip, read once."""
        return content_digests(list(self.clips), self.clips)

    def describe(self) -> dict[str, Any]:
        """Everything that decides its answers, as JSON values; no server, key or speed is among them."""
        if self.show == "captions":
            shown: dict[str, Any] = {"captions_per_stimulus": self.captions_per_stimulus}
            content: Mapping[str, str] = self.shown_texts
        else:
            shown, content = {}, self.digests
            if self.show != "video":
                shown = {"frames": [self.n_frames, self.longest_side, self.jpeg_quality]}
        return {
            "kind": "chat",
            "model": self.model,
            "mode": self.mode,
            "show": self.show,
            **shown,
            "stimuli": shown_digest(content),
            "prompt": dict(self.loaded_prompt.describe()),
            "noun": self.noun,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "extra": dict(self.extra),
            "raw_mass": self.raw_mass,
            "clarifications": self.clarifications,
        }

    def require(self, ids: Sequence[str]) -> None:
        """Refuse stimuli of which there is nothing to show."""
        known = self.shown_texts if self.show == "captions" else self.clips
        missing = [name for name in ids if name not in known]
        if missing:
            what = "caption" if self.show == "captions" else "video"
            raise InputError(
                f"{len(missing)} of {len(ids)} stimuli have no {what} ({cut_short(missing)})",
                source="the judge's stimuli",
                remedy="make the ids match",
            )

    def transport(self) -> Transport:
        """A way to its servers."""
        return Transport(
            self.addresses,
            key=read_key(self.api_key_env),
            concurrency=self.concurrency,
            timeout_s=self.timeout_s,
            retries=self.retries,
            backoff_s=self.backoff_s,
            patience_s=self.patience_s,
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ChatSession]:
        """Connect, find out what the servers can do, and be ready to answer.

        Raises
        ------
        EnvironmentFailure
            When no server can be reached.
        InputError
            When the key is refused, the model is unknown, or no constraint binds in mode ``"choice"``.
        """
        async with self.transport() as transport:
            session = ChatSession(self, transport, await self._probe(transport))
            await session.check_sight()
            yield session

    def offline(self, abilities: Abilities) -> ChatSession:
        """A session that writes and reads but asks nothing, for servers whose abilities are stated, not found out."""
        return ChatSession(self, Transport(self.addresses), abilities)

    async def _probe(self, transport: Transport) -> Abilities:
        """What all reachable servers can do; the others are left out."""
        asked = [
            probe(
                transport,
                url,
                self.model,
                labels=self.labels,
                raw_mass=self.raw_mass,
                extra=self.extra,
                constraints=self.mode != "paper",
            )
            for url in self.addresses
        ]
        found = dict(zip(self.addresses, await asyncio.gather(*asked, return_exceptions=True), strict=True))
        for outcome in found.values():
            if isinstance(outcome, BaseException) and not isinstance(outcome, RequestFailed):
                raise outcome
        gone = {url: outcome for url, outcome in found.items() if isinstance(outcome, RequestFailed)}
        able = [outcome for outcome in found.values() if isinstance(outcome, Abilities)]
        if not able:
            url, fault = next(iter(gone.items()))
            if fault.status is not None and fault.status < 429:
                raise InputError(
                    f"refuses even a plain request ({fault})", source=url, remedy="check 'model' and 'extra'"
                ) from fault
            raise EnvironmentFailure(
                f"cannot be asked ({fault})", source=url, remedy="start the server, or correct 'servers'"
            ) from fault
        for url, fault in gone.items():
            logger.warning("%s cannot be asked (%s) and is left out of this run.", url, fault)
        transport.drop(list(gone))
        if any(outcome != able[0] for outcome in able):
            raise InputError(
                "the servers can do different things", source=cut_short(self.addresses), remedy="run the same on all"
            )
        if self.mode == "choice" and able[0].constraint is None:
            raise InputError(
                "no constraint on the answer binds here: held to one of two nonsense words, it said something else",
                source=transport.servers[0],
                remedy="use mode = 'auto' to have its answers parsed, or another server",
            )
        return able[0]

    def answer(self, questions: TripletSet, *, progress: Progress | None = None) -> Answers:
        """Ask all questions and keep nothing on disk; for many use :class:`affectome.collection.Collector`."""
        self.require(questions.used_ids())
        return as_answers(run_to_end(self._replies(questions, progress))) if len(questions) else as_answers([])

    async def _replies(self, questions: TripletSet, progress: Progress | None) -> list[Reply]:
        rows = questions.triplets.tolist()
        replies: list[Reply | None] = [None] * len(rows)
        left, done = iter(range(len(rows))), 0

        async def work(session: ChatSession) -> None:
            nonlocal done
            for number in left:
                a, b, c = rows[number]
                replies[number] = await session.reply((questions.ids[a], questions.ids[b], questions.ids[c]))
                done += 1
                if progress is not None:
                    progress(done, len(rows))

        async with self.session() as session, asyncio.TaskGroup() as group:
            for _ in range(min(self.concurrency, len(rows))):
                group.create_task(work(session))
        return [reply for reply in replies if reply is not None]
