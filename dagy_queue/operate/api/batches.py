"""Batches over HTTP: fan out, look how far it is, page through its shards, cancel it."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request

from dagy_queue.errors import BatchNotFound, RequestInvalid
from dagy_queue.ledger import BatchRecord
from dagy_queue.operate.api.answers import BatchAccepted, BatchStatus, Cancelling, ShardAnswer, ShardPage
from dagy_queue.operate.api.auth import BodysOrg, ReadersOrg, TheCaller, address_of
from dagy_queue.operate.api.bodies import JsonObject, OptionalObject
from dagy_queue.operate.api.cancelling import reason_of
from dagy_queue.operate.api.desk import Answer, Desk, TheDesk
from dagy_queue.operate.api.fan_outs import read_fan_out
from dagy_queue.operate.api.idempotency import IdempotencyKey, id_of, naming_the_key
from dagy_queue.operate.api.runs import TRIGGER
from dagy_queue.operate.api.schemas import NOT_FOUND, REFUSALS, batch_body, cancel_body
from dagy_queue.producer import BatchHandle, ShardResult, fan_out

router = APIRouter(prefix="/batches", tags=["batches"])

MOST_SHARDS = 1000
"""Shards of one page."""


@router.post("", status_code=202, response_model=BatchAccepted, responses=REFUSALS, openapi_extra=batch_body())
def launch_batch(
    request: Request,
    body: JsonObject,
    caller: TheCaller,
    desk: TheDesk,
    org_id: BodysOrg = "",
    key: IdempotencyKey = None,
) -> Answer:
    """Launch one run of a flow for each shard, and answer at once. Poll `/batches/{batch_id}` to see how far it is."""
    publisher = desk.publisher
    owner = caller.org(body.pop("org_id", None) or org_id or None)
    asked = read_fan_out(body, desk.config.api, trusted=not caller.org_id)
    fields = asked.fields | {"trigger_source": TRIGGER, "triggered_by": address_of(request)}
    if owner is not None:
        fields["org_id"] = owner
    batch_id = id_of(key, "batch", str(owner), asked.flow_name)
    with naming_the_key(key):
        batch = fan_out(launcher=desk.launcher, shards=asked.shards, batch_id=batch_id, **fields)
    record = publisher.batches.get(batch.batch_id)
    accepted = BatchAccepted(batch_id=batch.batch_id, correlation_id=record.correlation_id, total=record.total)
    return accepted.answer(202)


@router.get("/{batch_id}", response_model=BatchStatus, responses=NOT_FOUND)
def get_batch(batch_id: str, org_id: ReadersOrg, desk: TheDesk) -> Answer:
    """Say how far a batch is; costs the same for ten shards and for a hundred thousand."""
    record = _found(desk, batch_id, org_id)
    progress = BatchHandle(record.batch_id, desk.publisher).progress()
    by_status: Counter[str] = Counter()
    for phase, count in progress.by_phase.items():
        by_status[phase.status] += count
    status = BatchStatus(
        batch_id=record.batch_id,
        org_id=str(record.request.get("org_id", "")),
        flow_name=str(record.request.get("flow_name", "")),
        correlation_id=record.correlation_id,
        created_at=record.created_at.isoformat(),
        total=progress.total,
        is_counted=progress.is_counted,
        done=progress.done,
        failed=progress.failed,
        is_over=progress.is_over,
        by_status=dict(by_status),
        error_message=record.refused or record.cancel_reason or None,
    )
    return status.answer()


@router.get("/{batch_id}/runs", response_model=ShardPage, responses=NOT_FOUND)
def get_shards(
    batch_id: str,
    org_id: ReadersOrg,
    desk: TheDesk,
    first: Annotated[int, Query(ge=0)] = 0,
    count: Annotated[int, Query(ge=1, le=MOST_SHARDS)] = 100,
) -> Answer:
    """Return some shards in order, with the results and errors of those that have ended; 409 if it cannot be run."""
    record = _found(desk, batch_id, org_id)
    if record.refused:
        raise HTTPException(409, f"the batch cannot be run: {record.refused}")
    shards = [_shard(each) for each in BatchHandle(record.batch_id, desk.publisher).results(first, count)]
    return ShardPage(batch_id=record.batch_id, shards=shards).answer()


@router.post(
    "/{batch_id}/cancel", status_code=202, response_model=Cancelling, responses=NOT_FOUND, openapi_extra=cancel_body()
)
def cancel_batch(batch_id: str, body: OptionalObject, org_id: ReadersOrg, desk: TheDesk) -> Answer:
    """Ask for a batch to end: waiting shards are dropped, running containers are stopped."""
    record = _found(desk, batch_id, org_id)
    handle = BatchHandle(record.batch_id, desk.publisher)
    was_over = handle.progress().is_over
    handle.cancel(reason_of(body))
    return Cancelling(id=record.batch_id, status="over" if was_over else "cancelling").answer(202)


def _found(desk: Desk, batch_id: str, org_id: str) -> BatchRecord:
    """Return a batch that the caller may see. Raises BatchNotFound."""
    try:
        handle = BatchHandle(batch_id, desk.publisher)
    except RequestInvalid:
        raise BatchNotFound(batch_id) from None
    record = desk.publisher.batches.get(handle.batch_id)
    if any(org not in ("", record.request.get("org_id")) for org in (org_id, desk.config.records.org_id)):
        raise BatchNotFound(batch_id)
    return record


def _shard(found: ShardResult) -> ShardAnswer:
    value: Any = found.value
    return ShardAnswer(
        index=found.index,
        run_id=found.run_id,
        status=found.status.value if found.status else None,
        result=value,
        is_kept=found.is_kept,
        error_message=found.error or None,
    )
