"""Whatever a server does wrong: each question ends with one right answer or one recorded failure."""

import bisect
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from affectome.collection import Collector
from affectome.judges import ChatJudge

N_QUESTIONS = 8_000
RETRIES, TIMEOUT_S, RETRY_AFTER_S, RESET_S = 5, 1.0, 1.0, 0.3
#: Shares of all attempts.
FAULTS = {
    "429 after": 0.0005,
    "429 bare": 0.005,
    "429 reset": 0.001,
    "408": 0.01,
    "409": 0.01,
    "500": 0.02,
    "503": 0.005,
    "reset": 0.02,
    "stall": 0.002,
    "malformed": 0.02,
    "no choices": 0.02,
    "null content": 0.01,
    "truncated": 0.01,
    "refusal": 0.02,
    "wrong label": 0.02,
    "twice": 0.02,
}
#: Shares of all questions, on every attempt.
ALWAYS = {"400": 0.01, "500": 0.003}
#: What is put to the model again, with a word of clarification where it said anything, and the rest of what is answered
#: with status 200.
UNPARSED = ("no choices", "null content", "truncated", "refusal", "wrong label")


@pytest.fixture(scope="module")
def torment(servers, world, tmp_path_factory):
    """Thousands of questions put to a server that goes wrong in every way; what both sides wrote down."""
    folder = tmp_path_factory.mktemp("torment")
    questions = world.questions(N_QUESTIONS)
    journal, log = folder / "journal.sqlite", folder / "requests.jsonl"
    settings = {"faults": FAULTS, "always": ALWAYS, "retry_after": "1", "reset_after": "300ms"}
    with servers.running("fault", log, **settings) as (url, _):
        judge = ChatJudge(
            "m",
            url,
            captions=world.captions,
            mode="choice",
            timeout_s=TIMEOUT_S,
            retries=RETRIES,
            backoff_s=0.02,
        )
        collected = Collector(questions, judge, journal, dispatch="random").run_sync()
    asked = defaultdict(list)
    log = servers.read_log(log.read_bytes())
    for entry in log:
        if entry["q"]:
            asked[entry["q"]].append(entry)
    names = [servers.question(row) for row in questions.triplets.tolist()]
    return {"questions": questions, "journal": journal, "asked": asked, "log": log, "names": names, "end": collected}


def test_every_fault_happened(torment):
    said = Counter(entry["said"] for entry in torment["log"])
    assert set(FAULTS) <= set(said)
    assert said["answer"] > 0.75 * N_QUESTIONS


def test_each_question_ends_with_one_right_answer_or_one_recorded_failure(torment, check_answers):
    answered, failed = check_answers(torment["journal"], torment["questions"])
    assert not answered & failed
    assert answered | failed == set(range(N_QUESTIONS))
    end = torment["end"]
    assert (end.n_answered, end.n_failed, end.n_open, end.ended) == (len(answered), len(failed), 0, "all asked")
    # Two unparsed replies in a row, or a question that always fails; nothing else may be given up this often.
    expected = sum(ALWAYS.values()) + sum(FAULTS[name] for name in UNPARSED) ** 2
    assert len(failed) / N_QUESTIONS == pytest.approx(expected, abs=4 * (expected / N_QUESTIONS) ** 0.5)


def test_a_recorded_answer_is_the_one_the_server_gave(torment, rows):
    """The tokens that the server counted for a question are those in its row: no reply went to another question."""
    wrong = 0
    for question, text, attempts in rows(torment["journal"], "SELECT question, text, attempts FROM answers"):
        entries = torment["asked"][torment["names"][question]]
        assert entries[-1]["said"] in ("answer", "twice")
        wrong += attempts == 1 and text not in ("A", "B", "C")
    assert wrong == 0


