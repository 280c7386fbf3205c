"""The request models: one run of a flow, or of any container. Producers build them, dispatchers read them back.

``requests/parsing.py`` builds them from callers' values and reports every problem at once.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from dagy.contract import Env
from dagy_queue.requests.durations import Seconds
from dagy_queue.requests.json_values import json_problems
from dagy_queue.requests.names import NAME_RULE, is_name
from dagy_queue.requests.sizes import MAX_EPHEMERAL_GIB, MIN_EPHEMERAL_GIB, size_problem
from dagy_queue.requests.workloads import WORKLOADS

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTAINER_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_CORRELATION = re.compile(r"[\x21-\x7e]{1,200}?(:[0-9]{1,9})*")
"""A caller's 200 characters, and the numbers that fan-outs append."""
_RESERVED_ENV = frozenset({Env.TASK_NAME, Env.TASK_NUM})


def _allowed(text: str) -> PydanticCustomError:
    return PydanticCustomError("allowed", "{allowed}", {"allowed": text})


class RunRequest(BaseModel):
    """What every run has, whatever its container does."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    org_id: str = Field(description="who the run belongs to; every read is scoped by it")
    correlation_id: str = Field("", description="trace id; empty: one is made. Shards get <id>:<index>")
    environment: str = Field("", description="develop, staging, production or a name of yours")
    trigger_source: str = Field("", description="what caused the run, for the audit trail")
    triggered_by: str = Field("", description="who caused the run, for the audit trail")
    workload_profile: str | None = Field(None, description="a size by name: small, medium, large, xlarge, heavy, max")
    cpu: int | None = Field(None, description="CPU units, 1024 = 1 vCPU")
    memory: int | None = Field(None, description="MiB", validate_default=True)
    ephemeral_storage_gib: int | None = Field(None, description="GiB of /tmp, 21 to 200")
    extra_env_vars: dict[str, str] = Field(default_factory=dict, description="environment of the container")
    metadata: dict[str, Any] = Field(default_factory=dict, description="yours; kept with the run, not sent")
    max_retries: int = Field(0, ge=0, le=100, description="attempts after a failure of the code itself")
    retry_delay: Seconds = Field(10.0, ge=0, le=86_400, description="seconds before the first retry; doubles each time")
    priority: int = Field(0, ge=0, le=9, description="0 goes first, as on Celery's Redis transport")

    @property
    def label(self) -> str:
        """A short name for people."""
        raise NotImplementedError

    @field_validator("org_id")
    @classmethod
    def _check_org(cls, value: str) -> str:
        return _check_name(value)

    @field_validator("correlation_id")
    @classmethod
    def _check_correlation(cls, value: str) -> str:
        if value and not _CORRELATION.fullmatch(value):
            raise _allowed("1 to 200 printable ASCII characters without spaces")
        return value

    @property
    def size(self) -> tuple[int, int] | None:
        """CPU units and MiB: as given, or as the workload profile has them; None leaves them to the task definition."""
        if self.cpu is not None and self.memory is not None:
            return self.cpu, self.memory
        if self.workload_profile is not None:
            workload = WORKLOADS[self.workload_profile]
            return workload.cpu, workload.memory
        return None

    @field_validator("workload_profile")
    @classmethod
    def _check_profile(cls, value: str | None) -> str | None:
        if value is not None and value not in WORKLOADS:
            raise _allowed(f"one of {', '.join(WORKLOADS)}")
        return value

    @field_validator("ephemeral_storage_gib")
    @classmethod
    def _check_storage(cls, value: int | None) -> int | None:
        if value is not None and not MIN_EPHEMERAL_GIB <= value <= MAX_EPHEMERAL_GIB:
            raise _allowed(f"{MIN_EPHEMERAL_GIB} to {MAX_EPHEMERAL_GIB} GiB, or leave it out for 20")
        return value

    @field_validator("extra_env_vars")
    @classmethod
    def _check_env(cls, value: dict[str, str]) -> dict[str, str]:
        if wrong := [problem for name in value if (problem := _env_name_problem(name))]:
            raise _allowed("; ".join(wrong))
        return value

    @field_validator("metadata")
    @classmethod
    def _check_metadata(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _check_json(value, "metadata")

    @field_validator("memory")
    @classmethod
    def _check_size(cls, memory: int | None, info: ValidationInfo) -> int | None:
        # A validator of the last of the two fields, not of the model: that one runs only if nothing else is wrong.
        cpu = info.data.get("cpu")
        if (cpu is None) != (memory is None):
            raise _allowed("give cpu and memory together, or neither")
        if cpu is not None and memory is not None and (problem := size_problem(cpu, memory)):
            raise _allowed(f"cpu {cpu} with memory {memory}: {problem}")
        return memory


class LaunchRequest(RunRequest):
    """One run of a Dagy flow. ``DagLaunchRequest`` is the same class under the guide's name."""

    kind: Literal["flow"] = "flow"
    flow_name: str = Field(description="name the flow was registered under")
    flow_version: str = Field("latest", description="version; latest is resolved when the run is launched")
    parameters: dict[str, Any] = Field(default_factory=dict, description="the flow's parameters, JSON values")

    @property
    def label(self) -> str:
        """Flow and version."""
        return f"{self.flow_name}@{self.flow_version}"

    @field_validator("flow_name", "flow_version")
    @classmethod
    def _check_flow(cls, value: str) -> str:
        return _check_name(value)

    @field_validator("parameters")
    @classmethod
    def _check_parameters(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _check_json(value, "parameters")


class ContainerRequest(RunRequest):
    """One run of any container, by image or by an existing task definition; it succeeds if it exits with 0."""

    kind: Literal["container"] = "container"
    image: str = Field("", description="image URI; a task definition is made for it")
    task_definition: str = Field(
        "", description="family, family:revision or ARN of an existing task definition", validate_default=True
    )
    container_name: str = Field("", description="which container of the task definition does the work")
    command: tuple[str, ...] = Field((), description="replaces the image's command")

    @property
    def label(self) -> str:
        """The name of the image or task definition, without its registry or account."""
        return (self.image or self.task_definition).rpartition("/")[2]

    @field_validator("container_name")
    @classmethod
    def _check_container_name(cls, value: str) -> str:
        if value and not _CONTAINER_NAME.fullmatch(value):
            raise _allowed("1 to 255 letters, digits, '-' and '_'")
        return value

    @field_validator("task_definition")
    @classmethod
    def _check_one_source(cls, task_definition: str, info: ValidationInfo) -> str:
        if bool(info.data.get("image")) == bool(task_definition):
            raise _allowed("give either an image or a task_definition")
        return task_definition


def _env_name_problem(name: str) -> str:
    if name.startswith("DAGY_") or name in _RESERVED_ENV:
        return f"{name} is reserved: names that start with DAGY_, and TASK_NAME and TASK_NUM, are ours"
    if not _ENV_NAME.fullmatch(name):
        return f"{name!r}: letters, digits and underscores, not starting with a digit"
    return ""


def _check_name(value: str) -> str:
    if not is_name(value):
        raise _allowed(NAME_RULE)
    return value


def _check_json(value: dict[str, Any], path: str) -> dict[str, Any]:
    problems = list(json_problems(value, path))
    if problems:
        raise _allowed("; ".join(str(p) for p in problems[:5]))
    return value
