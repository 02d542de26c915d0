"""The forms in which a conclusion is written, over the marks of :mod:`._mentions`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from affectome.judges._mentions import ANY, NAMED, ODD, OTHERS

__all__ = ["ANSWER_NONE", "FORMS", "Form", "Phrase", "ADVERB", "AND", "CLOSE", "LOOSE_AND", "OPEN", "SLOT", "compiled"]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A pattern, and texts of which one must occur where it matches: looking for those first is far faster."""

    pattern: re.Pattern[str]
    stems: tuple[str, ...] = ()

    def search(self, text: str, lowered: str, start: int = 0) -> Iterator[re.Match[str]]:
        """All matches in a text, of which the lower-case form is at hand."""
        if self.stems and not any(stem in lowered for stem in self.stems):
            return iter(())
        return self.pattern.finditer(text, start)


@dataclass(frozen=True, slots=True)
class Form(Phrase):
    """One way to write a conclusion; its pattern has the group ``slot``.

    Attributes
    ----------
    firm : bool
        Whether it says that the slot is the odd one, rather than that it differs.
    slot_first : bool
        Whether the slot is the subject, before the words that conclude.
    alone : bool
        Whether the clause must end with the slot, since it would else be the subject of another statement.
    formal : bool
        Whether it answers in so many words, so that an aspect named in the same sentence does not matter.
    """

    firm: bool = True
    slot_first: bool = False
    alone: bool = False
    formal: bool = False


def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.I)


