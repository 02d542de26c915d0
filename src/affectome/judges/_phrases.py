"""The forms in which a conclusion is written, and what around them takes it back; over the marks of :mod:`._mentions`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from affectome.judges._mentions import ANY, NAMED, ODD, OTHERS

__all__ = ["FORMS", "Form", "rivals"]


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a conclusion.

    Attributes
    ----------
    pattern : compiled expression with the group ``slot``
    firm : bool
        Whether it says that the slot is the odd one, rather than that it differs.
    slot_first : bool
        Whether the slot is the subject, before the words that conclude.
    alone : bool
        Whether the clause must end with the slot, since it would else be the subject of another statement.
    formal : bool
        Whether it answers in so many words, so that an aspect named in the same sentence does not matter.
    """

    pattern: re.Pattern[str]
    firm: bool = True
    slot_first: bool = False
    alone: bool = False
    formal: bool = False


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.I)


_CJK = "\u3040-\u30ff\u3400-\u9fff"
_WORD_START = rf"(?<![^\W_{_CJK}])"
_OPEN, _CLOSE = r"[(\[<{\"':]{0,3}", r"[)\]>}\"']{0,3}"
_SLOT = rf"{_OPEN} ?(?P<slot>{ANY})"
_SURE = rf"{_OPEN} ?(?P<slot>{NAMED})"
# As the subject of a sentence; a label that may be an ordinary word or number only where the sentence begins, or in brackets.
_TOPIC = rf"{_OPEN} ?(?P<slot>{NAMED}|(?:(?<![^\n])|(?<=[.!?;,] )|(?<=[(<\[\"'])){ANY})"
_AND = r"(?:,? ?and/or|,? and|,? or|,? plus|, ?|; ?|,? (?:then|followed by|as well as|along with|together with|sowie|bzw\.|beziehungsweise|ó|ainsi que|así como)| ?[/&|+、] ?| vs\.?| und| oder| y| o| u| et| ou| e| и| или|,? ?(?:或者?|还是|和|与|及|以及|か|または|もしくは|と))"
_LOOSE_AND = r"(?: ?and/or|,? and|,? or| ?[/&|+、] ?| und| oder| y| o| u| et| ou| e| и| или| ?(?:或者?|还是|和|与|及|か|または|と))"
_ADVERB = (
    r"(?:clearly|definitely|obviously|probably|most likely|likely|therefore|thus|then|indeed|really|certainly|undoubtedly|surely|simply|just"
    r"|emotionally|noticeably|by far|again|still|also|in my opinion|in my view|claramente|probablemente|eindeutig|wahrscheinlich|clairement"
    r"|probablement|claramente|provavelmente|явно|скорее всего)"
)
_DET = r"(?:the|that|it is|it's|to be|would be|with|el|la|le|(?-i:[oa])|das|die|der|den|c'est|es|в|на)"
_IS = (
    r"(?:is|was|are|were|would be|will be|must be|has to be|should be|seems(?: to be)?|appears(?: to be)?|remains|becomes|represents|as|to be"
    r"|es|sería|parece ser|ist|wäre|lautet|est|serait|é|e|seria|это|является|будет|是|为|為|就是|应该是|應該是|应为|が|は|:|=|=>|->|→|⇒|—|–|-)"
)
_ANSWER = (
    r"(?:answer|choice|selection|verdict|conclusion|pick|decision|judge?ment|response|result|output|odd_one_out|odd_one|odd|selected|chosen|prediction"
    r"|most_different|label"
    r"|正确答案|最终答案|答案|回答|选择|選擇|我的选择|结论|結論|正解|解答|答え|こたえ"
    r"|respuesta|elección|antwort|lösung|auswahl|entscheidung|réponse|choix|ответ|выбор|resposta|escolha)"
)
_ABOUT = (
    r"(?: (?:here|video|clip|one|emotionally|overall|of|among|amongst|between|the|these|three|all|videos|clips|in|terms|emotions?|emotional(?:ly)?|tone|to me|set"
    r"|group|trio|evoked|by|for|this|that|from|letter|option|number|final|question|is|final|correct|mood|feelings?|affective|affect|evokes|which|differs?"
    r"|entre|los|las|tres|von|den|drei|des|parmi|les|trois|dos|da|de|из|трёх|трех|es|est|é|correcta|final|finale|richtige|moi|out|most)|"
    + OTHERS
    + rf"| ?{OTHERS}| \([^()\n]{{0,40}}\)){{0,8}}"
)
_AMONG = rf"(?: ?,? ?(?:among|between|of|from|out of) (?:the )?{ANY}{_AND} ?{ANY}(?:{_AND} ?{ANY})?,?)?"
_CHOOSE = (
    r"(?:choose|chose|have chosen|pick|picked|select|selected|would go with|go with|went with|opt for|vote for|settle on|decide on|nominate|identify"
    r"|elijo|elegiría|escojo|selecciono|me quedo con|opto por|wähle|nehme|würde|entscheide mich für|tippe auf|choisis|choisirais|sélectionne|dirais"
    r"|opte pour|выбираю|выбрал|выбрала|выберу|выбрал бы|escolho|escolheria|seleciono|fico com)"
)
_THINK = r"(?:say|think|believe|conclude|guess|judge|answer|feel|would argue|creo|diría|pienso|denke|glaube|meine|pense|crois|думаю|считаю|acho|diria)"
_SO = (
    r"(?:so|therefore|thus|hence|consequently|accordingly|in conclusion|to conclude|in summary|overall|ultimately|ergo|finally|in the end"
    r"|leaving|which leaves|that leaves|this leaves|leaves|por lo tanto|por tanto|así que|en conclusión|daher|deshalb|somit|folglich|also|donc"
    r"|par conséquent|поэтому|значит|следовательно|итак|portanto|logo|por isso|所以|因此|故|综上|よって|したがって|従って|なので)"
)
_ODD = rf"(?:the |my |an? |our |el |la |le |o |a |der |die |das |самое |)?(?:(?:clear|obvious|single|emotional|real|true|only) )?{ODD}"
# What would make the odd phrase the subject of another statement, or compare with one other only.
_NOT_MORE = rf"(?! ?(?:is|:|=|would be|must be) )(?! (?:from|to|than) (?:the )?{ANY}{_CLOSE}(?!,? (?:and|or) {ANY}))"
_SUBJECT = r"(?:'s)?(?: emotions?| emotional \w+| mood| tone)?(?: ?\([^()\n]{0,80}\))?"
_STANDS = (
    rf"(?: (?:very |most |quite |so |{_ADVERB} ){{0,2}}(?:stands? out|sticks out|differs?\b(?!(?: \w+){{0,3}} (?:from|to) {ANY})|does not (?:belong|fit)|doesn't (?:belong|fit)"
    rf"|(?:is|are|feels|seems|evokes|elicits|has|conveys)[^.,;:!?\n{ODD}\ue000-\ue006]{{0,50}}(?:different|distinct\w*|unlike|contrast\w*|dissimilar)[^.;:!?\n\ue000-\ue006]{{0,40}}{OTHERS}"
    rf"|is [^.,;:!?\n\ue000-\ue006]{{0,20}}(?:different|distinct|dissimilar|unlike) (?:from |to )?(?:both )?(?P<one>{NAMED}),? (?:and|or) (?P<two>{NAMED}))"
    rf"| (?:es|se) (?:muy )?(?:diferente|distint[oa]|diferencia|distingue) (?:de )?{OTHERS}"
    rf"| (?:unterscheidet sich(?: am meisten| deutlich| stark)?|passt nicht)(?:(?: von| zu)? ?{OTHERS})?"
    rf"| (?:se distingue|diffère|est différente?) ?{OTHERS}| (?:difere|é diferente) (?:dos )?{OTHERS}| отличается {OTHERS}"
    rf"|(?:和|与|跟|與) ?{OTHERS}(?:的)?(?:视频)?(?:情[绪感])?(?:明显|最|完全|显著|截然)?(?:的)?(?:不同|不一样)"
    rf"|(?:が|は)(?:最も|一番)?{OTHERS}(?:と|とは)?(?:最も|一番|大きく)?(?:異な|違))"
)

