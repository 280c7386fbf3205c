"""Injected faults, and what the hooks tell."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest
from ecs_kit import SPOT, Clock, Kit, equal, eventually, run_request, simulated

from dagy_queue.local.ecs import DroppedAnswer
from dagy_queue.local.ecs.faults import Faults
from dagy_queue.local.ports import AwsError

FOREVER = {"containerOverrides": [{"name": "worker", "environment": [{"name": "STUB_SECONDS", "value": "600"}]}]}


async def inject(kit: Kit, operation: str = "RunTask", **rule: Any) -> None:
    await kit.ecs.admin("faults", {"operations": {operation: rule}})


@pytest.mark.parametrize(
    ("fault", "code", "status", "message"),
    [
        ("throttle", "ThrottlingException", 400, "Rate exceeded"),
        ("hidden_throttle", "InvalidParameterException", 400, "Rate exceeded (ErrorCode: Throttling)"),
        ("server_error", "ServerException", 500, ""),
    ],
)
def test_calls_fail_as_often_as_told(fault: str, code: str, status: int, message: str) -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await inject(kit, **{f"{fault}_next": 2})
        for _ in range(2):
            error = await kit.refusal("RunTask", **run_request())
            assert (error.code, error.status) == (code, status)
            assert message in error.message
        await kit.run()
        stats = await kit.ecs.admin("stats", {})
        assert stats["throttled"] == ({} if status == 500 else {"RunTask": 2})
        assert (stats["errors"], stats["tasks_created"]) == ({code: 2}, 1)

    simulated(test)


def test_probabilities_follow_the_seed() -> None:
    def draws(seed: int) -> list[bool]:
        faults = Faults(Random(seed))
        faults.update({"operations": {"*": {"throttle_probability": 0.5}}})
        return [faults.judge("DescribeTasks").error is not None for _ in range(200)]

    assert draws(1) == draws(1) != draws(2)
    assert 60 < sum(draws(1)) < 140


def test_capacity_fails_with_status_200() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await inject(kit, capacity_next=2)
        answer = await kit.call("RunTask", **run_request(count=3))
        assert [len(answer["tasks"]), len(answer["failures"])] == [1, 2]
        assert all(f["reason"].startswith("Capacity is unavailable at this time") for f in answer["failures"])
        await inject(kit, capacity_next=1, capacity_reason="RESOURCE:ENI")
        failure = (await kit.call("RunTask", **run_request()))["failures"][0]
        assert failure["reason"] == "RESOURCE:ENI"
        assert ":container-instance/" in failure["arn"]

    simulated(test)


def test_capacity_is_taken_and_given_back() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        answer = await kit.call("RunTask", **run_request(count=3, overrides=FOREVER))
        assert [len(answer["tasks"]), len(answer["failures"])] == [2, 1]
        arn = answer["tasks"][0]["taskArn"]
        await kit.call("StopTask", task=arn)
        await kit.bus.stopped(arn)
        await kit.run(overrides=FOREVER)

    simulated(test, capacity=2)


def test_the_vcpu_quota_counts_each_capacity_type_for_itself() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        answer = await kit.call("RunTask", **run_request(count=3, overrides=FOREVER))
        assert [f["reason"] for f in answer["failures"]] == [
            "You’ve reached the limit on the number of vCPUs you can run concurrently"  # noqa: RUF001
        ]
        assert not (await kit.call("RunTask", **run_request(count=3, **SPOT)))["failures"]
        arn = answer["tasks"][0]["taskArn"]
        await kit.call("StopTask", task=arn)
        await kit.bus.stopped(arn)
        await kit.run(overrides=FOREVER)

    simulated(test, vcpu_limit=0.5, spot_vcpu_limit=1)


def test_an_answer_can_be_lost_after_the_work_is_done() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await inject(kit, drop_answer_next=1)
        with pytest.raises(DroppedAnswer):
            await kit.call("RunTask", **run_request(clientToken="t"))
        assert (await kit.ecs.admin("stats", {}))["tasks_created"] == 1
        await kit.run(clientToken="t")
        assert (await kit.ecs.admin("stats", {}))["tasks_created"] == 1

    simulated(test)


def test_answers_are_held_until_they_are_released() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await inject(kit, hold=True)
        calls = [asyncio.create_task(kit.run()) for _ in range(3)]
        await eventually(lambda: equal(kit.stat("held"), 3))
        assert (await kit.ecs.admin("stats", {}))["tasks_created"] == 3
        assert not any(call.done() for call in calls)
        assert await kit.ecs.admin("release", {"operation": "RunTask"}) == {"released": 1}
        await asyncio.gather(*calls)
        await kit.run()

    simulated(test)


def test_calls_can_be_delayed_before_and_after_the_decision() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        for when, created in (("delay_before", 0), ("delay_after", 1)):
            await kit.ecs.admin("reset", {})
            await inject(kit, **{when: 600.0, f"{when}_next": 1})
            call = asyncio.create_task(kit.run())
            await eventually(lambda: kit.ecs._stats.calls["RunTask"] == 1)
            await asyncio.sleep(0)
            assert (await kit.ecs.admin("stats", {}))["tasks_created"] == created
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await kit.run()

    simulated(test)


def test_every_answer_can_be_late() -> None:
    async def test(kit: Kit) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await kit.refusal("DescribeTasks")
        assert loop.time() - before >= 0.03

    simulated(test, api_latency_seconds=0.03)


def test_events_are_lost_and_repeated() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await kit.ecs.admin("faults", {"events": {"lose_probability": 1.0}})
        arn = (await kit.run())["taskArn"]
        await eventually(lambda: equal(kit.stat("events_lost"), 6))
        assert kit.bus.of(arn) == []
        await kit.ecs.admin("faults", {"events": {"lose_probability": 0.0, "duplicate_probability": 1.0}})
        arn = (await kit.run())["taskArn"]
        await kit.bus.stopped(arn)
        await eventually(lambda: len(kit.bus.of(arn)) == 12)
        assert set(Counter(detail["version"] for detail in kit.bus.of(arn)).values()) == {2}
        assert len({event["id"] for event in kit.bus.events}) == 6

    simulated(test)


def test_events_overtake_one_another() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await kit.ecs.admin("faults", {"events": {"reorder_probability": 0.5, "reorder_seconds": 0.05}})
        arns = [(await kit.run())["taskArn"] for _ in range(10)]
        await eventually(lambda: len(kit.bus.events) == 60)
        orders = [[detail["version"] for detail in kit.bus.of(arn)] for arn in arns]
        assert any(order != sorted(order) for order in orders)
        assert all(sorted(order) == [1, 2, 3, 4, 5, 6] for order in orders)

    simulated(test)


@pytest.mark.parametrize("by_rule", [True, False])
def test_a_spot_task_is_warned_and_then_stopped(by_rule: bool) -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        if by_rule:
            await kit.ecs.admin("faults", {"tasks": {"spot_interruption_next": 1}})
        on_demand = await kit.run(overrides=FOREVER)
        spot = await kit.run(overrides=FOREVER, **SPOT)
        await kit.bus.status(spot["taskArn"], "RUNNING")
        await kit.bus.status(on_demand["taskArn"], "RUNNING")
        if not by_rule:
            assert await kit.ecs.admin("interrupt", {}) == {"interrupted": [spot["taskArn"]]}
        stopped = await kit.bus.stopped(spot["taskArn"])
        warning = next(d for d in kit.bus.of(spot["taskArn"]) if d["desiredStatus"] == "STOPPED")
        assert (warning["lastStatus"], warning["stopCode"]) == ("RUNNING", "SpotInterruption")
        assert (stopped["stopCode"], stopped["stoppedReason"]) == (
            "SpotInterruption",
            "Your Spot Task was interrupted.",
        )
        assert stopped["containers"][0]["exitCode"] == 143
        assert stopped["capacityProviderName"] == "FARGATE_SPOT"
        assert (await kit.call("ListTasks"))["taskArns"] == [on_demand["taskArn"]]

    simulated(test)


def test_interruptions_can_name_their_tasks_or_their_number() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        arns = [(await kit.run(overrides=FOREVER, **SPOT))["taskArn"] for _ in range(3)]
        for arn in arns:
            await kit.bus.status(arn, "RUNNING")
        assert (await kit.ecs.admin("interrupt", {"tasks": [arns[2]]}))["interrupted"] == [arns[2]]
        await kit.bus.stopped(arns[2])
        assert (await kit.ecs.admin("interrupt", {"count": 1}))["interrupted"] == [arns[0]]

    simulated(test)


def test_a_start_fails_with_the_reason_given() -> None:
    async def test(kit: Kit) -> None:
        await kit.ecs.admin("faults", {"tasks": {"start_failure_next": 1}})
        first = await kit.outcome("dagy-local/stub")
        assert first["stopCode"] == "TaskFailedToStart"
        assert first["stoppedReason"] == "Timeout waiting for network interface provisioning to complete."
        reason = "Timeout waiting for EphemeralStorage provisioning to complete"
        await kit.ecs.admin("faults", {"tasks": {"start_failure_next": 1, "start_failure_reason": reason}})
        assert (await kit.outcome("dagy-local/stub"))["stoppedReason"] == reason
        assert (await kit.outcome("dagy-local/stub"))["stopCode"] == "EssentialContainerExited"

    simulated(test)


def test_a_pull_fails_with_the_reason_given() -> None:
    async def test(kit: Kit) -> None:
        await kit.ecs.admin("faults", {"tasks": {"pull_failure_next": 1, "pull_failure_reason": "CannotPull: x"}})
        task = await kit.outcome("dagy-local/stub")
        assert (task["stopCode"], task["stoppedReason"]) == ("TaskFailedToStart", "CannotPull: x")
        assert task["containers"][0]["reason"] == "CannotPull: x"
        assert "exitCode" not in task["containers"][0]

    simulated(test)


def test_a_task_is_stopped_for_the_reason_given() -> None:
    async def test(kit: Kit) -> None:
        rules = {"stop_next": 1, "stop_code": "InfrastructureHealth", "stop_reason": "the host is ill"}
        await kit.ecs.admin("faults", {"tasks": rules})
        await kit.register()
        stopped = await kit.bus.stopped((await kit.run(overrides=FOREVER))["taskArn"])
        assert (stopped["stopCode"], stopped["stoppedReason"]) == ("InfrastructureHealth", "the host is ill")

    simulated(test)


def test_the_exit_code_of_a_container_can_be_lost() -> None:
    async def test(kit: Kit) -> None:
        await kit.ecs.admin("faults", {"tasks": {"exit_lost_next": 1}})
        task = await kit.outcome("dagy-local/stub")
        assert "exitCode" not in task["containers"][0]
        assert (await kit.outcome("dagy-local/stub"))["containers"][0]["exitCode"] == 0

    simulated(test)


@pytest.mark.parametrize(("memory", "code"), [("512", 137), ("1024", 0)])
def test_tasks_with_too_little_memory_run_out_of_it(memory: str, code: int) -> None:
    async def test(kit: Kit) -> None:
        await kit.ecs.admin("faults", {"tasks": {"oom_below_memory": 1024}})
        await kit.register()
        overrides = {"cpu": "256", "memory": memory}
        command = {"containerOverrides": [{"name": "worker", "command": ["0.2", "0"]}]}
        stopped = await kit.bus.stopped((await kit.run(overrides=overrides | command))["taskArn"])
        assert stopped["containers"][0]["exitCode"] == code

    simulated(test)


def test_a_slow_start_can_be_stopped() -> None:
    async def test(kit: Kit) -> None:
        await kit.ecs.admin("faults", {"tasks": {"slow_start_next": 1, "slow_start_seconds": 600}})
        await kit.register()
        arn = (await kit.run())["taskArn"]
        await kit.bus.status(arn, "PROVISIONING")
        await kit.call("StopTask", task=arn)
        await kit.bus.stopped(arn)

    simulated(test)


def test_a_slow_start_ends_when_faults_are_lifted() -> None:
    async def test(kit: Kit) -> None:
        await kit.ecs.admin("faults", {"tasks": {"slow_start_next": 1, "slow_start_seconds": 600}})
        await kit.register()
        arn = (await kit.run())["taskArn"]
        await kit.bus.status(arn, "PROVISIONING")
        await kit.ecs.admin("reset", {})
        await kit.bus.status(arn, "RUNNING")

    simulated(test)


def test_a_new_task_can_be_unknown_for_a_while() -> None:
    clock = Clock()

    async def test(kit: Kit) -> None:
        await kit.ecs.admin("faults", {"tasks": {"invisible_seconds": 5}})
        await kit.register()
        arn = (await kit.run())["taskArn"]
        assert (await kit.call("DescribeTasks", tasks=[arn]))["failures"] == [{"arn": arn, "reason": "MISSING"}]
        clock.now += 5
        assert (await kit.call("DescribeTasks", tasks=[arn]))["tasks"]

    simulated(test, clock=clock)


def test_a_reset_lifts_everything() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await kit.ecs.admin("faults", {"operations": {"*": {"server_error_probability": 1.0}}, "seed": 3})
        await kit.refusal("ListTasks")
        await kit.ecs.admin("reset", {})
        await kit.run()
        assert (await kit.ecs.admin("stats", {}))["calls"] == {"RunTask": 1}

    simulated(test, faults={"tasks": {"oom_probability": 0.0}})


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("explode", {}),
        ("faults", {"operation": {}}),
        ("faults", {"operations": {"RunTask": {"throttel_next": 1}}}),
        ("faults", {"operations": {"RunTask": {"throttle_next": "many"}}}),
        ("faults", {"operations": {"RunTask": {"hold": 1}}}),
        ("faults", {"operations": {"RunTask": 1}}),
        ("limits", {"preset": "tight"}),
        ("limits", {"run_task": {"per_second": 1, "burst": 1}}),
        ("limits", {"launches": {"burst": 1}}),
        ("metadata", {"id": "unknown", "path": "/task"}),
    ],
)
def test_a_hook_refuses_what_it_does_not_know(action: str, body: dict[str, Any]) -> None:
    async def test(kit: Kit) -> None:
        with pytest.raises(AwsError):
            await kit.ecs.admin(action, body)

    simulated(test)
