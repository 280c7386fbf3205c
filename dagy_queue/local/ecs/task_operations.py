"""StopTask, DescribeTasks and ListTasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dagy_queue.local.ecs.arns import resource_of
from dagy_queue.local.ecs.clusters import Cluster, Clusters
from dagy_queue.local.ecs.config import LocalEcsConfig
from dagy_queue.local.ecs.faults import Faults
from dagy_queue.local.ecs.paging import page
from dagy_queue.local.ecs.reading import Json, invalid, text, texts
from dagy_queue.local.ecs.shapes import task_shape
from dagy_queue.local.ecs.task_store import TaskStore
from dagy_queue.local.ecs.tasks import Stop, Task
from dagy_queue.local.ecs.validation import LAUNCH_TYPES

MAX_DESCRIBED = 100
_NEVER_SEEN_WITH_STARTED_BY = ("family", "serviceName", "containerInstance", "launchType")


class TaskOperations:
    """What can be asked about tasks, and stopping them."""

    def __init__(
        self,
        config: LocalEcsConfig,
        clusters: Clusters,
        store: TaskStore,
        faults: Faults,
        stop: Callable[[Task, Stop], None],
    ) -> None:
        self._config = config
        self._clusters = clusters
        self._store = store
        self._faults = faults
        self._stop = stop

    @property
    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Json]]:
        """The operations answered here, by name."""
        return {"StopTask": self.stop, "DescribeTasks": self.describe, "ListTasks": self.list}

    def stop(self, request: Mapping[str, Any]) -> Json:
        """StopTask. A task that has stopped is answered as it is."""
        cluster = self._clusters.resolve(text(request, "cluster"))
        task = self._store.find(cluster.name, text(request, "task"))
        if task is None:
            raise invalid("The referenced task was not found.")
        self._stop(task, Stop("UserInitiated", text(request, "reason") or "Task stopped by user"))
        return {"task": task_shape(task)}

    def describe(self, request: Mapping[str, Any]) -> Json:
        """DescribeTasks. Tasks that ECS does not know, or knows no longer, are failures, not errors."""
        cluster = self._clusters.resolve(text(request, "cluster"))
        wanted = texts(request, "tasks")
        if not wanted:
            raise invalid("Tasks cannot be empty.")
        if len(wanted) > MAX_DESCRIBED:
            raise invalid(f"Tasks can have at most {MAX_DESCRIBED} items; got {len(wanted)}.")
        include = texts(request, "include")
        tasks, failures = [], []
        for identifier in dict.fromkeys(wanted):
            task = self._store.find(cluster.name, identifier)
            if task is None or self._is_invisible(task):
                failures.append({"arn": self._arn(cluster, identifier), "reason": "MISSING"})
            else:
                tasks.append(task_shape(task, tags="TAGS" in include))
        return {"tasks": tasks, "failures": failures}

    def list(self, request: Mapping[str, Any]) -> Json:
        """ListTasks. ``startedBy`` goes with a desired status but, as ECS has it, with no other filter."""
        cluster = self._clusters.resolve(text(request, "cluster"))
        matches = self._filter(request)
        found = [(task.number, task.arn) for task in self._store.of_cluster(cluster.name) if matches(task)]
        arns, token = page(request, found)
        return {"taskArns": arns, **({"nextToken": token} if token else {})}

    def _filter(self, request: Mapping[str, Any]) -> Callable[[Task], bool]:
        started_by = text(request, "startedBy")
        if started_by and any(text(request, name) for name in _NEVER_SEEN_WITH_STARTED_BY):
            raise invalid("startedBy must be the only filter.")
        status = text(request, "desiredStatus", "RUNNING")
        if status not in ("RUNNING", "PENDING", "STOPPED"):
            raise invalid(f"Invalid desiredStatus '{status}'.")
        launch_type = text(request, "launchType")
        if launch_type and launch_type not in LAUNCH_TYPES:
            raise invalid(f"Invalid launch type '{launch_type}'.")
        if text(request, "serviceName") or text(request, "containerInstance"):
            return lambda _: False
        wanted = {"family": text(request, "family"), "started_by": started_by, "launch_type": launch_type}
        wanted = {name: value for name, value in wanted.items() if value} | {"desired_status": status}
        return lambda task: all(getattr(task, name) == value for name, value in wanted.items())

    def _is_invisible(self, task: Task) -> bool:
        """ECS is eventually consistent: a fault can make new tasks unknown for a while."""
        return self._config.clock() < task.created_at + self._faults.tasks.invisible_seconds

    def _arn(self, cluster: Cluster, identifier: str) -> str:
        if identifier.startswith("arn:"):
            return identifier
        return self._config.realm.task(cluster.name, resource_of(identifier).rpartition("/")[2])
