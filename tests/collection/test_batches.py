"""Provider batch files: complete, within the limits, never paid twice, and taken in however they come back."""

import asyncio
import json
import re
from pathlib import Path

import numpy as np
import pytest

from affectome.collection import (
    BatchRecords,
    Journal,
    ingest_batches,
    poll_batches,
    submit_batches,
    write_batches,
)
from affectome.errors import EnvironmentFailure, InputError
from affectome.judges import Abilities, ChatJudge, Prices

NO_MORE = Abilities(None, None, 0, False)


@pytest.fixture
def captions(questions):
    return {name: [f"Caption of {name}."] for name in questions.ids}


class Provider:
    """The files and batches endpoints of a provider; batches are answered when the test says so."""

    def __init__(self, answer_json):
        self.answer_json = answer_json
        self.files, self.batches, self.uploads = {}, {}, 0
        self.refuse_batches = False

    def __call__(self, path, body):
        if path == "/v1/files":
            self.uploads += 1
            name = f"file-{len(self.files)}"
            self.files[name] = re.search(rb"\r\n\r\n(\{.*\})\s*\r\n--", body, re.DOTALL)[1]
            assert b'name="purpose"' in body and b"batch" in body
            return {"id": name}
        if path.startswith("/v1/files/"):
            return 200, self.files[path.split("/")[3]]
        if path.startswith("/v1/batches?"):
            return {"data": [{"id": k, **v} for k, v in self.batches.items()], "has_more": False}
        if path == "/v1/batches":
            if self.refuse_batches:
                return 400, {"error": {"message": "token limit reached"}}
            name = f"batch-{len(self.batches)}"
            assert body["endpoint"] == "/v1/chat/completions" and body["completion_window"] == "24h"
            self.batches[name] = {"input_file_id": body["input_file_id"], "status": "in_progress"}
            return {"id": name}
        return {"id": path.split("/")[3], **self.batches[path.split("/")[3]]}

    def requests(self, batch):
        content = self.files[self.batches[batch]["input_file_id"]]
        return [json.loads(line) for line in content.splitlines()]

    def finish(self, batch, results, errors=(), status="completed"):
        for key, lines in (("output_file_id", results), ("error_file_id", errors)):
            if lines:
                name = f"file-{len(self.files)}"
                self.files[name] = "".join(json.dumps(line) + "\n" for line in lines).encode()
                self.batches[batch][key] = name
        counts = {"total": len(self.requests(batch)), "completed": len(results)}
        self.batches[batch] |= {"status": status, "request_counts": counts}


@pytest.fixture
def provider(chat_server, answer_json):
    made = Provider(answer_json)
    made.url = chat_server(made).url
    return made


@pytest.fixture
def judge(provider, captions):
    return ChatJudge("gpt", provider.url, captions=captions, prices=Prices(1.0, 2.0))


@pytest.fixture
def journal(tmp_path, questions, judge):
    with Journal.create(tmp_path / "j.sqlite", questions, judge.describe()) as made:
        yield made


def write(journal, judge, tmp_path, **settings):
    return asyncio.run(write_batches(journal, judge, NO_MORE, tmp_path / "batches", **settings))


def result(request, answer_json, text=None, **response):
    """The odd one is the stimulus with the highest number in its caption."""
    said = request["body"]["messages"][-1]["content"]
    numbers = [int(n) for n in re.findall(r"Caption of s(\d+)", said)]
    text = text or "ABC"[int(np.argmax(numbers))]
    body = {"status_code": 200, "body": answer_json(text, usage=(50, 1, 0)), **response}
    return {"id": "r", "custom_id": request["custom_id"], "response": body, "error": None}


def truth(questions):
    return questions.triplets.argmax(axis=1)  # ids are s00, s01, ...


def lines(batch):
    with open(batch.file, "rb") as handle:
        return [json.loads(line) for line in handle]


