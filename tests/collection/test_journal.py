"""The journal keeps what it acknowledged, knows whose it is, and survives what happens to files."""

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from affectome.collection import BatchRecords, Journal, _journal, _sqlite
from affectome.collection._journal import ANSWERED, FAILED, OPEN, OUT
from affectome.errors import EnvironmentFailure, InputError
from affectome.judges import Prices
from affectome.triplets import TripletSet, sample_triplets


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j.sqlite"


@pytest.fixture
def journal(path, questions, judge_facts):
    with Journal.create(path, questions, judge_facts) as made:
        made.begin_run({"constraint": None}, Prices(input=10.0, output=20.0, cached=5.0))
        yield made


def test_a_journal_gives_back_the_questions_it_was_given(path, questions, judge_facts):
    asked = TripletSet(questions.triplets, questions.ids, block=np.arange(200), metadata={"design": "random"})
    with Journal.create(path, asked, judge_facts):
        pass
    with Journal.open(path) as journal:
        read = journal.questions()
    np.testing.assert_array_equal(read.triplets, asked.triplets)
    np.testing.assert_array_equal(read.block, asked.block)
    assert read.ids == asked.ids and read.metadata == {"design": "random"}


def test_questions_of_several_chunks_stay_in_order(path, judge_facts, monkeypatch, questions):
    monkeypatch.setattr(_journal, "_CHUNK", 64)
    with Journal.create(path, questions, judge_facts) as journal:
        assert [len(rows) for rows, _ in journal.question_chunks()] == [64, 64, 64, 8]
        np.testing.assert_array_equal(journal.questions().triplets, questions.triplets)


def test_what_was_recorded_is_there_for_the_next_reader(journal, path, make_reply):
    long = "because " * 100
    journal.record([(5, make_reply(5)), (7, make_reply(7, text=long)), (9, make_reply(9, failure="HTTP 400: no"))])
    with Journal.open(path) as reader:
        states = reader.states()
        assert [states[k] for k in (4, 5, 7, 9)] == [OPEN, ANSWERED, ANSWERED, FAILED]
        rows = reader.answers(0, 200, "a.question, a.choice, a.p_a, coalesce(a.text, t.text), o.model")
        assert [row[0] for row in rows] == [5, 7]
        assert rows[0][1] == make_reply(5).choice and rows[0][2] == make_reply(5).probabilities[0]
        assert rows[1][3] == long and rows[1][4] == "m-1"
        assert reader.failures(5) == [(9, "HTTP 400: no", make_reply(9).text)]


def test_totals_add_up_answers_failures_tokens_and_cost(journal, make_reply):
    journal.record([(k, make_reply(k, soft=k % 2 == 0)) for k in range(30)])
    journal.record([(k, make_reply(k, failure="unparsed: names two slots")) for k in (40, 41)])
    totals = journal.totals()
    choices = [make_reply(k).choice for k in range(30)]
    assert totals.slots == tuple(choices.count(slot) for slot in range(3))
    assert (totals.n_answered, totals.n_failed, totals.n_out, totals.n_open) == (30, 2, 0, 168)
    assert (totals.prompt_tokens, totals.completion_tokens, totals.cached_tokens) == (3200, 64, 1920)
    assert totals.n_soft == 15 and totals.mass == pytest.approx(0.9)
    assert totals.failures == {"unparsed": 2}
    # 1,280 fresh tokens at 10, 1,920 cached ones at 5, 64 out at 20, per million
    assert journal.cost(totals) == pytest.approx((1280 * 10 + 1920 * 5 + 64 * 20) / 1e6)


def test_the_first_answer_to_a_question_stays(journal, make_reply):
    journal.record([(3, make_reply(3))])
    journal.record([(3, make_reply(4)), (3, make_reply(5)), (4, make_reply(4))])
    assert journal.answers(3, 4, "a.choice") == [(make_reply(3).choice,)]
    assert journal.totals().n_answered == 2


def test_a_question_answered_after_a_failure_counts_as_answered_once(journal, make_reply):
    journal.record([(3, make_reply(3, failure="HTTP 500"))])
    journal.record([(3, make_reply(3))])
    totals = journal.totals()
    assert (totals.n_answered, totals.n_failed, totals.failures) == (1, 0, {})
    assert journal.states()[3] == ANSWERED


