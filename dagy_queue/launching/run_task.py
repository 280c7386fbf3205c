"""From a planned launch to RunTask's parameters; pure. The same attempt always gives the same parameters: its client
token would be refused otherwise (ConflictException)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagy.contract import Env, RunSpec
from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.ids import AttemptId
from dagy_queue.launching.definitions import Definition
from dagy_queue.launching.placement import Placement
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.environment import as_list
from dagy_queue.requests.overrides import ContainerOverride, merge_run_task_kwargs
from dagy_queue.requests.tags import OUR_TAGS, tag_value

MAX_OVERRIDES = 8192
"""Characters of JSON that RunTask takes as overrides (ECS API reference, RunTask, overrides)."""

_MOST_URIS = 1500
"""Characters of package URIs that go into a flow's variable of their own; its run spec has them in any case."""

_MERGED_APART = ("overrides", "taskDefinition", "tags")
"""Parameters in run_task_kwargs that do not simply replace ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """One attempt, ready to be asked of ECS."""

    attempt_id: AttemptId
    request: LaunchRequest | ContainerRequest
    placement: Placement
    definition: Definition
    worker: str
    """The container that does the work."""
    batch_id: str
    shard: int | None
    report_uri: str
    usual_overrides: tuple[ContainerOverride, ...] = ()
    """The settings' overrides: below the request's, and for those containers alone that the definition has."""
    tags: Mapping[str, str]
    """The settings', the request's and run_task_kwargs', merged."""
    package_uris: tuple[str, ...] = ()
    package_sha256s: tuple[str, ...] = ()
    spec: RunSpec | None = None
    spec_uri: str = ""
    """Where the spec was put, if it is too large to travel in the environment."""


def run_task_parameters(launch: Launch) -> dict[str, Any]:
    """Return the keyword arguments of RunTask. Raises RequestInvalid if ECS would refuse the overrides."""
    placement = launch.placement
    parameters: dict[str, Any] = {
        "cluster": placement.cluster,
        "taskDefinition": launch.definition.name,
        "count": 1,
        "clientToken": launch.attempt_id.client_token,
        "startedBy": launch.attempt_id.started_by,
        "enableECSManagedTags": True,
        "tags": _tags(launch),
    }
    if placement.strategy:
        parameters["capacityProviderStrategy"] = [dict(item) for item in placement.strategy]
    else:
        parameters["launchType"] = placement.launch_type
    if placement.on_fargate:
        parameters["platformVersion"] = placement.platform_version
    if placement.network is not None and launch.definition.network_mode == "awsvpc":
        parameters["networkConfiguration"] = {"awsvpcConfiguration": dict(placement.network)}
    others = {name: value for name, value in placement.kwargs.items() if name not in _MERGED_APART}
    return {**merge_run_task_kwargs(parameters, others), "overrides": overrides(launch)}


def overrides(launch: Launch) -> dict[str, Any]:
    """Return RunTask's overrides: of each container its environment and command, and of the task its size and roles."""
    task = merge_run_task_kwargs(_asked(launch), launch.placement.kwargs.get("overrides") or {})
    containers = {container["name"]: container for container in task.pop("containerOverrides")}
    for name in containers:
        launch.definition.check_container(name, "container_overrides")
    _check_secrets(launch, containers.get(launch.worker, {}))
    ours = _environment(launch)
    names = {Env.TASK_NAME: ours[Env.TASK_NAME], Env.TASK_NUM: ours[Env.TASK_NUM]}
    # Ours go on top, and the working container comes first: the bridge knows it by that.
    ordered = [launch.worker, *(name for name in launch.definition.containers if name != launch.worker)]
    listed = [_with_variables(containers.get(n, {"name": n}), ours if n == launch.worker else names) for n in ordered]
    return {"containerOverrides": listed, **task}


def overrides_too_large(value: Mapping[str, Any]) -> bool:
    """Tell whether overrides exceed what RunTask takes."""
    return _length(value) > MAX_OVERRIDES


