"""A judge behind an OpenAI-compatible server: captions for language models, clips for multimodal ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
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
from affectome.judges._media import SHOWN, Media, Shown, caption_texts, content_digests
from affectome.judges._parsing import parse_choice
from affectome.judges._prices import Prices
from affectome.judges._probe import Abilities, constrain, first_alternatives, probe
from affectome.judges._prompts import Prompt, Turn, load_prompt
from affectome.judges._protocol import Answers, Reply, as_answers
from affectome.judges._transport import RequestFailed, ServerReply, Transport, read_key
from affectome.triplets import TripletSet

logger = logging.getLogger(__name__)

__all__ = ["MODES", "ChatJudge", "ChatSession", "Mode"]

#: ``paper``: free text, parsed. ``choice``: held to one label. ``auto``: held where the server can, else parsed.
Mode = Literal["auto", "choice", "paper"]
MODES: tuple[str, ...] = get_args(Mode)
_LABEL_TOKENS = 8  # enough for a label of several tokens
_TEXT_TOKENS = 512
_NEGLIGIBLE = 1e-3  # a label the server does not list is taken as impossible when it would be below this share


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
    def _shown_texts(self) -> dict[str, str]:
        return caption_texts(self.captions or {}, self.captions_per_stimulus)

    @cached_property
    def _clips(self) -> dict[str, Path]:
        return {str(name): Path(path) for name, path in (self.videos or {}).items()}

    @cached_property
    def _digests(self) -> dict[str, str]:
        return content_digests(list(self._clips), self._clips)

    def describe(self) -> dict[str, Any]:
        """Everything that decides its answers, as JSON values; no server, key or speed is among them."""
        if self.show == "captions":
            shown: dict[str, Any] = {"captions_per_stimulus": self.captions_per_stimulus}
            content: Mapping[str, str] = self._shown_texts
        else:
            shown, content = {}, self._digests
            if self.show != "video":
                shown = {"frames": [self.n_frames, self.longest_side, self.jpeg_quality]}
        return {
            "kind": "chat",
            "model": self.model,
            "mode": self.mode,
            "show": self.show,
            **shown,
            "stimuli": hashlib.sha256(json.dumps(sorted(content.items())).encode()).hexdigest(),
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
        known = self._shown_texts if self.show == "captions" else self._clips
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
        self.require([questions.ids[k] for k in sorted(set(questions.triplets.ravel().tolist()))])
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


class ChatSession:
    """Holds one conversation per question with servers whose abilities are known.

    Made by :meth:`ChatJudge.session`.
    """

    def __init__(self, judge: ChatJudge, transport: Transport, abilities: Abilities) -> None:
        self.transport = transport
        self.abilities = abilities
        self._judge = judge
        self._prompt = judge.loaded_prompt
        self._texts = judge._shown_texts if judge.show == "captions" else {}
        self._held = judge.mode != "paper" and abilities.constraint is not None
        self._media: Media | None = None
        self._known: dict[str, set[str]] = {url: set() for url in transport.servers}
        self._ranks: dict[str, int] = {}
        if judge.show != "captions":
            self._media = Media(
                judge._clips,
                judge._digests,
                shown=judge.show,
                n_frames=judge.n_frames,
                longest_side=judge.longest_side,
                quality=judge.jpeg_quality,
                url=judge.media_url,
                reuse=abilities.vllm,
                most_mb=judge.media_mb,
            )
        self._final_head, self._free_head = (self.request_head(final=final) for final in (True, False))

    def describe(self) -> dict[str, Any]:
        """What the servers were found to do; answers of one journal must not mix several."""
        return self.abilities.describe()

    async def check_sight(self) -> None:
        """Refuse servers that take a clip and drop it without a word, as those of text models may."""
        if self._media is None:
            return
        text = json.dumps({"type": "text", "text": "Name a colour."}).encode()
        clip = await self._media.part(next(iter(self._judge._clips)))
        head = {**self._free_head, "max_tokens": 1}
        for url in self.transport.servers:
            tokens = []
            for parts in (text, text + b", " + clip):
                body = {**head, "messages": [{"role": "user", "content": json.loads(b"[" + parts + b"]")}]}
                try:
                    answer = await self.transport.fetch("POST", f"{url}/chat/completions", body)
                except RequestFailed as error:
                    raise InputError(
                        f"does not take the clips as '{self._judge.show}' ({error})",
                        source=url,
                        remedy="choose another 'show', or a multimodal model",
                    ) from error
                usage = answer.get("usage")
                tokens.append(_count(usage.get("prompt_tokens")) if isinstance(usage, dict) else 0)
            if tokens[0] > 0 and tokens[1] <= tokens[0]:
                raise InputError(
                    "takes clips without looking at them: a clip adds no token to the prompt",
                    source=url,
                    remedy="serve a multimodal model, or show captions",
                )

    def request_head(self, *, final: bool) -> dict[str, Any]:
        """All keys of a request but the messages; `final` where the answer has to name the odd one."""
        judge = self._judge
        head: dict[str, Any] = {"model": judge.model, "temperature": judge.temperature}
        short = final and self._held
        if "max_completion_tokens" not in judge.extra:
            head["max_tokens"] = _LABEL_TOKENS if short else (judge.max_tokens or _TEXT_TOKENS)
        if judge.seed is not None:
            head["seed"] = judge.seed
        if short:
            head |= constrain(self.abilities.constraint, self._prompt.labels, self.abilities.token_ids)
            if self.abilities.token_ids is not None and "max_tokens" in head:
                head["max_tokens"] = 1
        if final and judge.mode != "paper" and self.abilities.logprobs:
            head |= {"logprobs": True, "top_logprobs": self.abilities.logprobs}
            if self.abilities.token_ids is not None:  # vLLM then lists the labels whatever their rank
                head["logprob_token_ids"] = list(self.abilities.token_ids)
        return {**head, **judge.extra}

    async def reply(self, ids: tuple[str, str, str]) -> Reply:
        """Ask about one triplet, in the order shown; a failure comes back as a reply without choice."""
        conversation = _Conversation()
        try:
            await self._converse(conversation, ids)
        except RequestFailed as error:
            conversation.failure = str(error)
        return conversation.reply()

    async def _converse(self, so_far: _Conversation, ids: tuple[str, str, str]) -> None:
        messages: list[_Message] = []
        if self._prompt.system:
            messages.append(_said("system", self._prompt.system))
        affinity = self._ranks.setdefault(ids[0], len(self._ranks))
        for turn in self._prompt.turns[:-1]:
            messages.append(_User(turn))
            text = so_far.add(await self._post(messages, ids, self._free_head, affinity))[0]
            messages.append(_said("assistant", text))
        messages.append(_User(self._prompt.turns[-1]))
        for attempt in range(1 + self._judge.clarifications):
            answer = await self._post(messages, ids, self._final_head, affinity)
            so_far.attempts = attempt + 1
            text = self._take(so_far, answer)
            if so_far.choice >= 0:
                return
            if text.strip():  # after silence the question is simply put again
                messages += [_said("assistant", text), _said("user", self._prompt.clarify)]

    def _take(self, so_far: _Conversation, answer: ServerReply) -> str:
        """Read the answer to the question itself; return its text."""
        text, finished = so_far.add(answer)
        slot, reason = self._read(text, finished)
        if slot is None:
            so_far.failure = f"unparsed: {reason}"
            return text
        so_far.choice = slot
        if self._final_head.get("logprobs"):
            so_far.probabilities, mass = self._probabilities(answer.content)
            # Most constraints renormalise before they report, which hides the mass outside the labels.
            so_far.mass = mass if not self._held or self.abilities.token_ids is not None else None
        return text

    def _read(self, text: str, finished: bool) -> tuple[int | None, str]:
        """The slot an answer names, or why it names none."""
        bare = text.strip()
        if bare in self._prompt.labels:
            return self._prompt.labels.index(bare), ""
        if not finished:  # what was being said when the tokens ran out may have been a "not"
            text = text.rpartition("\n")[0]
            if not text.strip():
                return None, "truncated"
        parsed = parse_choice(text, self._prompt.labels, noun=self._judge.noun)
        return parsed.slot, parsed.reason

    def _probabilities(self, answer: Mapping[str, Any]) -> tuple[tuple[float, float, float] | None, float | None]:
        """Probability of each label, normalised, and of all three; None where the first token does not tell."""
        listed = first_alternatives(answer)
        weights = [0.0, 0.0, 0.0]
        found = [False, False, False]
        for token, logprob in listed:
            for slot, label in enumerate(self._prompt.labels):
                if token.strip() == label and not math.isnan(logprob):
                    weights[slot] += math.exp(min(logprob, 0.0))
                    found[slot] = True
        mass = sum(weights)
        if mass <= 0:
            return None, None
        least = min(math.exp(min(logprob, 0.0)) for _, logprob in listed)
        renormalised = self._held and self.abilities.token_ids is None
        if not all(found) and not renormalised and least > _NEGLIGIBLE * mass:
            return None, min(
                mass, 1.0
            )  # a label that is not listed could still be almost as likely as the least that is
        return (weights[0] / mass, weights[1] / mass, weights[2] / mass), min(mass, 1.0)

    async def _post(
        self, messages: Sequence[_Message], ids: tuple[str, str, str], head: Mapping[str, Any], affinity: int
    ) -> ServerReply:
        opening = json.dumps(head)[:-1].encode() + b', "messages": ['
        if self._media is None:

            def written(server: str) -> bytes:
                return opening + b", ".join(self._written_text(message, ids) for message in messages) + b"]}"

            return await self.transport.post("chat/completions", written, affinity=affinity)
        try:
            return await self._post_media(messages, ids, opening, affinity, self._known)
        except RequestFailed as error:
            if error.status != 400 or "cache" not in error.detail.lower():
                raise
        # The server has dropped a clip that it had; it gets the bytes again.
        for known in self._known.values():
            known.difference_update(ids)
        return await self._post_media(messages, ids, opening, affinity, {})

    async def _post_media(
        self,
        messages: Sequence[_Message],
        ids: tuple[str, str, str],
        opening: bytes,
        affinity: int,
        known: Mapping[str, set[str]],
    ) -> ServerReply:
        media = self._media
        assert media is not None
        parts = {}
        for name in ids:
            if not self.abilities.vllm or any(name not in known.get(url, ()) for url in self.transport.servers):
                parts[name] = await media.part(name)

        def written(server: str) -> bytes:
            there = known.get(server, set()) if self.abilities.vllm else set()
            shown = [media.mention(name) if name in there else parts[name] for name in ids]
            return opening + b", ".join(_written_media(message, shown) for message in messages) + b"]}"

        answer = await self.transport.post("chat/completions", written, affinity=affinity)
        self._known[answer.server].update(ids)
        return answer

    def _written_text(self, message: _Message, ids: tuple[str, str, str]) -> bytes:
        if isinstance(message, bytes):
            return message
        text = "".join(part if isinstance(part, str) else self._texts[ids[part]] for part in message.turn)
        return _said("user", text)

    async def request(self, ids: tuple[str, str, str]) -> bytes:
        """The one request about a triplet, as JSON, for a batch file; a prompt of several turns has none."""
        turn = _User(self._prompt.turns[0])
        if self._media is None:
            asked = self._written_text(turn, ids)
        else:
            asked = _written_media(turn, [await self._media.part(name) for name in ids])
        messages = [*([_said("system", self._prompt.system)] if self._prompt.system else []), asked]
        return json.dumps(self._final_head)[:-1].encode() + b', "messages": [' + b", ".join(messages) + b"]}"

    def read(self, content: Mapping[str, Any], server: str) -> Reply:
        """What came of a question whose one answer was fetched in another way."""
        so_far = _Conversation()
        self._take(so_far, ServerReply(dict(content), server, 0.0))
        return so_far.reply()


@dataclass(slots=True)
class _User:
    """A turn of the user whose gaps are still to be filled."""

    turn: Turn


_Message = bytes | _User


@dataclass(slots=True)
class _Conversation:
    """What was said about one question, and what it took."""

    texts: list[str] = field(default_factory=list)
    choice: int = -1
    probabilities: tuple[float, float, float] | None = None
    mass: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    latency: float = 0.0
    attempts: int = 1
    model: str = ""
    server: str = ""
    failure: str | None = None

    def add(self, answer: ServerReply) -> tuple[str, bool]:
        """Take in one answer; its text, and whether the model came to its end."""
        text, finished = _message_text(answer.content)
        self.texts.append(text)
        usage = answer.content.get("usage")
        if isinstance(usage, dict):
            self.prompt_tokens += _count(usage.get("prompt_tokens"))
            self.completion_tokens += _count(usage.get("completion_tokens"))
            details = usage.get("prompt_tokens_details")
            if isinstance(details, dict):
                self.cached_tokens += _count(details.get("cached_tokens"))
        self.latency += answer.latency
        self.model = str(answer.content.get("model") or "")
        self.server = answer.server
        return text, finished

    def reply(self) -> Reply:
        text = self.texts[0] if len(self.texts) == 1 else json.dumps(self.texts, ensure_ascii=False)
        return Reply(
            choice=self.choice,
            probabilities=self.probabilities,
            mass=self.mass,
            text=text if self.texts else "",
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cached_tokens=self.cached_tokens,
            latency=self.latency,
            attempts=self.attempts,
            model=self.model,
            server=self.server,
            failure=None if self.choice >= 0 else self.failure,
        )


def _message_text(content: Mapping[str, Any]) -> tuple[str, bool]:
    """Text of an answer, empty where there is none, and whether the model came to its end."""
    choices = content.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return "", True
    message = first.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    return (text if isinstance(text, str) else ""), first.get("finish_reason") != "length"


def _count(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) and value >= 0 else 0


def _said(role: str, text: str) -> bytes:
    return json.dumps({"role": role, "content": text}).encode()


def _written_media(message: _Message, shown: Sequence[bytes]) -> bytes:
    """A message as JSON, clips in their places."""
    if isinstance(message, bytes):
        return message
    parts = [
        json.dumps({"type": "text", "text": part}).encode() if isinstance(part, str) else shown[part]
        for part in message.turn
    ]
    return b'{"role": "user", "content": [' + b", ".join(parts) + b"]}"
