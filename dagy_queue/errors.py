"""The one tree of errors that dagy_queue raises; every message says what to do next.

    DagyQueueError
    ├── RequestInvalid            what was asked cannot be launched (lists every problem)
    ├── SettingsInvalid           a setting is missing or wrong
    ├── RedisUnavailable          the broker, ledger or result backend cannot be reached
    ├── LedgerError               the ledger failed on what it was given or found, and would again
    ├── AwsError                  an AWS API answered with an error
    │   ├── AwsUnavailable        no answer: network, endpoint, or a 5xx
    │   ├── AwsThrottled          a rate limit, in any of its disguises
    │   ├── AwsCapacity           no room now: capacity, vCPU quota, subnet addresses
    │   └── AwsRefused            the call is wrong or not allowed, and will stay so
    ├── NotRegistered             the registry has no such thing for this org
    │   ├── FlowNotFound          no such flow or version
    │   ├── DeploymentNotFound    no such deployment, or not in this environment
    │   └── PackageNotFound       no such dependency package or version
    ├── RunNotFound               no such run
    ├── BatchNotFound             no such batch
    ├── RunFailed                 the run ended FAILED; carries its Outcome
    ├── RunCancelled              the run was cancelled
    ├── ResultExpired             the run succeeded, and what it returned is gone
    ├── ResultTimeout             the run did not end within the caller's timeout
    ├── HealthCheckFailed         a dispatcher cannot work with its settings, Redis or AWS
    ├── FlowerRefused             Flower would not be safe, or has no such option
    └── LocalStackError           the embedded stack could not start

Errors of botocore are mapped here by ``aws.errors``, errors of redis-py and kombu by ``ledger.errors``: once,
at the edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagy_queue.outcome_text import outcome_notes


class DagyQueueError(Exception):
    """Base of all errors of this package."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request: the field, its value, and what is allowed there."""

    field: str
    value: Any
    allowed: str

    def __str__(self) -> str:
        return f"{self.field} = {_shorten(self.value)}: {self.allowed}"


class RequestInvalid(DagyQueueError, ValueError):
    """A launch request has one or more problems; nothing was published.

    ``more`` says that there are others, which are not listed.
    """

    def __init__(self, problems: Sequence[Problem] | str, what: str = "request", more: bool = False) -> None:
        self.what = what
        self.more = more
        if isinstance(problems, str):
            self.problems: tuple[Problem, ...] = ()
            super().__init__(problems)
            return
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        count = len(self.problems)
        counted = f"{count} problem{'s' if count != 1 else ''}{' and more' if more else ''}"
        super().__init__(f"the {what} has {counted}, nothing was sent:{lines}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems or str(self), self.what, self.more)


class SettingsInvalid(DagyQueueError):
    """A setting is missing or has a value that cannot work."""


class RedisUnavailable(DagyQueueError):
    """Redis could not be reached, or is in no state to do the operation: it may be repeated."""


class LedgerError(DagyQueueError):
    """A script of the ledger failed on what it was given, or found in Redis; it would again, so it is not repeated."""


class AwsError(DagyQueueError):
    """An AWS API call failed. ``code`` is AWS's own error name."""

    def __init__(self, message: str, *, code: str = "", operation: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.operation = operation


class AwsUnavailable(AwsError):
    """AWS (or the local endpoint) gave no usable answer; whether the call took effect is unknown."""


class AwsThrottled(AwsError):
    """AWS refused the call for its rate; it may be repeated later."""


class AwsCapacity(AwsError):
    """ECS has no room for the task now; the launch may be repeated later under a new client token."""


class AwsRefused(AwsError):
    """AWS refused the call for what it asks, and would again."""


class NotRegistered(DagyQueueError):
    """The registry has no such thing for this org."""


class FlowNotFound(NotRegistered):
    """The registry has no such flow, or no such version of it, for this org."""


class DeploymentNotFound(NotRegistered):
    """The registry has no such deployment for this org, or not in the run's environment."""


class PackageNotFound(NotRegistered):
    """The registry has no such dependency package, or no such version of it, for this org."""


class RunNotFound(DagyQueueError):
    """Neither the ledger nor the record knows the run."""


class BatchNotFound(DagyQueueError):
    """The ledger does not know the batch."""


class RunFailed(DagyQueueError):
    """A run ended FAILED.

    ``outcome`` is the plain form of the run's Outcome (kind, summary, detail, resolution, exit_code, ...), so
    that the error survives Celery's JSON result backend unchanged. What it says beyond the message is printed below
    it, as notes of the exception.
    """

    def __init__(self, message: str, outcome: Mapping[str, Any] | None = None) -> None:
        self.outcome = dict(outcome or {})
        super().__init__(message, self.outcome)
        for note in outcome_notes(self.outcome):
            self.add_note(note)

    def __str__(self) -> str:
        return str(self.args[0])

    def __repr__(self) -> str:
        return f"RunFailed({self.args[0]!r})"


class RunCancelled(DagyQueueError):
    """The run was cancelled before it could succeed."""


class ResultExpired(DagyQueueError):
    """The run succeeded, but what it returned is kept no longer."""


class ResultTimeout(DagyQueueError, TimeoutError):
    """The run or batch goes on, but did not end within the caller's timeout."""


class HealthCheckFailed(DagyQueueError):
    """A dispatcher did not start: its settings, Redis or AWS are not as it needs them (every problem is listed)."""


class FlowerRefused(DagyQueueError):
    """Flower was not started: it would not be safe, or it cannot be as it was asked for."""


class LocalStackError(DagyQueueError):
    """The embedded stack could not start or stay up."""


def _shorten(value: Any, limit: int = 120) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
