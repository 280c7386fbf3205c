"""All settings, in sections, from environment variables; every process of the product starts by reading them.

Two spellings work: ``DAGY_QUEUE__<SECTION>__<KEY>`` for every setting, and the flat ``DAGY_*`` names of Dagy's
guide for those that have one (:data:`FLAT_NAMES`). The sectioned spelling wins where both are given.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from dagy_queue.errors import SettingsInvalid
from dagy_queue.requests.capacity import CapacityProvider, check_strategy
from dagy_queue.requests.durations import Seconds
from dagy_queue.requests.refusals import allowed
from dagy_queue.requests.sizes import size_problem

_PREFIX = "DAGY_QUEUE__"

FLAT_NAMES = {
    "DAGY_REDIS_URL": "redis.url",
    "DAGY_ECS_CLUSTER_ARN": "ecs.cluster",
    "DAGY_ECS_EXECUTION_ROLE_ARN": "ecs.execution_role_arn",
    "DAGY_ECS_TASK_ROLE_ARN": "ecs.task_role_arn",
    "DAGY_ECS_WORKER_IMAGE": "ecs.worker_image",
    "DAGY_ECS_SUBNETS": "ecs.subnets",
    "DAGY_ECS_SECURITY_GROUPS": "ecs.security_groups",
    "DAGY_ECS_LOG_GROUP": "ecs.log_group",
    "DAGY_ARTIFACT_BUCKET": "storage.artifact_bucket",
    "DAGY_TRACES_BUCKET": "storage.traces_bucket",
    "DAGY_EVENT_QUEUE_URL": "bridge.queue_url",
    "AWS_REGION": "aws.region",
    "AWS_DEFAULT_REGION": "aws.region",
}
"""Flat environment names, and the setting each one sets. Where two set the same, the first listed wins."""


def _read_json(value: Any) -> Any:
    """Read a value that the environment gives as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as exc:
        raise allowed(f"JSON ({exc})") from None


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


JsonObject = Annotated[dict[str, Any], BeforeValidator(_read_json)]
Limit = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_empty_is_none)]
"""A number that may be left out; in the environment an empty value leaves it out."""


Share = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_empty_is_none)]
"""The same for a number that need not be whole."""


Profiles = Annotated[dict[str, dict[str, Any]], BeforeValidator(_read_json)]
"""Sets of request fields by name."""


