"""Errors as answers: the caller's own with every problem, ours without what only the operator should see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from dagy_queue.errors import (
    AwsError,
    AwsRefused,
    BatchNotFound,
    DagyQueueError,
    NotRegistered,
    RedisUnavailable,
    RequestInvalid,
    RunNotFound,
)
from dagy_queue.operate.api.answers import Failed, Wrong
from dagy_queue.operate.api.desk import Answer

log = structlog.get_logger(__name__)

RETRY_SECONDS = "5"
RUN_NOT_FOUND = "Run not found"
BATCH_NOT_FOUND = "Batch not found"


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that says what went wrong."""

    status: int
    error: str
    problems: list[Wrong] | None = None
    headers: dict[str, str] = field(default_factory=dict)


_LATER = {"Retry-After": RETRY_SECONDS}
_FAILURES: tuple[tuple[type[DagyQueueError], Failure], ...] = (
    (RunNotFound, Failure(404, RUN_NOT_FOUND)),
    (BatchNotFound, Failure(404, BATCH_NOT_FOUND)),
    (RedisUnavailable, Failure(503, "the queue is not available: try again", headers=_LATER)),
    (AwsRefused, Failure(502, "AWS refused the call; the log of the API says why")),
    (AwsError, Failure(503, "AWS does not take the call now: try again", headers=_LATER)),
    (DagyQueueError, Failure(500, "the API cannot do this; its log says why")),
)
"""The answers to errors that say nothing of the request, the most special first."""


def failure_of(error: DagyQueueError) -> Failure:
    """Return the answer to an error of ours. What names machines and accounts is left to the log."""
    if isinstance(error, RequestInvalid):
        wrong = [Wrong(field=p.field, value=p.value, allowed=p.allowed) for p in error.problems]
        return Failure(422, str(error), wrong or None)
    if isinstance(error, NotRegistered):
        return Failure(404, str(error))
    return next(failure for kind, failure in _FAILURES if isinstance(error, kind))


def answer_errors(app: FastAPI) -> None:
    """Have an app answer errors as :class:`Failed`."""

    @app.exception_handler(DagyQueueError)
    async def ours(request: Request, error: DagyQueueError) -> Answer:
        failure = failure_of(error)
        if failure.status >= 500:
            log.error("api_request_failed", method=request.method, path=request.url.path, error=str(error))
        return _answer(request, failure)

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Answer:
        return _answer(request, Failure(error.status_code, str(error.detail), headers=dict(error.headers or {})))

    @app.exception_handler(RequestValidationError)
    async def of_parameters(request: Request, error: RequestValidationError) -> Answer:
        problems = [_wrong(item) for item in error.errors()]
        return _answer(request, Failure(422, "a parameter of the request is wrong", problems))

    @app.exception_handler(Exception)
    async def of_nobody(request: Request, error: Exception) -> Answer:  # noqa: ARG001 - the server logs it
        return _answer(request, Failure(500, "the API has a defect; its log says more"))


def _wrong(item: Any) -> Wrong:
    return Wrong(field=str(item["loc"][-1]), value=item.get("input"), allowed=str(item["msg"]))


def _answer(request: Request, failure: Failure) -> Answer:
    success = False if request.method == "POST" else None
    shape = Failed(error=failure.error, problems=failure.problems, success=success)
    return shape.answer(failure.status, failure.headers)
