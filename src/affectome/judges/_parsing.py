r"""From a free-text answer to the slot it names, or to the reason why it names none. Never a guess.

**Mentions.** A slot is mentioned by its label (``B``, ``(B)``, ``**B**``, ``Option B``; alone, a single letter counts
only as a capital, and ``A`` or ``I`` only where it cannot be an article or a pronoun), by noun and number (``Video
2``, ``clip #2``, ``number three``) or by ordinal (``the second clip``, ``the last one``). Labels that are numbers
themselves take the numbers: with labels 3, 1, 2, ``Video 2`` is the third slot and ``the second clip`` names none.
Mentions are also read in Chinese, Japanese, Spanish, German, French, Russian and Portuguese. ``Video 4`` is a mention
of none.

**Conclusions.** Only a mention in one of these forms counts::

    reply = thinking? text          thinking is cut; an unclosed one leaves no answer
    firm  = ANSWER sep slot         "Answer: B", "the correct choice is B", {"answer": "B"}, \boxed{B}
          | slot                    the whole reply, or its last line
          | slot "." reason         the first line or sentence, where a reason or a comparison follows
          | slot copula ODD         "B is the odd one out", "B is clearly the most different"
          | ODD copula slot         "the odd one out is B"
          | "I" CHOOSE slot         "I would pick B", "I think it is B."
          | THEREFORE slot          "so B.", "therefore, the second clip", "which leaves B"
          | RETRACTION slot         "wait, actually B."
    weak  = slot STANDS-OUT         "B stands out", "B differs from the other two", "B does not fit"
    ODD   = "odd one out" | "outlier" | "most different" | "least similar" | "one that differs" | ...

and none counts in a question, a condition, a negation, a hedge (might, maybe, at first glance), a look at something
other than emotion (``visually``, ``in terms of topic``), or where it runs on into another statement (``Answer: A is
happy, B is ...``).

**Decision.** A marked retraction (``wait``, ``actually``, ``on second thought``, ``correction`` ... where a clause
begins) cancels all before it. Of what is left, all firm conclusions must name the same slot, and no weak one after
them another; without a firm one, all weak ones must agree. ``B or C`` and ``B and C`` in a conclusion are two slots.
A refusal anywhere, or a statement after the conclusion that all are alike or that another slot is as possible, leaves
the reply unparsed. Whatever is in doubt is unparsed, since asking again costs less than a wrong answer.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from affectome.judges import _doubts as around
from affectome.judges import _phrases as say
from affectome.judges._mentions import ANY, SLOTS, Marked, mentions_of, slot_of
from affectome.judges._reply_text import clean_reply

__all__ = ["REASONS", "ParsedReply", "parse_choice"]

#: Why a reply can be unparsed.
REASONS = (
    "empty",
    "thinks without concluding",
    "refuses",
    "repeats the prompt",
    "names no slot",
    "names two slots",
    "truncated",
    "does not conclude",
)
_EVIDENCE = 200
_REACH = 500  # characters; of a sentence longer than any that is written, what is near the conclusion counts


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """What a free-text answer says.

    Attributes
    ----------
    slot : int or None
        Slot of the odd one (0, 1, 2), or None where the reply does not name exactly one.
    reason : str
        Why there is no slot: ``"empty"``, ``"thinks without concluding"``, ``"refuses"``, ``"repeats the prompt"``,
        ``"names no slot"``, ``"names two slots"``, ``"truncated"`` or ``"does not conclude"``. Empty if there is one.
    evidence : str
        The passage that decided, without markup; at most 200 characters.
    """

    slot: int | None
    reason: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class _Conclusion:
    """Slots concluded at a place of the text; none for "Answer: none", two for "Answer: A or B"."""

    start: int
    stop: int
    slots: frozenset[int | None]
    firm: bool
    echo: bool = False


def parse_choice(text: str, labels: Sequence[str] = ("A", "B", "C"), *, noun: str = "video") -> ParsedReply:
    r"""Read which of three stimuli a free-text answer calls odd.

    An answer that names no slot, several, or refuses is unparsed; nothing is guessed. The grammar is in the
    documentation, page *Reading free-text answers*.

    Parameters
    ----------
    text
        The reply as the model gave it.
    labels
        What the three slots were called.
    noun
        What a stimulus was called in the prompt.

    Returns
    -------
    ParsedReply

    Raises
    ------
    InputError
        When the labels are not three different texts. No text of a reply raises.

    Examples
    --------
    >>> parse_choice("A and C both evoke joy, so **Video B** is the odd one out.").slot
    1
    >>> parse_choice("It is either A or the last one.")
    ParsedReply(slot=None, reason='names two slots', evidence='either A or the last one')
    """
    mentions = mentions_of(tuple(str(label) for label in labels), noun)
    plain, thinking = clean_reply(text)
    if thinking:
        return ParsedReply(None, "thinks without concluding", plain[-_EVIDENCE:])
    if not plain:
        return ParsedReply(None, "empty")
    refusal = _first(around.REFUSALS, plain, plain.lower())
    if refusal is not None:
        return ParsedReply(None, "refuses", refusal[0][:_EVIDENCE])
    return _decide(_Reading(mentions.mark(plain)))


def _decide(reading: _Reading) -> ParsedReply:
    """The slot that all standing conclusions share, or why there is none."""
    found = sorted(reading.conclusions(), key=lambda one: one.start)
    reset = reading.last_retraction()
    standing = [one for one in found if one.stop > reset and not one.echo]
    firm = [one for one in standing if one.firm]
    last = firm[-1] if firm else None
    counted = firm + [one for one in standing if not one.firm and (last is None or one.start > last.start)]
    if not counted:
        return reading.inconclusive(echo=next((one for one in found if one.echo), None))
    slots = frozenset[int | None]().union(*(one.slots for one in counted))
    decisive = last or counted[-1]
    evidence = reading.marked.passage(decisive.start, decisive.stop)[:_EVIDENCE]
    if len(slots) > 1:
        return ParsedReply(None, "names two slots", evidence)
    (slot,) = slots
    if slot is None:
        return ParsedReply(None, "names no slot", evidence)
    doubt = reading.doubt(slot, decisive)
    return doubt or ParsedReply(slot, "", evidence)


def _first(phrases: Sequence[say.Phrase], text: str, lowered: str, start: int = 0) -> re.Match[str] | None:
    """The first match of the first phrase that occurs."""
    return next((match for phrase in phrases for match in phrase.search(text, lowered, start)), None)


def _two_others(match: re.Match[str]) -> bool:
    """Whether "B differs from A and C" names all three."""
    marks = [match["slot"], match["one"], match["two"]]
    return match["one"] is None or len({slot_of(mark) for mark in marks}) == 3


class _Reading:
    """One marked text, searched for conclusions."""

    def __init__(self, marked: Marked) -> None:
        self.marked = marked
        self.text = marked.text
        self._lowered = self.text.lower()
        self._ends = [match.start() for match in around.SENTENCE_END.finditer(self.text)]

    def conclusions(self) -> Iterator[_Conclusion]:
        if not re.search(ANY, self.text):
            yield from self._nones()
            return
        for form in say.FORMS:
            for match in form.search(self.text, self._lowered):
                one = self._weigh(match, form)
                if one is not None:
                    yield one
        yield from self._nones()
        yield from self._bare_lines()

    def _nones(self) -> Iterator[_Conclusion]:
        """The answers that name no slot, as "Answer: none of them"."""
        for match in say.ANSWER_NONE.search(self.text, self._lowered):
            yield _Conclusion(match.start(), match.end(), frozenset([None]), True)

    def _weigh(self, match: re.Match[str], form: say.Form) -> _Conclusion | None:
        """A match of a conclusion's form as a conclusion, unless its surroundings take it back."""
        place = match.start("slot")
        start, stop = self._sentence(match.start(), match.end())
        if match.groupdict().get("other") or self._taken_back(match, start, stop, formal=form.formal):
            return None
        if form.slot_first:
            if around.NOT_SUBJECT.search(self.text, start, place) and not around.EMOTIONS_OF.search(
                self.text, start, place
            ):
                return None
            if self._listed_before(place):
                return _Conclusion(match.start(), match.end(), frozenset([0, 1, 2]), True) if form.firm else None
            slots, end = frozenset([slot_of(self.text[place])]), match.end()
            beside = {slot_of(mark) for mark in re.findall(ANY, self.text[end:stop])} - slots
            if not form.firm and (len(beside) == 1 or not _two_others(match)):
                return None
        else:
            slots, end = self._listed(place)
            also = around.ALSO.match(self.text, end)
            if also is not None:
                slots |= {slot_of(also["slot"])}
            if self._runs_on(match, end, form) or (form.alone and len(slots) > 1):
                return None
        echo = len(slots) == 3 and "<" in self.text[match.start() : place + 1]
        return _Conclusion(match.start(), end, slots | self._rivals(end, stop, slots), form.firm, echo)

    def _taken_back(self, match: re.Match[str], start: int, stop: int, *, formal: bool) -> bool:
        """Whether the sentence asks, denies, supposes or softens a conclusion, or speaks of something else."""
        text, place = self.text, match.start("slot")
        within = [match.groupdict().get(group) or "" for group in ("fill", "gap", "gap2")]
        before = " ".join([text[self._clause(start, match.start(), place) : match.start()], *within])
        if around.LESS.search(" ".join(within[1:])):
            return True
        after = text[match.end() : stop]
        if (
            around.TAKEN_BACK_BEFORE.search(before)
            or around.TAKEN_BACK_AFTER.match(text, match.end())
            or text[stop : stop + 1] == "?"
        ):
            return True
        if around.CONDITION.search(before) or around.CONDITION.search(after) or self._disowned(place, after):
            return True
        sentence = text[start:stop]
        if around.WHOLE_SENTENCE.search(sentence):
            return True
        return not formal and around.OTHER_ASPECT.search(sentence) is not None and not around.EMOTION.search(sentence)

    def _disowned(self, place: int, after: str) -> bool:
        """Whether the rest of the sentence takes the conclusion back, or sets another slot against it."""
        later = around.TAKEN_BACK_LATER.search(after)
        if later is None:
            return False
        other = re.search(ANY, later[0])
        return other is None or slot_of(other[0]) != slot_of(self.text[place])

    def _sentence(self, start: int, stop: int) -> tuple[int, int]:
        """Bounds of the sentence around a match, or of what of it is near."""
        first = bisect_left(self._ends, start)
        last = bisect_left(self._ends, max(stop - 1, start))
        begin = self._ends[first - 1] + 1 if first else 0
        end = self._ends[last] if last < len(self._ends) else len(self.text)
        return max(begin, start - _REACH), min(end, stop + _REACH)

    def _clause(self, start: int, stop: int, place: int) -> int:
        """Where the clause of a match begins: what was negated or supposed before it does not touch it."""
        begin = start
        for match in around.CLAUSE_START.finditer(self.text, start, stop):
            begin = match.start()
        opening = around.SUBORDINATE.match(self.text, start)
        comma = self.text.rfind(",", start, place)
        if opening and comma > begin and re.fullmatch(r", ?(?:\w+ )?", self.text[comma:place]):
            begin = comma
        return begin

    def _listed(self, place: int) -> tuple[frozenset[int | None], int]:
        """The slot at a place and those joined to it by "and", "or", a comma or a slash; where they end."""
        slots = {slot_of(self.text[place])}
        end = place + 1
        while (more := around.LIST_MORE.match(self.text, end)) is not None:
            slots.add(slot_of(more["slot"]))
            end = more.end("slot")
        return frozenset(slots), end

    def _listed_before(self, place: int) -> bool:
        """Whether the slot ends a list of others: "A and B is ..."."""
        previous = around.LIST_BEFORE.search(self.text, max(0, place - 24), place)
        return previous is not None and slot_of(previous["slot"]) != slot_of(self.text[place])

    def _runs_on(self, match: re.Match[str], end: int, form: say.Form) -> bool:
        """Whether the text after the slot makes it the subject of another statement, or an ordinary word."""
        text = self.text
        if text[match.start("slot")] not in SLOTS and not around.CLAUSE_STOP.match(text, end):
            return True
        if form.alone and not around.FULL_STOP.match(text, end):
            return True
        if around.OPEN_END.match(text, end):
            return True
        if "\n" in (match.groupdict().get("broken") or "") and (
            not around.LINE_STOP.match(text, end) or around.NEXT_BARE.match(text, end)
        ):
            return True
        if around.STATEMENT.match(text, end) and not around.STANDS_OUT.match(text, end):
            return True
        return (
            around.HEADING.match(text, end) is not None
            and around.OTHER_HEADING.search(text, end, end + 4 * _REACH) is not None
        )

    def _rivals(self, end: int, stop: int, slots: frozenset[int | None]) -> frozenset[int | None]:
        """Other slots that the same sentence holds possible."""
        found = (slot_of(mark) for mark in around.rivals(self.text, end, stop))
        return frozenset(slot for slot in found if slot not in slots)

    def _bare_lines(self) -> Iterator[_Conclusion]:
        """A line that is only a slot: the last line, or the first if reasons follow it; also a first sentence."""
        lines = [(match.start(), match.end()) for match in around.LINE.finditer(self.text)]
        heads = [(number, head) for number, (a, b) in enumerate(lines) if (head := around.HEAD.match(self.text, a, b))]
        last = around.BARE_LINE.fullmatch(self.text, *lines[-1]) if lines else None
        if last is not None and self._may_end(slot_of(last["slot"]), [head for n, head in heads if n < len(lines) - 1]):
            slots = frozenset(slot_of(mark) for mark in re.findall(ANY, last[0]))
            yield _Conclusion(last.start(), last.end(), slots, True)
        opening = around.OPENING.match(self.text)
        if opening is not None and self._answers_first(opening):
            yield _Conclusion(0, opening.end(), frozenset([slot_of(opening["slot"])]), True)

    def _answers_first(self, opening: re.Match[str]) -> bool:
        """Whether a slot at the beginning is the answer, and not the first head of a list or description."""
        text, slot = self.text, slot_of(opening["slot"])
        if any(slot_of(head["slot"]) != slot for head in around.ANY_HEAD.finditer(text, opening.end("slot"))):
            return False
        if "\n" in opening["end"] and around.REASON_LINE.match(text, opening.end() - 1):
            return True
        compared = around.COMPARED.search(text, opening.end("slot"))
        return compared is not None and not around.TAKEN_BACK_BEFORE.search(text, opening.end(), compared.start())

    def _may_end(self, slot: int | None, heads: list[re.Match[str]]) -> bool:
        """A slot on the last line concludes, unless it is the next head of a list that was cut off there."""
        named = {slot_of(head["slot"]) for head in heads}
        return slot in named or not named

    def last_retraction(self) -> int:
        """Where the last marked change of mind begins."""
        found = 0
        for match in around.RETRACTION.finditer(self.text):
            found = match.start("marker")
        return found

    def doubt(self, slot: int, decisive: _Conclusion) -> ParsedReply | None:
        """What is said after the conclusion, if it undoes it."""
        for mark in around.rivals(self.text, decisive.stop, len(self.text)):
            if slot_of(mark) != slot:
                return ParsedReply(
                    None, "names two slots", self.marked.passage(decisive.start, len(self.text))[:_EVIDENCE]
                )
        alike = _first(around.ALL_ALIKE, self.text, self._lowered, decisive.stop)
        return None if alike is None else ParsedReply(None, "names no slot", self._evidence(alike))

    def inconclusive(self, echo: _Conclusion | None) -> ParsedReply:
        """Why a text without any standing conclusion is unparsed."""
        if echo is not None:
            return ParsedReply(None, "repeats the prompt", self.marked.passage(echo.start, echo.stop)[:_EVIDENCE])
        either = around.EITHER.search(self.text)
        if either is not None and slot_of(either["slot"]) != slot_of(either["second"]):
            return ParsedReply(None, "names two slots", self._evidence(either))
        alike = _first(around.ALL_ALIKE, self.text, self._lowered)
        if alike is not None:
            return ParsedReply(None, "names no slot", self._evidence(alike))
        tail = self.marked.passage(max(0, len(self.text) - 80), len(self.text))
        if len(self.text.rpartition("\n")[2].split()) >= 5 and not around.FINISHED.search(self.text):
            return ParsedReply(None, "truncated", tail)
        if not re.search(ANY, self.text):
            return ParsedReply(None, "names no slot", tail)
        return ParsedReply(None, "does not conclude", tail)

    def _evidence(self, match: re.Match[str]) -> str:
        return self.marked.passage(match.start(), match.end())[:_EVIDENCE]
