"""The fields of a request that say where and how its ECS task runs; every one has a setting of the same meaning.

``requests/models.py`` builds its models on them. Limits are those of the ECS API reference (RunTask,
AwsVpcConfiguration).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from dagy_queue.requests.capacity import CapacityProvider, check_strategy, may_be_on_fargate
from dagy_queue.requests.definitions import check_template, registrable
from dagy_queue.requests.overrides import ContainerOverride, check_overrides, check_run_task_kwargs
from dagy_queue.requests.refusals import allowed, wrong_size
from dagy_queue.requests.run_task_rules import MAX_SECURITY_GROUPS, MAX_SUBNETS
from dagy_queue.requests.sizes import (
    MAX_EPHEMERAL_GIB,
    MIN_EPHEMERAL_GIB,
    half_problem,
    partners,
    size_problem,
    units_of,
)
from dagy_queue.requests.tags import check_tags
from dagy_queue.requests.whole_numbers import Whole
from dagy_queue.requests.workloads import WORKLOADS

_NAME = r"[A-Za-z0-9_-]{1,255}"
_CLUSTER = re.compile(rf"({_NAME}|arn:aws[a-z-]*:ecs:[a-z0-9-]+:\d+:cluster/{_NAME})", re.ASCII)
_CONTAINER = re.compile(_NAME)
_DEFINITION = re.compile(rf"(arn:aws[a-z-]*:ecs:[a-z0-9-]+:\d+:task-definition/)?{_NAME}(:[1-9]\d*)?", re.ASCII)
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d+:role/[\w+=,.@/-]{1,512}", re.ASCII)
_SUBNET = re.compile(r"subnet-[A-Za-z0-9-]{1,64}")
_GROUP = re.compile(r"sg-[A-Za-z0-9-]{1,64}")
_NUMBERED = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_PLATFORM = re.compile(rf"LATEST|{_NUMBERED.pattern}")
_LOG_GROUP = re.compile(r"[A-Za-z0-9_./#-]{1,512}")

_NEEDS_1_4 = 8192
"""CPU units from which Fargate needs platform version 1.4.0."""

_EC2_CPU, _EC2_MEMORY = range(128, 196_608 + 1), 4
_EC2_SIZE = f"on EC2 choose cpu {_EC2_CPU.start}-{_EC2_CPU.stop - 1} and memory from {_EC2_MEMORY}"
"""ECS developer guide, "Amazon ECS task definition parameters for EC2", task size."""


def _read_size(value: Any) -> Any:
    """Read "2 vCPU" and "4 GB" as ECS's API does; what is no size is left for the field to refuse."""
    found = units_of(value) if isinstance(value, str) else None
    return value if found is None else found


Size = Annotated[Whole | None, BeforeValidator(_read_size)]


