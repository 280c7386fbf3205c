"""What the tests of launching share: an ECS in memory that is as strict as botocore's model, and planners on it."""

from __future__ import annotations

import itertools
import threading
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from hypothesis import strategies as st

from dagy_queue.ids import AttemptId
from dagy_queue.launching.definition_cache import DefinitionCache, NoCache
from dagy_queue.launching.deployments import DeploymentResolver
from dagy_queue.launching.flows import FlowResolver
from dagy_queue.launching.planner import Plan, Planner
from dagy_queue.launching.task_definitions import definition_hash
from dagy_queue.records.deployments import Deployment
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.records.packages import DepPackage
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import Settings, load_settings
from tests.unit.kit import REGION, client
from tests.unit.strategies import correlations, env_names, json_objects, names, sizes

MODEL = client("ecs").meta.service_model
ROLE = "arn:aws:iam::123456789012:role/{}"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"
FIRST = AttemptId("run", 1)
FLOW = LaunchRequest(flow_name="etl", org_id="acme", correlation_id="trace")
JOB = ContainerRequest(image="job:1", org_id="acme", correlation_id="trace")

TEMPLATE: dict[str, Any] = {
    "family": "pipeline",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "1024",
    "memory": "2048",
    "taskRoleArn": ROLE.format("of-template"),
    "ephemeralStorage": {"sizeInGiB": 50},
    "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
    "volumes": [{"name": "scratch", "host": {}}],
    "containerDefinitions": [
        {"name": "log-router", "image": "fluent-bit:2", "essential": False},
        {
            "name": "worker",
            "image": "etl:1",
            "environment": [{"name": "MODE", "value": "batch"}, {"name": "TOKEN", "value": "old"}],
            "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/scratch"}],
        },
    ],
}
"""A task definition with a sidecar, and with things that we know nothing of."""


def problems(operation: str, parameters: Mapping[str, Any]) -> str:
    """Return what botocore has against parameters; '' if nothing."""
    report = ParamValidator().validate(parameters, MODEL.operation_model(operation).input_shape)
    return report.generate_report() if report.has_errors() else ""


class MemoryEcs:
    """One region's ECS: keeps task definitions, launches each token once, and notes every call."""

    def __init__(self, region: str = REGION) -> None:
        self.region = region
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failures: list[str | ClientError] = []
        """What the next calls of RunTask answer instead of a task: a reason, or an error."""
        self._definitions: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, str] = {}
        self._lock = threading.RLock()

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [parameters for name, parameters in self.calls if name == operation]

    def register_task_definition(self, **document: Any) -> dict[str, Any]:
        with self._lock:
            self._note("RegisterTaskDefinition", document)
            revision = 1 + sum(known["family"] == document["family"] for known in self._definitions.values())
            arn = f"arn:aws:ecs:{self.region}:123456789012:task-definition/{document['family']}:{revision}"
            told = {"taskDefinitionArn": arn, "revision": revision, "status": "ACTIVE", "compatibilities": ["FARGATE"]}
            self._definitions[arn] = {**document, **told, "registeredAt": datetime.now(UTC), "registeredBy": "me"}
            return {"taskDefinition": self._definitions[arn]}

    def describe_task_definition(self, **asked: Any) -> dict[str, Any]:
        with self._lock:
            self._note("DescribeTaskDefinition", asked)
            name = asked["taskDefinition"]
            if found := self._find(name):
                return {"taskDefinition": found}
            raise refusal("ClientException", "Unable to describe task definition.")

    def deregister(self, name: str) -> None:
        self._definitions[str(self._find(name)["taskDefinitionArn"])]["status"] = "INACTIVE"

    def run_task(self, **parameters: Any) -> dict[str, Any]:
        with self._lock:
            self._note("RunTask", parameters)
            definition = self._find(parameters["taskDefinition"])
            if not definition or definition["status"] != "ACTIVE":
                raise refusal("ClientException", "TaskDefinition is inactive")
            if self.failures:
                failure = self.failures.pop(0)
                if isinstance(failure, ClientError):
                    raise failure
                return {"tasks": [], "failures": [{"reason": failure}]}
            number = len(self._tasks)
            arn = f"arn:aws:ecs:{self.region}:123456789012:task/{parameters['cluster']}/{number:032x}"
            return {"tasks": [{"taskArn": self._tasks.setdefault(parameters["clientToken"], arn)}], "failures": []}

    def _find(self, name: str) -> dict[str, Any]:
        resource = name.rpartition("/")[2]
        if ":" in resource:
            return next((d for arn, d in self._definitions.items() if arn.endswith(f"/{resource}")), {})
        active = [d for d in self._definitions.values() if d["family"] == resource and d["status"] == "ACTIVE"]
        return active[-1] if active else {}

    def _note(self, operation: str, parameters: dict[str, Any]) -> None:
        self.calls.append((operation, parameters))
        if wrong := problems(operation, parameters):
            raise AssertionError(wrong)