_SEPARATED = rf"[\"'\])]{{0,2}}(?P<fill>{_ABOUT})(?P<broken> ?(?:{_IS}|,? \"? ?:)(?: ?(?:{_IS}))?\"? ?\n?)"
_LEAD = rf"(?:\"|{_ADVERB},? |{_DET} |{_ADVERB} ){{0,3}}"

#: Conclusions that name the slot in so many words, then those that only say that it differs.
FORMS = (
    Form(
        _compile(
            rf"{_WORD_START}(?P<other>(?:second|other|wrong|incorrect|alternative|next|previous|first|possible|example|sample|initial|their|his|her|your|user's)[ _])?"
            rf"(?:final[ _])?{_ANSWER}{_SEPARATED}{_LEAD}{_SLOT}"
        ),
        formal=True,
    ),
    Form(_compile(rf"{ODD}{_AMONG}{_SEPARATED}{_LEAD}{_SLOT}")),
    Form(
        _compile(rf"(?:{_WORD_START}(?:answer|differs(?: most)?)|{ODD}) ?\? ?{_LEAD}{_SURE}(?= ?{_CLOSE}(?:[.!\n]|$))"),
        formal=True,
    ),
    Form(
        _compile(
            rf"{_TOPIC}{_CLOSE}(?P<fill>{_SUBJECT}(?:, [^,.;:!?\n\ue000-\ue011]{{1,60}},)?) ?{_IS} (?:{_ADVERB} ){{0,2}}{_ODD}{_NOT_MORE}"
        ),
        slot_first=True,
    ),
    Form(
        _compile(
            rf"{_TOPIC}{_CLOSE}(?P<fill>)(?: ?(?:是|が|は|—|–|это|为)? ?(?:{_ADVERB} )?{ODD}| (?:the |our |el |la |le |o |der |die |das ){ODD}){_NOT_MORE}"
        ),
        slot_first=True,
    ),
    Form(
        _compile(
            rf"{_TOPIC}{_CLOSE}(?P<fill>{_SUBJECT}) (?:is|would be|was) (?:{_ADVERB} )?(?:my|the) (?:final |correct |right )?(?:answer|choice|pick|selection)\b"
        ),
        slot_first=True,
        formal=True,
    ),
    Form(
        _compile(
            rf"{_WORD_START}(?:I|we|I'd|I'll|I'm|let's|ich|yo|je|j'|я|eu|me)(?P<fill>(?: (?:would|will|have to|must|shall|can|{_ADVERB}|had to|only|also|am)){{0,3}}) ?"
            rf"{_CHOOSE}:? {_LEAD}{_SLOT}"
        )
    ),
    Form(
        _compile(
            rf"(?:(?:^|[.!?\n:] ?|, ?){_CHOOSE}:? |{_WORD_START}(?:我)?(?:选择?|選擇?|我认为是?|我認為是?)(?:了|的是|是)?[: ]?){_LEAD}{_SLOT}"
        )
    ),
    Form(
        _compile(
            rf"{_WORD_START}(?:I|I'd|we|I'm|ich|yo|je|я|eu|creo|acho|думаю|me)(?P<fill>(?: (?:would|will|{_ADVERB}|have to|must|am going to)){{0,2}}) ?{_THINK}(?: (?:that|que|dass|что))?:?,? {_LEAD}{_SURE}"
        ),
        alone=True,
    ),
    Form(
        _compile(
            rf"(?:^|[ ,;.!?\n—–-]){_SO}(?P<fill>)(?:[,:]? ?(?:it is|it's|it must be|it has to be|it would be|that's|that is|I'd say|I choose|I pick|only|us with|with|just|es|ist es|c'est|это|é|是|选择?|选)){{0,2}}[,:]? ?{_LEAD}{_SURE}"
        ),
        alone=True,
    ),
    Form(
        _compile(
            rf"(?:^|[.!?\n。] ?)(?:it's|it is|it would be|it must be|that's|that would be|c'est|es ist|das ist|es|é|это|是|选|選) ?{_LEAD}{_SURE}(?=(?: ?(?:は?です|だ|である))?{_CLOSE}[.!。]? ?(?:\n|$))"
        )
    ),
    Form(
        _compile(
            rf"(?:^|\n|[。]){_OPEN}(?P<slot>{NAMED}){_CLOSE}(?:です|だと思います|を選びます|を選択します|だ|项|项。|個|吧|を選ぶ)[.。! ]*(?=\n|$)"
        )
    ),
    Form(
        _compile(rf"{_TOPIC}{_CLOSE}(?P<fill>)(?:を選びます|を選択します|を選びました|だと思います)"), slot_first=True
    ),
    Form(
        _compile(
            rf"^{_TOPIC}{_CLOSE}(?P<fill>),? (?:because|since|as it|weil|porque|parce que|потому что|因为|なぜなら)"
        ),
        slot_first=True,
    ),
    Form(
        _compile(
            rf"(?:^|[.!?\n;,—–-] ?)(?:or |but |oh,? |hmm,? )?(?:(?:wait|actually|correction|rather|on second thought|make that|I mean|scratch that|sorry|strike that)[,.:!—–-]{{0,3}}|no[,.:!—–-]{{1,3}}) ?(?:(?:it's|it is|it should be|it must be|no|I mean|make that|actually|make it|I'll go with|the answer is),? ){{0,2}}{_LEAD}{_SURE}"
        ),
        alone=True,
    ),
    Form(_compile(rf"{_TOPIC}{_CLOSE}(?P<fill>{_SUBJECT}){_STANDS}"), firm=False, slot_first=True),
)

