"""RunTask: validate, honour the client token, find capacity, and create the tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from dagy_queue.local.ecs.arns import new_task_id, new_uuid
from dagy_queue.local.ecs.buckets import Meters
from dagy_queue.local.ecs.clusters import Cluster, Clusters, check_associated
from dagy_queue.local.ecs.config import LocalEcsConfig
from dagy_queue.local.ecs.faults import CAPACITY_UNAVAILABLE, Faults, throttled
from dagy_queue.local.ecs.reading import Json, flag, integer, items, mapping, text
from dagy_queue.local.ecs.shapes import task_shape
from dagy_queue.local.ecs.stats import Stats
from dagy_queue.local.ecs.tags import merge_tags, read_tags
from dagy_queue.local.ecs.task_definitions import Definition, TaskDefinitions
from dagy_queue.local.ecs.task_store import TaskStore
from dagy_queue.local.ecs.tasks import SPOT, NetworkInterface, Task, TaskContainer
from dagy_queue.local.ecs.tokens import TokenLedger
from dagy_queue.local.ecs.validation import check_against_definition, check_run_task, effective_size

VCPU_LIMIT = "You’ve reached the limit on the number of vCPUs you can run concurrently"  # noqa: RUF001 - as AWS has it
PLATFORM_VERSION = "1.4.0"


@dataclass(frozen=True, slots=True)
class World:
    """The state RunTask reads and changes."""

    config: LocalEcsConfig
    clusters: Clusters
    definitions: TaskDefinitions
    store: TaskStore
    tokens: TokenLedger
    meters: Meters
    faults: Faults
    stats: Stats
    rng: Random


class RunTask:
    """The operation. It never yields to the event loop, so two calls with one token cannot both launch."""

    def __init__(self, world: World, start: Callable[[Task], None]) -> None:
        self._world = world
        self._start = start

    def __call__(self, request: Mapping[str, Any]) -> Json:
        """Answer a request with the tasks created and the failures met."""
        world = self._world
        check_run_task(request)
        read_tags(request)
        cluster = world.clusters.resolve(text(request, "cluster"))
        token = text(request, "clientToken")
        replay = world.tokens.find(cluster.name, token, request) if token else None
        if replay is not None:
            world.stats.token_replays += 1
            return replay
        definition = world.definitions.launchable(text(request, "taskDefinition"))
        strategy = _strategy(request, cluster)
        launch_type = _launch_type(request, strategy)
        check_against_definition(
            request,
            definition.document,
            fargate=launch_type == "FARGATE",
            platform_version=_platform_version(request),
        )
        answer, tasks = self._launch(request, cluster, definition, launch_type, strategy)
        if token:
            world.tokens.add(cluster.name, token, request, answer, tasks)
        for task in tasks:
            self._start(task)
        return answer

    def _launch(
        self,
        request: Mapping[str, Any],
        cluster: Cluster,
        definition: Definition,
        launch_type: str,
        strategy: tuple[Mapping[str, Any], ...],
    ) -> tuple[Json, list[Task]]:
        count = integer(request, "count", 1)
        providers = self._providers(strategy, count)
        if launch_type == "FARGATE":
            self._admit(providers)
        tasks, failures = [], []
        for provider in providers:
            task = self._new_task(request, cluster, definition, launch_type, provider)
            failure = self._lack_of_capacity(task)
            if failure:
                failures.append(failure)
                continue
            self._world.store.add(task)
            self._world.stats.note_created(task.created_at)
            tasks.append(task)
        return {"tasks": [task_shape(task, tags=True) for task in tasks], "failures": failures}, tasks

    def _providers(self, strategy: tuple[Mapping[str, Any], ...], count: int) -> list[str | None]:
        """Base first, then at random by weight."""
        if not strategy:
            return [None] * count
        chosen: list[str | None] = []
        for item in strategy:
            chosen += [item["capacityProvider"]] * integer(item, "base", 0)
        names = [item["capacityProvider"] for item in strategy]
        weights = [integer(item, "weight", 0) for item in strategy]
        missing = max(0, count - len(chosen))
        chosen += self._world.rng.choices(names, weights if any(weights) else None, k=missing)
        return chosen[:count]

    def _admit(self, providers: list[str | None]) -> None:
        meters = self._world.meters
        wanted = {spot: sum((p == SPOT) is spot for p in providers) for spot in (False, True)}
        if not all(meters.has_launches(count, spot=spot) for spot, count in wanted.items() if count):
            raise throttled()
        for spot, count in wanted.items():
            if count:
                meters.admit_launches(count, spot=spot)

    def _lack_of_capacity(self, task: Task) -> Json | None:
        """Return the failure that meets a task instead of its launch, or None. Fargate's carry no ARN."""
        config, store = self._world.config, self._world.store
        injected = self._world.faults.capacity_failure()
        if injected is not None:
            return self._failure(injected)
        if config.capacity is not None and store.active >= config.capacity:
            return self._failure(CAPACITY_UNAVAILABLE if task.launch_type == "FARGATE" else "RESOURCE:CPU")
        limit = config.spot_vcpu_limit if task.is_spot else config.vcpu_limit
        if limit is not None and store.vcpus(spot=task.is_spot) + task.vcpus > limit:
            return self._failure(VCPU_LIMIT)
        return None

    def _failure(self, reason: str) -> Json:
        if not reason.startswith("RESOURCE"):
            return {"reason": reason}
        instance = f"container-instance/{new_task_id(self._world.rng)}"
        return {"arn": self._world.config.realm.arn(instance), "reason": reason}

    def _new_task(
        self,
        request: Mapping[str, Any],
        cluster: Cluster,
        definition: Definition,
        launch_type: str,
        provider: str | None,
    ) -> Task:
        world = self._world
        task_id, number, now = new_task_id(world.rng), world.store.next_number(), world.config.clock()
        overrides = mapping(request, "overrides")
        cpu, memory = effective_size(overrides, definition.document)
        fargate = launch_type == "FARGATE"
        return Task(
            arn=world.config.realm.task(cluster.name, task_id),
            id=task_id,
            number=number,
            cluster_arn=cluster.arn,
            cluster_name=cluster.name,
            definition=definition.document,
            launch_type=launch_type,
            capacity_provider=provider,
            platform_version=_platform_version(request) if fargate else None,
            cpu=cpu,
            memory=memory,
            overrides=_whole_overrides(overrides, definition.document),
            group=text(request, "group") or f"family:{definition.family}",
            started_by=text(request, "startedBy") or None,
            availability_zone=world.config.region + "abc"[number % 3],
            enable_execute_command=flag(request, "enableExecuteCommand"),
            ephemeral_gib=_ephemeral(overrides, definition.document) if fargate else None,
            containers=self._containers(definition, cluster, task_id),
            network=self._network(request, number),
            created_at=now,
            updated_at=now,
            tags=_tags(request, cluster, definition),
        )

    def _containers(self, definition: Definition, cluster: Cluster, task_id: str) -> list[TaskContainer]:
        rng, realm = self._world.rng, self._world.config.realm
        return [
            TaskContainer(
                name=container["name"],
                arn=realm.container(cluster.name, task_id, new_uuid(rng)),
                image=container["image"],
                runtime_id=f"{task_id}-{rng.randrange(10**9, 10**10)}",
                essential=container["essential"],
                cpu=container["cpu"],
                memory=container.get("memory"),
                memory_reservation=container.get("memoryReservation"),
            )
            for container in definition.document["containerDefinitions"]
        ]

    def _network(self, request: Mapping[str, Any], number: int) -> NetworkInterface | None:
        vpc = mapping(mapping(request, "networkConfiguration"), "awsvpcConfiguration")
        if not vpc:
            return None
        low, high = number % 250 + 4, number // 250
        return NetworkInterface(
            attachment_id=new_uuid(self._world.rng),
            interface_id=f"eni-{self._world.rng.getrandbits(68):017x}",
            subnet=vpc["subnets"][number % len(vpc["subnets"])],
            mac=f"0a:58:0a:{high >> 8 & 255:02x}:{high & 255:02x}:{low:02x}",
            address=f"10.{high >> 8 & 255}.{high & 255}.{low}",
        )


