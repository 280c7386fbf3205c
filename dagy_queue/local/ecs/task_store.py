"""All tasks: by ARN, by id within a cluster, in order of creation; stopped ones are forgotten after an hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from dagy_queue.local.ecs.arns import resource_of
from dagy_queue.local.ecs.reading import invalid
from dagy_queue.local.ecs.tasks import Task


class TaskStore:
    """The tasks ECS still knows, with running totals for quotas and statistics."""

    def __init__(self, clock: Callable[[], float], retention_seconds: float) -> None:
        self._clock = clock
        self._retention = retention_seconds
        self._tasks: dict[tuple[str, str], Task] = {}
        self._stopped: deque[Task] = deque()
        self._containers: dict[str, tuple[Task, int]] = {}
        self.active = 0
        self._vcpus = {False: 0.0, True: 0.0}
        self._created = 0

    def next_number(self) -> int:
        """Return the next task's place in the order of creation."""
        self._created += 1
        return self._created

    def add(self, task: Task) -> None:
        """Take in a new task."""
        self._tasks[task.cluster_name, task.id] = task
        for index, container in enumerate(task.containers):
            self._containers[container.runtime_id] = (task, index)
        self.active += 1
        self._vcpus[task.is_spot] += task.vcpus

    def note_stopped(self, task: Task) -> None:
        """Free what a task took of the quotas; it stays visible for the retention time."""
        self.active -= 1
        self._vcpus[task.is_spot] -= task.vcpus
        self._stopped.append(task)

    def vcpus(self, *, spot: bool) -> float:
        """Return the vCPUs in use of one capacity type."""
        return self._vcpus[spot]

    def find(self, cluster: str, identifier: str) -> Task | None:
        """Return a task by its id or ARN. Raises InvalidParameterException for an ARN of another cluster."""
        self._forget_old()
        parts = resource_of(identifier).split("/")
        if len(parts) == 3 and parts[1] != cluster:
            raise invalid(f"Identifier is for {parts[1]}. Your cluster is {cluster}")
        return self._tasks.get((cluster, parts[-1]))

    def of_runtime(self, runtime_id: str) -> tuple[Task, int] | None:
        """Return the task of a container, and the container's index in it, by the container's runtime id."""
        return self._containers.get(runtime_id)

    def of_cluster(self, cluster: str) -> Iterator[Task]:
        """Iterate over a cluster's tasks, oldest first."""
        self._forget_old()
        return (task for task in self._tasks.values() if task.cluster_name == cluster)

    def alive(self) -> list[Task]:
        """Return all tasks that have not stopped."""
        return [task for task in self._tasks.values() if not task.is_stopped]

    def forget_stopped(self) -> None:
        """Forget all stopped tasks at once."""
        while self._stopped:
            self._forget(self._stopped.popleft())

    def _forget_old(self) -> None:
        horizon = self._clock() - self._retention
        while self._stopped and (self._stopped[0].stopped_at or 0.0) <= horizon:
            self._forget(self._stopped.popleft())

    def _forget(self, task: Task) -> None:
        self._tasks.pop((task.cluster_name, task.id), None)
        for container in task.containers:
            self._containers.pop(container.runtime_id, None)
