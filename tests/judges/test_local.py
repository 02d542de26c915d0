"""A model in this process: its answers are those of a plain forward pass, however its questions are read."""

import json
import logging
import pickle
import sys
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from affectome.errors import EnvironmentFailure, InputError
from affectome.judges import LocalJudge, load_prompt
from affectome.judges._local_layout import label_tokens, lay_out
from affectome.judges._local_scores import LabelScorer
from affectome.triplets import TripletSet, sample_triplets


@pytest.fixture(scope="module")
def captions():
    """One to eleven words for each of forty stimuli."""
    rng = np.random.default_rng(1)
    return {f"s{k:02d}": [" ".join(f"w{w}" for w in rng.integers(40, size=1 + k % 11))] for k in range(40)}


@pytest.fixture(scope="module")
def asked(captions):
    """Sixty questions: many of a few first stimuli, of all lengths."""
    few = sample_triplets(list(captions), 40, seed=0)
    many = sample_triplets(list(captions), design="exhaustive", subset=5, seed=0)
    return TripletSet(np.concatenate([few.triplets, many.triplets, few.triplets[:10, ::-1]]), ids=few.ids)


@pytest.fixture(scope="module")
def plain(offline):
    """Label probabilities and their mass from one question at a time, by transformers alone."""
    import torch

    def probabilities(folder, texts, labels="ABC"):
        model = offline.AutoModelForCausalLM.from_pretrained(folder).eval()
        tokenizer = offline.AutoTokenizer.from_pretrained(folder)
        rows = []
        for text in texts:
            given = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
            row = []
            for label in labels:
                target = tokenizer(label, add_special_tokens=False)["input_ids"]
                whole = torch.cat([given, torch.tensor([target])], dim=1)
                with torch.no_grad():
                    logs = model(whole).logits[0].log_softmax(-1)
                row.append(sum(float(logs[len(given[0]) - 1 + k, token]) for k, token in enumerate(target)))
            rows.append(np.exp(row))
        weights = np.array(rows)
        return weights / weights.sum(axis=1, keepdims=True), weights.sum(axis=1)

    return probabilities