def _strategy(request: Mapping[str, Any], cluster: Cluster) -> tuple[Mapping[str, Any], ...]:
    if text(request, "launchType"):
        return ()
    strategy = tuple(items(request, "capacityProviderStrategy")) or cluster.default_strategy
    check_associated(strategy, cluster.capacity_providers)
    return strategy


def _launch_type(request: Mapping[str, Any], strategy: tuple[Mapping[str, Any], ...]) -> str:
    return "FARGATE" if strategy else text(request, "launchType", "EC2")


def _platform_version(request: Mapping[str, Any]) -> str:
    version = text(request, "platformVersion", "LATEST")
    return PLATFORM_VERSION if version == "LATEST" else version


def _whole_overrides(overrides: Mapping[str, Any], definition: Mapping[str, Any]) -> Json:
    """Return the overrides as a task has them: every container is named, whether or not it was overridden."""
    whole = copy.deepcopy(dict(overrides))
    listed = whole.setdefault("containerOverrides", [])
    named = {override["name"] for override in listed}
    listed += [{"name": c["name"]} for c in definition["containerDefinitions"] if c["name"] not in named]
    whole.setdefault("inferenceAcceleratorOverrides", [])
    return whole


def _ephemeral(overrides: Mapping[str, Any], definition: Mapping[str, Any]) -> int:
    storage = overrides.get("ephemeralStorage") or definition.get("ephemeralStorage") or {"sizeInGiB": 20}
    return int(storage["sizeInGiB"])


def _tags(request: Mapping[str, Any], cluster: Cluster, definition: Definition) -> dict[str, str]:
    inherited = definition.tags if text(request, "propagateTags") == "TASK_DEFINITION" else {}
    managed = {"aws:ecs:clusterName": cluster.name} if flag(request, "enableECSManagedTags") else {}
    return {**managed, **merge_tags(inherited, read_tags(request))}
