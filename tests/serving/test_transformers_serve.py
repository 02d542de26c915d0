"""`transformers serve` with tiny language models: captions end to end into an embedding; no reply is taken on trust."""

import asyncio
import json
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from affectome.collection import Collector
from affectome.errors import InputError
from affectome.judges import ChatJudge, parse_choice
from affectome.spaces import read_space
from affectome.triplets import read_triplets, sample_triplets

N_QUESTIONS = 400


@pytest.fixture
def captions(emotions):
    return {f"clip{number:02d}": [f"someone is {word} in the rain."] for number, word in enumerate(emotions)}


@pytest.fixture
def expected(emotions, salience):
    """Slot of the stimulus whose word is the most salient, for triplets of the captions above."""
    scores = np.array([salience(word) for word in emotions])
    return lambda triplets: scores[triplets].argmax(axis=1)


def session_of(judge):
    async def open_and_close():
        async with judge.session() as session:
            return session.describe()

    return asyncio.run(open_and_close())


def test_the_probe_says_what_this_server_lacks(transformers_serve, untrained_llama, captions):
    judge = ChatJudge(str(untrained_llama), transformers_serve, captions=captions)
    able = session_of(judge)
    assert able["constraint"] is None and able["token_ids"] is None
    assert able["logprobs"] == 0 and not able["vllm"]


def test_a_judge_that_must_be_held_to_a_label_refuses_this_server(transformers_serve, untrained_llama, captions):
    judge = ChatJudge(str(untrained_llama), transformers_serve, captions=captions, mode="choice")
    with pytest.raises(InputError, match=r"no constraint.*binds") as refused:
        session_of(judge)
    assert "auto" in refused.value.remedy


@pytest.mark.parametrize("mode", ["auto", "paper"])
def test_every_reply_is_read_as_it_was_said(transformers_serve, listening_llama, captions, expected, mode):
    questions = sample_triplets(list(captions), 60, seed=3)
    judge = ChatJudge(str(listening_llama), transformers_serve, captions=captions, mode=mode)
    answers = judge.answer(questions)
    np.testing.assert_array_equal(answers.choice, expected(questions.triplets))
    assert answers.probabilities is None  # the server tells none, and none is made up


def test_a_stimulus_table_becomes_an_embedding(
    transformers_serve, listening_llama, captions, expected, emotions, salience, tmp_path, run
):
    rows = [{"id": name, "caption": texts[0]} for name, texts in captions.items()]
    pd.DataFrame(rows).to_csv(tmp_path / "stimuli.csv", index=False)
    settings = {"kind": "chat", "model": str(listening_llama), "servers": transformers_serve, "stimuli": "stimuli.csv"}
    (tmp_path / "judge.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))

    def affectome(*arguments):
        code, out, err = run(*(tmp_path / part[1:] if part.startswith("@") else part for part in arguments))
        assert code == 0, err
        return out

    affectome(
        "triplets", "sample", "@stimuli.csv", "--n", str(N_QUESTIONS), "--seed", "1", "--out", "@questions.parquet"
    )
    affectome("collect", "run", "@questions.parquet", "--judge", "@judge.toml", "--journal", "@llm.sqlite", "--quiet")
    affectome("collect", "export", "@llm.sqlite", "--out", "@llm.parquet", "--quiet")
    affectome("embed", "fit", "@llm.parquet", "--components", "5", "--out", "@space.parquet", "--quiet")

    asked, answered = read_triplets(tmp_path / "questions.parquet"), read_triplets(tmp_path / "llm.parquet")
    np.testing.assert_array_equal(answered.triplets, asked.triplets)
    np.testing.assert_array_equal(answered.choice, expected(asked.triplets))
    with closing(sqlite3.connect(tmp_path / "llm.sqlite")) as journal:
        rows = journal.execute("SELECT text, choice, completion_tokens, attempts FROM answers").fetchall()
        assert journal.execute("SELECT model FROM origins").fetchone()[0].startswith(str(listening_llama))
    assert len(rows) == N_QUESTIONS
    assert {row[:2] for row in rows} == {("A", 0), ("B", 1), ("C", 2)}
    assert {row[2:] for row in rows} == {(2, 1)}  # the label and the end, at the first attempt

    space = read_space(tmp_path / "space.parquet")
    assert space.index.tolist() == list(captions)
    # exp(x_i x_j) is largest for the pair without the most salient of the three: closeness to the origin orders them.
    gram = space.to_numpy() @ space.to_numpy().T
    np.fill_diagonal(gram, -np.inf)
    a, b, c = asked.triplets.T
    predicted = np.column_stack([gram[b, c], gram[a, c], gram[a, b]]).argmax(axis=1)
    assert (predicted == expected(asked.triplets)).mean() > 0.9
    assert spearmanr(np.linalg.norm(space, axis=1), [salience(word) for word in emotions]).statistic < -0.9


def test_replies_that_name_no_label_end_as_recorded_failures(
    transformers_serve, listening_llama, captions, expected, mute, shrug, tmp_path
):
    captions["clip07"] = [f"someone is {mute} and eager."]
    silenced = list(captions).index("clip07")
    questions = sample_triplets(list(captions), 200, seed=5)
    judge = ChatJudge(str(listening_llama), transformers_serve, captions=captions, clarifications=2)
    collected = Collector(questions, judge, tmp_path / "j.sqlite").run_sync()
    lost = (questions.triplets == silenced).any(axis=1)
    assert 10 < lost.sum() < 100
    assert (collected.n_answered, collected.n_failed, collected.n_open) == (200 - lost.sum(), lost.sum(), 0)
    with closing(sqlite3.connect(tmp_path / "j.sqlite")) as journal:
        failures = journal.execute("SELECT question, reason, attempts, text FROM failures").fetchall()
        answers = dict(journal.execute("SELECT question, choice FROM answers").fetchall())
    assert sorted(row[0] for row in failures) == np.flatnonzero(lost).tolist()
    assert {row[1].partition(":")[0] for row in failures} == {"unparsed"}
    assert {row[2] for row in failures} == {3}  # asked, and asked again twice
    assert {row[3] for row in failures} == {json.dumps([shrug] * 3)}
    choices = expected(questions.triplets)
    assert answers == {number: choices[number] for number in np.flatnonzero(~lost)}


def test_an_untrained_model_is_never_helped_to_an_answer(transformers_serve, untrained_llama, captions, tmp_path):
    questions = sample_triplets(list(captions), 40, seed=6)
    settings = {"captions": captions, "max_tokens": 8, "clarifications": 1, "temperature": 1.0}
    judge = ChatJudge(str(untrained_llama), transformers_serve, **settings)
    collected = Collector(questions, judge, tmp_path / "j.sqlite").run_sync()
    assert collected.n_answered + collected.n_failed == 40 and collected.n_open == 0
    with closing(sqlite3.connect(tmp_path / "j.sqlite")) as journal:
        answers = journal.execute("SELECT choice, attempts, text FROM answers").fetchall()
        failures = journal.execute("SELECT attempts, text FROM failures").fetchall()
    assert failures and {row[0] for row in failures} == {2}
    for choice, attempts, text in answers:
        said = text if attempts == 1 else json.loads(text)[-1]
        assert "ABC"[choice] in said.split()
    for _, text in failures:
        assert all(parse_choice(said, ("A", "B", "C")).slot is None for said in json.loads(text))
