"""Has the model of a chat judge write texts: the judge's servers, key, model and settings, but any messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from affectome._asynchronous import run_to_end
from affectome._progress import Progress, silent
from affectome.errors import EnvironmentFailure, InputError
from affectome.judges._chat import ChatJudge
from affectome.judges._session import ChatSession
from affectome.judges._transport import RequestFailed

logger = logging.getLogger(__name__)

__all__ = ["WrittenText", "write_texts"]

_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class WrittenText:
    """What came of one request for a text.

    Attributes
    ----------
    text : str
        The raw reply, empty where there is none.
    model, server : str
        The model as the server named it, and which server that was.
    prompt_tokens, completion_tokens : int
    failure : str or None
        Why there is no text, or not all of it, beginning with its kind; None where it came to its end.
    """

    text: str
    model: str = ""
    server: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failure: str | None = None


def write_texts(
    judge: ChatJudge, prompts: Mapping[str, Sequence[Mapping[str, str]]], *, progress: Progress = silent
) -> dict[str, WrittenText]:
    """Ask the model behind a chat judge for one text per prompt.

    Parameters
    ----------
    judge : ChatJudge
        As :func:`read_judge` makes it. Its model, servers, key, temperature, max_tokens, seed, extra keys and ways of
        retrying are used; its stimuli and prompt are not.
    prompts : mapping from a name to messages
        Each message has ``role`` (system, user, assistant) and ``content``, both text.
    progress

    Returns
    -------
    dict from the same names to WrittenText, in the order of the prompts
        Every prompt has one. What failed says why: a request that the server will not answer, a text that ran out of
        tokens, a server that is not there or goes away (said in the log once).

    Raises
    ------
    InputError
        For prompts that are no messages, or when the server refuses the key or does not know the model.
    """
    for name, messages in prompts.items():
        _check(name, messages)
    if not prompts:
        return {}
    written: dict[str, WrittenText] = {}
    try:
        run_to_end(_write(replace(judge, mode="paper", prompt=None), prompts, written, progress))
    except EnvironmentFailure as failure:
        logger.warning("%d of %d texts were not written: %s", len(prompts) - len(written), len(prompts), failure)
        missing = f"no server: {failure}"
        written |= {name: WrittenText("", failure=missing) for name in prompts if name not in written}
    return {name: written[name] for name in prompts}


def _check(name: str, messages: Sequence[Mapping[str, str]]) -> None:
    sound = len(messages) > 0 and all(
        message.get("role") in _ROLES and isinstance(message.get("content"), str) for message in messages
    )
    if not sound:
        raise InputError(
            f"the prompt '{name}' is no list of messages",
            remedy='each needs a "role" (system, user, assistant) and a "content"',
        )


async def _write(
    judge: ChatJudge,
    prompts: Mapping[str, Sequence[Mapping[str, str]]],
    written: dict[str, WrittenText],
    progress: Progress,
) -> None:
    """Fill `written`; what is there stays where an error ends it."""
    left = iter(prompts.items())

    async def work(session: ChatSession) -> None:
        for name, messages in left:
            written[name] = await _one(session, messages)
            progress(len(written), len(prompts))

    try:
        async with judge.session() as session, asyncio.TaskGroup() as group:
            for _ in range(min(judge.concurrency, len(prompts))):
                group.create_task(work(session))
    except* (InputError, EnvironmentFailure) as errors:
        raise _first(errors) from None


async def _one(session: ChatSession, messages: Sequence[Mapping[str, str]]) -> WrittenText:
    try:
        reply, finished = await session.write(messages)
    except RequestFailed as error:
        return WrittenText("", failure=str(error))
    failure = None if finished else "truncated: the text ran out of tokens; raise max_tokens"
    if not reply.text.strip():
        failure = failure or "empty: the model said nothing"
    return WrittenText(reply.text, reply.model, reply.server, reply.prompt_tokens, reply.completion_tokens, failure)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group, however deep."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
