"""What a model in this process reads: the prompt in its chat template, and the tokens of questions and labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.judges._prompts import Prompt

logger = logging.getLogger(__name__)

__all__ = ["Key", "Layout", "Rendered", "Renderer", "gap", "label_tokens", "lay_out"]

#: The ids of three stimuli, in the order in which the prompt shows them.
Key = tuple[str, str, str]

_PLAIN_END = "\n\nAnswer:"


@dataclass(frozen=True, eq=False)
class Layout:
    """The text around the stimuli, as the model's chat template lays it out.

    Attributes
    ----------
    whole : str
        The prompt with what marks the place of each stimulus.
    pieces : tuple of four str
        What stands before, between and after the stimuli.
    order : tuple of three int
        The slots in the order in which the text shows them.
    lead : str or None
        White space between the prompt and an answer, as the template writes answers; None where it does not say.
    start : tuple of int
        Tokens before the text: the beginning-of-text token of a plain layout; a chat template writes its own.
    """

    whole: str
    pieces: tuple[str, ...]
    order: tuple[int, ...]
    lead: str | None
    start: tuple[int, ...] = ()

    def text(self, stimuli: Sequence[str]) -> str:
        """The prompt up to the end of the last of these stimuli; with three of them, all of it."""
        told = self.pieces[0]
        for number, stimulus in enumerate(stimuli, 1):
            told += stimulus + (self.pieces[number] if number < len(stimuli) or number == 3 else "")
        return told


@dataclass(frozen=True, eq=False)
class Rendered:
    """A question as the model reads it.

    Attributes
    ----------
    number : int
        Its place among the questions of the call.
    key : three str
        Its stimuli, in the order in which the text shows them.
    tokens : int array of shape (length,)
    positions : int array of shape (axes, length)
        Where each token stands: one axis for text, three (time, height, width) for the Qwen-VL family.
    cuts : three int
        How many tokens it shares with every question, with those of the same first stimulus, and with those of the
        same first and second one.
    """

    number: int
    key: Key
    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    cuts: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.tokens)


class Renderer:
    """Turns questions into tokens.

    Parameters
    ----------
    tokenizer
        The model's.
    layout
        The text around the stimuli.
    show
        The text that stands for a stimulus.
    positions
        Positions of the tokens of a question; by default 0, 1, 2 ...
    """

    def __init__(
        self,
        tokenizer: Any,
        layout: Layout,
        show: Callable[[str], str],
        positions: Callable[[NDArray[np.int64], Key], NDArray[np.int64]] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self.layout = layout
        self._show = show
        self._positions = positions or (lambda tokens, key: np.arange(len(tokens))[None])

    def text(self, key: Sequence[str]) -> str:
        """The prompt up to the end of the last of these stimuli; with three of them, all of it."""
        return self.layout.text([self._show(name) for name in key])

    def render(self, keys: Sequence[Key], first_number: int = 0) -> list[Rendered]:
        """The questions about these stimuli."""
        beginnings: list[tuple[str, ...]] = list(dict.fromkeys(key[:depth] for depth in range(3) for key in keys))
        begun = dict(zip(beginnings, self._tokens([self.text(part) for part in beginnings]), strict=True))
        rendered = []
        for number, (key, tokens) in enumerate(zip(keys, self._tokens([self.text(k) for k in keys]), strict=True)):
            # The last tokens of a beginning may come out otherwise where the text goes on, so the common ones count.
            # At least one token is left to be read by itself: its logits are the answer.
            common = [min(_common(begun[key[:depth]], tokens), len(tokens) - 1) for depth in range(3)]
            cuts = (common[0], max(common[:2]), max(common))
            rendered.append(Rendered(first_number + number, key, tokens, self._positions(tokens, key), cuts))
        return rendered

    def _tokens(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        read = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [np.array([*self.layout.start, *row], np.int64) for row in read]


def _common(left: NDArray[np.int64], right: NDArray[np.int64]) -> int:
    """How many tokens two rows begin with in common."""
    n = min(len(left), len(right))
    differ = np.flatnonzero(left[:n] != right[:n])
    return int(differ[0]) if len(differ) else n


def gap(slot: int) -> str:
    """What marks the place of a stimulus that is text; templates may strip white space, not this."""
    return f"⟦stimulus {slot}⟧"


def lay_out(
    tokenizer: Any,
    prompt: Prompt,
    *,
    source: str,
    template: str | None = None,
    parts: Sequence[Mapping[str, Any]] = (),
    marker: str | None = None,
) -> Layout:
    """Put a prompt into the chat template of a model.

    Parameters
    ----------
    tokenizer
        The model's; without a chat template it gets a plain layout, which is said in a warning.
    prompt
        One turn.
    source
        The model, for messages.
    template
        A chat template in place of the tokenizer's.
    parts
        What stands for one stimulus in a message: ``{"type": "video"}`` or images; nothing for text.
    marker
        The text that the template writes for a stimulus of `parts`, where it must be found again.
    """
    slots = [part for part in prompt.turns[0] if isinstance(part, int)]
    if not parts and not (template or getattr(tokenizer, "chat_template", None)):
        return _plain_layout(tokenizer, prompt, slots, source)

    def written(with_system: bool, answer: str | None) -> str:
        messages = _messages(prompt, parts, with_system, answer)
        # Models that think aloud are asked not to: the label comes first. Other templates ignore the word.
        text: str = tokenizer.apply_chat_template(
            messages,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=answer is None,
            enable_thinking=False,
        )
        return text

    with_system, whole = _with_or_without_system(written, prompt, source)
    label = prompt.labels[0]
    answered = written(with_system, label)
    rest = answered.removeprefix(whole)
    said = answered.startswith(whole) and rest.lstrip().startswith(label)
    lead = rest[: len(rest) - len(rest.lstrip())] if said else None
    if parts and marker is None:
        return Layout(whole, (), tuple(slots), lead)
    pieces = _split(whole, [gap(slot) if marker is None else marker for slot in slots], source)
    return Layout(whole, pieces, tuple(slots), lead)


def _with_or_without_system(
    written: Callable[[bool, str | None], str], prompt: Prompt, source: str
) -> tuple[bool, str]:
    """Whether the template takes a system message, and the prompt; without one its text opens the user's turn."""
    import jinja2

    try:
        text = written(True, None)
        if prompt.system in text:
            return True, text
    except jinja2.TemplateError:
        pass
    try:
        return False, written(False, None)
    except jinja2.TemplateError as error:
        raise InputError(
            f"its chat template cannot take the prompt ({error})", source=source, remedy="use another model"
        ) from error


