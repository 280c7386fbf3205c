"""Fanning out: one message for any number of shards. ``fan_out`` checks all of it before anything is sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Protocol

from celery import current_app
from celery.canvas import Signature, _chain, chord, group, maybe_signature
from kombu.utils.json import dumps
from pydantic import ValidationError

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.ids import new_id
from dagy_queue.messaging.names import CANCEL_BATCH_TASK, END_BATCH_TASK, FAN_OUT_QUEUE, FAN_OUT_TASK
from dagy_queue.messaging.publication import about_request
from dagy_queue.messaging.routing import settle
from dagy_queue.producer.batch import BatchHandle, callback_id, checked_batch_id
from dagy_queue.producer.building import RequestBuilder, default_builder
from dagy_queue.producer.bulk import check_message, check_shards
from dagy_queue.producer.canvas import to_json
from dagy_queue.producer.own_ids import check_batch_id
from dagy_queue.producer.publisher import Publisher, default_publisher
from dagy_queue.producer.shard_files import spec_from
from dagy_queue.requests import ContainerRequest, LaunchRequest, RunRequest
from dagy_queue.requests.deltas import ShardSpec
from dagy_queue.requests.parsing import problems_of
from dagy_queue.requests.policies import BatchPolicy
from dagy_queue.requests.sources import MOST_MADE, FileLines, Manifest

_POLICIES = frozenset(BatchPolicy.model_fields)


class FanOutLauncher(Protocol):
    """What a fan-out takes from a DagLauncher: where it publishes, and how it builds requests."""

    @property
    def publisher(self) -> Publisher:
        """Its publisher."""

    @property
    def builder(self) -> RequestBuilder:
        """Its request builder."""


def fan_out(
    request: RunRequest | None = None,
    shards: Iterable[Mapping[str, Any]] | FileLines | Manifest | None = None,
    *,
    callback: Signature | None = None,
    batch_id: str | uuid.UUID | None = None,
    launcher: FanOutLauncher | None = None,
    **fields: Any,
) -> BatchHandle:
    """Launch one run per shard with one message, and return the handle of the batch at once.

    Give what all shards share as a request, or as the fields of one; ``shards`` are the parameters of each (for a
    container: the fields that differ, such as ``command``): any iterable of them, or ``grid``, ``shard_range``,
    ``lines`` of a file or the ``manifest`` in S3; see docs/fan-out.md. With ``task_count`` in the fields instead, there
    are that many shards that differ in nothing but their number (``TASK_NUM``). Shard ``i`` has the correlation id
    ``<correlation_id>:<i>``.

    The callback (a Celery signature) gets the list of results, in the order of the shards; if more shards fail than the
    batch tolerates it fails with Celery's ChordError. Further fields are the policies of the batch: ``max_parallel``,
    ``max_fail_count`` (failures that each shard may have and is tried again; ``max_retries`` by another name),
    ``tolerate`` (failed shards, or "5%"), ``fail_fast``, and ``timeout`` (of the whole batch: "1h"). ``launcher`` is a
    DagLauncher whose options and profiles count. Raises RequestInvalid, RedisUnavailable; nothing was published then.
    """
    publisher = launcher.publisher if launcher else default_publisher()
    builder = launcher.builder if launcher else default_builder()
    policy = policy_of({name: fields.pop(name) for name in _POLICIES & fields.keys()})
    task_count, max_fail_count = fields.pop("task_count", None), fields.pop("max_fail_count", None)
    if max_fail_count is not None:
        _check_retries(request, fields, max_fail_count)
        fields["max_retries"] = max_fail_count
    _check_names(fields)
    checked = _built(builder, request, fields, counts_failures=max_fail_count is not None)
    if policy.shards_per_run > 1 and not isinstance(checked, LaunchRequest):
        allowed = "only flows can be worked through one after the other in one container; leave it out"
        raise RequestInvalid([Problem("shards_per_run", policy.shards_per_run, allowed)], "fan-out")
    if shards is None and task_count is None:
        raise RequestInvalid([Problem("shards", None, "shards, or a task_count")], "fan-out")
    source = _source(checked, shards if task_count is None else _alike(shards, task_count))
    most = builder.config.ecs.max_task_count
    if isinstance(source, Manifest):
        source = source.limited(most)
    else:
        _check_count(source.total, most)
    return publish_batch(publisher, checked, source, policy=policy, callback=callback, batch_id=batch_id)


def publish_batch(
    publisher: Publisher,
    request: RunRequest,
    source: ShardSpec | Manifest,
    *,
    policy: BatchPolicy,
    callback: Signature | None = None,
    batch_id: str | uuid.UUID | None = None,
) -> BatchHandle:
    """Publish a batch whose parts are checked already. Raises RequestInvalid for the callback, RedisUnavailable."""
    if batch_id is not None:
        batch_id = checked_batch_id(batch_id)
        check_batch_id(publisher, batch_id)
    else:
        batch_id = new_id()
    if isinstance(source, ShardSpec):
        check_shards(source.chunks)
    values = to_json(request) | {"correlation_id": request.correlation_id or batch_id}

    def message(task: str, task_id: str) -> Any:
        signature = publisher.app.signature(task, kwargs={"batch_id": batch_id}, queue=FAN_OUT_QUEUE)
        return publisher.renderer.signature(signature, task_id=task_id)

    request_text = json.dumps(values)
    check_message(request_text)
    record = {
        "request": request_text,
        "callback": dumps(_body(callback)) if callback is not None else "",
        "callback_id": callback_id(batch_id),
        "correlation": values["correlation_id"],
        "org": request.org_id,
        "flow": about_request(values)["flow"],
        "policy": policy.model_dump_json(exclude_defaults=True),
        "tolerated": str(0 if isinstance(source, Manifest) else policy.tolerated(source.total)),
        "fail_fast": "1" if policy.fail_fast else "",
        "timeout_ms": "" if policy.timeout is None else str(int(policy.timeout * 1000)),
        "ender": message(END_BATCH_TASK, _derived(batch_id, "end")).message,
        "canceller": message(CANCEL_BATCH_TASK, _derived(batch_id, "cancel")).message,
    }
    fields = {name: value for name, value in record.items() if value}
    is_new = publisher.batches.publish(batch_id, message(FAN_OUT_TASK, batch_id), deltas=source, fields=fields)
    if not is_new and publisher.batches.get(batch_id).request.get("org_id") != request.org_id:
        raise RequestInvalid([Problem("batch_id", batch_id, "an id that no other batch has")], "fan-out")
    return BatchHandle(batch_id, publisher)


def _derived(batch_id: str, what: str) -> str:
    return str(uuid.uuid5(uuid.UUID(batch_id), what))


def _check_names(fields: Mapping[str, Any]) -> None:
    """Raise RequestInvalid for a name that is most like one of fan_out's own."""
    known = LaunchRequest.model_fields.keys() | ContainerRequest.model_fields.keys()
    own = [*_POLICIES, "batch_id", "callback", "max_fail_count", "shards", "task_count"]
    problems = [
        Problem(name, "(hidden)", f"no such policy or field; did you mean {near[0]}?")
        for name in fields.keys() - known
        if (near := get_close_matches(name, [*own, *known], n=1, cutoff=0.7)) and near[0] in own
    ]
    if problems:
        raise RequestInvalid(problems, "fan-out")


