"""botocore clients, made in one place: one per service and process, with timeouts and retries that fit the use.

RunTask, StopTask and the bridge have retry policies of their own (leases, redelivery), so botocore is told to
make one attempt for ECS and few for the rest.
"""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from dagy_queue.aws.errors import mapped
from dagy_queue.aws.sessions import new_session
from dagy_queue.errors import AwsRefused
from dagy_queue.settings import AwsSettings

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

LONG_POLL_TIMEOUT = 25.0
"""Seconds: SQS answers an empty long poll after 20 at most (SQS API reference, ReceiveMessage, WaitTimeSeconds)."""


class AwsClients:
    """The clients of one process. Threads may share them (botocore clients are thread-safe)."""

    def __init__(self, settings: AwsSettings, *, max_connections: int = 64) -> None:
        self._settings = settings
        self._max_connections = max_connections
        self._regions: dict[str, AwsClients] = {settings.region: self}
        self._lock = Lock()

    def in_region(self, region: str) -> AwsClients:
        """Return the clients of a region; these are their own region's."""
        with self._lock:
            if region not in self._regions:
                settings = self._settings.model_copy(update={"region": region})
                self._regions[region] = AwsClients(settings, max_connections=self._max_connections)
            return self._regions[region]

    @cached_property
    def ecs(self) -> ECSClient:
        """For RunTask and StopTask: one attempt; the pump decides what happens next."""
        return cast("ECSClient", self.client("ecs", attempts=1))

    @cached_property
    def ecs_control(self) -> ECSClient:
        """For task definitions and descriptions: apart from RunTask's, so that neither slows the other."""
        return cast("ECSClient", self.client("ecs", attempts=5))

    @cached_property
    def s3(self) -> S3Client:
        """For artifacts and results."""
        return cast("S3Client", self.client("s3", attempts=5))

    @cached_property
    def sqs(self) -> SQSClient:
        """For the bridge. The read timeout leaves room for a 20 s long poll, whatever the settings say."""
        patience = max(self._settings.read_timeout, LONG_POLL_TIMEOUT)
        return cast("SQSClient", self.client("sqs", attempts=2, read_timeout=patience))

    @cached_property
    def logs(self) -> CloudWatchLogsClient:
        """For reading containers' logs: one attempt; its callers wait when they are throttled."""
        return cast("CloudWatchLogsClient", self.client("logs", attempts=1))

    def client(self, service: str, attempts: int, *, read_timeout: float | None = None) -> Any:
        """Make a client of another service; ``read_timeout`` is the settings' unless given, in seconds.

        Raises AwsRefused if none can be made.
        """
        from botocore.config import Config

        config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=self._settings.connect_timeout,
            read_timeout=read_timeout or self._settings.read_timeout,
            max_pool_connections=self._max_connections,
        )
        with mapped(f"{service}:client"):
            try:
                session = new_session(region_name=self._settings.region)
                return session.client(service, config=config)  # type: ignore[call-overload]
            except ValueError as exc:
                raise AwsRefused(f"{service}: no client can be made: {exc}; check AWS_ENDPOINT_URL") from exc
