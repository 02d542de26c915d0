"""What around a conclusion takes it back; lists, lines and refusals; over the marks of :mod:`._mentions`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from affectome.judges._mentions import ANY, NAMED, ODD, OTHERS
from affectome.judges._phrases import ADVERB, AND, CLOSE, LOOSE_AND, OPEN, SLOT, Phrase, compiled

__all__ = [
    "ALL_ALIKE",
    "ALSO",
    "ANY_HEAD",
    "BARE_LINE",
    "CLAUSE_START",
    "CLAUSE_STOP",
    "COMPARED",
    "CONDITION",
    "EITHER",
    "EMOTION",
    "EMOTIONS_OF",
    "FINISHED",
    "HEAD",
    "HEADING",
    "LINE",
    "LINE_STOP",
    "LIST_BEFORE",
    "LIST_MORE",
    "NEXT_BARE",
    "NOT_SUBJECT",
    "OPENING",
    "OPEN_END",
    "OTHER_ASPECT",
    "OTHER_HEADING",
    "REASON_LINE",
    "REFUSALS",
    "RETRACTION",
    "SENTENCE_END",
    "STANDS_OUT",
    "STATEMENT",
    "SUBORDINATE",
    "TAKEN_BACK_AFTER",
    "TAKEN_BACK_BEFORE",
    "TAKEN_BACK_LATER",
    "WHOLE_SENTENCE",
    "rivals",
]

#: Where sentences end. A full stop inside a number or an abbreviation does not.
SENTENCE_END = re.compile(
    r"[.!?。\n](?:(?<!\.)|(?=[\s\"')\]]|$)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bvs\.)(?<!\bno\.)(?<!\bNo\.))"
)
CLAUSE_START = compiled(
    r";|,? ?\b(?:so|therefore|thus|hence|consequently|but|which (?:means|makes|leaves)|making|leaving|whereas"
    r"|however|because|daher|deshalb|also|pero|así que"
    r"|por lo tanto|mais|donc|но|поэтому|portanto|mas)\b|所以|因此|但是?|よって|したがって|なので"
)
SUBORDINATE = compiled(
    r" ?(?:while|although|though|even though|since|because|as|unlike|whereas|if (?:I|we) (?:had to|must|have to)"
    r"|given|despite|aunque|obwohl|während|bien que|хотя|embora)\b"
)

#: Words before a conclusion that deny, suppose or soften it.
TAKEN_BACK_BEFORE = compiled(
    r"(?:\b|(?<=n))(?:not|n't|never|neither|nor|cannot|hardly|nobody|without|ruled?|ruling|exclud\w*|reject\w*"
    r"|eliminat\w*|dismiss\w*|unlikely|doubt\w*|wrong\w*"
    r"|incorrect\w*|mistak\w*|false|whether|unless|suppos\w*|assum\w*|imagine|pretend|hypothe\w*|could|might|may"
    r"|maybe|perhaps|possibl[ey]|argu\w*|at first"
    r"|initially|first glance|tempt\w*|superficially|wonder\w*|examples?|e\.g\.|(?:this|the) (?:form|format)|should"
    r"|disagree|say why|explain why|not sure|unsure|uncertain|torn|either|or|almost"
    r"|consider (?:whether|if|that)|see (?:if|whether)|check (?:if|whether)|no (?:way|reason|evidence)|instead of"
    r"|rather than|nobody"
    r"|no (?:creo|pienso|es)|tal vez|quizás?|nicht|kein\w*|vielleicht|könnte|möglicherweise|ne|n'est|pas|peut-être"
    r"|pourrait|не|может|возможно|não|talvez|pode)(?!\w)"
    r"|n't\b|不(?!同|一样|仅|过)|没|并非|可能|除了|也许|或许|如果|かもしれ|もし"
)
LESS = compiled(r"\b(?:less|least|little|barely|slightly|no|any|scarcely|too)\b")
TAKEN_BACK_AFTER = compiled(
    rf" (?:after|except|apart from|besides|next to) (?:the )?{ANY}|(?:以外|之外)|"
    r"[)\]>}\"']{0,3},? ?(?:(?:is|was|would be|seems) (?:not|wrong|incorrect|excluded|eliminated|ruled out|unlikely"
    r"|probably not)|isn't|wasn't|(?:is|was) (?:the )?(?:wrong|incorrect)"
    r"|(?:maybe|perhaps|possibly|I guess\?|or not|not really|if|only if|unless)\b|\?|(?:では|じゃ)(?:ない|ありません"
    r"|なく)|でも|とは"
    r"|も(?!っ)|かもしれ|でしょうか|(?:吗|嗎|呢|么)|不是|in terms of ?$)"
)
#: What the rest of the sentence may say to the same effect; then, with another slot after it, a rival.
TAKEN_BACK_LATER = compiled(
    rf"\bor (?:so|not|at least|maybe|perhaps)\b|so it (?:seems|appears)|\bat first\b|\bI disagree\b|\buntil\b|(?:ない"
    rf"|ません|なかった)[^\w]*$"
    rf"|\b(?:but|though|although|yet|however|except)\b[^.\n]{{0,60}}{ANY}(?! (?:and|or) {ANY})"
)
#: "The second half of A is ...": the slot is not the subject; but the emotions of A are.
NOT_SUBJECT = compiled(
    r"\b(?:of|in|after|before|than|from|like|unlike|with|by|between|to|except|without|(?:all|anything|everything"
    r"|nothing|none) but|not|no|nor|as"
    r"|non-?) ?(?:the )?[(\[<{\"']{0,3}$"
)
EMOTIONS_OF = compiled(
    r"\b(?:emotions?|feelings?|moods?|tone|affect|emotional \w+)(?: \w+){0,2} (?:of|in|by"
    r"|from) ?(?:the )?[(\[<{\"']{0,3}$"
)
#: Another slot in the few words that follow an answer, unless it is set against it.
ALSO = compiled(
    rf"{CLOSE}[^\w\ue000-\ue006\n]*(?:(?!(?:not|over|unlike|nor|rather|instead"
    rf"|vs)\b)[^\W\d_]+[^\w\ue000-\ue006\n]*){{0,2}}(?P<slot>{ANY}){CLOSE}[^\w\n]*(?:\n|$)"
)
CONDITION = compiled(
    r"\bif\b(?! (?:I|we|you|one) (?:had to|must|have to|were to|absolutely)\b)(?! forced)|\bunless\b|\bdepend(?:s"
    r"|ing)\b|\bnot (?:entirely |completely |quite )?(?:sure|certain)\b|\b(?:unsure|uncertain)\b"
    r"|hard to (?:say|tell|decide)|\bwenn\b|\bfalls\b|\bsi (?!tuviera|je devais)|если|如果|もし"
)
OTHER_ASPECT = compiled(
    r"\b(?:visual\w*|colou?r\w*|styl\w*|topic\w*|theme\w*|thematic\w*|setting\w*|subject matter|subjects?|contents?"
    r"|length|quality|location|camera|format|animat\w*|genre\w*|order|alphabet\w*|longest|shortest)\b"
)
EMOTION = compiled(
    r"emot|evok|\bfeel|tone|mood|affect|fear|joy|sad|ang(?:er|ry)|disgust|awe|calm|happ|scar|amus|anxi|horror"
    r"|ten(?:se|sion)"
)

_CLAUSE_STOP = (
    rf"{CLOSE} ?(?:$|[\n.,;!)\]>}}。、，]|(?:because|since|as (?:it|the|its)|due to|for (?:its|being)|given|by (?:far"
    rf"|elimination)|here|here's|which|who|with|while|whereas|"
    rf"based on|according to|this time|overall|emotionally|as (?:the |my )?{ODD}|is (?:{ADVERB} )?(?:the "
    rf"|my )?{ODD}|stands out|weil|denn|porque|pois|parce|car|"
    rf"потому|так как|instead|rather|then|final|the most|the {ODD}|most|it|its|this|the (?:reason|video|clip"
    rf"|others?))(?!\w)|[-–—(:]|因为|因為|です|だ|であ|,|{OTHERS})"
)
CLAUSE_STOP = compiled(_CLAUSE_STOP)
#: Where a clause ends for good: after "so B" no verb may follow.
FULL_STOP = compiled(
    rf"{CLOSE} ?(?:\([^()\n]{{0,80}}\) ?)?(?:$|[\n.!。)]|,? (?:because|since|due to|by elimination|as (?:it|its"
    rf"|the {ODD}|{ODD})"
    rf"|(?:is|as) (?:{ADVERB} )?(?:the |my )?{ODD}|stands out|differs|weil|denn|porque|pois|parce que|потому|not"
    rf"|whereas"
    rf"|and (?:I|so))(?!\w)|因为|因為|です|だ|であ)"
)
#: Another line that is only a slot: what came before was a list.
NEXT_BARE = compiled(rf"[^\n]*\n{OPEN}{ANY}{CLOSE} ?[.)]? ?(?:\n|$)")
#: A whole sentence that means the contrary or more than its conclusion.
WHOLE_SENTENCE = compiled(r"\bnot (?:only|just|merely|simply)\b[^.\n]{0,80}\bbut|\bwere (?:I|it|we|one)\b|\bnothing\b")
LINE_STOP = compiled(rf"{CLOSE} ?[.!]?{CLOSE} ?(?:\n|$|\([^()\n]{{0,120}}\) ?(?:\n|$))")
STATEMENT = compiled(
    rf"{CLOSE}(?: ?\([^()\n]{{0,80}}\))?(?:'s\b| (?:is|was|are|evokes?|shows?|has|depicts?|seems?|feels?|conveys?"
    rf"|elicits?|portrays?|makes?|displays?|features?|contains?|presents?|describes?"
    rf"|looks?|appears?|captures|focuses|and(?! I\b)|es|ist|est|é|muestra|zeigt|montre|mostra|показывает)\b|(?:是"
    rf"|表现|让人"
    rf"|展示|描述"
    rf"|は|が)| ?{ANY}(?= ?(?:{ANY}|[.,;!?\n]|$)))"
)
STANDS_OUT = compiled(
    rf"[^.;!?\n\ue000-\ue006]{{0,90}}(?:{ODD}|{OTHERS}|stands? out|differs? (?:the )?most|correct|right\b"
    rf"|my (?:answer|choice|pick)|does(?:n't| not) (?:fit|belong)|です|である|だ)"
)
#: A second possibility that names no slot ("B or D"), or that was cut off.
OPEN_END = compiled(
    rf"{CLOSE}(?:,? (?:or|oder|o|ou|или|and/or|vs)(?!\w)| ?(?:或|还是|または|もしくは|/|か(?!ら))|,? (?:and|und|y|et"
    rf"|и)$)"
)
HEADING = compiled(rf"{CLOSE} ?(?::|=|\(| ?[-–—] )")
OTHER_HEADING = compiled(rf"(?:[\n,;.)] ?){OPEN}{ANY}{CLOSE} ?(?::|=|\(| ?[-–—] )")
LIST_MORE = compiled(
    rf"{CLOSE}(?:{AND} ?|(?= ?\((?=[\ue000-\ue006]))){{1,2}}(?: ?(?:maybe|perhaps|possibly|also|even|the|both"
    rf"|either|el|la|le|die|das|den|o|a) ){{0,2}} ?{OPEN} ?(?P<slot>{ANY})"
)
LIST_BEFORE = compiled(rf"(?P<slot>{ANY}){CLOSE}{LOOSE_AND} ?(?:the )?{OPEN}$")
_RIVAL = compiled(
    rf"(?:\b(?:could|might|may|can)(?: just)?(?: also| as well| equally| well| easily)*(?: be)?"
    rf"|\b(?:(?<![\ue000-\ue006] )or"
    rf"|alternatively|maybe|perhaps|possibly|either|or maybe|or even)(?: (?:it's|it is|is it|is that|also|even"
    rf"|possibly|perhaps"
    rf"|maybe|the))*|\bor rather)[,:]? {OPEN}(?P<slot>{ANY})"
    rf"(?!(?: and|,)? ?{ANY})(?! (?:evok|is|was|show|both)\w*)"
)
_RIVAL_SUBJECT = compiled(
    rf"(?P<slot>{ANY}){CLOSE}(?: (?:could|might|may)(?: also| just as well| equally| well"
    rf"| as well)*(?: be\b)?(?: the)?(?: ?{ODD}| chosen| an?| considered| argued| work| qualify| too|[.,!\n]|$)"
    rf"| (?:is|would|could|might|may|can|was)\b(?: (?:also|just|as|equally|be|another|an?|well|quite|almost|nearly"
    rf"|the|very|good|strong|close)){{0,5}}(?: (?:possib\w+|plausible|candidate|option"
    rf"|contender|likely|choice|valid|defensible)| ?(?<=also )(?:different|{ODD})))"
)


#: "So is C", "together with C", "C too".
_RIVAL_BESIDE = compiled(
    rf"(?:\b(?:so|as) (?:is|does|do)|\b(?:together|along) with|\n(?:and|or"
    rf"|&)) (?:the )?{OPEN}(?P<slot>{ANY})(?! and {ANY})"
)
_RIVAL_TOO = compiled(
    rf"(?P<slot>{ANY}){CLOSE} ?(?:(?:does |is )?(?:too|as well|likewise)\b|también|auch|aussi|также|também|也|も)"
)


_THIS_LINE = compiled(r"[^\n]*(?:\n(?:and|or|&)[^\n]*)?")


def rivals(text: str, start: int, stop: int) -> Iterator[str]:
    """Marks of the slots that a text holds possible: "or maybe C", "it could also be C", "C is as plausible".

    "So is C" and "C too" count on the same line only: further on they are about something else.
    """
    line = _THIS_LINE.match(text, start, stop)
    near = stop if line is None else line.end()
    for pattern, until in ((_RIVAL, stop), (_RIVAL_SUBJECT, stop), (_RIVAL_BESIDE, near), (_RIVAL_TOO, near)):
        for match in pattern.finditer(text, start, until):
            yield match["slot"]


EITHER = compiled(
    rf"(?:either )?(?P<slot>{ANY}){CLOSE}(?:,? (?:or|oder|o|ou|или)|(?<=^{NAMED}),(?= ?{ANY}$))(?: (?:the|maybe"
    rf"|perhaps|possibly|even))* ?{OPEN}(?P<second>{ANY})"
)
#: "All three are alike", "none of them", "no clear odd one out".
ALL_ALIKE = (
    Phrase(
        compiled(
            r"(?<!\w)(?:(?:all (?:of them|three|of the|the)|they all|they are all|the three(?: (?:videos"
            r"|clips))?)\b[^.!?\n]{0,40}"
            r"\b(?:equally|the same|similar\w*|alike|identical\w*|equal|no difference)\b"
            r"|none of (?:them|these|the (?:three|videos|clips|above|options))\b|none ?(?:[.!\n]|$)"
            r"|no (?:(?:clear|obvious|real|single) ){0,2}(?:answer\b|odd\b|difference\b|" + ODD + r"))"
        ),
        ("all ", "three", "none", "no "),
    ),
    Phrase(
        compiled(
            r"都(?:一样|相同|很相似|差不多)|三个.{0,12}(?:相同|一样|相似)|どれも(?:同じ|似)|全て同じ"
            r"|все три[^.\n]{0,30}(?:одинаков|похож)"
        ),
        ("都", "三", "どれも", "全て", "все три"),
    ),
    Phrase(
        compiled(
            r"(?<!\w)(?:los tres\b[^.\n]{0,30}igual|ninguno\b|alle drei\b[^.\n]{0,30}(?:gleich|ähnlich)|kein(?:e|es"
            r"|er)\b"
            r"|les trois\b[^.\n]{0,30}(?:similaires|identiques|pareil)|aucune?\b|nenhum\w*"
            r"|[oa]s três\b[^.\n]{0,30}(?:iguais|semelhantes))"
        ),
        ("tres", "ningun", "alle drei", "kein", "trois", "aucun", "nenhum", "três"),
    ),
)
RETRACTION = compiled(
    r"(?:^|[.!?\n;—–)-] ?|, |\.\.\. ?)(?P<marker>(?:but |oh,? |hmm,? |um,? |ah,? )?(?:no,? )?(?:wait\b|actually\b"
    r"|on (?:second thought|reflection|reconsideration)|upon (?:reflection|reconsideration|further)|correction\b"
    r"|scratch that|strike that|let me (?:reconsider|rethink|re-think|correct|revise|re-?evaluate|re-?examine"
    r"|think again)|hold on\b|I take (?:that|it) back|I was wrong|I made (?:a mistake|an error)|(?:I'm "
    r"|I am )?sorry\b|or rather\b|rather,"
    r"|I mean\b|my mistake|apologies|I change my|make that|thinking again|no, (?=[^\n]{0,30}[\ue000-\ue006])))"
)

LINE = re.compile(r"[^\n]+")
BARE_LINE = compiled(
    rf"{OPEN} ?{SLOT}{CLOSE}(?: ?[(,/|=-] ?{OPEN}{ANY}{CLOSE})?(?: ?(?:or|and|oder|o|ou|и|или|和"
    rf"|或) {OPEN}{ANY}{CLOSE})?[ .!。)]{{0,4}}"
)
HEAD = compiled(rf"(?:\d+[.)] )?{OPEN} ?(?P<slot>{ANY}){CLOSE} ?(?:[:.)=,]|-|–|—|\(|$|\n)")
OPENING = compiled(
    rf"(?:[(\[<{{\"'] ?)?(?P<slot>{NAMED})(?:(?<=[(\[<{{\"'].)[)\]>}}\"'])?(?P<end>[.!]?{CLOSE} ?\n"
    rf"|[.,);!–—-](?! ?\d))"
)
#: What makes a slot at the beginning an answer: a comparison, or a reason on a line of its own.
COMPARED = compiled(rf"(?:\b(?:unlike|from|than|whereas|while|but)|[.;,)–—-]|\n) ?{OTHERS}")
REASON_LINE = compiled(
    r"\n(?:(?:my |the )?(?:reason(?:ing)?|explanation|rationale|justification)\b ?[:.\n]|because it\b|理由|原因"
    r"|begründung|justificación|razón|raison|причина|motivo)"
)
ANY_HEAD = compiled(rf"(?P<slot>{ANY}){CLOSE} ?(?:[:.)=](?!\w)|\n)")
FINISHED = re.compile(r"[.!?。\"')\]}>*…][)\]}\"'>]*$|[\ue000-\ue003][)\]}\"'>.]*$")

#: A refusal is not to be parsed, whatever labels it holds.
REFUSALS = (
    Phrase(
        compiled(
            r"(?<!\w)(?:as an? (?:ai|artificial|(?:large )?language|text-based|llm)\b"
            r"|(?:i|we)(?:'m| am|'re)? ?(?:really |currently |also |unfortunately |,? ?afraid (?:that )?i )?"
            r"(?:cannot|can ?not|can't|couldn't|could not|won't|will not|(?:am )?unable to|not able to"
            r"|not capable of|not comfortable"
            r"|(?:do not|don't) have the (?:ability|capability|capacity) to|not going to|refuse to|(?:must "
            r"|have to )?decline to)"
            r"(?: (?:directly|actually|truly|really|reliably|confidently|definitively|currently"
            r"|in good conscience)){0,2} "
            r"(?:watch|view|see|access|play|open|hear|perceive|process|analy[sz]e|evaluate|assess|determine|choose"
            r"|pick|select|decide"
            r"|tell|answer|help|assist|provide|identify|judge|comply|complete|fulfil|make|give|say|respond"
            r"|do (?:this|that)|experience"
            r"|feel|compare|name|engage|continue|discuss)\w*"
            r"|(?:i )?must decline|i (?:don't|do not) (?:see|have) (?:any |access to |the )?(?:videos?|clips?"
            r"|attachments?|eyes)"
            r"|please (?:provide|share|upload|attach|send)\b|unable to (?:watch|view|access|see|process|determine"
            r"|analy[sz]e)"
            r"|(?:videos?|clips?) (?:were|was|are|is|have|has) not (?:been )?(?:provided|attached|visible|available"
            r"|shared|included)"
            r"|no (?:videos?|clips?) (?:were|was|have|has|are|is) (?:been )?(?:provided|attached|shared|included"
            r"|visible))"
        ),
        (
            "as a",
            "can",
            "could",
            "won't",
            "will not",
            "able",
            "decline",
            "have",
            "refuse",
            "please",
            "no",
            "don't",
            "see",
        ),
    ),
    Phrase(
        compiled(
            r"(?:无法|不能|没法|無法)(?:直接)?(?:观看|查看|看到|判断|回答|分析|访问|选择|确定|提供|處理|观察|觀看)"
            r"|作为(?:一个|一名|一款)?(?:ai|人工智能|语言模型|大语言)|抱歉"
        ),
        ("无法", "不能", "没法", "無法", "作为", "抱歉"),
    ),
    Phrase(
        compiled(
            r"(?:視聴|再生|判断|回答|お答え|見る|閲覧|確認)(?:すること)?(?:は|が|も)?(?:でき|出来)(?:ません|ない)"
            r"|申し訳(?:ありません|ございません|ない)|ai(?:として|なので|である)"
        ),
        ("ません", "ない", "申し訳", "ai"),
    ),
    Phrase(
        compiled(
            r"(?<!\w)(?:no puedo|como (?:una? )?(?:ia|modelo de lengu|inteligencia|modelo de linguagem)|lo siento"
            r"|não (?:posso|consigo)|desculpe)"
        ),
        ("no puedo", "como ", "lo siento", "não ", "desculpe"),
    ),
    Phrase(
        compiled(
            r"(?<!\w)(?:ich kann [^.\n]{0,60}nicht\b|als (?:ki|sprachmodell|künstliche)|es tut mir leid|leider kann ich"
            r"|je ne (?:peux|suis|puis)|en tant qu(?:'|e )(?:une? )?(?:ia|modèle|intelligence)|désolée?\b)"
        ),
        ("ich kann", "als ", "leid", "je ne", "en tant", "désolé"),
    ),
    Phrase(compiled(r"я не могу|как (?:ии\b|языковая модель|искусственный)"), ("не могу", "как ")),
)
