"""Clips for a model in this process: as video for the Qwen-VL family, as images for all others."""

from __future__ import annotations

import inspect
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.judges._local_layout import Key
from affectome.judges._local_scores import Held, Scored, halving

__all__ = ["VIDEO_MODELS", "ClipReader", "ImageScorer"]

#: Models whose clips are read as video, each once, with the keys and values of shared beginnings reused.
VIDEO_MODELS = ("qwen2_vl", "qwen2_5_vl")

#: Bytes of clips kept in memory, as the vision tower left them or as frames; the one not used for longest goes first.
KEPT_BYTES = 2 * 2**30

Frames = Callable[[str], NDArray[np.uint8]]


class Kept:
    """Arrays by name within a bound of memory; the least recently used goes first."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, name: str) -> Any:
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        made = self._kept[name] = self._make(name)
        self._bytes += made.nbytes
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= gone.nbytes
        return made


class ClipReader:
    """The clips of a Qwen-VL model: how many tokens each takes, where these stand, and their input vectors.

    Each clip goes through the vision tower once, as long as it is kept. Frames are resized and normalised one by one by
    the model's image processor; `temporal_patch_size` of them (two) then make one step in time, as in the model's
    own video processor.

    Parameters
    ----------
    model, image_processor
        Of the Qwen-VL family.
    frames
        Gives the frames of a stimulus, uint8 of shape (n_frames, height, width, 3).
    """

    def __init__(self, model: Any, image_processor: Any, frames: Frames) -> None:
        self._model = model
        self._processor = image_processor
        self._frames = frames
        self._token = int(model.config.video_token_id)
        self._grids: dict[str, tuple[int, int, int]] = {}
        self._vectors = Kept(self._encode)

    def length(self, name: str) -> int:
        """Tokens that a clip takes."""
        if name not in self._grids:
            self._vectors[name]
        return int(np.prod(self._grids[name])) // int(self._processor.merge_size) ** 2

    def positions(self, tokens: NDArray[np.int64], key: Key) -> NDArray[np.int64]:
        """Time, height and width of each token, shape (3, length), by the model's own rule."""
        import torch

        rule = self._model.model.get_rope_index
        given = {
            "input_ids": torch.from_numpy(tokens)[None],
            "mm_token_type_ids": torch.from_numpy(np.where(tokens == self._token, 2, 0))[None],
            "video_grid_thw": torch.tensor([self._grids[name] for name in key]),
            "attention_mask": torch.ones(1, len(tokens), dtype=torch.long),
        }
        taken = inspect.signature(rule).parameters
        places: NDArray[np.int64] = rule(**{k: v for k, v in given.items() if k in taken})[0][:, 0].numpy()
        return places

    def embed(self, tokens: Any, held: Sequence[Held]) -> Any:
        """Input vectors (rows, width, hidden): of the text by the model's table, of clips by its vision tower."""
        import torch

        vectors = self._model.get_input_embeddings()(tokens)
        for row, (question, start, end, column) in enumerate(held):
            places = np.flatnonzero(question.tokens == self._token)
            for name in question.key:
                mine, places = np.split(places, [self.length(name)])
                if start <= mine[0] < end:  # a beginning ends before a clip or after it
                    where = torch.from_numpy(mine - start + column).to(vectors.device)
                    vectors[row, where] = self._vectors[name].to(vectors)
        return vectors

    def _encode(self, name: str) -> Any:
        """Vectors of a clip, shape (tokens, hidden), in main memory."""
        import torch

        patches, self._grids[name] = self._patches(self._frames(name))
        with torch.inference_mode():
            pixels = torch.from_numpy(patches).to(self._model.device, self._model.dtype)
            grid = torch.tensor([self._grids[name]], device=self._model.device)
            made = self._model.get_video_features(pixels, grid)
            return torch.cat(list(getattr(made, "pooler_output", made))).cpu()

    def _patches(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
        """Patches (steps x height x width, channels x frames in a step x pixels), and the grid (steps, height, width).

        The image processor repeats an image to fill a step in time; of each frame's repeats the one is taken that
        stands where the frame does.
        """
        made = self._processor(images=list(frames), return_tensors="np")
        _, height, width = (int(size) for size in made["image_grid_thw"][0])
        step, pixels = int(self._processor.temporal_patch_size), int(self._processor.patch_size) ** 2
        images = np.asarray(made["pixel_values"], np.float32).reshape(len(frames), height * width, 3, step, pixels)
        lacking = -len(frames) % step
        images = np.concatenate([images, np.repeat(images[-1:], lacking, axis=0)])
        filled = np.stack([images[place::step, :, :, place] for place in range(step)], axis=3)
        return filled.reshape(-1, 3 * step * pixels), (len(images) // step, height, width)


class ImageScorer:
    """Label log-probabilities of an image-text model of any family, each frame shown as an image.

    Every question is read in full: how a family places its images is known to its own processor and forward alone.

    Parameters
    ----------
    model, processor
        A model and its processor.
    text
        The prompt, laid out, with the model's marks for the images.
    labels
        Tokens of the three labels, one each.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        text: str,
        labels: Sequence[tuple[int, ...]],
        frames: Frames,
        *,
        batch_size: int,
        longest: int | None,
        source: str,
    ) -> None:
        if any(len(label) > 1 for label in labels):
            raise InputError(
                "a label takes more than one token of this model, and its family is read with frames as images",
                source=source,
                remedy="use labels such as A, B and C",
            )
        self.batch_size = batch_size
        self._model = model
        self._processor = processor
        self._text = text
        self._labels = [label[0] for label in labels]
        self._frames = Kept(frames)
        self._longest = longest
        self._source = source

    def score(self, keys: Sequence[Key], tell: Callable[[int], None]) -> list[Scored]:
        """Scores in the order of the questions."""
        found: list[Scored] = []

        def read() -> None:
            while len(found) < len(keys):
                found.extend(self._read(keys[len(found) : len(found) + self.batch_size]))
                tell(len(found))

        halving(self, read)
        return found

    def _read(self, keys: Sequence[Key]) -> list[Scored]:
        import torch

        started = time.perf_counter()
        images = [[frame for name in key for frame in self._frames[name]] for key in keys]
        given = self._processor(text=[self._text] * len(keys), images=images, padding=True, return_tensors="pt")
        lengths = given["attention_mask"].sum(1).tolist()
        for key, length in zip(keys, lengths, strict=True):
            check_length(key, length, self._longest, self._source)
        moved = {
            name: value.to(self._model.device, self._model.dtype if value.is_floating_point() else None)
            for name, value in given.items()
        }
        with torch.inference_mode():
            logits = self._model(**moved, use_cache=False, logits_to_keep=1).logits[:, -1]
            chosen = logits.float().log_softmax(-1)[:, self._labels].cpu().tolist()
        seconds = (time.perf_counter() - started) / len(keys)
        return [Scored((a, b, c), int(n), 0, seconds) for (a, b, c), n in zip(chosen, lengths, strict=True)]


def check_length(key: Key, length: int, longest: int | None, source: str) -> None:
    """Refuse a question that is longer than the model's context."""
    if longest is not None and length > longest:
        raise InputError(
            f"the question about {', '.join(key)} has {length:,} tokens and the model reads {longest:,}",
            source=source,
            remedy="show shorter captions or fewer, smaller frames, or use a model with a longer context",
        )