ANSWER_NONE = _compile(
    rf"(?:{_WORD_START}(?:final[ _])?{_ANSWER}|{ODD}){_SEPARATED}{_LEAD}(?:\"|<|\()?(?:none|neither|nothing|no (?:one|video|clip)|not (?:clear|possible|sure|applicable|any)|unclear|unknown|undetermined|n/a|null|all (?:three|of)|all$"
    rf"|both|a tie|impossible|cannot|ninguno|ninguna|keine[srn]?|aucune?|нет|ни один|nenhum|没有|無|なし|都)(?!\w)"
)

#: Where sentences end. A full stop inside a number or an abbreviation does not.
SENTENCE_END = re.compile(rf"[!?。\n]|(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\bno)(?<!\bNo)\.(?=[\s\"')\]]|$)")
CLAUSE_START = _compile(
    r";|,? ?\b(?:so|therefore|thus|hence|consequently|but|which (?:means|makes|leaves)|making|leaving|whereas|however|because|daher|deshalb|also|pero|así que"
    r"|por lo tanto|mais|donc|но|поэтому|portanto|mas)\b|所以|因此|但是?|よって|したがって|なので"
)
SUBORDINATE = _compile(
    r" ?(?:while|although|though|even though|since|because|as|unlike|whereas|if (?:I|we) (?:had to|must|have to)|given|despite|aunque|obwohl|während|bien que|хотя|embora)\b"
)

