"""TagResource, UntagResource and ListTagsForResource, for clusters, task definitions and tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dagy_queue.local.ecs.arns import resource_of
from dagy_queue.local.ecs.clusters import Cluster, Clusters
from dagy_queue.local.ecs.reading import Json, invalid, text, texts
from dagy_queue.local.ecs.tags import merge_tags, read_tags, remove_tags, write_tags
from dagy_queue.local.ecs.task_definitions import Definition, TaskDefinitions
from dagy_queue.local.ecs.task_store import TaskStore
from dagy_queue.local.ecs.tasks import Task
from dagy_queue.local.ports import AwsError


class Tagging:
    """The tags of everything that has an ARN."""

    def __init__(self, clusters: Clusters, definitions: TaskDefinitions, store: TaskStore) -> None:
        self._clusters = clusters
        self._definitions = definitions
        self._store = store

    @property
    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Json]]:
        """The operations answered here, by name."""
        return {"TagResource": self.tag, "UntagResource": self.untag, "ListTagsForResource": self.list}

    def tag(self, request: Mapping[str, Any]) -> Json:
        """TagResource."""
        resource = self._find(request)
        resource.tags = merge_tags(resource.tags, read_tags(request))
        return {}

    def untag(self, request: Mapping[str, Any]) -> Json:
        """UntagResource."""
        resource = self._find(request)
        resource.tags = remove_tags(resource.tags, texts(request, "tagKeys"))
        return {}

    def list(self, request: Mapping[str, Any]) -> Json:
        """ListTagsForResource."""
        return {"tags": write_tags(self._find(request).tags)}

    def _find(self, request: Mapping[str, Any]) -> Cluster | Definition | Task:
        arn = text(request, "resourceArn")
        if not arn.startswith("arn:"):
            raise invalid(f"Invalid ARN: '{arn}'.")
        match resource_of(arn).split("/"):
            case ["cluster", _]:
                return self._clusters.resolve(arn)
            case ["task-definition", _]:
                definition = self._definitions.find(arn)
                if definition is not None:
                    return definition
            case ["task", cluster, _]:
                task = self._store.find(cluster, arn)
                if task is not None:
                    return task
        raise AwsError("ResourceNotFoundException", f"The specified resource was not found: {arn}")