def conversation(tokenizer, captions, questions, labels=("A", "B", "C")):
    """The questions as the chat template of the model writes them."""
    prompt = load_prompt("choice", labels)
    texts = []
    for row in questions.triplets:
        shown = [captions[questions.ids[k]][0] for k in row]
        said = "".join(shown[part] if isinstance(part, int) else part for part in prompt.turns[0])
        messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": said}]
        texts.append(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    return texts


def told(replies):
    """Probabilities and mass of replies."""
    return np.array([reply.probabilities for reply in replies]), np.array([reply.mass for reply in replies])


def scorer_of(judge, questions):
    """The loaded model's scorer."""
    judge.replies(questions[:1])
    cells = [cell.cell_contents for cell in judge.__dict__["_loaded"].score.__closure__]
    return next(content for content in cells if isinstance(content, LabelScorer))


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_probabilities_and_mass_are_those_of_a_plain_forward_pass(
    tiny_llama, tiny_tokenizer, captions, asked, plain, batch_size
):
    replies = LocalJudge(tiny_llama, captions, batch_size=batch_size).replies(asked)
    texts = conversation(tiny_tokenizer, captions, asked)
    probabilities, mass = told(replies)
    expected, expected_mass = plain(tiny_llama, texts)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(mass, expected_mass, atol=1e-5)
    assert [reply.choice for reply in replies] == expected.argmax(axis=1).tolist()
    lengths = [len(tiny_tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    assert [reply.prompt_tokens for reply in replies] == lengths and len(set(lengths)) > 10
    assert (mass > 0).all() and (mass <= 1).all() and np.ptp(expected, axis=0).min() > 0.1  # no flat model


def test_what_questions_begin_with_is_read_once_and_changes_no_answer(tiny_llama, captions, asked):
    judge = LocalJudge(tiny_llama, captions, batch_size=8)
    scorer, read = scorer_of(judge, asked), []

    def count(module, arguments, given):
        read.append(int(given["attention_mask"][:, -given["input_ids"].shape[1] :].sum()))

    scorer._model.register_forward_pre_hook(count, with_kwargs=True)
    with_reuse = judge.replies(asked)
    n_read, read[:] = sum(read), []
    scorer.reuses = False
    without = judge.replies(asked)
    np.testing.assert_allclose(told(with_reuse)[0], told(without)[0], atol=1e-5)
    np.testing.assert_allclose(told(with_reuse)[1], told(without)[1], atol=1e-5)
    n_tokens = sum(reply.prompt_tokens for reply in without)
    assert sum(read) == n_tokens and all(reply.cached_tokens == 0 for reply in without)
    assert n_read == n_tokens - sum(reply.cached_tokens for reply in with_reuse) < 0.75 * n_tokens


def test_the_first_stimulus_of_a_run_is_read_once(tiny_llama, tiny_tokenizer, captions):
    ids = list(captions)
    asked = TripletSet([[9, k, k + 1] for k in range(10, 38)], ids=ids)  # no two share their second stimulus
    cached = sorted(reply.cached_tokens for reply in LocalJudge(tiny_llama, captions, batch_size=4).replies(asked))
    beginning = conversation(tiny_tokenizer, captions, asked[:1])[0].partition(captions["s09"][0])[0]
    shared = tiny_tokenizer(beginning + captions["s09"][0], add_special_tokens=False)["input_ids"]
    assert cached == [0] + [len(shared)] * (len(asked) - 1)


def test_long_stimuli_are_read_once_however_short_the_prompt(tiny_llama, tmp_path):
    prompt = tmp_path / "short.j2"
    shown = " ".join(f"{{{{ stimuli[{slot}] }}}} ." for slot in range(3))
    prompt.write_text(f"{{% block turn1 %}}clip {shown}{{% endblock %}}{{% block clarify %}}Again.{{% endblock %}}")
    captions = {f"s{k}": [f"w{k} " * 40] for k in range(9)}
    asked = sample_triplets(list(captions), design="exhaustive", subset=9, seed=0)
    order = np.sort(asked.triplets, axis=1)  # 28 questions begin with s0, 7 of them go on with s1
    for batch_size in (4, 16):
        replies = LocalJudge(tiny_llama, captions, prompt=str(prompt), batch_size=batch_size).replies(
            TripletSet(order, ids=asked.ids)
        )
        share = sum(reply.cached_tokens for reply in replies) / sum(reply.prompt_tokens for reply in replies)
        # Of 84 questions x 3 captions, 84 + 28 + 7 are read: 84 last ones, 28 pairs, 7 first ones.
        assert share == pytest.approx(1 - (84 + 28 + 7) / 252, abs=0.03)


def test_answers_stay_with_their_questions_in_any_order(tiny_llama, captions, asked):
    order = np.random.default_rng(0).permutation(len(asked))
    judge = LocalJudge(tiny_llama, captions, batch_size=7)
    once, other = told(judge.replies(asked))[0], told(judge.replies(asked[order]))[0]
    np.testing.assert_allclose(other, once[order], atol=1e-6)


@pytest.mark.parametrize("family", ["GPT2", "Mistral", "Gemma3", "Mamba"])
def test_families_with_other_attention_or_none_answer_as_in_a_plain_pass(
    offline, tiny_sizes, tiny_tokenizer, save_model, captions, asked, plain, family
):
    keys = {
        "GPT2": ("GPT2LMHeadModel", "GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
        "Mistral": ("MistralForCausalLM", "MistralConfig", {**tiny_sizes, "sliding_window": 24}),
        "Gemma3": ("Gemma3ForCausalLM", "Gemma3TextConfig", {**tiny_sizes, "sliding_window": 512, "head_dim": 8}),
        "Mamba": ("MambaForCausalLM", "MambaConfig", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
    }
    kind, config, sizes = keys[family]
    folder = save_model(kind, getattr(offline, config)(**{"initializer_range": 0.3, **tiny_sizes, **sizes}))
    judge = LocalJudge(folder, captions, batch_size=8)
    probabilities, mass = told(judge.replies(asked))
    expected, expected_mass = plain(folder, conversation(tiny_tokenizer, captions, asked))
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    np.testing.assert_allclose(mass, expected_mass, atol=1e-4)
    reads_once = any(reply.cached_tokens for reply in judge.replies(asked))
    assert reads_once == (family in ("GPT2", "Gemma3"))


def test_labels_of_several_tokens_are_scored_whole(tiny_llama, tiny_tokenizer, captions, asked, plain):
    labels = ("clip One", "clip Two w3", "Three")
    replies = LocalJudge(tiny_llama, captions, labels=labels, batch_size=8).replies(asked)
    expected, expected_mass = plain(tiny_llama, conversation(tiny_tokenizer, captions, asked, labels), labels)
    np.testing.assert_allclose(told(replies)[0], expected, atol=1e-5)
    np.testing.assert_allclose(told(replies)[1], expected_mass, rtol=1e-4)


def test_labels_that_look_alike_to_the_tokenizer_are_refused(tiny_llama, captions, asked):
    with pytest.raises(InputError, match="cannot tell the labels yes no A apart; use other labels"):
        LocalJudge(tiny_llama, captions, labels=("yes", "no", "A")).answer(asked)  # two unknown words


@pytest.mark.parametrize(("written", "lead"), [("assistant:{{ c }}", ""), ("[/INST] {{ c }}</s>", " ")])
def test_labels_are_written_as_the_template_writes_answers(offline, written, lead):
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", label) for label in "ABC"]  # " A" is one token, and "A" another
    vocabulary = {piece: k for k, piece in enumerate([*letters, "ĠA", "ĠB", "ĠC"])}
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = offline.PreTrainedTokenizerFast(tokenizer_object=made)
    opening = written.partition(" ")[0].partition("{{")[0]
    tokenizer.chat_template = (
        "{% for m in messages %}{% set c = m['content'] %}{% if m['role'] == 'assistant' %}"
        + written
        + "{% else %}{{ c }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}"
        + opening
        + "{% endif %}"
    )
    prompt = load_prompt("choice")
    layout = lay_out(tokenizer, prompt, source="model")
    labels = label_tokens(layout.text(["x", "y", "z"]), layout.lead, tokenizer, prompt, source="model")
    assert layout.lead == lead
    assert labels == [(vocabulary[lead.replace(" ", "Ġ") + label],) for label in "ABC"]


def test_a_template_without_system_role_gets_it_in_the_turn(tiny_tokenizer):
    prompt = load_prompt("choice")
    template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }}\n{% endfor %}assistant : "
    )
    layout = lay_out(tiny_tokenizer, prompt, source="model", template=template)
    assert layout.text(["x", "y", "z"]).startswith(f"user : {prompt.system}\n\nThree videos follow.\n\nA: x\n")


def test_a_tokenizer_without_chat_template_gets_plain_text_and_a_warning(
    offline, tiny_sizes, save_model, captions, asked, plain, caplog
):
    folder = save_model("LlamaForCausalLM", offline.LlamaConfig(**tiny_sizes), template=None)
    with caplog.at_level(logging.WARNING):
        probabilities, _ = told(LocalJudge(folder, captions).replies(asked))
    assert "has no chat template: the prompt is put as plain text" in caplog.text
    prompt = load_prompt("choice")
    texts = []
    for row in asked.triplets:
        shown = [captions[asked.ids[k]][0] for k in row]
        said = "".join(shown[part] if isinstance(part, int) else part for part in prompt.turns[0])
        texts.append(f"{prompt.system}\n\n{said}\n\nAnswer:")
    np.testing.assert_allclose(probabilities, plain(folder, texts)[0], atol=1e-5)


@pytest.fixture(scope="module")
def undecided(offline, tiny_sizes, save_model):
    """A model to which all words are alike."""
    import torch

    folder = save_model("LlamaForCausalLM", offline.LlamaConfig(**tiny_sizes))
    model = offline.AutoModelForCausalLM.from_pretrained(folder)
    torch.nn.init.zeros_(model.lm_head.weight)
    model.save_pretrained(folder)
    return folder


def test_ties_are_broken_by_seed_and_stimuli_not_by_slot(undecided, captions):
    ids = list(captions)
    orders = TripletSet([list(order) for order in permutations([3, 8, 21])], ids=ids)
    judge = LocalJudge(undecided, captions, batch_size=64)
    np.testing.assert_allclose(told(judge.replies(orders))[0], 1 / 3)
    odd = orders.triplets[np.arange(6), judge.answer(orders).choice]
    assert len(set(odd.tolist())) == 1
    many = sample_triplets(ids, 600, seed=1)
    choice = judge.answer(many).choice
    assert chisquare(np.bincount(choice, minlength=3)).pvalue > 1e-3
    other = LocalJudge(undecided, captions, batch_size=64, seed=1).answer(many).choice
    assert (choice == other).mean() == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 600))


