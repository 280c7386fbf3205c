"""Fanning out: one message for any number of shards, and the handle of the batch."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from celery import current_app
from celery.canvas import Signature, group
from kombu.utils.json import dumps

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.ids import new_id, shard_id
from dagy_queue.ledger import Phase
from dagy_queue.messaging.names import COLLECT_TASK, FAN_OUT_QUEUE, FAN_OUT_TASK, LAUNCH_QUEUE
from dagy_queue.messaging.publication import about_request
from dagy_queue.messaging.routing import settle
from dagy_queue.producer.building import RequestBuilder, default_builder
from dagy_queue.producer.canvas import to_json
from dagy_queue.producer.publisher import Publisher, default_publisher
from dagy_queue.producer.run import RunHandle
from dagy_queue.producer.waiting import wait_for
from dagy_queue.requests import LaunchRequest, RunRequest, parse_request
from dagy_queue.requests.json_values import json_problems
from dagy_queue.requests.overlay import overlay
from dagy_queue.requests.shards import OF_THE_BATCH
from dagy_queue.requests.templating import template_problems

_WATCH_SECONDS = 0.2
_MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is."""

    total: int
    by_phase: Mapping[Phase, int]

    @property
    def done(self) -> int:
        """Shards that ended, well or not."""
        return sum(n for phase, n in self.by_phase.items() if phase.status.is_final)

    @property
    def failed(self) -> int:
        """Shards that ended FAILED."""
        return self.by_phase.get(Phase.FAILED, 0)

    @property
    def is_over(self) -> bool:
        """True once every shard ended. The callback may still be at work: ``BatchHandle.get`` waits for it."""
        return self.done >= self.total


class FanOutLauncher(Protocol):
    """What a fan-out takes from a DagLauncher: where it publishes, and how it builds requests."""

    @property
    def publisher(self) -> Publisher:
        """Its publisher."""

    @property
    def builder(self) -> RequestBuilder:
        """Its request builder."""


class BatchHandle:
    """A batch, known by its id; any process can make one."""

    def __init__(self, batch_id: str, publisher: Publisher | None = None) -> None:
        self.batch_id = _checked_id(batch_id)
        self._publisher = publisher or default_publisher()
        self.result = self._publisher.app.AsyncResult(callback_id(batch_id))
        """Celery's result of the callback (or of the list of results, where there is no callback)."""

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the callback and return its result; without a callback, the shards' results in order.

        ``timeout`` in seconds. Raises celery's ChordError if a shard failed, ResultTimeout, RedisUnavailable.
        """
        return wait_for(self.result, f"batch {self.batch_id}", timeout, self._publisher.settings.redis.url)

    def progress(self) -> BatchProgress:
        """Return the counts by phase; costs the same for 10 shards and for 100,000. Raises BatchNotFound."""
        counts = self._publisher.batches.counts(self.batch_id)
        return BatchProgress(sum(counts.values()), counts)

    def watch(self) -> Iterator[BatchProgress]:
        """Yield the progress each time it changes, until all shards ended."""
        last: BatchProgress | None = None
        while last is None or not last.is_over:
            now = self.progress()
            if now != last:
                yield now
                last = now
            elif not now.is_over:
                time.sleep(_WATCH_SECONDS)

    def shard(self, index: int) -> RunHandle:
        """Return the handle of one shard, counted from 0."""
        return RunHandle(shard_id(self.batch_id, index), self._publisher)

    def __len__(self) -> int:
        return self._publisher.batches.get(self.batch_id).total

    def __repr__(self) -> str:
        return f"BatchHandle({self.batch_id!r})"


def fan_out(
    request: RunRequest | None = None,
    shards: Iterable[Mapping[str, Any]] = (),
    *,
    callback: Signature | None = None,
    batch_id: str | None = None,
    launcher: FanOutLauncher | None = None,
    **fields: Any,
) -> BatchHandle:
    """Launch one run per shard with one message, and return the handle of the batch at once.

    Give what all shards share as a request, or as the fields of one; ``shards`` are the parameters of each (for a
    container: the fields that differ, such as ``command``). With ``task_count`` in the fields instead, there are that
    many shards that differ in nothing but their number (``TASK_NUM``). Shard ``i`` has the correlation id
    ``<correlation_id>:<i>``. The callback (a Celery signature) gets the list of results, in the order of the shards; if
    a shard fails it fails with Celery's ChordError. ``launcher`` is a DagLauncher whose options and profiles count.
    Raises RequestInvalid, RedisUnavailable; nothing was published then.
    """
    publisher = launcher.publisher if launcher else default_publisher()
    builder = launcher.builder if launcher else default_builder()
    task_count = fields.pop("task_count", None)
    checked = builder.build(request, fields)
    deltas = _deltas(checked, shards if task_count is None else _alike(shards, task_count))
    _check_count(deltas, builder.config.ecs.max_task_count)
    batch_id = _checked_id(batch_id)
    values = to_json(checked) | {"correlation_id": checked.correlation_id or batch_id}
    body = _body(publisher, callback, batch_id)
    signature = publisher.app.signature(FAN_OUT_TASK, kwargs={"batch_id": batch_id}, queue=FAN_OUT_QUEUE)
    message = publisher.renderer.signature(signature, task_id=batch_id)
    record = {
        "request": json.dumps(values),
        "callback": dumps(body),
        "callback_id": body.options["task_id"],
        "correlation": values["correlation_id"],
        "org": checked.org_id,
        "flow": about_request(values)["flow"],
    }
    publisher.batches.publish(batch_id, message, deltas=deltas, fields=record)
    return BatchHandle(batch_id, publisher)


def callback_id(batch_id: str) -> str:
    """Return the Celery task id of a batch's callback."""
    return str(uuid.uuid5(uuid.UUID(batch_id), "callback"))


