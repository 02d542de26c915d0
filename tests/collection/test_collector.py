"""Asking until the end: what is planned, what stops it, and what is kept."""

import asyncio
import json
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from affectome.collection import Budget, Collector, Journal
from affectome.collection import _collector as collector_module
from affectome.errors import EnvironmentFailure, InputError
from affectome.judges import ChatJudge, FeatureJudge, Prices, Reply
from affectome.triplets import TripletSet


@pytest.fixture
def server(chat_server, answer_json):
    """Calls odd the stimulus with the highest number."""

    def answer(path, body):
        if path == "/v1/models":
            return {"data": []}
        said = body["messages"][-1]["content"]
        if "Name a colour." in said:
            return "Blue."
        numbers = [int(part.split(".")[0]) for part in said.split("number ")[1:4]]
        return answer_json("ABC"[int(np.argmax(numbers))], usage=(100, 1, 50))

    return chat_server(answer)


@pytest.fixture
def judge(server, questions):
    captions = {name: [f"This is number {int(name[1:])}. It rains."] for name in questions.ids}
    return ChatJudge("m", server.url, captions=captions, prices=Prices(1.0, 2.0, 0.5), concurrency=8, backoff_s=0.01)


@pytest.fixture
def collect(questions, judge, tmp_path):
    def run(asked=questions, by=judge, **settings):
        return Collector(asked, by, tmp_path / "j.sqlite", **settings).run_sync()

    return run


@pytest.fixture
def journal(tmp_path):
    def read():
        return Journal.open(tmp_path / "j.sqlite")

    return read


def asked_of(server):
    return [json.dumps(body["messages"][-1]) for body in server.questions()]


def test_every_question_is_asked_once_and_its_own_answer_kept(collect, journal, server, questions):
    told = []
    collected = collect(watch=told.append)
    assert (collected.n_answered, collected.n_failed, collected.n_open, collected.ended) == (200, 0, 0, "all asked")
    with journal() as read:
        choices = [row[0] for row in read.answers(0, 200, "a.choice")]
    assert choices == questions.triplets.argmax(axis=1).tolist()
    assert len(set(asked_of(server))) == len(asked_of(server)) == 200
    assert collected.slots == tuple(np.bincount(choices, minlength=3))
    assert collected.cost == pytest.approx(200 * (50 * 1 + 50 * 0.5 + 1 * 2) / 1e6)
    assert told[-1] == collected and told[0].ended == "running" and told[0].n_planned == 200


def test_the_second_run_asks_nothing(collect, server):
    collect()
    before = len(server.requests)
    again = collect()
    assert len(server.requests) == before and again.n_asked == 0 and again.n_answered == 200


def test_a_budget_of_trials_counts_the_whole_journal(collect, server):
    first = collect(budget=Budget(trials=60))
    assert 60 <= first.n_answered < 60 + 8 and first.ended == "the budget of 60 trials is spent"
    second = collect(budget=Budget(trials=60))
    assert second.n_asked <= 8
    assert collect(budget=Budget(trials=1000)).n_answered == 200
    assert len(asked_of(server)) == 200


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(tokens=5050), "the budget of 5,050 tokens is spent"),
        (Budget(cost=50 * 77e-6), "the budget of 0.00385 is spent"),
    ],
)
def test_tokens_and_money_end_it_too(collect, budget, said):
    collected = collect(budget=budget)
    assert 50 <= collected.n_answered <= 50 + 8 and collected.ended == said


def test_hours_end_it(collect, server):
    inner = server.answer

    def slow(path, body):
        time.sleep(0.05)
        return inner(path, body)

    server.answer = slow
    collected = collect(budget=Budget(hours=0.3 / 3600))
    assert 0 < collected.n_answered < 200 and "hours" in collected.ended


