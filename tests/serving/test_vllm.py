"""A real vLLM with a tiny Qwen2-VL: bound answers, raw probabilities, clips kept by the server, prefixes reused."""

import asyncio
import json
import sqlite3
from contextlib import closing
from itertools import permutations

import numpy as np
import pytest

from affectome.collection import Collector
from affectome.errors import InputError
from affectome.judges import ChatJudge
from affectome.triplets import TripletSet, sample_triplets

pytestmark = pytest.mark.serving

CAPTIONS = {
    f"clip{number:02d}": [f"a {mood} clip"] for number, mood in enumerate(["sad", "calm", "odd", "loud", "warm"])
}


def in_session(judge, ask):
    async def run():
        async with judge.session() as session:
            return await ask(session)

    return asyncio.run(run())


def replies(judge, triplets):
    """One after another, so that what the server has kept is the same every time."""

    async def ask(session):
        return [await session.reply(ids) for ids in triplets]

    return in_session(judge, ask)


@pytest.fixture
def sent(monkeypatch):
    """Sizes of the chat requests that leave this process."""
    import aiohttp

    sizes, request = [], aiohttp.ClientSession._request

    async def counted(self, method, url, **keys):
        if str(url).endswith("/chat/completions"):
            sizes.append(len(keys["data"]))
        return await request(self, method, url, **keys)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", counted)
    return sizes


@pytest.fixture
def forward(qwen):
    """Log-probabilities of the first token of an answer to a question about captions, by the model itself."""
    import torch
    from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

    model = Qwen2VLForConditionalGeneration.from_pretrained(qwen).eval()
    tokenizer = AutoTokenizer.from_pretrained(qwen)

    def of(prompt, ids):
        text = "".join(part if isinstance(part, str) else CAPTIONS[ids[part]][0] for part in prompt.turns[0])
        messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": text}]
        tokens = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            scores = model(**tokens).logits[0, -1].double().log_softmax(0)
        return [float(scores[tokenizer.convert_tokens_to_ids(label)]) for label in prompt.labels]

    return of


def test_the_probe_finds_the_constraint_that_binds(vllm):
    for raw_mass, constraint in ((False, "structured_outputs"), (True, "allowed_token_ids")):
        judge = ChatJudge("tiny", vllm, captions=CAPTIONS, mode="choice", raw_mass=raw_mass)

        async def able(session):
            return session.describe()

        found = in_session(judge, able)
        assert found["constraint"] == constraint
        assert found["vllm"] and found["logprobs"] > 0


def test_an_old_name_that_the_server_ignores_does_not_pass_for_a_constraint(vllm, monkeypatch):
    monkeypatch.setattr("affectome.judges._probe.CONSTRAINTS", ("guided_choice", "regex", "grammar"))
    judge = ChatJudge("tiny", vllm, captions=CAPTIONS, mode="choice")
    with pytest.raises(InputError, match="no constraint"):
        replies(judge, [])


def test_probabilities_and_mass_are_those_of_the_model(vllm, forward):
    triplets = [tuple(ids) for ids in permutations(list(CAPTIONS)[:3])]
    held = ChatJudge("tiny", vllm, captions=CAPTIONS, mode="choice")
    raw = ChatJudge("tiny", vllm, captions=CAPTIONS, mode="choice", raw_mass=True)
    for ids, bound, free in zip(triplets, replies(held, triplets), replies(raw, triplets), strict=True):
        weights = np.exp(forward(held.loaded_prompt, ids))
        np.testing.assert_allclose(bound.probabilities, weights / weights.sum(), atol=2e-4)
        np.testing.assert_allclose(free.probabilities, weights / weights.sum(), atol=2e-4)
        assert free.mass == pytest.approx(weights.sum(), rel=2e-3)
        assert 0 < free.mass < 1 and bound.mass is None  # held by a grammar, what lies outside the labels is not known
        assert bound.choice == free.choice == weights.argmax()
        assert bound.text == free.text == "ABC"[bound.choice]
        assert bound.model == "tiny" and bound.failure is None


