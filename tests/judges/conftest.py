import re

import numpy as np
import pandas as pd
import pytest

from affectome.judges import load_prompt
from affectome.triplets import TripletSet, sample_triplets

MARKS = ["[PAD]", "[UNK]", "<s>", "</s>", "<image>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"]
#: A turn as "role : text", images and videos as the Qwen family marks them.
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }} : "
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'image' %}<image>"
    "{% else %}<|vision_start|><|video_pad|><|vision_end|>{% endif %}{% endfor %}{% endif %}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant : {% endif %}"
)
#: Sizes of a language model of a few thousand weights, far enough from zero that its answers differ.
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.4,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}


@pytest.fixture(scope="session")
def space():
    """Thirty stimuli with six features of unlike scale."""
    values = np.random.default_rng(0).normal([0, 1, -2, 1, 0, 0], [1, 0.2, 2, 1, 3, 1], (30, 6)).astype(np.float32)
    return pd.DataFrame(values, index=pd.Index([f"s{k:02d}" for k in range(30)], name="id"), columns=list("uvwxyz"))


@pytest.fixture(scope="session")
def questions(space):
    """A thousand different triplets of the space, each asked twice."""
    return sample_triplets(space.index, 1000, design="repeated", repeats=2, seed=0)


@pytest.fixture(scope="session")
def same_question():
    """One triplet of the stimuli of a space, asked many times in the same slots."""

    def repeat(ids, times, slots=(0, 1, 2)):
        return TripletSet(np.tile(slots, (times, 1)), ids=ids)

    return repeat


@pytest.fixture(scope="session")
def offline():
    """Torch and transformers without network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        pytest.importorskip("torch", reason="needs affectome[local]")
        module = pytest.importorskip("transformers", reason="needs affectome[local]")
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield module


@pytest.fixture(scope="session")
def tiny_tokenizer(offline):
    """One token a word: the words of the prompts, labels, w0 .. w39."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    prompt = load_prompt("choice")
    said = [prompt.system, *(part for part in prompt.turns[0] if isinstance(part, str)), "system : user assistant"]
    words = sorted(set(re.findall(r"\w+|[^\w\s]+", " ".join([*said, "A B C One Two Three clip"]))))
    words = [*MARKS, *words, *(f"w{k}" for k in range(40))]
    made = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = offline.PreTrainedTokenizerFast(tokenizer_object=made, additional_special_tokens=MARKS[4:], **names)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


@pytest.fixture(scope="session")
def save_model(offline, tiny_tokenizer, tmp_path_factory):
    """Save a model of random weights with the tiny tokenizer and return its folder."""
    import torch

    def save(kind, config, *parts, template=TEMPLATE):
        torch.manual_seed(3)
        folder = tmp_path_factory.mktemp("model")
        getattr(offline, kind)(config).eval().save_pretrained(folder)
        tiny_tokenizer.chat_template = template
        for part in (tiny_tokenizer, *parts):
            part.save_pretrained(folder)
        tiny_tokenizer.chat_template = TEMPLATE
        return str(folder)

    return save


@pytest.fixture(scope="session")
def tiny_llama(offline, tiny_sizes, save_model):
    """Folder of a Llama of random weights."""
    return save_model("LlamaForCausalLM", offline.LlamaConfig(**tiny_sizes))


@pytest.fixture(scope="session")
def tiny_sizes(tiny_tokenizer):
    """Keys of the configuration of a tiny language model."""
    return {"vocab_size": len(tiny_tokenizer), **TINY}
