"""Texts from the model of a chat judge: what is sent, what comes back, and what a fault leaves."""

import json
import logging
import socket

import pytest

from affectome.errors import InputError
from affectome.judges import ChatJudge, WrittenText, write_texts

PROMPTS = {
    f"c{k}": [{"role": "system", "content": "Name it."}, {"role": "user", "content": f"Number {k}."}] for k in range(5)
}


@pytest.fixture
def server(chat_server):
    """Starts a server that answers a request by its last message; the probe gets a colour."""

    def start(answer):
        def reply(path, body):
            if path != "/v1/chat/completions":
                return {"data": [{"id": "m", "owned_by": "someone"}]}
            said = body["messages"][-1]["content"]
            return "Blue." if "Name a colour." in json.dumps(body) else answer(said)

        return chat_server(reply)

    return start


def judge(server, **settings):
    return ChatJudge("m", server.url, **{"captions": {"v": ["A dog."]}, "backoff_s": 0.01, **settings})


def test_each_prompt_gets_its_own_text_in_order(server):
    made = server(lambda said: f"About {said}")
    heard = []
    written = write_texts(judge(made), PROMPTS, progress=lambda done, total, **_: heard.append((done, total)))
    assert list(written) == list(PROMPTS)
    assert [written[name].text for name in PROMPTS] == [f"About Number {k}." for k in range(5)]
    first = written["c0"]
    assert isinstance(first, WrittenText) and first.failure is None
    assert (first.model, first.server, first.prompt_tokens, first.completion_tokens) == ("served-m", made.url, 10, 1)
    assert heard == [(k, 5) for k in range(1, 6)]


def test_the_settings_of_the_judge_are_sent_and_its_prompt_and_stimuli_are_not(server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-123")
    made = server(lambda said: "x")
    asked = judge(
        made, temperature=0.3, max_tokens=77, seed=5, extra={"top_p": 0.9}, mode="choice", api_key_env="SOME_KEY"
    )
    write_texts(asked, {"c": PROMPTS["c1"]})
    [body] = made.questions()
    assert body["messages"] == PROMPTS["c1"]
    sent = {key: body[key] for key in ("model", "temperature", "max_tokens", "seed", "top_p")}
    assert sent == {"model": "m", "temperature": 0.3, "max_tokens": 77, "seed": 5, "top_p": 0.9}
    assert not {"structured_outputs", "guided_choice", "regex", "grammar", "logprobs"} & set(body)
    assert made.headers[-1]["Authorization"] == "Bearer sk-123"


def test_a_request_that_is_refused_leaves_the_others(server):
    made = server(lambda said: (400, {"error": {"message": "too long"}}) if "2" in said else "fine")
    written = write_texts(judge(made), PROMPTS)
    assert written["c2"].text == "" and "too long" in written["c2"].failure
    assert all(written[name].text == "fine" for name in PROMPTS if name != "c2")


def test_a_text_that_was_cut_or_is_empty_says_so(server, answer_json):
    made = server(lambda said: answer_json("half a", finish="length") if "1" in said else "  ")
    written = write_texts(judge(made), {name: PROMPTS[name] for name in ("c0", "c1")})
    assert written["c1"].text == "half a" and written["c1"].failure.startswith("truncated")
    assert written["c0"].failure.startswith("empty")


def test_a_passing_fault_is_retried(server):
    left = [(503, {"error": "busy"}), (500, {"error": "oops"}), "there"]
    made = server(lambda said: left.pop(0))
    assert write_texts(judge(made), {"c": PROMPTS["c0"]})["c"].text == "there"


def test_a_dead_server_leaves_every_text_unwritten_with_one_warning(caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    dead = ChatJudge("m", url, captions={"v": ["A dog."]}, backoff_s=0.01, patience_s=0.2)
    with caplog.at_level(logging.WARNING, logger="affectome.judges._writer"):
        written = write_texts(dead, PROMPTS)
    assert list(written) == list(PROMPTS)
    assert all(text.text == "" and text.failure.startswith("no server") for text in written.values())
    assert caplog.text.count("5 of 5 texts were not written") == 1


def test_a_server_that_runs_out_of_credit_keeps_what_was_written(server):
    made = server(lambda said: "fine" if "0" in said else (402, {"error": "pay"}))
    written = write_texts(judge(made, concurrency=1), PROMPTS)
    assert written["c0"].text == "fine"
    assert all("no credit left" in written[name].failure for name in list(PROMPTS)[1:])


def test_a_refused_key_and_an_unknown_model_are_the_users_to_mend(server):
    with pytest.raises(InputError, match="refuses access"):
        write_texts(judge(server(lambda said: (401, {"error": "no"}))), PROMPTS)
    with pytest.raises(InputError, match="does not know the model"):
        write_texts(judge(server(lambda said: (404, {"error": "no such model"}))), PROMPTS)


@pytest.mark.parametrize("messages", [[], [{"role": "user"}], [{"role": "wizard", "content": "x"}]])
def test_what_is_no_message_is_refused(server, messages):
    made = server(lambda said: "x")
    with pytest.raises(InputError, match="the prompt 'c' is no list of messages"):
        write_texts(judge(made), {"c": messages})
    assert made.requests == []


def test_nothing_to_write_asks_nobody():
    assert write_texts(ChatJudge("m", "http://127.0.0.1:9/v1", captions={"v": ["A dog."]}), {}) == {}
