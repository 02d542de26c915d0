"""The table ``[cluster]``: which workers there are, and how they are asked for."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from affectome._toml import Table, checked, read_toml
from affectome.errors import InputError

__all__ = ["CLUSTER_KINDS", "AddressTable", "ClusterTable", "JobsTable", "LocalTable", "read_cluster"]


def _size(text: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)? ?[kMGT]i?B", text):
        raise PydanticCustomError("size", 'a size is written as "16GB" or "500MiB"')
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://\S+:\d+", text):
        raise PydanticCustomError("address", 'an address is written as "tcp://10.0.0.1:8786"')
    return text


Size = Annotated[str, AfterValidator(_size)]
Threads = Annotated[int, Field(ge=1, description="Threads of a fit or of a person in a worker.")]


class LocalTable(Table):
    """Processes of this machine, as a cluster has them: to try what a cluster would do."""

    kind: Literal["local"]
    workers: int = Field(ge=1, description="Processes.")
    threads: Threads = 1
    memory: Size | None = Field(None, description="Of each worker, which is started anew beyond it.")


class AddressTable(Table):
    """A Dask cluster that someone started."""

    kind: Literal["address"]
    address: Annotated[str, AfterValidator(_address)] = Field(description='Of its scheduler: "tcp://10.0.0.1:8786".')
    threads: Threads = 1


class JobRange(Table):
    """As many jobs as there is work for, within limits."""

    min: int = Field(0, ge=0)
    max: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> JobRange:
        if self.min > self.max:
            raise PydanticCustomError("jobs", "min is more than max")
        return self


def _range(jobs: Any) -> Any:
    return {"min": jobs, "max": jobs} if isinstance(jobs, int) and not isinstance(jobs, bool) else jobs


_JOBS_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 1}, JobRange.model_json_schema()]}


class JobsTable(Table):
    """Workers that wait in the queue of a batch system; dask-jobqueue asks for them."""

    kind: Literal["slurm", "pbs", "sge", "lsf"]
    jobs: Annotated[JobRange, BeforeValidator(_range), WithJsonSchema(_JOBS_SCHEMA)] = Field(
        description="How many are asked for: a number, or { min = 0, max = 20 } to follow the work."
    )
    cores: int = Field(ge=1, description="Of a job; each worker takes `threads` of them.")
    memory: Size = Field(description="Of a job; each worker gets its share.")
    threads: Threads = 1
    walltime: str = Field(description='Of a job, as the batch system writes it: "04:00:00".')
    queue: str | None = Field(None, description="Queue or partition.")
    account: str | None = Field(None, description="Account or project that is charged.")
    directives: list[str] = Field(default_factory=list, description='Further ones: "--constraint=ib".')
    prologue: list[str] = Field(default_factory=list, description='Lines before the workers start: "module load x".')
    logs: str = Field("cluster-logs", description="Folder for what the jobs print.")
    options: dict[str, Any] = Field(default_factory=dict, description="Passed on to the class of dask-jobqueue.")

    @property
    def processes(self) -> int:
        """Workers of a job."""
        return self.cores // self.threads

    @model_validator(mode="after")
    def _has_room(self) -> JobsTable:
        if self.threads > self.cores:
            raise PydanticCustomError("threads", "a worker has more threads than a job has cores")
        return self


ClusterTable = LocalTable | AddressTable | JobsTable

#: What the key ``cluster`` may hold, by its kind.
CLUSTER_KINDS: dict[str, type[BaseModel]] = {
    "local": LocalTable,
    "address": AddressTable,
    **dict.fromkeys(("slurm", "pbs", "sge", "lsf"), JobsTable),
}


class _File(Table):
    cluster: Annotated[ClusterTable, Field(discriminator="kind")]


def read_cluster(path: str | os.PathLike[str]) -> ClusterTable:
    """Read and check the table ``[cluster]`` of a file, which may hold others, as a study file does."""
    content = read_toml(path)
    if "cluster" not in content:
        raise InputError("holds no table [cluster]", source=path, remedy='add one, with kind = "slurm", for example')
    return checked(_File, {"cluster": content["cluster"]}, path, variants=CLUSTER_KINDS).cluster
