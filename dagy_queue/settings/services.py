"""Settings of the product's own processes: bridge, reconciler, monitor, dispatcher, quotas, launcher, API."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from dagy_queue.requests.durations import Seconds, WholeSeconds
from dagy_queue.requests.models import LaunchRequest
from dagy_queue.requests.parsing import nearest
from dagy_queue.requests.refusals import allowed
from dagy_queue.settings.fields import Address, Limit, Names, Port, Section, Share
from dagy_queue.settings.tokens import Tokens


class BridgeSettings(Section):
    """The event consumer."""

    queue_url: str = Field("", description="SQS queue that the EventBridge rule delivers to")
    queue_name: str = Field("dagy-task-events", description="queue name, used where queue_url is empty")
    consumers: int = Field(2, ge=1, le=64, description="parallel receivers in one bridge process")
    wait_seconds: int = Field(20, ge=0, le=20, description="long poll; SQS allows at most 20 seconds")
    visibility_timeout: WholeSeconds = Field(
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
    health_host: Address = Field("127.0.0.1", description="address that serves /healthz and /metrics")
    health_port: Port = Field(None, description="port of /healthz and /metrics, 0 for any free one; empty: not served")


class ReconcilerSettings(Section):
    """What looks for runs that events missed, in one bridge at a time."""

    enabled: bool = Field(True, description="whether bridges reconcile; the same for all bridges")
    interval: Seconds = Field(10.0, gt=0, description="seconds between two looks")
    silence: Seconds = Field(600.0, gt=0, description="seconds without an event after which a task is described")
    missing_grace: Seconds = Field(300.0, ge=0, description="seconds in which ECS may not find a new task yet")
    message_patience: Seconds = Field(60.0, gt=0, description="seconds after which a message may count as lost")
    longest_pass: Seconds = Field(
        600.0,
        gt=0,
        description="seconds after which a dispatcher's task counts as dead, of a run's without a sign of life; the "
        "same for bridges and dispatchers",
    )
    search_after: Seconds = Field(
        30.0, ge=0, description="seconds until the task of an unanswered launch is looked for"
    )
    sweep_interval: Seconds = Field(900.0, gt=0, description="seconds between two searches for tasks that no run owns")
    stop_orphans: bool = Field(False, description="whether tasks of ours that the ledger does not know are stopped")


class MonitorSettings(Section):
    """What monitors such as Flower are told of runs."""

    events: bool = Field(
        True,
        description="whether bridges send Celery task events of runs, which Flower shows; the same for all processes",
    )
    events_per_second: float = Field(
        500.0, gt=0, description="task events a second; of runs that change faster, only where they stand by then"
    )
    most_orgs: int = Field(
        50,
        ge=1,
        description="orgs that have metrics of their own, those with the most runs; the others are one together",
    )


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
    visibility_timeout: WholeSeconds = Field(
        3600, ge=60, description="broker visibility timeout in seconds, 60 or more"
    )
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
    failure_log_lines: int = Field(
        20,
        ge=0,
        le=100,
        description="last lines of a failed run's log that its outcome carries; 0 reads none. A dispatcher reads two "
        "logs a second at most",
    )
    check_health_on_startup: bool = Field(
        True, description="whether a dispatcher checks Redis, AWS, the cluster and the settings before it starts"
    )
    metrics_host: Address = Field("127.0.0.1", description="address that serves a dispatcher's /metrics")
    metrics_port: Port = Field(
        None, description="port of a dispatcher's /metrics, 0 for any free one; empty: not served"
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


class ApiSettings(Section):
    """The HTTP API."""

    host: Address = Field("127.0.0.1", description="address it listens on; beyond loopback only with tokens")
    port: int = Field(8080, ge=0, le=65_535, description="port it listens on; 0 for any free one")
    tokens: Tokens = Field(
        {},
        description='who may call it, as JSON: `{"<org>": ["<SHA-256 of a token, in hex>"]}`; empty: whoever is on '
        "this machine, for any org",
    )
    extra_fields: Names = Field(
        (),
        description="fields of a launch that callers may set besides those that say what runs and how large, such as "
        "secrets_env; and manifest",
    )
    max_body: int = Field(6 * 1024 * 1024, ge=1024, description="bytes of the largest request; Lambda takes 6 MiB")
    max_shards: int = Field(10_000, ge=1, description="shards of the largest batch")

    @field_validator("extra_fields")
    @classmethod
    def _check_fields(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = LaunchRequest.model_fields.keys() | {"manifest"}
        if unknown := [f"{name} is no field of a flow's launch{nearest(name)}" for name in value if name not in known]:
            raise allowed("; ".join(unknown))
        return value