_CJK = "\u3040-\u30ff\u3400-\u9fff"
WORD_START = rf"(?<![^\W_{_CJK}])"
OPEN, CLOSE = r"[(\[<{\"':]{0,3}", r"[)\]>}\"']{0,3}"
SLOT = rf"{OPEN} ?(?P<slot>{ANY})"
_SURE = rf"{OPEN} ?(?P<slot>{NAMED})"
# As the subject of a sentence; a label that could be an ordinary word or number only at its beginning, or in brackets.
_TOPIC = rf"(?P<slot>{ANY})(?:(?<={NAMED})|(?<![\s\S]{{2}})|(?<=\n{ANY})|(?<=[.!?;,] {ANY})|(?<=[(<\[\"']{ANY}))"
AND = (
    r"(?:,? ?and/or|,? and|,? or|,? plus|, ?|; ?|,? (?:then|followed by|as well as|along with|together with|sowie"
    r"|bzw\.|beziehungsweise|ó|ainsi que|así como)| ?[/&|+、] ?| vs\.?| und| oder| y| o| u| et| ou| e| и| или"
    r"|,? ?(?:或者?|还是|和|与|及|以及|か|または|もしくは|と))"
)
LOOSE_AND = (
    r"(?: ?and/or|,? and|,? or| ?[/&|+、] ?| und| oder| y| o| u| et| ou| e| и| или| ?(?:或者?|还是|和|与|及|か|または"
    r"|と))"
)
ADVERB = (
    r"(?:clearly|definitely|obviously|probably|most likely|likely|therefore|thus|then|indeed|really|certainly"
    r"|undoubtedly|surely|simply|just"
    r"|emotionally|noticeably|by far|again|still|also|in my opinion|in my view|claramente|probablemente|eindeutig"
    r"|wahrscheinlich|clairement"
    r"|probablement|claramente|provavelmente|явно|скорее всего)"
)
_DET = r"(?:the|that|it is|it's|to be|would be|with|el|la|le|(?-i:[oa])|das|die|der|den|c'est|es|в|на)"
_IS = (
    r"(?:is|are|would be|will be|must be|has to be|should be|seems(?: to be)?|appears(?: to be)?|remains"
    r"|becomes|represents|as|to be"
    r"|es|sería|parece ser|ist|wäre|lautet|est|serait|é|e|seria|это|является|будет|是|为|為|就是|应该是|應該是|应为"
    r"|が|は|:|=|=>|->"
    r"|→|⇒|—|–|-)"
)
_ANSWER = (
    r"(?:answer|choice|selection|verdict|conclusion|pick|decision|judge?ment|response|result|output|odd_one_out"
    r"|odd_one|odd|selected|chosen|prediction"
    r"|most_different|label"
    r"|正确答案|最终答案|答案|回答|选择|選擇|我的选择|结论|結論|正解|解答|答え|こたえ"
    r"|respuesta|elección|antwort|lösung|auswahl|entscheidung|réponse|choix|ответ|выбор|resposta|escolha)"
)
_ANSWER_STEMS = (
    *(
        "answer",
        "choice",
        "selection",
        "verdict",
        "conclusion",
        "pick",
        "decision",
        "judg",
        "response",
        "result",
        "output",
    ),
    *(
        "odd",
        "select",
        "chosen",
        "prediction",
        "different",
        "label",
        "答",
        "选",
        "選",
        "论",
        "論",
        "解",
        "こたえ",
        "respuesta",
    ),
    *(
        "elección",
        "antwort",
        "lösung",
        "auswahl",
        "entscheidung",
        "réponse",
        "choix",
        "ответ",
        "выбор",
        "resposta",
        "escolha",
    ),
)
_ABOUT = (
    r"(?: (?:here|video|clip|one|emotionally|overall|of|among|amongst|between|the|these|three|all|videos|clips|in"
    r"|terms|emotions?|emotional(?:ly)?|tone|to me|set"
    r"|group|trio|evoked|by|for|this|that|those|from|letter|option|number|final|question|is|final|correct|mood"
    r"|feelings?"
    r"|affective|affect|evokes|which|differs?"
    r"|entre|los|las|tres|von|den|drei|des|parmi|les|trois|dos|da|de|из|трёх|трех|es|est|é|correcta|final|finale"
    r"|richtige|moi|out|most)|" + OTHERS + rf"| ?{OTHERS}| \([^()\n]{{0,40}}\)){{0,8}}"
)
_AMONG = rf"(?: ?,? ?(?:among|between|of|from|out of) (?:the )?{ANY}{AND} ?{ANY}(?:{AND} ?{ANY})?,?)?"
_CHOOSE = (
    r"(?:choose|chose|have chosen|pick|picked|select|selected|would go with|go with|went with|opt for|vote for"
    r"|settle on|decide on"
    r"|elijo|elegiría|escojo|selecciono|me quedo con|opto por|wähle|nehme|entscheide mich für|tippe auf"
    r"|choisis|choisirais|sélectionne|dirais"
    r"|opte pour|выбираю|выбрал|выбрала|выберу|выбрал бы|escolho|escolheria|seleciono|fico com)"
)
_THINK = (
    r"(?:say|think|believe|conclude|guess|judge|answer|feel|would argue|creo|diría|pienso|denke|glaube|meine|pense"
    r"|crois|думаю|считаю|acho|diria)"
)
_SO = (
    r"(?:so|therefore|thus|hence|consequently|accordingly|in conclusion|to conclude|in summary|overall|ultimately"
    r"|ergo|in the end"
    r"|leaving|which leaves|that leaves|this leaves|leaves|por lo tanto|por tanto|así que|en conclusión|daher"
    r"|deshalb|somit|folglich|also|donc"
    r"|par conséquent|поэтому|значит|следовательно|итак|portanto|logo|por isso|所以|因此|故|综上|よって|したがって"
    r"|従って|なので)"
)
_ODD = (
    rf"(?:the |my |an? |our |el |la |le |o |a |der |die |das |самое |)?(?:(?:clear|obvious|single|emotional|real"
    rf"|true|only) )?{ODD}"
)
# What would make the odd phrase the subject of another statement, or compare with one other only.
_NOT_MORE = rf"(?! ?(?:is|:|=|would be|must be) )(?! (?:from|to|than) (?:the )?{ANY}{CLOSE}(?!,? (?:and|or) {ANY}))"
_SUBJECT = r"(?:'s)?(?: emotions?| emotional \w+| mood| tone)?(?: ?\([^()\n]{0,80}\))?"
_STANDS = (
    rf"(?: (?:very |most |quite |so |{ADVERB} ){{0,2}}(?:stands? out|sticks out"
    rf"|differs?\b(?![^.;!?\n]{{0,40}}\b(?:from|to|in) (?!(?:those|that|the emotions) of {OTHERS}|{OTHERS}|emotion))"
    rf"|does not (?:belong|fit)|doesn't (?:belong|fit)"
    rf"|(?:is|are|feels|seems|evokes|elicits|has|conveys)(?P<gap>[^.,;:!?\n{ODD}\ue000-\ue006]{{0,50}})"
    rf"(?:different|differs?|distinct\w*|unlike|contrast\w*|dissimilar|{ODD})[^.;:!?\n\ue000-\ue006]{{0,40}}{OTHERS}"
    rf"|(?:is(?P<gap2>[^.,;:!?\n\ue000-\ue006]{{0,20}}) (?:different|distinct|dissimilar|unlike)"
    rf"|differs?(?: \w+){{0,3}})"
    rf" (?:from |to )?(?:both )?(?P<one>{NAMED}),? (?:and|or) (?P<two>{NAMED}))"
    rf"| (?:es|se) (?:muy )?(?:diferente|distint[oa]|diferencia|distingue) (?:de )?{OTHERS}"
    rf"| (?:unterscheidet sich(?! (?:nicht|kaum|wenig))(?: am meisten| deutlich| stark)?|passt nicht(?! (?:schlecht"
    rf"|nur)))(?:(?: von| zu)? ?{OTHERS})?"
    rf"| (?:se distingue|diffère|est différente?) ?{OTHERS}| (?:difere|é diferente) (?:dos )?{OTHERS}"
    rf"| отличается {OTHERS}"
    rf"|(?:和|与|跟|與) ?{OTHERS}(?:的)?(?:视频)?(?:情[绪感])?(?:明显|最|完全|显著|截然)?(?:的)?(?:不同|不一样)"
    rf"|(?:が|は)(?:最も|一番)?{OTHERS}(?:と|とは)?(?:最も|一番|大きく)?(?:異な|違))"
)

