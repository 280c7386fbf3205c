"""What callers send: JSON objects of a bounded size, and the fields that they may set.

Whoever may choose an image, a role, a network or a document of ECS's API can run anything as anybody, so with tokens
these fields are the operator's: he gives them by profiles, or allows them in ``api.extra_fields``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.operate.api.desk import TheDesk
from dagy_queue.requests import LaunchRequest
from dagy_queue.requests.retrying import RetryFields

OPEN_FIELDS = frozenset(
    {
        *RetryFields.model_fields,
        *("correlation_id", "deployment_name", "environment", "flow_version", "metadata", "parameters", "priority"),
        *("cpu", "ephemeral_storage_gib", "memory", "profile", "timeout", "workload_profile"),
    }
)
"""Fields that say which version runs, with what, how large, and how often it is tried."""

_OF_THE_API = frozenset({"flow_name", "kind", "org_id", "trigger_source", "triggered_by"})
"""Fields that the path, the token and the request itself say."""

_NOT_ALLOWED = "not for callers of this API, unless its operator lists it in DAGY_QUEUE__API__EXTRA_FIELDS"
_TEMPLATE = "task_definition_template"


async def _json_object(request: Request, desk: TheDesk) -> dict[str, Any]:
    return _object(request, await _read(request, desk.config.api.max_body))


async def _optional_object(request: Request, desk: TheDesk) -> dict[str, Any]:
    # Events of Lambda may have a body without the header Content-Length.
    body = await _read(request, desk.config.api.max_body)
    return _object(request, body) if body else {}


JsonObject = Annotated[dict[str, Any], Depends(_json_object)]
"""The body of a request. Raises HTTPException 413, 415 or 400."""

OptionalObject = Annotated[dict[str, Any], Depends(_optional_object)]
"""The same where it may be left out."""


def launch_fields(body: Mapping[str, Any], *, extra: frozenset[str], trusted: bool) -> dict[str, Any]:
    """Return the fields of a launch that a caller gave. Raises RequestInvalid for those that are not his to set.

    ``trusted`` callers, where there are no tokens, may set all of a flow's fields. A name that no launch has is left
    to the launcher, which has a hint for it. A template is never a path: that would be read on this machine.
    """
    if problems := list(_refused(body, OPEN_FIELDS | extra, trusted=trusted)):
        raise RequestInvalid(problems)
    return dict(body)


def _refused(body: Mapping[str, Any], allowed: frozenset[str], *, trusted: bool) -> Iterator[Problem]:
    for name, value in body.items():
        if name in _OF_THE_API:
            yield Problem(name, "(hidden)", "said by the path, the token and the request itself: leave it out")
        elif name in LaunchRequest.model_fields and not (trusted or name in allowed):
            yield Problem(name, "(hidden)", _NOT_ALLOWED)
        elif name == _TEMPLATE and not isinstance(value, Mapping):
            yield Problem(name, "(hidden)", "a complete task definition as an object")


async def _read(request: Request, most: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"a request may have {most} bytes (DAGY_QUEUE__API__MAX_BODY)")
        parts.append(part)
    return b"".join(parts)


def _object(request: Request, body: bytes) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # A page in a browser can send other kinds to this machine without asking.
        raise HTTPException(415, "send JSON, with the header Content-Type: application/json")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise HTTPException(400, f"the body is no JSON: {exc}") from None
    if not isinstance(found, dict):
        raise HTTPException(400, "the body is no JSON object: send the fields by name")
    return found
