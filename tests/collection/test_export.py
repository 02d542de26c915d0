"""From journal to triplet file: the right answer beside the right question, raw ones kept, nothing invented."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from affectome.collection import BatchRecords, Journal, export_journal, slot_bias
from affectome.collection import _journal as journal_module
from affectome.errors import InputError
from affectome.judges import Reply
from affectome.triplets import TripletSet, read_triplets, sample_triplets


@pytest.fixture
def journal(tmp_path, questions, judge_facts, make_reply, monkeypatch):
    monkeypatch.setattr(journal_module, "_CHUNK", 64)
    asked = TripletSet(questions.triplets, questions.ids, block=np.arange(200) % 3, metadata={"design": "random"})
    with Journal.create(tmp_path / "j.sqlite", asked, judge_facts) as made:
        made.begin_run({"constraint": "regex"})
        made.record([(k, make_reply(k)) for k in range(199, 9, -1) if k % 10])
        made.record([(k, make_reply(k, failure="unparsed: refuses")) for k in (20, 30)])
        yield made


def test_every_answer_stands_beside_its_question(journal, tmp_path, questions, make_reply, judge_facts):
    out = tmp_path / "t.parquet"
    result = export_journal(journal, out)
    assert (result.n_answered, result.n_failed, result.n_open, result.prior) == (171, 2, 0, None)
    trials = read_triplets(out)
    rows = [k for k in range(200) if (k >= 10 and k % 10) or k in (20, 30)]
    np.testing.assert_array_equal(trials.triplets, questions.triplets[rows])
    np.testing.assert_array_equal(trials.block, np.array(rows) % 3)
    replies = [make_reply(k, failure="x" if k in (20, 30) else None) for k in rows]
    assert trials.choice.tolist() == [reply.choice for reply in replies]
    expected = np.array([reply.probabilities or (np.nan,) * 3 for reply in replies])
    np.testing.assert_allclose(trials.probabilities, expected, atol=1e-7)
    assert trials.ids == questions.ids and trials.metadata["design"] == "random"
    assert trials.metadata["judge"] == judge_facts and trials.metadata["server"] == {"constraint": "regex"}


def test_open_questions_are_written_when_asked_for(journal, tmp_path, questions):
    BatchRecords(journal).add("b.jsonl", [0, 1])
    result = export_journal(journal, tmp_path / "t.parquet", include_open=True)
    trials = read_triplets(tmp_path / "t.parquet")
    np.testing.assert_array_equal(trials.triplets, questions.triplets)
    assert result.n_open == 200 - 173 and int((~trials.answered).sum()) == 29


def test_details_carry_what_every_answer_took(journal, tmp_path, make_reply):
    export_journal(journal, tmp_path / "t.parquet", details=True)
    frame = pq.read_table(tmp_path / "t.parquet").to_pandas()
    answered = frame[frame["choice"] >= 0]
    assert set(answered["model"]) == {"m-1"} and set(answered["server"]) == {"http://a/v1"}
    assert (answered["prompt_tokens"] == 100).all() and (answered["latency"] == 0.25).all()
    assert answered["text"].tolist() == [make_reply(k).text for k in range(10, 200) if k % 10]
    assert frame.loc[frame["choice"] < 0, "text"].isna().all()
    assert len(read_triplets(tmp_path / "t.parquet")) == 173


def test_hard_answers_make_a_file_without_probabilities(tmp_path, questions, judge_facts, make_reply):
    with Journal.create(tmp_path / "j.sqlite", questions, judge_facts) as journal:
        journal.begin_run({})
        journal.record([(k, make_reply(k, soft=False)) for k in range(50)])
        export_journal(journal, tmp_path / "t.parquet")
    trials = read_triplets(tmp_path / "t.parquet")
    assert len(trials) == 50 and trials.probabilities is None


def test_an_empty_journal_and_a_wrong_place_are_refused(tmp_path, questions, judge_facts):
    with Journal.create(tmp_path / "j.sqlite", questions, judge_facts) as journal:
        with pytest.raises(InputError, match="holds no answer yet"):
            export_journal(journal, tmp_path / "t.parquet")
        with pytest.raises(InputError, match="extension"):
            export_journal(journal, tmp_path / "t.txt")
    assert not (tmp_path / "t.parquet").exists()


PRIOR = np.array([0.5, 0.3, 0.2])


@pytest.fixture
def biased(tmp_path, judge_facts):
    """A judge that likes the first slot, asked in all orders of a tenth of the triplets; journal and truth."""

    def make(*, soft):
        rng = np.random.default_rng(0)
        asked = sample_triplets(20, 900, orders=6, orders_share=0.5, seed=1)
        worth = rng.gumbel(size=20)
        truth = np.exp(worth[asked.triplets])
        p = truth * PRIOR
        p /= p.sum(axis=1, keepdims=True)
        journal = Journal.create(tmp_path / "b.sqlite", asked, judge_facts)
        journal.begin_run({})
        choices = p.argmax(axis=1) if soft else np.array([rng.choice(3, p=row) for row in p])
        rows = [(k, Reply(int(c), tuple(p[k].tolist()) if soft else None)) for k, c in enumerate(choices)]
        journal.record(rows)
        return journal, truth / truth.sum(axis=1, keepdims=True)

    return make


def test_a_slot_prior_is_divided_out_and_the_raw_answers_stay(biased, tmp_path):
    journal, truth = biased(soft=True)
    with journal:
        result = export_journal(journal, tmp_path / "t.parquet", debiased=True)
        export_journal(journal, tmp_path / "raw.parquet")
    np.testing.assert_allclose(result.prior.prior, PRIOR, atol=1e-5)
    trials, raw = read_triplets(tmp_path / "t.parquet"), read_triplets(tmp_path / "raw.parquet")
    np.testing.assert_allclose(trials.probabilities, truth, atol=1e-5)
    np.testing.assert_array_equal(trials.choice, truth.argmax(axis=1))
    assert result.n_choices_changed == (trials.choice != raw.choice).sum() > 50
    table = pq.read_table(tmp_path / "t.parquet").to_pandas()
    np.testing.assert_array_equal(table["raw_choice"], raw.choice)
    np.testing.assert_array_equal(table[["raw_p_a", "raw_p_b", "raw_p_c"]].to_numpy(), raw.probabilities)
    assert trials.metadata["slot_prior"]["divided_out"] is True
    assert slot_bias(raw).p_value < 1e-6 < 1e-3 < slot_bias(trials).p_value


def test_the_prior_of_hard_choices_goes_along_for_the_embedding(biased, tmp_path):
    journal, _ = biased(soft=False)
    with journal:
        result = export_journal(journal, tmp_path / "t.parquet", debiased=True)
    trials = read_triplets(tmp_path / "t.parquet")
    assert result.n_choices_changed == 0 and trials.metadata["slot_prior"]["divided_out"] is False
    np.testing.assert_allclose(trials.metadata["slot_prior"]["prior"], PRIOR, atol=0.05)


def test_debiasing_without_permuted_triplets_names_the_journal_and_the_remedy(journal, tmp_path):
    with pytest.raises(InputError, match=r"j\.sqlite.*--orders 6"):
        export_journal(journal, tmp_path / "t.parquet", debiased=True)
    assert not (tmp_path / "t.parquet").exists()