def test_a_group_is_written_whole_or_not_at_all(journal, make_reply):
    bad = make_reply(2)
    object.__setattr__(bad, "latency", object())  # no number: the whole group must fall
    with pytest.raises((EnvironmentFailure, sqlite3.Error)):
        journal.record([(1, make_reply(1)), (2, bad)])
    assert journal.totals().n_answered == 0
    journal.record([(1, make_reply(1))])
    assert journal.totals().n_answered == 1


def test_another_judge_is_refused_and_named_unless_told_to(path, journal, questions, judge_facts, make_reply):
    journal.record([(0, make_reply(0))])
    journal.close()
    other = {**judge_facts, "model": "n"}
    with pytest.raises(InputError, match=r"was begun with another judge \(its model differ\)"):
        Journal.resume(path, questions, other)
    with Journal.resume(path, questions, other, accept_changes=True) as again:
        assert again.facts["judge"] == other and again.totals().n_answered == 1


def test_other_questions_are_refused(path, journal, questions, judge_facts):
    journal.close()
    other = sample_triplets(questions.ids, 200, seed=1)
    for changes in (False, True):
        with pytest.raises(InputError, match="another set of 200 questions"):
            Journal.resume(path, other, judge_facts, accept_changes=changes)
    swapped = TripletSet(questions.triplets[:, ::-1], questions.ids)  # other slots are other questions
    with pytest.raises(InputError, match="another set"):
        Journal.resume(path, swapped, judge_facts)


def test_a_longer_question_set_is_taken_when_told_to(path, journal, questions, judge_facts, make_reply):
    journal.record([(0, make_reply(0))])
    journal.close()
    more = TripletSet(np.concatenate([questions.triplets, questions.triplets[:50, ::-1]]), questions.ids)
    with pytest.raises(InputError, match="the first 200 of these 250 questions; say --accept-changes"):
        Journal.resume(path, more, judge_facts)
    with Journal.resume(path, more, judge_facts, accept_changes=True) as longer:
        np.testing.assert_array_equal(longer.questions().triplets, more.triplets)
        assert longer.totals().n_open == 249


def test_the_server_must_answer_in_the_same_way(journal):
    journal.agree_on_server({"constraint": None}, accept_changes=False)
    with pytest.raises(InputError, match="now it can do"):
        journal.agree_on_server({"constraint": "regex"}, accept_changes=False)
    journal.agree_on_server({"constraint": "regex"}, accept_changes=True)


def test_one_writer_at_a_time_and_any_number_of_readers(journal, path, make_reply):
    with pytest.raises(EnvironmentFailure, match="is being written by another process"):
        Journal.open(path, write=True)
    with Journal.open(path) as reader:
        assert reader.is_being_written()
        journal.record([(0, make_reply(0))])
        assert reader.totals().n_answered == 1
    journal.close()
    with Journal.open(path) as reader:
        assert not reader.is_being_written()


def test_a_full_journal_stops_clearly_stays_sound_and_goes_on(path, questions, judge_facts, make_reply):
    text = "x" * 2000
    with Journal.create(path, questions, judge_facts, max_mb=0.2) as journal:
        journal.begin_run({})
        kept = 0
        with pytest.raises(
            EnvironmentFailure, match=r"is full: the disk has no room left.*every answer before is kept"
        ):
            for k in range(200):
                journal.record([(k, make_reply(k, text=text))])
                kept += 1
    assert 10 < kept < 200
    with Journal.resume(path, questions, judge_facts) as journal:
        assert journal.totals().n_answered == kept
        assert journal.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        journal.begin_run({})
        journal.record([(k, make_reply(k, text=text)) for k in range(kept, 200)])
        assert journal.totals().n_answered == 200