class Section(BaseModel):
    """Base of the sections: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RedisSettings(Section):
    """The broker, the result backend and the ledger: one Redis, one database."""

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        pattern=r"^(rediss?|unix)://.",
        description="redis://, rediss:// or unix:// URL with a database number",
    )
    result_url: str = Field("", description="result backend; empty: the same as url")
    prefix: str = Field("dagy", description="first part of every ledger key")
    finished_ttl: int = Field(4 * 3600, gt=0, description="seconds a finished run stays in the ledger")
    result_expires: int = Field(7 * 86400, gt=0, description="seconds a Celery result and a chord's counters stay")
    socket_timeout: Seconds = Field(10.0, gt=0, description="seconds before a Redis call counts as failed")


class CelerySettings(Section):
    """What the dispatcher's Celery app shares with the application's."""

    default_queue: str = Field(
        "celery", description="queue of an application's tasks (links, callbacks) whose queue is not known otherwise"
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
    capacity_provider_strategy: Annotated[tuple[CapacityProvider, ...], BeforeValidator(_read_json)] = Field(
        (),
        description='capacity providers instead of a launch type, as JSON: `[{"capacityProvider": "FARGATE_SPOT", '
        '"weight": 3, "base": 0}]`',
    )
    subnets: tuple[str, ...] = Field((), description="awsvpc subnets, 1 to 16")
    security_groups: tuple[str, ...] = Field((), description="awsvpc security groups, up to 5")
    assign_public_ip: bool = Field(False, description="give tasks a public address")
    platform_version: str = Field("LATEST", description="Fargate platform version")
    log_group: str = Field("/ecs/dagy-worker", description="CloudWatch log group of the containers")
    log_stream_prefix: str = Field("dagy", description="awslogs-stream-prefix")
    cpu: int = Field(256, description="CPU units of a task that does not say")
    memory: int = Field(512, description="MiB of a task that does not say")
    task_definition: str = Field(
        "", description="existing task definition of launches that name none: family, family:revision or ARN"
    )
    task_definition_template: str = Field(
        "", description="path of a JSON file with a complete task definition, of launches that name none"
    )
    container_overrides: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_read_json)] = Field(
        (), description="overrides of containers that every launch has, as a JSON list in the form of ECS's API"
    )
    run_task_kwargs: JsonObject = Field(
        {}, description="parameters of RunTask that every launch has, as a JSON object; laid over all others"
    )
    tags: Annotated[dict[str, str], BeforeValidator(_read_json)] = Field(
        {}, description="tags of every ECS task, as a JSON object"
    )
    max_cpu: Limit = Field(None, description="CPU units of the largest run; empty: no limit")
    max_memory: Limit = Field(None, description="MiB of the largest run; empty: no limit")
    max_task_count: Limit = Field(None, description="shards of the largest batch; empty: no limit")

    @field_validator("memory")
    @classmethod
    def _check_size(cls, memory: int, info: ValidationInfo) -> int:
        if info.data.get("launch_type") == "EC2":
            return memory  # any size goes that the instance has
        if problem := size_problem(info.data.get("cpu", 0), memory):
            raise ValueError(f"cpu {info.data.get('cpu')} with memory {memory}: {problem}")
        return memory

    @field_validator("capacity_provider_strategy")
    @classmethod
    def _check_strategy(cls, value: tuple[CapacityProvider, ...]) -> tuple[CapacityProvider, ...]:
        check_strategy(value)
        return value

    @field_validator("subnets", "security_groups")
    @classmethod
    def _check_count(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        most = {"subnets": 16, "security_groups": 5}[str(info.field_name)]
        if len(value) > most:
            raise allowed(f"at most {most}; {len(value)} given")
        return value

    @field_validator("subnets", "security_groups", mode="before")
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return _read_json(value)
        return tuple(part.strip() for part in value.split(",") if part.strip())


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
    enabled: bool = Field(True, description="whether the bridge writes the runs' records; the same for all bridges")
    linger: Seconds = Field(
        0.5, ge=0, le=60, description="seconds in which the bridge collects changes before it writes them together"
    )
    latest_ttl: Seconds = Field(10.0, ge=0, description="seconds a dispatcher remembers what 'latest' resolved to")


class BridgeSettings(Section):
    """The event consumer."""

    queue_url: str = Field("", description="SQS queue that the EventBridge rule delivers to")
    queue_name: str = Field("dagy-task-events", description="queue name, used where queue_url is empty")
    consumers: int = Field(2, ge=1, le=64, description="parallel receivers in one bridge process")
    wait_seconds: int = Field(20, ge=0, le=20, description="long poll; SQS allows at most 20 seconds")
    visibility_timeout: int = Field(60, ge=1, le=43_200, description="seconds a received message stays hidden")


class DispatchSettings(Section):
    """The dispatcher and its pump."""

    concurrency: int = Field(16, ge=1, description="threads that park and finish runs")
    launch_threads: int = Field(32, ge=1, description="threads that call RunTask")
    lease_seconds: Seconds = Field(60.0, gt=0, description="seconds a run may be in submission before it is taken back")
    idle_wait_seconds: Seconds = Field(20.0, gt=0, description="seconds of the longest blocking wait of an idle pump")
    throttle_delay: Seconds = Field(1.0, gt=0, description="seconds a throttled launch waits, doubled up to 60")
    visibility_timeout: int = Field(3600, ge=60, description="broker visibility timeout in seconds")
    start_timeout: Seconds = Field(
        3600.0, gt=0, description="seconds after which a launch that AWS keeps refusing fails"
    )
    max_run_task_attempts: Limit = Field(
        None, description="RunTask calls or placements refused before a launch fails; empty: until start_timeout"
    )
    expansion_chunk: int = Field(500, ge=1, le=5000, description="shards entered into the ledger at a time")
    results_by_value: int = Field(
        262_144, ge=0, description="bytes of a batch's results up to which its callback gets them by value"
    )
    check_health_on_startup: bool = Field(
        True, description="whether a dispatcher checks Redis, AWS, the cluster and the settings before it starts"
    )


class LimitSettings(Section):
    """Quotas that all dispatchers together keep to. The rates are Fargate's own quotas in its larger regions."""

    run_task_rate: Share = Field(20.0, description="RunTask calls a second, in each region; empty: no limit")
    run_task_burst: float = Field(
        15.0, ge=1, description="RunTask calls that may come at once; AWS's 20 less what may arrive late"
    )
    launch_rate: Share = Field(
        20.0, description="launches a second on Fargate, in each region and capacity type; empty: no limit"
    )
    launch_burst: float = Field(100.0, ge=1, description="launches that may come at once")
    stop_task_rate: Share = Field(15.0, description="StopTask calls a second, in each region; empty: no limit")
    stop_task_burst: float = Field(40.0, ge=1, description="StopTask calls that may come at once")
    max_tasks: Limit = Field(None, description="tasks at once in a cluster; empty: no limit")
    max_vcpus: Share = Field(None, description="vCPUs at once in a cluster; empty: no limit")
    max_tasks_per_org: Limit = Field(None, description="tasks at once of one org in a cluster; empty: no limit")
    max_vcpus_per_org: Share = Field(None, description="vCPUs at once of one org in a cluster; empty: no limit")


