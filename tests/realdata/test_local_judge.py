"""Real captions through a model in this process: an untrained one answers every question, and its slot bias is seen."""

import numpy as np
import pytest

from affectome.collection import debias, estimate_slot_prior, slot_bias
from affectome.judges import LocalJudge, ask, load_prompt
from affectome.stimuli import load_mind_captioning
from affectome.triplets import sample_triplets

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def captions(data):
    return load_mind_captioning(data / "mind_captioning/caption_ck20.csv")


@pytest.fixture(scope="module")
def model(captions, tmp_path_factory):
    """Folder of a Llama of random weights with a byte-level tokenizer trained on the captions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        torch = pytest.importorskip("torch", reason="needs affectome[local]")
        transformers = pytest.importorskip("transformers", reason="needs affectome[local]")
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        marks = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=4000, special_tokens=marks, initial_alphabet=alphabet, show_progress=False
        )
        made.train_from_iterator((text for group in captions.values() for text in group), trainer)
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token=marks[0], eos_token=marks[2])
        tokenizer.chat_template = TEMPLATE
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            initializer_range=0.1,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
        folder = tmp_path_factory.mktemp("llama")
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        yield str(folder)


def test_real_captions_are_answered_as_in_a_plain_forward_pass(model, captions):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    questions = sample_triplets(list(captions), 500, seed=0)
    replies = LocalJudge(model, captions).replies(questions)
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    labels = tokenizer.convert_tokens_to_ids(["A", "B", "C"])
    prompt = load_prompt("choice")
    for number in range(0, 500, 25):
        shown = [" ".join(captions[questions.ids[k]][0].split()) for k in questions.triplets[number]]
        said = "".join(shown[part] if isinstance(part, int) else part for part in prompt.turns[0])
        text = f"<|im_start|>system\n{prompt.system}<|im_end|>\n<|im_start|>user\n{said}<|im_end|>\n"
        ids = tokenizer(f"{text}<|im_start|>assistant\n", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            chosen = plain(ids).logits[0, -1].softmax(-1)[labels].numpy().astype(float)
        np.testing.assert_allclose(replies[number].probabilities, chosen / chosen.sum(), atol=1e-5)
        assert replies[number].mass == pytest.approx(chosen.sum(), rel=1e-4)
        assert replies[number].prompt_tokens == ids.shape[1]
    assert 100 < np.mean([reply.prompt_tokens for reply in replies]) < 250


def test_an_untrained_model_prefers_slots_and_the_prior_takes_that_out(model, captions):
    questions = sample_triplets(list(captions), 500, seed=1, orders=6, orders_share=0.2)
    answered = ask(LocalJudge(model, captions, decision="sample", batch_size=64), questions)
    before = slot_bias(answered)
    prior = estimate_slot_prior(answered, seed=0)
    after = answered.probabilities / prior.prior
    after /= after.sum(axis=1, keepdims=True)
    assert before.p_value < 1e-3
    assert np.ptp(after.mean(axis=0)) < np.ptp(answered.probabilities.mean(axis=0)) / 3
    np.testing.assert_allclose(debias(answered, prior).probabilities, after, atol=1e-6)