def test_files_hold_every_open_question_once_within_the_limits(journal, judge, tmp_path, questions):
    batches = write(journal, judge, tmp_path, most_lines=70)
    assert [len(lines(batch)) for batch in batches] == [70, 70, 60]
    requests = [line for batch in batches for line in lines(batch)]
    assert len({line["custom_id"] for line in requests}) == 200
    assert {line["url"] for line in requests} == {"/v1/chat/completions"}
    assert all(line["body"]["model"] == "gpt" for line in requests)
    for line in requests:
        shown = questions.triplets[int(line["custom_id"].rpartition("-")[2])]
        said = line["body"]["messages"][-1]["content"]
        places = [said.index(f"{label}: Caption of s{k:02d}.") for label, k in zip("ABC", shown, strict=True)]
        assert places == sorted(places)
    assert journal.totals().n_out == 200 and journal.totals().n_open == 0
    with pytest.raises(InputError, match="has no open question"):
        write(journal, judge, tmp_path)


def test_files_keep_to_the_bytes_too_and_to_the_number_asked_for(journal, judge, tmp_path):
    batches = write(journal, judge, tmp_path, most=40, most_bytes=10_000)
    sizes = [Path(batch.file).stat().st_size for batch in batches]
    assert len(batches) > 1 and max(sizes) <= 10_000 and journal.totals().n_out == 40
    more = write(journal, judge, tmp_path, most=10)
    assert {batch.file for batch in more}.isdisjoint(batch.file for batch in batches)


def test_a_whole_round_in_any_order_with_repeats(journal, judge, provider, tmp_path, questions, answer_json):
    write(journal, judge, tmp_path, most_lines=120)
    submitted = asyncio.run(submit_batches(journal, judge))
    assert [batch.provider_batch for batch in submitted] == ["batch-0", "batch-1"]
    assert asyncio.run(submit_batches(journal, judge)) == [] and provider.uploads == 2
    assert [word for _, word in asyncio.run(poll_batches(journal, judge))] == ["in_progress, 0 of ? done"] * 2
    rng = np.random.default_rng(0)
    for name in ("batch-1", "batch-0"):
        results = [result(request, answer_json) for request in provider.requests(name)]
        wrong = [result(request, answer_json, text="A") for request in provider.requests(name)[:5]]
        shuffled = [results[k] for k in rng.permutation(len(results))]
        provider.finish(name, shuffled + wrong)
    assert all(batch.state == "fetched" for batch, _ in asyncio.run(poll_batches(journal, judge)))
    ingested = ingest_batches(journal, judge)
    assert (ingested.n_answered, ingested.n_repeated, ingested.n_reopened) == (200, 10, 0)
    choices = [row[0] for row in journal.answers(0, 200, "a.choice")]
    assert choices == truth(questions).tolist()
    totals = journal.totals()
    assert totals.prompt_tokens == 200 * 50 and totals.n_out == 0
    assert journal.cost(totals) == pytest.approx(200 * (50 * 1 + 1 * 2) / 1e6)
    with pytest.raises(InputError, match="has no fetched batch"):
        ingest_batches(journal, judge)


def test_what_an_expired_batch_left_is_open_again(journal, judge, provider, tmp_path, answer_json, questions):
    write(journal, judge, tmp_path)
    asyncio.run(submit_batches(journal, judge))
    requests = provider.requests("batch-0")
    done = [result(request, answer_json) for request in requests[:100]]
    done.append(result(requests[100], answer_json, text="I cannot tell."))
    errors = [
        {"custom_id": request["custom_id"], "response": None, "error": {"code": "batch_expired"}}
        for request in requests[101:150]
    ]
    errors.append(result(requests[150], answer_json, status_code=429, body={"error": {"message": "later"}}))
    errors.append(result(requests[151], answer_json, status_code=400, body={"error": {"message": "too long"}}))
    provider.finish("batch-0", done, errors, status="expired")
    asyncio.run(poll_batches(journal, judge))
    ingested = ingest_batches(journal, judge)
    assert (ingested.n_answered, ingested.n_failed, ingested.n_reopened) == (100, 2, 98)
    assert {reason.partition(":")[0] for _, reason, _ in journal.failures(9)} == {"unparsed", "HTTP 400"}
    write(journal, judge, tmp_path)
    asyncio.run(submit_batches(journal, judge))
    assert len(provider.requests("batch-1")) == 98
    provider.finish("batch-1", [result(request, answer_json) for request in provider.requests("batch-1")])
    asyncio.run(poll_batches(journal, judge))
    assert ingest_batches(journal, judge).n_answered == 98
    totals = journal.totals()
    assert (totals.n_answered, totals.n_failed, totals.n_open) == (198, 2, 0)


