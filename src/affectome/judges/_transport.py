"""Talking to OpenAI-compatible servers: several at once, as fast as they take it, and never the same fault twice."""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import os
import random
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from affectome._tables import cut_short
from affectome.errors import EnvironmentFailure, InputError

logger = logging.getLogger(__name__)

__all__ = ["RequestFailed", "ServerReply", "Transport", "read_key"]

_FIRST_LIMIT = 20  # requests in flight at first on a server that has not said how much it takes
_SHRINK = 0.8  # the limit is multiplied by this once per episode of refusals
_LONGEST_BACKOFF = 8.0
_LONGEST_PAUSE = 120.0  # a Retry-After beyond it is cut: the patience decides, not a wrong clock
_REMEMBERED = 8192  # replies of a server that are told from a second delivery
_STRIKES = 3  # connections that fail in a row before a server is set aside
_FETCHES = 4  # times a request outside the collection itself is tried
_BUSY = (429, 503, 529)
_TRANSIENT = (408, 409, 425, 500, 502, 504, *range(520, 525))
_RESET_HEADERS = ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class RequestFailed(Exception):
    """A request that will not be answered, with the kind of its failure and what the server said."""

    def __init__(self, kind: str, detail: str = "", status: int | None = None) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.detail, self.status = kind, detail, status


@dataclass(frozen=True, slots=True)
class ServerReply:
    """One answer of a server: its JSON, who it was, and the seconds from sending to having it whole."""

    content: dict[str, Any]
    server: str
    latency: float


def read_key(variable: str | None) -> str | None:
    """The API key in an environment variable; the variable's name is all that is ever written down."""
    if variable is None:
        return None
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise InputError("api_key_env is not the name of an environment variable", remedy="give the name, not the key")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(f"the environment variable {variable} holds no API key", remedy="set it")
    if not (key.isascii() and key.isprintable()):  # it would break the header that carries it
        raise InputError(
            f"the environment variable {variable} holds more than an API key",
            remedy="set it to the key alone, without line breaks or letters beyond ASCII",
        )
    return key


@cache
def _response_class() -> Any:
    import aiohttp

    class Response(aiohttp.ClientResponse):
        """Remembers its connection, which aiohttp gives to the next request as soon as the last byte is there."""

        carrier: Any = None

        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            self.carrier = connection.protocol
            return await super().start(connection)

    return Response


class _Server:
    """One server: how much it takes, how much it has, and whether it is there."""

    def __init__(self, url: str, most: int) -> None:
        self.url = url
        self.most = most
        self.limit = float(min(_FIRST_LIMIT, most))
        self.in_flight = 0
        self.calm = True  # no refusal so far: the limit still grows fast
        self.paused_until = 0.0
        self.refused_at = 0.0
        self.ejected_at = 0.0
        self.strikes = 0
        self.ejections = 0
        self.reuses = True  # connections, since no two of its replies are the same
        self._replies: deque[int] = deque(maxlen=_REMEMBERED)
        self._known: set[int] = set()
        self._used: WeakSet[Any] = WeakSet()

    def has_room(self, now: float) -> bool:
        """Whether a request may be sent now; a server that was set aside gets one, as a question whether it is back."""
        if now < self.paused_until:
            return False
        return self.in_flight < (1 if self.strikes >= _STRIKES else max(1, int(self.limit)))

    def succeeded(self) -> None:
        self.strikes = self.ejections = 0
        if self.in_flight + 1 >= int(self.limit):  # a limit that is not reached says nothing about the server
            self.limit = min(self.most, self.limit + (1.0 if self.calm else 1.0 / self.limit))

    def refused(self, began: float, pause: float) -> None:
        """It is busy: wait, and ask less at once, but only once for all requests of one burst."""
        now = time.monotonic()
        self.strikes = 0
        self.paused_until = max(self.paused_until, now + min(pause, _LONGEST_PAUSE))
        if began >= self.refused_at:
            self.refused_at, self.calm = now, False
            self.limit = max(1.0, self.limit * _SHRINK)

    def doubts(self, raw: bytes, connection: Any) -> bool:
        """Whether this may be the reply to an earlier question, delivered twice on a connection that is used again.

        The first reply on a connection is beyond doubt. Later ones are told apart by the id that every reply has; on a
        server without such ids no connection is used again.
        """
        first, mark = connection not in self._used, hash(raw)
        self._used.add(connection)
        if mark not in self._known:
            if len(self._replies) == _REMEMBERED:
                self._known.discard(self._replies[0])
            self._replies.append(mark)
            self._known.add(mark)
            return not first and not self.reuses
        if first:
            self.reuses = False
        return not first

    def vanished(self, began: float) -> None:
        """It did not answer; three times in a row, and it is set aside, each time for longer."""
        self.strikes += 1
        if self.strikes < _STRIKES or began < self.ejected_at:  # sent before it was set aside: known already
            return
        if not self.ejections:
            logger.warning("%s does not answer and is set aside until it does.", self.url)
        self.ejected_at = time.monotonic()
        self.paused_until = max(self.paused_until, self.ejected_at + min(0.5 * 2**self.ejections, 30.0))
        self.ejections += 1