def test_a_duplicated_response_answers_one_question_only(torment, rows):
    doubled = [name for name, entries in torment["asked"].items() if entries[-1]["said"] == "twice"]
    assert len(doubled) > 0.01 * N_QUESTIONS
    assert len(rows(torment["journal"], "SELECT question FROM answers")) == len(
        set(rows(torment["journal"], "SELECT question FROM answers"))
    )
    for name in doubled:  # right at once, and so asked no more
        assert sum(entry["said"] in ("answer", "twice") for entry in torment["asked"][name]) == 1


def test_a_bad_request_is_never_sent_again(torment, rows):
    refused = {name for name, entries in torment["asked"].items() if any(e["said"] == "400" for e in entries)}
    assert 0.006 * N_QUESTIONS < len(refused) < 0.0145 * N_QUESTIONS
    assert all(len(torment["asked"][name]) == 1 for name in refused)
    reasons = dict(rows(torment["journal"], "SELECT question, reason FROM failures"))
    assert {torment["names"][q] for q, reason in reasons.items() if reason.startswith("HTTP 400")} == refused


def test_what_always_fails_is_tried_as_often_as_it_should_be(torment, rows):
    given_up = dict(rows(torment["journal"], "SELECT question, reason FROM failures WHERE reason LIKE 'HTTP 500%'"))
    assert len(given_up) > 20
    for question in given_up:
        tries = [entry["said"] for entry in torment["asked"][torment["names"][question]]]
        assert sum(said == "500" for said in tries) == RETRIES + 1


@pytest.mark.parametrize(("said", "pause"), [("429 after", RETRY_AFTER_S), ("429 reset", RESET_S)])
def test_a_stated_pause_is_kept_by_all_requests(torment, said, pause):
    """What was sent before the refusal was read may still arrive; nothing else may before the pause is over."""
    times = [entry["t"] for entry in torment["log"]]
    pauses = [entry["t"] for entry in torment["log"] if entry["said"] == said]
    assert len(pauses) >= 3
    for began in pauses:
        first, stop = bisect.bisect(times, began + 0.2), bisect.bisect(times, began + pause - 0.01)
        assert stop <= first, f"{stop - first} requests within the pause"


def test_a_stalled_request_is_given_up_after_the_timeout_and_sent_again(torment):
    waits = [
        later["t"] - entry["t"]
        for entries in torment["asked"].values()
        for entry, later in pairwise(entries)
        if entry["said"] == "stall"
    ]
    assert len(waits) > 15
    assert min(waits) >= TIMEOUT_S - 0.05


def test_an_unusable_reply_is_asked_again_with_a_clarifying_turn(torment):
    for entries in torment["asked"].values():
        for entry, later in pairwise(entries):
            if entry["said"] in ("refusal", "wrong label", "truncated"):
                assert later["turns"] == entry["turns"] + 2
            if entry["said"] in ("no choices", "null content"):
                assert later["turns"] == entry["turns"]


@pytest.mark.parametrize(
    ("latency_s", "late_s"),
    [(0.0, 0.002), (0.0, 0.005), (0.01, 0.0), (0.01, 0.02)],
    ids=["busy", "idle", "before", "far"],
)
@pytest.mark.parametrize("ids", [True, False], ids=["ids", "no ids"])
def test_a_second_delivery_that_comes_late_is_never_taken_for_the_reply_to_another_question(
    servers, world, tmp_path, rows, latency_s, late_s, ids
):
    """By then the connection may carry another question, and after that every reply on it would be one question off."""
    questions, journal = world.questions(1_500), tmp_path / "journal.sqlite"
    settings = {"faults": {"twice, late": 0.05}, "latency_s": latency_s, "late_s": late_s, "ids": ids, "binds": ids}
    with servers.running("fault", tmp_path / "log", **settings) as (url, _):
        judge = ChatJudge("m", url, captions=world.captions, mode="choice" if ids else "paper", concurrency=32)
        end = Collector(questions, judge, journal, dispatch="random").run_sync()
    choices = dict(rows(journal, "SELECT question, choice FROM answers"))
    assert choices == {k: servers.true_slot(row) for k, row in enumerate(questions.triplets.tolist())}
    assert end.faults["repeated reply"] > 0
