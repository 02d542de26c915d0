"""Label probabilities of a causal model, with the keys and values of shared beginnings computed once.

Questions are visited in the order of their first and second stimulus. What all of them share, what those of one
first stimulus share, and what those of one pair of first stimuli share is each read once (depths 0, 1 and 2); its
keys and values are then repeated over the batch that goes on from it.
"""

from __future__ import annotations

import copy
import inspect
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome.errors import EnvironmentFailure
from affectome.judges._local_layout import Rendered

logger = logging.getLogger(__name__)

__all__ = ["Held", "LabelScorer", "Scored", "halving"]

_WORTH = 0.1  # beginnings are read by themselves where that saves this share of a batch: each pass has its price
_DEEPEST = 3  # beginnings of depth 0, 1 and 2; at this depth what is left of the questions is read


#: What a row of a batch holds: tokens from one place of a question to another, and the column in which they begin.
Held = tuple[Rendered, int, int, int]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model says to a question.

    Attributes
    ----------
    log_probabilities : three floats
        Of the labels, among all that the model could have said.
    tokens, reused : int
        Tokens of the question, and those whose keys and values had been computed for an earlier one.
    seconds : float
        Its share of the time of its batch.
    """

    log_probabilities: tuple[float, float, float]
    tokens: int
    reused: int
    seconds: float


@dataclass(eq=False)
class Beginning:
    """Keys and values of the beginnings of some questions, one row for each.

    `mask` (rows, width) tells tokens from padding, which may stand between the parts that were read one after another;
    `used` tells which rows a question has gone on from, so that the tokens of a row are paid by the first.
    """

    cache: Any
    mask: Any
    lengths: list[int]
    rows: dict[tuple[str, ...], int]
    depth: int
    parent: Beginning | None
    seconds: float
    used: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.used = [False] * len(self.lengths)

    def row(self, question: Rendered) -> int:
        return self.rows[question.key[: self.depth]]

    def reused(self, question: Rendered) -> int:
        """Tokens that this question need not read; the first one to come pays for the others."""
        row = self.row(question)
        if self.used[row]:
            return self.lengths[row]
        self.used[row] = True
        return 0 if self.parent is None else self.parent.reused(question)


class LabelScorer:
    """Reads questions in batches and gives the log-probabilities of three labels.

    Parameters
    ----------
    model
        A transformers model whose ``forward`` gives logits, in evaluation mode on its device.
    labels
        Tokens of each label. Labels of one token each are read off one distribution; otherwise each label is
        appended to the question and its tokens are scored (teacher forcing), which costs three rows a question.
    embed
        Tokens (rows, width) and what each row holds to the model's input vectors (rows, width, hidden); None where the
        model takes the tokens themselves.
    batch_size
        Questions read together.
    """

    def __init__(
        self,
        model: Any,
        labels: Sequence[tuple[int, ...]],
        *,
        batch_size: int,
        pad: int = 0,
        embed: Callable[[Any, Sequence[Held]], Any] | None = None,
    ) -> None:
        self.batch_size = batch_size
        self._model = model
        self._labels = [np.array(label, np.int64) for label in labels]
        self._single = all(len(label) == 1 for label in labels)
        self._longest = max(map(len, labels))
        self._pad = pad
        self._embed = embed
        self._takes = set(inspect.signature(model.forward).parameters)
        self._cache_name = "cache" if "cache" in self._takes else "past_key_values"
        self.reuses = _can_reuse(model, self._takes | {self._cache_name})

    def score(self, questions: Sequence[Rendered], tell: Callable[[int], None]) -> list[Scored]:
        """Scores in the order of `questions`, which are visited sorted; `tell` hears how many were just done."""
        found: dict[int, Scored] = {}
        window = _window(self._model)
        fits = window is None or _widest(questions) + self._longest < window
        if self.reuses and not fits:
            logger.info("Some questions are longer than the model's attention window: no beginning is read once.")

        def read(left: Sequence[Rendered]) -> None:
            for question, scored in self._visit(None, left, 0 if self.reuses and fits else _DEEPEST):
                found[question.number] = scored
                tell(len(found))

        ordered = sorted(questions, key=lambda question: question.key)
        halving(self, lambda: read([question for question in ordered if question.number not in found]))
        return [found[question.number] for question in questions]

    def _visit(
        self, shared: Beginning | None, questions: Sequence[Rendered], depth: int
    ) -> Iterator[tuple[Rendered, Scored]]:
        """Read questions that go on from shared beginnings of less than this depth."""
        if depth == _DEEPEST:
            for start in range(0, len(questions), self.batch_size):
                yield from self._finish(shared, questions[start : start + self.batch_size])
            return
        groups = [list(group) for _, group in groupby(questions, key=lambda question: question.key[:depth])]
        for bundle in _bundles(groups, self.batch_size):
            members = [question for group in bundle for question in group]
            worth = _worth(bundle, shared, depth, self.batch_size)
            yield from self._visit(self._begin(shared, bundle, depth) if worth else shared, members, depth + 1)

    def _begin(self, shared: Beginning | None, bundle: Sequence[Sequence[Rendered]], depth: int) -> Beginning:
        """Read what each group of questions shares, in one pass."""
        started = time.perf_counter()
        lengths = [min(question.cuts[depth] for question in group) for group in bundle]
        heads = [group[0] for group in bundle]
        pieces = [(head, _length(shared, head), length) for head, length in zip(heads, lengths, strict=True)]
        _, cache, mask = self._forward(shared, pieces, [_NO_TOKENS] * len(pieces), keep=1, remember=True)
        rows = {head.key[:depth]: row for row, head in enumerate(heads)}
        each = (time.perf_counter() - started) / sum(map(len, bundle))
        return Beginning(cache, mask, lengths, rows, depth, shared, each + (shared.seconds if shared else 0.0))

    def _finish(self, shared: Beginning | None, questions: Sequence[Rendered]) -> Iterator[tuple[Rendered, Scored]]:
        """Read the rest of a batch of questions and the labels after it."""
        started = time.perf_counter()
        tails = [_NO_TOKENS] if self._single else [label[:-1] for label in self._labels]
        pieces = [(question, _length(shared, question), len(question)) for question in questions for _ in tails]
        logits, _, _ = self._forward(shared, pieces, tails * len(questions), keep=self._longest, remember=False)
        scores = self._label_scores(logits, len(questions))
        seconds = (time.perf_counter() - started) / len(questions) + (shared.seconds if shared else 0.0)
        for question, (a, b, c) in zip(questions, scores.tolist(), strict=True):
            yield question, Scored((a, b, c), len(question), shared.reused(question) if shared else 0, seconds)

    def _label_scores(self, logits: Any, n_questions: int) -> NDArray[np.float64]:
        """Log-probability of each label, shape (n_questions, 3), from logits (rows, longest label, vocabulary)."""
        logs = logits.float().log_softmax(-1)
        if self._single:
            chosen = logs[:, -1, [int(label[0]) for label in self._labels]]
        else:
            by_label = logs.reshape(n_questions, 3, self._longest, -1)
            chosen = logs.new_zeros(n_questions, 3)
            for number, label in enumerate(self._labels):
                for place, token in enumerate(label, self._longest - len(label)):
                    chosen[:, number] += by_label[:, number, place, int(token)]
        scores: NDArray[np.float64] = chosen.cpu().numpy().astype(np.float64)
        return scores

    def _forward(
        self,
        shared: Beginning | None,
        pieces: Sequence[tuple[Rendered, int, int]],
        tails: Sequence[NDArray[np.int64]],
        *,
        keep: int,
        remember: bool,
    ) -> tuple[Any, Any, Any]:
        """One pass over (question, first token, end) and a tail for each row: last logits, cache and mask.

        Rows are padded on the left, so that every row ends in its last token.
        """
        import torch

        ids, mask, positions, held = self._padded(pieces, tails)
        device = self._model.device
        tokens, fresh, places = (torch.from_numpy(array).to(device) for array in (ids, mask, positions))
        given: dict[str, Any] = {"use_cache": remember or shared is not None}
        given["attention_mask"] = fresh
        if shared is not None:
            rows = torch.tensor([shared.row(question) for question, _, _ in pieces], device=device)
            given[self._cache_name] = _repeated(shared.cache, rows)
            given["attention_mask"] = torch.cat([shared.mask[rows], fresh], dim=1)
        elif remember:
            given[self._cache_name] = _new_cache(self._model)
        if "position_ids" in self._takes:
            given["position_ids"] = places[0] if len(places) == 1 else places
        if "logits_to_keep" in self._takes:
            given["logits_to_keep"] = keep
        with torch.inference_mode():
            given |= {"input_ids": tokens} if self._embed is None else {"inputs_embeds": self._embed(tokens, held)}
            logits = self._model(**given).logits[:, -keep:]
        return logits, given.get(self._cache_name), given["attention_mask"]

    def _padded(
        self, pieces: Sequence[tuple[Rendered, int, int]], tails: Sequence[NDArray[np.int64]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[Held]]:
        """Tokens and mask (rows, width), positions (axes, rows, width); the tail's positions follow the last one."""
        held = []
        width = max(end - start + len(tail) for (_, start, end), tail in zip(pieces, tails, strict=True))
        ids = np.full((len(pieces), width), self._pad, np.int64)
        mask = np.zeros_like(ids)
        positions = np.zeros((len(pieces[0][0].positions), *ids.shape), np.int64)
        for row, ((question, start, end), tail) in enumerate(zip(pieces, tails, strict=True)):
            first, last = width - (end - start) - len(tail), width - len(tail)
            ids[row, first:last] = question.tokens[start:end]
            held.append((question, start, end, first))
            mask[row, first:] = 1
            positions[:, row, first:last] = question.positions[:, start:end]
            if len(tail):
                ids[row, last:] = tail
                positions[:, row, last:] = question.positions[:, -1:] + 1 + np.arange(len(tail))
        return ids, mask, positions, held


