"""Where a text names a slot: by its label, by a number or by an ordinal, in the languages that models answer in.

Every mention becomes one character, so that the grammar of conclusions can be written once over these characters.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from affectome.errors import InputError

__all__ = ["ANY", "NAMED", "ODD", "OTHERS", "SLOTS", "Marked", "Mentions", "mentions_of", "slot_of"]

#: A slot named beyond doubt; the same, where the word could also be an ordinary one; a stimulus that was not shown.
SLOTS, _FAINT, _OUTSIDE = "\ue000\ue001\ue002", "\ue004\ue005\ue006", "\ue003"
#: "The odd one out" and its synonyms; "the other two" and its synonyms.
ODD, OTHERS = "\ue010", "\ue011"
ANY, NAMED = f"[{SLOTS}{_OUTSIDE}{_FAINT}]", f"[{SLOTS}{_OUTSIDE}]"

# Neighbours that make a word longer. Chinese and Japanese write words without spaces, so their characters do not.
_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_LETTER = rf"[^\W{_CJK}]"
_START, _END = rf"(?<!{_LETTER})", rf"(?!{_LETTER})"
_OPEN, _CLOSE = r"[(\[<{\"']", r"[)\]>}\"']"

_NOUNS = (
    r"videos?|vid[ée]os|clips?|videoclips?|options?|choices?|items?|numbers?|no\.|candidates?|stimul(?:us|i)|films?"
    r"|movies?|images?"
    r"|pictures?|captions?|descriptions?|answer|vídeos?|opci[oó]n|número|clipe|opção|vidéos?|extraits?|numéro|nummer"
    r"|option"
    r"|видео|клип|ролик|видеоролик|вариант|номер|видео номер|视频片段|视频|視頻|影片|短片|片段|选项|選項|選択肢|動画"
    r"|ビデオ|映像|クリップ"
)
_ORDINAL_NOUNS = (
    r"videos?|clips?|ones?|options?|films?|movies?|items?|choices?|candidates?|stimulus|images?|pictures?|captions?"
    r"|descriptions?"
    r"|vídeos?|clipes?|opci[oó]n|opção|vidéos?|extraits?|видео|клип|ролик|видеоролик|вариант"
)
_ORDINALS = (
    r"first|1st|prim(?:er|ero|era|eiro|eira)|erste[rsnm]?|premi[eè]re?|перв(?:ое|ый|ая|ого|ом|ую)",
    r"second|2nd|middle|segund[oa]|zweite[rsnm]?|deuxième|seconde|2e|втор(?:ое|ой|ая|ого|ом|ую)",
    r"third|3rd|last|final|tercer[oa]?|terceir[oa]|últim[oa]|dritte[rsnm]?|letzte[rsnm]?|troisième|derni[eè]re?|3e"
    r"|трет(?:ье|ий|ья|ьего)"
    r"|последн(?:ее|ий|яя|его)",
)
_DIGITS = (
    r"1|one|uno|um|eins|一|один",
    r"2|two|dos|dois|deux|zwei|二|два",
    r"3|three|tres|três|trois|drei|三|три",
)
_THE = r"(?:(?:the|el|la|le|das|der|die|dem|den|o|a) )?"
_AND = r"(?:, ?(?:and|or) |, ?| ?[/&] ?| (?:and|or|und|oder|y|o|et|ou|e|и|или|vs\.?) )"

# What may stand after a word that is only a label where it is not an article, a pronoun or a count.
_VERB = (
    r"is|was|evokes?|differs?|stands|seems|appears|shows|elicits|conveys|portrays|depicts|displays|contains|presents"
    r"|features|focuses|feels"
    r"|has|remains|ist|est|es|é|doesn't|isn't|does|отличается|unterscheidet|passt|diffère"
)
_STOP = r"(?= ?(?:$|[\n.,;:!?)\]}>\"'/|&=→–—]|-(?!\w)| - ))"
_TIGHT = (
    rf"(?:{_STOP}|(?= (?:{_VERB}|and|or|nor|plus|because|since|as|while|whereas|but|with|than|und|oder|et|ou|y|o|e|и"
    rf"|или|the|this)\b)|(?=[{_CJK}]))"
)

_ODD_PHRASES = (
    r"odd[ -]?(?:one|man|video|clip)(?:s?[ -]?out)?|outlier|exception|anomaly"
    r"|(?<!two )(?<!second )(?<!third )(?<!next )most (?:(?:\w+ly|obviously) )?(?:different|distinct(?:ive)?"
    r"|dissimilar|unlike|unique|divergent"
    r"|deviating|deviant)"
    r"(?: (?:video|clip|one|option)\b)?(?: emotionally)?"
    r"|(?:noticeably|emotionally|clearly|markedly|distinctly|very) different (?:one|video|clip)|different (?:one"
    r"|video|clip)"
    r"|least (?:similar|alike|like)(?: (?:video|clip|one)\b)?"
    r"|(?:one|video|clip|option) (?:that|which|whose emotions?(?: \w+)?|with emotions that) (?:(?:most |clearly "
    r"|noticeably )?differs?(?: (?:the )?most)?"
    r"|(?:clearly )?stands? out(?: the most)?|(?:is|are) (?:(?:the )?most |noticeably |clearly "
    r"|emotionally )?(?:different|distinct)"
    r"|(?:doesn't|does not) (?:belong|fit(?: in)?)|(?:evokes|elicits) (?:the most |noticeably "
    r"|clearly )?(?:different|distinct) emotions?|evokes emotions (?:that |which )?(?:are "
    r"|differ )?(?:the )?most(?: different)?)"
    r"|最(?:为)?(?:不同|不一样|与众不同|與眾不同|特别|突出)(?:的(?:一个|那个|视频|是)?)?|与众不同|與眾不同|异类"
    r"|仲間外れ|(?:最も|一番)(?:異なる|違う|異なっている|異質な)(?:もの|動画|ビデオ|の)?|異なる(?:もの|動画)"
    r"|más diferente|más distint[oa]|que más difiere|intrus[oa]|diferente(?= es )|mais diferente|que mais difere"
    r"|intruso"
    r"|außenseiter|ausreißer|(?<!\w)am (?:unterschiedlichsten|deutlichsten anders)|am meisten (?:anders|verschieden)"
    r"|plus différente?|l'intruse?|intruse?"
    r"|лишн(?:ее|ий|яя)(?: видео)?|(?:больше|сильнее) всего отличается|отличается (?:больше|сильнее) (?:всего|всех)"
    r"|сам(?:ое|ый) (?:отличающееся|непохожее|непохожий)"
)
_OTHERS_PHRASES = (
    r"the (?:other (?:two|2|ones?|videos|clips)(?: (?:videos|clips|ones))?|others|rest|remaining (?:two|ones|videos"
    r"|clips)(?: (?:videos|clips))?)"
    r"|other two(?: (?:videos|clips))?|los otros dos|las otras dos|los demás"
    r"|den (?:beiden )?anderen(?: beiden)?(?: videos)?|des (?:deux )?autres"
    r"|от (?:двух )?(?:остальных|других)|dos outros(?: dois)?|(?:其他|其它|另外|其余)(?:的)?(?:两|二|2)?(?:个|者"
    r"|段)?(?:视频)?|(?:他"
    r"|ほか)の(?:2|二)つ"
)


def slot_of(mark: str) -> int | None:
    """The slot a character stands for; None for a stimulus that was not shown."""
    place = (SLOTS + _FAINT).find(mark)
    return None if place < 0 else place % 3


@dataclass(frozen=True, slots=True)
class Marked:
    """A text with one character per mention, and the way back to the text as it was."""

    text: str
    source: str
    cuts: tuple[tuple[int, int], ...]

    def passage(self, start: int, stop: int) -> str:
        """What stands at these places of the marked text, as it was written."""
        first, last = self._origin(start), self._origin(stop)
        return self.source[first:last].strip()

    def _origin(self, place: int) -> int:
        marked, plain = self.cuts[bisect_right(self.cuts, (place, len(self.source))) - 1]
        return min(plain + place - marked, len(self.source))


class Mentions:
    """Finds the slots named in a text, for given labels and noun.

    A number or ordinal (``Video 2``, ``the second clip``) counts positions, unless the labels are numbers themselves:
    then ``Video 2`` is the one labelled 2, and ordinals say nothing where labels and positions disagree.
    """

    def __init__(self, labels: Sequence[str], noun: str) -> None:
        texts = [" ".join(unicodedata.normalize("NFKC", str(label)).split()) for label in labels]
        if len(texts) != 3 or not all(texts) or len({text.casefold() for text in texts}) != 3:
            raise InputError(f"the labels {list(labels)} are not three different texts", remedy="give one per slot")
        heads, self.cores = _without_common_head(texts)
        self._slot = {core.casefold(): slot for slot, core in enumerate(self.cores)}
        values = [_value(core, self.cores) for core in self.cores]
        numbers: dict[int, int] = {1: 0, 2: 1, 3: 2}
        ordinal = {0: SLOTS[0], 1: SLOTS[1], 2: SLOTS[2]}
        if any(value is not None for value in values):
            complete = None not in values and len(set(values)) == 3
            numbers = {value: slot for slot, value in enumerate(values) if value is not None} if complete else {}
        if numbers != {1: 0, 2: 1, 3: 2} or any(re.fullmatch("|".join(_ORDINALS), core, re.I) for core in self.cores):
            ordinal = dict.fromkeys(range(3), _OUTSIDE)
        self._numbers, self._ordinal = numbers, ordinal
        self._numeric = any(value is not None for value in values)
        nouns = [re.escape(word) for word in (*heads, noun.strip(), f"{noun.strip()}s") if word]
        self._pattern = self._compile("|".join([*nouns, _NOUNS]))
        self._words = [(re.compile(rf"(?:{words})", re.I), value) for value, words in enumerate(_DIGITS, 1)]
        self._places = [(re.compile(rf"(?:{words})", re.I), slot) for slot, words in enumerate(_ORDINALS)]

    def _compile(self, nouns: str) -> re.Pattern[str]:
        label = "|".join(sorted((_spelling(core) for core in self.cores), key=len, reverse=True))
        close = "|".join(sorted((_spelling_in_text(core) for core in self.cores), key=len, reverse=True))
        faint = "|".join(sorted((_faint_spelling(core) for core in self.cores), key=len, reverse=True))
        number = rf"(?:\d{{1,3}}(?![\d%])(?![.,:]\d)|(?:{'|'.join(_DIGITS)}){_END}{_TIGHT}|[一二三])"
        tail = rf"(?:{_AND}(?:\#?\d(?![\w%]|[.,]\d)|(?:{label}){_END}))"
        ordinal = "|".join(_ORDINALS)
        nth = rf"(?:{ordinal})(?: (?:{_ORDINAL_NOUNS}){_END}(?! (?:two|three|2|3)\b)|(?={_AND}{_THE}(?:{ordinal})\b))"
        bare = rf"the (?:first|second|third|last|middle){_END}(?:{_STOP}|(?= (?:{_VERB}|because|since)\b))"
        sinic = (
            r"第(?P<cn>[一二三1-3])(?:(?:个|個|段|部|条|支|则|號|号|幕)(?:视频片段|视频|視頻|影片|短片|片段|选项)?"
            r"|(?:视频|視頻|影片|短片|片段|选项))"
            r"|(?P<cn2>[一二三1-3])(?:号(?:视频|影片)?|(?:番目|つ目|本目|個目)(?:の(?:動画|ビデオ|映像|クリップ"
            r"|もの))?)"
            r"|(?P<cn3>最后一个(?:视频|影片|片段)?|最後一個(?:視頻|影片)?|最後の(?:動画|ビデオ|映像|クリップ))"
        )
        return re.compile(
            rf"{_START}(?:(?P<odd>(?:{_ODD_PHRASES}){_END})|(?P<others>(?:{_OTHERS_PHRASES}){_END})"
            rf"|(?:{nouns})[ _-]?(?:(?:number|no\.|nr\.|n°|номер) ?|\# ?)?{_OPEN}{{0,2}}"
            rf"(?:(?P<label>(?:{label}){_END})|(?P<number>{number}))(?:(?P<tail>{tail}{{1,2}})"
            rf"|(?:{_CLOSE}(?!s\b)){{0,2}})"
            rf"|{_THE}(?P<nth>{nth})|(?P<bare>{bare})|{sinic}"
            rf"|(?P<close>(?:{close}){_END})(?!-\w)(?!'(?!s\b)\w)|(?P<faint>(?:{faint}|\#[1-3]){_END})(?!-\w|'\w"
            rf"|[.,:/]\d)"
            rf")|(?P<boxed>{_OPEN}(?P<inner>{label}){_CLOSE})",
            re.I,
        )

    def mark(self, text: str) -> Marked:
        """The text with a character for every mention and for every phrase that the grammar is built on."""
        pieces: list[str] = []
        cuts = [(0, 0)]
        done = length = 0
        for match in self._pattern.finditer(text):
            mark = self._read(match)
            if match["boxed"] is not None:  # the brackets stay: they are part of the grammar
                mark = f"{match['boxed'][0]}{mark}{match['boxed'][-1]}"
            pieces += (text[done : match.start()], mark)
            length += match.start() - done
            cuts += ((length, match.start()), (length + len(mark), match.end()))
            length += len(mark)
            done = match.end()
        pieces.append(text[done:])
        return Marked("".join(pieces), text, tuple(cuts))

    def _read(self, match: re.Match[str]) -> str:
        """The marks of one match."""
        kind = match.lastgroup
        if match["odd"] is not None:
            return ODD
        if match["others"] is not None:
            return OTHERS
        if match["label"] is not None or match["number"] is not None:
            first = self._by_label(match["label"]) if match["label"] is not None else self._by_number(match["number"])
            rest = re.findall(r"\d+|[^\W\d_]+", match["tail"] or "")
            more = [
                self._by_number(word) if word.isdigit() else self._by_label(word) for word in rest if self._names(word)
            ]
            return ", ".join([first, *more])
        if match["nth"] is not None or match["bare"] is not None:
            words = (match["nth"] or match["bare"][4:]).split(" ")[0].split(",")[0]
            return next((self._ordinal[slot] for pattern, slot in self._places if pattern.fullmatch(words)), _OUTSIDE)
        if match["cn3"] is not None:
            return self._ordinal[2]
        for group in ("cn", "cn2"):
            if match[group] is not None:
                return self._by_number(match[group])
        if match["close"] is not None:
            return self._by_label(match["close"])
        if match["faint"] is not None:
            word = match["faint"]
            mark = self._by_number(word[1:]) if word[0] == "#" else self._by_label(word)
            return mark if mark == _OUTSIDE else _FAINT[SLOTS.index(mark)]
        assert kind is not None
        mark = self._by_label(match["inner"])
        return _FAINT[SLOTS.index(mark)] if self._numeric else mark

    def _names(self, word: str) -> bool:
        return word.isdigit() or word.casefold() in self._slot

    def _by_label(self, word: str) -> str:
        slot = self._slot.get(" ".join(word.split()).casefold())
        return _OUTSIDE if slot is None else SLOTS[slot]

    def _by_number(self, word: str) -> str:
        value = int(word) if word.isdecimal() else next((n for pattern, n in self._words if pattern.fullmatch(word)), 0)
        slot = self._numbers.get(value)
        return _OUTSIDE if slot is None else SLOTS[slot]


def _without_common_head(texts: list[str]) -> tuple[list[str], list[str]]:
    """Split ``Video A, Video B, Video C`` into the word they share and what tells them apart."""
    parts = [re.fullmatch(r"(.*?)[\s_#-]*([^\W\d_]+|\d+)", text) for text in texts]
    heads = {part[1].casefold() for part in parts if part}
    cores = [part[2] for part in parts if part]
    if len(cores) == 3 and len(heads) == 1 and "" not in heads and len({core.casefold() for core in cores}) == 3:
        return list(heads), cores
    return [], texts


def _value(core: str, cores: Sequence[str]) -> int | None:
    """The number that a label is, if it is one."""
    if core.isdecimal():
        return int(core)
    roman = {"i": 1, "ii": 2, "iii": 3}
    if all(other.casefold() in roman for other in cores):
        return roman[core.casefold()]
    return next(
        (n for words in (_DIGITS, _ORDINALS) for n, word in enumerate(words, 1) if re.fullmatch(word, core, re.I)), None
    )


def _is_letter(core: str) -> bool:
    return len(core) == 1 and core.lower() != core.upper()


def _is_word(core: str) -> bool:
    """Whether a single letter is a word of its own in one of the languages (article, pronoun, conjunction)."""
    return core.casefold() in set("aioeuyаиоувксяà") or core.casefold() == "i"


def _spelling(core: str) -> str:
    """A label beside a noun or between brackets, in any case; a letter that is a word must not run on."""
    escaped = re.escape(core).replace(r"\ ", r"\s")
    if _is_letter(core) and _is_word(core):
        upper, lower = re.escape(core.upper()), re.escape(core.lower())
        loose = rf"(?-i:{upper})" if core.casefold() == "a" else rf"(?-i:{upper}){_TIGHT_I}"
        return rf"(?:{loose}|(?-i:{lower}){_STOP})"
    if core.casefold() in {"one", "two", "three"}:
        return rf"{escaped}{_END}{_TIGHT}"
    return escaped


# "I" is a label before the verb of a third person, and at the end of a clause, but a pronoun before a comma.
_TIGHT_I = (
    r"(?:(?= ?(?:$|[\n.;:!?)\]}>\"'/|&=]))|(?=,? (?:and |or )?III?\b)|(?= (?:is|evokes|differs|stands|seems"
    r"|elicits|conveys)\b))"
)


def _spelling_in_text(core: str) -> str:
    """A label that stands alone and is beyond doubt; a pattern that matches nothing where there is no such form."""
    escaped = re.escape(core).replace(r"\ ", r"\s")
    if _is_letter(core):
        upper = rf"(?-i:{re.escape(core.upper())})"
        if core.casefold() == "i":
            return upper + _TIGHT_I
        return rf"{upper}(?:{_TIGHT}|(?='s\b)|(?= ?[({ODD}]))" if _is_word(core) else rf"{upper}(?!\+|\#)"
    if core.casefold() in {"ii", "iii"}:
        return rf"(?-i:{escaped.upper()})"
    if re.search(r"[^\W\d_]", core) and re.search(r"\d| ", core):
        return escaped
    return r"(?!)"


def _faint_spelling(core: str) -> str:
    """A label that could be an ordinary word or number where it stands alone."""
    escaped = re.escape(core).replace(r"\ ", r"\s")
    if _is_letter(core):
        return rf"(?-i:{re.escape(core.lower())}){_STOP if _is_word(core) else ''}"
    return rf"(?<![\d][.,:/-]){escaped}" if core.isdecimal() else escaped


@lru_cache(maxsize=64)
def mentions_of(labels: tuple[str, ...], noun: str) -> Mentions:
    """The finder for these labels, compiled once."""
    return Mentions(labels, noun)