def _deltas(request: RunRequest, shards: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what differs from shard to shard: parameters of a flow, fields of a container request."""
    deltas: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for index, shard in enumerate(shards):
        if not isinstance(shard, Mapping):
            problems.append(Problem(f"shards[{index}]", shard, "a dict of what differs"))
        elif isinstance(request, LaunchRequest):
            problems += json_problems(dict(shard), f"shards[{index}]")
            problems += template_problems(shard, f"shards[{index}]")
            deltas.append({"parameters": dict(shard)} if shard else {})
        else:
            problems += _field_problems(request, shard, index)
            deltas.append(dict(shard))
        if len(problems) >= _MAX_PROBLEMS:
            break
    if problems:
        raise RequestInvalid(problems, "fan-out")
    return deltas


def _alike(shards: Iterable[Mapping[str, Any]], count: Any) -> list[dict[str, Any]]:
    """Return shards without a difference, as Heimdall's task_count has them."""
    if shards != ():
        raise RequestInvalid([Problem("task_count", count, "shards or a task_count, not both")], "fan-out")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise RequestInvalid([Problem("task_count", count, "a number of tasks, at least 1")], "fan-out")
    return [{} for _ in range(count)]


def _check_count(deltas: list[dict[str, Any]], most: int | None) -> None:
    if most is not None and len(deltas) > most:
        allowed = f"at most {most}, the cluster's limit (DAGY_QUEUE__ECS__MAX_TASK_COUNT)"
        raise RequestInvalid([Problem("shards", len(deltas), allowed)], "fan-out")


def _field_problems(request: RunRequest, shard: Mapping[str, Any], index: int) -> list[Problem]:
    if not shard:
        return []
    if shared := sorted(shard.keys() & OF_THE_BATCH):
        return [
            Problem(f"shards[{index}].{n}", shard[n], "the same for all shards: a field of the request") for n in shared
        ]
    try:
        parse_request(overlay(request.model_dump(exclude_unset=True), shard), type(request))
    except RequestInvalid as exc:
        return [Problem(f"shards[{index}].{p.field}", p.value, p.allowed) for p in exc.problems]
    return []


def _body(publisher: Publisher, callback: Signature | None, batch_id: str) -> Signature:
    if isinstance(callback, group) or not isinstance(callback, Signature | None):
        raise RequestInvalid(
            [Problem("callback", callback, "the signature of a task, chain or chord; a group has no single result")]
        )
    body = callback.clone() if callback is not None else publisher.app.signature(COLLECT_TASK, queue=LAUNCH_QUEUE)
    settle(body, current_app)
    body.freeze(callback_id(batch_id))
    return body


def _checked_id(batch_id: str | None) -> str:
    if batch_id is None:
        return new_id()
    try:
        return str(uuid.UUID(batch_id))
    except ValueError:
        raise RequestInvalid([Problem("batch_id", batch_id, "a UUID")]) from None