#: Words before a conclusion that deny, suppose or soften it.
TAKEN_BACK_BEFORE = _compile(
    r"(?:\b|(?<=n))(?:not|n't|never|neither|nor|cannot|hardly|nobody|without|ruled?|ruling|exclud\w*|reject\w*|eliminat\w*|dismiss\w*|unlikely|doubt\w*|wrong\w*"
    r"|incorrect\w*|mistak\w*|false|whether|unless|suppos\w*|assum\w*|imagine|pretend|hypothe\w*|could|might|may|maybe|perhaps|possibl[ey]|argu\w*|at first"
    r"|initially|first glance|tempt\w*|superficially|wonder\w*|examples?|e\.g\.|(?:this|the) (?:form|format)|should|disagree|say why|explain why|not sure|unsure|uncertain|torn|either|or|almost"
    r"|consider (?:whether|if|that)|see (?:if|whether)|check (?:if|whether)|no (?:way|reason|evidence)|instead of|rather than|nobody"
    r"|no (?:creo|pienso|es)|tal vez|quizás?|nicht|kein\w*|vielleicht|könnte|möglicherweise|ne|n'est|pas|peut-être|pourrait|не|может|возможно|não|talvez|pode)(?!\w)"
    r"|n't\b|不(?!同|一样|仅|过)|没|并非|可能|除了|也许|或许|如果|かもしれ|もし"
)
TAKEN_BACK_AFTER = _compile(
    r"[)\]>}\"']{0,3},? ?(?:(?:is|was|would be|seems) (?:not|wrong|incorrect|excluded|eliminated|ruled out|unlikely|probably not)|isn't|wasn't|(?:is|was) (?:the )?(?:wrong|incorrect)"
    r"|(?:maybe|perhaps|possibly|I guess\?|or not|not really|if|only if|unless)\b|\?|(?:では|じゃ)(?:ない|ありません|なく)|でも|とは|も(?!っ)|かもしれ|でしょうか|(?:吗|嗎|呢|么)|不是|in terms of ?$)"
)
#: What the rest of the sentence may say to the same effect; then, with another slot after it, a rival.
TAKEN_BACK_LATER = _compile(
    rf"\bor (?:so|not|at least|maybe|perhaps)\b|so it (?:seems|appears)|\bat first\b|\bI disagree\b|\buntil\b|(?:ない|ません|なかった)[^\w]*$"
    rf"|\b(?:but|though|although|yet|however|except)\b[^.\n]{{0,60}}{ANY}(?! (?:and|or) {ANY})"
)
#: "The second half of A is ...": the slot is not the subject; but the emotions of A are.
NOT_SUBJECT = _compile(
    r"\b(?:of|in|after|before|than|from|like|unlike|with|by|between|to|except|without|but|not|no|nor|as|non-?) ?(?:the )?[(\[<{\"']{0,3}$"
)
EMOTIONS_OF = _compile(
    r"\b(?:emotions?|feelings?|moods?|tone|affect|emotional \w+)(?: \w+){0,2} (?:of|in|by|from) ?(?:the )?[(\[<{\"']{0,3}$"
)
#: Another slot in the few words that follow an answer, unless it is set against it.
ALSO = _compile(
    rf"{_CLOSE}[^\w\ue000-\ue006\n]*(?:(?!(?:not|over|unlike|nor|rather|instead|vs)\b)[^\W\d_]+[^\w\ue000-\ue006\n]*){{0,2}}(?P<slot>{ANY}){_CLOSE}[^\w\n]*(?:\n|$)"
)
CONDITION = _compile(
    r"\bif\b(?! (?:I|we|you|one) (?:had to|must|have to|were to|absolutely)\b)(?! forced)|\bunless\b|\bdepend(?:s|ing)\b|\bnot (?:entirely |completely |quite )?(?:sure|certain)\b|\b(?:unsure|uncertain)\b"
    r"|hard to (?:say|tell|decide)|\bwenn\b|\bfalls\b|\bsi (?!tuviera|je devais)|если|如果|もし"
)
OTHER_ASPECT = _compile(
    r"\b(?:visual\w*|colou?r\w*|styl\w*|topic\w*|theme\w*|thematic\w*|setting\w*|subject matter|subjects?|contents?|length|quality|location|camera|format|animat\w*|genre\w*|order|alphabet\w*|longest|shortest)\b"
)
EMOTION = _compile(
    r"emot|evok|\bfeel|tone|mood|affect|fear|joy|sad|ang(?:er|ry)|disgust|awe|calm|happ|scar|amus|anxi|horror|ten(?:se|sion)"
)