class PlacementFields(BaseModel):
    """Where and how the task of a run is run. What is left out is as the dispatcher's settings have it."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)

    cluster: str = Field("", description="ECS cluster, name or ARN")
    region: str = Field("", description="AWS region of the cluster")
    launch_type: Literal["FARGATE", "EC2"] | None = Field(None, description="FARGATE or EC2")
    capacity_provider_strategy: tuple[CapacityProvider, ...] = Field(
        (), description="capacity providers with weight and base, instead of a launch type"
    )
    platform_version: str = Field("", description="Fargate platform version, LATEST or such as 1.4.0")
    subnets: tuple[str, ...] = Field((), description="awsvpc subnets, up to 16")
    security_groups: tuple[str, ...] = Field((), description="awsvpc security groups, up to 5")
    assign_public_ip: bool | None = Field(None, description="give the task a public address")
    task_definition: str = Field("", description="family, family:revision or ARN of an existing task definition")
    task_definition_template: dict[str, Any] | None = Field(
        None, description="a complete task definition in ECS's JSON form, registered when it is first needed"
    )
    container_name: str = Field("", description="which container of the task definition does the work")
    container_overrides: tuple[ContainerOverride, ...] = Field(
        (), description="command, environment and sizes of containers, by name"
    )
    run_task_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="further parameters of RunTask, laid over all others recursively"
    )
    task_execution_role_arn: str = Field("", description="role that pulls the image, writes logs and reads secrets")
    task_role_arn: str = Field("", description="role of the code inside the container")
    log_group: str = Field("", description="CloudWatch log group of the container")
    tags: dict[str, str] = Field(default_factory=dict, description="tags of the task, besides ours")
    workload_profile: str | None = Field(None, description="a size by name: small, medium, large, xlarge, heavy, max")
    cpu: Size = Field(None, description="CPU units, 1024 = 1 vCPU; or a text such as 2 vCPU")
    memory: Size = Field(None, description="MiB; or a text such as 4 GB", validate_default=True)
    ephemeral_storage_gib: Whole | None = Field(None, description="GiB of /tmp, 21 to 200")

    @model_validator(mode="before")
    @classmethod
    def _leave_out_none(cls, values: Any) -> Any:
        """Take None as "not given", whatever the field: callers pass on what they may not have."""
        return {k: v for k, v in values.items() if v is not None} if isinstance(values, Mapping) else values

    @property
    def size(self) -> tuple[int, int] | None:
        """CPU units and MiB: as given, or as the workload profile has them; None leaves them to the task definition."""
        if self.cpu is not None and self.memory is not None:
            return self.cpu, self.memory
        if self.workload_profile is not None:
            workload = WORKLOADS[self.workload_profile]
            return workload.cpu, workload.memory
        return None

    @field_validator("cluster", "region", "platform_version", "task_definition", "container_name", "log_group")
    @classmethod
    def _check_text(cls, value: str, info: ValidationInfo) -> str:
        pattern, rule = _TEXTS[str(info.field_name)]
        if value and not pattern.fullmatch(value):
            raise allowed(rule)
        cluster = str(info.data.get("cluster", ""))
        if info.field_name == "region" and value and cluster.startswith("arn:") and cluster.split(":")[3] != value:
            raise allowed(f"{cluster.split(':')[3]}, as the cluster's ARN says, or leave it out")
        return value

    @field_validator("task_execution_role_arn", "task_role_arn")
    @classmethod
    def _check_role(cls, value: str) -> str:
        if value and not _ROLE.fullmatch(value):
            raise allowed("the ARN of an IAM role, arn:aws:iam::<account>:role/<name>")
        return value

    @field_validator("capacity_provider_strategy")
    @classmethod
    def _check_strategy(cls, value: tuple[CapacityProvider, ...], info: ValidationInfo) -> tuple[CapacityProvider, ...]:
        if value and info.data.get("launch_type"):
            raise allowed("a launch_type or a capacity_provider_strategy, not both")
        check_strategy(value)
        return value

    @field_validator("subnets", "security_groups")
    @classmethod
    def _check_network(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        pattern, rule, most = _NETWORK[str(info.field_name)]
        if len(value) > most:
            raise allowed(f"at most {most}; {len(value)} given")
        if wrong := [text for text in value if not pattern.fullmatch(text)]:
            raise allowed(f"{', '.join(map(repr, wrong))}: {rule}")
        return value

    @field_validator("task_definition_template")
    @classmethod
    def _check_template(cls, value: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        if value is None:
            return None
        if info.data.get("task_definition"):
            raise allowed("a task_definition or a task_definition_template, not both")
        document = registrable(value)
        check_template(document)
        return document

    @field_validator("container_overrides")
    @classmethod
    def _check_overrides(cls, value: tuple[ContainerOverride, ...]) -> tuple[ContainerOverride, ...]:
        check_overrides(value)
        return value

    @field_validator("run_task_kwargs")
    @classmethod
    def _check_run_task_kwargs(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        check_run_task_kwargs(value, _launch_type(info))
        return value

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, value: dict[str, str]) -> dict[str, str]:
        check_tags(value)
        return value

    @field_validator("workload_profile")
    @classmethod
    def _check_profile(cls, value: str | None) -> str | None:
        if value is not None and value not in WORKLOADS:
            raise allowed(f"one of {', '.join(WORKLOADS)}")
        return value

    @field_validator("ephemeral_storage_gib")
    @classmethod
    def _check_storage(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and _is_on_old_platform(info):
            raise allowed("platform_version 1.4.0 or LATEST: older ones have 20 GiB")
        if value is not None and not MIN_EPHEMERAL_GIB <= value <= MAX_EPHEMERAL_GIB:
            raise allowed(f"{MIN_EPHEMERAL_GIB} to {MAX_EPHEMERAL_GIB} GiB, or leave it out for 20")
        return value

    @field_validator("memory")
    @classmethod
    def _check_size(cls, memory: int | None, info: ValidationInfo) -> int | None:
        # A validator of the last of the two fields, not of the model: that one runs only if nothing else is wrong.
        if "cpu" not in info.data:
            return memory  # that is a problem of its own
        cpu = info.data["cpu"]
        if (cpu is None) != (memory is None):
            if _may_be_on_fargate(info) and (half := half_problem(cpu, memory)):
                raise wrong_size(cpu or memory or 0, half[1], half[0])
            raise wrong_size(f"cpu {cpu}, memory {memory}", f"give both or neither{partners(cpu, memory)}")
        if cpu is None or memory is None:
            return memory
        if _may_be_on_fargate(info):
            problem = size_problem(cpu, memory) or ""
        else:
            problem = "" if cpu in _EC2_CPU and memory >= _EC2_MEMORY else _EC2_SIZE
        if not problem and cpu >= _NEEDS_1_4 and _is_on_old_platform(info):
            problem = "platform_version 1.4.0 or LATEST: older ones have no such size"
        if problem:
            raise wrong_size(f"cpu {cpu}, memory {memory}", f"cpu {cpu} with memory {memory}: {problem}")
        return memory


def _may_be_on_fargate(info: ValidationInfo) -> bool:
    """Tell whether a request's own fields leave its task to Fargate; run_task_kwargs count more than the others."""
    kwargs = info.data.get("run_task_kwargs") or {}
    launch_type, strategy = kwargs.get("launchType"), kwargs.get("capacityProviderStrategy") or ()
    if not launch_type and not strategy:
        launch_type = info.data.get("launch_type")
        strategy = [item.model_dump(by_alias=True) for item in info.data.get("capacity_provider_strategy") or ()]
    return may_be_on_fargate(launch_type, strategy)


