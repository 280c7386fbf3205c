"""How settings are spelled: in the environment, in the file and in messages; used by the other modules of this room."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

PREFIX = "DAGY_QUEUE__"
CONFIG_VARIABLE = "DAGY_QUEUE_CONFIG"
DEFAULT_FILE = "dagy-queue.toml"

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
    "DAGY_ORG_ID": "records.org_id",
    "AWS_REGION": "aws.region",
    "AWS_DEFAULT_REGION": "aws.region",
}
"""Flat environment names, and the setting each one sets. Where two set the same, the first listed wins."""


def variable(section: str, key: str = "") -> str:
    """Return the sectioned spelling of a setting in the environment."""
    return PREFIX + "__".join(filter(None, (section, key))).upper()


def nearest(name: str, known: Collection[str]) -> str:
    """Return the known name that is most like another; '' if none is."""
    return next(iter(get_close_matches(name.lower(), known, n=1)), "")


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return the nearest known name as a question, or all of them where none is near."""
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"there are {', '.join(known)}"
