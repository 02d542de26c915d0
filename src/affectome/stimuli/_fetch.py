"""Public datasets, downloaded whole or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath

from affectome._files import held_lock, make_folder
from affectome._progress import Progress
from affectome.errors import AffectomeError, EnvironmentFailure, InputError
from affectome.stimuli._download import ResumingDownloader
from affectome.stimuli._public import PUBLIC_DATASETS, PublicDataset, PublicFile

logger = logging.getLogger(__name__)

__all__ = ["data_folder", "fetch_dataset"]


def data_folder() -> Path:
    """Folder of the public data: the environment variable AFFECTOME_DATA, else ``data`` in the current folder."""
    return Path(os.environ.get("AFFECTOME_DATA") or "data").expanduser()


def fetch_dataset(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Path]:
    """Download a public dataset; go on where an earlier download stopped.

    A file that is there with the right checksum is not downloaded. While a download runs, its bytes are in
    ``<file>.part``; they get the final name when they are whole and their checksum is the published one. Proxies
    are those of the usual environment variables (``HTTPS_PROXY``, ``NO_PROXY``).

    Parameters
    ----------
    name
        A key of ``PUBLIC_DATASETS``.
    folder
        Where to; :func:`data_folder` by default.
    only
        File names, when not all files of the dataset are wanted.
    progress
        Told bytes done and bytes in all of the file at hand.

    Returns
    -------
    list of Path
        The files, in the order of the dataset.

    Raises
    ------
    InputError
        When there is no such dataset or no such file in it.
    EnvironmentFailure
        When the network, the server or the disk is in the way, or what came has another checksum.
    """
    files = _choose(_find(name), only)
    root = data_folder() if folder is None else Path(folder).expanduser()
    paths = []
    for position, file in enumerate(files, start=1):
        target = root.joinpath(*PurePosixPath(file.name).parts)
        label = target.name if len(files) == 1 else f"{target.name} ({position} of {len(files)})"
        make_folder(target.parent)
        with _locked(target):
            _fetch_file(file, target, ResumingDownloader(target, progress=progress, label=label))
        paths.append(target)
    return paths


def _find(name: str) -> PublicDataset:
    if name not in PUBLIC_DATASETS:
        raise InputError(
            f"'{name}' is no dataset that can be downloaded", remedy=f"choose one of {', '.join(PUBLIC_DATASETS)}"
        )
    return PUBLIC_DATASETS[name]


def _choose(dataset: PublicDataset, only: Sequence[str]) -> list[PublicFile]:
    names = [PurePosixPath(file.name).name for file in dataset.files]
    for wanted in only:
        if wanted not in names:
            raise InputError(f"'{wanted}' is no file of {dataset.name}", remedy=f"choose from {', '.join(names)}")
    return [file for file, name in zip(dataset.files, names, strict=True) if not only or name in only]


def _fetch_file(file: PublicFile, target: Path, downloader: ResumingDownloader) -> None:
    import pooch

    if target.is_dir():
        raise EnvironmentFailure("is a folder where a file should go", source=target, remedy="move it away")
    try:
        with _silent_pooch():
            pooch.retrieve(
                file.url, known_hash=file.checksum, fname=target.name, path=target.parent, downloader=downloader
            )
        downloader.forget()
    except AffectomeError:
        raise
    except ValueError as error:  # what pooch says of a wrong checksum; every other reason was translated below it
        downloader.forget()
        raise _wrong_checksum(file, target) from error
    except OSError as error:
        raise _unwritable(target, downloader.part, error) from error
    logger.info("%s is %s.", target, "downloaded and whole" if downloader.was_called else "already there and whole")


def _wrong_checksum(file: PublicFile, target: Path) -> EnvironmentFailure:
    algorithm = file.checksum.partition(":")[0]
    return EnvironmentFailure(
        f"what was downloaded does not have the published {algorithm} checksum and was deleted",
        source=file.url,
        remedy=f"try again, and if that does not help, download the file by hand to {target}",
    )


def _unwritable(target: Path, part: Path, error: OSError) -> EnvironmentFailure:
    kept = ", then run the same again to go on with what is here" if part.exists() else ""
    return EnvironmentFailure(
        f"cannot be written ({error.strerror or error})",
        source=target,
        remedy=f"check the free space and the permissions or choose another folder{kept}",
    )


@contextmanager
def _silent_pooch() -> Iterator[None]:
    """Pooch writes its own lines to stderr; ours say the same, and can be silenced."""
    import pooch

    log = pooch.get_logger()
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def _locked(target: Path) -> AbstractContextManager[None]:
    """Two downloads into one part would spoil it."""
    return held_lock(
        target.with_name(f".{target.name}.lock"),
        source=target,
        busy="another process is downloading this file",
        remedy="wait for it, or choose another folder",
    )
