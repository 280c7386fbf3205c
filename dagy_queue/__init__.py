"""dagy_queue: an event-driven Celery queue for Python work on AWS ECS Fargate.

The public names; each is imported when it is first used, so that ``import dagy_queue`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagy_queue.errors import (
        AwsCapacity,
        AwsError,
        AwsRefused,
        AwsThrottled,
        AwsUnavailable,
        BatchNotFound,
        DagyQueueError,
        DeploymentNotFound,
        FlowerRefused,
        FlowNotFound,
        HealthCheckFailed,
        LedgerError,
        LocalStackError,
        NotRegistered,
        PackageNotFound,
        RedisUnavailable,
        RequestInvalid,
        ResultExpired,
        ResultTimeout,
        RunCancelled,
        RunFailed,
        RunNotFound,
        SettingsInvalid,
    )
    from dagy_queue.ledger import Phase, RunStatus
    from dagy_queue.messaging.shard_results import ShardResults
    from dagy_queue.outcomes import Kind, Outcome
    from dagy_queue.producer import (
        BatchHandle,
        BatchProgress,
        DagLauncher,
        DagLaunchResult,
        RunHandle,
        RunStatusReport,
        ShardResult,
        fan_out,
        launch,
        launch_container,
        launch_sig,
    )
    from dagy_queue.producer.celery_options import CeleryOptions
    from dagy_queue.producer.explanation import Explanation
    from dagy_queue.records.models import DeploymentModel, DepPackageModel, FlowModel, RunModel, TaskRunModel
    from dagy_queue.requests import ContainerRequest, LaunchRequest
    from dagy_queue.requests import LaunchRequest as DagLaunchRequest
    from dagy_queue.requests.sources import grid, lines, manifest, shard_range
    from dagy_queue.settings import Settings, load_settings

_HOME_OF = {
    "AwsCapacity": "dagy_queue.errors",
    "AwsError": "dagy_queue.errors",
    "AwsRefused": "dagy_queue.errors",
    "AwsThrottled": "dagy_queue.errors",
    "AwsUnavailable": "dagy_queue.errors",
    "BatchNotFound": "dagy_queue.errors",
    "DagyQueueError": "dagy_queue.errors",
    "DeploymentNotFound": "dagy_queue.errors",
    "FlowNotFound": "dagy_queue.errors",
    "FlowerRefused": "dagy_queue.errors",
    "HealthCheckFailed": "dagy_queue.errors",
    "LedgerError": "dagy_queue.errors",
    "LocalStackError": "dagy_queue.errors",
    "NotRegistered": "dagy_queue.errors",
    "PackageNotFound": "dagy_queue.errors",
    "RedisUnavailable": "dagy_queue.errors",
    "RequestInvalid": "dagy_queue.errors",
    "ResultExpired": "dagy_queue.errors",
    "ResultTimeout": "dagy_queue.errors",
    "RunCancelled": "dagy_queue.errors",
    "RunFailed": "dagy_queue.errors",
    "RunNotFound": "dagy_queue.errors",
    "SettingsInvalid": "dagy_queue.errors",
    "Phase": "dagy_queue.ledger",
    "RunStatus": "dagy_queue.ledger",
    "Kind": "dagy_queue.outcomes",
    "Outcome": "dagy_queue.outcomes",
    "BatchHandle": "dagy_queue.producer",
    "BatchProgress": "dagy_queue.producer",
    "DagLauncher": "dagy_queue.producer",
    "DagLaunchResult": "dagy_queue.producer",
    "RunStatusReport": "dagy_queue.producer",
    "ShardResult": "dagy_queue.producer",
    "ShardResults": "dagy_queue.messaging.shard_results",
    "RunHandle": "dagy_queue.producer",
    "fan_out": "dagy_queue.producer",
    "launch": "dagy_queue.producer",
    "launch_container": "dagy_queue.producer",
    "launch_sig": "dagy_queue.producer",
    "CeleryOptions": "dagy_queue.producer.celery_options",
    "Explanation": "dagy_queue.producer.explanation",
    "DepPackageModel": "dagy_queue.records.models",
    "DeploymentModel": "dagy_queue.records.models",
    "FlowModel": "dagy_queue.records.models",
    "RunModel": "dagy_queue.records.models",
    "TaskRunModel": "dagy_queue.records.models",
    "ContainerRequest": "dagy_queue.requests",
    "LaunchRequest": "dagy_queue.requests",
    "grid": "dagy_queue.requests.sources",
    "lines": "dagy_queue.requests.sources",
    "manifest": "dagy_queue.requests.sources",
    "shard_range": "dagy_queue.requests.sources",
    "Settings": "dagy_queue.settings",
    "load_settings": "dagy_queue.settings",
}
_ALIASES = {"DagLaunchRequest": "LaunchRequest"}

__version__ = "0.1.0"

__all__ = [
    "AwsCapacity",
    "AwsError",
    "AwsRefused",
    "AwsThrottled",
    "AwsUnavailable",
    "BatchHandle",
    "BatchNotFound",
    "BatchProgress",
    "CeleryOptions",
    "ContainerRequest",
    "DagLaunchRequest",
    "DagLaunchResult",
    "DagLauncher",
    "DagyQueueError",
    "DepPackageModel",
    "DeploymentModel",
    "DeploymentNotFound",
    "Explanation",
    "FlowModel",
    "FlowNotFound",
    "FlowerRefused",
    "HealthCheckFailed",
    "Kind",
    "LaunchRequest",
    "LedgerError",
    "LocalStackError",
    "NotRegistered",
    "Outcome",
    "PackageNotFound",
    "Phase",
    "RedisUnavailable",
    "RequestInvalid",
    "ResultExpired",
    "ResultTimeout",
    "RunCancelled",
    "RunFailed",
    "RunHandle",
    "RunModel",
    "RunNotFound",
    "RunStatus",
    "RunStatusReport",
    "Settings",
    "SettingsInvalid",
    "ShardResult",
    "ShardResults",
    "TaskRunModel",
    "__version__",
    "fan_out",
    "grid",
    "launch",
    "launch_container",
    "launch_sig",
    "lines",
    "load_settings",
    "manifest",
    "shard_range",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(_ALIASES.get(name, name))
    if home is None:
        raise AttributeError(f"module 'dagy_queue' has no attribute {name!r}")
    return getattr(import_module(home), _ALIASES.get(name, name))


def __dir__() -> list[str]:
    return sorted(__all__)
