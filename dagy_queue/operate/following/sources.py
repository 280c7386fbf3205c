"""Where looks come from: a batch, or everything that goes on. Each look is a few round trips, whatever the size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from dagy_queue.errors import BatchNotFound
from dagy_queue.ids import shard_id
from dagy_queue.ledger import Phase
from dagy_queue.ledger.briefs import BatchBrief
from dagy_queue.ledger.overview import Overview, Published, RunPhase
from dagy_queue.operate.following.sight import Failure, Sight
from dagy_queue.settings import Settings

_MOST_FAILURES = 10
"""Failures of one look that are told one by one."""
_ENDED_AT_ONCE = 1000
_AT_ONCE = 500
_MOST_FOLLOWED = 5000
"""Publications that are followed when everything is."""
_RECENT = timedelta(seconds=1)


class Source(Protocol):
    """Something to look at."""

    title: str

    def look(self) -> Sight:
        """Return how it is now. Raises RedisUnavailable."""


class Failures:
    """Goes through the shards of a batch that have ended, and tells those that failed."""

    def __init__(self, overview: Overview, batch_id: str, position: int = 0, prefix: str = "") -> None:
        self._overview = overview
        self.batch_id = batch_id
        self._position = position
        self._prefix = prefix

    def new(self) -> tuple[list[Failure], int]:
        """Return some of those since the last call, and how many others there are."""
        shards, looked_at = self._overview.failed_shards(self.batch_id, self._position, _ENDED_AT_ONCE)
        self._position += looked_at
        told = shards[:_MOST_FAILURES]
        found = self._overview.phases([shard_id(self.batch_id, shard) for shard in told], with_outcomes=True)
        failures = [_failure(f"{self._prefix}shard {s}", run) for s, run in zip(told, found, strict=True)]
        return failures, len(shards) - len(told)

    def all_new(self) -> tuple[list[Failure], int]:
        """Do the same for a batch that is over, however many have ended since."""
        failures, more, before = list[Failure](), 0, -1
        while before < self._position:
            before = self._position
            found, others = self.new()
            failures += found
            more += others
        return failures[:_MOST_FAILURES], more + len(failures[_MOST_FAILURES:])


class BatchSource:
    """One batch, from its first failure on."""

    def __init__(self, overview: Overview, config: Settings, batch_id: str) -> None:
        self._overview, self._config = overview, config
        self._batch_id = batch_id
        self._failures = Failures(overview, batch_id)
        self.brief = self._read()
        self.title = f"batch {batch_id}: {self.brief.flow_name} for {self.brief.org_id}"

    def look(self) -> Sight:
        """Return how it is now. Raises BatchNotFound, RedisUnavailable."""
        self.brief = brief = self._read()
        failures, more = self._failures.all_new() if brief.is_over else self._failures.new()
        return Sight(
            counts=brief.counts,
            total=sum(brief.counts.values()),
            is_counted=brief.total is not None,
            is_over=brief.is_over,
            failures=tuple(failures),
            more_failures=more,
            limit=limit_now(self._overview, self._config),
        )

    def _read(self) -> BatchBrief:
        for brief in self._overview.batches([self._batch_id]):
            return brief
        raise BatchNotFound(f"batch {self._batch_id!r} is not in the ledger of this Redis (any more)")


class EverythingSource:
    """Every run and batch that goes on, and what is published while one looks."""

    title = "everything that goes on"

    def __init__(self, overview: Overview, config: Settings, org: str = "") -> None:
        self._overview, self._config = overview, config
        self._org = org
        self._recent: dict[str, datetime] = {}
        self._newest: datetime | None = None
        self._is_new = True
        self._runs: dict[str, Phase] = {}
        self._batches: dict[str, Failures] = {}
        self._ended: Counter[Phase] = Counter()

    def look(self) -> Sight:
        """Return how it is now. Raises RedisUnavailable."""
        is_first, self._is_new = self._is_new, False
        self._find_new(is_first)
        failures = self._look_at_runs(tell=not is_first)
        batches = self._look_at_batches()
        over = {brief.batch_id for brief in batches if brief.is_over}
        more = 0
        for each in list(self._batches.values()):
            found, others = each.all_new() if each.batch_id in over else each.new()
            failures += found
            more += others
        counts = self._ended + Counter(self._runs.values())
        for brief in batches:
            counts += Counter(dict(brief.counts))
            if brief.is_over:
                self._ended += Counter(dict(brief.counts))
                del self._batches[brief.batch_id]
        return Sight(
            counts=counts,
            total=sum(counts.values()),
            failures=tuple(failures[:_MOST_FAILURES]),
            more_failures=more + len(failures[_MOST_FAILURES:]),
            limit=limit_now(self._overview, self._config),
        )

    def _find_new(self, is_first: bool) -> None:
        fresh = self._fresh()
        runs = [each.id for each in fresh if not each.is_batch]
        orgs = self._overview.orgs(runs) if self._org else [""] * len(runs)
        self._runs.update({run_id: Phase.QUEUED for run_id, org in zip(runs, orgs, strict=True) if org == self._org})
        for brief in self._overview.batches([each.id for each in fresh if each.is_batch]):
            if not (is_first and brief.is_over) and self._org in ("", brief.org_id):
                at = brief.done if is_first else 0
                self._batches[brief.batch_id] = Failures(self._overview, brief.batch_id, at, f"{brief.batch_id} ")

    def _fresh(self) -> list[Published]:
        """Return what was published since the last call, at first what was lately."""
        fresh: list[Published] = []
        for page in self._overview.published(self._newest):
            fresh += [each for each in page if each.id not in self._recent]
            if len(fresh) >= _MOST_FOLLOWED:
                break
        if fresh:
            newest = self._newest = max(each.at for each in fresh)
            self._recent |= {each.id: each.at for each in fresh}
            self._recent = {key: at for key, at in self._recent.items() if newest - at <= _RECENT}
        return fresh

    def _look_at_runs(self, *, tell: bool) -> list[Failure]:
        """Read the phases of the runs by themselves; what has ended is counted, or before the first look forgotten."""
        failed: list[str] = []
        ids = list(self._runs)
        for first in range(0, len(ids), _AT_ONCE):
            for run in self._overview.phases(ids[first : first + _AT_ONCE]):
                if run.phase is None or run.phase.status.is_final:
                    del self._runs[run.run_id]
                    if run.phase is not None and tell:
                        self._ended[run.phase] += 1
                    if run.phase is Phase.FAILED and tell:
                        failed.append(run.run_id)
                else:
                    self._runs[run.run_id] = run.phase
        return [_failure(f"run {run.run_id}", run) for run in self._outcomes(failed)]

    def _look_at_batches(self) -> list[BatchBrief]:
        briefs = self._overview.batches(list(self._batches))
        for gone in self._batches.keys() - {brief.batch_id for brief in briefs}:
            del self._batches[gone]
        return briefs

    def _outcomes(self, run_ids: Sequence[str]) -> list[RunPhase]:
        return self._overview.phases(run_ids[:_ENDED_AT_ONCE], with_outcomes=True)


def limit_now(overview: Overview, config: Settings) -> float | None:
    """Return how many launches a second dispatchers keep to now, by the settings of this process."""
    rate = config.limits.run_task_rate
    return None if rate is None else rate * overview.rate_factor(config.aws.region)


def _failure(what: str, run: RunPhase) -> Failure:
    summary = str(run.outcome.get("summary") or "no reason is known").splitlines()[0]
    return Failure(what, run.run_id, summary)
