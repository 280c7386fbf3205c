"""The bodies of requests as the OpenAPI document shows them, made from the request models; pure."""

from __future__ import annotations

from typing import Any

from dagy_queue.operate.api.answers import Failed
from dagy_queue.operate.api.bodies import OPEN_FIELDS
from dagy_queue.requests import LaunchRequest
from dagy_queue.requests.policies import BatchPolicy

_ORG = {"type": "string", "description": "who the run belongs to; with a token it may be left out"}
_OTHERS = "Other fields of a launch as well, where the operator of the API allows them."

FAILURES: dict[int | str, dict[str, Any]] = {
    401: {"model": Failed, "description": "A token is needed"},
    403: {"model": Failed, "description": "The token is another org's"},
    503: {"model": Failed, "description": "Redis or AWS are not available: try again after Retry-After seconds"},
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    **FAILURES,
    413: {"model": Failed, "description": "The body is too large"},
    422: {"model": Failed, "description": "The request has problems: each with its field, value and what is allowed"},
}
REFUSALS_OF_LISTS = {code: REFUSALS[code] for code in REFUSALS if code != 413}
NOT_FOUND: dict[int | str, dict[str, Any]] = {**FAILURES, 404: {"model": Failed, "description": "Not found"}}


def launch_body() -> dict[str, Any]:
    """Return what ``openapi_extra`` takes for the body of a launch."""
    return _body({"org_id": _ORG, **_launch_fields()}, [])


def batch_body() -> dict[str, Any]:
    """Return the same for the body of a fan-out."""
    own: dict[str, Any] = {
        "org_id": _ORG,
        "flow_name": LaunchRequest.model_json_schema()["properties"]["flow_name"],
        "shards": {"type": "array", "items": {"type": "object"}, "description": "the parameters of each shard"},
        "task_count": {"type": "integer", "minimum": 1, "description": "instead of shards: so many that are alike"},
        "max_fail_count": {"type": "integer", "minimum": 0, "description": "max_retries by another name"},
    }
    policies = BatchPolicy.model_json_schema()["properties"]
    return _body({**own, **policies, **_without(_launch_fields(), policies)}, ["flow_name"])


def cancel_body() -> dict[str, Any]:
    """Return the same for the body of a cancellation."""
    reason = {"type": "string", "description": "what the outcome says about it"}
    return _body({"reason": reason}, [], required=False)


def _launch_fields() -> dict[str, Any]:
    properties = LaunchRequest.model_json_schema()["properties"]
    return {name: properties[name] for name in properties if name in OPEN_FIELDS}


def _without(fields: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    return {name: schema for name, schema in fields.items() if name not in others}


def _body(properties: dict[str, Any], needed: list[str], *, required: bool = True) -> dict[str, Any]:
    schema = {"type": "object", "description": _OTHERS, "properties": properties, "required": needed}
    if not needed:
        del schema["required"]
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}
