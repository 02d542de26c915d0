"""Free-text answers are read right or not at all."""

import itertools
import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectome.errors import InputError
from affectome.judges import ParsedReply, parse_choice
from affectome.judges._parsing import REASONS

from .reply_corpus import LETTERS, PARSED, PARSED_WITH, TRICKY, UNPARSED, UNPARSED_WITH

ORDINALS = ("first", "second", "third")


@pytest.mark.parametrize(("reply", "slot"), PARSED)
def test_a_reply_that_concludes_is_read_right(reply, slot):
    parsed = parse_choice(reply)
    assert (parsed.slot, parsed.reason) == (slot, "")
    assert 0 < len(parsed.evidence) <= 200


@pytest.mark.parametrize(("reply", "slot", "labels"), PARSED_WITH)
def test_other_labels_are_read_right(reply, slot, labels):
    assert parse_choice(reply, labels).slot == slot


@pytest.mark.parametrize(("reply", "reason"), UNPARSED)
def test_a_reply_without_one_conclusion_is_unparsed(reply, reason):
    parsed = parse_choice(reply)
    assert parsed.slot is None and parsed.reason in REASONS
    assert reason is None or parsed.reason == reason


@pytest.mark.parametrize(("reply", "labels"), UNPARSED_WITH)
def test_a_reply_without_one_conclusion_is_unparsed_with_other_labels(reply, labels):
    assert parse_choice(reply, labels).slot is None


@pytest.mark.parametrize(("reply", "slot", "labels"), TRICKY)
def test_a_tricky_reply_is_never_read_wrong(reply, slot, labels):
    """These may stay unparsed; `slot` is what a person reads, None where a person is not sure either."""
    assert parse_choice(reply, labels).slot in {slot, None}


def test_the_corpus_is_large_and_has_every_reason():
    assert len(PARSED) + len(PARSED_WITH) >= 130 and len(UNPARSED) + len(UNPARSED_WITH) >= 130
    assert {reason for _, reason in UNPARSED} - {None} == set(REASONS)


# Generated answers: every way to name a slot in every way to conclude, after every sort of reasoning.

NAMES = (
    "{label}",
    "({label})",
    "**{label}**",
    "Video {label}",
    "video {number}",
    "the {ordinal} clip",
    "the {ordinal} one",
)
CONCLUSIONS = (
    "Answer: {x}",
    "**Answer:** {x}.",
    "Final answer: {x}",
    "The answer is {x}.",
    "My answer would be {x}",
    "The odd one out is {x}.",
    "The most emotionally different one is {x}, because it evokes fear.",
    "{x} is the odd one out.",
    "{x} is clearly the most different from the other two.",
    "{x} is the one that does not belong.",
    "I would choose {x}.",
    "I'd go with {x}",
    "So it must be {x}.",
    "Therefore, {x}.",
    "That leaves {x}.",
    "{x}",
    "\\boxed{{{x}}}",
    '{{"answer": "{x}"}}',
    "<answer>{x}</answer>",
    "答案是{x}。",
    "La respuesta es {x}.",
    "Die Antwort ist {x}.",
    "La réponse est {x}.",
    "Ответ: {x}",
    "A resposta é {x}.",
    "答えは{x}です。",
)
REASONINGS = (
    "",
    "Let me look at each of them.",
    "{a} evokes joy. {b} evokes calm. {c} evokes joy.",
    "{a}: joy, amusement\n{b}: fear\n{c}: joy",
    "- **{a}**: a dog plays; joy\n- **{b}**: a storm; fear\n- **{c}**: a baby laughs; joy",
    "At first glance, {a} seems to be the odd one out.",
    "{b} is not the odd one out.",
    "{a} and {b} are similar in setting, {b} and {c} in style.",
    "It might be {c}, or perhaps {a}.",
    "Is {b} the odd one out? Hardly.",
    "If colour counted, {a} would be the odd one out.",
    "<think>The answer is {c}. Or {a}? Answer: {b}</think>",
)
TRAPS = (
    "It is not true that {x} is the odd one out.",
    "I don't think the answer is {x}.",
    "{x} is not the odd one out.",
    "Is {x} the odd one out?",
    "{x} might be the odd one out.",
    "Whether {x} is the odd one out is unclear.",
    "If you ask about colour, {x} is the odd one out.",
    "{x} or {y} is the odd one out.",
    "Answer: {x} or {y}",
    "Answer: {x}\nAnswer: {y}",
    "The odd one out is {x}. The odd one out is {y}.",
    "Either {x} or {y}.",
    "{x} and {y} are similar.",
    "The odd one out is {x}, though it could also be {y}.",
    "Answer: {x}, maybe {y}",
    "<think>So the answer is {x}",
    "As an AI, I cannot watch {x}.",
    "I can't tell whether {x} or {y} is the odd one out.",
)