class Transport:
    """Sends requests to the least busy of several servers, retries what may pass, and slows down when told to.

    Parameters
    ----------
    servers
        Base addresses, as ``http://localhost:8000/v1``.
    key
        Sent as a bearer token; it is taken out of whatever the servers send back.
    concurrency
        Most requests in flight on all servers together, and on one. A server starts at 20; the limit grows while it
        answers, and shrinks by a fifth when it refuses (429, 503).
    timeout_s
        For one request, from sending to the last byte.
    retries
        Times a request is sent again after a timeout, a broken connection, an answer that is no JSON, or one of the
        statuses 408, 409, 425, 500, 502, 504. Refusals and unreachable servers do not count; for them patience does.
    backoff_s
        Wait before the first retry; it doubles, up to 8 s, and is jittered by half.
    patience_s
        Longest that one request waits for busy servers, and that all of them may be unreachable.

    Notes
    -----
    A response that a server or a proxy delivers twice would be read as the reply to the next question on that
    connection, and every later one would be a question off. So a connection is closed after anything but a success, and
    a success on a used connection counts only where its bytes were not seen before: replies carry an id of their own.
    Where a server's do not, each request gets a new connection.
    """

    def __init__(
        self,
        servers: Sequence[str],
        *,
        key: str | None = None,
        concurrency: int = 64,
        timeout_s: float = 120.0,
        retries: int = 6,
        backoff_s: float = 0.5,
        patience_s: float = 300.0,
    ) -> None:
        self._servers = [_Server(url.rstrip("/"), concurrency) for url in servers]
        self._key = key
        self._timeout_s = timeout_s
        self._retries = retries
        self._backoff_s = backoff_s
        self._patience_s = patience_s
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._reachable_at = time.monotonic()
        self._session: Any = None
        self._jitter = random.Random()  # spreads retries in time; no result depends on it
        self.faults: Counter[str] = Counter()

    @property
    def servers(self) -> list[str]:
        """Addresses in use."""
        return [server.url for server in self._servers]

    def drop(self, urls: Sequence[str]) -> None:
        """Do without these servers."""
        self._servers = [server for server in self._servers if server.url not in urls]

    async def __aenter__(self) -> Transport:
        import aiohttp

        headers = {}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        distant = any(
            urlsplit(server.url).hostname not in ("localhost", "127.0.0.1", "::1") for server in self._servers
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, keepalive_timeout=30),
            response_class=_response_class(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=min(10.0, self._timeout_s)),
            headers=headers,
            trust_env=distant,  # proxies are for distant servers, and looking for them costs time
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        await self._session.close()

    async def fetch(self, method: str, url: str, body: Any = None, *, essential: bool = False) -> dict[str, Any]:
        """One request to one address; for finding out what a server can do.

        Parameters
        ----------
        essential
            Refusals that concern every question (no access, no such model) are said as such.

        Raises
        ------
        RequestFailed
        """
        data = None if body is None else json.dumps(body).encode()
        for failed in range(_FETCHES):
            status, raw, headers = await self._send_apart(method, url, data)
            if status not in (*_BUSY, *_TRANSIENT) or failed == _FETCHES - 1:
                break
            await asyncio.sleep(self._pause(headers) if status in _BUSY else self._wait(failed))
        if essential and status != 200:
            raise self._final(status, raw, url)
        return self._parsed(self._accepted(status, raw))

    async def upload(self, url: str, path: Path, **fields: str) -> dict[str, Any]:
        """Send a file as a form."""
        import aiohttp

        form = aiohttp.FormData(fields)
        with open(path, "rb") as handle:
            form.add_field("file", handle, filename=path.name, content_type="application/jsonl")
            status, raw, _ = await self._send_apart("POST", url, form)
        return self._parsed(self._accepted(status, raw))

    async def download(self, url: str) -> bytes:
        """Fetch a file."""
        status, raw, _ = await self._send_apart("GET", url, None)
        return self._accepted(status, raw)

    async def post(self, path: str, body: Callable[[str], bytes], *, affinity: int | None = None) -> ServerReply:
        """Send a request until a server answers it.

        Parameters
        ----------
        path
            Below the base address.
        body
            Makes the request for a server, whose address it is given.
        affinity
            Requests of one number go to one server while it has room, so that its prefix cache serves them.

        Raises
        ------
        RequestFailed
            When this request fails for good.
        InputError
            When a server refuses the key or does not know the model.
        EnvironmentFailure
            When no server has been reachable for the patience.
        """
        began = time.monotonic()
        failed = 0
        while True:
            server = await self._acquire(affinity)
            sent = time.monotonic()
            status, raw, fault, doubtful = 0, b"", "", False
            headers: Mapping[str, str] = {}
            try:
                status, raw, headers, connection = await self._send("POST", f"{server.url}/{path}", body(server.url))
                doubtful = status == 200 and server.doubts(raw, connection)
                if status != 200 or doubtful or not server.reuses:
                    connection.close()  # a further reply on it would be taken for that of the next question
            except RequestFailed as error:
                fault = error.kind
            finally:
                server.in_flight -= 1
                self._wake()
            latency = time.monotonic() - sent
            if doubtful:
                self.faults["repeated reply"] += 1
                continue
            if status == 200:
                try:
                    reply = ServerReply(self._parsed(raw), server.url, latency)
                except RequestFailed as error:
                    fault = error.kind
                else:
                    self._reachable_at = time.monotonic()
                    server.succeeded()
                    self._wake()  # its limit may have grown
                    return reply
            if status:
                self._reachable_at = time.monotonic()
                fault = fault or f"HTTP {status}"
            self.faults[fault] += 1
            if status in _BUSY:
                if b"insufficient_quota" in raw:
                    raise EnvironmentFailure("the account has no credit left", source=server.url, remedy="add some")
                server.refused(sent, self._pause(headers))
                if time.monotonic() - began > self._patience_s:
                    raise RequestFailed(fault, f"still busy after {self._patience_s:g} s", status)
                continue
            if fault == "unreachable":
                server.vanished(sent)
                self._check_patience()
                await asyncio.sleep(self._wait(0))
                continue
            if status and status != 200 and status not in _TRANSIENT:
                raise self._final(status, raw, server.url)
            if not status:
                server.vanished(sent)
            failed += 1
            if failed > self._retries:
                raise RequestFailed(fault, self._said(raw) or f"{failed} times", status or None)
            await asyncio.sleep(self._wait(failed - 1))

    async def _send_apart(self, method: str, url: str, data: Any) -> tuple[int, bytes, Mapping[str, str]]:
        """Send a request over a connection that carries nothing after it."""
        status, raw, headers, connection = await self._send(method, url, data)
        connection.close()
        return status, raw, headers

    def _accepted(self, status: int, raw: bytes) -> bytes:
        """The content of a success; anything else fails with the server's words."""
        if status != 200:
            raise RequestFailed(f"HTTP {status}", self._said(raw), status)
        return raw

    async def _send(self, method: str, url: str, data: Any) -> tuple[int, bytes, Mapping[str, str], Any]:
        """Status, content and headers of a response, and the connection it came by, which is open still."""
        import aiohttp

        try:
            headers = {"Content-Type": "application/json"} if isinstance(data, bytes) else None
            async with self._session.request(method, url, data=data, headers=headers) as response:
                raw = await response.read()
                if self._key is not None:
                    raw = raw.replace(self._key.encode(), b"[key]")
                return response.status, raw, response.headers, response.carrier
        except TimeoutError as error:
            kind = (
                "unreachable"
                if isinstance(error, aiohttp.ServerTimeoutError) and "connect" in str(error).lower()
                else "timeout"
            )
            raise RequestFailed(kind) from error
        except aiohttp.ClientConnectorError as error:
            raise RequestFailed("unreachable", str(error.os_error)) from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise InputError("is no http address", source=url, remedy="correct the server's address") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise RequestFailed("disconnected", type(error).__name__) from error

    def _parsed(self, raw: bytes) -> dict[str, Any]:
        try:
            content = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise RequestFailed("malformed JSON") from error
        if not isinstance(content, dict):
            raise RequestFailed("malformed JSON")
        return content

    def _said(self, raw: bytes) -> str:
        """The server's own words, short."""
        text = raw[:4000].decode("utf-8", errors="replace")
        with suppress(ValueError):
            content = json.loads(raw)
            error = content.get("error", content) if isinstance(content, dict) else content
            found = error.get("message", error.get("detail", error)) if isinstance(error, dict) else error
            text = found if isinstance(found, str) else json.dumps(found)
        return " ".join(text.split())[:500]

    def _final(self, status: int, raw: bytes, url: str) -> Exception:
        """What stops one question (any 4xx), or all of them (no access, no such model)."""
        if status in (401, 403):
            return InputError(f"refuses access (HTTP {status})", source=url, remedy="check the key in api_key_env")
        if status == 402:
            return EnvironmentFailure("the account has no credit left", source=url, remedy="add some")
        if status == 404:
            return InputError(
                f"does not know the model or the address (HTTP 404: {self._said(raw)})",
                source=url,
                remedy="check 'model' and 'servers'",
            )
        return RequestFailed(f"HTTP {status}", self._said(raw), status)

    # -- who is asked, and when ---------------------------------------------------------------------------------------

    async def _acquire(self, affinity: int | None) -> _Server:
        while True:
            now = time.monotonic()
            free = [server for server in self._servers if server.has_room(now)]
            if free:
                kept = None if affinity is None else self._servers[affinity % len(self._servers)]
                least = min(free, key=lambda s: s.in_flight / max(1.0, s.limit))
                server = kept if kept is not None and kept in free else least
                server.in_flight += 1
                return server
            self._check_patience()
            self._set_alarm(now)
            ticket = asyncio.get_running_loop().create_future()
            self._waiting.append(ticket)
            try:
                await ticket
            except asyncio.CancelledError:
                with suppress(ValueError):
                    self._waiting.remove(ticket)
                raise

    def _wake(self) -> None:
        """Let one of those who wait look again."""
        while self._waiting:
            ticket = self._waiting.popleft()
            if not ticket.done():
                ticket.set_result(None)
                return

    def _wake_all(self) -> None:
        self._alarm = None
        for _ in range(len(self._waiting)):
            self._wake()

    def _set_alarm(self, now: float) -> None:
        """Wake everyone when the next pause ends."""
        ends = [server.paused_until for server in self._servers if server.paused_until > now]
        loop = asyncio.get_running_loop()
        due = loop.time() + (min(ends) - now if ends else 1.0) + 1e-3
        if self._alarm is not None:
            if self._alarm.when() <= due:
                return
            self._alarm.cancel()  # a pause that began since then ends before the alarm would ring
        self._alarm = loop.call_at(due, self._wake_all)

    def _check_patience(self) -> None:
        waited = time.monotonic() - self._reachable_at
        if all(server.strikes >= _STRIKES for server in self._servers) and waited > self._patience_s:
            raise EnvironmentFailure(
                f"no server has answered for {waited:.0f} s ({cut_short(self.servers)})",
                remedy="start it and give the same command again; every answer before is kept",
            )

    def _wait(self, failed: int) -> float:
        longest = min(self._backoff_s * 2.0**failed, max(self._backoff_s, _LONGEST_BACKOFF))
        return longest * self._jitter.uniform(0.5, 1.0)

    def _pause(self, headers: Mapping[str, str]) -> float:
        """Seconds a busy server asks to be left alone."""
        after = _seconds(headers.get("Retry-After", ""))
        if after is not None:
            return after
        resets = [_seconds(headers.get(name, "")) for name in _RESET_HEADERS]
        return max((seconds for seconds in resets if seconds is not None), default=self._wait(0))


def _seconds(text: str) -> float | None:
    """Seconds meant by ``7``, ``1m30s``, ``250ms`` or an HTTP date; None where it is none of them."""
    text = text.strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    parts = _DURATION.findall(text)
    if parts and "".join(f"{number}{unit}" for number, unit in parts) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    with suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None
