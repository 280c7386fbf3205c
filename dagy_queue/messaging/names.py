"""Names of queues, tasks and headers: one place, shared by everyone who sends or receives messages."""

from __future__ import annotations

LAUNCH_QUEUE = "dagy.launch"
FAN_OUT_QUEUE = "dagy.fanout"

LAUNCH_TASK = "dagy.launch"
FAN_OUT_TASK = "dagy.fan_out"
END_BATCH_TASK = "dagy.end_batch"
CANCEL_BATCH_TASK = "dagy.cancel_batch"

ATTEMPT_HEADER = "dagy_attempt"
"""Message header of a resumed task: which attempt's completion it came for. Without it, a pass is the first."""
RESUME_HEADER = "dagy_resume"
"""Message header of a resumed task: how often its run had been resumed. An older message than the last is stale."""
