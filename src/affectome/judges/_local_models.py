"""Loads a model of transformers and says how it reads questions."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome.errors import EnvironmentFailure, InputError
from affectome.judges._local_clips import VIDEO_MODELS, ClipReader, ImageScorer, check_length
from affectome.judges._local_layout import Key, Renderer, label_tokens, lay_out
from affectome.judges._local_scores import LabelScorer, Scored
from affectome.judges._prompts import Prompt

logger = logging.getLogger(__name__)

__all__ = ["Reading", "Weights", "read_captions", "read_frames"]

Tell = Callable[[int], None]


@dataclass(frozen=True)
class Weights:
    """Which model, and where and how it runs."""

    model: str
    device: str | None
    dtype: str
    trust_remote_code: bool
    batch_size: int


@dataclass(frozen=True, eq=False)
class Reading:
    """A model that is ready to be asked.

    Attributes
    ----------
    order : three int
        The slots in the order in which the prompt shows them.
    score
        Stimuli of some questions, in that order, to their scores.
    """

    order: tuple[int, ...]
    score: Callable[[Sequence[Key], Tell], list[Scored]]


def read_captions(weights: Weights, prompt: Prompt, captions: Callable[[str], str], sample: Key) -> Reading:
    """A causal model, or an image-text one shown no image, that reads texts; `sample` is any three stimuli."""
    import transformers as library

    tokenizer = _loaded(library.AutoTokenizer, weights)
    model = _model(library, ("AutoModelForCausalLM", "AutoModelForImageTextToText"), weights)
    layout = lay_out(tokenizer, prompt, source=weights.model)
    return _reading(weights, model, tokenizer, prompt, Renderer(tokenizer, layout, captions), None, sample)


def read_frames(
    weights: Weights, prompt: Prompt, frames: Callable[[str], NDArray[np.uint8]], n_frames: int, sample: Key
) -> Reading:
    """An image-text model that sees frames: as video where its family is known, else as images."""
    import transformers as library

    model = _model(library, ("AutoModelForImageTextToText",), weights)
    if model.config.model_type in VIDEO_MODELS:
        tokenizer = _loaded(library.AutoTokenizer, weights)
        clips = ClipReader(model, _loaded(library.AutoImageProcessor, weights), frames)
        token = tokenizer.convert_ids_to_tokens(model.config.video_token_id)
        layout = lay_out(tokenizer, prompt, source=weights.model, parts=[{"type": "video"}], marker=token)
        renderer = Renderer(tokenizer, layout, lambda name: token * clips.length(name), clips.positions)
        return _reading(weights, model, tokenizer, prompt, renderer, clips, sample)
    processor = _loaded(library.AutoProcessor, weights)
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "left"
    template = getattr(processor, "chat_template", None)
    parts = [{"type": "image"}] * n_frames
    layout = lay_out(tokenizer, prompt, source=weights.model, template=template, parts=parts)
    labels = label_tokens(layout.whole, layout.lead, tokenizer, prompt, source=weights.model)
    scorer = ImageScorer(
        model,
        processor,
        layout.whole,
        labels,
        frames,
        batch_size=weights.batch_size,
        longest=_context(model),
        source=weights.model,
    )
    return Reading(layout.order, scorer.score)


def _reading(
    weights: Weights,
    model: Any,
    tokenizer: Any,
    prompt: Prompt,
    renderer: Renderer,
    clips: ClipReader | None,
    sample: Key,
) -> Reading:
    """Reading with shared beginnings."""
    layout = renderer.layout
    labels = label_tokens(renderer.text(sample), layout.lead, tokenizer, prompt, source=weights.model)
    pad = next((t for t in (tokenizer.pad_token_id, tokenizer.eos_token_id) if t is not None), 0)
    scorer = LabelScorer(
        model, labels, batch_size=weights.batch_size, pad=pad, embed=None if clips is None else clips.embed
    )
    longest = _context(model)

    def score(keys: Sequence[Key], tell: Tell) -> list[Scored]:
        questions = renderer.render(keys)
        for question in questions:
            check_length(question.key, len(question) + max(map(len, labels)) - 1, longest, weights.model)
        return scorer.score(questions, tell)

    return Reading(layout.order, score)


def _model(library: Any, kinds: Sequence[str], weights: Weights) -> Any:
    """The model in evaluation mode on its device, of the first kind that its configuration has."""
    import torch

    config = _loaded(library.AutoConfig, weights)
    name = _device(weights.device)
    given: dict[str, Any] = {"dtype": _dtype(weights.dtype)}
    if name.startswith("cuda") and library.utils.is_accelerate_available():
        given["device_map"] = {"": name}  # weights go to the device as they are read
    for kind in kinds:
        auto = getattr(library, kind)
        remote = weights.trust_remote_code and kind in (getattr(config, "auto_map", None) or {})
        if remote or type(config) in auto._model_mapping:
            break
    else:
        raise InputError(
            f"models of the kind '{config.model_type}' do not answer questions of this sort",
            source=weights.model,
            remedy="give a causal language model for captions, or an image-text model for frames",
        )
    model = _loaded(auto, weights, **given)
    try:
        model = model.to(torch.device(name))
    except torch.cuda.OutOfMemoryError as error:
        raise EnvironmentFailure(
            f"the model does not fit into the memory of {name}",
            source=weights.model,
            remedy="use a smaller model, dtype='bfloat16' or another device",
        ) from error
    return model.eval()


def _loaded(auto: Any, weights: Weights, **given: Any) -> Any:
    """``auto.from_pretrained``, with what can go wrong said in plain sentences."""
    model = weights.model
    folder = Path(model).expanduser()
    looks_like_path = model.startswith((".", "~", os.sep)) or folder.is_absolute()
    if looks_like_path and not folder.is_dir():
        raise InputError("there is no such model folder", source=model, remedy="correct the path or give a hub id")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise InputError("is no transformers model", source=model, remedy="give the folder with config.json")
    name = str(folder) if folder.is_dir() else model
    try:
        return auto.from_pretrained(name, trust_remote_code=weights.trust_remote_code, **given)
    except ImportError as error:
        raise EnvironmentFailure(
            f"the model needs a library that is not installed ({_reason(error)})", source=model, remedy="install it"
        ) from error
    except OSError as error:
        if folder.is_dir():
            raise InputError(
                f"the model cannot be loaded ({_reason(error)})", source=model, remedy="complete its folder"
            ) from error
        raise EnvironmentFailure(
            f"the model cannot be loaded ({_reason(error)})",
            source=model,
            remedy="check the name and the network, or download the model and give its folder",
        ) from error
    except (ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"the model cannot be used ({_reason(error)})",
            source=model,
            remedy="give another model, or trust_remote_code=True if you trust the code that comes with it",
        ) from error


def _reason(error: Exception) -> str:
    """The first line of what a library said."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _device(name: str | None) -> str:
    """A device that is there."""
    import torch

    if name is None:
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise InputError(
            f"there is no device called '{name}'", source="device", remedy="give cpu, cuda, cuda:1 or mps"
        ) from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise EnvironmentFailure(
            "torch finds no CUDA device", source=f"device {name}", remedy="use device='cpu' or mend the installation"
        )
    return f"{name}:0" if name == "cuda" else name


def _dtype(name: str) -> Any:
    import torch

    return "auto" if name == "auto" else getattr(torch, name)


def _context(model: Any) -> int | None:
    """Tokens that the model reads, where its configuration says."""
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(longest) if longest else None
