"""Sentence embeddings that were computed once stay on disk, found again by the content of the sentence."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affectome._files import atomic_path, file_digest

logger = logging.getLogger(__name__)

__all__ = ["SentenceCache", "cache_folder", "model_identity"]


def cache_folder() -> Path:
    """AFFECTOME_CACHE, or ``affectome`` in the user's cache folder."""
    given = os.environ.get("AFFECTOME_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given).expanduser() if given else Path(base) / "affectome"


def model_identity(model: str) -> str:
    """What decides an encoder's numbers: its name on the hub, or the content of its folder."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return f"hub:{model}"
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder)} {file_digest(path)}\n".encode())
    return f"folder:{digest.hexdigest()}"


class SentenceCache:
    """Embeddings of one model by sentence.

    A folder of ``.npz`` files, each with the hashes of some sentences and their vectors. Every file
    is written whole or not at all, so an interrupted run keeps what it had finished.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder / "sentences" / hashlib.sha256(identity.encode()).hexdigest()[:24]
        self._vectors: dict[bytes, NDArray[np.float32]] = {}
        for path in sorted(self._folder.glob("*.npz")):
            self._load(path)

    def _load(self, path: Path) -> None:
        try:
            with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as content:
                names, vectors = content["names"], content["vectors"]
            known = {bytes(name): vector for name, vector in zip(names, vectors, strict=True)}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            logger.warning("%s is damaged and is not used: %s.", path, error)
            return
        self._vectors.update(known)

    @staticmethod
    def _name(sentence: str) -> bytes:
        return hashlib.sha256(sentence.encode()).digest()

    def missing(self, sentences: Sequence[str]) -> list[str]:
        """The different sentences that are not here yet, in their order."""
        return [text for text in dict.fromkeys(sentences) if self._name(text) not in self._vectors]

    def add(self, embedded: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep these vectors, on disk first."""
        names = [self._name(text) for text in embedded]
        vectors = np.stack(list(embedded.values())).astype(np.float32)
        label = hashlib.sha256(b"".join(names)).hexdigest()[:24]
        with atomic_path(self._folder / f"{label}.npz") as temporary, open(temporary, "wb") as handle:
            np.savez(handle, names=np.frombuffer(b"".join(names), np.uint8).reshape(-1, 32), vectors=vectors)
        self._vectors.update(zip(names, vectors, strict=True))

    def get(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of sentences that are here, shape (n, d)."""
        return np.stack([self._vectors[self._name(text)] for text in sentences])
