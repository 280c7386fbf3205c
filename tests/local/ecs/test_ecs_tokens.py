"""clientToken: one launch for one token, as long as AWS remembers it."""

from __future__ import annotations

import asyncio

import pytest
from ecs_kit import SPOT, Clock, Kit, run_request, simulated

HOUR = 3600.0
LONG = {"containerOverrides": [{"name": "worker", "environment": [{"name": "STUB_SECONDS", "value": "60"}]}]}


def test_the_same_token_and_parameters_give_the_first_answer_again() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        request = run_request(clientToken="once", count=3)
        first = await kit.call("RunTask", **request)
        await kit.bus.stopped(first["tasks"][0]["taskArn"])
        assert await kit.call("RunTask", **request) == first
        stats = await kit.ecs.admin("stats", {})
        assert (stats["tasks_created"], stats["token_replays"]) == (3, 1)

    simulated(test)


def test_two_calls_at_once_make_one_task() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        calls = [kit.run(clientToken="once") for _ in range(10)]
        assert len({task["taskArn"] for task in await asyncio.gather(*calls)}) == 1

    simulated(test, api_latency_seconds=0.01, faults={"operations": {"RunTask": {"delay_before": 0.01}}})


def test_other_parameters_conflict_and_name_the_tasks_there_are() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        first = await kit.call("RunTask", **run_request(clientToken="once", count=2))
        error = await kit.refusal("RunTask", **run_request(clientToken="once", count=2, startedBy="other"))
        assert (error.code, error.status) == ("ConflictException", 400)
        assert error.fields["resourceIds"] == [task["taskArn"] for task in first["tasks"]]

    simulated(test)


def test_a_token_belongs_to_its_cluster() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        tasks = [await kit.run(clientToken="once", cluster=name) for name in ("default", "other", "default")]
        arns = [task["taskArn"] for task in tasks]
        assert arns[0] == arns[2] != arns[1]
        by_arn = await kit.run(clientToken="once", cluster="arn:aws:ecs:us-east-1:000000000000:cluster/other")
        assert by_arn["taskArn"] == arns[1]

    simulated(test, clusters=("default", "other"))


def test_a_token_is_free_again_an_hour_after_its_task_stopped() -> None:
    clock = Clock()

    async def test(kit: Kit) -> None:
        await kit.register()
        first = await kit.run(clientToken="once")
        await kit.bus.stopped(first["taskArn"])
        clock.now += HOUR - 1
        assert (await kit.run(clientToken="once"))["taskArn"] == first["taskArn"]
        clock.now += 1
        assert (await kit.run(clientToken="once"))["taskArn"] != first["taskArn"]

    simulated(test, clock=clock)


def test_a_token_is_free_again_after_a_day_even_if_its_task_runs_on() -> None:
    clock = Clock()

    async def test(kit: Kit) -> None:
        await kit.register()
        first = await kit.run(clientToken="once", overrides=LONG)
        clock.now += 24 * HOUR - 1
        assert (await kit.run(clientToken="once", overrides=LONG))["taskArn"] == first["taskArn"]
        clock.now += 1
        assert (await kit.run(clientToken="once", overrides=LONG))["taskArn"] != first["taskArn"]

    simulated(test, clock=clock)


def test_failures_are_replayed_too() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await kit.ecs.admin("faults", {"operations": {"RunTask": {"capacity_next": 1}}})
        first = await kit.call("RunTask", **run_request(clientToken="once"))
        assert first["failures"]
        assert await kit.call("RunTask", **run_request(clientToken="once")) == first

    simulated(test)


@pytest.mark.parametrize("fault", ["throttle_next", "hidden_throttle_next", "server_error_next"])
def test_a_call_that_failed_leaves_its_token_free(fault: str) -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await kit.ecs.admin("faults", {"operations": {"RunTask": {fault: 1}}})
        await kit.refusal("RunTask", **run_request(clientToken="once"))
        await kit.run(clientToken="once", **SPOT)

    simulated(test)


def test_a_token_outlives_its_task_definition() -> None:
    async def test(kit: Kit) -> None:
        arn = await kit.register()
        first = await kit.run(arn, clientToken="once")
        await kit.call("DeregisterTaskDefinition", taskDefinition=arn)
        assert (await kit.run(arn, clientToken="once"))["taskArn"] == first["taskArn"]
        assert (await kit.refusal("RunTask", **run_request(arn))).message == "TaskDefinition is inactive"

    simulated(test)