_NO_TOKENS = np.empty(0, np.int64)


def halving(reader: Any, read: Callable[[], None]) -> None:
    """Call `read` until it ends, halving ``reader.batch_size`` each time the device runs out of memory."""
    import torch

    while True:
        try:
            return read()
        except torch.cuda.OutOfMemoryError:
            pass  # left before trying again: the traceback holds the tensors of the failed pass
        if reader.batch_size == 1:
            raise EnvironmentFailure(
                "the device has too little memory for one question",
                remedy="use a smaller model, dtype='bfloat16', fewer or smaller frames, or another device",
            )
        reader.batch_size //= 2
        logger.warning("The device ran out of memory: going on with a batch size of %d.", reader.batch_size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _length(shared: Beginning | None, question: Rendered) -> int:
    """Tokens of a question that are in a shared beginning."""
    return 0 if shared is None else shared.lengths[shared.row(question)]


def _bundles(groups: Sequence[list[Rendered]], most: int) -> Iterator[list[list[Rendered]]]:
    """Whole groups in a row that together make up a batch; a group that is larger comes alone."""
    bundle: list[list[Rendered]] = []
    for group in groups:
        if bundle and sum(map(len, bundle)) + len(group) > most:
            yield bundle
            bundle = []
        bundle.append(group)
    if bundle:
        yield bundle


def _worth(bundle: Sequence[Sequence[Rendered]], shared: Beginning | None, depth: int, batch_size: int) -> bool:
    """Whether one pass over the beginnings of these groups saves enough of the tokens of one batch."""
    saved = total = 0
    for group in bundle:
        known = _length(shared, group[0])
        saved += (len(group) - 1) * (min(question.cuts[depth] for question in group) - known)
        total += sum(len(question) - known for question in group)
    batches = max(1.0, sum(map(len, bundle)) / batch_size)
    return saved > 0 and saved >= _WORTH * total / batches


def _widest(questions: Sequence[Rendered]) -> int:
    """Width that a row can come to, padding between its parts included."""
    steps = np.array([np.diff([0, *question.cuts, len(question)]) for question in questions])
    return int(steps.max(axis=0).sum()) + max(map(len, questions))


def _can_reuse(model: Any, takes: set[str]) -> bool:
    """Whether keys and values of a beginning can be repeated, and padding be told apart by mask and position.

    That is so for attention over all earlier tokens, or a window of them, with positions given by number; not for
    recurrent layers, nor where positions follow from the place in the batch.
    """
    if "position_ids" not in takes or getattr(model, "_is_stateful", False):
        return False
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    try:
        layers = _new_cache(model).layers
    except (AttributeError, KeyError, ValueError):
        return False
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def _window(model: Any) -> int | None:
    """Length of the model's attention window, where one of its layers has one."""
    text = model.config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    if kinds is not None and set(kinds) <= {"full_attention"}:
        return None
    sizes = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min((size for size in sizes if size), default=None)


def _new_cache(model: Any) -> Any:
    from transformers import DynamicCache

    return DynamicCache(config=model.config.get_text_config())


def _repeated(cache: Any, rows: Any) -> Any:
    """A cache of these rows of another, which stays as it is."""
    repeated = copy.copy(cache)
    repeated.layers = [copy.copy(layer) for layer in cache.layers]  # what is appended makes new tensors
    repeated.batch_select_indices(rows)
    return repeated
