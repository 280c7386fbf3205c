"""What a monitor counts of runs, for Prometheus: how long each step took, how attempts and runs ended.

Each change in the ledger is counted by one bridge, the one whose monitor leads, so the sum over all bridges is right.
"""

from __future__ import annotations

from collections import OrderedDict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dagy_queue.ledger import Phase
from dagy_queue.ledger.watching import Change
from dagy_queue.outcomes import Kind

HELD, STARTING, RUNNING, CONCLUDING = (
    "held_to_submitted",
    "submitted_to_running",
    "running_to_stopped",
    "stopped_to_result",
)
_STEPS = {
    Phase.HELD: HELD,
    Phase.SUBMITTING: HELD,
    Phase.SUBMITTED: STARTING,
    Phase.PROVISIONING: STARTING,
    Phase.PENDING: STARTING,
    Phase.RUNNING: RUNNING,
    Phase.STOPPED: CONCLUDING,
}
_FIRST = frozenset({Phase.HELD, Phase.SUBMITTED, Phase.RUNNING, Phase.STOPPED})
"""The phases that a step begins with."""
_FINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})
_NEXT = {
    HELD: frozenset({STARTING, RUNNING}),
    STARTING: frozenset({RUNNING}),
    RUNNING: frozenset({CONCLUDING}),
    CONCLUDING: frozenset({""}),
}
"""The steps that may follow one that ended as it should; '' is none. Held runs that are cancelled count nowhere."""
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400)
_MOST_REMEMBERED = 100_000


class RunMetrics:
    """The counters of one bridge's monitor."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._step = Histogram(
            "dagy_run_step_seconds", "Seconds that runs took for a step", ["step"], buckets=_BUCKETS, registry=registry
        )
        self._attempts = Counter(
            "dagy_attempts_ended", "Attempts by what kind of end they had", ["kind"], registry=registry
        )
        self._runs = Counter("dagy_runs_ended", "Runs by their final status", ["status"], registry=registry)
        self._events = Counter("dagy_monitor_events", "Celery task events sent", registry=registry)
        self._waiting = Gauge("dagy_monitor_waiting_runs", "Changed runs not announced yet", registry=registry)
        for step in _NEXT:
            self._step.labels(step)
        for kind in Kind:
            self._attempts.labels(kind.value)
        for status in sorted(_FINAL):
            self._runs.labels(status.value)
        self._spent: OrderedDict[str, float] = OrderedDict()

    def observe(self, change: Change) -> None:
        """Count a change of a run's phase."""
        if not change.phase:
            return
        if change.phase == Phase.STOPPED and change.kind:
            self._attempts.labels(change.kind).inc()
        if change.phase in _FINAL:
            self._runs.labels(change.phase).inc()
        self._observe_step(change)

    def announced(self, events: int, *, waiting: int) -> None:
        """Count events that were sent, and note how many runs wait to be announced."""
        self._events.inc(events)
        self._waiting.set(waiting)

    def _observe_step(self, change: Change) -> None:
        """Add up the phases of a step, and count it when the run leaves it.

        A step whose beginning this monitor has not seen, because another one led then, is not counted at all. It may
        begin in the middle: an event of a task may be faster than RunTask's answer.
        """
        step, following = _STEPS.get(_phase(change.was), ""), _STEPS.get(_phase(change.phase), "")
        spent = self._spent.pop(change.run_id, None)
        if following != step and following and change.phase not in _FIRST:
            self._remember(change.run_id, 0.0)
        if not step or change.seconds is None or (spent is None and change.was not in _FIRST):
            return
        spent = (spent or 0.0) + change.seconds
        if following == step:
            self._remember(change.run_id, spent)
        elif following in _NEXT[step]:
            self._step.labels(step).observe(spent)

    def _remember(self, run_id: str, spent: float) -> None:
        self._spent[run_id] = spent
        if len(self._spent) > _MOST_REMEMBERED:
            self._spent.popitem(last=False)


def _phase(text: str) -> Phase:
    return Phase(text) if text else Phase.QUEUED