_CLAUSE_STOP = (
    rf"{_CLOSE} ?(?:$|[\n.,;!)\]>}}。、，]|(?:because|since|as (?:it|the|its)|due to|for (?:its|being)|given|by (?:far|elimination)|here|here's|which|who|with|while|whereas|"
    rf"based on|according to|this time|overall|emotionally|as (?:the |my )?{ODD}|is (?:{_ADVERB} )?(?:the |my )?{ODD}|stands out|weil|denn|porque|pois|parce|car|"
    rf"потому|так как|instead|rather|then|final|the most|the {ODD}|most|it|its|this|the (?:reason|video|clip|others?))(?!\w)|[-–—(:]|因为|因為|です|だ|であ|,|{OTHERS})"
)
CLAUSE_STOP = _compile(_CLAUSE_STOP)
LINE_STOP = _compile(rf"{_CLOSE} ?[.!]?{_CLOSE} ?(?:\n|$|\([^()\n]{{0,120}}\) ?(?:\n|$))")
STATEMENT = _compile(
    rf"{_CLOSE}(?: ?\([^()\n]{{0,80}}\))?(?:'s\b| (?:is|was|are|evokes?|shows?|has|depicts?|seems?|feels?|conveys?|elicits?|portrays?|makes?|displays?|features?|contains?|presents?|describes?"
    rf"|looks?|appears?|captures|focuses|and|es|ist|est|é|muestra|zeigt|montre|mostra|показывает)\b|(?:是|表现|让人|展示|描述|は|が)| ?{ANY}(?= ?(?:{ANY}|[.,;!?\n]|$)))"
)
STANDS_OUT = _compile(
    rf"[^.;!?\n\ue000-\ue006]{{0,90}}(?:{ODD}|{OTHERS}|stands? out|differs? (?:the )?most|correct|right\b|my (?:answer|choice|pick)|does(?:n't| not) (?:fit|belong)|です|である|だ)"
)
#: A second possibility that names no slot ("B or D"), or that was cut off.
OPEN_END = _compile(
    rf"{_CLOSE}(?:,? (?:or|oder|o|ou|или|and/or|vs)(?!\w)| ?(?:或|还是|または|もしくは|/|か(?!ら))|,? (?:and|und|y|et|и)$)"
)
HEADING = _compile(rf"{_CLOSE} ?(?::|=| [-–—] )")
OTHER_HEADING = _compile(rf"(?:[\n,;.] ?){_OPEN}{ANY}{_CLOSE} ?(?::|=| [-–—] )")
LIST_MORE = _compile(
    rf"{_CLOSE}(?:{_AND} ?|(?= ?\((?=[\ue000-\ue006]))){{1,2}}(?: ?(?:maybe|perhaps|possibly|also|even|the|both|either|el|la|le|die|das|den|o|a) ){{0,2}} ?{_OPEN} ?(?P<slot>{ANY})"
)
LIST_BEFORE = _compile(rf"(?P<slot>{ANY}){_CLOSE}{_LOOSE_AND} ?(?:the )?{_OPEN}$")
_RIVAL = _compile(
    rf"(?:\b(?:could|might|may|can)(?: just)?(?: also| as well| equally| well| easily)*(?: be)?|\b(?:or|alternatively|maybe|perhaps|possibly|either|or maybe|or even)(?: (?:it's|it is|also|even|possibly|perhaps|maybe|the))*|\bor rather)[,:]? {_OPEN}(?P<slot>{ANY})"
    rf"(?!(?: and|,)? ?{ANY})(?! (?:evok|is|was|show|both)\w*)"
)
_RIVAL_SUBJECT = _compile(
    rf"(?P<slot>{ANY}){_CLOSE}(?: (?:could|might|may)(?: also| just as well| equally| well| as well)*(?: be\b)?(?: the)?(?: ?{ODD}| chosen| an?| considered| argued| work| qualify| too|[.,!\n]|$)"
    rf"| (?:is|would|could|might|may|can|was)\b(?: (?:also|just|as|equally|be|another|an?|well|quite|almost|nearly|the|very|good|strong|close)){{0,5}}(?: (?:possib\w+|plausible|candidate|option"
    rf"|contender|likely|choice|valid|defensible)| ?(?<=also )(?:different|{ODD})))"
)


