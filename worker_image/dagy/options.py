"""The options of a task: checked once, where the task is declared, and read by the executor and the flow spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any

from dagy.errors import OptionError


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOptions:
    """How a task is to be run. ``cpu`` (units) and ``memory`` (MiB) size the ECS task of a step of its own."""

    description: str = ""
    retries: int = 0
    retry_delay_seconds: float | Sequence[float] | None = None
    timeout_seconds: float | None = None
    cpu: int | None = None
    memory: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse values that could only fail later, inside a container."""
        if not _is_count(self.retries) or self.retries < 0:
            raise OptionError(f"retries={self.retries!r}: expected an integer of at least 0")
        if self.timeout_seconds is not None and not (_is_seconds(self.timeout_seconds) and self.timeout_seconds > 0):
            raise OptionError(f"timeout_seconds={self.timeout_seconds!r}: expected a number above 0")
        for name in ("cpu", "memory"):
            value = getattr(self, name)
            if value is not None and (not _is_count(value) or value <= 0):
                raise OptionError(f"{name}={value!r}: expected an integer above 0")
        self._check_delays()
        self._check_tags()

    def delay_before_retry(self, retry: int) -> float:
        """Seconds to wait before retry number ``retry`` (from 1); of a list, the last value repeats."""
        delays = self._delays()
        return delays[min(retry, len(delays)) - 1] if delays else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, as JSON values."""
        chosen = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in chosen.items()
            if value not in (None, 0, "") and value != {}
        }

    def _delays(self) -> Sequence[float]:
        delay = self.retry_delay_seconds
        if delay is None:
            return ()
        return (delay,) if isinstance(delay, int | float) else delay

    def _check_delays(self) -> None:
        delay = self.retry_delay_seconds
        a_list = isinstance(delay, Sequence) and not isinstance(delay, str) and len(delay) > 0
        if not (delay is None or a_list or _is_seconds(delay)) or not all(map(_is_seconds, self._delays())):
            raise OptionError(
                f"retry_delay_seconds={delay!r}: expected a number of at least 0, or a list of such numbers"
            )

    def _check_tags(self) -> None:
        if not isinstance(self.tags, Mapping):
            raise OptionError(f"tags={self.tags!r}: expected a mapping of strings to strings")
        for key, value in self.tags.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise OptionError(f"tags[{key!r}]={value!r}: expected a string for both key and value")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0
