"""Stimuli as parts of a chat message: captions as text, clips as video or images, encoded once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import mimetypes
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import quote

from affectome._files import file_digest, unreadable
from affectome._tables import cut_short
from affectome.errors import InputError

__all__ = ["SHOWN", "Media", "Shown", "caption_texts", "content_digests", "shown_digest"]

#: How a stimulus is put before a model.
Shown = Literal["captions", "video", "frames", "images"]
SHOWN: tuple[str, ...] = get_args(Shown)


def caption_texts(captions: Mapping[str, Sequence[str]], per_stimulus: int) -> dict[str, str]:
    """The first captions of each stimulus as one text; stimuli without any are left out."""
    texts: dict[str, str] = {}
    for name, group in captions.items():
        if isinstance(group, str):
            raise InputError(f"the captions of '{name}' are one text", source="captions", remedy="give a list of texts")
        kept = [" ".join(text.split()) for text in group if text.strip()]
        if kept:
            texts[str(name)] = " ".join(kept[:per_stimulus])
    return texts


def content_digests(ids: Sequence[str], videos: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each clip's file; names the ids that have none."""
    missing = [name for name in ids if name not in videos]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(ids)} stimuli have no video ({cut_short(missing)})", remedy="make the ids match"
        )
    return {name: file_digest(videos[name]) for name in ids}


def shown_digest(content: Mapping[str, str]) -> str:
    """SHA-256 of all that a judge is shown: a text, or the digest of a clip, for every id."""
    return hashlib.sha256(json.dumps(sorted(content.items())).encode()).hexdigest()


class Media:
    """Message parts of clips, as JSON, made once and kept while they fit.

    Parameters
    ----------
    videos : mapping from id to path
    digests : mapping from id to str
        Content of the clips; names them on the servers, so that two studies cannot mix theirs up.
    shown
        ``"video"``: the file itself, sampled by the server; ``"frames"``: sampled here, sent as one video of
        JPEG frames; ``"images"``: the same frames, each an image of its own.
    n_frames, longest_side, quality
        Of the frames; see :func:`affectome.stimuli.sample_frames`.
    url
        Where the servers find the clips themselves; the file's name is added to it and no bytes are sent.
    reuse
        Whether parts carry a ``uuid`` by which a server keeps what it has made of a clip.
    most_mb
        Bound on the memory of what is kept.
    """

    def __init__(
        self,
        videos: Mapping[str, Path],
        digests: Mapping[str, str],
        *,
        shown: Shown,
        n_frames: int,
        longest_side: int | None,
        quality: int,
        url: str | None,
        reuse: bool,
        most_mb: float,
    ) -> None:
        self._videos = videos
        self._digests = digests
        self._shown = shown
        self._n_frames = n_frames
        self._longest_side = longest_side
        self._quality = quality
        self._url = url
        self._reuse = reuse
        self._most = int(most_mb * 2**20)
        self._size = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._making: dict[str, asyncio.Task[bytes]] = {}

    def uuid(self, name: str) -> str:
        """Name of a clip, as it is shown, on the servers."""
        how = "file" if self._shown == "video" else f"{self._n_frames}x{self._longest_side}q{self._quality}"
        return f"{self._digests[name][:20]}-{self._shown}-{how}"

    async def part(self, name: str) -> bytes:
        """The parts of a message that show a clip, as JSON separated by commas."""
        kept = self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
            return kept
        task = self._making.get(name)
        if task is None:  # whoever else asks meanwhile waits for the same work
            task = self._making[name] = asyncio.create_task(asyncio.to_thread(self._encode, name))
            task.add_done_callback(lambda done: self._keep(name, done))
        return await asyncio.shield(task)

    def mention(self, name: str) -> bytes:
        """The parts of a message that show a clip which the server is known to have: no bytes, only its name."""
        kind = "image_url" if self._shown == "images" else "video_url"
        return b",".join(_json({"type": kind, kind: None, "uuid": uuid}) for uuid in self._uuids(name))

    def _uuids(self, name: str) -> list[str]:
        count = self._n_frames if self._shown == "images" else 1
        return [self.uuid(name) if count == 1 else f"{self.uuid(name)}-{k}" for k in range(count)]

    def _keep(self, name: str, task: asyncio.Task[bytes]) -> None:
        del self._making[name]
        if task.cancelled() or task.exception() is not None:
            return
        part = task.result()
        self._kept[name] = part
        self._size += len(part)
        while self._size > self._most and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])

    def _encode(self, name: str) -> bytes:
        kind = "image_url" if self._shown == "images" else "video_url"
        parts = []
        for url, uuid in zip(self._urls(name), self._uuids(name), strict=True):
            part = {"type": kind, kind: {"url": url}}
            parts.append(_json({**part, "uuid": uuid} if self._reuse else part))
        return b",".join(parts)

    def _urls(self, name: str) -> list[str]:
        path = self._videos[name]
        if self._shown == "video":
            if self._url is not None:
                return [f"{self._url.rstrip('/')}/{quote(path.name)}"]
            try:
                content = path.read_bytes()
            except OSError as error:
                raise unreadable(path, error) from error
            return [f"data:{mimetypes.guess_type(path.name)[0] or 'video/mp4'};base64,{_base64(content)}"]
        from affectome.stimuli import encode_jpeg, sample_frames

        frames = sample_frames(path, self._n_frames, longest_side=self._longest_side)
        pictures = [_base64(encode_jpeg(frame, quality=self._quality)) for frame in frames]
        if self._shown == "images":
            return [f"data:image/jpeg;base64,{picture}" for picture in pictures]
        return [f"data:video/jpeg;base64,{','.join(pictures)}"]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _json(content: Mapping[str, object]) -> bytes:
    return json.dumps(content).encode()
