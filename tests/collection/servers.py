"""Two local chat servers that the collector is held against, each in a process of its own.

``fault`` answers every question from the numbers in its captions (``clip-00017``) and goes wrong in every way that a
real server does, as often as it is told to; ``echo`` answers at once, so that the time is the client's. Both speak the
subset of the OpenAI protocol that vLLM speaks: ``structured_outputs`` binds (or is silently ignored, as an old name
is), and ``logprobs`` tell the probabilities.

    python tests/collection/servers.py fault --log requests.jsonl --settings '{"faults": {"500": 0.1}}'

The port is the first line of stdout. A server ends when its stdin closes, so that none outlives a killed test.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import math
import os
import re
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Everything that can go wrong with one attempt; the statuses are answered as such.
FAULTS = (
    "429 after",  # with Retry-After
    "429 bare",
    "429 reset",  # with x-ratelimit-reset-requests
    "408",
    "409",
    "500",
    "503",
    "reset",  # the connection breaks in the middle of the body
    "stall",  # no answer for settings.stall_s
    "malformed",  # half a JSON object, with the right length
    "no choices",
    "null content",
    "truncated",  # finish_reason is "length"
    "refusal",
    "wrong label",
    "twice",  # the right response, and then once more on the same connection
    "twice, late",  # the same, but the second one comes when the connection may be idle or carry another question
)
_IDS = itertools.count()
_NUMBER = re.compile(r"clip-(\d+)")
_BEARER = re.compile(rb"(?i)authorization: bearer ([^\r\n]+)")
_LABELLED = re.compile(r"^\W*([^\n:]+): [^\n]*clip-\d+", re.MULTILINE)


@dataclass
class Settings:
    """How a fault server behaves; shares are of attempts, except `always`, which is of questions."""

    faults: Mapping[str, float] = field(default_factory=dict)
    always: Mapping[str, float] = field(default_factory=dict)  # "400" or "500", by question, on every attempt
    seed: int = 0
    stall_s: float = 30.0
    late_s: float = 0.005
    retry_after: str = "1"
    reset_after: str = "300ms"
    latency_s: float = 0.0
    binds: bool = True
    ids: bool = True  # whether each reply has an id of its own
    key: str = ""  # demanded as a bearer token where it is not empty
    leaky: bool = False  # repeats the key that it was sent in what it says of errors
    model: str = "m"


# --- what is true -----------------------------------------------------------------------------------------------------


def _share(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest()) / 2**32


def caption(number: int) -> str:
    """A caption that carries its number."""
    return f"clip-{number:05d} shows somebody who looks at a quiet street while the rain begins to fall"


def question(numbers: Sequence[int]) -> str:
    """Three clips in the order shown, as they stand in the log."""
    return "-".join(str(number) for number in numbers)


def true_slot(numbers: Sequence[int]) -> int:
    """Slot of the odd one: the same clip in whatever order the three are shown."""
    return max(range(3), key=lambda slot: _share("odd", numbers[slot], sum(numbers)))


def true_probabilities(numbers: Sequence[int]) -> tuple[float, float, float]:
    """Probability of each slot; their digits tell one question from another."""
    odd, rest = true_slot(numbers), _share("rest", *numbers)
    top = 0.5 + 0.4 * _share("top", *numbers)
    others = iter(((1 - top) * (0.2 + 0.6 * rest), (1 - top) * (0.8 - 0.6 * rest)))
    first, second, third = (top if slot == odd else next(others) for slot in range(3))
    return first, second, third


# --- HTTP -------------------------------------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """One keep-alive connection: requests with a length, one after the other."""

    def __init__(self, server: EchoServer) -> None:
        self.server = server
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end])
            lower = head.lower()
            at = lower.find(b"content-length:")
            length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            del self.buffer[: end + 4 + length]
            self.server.handle(head, body, self.transport)


def response(content: Any, status: int = 200, headers: str = "") -> bytes:
    """An HTTP response; `content` is JSON, or bytes as they are."""
    body = content if isinstance(content, bytes) else json.dumps(content, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def refused(status: int, message: str, headers: str = "") -> bytes:
    """An error as OpenAI's servers word it."""
    return response({"error": {"message": message, "type": "error", "code": status}}, status, headers)


