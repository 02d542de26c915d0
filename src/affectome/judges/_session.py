"""A conversation per question with servers whose abilities are known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from affectome.errors import InputError
from affectome.judges._media import Media
from affectome.judges._parsing import parse_choice
from affectome.judges._probe import Abilities, constrain, first_alternatives
from affectome.judges._prompts import Turn
from affectome.judges._protocol import Reply
from affectome.judges._transport import RequestFailed, ServerReply, Transport

if TYPE_CHECKING:
    from affectome.judges._chat import ChatJudge

__all__ = ["ChatSession"]

_LABEL_TOKENS = 8  # enough for a label of several tokens
_TEXT_TOKENS = 512
_NEGLIGIBLE = 1e-3  # a label the server does not list is taken as impossible when it would be below this share


class ChatSession:
    """Holds one conversation per question with servers whose abilities are known.

    Made by :meth:`ChatJudge.session`.
    """

    def __init__(self, judge: ChatJudge, transport: Transport, abilities: Abilities) -> None:
        self.transport = transport
        self.abilities = abilities
        self._judge = judge
        self._prompt = judge.loaded_prompt
        self._texts = judge.shown_texts if judge.show == "captions" else {}
        self._held = judge.mode != "paper" and abilities.constraint is not None
        self._media: Media | None = None
        self._known: dict[str, set[str]] = {url: set() for url in transport.servers}
        self._ranks: dict[str, int] = {}
        if judge.show != "captions":
            self._media = Media(
                judge.clips,
                judge.digests,
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
        clip = await self._media.part(next(iter(self._judge.clips)))
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
                tokens.append(token_count(usage.get("prompt_tokens")) if isinstance(usage, dict) else 0)
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
            conversation.note(failure=str(error))
        return conversation.reply()

    async def write(self, messages: Sequence[Mapping[str, str]]) -> tuple[Reply, bool]:
        """The model's free text to any messages, and whether it came to its end; it is read for no choice.

        Raises
        ------
        RequestFailed
        """
        conversation = _Conversation()
        said = [_said(message["role"], message["content"]) for message in messages]
        _, finished = conversation.add(await self._post(said, ("", "", ""), self._free_head, 0))
        return conversation.reply(), finished

    async def _converse(self, conversation: _Conversation, ids: tuple[str, str, str]) -> None:
        messages: list[_Message] = []
        if self._prompt.system:
            messages.append(_said("system", self._prompt.system))
        affinity = self._ranks.setdefault(ids[0], len(self._ranks))
        for turn in self._prompt.turns[:-1]:
            messages.append(_User(turn))
            text = conversation.add(await self._post(messages, ids, self._free_head, affinity))[0]
            messages.append(_said("assistant", text))
        messages.append(_User(self._prompt.turns[-1]))
        for attempt in range(1 + self._judge.clarifications):
            answer = await self._post(messages, ids, self._final_head, affinity)
            conversation.note(attempts=attempt + 1)
            text = self._take(conversation, answer)
            if conversation.so_far.choice >= 0:
                return
            if text.strip():  # after silence the question is simply put again
                messages += [_said("assistant", text), _said("user", self._prompt.clarify)]

    def _take(self, conversation: _Conversation, answer: ServerReply) -> str:
        """Read the answer to the question itself; return its text."""
        text, finished = conversation.add(answer)
        slot, reason = self._read(text, finished)
        if slot is None:
            conversation.note(failure=f"unparsed: {reason}")
            return text
        conversation.note(choice=slot)
        if self._final_head.get("logprobs"):
            probabilities, mass = self._probabilities(answer.content)
            # Most constraints renormalise before they report, which hides the mass outside the labels.
            known = not self._held or self.abilities.token_ids is not None
            conversation.note(probabilities=probabilities, mass=mass if known else None)
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
        conversation = _Conversation()
        self._take(conversation, ServerReply(dict(content), server, 0.0))
        return conversation.reply()


@dataclass(slots=True)
class _User:
    """A turn of the user whose gaps are still to be filled."""

    turn: Turn


_Message = bytes | _User


class _Conversation:
    """What was said about one question, and what it took."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.so_far = Reply(-1)

    def add(self, answer: ServerReply) -> tuple[str, bool]:
        """Take in one answer; its text, and whether the model came to its end."""
        text, finished = _message_text(answer.content)
        self.texts.append(text)
        usage = answer.content.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else 0
        self.note(
            prompt_tokens=self.so_far.prompt_tokens + token_count(usage.get("prompt_tokens")),
            completion_tokens=self.so_far.completion_tokens + token_count(usage.get("completion_tokens")),
            cached_tokens=self.so_far.cached_tokens + token_count(cached),
            latency=self.so_far.latency + answer.latency,
            model=str(answer.content.get("model") or ""),
            server=answer.server,
        )
        return text, finished

    def note(self, **known: Any) -> None:
        """Keep what has become known."""
        self.so_far = replace(self.so_far, **known)

    def reply(self) -> Reply:
        """All of it; a failure that a later attempt made good is forgotten."""
        text = self.texts[0] if len(self.texts) == 1 else json.dumps(self.texts, ensure_ascii=False)
        failure = self.so_far.failure if self.so_far.choice < 0 else None
        return replace(self.so_far, text=text if self.texts else "", failure=failure)


def _message_text(content: Mapping[str, Any]) -> tuple[str, bool]:
    """Text of an answer, empty where there is none, and whether the model came to its end."""
    choices = content.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return "", True
    message = first.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    return (text if isinstance(text, str) else ""), first.get("finish_reason") != "length"


def token_count(value: object) -> int:
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
