"""A judge that runs a language or image-text model in this process."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from affectome._progress import Progress
from affectome._tables import cut_short
from affectome.errors import EnvironmentFailure, InputError
from affectome.judges._io import model_identity
from affectome.judges._media import caption_texts, content_digests, shown_digest
from affectome.judges._prompts import Prompt, load_prompt
from affectome.judges._protocol import Answers, Reply, as_answers
from affectome.triplets import TripletSet

if TYPE_CHECKING:
    from affectome.judges._local_models import Reading
    from affectome.judges._local_scores import Scored

__all__ = ["LocalJudge"]

_BLOCK = 4_096  # questions that are laid out at once
_TIE = 1e-6  # probabilities closer than this tie: rounding must not decide
_DTYPES = ("auto", "float32", "float16", "bfloat16")


@dataclass(frozen=True, eq=False)
class LocalJudge:
    """Asks a transformers model in this process, and reads its answer off the probabilities of the three labels.

    Nothing is generated: one forward pass over a batch of questions gives the probability of every label as the next
    token. Questions are visited in the order of their first and second stimulus, and the keys and values of what
    they begin with in common are computed once. Answers come back in the order of the questions.

    Parameters
    ----------
    model
        A folder with a transformers model, or an id on the Hugging Face hub.
    captions : mapping from id to texts
        What is shown of each stimulus with ``show="captions"``.
    videos : mapping from id to path
        What is shown of each stimulus with ``show="frames"``.
    show
        ``"captions"``: a causal language model reads texts (an image-text model does, too). ``"frames"``: an
        image-text model sees frames, as video where it is of the Qwen2-VL or Qwen2.5-VL family, else as images.
    captions_per_stimulus
        The first so many captions of a stimulus are shown, one after another.
    prompt, labels, noun
        As :func:`~affectome.judges.load_prompt` takes them; the prompt must have one turn, after which the model is to
        answer with a label alone.
    n_frames, longest_side
        Frames taken from each video, and the length of their longer side in pixels.
    batch_size
        Questions read together; memory grows with it. It is halved when a GPU's memory runs out.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; by default the GPU where there is one.
    dtype
        ``"float32"``, ``"float16"``, ``"bfloat16"``, or ``"auto"``: as the weights are stored.
    decision
        ``"argmax"``: the likeliest slot; of equal ones the stimulus is taken that `seed` and the three ids decide on,
        never the slot. ``"sample"``: a draw from the probabilities.
    seed
        Draws and ties depend on it.
    trust_remote_code
        Whether code that comes with the model may run.

    Notes
    -----
    Labels of more than one token are scored whole (teacher forcing), three rows a question. Rounding differs with the
    batch, by up to 1e-5 in float32; near-ties can turn.

    Examples
    --------
    >>> judge = LocalJudge("Qwen/Qwen2.5-7B-Instruct", captions={"a": ["A dog runs."], "b": ["A man weeps."]})
    >>> judge.show, judge.labels
    ('captions', ('A', 'B', 'C'))
    """

    model: str
    captions: Mapping[str, Sequence[str]] | None = None
    videos: Mapping[str, str | os.PathLike[str]] | None = None
    show: Literal["captions", "frames"] = "captions"
    captions_per_stimulus: int = 1
    prompt: str = "choice"
    labels: Sequence[str] = ("A", "B", "C")
    noun: str = "video"
    n_frames: int = 8
    longest_side: int = 336
    batch_size: int = 16
    device: str | None = None
    dtype: str = "auto"
    decision: Literal["argmax", "sample"] = "argmax"
    seed: int = 0
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (
            ("show", self.show, ("captions", "frames")),
            ("decision", self.decision, ("argmax", "sample")),
            ("dtype", self.dtype, _DTYPES),
        ):
            if value not in known:
                raise InputError(f"{name}='{value}' is unknown", remedy=f"choose one of {', '.join(known)}")
        for name, least in (
            ("captions_per_stimulus", 1),
            ("n_frames", 1),
            ("longest_side", 1),
            ("batch_size", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < least:
                raise InputError(f"{name}={value} is no whole number of at least {least}", remedy="correct it")
        for name, group in (self.captions or {}).items():
            if isinstance(group, str):
                raise InputError(
                    f"the captions of '{name}' are one text", source="captions", remedy="give a list of texts"
                )
        put = object.__setattr__
        put(self, "model", os.fspath(self.model))
        put(self, "captions", {str(i): tuple(texts) for i, texts in (self.captions or {}).items()})
        put(self, "videos", {str(i): Path(path) for i, path in (self.videos or {}).items()})
        put(self, "labels", tuple(self.labels))
        if not self._shown:
            given = "captions" if self.show == "captions" else "videos"
            raise InputError(f"the judge has no {given} to show", remedy=f"give it {given}")
        if len(self._prompt.turns) > 1:
            raise InputError(
                f"the prompt '{self.prompt}' has {len(self._prompt.turns)} turns, and a model in this process is "
                "asked for a label alone, without writing what would come before it",
                remedy="use a prompt of one turn, such as choice, or a chat judge",
            )

    def __getstate__(self) -> dict[str, Any]:
        """All but the loaded model, which the other process loads again."""
        return {name: value for name, value in self.__dict__.items() if name != "_loaded"}

    def describe(self) -> Mapping[str, Any]:
        """What decides its answers but for rounding, as JSON values; captions and videos by a digest."""
        described: dict[str, Any] = {
            "kind": "local",
            "model": self._identity,
            "show": self.show,
            "prompt": dict(self._prompt.describe()),
            "noun": self.noun,
            "dtype": self.dtype,
            "decision": self.decision,
            "seed": int(self.seed),
        }
        if self.show == "captions":
            described["captions_per_stimulus"] = int(self.captions_per_stimulus)
            content: Mapping[str, str] = self._texts
        else:
            described |= {"n_frames": int(self.n_frames), "longest_side": int(self.longest_side)}
            content = content_digests(list(self._shown), self._shown)
        described["stimuli"] = shown_digest(content)
        return described

    def answer(self, questions: TripletSet, *, progress: Progress | None = None) -> Answers:
        """A choice and probabilities for every question."""
        return as_answers(self.replies(questions, progress=progress))

    def replies(self, questions: TripletSet, *, progress: Progress | None = None) -> list[Reply]:
        """One reply per question, in the order of the questions, with the probability mass of the labels and tokens.

        Raises
        ------
        InputError
            When a stimulus has nothing to show, there is no such model, or a question is longer than its context.
        EnvironmentFailure
            When transformers is not installed, the hub cannot be reached, or memory is too small for one question.
        """
        if not len(questions):
            return []
        shown = [(questions.ids[a], questions.ids[b], questions.ids[c]) for a, b, c in questions.triplets.tolist()]
        self._check_shown(list(dict.fromkeys(name for key in shown for name in key)))
        scored = self._scores(shown, progress)
        logs = np.array([one.log_probabilities for one in scored])
        wrong = np.flatnonzero(~np.isfinite(logs).all(axis=1))
        if len(wrong):
            raise InputError(
                f"the model gives no finite probabilities for {', '.join(shown[wrong[0]])}",
                source=self.model,
                remedy="use dtype='float32' or 'bfloat16'",
            )
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        mass = np.minimum(1.0, weights.sum(axis=1) * np.exp(logs.max(axis=1)))
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        choices = self._choices(probabilities, shown, questions.triplets)
        return [
            Reply(
                choice=int(choice),
                probabilities=(row[0], row[1], row[2]),
                mass=float(whole),
                prompt_tokens=one.tokens,
                cached_tokens=one.reused,
                latency=one.seconds,
                model=self._identity,
                server="this process",
            )
            for choice, row, whole, one in zip(choices, probabilities.tolist(), mass, scored, strict=True)
        ]

    @cached_property
    def _identity(self) -> str:
        return model_identity(self.model)

    @cached_property
    def _prompt(self) -> Prompt:
        return load_prompt(self.prompt, self.labels, noun=self.noun)

    @property
    def _shown(self) -> Mapping[str, Any]:
        shown = self.captions if self.show == "captions" else self.videos
        return shown or {}

    @cached_property
    def _texts(self) -> dict[str, str]:
        return caption_texts(self.captions or {}, self.captions_per_stimulus)

    def _frames(self, name: str) -> NDArray[np.uint8]:
        from affectome.stimuli import sample_frames

        frames: NDArray[np.uint8] = sample_frames(self._shown[name], self.n_frames, longest_side=self.longest_side)
        return frames

    def _check_shown(self, names: Sequence[str]) -> None:
        """Every stimulus that is asked about must have something to show."""
        what = "caption" if self.show == "captions" else "video"
        missing = [name for name in names if name not in self._shown]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(names)} stimuli are not in it ({cut_short(missing)})",
                source=f"the judge's {what}s",
                remedy=f"make the ids match (it has {cut_short(sorted(self._shown), 3)})",
            )
        silent = [name for name in names if self.show == "captions" and name not in self._texts]
        if silent:
            raise InputError(
                f"{len(silent)} stimuli have no caption ({cut_short(silent)})",
                source="the judge's captions",
                remedy="add one or leave them out",
            )

    def _scores(self, shown: Sequence[tuple[str, str, str]], progress: Progress | None) -> list[Scored]:
        """Scores in the order of the questions, which are asked sorted, block by block."""
        reading = self._reading(shown[0])
        a, b, c = reading.order
        keys = [(key[a], key[b], key[c]) for key in shown]
        order = sorted(range(len(keys)), key=lambda number: keys[number])
        scored: dict[int, Scored] = {}
        for start in range(0, len(keys), _BLOCK):
            block = order[start : start + _BLOCK]

            def tell(done: int, before: int = start) -> None:
                if progress is not None:
                    progress(before + done, len(keys))

            scored.update(zip(block, reading.score([keys[number] for number in block], tell), strict=True))
        return [scored[number] for number in range(len(keys))]

    def _reading(self, sample: tuple[str, str, str]) -> Reading:
        """The model, loaded when it is first asked."""
        known: Reading | None = self.__dict__.get("_loaded")
        if known is not None:
            return known
        try:
            import torch  # noqa: F401
            import transformers  # noqa: F401
        except ImportError as error:
            raise EnvironmentFailure(
                "a model in this process needs torch and transformers",
                remedy='install them with: pip install "affectome[local]"',
            ) from error
        from affectome.judges._local_models import Weights, read_captions, read_frames

        weights = Weights(self.model, self.device, self.dtype, self.trust_remote_code, self.batch_size)
        if self.show == "captions":
            reading = read_captions(weights, self._prompt, self._texts.__getitem__, sample)
        else:
            reading = read_frames(weights, self._prompt, self._frames, self.n_frames, sample)
        object.__setattr__(self, "_loaded", reading)
        return reading

    def _choices(
        self, probabilities: NDArray[np.float64], shown: Sequence[tuple[str, str, str]], triplets: NDArray[np.int32]
    ) -> NDArray[np.intp]:
        """The slot of the odd one for each row of probabilities."""
        if self.decision == "sample":
            # Other questions get other draws under the same seed.
            noise = np.random.SeedSequence(self.seed, spawn_key=(zlib.crc32(triplets.tobytes()),))
            draw = np.random.default_rng(noise).random(probabilities.shape)
            # The largest of log p + Gumbel noise is a draw from p.
            logs = np.log(np.maximum(probabilities, 1e-300))
            drawn: NDArray[np.intp] = (logs - np.log(-np.log(np.maximum(draw, 1e-300)))).argmax(axis=1)
            return drawn
        best = probabilities >= probabilities.max(axis=1, keepdims=True) - _TIE
        choice: NDArray[np.intp] = best.argmax(axis=1)
        for number in np.flatnonzero(best.sum(axis=1) > 1).tolist():
            key = shown[number]
            lots = [(self._lot(key[slot], key), slot) for slot in np.flatnonzero(best[number]).tolist()]
            choice[number] = min(lots)[1]
        return choice

    def _lot(self, name: str, key: Sequence[str]) -> bytes:
        """The lot that a stimulus draws among three, in whatever order these are shown."""
        return hashlib.sha256("\x1f".join([str(self.seed), name, *sorted(key)]).encode()).digest()
