"""Searchlights in torch: which device computes, how exactly, and how many centres at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

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
    _check_cuda(torch.cuda.is_available())
    return "cuda"


def _check_cuda(available: bool) -> None:
    if not available:
        raise EnvironmentFailure(
            "the backend torch_cuda cannot be used here (torch finds no CUDA device)",
            remedy='use backend="numpy" or mend the installation',
        )


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Products of float32 in float32, on the processor by one thread; what a GPU lacks is said in a sentence."""
    import torch

    if device.type == "cuda":
        _check_cuda(torch.cuda.is_available())  # a worker of a cluster may be on another machine
    try:
        with torch.no_grad(), _single_precision(), _one_thread(device):
            yield
    except torch.cuda.OutOfMemoryError as error:
        raise EnvironmentFailure(
            f"the memory of {torch.cuda.get_device_name(device)} is too small for a batch of centres",
            source="searchlight",
            remedy='lower memory_gb, free some of it, or use backend="numpy"',
        ) from error


@contextmanager
def _single_precision() -> Iterator[None]:
    """No TF32, whose ten bits would show in r, nor bfloat16, whatever the session allows."""
    import torch

    backends: Any = torch.backends
    if hasattr(backends.cuda.matmul, "fp32_precision"):  # from torch 2.9 on, where the older setting may raise
        settings = (backends.cuda.matmul, backends.mkldnn.matmul)
        before = [setting.fp32_precision for setting in settings]
        try:
            for setting in settings:
                setting.fp32_precision = "ieee"
            yield
        finally:
            for setting, value in zip(settings, before, strict=True):
                setting.fp32_precision = value
        return
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """On the processor centres are spread over processes, and bits do not depend on how many there are."""
    import torch

    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if device.type == "cpu":
            torch.set_num_threads(threads)
