"""What is sent again, what is not, and who is asked."""

import asyncio
import email.utils
import json
import time

import pytest

from affectome.errors import EnvironmentFailure, InputError
from affectome.judges import RequestFailed, Transport
from affectome.judges._transport import _seconds, _Server, read_key


def post(servers, times=1, *, bodies=None, affinity=None, **settings):
    """Send requests one after the other; what came of each, and the faults that were counted."""
    urls = [getattr(server, "url", server) for server in (servers if isinstance(servers, list) else [servers])]

    async def run():
        async with Transport(urls, backoff_s=0.01, **settings) as transport:
            outcomes = []
            for k in range(times):
                body = (bodies or [b"{}"])[k % len(bodies or [0])]
                try:
                    reply = await transport.post("chat/completions", lambda server, b=body: b, affinity=affinity)
                    outcomes.append(reply)
                except (RequestFailed, InputError, EnvironmentFailure) as error:
                    outcomes.append(error)
            return outcomes, dict(transport.faults)

    return asyncio.run(run())


def failing(first, then="A"):
    """A server that goes through `first` and then answers."""
    left = list(first)
    return lambda path, body: left.pop(0) if left else then


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_sent_again(chat_server, status):
    server = chat_server(failing([(status, {"error": {"message": "wait"}})] * 2))
    [reply], faults = post(server)
    assert reply.content["choices"][0]["message"]["content"] == "A" and reply.server == server.url
    assert len(server.requests) == 3 and faults == {f"HTTP {status}": 2}


@pytest.mark.parametrize("status", [400, 405, 413, 422])
def test_what_will_not_pass_is_sent_once_and_keeps_the_servers_words(chat_server, status):
    server = chat_server(lambda path, body: (status, {"error": {"message": "too long by 3 tokens"}}))
    [error], _ = post(server)
    assert isinstance(error, RequestFailed) and error.status == status and error.detail == "too long by 3 tokens"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (401, InputError, "refuses access"),
        (403, InputError, "refuses access"),
        (404, InputError, "does not know the model"),
        (402, EnvironmentFailure, "no credit"),
    ],
)
def test_what_concerns_every_question_stops_them_all(chat_server, status, kind, message):
    server = chat_server(lambda path, body: (status, {"error": {"message": "no"}}))
    [error], _ = post(server)
    assert isinstance(error, kind) and message in str(error) and len(server.requests) == 1


def test_a_spent_account_is_not_waited_for(chat_server):
    server = chat_server(lambda path, body: (429, {"error": {"code": "insufficient_quota"}}))
    [error], _ = post(server)
    assert isinstance(error, EnvironmentFailure) and "no credit" in str(error)


def test_retries_end(chat_server):
    server = chat_server(lambda path, body: (500, {"error": {"message": "cannot load"}}))
    [error], faults = post(server, retries=2)
    assert isinstance(error, RequestFailed) and str(error) == "HTTP 500: cannot load"
    assert len(server.requests) == 3 and faults == {"HTTP 500": 3}


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b""])
def test_an_answer_that_is_no_json_object_is_asked_for_again(chat_server, content):
    server = chat_server(failing([content]))
    [reply], faults = post(server)
    assert reply.content["model"] == "served-m" and faults == {"malformed JSON": 1}


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "0.6"}, {"x-ratelimit-reset-requests": "600ms"}, {"x-ratelimit-reset-tokens": "0.6s"}]
)
def test_a_busy_server_is_left_alone_as_long_as_it_asks(chat_server, headers):
    server = chat_server(failing([(429, ({}, headers))]))
    began = time.monotonic()
    [reply], _ = post(server)
    assert reply.server == server.url and 0.6 <= time.monotonic() - began < 20


def test_a_server_that_stays_busy_ends_the_patience(chat_server):
    server = chat_server(lambda path, body: (429, ({}, {"Retry-After": "0.2"})))
    [error], _ = post(server, patience_s=0.5)
    assert isinstance(error, RequestFailed) and "still busy after 0.5 s" in str(error)
    assert 1 <= len(server.requests) <= 5


def test_a_slow_answer_is_a_timeout(chat_server):
    def slow(path, body):
        time.sleep(0.5)
        return "A"

    [error], faults = post(chat_server(slow), timeout_s=0.1, retries=1)
    assert isinstance(error, RequestFailed) and error.kind == "timeout" and faults == {"timeout": 2}


