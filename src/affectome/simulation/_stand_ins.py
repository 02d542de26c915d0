"""Stand-ins for the files of the emotion-video studies: the same layouts, planted truth inside."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._files import atomic_path, make_folder
from affectome._seeds import named_seed
from affectome.errors import InputError
from affectome.neural import Recording, VolumeGrid, write_bdpy
from affectome.simulation._emotions import VOCABULARY, captions_of, simulate_emotions
from affectome.simulation._subjects import simulate_subjects
from affectome.spaces import write_space
from affectome.stimuli import N_PRESENTATIONS, N_VIDEOS, video_id
from affectome.triplets import TripletSet, sample_triplets, write_triplets

if TYPE_CHECKING:
    from affectome.judges import FeatureJudge

__all__ = ["StandIns", "write_stand_ins"]

# fmt: off
#: Columns of the ratings file, in its order (Cowen & Keltner 2017).
CATEGORIES = (
    "Admiration", "Adoration", "Aesthetic Appreciation", "Amusement", "Anger", "Anxiety", "Awe", "Awkwardness",
    "Boredom", "Calmness", "Confusion", "Contempt", "Craving", "Disappointment", "Disgust", "Empathic Pain",
    "Entrancement", "Envy", "Excitement", "Fear", "Guilt", "Horror", "Interest", "Joy", "Nostalgia", "Pride", "Relief",
    "Romance", "Sadness", "Satisfaction", "Sexual Desire", "Surprise", "Sympathy", "Triumph",
)
DIMENSIONS = (
    "approach", "arousal", "attention", "certainty", "commitment", "control", "dominance", "effort", "fairness",
    "identity", "obstruction", "safety", "upswing", "valence",
)
# fmt: on

#: What each area follows: share of its response variance by space. Areas that are not here follow nothing.
FOLLOWS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "V1": {"visual": 0.3},
        "V4": {"visual": 0.15, "category": 0.15},
        "MST": {"mllm": 0.3, "motion": 0.1},
        "TPOJ1": {"mllm": 0.3},
        "PGi": {"mllm": 0.3},
        "EC": {"mllm": 0.3},
        "STSda": {"category": 0.2},
        "TE1a": {"semantic": 0.2},
        "31pv": {"category": 0.2},
        "9m": {"dimension": 0.2},
        "10r": {"dimension": 0.2},
        "pOFC": {"llm": 0.15},
        "AAIC": {"mllm": 0.1, "dimension": 0.1},
        "Amygdala": {"dimension": 0.15},
    }
)
#: Areas that follow nothing, so that every region of the paper has voxels.
SILENT = (
    "46", "45", "p24", "TF", "Thalamus", "Hippocampus", "Hypothalamus", "Pallidum", "Brainstem", "Caudate", "Putamen",
    "Accumbens", "Cerebellum",
)  # fmt: skip

#: What the release calls structures below the cortex: of each side, or one mask of both.
_BELOW = {
    "Thalamus": "pickatlas_r_waal_MNI_V4_Thalamus_{}",
    "Hippocampus": "pickatlas_r_waal_MNI_V4_Hippocampus_{}",
    "Hypothalamus": "pickatlas_r_wTD_brodmann_Hypothalamus",
    "Pallidum": "pickatlas_r_waal_MNI_V4_Pallidum_{}",
    "Brainstem": "pickatlas_r_wTD_hemisphere_{}_Brainstem",
    "Caudate": "pickatlas_r_wTD_label_Caudate",
    "Putamen": "pickatlas_r_wTD_brodmann_Putamen",
    "Accumbens": "pickatlas_r_wTD_brodmann_brodmann_area_34",
    "Amygdala": "pickatlas_r_waal_MNI_V4_Amygdala_{}",
    "Cerebellum": "pickatlas_r_wTD_hemisphere_{}_Cerebellum",
}

#: Stimuli all of whose triplets were asked; of those, how many people were asked, and how often each.
_VALIDATION, _ASKED_PEOPLE, _PEOPLE = 66, 400, 5
#: Triplets asked again, and how often.
_REPEATED, _REPEATS = 500, 20
_TRUTH = "planted/truth.csv"
_N_OWN = 8  # components that the multimodal model has beside emotions
_N_READ = 9  # emotions of twelve that the language model tells apart


@dataclass(frozen=True, eq=False)
class StandIns:
    """What was written, and what is true of it.

    Attributes
    ----------
    folder : Path
        What AFFECTOME_DATA has to name.
    spaces : dict from name to DataFrame
        The planted spaces ``mllm`` and ``llm``, and ``category``, ``dimension``, ``semantic``, ``visual`` and
        ``motion`` as they are in the files; stimuli × features.
    truth : DataFrame of shape (n_areas, n_spaces)
        Share of a voxel's response variance that follows each space.
    files : tuple of Path
        Everything that was written.
    """

    folder: Path
    spaces: Mapping[str, pd.DataFrame]
    truth: pd.DataFrame
    files: tuple[Path, ...]


def write_stand_ins(
    folder: str | os.PathLike[str],
    *,
    n_stimuli: int = 160,
    n_people: int = 3,
    n_answers: int = 30_000,
    seed: int = 0,
) -> StandIns:
    """Write simulated files in the layouts that ``examples/emotion_videos_paper/study.toml`` reads.

    Parameters
    ----------
    folder
        Where to; new, empty, or of an earlier call, whose files are written over.
    n_stimuli
        Clips, 80 to 2,185; what a component follows takes three clips for each rating, 144. Feature files of the
        release always have a row for each of its 2,196 presentations.
    n_people
        Recorded people.
    n_answers
        Different triplets that each model answered, beside all triplets of 66 stimuli and 500 that were asked 20 times.
    seed

    Returns
    -------
    StandIns

    Raises
    ------
    InputError
        When the folder holds other files, which may be the real ones.

    Notes
    -----
    Twelve emotions are planted (:func:`simulate_emotions`). The multimodal model's space has them and eight components
    of its own, which no rating knows; the language model's has nine of them. Both answer with the noise of the SPoSE
    model, people as the multimodal model does. Ratings show the emotions with noise. Brain areas follow the spaces
    as `truth` says; 13 of them follow none.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = write_stand_ins(folder, n_stimuli=80, n_people=1, n_answers=500)
    >>> made.truth.loc["MST", ["mllm", "category"]].tolist()
    [0.3, 0.0]
    """
    if not 80 <= n_stimuli <= N_VIDEOS:
        raise InputError(f"{n_stimuli} stimuli cannot stand in", remedy=f"ask for 80 to {N_VIDEOS}")
    if n_people < 1 or n_answers < 10:
        raise InputError(
            f"{n_people} people and {n_answers} answers cannot stand in", remedy="ask for one person and ten answers"
        )
    root = _own_folder(Path(folder))
    spaces, captions = _planted(n_stimuli, seed)
    recorded, truth = _recorded(spaces, n_people, seed)
    files = [
        _write_text(root / _TRUTH, _as_csv(truth, index=True)),
        *(_write_table(root / f"planted/{name}.csv", spaces[name]) for name in ("mllm", "llm")),
        *_write_ratings(root, spaces, captions),
        *_write_controls(root, spaces, seed),
        *_write_answers(root, spaces, n_answers, seed),
        *(write_bdpy(root / f"horikawa_2020/fmri/fmri_{one.subject}.h5", one) for one in recorded),
    ]
    return StandIns(root, spaces, truth, tuple(files))


def _own_folder(folder: Path) -> Path:
    """A folder that is new, empty, or of an earlier call: real data have the same names and must not be lost."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _TRUTH).exists():
        raise InputError("holds files that are no stand-ins", source=folder, remedy="choose another folder")
    return make_folder(folder)