def rivals(text: str, start: int, stop: int) -> Iterator[str]:
    """Marks of the slots that a stretch of text holds possible: "or maybe C", "it could also be C", "C is as plausible"."""
    for pattern in (_RIVAL, _RIVAL_SUBJECT):
        for match in pattern.finditer(text, start, stop):
            yield match["slot"]


EITHER = _compile(
    rf"(?:either )?(?P<slot>{ANY}){_CLOSE}(?:,? (?:or|oder|o|ou|или)|(?<=^{NAMED}),(?= ?{ANY}$))(?: (?:the|maybe|perhaps|possibly|even))* ?{_OPEN}(?P<second>{ANY})"
)
ALL_ALIKE = _compile(
    r"\b(?:all (?:of them|three|of the|the)|they all|they are all|the three(?: (?:videos|clips))?)\b[^.!?\n]{0,40}\b(?:equally|the same|similar\w*|alike|identical\w*|equal|no difference)\b"
    r"|\bnone of (?:them|these|the (?:three|videos|clips|above|options))\b|\bno (?:clear |obvious |real |single )?(?:answer|odd|difference)\b|\bthere(?: is|'s) no (?:clear |obvious |real )*"
    + ODD
    + r"|\bno (?:clear |obvious |real |single )*"
    + ODD
    + r"|\bnone\b ?(?:[.!\n]|$)|都(?:一样|相同|很相似|差不多)|三个.{0,12}(?:相同|一样|相似)|どれも(?:同じ|似)|全て同じ|\blos tres\b[^.\n]{0,30}igual|\bninguno\b|\balle drei\b[^.\n]{0,30}(?:gleich|ähnlich)"
    r"|\bkein(?:e|es|er)\b|\bles trois\b[^.\n]{0,30}(?:similaires|identiques|pareil)|\baucune?\b|все три[^.\n]{0,30}(?:одинаков|похож)|\bnenhum\w*|\b[oa]s três\b[^.\n]{0,30}(?:iguais|semelhantes)"
)
RETRACTION = _compile(
    r"(?:^|[.!?\n;—–)-] ?|, |\.\.\. ?)(?P<marker>(?:but |oh,? |hmm,? |um,? |ah,? )?(?:no,? )?(?:wait\b|actually\b|on (?:second thought|reflection|reconsideration)|upon (?:reflection|reconsideration|further)|correction\b"
    r"|scratch that|strike that|let me (?:reconsider|rethink|re-think|correct|revise|re-?evaluate|re-?examine|think again)|hold on\b|I take (?:that|it) back|I was wrong|I made (?:a mistake|an error)|(?:I'm |I am )?sorry\b|or rather\b|rather,"
    r"|I mean\b|my mistake|apologies|I change my|make that|thinking again|no, (?=[^\n]{0,30}[\ue000-\ue006])))"
)