def test_a_start_that_was_cut_off_is_started_again(path, questions, judge_facts):
    path.touch()
    with Journal.resume(path, questions, judge_facts) as journal:
        assert len(journal.questions()) == 200
    blank = path.with_name("blank.sqlite")
    with closing(sqlite3.connect(blank)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
    with Journal.resume(blank, questions, judge_facts) as journal:
        assert len(journal.questions()) == 200


def open_files(path):
    """How often this process has a file open; none where the system does not say."""
    places = Path("/proc/self/fd")
    return sum(place.exists() and place.samefile(path) for place in places.iterdir()) if places.is_dir() else 0


def test_files_that_are_no_journal_are_refused(tmp_path, questions, judge_facts):
    with pytest.raises(InputError, match="there is no such file"):
        Journal.open(tmp_path / "none.sqlite")
    text = tmp_path / "text.sqlite"
    text.write_text("a,b,c\n" * 1000)
    foreign = tmp_path / "foreign.sqlite"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE notes (text)")
    for file in (text, foreign):
        with pytest.raises(InputError, match="is no affectome journal") as resumed:
            Journal.resume(file, questions, judge_facts)
        with pytest.raises(InputError, match="is no affectome journal") as opened:
            Journal.open(file)
        assert open_files(file) == 0, (resumed, opened)  # while the faults are kept, and with them what they came from


def test_a_torn_journal_says_so(path, journal, make_reply):
    journal.record([(k, make_reply(k, text="x" * 500)) for k in range(200)])
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is damaged"), Journal.open(path) as reader:
        reader.totals(), reader.states(), reader.answers(0, 200, "a.text, t.text")


def test_a_newer_schema_is_refused_and_an_older_one_migrated(path, journal, monkeypatch):
    journal.close()
    monkeypatch.setattr(_journal, "SCHEMA", 2)
    monkeypatch.setattr("affectome._files.SCHEMA", 2)
    monkeypatch.setattr(
        _journal, "_MIGRATIONS", {1: "ALTER TABLE answers ADD COLUMN mood TEXT; CREATE TABLE moods (mood)"}
    )
    with Journal.open(path, write=True) as migrated:
        assert migrated.facts["affectome_schema"] == 2
        migrated.connection.execute("SELECT mood FROM answers")
        migrated.connection.execute("SELECT mood FROM moods")
    monkeypatch.undo()
    with pytest.raises(InputError, match="has schema version 2, and this affectome reads up to 1"):
        Journal.open(path)


def test_network_disks_are_refused_for_the_write_ahead_log(path, questions, judge_facts, monkeypatch):
    monkeypatch.setattr(_sqlite, "_file_system", lambda path: "nfs4")
    with pytest.raises(EnvironmentFailure, match=r"network file system \(nfs4\).*--journal-mode delete"):
        Journal.create(path, questions, judge_facts)
    with Journal.create(path, questions, judge_facts, journal_mode="delete") as journal:
        assert journal.connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    with pytest.raises(InputError, match="the journal mode 'off' is unknown"):
        Journal.create(path.with_name("k"), questions, judge_facts, journal_mode="off")


def test_the_file_system_of_a_path_is_that_of_its_innermost_mount():
    assert _sqlite._file_system(_sqlite.Path("/proc/self")) in ("proc", "")


def test_questions_with_a_provider_are_out_until_their_batch_ends(journal, make_reply):
    batch = BatchRecords(journal).add("b.jsonl", [1, 2, 3, 4])
    assert (journal.states()[1:5] == OUT).all() and journal.totals().n_out == 4
    journal.record([(1, make_reply(1)), (2, make_reply(2, failure="unparsed: refuses"))])
    assert journal.totals().n_out == 2 and BatchRecords(journal).holding([1, 9]) == {batch}
    assert BatchRecords(journal).end(batch) == 2
    assert journal.states()[1:5].tolist() == [ANSWERED, FAILED, OPEN, OPEN]
    assert [b.state for b in BatchRecords(journal).listed()] == ["ended"]


def test_what_was_acknowledged_survives_a_killed_process(path, questions, judge_facts, make_reply):
    program = f"""
import sys
from affectome.collection import Journal
from affectome.judges import Reply
from affectome.triplets import sample_triplets
questions = sample_triplets({list(questions.ids)!r}, 200, seed=0)
journal = Journal.create({str(path)!r}, questions, {json.dumps(judge_facts)})
journal.begin_run({{}})
for k in range(200):
    journal.record([(k, Reply(k % 3))])
    print(k, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= 60:
                process.kill()
                break
        acknowledged = int((line + process.stdout.read()).split()[-1])
    with Journal.resume(path, questions, judge_facts) as journal:  # the dead writer's lock is gone with it
        found = [row[0] for row in journal.answers(0, 200, "a.question")]
    assert found[: acknowledged + 1] == list(range(acknowledged + 1))
    assert len(found) <= acknowledged + 2


def test_the_last_run_says_when_and_how_fast(journal, make_reply):
    before = time.time()
    journal.record([(k, make_reply(k)) for k in range(10)])
    began, seen, answered = journal.last_run()
    assert answered == 10 and began <= before <= seen <= time.time()
