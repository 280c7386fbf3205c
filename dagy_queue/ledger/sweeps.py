"""The ledger's face for the reconciler: what has been silent for too long, what may be lost, and what is miscounted.

``bridge/reconciler.py`` calls it, one process at a time. Every method is one script, and finding the same twice does
no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dagy_queue.ids import AttemptId
from dagy_queue.ledger.connection import RedisConnection
from dagy_queue.ledger.phases import Phase

_READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class QuietTask:
    """A task of which nothing was heard for ``silence`` seconds."""

    attempt_id: AttemptId
    task_arn: str
    phase: Phase
    silence: float


@dataclass(frozen=True, slots=True)
class SentAgain:
    """A message that was lost and is sent again: of a ``run``, a ``resume``, or one of a batch."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A launch of which nobody knows whether it made a task, in a pool (region, cluster and capacity type)."""

    attempt_id: AttemptId
    pool: str


@dataclass(frozen=True, slots=True)
class Miscounted:
    """A slot count that was wrong and is mended."""

    cluster: str
    slot: str
    counted: int
    actual: int


class SweepLedger:
    """What the reconciler reads and mends."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection

    def quiet_tasks(self, silence: float, most: int) -> tuple[list[QuietTask], bool]:
        """Return tasks of which nothing was heard for ``silence`` seconds, and whether there may be more."""
        looked_at, found = self.connection.run("quiet_tasks", int(silence * 1000), most)
        tasks = [
            QuietTask(AttemptId(run_id, int(attempt)), arn, Phase(phase), int(ms) / 1000)
            for run_id, attempt, arn, phase, ms in found
        ]
        return tasks, int(looked_at) == most

    def late_start(self, attempt_id: AttemptId) -> bool:
        """Have a task stopped that did not start in time; False if it has started or ended meanwhile."""
        return bool(self.connection.run("late_start", attempt_id.run_id, attempt_id.attempt))

    def lost_messages(self, patience: float, longest_pass: float, most: int) -> list[SentAgain]:
        """Send messages again that the broker has lost, or whose worker died with them.

        A message may be on its way for ``patience`` seconds, a pass may take ``longest_pass``. Each of the broker's
        lists has its share of ``most``; where there are very many, some are looked at in the next call.
        """
        args = (int(patience * 1000), int(longest_pass * 1000), most)
        return [SentAgain(kind, identifier) for kind, identifier in self.connection.run("lost_messages", *args)]

    def unanswered(self, first: float, second: float, most: int) -> list[Unanswered]:
        """Take the launches without an answer whose tasks are to be looked for now.

        That is ``first`` seconds after their runs were over, and once more ``second`` seconds later.
        """
        found = self.connection.run("searches", int(first * 1000), int(second * 1000), most)
        return [Unanswered(AttemptId(run_id, int(attempt)), pool) for run_id, attempt, pool in found]

    def unwanted(self, task_arns: Sequence[str]) -> None:
        """Have tasks stopped that no run wants; pumps do it."""
        if task_arns:
            self.connection.run("unwanted", *task_arns)

    def known_tasks(self) -> set[str]:
        """Return the ARNs of the tasks that runs have now."""
        key, known = self.connection.key("tasks"), set[str]()
        with self.connection.errors():
            ids = [str(run_id) for run_id in self.connection.client.zrange(key, 0, -1)]
            for first in range(0, len(ids), _READ_AT_ONCE):
                pipeline = self.connection.client.pipeline(transaction=False)
                for run_id in ids[first : first + _READ_AT_ONCE]:
                    pipeline.hget(self.connection.key("run", run_id), "arn")
                known.update(str(arn) for arn in pipeline.execute() if arn)
        return known

    def clusters(self) -> list[str]:
        """Return where runs were launched, as ``<region>/<cluster>``."""
        prefix = self.connection.key("slots", "")
        with self.connection.errors():
            found = self.connection.client.scan_iter(match=f"{prefix}*", count=_READ_AT_ONCE, _type="hash")
            return sorted(str(key).removeprefix(prefix) for key in found)

    def recount(self, clusters: Sequence[str]) -> list[Miscounted]:
        """Count the slots in use anew; return what was wrong."""
        wrong = self.connection.run("recount", *clusters)
        return [Miscounted(cluster, slot, int(counted), int(actual)) for cluster, slot, counted, actual in wrong]