def test_budgets_that_cannot_be_meant_are_refused(collect, server, judge):
    with pytest.raises(InputError, match="a budget of 0 trials is nothing"):
        Budget(trials=0)
    free = ChatJudge("m", server.url, captions=judge.captions)
    with pytest.raises(InputError, match="a budget of cost needs the judge's prices"):
        collect(by=free, budget=Budget(cost=1.0))


def test_a_trial_run_asks_a_random_few_and_they_count(collect, server):
    collected = collect(sample=20)
    assert collected.n_answered == collected.n_planned == 20 and collected.n_open == 180
    assert collect().n_asked == 180


def test_shards_ask_disjoint_parts(questions, judge, server, tmp_path):
    for k in (1, 2, 3):
        collected = Collector(questions, judge, tmp_path / f"{k}.sqlite", shard=(k, 3)).run_sync()
        assert collected.n_asked in (66, 67) and collected.n_questions == 200
    assert len(set(asked_of(server))) == len(asked_of(server)) == 200


def test_prefix_dispatch_asks_questions_that_begin_alike_one_after_the_other(questions, judge, server, tmp_path):
    from dataclasses import replace

    one = replace(judge, concurrency=1)
    Collector(questions, one, tmp_path / "p.sqlite").run_sync()
    firsts = [json.loads(text)["content"].split("number ")[1].split(".")[0] for text in asked_of(server)]
    assert sum(a != b for a, b in pairwise(firsts)) == len(set(firsts)) - 1


def test_what_was_given_up_is_asked_again_only_when_told_to(collect, server):
    inner, broken = server.answer, True

    def answer(path, body):
        if broken and "number 14." in json.dumps(body):
            return 400, {"error": {"message": "no"}}
        return inner(path, body)

    server.answer = answer
    first = collect()
    assert first.failures == {"HTTP 400": first.n_failed} and 20 < first.n_failed < 80
    broken = False
    assert collect().n_asked == 0
    again = collect(retry_failed=True)
    assert again.n_asked == first.n_failed and again.n_answered == 200 and again.n_failed == 0


def test_a_judge_that_fails_every_question_is_stopped(collect, server, monkeypatch):
    monkeypatch.setattr(collector_module, "_HOPELESS", 30)
    inner = server.answer
    server.answer = lambda path, body: (
        inner(path, body) if "Name a" in json.dumps(body) or "models" in path else (400, {})
    )
    with pytest.raises(InputError, match=r"the first 30 questions all failed \(HTTP 400 3\d\)"):
        collect()
    assert len(server.questions()) < 60


def test_a_stop_takes_in_what_is_in_flight(questions, judge, server, tmp_path, journal):
    collector = Collector(questions, judge, tmp_path / "j.sqlite", watch=lambda state: None)
    inner = server.answer

    def answer(path, body):
        if len(server.requests) > 60:
            collector.stop()
        return inner(path, body)

    server.answer = answer
    collected = collector.run_sync()
    assert collected.ended == "interrupted" and 0 < collected.n_answered < 200
    assert collected.n_answered == len(server.questions())  # nothing that was asked is lost
    with journal() as read:
        assert read.totals().n_answered == collected.n_answered


def test_a_cancelled_run_keeps_what_was_acknowledged_and_lets_the_journal_go(
    questions, judge, server, tmp_path, journal
):
    async def cut_off():
        task = asyncio.create_task(Collector(questions, judge, tmp_path / "j.sqlite").run())
        while len(server.questions()) < 50:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cut_off())
    with journal() as read:
        assert 30 < read.totals().n_answered < 200 and not read.is_being_written()


def test_a_full_journal_ends_the_run_and_the_next_one_goes_on(collect, journal, server):
    inner = server.answer

    def wordy(path, body):
        made = inner(path, body)
        if isinstance(made, dict) and "choices" in made:
            message = made["choices"][0]["message"]
            message["content"] = f"Answer: {message['content']}\n{'Since it rains. ' * 100}"
        return made

    server.answer = wordy
    with pytest.raises(EnvironmentFailure, match="is full"):
        collect(max_mb=0.2)
    with journal() as read:
        kept = read.totals().n_answered
    assert 20 < kept < 200
    assert collect().n_answered == 200


