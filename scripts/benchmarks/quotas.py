"""Launching against AWS's quotas: three dispatchers that share them, beside a bare boto3 pool that does not know them.

The local ECS keeps the quotas of a large region (RunTask calls 20/s burst 20, launches 20/s burst 100) and answers
after 40 ms. The ideal for N launches is (N - 20) / 20 seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from dagy_queue import fan_out
from dagy_queue.local.stack import LocalStack
from scripts.benchmarks.figures import Figure, measured
from scripts.benchmarks.scene import STUB, running_scene

LAUNCHES = 1000
RATE, BURST = 20, 20
LAUNCH_BURST = 100
DISPATCHERS = 3
THREADS = 32
WAIT = 600


def run() -> Iterator[Figure]:
    """Measure."""
    ideal = (LAUNCHES - BURST) / RATE
    with running_scene(limits="aws", simulate=True, api_latency_seconds=0.04) as scene:
        for _ in range(DISPATCHERS - 1):
            scene.stack.spawn("dispatcher", "--log-level=warning")
        fan_out(STUB, [{}] * 3).get(timeout=WAIT)
        _settle(scene.stack)
        with measured() as ours:
            fan_out(STUB, [{}] * LAUNCHES).get(timeout=WAIT)
        yield from _figures(scene.stack, f"{DISPATCHERS} dispatchers, {LAUNCHES:,} shards", ours.seconds, ideal)
        _settle(scene.stack)
        with measured() as bare:
            _bare_pool(scene.stack)
        yield from _figures(scene.stack, f"a bare boto3 pool of {THREADS} threads", bare.seconds, ideal)


def _settle(stack: LocalStack) -> None:
    """Wait until every bucket is full, and count anew."""
    # The larger bucket takes the longest, burst / rate; a second more for what is still on its way.
    time.sleep(max(BURST, LAUNCH_BURST) / RATE + 1)
    stack.admin("reset")


def _figures(stack: LocalStack, what: str, seconds: float, ideal: float) -> Iterator[Figure]:
    stats = stack.admin("stats")
    launched, throttled = stats["tasks_created"], stats["throttled"].get("RunTask", 0)
    yield Figure(f"{what}: elapsed over ideal", f"{seconds:.1f} s, {seconds / ideal:.3f}", "1.02")
    yield Figure(f"{what}: throttled calls a launch", f"{throttled / launched:.3%}", "0.5%")
    excess = worst_excess(stats["run_task_times"], RATE, BURST)
    yield Figure(f"{what}: most calls in any window over the quota", f"{excess:+.1f}", "0")


def worst_excess(times: list[float], rate: float, burst: float) -> float:
    """Return how many calls came beyond burst + rate x length, in the worst of all windows; negative is below."""
    worst, best_start = float("-inf"), float("-inf")
    for index, moment in enumerate(sorted(times)):
        best_start = max(best_start, rate * moment - index)
        worst = max(worst, index + 1 - rate * moment + best_start - burst)
    return worst


def _bare_pool(stack: LocalStack) -> None:
    arn = _definition(stack)
    client = boto3.client(
        "ecs",
        endpoint_url=stack.endpoint_url,
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=THREADS),
    )

    def launch(_: int) -> None:
        while True:
            try:
                client.run_task(cluster="dagy", taskDefinition=arn, launchType="FARGATE", networkConfiguration=_NETWORK)
            except ClientError as exc:
                if exc.response["Error"]["Code"] != "ThrottlingException":
                    raise
                time.sleep(0.5)
            else:
                return

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(launch, range(LAUNCHES)))


_NETWORK: Any = {"awsvpcConfiguration": {"subnets": ["subnet-0da6100a100a100a1"]}}


def _definition(stack: LocalStack) -> str:
    client = boto3.client("ecs", endpoint_url=stack.endpoint_url)
    return str(client.list_task_definitions()["taskDefinitionArns"][0])
