"""The EventBridge rule that feeds the bridge: its pattern, shared by infrastructure, the local stack and doctor."""

from __future__ import annotations

from typing import Any

from dagy_queue.ids import STARTED_BY_PREFIX

RULE_NAME = "dagy-task-state-change"


def event_pattern(cluster_arn: str) -> dict[str, Any]:
    """Return the pattern that matches state changes of our tasks in one cluster, and of nothing else."""
    return {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "clusterArn": [cluster_arn],
            "startedBy": [{"prefix": STARTED_BY_PREFIX}],
        },
    }
