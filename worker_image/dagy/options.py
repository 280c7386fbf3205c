"""The options of a task: checked once, where the task is declared, and read by the executor and the flow spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from random import random
from typing import Any

from dagy.checks import check_count, check_flag, check_tags, check_text, is_seconds, takes
from dagy.errors import OptionError
from dagy.hooks import Hook

RetryDelay = float | Sequence[float] | Callable[[int], Sequence[float]] | None
EXECUTORS = ("ecs", "lambda", "step-functions")
_FOR_PYTHON_ALONE = {"retry_condition_fn", "on_running", "on_completion", "on_failure", "on_retry"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOptions:
    """How a task is to be run; ``dagy.tasks.task`` says what each option means.

    ``retry_delay_seconds`` as a function is called here, once, with the number of retries.
    """

    description: str = ""
    executor: str | None = None
    retries: int = 0
    retry_delay_seconds: RetryDelay = None
    retry_jitter_factor: float | None = None
    timeout_seconds: float | None = None
    concurrency_limit: int | None = None
    validate_parameters: bool = True
    on_running: tuple[Hook, ...] = ()
    on_completion: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_retry: tuple[Hook, ...] = ()
    retry_condition_fn: Callable[[BaseException], object] | None = None
    cpu: int | None = None
    memory: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse values that could only fail later, inside a container."""
        check_text("description", self.description)
        if self.executor is not None and self.executor not in EXECUTORS:
            raise OptionError(f"executor={self.executor!r}: expected one of {', '.join(EXECUTORS)}")
        check_count("retries", self.retries, least=0)
        for name in ("concurrency_limit", "cpu", "memory"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least=1)
        check_flag("validate_parameters", self.validate_parameters)
        check_tags(self.tags)
        self._check_times()
        condition = self.retry_condition_fn
        if condition is not None and not (callable(condition) and takes(condition, 1)):
            raise OptionError(f"retry_condition_fn={condition!r}: expected a function of the exception")

    def delay_before_retry(self, retry: int) -> float:
        """Seconds to wait before retry number ``retry`` (from 1), jitter included; of a list, the last one repeats."""
        delays = self._delays()
        base = delays[min(retry, len(delays)) - 1] if delays else 0.0
        return base + base * (self.retry_jitter_factor or 0.0) * random()

    def as_json(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, as JSON values. Functions stay in the code."""
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _FOR_PYTHON_ALONE}
        usual = {f.name: f.default for f in fields(self)} | {"tags": {}}
        return {name: _plain(value) for name, value in chosen.items() if value != usual[name]}

    def _delays(self) -> Sequence[float]:
        delay = self.retry_delay_seconds
        if delay is None or callable(delay):
            return ()
        return (delay,) if isinstance(delay, int | float) else delay

    def _check_times(self) -> None:
        if self.timeout_seconds is not None and not (is_seconds(self.timeout_seconds) and self.timeout_seconds > 0):
            raise OptionError(f"timeout_seconds={self.timeout_seconds!r}: expected a number above 0")
        if self.retry_jitter_factor is not None and not is_seconds(self.retry_jitter_factor):
            raise OptionError(f"retry_jitter_factor={self.retry_jitter_factor!r}: expected a number of at least 0")
        if callable(self.retry_delay_seconds):
            object.__setattr__(self, "retry_delay_seconds", self._called(self.retry_delay_seconds))
        delay = self.retry_delay_seconds
        a_list = isinstance(delay, Sequence) and not isinstance(delay, str) and len(delay) > 0
        if not (delay is None or a_list or is_seconds(delay)) or not all(map(is_seconds, self._delays())):
            raise OptionError(
                f"retry_delay_seconds={delay!r}: expected a number of at least 0, a list of such numbers, "
                "or a function that makes such a list from the number of retries"
            )

    def _called(self, delays: Callable[[int], Sequence[float]]) -> Sequence[float] | None:
        try:
            return list(delays(self.retries)) if self.retries else None
        except Exception as exc:
            raise OptionError(
                f"retry_delay_seconds: the function could not be called with retries={self.retries}: "
                f"{type(exc).__name__}: {exc}"
            ) from exc


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