def named(form, slot, labels):
    return form.format(label=labels[slot], number=slot + 1, ordinal=ORDINALS[slot])


def generated(labels):
    """Replies with a conclusion at their end, and the slot concluded."""
    for conclusion, reasoning, name, slot in itertools.product(CONCLUSIONS, REASONINGS, NAMES, range(3)):
        if name == "{label}" and conclusion.startswith("La respuesta"):
            continue
        said = conclusion.format(x=named(name, slot, labels))
        said = said[0].upper() + said[1:] if said.startswith(("the", "video")) else said
        a, b, c = (f"Video {label}" for label in labels)
        yield f"{reasoning.format(a=a, b=b, c=c)}\n\n{said}".strip(), slot


@pytest.mark.parametrize("labels", [LETTERS, ("1", "2", "3"), ("X", "Y", "Z")])
def test_generated_conclusions_are_never_read_wrong_and_nearly_always_read(labels):
    replies = list(generated(labels))
    missed = []
    for reply, slot in replies:
        found = parse_choice(reply, labels).slot
        assert found in {slot, None}, reply
        if found is None:
            missed.append(reply)
    assert len(replies) > 6000
    # "That leaves 2" may also count stimuli, so a bare number is not read there.
    assert len(missed) / len(replies) < (0.05 if labels[0] == "1" else 0.01), missed[:: max(1, len(missed) // 20)]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("labels", [LETTERS, ("1", "2", "3"), ("Video 1", "Video 2", "Video 3")])
def test_what_is_denied_supposed_or_shared_is_no_conclusion(trap, labels):
    for (i, j), name in itertools.product(itertools.permutations(range(3), 2), NAMES):
        forms = name if labels[0].isalpha() or "label" not in name else "Video {number}"
        reply = trap.format(x=named(forms, i, labels), y=named(forms, j, labels))
        assert parse_choice(reply, labels).slot is None, reply


def test_a_retraction_counts_only_the_new_answer():
    for i, j in itertools.permutations(range(3), 2):
        for marker in ("Wait, actually", "No, wait,", "On second thought,", "Correction:", "Scratch that,"):
            assert parse_choice(f"Answer: {LETTERS[i]}. {marker} {LETTERS[j]}.").slot == j


@given(
    st.permutations(range(3)),
    st.sampled_from(CONCLUSIONS),
    st.sampled_from(NAMES[:4]),
    st.sampled_from(REASONINGS),
    st.data(),
)
def test_permuting_the_labels_permutes_the_slots(order, conclusion, name, reasoning, data):
    slot = data.draw(st.integers(0, 2))
    a, b, c = (f"Video {label}" for label in LETTERS)
    reply = f"{reasoning.format(a=a, b=b, c=c)}\n\n{conclusion.format(x=named(name, slot, LETTERS))}"
    straight = parse_choice(reply).slot
    permuted = parse_choice(reply, [LETTERS[k] for k in order]).slot
    assert permuted == (None if straight is None else order.index(straight))


@given(
    st.text(max_size=300),
    st.sampled_from([LETTERS, ("1", "2", "3"), ("I", "II", "III"), ("red", "ÉTÉ", "甲"), ("(", "\\", "[a")]),
)
def test_no_text_raises_and_the_result_is_whole(text, labels):
    parsed = parse_choice(text, labels)
    assert (parsed.slot is None) == (parsed.reason in REASONS)
    assert parsed.slot in {0, 1, 2, None} and len(parsed.evidence) <= 200


FRAGMENTS = (
    *(piece.format(x="B", y="C") for piece in CONCLUSIONS + TRAPS),
    *(
        "A",
        "B",
        "or",
        "and",
        "not",
        ",",
        ".",
        "\n",
        "(",
        ")",
        "<think>",
        "</think>",
        "**",
        "Answer:",
        "the",
        "second",
        "clip",
        "2",
        "wait,",
        "?",
        "odd one out",
        "is",
    ),
)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12))
def test_pieces_of_answers_in_any_order_never_raise(pieces):
    parsed = parse_choice(" ".join(pieces))
    assert (parsed.slot is None) == (parsed.reason in REASONS)


