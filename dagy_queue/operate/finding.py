"""What an id on the command line means: a run, a batch, or a shard of one as ``BATCH:INDEX``; and reading it.

Ids are not abbreviated: the part of an id that is unique today need not be tomorrow, and neither the ledger nor the
record can look for one without reading everything.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from dagy_queue.errors import BatchNotFound, Problem, RequestInvalid, RunNotFound
from dagy_queue.ids import is_run_id, shard_id
from dagy_queue.ledger import Phase
from dagy_queue.ledger.overview import Overview
from dagy_queue.operate.output import PROGRAM
from dagy_queue.operate.past import past_batch
from dagy_queue.operate.text import plural
from dagy_queue.producer import DagLauncher
from dagy_queue.producer.batch_report import BatchStatusReport, FailedShard, failed_shards, report_of_batch
from dagy_queue.producer.explanation import Explanation
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.results import RunStatusReport
from dagy_queue.settings import Settings, current_origins, settings
from dagy_queue.settings.names import variable

_MORE_WITH_ORG = "; with --org, batches of that org are looked for in the record, too"
_SHARD = re.compile(r"(?P<batch>[0-9A-Fa-f-]{32,36}):(?P<shard>[0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Target:
    """A run or a batch."""

    id: str
    is_batch: bool = False


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """A batch, and why some of its shards failed."""

    report: BatchStatusReport
    failed: Sequence[FailedShard] = ()
    """Some of the shards that failed, in the order they did."""

    @property
    def failures(self) -> int:
        """How many did."""
        return max(len(self.failed), self.report["counts"].get("FAILED", 0))


class Desk:
    """Where commands look runs and batches up. In direct mode there are only runs, and their records."""

    def __init__(self) -> None:
        self.launcher = DagLauncher()

    @cached_property
    def settings(self) -> Settings:
        """The settings of the process."""
        return settings()

    @property
    def is_direct(self) -> bool:
        """Whether launches go to ECS without a queue."""
        return self.settings.launch.mode == "direct"

    @property
    def publisher(self) -> Publisher:
        """The way to Redis. Raises SettingsInvalid in direct mode."""
        return self.launcher.publisher

    @cached_property
    def overview(self) -> Overview:
        """The ledger's overview. Raises SettingsInvalid in direct mode."""
        return Overview(self.publisher.redis)

    def find(self, text: str, org: str = "") -> Target:
        """Return what an id means. Raises RunNotFound if neither the ledger nor the record knows it, for this org."""
        identifier = run_id_of(text)
        if not identifier:
            allowed = "the id of a run or a batch, as launch, fan-out and list print it"
            raise RequestInvalid([Problem("id", text, allowed)], "command")
        if not is_run_id(identifier):
            raise _not_found(text)
        kind = "" if self.is_direct else self.overview.kind_of(identifier)
        if kind == "run" and self._may_see(self.publisher.runs.get(identifier).org_id, org):
            return Target(identifier)
        if not kind and self.launcher.get_run_status(identifier, org_id=org) is not None:
            return Target(identifier)
        if kind != "run" and self._batch_report(identifier, org) is not None:
            return Target(identifier, is_batch=True)
        raise self._no_such_shard(text, org) or self._not_found(text, org)

    def run_status(self, run_id: str, org: str = "") -> RunStatusReport:
        """Return a run. Raises RunNotFound."""
        found = self.launcher.get_run_status(run_id, org_id=org)
        if found is None:
            raise self._not_found(run_id, org)
        return found

    def explanation(self, run_id: str, org: str = "") -> Explanation:
        """Return what became of a run. Raises RunNotFound."""
        found = self.launcher.explain(run_id, org_id=org)
        if found is None:
            raise self._not_found(run_id, org)
        return found

    def telling_shard(self, batch_id: str, org: str = "") -> Explanation:
        """Explain the shard that tells most of a batch: the first that failed, else that was cancelled, else the first.

        Raises RunNotFound: a batch of nothing has none, nor has one whose shards no dispatcher has entered so far, or
        one of which nobody knows a shard any more.
        """
        status = self.batch_status(batch_id, org, most_failures=1)
        run_id = status.failed[0]["run_id"] if status.failed else shard_id(batch_id, self._first_to_tell(status.report))
        found = self.launcher.explain(run_id, org_id=org)
        if found is None:
            raise RunNotFound(f"there is no shard of batch {batch_id} to explain: {_why_no_shard(status.report)}")
        return found

    def _first_to_tell(self, report: BatchStatusReport) -> int:
        """Return the first shard that was cancelled, else the first that the ledger has, else the first."""
        if self.is_direct:
            return 0
        batch_id = report["batch_id"]
        if report["counts"].get(Phase.CANCELLED):
            for shard in self.overview.ended_as(batch_id, Phase.CANCELLED):
                return shard
        return self.overview.first_known(batch_id, report["total"] or 0) or 0

    def batch_status(self, batch_id: str, org: str = "", *, most_failures: int = 0) -> BatchStatus:
        """Return a batch, from the ledger while it is there and by its runs' records after that. Raises RunNotFound."""
        report = self._batch_report(batch_id, org)
        if report is None:
            raise self._not_found(batch_id, org)
        if not most_failures or self.is_direct:
            return BatchStatus(report)
        return BatchStatus(report, failed_shards(self.overview, report, most_failures))

    def _batch_report(self, batch_id: str, org: str) -> BatchStatusReport | None:
        for brief in [] if self.is_direct else self.overview.batches([batch_id]):
            return report_of_batch(brief) if self._may_see(brief.org_id, org) else None
        return past_batch(batch_id, org or self.settings.records.org_id)

    def program_for(self, org: str) -> str:
        """Return what to type for ``dagy-queue`` so that it reads an org's runs, also where this process does not."""
        if self.settings.records.org_id in ("", org):
            return PROGRAM
        # The sectioned spelling wins, so where it is set, it has to be set anew.
        names = ["DAGY_ORG_ID", *(name for name in (variable("records", "org_id"),) if os.environ.get(name))]
        return " ".join([*(f"{name}={org}" for name in names), PROGRAM])

    def _no_such_shard(self, text: str, org: str) -> RunNotFound | None:
        """Return the error for ``BATCH:INDEX`` of a batch that is known; None for all other ids."""
        match = _SHARD.fullmatch(text.strip())
        report = self._batch_report(match["batch"].lower(), org) if match else None
        if match is None or report is None:
            return None
        total, shard = report["total"], int(match["shard"])
        if self._was_entered(report["batch_id"], shard):
            return RunNotFound(
                f"shard {shard} of batch {match['batch']} has ended, and neither the ledger nor the record has it any "
                f"more; `dagy-queue results {match['batch']}` has its result as long as Celery has"
            )
        if report["error_message"] or not total:
            why = _why_no_shard(report)
        elif shard >= total:
            why = f"it has {plural(total, 'shard')}, counted from 0"
        elif report["done"] < total:
            why = "it is not entered yet; `dagy-queue doctor` says whether a dispatcher is at work"
        else:
            return None
        return RunNotFound(f"batch {match['batch']} has no shard {match['shard']}: {why}")

    def _was_entered(self, batch_id: str, shard: int) -> bool:
        try:
            return not self.is_direct and shard < self.publisher.batches.get(batch_id).expanded
        except BatchNotFound:
            return False

    def _not_found(self, text: str, org: str) -> RunNotFound:
        if only := self.settings.records.org_id:
            origin = next(each.origin for each in current_origins() if each.setting == "records.org_id")
            return _not_found(text, f" of org {only!r}, the only one read here (records.org_id, {origin})")
        return _not_found(text, f" of org {org!r}" if org else "", "" if org else _MORE_WITH_ORG)

    def _may_see(self, owner: str, org: str) -> bool:
        return all(owner == each for each in (org, self.settings.records.org_id) if each)


def run_id_of(text: str) -> str:
    """Return the run that an id means; the id itself if it is not ``BATCH:INDEX``."""
    match = _SHARD.fullmatch(text.strip())
    if match is None:
        return text.strip()
    try:
        return shard_id(str(uuid.UUID(match["batch"])), int(match["shard"]))
    except ValueError:
        return text.strip()


def _why_no_shard(report: BatchStatusReport) -> str:
    if report["error_message"] or report["total"] == 0:
        return report["error_message"] or "it is empty, and nothing ran"
    if report["total"] is None:
        return "its shards are not counted yet; `dagy-queue doctor` says whether a dispatcher is at work"
    if report["done"]:
        return "neither the ledger nor the record has one of them any more"
    return "none is entered yet; `dagy-queue doctor` says whether a dispatcher is at work"


def _not_found(text: str, of_org: str = "", more: str = "") -> RunNotFound:
    return RunNotFound(f"there is no run or batch {text!r}{of_org}: `dagy-queue list` shows those there are{more}")