def test_a_nearly_full_disk_ends_the_run_before_anything_is_lost(collect, monkeypatch, caplog):
    full = type("Usage", (), {"free": 10})
    monkeypatch.setattr(collector_module.shutil, "disk_usage", lambda path: full)
    collected = collect()
    assert collected.ended == "the disk is nearly full" and collected.n_answered < 200
    assert "nearly full" in caplog.text


def test_a_watch_that_fails_ends_the_run_and_says_why(collect, journal):
    def stumble(state):
        if state.n_asked:
            raise ZeroDivisionError("in the watch")

    with pytest.raises(ZeroDivisionError, match="in the watch"):
        collect(watch=stumble)
    with journal() as read:
        assert read.totals().n_answered > 0


def test_a_notebook_with_a_running_loop_can_use_the_plain_form(questions, judge, tmp_path):
    async def cell():
        return Collector(questions, judge, tmp_path / "j.sqlite").run_sync()

    assert asyncio.run(cell()).n_answered == 200


def test_stimuli_without_captions_are_named_before_anything_is_asked(judge, server, tmp_path):
    asked = TripletSet([[0, 1, 2]], ids=["s00", "s01", "nobody"])
    with pytest.raises(InputError, match=r"have no caption \(nobody\)"):
        Collector(asked, judge, tmp_path / "j.sqlite").run_sync()
    assert server.requests == [] and not (tmp_path / "j.sqlite").exists()


def test_a_server_that_became_able_to_do_more_is_refused(collect, server):
    collect(budget=Budget(trials=20))
    inner = server.answer

    def held(path, body):
        return body["structured_outputs"]["choice"][0] if body and "structured_outputs" in body else inner(path, body)

    server.answer = held
    with pytest.raises(InputError, match="was collected while the server could do"):
        collect()


# --- judges that answer in batches ------------------------------------------------------------------------------------


def test_any_judge_fills_a_journal(questions, tmp_path, collect, journal):
    import pandas as pd

    space = pd.DataFrame(np.random.default_rng(0).normal(size=(15, 4)), index=list(questions.ids))
    by = FeatureJudge(space, seed=0)
    collected = collect(by=by, dispatch="given")
    assert collected.n_answered == 200
    with journal() as read:
        assert [row[0] for row in read.answers(0, 200, "a.choice")] == by.answer(questions).choice.tolist()


class Batched:
    """Answers in batches of its own size, and tells which it was given."""

    batch_size = 4

    def __init__(self, bad=()):
        self.seen, self.bad, self.thread = [], set(bad), None

    def describe(self):
        return {"kind": "batched"}

    def answer(self, questions, *, progress=None):
        raise AssertionError("replies are better")

    def replies(self, questions, *, progress=None):
        self.thread = threading.current_thread()
        self.seen.append(len(questions))
        best = questions.triplets.argmax(axis=1).tolist()
        firsts = questions.triplets[:, 0].tolist()
        return [
            Reply(-1, failure="unparsed: empty") if first in self.bad else Reply(slot, (0.2, 0.3, 0.5), text="x")
            for slot, first in zip(best, firsts, strict=True)
        ]


def test_batches_are_of_the_judges_own_measure_and_beside_the_loop(collect, journal, questions):
    by = Batched(bad=[3])
    collected = collect(by=by)
    assert max(by.seen) == 4 * collector_module._BATCHES and by.thread is not threading.main_thread()
    with journal() as read:
        found = dict(read.answers(0, 200, "a.question, a.choice"))
    best = questions.triplets.argmax(axis=1)
    assert found == {k: best[k] for k in range(200) if questions.triplets[k, 0] != 3}
    assert collected.failures == {"unparsed": 200 - len(found)}
