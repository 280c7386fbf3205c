"""What an execution tells while it runs. The worker listens to log JSON lines, the command line to show progress.

All calls come from the thread that executes the flow, in the order things were decided.
"""

from __future__ import annotations

from typing import Protocol

from dagy.states import TaskRun


class Listener(Protocol):
    """Receiver of task events."""

    def task_started(self, run: TaskRun) -> None:
        """An attempt starts; ``run.attempts`` counts it."""

    def task_succeeded(self, run: TaskRun) -> None:
        """The task has its value."""

    def task_failed(self, run: TaskRun) -> None:
        """The task failed or timed out for good; ``run.error`` says why."""

    def task_skipped(self, run: TaskRun) -> None:
        """The task will never start."""

    def task_retrying(self, run: TaskRun, delay_seconds: float) -> None:
        """An attempt failed with ``run.error`` and there will be another after the delay."""


class SilentListener:
    """A listener to whom nothing matters; also a base for those who care about some events only."""

    def task_started(self, run: TaskRun) -> None:
        """Ignore the event."""

    def task_succeeded(self, run: TaskRun) -> None:
        """Ignore the event."""

    def task_failed(self, run: TaskRun) -> None:
        """Ignore the event."""

    def task_skipped(self, run: TaskRun) -> None:
        """Ignore the event."""

    def task_retrying(self, run: TaskRun, delay_seconds: float) -> None:
        """Ignore the event."""
