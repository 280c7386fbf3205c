"""Injected faults: what shall go wrong with calls, events and tasks, decided by rules and a seeded generator.

Rules come as ``{"operations": {"RunTask": {...}}, "events": {...}, "tasks": {...}, "seed": 1}``; the names in
each block are the fields of :class:`OperationFaults`, :class:`EventFaults` and :class:`TaskFaults`. A ``..._next``
counts down with each use, a ``..._probability`` is drawn each time. Operation ``*`` stands for every operation.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any, TypeVar

from dagy_queue.local.ecs.reading import Json, invalid, mapping
from dagy_queue.local.ports import AwsError

CAPACITY_UNAVAILABLE = (
    "Capacity is unavailable at this time. Please try again later or in a different availability zone"
)
NETWORK_TIMEOUT = "Timeout waiting for network interface provisioning to complete."

PULL_TIMEOUT = "CannotPullContainerError: pull image manifest has been retried 7 time(s): dial tcp: i/o timeout"


class DroppedAnswer(Exception):
    """The work of a call is done but its answer shall be lost: the gateway closes the connection."""


@dataclass(slots=True)
class OperationFaults:
    """What shall go wrong with the calls of one operation. Delays without a count hold for every call."""

    throttle_next: int = 0
    throttle_probability: float = 0.0
    hidden_throttle_next: int = 0
    hidden_throttle_probability: float = 0.0
    server_error_next: int = 0
    server_error_probability: float = 0.0
    capacity_next: int = 0
    capacity_probability: float = 0.0
    capacity_reason: str = CAPACITY_UNAVAILABLE
    delay_before: float = 0.0
    delay_before_next: int | None = None
    delay_after: float = 0.0
    delay_after_next: int | None = None
    drop_answer_next: int = 0
    drop_answer_probability: float = 0.0
    hold: bool = False


@dataclass(slots=True)
class EventFaults:
    """What shall go wrong with events on their way to the bus."""

    duplicate_probability: float = 0.0
    lose_probability: float = 0.0
    reorder_probability: float = 0.0
    reorder_seconds: float = 0.2


@dataclass(slots=True)
class TaskFaults:
    """What shall go wrong with tasks.

    ``oom_below_memory`` is for every task with less MiB, ``exit_lost`` leaves out the exit code of a container that
    ran, ``stop`` stops a running task for the reason given.
    """

    start_failure_next: int = 0
    start_failure_probability: float = 0.0
    start_failure_reason: str = NETWORK_TIMEOUT
    pull_failure_next: int = 0
    pull_failure_probability: float = 0.0
    pull_failure_reason: str = PULL_TIMEOUT
    slow_start_next: int = 0
    slow_start_probability: float = 0.0
    slow_start_seconds: float = 1.0
    oom_next: int = 0
    oom_probability: float = 0.0
    oom_after_seconds: float = 0.0
    oom_below_memory: int = 0
    exit_lost_next: int = 0
    exit_lost_probability: float = 0.0
    stop_next: int = 0
    stop_probability: float = 0.0
    stop_after_seconds: float = 0.0
    stop_code: str = "TerminationNotice"
    stop_reason: str = "ECS is performing maintenance on the underlying infrastructure hosting the task."
    spot_interruption_next: int = 0
    spot_interruption_probability: float = 0.0
    spot_interruption_after_seconds: float = 0.0
    invisible_seconds: float = 0.0


Block = TypeVar("Block", OperationFaults, EventFaults, TaskFaults)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What shall happen to one call."""

    delay_before: float = 0.0
    error: AwsError | None = None
    delay_after: float = 0.0
    drop_answer: bool = False