class LaunchSettings(Section):
    """How launches are made."""

    mode: Literal["queue", "direct"] = Field(
        "queue", description="queue, or direct: the launcher calls RunTask itself, without Redis, as Lambda needs it"
    )
    submit_timeout: Seconds = Field(
        60.0, gt=0, description="seconds that a direct launch, or one with wait='submitted', waits for its task's ARN"
    )


class Settings(BaseSettings):
    """Every setting of the product. Build it with :func:`load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
        enable_decoding=False,
    )

    redis: RedisSettings = RedisSettings()
    celery: CelerySettings = CelerySettings()
    aws: AwsSettings = AwsSettings()
    ecs: EcsSettings = EcsSettings()
    storage: StorageSettings = StorageSettings()
    records: RecordsSettings = RecordsSettings()
    bridge: BridgeSettings = BridgeSettings()
    dispatch: DispatchSettings = DispatchSettings()
    limits: LimitSettings = LimitSettings()
    launch: LaunchSettings = LaunchSettings()
    profiles: Profiles = Field({}, description="execution profiles by name, each with fields of a request")
    environments: Profiles = Field({}, description="defaults by environment name, each with fields of a request")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the flat names below the sectioned ones."""
        return init_settings, env_settings, FlatNames(settings_cls)


class FlatNames(PydanticBaseSettingsSource):
    """Reads the flat names of Dagy's guide."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return nothing for single fields: the whole is built by __call__."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the sections that flat names set."""
        values: dict[str, Any] = {}
        for name, path in FLAT_NAMES.items():
            section, key = path.split(".")
            if text := os.environ.get(name):
                values.setdefault(section, {}).setdefault(key, text)
        return values


def _is_known(name: str) -> bool:
    """Tell whether a variable names one of our sections; pydantic-settings would leave it out in silence."""
    return name.removeprefix(_PREFIX).split("__")[0].lower() in Settings.model_fields


def load_settings(**sections: Any) -> Settings:
    """Read the settings from the environment; ``sections`` (as nested dicts) win over it.

    Raises SettingsInvalid naming each wrong setting.
    """
    unknown = sorted(name for name in os.environ if name.startswith(_PREFIX) and not _is_known(name))
    if unknown:
        raise SettingsInvalid(
            f"no such settings: {', '.join(unknown)}; sections are {', '.join(Settings.model_fields)}"
        )
    try:
        return Settings(**sections)
    except ValidationError as exc:
        lines = "".join(
            f"\n  - {'.'.join(str(part) for part in error['loc'])} = {error.get('input')!r}: {error['msg']}"
            for error in exc.errors()
        )
        raise SettingsInvalid(f"settings cannot be used:{lines}") from exc


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()
