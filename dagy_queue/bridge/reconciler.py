"""The reconciler: finds what events and messages missed, in one bridge process at a time.

``bridge/service.py`` starts it. It tells the ledger what ECS says of silent tasks, sends messages again that the broker
has lost, looks for tasks whose launch was never answered, and counts slots anew. What it does is the same that an event
or a message would have done, so a run that was only slow is not disturbed.
"""

from __future__ import annotations

import threading
import time
from functools import partial

import structlog

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.refusals import NO_TABLE
from dagy_queue.bridge.looking import AT_ONCE, Looker
from dagy_queue.bridge.orphans import OrphanSearch
from dagy_queue.errors import AwsError, AwsRefused, LedgerError, RedisUnavailable
from dagy_queue.ledger import RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger.leadership import RECONCILER, Leadership
from dagy_queue.ledger.sweeps import SweepLedger
from dagy_queue.records.runs import find_run_of_any_org
from dagy_queue.settings import Settings

log = structlog.get_logger(__name__)

LEASE_SECONDS = 30.0
_MESSAGES_AT_ONCE = 500


class Reconciler:
    """A loop over looking and mending."""

    def __init__(self, settings: Settings, aws: AwsClients, connection: RedisConnection) -> None:
        self._settings = settings.reconciler
        self._start_timeout = settings.dispatch.start_timeout
        self._leadership = Leadership(connection, RECONCILER, LEASE_SECONDS)
        self._sweeps = SweepLedger(connection)
        runs, container = RunLedger(connection), settings.ecs.container_name
        self._looker = Looker(
            aws, runs, self._sweeps, container_name=container, missing_grace=self._settings.missing_grace
        )
        self._orphans = OrphanSearch(
            aws,
            runs,
            self._sweeps,
            container_name=container,
            stop_orphans=self._settings.stop_orphans,
            goes_on=_goes_on_in_the_record,
        )
        self._own_cluster = f"{settings.aws.region}/{settings.ecs.cluster.rpartition('/')[2]}"
        self._next_sweep = 0.0

    def run(self, stopping: threading.Event) -> None:
        """Reconcile until told to stop."""
        while not stopping.wait(self._settings.interval):
            try:
                if self._leadership.leads():
                    self.turn(stopping)
            except RedisUnavailable as exc:
                log.warning("reconciling_failed", error=str(exc), again_in=self._settings.interval)
            except Exception:
                log.exception("reconciler_crashed")
        try:
            self._leadership.resign()
        except RedisUnavailable as exc:
            log.info("lead_not_resigned", error=str(exc))

    def turn(self, stopping: threading.Event | None = None) -> None:
        """Look once at everything that is due, also where one look fails. Raises RedisUnavailable."""
        quiet = partial(self._look_at_quiet_tasks, stopping)
        for look in (self._send_lost_messages, self._look_for_unanswered, quiet, self._sweep_if_due):
            try:
                look()
            except AwsError as exc:
                log.warning("reconciling_failed", error=str(exc), again_in=self._settings.interval)
            except LedgerError:
                log.exception("reconciling_failed", again_in=self._settings.interval)

    def _send_lost_messages(self) -> None:
        settings = self._settings
        for sent in self._sweeps.lost_messages(settings.message_patience, settings.longest_pass, _MESSAGES_AT_ONCE):
            log.warning("message_sent_again", kind=sent.kind, id=sent.id)

    def _look_for_unanswered(self) -> None:
        self._orphans.look_for_unanswered(self._settings.search_after, self._settings.missing_grace)

    def _look_at_quiet_tasks(self, stopping: threading.Event | None) -> None:
        more = True
        while more and not (stopping and stopping.is_set()) and self._leadership.leads():
            tasks, more = self._sweeps.quiet_tasks(self._settings.silence, AT_ONCE)
            self._looker.look(tasks, self._start_timeout)

    def _sweep_if_due(self) -> None:
        if time.monotonic() < self._next_sweep:
            return
        self._next_sweep = time.monotonic() + self._settings.sweep_interval
        clusters = sorted({*self._sweeps.clusters(), self._own_cluster})
        for wrong in self._sweeps.recount(clusters):
            log.warning(
                "slots_recounted", cluster=wrong.cluster, slot=wrong.slot, counted=wrong.counted, actual=wrong.actual
            )
        self._orphans.sweep(clusters)


def _goes_on_in_the_record(run_id: str) -> bool | None:
    """Tell whether the record has a run that has not ended, of any org: one in direct mode. None if it may not be read.

    Without a table there is no record.
    """
    try:
        record = find_run_of_any_org(run_id)
    except AwsRefused as exc:
        return False if exc.code == NO_TABLE else None
    return record is not None and not RunStatus(record.status).is_final
