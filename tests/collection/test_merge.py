"""Journals of several machines become one; what does not belong together is refused."""

import shutil

import numpy as np
import pytest

from affectome.collection import BatchRecords, Journal, dispatch_order, export_journal, merge_journals
from affectome.errors import InputError
from affectome.judges import Reply
from affectome.triplets import read_triplets


@pytest.fixture
def shard(tmp_path, questions, judge_facts, make_reply):
    def make(name, rows, *, failed=(), server=None, judge=None, asked=None, change=0):
        with Journal.create(tmp_path / name, asked or questions, judge or judge_facts) as journal:
            journal.begin_run(server or {"constraint": "regex"})
            replies = [make_reply(k, text="long " * 50 if k % 2 else None) for k in rows]
            if change:
                replies = [Reply((r.choice + change) % 3, model="n", server=name) for r in replies]
            journal.record(list(zip(rows, replies, strict=True)))
            journal.record([(k, make_reply(k, failure="HTTP 500")) for k in failed])
        return tmp_path / name

    return make


def test_shards_make_the_whole(shard, questions, tmp_path, make_reply):
    parts = [dispatch_order(questions.triplets, "prefix", (k, 3)).tolist() for k in (1, 2, 3)]
    paths = [shard(f"{k}.sqlite", part) for k, part in enumerate(parts)]
    merged = merge_journals(paths, tmp_path / "all.sqlite")
    assert (merged.n_questions, merged.n_answered, merged.n_shared) == (200, 200, 0)
    with Journal.open(tmp_path / "all.sqlite") as journal:
        export_journal(journal, tmp_path / "t.parquet")
        texts = journal.answers(0, 200, "a.question, coalesce(a.text, t.text), o.server, a.run")
        assert journal.connection.execute("SELECT count(*) FROM runs WHERE answered > 0").fetchone()[0] == 3
    assert [row[1] for row in texts] == [make_reply(k, text="long " * 50 if k % 2 else None).text for k in range(200)]
    assert {row[2] for row in texts} == {"http://a/v1"} and len({row[3] for row in texts}) == 3
    trials = read_triplets(tmp_path / "t.parquet")
    assert trials.choice.tolist() == [make_reply(k).choice for k in range(200)]
    np.testing.assert_array_equal(trials.triplets, questions.triplets)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(("all", ".all"))) == ["all.sqlite"]


def test_overlap_is_tolerated_counted_and_the_first_answer_kept(shard, tmp_path, make_reply):
    paths = [shard("a.sqlite", range(60), failed=[150]), shard("b.sqlite", range(40, 100), failed=[20, 150], change=1)]
    merged = merge_journals(paths, tmp_path / "all.sqlite")
    assert (merged.n_answered, merged.n_shared, merged.n_differing) == (100, 20, 20)
    with Journal.open(tmp_path / "all.sqlite") as journal:
        found = dict(journal.answers(0, 200, "a.question, a.choice"))
        assert found[50] == make_reply(50).choice and found[70] == (make_reply(70).choice + 1) % 3
        assert journal.totals().n_failed == 1


def test_a_merged_journal_is_collected_further(shard, questions, judge_facts, tmp_path, make_reply):
    merge_journals([shard("a.sqlite", range(60)), shard("b.sqlite", range(60, 90))], tmp_path / "all.sqlite")
    with Journal.resume(tmp_path / "all.sqlite", questions, judge_facts) as journal:
        journal.agree_on_server({"constraint": "regex"}, accept_changes=False)
        journal.begin_run({"constraint": "regex"})
        journal.record([(k, make_reply(k)) for k in range(90, 200)])
        assert journal.totals().n_open == 0


def test_what_does_not_belong_together_is_refused_before_anything_is_written(shard, questions, judge_facts, tmp_path):
    a = shard("a.sqlite", range(5))
    others = {
        "another judge than .*its model differ": shard("b.sqlite", range(5), judge={**judge_facts, "model": "n"}),
        "other questions than": shard("c.sqlite", range(5), asked=questions[::-1]),
        "can do other things": shard("d.sqlite", range(5), server={"constraint": None}),
    }
    for message, other in others.items():
        with pytest.raises(InputError, match=message) as error:
            merge_journals([a, other], tmp_path / "all.sqlite")
        assert other.name in str(error.value)
    with Journal.open(a, write=True) as journal:
        BatchRecords(journal).add("b.jsonl", [9])
    with pytest.raises(InputError, match="has questions out in batch files"):
        merge_journals([a], tmp_path / "all.sqlite")
    assert not (tmp_path / "all.sqlite").exists()


def test_places_that_cannot_be_meant_are_refused(shard, tmp_path):
    a = shard("a.sqlite", range(5))
    with pytest.raises(InputError, match="there is no journal to merge"):
        merge_journals([], tmp_path / "all.sqlite")
    with pytest.raises(InputError, match="exists already"):
        merge_journals([a], shutil.copy(a, tmp_path / "there.sqlite"))
    with pytest.raises(InputError, match="there is no such file"):
        merge_journals([a, tmp_path / "none.sqlite"], tmp_path / "all.sqlite")