class Faults:
    """The rules in force."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._operations: dict[str, OperationFaults] = {}
        self._released: dict[str, asyncio.Event] = {}
        self._lifted = asyncio.Event()
        self.events = EventFaults()
        self.tasks = TaskFaults()
        self.held = 0

    def update(self, rules: Mapping[str, Any]) -> None:
        """Put rules in force, field by field; what is not named stays. Raises InvalidParameterException."""
        _refuse_unknown(rules, {"operations", "events", "tasks", "seed"}, "faults")
        for operation, block in mapping(rules, "operations").items():
            self._operations[operation] = _changed(self._operations.get(operation, OperationFaults()), block)
        self.events = _changed(self.events, mapping(rules, "events"))
        self.tasks = _changed(self.tasks, mapping(rules, "tasks"))
        if rules.get("seed") is not None:
            self._rng.seed(rules["seed"])

    def clear(self) -> None:
        """Lift every rule, let go of every answer that is held, and end every slow start."""
        self._operations.clear()
        self.events = EventFaults()
        self.tasks = TaskFaults()
        self._lifted.set()
        self._lifted = asyncio.Event()
        self.release("")

    def judge(self, operation: str) -> Verdict:
        """Decide what happens to a call that has just arrived."""
        rule = self._rule(operation)
        if rule is None:
            return Verdict()
        return Verdict(
            delay_before=_delay(rule, "delay_before"),
            error=self._error(rule),
            delay_after=_delay(rule, "delay_after"),
            drop_answer=self.happens(rule, "drop_answer"),
        )

    def capacity_failure(self) -> str | None:
        """Return the reason why RunTask shall find no capacity for its next task, or None."""
        rule = self._rule("RunTask")
        return rule.capacity_reason if rule and self.happens(rule, "capacity") else None

    def happens(self, block: OperationFaults | EventFaults | TaskFaults, name: str) -> bool:
        """Tell whether a fault of a block happens now, using up one of its ``_next``."""
        left = getattr(block, f"{name}_next", 0)
        if left > 0:
            setattr(block, f"{name}_next", left - 1)
            return True
        probability = getattr(block, f"{name}_probability")
        return bool(probability > 0 and self._rng.random() < probability)

    def uniform(self, upper: float) -> float:
        """Return a random time between zero and ``upper``."""
        return self._rng.uniform(0.0, upper)

    async def slow_start(self) -> None:
        """Wait as long as a slow start lasts, or until all rules are lifted."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.tasks.slow_start_seconds):
                await self._lifted.wait()

    async def hold(self, operation: str) -> None:
        """Wait while answers of an operation are held."""
        rule = self._rule(operation)
        if rule is not None and rule.hold:
            self.held += 1
            try:
                await self._released.setdefault(operation, asyncio.Event()).wait()
            finally:
                self.held -= 1

    def release(self, operation: str) -> int:
        """Let go of the held answers of an operation ("" means all). Returns of how many operations."""
        names = [name for name in self._released if operation in ("", "*", name)]
        for name, rule in self._operations.items():
            if operation in ("", "*", name):
                rule.hold = False
        for name in names:
            self._released.pop(name).set()
        return len(names)

    def describe(self) -> Json:
        """Return the rules in force."""
        return {
            "operations": {name: _values(rule) for name, rule in self._operations.items()},
            "events": _values(self.events),
            "tasks": _values(self.tasks),
        }

    def _rule(self, operation: str) -> OperationFaults | None:
        return self._operations.get(operation) or self._operations.get("*")

    def _error(self, rule: OperationFaults) -> AwsError | None:
        if self.happens(rule, "throttle"):
            return throttled()
        if self.happens(rule, "hidden_throttle"):
            return invalid("Error retrieving subnet information: Rate exceeded (ErrorCode: Throttling)")
        if self.happens(rule, "server_error"):
            return AwsError("ServerException", "Service Unavailable. Please try again later.", status=500)
        return None


def throttled() -> AwsError:
    """Return the answer of an API whose rate was exceeded."""
    return AwsError("ThrottlingException", "Rate exceeded")


def _delay(rule: OperationFaults, name: str) -> float:
    seconds = float(getattr(rule, name))
    left = getattr(rule, f"{name}_next")
    if left is None:
        return seconds
    setattr(rule, f"{name}_next", max(0, left - 1))
    return seconds if left > 0 else 0.0


def _changed(block: Block, values: Mapping[str, Any]) -> Block:
    if not isinstance(values, Mapping):
        raise invalid(f"A block of fault rules must be an object; got {values!r}.")
    _refuse_unknown(values, {f.name for f in fields(block)}, type(block).__name__)
    for name, value in values.items():
        default = getattr(block, name)
        kind = type(default) if isinstance(default, bool | str) else (int, float, type(None))
        if not isinstance(value, kind):
            raise invalid(f"{type(block).__name__}.{name}: {value!r} is not of the right type.")
    return type(block)(**{**_values(block), **values})


def _values(block: OperationFaults | EventFaults | TaskFaults) -> Json:
    return {f.name: getattr(block, f.name) for f in fields(block)}


def _refuse_unknown(values: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(values) - known)
    if unknown:
        raise invalid(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}.")