def check_overrides_size(value: Mapping[str, Any]) -> None:
    """Raise RequestInvalid if overrides exceed what RunTask takes."""
    if overrides_too_large(value):
        allowed = f"{MAX_OVERRIDES} characters, and these are {_length(value)}; put large values into S3"
        raise RequestInvalid([Problem("overrides", "...", allowed)])


def task_name(attempt_id: AttemptId, batch_id: str, shard: int | None) -> str:
    """Return ``TASK_NAME``: the batch or run with the number of the shard, as Heimdall's users know it."""
    return f"dagy-{batch_id}-{shard}" if shard is not None else f"dagy-{attempt_id.run_id}-0"


def _length(value: Mapping[str, Any]) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def _asked(launch: Launch) -> dict[str, Any]:
    """Return what the request and the settings override, without ours and without run_task_kwargs."""
    request = launch.request
    worker: dict[str, Any] = {"name": launch.worker}
    if request.extra_env_vars:
        worker["environment"] = as_list(request.extra_env_vars)
    if isinstance(request, ContainerRequest) and request.command:
        worker["command"] = list(request.command)
    usual = [o.in_api_form() for o in launch.usual_overrides if o.name in launch.definition.containers]
    asked: dict[str, Any] = {"containerOverrides": [worker]}
    for level in (usual, [o.in_api_form() for o in request.container_overrides]):
        asked = merge_run_task_kwargs(asked, {"containerOverrides": level})
    if request.size:
        asked |= dict(zip(("cpu", "memory"), map(str, request.size), strict=True))
    if request.ephemeral_storage_gib:
        asked["ephemeralStorage"] = {"sizeInGiB": request.ephemeral_storage_gib}
    roles = {"executionRoleArn": request.task_execution_role_arn, "taskRoleArn": request.task_role_arn}
    return asked | {name: arn for name, arn in roles.items() if arn}


def _check_secrets(launch: Launch, worker: Mapping[str, Any]) -> None:
    """Raise where a secret would be shadowed: ECS gives a variable one value."""
    given = {variable["name"] for variable in worker.get("environment") or ()}
    if both := sorted(given & launch.request.secrets_env.keys()):
        allowed = f"a secret or a value, and container {launch.worker} is given both"
        raise RequestInvalid([Problem("secrets_env", ", ".join(both), allowed)])


def _with_variables(container: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    given = {v["name"]: v.get("value", "") for v in container.get("environment") or ()}
    return {**container, "environment": as_list({**given, **variables})}


def _environment(launch: Launch) -> dict[str, str]:
    ours = {
        Env.RUN_ID: launch.attempt_id.run_id,
        Env.ATTEMPT: str(launch.attempt_id.attempt),
        Env.CORRELATION_ID: launch.request.correlation_id,
        Env.ORG_ID: launch.request.org_id,
        Env.RESULT_URI: launch.report_uri,
        Env.TASK_NAME: task_name(launch.attempt_id, launch.batch_id, launch.shard),
        Env.TASK_NUM: str(launch.shard or 0),
    }
    uris = ",".join(launch.package_uris)
    ours[Env.DEP_PACKAGE_URIS] = uris if launch.spec is None or len(uris) <= _MOST_URIS else ""
    if launch.spec is not None:
        ours[Env.ARTIFACT_URI] = launch.spec.artifact_uri
        if launch.spec_uri:
            ours[Env.RUN_SPEC_URI] = launch.spec_uri
        else:
            ours[Env.RUN_SPEC] = launch.spec.to_json()
    return {name: value for name, value in ours.items() if value}


def _tags(launch: Launch) -> list[dict[str, str]]:
    request = launch.request
    values = (
        launch.attempt_id.run_id,
        request.org_id,
        request.label,
        request.correlation_id,
        launch.batch_id,
        "" if launch.shard is None else str(launch.shard),
        request.environment,
        request.trigger_source,
    )
    ours = {f"dagy:{name}": tag_value(value) for name, value in zip(OUR_TAGS, values, strict=True) if value}
    return [{"key": key, "value": value} for key, value in {**launch.tags, **ours}.items()]