def _check_retries(request: RunRequest | None, fields: Mapping[str, Any], max_fail_count: Any) -> None:
    """Raise RequestInvalid if the request's own name for ``max_fail_count`` is given as well."""
    retries = fields.get("max_retries")
    if retries is None and isinstance(request, RunRequest) and "max_retries" in request.model_fields_set:
        retries = request.max_retries
    if retries is not None:
        allowed = f"max_fail_count or max_retries (here {retries}), not both: they mean the same, so leave one out"
        raise RequestInvalid([Problem("max_fail_count", max_fail_count, allowed)], "fan-out")


def _built(
    builder: RequestBuilder, request: RunRequest | None, fields: Mapping[str, Any], *, counts_failures: bool
) -> RunRequest:
    """Build the request that all shards share; its problems name ``max_fail_count`` if the caller did."""
    try:
        return builder.build(request, fields)
    except RequestInvalid as exc:
        if not (counts_failures and exc.problems):
            raise
        problems = [replace(p, field="max_fail_count") if p.field == "max_retries" else p for p in exc.problems]
        what = exc.what
    raise RequestInvalid(problems, what)


def policy_of(fields: Mapping[str, Any]) -> BatchPolicy:
    """Return a batch's policy. Raises RequestInvalid."""
    try:
        return BatchPolicy(**fields)
    except ValidationError as exc:
        raise RequestInvalid(problems_of(exc, BatchPolicy), "fan-out") from None


def _source(request: RunRequest, shards: Any) -> ShardSpec | Manifest:
    return shards if isinstance(shards, Manifest) else spec_from(request, shards)


def _alike(shards: Any, count: Any) -> list[dict[str, Any]]:
    """Return shards without a difference, as Heimdall's task_count has them."""
    if shards is not None:
        raise RequestInvalid([Problem("task_count", count, "shards or a task_count, not both")], "fan-out")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise RequestInvalid([Problem("task_count", count, "a number of tasks, at least 1")], "fan-out")
    if count > MOST_MADE:
        raise RequestInvalid([Problem("task_count", count, f"a number of tasks, at most {MOST_MADE:,}")], "fan-out")
    return [{} for _ in range(count)]


def _check_count(total: int, most: int | None) -> None:
    if most is not None and total > most:
        allowed = f"at most {most}, the cluster's limit (DAGY_QUEUE__ECS__MAX_TASK_COUNT)"
        raise RequestInvalid([Problem("shards", total, allowed)], "fan-out")


def _body(callback: Signature) -> Signature:
    last = _last_task(callback)
    if isinstance(last, group) or not isinstance(last, Signature):
        raise RequestInvalid(
            [Problem("callback", callback, "the signature of a task, chain or chord; a group has no single result")]
        )
    body = callback.clone()
    settle(body, current_app)
    return body


def _last_task(callback: Any) -> Any:
    """Return the signature whose result is that of a callback."""
    while isinstance(callback, _chain | chord):
        inside = callback.body if isinstance(callback, chord) else next(reversed(callback.tasks), None)
        callback = maybe_signature(inside)
    return callback
