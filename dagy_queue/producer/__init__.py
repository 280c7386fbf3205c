"""What application code calls. It needs a Redis URL and nothing of AWS."""

from dagy_queue.producer.batch import BatchHandle, BatchProgress
from dagy_queue.producer.canvas import launch_sig
from dagy_queue.producer.fan_out import fan_out
from dagy_queue.producer.launcher import DagLauncher, launch, launch_container
from dagy_queue.producer.results import DagLaunchResult, RunStatusReport
from dagy_queue.producer.run import RunHandle
from dagy_queue.producer.shards import ShardResult

__all__ = [
    "BatchHandle",
    "BatchProgress",
    "DagLaunchResult",
    "DagLauncher",
    "RunHandle",
    "RunStatusReport",
    "ShardResult",
    "fan_out",
    "launch",
    "launch_container",
    "launch_sig",
]
