"""Workers of a cluster, through Dask: how they are reached, and the parts that they do."""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import shutil
import signal
import socket
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, chdir, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from inspect import signature
from itertools import count, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import affectome
from affectome._cluster_tables import AddressTable, ClusterTable, JobsTable, LocalTable, read_cluster
from affectome._files import make_folder
from affectome._processes import ONE_PART, Apart, Said, sent_elsewhere
from affectome.errors import EnvironmentFailure, InputError

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["job_script", "on_cluster"]

logger = logging.getLogger(__name__)

_ANSWER = 20  # seconds that a scheduler has to answer
_PATIENCE = 60  # seconds until a user is told that no worker has come yet
_PLACED_AT_MOST = 5  # times that what all parts share is placed, where every worker that had it was lost
#: What is placed on workers stays there, though for a moment no part that waits needs it.
_SETTINGS = {"distributed.scheduler.active-memory-manager.start": False}


@contextmanager
def on_cluster(cluster: ClusterTable | str | os.PathLike[str] | None) -> Iterator[None]:
    """Meanwhile, fits, folds, people and chunks of searchlights are done by the workers of a cluster.

    What is outermost spreads (seeds, folds of a selection, people, spaces, chunks of centres); loops within a part
    stay in its worker. The results are those of local processes: the same bits where machines and threads are the
    same. A worker that is lost costs the parts it had, which others do again. Workers are asked for when there is
    something to do, and given back at the end.

    Parameters
    ----------
    cluster
        A file with a table ``[cluster]``, such a table, or None: this machine.

    Raises
    ------
    InputError
        When the table says what it may not.
    EnvironmentFailure
        When the cluster cannot be reached, or Dask is not installed.

    Examples
    --------
    >>> from affectome import SPoSE, fit_seeds, on_cluster, simulate_emotions
    >>> trials = simulate_emotions(n_stimuli=40, n_components=3, seed=0).sample_answers(5_000, seed=1)
    >>> with on_cluster("slurm.toml"):  # doctest: +SKIP
    ...     fits = fit_seeds(SPoSE(n_components=3), trials, range(100))
    """
    if cluster is None:
        yield
        return
    table = cluster if isinstance(cluster, (LocalTable, AddressTable, JobsTable)) else read_cluster(cluster)
    _check(table)
    with ExitStack() as stack, sent_elsewhere(_Dask(table, stack)):
        yield


def job_script(table: JobsTable) -> str:
    """What each job would be, without asking for one."""
    script: str = _checked_job(table).job_script()
    return script


def _check(table: ClusterTable) -> None:
    """What can be known before there is something to do."""
    _installed("distributed")
    if isinstance(table, JobsTable):
        _checked_job(table)
        command = shlex.split(_kind(table).job_cls.submit_command)[0]
        if shutil.which(command) is None:
            raise EnvironmentFailure(
                f"there is no '{command}' here, so that no job can be asked for",
                remedy='start from a machine that may submit jobs, or try kind = "local"',
            )


@contextmanager
def _client(table: ClusterTable, refused: list[Exception]) -> Iterator[Client]:
    """The way to a scheduler; what was started for it ends with it. `refused` fills with what became of jobs."""
    from distributed import Client

    with ExitStack() as stack:
        if isinstance(table, AddressTable):
            address: Any = table.address
        else:
            address = stack.enter_context(_local(table) if isinstance(table, LocalTable) else _jobs(table, refused))
        try:
            client = Client(address, timeout=_ANSWER, set_as_default=False)
        except OSError as error:
            raise EnvironmentFailure(
                "no Dask scheduler answers", source=str(address), remedy="check the address, and that it runs"
            ) from error
        stack.enter_context(client)
        if not isinstance(table, AddressTable):
            stack.enter_context(_losses_told(address.scheduler))
        if isinstance(table, LocalTable):
            client.register_worker_callbacks(_leave_interrupts_to_the_caller)
        yield client


