"""From a checked request to RunTask's parameters: finds the flow, the deployment and the task definition it needs.

Dispatchers and the direct mode call :meth:`Planner.plan` for every attempt. What it looks up is remembered per process,
so that a launch usually costs no call but RunTask itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.refusals import is_about_credentials
from dagy_queue.errors import AwsRefused, Problem, RequestInvalid
from dagy_queue.ids import AttemptId
from dagy_queue.launching.definition_cache import DefinitionCache
from dagy_queue.launching.definitions import (
    Definition,
    definition_of,
    existing_definition,
    made_definition,
    with_secrets,
)
from dagy_queue.launching.deployments import DeploymentResolver, ResolvedDeployment
from dagy_queue.launching.flows import FlowResolver
from dagy_queue.launching.placement import Placement, placement_of
from dagy_queue.launching.run_task import (
    Launch,
    check_overrides_size,
    overrides,
    overrides_too_large,
    run_task_parameters,
)
from dagy_queue.launching.specs import CrewShard, run_spec
from dagy_queue.launching.storage import ObjectStore, report_uri, spec_uri
from dagy_queue.launching.task_definitions import TaskDefinitions
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.requests import ContainerRequest, LaunchRequest, parse_request, read_request
from dagy_queue.requests.definitions import read_template, registrable
from dagy_queue.requests.limits import ClusterLimits, size_with
from dagy_queue.requests.overlay import overlay
from dagy_queue.requests.overrides import ContainerOverride
from dagy_queue.requests.tags import tags_problem
from dagy_queue.requests.templating import TEMPLATED, rendered
from dagy_queue.settings import Settings

_IN_TEMPLATES = {"org_id", "environment", "correlation_id", "flow_name", "flow_version"}
"""Fields of a request that templates refer to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One call of RunTask: where, and with what."""

    region: str
    parameters: Mapping[str, Any]
    launch: Launch
    cpu: int | None
    """CPU units of the task, as far as anybody says."""
    flow: RegisteredFlow | None = None
    """The version of the flow that runs; None for a container."""


class Planner:
    """Plans launches with one process's settings. ``is_direct`` tells workers that no queue is behind them."""

    def __init__(self, settings: Settings, aws: AwsClients, cache: DefinitionCache, *, is_direct: bool = False) -> None:
        self._settings = settings
        self._is_direct = is_direct
        self._limits = ClusterLimits(settings.ecs.max_cpu, settings.ecs.max_memory)
        self._flows = FlowResolver(settings.records.latest_ttl)
        self._deployments = DeploymentResolver(settings.records.latest_ttl)
        self._definitions = TaskDefinitions(lambda r: aws.in_region(r).ecs_control, cache, settings.ecs.family)
        self._objects = ObjectStore(aws.s3)

    def plan(
        self,
        attempt_id: AttemptId,
        request: LaunchRequest | ContainerRequest,
        batch_id: str = "",
        shard: int | None = None,
        crew: Sequence[CrewShard] = (),
        flow: RegisteredFlow | None = None,
    ) -> Plan:
        """Return the call that launches an attempt, with the further shards of its batch that share its container.

        ``flow`` is what :meth:`flow_of` returned for the run's first attempt. Raises RequestInvalid or another
        DagyQueueError for what cannot be launched, an AwsError for what cannot be looked up.
        """
        if isinstance(request, LaunchRequest):
            flow = flow or self.flow_of(request)
            request = _of_flow(request, flow)
        deployment = self._deployments.resolve(request.org_id, request.deployment_name, request.environment)
        facts = {"run_id": attempt_id.run_id, "batch_id": batch_id, "shard": shard}
        request = _with_defaults(request, deployment, facts)
        placement = placement_of(request, self._settings)
        definition = self._definition(request, placement)
        self._check_limits(request, placement, definition)
        launch = Launch(
            attempt_id=attempt_id,
            request=request,
            placement=placement,
            definition=definition,
            worker=definition.worker(request.container_name, self._settings.ecs.container_name),
            batch_id=batch_id,
            shard=shard,
            report_uri=report_uri(self._settings.storage, request.org_id, attempt_id),
            usual_overrides=self._usual_overrides(request, facts),
            tags=self._tags(request, placement),
            package_uris=deployment.package_uris,
            package_sha256s=deployment.package_sha256s,
            spec=None,
        )
        if isinstance(request, LaunchRequest) and flow is not None:
            launch = self._fitting(
                replace(launch, spec=run_spec(self._settings, launch, request, flow, crew, is_direct=self._is_direct))
            )
        parameters = run_task_parameters(launch)
        check_overrides_size(parameters["overrides"])
        cpu, _ = self._size(request, placement, definition)
        return Plan(region=placement.region, parameters=parameters, launch=launch, cpu=cpu, flow=flow)

    def flow_of(self, request: LaunchRequest, begun_with: str = "") -> RegisteredFlow:
        """Return the version of its flow that a run has; ``begun_with`` is the one that it began with earlier.

        Raises FlowNotFound, or an AwsError.
        """
        if begun_with:
            return self._flows.resolve_begun(request.org_id, request.flow_name, begun_with)
        return self._flows.resolve(request.org_id, request.flow_name, request.flow_version)

    def forget_definition(self, plan: Plan) -> None:
        """Drop what is remembered of a plan's task definition: ECS no longer accepts it."""
        self._definitions.forget(plan.launch.definition.name, plan.region)

    @cached_property
    def _template(self) -> Mapping[str, Any] | None:
        path = self._settings.ecs.task_definition_template
        if not path:
            return None
        given = {"org_id": "settings", "task_definition_template": read_template(path)}
        return parse_request(given, ContainerRequest).task_definition_template

    def _definition(self, request: LaunchRequest | ContainerRequest, placement: Placement) -> Definition:
        ecs, region = self._settings.ecs, placement.region
        name = existing_definition(request, ecs)
        if not name:
            return self._definitions.made(made_definition(request, ecs, placement, self._template), region)
        try:
            document = self._definitions.existing(name, region)
        except AwsRefused as exc:
            if is_about_credentials(exc):
                raise
            allowed = f"a task definition that exists in {region} ({exc})"
            raise RequestInvalid([Problem("task_definition", name, allowed)]) from exc
        if request.secrets_env:
            return self._definitions.made(with_secrets(registrable(document), request, ecs), region)
        return definition_of(str(document["taskDefinitionArn"]), document)

    def _check_limits(
        self, request: LaunchRequest | ContainerRequest, placement: Placement, definition: Definition
    ) -> None:
        self._limits.check(*self._size(request, placement, definition))
        last = placement.kwargs.get("overrides") or {}
        listed = [o.model_dump() for o in request.container_overrides] + list(last.get("containerOverrides") or ())
        for container in listed:  # a task without a size of its own is as large as its containers
            self._limits.check(container.get("cpu"), container.get("memory"))

    @staticmethod
    def _size(
        request: LaunchRequest | ContainerRequest, placement: Placement, definition: Definition
    ) -> tuple[int | None, int | None]:
        return size_with(placement.kwargs, *(request.size or (definition.cpu, definition.memory)))

    def _usual_overrides(
        self, request: LaunchRequest | ContainerRequest, facts: Mapping[str, Any]
    ) -> tuple[ContainerOverride, ...]:
        if not self._settings.ecs.container_overrides:
            return ()
        usual = _filled({"container_overrides": self._settings.ecs.container_overrides}, request, facts)
        return read_request({"org_id": "settings", "kind": "container", **usual}).container_overrides

    def _tags(self, request: LaunchRequest | ContainerRequest, placement: Placement) -> Mapping[str, str]:
        last = {tag.get("key", ""): tag.get("value", "") for tag in placement.kwargs.get("tags") or ()}
        tags = {**self._settings.ecs.tags, **request.tags, **last}
        if problem := tags_problem(tags):
            raise RequestInvalid([Problem("tags", "...", problem)])
        return tags

    def _fitting(self, launch: Launch) -> Launch:
        """Return the launch with its spec in S3 where it is too large for RunTask's overrides."""
        if launch.spec is None or not overrides_too_large(overrides(launch)):
            return launch
        uri = spec_uri(self._settings.storage, launch.request.org_id, launch.attempt_id)
        if not uri:
            raise AwsRefused(
                "the run's parameters are too large for RunTask; set DAGY_ARTIFACT_BUCKET to send them by S3"
            )
        self._objects.put(uri, launch.spec.to_json())
        return replace(launch, spec_uri=uri)


def _of_flow(request: LaunchRequest, flow: RegisteredFlow) -> LaunchRequest:
    """Return the request with what the flow's registration settles: its version, and where it is at home."""
    home = request.deployment_name or flow.deployment_name
    return request.model_copy(update={"flow_version": flow.version, "deployment_name": home})


def _with_defaults(
    request: LaunchRequest | ContainerRequest, deployment: ResolvedDeployment, facts: Mapping[str, Any]
) -> LaunchRequest | ContainerRequest:
    """Return the request over its deployment's defaults."""
    if not deployment.defaults:
        return request
    own = request.in_json()
    known = {name: value for name, value in deployment.defaults.items() if name in type(request).model_fields}
    return read_request(overlay(_filled(known, request, facts), own) | {"kind": request.kind})


def _filled(
    fields: Mapping[str, Any], request: LaunchRequest | ContainerRequest, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Fill in the templates of fields that join a request only now; its own were filled in before."""
    templated = {name: value for name, value in fields.items() if name in TEMPLATED}
    own = request.model_dump(mode="json", include=_IN_TEMPLATES)
    filled = rendered({**own, **templated}, **facts)
    return {**fields, **{name: filled[name] for name in templated}}
