"""Counters of what a local ECS was asked and did, for tests and benchmarks."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from dagy_queue.local.ecs.reading import Json

KEPT_TIMES = 100_000


@dataclass(slots=True)
class Stats:
    """Everything counted since the start or the last reset."""

    calls: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    tasks_created: int = 0
    tasks_stopped: int = 0
    token_replays: int = 0
    active: int = 0
    max_concurrent: int = 0
    events_sent: int = 0
    events_lost: int = 0
    run_task_times: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_TIMES))
    launch_times: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_TIMES))

    def note_created(self, now: float) -> None:
        """Count a new task."""
        self.tasks_created += 1
        self.active += 1
        self.max_concurrent = max(self.max_concurrent, self.active)
        self.launch_times.append(now)

    def note_stopped(self) -> None:
        """Count a task that has stopped."""
        self.tasks_stopped += 1
        self.active -= 1

    def reset(self) -> None:
        """Start counting anew; the tasks that live still live."""
        fresh = Stats(active=self.active, max_concurrent=self.active)
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(fresh, name))

    def describe(self) -> Json:
        """Return the counters as JSON. ``run_task_per_second`` counts the calls that were let through."""
        return {
            "calls": dict(self.calls),
            "throttled": dict(self.throttled),
            "errors": dict(self.errors),
            "tasks_created": self.tasks_created,
            "tasks_stopped": self.tasks_stopped,
            "tasks_active": self.active,
            "max_concurrent": self.max_concurrent,
            "token_replays": self.token_replays,
            "events_sent": self.events_sent,
            "events_lost": self.events_lost,
            "run_task_times": list(self.run_task_times),
            "launch_times": list(self.launch_times),
            "run_task_per_second": _per_second(self.run_task_times),
        }


def _per_second(times: deque[float]) -> dict[str, int]:
    return {str(second): count for second, count in sorted(Counter(int(time) for time in times).items())}
