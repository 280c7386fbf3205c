"""Lists of runs from the record: an org's, a flow's, a batch's, and those of one correlation id, page by page.

Every question names an org, which is part of the key that is read. The indexes lag behind the record by a moment.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from pynamodb.expressions.condition import Condition
from pynamodb.indexes import GlobalSecondaryIndex
from pynamodb.pagination import PageIterator

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.records.attributes import check, name_problems
from dagy_queue.records.base import dynamodb, may_read
from dagy_queue.records.run_indexes import org_key, trace_of
from dagy_queue.records.run_model import RunModel

STATUSES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")
MOST_RUNS = 1000
"""Runs on one page at most."""
MOST_READ = 10_000
"""Items that are looked at for one page at most, where the filter passes few of them."""
MOST_NOT_OF = 100
"""DynamoDB compares with no more values at a time."""
_READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a list shows of a run; ``find_run`` has the rest."""

    run_id: str
    org_id: str
    flow_name: str
    flow_version: str
    status: str
    phase: str
    attempt: int
    correlation_id: str
    batch_id: str
    shard: int | None
    environment: str
    trigger_source: str
    task_arn: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are wanted: of any of some statuses, created from ``since`` to ``until`` (both included), not of some
    batches."""

    statuses: tuple[str, ...] = ()
    """Of ``STATUSES``; none is any."""
    since: datetime | None = None
    until: datetime | None = None
    not_of: tuple[str, ...] = ()
    """Ids of batches; of more than ``MOST_NOT_OF``, the last so many count."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """A part of a list."""

    runs: tuple[RunSummary, ...]
    """May be fewer than were asked for although there are more: ``after`` tells."""
    after: str
    """Where the next page begins: hand it to the same question; '' if this is the last one."""


EVERY_RUN = RunFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """Which items of which index are read, and in which order."""

    index: GlobalSecondaryIndex[Any]
    key_name: str
    key: str
    range_name: str
    range_kind: Literal["S", "N"] = "S"
    in_range: Condition | None = None
    matching: Condition | None = None
    """On attributes that are not the index's keys: DynamoDB filters by no others."""
    keep: Callable[[str], bool] = lambda _: True
    """Whether an item is wanted, by its sort key, where a condition cannot say it."""
    newest_first: bool = False


def runs_of_org(org_id: str, wanted: RunFilter = EVERY_RUN, *, limit: int = 100, after: str = "") -> RunPage:
    """Return an org's runs, the newest first. Raises RequestInvalid, or an AwsError."""
    return _page(org_id, _by_time(RunModel.by_org, "org_id", org_id, wanted), wanted, limit, after)


def runs_of_flow(
    org_id: str, flow_name: str, wanted: RunFilter = EVERY_RUN, *, limit: int = 100, after: str = ""
) -> RunPage:
    """Return the runs of a flow (of a container: by its image), the newest first. Raises as ``runs_of_org``."""
    question = _by_time(RunModel.by_flow, "org_flow", org_key(org_id, flow_name), wanted)
    return _page(org_id, question, wanted, limit, after)


def runs_of_batch(
    org_id: str, batch_id: str, wanted: RunFilter = EVERY_RUN, *, limit: int = 100, after: str = ""
) -> RunPage:
    """Return a batch's runs in the order of its shards. Raises as ``runs_of_org``."""
    question = _Question(
        index=RunModel.by_batch,
        key_name="org_batch",
        key=org_key(org_id, batch_id),
        range_name="shard",
        range_kind="N",
        matching=_all_of(_asked_for(wanted), _created(wanted)),
    )
    return _page(org_id, question, wanted, limit, after)


def runs_by_correlation_id(
    org_id: str, correlation_id: str, wanted: RunFilter = EVERY_RUN, *, limit: int = 100, after: str = ""
) -> RunPage:
    """Return the runs of a correlation id and their children (``<id>:0`` and so on), in the order of their ids.

    Raises as ``runs_of_org``.
    """
    check("question", [] if correlation_id else [Problem("correlation_id", correlation_id, "the id of a launch")])
    question = _Question(
        index=RunModel.by_correlation,
        key_name="org_trace",
        key=org_key(org_id, trace_of(correlation_id)),
        range_name="correlation_id",
        in_range=RunModel.correlation_id.startswith(correlation_id),
        matching=_all_of(_asked_for(wanted), _created(wanted)),
        keep=lambda found: found == correlation_id or found.startswith(f"{correlation_id}:"),
    )
    return _page(org_id, question, wanted, limit, after)