def _planted(n: int, seed: int) -> tuple[dict[str, pd.DataFrame], dict[str, tuple[str, ...]]]:
    """All spaces over the same clips, and twenty captions each."""
    world = simulate_emotions(n, len(VOCABULARY), strength=3.0, rating_noise=0.1, seed=named_seed(seed, "emotions"))
    rng = np.random.default_rng(named_seed(seed, "spaces"))
    ids = pd.Index([video_id(number) for number in range(1, n + 1)], name="id")
    emotions = list(VOCABULARY)
    planted = world.planted.to_numpy(np.float64)
    share = planted / planted.sum(axis=1, keepdims=True)
    own = 2.0 * rng.gamma(0.5, 1.0, (n, _N_OWN)).clip(0, 3)
    of_emotions = pd.DataFrame(planted, ids, emotions)
    category = pd.DataFrame(np.clip(rng.normal(0, 0.03, (n, len(CATEGORIES))), 0, 1), ids, list(CATEGORIES))
    category[emotions] = world.stimuli.spaces["category"].to_numpy()
    spaces = {
        "mllm": of_emotions.assign(**{f"own {k + 1}": own[:, k] for k in range(_N_OWN)}),
        "llm": of_emotions.iloc[:, :_N_READ],
        "category": category.round(4),
        "dimension": _dimensions(share, world.stimuli.spaces["dimension"], ids, rng),
        "semantic": _concepts(share, ids, rng),
        "visual": _features("unit", share, 12, ids, rng),
        "motion": _features("filter", share, 8, ids, rng),
    }
    return spaces, captions_of(ids.tolist(), share, emotions, rng, n_each=20)