LINE = re.compile(r"[^\n]+")
BARE_LINE = _compile(
    rf"{_OPEN} ?{_SLOT}{_CLOSE}(?: ?[(,/|=-] ?{_OPEN}{ANY}{_CLOSE})?(?: ?(?:or|and|oder|o|ou|и|или|和|或) {_OPEN}{ANY}{_CLOSE})?[ .!。)]{{0,4}}"
)
HEAD = _compile(rf"(?:\d+[.)] )?{_OPEN} ?(?P<slot>{ANY}){_CLOSE} ?(?:[:.)=,]|-|–|—|\(|$|\n)")
OPENING = _compile(
    rf"(?:[(\[<{{\"'] ?)?(?P<slot>{NAMED})(?:(?<=[(\[<{{\"'].)[)\]>}}\"'])?(?P<end>[.!]?{_CLOSE} ?\n|[.,);!–—-](?! ?\d))"
)
#: What makes a slot at the beginning an answer: a comparison, or a reason on a line of its own.
COMPARED = _compile(rf"(?:\b(?:unlike|from|than|whereas|while|but)|[.;,)–—-]|\n) ?{OTHERS}")
REASON_LINE = _compile(
    r"\n(?:(?:my |the )?(?:reason(?:ing)?|explanation|rationale|justification)\b ?[:.\n]|because it\b|理由|原因|begründung|justificación|razón|raison|причина|motivo)"
)
ANY_HEAD = _compile(rf"(?P<slot>{ANY}){_CLOSE} ?(?:[:.)=](?!\w)|\n)")
FINISHED = re.compile(r"[.!?。\"')\]}>*…][)\]}\"'>]*$|[\ue000-\ue003][)\]}\"'>.]*$")

