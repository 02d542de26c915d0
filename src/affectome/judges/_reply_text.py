"""Free text as models write it, brought to plain text: thinking cut, markup gone, one form of each character."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["clean_reply"]

_INVISIBLE = re.compile(
    "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u20e3\ufe00-\ufe0f\ufeff\ue000-\uf8ff\x00-\x08\x0b-\x1f\x7f]"
)
_QUOTES = str.maketrans(
    dict.fromkeys("‘’‚‛`´", "'")
    | dict.fromkeys("“”„‟«»「」『』", '"')
    | dict.fromkeys("【〔〈《", "<")
    | dict.fromkeys("】〕〉》", ">")
)

#: Opening and closing tags of a model's private reasoning, in the spellings of the common chat templates.
_THINK = re.compile(
    r"[<\[◁](?P<close>/?)\s?(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad)\s?[>\]▷]", re.I
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]{0,40}<\|message\|>")
_SPECIAL = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:eos|bos|pad|end_of_turn|start_of_turn)>|\[/?INST\]", re.I)

_STRUCK = re.compile(r"~~[^~\n]{0,200}~~|<(?:s|del|strike)>[^<\n]{0,200}</(?:s|del|strike)>", re.I)
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|textit|mathsf|mathit|mbox|textsf|emph)\s?\{([^{}\n]{0,80})\}")
_BOXED = re.compile(r"\\f?boxed\s?\{([^{}\n]{0,80})\}")
_LATEX_SIGNS = re.compile(r"\\[()\[\]]|\$+|\\(?=[*_#<>\[\]()])")
_ANSWER_TAG = re.compile(r"<(/?)\s?(?:final_?)?answer\s?>", re.I)
_HTML = re.compile(r"<(b|i|strong|em|u|p|span|div|code|mark|h[1-6])>([^<>]{0,300})</\1>", re.I)
_BREAK = re.compile(r"<br\s?/?>", re.I)
_LINE_START = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?)+", re.M)
_BULLET = re.compile(r"^[ \t]*[-•‣◦·–—+][ \t]+", re.M)
_EMPHASIS = re.compile(r"\*+|(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)|'{3}")
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")


def clean_reply(text: str) -> tuple[str, bool]:
    """Plain text of a reply, and whether it ended before the model had stopped thinking.

    What is boxed in LaTeX or stands in an ``<answer>`` tag comes out as a line ``answer: ...``. Characters of the
    private use area are removed, so that later steps can use them as marks.
    """
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    text, thinking = _without_thinking(_INVISIBLE.sub("", text).translate(_QUOTES))
    return _without_markup(text), thinking


def _without_thinking(text: str) -> tuple[str, bool]:
    channels = list(_CHANNEL.finditer(text))
    if channels:
        last = channels[-1]
        text, unfinished = text[last.end() :], last[1].lower() != "final"
        if unfinished:
            return "", True
    kept: list[str] = []
    depth, start = 0, 0
    for tag in _THINK.finditer(text):
        if not tag["close"]:
            if depth == 0:
                kept.append(text[start : tag.start()])
            depth += 1
        elif depth:
            depth -= 1
        else:  # the opening tag was part of the prompt: all so far was thinking
            kept.clear()
        start = tag.end()
    thought = start > 0
    rest = "" if depth else text[start:]
    text = _SPECIAL.sub("\n", "\n".join([*kept, rest]) if kept else rest)
    return text, bool(depth) or (thought and not text.strip())


def _without_markup(text: str) -> str:
    if "~~" in text or "<" in text:
        text = _STRUCK.sub(" ", text)
    if "\\" in text:
        text = _BOXED.sub(r"\nanswer: \1\n", _LATEX_TEXT.sub(r"\1", text))
    text = _LATEX_SIGNS.sub("", text)
    if "<" in text:
        text = _ANSWER_TAG.sub(lambda tag: "\n" if tag[1] else "\nanswer: ", _BREAK.sub("\n", text))
        text = _HTML.sub(r"\2", _HTML.sub(r"\2", text))
    text = _EMPHASIS.sub("", _LINE_START.sub("", _SPACES.sub(" ", text)))
    return _LINES.sub("\n", _BULLET.sub("", text)).strip()
