"""The Outcome of an attempt: what kind of end it was, in words, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self


class Kind(StrEnum):
    """The kinds of end; each has a retry budget of its own."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    SPOT = "spot"
    START_FAILED = "start_failed"
    CAPACITY = "capacity"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The end of one attempt.

    ``summary`` is one line, ``detail`` is what AWS or the flow said, ``resolution`` is what to do about it.
    ``transient`` is True if the same attempt may well succeed when repeated.
    """

    kind: Kind
    summary: str = ""
    detail: str = ""
    resolution: str = ""
    exit_code: int | None = None
    stop_code: str = ""
    task_arn: str = ""
    transient: bool = False
    cpu: int | None = None
    memory: int | None = None
    """CPU units and MiB of the task, where ECS tells."""
    no_retry: str = ""
    """Why no other attempt follows, where none does and the dispatcher has said so."""
    log_lines: tuple[str, ...] = ()
    """The last lines of the container's log, where they were read: ``dispatch.failure_log_lines``."""
    task_arns: Mapping[str, str] = field(default_factory=dict)
    """The ECS task of every attempt, by the attempt's number; an attempt whose launch was refused has none."""

    @property
    def succeeded(self) -> bool:
        """True only for a container that exited with 0, or with a code that its request calls skipped."""
        return self.kind is Kind.SUCCEEDED

    def with_detail(self, summary: str, detail: str) -> Self:
        """Return the same outcome in the words of someone who knows more."""
        return replace(self, summary=summary, detail=detail)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form: what is kept in the ledger and carried by RunFailed."""
        values = {name: value for name, value in asdict(self).items() if value not in (None, "", (), {})}
        if self.log_lines:
            values["log_lines"] = list(self.log_lines)
        return values | {"kind": self.kind.value, "summary": self.summary}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the plain form; unknown keys are left out."""
        known = {f.name for f in fields(cls)} - {"kind", "log_lines"}
        given = {name: value for name, value in values.items() if name in known}
        return cls(**given, kind=Kind(values["kind"]), log_lines=tuple(values.get("log_lines") or ()))
