"""Real servers, and tiny models made on the spot for them to serve."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

#: Words of the listening model, and how much each moves it; no two stimuli share one.
EMOTIONS = [
    "numb",
    "calm",
    "bored",
    "content",
    "tender",
    "amused",
    "wistful",
    "moved",
    "proud",
    "curious",
    "eager",
    "tense",
    "glad",
    "uneasy",
    "sad",
    "annoyed",
    "joyful",
    "startled",
    "disgusted",
    "angry",
    "grieving",
    "ecstatic",
    "furious",
    "terrified",
]
MUTE = "unspeakable"  # a caption with this word leaves the model without a label to say
SHRUG = "perhaps"


def _salience(word):
    return 0.3 + 0.7 * EMOTIONS.index(word) / (len(EMOTIONS) - 1)


@pytest.fixture
def emotions():
    return list(EMOTIONS)


@pytest.fixture
def salience():
    """Score of an emotion word; the model calls the stimulus with the highest the odd one out."""
    return _salience


@pytest.fixture
def mute():
    return MUTE


@pytest.fixture
def shrug():
    return SHRUG


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="needs affectome[local]")


@pytest.fixture(scope="session")
def tokenizer(torch):
    """One token per word; everything that is no label, emotion or speaker is unknown to it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    speakers = ["<system>", "<user>", "<assistant>"]
    words = ["<unk>", "</s>", *speakers, "A", "B", "C", SHRUG, MUTE, *EMOTIONS]
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="<unk>",
        eos_token="</s>",
        pad_token="</s>",
        additional_special_tokens=speakers,
    )
    made.chat_template = (
        "{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }} {% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    return made


def _llama(torch, tokenizer):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    end = tokenizer.eos_token_id
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=1024,
            rope_parameters={"rope_type": "default", "rope_theta": 1e8},
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=end,
        )
    )


@pytest.fixture(scope="session")
def untrained_llama(torch, tokenizer, tmp_path_factory):
    """Folder of a Llama with random weights, which says whatever it says."""
    folder = tmp_path_factory.mktemp("untrained")
    _llama(torch, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def listening_llama(torch, tokenizer, tmp_path_factory):
    """Folder of a Llama whose weights are set by hand: it says the label of the stimulus with the most salient word.

    Layer 1: every token looks at the labels before it. What it gets is (1, 0, 0) below the first label,
    (1/2, 1/2, 0) below the second, (1/3, 1/3, 1/3) below the third, and so tells its slot. Layer 2: the last
    token looks at the most salient word and takes over its slot; the head says the label whose point is nearest.
    After a label it ends.
    """
    model = _llama(torch, tokenizer)
    number = tokenizer.convert_tokens_to_ids
    CONSTANT, IS_LABEL, SALIENCE, ASKED, MUTED, SAID, REST = 0, 4, 5, 6, 7, 15, 16
    LABELS, SLOT, HEARD = slice(1, 4), slice(8, 11), slice(11, 15)
    still = 7  # of a head's 16 dimensions the one that rotary positions turn least
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.zero_()
        words = model.model.embed_tokens.weight
        words[:, CONSTANT] = 1
        for slot, label in enumerate("ABC"):
            words[number(label), [1 + slot, IS_LABEL, SAID]] = 1
        for word in EMOTIONS:
            words[number(word), SALIENCE] = _salience(word)
        words[number(MUTE), SALIENCE] = 1.2
        words[number(MUTE), MUTED] = 1
        words[number(SHRUG), SAID] = 1
        words[number("<assistant>"), ASKED] = 1
        words[:, REST] = (words.shape[1] - words.square().sum(1)).sqrt()  # the norm before a layer changes nothing

        one, two = (layer.self_attn for layer in model.model.layers)
        one.q_proj.weight[still, CONSTANT] = two.q_proj.weight[still, CONSTANT] = 40
        one.k_proj.weight[still, IS_LABEL] = 4
        one.v_proj.weight[:3, LABELS] = one.o_proj.weight[SLOT, :3] = torch.eye(3)
        two.k_proj.weight[still, SALIENCE] = 10
        two.v_proj.weight[:3, SLOT] = torch.eye(3)
        two.v_proj.weight[3, MUTED] = 1
        two.o_proj.weight[HEARD, :4] = torch.eye(4)

        head = model.lm_head.weight
        for slot, label in enumerate("ABC"):
            point = torch.tensor([1.0] * (slot + 1) + [0.0] * (2 - slot)) / (slot + 1)
            head[number(label), HEARD.start : HEARD.start + 3] = 80 * point
            head[number(label), CONSTANT] = -40 * point.square().sum()
            head[number(label), ASKED] = 50
        head[number(SHRUG), HEARD.stop - 1] = 200
        head[number(SHRUG), CONSTANT] = -50
        head[number("</s>"), SAID] = 400
    folder = tmp_path_factory.mktemp("listening")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(command, log, *, patience_s, environment=()):
    """Run a server in a process group of its own until the end of the block; gives its address."""
    port = _free_port()
    settings = {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **dict(environment),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **settings},
        )
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/health", process, log, patience_s)
            yield f"http://127.0.0.1:{port}"
        finally:
            _end(process)


