"""Who answers. Every judge takes a batch of questions and gives choices, and probabilities where it has them."""

from affectome.judges._chat import ChatJudge
from affectome.judges._config import read_judge
from affectome.judges._features import FeatureJudge
from affectome.judges._io import model_identity
from affectome.judges._local import LocalJudge
from affectome.judges._parsing import ParsedReply, parse_choice
from affectome.judges._prices import Prices
from affectome.judges._probe import CONSTRAINTS, Abilities
from affectome.judges._prompts import PROMPTS, Prompt, load_prompt
from affectome.judges._protocol import Answers, Judge, Reply, ask
from affectome.judges._sentences import encode_captions
from affectome.judges._session import ChatSession
from affectome.judges._transport import RequestFailed, Transport
from affectome.judges._writer import WrittenText, write_texts

__all__ = [
    "CONSTRAINTS",
    "PROMPTS",
    "Abilities",
    "Answers",
    "ChatJudge",
    "ChatSession",
    "FeatureJudge",
    "Judge",
    "LocalJudge",
    "ParsedReply",
    "Prices",
    "Prompt",
    "Reply",
    "RequestFailed",
    "Transport",
    "WrittenText",
    "ask",
    "encode_captions",
    "load_prompt",
    "model_identity",
    "parse_choice",
    "read_judge",
    "write_texts",
]
