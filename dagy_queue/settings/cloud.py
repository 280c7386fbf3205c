"""Settings of AWS: where it is, the cluster and its tasks, the buckets and the tables."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator

from dagy_queue.requests.capacity import CapacityProvider
from dagy_queue.requests.durations import Seconds
from dagy_queue.requests.parsing import problems_of
from dagy_queue.requests.placement import PlacementFields
from dagy_queue.requests.refusals import allowed
from dagy_queue.requests.sizes import size_problem
from dagy_queue.settings.fields import (
    JsonObject,
    JsonObjects,
    JsonTexts,
    Limit,
    Names,
    Section,
    read_json,
)


class AwsSettings(Section):
    """Where AWS is. The endpoint itself is botocore's own AWS_ENDPOINT_URL."""

    region: str = Field("us-east-1", description="AWS region")
    connect_timeout: Seconds = Field(5.0, gt=0, description="seconds to connect to an AWS endpoint")
    read_timeout: Seconds = Field(30.0, gt=0, description="seconds to wait for an AWS answer")


class EcsSettings(Section):
    """What a launch needs to know of the ECS cluster."""

    cluster: str = Field("dagy", description="cluster name or ARN")
    worker_image: str = Field("dagy-worker:latest", description="image that runs Dagy flows")
    container_name: str = Field("worker", description="name of the container that does the work")
    family: str = Field("dagy-worker", description="first part of the families of registered task definitions")
    execution_role_arn: str = Field("", description="task execution role (pulls images, writes logs, reads secrets)")
    task_role_arn: str = Field("", description="role of the code inside the container")
    launch_type: Literal["FARGATE", "EC2"] = Field("FARGATE", description="FARGATE or EC2")
    capacity_provider_strategy: Annotated[tuple[CapacityProvider, ...], BeforeValidator(read_json)] = Field(
        (),
        description='capacity providers instead of a launch type, as JSON: `[{"capacityProvider": "FARGATE_SPOT", '
        '"weight": 3, "base": 0}]`',
    )
    subnets: Names = Field((), description="awsvpc subnets, 1 to 16")
    security_groups: Names = Field((), description="awsvpc security groups, up to 5")
    assign_public_ip: bool = Field(False, description="give tasks a public address")
    platform_version: str = Field("LATEST", description="Fargate platform version")
    log_group: str = Field("/ecs/dagy-worker", description="CloudWatch log group of the containers")
    log_stream_prefix: str = Field("dagy", description="awslogs-stream-prefix")
    cpu: int = Field(256, description="CPU units of a task that does not say")
    memory: int = Field(512, description="MiB of a task that does not say", validate_default=True)
    task_definition: str = Field(
        "", description="existing task definition of launches that name none: family, family:revision or ARN"
    )
    task_definition_template: str = Field(
        "", description="path of a JSON file with a complete task definition, of launches that name none"
    )
    container_overrides: JsonObjects = Field(
        (), description="overrides of containers that every launch has, as a JSON list in the form of ECS's API"
    )
    run_task_kwargs: JsonObject = Field(
        {}, description="parameters of RunTask that every launch has, as a JSON object; laid over all others"
    )
    tags: JsonTexts = Field({}, description="tags of every ECS task, as a JSON object")
    max_cpu: Limit = Field(None, description="CPU units of the largest run; empty: no limit")
    max_memory: Limit = Field(None, description="MiB of the largest run; empty: no limit")
    max_task_count: Limit = Field(None, description="shards of the largest batch; empty: no limit")

    @field_validator("memory")
    @classmethod
    def _check_size(cls, memory: int, info: ValidationInfo) -> int:
        cpu = info.data.get("cpu")
        if cpu is None or info.data.get("launch_type") == "EC2":
            return memory  # on EC2 any size goes that the instance has
        if problem := size_problem(cpu, memory):
            raise allowed(f"cpu {cpu} with memory {memory}: {problem}")
        return memory

    @field_validator(
        "capacity_provider_strategy",
        "cluster",
        "container_name",
        "container_overrides",
        "log_group",
        "platform_version",
        "run_task_kwargs",
        "security_groups",
        "subnets",
        "tags",
        "task_definition",
    )
    @classmethod
    def _check_as_a_request_has_it(cls, value: Any, info: ValidationInfo) -> Any:
        try:
            PlacementFields.model_validate({str(info.field_name): value})
        except ValidationError as exc:
            raise allowed("; ".join(problem.allowed for problem in problems_of(exc, PlacementFields))) from None
        return value


class StorageSettings(Section):
    """S3: flow artifacts, results and exception traces."""

    artifact_bucket: str = Field("", description="bucket of flow artifacts and results")
    traces_bucket: str = Field("", description="bucket of exception traces; empty: none are kept")
    results_prefix: str = Field("results", description="key prefix of result objects")


class RecordsSettings(Section):
    """DynamoDB tables."""

    flows_table: str = Field("DAGY_FLOWS", description="table of registered flows")
    deployments_table: str = Field("DAGY_DEPLOYMENTS", description="table of deployments")
    dep_packages_table: str = Field("DAGY_DEP_PACKAGES", description="table of dependency packages")
    runs_table: str = Field("DAGY_RUNS", description="table of the runs' records")
    task_runs_table: str = Field("DAGY_TASK_RUNS", description="table of the tasks inside flow runs")
    org_id: str = Field(
        "",
        pattern=r"^$|^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$",
        description="the only org whose runs this process reads, and the one that commands mean which name none; "
        "empty: any",
    )
    enabled: bool = Field(True, description="whether the bridge writes the runs' records; the same for all bridges")
    worker_updates: bool = Field(
        True, description="whether containers write heartbeats and tasks to the record, where records are enabled"
    )
    heartbeat_seconds: Seconds = Field(30.0, gt=0, description="seconds between two heartbeats of a container")
    linger: Seconds = Field(
        1.0, ge=0, le=60, description="seconds in which the bridge collects changes before it writes them together"
    )
    latest_ttl: Seconds = Field(
        10.0, ge=0, description="seconds a dispatcher remembers what 'latest' means, and what is deprecated"
    )