@given(st.text(alphabet=st.characters(exclude_categories=["Lu", "Ll", "Lt", "Lo", "Lm", "N", "S", "Co"]), max_size=200))
def test_text_without_letters_and_numbers_is_unparsed(text):
    assert parse_choice(text).slot is None


@given(
    st.lists(
        st.sampled_from(
            [
                "joy",
                "fear",
                "calm",
                "tense",
                "people",
                "walk",
                "along",
                "beaches",
                "evoking",
                "sadness",
                "however",
                "emotions",
                "differ",
                "answer",
                "is",
                "odd",
            ]
        ),
        max_size=60,
    )
)
def test_words_without_label_or_ordinal_are_unparsed(words):
    parsed = parse_choice(" ".join(words).capitalize() + ".")
    assert parsed.slot is None


def test_evidence_is_the_passage_that_decided():
    reply = "Video A and C are calm.\n\nTherefore the odd one out is **Video B**, which evokes fear."
    assert parse_choice(reply).evidence == "odd one out is Video B"
    assert parse_choice("I can't watch videos.") == ParsedReply(None, "refuses", "I can't watch")


def test_labels_must_be_three_different_texts():
    for labels in (("A", "B"), ("A", "a", "B"), ("A", " ", "C")):
        with pytest.raises(InputError, match="three different texts"):
            parse_choice("A", labels)


def slowest(texts):
    parse_choice("warm up: B")
    took = []
    for text in texts:
        best = min(_timed(text) for _ in range(3))
        took.append((best, text[:40]))
    return max(took)


def _timed(text):
    start = time.perf_counter()
    parse_choice(text)
    return time.perf_counter() - start


def test_time_is_linear_in_the_length_even_for_hostile_text():
    draw = random.Random(0)
    size = 20_000
    prose = (
        "Video A shows a man who walks along a beach at dusk, and this evokes calm and some sadness in most people. "
    )
    hostile = [
        "A, " * size,
        "answer is " * size,
        "<think>" * size,
        "(" * size,
        " " * size + "B",
        "\n" * size + "B",
        "A or " * size,
        "the odd one out " * size,
    ]
    hostile += [
        "\\boxed{" * size,
        "**" * size,
        "A and B, " * size,
        "not " * size,
        "Answer: A\n" * size,
        "no, " * size,
        "wait, " * size,
        "B (" * size,
        "A is the " * size,
    ]
    hostile += [
        "".join(draw.choice("AB ,.:()<>*\n") for _ in range(size)),
        "all three " * size,
        "i can" * size,
        "第二个" * size,
        "0" * size,
        "video " * size,
    ]
    seconds, text = slowest([prose * 400, *hostile][:1] + [text[:size] for text in hostile])
    assert seconds < 1.0, text
    half = min(_timed((prose * 400)[: size // 2]) for _ in range(3))
    assert min(_timed((prose * 400)[:size]) for _ in range(3)) < 4 * half + 0.01


def test_the_documented_examples_of_the_prompt_are_understood():
    from affectome.judges._prompts import PROMPTS, load_prompt

    for name in PROMPTS:
        said = " ".join(part for turn in load_prompt(name).turns for part in turn if isinstance(part, str))
        form = re.search(r"Answer: <.*>", said)
        assert parse_choice(said).slot is None
        if form:
            assert parse_choice(form[0]).reason == "repeats the prompt"
