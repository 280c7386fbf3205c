"""What the two sides of a container boundary agree on: environment names, the run spec and the result.

The dispatcher (package ``dagy_queue``) writes a :class:`RunSpec` into the container's environment; the
worker (package ``dagy_worker``) reads it, and answers with a :class:`RunReport` at ``DAGY_RESULT_URI``.
Both documents are JSON and versioned by ``schema``. This module imports nothing but the standard library,
so either side may import it freely.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

SCHEMA = 1
"""Version of both documents. A reader refuses a document of another version."""

INLINE_RESULT_BYTES = 100_000
"""Largest result, in bytes of JSON, carried inside the report; larger ones get an object of their own."""


class Env:
    """Names of the environment variables that make up the contract."""

    RUN_SPEC = "DAGY_RUN_SPEC"
    RUN_SPEC_URI = "DAGY_RUN_SPEC_URI"
    RUN_ID = "DAGY_RUN_ID"
    ATTEMPT = "DAGY_ATTEMPT"
    CORRELATION_ID = "DAGY_CORRELATION_ID"
    ORG_ID = "DAGY_ORG_ID"
    ARTIFACT_URI = "DAGY_ARTIFACT_URI"
    DEP_PACKAGE_URIS = "DAGY_DEP_PACKAGE_URIS"
    RESULT_URI = "DAGY_RESULT_URI"
    PACKAGE_CACHE = "DAGY_PACKAGE_CACHE"
    """Directory in which installed dependency packages are kept for later containers, such as a mounted EFS volume."""
    LOG_LEVEL = "DAGY_LOG_LEVEL"
    """Level of the root logger inside the container; INFO without it."""
    TASK_NAME = "TASK_NAME"
    TASK_NUM = "TASK_NUM"


class ExitCode:
    """Exit codes of the worker process (143 is 128 + SIGTERM, as a shell would report it).

    A flow whose process dies has that process's own: 128 and the number of the signal, or what it exited with.
    """

    OK = 0
    FLOW_FAILED = 1
    BAD_SPEC = 2
    DEPENDENCY_FAILED = 3
    TERMINATED = 143


STOP_TIMEOUT_SECONDS = 30.0
"""Between SIGTERM and SIGKILL, where a task definition does not say (ECS API reference, ContainerDefinition)."""

OUT_OF_MEMORY = "OutOfMemory"
"""The ``type`` of the error of a flow whose process was killed because the container ran out of memory."""


class ReportStatus(StrEnum):
    """How a run ended, as the worker saw it."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class ContractError(ValueError):
    """A document is not of the agreed form: the message names the field, its value and what is allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """Everything the worker needs to know to execute one attempt of one run."""

    run_id: str
    attempt: int
    org_id: str
    flow_name: str
    flow_version: str
    artifact_uri: str
    correlation_id: str = ""
    artifact_sha256: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    environment: str = ""
    dep_package_uris: list[str] = field(default_factory=list)
    dep_package_sha256s: list[str] = field(default_factory=list)
    """One for each of ``dep_package_uris``, in hex, "" where it is not known; or empty if none is."""
    result_uri: str = ""
    traces_uri: str = ""
    batch_id: str = ""
    shard: int | None = None
    crew: list[dict[str, Any]] = field(default_factory=list)
    """Further shards that the same container works through: of each, the fields in which it differs from this spec."""
    secret_names: list[str] = field(default_factory=list)
    """Names of the variables that ECS fills from secrets: the worker keeps their values out of what it writes."""
    runs_table: str = ""
    """DynamoDB table of the runs' records, which the worker brings up to date; empty: it writes none."""
    task_runs_table: str = ""
    """The same for the records of tasks."""
    heartbeat_seconds: float = 30.0
    """Seconds between two writes to the records while the run goes on."""
    stop_timeout: float = STOP_TIMEOUT_SECONDS
    """Seconds between SIGTERM and SIGKILL: the container's ``stopTimeout``."""
    is_direct: bool = False
    """Whether the run was launched without a queue, so that no other attempt can follow and a failure is final."""
    schema: int = SCHEMA

    def members(self) -> list[Self]:
        """Return the specs of all runs that the container works through, this one first."""
        return [replace(self, crew=[], **member) for member in ({}, *self.crew)]

    def to_json(self) -> str:
        """Return the document, compact, without the fields that have their defaults."""
        return _compact(_without_defaults(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a document. Raises ContractError if it is not a run spec of this schema."""
        return cls(**_read(text, cls, "run spec"))


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorReport:
    """What went wrong inside the container."""

    type: str
    message: str
    task: str = ""
    traceback: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """The worker's account of one attempt: its result by value or by reference, or its error."""

    run_id: str
    attempt: int
    status: ReportStatus
    result: Any = None
    result_uri: str = ""
    result_bytes: int = 0
    error: ErrorReport | None = None
    tasks: dict[str, str] = field(default_factory=dict)
    started_at: str = ""
    finished_at: str = ""
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Return the document, compact. The result must already be JSON (see ``dagy_worker.report``)."""
        return _compact({**_without_defaults(self), "result": self.result})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a document. Raises ContractError if it is not a report of this schema."""
        values = _read(text, cls, "run report")
        error = values.pop("error", None)
        try:
            status = ReportStatus(values.pop("status"))
            return cls(**values, status=status, error=ErrorReport(**error) if error else None)
        except (TypeError, ValueError) as exc:
            raise ContractError(f"run report: {exc}") from exc


def _without_defaults(document: RunSpec | RunReport) -> dict[str, Any]:
    """Return a document's fields but for those that a reader fills in itself; ``schema`` always stays."""
    values = {each.name: getattr(document, each.name) for each in fields(document)}
    if isinstance(error := values.get("error"), ErrorReport):
        values["error"] = asdict(error)
    for each in fields(document):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if each.name != "schema" and values[each.name] == default:
            del values[each.name]
    return values


def _compact(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _read(text: str, cls: type, name: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ContractError(f"{name}: not JSON ({exc})") from exc
    if not isinstance(document, dict):
        raise ContractError(f"{name}: expected an object, got {type(document).__name__}")
    if document.get("schema") != SCHEMA:
        raise ContractError(f"{name}: schema {document.get('schema')!r} is not supported; this side reads {SCHEMA}")
    known = {f.name: f for f in fields(cls)}
    required = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    missing = sorted(required - document.keys())
    if missing:
        raise ContractError(f"{name}: missing {', '.join(missing)}")
    return {k: v for k, v in document.items() if k in known}