def _messages(
    prompt: Prompt, parts: Sequence[Mapping[str, Any]], with_system: bool, answer: str | None
) -> list[dict[str, Any]]:
    """The conversation: text alone as plain strings, text and media as lists of parts."""
    system = prompt.system
    opening = [] if with_system or not system else [f"{system}\n\n"]
    turn = [*opening, *prompt.turns[0]]

    def content(said: Sequence[str | int]) -> Any:
        if not parts:
            return "".join(gap(part) if isinstance(part, int) else part for part in said)
        return [
            piece
            for part in said
            for piece in ([{"type": "text", "text": part}] if isinstance(part, str) else map(dict, parts))
        ]

    messages = [{"role": "system", "content": content([system])}] if with_system and system else []
    messages.append({"role": "user", "content": content(turn)})
    if answer is not None:
        messages.append({"role": "assistant", "content": content([answer])})
    return messages


def _plain_layout(tokenizer: Any, prompt: Prompt, slots: Sequence[int], source: str) -> Layout:
    """System message, turn and "Answer:" one below the other, after the tokenizer's beginning-of-text token."""
    logger.warning(
        "The tokenizer of %s has no chat template: the prompt is put as plain text that ends in 'Answer:'.", source
    )
    said = "".join(gap(part) if isinstance(part, int) else part for part in prompt.turns[0])
    whole = "\n\n".join(text for text in (prompt.system, said) if text) + _PLAIN_END
    first = getattr(tokenizer, "bos_token_id", None)
    opens = tokenizer("")["input_ids"][:1]  # what the tokenizer itself puts before a text
    start = (first,) if first is not None and opens == [first] else ()
    return Layout(whole, _split(whole, [gap(slot) for slot in slots], source), tuple(slots), " ", start)


def _split(text: str, marks: Sequence[str], source: str) -> tuple[str, ...]:
    """The text before, between and after three marks, each of which stands in it once."""
    pieces, rest = [], text
    for mark in marks:
        before, _, rest = rest.partition(mark)
        pieces.append(before)
    pieces.append(rest)
    in_order = "".join(p + m for p, m in zip(pieces, [*marks, ""], strict=True)) == text
    if not in_order or any(text.count(mark) != marks.count(mark) for mark in marks):
        raise InputError(
            "its chat template does not show each of the three stimuli once",
            source=source,
            remedy="use another model or prompt",
        )
    return tuple(pieces)


def label_tokens(text: str, lead: str | None, tokenizer: Any, prompt: Prompt, *, source: str) -> list[tuple[int, ...]]:
    """Tokens of the three labels, as they follow the text of a question.

    A label is written as the chat template writes an answer (with or without white space before it); where the
    template does not say, in whichever of the two forms each label is one token.

    Raises
    ------
    InputError
        When the labels melt into the prompt, or one begins as another goes on.
    """
    found = []
    for form in (lead,) if lead is not None else ("", " "):
        bare, *labelled = tokenizer(
            [text, *(text + form + label for label in prompt.labels)], add_special_tokens=False, verbose=False
        )["input_ids"]
        if all(row[: len(bare)] == bare and len(row) > len(bare) for row in labelled):
            found.append([tuple(row[len(bare) :]) for row in labelled])
    labels = min(found, key=lambda rows: max(map(len, rows))) if found else []
    shown = " ".join(prompt.labels)
    if not labels:
        raise InputError(
            f"the tokenizer melts the labels {shown} into the end of the prompt",
            source=source,
            remedy="use other labels or another prompt",
        )
    if any(right[: len(left)] == left for left, right in permutations(labels, 2)):
        raise InputError(
            f"the tokenizer cannot tell the labels {shown} apart", source=source, remedy="use other labels"
        )
    return labels
