"""Task definitions as values: hashed, registered once, launched by full ARN.

The family carries the hash, so a cold start finds what another process registered. RegisterTaskDefinition allows one
call a second, so a lock in the ledger lets one dispatcher register while the others wait for its answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import LockError
from redis.lock import Lock

from dagy_queue.aws.errors import mapped
from dagy_queue.errors import AwsRefused
from dagy_queue.ledger import RedisConnection
from dagy_queue.settings import EcsSettings

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient

_HASH_LENGTH = 16
_LOCK_SECONDS = 5.0
"""How long the holder of the lock may take. One that died is waited for no longer: a revision too many does no harm."""
_REMEMBERED_SECONDS = 7 * 86_400


def worker_definition(ecs: EcsSettings, image: str, region: str) -> dict[str, Any]:
    """Return the task definition of an image, without its family."""
    container: dict[str, Any] = {
        "name": ecs.container_name,
        "image": image,
        "essential": True,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": ecs.log_group,
                "awslogs-region": region,
                "awslogs-stream-prefix": ecs.log_stream_prefix,
            },
        },
    }
    definition: dict[str, Any] = {
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": str(ecs.cpu),
        "memory": str(ecs.memory),
        "containerDefinitions": [container],
    }
    if ecs.execution_role_arn:
        definition["executionRoleArn"] = ecs.execution_role_arn
    if ecs.task_role_arn:
        definition["taskRoleArn"] = ecs.task_role_arn
    return definition


def definition_hash(definition: Mapping[str, Any]) -> str:
    """Return the hash of a definition's content."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


class TaskDefinitions:
    """Gives the ARN of a definition, registering it if nobody has."""

    def __init__(self, ecs: ECSClient, redis: RedisConnection, family: str) -> None:
        self._ecs = ecs
        self._redis = redis
        self._family = family
        self._arns: dict[str, str] = {}
        self._lock = threading.Lock()

    def arn(self, definition: Mapping[str, Any]) -> str:
        """Return the full ARN. Raises an AwsError if ECS refuses the definition or cannot be asked."""
        digest = definition_hash(definition)
        if digest in self._arns:
            return self._arns[digest]
        with self._lock:
            if digest not in self._arns:
                self._arns[digest] = self._known(digest) or self._register_once(digest, definition)
            return self._arns[digest]

    def forget(self, arn: str) -> None:
        """Drop an ARN that ECS no longer accepts."""
        for digest in [d for d, a in self._arns.items() if a == arn]:
            del self._arns[digest]
            with self._redis.errors():
                self._redis.client.delete(self._key(digest))

    def _register_once(self, digest: str, definition: Mapping[str, Any]) -> str:
        lock = Lock(self._redis.client, self._key(digest, "lock"), timeout=_LOCK_SECONDS)
        with self._redis.errors():
            locked = lock.acquire(blocking_timeout=_LOCK_SECONDS)
        try:
            arn = self._known(digest) or self._described(digest) or self._register(digest, definition)
            with self._redis.errors():
                self._redis.client.set(self._key(digest), arn, ex=_REMEMBERED_SECONDS)
        finally:
            if locked:
                with self._redis.errors(), contextlib.suppress(LockError):
                    lock.release()
        return arn

    def _known(self, digest: str) -> str | None:
        with self._redis.errors():
            return cast("str | None", self._redis.client.get(self._key(digest)))

    def _described(self, digest: str) -> str | None:
        try:
            with mapped("ecs:DescribeTaskDefinition"):
                found = self._ecs.describe_task_definition(taskDefinition=self._name(digest))
        except AwsRefused:
            return None
        return found["taskDefinition"].get("taskDefinitionArn")

    def _register(self, digest: str, definition: Mapping[str, Any]) -> str:
        with mapped("ecs:RegisterTaskDefinition"):
            answer = self._ecs.register_task_definition(family=self._name(digest), **definition)
        return answer["taskDefinition"]["taskDefinitionArn"]

    def _name(self, digest: str) -> str:
        return f"{self._family}-{digest}"

    def _key(self, digest: str, *parts: str) -> str:
        return self._redis.key("taskdef", digest, *parts)
