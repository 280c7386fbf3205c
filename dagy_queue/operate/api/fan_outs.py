"""Reads the body of a fan-out: its shards, its policies, and the fields that all shards share; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.operate.api.bodies import launch_fields
from dagy_queue.requests import LaunchRequest
from dagy_queue.requests.policies import BatchPolicy
from dagy_queue.requests.sources import Manifest, manifest
from dagy_queue.settings import ApiSettings

_OWN = frozenset({"flow_name", "manifest", "max_fail_count", "shards", "task_count", *BatchPolicy.model_fields})
_SHARDS = "a list with the parameters of each shard, or a task_count"


@dataclass(frozen=True, slots=True)
class FanOut:
    """What a caller wants fanned out."""

    flow_name: str
    shards: list[Any] | Manifest | None
    fields: dict[str, Any]
    """The policies, and the fields of the request that all shards share."""


def read_fan_out(body: Mapping[str, Any], api: ApiSettings, *, trusted: bool) -> FanOut:
    """Read a body. Raises RequestInvalid for what is not the caller's to say, or is too much."""
    own = {name: value for name, value in body.items() if name in _OWN}
    others = {name: value for name, value in body.items() if name not in _OWN}
    extra = frozenset(api.extra_fields)
    if unknown := [name for name in others if name not in LaunchRequest.model_fields]:
        raise RequestInvalid([Problem(name, "(hidden)", "no such policy or field") for name in unknown], "fan-out")
    fields = launch_fields(others, extra=extra, trusted=trusted)
    shards = _shards(own, api, may_read=trusted or "manifest" in extra)
    shared = {name: value for name, value in own.items() if name not in ("manifest", "shards")}
    return FanOut(str(own.get("flow_name", "")), shards, {**fields, **shared})


def _shards(own: Mapping[str, Any], api: ApiSettings, *, may_read: bool) -> list[Any] | Manifest | None:
    if "manifest" in own:
        return _manifest(own, may_read=may_read)
    shards = own.get("shards")
    if shards is None and isinstance(own.get("task_count"), int):
        _check_count("task_count", own["task_count"], api)
    elif not isinstance(shards, list) and ("shards" in own or "task_count" not in own):
        raise RequestInvalid([Problem("shards", shards, _SHARDS)], "fan-out")
    if isinstance(shards, list):
        _check_count("shards", len(shards), api)
    return shards


def _check_count(name: str, count: int, api: ApiSettings) -> None:
    if count > api.max_shards:
        allowed = f"at most {api.max_shards} shards (DAGY_QUEUE__API__MAX_SHARDS)"
        raise RequestInvalid([Problem(name, count, allowed)], "fan-out")


def _manifest(own: Mapping[str, Any], *, may_read: bool) -> Manifest:
    """The dispatcher reads a manifest with permissions of its own, which the caller may not have."""
    uri = own["manifest"]
    if not may_read:
        allowed = "not for callers of this API, unless its operator lists it in DAGY_QUEUE__API__EXTRA_FIELDS"
        raise RequestInvalid([Problem("manifest", "(hidden)", allowed)], "fan-out")
    if "shards" in own or "task_count" in own:
        raise RequestInvalid([Problem("manifest", uri, "a manifest, shards or a task_count")], "fan-out")
    return manifest(uri)
