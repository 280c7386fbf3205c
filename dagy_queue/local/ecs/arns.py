"""Names of things: building and reading ECS ARNs (pure)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Realm:
    """The account and region every ARN of this ECS belongs to."""

    account: str
    region: str
    partition: str = "aws"

    def arn(self, resource: str) -> str:
        """Return the ECS ARN of a resource such as ``cluster/default``."""
        return f"arn:{self.partition}:ecs:{self.region}:{self.account}:{resource}"

    def cluster(self, name: str) -> str:
        """Return a cluster's ARN."""
        return self.arn(f"cluster/{name}")

    def task(self, cluster: str, task_id: str) -> str:
        """Return a task's ARN in the long format, which names the cluster."""
        return self.arn(f"task/{cluster}/{task_id}")

    def container(self, cluster: str, task_id: str, container_id: str) -> str:
        """Return the ARN of a container of a task."""
        return self.arn(f"container/{cluster}/{task_id}/{container_id}")

    def task_definition(self, family: str, revision: int) -> str:
        """Return the ARN of one revision of a task definition."""
        return self.arn(f"task-definition/{family}:{revision}")


def resource_of(identifier: str) -> str:
    """Return the resource part of an ARN (``task/default/ab12``), or the identifier itself if it is no ARN."""
    if not identifier.startswith("arn:"):
        return identifier
    return identifier.split(":", 5)[-1]


def new_uuid(rng: Random) -> str:
    """Return a random UUID from the given source, so that a seed repeats a whole run."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def new_task_id(rng: Random) -> str:
    """Return a new task id: 32 hexadecimal digits."""
    return f"{rng.getrandbits(128):032x}"