@pytest.mark.parametrize("show", ["video", "frames", "images"])
def test_three_clips_are_answered_with_one_label(vllm, clips, show):
    judge = ChatJudge("tiny", vllm, videos=clips, show=show, mode="choice", longest_side=112, n_frames=4)
    names = list(clips)
    triplets = [(names[k], names[k + 1], names[k + 2]) for k in range(6)]
    answers = replies(judge, triplets)
    assert {reply.failure for reply in answers} == {None}
    for reply in answers:
        assert reply.text == "ABC"[reply.choice]
        assert sum(reply.probabilities) == pytest.approx(1, abs=1e-5)
        assert reply.choice == int(np.argmax(reply.probabilities))
    assert len({reply.probabilities for reply in answers}) == len(answers)  # it does look at the clips
    text_tokens = replies(ChatJudge("tiny", vllm, captions=CAPTIONS, mode="choice"), [tuple(list(CAPTIONS)[:3])])
    assert min(reply.prompt_tokens for reply in answers) > text_tokens[0].prompt_tokens + 3 * 16


def test_a_clip_travels_once_and_the_answer_is_the_same(vllm, clips, sent):
    names = list(clips)[:5]
    triplets = list(permutations(names, 3))
    judge = ChatJudge("tiny", vllm, videos=clips, show="frames", mode="choice", longest_side=112)
    once = replies(judge, triplets)
    with_reuse = sum(sent)
    sent.clear()
    whole = [
        reply for ids in triplets for reply in replies(judge, [ids])
    ]  # a new session knows of no clip on the server
    without = sum(sent)
    print(f"\n{len(triplets)} questions, 5 clips: {with_reuse:,} bytes sent with reuse, {without:,} without.")
    assert with_reuse < 0.35 * without
    assert [reply.choice for reply in once] == [reply.choice for reply in whole]
    np.testing.assert_allclose(
        [reply.probabilities for reply in once], [reply.probabilities for reply in whole], atol=1e-3
    )


def test_a_clip_that_the_server_has_dropped_is_sent_again(vllm, clips, tmp_path):
    questions = sample_triplets(list(clips), 150, seed=0)
    judge = ChatJudge("tiny", vllm, videos=clips, show="frames", mode="choice", longest_side=112, concurrency=4)
    collected = Collector(questions, judge, tmp_path / "j.sqlite", dispatch="random").run_sync()
    print(f"\n{collected.faults} while 12 clips shared a cache for about eight; {collected.rate:.0f} questions/s.")
    assert (collected.n_answered, collected.n_failed) == (150, 0)
    assert collected.faults["HTTP 400"] > 0  # it did drop some


def test_paper_mode_holds_two_turns_about_the_same_clips(vllm, clips):
    names = list(clips)
    judge = ChatJudge("tiny", vllm, videos=clips, show="frames", mode="paper", longest_side=112, max_tokens=12)
    for reply in replies(judge, [(names[0], names[1], names[2]), (names[2], names[1], names[0])]):
        assert reply.choice >= 0 or reply.failure.startswith("unparsed")
        assert len(json.loads(reply.text)) == 1 + reply.attempts
        assert reply.cached_tokens > 0  # the second turn begins as the first did


def test_dispatch_by_prefix_reuses_more_of_the_prompts_than_random_order(vllm, clips, tmp_path):
    questions = sample_triplets(list(clips), design="exhaustive", seed=0)
    assert isinstance(questions, TripletSet) and len(questions) == 220
    shares, choices = {}, {}
    for dispatch in ("random", "prefix"):
        judge = ChatJudge(
            "tiny",
            vllm,
            videos=clips,
            show="frames",
            mode="choice",
            longest_side=112,
            concurrency=2,
            extra={"cache_salt": dispatch},  # neither finds what the other has left behind
        )
        journal = tmp_path / f"{dispatch}.sqlite"
        collected = Collector(questions, judge, journal, dispatch=dispatch).run_sync()
        assert (collected.n_answered, collected.n_failed) == (220, 0)
        shares[dispatch] = collected.cached_tokens / collected.prompt_tokens
        with closing(sqlite3.connect(journal)) as rows:
            choices[dispatch] = [row[0] for row in rows.execute("SELECT choice FROM answers ORDER BY question")]
        print(f"\n{dispatch}: {shares[dispatch]:.1%} of {collected.prompt_tokens:,} prompt tokens cached.", end="")
    print(f"\nsame choice in {np.mean(np.equal(*choices.values())):.1%} of the questions.")
    assert shares["prefix"] > shares["random"] + 0.1
    assert np.mean(np.equal(*choices.values())) > 0.97  # caching may flip near-ties, and nothing else
