"""Searchlights in torch: which device computes, how exactly, and how many centres at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from affectome.errors import EnvironmentFailure, InputError

if TYPE_CHECKING:
    import torch

__all__ = ["Backend", "Room", "device_of", "exact_products"]

Backend = Literal["numpy", "torch", "torch_cuda"]

#: Bytes of the centres that are scored together: on the processor few, since larger batches leave its caches.
_MOST = {"cpu": 2**27, "cuda": 2**33}


@dataclass(frozen=True)
class Room:
    """Where batches of centres are scored.

    Attributes
    ----------
    device : "cpu" or "cuda"
    memory : float
        Bytes allowed, beside what is shared.
    """

    device: str
    memory: float

    def fitting(self, each: float, most: int) -> int:
        """How many things of so many bytes go into one batch; one at least."""
        return max(1, min(most, int(min(self.memory / 2, _MOST[self.device]) // each)))


def device_of(backend: str) -> str | None:
    """What computes: None (the compiled kernels), ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    InputError
        For a backend that there is not.
    EnvironmentFailure
        Where torch is not installed, or finds no GPU.
    """
    if backend not in get_args(Backend):
        raise InputError(f"backend='{backend}' is not known", remedy=f"choose {', '.join(get_args(Backend))}")
    if backend == "numpy":
        return None
    try:
        import torch
    except ImportError as error:
        raise EnvironmentFailure(
            f"the backend {backend} needs torch, which is not installed",
            remedy='install it with pip install "affectome[gpu]"',
        ) from error
    if backend == "torch":
        return "cpu"
    if not torch.cuda.is_available():
        raise EnvironmentFailure(
            "the backend torch_cuda cannot be used here (torch finds no CUDA device)",
            remedy='use backend="numpy" or mend the installation',
        )
    return "cuda"


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Float32 products in float32 (no TF32, whose ten bits would show in r), and on the processor one thread.

    A GPU without room for a batch of centres says so in a sentence.
    """
    import torch

    tf32, threads = torch.backends.cuda.matmul.allow_tf32, torch.get_num_threads()
    torch.backends.cuda.matmul.allow_tf32 = False
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    except torch.cuda.OutOfMemoryError as error:
        raise EnvironmentFailure(
            f"the memory of {torch.cuda.get_device_name(device)} is too small for a batch of centres",
            source="searchlight",
            remedy='lower memory_gb, free some of it, or use backend="numpy"',
        ) from error
    finally:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        if device.type == "cpu":
            torch.set_num_threads(threads)