def _leave_interrupts_to_the_caller() -> None:
    """Ctrl-C reaches every process of a terminal; the caller ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _losses_told(scheduler: Any) -> Iterator[None]:
    """Log it when a worker goes before the end."""
    from distributed import SchedulerPlugin

    class Losses(SchedulerPlugin):
        def remove_worker(self, scheduler: Any, worker: str, **more: Any) -> None:
            logger.warning("The worker at %s is gone; what it was doing is done by others.", worker)

    scheduler.add_plugin(Losses(), name="affectome-losses")
    try:
        yield
    finally:
        scheduler.remove_plugin(name="affectome-losses")


def _installed(module: str) -> Any:
    interrupts = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        return import_module(module)
    except ImportError as error:
        raise EnvironmentFailure(
            f"a cluster needs {module}, which is not installed", remedy="pip install 'affectome[cluster]'"
        ) from error
    finally:  # dask-jobqueue makes Ctrl-C a quiet success when it loads
        if threading.current_thread() is threading.main_thread():
            for kind, handler in interrupts.items():
                signal.signal(kind, handler)


def _local(table: LocalTable) -> Any:
    with _installed("dask").config.set(_SETTINGS):
        return _installed("distributed").LocalCluster(
            n_workers=table.workers,
            threads_per_worker=1,
            memory_limit=table.memory or 0,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,  # what users have to know, we say
            env=_environment(table.threads),
        )


def _environment(threads: int) -> dict[str, str]:
    """For libraries that learn their threads when they load."""
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


@contextmanager
def _jobs(table: JobsTable, refused: list[Exception]) -> Iterator[Any]:
    """Jobs in the queue; those that still run at the end are cancelled."""
    from distributed import Status

    kind = _kind(table)

    class Job(kind.job_cls):  # type: ignore[misc, name-defined]
        async def start(self) -> None:
            try:
                await super().start()
            except Exception as error:  # Dask would log it, and wait for ever
                refused.append(error)
                self.status = Status.closed
                raise

    with _installed("dask").config.set(_SETTINGS), kind(job_cls=Job, **_keywords(table)) as cluster:
        if table.jobs.min < table.jobs.max:
            cluster.adapt(minimum_jobs=table.jobs.min, maximum_jobs=table.jobs.max)
        else:
            cluster.scale(jobs=table.jobs.max)
        logger.info("Jobs are asked for; what they print goes to %s.", Path(table.logs).resolve())
        yield cluster


def _kind(table: JobsTable) -> Any:
    """The class of dask-jobqueue."""
    return getattr(_installed("dask_jobqueue"), f"{table.kind.upper()}Cluster")


def _checked_job(table: JobsTable) -> Any:
    """One job, as dask-jobqueue understands the table, without a scheduler."""
    kind = _kind(table)
    make_folder(table.logs)
    of_cluster = set(signature(kind.__mro__[1].__init__).parameters) - {"interface", "protocol", "config_name"}
    of_job = {name: value for name, value in _keywords(table).items() if name not in of_cluster}
    try:
        return kind.job_cls("tcp://scheduler:8786", name="worker", **of_job)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"dask-jobqueue does not take it ({str(error).splitlines()[0]})",
            source="[cluster] options",
            remedy=f"see the parameters of its {kind.__name__}",
        ) from error


def _keywords(table: JobsTable) -> dict[str, Any]:
    """What the classes of dask-jobqueue call the keys of a table."""
    exports = [f"export {name}={value}" for name, value in _environment(table.threads).items()]
    own: dict[str, Any] = {
        "cores": table.cores,
        "memory": table.memory,
        "processes": table.processes,
        "walltime": table.walltime,
        "queue": table.queue,
        "account" if table.kind in ("slurm", "pbs") else "project": table.account,
        "job_extra_directives": table.directives,
        "job_script_prologue": [*exports, *table.prologue],
        "log_directory": str(Path(table.logs).resolve()),
        "silence_logs": "critical",
    }
    twice = [name for name in own if name in table.options]
    if twice:
        raise InputError(
            "is a key of the table itself", source=f"[cluster.options] {twice[0]}", remedy="write it there"
        )
    further = dict(table.options)
    # One part at a time in a process, though its job has more cores: the last of two such arguments counts.
    arguments = [*further.pop("worker_extra_args", ()), "--nthreads", "1"]
    scheduler = {"dashboard_address": ":0", **further.pop("scheduler_options", {})}
    given = {name: value for name, value in own.items() if value is not None}
    return {**given, **further, "worker_extra_args": arguments, "scheduler_options": scheduler}


class _Dask:
    """Workers of a Dask cluster; see :class:`affectome._processes.Elsewhere`."""

    def __init__(self, table: ClusterTable, stack: ExitStack) -> None:
        self.table, self.threads = table, table.threads
        self._stack = stack
        self._refused: list[Exception] = []

    @cached_property
    def client(self) -> Client:
        """Opened when there is something to do."""
        return self._stack.enter_context(_client(self.table, self._refused))

    def width(self) -> int:
        """As many workers as there may be at once."""
        if isinstance(self.table, LocalTable):
            return self.table.workers
        if isinstance(self.table, JobsTable):
            return self.table.jobs.max * self.table.processes
        return max(1, len(self.client.nthreads()))

    def each(
        self, task: Apart[Any, Any, Any], shared: Any, parts: Iterable[Any], *, ordered: bool, folder: Path | None
    ) -> Generator[tuple[Any, Said], None, None]:
        """The results of the parts; two for each worker are under way, so that none waits for the next."""
        left = enumerate(parts)
        first = list(islice(left, 2 * self.width()))
        if not first:
            return
        with _shown(folder) as sight:
            round_ = _Round(self, (_Errand(task, sight, affectome.__version__), shared))
            try:
                for number, part in first:
                    round_.send(number, part)
                early: dict[int, tuple[Any, Said]] = {}
                expected = 0
                while round_.waiting:
                    number, result = round_.next_result()
                    for following in islice(left, 1):
                        round_.send(*following)
                    if not ordered:
                        yield result
                        continue
                    early[number] = result
                    while expected in early:
                        yield early.pop(expected)
                        expected += 1
            finally:
                round_.cancel()

    def wait_for_a_worker(self) -> None:
        """What is placed on workers needs one; a cluster that follows the work starts one for this."""
        probe = self.client.submit(os.getpid, pure=False)
        for waited in count(1):
            if self._refused:
                said = [line for line in str(self._refused[0]).splitlines() if line.strip()]
                raise EnvironmentFailure(
                    f"the batch system took no job ({said[-1].strip()})", remedy="correct the table [cluster]"
                ) from self._refused[0]
            with suppress(TimeoutError):
                probe.result(timeout=1)
                return
            if waited % _PATIENCE == 0:
                self.when_nothing_comes()

    def when_nothing_comes(self) -> None:
        """Say that there is no worker."""
        if not self.client.nthreads():
            where = f"; jobs print to {self.table.logs}" if isinstance(self.table, JobsTable) else ""
            logger.warning("No worker is there%s.", where)


class _Round:
    """Parts under way; those of a lost worker are given to another by Dask, and by us where their data are lost."""

    def __init__(self, dask: _Dask, shared: Any) -> None:
        self.dask, self.shared = dask, shared
        self.waiting: dict[int, tuple[Future[Any], Any, int]] = {}
        self._done: SimpleQueue[int] = SimpleQueue()
        self._n_placed = 0
        self._place()

    def send(self, number: int, part: Any) -> None:
        client = self.dask.client
        key = f"affectome-{number}-{secrets.token_hex(8)}"
        with warnings.catch_warnings():  # parts carry their own data, on purpose
            warnings.filterwarnings("ignore", message="Sending large graph")
            future = client.submit(_do, self._placed, part, key=key, pure=False)
        self.waiting[number] = (future, part, self._n_placed)
        future.add_done_callback(lambda _: self._done.put(number))

    def next_result(self) -> tuple[int, tuple[Any, Said]]:
        """The next that is there."""
        from distributed import CancelledError, KilledWorker

        while True:
            try:
                number = self._done.get(timeout=_PATIENCE)
            except Empty:
                self.dask.when_nothing_comes()
                continue
            future, part, placing = self.waiting.pop(number)
            try:
                return number, future.result()
            except CancelledError:  # what it needs was lost with the last worker that had it
                if placing == self._n_placed:
                    self._place()
                self.send(number, part)
            except KilledWorker as error:
                raise EnvironmentFailure(
                    f"{error.allowed_failures + 1} workers died one after the other at the same part, "
                    f"the last at {error.last_worker.address}",
                    remedy="give each more memory, and read what it printed last",
                ) from error

    def cancel(self) -> None:
        """What is under way and what was placed are wanted no longer."""
        self.dask.client.cancel([self._placed, *(future for future, _, _ in self.waiting.values())])

    def _place(self) -> None:
        """Give every worker what all parts share: once to the cluster, whose workers pass it on to each other."""
        client = self.dask.client
        while self._n_placed < _PLACED_AT_MOST and client.status == "running":
            self._n_placed += 1
            self.dask.wait_for_a_worker()
            with suppress(ValueError, OSError):  # what Dask says where the only worker dies meanwhile
                self._placed = client.scatter([self.shared], broadcast=True, hash=False)[0]
                return
        raise EnvironmentFailure(
            "the cluster was lost", remedy="start it, and the same command again; what is done is kept"
        )


@dataclass(frozen=True)
class _Sight:
    """A folder that a worker has to see, by a file in it; and where relative paths begin."""

    folder: Path
    proof: str
    begin: Path


@contextmanager
def _shown(folder: Path | None) -> Iterator[_Sight | None]:
    """A file that proves to whoever sees it that the folder is this one."""
    if folder is None:
        yield None
        return
    proof = make_folder(folder).resolve() / f".seen-{secrets.token_hex(8)}"
    proof.touch()
    try:
        yield _Sight(proof.parent, proof.name, Path.cwd())
    finally:
        proof.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Errand:
    """A part's function, and what must hold where it runs."""

    apart: Apart[Any, Any, Any]
    sight: _Sight | None
    version: str

    def __call__(self, shared: Any, part: Any) -> tuple[Any, Said]:
        if affectome.__version__ != self.version:
            raise EnvironmentFailure(
                f"the worker on {socket.gethostname()} has affectome {affectome.__version__}, not {self.version}",
                remedy="install the same everywhere",
            )
        with ONE_PART, self._begin():
            return self.apart(shared, part)

    def _begin(self) -> AbstractContextManager[None]:
        if self.sight is None:
            return nullcontext()
        for place in (self.sight.folder / self.sight.proof, self.sight.begin):
            if not place.exists():
                raise EnvironmentFailure(
                    f"the worker on {socket.gethostname()} does not see this folder",
                    source=self.sight.folder if place != self.sight.begin else place,
                    remedy="use one on a file system that all machines of the cluster share",
                )
        return chdir(self.sight.begin)


def _do(placed: tuple[_Errand, Any], part: Any) -> tuple[Any, Said]:
    errand, shared = placed
    return errand(shared, part)