def _dimensions(
    share: NDArray[np.float64], affect: pd.DataFrame, ids: pd.Index, rng: np.random.Generator
) -> pd.DataFrame:
    """Valence and arousal as simulated; each of the other twelve a mixture of the emotions of its own."""
    corners = rng.uniform(2, 8, (share.shape[1], len(DIMENSIONS)))
    means = share @ corners + rng.normal(0, 0.4, (len(ids), len(DIMENSIONS)))
    table = pd.DataFrame(np.clip(means, 1, 9), ids, list(DIMENSIONS))
    table[["valence", "arousal"]] = affect[["valence", "arousal"]].to_numpy()
    return table.round(4)


def _concepts(share: NDArray[np.float64], ids: pd.Index, rng: np.random.Generator) -> pd.DataFrame:
    """Shares of 73 concepts, mostly zero, a few of which go with an emotion."""
    n_concepts = 73
    tied = share @ (rng.random((share.shape[1], n_concepts)) < 0.05)
    seen = rng.random((len(ids), n_concepts)) * (rng.random((len(ids), n_concepts)) < 0.15)
    return pd.DataFrame(np.clip(0.5 * tied + seen, 0, 1), ids, [f"concept {k + 1}" for k in range(n_concepts)]).round(3)


def _features(
    name: str, share: NDArray[np.float64], n_features: int, ids: pd.Index, rng: np.random.Generator
) -> pd.DataFrame:
    """What a network or a filter sees: mostly of its own, with a little of the emotions."""
    own = rng.normal(size=(len(ids), 6)) @ rng.normal(size=(6, n_features))
    values = own + share @ rng.normal(size=(share.shape[1], n_features)) + rng.normal(size=own.shape)
    return pd.DataFrame(values, ids, [f"{name} {k + 1}" for k in range(n_features)]).round(4)


def _write_ratings(root: Path, spaces: Mapping[str, pd.DataFrame], captions: Mapping[str, Sequence[str]]) -> list[Path]:
    """The ratings file, whose terms are the words of categories, and the captions of all presentations."""
    category, dimension = spaces["category"], spaces["dimension"]
    terms = (10 * category).round().astype(int).rename(columns=str.lower)
    table = pd.concat([category, dimension, terms], axis=1)
    table.insert(0, "Filename", [f"{name}.mp4" for name in table.index])
    rows = [(number, sentence) for number in _presentations(len(category)) for sentence in captions[video_id(number)]]
    described = pd.DataFrame(rows, columns=["video_id", "description"])
    return [
        _write_text(root / "cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv", _as_csv(table)),
        _write_text(root / "mind_captioning/caption_ck20.csv", "\ufeff" + _as_csv(described)),
    ]


def _write_controls(root: Path, spaces: Mapping[str, pd.DataFrame], seed: int) -> list[Path]:
    """The semantic features of all presentations of the release, and tables of what was computed from the clips."""
    semantic = spaces["semantic"]
    rng = np.random.default_rng(named_seed(seed, "clips that are not here"))
    rows = semantic.reindex([video_id(number) for number in range(1, N_PRESENTATIONS + 1)])
    absent = rows.isna().all(axis=1).to_numpy()
    rows[absent] = semantic.to_numpy()[rng.integers(len(semantic), size=absent.sum())]
    rows.insert(0, "stimulus_num", [f"stimulus_{number}" for number in range(1, N_PRESENTATIONS + 1)])
    return [
        _write_text(root / "horikawa_2020/semantic_features.csv", _as_csv(rows)),
        *(_write_table(root / f"controls/{name}.csv", spaces[name]) for name in ("visual", "motion")),
    ]


def _presentations(n: int) -> list[int]:
    """The clips, and the eleven of them that were shown again under numbers of their own."""
    return [*range(1, n + 1), *range(N_VIDEOS + 1, N_PRESENTATIONS + 1)]