def _launch_type(info: ValidationInfo) -> str | None:
    """Return what a request's own fields mean as a launch type, a strategy too; None if they leave it open."""
    if not _may_be_on_fargate(info):
        return "EC2"
    return "FARGATE" if info.data.get("capacity_provider_strategy") else info.data.get("launch_type")


def _is_on_old_platform(info: ValidationInfo) -> bool:
    """Tell whether a request's own fields ask for a Fargate platform before 1.4.0."""
    version = (info.data.get("run_task_kwargs") or {}).get("platformVersion") or info.data.get("platform_version") or ""
    return bool(_NUMBERED.fullmatch(version)) and tuple(map(int, version.split("."))) < (1, 4, 0)


_TEXTS = {
    "cluster": (_CLUSTER, "the name of a cluster (letters, digits, '-' and '_') or its ARN"),
    "region": (_REGION, "an AWS region, such as eu-central-1"),
    "platform_version": (_PLATFORM, "LATEST, or a version such as 1.4.0"),
    "task_definition": (_DEFINITION, "family, family:revision or ARN of a task definition"),
    "container_name": (_CONTAINER, "1 to 255 letters, digits, '-' and '_'"),
    "log_group": (_LOG_GROUP, "1 to 512 letters, digits and _ - / . #"),
}
_NETWORK = {
    "subnets": (_SUBNET, "a subnet's id starts with subnet-", MAX_SUBNETS),
    "security_groups": (_GROUP, "a security group's id starts with sg-", MAX_SECURITY_GROUPS),
}