class MemoryAws:
    """Stands in for AwsClients: an ECS in each region, and an S3 that keeps what is put."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.s3 = SimpleNamespace(put_object=self._put)
        self._regions: dict[str, MemoryEcs] = {}
        self._lock = threading.Lock()

    def ecs_of(self, region: str = REGION) -> MemoryEcs:
        with self._lock:
            return self._regions.setdefault(region, MemoryEcs(region))

    def in_region(self, region: str) -> Any:
        return SimpleNamespace(ecs=self.ecs_of(region), ecs_control=self.ecs_of(region), s3=self.s3)

    def _put(self, **parameters: Any) -> None:
        self.objects[f"s3://{parameters['Bucket']}/{parameters['Key']}"] = parameters["Body"].decode()


def refusal(code: str, message: str = "", operation: str = "RunTask") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def find_flow(org_id: str, name: str, version: str) -> RegisteredFlow | None:
    """A registry that has every flow but 'unknown'."""
    if name == "unknown":
        return None
    found = "7" if version == "latest" else version
    return RegisteredFlow(
        org_id=org_id, name=name, version=found, artifact_uri="s3://artifacts/etl.zip", artifact_sha256="0" * 64
    )


def deployments(
    defaults: Mapping[str, Any] | None = None,
    slugs: tuple[str, ...] = (),
    sha256s: Mapping[str, str] = types.MappingProxyType({}),
) -> DeploymentResolver:
    """A registry whose deployments all have these defaults and packages."""

    def find(org_id: str, name: str, environment: str) -> Deployment:
        return Deployment(name=name, environment=environment, package_slugs=slugs, defaults=defaults or {})

    def packages(org_id: str, asked: tuple[str, ...]) -> list[DepPackage]:
        uri = f"s3://packages/{org_id}/{{}}.zip"
        return [DepPackage(slug=s, version="1", uri=uri.format(s), sha256=sha256s.get(s, "")) for s in asked]

    return DeploymentResolver(10, find, packages)


def settings(**sections: Any) -> Settings:
    """Settings with a bucket and a network, and what else is given."""
    ecs = {"subnets": ("subnet-1",), **sections.pop("ecs", {})}
    return load_settings(**{"storage": {"artifact_bucket": "artifacts"}, "ecs": ecs, **sections})


class Plans:
    """A planner of one process on an AWS in memory."""

    def __init__(self, aws: MemoryAws | None = None, cache: DefinitionCache | None = None, **sections: Any) -> None:
        self.aws = aws or MemoryAws()
        self.planner = Planner(settings(**sections), self.aws, cache or NoCache())  # type: ignore[arg-type]
        self.planner._flows = FlowResolver(10, find_flow)
        self.planner._deployments = deployments()

    def plan(self, request: LaunchRequest | ContainerRequest, attempt_id: AttemptId = FIRST, **shard: Any) -> Plan:
        plan = self.planner.plan(attempt_id, request, **shard)
        assert not problems("RunTask", plan.parameters)
        return plan

    def registered(self, region: str = REGION) -> list[dict[str, Any]]:
        return self.aws.ecs_of(region).asked("RegisterTaskDefinition")


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a container, or of its overrides, as a mapping; no name may be there twice."""
    pairs = [(pair["name"], pair["value"]) for pair in container.get("environment") or ()]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def container(document: Mapping[str, Any], name: str = "worker") -> dict[str, Any]:
    """A container of a task definition, or its overrides in RunTask's parameters."""
    listed = document.get("containerDefinitions") or document["overrides"]["containerOverrides"]
    (found,) = [each for each in listed if each["name"] == name]
    return dict(found)


def family(base: str, document: Mapping[str, Any]) -> str:
    return f"{base}-{definition_hash(document)}"


plain = st.text(max_size=30).filter(lambda text: "\0" not in text)


@st.composite
def _fields(draw: st.DrawFn) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "org_id": draw(names),
        "correlation_id": draw(correlations),
        "environment": draw(st.just("") | names),
        "trigger_source": draw(plain),
        "extra_env_vars": draw(st.dictionaries(env_names, plain, max_size=3)),
        "launch_type": draw(st.sampled_from([None, "FARGATE", "EC2"])),
        "cluster": draw(st.sampled_from(["", "other", "arn:aws:ecs:eu-west-1:1:cluster/other"])),
        "platform_version": draw(st.sampled_from(["", "1.4.0"])),
        "subnets": draw(st.lists(st.sampled_from(["subnet-a", "subnet-b"]), max_size=2, unique=True)),
        "assign_public_ip": draw(st.sampled_from([None, True, False])),
        "task_role_arn": draw(st.sampled_from(["", ROLE.format("r")])),
        "tags": draw(st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.just("x y"), max_size=3)),
        "run_task_kwargs": draw(st.sampled_from([{}, {"enableExecuteCommand": True}, {"tags": []}])),
    }
    if fields["launch_type"] != "EC2":
        fields["ephemeral_storage_gib"] = draw(st.none() | st.integers(21, 200))
    if fields["launch_type"] is None and draw(st.booleans()):
        fields["capacity_provider_strategy"] = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    if size := draw(st.none() | sizes):
        fields |= dict(zip(("cpu", "memory"), size, strict=True))
    return fields


@st.composite
def _flow_requests(draw: st.DrawFn) -> LaunchRequest:
    own = {"flow_name": draw(names), "flow_version": draw(names), "parameters": draw(json_objects)}
    return LaunchRequest(**draw(_fields()), **own)


@st.composite
def _container_requests(draw: st.DrawFn) -> ContainerRequest:
    return ContainerRequest(**draw(_fields()), image="job:1", command=draw(st.lists(plain, max_size=4)))


flow_requests = _flow_requests()
placed_requests = flow_requests | _container_requests()
"""Requests that say where they run."""

run_numbers = itertools.count()


def new_attempt() -> AttemptId:
    return AttemptId(f"run-{next(run_numbers)}", 1)
