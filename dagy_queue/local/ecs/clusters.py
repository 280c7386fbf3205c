"""Clusters: creating, describing, listing and deleting them, and finding the one a request means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dagy_queue.local.ecs.arns import Realm, resource_of
from dagy_queue.local.ecs.paging import page
from dagy_queue.local.ecs.reading import Json, invalid, items, text, texts
from dagy_queue.local.ecs.tags import read_tags, write_tags
from dagy_queue.local.ecs.task_store import TaskStore
from dagy_queue.local.ecs.validation import check_strategy
from dagy_queue.local.ports import AwsError

FARGATE_PROVIDERS = ("FARGATE", "FARGATE_SPOT")


@dataclass(slots=True, eq=False)
class Cluster:
    """One cluster."""

    name: str
    arn: str
    number: int
    capacity_providers: tuple[str, ...] = ()
    default_strategy: tuple[Mapping[str, Any], ...] = ()
    settings: tuple[Mapping[str, Any], ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    status: str = "ACTIVE"


class Clusters:
    """The clusters of the account. Those of the configuration have both Fargate capacity providers."""

    def __init__(self, realm: Realm, store: TaskStore, names: tuple[str, ...]) -> None:
        self._realm = realm
        self._store = store
        self._clusters: dict[str, Cluster] = {}
        for name in names:
            self._add(name).capacity_providers = FARGATE_PROVIDERS

    @property
    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Json]]:
        """The operations answered here, by name."""
        return {
            "CreateCluster": self.create,
            "DescribeClusters": self.describe,
            "ListClusters": self.list,
            "DeleteCluster": self.delete,
            "PutClusterCapacityProviders": self.put_capacity_providers,
        }

    def resolve(self, identifier: str) -> Cluster:
        """Return the active cluster of a name or ARN ("" is ``default``). Raises ClusterNotFoundException."""
        cluster = self.find(identifier)
        if cluster is None:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        if cluster.status != "ACTIVE":
            raise AwsError("ClusterNotFoundException", "The referenced cluster was inactive.")
        return cluster

    def find(self, identifier: str) -> Cluster | None:
        """Return the cluster of a name or ARN, active or not, or None."""
        return self._clusters.get(resource_of(identifier or "default").removeprefix("cluster/"))

    def create(self, request: Mapping[str, Any]) -> Json:
        """CreateCluster. An existing active cluster is returned as it is."""
        name = text(request, "clusterName") or "default"
        if len(name) > 255 or not name.replace("-", "").replace("_", "").isalnum():
            raise invalid("Invalid identifier: Identifiers can have 255 letters, digits, hyphens and underscores.")
        providers, strategy = self._read_providers(request)
        tags = read_tags(request)
        existing = self._clusters.get(name)
        if existing is None or existing.status != "ACTIVE":
            existing = self._add(name)
            existing.capacity_providers, existing.default_strategy = providers, strategy
            existing.settings, existing.tags = tuple(items(request, "settings")), tags
        return {"cluster": self._shape(existing, tags=True)}

    def put_capacity_providers(self, request: Mapping[str, Any]) -> Json:
        """PutClusterCapacityProviders."""
        cluster = self.resolve(text(request, "cluster"))
        cluster.capacity_providers, cluster.default_strategy = self._read_providers(request)
        return {"cluster": self._shape(cluster, tags=False)}

    def describe(self, request: Mapping[str, Any]) -> Json:
        """DescribeClusters."""
        names = texts(request, "clusters") or ("default",)
        if len(names) > 100:
            raise invalid("Clusters can have at most 100 items.")
        with_tags = "TAGS" in texts(request, "include")
        found, failures = [], []
        for name in names:
            cluster = self.find(name)
            if cluster is None:
                arn = name if name.startswith("arn:") else self._realm.cluster(name)
                failures.append({"arn": arn, "reason": "MISSING"})
            else:
                found.append(self._shape(cluster, tags=with_tags))
        return {"clusters": found, "failures": failures}

    def list(self, request: Mapping[str, Any]) -> Json:
        """ListClusters."""
        active = [(c.number, c.arn) for c in self._clusters.values() if c.status == "ACTIVE"]
        arns, token = page(request, active)
        return {"clusterArns": arns, **({"nextToken": token} if token else {})}

    def delete(self, request: Mapping[str, Any]) -> Json:
        """DeleteCluster. It stays describable as INACTIVE. Raises ClusterContainsTasksException."""
        cluster = self.resolve(text(request, "cluster"))
        if any(not task.is_stopped for task in self._store.of_cluster(cluster.name)):
            raise AwsError("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
        cluster.status = "INACTIVE"
        return {"cluster": self._shape(cluster, tags=False)}

    def _add(self, name: str) -> Cluster:
        self._clusters.pop(name, None)
        number = max((c.number for c in self._clusters.values()), default=-1) + 1
        cluster = Cluster(name, self._realm.cluster(name), number)
        self._clusters[name] = cluster
        return cluster

    def _read_providers(self, request: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[Mapping[str, Any], ...]]:
        providers = texts(request, "capacityProviders")
        for provider in providers:
            if provider not in FARGATE_PROVIDERS:
                raise invalid(f"The specified capacity provider '{provider}' was not found.")
        strategy = tuple(items(request, "defaultCapacityProviderStrategy"))
        check_strategy(strategy)
        check_associated(strategy, providers)
        return providers, strategy

    def _shape(self, cluster: Cluster, *, tags: bool) -> Json:
        tasks = list(self._store.of_cluster(cluster.name))
        running = sum(task.last_status == "RUNNING" for task in tasks)
        pending = sum(task.last_status in ("PROVISIONING", "PENDING", "ACTIVATING") for task in tasks)
        return {
            "clusterArn": cluster.arn,
            "clusterName": cluster.name,
            "status": cluster.status,
            "registeredContainerInstancesCount": 0,
            "runningTasksCount": running,
            "pendingTasksCount": pending,
            "activeServicesCount": 0,
            "statistics": [],
            "tags": write_tags(cluster.tags) if tags else [],
            "settings": list(cluster.settings),
            "capacityProviders": list(cluster.capacity_providers),
            "defaultCapacityProviderStrategy": list(cluster.default_strategy),
        }


def check_associated(strategy: tuple[Mapping[str, Any], ...], providers: tuple[str, ...]) -> None:
    """Raise if a strategy names a capacity provider that the cluster does not have."""
    for item in strategy:
        if text(item, "capacityProvider") not in providers:
            raise invalid(
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated "
                "with the cluster. Associate the capacity provider with the cluster and try again."
            )