def runs_asked_for(
    org_id: str,
    *,
    batch_id: str = "",
    correlation_id: str = "",
    flow_name: str = "",
    wanted: RunFilter = EVERY_RUN,
    limit: int = 100,
    after: str = "",
) -> RunPage:
    """Return the runs of a batch, of a correlation id, or of a flow, whichever is named; of the org if none is.

    Raises as ``runs_of_org``, and RequestInvalid if two are named.
    """
    named = {"batch_id": batch_id, "correlation_id": correlation_id, "flow_name": flow_name}
    given = [name for name, value in named.items() if value]
    check("question", [Problem(name, named[name], f"alone, without {given[0]}") for name in given[1:]])
    if batch_id:
        return runs_of_batch(org_id, batch_id, wanted, limit=limit, after=after)
    if correlation_id:
        return runs_by_correlation_id(org_id, correlation_id, wanted, limit=limit, after=after)
    if flow_name:
        return runs_of_flow(org_id, flow_name, wanted, limit=limit, after=after)
    return runs_of_org(org_id, wanted, limit=limit, after=after)


def every_run(ask: Callable[[str], RunPage]) -> Iterator[RunSummary]:
    """Yield the runs of all pages: ``every_run(lambda after: runs_of_org("acme", after=after))``."""
    after = ""
    while True:
        page = ask(after)
        yield from page.runs
        after = page.after
        if not after:
            return


def _page(org_id: str, question: _Question, wanted: RunFilter, limit: int, after: str) -> RunPage:
    check("question", name_problems(org_id=org_id), _problems(wanted, limit))
    start = _start(question, after)
    if not may_read(org_id):
        return RunPage((), "")
    with dynamodb("dynamodb:Query"):
        found = question.index.query(
            question.key,
            question.in_range,
            question.matching,
            scan_index_forward=not question.newest_first,
            last_evaluated_key=start,
            page_size=limit if question.matching is None else _READ_AT_ONCE,
        )
        items = list(_items(question, found.page_iter, limit))
        more: Any = found.page_iter.last_evaluated_key
    if len(items) > limit:
        items, more = items[:limit], items[limit - 1]
    return RunPage(tuple(_summary(item) for item in items), _token(question, more) if more else "")


def _items(question: _Question, pages: PageIterator[Any], limit: int) -> Iterator[dict[str, Any]]:
    """Yield the items of as many pages as it takes, or as may be read at a time."""
    count = 0
    for page in pages:
        for item in page["Items"]:
            if question.keep(item[question.range_name][question.range_kind]):
                count += 1
                yield item
        if count >= limit or pages.total_scanned_count >= MOST_READ:
            return


def _by_time(index: GlobalSecondaryIndex[Any], key_name: str, key: str, wanted: RunFilter) -> _Question:
    return _Question(
        index=index,
        key_name=key_name,
        key=key,
        range_name="created_at",
        in_range=_created(wanted),
        matching=_asked_for(wanted),
        newest_first=True,
    )


def _created(wanted: RunFilter) -> Condition | None:
    since, until, created = wanted.since, wanted.until, RunModel.created_at
    if since is not None and until is not None:
        return created.between(since, until)
    if since is not None:
        return created >= since
    return None if until is None else created <= until


def _of_status(wanted: RunFilter) -> Condition | None:
    return RunModel.status.is_in(*wanted.statuses) if wanted.statuses else None


def _not_of(wanted: RunFilter) -> Condition | None:
    return ~RunModel.batch_id.is_in(*wanted.not_of[-MOST_NOT_OF:]) if wanted.not_of else None


def _asked_for(wanted: RunFilter) -> Condition | None:
    return _all_of(_of_status(wanted), _not_of(wanted))


def _all_of(*conditions: Condition | None) -> Condition | None:
    found: Condition | None = None
    for condition in conditions:
        if condition is not None:
            found = condition if found is None else found & condition
    return found


def _problems(wanted: RunFilter, limit: int) -> Iterator[Problem]:
    if not 1 <= limit <= MOST_RUNS:
        yield Problem("limit", limit, f"1 to {MOST_RUNS}")
    for status in wanted.statuses:
        if status not in STATUSES:
            yield Problem("statuses", status, f"one of {', '.join(STATUSES)}")
    if wanted.since is not None and wanted.until is not None and wanted.since > wanted.until:
        yield Problem("until", wanted.until, f"a time that is not before since, {wanted.since}")


def _token(question: _Question, at: dict[str, Any]) -> str:
    """Return where a page ended. Whose runs they are is not in it: that is always the question's."""
    place = [at[question.range_name][question.range_kind], at["run_id"]["S"]]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _start(question: _Question, after: str) -> dict[str, Any] | None:
    if not after:
        return None
    try:
        value, run_id = (str(part) for part in json.loads(base64.urlsafe_b64decode(after)))
    except (ValueError, TypeError) as exc:
        raise RequestInvalid([Problem("after", after, "the `after` of the page before, as it is")], "question") from exc
    return {
        "run_id": {"S": run_id},
        question.key_name: {"S": question.key},
        question.range_name: {question.range_kind: value},
    }


def _summary(item: dict[str, Any]) -> RunSummary:
    run = RunModel.from_raw_data(item)
    values = {name: getattr(run, name) for name in _NAMES}
    return RunSummary(**values | {name: int(values[name]) for name in _INTEGERS if values[name] is not None})


_NAMES: Sequence[str] = tuple(field.name for field in fields(RunSummary))
_INTEGERS = ("attempt", "shard")