def _wait_until_ready(url, process, log, patience_s):
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"no server after {patience_s} s:\n{log.read_text(errors='replace')[-3000:]}")


def _end(process):
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
            return


@pytest.fixture(scope="session")
def transformers_serve(torch, tmp_path_factory):
    """Address of a `transformers serve` that loads whatever folder a request names as its model."""
    for package in ("transformers", "fastapi", "uvicorn", "openai", "accelerate"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"transformers serve needs {package}, which affectome[dev,local] installs")
    command = [Path(sys.executable).with_name("transformers"), "serve", "--device", "cpu"]
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    with serving(command, log, patience_s=120, environment={"OMP_NUM_THREADS": "1"}) as address:
        yield f"{address}/v1"


#: PyPI's torchvision looks up two operators at import that a torch for CPUs does not bring.
SITE = """
import importlib.util

if importlib.util.find_spec("torch") is not None:
    import torch

    operators = torch.library.Library("torchvision", "DEF")
    operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


@pytest.fixture(scope="session")
def torchvision_operators(torch):
    """What vLLM's process gets from its sitecustomize, for this one; without vLLM there is no need of it."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("needs a vLLM, see make test-serving")
    kept = {}
    exec(SITE, kept)
    return kept


@pytest.fixture(scope="session")
def qwen(torch, torchvision_operators, tmp_path_factory):
    """Folder of a Qwen2-VL with two random layers, of the sizes that vLLM's CPU kernels take (head dimension 64)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    from affectome.judges import load_prompt

    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    marks += ["<|image_pad|>", "<|video_pad|>"]
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, initial_alphabet=alphabet, special_tokens=marks, show_progress=False)
    pieces.train_from_iterator([load_prompt(name).source for name in ("choice", "paper-video")], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces, eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=marks[1:]
    )
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{% if message['content'] is string %}{{ message['content'] }}"
        "{% else %}{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
        "{% else %}<|vision_start|><|{{ 'video' if 'video' in part['type'] else 'image' }}_pad|><|vision_end|>"
        "{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    number = {mark: tokenizer.convert_tokens_to_ids(mark) for mark in marks}
    torch.manual_seed(0)
    model = Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(
            text_config={
                "vocab_size": len(tokenizer),
                "hidden_size": 128,
                "intermediate_size": 256,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "max_position_embeddings": 8192,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]},
                "bos_token_id": number["<|endoftext|>"],
                "eos_token_id": number["<|im_end|>"],
                "pad_token_id": number["<|endoftext|>"],
            },
            vision_config={"depth": 2, "embed_dim": 128, "num_heads": 2, "hidden_size": 128, "mlp_ratio": 2},
            image_token_id=number["<|image_pad|>"],
            video_token_id=number["<|video_pad|>"],
            vision_start_token_id=number["<|vision_start|>"],
            vision_end_token_id=number["<|vision_end|>"],
            tie_word_embeddings=False,
        )
    )
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(0, 0.12)  # large enough that the answer depends on the clips
    folder = tmp_path_factory.mktemp("qwen")
    model.save_pretrained(folder)
    size = {"min_pixels": 56 * 56, "max_pixels": 112 * 112}
    Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(**size),
        video_processor=Qwen2VLVideoProcessor(**size),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vllm(qwen, tmp_path_factory):
    """Address of a vLLM that serves the tiny Qwen2-VL as `tiny`, with room for about five prompts and eight clips."""
    folder = tmp_path_factory.mktemp("vllm")
    (folder / "sitecustomize.py").write_text(SITE)
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(qwen)]
    command += ["--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager", "--max-num-seqs", "4"]
    command += ["--max-model-len", "1024", "--block-size", "32", "--num-gpu-blocks-override", "48"]
    command += ["--limit-mm-per-prompt", '{"image": 24, "video": 3}', "--mm-processor-cache-gb", "0.0025"]
    command += ["--enable-prompt-tokens-details"]
    environment = {"PYTHONPATH": str(folder), "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    threads = os.environ.get("OMP_NUM_THREADS", "2")
    with serving(
        command, folder / "log.txt", patience_s=300, environment={**environment, "OMP_NUM_THREADS": threads}
    ) as address:
        yield f"{address}/v1"


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Twelve clips of two seconds, each of moving blocks in colours of its own."""
    av = pytest.importorskip("av", reason="needs affectome[video]")
    folder, side = tmp_path_factory.mktemp("clips"), 112
    paths = {}
    for number in range(12):
        blocks = np.random.default_rng(number).integers(0, 255, (4, 4, 3)).astype(np.uint8)
        paths[f"clip{number:02d}"] = path = folder / f"clip{number:02d}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=8)
            stream.width = stream.height = side
            stream.pix_fmt = "yuv420p"
            for step in range(16):
                picture = np.kron(np.roll(blocks, step // 4, axis=0), np.ones((side // 4, side // 4, 1), np.uint8))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode(None))
    return paths
