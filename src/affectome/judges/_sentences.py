"""A language system: captions through a sentence encoder become a space, which a FeatureJudge compares."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress
from affectome._tables import cut_short
from affectome.errors import EnvironmentFailure, InputError
from affectome.judges._io import SentenceCache, cache_folder, model_identity

logger = logging.getLogger(__name__)

__all__ = ["encode_captions"]

_KEPT = 2_048  # sentences encoded between two writes to the cache


def encode_captions(
    captions: Mapping[str, Sequence[str]],
    model: str = "sentence-transformers/all-MiniLM-L6-v2",
    *,
    batch_size: int = 64,
    device: str | None = None,
    centre: bool = True,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Make a space of what a sentence encoder says of each stimulus's captions.

    The embeddings of a stimulus's captions are averaged; with `centre` the mean over all stimuli is then
    taken off, without which every pair of captions looks alike. Give the result to
    ``FeatureJudge(space, metric="cosine")`` for the choices of a language system.

    Parameters
    ----------
    captions : mapping from id to captions
        At least one caption for every stimulus.
    model
        A sentence-transformers model: a local folder or an id on the Hugging Face hub.
    batch_size
        Sentences encoded together; memory grows with it.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"``...; by default what torch finds.
    centre
        Whether to subtract the mean over stimuli.
    cache
        Folder in which embeddings are kept by the content of model and sentence, so that nothing is
        encoded twice and an interrupted run goes on; by default AFFECTOME_CACHE or the user's cache folder.
    progress
        Told the number of sentences done.

    Returns
    -------
    DataFrame of shape (n_stimuli, n_dimensions), float32

    Raises
    ------
    InputError
        When a stimulus has no caption, or there is no such model.
    EnvironmentFailure
        When sentence-transformers is not installed, or the hub cannot be reached.
    """
    if not captions:
        raise InputError("there are no captions to encode", remedy="give stimuli with captions")
    for name, group in captions.items():
        if isinstance(group, str):
            raise InputError(f"the captions of '{name}' are one text", source="captions", remedy="give a list of texts")
    silent = [i for i, texts in captions.items() if not any(text.strip() for text in texts)]
    if silent:
        raise InputError(
            f"{len(silent)} stimuli have no caption ({cut_short(silent)})",
            source="captions",
            remedy="add one or leave them out",
        )
    texts = [text for group in captions.values() for text in group if text.strip()]
    owner = np.repeat(np.arange(len(captions)), [sum(bool(t.strip()) for t in group) for group in captions.values()])
    store = SentenceCache(Path(cache) if cache is not None else cache_folder(), model_identity(model))
    missing = store.missing(texts)
    if missing:
        # Sentences of one length make batches without padding; the order moves an embedding by rounding only.
        missing.sort(key=len, reverse=True)
        encode = _load_encoder(model, device)
        for start in range(0, len(missing), _KEPT):
            part = missing[start : start + _KEPT]
            store.add(dict(zip(part, encode(part, batch_size), strict=True)))
            if progress is not None:
                progress(min(start + _KEPT, len(missing)), len(missing), detail=f"{len(texts):,} captions")
    else:
        logger.info("All %d captions were encoded before.", len(texts))
    vectors = store.get(texts).astype(np.float64)
    sums = np.zeros((len(captions), vectors.shape[1]))
    np.add.at(sums, owner, vectors)
    means = sums / np.bincount(owner)[:, None]
    if centre:
        means -= means.mean(axis=0)
    columns = [f"dimension {k + 1:0{len(str(means.shape[1]))}d}" for k in range(means.shape[1])]
    index = pd.Index([str(i) for i in captions], name="id")
    return pd.DataFrame(means.astype(np.float32), index=index, columns=columns)


def _load_encoder(model: str, device: str | None) -> Callable[[Sequence[str], int], NDArray[np.float32]]:
    """Sentences and a batch size in, float32 vectors out."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EnvironmentFailure(
            "encoding captions needs sentence-transformers", remedy='install it with: pip install "affectome[local]"'
        ) from error
    folder = Path(model).expanduser()
    looks_like_path = model.startswith((".", "~", os.sep)) or folder.is_absolute()
    if looks_like_path and not folder.is_dir():
        raise InputError("there is no such model folder", source=model, remedy="correct the path or give a hub id")
    if folder.is_dir() and not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise InputError("is no sentence-transformers model", source=model, remedy="give the folder with modules.json")
    try:
        encoder: Any = SentenceTransformer(str(folder) if folder.is_dir() else model, device=device)
    except OSError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EnvironmentFailure(
            f"the sentence encoder cannot be loaded ({reason.rstrip('.')})",
            source=model,
            remedy="check the name and the network, or download the model and give its folder",
        ) from error
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"the sentence encoder cannot be used ({reason.rstrip('.')})",
            source=model,
            remedy="give another model or device",
        ) from error

    def encode(sentences: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        made: NDArray[np.float32] = encoder.encode(
            list(sentences), batch_size=batch_size, convert_to_numpy=True, show_progress_bar=False
        )
        return made.astype(np.float32)

    return encode