def test_drawn_choices_follow_the_probabilities(tiny_llama, captions, same_question):
    times = 1500
    asked = same_question(list(captions), times, slots=(1, 7, 30))
    replies = LocalJudge(tiny_llama, captions, decision="sample", batch_size=256).replies(asked)
    shares = np.bincount([reply.choice for reply in replies], minlength=3) / times
    expected = np.array(replies[0].probabilities)
    assert (np.abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / times) + 1e-9).all()


def test_a_judge_is_pickled_without_its_weights(tiny_llama, captions, asked):
    judge = LocalJudge(tiny_llama, captions)
    fresh = len(pickle.dumps(judge))
    replies = judge.replies(asked)
    packed = pickle.dumps(judge)
    assert len(packed) < fresh + 2000  # the name of the model and the texts, no tensors
    np.testing.assert_array_equal(told(pickle.loads(packed).replies(asked))[0], told(replies)[0])


def test_a_description_holds_what_decides_answers_and_nothing_else(tiny_llama, captions):
    described = dict(LocalJudge(tiny_llama, captions).describe())
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert described["model"].startswith("folder:") and tiny_llama not in json.dumps(described)
    same = LocalJudge(tiny_llama, dict(reversed(captions.items())), batch_size=3, device="cpu").describe()
    assert same == described
    for other in ({"labels": ("1", "2", "3")}, {"decision": "sample"}, {"noun": "clip"}, {"captions": {"a": ["w1"]}}):
        assert LocalJudge(**{"model": tiny_llama, "captions": captions, **other}).describe() != described