def test_a_stop_between_upload_and_batch_pays_nothing_twice(journal, judge, provider, tmp_path):
    write(journal, judge, tmp_path)
    provider.refuse_batches = True
    with pytest.raises(EnvironmentFailure, match=r"did not take the batch \(HTTP 400: token limit reached\)"):
        asyncio.run(submit_batches(journal, judge))
    assert (
        BatchRecords(journal).listed()[0].state == "uploaded"
        and BatchRecords(journal).listed()[0].provider_file == "file-0"
    )
    provider.refuse_batches = False
    # The provider made the batch, but we were killed before we heard of it.
    provider.batches["batch-lost"] = {"input_file_id": "file-0", "status": "in_progress"}
    [batch] = asyncio.run(submit_batches(journal, judge))
    assert batch.provider_batch == "batch-lost" and provider.uploads == 1 and len(provider.batches) == 1


def test_results_of_another_runner_are_taken_from_files(journal, judge, tmp_path, answer_json, questions, caplog):
    first, second = write(journal, judge, tmp_path, most_lines=120)
    out = tmp_path / "out.jsonl"
    some = [json.dumps(result(request, answer_json)) for request in lines(first)[:100]]
    foreign = json.dumps({"custom_id": "affectome-000000000000-3", "response": {"status_code": 200, "body": {}}})
    out.write_text("\n".join([*some, foreign, some[0][: len(some[0]) // 2]]))
    ingested = ingest_batches(journal, judge, [out], partial=True)
    assert (ingested.n_answered, ingested.n_foreign, ingested.n_reopened) == (100, 1, 0)
    assert "1 lines are cut off" in caplog.text
    ingested = ingest_batches(journal, judge, [out])
    assert (ingested.n_answered, ingested.n_repeated) == (0, 100)
    (tmp_path / "other.jsonl").write_text(foreign + "\n")
    with pytest.raises(InputError, match="holds no result of this journal"):
        ingest_batches(journal, judge, [tmp_path / "other.jsonl"])
    with pytest.raises(InputError, match="there is no such file"):
        ingest_batches(journal, judge, [tmp_path / "none.jsonl"])
    (tmp_path / "rest.jsonl").write_text(json.dumps(result(lines(second)[0], answer_json)) + "\n")
    assert ingest_batches(journal, judge, [tmp_path / "rest.jsonl"]).n_reopened == 79
    assert journal.totals().n_out == 20


def test_prompts_of_several_turns_do_not_fit(journal, provider, captions, tmp_path):
    made = ChatJudge("gpt", provider.url, captions=captions, prompt="paper-video")
    with pytest.raises(InputError, match="has several turns, and a batch file holds single requests"):
        write(journal, made, tmp_path)


def test_constraints_are_written_and_their_probabilities_read(journal, judge, tmp_path, answer_json):
    able = Abilities("structured_outputs", None, 20, False)
    [batch] = asyncio.run(write_batches(journal, judge, able, tmp_path / "b"))
    request = lines(batch)[0]
    assert request["body"]["structured_outputs"] == {"choice": ["A", "B", "C"]} and request["body"]["logprobs"] is True
    answer = answer_json("B", alternatives={"A": 0.2, "B": 0.7, "C": 0.1})
    found = {"custom_id": request["custom_id"], "response": {"status_code": 200, "body": answer}}
    (tmp_path / "o.jsonl").write_text(json.dumps(found) + "\n")
    ingest_batches(journal, judge, [tmp_path / "o.jsonl"])
    [row] = journal.answers(0, 200, "a.choice, a.p_a, a.p_b, a.p_c")
    assert row == pytest.approx((1, 0.2, 0.7, 0.1))
