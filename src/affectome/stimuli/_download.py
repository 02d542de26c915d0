"""A download over HTTP that goes on where it stopped: a ``.part`` beside the file, continued by a Range request."""

from __future__ import annotations

import logging
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from affectome._progress import Progress
from affectome.errors import EnvironmentFailure

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

__all__ = ["ResumingDownloader"]

#: Seconds before each new try; a try that brought new bytes starts the count again.
_PAUSES = (1.0, 2.0, 4.0)
#: Seconds to connect, and between two pieces of the body.
_TIMEOUT = (10.0, 30.0)
#: Bytes at a time: what is lost of a chunk that breaks off is asked for again.
_CHUNK = 1 << 15
_TRY_AGAIN = (408, 429, 500, 502, 503, 504)


class _Hiccup(Exception):
    """Something that may well be over at the next try."""


class ResumingDownloader:
    """What pooch calls to fill its temporary file; the bytes are kept in `part` whatever happens.

    Parameters
    ----------
    target
        The final name; this class never writes it.
    progress
        Told bytes done and bytes in all.
    label
        Name of the file in the progress display.
    """

    def __init__(self, target: Path, *, progress: Progress | None = None, label: str = "") -> None:
        self.target = target
        self.part = target.with_name(f"{target.name}.part")
        self._validator = target.with_name(f"{target.name}.part.etag")
        self._progress = progress
        self._label = label or target.name
        self.was_called = False

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download `url`, then give it the name `output_file`, where pooch checks it."""
        self.was_called = True
        if self.target.exists():
            logger.warning("%s does not have the published checksum; a whole new file will replace it.", self.target)
        # Pooch's file is still empty: without it, a killed download leaves nothing but its part.
        Path(output_file).unlink(missing_ok=True)
        self._receive_stubbornly(url)
        # A second name keeps the part through the check, which takes a while for gigabytes and may be interrupted.
        try:
            os.link(self.part, output_file)
        except OSError:  # a file system without hard links
            self.part.replace(output_file)

    def forget(self) -> None:
        """Delete what was kept for going on."""
        self.part.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)

    def _receive_stubbornly(self, url: str) -> None:
        most, failures = self._size(), 0
        logger.info("Downloading %s to %s%s.", url, self.target, f", on from {_mega(most)}" if most else "")
        while True:
            try:
                return self._receive(url)
            except _Hiccup as hiccup:
                size = self._size()
                if size > most:
                    most, failures = size, 0
                if failures == len(_PAUSES):
                    raise self._failure(url, str(hiccup)) from hiccup
                logger.info("%s: %s; trying again in %g s.", url, hiccup, _PAUSES[failures])
                time.sleep(_PAUSES[failures])
                failures += 1

    def _receive(self, url: str) -> None:
        """One request, translated: what may pass is a _Hiccup, what will not is an EnvironmentFailure."""
        import requests

        host = urlsplit(url).hostname or url
        try:
            offset = self._size()
            with requests.get(url, headers=self._headers(offset), stream=True, timeout=_TIMEOUT) as response:
                whole = self._accept(response, url, offset)
            if not whole:  # the part did not fit the file on the server and is gone
                self._receive(url)
        except requests.exceptions.SSLError as error:
            raise self._failure(url, f"the certificate of {host} could not be verified") from error
        except requests.exceptions.ProxyError as error:
            raise _Hiccup("the proxy does not answer") from error
        except requests.exceptions.Timeout as error:
            raise _Hiccup(f"{host} does not answer in time") from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise _Hiccup(f"the connection to {host} broke off") from error
        except requests.exceptions.ConnectionError as error:
            raise _Hiccup(f"there is no connection to {host}") from error
        except requests.exceptions.RequestException as error:
            raise self._failure(url, f"the request failed ({error})") from error

    def _headers(self, offset: int) -> dict[str, str]:
        # Ranges count the bytes that are sent, so the server must not compress them.
        headers = {"Accept-Encoding": "identity", "User-Agent": "affectome (python-requests)"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            with suppress(FileNotFoundError):
                headers["If-Range"] = self._validator.read_text(encoding="latin-1")
        return headers

    def _accept(self, response: requests.Response, url: str, offset: int) -> bool:
        """Take the answer of the server; False when the part was of no use and a plain request is needed."""
        status = response.status_code
        first, total = _content_range(response)
        if status == 200:  # a fresh start, or a server that knows no ranges, or a file that has changed
            self._save_validator(response)
            self._write(response, 0, _content_length(response))
        elif status == 206 and offset and first == offset:
            self._write(response, offset, total)
        elif status in (206, 416) and offset:
            if status == 416 and total == offset:
                return True  # nothing was missing
            logger.info("%s does not fit what the server has; starting again.", self.part)
            self.forget()
            return False
        elif status in _TRY_AGAIN:
            raise _Hiccup(f"the server answered {status} ({response.reason})")
        else:
            raise self._failure(url, f"the server answered {status} ({response.reason})")
        return True

    def _save_validator(self, response: requests.Response) -> None:
        """Keep a strong ETag for If-Range; a weak one does not promise equal bytes."""
        tag = response.headers.get("ETag", "")
        # A part of the file before must never be continued under the new tag.
        self.part.unlink(missing_ok=True)
        if tag.startswith('"'):
            self._validator.write_text(tag, encoding="latin-1")
        else:
            self._validator.unlink(missing_ok=True)

    def _write(self, response: requests.Response, done: int, total: int | None) -> None:
        with open(self.part, "ab" if done else "wb") as part:
            for chunk in response.iter_content(_CHUNK):
                part.write(chunk)
                done += len(chunk)
                if self._progress is not None:
                    end = max(total or 0, done)
                    self._progress(done, end, detail=f"{self._label}, {_mega(done)} of {_mega(end)}")
            part.flush()
            os.fsync(part.fileno())
        if total is not None and done < total:
            raise _Hiccup(f"the connection broke off after {_mega(done)} of {_mega(total)}")

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _failure(self, url: str, reason: str) -> EnvironmentFailure:
        size = self._size()
        again = f"run the same again to go on from the {_mega(size)} that are here" if size else "try again later"
        return EnvironmentFailure(
            f"cannot be downloaded, because {reason}",
            source=url,
            remedy=f"check the network and its proxy and {again}, or download the file by hand to {self.target}",
        )


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and full length from ``Content-Range: bytes 5-9/10`` or ``bytes */10``."""
    found = re.fullmatch(r"bytes\s+(?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if found is None:
        return None, None
    first, total = found.groups()
    return None if first is None else int(first), None if total == "*" else int(total)


def _content_length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    # With a Content-Encoding the length is that of the packed body.
    return int(length) if length.isdecimal() and not response.headers.get("Content-Encoding") else None


def _mega(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"