_SEPARATED = rf"[\"'\])]{{0,2}}(?P<fill>{_ABOUT})(?P<broken> ?(?:{_IS}|,? \"? ?:)(?: ?(?:{_IS}))?\"? ?\n?)"
_LEAD = rf"(?:\"|{ADVERB},? |{_DET} |{ADVERB} ){{0,3}}"

#: Conclusions that name the slot in so many words, then those that only say that it differs.
FORMS = (
    Form(
        compiled(
            rf"{WORD_START}(?P<other>(?:second|other|wrong|incorrect|alternative|next|previous|first|possible"
            rf"|example|sample|initial|their|his|her|your|user's)[ _])?"
            rf"(?:final[ _])?{_ANSWER}{_SEPARATED}{_LEAD}{SLOT}"
        ),
        _ANSWER_STEMS,
        formal=True,
    ),
    Form(compiled(rf"{ODD}{_AMONG}{_SEPARATED}{_LEAD}{SLOT}")),
    Form(
        compiled(rf"(?:{WORD_START}(?:answer|differs(?: most)?)|{ODD}) ?\? ?{_LEAD}{_SURE}(?= ?{CLOSE}(?:[.!\n]|$))"),
        formal=True,
    ),
    Form(
        compiled(
            rf"{_TOPIC}{CLOSE}(?P<fill>{_SUBJECT}(?:, [^,.;:!?\n\ue000-\ue011]{{1,60}},)?) ?{_IS} (?:{ADVERB}"
            rf" ){{0,2}}{_ODD}{_NOT_MORE}"
        ),
        slot_first=True,
    ),
    Form(
        compiled(
            rf"{_TOPIC}{CLOSE}(?P<fill>)(?: ?(?:是|が|は|—|–|это|为)? ?(?:{ADVERB} )?{ODD}| (?:the |our |el |la |le "
            rf"|o |der |die |das ){ODD}){_NOT_MORE}"
        ),
        slot_first=True,
    ),
    Form(
        compiled(
            rf"{_TOPIC}{CLOSE}(?P<fill>{_SUBJECT}) (?:is|would be|was) (?:{ADVERB} )?(?:my|the) (?:final |correct "
            rf"|right )?(?:answer|choice|pick|selection)\b"
        ),
        slot_first=True,
        formal=True,
    ),
    Form(
        compiled(
            rf"{WORD_START}(?:I|we|I'd|I'll|I'm|let's|ich|yo|je|j'|я|eu|me)(?P<fill>(?: (?:would|will|have to|must"
            rf"|shall|can|{ADVERB}|had to|only|also|am)){{0,3}}) ?"
            rf"{_CHOOSE}:? {_LEAD}{SLOT}"
        )
    ),
    Form(
        compiled(
            rf"(?:(?:^|[.!?\n:] ?|, ?){_CHOOSE}:? |{WORD_START}(?:我)?(?:选择?|選擇?|我认为是?|我認為是?)(?:了|的是"
            rf"|是)?[: ]?){_LEAD}{SLOT}"
        )
    ),
    Form(
        compiled(
            rf"{WORD_START}(?:I|I'd|we|I'm|ich|yo|je|я|eu|creo|acho|думаю|me)(?P<fill>(?: (?:would|will|{ADVERB}"
            rf"|have to|must|am going to)){{0,2}}) ?{_THINK}(?: (?:that|que|dass|что))?:?,? {_LEAD}{_SURE}"
        ),
        alone=True,
    ),
    Form(
        compiled(
            rf"(?:^|[ ,;.!?\n—–-]){_SO}(?P<fill>)(?:[,:]? ?(?:it is|it's|it must be|it has to be|it would be|that's"
            rf"|that is|I'd say|I choose|I pick|only|us with|with|just|es|ist es|c'est|это|é|是|选择?"
            rf"|选)){{0,2}}[,:]? ?{_LEAD}{_SURE}"
        ),
        alone=True,
    ),
    Form(
        compiled(
            rf"(?:^|[.!?\n。] ?)(?:(?:here|now|this time|yes),? )?(?:it's|it is|it would be|it must be|that's"
            rf"|that would be|c'est|es ist|das ist|es|é"
            rf"|это|是|选|選) ?{_LEAD}{_SURE}(?=(?: ?(?:は?です|だ|である))?{CLOSE}[.!。]? ?(?:\n|$))"
        )
    ),
    Form(
        compiled(
            rf"(?:^|\n|[。]){OPEN}(?P<slot>{NAMED}){CLOSE}(?:です|だと思います|を選びます|を選択します|だ|项|项。|個"
            rf"|吧|を選ぶ)[.。! ]*(?=\n|$)"
        )
    ),
    Form(compiled(rf"{_TOPIC}{CLOSE}(?P<fill>)(?:を選びます|を選択します|を選びました|だと思います)"), slot_first=True),
    Form(
        compiled(
            rf"^{_TOPIC}{CLOSE}(?P<fill>),? (?:because|since|as it|weil|porque|parce que|потому что|因为|なぜなら)"
        ),
        slot_first=True,
    ),
    Form(
        compiled(
            rf"(?:^|[.!?\n;,—–-] ?)(?:or |but |oh,? |hmm,? )?(?:(?:wait|actually|correction|rather|on second thought"
            rf"|make that|I mean|scratch that|sorry|strike that)[,.:!—–-]{{0,3}}|no[,.:!—–-]{{1,3}}) ?(?:(?:it's"
            rf"|it is|it should be|it must be|no|I mean|make that|actually|make it|I'll go with"
            rf"|the answer is),? ){{0,2}}{_LEAD}{_SURE}"
        ),
        alone=True,
    ),
    Form(compiled(rf"{_TOPIC}{CLOSE}(?P<fill>{_SUBJECT}){_STANDS}"), firm=False, slot_first=True),
)

ANSWER_NONE = Phrase(
    compiled(
        rf"(?:{WORD_START}(?:final[ _])?{_ANSWER}|{ODD}){_SEPARATED}{_LEAD}(?:\"|<|\()?(?:none|neither|nothing"
        rf"|no (?:one|video|clip)|not (?:clear|possible|sure|applicable|any)|unclear|unknown|undetermined|n/a|null"
        rf"|all (?:three|of)|all$"
        rf"|both|a tie|impossible|cannot|ninguno|ninguna|keine[srn]?|aucune?|нет|ни один|nenhum|没有|無|なし|都)(?!\w)"
    ),
    (*_ANSWER_STEMS, ODD),
)
