"""Finds out at start-up what a server really does, since a constraint it ignores is worse than none."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from affectome.judges._transport import RequestFailed, Transport

logger = logging.getLogger(__name__)

__all__ = ["CONSTRAINTS", "Abilities", "constrain", "probe"]

#: Ways to hold a server to one of a few answers, the best known first.
CONSTRAINTS = ("structured_outputs", "guided_choice", "regex", "grammar")
_IMPOSSIBLE = ("QXJZ", "ZVKQ")  # nothing a model would say unless it is made to
_MOST_LOGPROBS = (20, 5)  # the most alternatives per token that servers usually give


@dataclass(frozen=True)
class Abilities:
    """What one server was seen to do.

    Attributes
    ----------
    constraint : str or None
        One of :data:`CONSTRAINTS`, or ``"allowed_token_ids"``; None where none of them binds.
    token_ids : three int, or None
        Tokens of the labels, where ``allowed_token_ids`` is the constraint.
    logprobs : int
        Alternatives per token it reports, 0 for none.
    vllm : bool
        Whether it is a vLLM, which keeps clips by ``uuid``.
    """

    constraint: str | None
    token_ids: tuple[int, ...] | None
    logprobs: int
    vllm: bool

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Abilities:
        """The abilities that :meth:`describe` gave."""
        ids = described.get("token_ids")
        return cls(
            described.get("constraint"),
            None if ids is None else tuple(ids),
            int(described.get("logprobs", 0)),
            bool(described.get("vllm", False)),
        )

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "token_ids": None if self.token_ids is None else list(self.token_ids)}


def constrain(constraint: str | None, choices: Sequence[str], token_ids: Sequence[int] | None = None) -> dict[str, Any]:
    """The keys of a request that hold the answer to one of `choices`."""
    if constraint is None:
        return {}
    if constraint == "structured_outputs":
        return {"structured_outputs": {"choice": list(choices)}}
    if constraint == "guided_choice":
        return {"guided_choice": list(choices)}
    if constraint == "regex":
        escaped = ("".join(f"\\{c}" if not c.isalnum() and c != " " else c for c in choice) for choice in choices)
        return {"regex": f"({'|'.join(escaped)})"}
    if constraint == "grammar":
        quoted = ('"' + choice.replace("\\", "\\\\").replace('"', '\\"') + '"' for choice in choices)
        return {"grammar": f"root ::= {' | '.join(quoted)}"}
    return {"allowed_token_ids": list(token_ids or ())}


async def probe(
    transport: Transport,
    url: str,
    model: str,
    *,
    labels: Sequence[str],
    raw_mass: bool,
    extra: Mapping[str, Any],
    constraints: bool = True,
) -> Abilities:
    """Ask one server for the impossible and see whether it obeys.

    Parameters
    ----------
    raw_mass
        Prefer a constraint that leaves the probabilities outside the labels visible.
    extra
        Keys of every request of this judge.
    constraints
        Whether to look for constraints and log-probabilities at all.

    Raises
    ------
    RequestFailed
        When it cannot be reached, or refuses even a plain request.
    """

    async def say(*, essential: bool = False, **keys: Any) -> dict[str, Any]:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "Name a colour."}],
            "temperature": 0,
            "max_tokens": 12,
            **extra,
            **keys,
        }
        return await transport.fetch("POST", f"{url}/chat/completions", body, essential=essential)

    async def binds(constraint: str, choices: Sequence[str], ids: Sequence[int] | None = None) -> bool:
        try:
            keys = constrain(constraint, choices, ids)
            answer = await say(**keys, max_tokens=1) if ids else await say(**keys)
        except RequestFailed as error:
            if error.status is None:
                raise
            return False
        return _text(answer).strip() in choices

    await say(essential=True)  # a server that refuses this is not asked for more
    vllm = await _is_vllm(transport, url)
    if not constraints:
        return Abilities(None, None, 0, vllm)
    constraint, token_ids = None, None
    if raw_mass:
        impossible = await _token_ids(transport, url, model, ("Q", "Z"))
        token_ids = await _token_ids(transport, url, model, labels)
        if token_ids and impossible and await binds("allowed_token_ids", ("Q", "Z"), impossible):
            constraint = "allowed_token_ids"
    if constraint is None:
        token_ids = None
        for known in CONSTRAINTS:
            if await binds(known, _IMPOSSIBLE):
                constraint = known
                break
    logprobs = 0
    for most in _MOST_LOGPROBS:
        try:
            answer = await say(logprobs=True, top_logprobs=most, max_tokens=1)
        except RequestFailed as error:
            if error.status is None:
                raise
            continue
        if first_alternatives(answer):
            logprobs = most
        break
    return Abilities(constraint, token_ids, logprobs, vllm)


async def _is_vllm(transport: Transport, url: str) -> bool:
    try:
        listed = await transport.fetch("GET", f"{url}/models")
    except RequestFailed:
        return False
    models = listed.get("data")
    return isinstance(models, list) and any(isinstance(m, dict) and m.get("owned_by") == "vllm" for m in models)


async def _token_ids(transport: Transport, url: str, model: str, texts: Sequence[str]) -> tuple[int, ...] | None:
    """The one token of each text, where the server has a tokeniser to ask and each text is one token."""
    root = url.removesuffix("/v1")
    found = []
    for text in texts:
        body = {"model": model, "prompt": text, "add_special_tokens": False}
        try:
            tokens = (await transport.fetch("POST", f"{root}/tokenize", body)).get("tokens")
        except RequestFailed:
            return None
        if not isinstance(tokens, list) or len(tokens) != 1 or not isinstance(tokens[0], int):
            return None
        found.append(tokens[0])
    return tuple(found) if len(set(found)) == len(found) else None


def _text(answer: Mapping[str, Any]) -> str:
    try:
        content = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return ""
    return content if isinstance(content, str) else ""


def first_alternatives(answer: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Tokens that could have stood first, with their log-probabilities; empty where the server does not say."""
    try:
        listed = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return [(str(entry["token"]), float(entry["logprob"])) for entry in listed]
    except (KeyError, IndexError, TypeError, ValueError):
        return []