def test_replies_say_which_model_and_how_long(tiny_llama, captions, asked):
    replies = LocalJudge(tiny_llama, captions).replies(asked)
    assert len({reply.model for reply in replies}) == 1 and replies[0].model.startswith("folder:")
    assert all(0 < reply.latency < 5 and reply.failure is None and reply.attempts == 1 for reply in replies)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(tiny_llama, captions, asked, caplog):
    import torch

    expected = told(LocalJudge(tiny_llama, captions).replies(asked))[0]
    judge = LocalJudge(tiny_llama, captions, batch_size=32)
    scorer = scorer_of(judge, asked)
    most = [5]

    def too_large(module, arguments, given):
        if len(given["input_ids"]) > most[0]:
            raise torch.cuda.OutOfMemoryError("out of memory")

    scorer._model.register_forward_pre_hook(too_large, with_kwargs=True)
    with caplog.at_level(logging.WARNING):
        probabilities, _ = told(judge.replies(asked))
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert scorer.batch_size == 4 and "going on with a batch size of 4" in caplog.text
    most[0] = 0
    with pytest.raises(EnvironmentFailure, match="too little memory for one question; use a smaller model"):
        judge.replies(asked)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"captions": {}}, "the judge has no captions to show; give it captions"),
        ({"show": "frames"}, "the judge has no videos to show; give it videos"),
        ({"captions": {"a": "one text"}}, "the captions of 'a' are one text; give a list of texts"),
        ({"prompt": "paper-video"}, "'paper-video' has 2 turns.*use a prompt of one turn, such as choice"),
        ({"show": "words"}, "show='words' is unknown; choose one of captions, frames"),
        ({"decision": "best"}, "decision='best' is unknown; choose one of argmax, sample"),
        ({"dtype": "int8"}, "dtype='int8' is unknown; choose one of auto, float32"),
        ({"batch_size": 0}, "batch_size=0 is no whole number of at least 1"),
        ({"captions_per_stimulus": 1.5}, "captions_per_stimulus=1.5 is no whole number"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_a_model_is_loaded(given, message):
    with pytest.raises(InputError, match=message):
        LocalJudge(**{"model": "nowhere/no-model", "captions": {"a": ["w1"]}, **given})


def test_stimuli_without_caption_are_named(tiny_llama, captions, asked):
    with pytest.raises(InputError, match=r"1 stimuli have no caption \(s09\); add one or leave them out"):
        LocalJudge(tiny_llama, {**captions, "s09": ["  ", ""]}).answer(TripletSet([[9, 1, 2]], ids=asked.ids))
    with pytest.raises(InputError, match=r"the judge's captions: 2 of 3 stimuli are not in it \(s01, s02\)"):
        LocalJudge(tiny_llama, {"s00": ["w1"]}).answer(TripletSet([[0, 1, 2]], ids=asked.ids))


def test_the_first_captions_are_shown_together_on_one_line(tiny_llama, captions, asked):
    several = {name: [" ", f"w1\n  {texts[0]}", "w2", "w3"] for name, texts in captions.items()}
    joined = {name: [f"w1 {texts[0]} w2"] for name, texts in captions.items()}
    once = told(LocalJudge(tiny_llama, several, captions_per_stimulus=2).replies(asked))[0]
    np.testing.assert_array_equal(once, told(LocalJudge(tiny_llama, joined).replies(asked))[0])


def test_a_question_longer_than_the_context_is_named(tiny_llama, captions, asked):
    long = {**captions, "s02": ["w1 " * 300]}
    with pytest.raises(InputError, match=r"the question about s00, s01, s02 has \d+ tokens and the model reads 256"):
        LocalJudge(tiny_llama, long).answer(TripletSet([[0, 1, 2]], ids=asked.ids))


def test_models_that_are_not_there_are_said_in_a_sentence(offline, captions, asked, tmp_path):
    for model, kind, message in (
        (tmp_path / "none", InputError, "there is no such model folder; correct the path or give a hub id"),
        (tmp_path, InputError, "is no transformers model; give the folder with config.json"),
        ("nobody/no-such-model", EnvironmentFailure, "the model cannot be loaded .*; check the name and the network"),
    ):
        with pytest.raises(kind, match=message):
            LocalJudge(str(model), captions).answer(asked)


def test_a_folder_that_lacks_its_weights_is_said_in_a_sentence(tiny_llama, captions, asked, tmp_path):
    from pathlib import Path

    for file in Path(tiny_llama).iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=r"the model cannot be loaded .*; complete its folder"):
        LocalJudge(str(tmp_path), captions).answer(asked)


def test_a_language_model_cannot_look_at_frames(tiny_llama, asked):
    with pytest.raises(InputError, match="models of the kind 'llama' do not answer questions of this sort"):
        LocalJudge(tiny_llama, videos=dict.fromkeys(asked.ids, "v.mp4"), show="frames").answer(asked)


def test_devices_that_are_not_there_are_said_in_a_sentence(tiny_llama, captions, asked):
    with pytest.raises(InputError, match="there is no device called 'gpu'; give cpu, cuda"):
        LocalJudge(tiny_llama, captions, device="gpu").answer(asked)


def test_a_missing_library_says_what_to_install(captions, asked, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EnvironmentFailure, match=r'pip install "affectome\[local\]"'):
        LocalJudge("any/model", captions).answer(asked)