def completion(
    text: str | None, probabilities: Mapping[str, float] | None = None, *, finish: str = "stop", tokens: int = 100
) -> dict[str, Any]:
    """A chat completion; `probabilities` of its first token, best first."""
    logprobs = None
    if probabilities:
        top = [
            {"token": token, "logprob": math.log(p), "bytes": list(token.encode())}
            for token, p in sorted(probabilities.items(), key=lambda pair: -pair[1])
        ]
        said = next((entry for entry in top if entry["token"] == text), top[0])
        logprobs = {"content": [{**said, "top_logprobs": top}]}
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": f"chatcmpl-{next(_IDS):012d}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m-as-served",
        "choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": tokens,
            "completion_tokens": 1,
            "total_tokens": tokens + 1,
            "prompt_tokens_details": {"cached_tokens": tokens // 2},
        },
    }


# --- the servers ------------------------------------------------------------------------------------------------------


class EchoServer:
    """Answers A, B or C by a checksum of the request, from responses made beforehand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        mixes = ((0.7, 0.2, 0.1), (0.2, 0.7, 0.1), (0.1, 0.2, 0.7))
        self.ready = []  # each in two parts, between which a fresh id goes
        for label, mix in zip("ABC", mixes, strict=True):
            whole = response(completion(label, dict(zip("ABC", mix, strict=True))))
            at = whole.index(b"chatcmpl-") + len(b"chatcmpl-")
            self.ready.append((whole[:at], whole[at + 12 :]))

    def handle(self, head: bytes, body: bytes, transport: Any) -> None:
        if b'"A"' in body or b"A, B or C" in body:
            before, after = self.ready[zlib.crc32(body) % 3]
            transport.write(b"%b%012d%b" % (before, next(_IDS), after))
        else:
            transport.write(self.plain(head, body))

    def plain(self, head: bytes, body: bytes) -> bytes:
        """What a server without faults says: its models, or an answer from the captions within the constraint."""
        path = head.split(b" ", 2)[1].decode()
        if path.endswith("/models"):
            return response({"object": "list", "data": [{"id": self.settings.model, "object": "model"}]})
        if not path.endswith("/chat/completions"):
            return refused(404, "Not Found")
        asked = json.loads(body)
        return response(answer(asked, numbers_of(asked), self.settings.binds))


class FaultServer(EchoServer):
    """Answers from the captions, and fails as its settings say, by a draw from question and attempt."""

    def __init__(self, settings: Settings, log: Path) -> None:
        super().__init__(settings)
        self.sent_key = ""
        self.attempts: Counter[str] = Counter()
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, **entry: Any) -> None:
        """One line in the log, in the hands of the operating system before anything is answered."""
        os.write(self.log, (json.dumps({"t": time.time(), **entry}) + "\n").encode())

    def handle(self, head: bytes, body: bytes, transport: Any) -> None:
        key = self.settings.key
        found = _BEARER.search(head)
        self.sent_key = found[1].decode() if found and self.settings.leaky else ""
        if key and f"authorization: bearer {key}".lower().encode() not in head.lower():
            self.note(q="", said="401")
            transport.write(refused(401, f"Incorrect API key provided: {self.sent_key}"))
            return
        if not head.split(b" ", 2)[1].endswith(b"/chat/completions"):
            transport.write(self.plain(head, body))
            return
        asked = json.loads(body)
        if asked.get("model") != self.settings.model:
            self.note(q="", said="404")
            transport.write(refused(404, f"The model `{asked.get('model')}` does not exist"))
            return
        numbers = numbers_of(asked)
        if len(numbers) != 3:  # no question of ours: a probe
            self.note(q="", said="probe")
            transport.write(response(answer(asked, numbers, self.settings.binds)))
            return
        self.ask(asked, numbers, transport)

    def ask(self, asked: Mapping[str, Any], numbers: Sequence[int], transport: Any) -> None:
        """Answer a question, or fail at it."""
        name = question(numbers)
        self.attempts[name] += 1
        fault = self.draw(name, self.attempts[name])
        self.note(q=name, n=self.attempts[name], said=fault or "answer", turns=len(asked["messages"]))
        truth = answer(asked, numbers, self.settings.binds)
        if not self.settings.ids:
            truth |= {"id": "chatcmpl-1", "usage": None}
        right = response(truth)
        loop = asyncio.get_running_loop()
        if fault == "stall":
            loop.call_later(self.settings.stall_s, transport.write, right)
            return
        if fault == "reset":
            transport.write(right[: len(right) - 40])
            loop.call_soon(transport.abort)
            return
        if fault == "twice, late":
            loop.call_later(self.settings.late_s, transport.write, right)
        said = right if fault is None else self.spoil(fault, truth, right)
        if self.settings.latency_s:
            loop.call_later(self.settings.latency_s, transport.write, said)
        else:
            transport.write(said)

    def draw(self, name: str, attempt: int) -> str | None:
        """The fault of this attempt, if it has one."""
        for shares, u in (
            (self.settings.always, _share(self.settings.seed, name)),
            (self.settings.faults, _share(self.settings.seed, name, attempt)),
        ):
            for fault, share in shares.items():
                u -= share
                if u < 0:
                    return fault
        return None

    def spoil(self, fault: str, truth: dict[str, Any], right: bytes) -> bytes:
        """The bytes of a fault that comes as a response."""
        if fault == "twice, late":
            return right
        if fault == "twice":
            return right + right
        if fault == "429 after":
            return refused(429, "Rate limit reached", f"Retry-After: {self.settings.retry_after}\r\n")
        if fault == "429 reset":
            reset = self.settings.reset_after
            headers = f"x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: {reset}\r\n"
            return refused(429, "Rate limit reached", headers)
        if fault == "malformed":
            return response(json.dumps(truth)[:-60].encode())
        if fault == "no choices":
            return response({**truth, "choices": []})
        if fault[:3].isdigit():
            return refused(int(fault[:3]), f"It went wrong {self.sent_key}")
        texts = {
            "null content": (None, "stop"),
            "truncated": ("First I consider the emotions of", "length"),
            "refusal": ("I'm sorry, but I can't help with that.", "stop"),
            "wrong label": ("D", "stop"),
        }
        text, finish = texts[fault]
        return response(completion(text, {text: 0.9} if text else None, finish=finish))


def numbers_of(asked: Mapping[str, Any]) -> list[int]:
    """The numbers of the captions in a request, in the order shown."""
    return [int(number) for number in _NUMBER.findall(_text(asked))]


def _text(asked: Mapping[str, Any]) -> str:
    contents = [message["content"] for message in asked["messages"] if message["role"] == "user"]
    return "\n".join(
        content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        for content in contents
    )


def answer(asked: Mapping[str, Any], numbers: Sequence[int], binds: bool) -> dict[str, Any]:
    """The right completion of a request, within its constraint where constraints bind."""
    choices = asked.get("structured_outputs", {}).get("choice") if binds else None
    known = len(numbers) == 3
    p = true_probabilities(numbers) if known else (0.6, 0.3, 0.1)
    slot = true_slot(numbers) if known else 0
    tokens = 100 + zlib.crc32(question(numbers).encode()) % 1000
    if choices:
        weights = p if len(choices) == 3 else [1 / len(choices)] * len(choices)
        probabilities = dict(zip(choices, weights, strict=True)) if asked.get("logprobs") else None
        return completion(choices[slot % len(choices)], probabilities, tokens=tokens)
    labels = _LABELLED.findall(_text(asked))
    label = labels[slot].strip() if len(labels) >= 3 else "none"
    words = f"Two of them are calm.\nAnswer: {label}\nIts mood is another.".split(" ")
    limit = asked.get("max_tokens") or asked.get("max_completion_tokens") or len(words)
    first = {words[0]: 0.4, **{name.strip(): 0.6 * share for name, share in zip(labels, p, strict=False)}}
    return completion(
        " ".join(words[:limit]),
        first if asked.get("logprobs") else None,
        finish="stop" if limit >= len(words) else "length",
        tokens=tokens,
    )


# --- a process of its own ---------------------------------------------------------------------------------------------


async def serve(server: EchoServer, port: int) -> None:
    """Listen on the loopback until stdin closes."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def watch() -> None:
        with suppress(OSError, ValueError):
            sys.stdin.buffer.read()
        loop.call_soon_threadsafe(over.set)

    listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", port)
    print(listener.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=watch, daemon=True).start()
    await over.wait()


@contextmanager
def running(
    kind: str, log: Path | None = None, *, port: int = 0, **settings: Any
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server in another process: its address up to ``/v1``, and the process."""
    command = [sys.executable, str(Path(__file__).resolve()), kind, "--port", str(port)]
    command += ["--settings", json.dumps(settings), *(["--log", str(log)] if log else [])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {kind} server did not start")
        yield f"http://127.0.0.1:{int(line)}/v1", process
    finally:
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def read_log(content: bytes) -> list[dict[str, Any]]:
    """What a fault server wrote down, in the order in which it was asked."""
    return [json.loads(line) for line in content.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("fault", "echo"))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, default=Path(os.devnull))
    parser.add_argument("--settings", default="{}", help="JSON object, see Settings")
    given = parser.parse_args()
    settings = Settings(**json.loads(given.settings))
    server = FaultServer(settings, given.log) if given.kind == "fault" else EchoServer(settings)
    asyncio.run(serve(server, given.port))


if __name__ == "__main__":
    main()
