"""The life of a task: its phases, its events, its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ecs_kit import SERVICE, Clock, Kit, check_shape, equal, eventually, local_ecs, run_request, simulated, with_ecs

from dagy_queue.local.ecs import LocalEcs, LocalEcsConfig, PhaseDelays
from dagy_queue.local.ecs.tasks import IllegalTransition, Task

TASK = SERVICE.shape_for("Task")
FOREVER = {"containerOverrides": [{"name": "worker", "environment": [{"name": "STUB_SECONDS", "value": "600"}]}]}
KNOWN_SECRET = {"name": "KEY", "valueFrom": "arn:aws:secretsmanager:us-east-1:000000000000:secret:known"}


def test_a_task_goes_through_its_phases_in_versions() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        task = await kit.run(startedBy="dagy/run/1", tags=[{"key": "org", "value": "acme"}])
        assert (task["lastStatus"], task["version"], task["tags"]) == (
            "PROVISIONING",
            1,
            [{"key": "org", "value": "acme"}],
        )
        await kit.bus.stopped(task["taskArn"])
        phases = [(e["version"], e["lastStatus"], e["desiredStatus"]) for e in kit.bus.of(task["taskArn"])]
        assert phases == [
            (1, "PROVISIONING", "RUNNING"),
            (2, "PENDING", "RUNNING"),
            (3, "RUNNING", "RUNNING"),
            (4, "RUNNING", "STOPPED"),
            (5, "DEPROVISIONING", "STOPPED"),
            (6, "STOPPED", "STOPPED"),
        ]

    simulated(test)


def test_activating_is_shown_when_asked_for() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await kit.bus.status((await kit.run())["taskArn"], "ACTIVATING")

    simulated(test, show_activating=True)


def test_an_event_is_a_whole_eventbridge_envelope_about_the_task_and_has_no_tags() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        task = await kit.run(startedBy="dagy/run/1", tags=[{"key": "org", "value": "acme"}], overrides=FOREVER)
        await kit.call("StopTask", task=task["taskArn"], reason="enough")
        await kit.bus.stopped(task["taskArn"])
        for event in kit.bus.events:
            assert {k: event[k] for k in ("version", "detail-type", "source", "account", "region", "resources")} == {
                "version": "0",
                "detail-type": "ECS Task State Change",
                "source": "aws.ecs",
                "account": "000000000000",
                "region": "us-east-1",
                "resources": [task["taskArn"]],
            }
            detail = dict(event["detail"])
            assert detail.pop("updatedAt")
            assert not {"tags", "healthStatus"} & set(detail)
            assert detail["startedBy"] == "dagy/run/1"
            assert detail["overrides"]["containerOverrides"] == FOREVER["containerOverrides"]
            assert detail["attachments"][0]["type"] == "eni"
            check_shape(detail, TASK, "detail", iso=True)
        assert len({event["id"] for event in kit.bus.events}) == len(kit.bus.events)

    simulated(test)


def test_the_times_of_a_task_are_in_order() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        detail = await kit.bus.stopped((await kit.run())["taskArn"])
        phases = ("created", "pullStarted", "pullStopped", "started", "stopping", "executionStopped", "stopped")
        names = [f"{phase}At" for phase in phases]
        times = [detail[name] for name in names]
        assert times == sorted(times)
        answer = await kit.call("DescribeTasks", tasks=[detail["taskArn"]])
        assert all(isinstance(answer["tasks"][0][name], float) for name in names)

    delay = 0.002
    simulated(test, delays=PhaseDelays(provisioning=delay, pulling=delay, activating=delay, deprovisioning=delay))


@pytest.mark.parametrize(("command", "code"), [([], 0), (["0"], 0), (["0.01", "3"], 3)])
def test_a_stub_ends_with_the_exit_code_of_its_command(command: list[str], code: int) -> None:
    async def test(kit: Kit) -> None:
        detail = await kit.outcome("dagy-local/stub:1", command=command)
        assert detail["containers"][0]["exitCode"] == code
        assert (detail["stopCode"], detail["stoppedReason"]) == (
            "EssentialContainerExited",
            "Essential container in task exited",
        )

    simulated(test)


def test_simulation_takes_its_script_from_the_environment_of_any_image() -> None:
    async def test(kit: Kit) -> None:
        environment = [{"name": "STUB_EXIT_CODE", "value": "7"}]
        detail = await kit.outcome("any/image", command=["python", "-m", "flow"], environment=environment)
        assert detail["containers"][0]["exitCode"] == 7

    simulated(test)


def test_a_stub_that_is_told_nonsense_cannot_start() -> None:
    async def test(kit: Kit) -> None:
        detail = await kit.outcome("dagy-local/stub", command=["soon"])
        assert detail["stopCode"] == "TaskFailedToStart"
        assert "CannotStartContainerError" in detail["containers"][0]["reason"]

    simulated(test)


def test_stop_task_says_who_and_why() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        task = await kit.run(overrides=FOREVER)
        await kit.bus.status(task["taskArn"], "RUNNING")
        answer = await kit.call("StopTask", task=task["taskArn"], reason="cancelled by dagy")
        assert (answer["task"]["desiredStatus"], answer["task"]["lastStatus"]) == ("STOPPED", "RUNNING")
        detail = await kit.bus.stopped(task["taskArn"])
        assert (detail["stopCode"], detail["stoppedReason"]) == ("UserInitiated", "cancelled by dagy")
        assert detail["containers"][0]["exitCode"] == 143
        again = await kit.call("StopTask", task=task["taskArn"].rpartition("/")[2], reason="too late")
        assert again["task"]["stoppedReason"] == "cancelled by dagy"

    simulated(test)


def test_a_task_stopped_before_it_runs_has_no_exit_code() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        task = await kit.run()
        await kit.bus.status(task["taskArn"], "PROVISIONING")
        await kit.call("StopTask", task=task["taskArn"])
        detail = await kit.bus.stopped(task["taskArn"])
        assert detail["stopCode"] == "UserInitiated"
        assert "startedAt" not in detail
        assert "exitCode" not in detail["containers"][0]

    simulated(test, delays=PhaseDelays(provisioning=600))


def test_an_unknown_task_cannot_be_stopped() -> None:
    async def test(kit: Kit) -> None:
        error = await kit.refusal("StopTask", task="0" * 32)
        assert (error.code, error.message) == ("InvalidParameterException", "The referenced task was not found.")

    simulated(test)


def test_the_end_of_a_sidecar_changes_nothing_but_the_end_of_an_essential_container_ends_all() -> None:
    async def test(kit: Kit) -> None:
        containers = [
            {"name": "brief", "image": "dagy-local/stub", "essential": False, "command": ["0", "5"]},
            {"name": "worker", "image": "dagy-local/stub", "command": ["0.05", "0"]},
            {"name": "endless", "image": "dagy-local/stub", "essential": False, "command": ["600"]},
        ]
        request = {"family": "many", "networkMode": "awsvpc", "cpu": "256", "memory": "512"}
        await kit.call("RegisterTaskDefinition", containerDefinitions=containers, **request)
        detail = await kit.bus.stopped((await kit.run("many"))["taskArn"])
        codes = {container["name"]: container["exitCode"] for container in detail["containers"]}
        assert codes == {"brief": 5, "worker": 0, "endless": 143}

    simulated(test)


def test_an_image_that_is_not_there_cannot_be_pulled() -> None:
    async def test(kit: Kit) -> None:
        detail = await kit.outcome("registry.example/team/missing:2")
        assert detail["stopCode"] == "TaskFailedToStart"
        assert detail["stoppedReason"].startswith("CannotPullContainerError: ")
        assert "registry.example/team/missing:2" in detail["stoppedReason"]
        assert "exitCode" not in detail["containers"][0]
        assert "startedAt" not in detail

    with_ecs(test)


def test_a_secret_that_is_missing_keeps_the_task_from_starting() -> None:
    async def test(kit: Kit) -> None:
        detail = await kit.outcome(
            "dagy-local/stub", secrets=[KNOWN_SECRET, {**KNOWN_SECRET, "name": "B", "valueFrom": "arn:no"}]
        )
        assert detail["stopCode"] == "TaskFailedToStart"
        assert detail["stoppedReason"].startswith(
            "ResourceInitializationError: unable to pull secrets or registry auth: "
        )
        assert "exitCode" not in detail["containers"][0]

    simulated(test)


def test_without_a_secret_source_every_secret_is_missing() -> None:
    async def main() -> None:
        kit = Kit(simulate=True)
        kit.ecs = LocalEcs(LocalEcsConfig(simulate=True), kit.bus, kit.logs)
        detail = await kit.outcome("dagy-local/stub", secrets=[KNOWN_SECRET])
        assert "ResourceNotFoundException" in detail["stoppedReason"]
        await kit.ecs.close()

    asyncio.run(main())


def test_a_bus_that_fails_does_not_keep_a_task_from_its_end(caplog: pytest.LogCaptureFixture) -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        put_event, kit.bus.put_event = kit.bus.put_event, broken  # type: ignore[method-assign]
        arn = (await kit.run(overrides=FOREVER))["taskArn"]
        await eventually(lambda: equal(kit.last_status(arn), "RUNNING"))
        kit.bus.put_event = put_event  # type: ignore[method-assign]
        await kit.call("StopTask", task=arn)
        await kit.bus.stopped(arn)
        assert "could not be delivered" in caplog.text

    simulated(test)


async def broken(event: Any) -> None:
    raise ConnectionError("no bus")


def test_closing_stops_every_task_and_refuses_further_calls() -> None:
    async def main() -> None:
        async with local_ecs(simulate=True) as kit:
            await kit.register()
            tasks = (await kit.call("RunTask", **run_request(count=10, overrides=FOREVER)))["tasks"]
            await kit.bus.status(tasks[-1]["taskArn"], "RUNNING")
        stopped = [event["detail"] for event in kit.bus.events if event["detail"]["lastStatus"] == "STOPPED"]
        assert [detail["stopCode"] for detail in stopped] == ["TerminationNotice"] * 10
        assert (await kit.refusal("ListTasks")).status == 500

    asyncio.run(main())


def test_stopped_tasks_are_forgotten_after_an_hour() -> None:
    clock = Clock()

    async def test(kit: Kit) -> None:
        await kit.register()
        arn = (await kit.run())["taskArn"]
        await kit.bus.stopped(arn)
        clock.now += 3599
        assert (await kit.call("DescribeTasks", tasks=[arn]))["tasks"]
        clock.now += 1
        answer = await kit.call("DescribeTasks", tasks=[arn])
        assert answer == {"tasks": [], "failures": [{"arn": arn, "reason": "MISSING"}]}

    simulated(test, clock=clock)


def test_a_status_never_goes_back() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await kit.run(overrides=FOREVER)
        task: Task = kit.ecs._runs.alive()[0]
        with pytest.raises(IllegalTransition):
            task.advance("PROVISIONING", 0.0)

    simulated(test)


def test_a_thousand_stubs_run_at_once() -> None:
    async def test(kit: Kit) -> None:
        await kit.register("flow", command=["0.5"])
        arns = []
        for _ in range(100):
            arns += [task["taskArn"] for task in (await kit.ecs.call("RunTask", run_request(count=10)))["tasks"]]
        for arn in arns:
            await kit.bus.status(arn, "RUNNING")
        assert (await kit.ecs.admin("stats", {}))["max_concurrent"] == 1000
        await kit.ecs.admin("reset", {"tasks": True})

    simulated(test)
