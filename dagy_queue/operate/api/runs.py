"""Runs over HTTP: launch one, look at it, fetch its result, cancel it."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request

from dagy_queue.errors import RunNotFound
from dagy_queue.ledger import RunStatus
from dagy_queue.operate.api.answers import Cancelling, RunAccepted, RunResult, RunStatusAnswer
from dagy_queue.operate.api.auth import BodysOrg, ReadersOrg, TheCaller, address_of
from dagy_queue.operate.api.bodies import JsonObject, OptionalObject, launch_fields
from dagy_queue.operate.api.cancelling import reason_of
from dagy_queue.operate.api.desk import Answer, Desk, TheDesk
from dagy_queue.operate.api.idempotency import IdempotencyKey, id_of, naming_the_key
from dagy_queue.operate.api.schemas import NOT_FOUND, REFUSALS, cancel_body, launch_body
from dagy_queue.producer import RunHandle, RunStatusReport

router = APIRouter(tags=["runs"])

TRIGGER = "api"
"""What the audit trail says of runs that come by HTTP; who caused them is the address."""


@router.post(
    "/flows/{flow_name}/runs",
    status_code=202,
    response_model=RunAccepted,
    responses=REFUSALS,
    openapi_extra=launch_body(),
)
def launch_run(
    request: Request,
    flow_name: str,
    body: JsonObject,
    caller: TheCaller,
    desk: TheDesk,
    org_id: BodysOrg = "",
    key: IdempotencyKey = None,
) -> Answer:
    """Queue one run of a flow, and answer at once. Poll `/runs/{run_id}` to see how it does."""
    owner = caller.org(body.pop("org_id", None) or org_id or None)
    extra = frozenset(desk.config.api.extra_fields)
    fields = launch_fields(body, extra=extra, trusted=not caller.org_id)
    fields |= {"flow_name": flow_name, "trigger_source": TRIGGER, "triggered_by": address_of(request)}
    if owner is not None:
        fields["org_id"] = owner
    result = desk.launcher.launch(fields, run_id=id_of(key, "run", str(owner), flow_name))
    with naming_the_key(key):
        result.raise_for_error()
    accepted = RunAccepted(run_id=result.run_id, task_arn=result.task_arn, correlation_id=result.correlation_id)
    return accepted.answer(202)


@router.get("/runs/{run_id}", response_model=RunStatusAnswer, responses=NOT_FOUND)
def get_run(run_id: str, org_id: ReadersOrg, desk: TheDesk) -> Answer:
    """Say how a run is doing: QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED."""
    return RunStatusAnswer(**_found(desk, run_id, org_id)).answer()


@router.get("/runs/{run_id}/result", response_model=RunResult, responses=NOT_FOUND)
def get_result(run_id: str, org_id: ReadersOrg, desk: TheDesk) -> Answer:
    """Return what a run that succeeded returned; 409 while there is nothing, 410 when it is kept no longer."""
    status = _found(desk, run_id, org_id)["status"]
    if status != RunStatus.SUCCEEDED:
        raise HTTPException(409, f"the run is {status} and has no result")
    publisher = desk.publisher
    with publisher.redis.errors():
        result = RunHandle(run_id, publisher).result
        if not result.successful():
            raise HTTPException(410, "the result is not kept any longer (DAGY_QUEUE__REDIS__RESULT_EXPIRES)")
        return RunResult(run_id=run_id, result=result.result).answer()


@router.post(
    "/runs/{run_id}/cancel",
    status_code=202,
    response_model=Cancelling,
    responses=NOT_FOUND,
    openapi_extra=cancel_body(),
)
def cancel_run(run_id: str, body: OptionalObject, org_id: ReadersOrg, desk: TheDesk) -> Answer:
    """Ask for a run to end: a waiting one is dropped, a running container is stopped. 409 if it has ended."""
    status = _found(desk, run_id, org_id)["status"]
    if status in (RunStatus.SUCCEEDED, RunStatus.FAILED):
        raise HTTPException(409, f"the run has ended: it is {status}")
    if status != RunStatus.CANCELLED:
        RunHandle(run_id, desk.publisher).cancel(reason_of(body))
    return Cancelling(id=run_id, status=status).answer(202)


def _found(desk: Desk, run_id: str, org_id: str) -> RunStatusReport:
    """Return the status of a run that the caller may see. Raises RunNotFound."""
    found = desk.launcher.get_run_status(run_id, org_id=org_id)
    if found is None:
        raise RunNotFound(run_id)
    return found
