"""The runs of the chaos: batches with callbacks and single launches, and how each of them must end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from celery.canvas import Signature

from dagy_queue import BatchHandle, ContainerRequest, DagLauncher, RunStatus, fan_out
from dagy_queue.ids import new_id, shard_id
from scripts.chaos_support.application import QUEUE

ORGS = ("acme", "beta", "gamma")
SHARDS = 500
"""Shards of a batch at most."""
SINGLE_SHARE = 10
"""One run of so many is launched by itself."""
FAILING_SHARE = 20
"""One run of so many fails, and fails again."""


@dataclass(slots=True)
class Workload:
    """What was published: every run with the status it must end in, and the batches."""

    expected: dict[str, RunStatus] = field(default_factory=dict)
    batches: list[BatchHandle] = field(default_factory=list)
    failing: dict[str, int] = field(default_factory=dict)
    """How many shards of each batch fail."""
    singles: list[str] = field(default_factory=list)


def publish(launcher: DagLauncher, runs: int, rng: random.Random) -> Workload:
    """Publish the runs."""
    workload = Workload()
    singles = runs // SINGLE_SHARE
    for size in _sizes(runs - singles, min(SHARDS, max(1, runs // SINGLE_SHARE))):
        _publish_batch(launcher, workload, size, rng)
    for _ in range(singles):
        command, status = _one(rng)
        run = launcher.enqueue(_request(rng), command=command)
        workload.expected[run.run_id] = status
        workload.singles.append(run.run_id)
    return workload


def _sizes(runs: int, most: int) -> Iterator[int]:
    while runs > 0:
        yield min(most, runs)
        runs -= most


def _publish_batch(launcher: DagLauncher, workload: Workload, size: int, rng: random.Random) -> None:
    drawn = [_one(rng) for _ in range(size)]
    batch_id = new_id()
    batch = fan_out(
        _request(rng),
        [{"command": command} for command, _ in drawn],
        batch_id=batch_id,
        tolerate="100%",
        max_parallel=rng.choice([None, 200]),
        callback=Signature("chaos.note", kwargs={"key": batch_id}, options={"queue": QUEUE}),
        launcher=launcher,
    )
    workload.batches.append(batch)
    workload.failing[batch_id] = sum(status is RunStatus.FAILED for _, status in drawn)
    workload.expected.update({shard_id(batch_id, n): status for n, (_, status) in enumerate(drawn)})


def _request(rng: random.Random) -> ContainerRequest:
    return ContainerRequest(
        org_id=rng.choice(ORGS), image="dagy-local/stub:latest", max_retries=1, retry_delay=0.1, timeout=3600
    )


def _one(rng: random.Random) -> tuple[list[Any], RunStatus]:
    """Draw what a container does: how long it runs, and its exit code."""
    fails = rng.randrange(FAILING_SHARE) == 0
    command = [f"{rng.uniform(0, 2):.2f}", "3" if fails else "0"]
    return command, RunStatus.FAILED if fails else RunStatus.SUCCEEDED
