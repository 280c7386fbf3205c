"""One campaign of chaos: the stack, the runs, the havoc, and the verdict at its end."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from dagy_queue import DagLauncher, DagyQueueError, RedisUnavailable
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ledger import RedisConnection
from dagy_queue.local.environment import environ, process_environment
from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from scripts.chaos_support.application import NOTED
from scripts.chaos_support.havoc import Havoc
from scripts.chaos_support.options import Options
from scripts.chaos_support.verdict import Finding, celery_states, findings, ledger_phases
from scripts.chaos_support.workload import Workload, publish

LOOK_SECONDS = 1.0
WORKER = ("-m", "celery", "-A", "scripts.chaos_support.application", "worker", "--pool=solo", "--queues=chaos")


class Stalled(DagyQueueError):
    """Nothing went on any more before all runs had ended."""


@dataclass(slots=True)
class Report:
    """What was done, what came of it, and how long it took in seconds."""

    seconds: float
    deeds: Counter[str]
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether everything is as it must be."""
        return all(finding.is_right for finding in self.findings)


class Campaign:
    """Runs everything once."""

    def __init__(self, options: Options, stack: LocalStack) -> None:
        self._options = options
        self._stack = stack
        settings = stack.settings()
        self._launcher = DagLauncher(settings)
        self._connection = RedisConnection(settings.redis)
        self._aws = AwsClients(settings.aws)
        self._rng = random.Random(options.seed)

    def run(self) -> Report:
        """Publish, wreak havoc until all runs have ended, and judge. Raises Stalled."""
        begin = time.monotonic()
        havoc = Havoc(self._stack, self._options, random.Random(self._options.seed))
        havoc.start_processes()
        workload = publish(self._launcher, self._options.runs, self._rng)
        havoc.start()
        try:
            self._wait(workload, havoc)
        finally:
            havoc.stop()
        seconds = time.monotonic() - begin
        self._call_back(len(workload.batches))
        report = Report(seconds, havoc.done + self._stack_counts())
        report.findings = list(findings(workload, self._connection, self._aws))
        return report

    def _wait(self, workload: Workload, havoc: Havoc) -> None:
        """Wait until the ledger and Celery say that everything is over; what is left in queues is a moment's."""
        done, moved_at = None, time.monotonic()
        while not self._is_over(workload):
            now = self._done(workload)
            if now is not None and now != done:
                done, moved_at = now, time.monotonic()
                print(f"{done:,} of {len(workload.expected):,} ended; {_counted(havoc.done)}", flush=True)
            if havoc.failure:
                raise havoc.failure
            if time.monotonic() - moved_at > self._options.stall:
                raise Stalled(f"no run ended for {self._options.stall:g} s: {self._stuck(workload)}")
            time.sleep(LOOK_SECONDS)

    def _done(self, workload: Workload) -> int | None:
        """Return how many runs have ended, None while Redis is away."""
        try:
            batches = sum(batch.progress().done for batch in workload.batches)
            phases = ledger_phases(self._connection, workload.singles)
        except RedisUnavailable:
            return None
        return batches + sum(phase.status.is_final for phase in phases.values())

    def _is_over(self, workload: Workload) -> bool:
        if self._done(workload) != len(workload.expected):
            return False
        try:
            ended = all(
                self._connection.client.hexists(self._connection.key("batch", batch.batch_id), "ended")
                for batch in workload.batches
            )
            return ended and not self._connection.client.zcard(self._connection.key("tasks"))
        except Exception:  # noqa: BLE001 - Redis is being killed
            return False

    def _stuck(self, workload: Workload) -> str:
        ids = list(workload.expected)
        phases = ledger_phases(self._connection, ids)
        stuck = [run_id for run_id in ids if run_id not in phases or not phases[run_id].status.is_final]
        counts = Counter(phases[run_id].value if run_id in phases else "unknown" for run_id in stuck)
        return f"{dict(counts)}; for example {stuck[:3]}; Celery says {celery_states(self._connection, stuck[:3])}"

    def _call_back(self, batches: int) -> None:
        """Start the application's worker, and wait until it has been called as often as there are batches."""
        command, log = [sys.executable, *WORKER], self._stack.log_dir / "application.log"
        worker = Child("application", command, log=log, environment=process_environment(self._stack.environment))
        try:
            called = lambda: int(self._connection.client.llen(NOTED)) >= batches  # type: ignore[arg-type]  # noqa: E731
            worker.wait_until(called, self._options.stall, "called back")
            # A call too many would come now.
            worker.wait_until(lambda: not self._connection.client.llen("chaos"), self._options.stall, "idle")
        finally:
            worker.stop()

    def _stack_counts(self) -> Counter[str]:
        stats = self._stack.admin("stats")
        counts = Counter({"events lost": int(stats["events_lost"])})
        counts["RunTask calls"] = int(stats["calls"].get("RunTask", 0))
        counts["calls throttled"] = int(stats["throttled"].get("RunTask", 0))
        counts["DescribeTasks calls"] = int(stats["calls"].get("DescribeTasks", 0))
        return counts


def run_campaign(options: Options) -> Report:
    """Run a campaign on a stack of its own. Raises Stalled."""
    with LocalStack(simulate=True) as stack, environ(stack.environment):
        return Campaign(options, stack).run()


def _counted(deeds: Counter[str]) -> str:
    return ", ".join(f"{count} {deed}" for deed, count in sorted(deeds.items())) or "nothing has happened yet"


def table(rows: Sequence[Finding]) -> str:
    """Return the verdict as lines."""
    lines = [f"{'':<4}{'what':<46}{'expected':>10}{'found':>10}"]
    for row in rows:
        mark = "ok" if row.is_right else "NO"
        examples = f"  for example {', '.join(row.examples)}" if row.examples and not row.is_right else ""
        lines.append(f"{mark:<4}{row.what:<46}{row.expected:>10,}{row.found:>10,}{examples}")
    return "\n".join(lines)