#: A request to refuse is not to be parsed, whatever labels it holds.
REFUSAL = _compile(
    r"\bas an? (?:ai|artificial|(?:large )?language|text-based|llm)\b"
    r"|\b(?:i|we)(?:'m| am|'re)? ?(?:really |currently |also |unfortunately |,? ?afraid (?:that )?i )?(?:(?:cannot|can ?not|can't|couldn't|could not|won't|will not|am unable to|unable to|not able to|do not have the (?:ability|capability|capacity) to"
    r"|don't have the (?:ability|capability|capacity) to|not capable of|not comfortable|not going to|refuse to|decline to|must decline|have to decline)(?: (?:directly|actually|truly|really|reliably|confidently|definitively|currently|in good conscience)){0,2}"
    r" ?(?:watch|view|see|access|play|open|hear|perceive|process|analy[sz]e|evaluate|assess|determine|choose|pick|select|decide|tell|answer|help|assist|provide|identify|judge|comply|complete|fulfil|make|give|say|respond|do (?:this|that)|experience|feel"
    r"|compare|name|engage|continue|discuss|watching|viewing|decline)?\w*)\b(?<!\bcannot)(?<!\bcan't)"
    r"|\bmust decline|\bi (?:don't|do not) (?:see|have) (?:any |access to |the )?(?:videos?|clips?|attachments?|eyes)|\bplease (?:provide|share|upload|attach|send)\b"
    r"|\b(?:videos?|clips?) (?:were|was|are|is|have|has) not (?:been )?(?:provided|attached|visible|available|shared|included)|\bno (?:videos?|clips?) (?:were|was|have|has|are|is) (?:been )?(?:provided|attached|shared|included|visible)"
    r"|\bunable to (?:watch|view|access|see|process|determine|analy[sz]e)"
    r"|(?:无法|不能|没法|無法)(?:直接)?(?:观看|查看|看到|判断|回答|分析|访问|选择|确定|提供|處理|观察|觀看)|作为(?:一个|一名|一款)?(?:ai|人工智能|语言模型|大语言)|抱歉"
    r"|(?:視聴|再生|判断|回答|お答え|見る|閲覧|確認)(?:すること)?(?:は|が|も)?(?:でき|出来)(?:ません|ない)|申し訳(?:ありません|ございません|ない)|ai(?:として|なので|である)"
    r"|\bno puedo\b|\bcomo (?:una? )?(?:ia|modelo de lengu|inteligencia|modelo de linguagem)|\blo siento\b|\bich kann [^.\n]{0,60}nicht\b|\bals (?:ki|sprachmodell|künstliche)|\bes tut mir leid\b|\bleider kann ich\b"
    r"|\bje ne (?:peux|suis|puis)\b|\ben tant qu(?:'|e )(?:ia|modèle|intelligence|une ia|un modèle)|\bje suis désolée?\b|\bdésolée?\b|я не могу|как (?:ии\b|языковая модель|искусственный)|\bnão (?:posso|consigo)\b|\bdesculpe\b"
)