def _write_answers(root: Path, spaces: Mapping[str, pd.DataFrame], n_answers: int, seed: int) -> list[Path]:
    """Answers of both models as a collection exports them, and of people as an import writes them."""
    ids = spaces["mllm"].index.tolist()
    validation = sample_triplets(ids, design="exhaustive", subset=_VALIDATION, seed=named_seed(seed, "validation"))
    repeats = sample_triplets(
        ids, _REPEATED, design="repeated", repeats=_REPEATS, seed=named_seed(seed, "repeats"), exclude=validation
    )
    taken = TripletSet(np.concatenate([validation.triplets, repeats.triplets]), ids)
    train = sample_triplets(ids, n_answers, seed=named_seed(seed, "questions"), exclude=taken)
    paths = []
    for name in ("mllm", "llm"):
        for part, questions in (("", train), ("_validation", validation), ("_repeats", repeats)):
            path = root / f"answers/{name}{part}.parquet"
            _collect(_judge(spaces[name], seed, name, part), questions, path)
            paths.append(path)
    paths.append(root / "answers/people.parquet")
    _ask_people(_judge(spaces["mllm"], seed, "people", ""), validation, paths[-1], named_seed(seed, "people"))
    return paths


def _judge(space: pd.DataFrame, seed: int, *purpose: str) -> FeatureJudge:
    from affectome.judges import FeatureJudge

    return FeatureJudge(space, metric="dot", temperature=1.0, seed=named_seed(seed, "answers", *purpose))


def _collect(judge: FeatureJudge, questions: TripletSet, path: Path) -> None:
    """Through a journal and out of it, as any other judge's answers."""
    from affectome.collection import Collector, Journal, export_journal

    with TemporaryDirectory() as folder, _silent("affectome.collection"):
        journal = Path(folder) / "answers.sqlite"
        Collector(questions, judge, journal).run_sync()
        with Journal.open(journal) as opened:
            export_journal(opened, path)


@contextmanager
def _silent(room: str) -> Iterator[None]:
    """What a room tells of its steps is no news of a simulation."""
    log = logging.getLogger(room)
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def _ask_people(judge: FeatureJudge, validation: TripletSet, path: Path, seed: int) -> None:
    from affectome.judges import ask

    rng = np.random.default_rng(seed)
    chosen = np.repeat(rng.choice(len(validation), min(_ASKED_PEOPLE, len(validation)), replace=False), _PEOPLE)
    shown = rng.permuted(validation.triplets[chosen], axis=1)
    answered = ask(judge, TripletSet(shown, validation.ids))
    write_triplets(path, TripletSet(answered.triplets, answered.ids, answered.choice, metadata={"judge": "people"}))


def _recorded(spaces: Mapping[str, pd.DataFrame], n_people: int, seed: int) -> tuple[list[Recording], pd.DataFrame]:
    """People who saw every presentation, in the columns and regions of the release."""
    n = len(spaces["mllm"])
    numbers = _presentations(n)
    shown = {
        name: space.loc[[video_id(number) for number in numbers]].set_axis(pd.Index(map(str, numbers), name="id"))
        for name, space in spaces.items()
    }
    world = simulate_subjects(
        shown,
        {**FOLLOWS, **{area: {} for area in SILENT}},
        n_subjects=n_people,
        n_runs=min(61, max(12, n // 10)),
        radius=6.0,
        agreement=0.7,
        seed=named_seed(seed, "people"),
    )
    return [_as_released(one, k) for k, one in enumerate(world.recordings, start=1)], world.truth


def _as_released(recording: Recording, number: int) -> Recording:
    """The columns, names of regions and the space of one person's file in the release."""
    assert isinstance(recording.geometry, VolumeGrid)
    rois = {"WholeBrain": np.ones(recording.n_voxels, bool)}
    for name, mask in recording.rois.items():
        area = name.split("_", 3)[-1].removesuffix("_ROI")
        side = "L" if name.startswith("hcp180_r_lh") else "R"
        below = _BELOW.get(area)
        long = {"L": "Left", "R": "Right"}[side]
        released = name if below is None else below.format(long if "hemisphere" in below else side)
        rois[released] = rois.get(released, np.zeros_like(mask)) | mask
    trials = recording.trials
    trials = trials.assign(block=np.arange(1, len(trials) + 1), label=trials["stimulus"].astype(float))
    geometry = replace(recording.geometry, space=None)  # of each person's own head
    return replace(recording, subject=f"Subject{number}", rois=rois, trials=trials, geometry=geometry)


def _write_table(path: Path, space: pd.DataFrame) -> Path:
    write_space(path, space)
    return path


def _as_csv(table: pd.DataFrame, *, index: bool = False) -> str:
    text = StringIO()
    table.to_csv(text, index=index)
    return text.getvalue()


def _write_text(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8")
    return path
