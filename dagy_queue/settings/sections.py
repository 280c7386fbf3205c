"""The sections of the settings and every setting in them, with its default, its limits and what it is.

``docs/settings.md`` is made from this module.
"""

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
    LevelFields,
    Limit,
    Names,
    Port,
    Section,
    Share,
    read_json,
)

_REDIS_URL = r"^(rediss?|unix|sentinel)://."


class RedisSettings(Section):
    """The broker, the result backend and the ledger: one Redis, one database."""

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        pattern=_REDIS_URL,
        description="redis://, rediss:// or unix:// URL with a database number; with Sentinel, "
        "sentinel:// and the addresses of all sentinels, with a semicolon between two",
    )
    result_url: str = Field("", pattern=f"^$|{_REDIS_URL}", description="result backend; empty: the same as url")
    sentinel_master: str = Field("mymaster", description="name of the master that the sentinels watch")
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
    enabled: bool = Field(True, description="whether the bridge writes the runs' records; the same for all bridges")
    linger: Seconds = Field(
        1.0, ge=0, le=60, description="seconds in which the bridge collects changes before it writes them together"
    )
    latest_ttl: Seconds = Field(10.0, ge=0, description="seconds a dispatcher remembers what 'latest' resolved to")


class BridgeSettings(Section):
    """The event consumer."""

    queue_url: str = Field("", description="SQS queue that the EventBridge rule delivers to")
    queue_name: str = Field("dagy-task-events", description="queue name, used where queue_url is empty")
    consumers: int = Field(2, ge=1, le=64, description="parallel receivers in one bridge process")
    wait_seconds: int = Field(20, ge=0, le=20, description="long poll; SQS allows at most 20 seconds")
    visibility_timeout: int = Field(
        60, ge=1, le=43_200, description="seconds a received message stays hidden; prolonged while it is worked on"
    )
    max_receives: int = Field(
        5,
        ge=1,
        le=1000,
        description="receives after which a message that cannot be applied goes to the dead-letter queue, with its "
        "reason; keep it below the redrive policy's maxReceiveCount",
    )
    dead_letter_url: str = Field("", description="dead-letter queue; empty: the one of the queue's redrive policy")
    stop_grace: Seconds = Field(
        5.0, ge=0, description="seconds that messages in hand may take after SIGTERM; then they are given back"
    )
    health_host: str = Field("127.0.0.1", description="address that serves /healthz and /metrics")
    health_port: Port = Field(None, description="port of /healthz and /metrics, 0 for any free one; empty: not served")


class ReconcilerSettings(Section):
    """What looks for runs that events missed, in one bridge at a time."""

    enabled: bool = Field(True, description="whether bridges reconcile; the same for all bridges")
    interval: Seconds = Field(10.0, gt=0, description="seconds between two looks")
    silence: Seconds = Field(600.0, gt=0, description="seconds without an event after which a task is described")
    missing_grace: Seconds = Field(300.0, ge=0, description="seconds in which ECS may not find a new task yet")
    message_patience: Seconds = Field(60.0, gt=0, description="seconds after which a message may count as lost")
    longest_pass: Seconds = Field(600.0, gt=0, description="seconds after which a dispatcher's task counts as dead")
    search_after: Seconds = Field(
        30.0, ge=0, description="seconds until the task of an unanswered launch is looked for"
    )
    sweep_interval: Seconds = Field(900.0, gt=0, description="seconds between two searches for tasks that no run owns")
    stop_orphans: bool = Field(False, description="whether tasks of ours that the ledger does not know are stopped")


class DispatchSettings(Section):
    """The dispatcher and its pump."""

    concurrency: int = Field(16, ge=1, description="threads that park and finish runs")
    launch_threads: int = Field(32, ge=1, description="threads that call RunTask")
    lease_seconds: Seconds = Field(60.0, gt=0, description="seconds a run may be in submission before it is taken back")
    stop_seconds: Seconds = Field(
        25.0,
        gt=0,
        description="seconds in which a dispatcher that is told to stop finishes or hands back what is in hand; "
        "below ECS's stopTimeout, 30 unless it is set",
    )
    idle_wait_seconds: Seconds = Field(20.0, gt=0, description="seconds of the longest blocking wait of an idle pump")
    throttle_delay: Seconds = Field(1.0, gt=0, description="seconds a throttled launch waits, doubled up to 60")
    visibility_timeout: int = Field(3600, ge=60, description="broker visibility timeout in seconds")
    start_timeout: Seconds = Field(
        3600.0,
        gt=0,
        description="seconds after which a launch that AWS keeps refusing fails, and a task that does not start "
        "is stopped",
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


class Settings(Section):
    """Every setting of the product. ``Settings()`` is the defaults; :func:`load_settings` reads the rest."""

    redis: RedisSettings = RedisSettings()
    celery: CelerySettings = CelerySettings()
    aws: AwsSettings = AwsSettings()
    ecs: EcsSettings = EcsSettings()
    storage: StorageSettings = StorageSettings()
    records: RecordsSettings = RecordsSettings()
    bridge: BridgeSettings = BridgeSettings()
    reconciler: ReconcilerSettings = ReconcilerSettings()
    dispatch: DispatchSettings = DispatchSettings()
    limits: LimitSettings = LimitSettings()
    launch: LaunchSettings = LaunchSettings()
    profiles: dict[str, LevelFields] = Field({}, description="execution profiles: request fields by name")
    environments: dict[str, LevelFields] = Field(
        {}, description="defaults by environment: request fields by the environment's name"
    )


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
"""The sections with fixed keys, by name."""

NAMED_SETS = tuple(name for name in Settings.model_fields if name not in SECTIONS)
"""The sections whose keys are the user's: profiles and environments."""