def test_servers_that_cannot_be_reached_end_the_patience_not_the_question():
    began = time.monotonic()
    [error], faults = post("http://127.0.0.1:9/v1", patience_s=0.5, retries=0)
    assert isinstance(error, EnvironmentFailure) and "no server has answered for" in str(error)
    assert "every answer before is kept" in str(error) and 0.4 < time.monotonic() - began < 20
    assert faults["unreachable"] >= 3


def test_a_dead_server_is_set_aside_and_the_others_go_on(chat_server):
    alive = chat_server(lambda path, body: "A")
    outcomes, faults = post(["http://127.0.0.1:9/v1", alive], times=40)
    assert all(reply.server == alive.url for reply in outcomes)
    assert faults["unreachable"] < 15  # three strikes, then a question now and then


def test_an_affinity_keeps_to_one_server_and_load_is_shared_without_it(chat_server):
    pair = [chat_server(lambda path, body: "A") for _ in range(2)]
    outcomes, _ = post(pair, times=10, affinity=1)
    assert {reply.server for reply in outcomes} == {pair[1].url}

    async def together():
        async with Transport([server.url for server in pair]) as transport:
            asked = [transport.post("chat/completions", lambda server: b"{}") for _ in range(20)]
            return [reply.server for reply in await asyncio.gather(*asked)]

    found = asyncio.run(together())
    assert {found.count(server.url) for server in pair} == {10}


def test_the_limit_grows_with_success_and_shrinks_once_per_burst():
    server = _Server("u", 100)
    began = time.monotonic()
    assert server.limit == 20
    server.in_flight = 19
    for _ in range(10):
        server.succeeded()
        server.in_flight += 1
    assert server.limit == 30
    for _ in range(25):  # all of one burst were sent before the first refusal came back
        server.refused(began, 0.0)
    assert server.limit == pytest.approx(24)
    server.refused(time.monotonic() + 1e-3, 0.0)
    assert server.limit == pytest.approx(19.2)
    server.in_flight = 18
    server.succeeded()
    assert server.limit == pytest.approx(19.2 + 1 / 19.2)  # slowly, now that a ceiling is known
    server.in_flight = 3
    server.succeeded()
    assert server.limit == pytest.approx(19.2 + 1 / 19.2)  # a limit that is not reached says nothing


def test_no_server_gets_more_than_the_concurrency(chat_server):
    inside = most = 0

    def count(path, body):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1
        return "A"

    server = chat_server(count)

    async def together():
        async with Transport([server.url], concurrency=4) as transport:
            await asyncio.gather(*(transport.post("x", lambda server: b"{}") for _ in range(40)))

    asyncio.run(together())
    assert 2 <= most <= 4


def test_durations_are_read_in_every_form_servers_use():
    assert _seconds("7") == 7 and _seconds("0.25") == 0.25
    assert _seconds("1m30s") == 90 and _seconds("250ms") == 0.25 and _seconds("6m0s") == 360 and _seconds("1h") == 3600
    assert _seconds("") is None and _seconds("soon") is None and _seconds("5 apples") is None
    assert _seconds(email.utils.formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=2)
    assert _seconds(email.utils.formatdate(time.time() - 30, usegmt=True)) == 0


def test_the_key_is_sent_and_taken_out_of_what_comes_back(chat_server, monkeypatch):
    monkeypatch.setenv("A_KEY", " sk-canary-1 ")
    server = chat_server(lambda path, body: (400, {"error": {"message": "bad key sk-canary-1"}}))
    [error], _ = post(server, key=read_key("A_KEY"))
    assert server.headers[0]["Authorization"] == "Bearer sk-canary-1"
    assert "canary" not in str(error) and "[key]" in str(error)


def test_a_key_is_only_ever_named(monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(InputError, match="the environment variable NOT_SET holds no API key"):
        read_key("NOT_SET")
    with pytest.raises(InputError, match="not the name of an environment variable") as error:
        read_key("sk-canary-2")
    assert "canary" not in str(error.value)
    assert read_key(None) is None


def test_the_body_is_made_for_the_server_that_gets_it(chat_server):
    server = chat_server(lambda path, body: "A")

    async def one():
        async with Transport([server.url]) as transport:
            await transport.post("chat/completions", lambda url: json.dumps({"for": url}).encode())

    asyncio.run(one())
    assert server.requests == [("/v1/chat/completions", {"for": server.url})]
