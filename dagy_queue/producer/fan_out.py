"""Fanning out: one message for any number of shards. ``fan_out`` checks all of it before anything is sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from celery import current_app
from celery.canvas import Signature, group
from kombu.utils.json import dumps
from pydantic import ValidationError

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.ids import new_id
from dagy_queue.messaging.names import CANCEL_BATCH_TASK, END_BATCH_TASK, FAN_OUT_QUEUE, FAN_OUT_TASK
from dagy_queue.messaging.publication import about_request
from dagy_queue.messaging.routing import settle
from dagy_queue.producer.batch import BatchHandle, callback_id, checked_batch_id
from dagy_queue.producer.building import RequestBuilder, default_builder
from dagy_queue.producer.canvas import to_json
from dagy_queue.producer.publisher import Publisher, default_publisher
from dagy_queue.requests import LaunchRequest, RunRequest, parse_request
from dagy_queue.requests.json_values import json_problems
from dagy_queue.requests.overlay import overlay
from dagy_queue.requests.parsing import problems_of
from dagy_queue.requests.policies import BatchPolicy
from dagy_queue.requests.shards import OF_THE_BATCH
from dagy_queue.requests.templating import template_problems

_MAX_PROBLEMS = 20
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
    ``<correlation_id>:<i>``.

    The callback (a Celery signature) gets the list of results, in the order of the shards; if more shards fail than the
    batch tolerates it fails with Celery's ChordError. Further fields are the policies of the batch: ``max_parallel``,
    ``max_fail_count`` (failures that each shard may have and is tried again), ``tolerate`` (failed shards, or "5%"),
    ``fail_fast``, and ``timeout`` (of the whole batch: "1h"). ``launcher`` is a DagLauncher whose options and profiles
    count. Raises RequestInvalid, RedisUnavailable; nothing was published then.
    """
    publisher = launcher.publisher if launcher else default_publisher()
    builder = launcher.builder if launcher else default_builder()
    policy = policy_of({name: fields.pop(name) for name in _POLICIES & fields.keys()})
    task_count, max_fail_count = fields.pop("task_count", None), fields.pop("max_fail_count", None)
    if max_fail_count is not None:
        fields["max_retries"] = max_fail_count
    checked = builder.build(request, fields)
    deltas = deltas_of(checked, shards if task_count is None else _alike(shards, task_count))
    _check_count(deltas, builder.config.ecs.max_task_count)
    return publish_batch(publisher, checked, deltas, policy=policy, callback=callback, batch_id=batch_id)


def publish_batch(
    publisher: Publisher,
    request: RunRequest,
    deltas: list[dict[str, Any]],
    *,
    policy: BatchPolicy,
    callback: Signature | None = None,
    batch_id: str | None = None,
) -> BatchHandle:
    """Publish a batch whose parts are checked already. Raises RequestInvalid for the callback, RedisUnavailable."""
    batch_id = new_id() if batch_id is None else checked_batch_id(batch_id)
    values = to_json(request) | {"correlation_id": request.correlation_id or batch_id}

    def message(task: str, task_id: str) -> Any:
        signature = publisher.app.signature(task, kwargs={"batch_id": batch_id}, queue=FAN_OUT_QUEUE)
        return publisher.renderer.signature(signature, task_id=task_id)

    record = {
        "request": json.dumps(values),
        "callback": dumps(_body(callback, batch_id)) if callback is not None else "",
        "callback_id": callback_id(batch_id),
        "correlation": values["correlation_id"],
        "org": request.org_id,
        "flow": about_request(values)["flow"],
        "policy": policy.model_dump_json(exclude_defaults=True),
        "tolerated": str(policy.tolerated(len(deltas))),
        "fail_fast": "1" if policy.fail_fast else "",
        "timeout_ms": "" if policy.timeout is None else str(int(policy.timeout * 1000)),
        "ender": message(END_BATCH_TASK, _derived(batch_id, "end")).message,
        "canceller": message(CANCEL_BATCH_TASK, _derived(batch_id, "cancel")).message,
    }
    fields = {name: value for name, value in record.items() if value}
    publisher.batches.publish(batch_id, message(FAN_OUT_TASK, batch_id), deltas=deltas, fields=fields)
    return BatchHandle(batch_id, publisher)


def _derived(batch_id: str, what: str) -> str:
    return str(uuid.uuid5(uuid.UUID(batch_id), what))


def policy_of(fields: Mapping[str, Any]) -> BatchPolicy:
    """Return a batch's policy. Raises RequestInvalid."""
    try:
        return BatchPolicy(**fields)
    except ValidationError as exc:
        raise RequestInvalid(problems_of(exc), "fan-out") from None


def deltas_of(request: RunRequest, shards: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
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


def _body(callback: Signature, batch_id: str) -> Signature:
    if isinstance(callback, group) or not isinstance(callback, Signature):
        raise RequestInvalid(
            [Problem("callback", callback, "the signature of a task, chain or chord; a group has no single result")]
        )
    body = callback.clone()
    settle(body, current_app)
    body.freeze(callback_id(batch_id))
    return body
