"""What becomes of a run after each kind of bad end, with all processes real and ECS's faults injected."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import redis
from celery import chord
from celery.exceptions import ChordError

from dagy_queue import (
    CeleryOptions,
    ContainerRequest,
    DagLauncher,
    Phase,
    RunCancelled,
    RunFailed,
    RunHandle,
    RunStatus,
    fan_out,
    launch,
    launch_sig,
)
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ids import new_id
from dagy_queue.local.stack import LocalStack
from dagy_queue.records.models import bind_models
from tests.integration.conftest import ORG, TIMEOUT, app_sig
from tests.integration.waiting import eventually, until_phase
from tests.unit.operate.kit import Answer, dagy_queue

pytestmark = pytest.mark.usefixtures("application")

SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest", retry_delay=0.1)
PERMANENT = "ResourceInitializationError: unable to pull secrets or registry auth: AccessDeniedException"

Noted = Callable[[str], list[str]]
Faults = Callable[..., None]


@pytest.fixture
def faults(flows: LocalStack) -> Iterator[Faults]:
    """Have the local ECS fail tasks, or calls of RunTask, until the test ends."""

    def inject(run_task: Mapping[str, Any] | None = None, **tasks: Any) -> None:
        flows.admin("faults", {"tasks": tasks, "operations": {"RunTask": run_task} if run_task else {}})

    yield inject
    flows.admin("reset", {})


class States:
    """The states that Celery's result backend was told of a run, in order."""

    def __init__(self, url: str, run_id: str) -> None:
        self._listener = redis.Redis.from_url(url, decode_responses=True).pubsub(ignore_subscribe_messages=True)
        self._listener.subscribe(f"celery-task-meta-{run_id}")
        self._listener.get_message(timeout=TIMEOUT)

    def until(self, last: str) -> list[str]:
        """Wait for a state and return all up to it."""
        seen: list[str] = []

        def look() -> bool:
            message = self._listener.get_message(timeout=0.1)
            if message:
                seen.append(json.loads(message["data"])["status"])
            return last in seen

        eventually(look, f"the state {last}")
        self._listener.close()
        return seen


@pytest.fixture
def states(flows: LocalStack) -> Callable[[str], States]:
    return lambda run_id: States(flows.redis_url, run_id)


def task_of(stack: LocalStack, run: RunHandle) -> dict[str, Any]:
    """Return what ECS says of a run's last task."""
    ecs = AwsClients(stack.settings().aws).ecs_control
    return dict(ecs.describe_tasks(cluster="dagy", tasks=[run.entry().task_arn])["tasks"][0])


def failure_of(run: RunHandle) -> dict[str, Any]:
    with pytest.raises(RunFailed) as caught:
        run.get(timeout=TIMEOUT)
    return caught.value.outcome


def test_a_failure_is_tried_again_as_often_as_it_may_and_then_fails_for_celery_too(
    states: Callable[[str], States], noted: Noted
) -> None:
    run_id = new_id()
    told = states(run_id)
    options = CeleryOptions(link_error=app_sig("note_failure", "retried-failed"))
    run = launch(STUB, run_id=run_id, command=["0", "3"], max_retries=2, options=options)
    assert failure_of(run)["exit_code"] == 3
    assert noted("retried-failed") == [run_id]
    assert told.until("FAILURE").count("RETRY") == 2
    entry = run.entry()
    assert (entry.attempt, entry.retries, entry.counts) == (3, 2, {"max_retries": 2})


def test_only_the_exit_codes_that_are_named_are_tried_again() -> None:
    run = launch(STUB, command=["0", "3"], max_retries=2, retry_on_exit_codes=[75])
    assert failure_of(run)["exit_code"] == 3
    assert run.entry().attempt == 1


def test_a_run_out_of_memory_grows_until_it_fits(
    flows: LocalStack, faults: Faults, states: Callable[[str], States]
) -> None:
    faults(oom_below_memory=2048)
    run_id = new_id()
    told = states(run_id)
    size = {"cpu": 256, "memory": 512}
    run = launch(STUB, run_id=run_id, command=["0.3", "0"], **size, oom_retries=2, grow_on_oom=True)
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    task = task_of(flows, run)
    assert (task["cpu"], task["memory"]) == ("256", "2048")
    assert run.entry().counts == {"oom_retries": 2}
    assert told.until("SUCCESS").count("RETRY") == 2


def test_a_run_out_of_memory_fails_unless_it_asked_for_more(faults: Faults, noted: Noted) -> None:
    faults(oom_next=1)
    options = CeleryOptions(link_error=app_sig("note_failure", "oom"))
    run = launch(STUB, command=["60", "0"], max_retries=3, options=options)
    outcome = failure_of(run)
    assert (outcome["kind"], outcome["exit_code"]) == ("out_of_memory", 137)
    assert "grow_on_oom" in outcome["resolution"]
    assert noted("oom") == [run.run_id]
    assert run.entry().attempt == 1


def test_a_shard_grows_by_itself(flows: LocalStack, faults: Faults) -> None:
    faults(oom_next=1)
    batch = fan_out(
        STUB,
        [{"command": ["0.3", "0"]}, {"command": ["0.3", "0"]}],
        oom_retries=1,
        grow_on_oom=True,
        cpu=256,
        memory=512,
    )
    assert len(batch.get(timeout=TIMEOUT)) == 2
    assert sorted(task_of(flows, batch.shard(i))["memory"] for i in range(2)) == ["1024", "512"]


def test_an_interrupted_run_goes_on_on_spot_and_then_on_demand(
    flows: LocalStack, faults: Faults, states: Callable[[str], States]
) -> None:
    faults(spot_interruption_next=9)
    run_id = new_id()
    told = states(run_id)
    fields = {"capacity_provider_strategy": SPOT, "spot_fallback_after": 2, "retry_delay": 3600}
    run = launch(STUB, run_id=run_id, command=["0.3", "0"], **fields)
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    entry = run.entry()
    assert (entry.attempt, entry.counts, entry.change) == (3, {"spot_retries": 2}, {"on_demand": True})
    task = task_of(flows, run)
    assert (task["launchType"], task.get("capacityProviderName")) == ("FARGATE", None)
    assert told.until("SUCCESS").count("RETRY") == 2
    assert _slots_in_use(flows) == {}


def test_a_shard_that_falls_back_waits_in_the_other_pool(flows: LocalStack, faults: Faults) -> None:
    faults(spot_interruption_next=1)
    base = STUB.model_copy(update={"spot_fallback_after": 1, "capacity_provider_strategy": ()})
    batch = fan_out(base, [{"command": ["0.3", "0"]}] * 2, capacity_provider_strategy=SPOT)
    assert len(batch.get(timeout=TIMEOUT)) == 2
    providers = [task_of(flows, batch.shard(i)).get("capacityProviderName") for i in range(2)]
    assert sorted(map(str, providers)) == ["FARGATE_SPOT", "None"]
    assert _slots_in_use(flows) == {}


def test_a_chord_gets_the_result_of_an_interrupted_member(faults: Faults) -> None:
    faults(spot_interruption_next=1)
    header = [launch_sig(STUB, command=["0.3", "0"], capacity_provider_strategy=SPOT) for _ in range(2)]
    results = chord(header)(app_sig("identity")).get(timeout=TIMEOUT, follow_parents=False)
    assert [result["exit_code"] for result in results] == [0, 0]


def test_a_run_that_is_interrupted_too_often_fails_its_chord(faults: Faults, noted: Noted) -> None:
    faults(spot_interruption_next=2)
    member = launch_sig(STUB, command=["30", "0"], capacity_provider_strategy=SPOT, spot_retries=1)
    result = chord([member])(app_sig("identity").on_error(app_sig("note_failure", "spot-chord")))
    with pytest.raises(ChordError, match="Spot took the task's capacity back"):
        result.get(timeout=TIMEOUT, follow_parents=False)
    assert noted("spot-chord") == [result.id]


def test_a_host_taken_out_of_service_is_an_interruption_too(faults: Faults) -> None:
    faults(stop_next=1)
    run = launch(STUB, command=["0.3", "0"])
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    assert run.entry().counts == {"spot_retries": 1}


def test_a_start_that_fails_for_a_passing_reason_is_tried_again(
    faults: Faults, states: Callable[[str], States]
) -> None:
    faults(pull_failure_next=1, start_failure_next=1)
    run_id = new_id()
    told = states(run_id)
    run = launch(STUB, run_id=run_id)
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    assert (run.entry().attempt, run.entry().counts) == (3, {"start_retries": 2})
    assert told.until("SUCCESS").count("RETRY") == 2


def test_a_start_that_fails_too_often_fails_the_run(faults: Faults) -> None:
    faults(pull_failure_next=2)
    run = launch(STUB, start_retries=1)
    outcome = failure_of(run)
    assert (outcome["kind"], outcome["transient"]) == ("start_failed", True)
    assert "the registry could not be reached" in outcome["summary"]
    assert run.entry().attempt == 2


def test_a_start_that_would_fail_again_is_not_tried_again(faults: Faults, noted: Noted) -> None:
    faults(start_failure_next=1, start_failure_reason=PERMANENT)
    options = CeleryOptions(link_error=app_sig("note_failure", "start-failed"))
    run = launch(STUB, max_retries=3, options=options)
    outcome = failure_of(run)
    assert outcome["kind"] == "start_failed"
    assert "secretsmanager:GetSecretValue" in outcome["resolution"]
    assert noted("start-failed") == [run.run_id]
    assert run.entry().attempt == 1


def test_an_image_that_there_is_not_fails_at_once() -> None:
    outcome = failure_of(launch(org_id=ORG, image="nobody/nothing:1"))
    assert (outcome["kind"], outcome["transient"]) == ("start_failed", False)
    assert outcome["summary"].startswith("the container never ran: ")


def test_a_capacity_that_is_missing_uses_up_no_budget(faults: Faults) -> None:
    faults({"capacity_next": 1})
    run = launch(STUB)
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    entry = run.entry()
    assert (entry.attempt, entry.retries, entry.counts) == (2, 0, {})


def test_a_container_whose_end_nobody_saw_is_tried_again_like_a_failure(faults: Faults) -> None:
    faults(exit_lost_next=2)
    assert failure_of(launch(STUB))["kind"] == "lost"
    run = launch(STUB, max_retries=1)
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    assert run.entry().counts == {"max_retries": 1}


def test_a_run_that_nobody_saw_end_fails_its_chord(faults: Faults, noted: Noted) -> None:
    faults(exit_lost_next=1)
    result = chord([launch_sig(STUB)])(app_sig("identity").on_error(app_sig("note_failure", "lost-chord")))
    with pytest.raises(ChordError, match="did not see how it ended"):
        result.get(timeout=TIMEOUT, follow_parents=False)
    assert noted("lost-chord") == [result.id]


def test_a_run_that_is_out_of_time_fails_for_celery_and_is_not_tried_again(
    states: Callable[[str], States], noted: Noted
) -> None:
    run_id = new_id()
    told = states(run_id)
    options = CeleryOptions(link_error=app_sig("note_failure", "timed-out"))
    run = launch(STUB, run_id=run_id, command=["60", "0"], timeout="1s", max_retries=3, options=options)
    assert failure_of(run)["kind"] == "timed_out"
    assert noted("timed-out") == [run_id]
    assert told.until("FAILURE").count("RETRY") == 0
    assert run.entry().attempt == 1


def test_a_task_that_somebody_stopped_is_cancelled_and_not_tried_again(flows: LocalStack) -> None:
    run = launch(STUB, command=["60", "0"], max_retries=3)
    until_phase(run, Phase.RUNNING)
    ecs = AwsClients(flows.settings().aws).ecs_control
    ecs.stop_task(cluster="dagy", task=run.entry().task_arn, reason="I need the room")
    with pytest.raises(RunCancelled, match="somebody stopped the task"):
        run.get(timeout=TIMEOUT)
    assert (run.entry().attempt, run.status()) == (1, RunStatus.CANCELLED)


def test_a_skipped_run_succeeds_and_says_that_it_was_skipped() -> None:
    run = launch(STUB, command=["0", "99"], skip_on_exit_code=99, max_retries=3)
    result = run.get(timeout=TIMEOUT)
    assert (result["skipped"], result["exit_code"], result["run_id"]) == (True, 99, run.run_id)
    eventually(lambda: run.entry().ended_at, "the run is over")
    assert (run.status(), run.entry().attempt) == (RunStatus.SUCCEEDED, 1)
    outcome = run.outcome()
    assert outcome is not None
    assert outcome.summary == "skipped: the container exited with 99, which skip_on_exit_code names"


def test_a_chord_and_a_batch_go_on_with_skipped_members() -> None:
    header = [launch_sig(STUB, command=["0", code], skip_on_exit_code=[99]) for code in ("0", "99")]
    results = chord(header)(app_sig("identity")).get(timeout=TIMEOUT, follow_parents=False)
    assert [result.get("skipped", False) for result in results] == [False, True]
    batch = fan_out(STUB, [{"command": ["0", code]} for code in ("0", "99")], skip_on_exit_code=99)
    assert [result.get("skipped", False) for result in batch.get(timeout=TIMEOUT)] == [False, True]


def test_a_flow_that_fails_with_a_code_that_says_so_is_skipped() -> None:
    result = launch(flow_name="broken", org_id=ORG, skip_on_exit_code=1).get(timeout=TIMEOUT)
    assert (result["skipped"], result["exit_code"]) == (True, 1)


def test_an_interrupted_flow_is_run_again(faults: Faults) -> None:
    faults(stop_next=1, stop_code="InfrastructureHealth", stop_reason="")
    run = launch(flow_name="sleepy", org_id=ORG, parameters={"seconds": 0.5})
    assert run.get(timeout=TIMEOUT) == "rested"
    assert run.entry().counts == {"spot_retries": 1}


def explain(*arguments: str) -> Answer:
    return dagy_queue("explain", *arguments)


def test_a_run_that_waits_for_its_next_attempt_is_explained(faults: Faults) -> None:
    faults(oom_next=1)
    fields = {"cpu": 256, "memory": 512, "oom_retries": 1, "grow_on_oom": True, "retry_delay": 86_400}
    run = launch(STUB, command=["60", "0"], **fields)
    until_phase(run, Phase.RETRYING)
    answer = explain(run.run_id, "--json", "--org", ORG)
    found = answer.json
    assert (found["kind"], found["exit_code"], found["retries_of"]) == ("out_of_memory", 137, {"oom_retries": 1})
    assert found["task_arn"].startswith("arn:aws:ecs:")
    assert found["retry_in"] > 0
    printed = explain(run.run_id).out
    assert "the container ran out of memory (exit code 137)" in printed
    assert "with 1024 MiB of memory" in printed
    run.cancel()


def test_a_run_that_is_over_is_explained() -> None:
    run = launch(flow_name="broken", org_id=ORG)
    failure_of(run)
    eventually(lambda: run.entry().ended_at, "the run is over")
    printed = explain(run.run_id).out
    assert "ValueError in task 'explode': no luck" in printed
    assert "nothing: the run is over; its max_retries are 0" in printed
    assert "log            /ecs/dagy-worker dagy/worker/" in printed


def test_another_org_s_run_is_not_explained(flows: LocalStack) -> None:
    bind_models(flows.settings())  # other modules have stacks of their own
    run = launch(STUB)
    run.get(timeout=TIMEOUT)
    answer = explain(run.run_id, "--org", "others")
    assert (answer.code, answer.out) == (5, "")
    assert "there is no run" in answer.err
    assert DagLauncher().explain(run.run_id, org_id="others") is None
    assert explain(new_id()).code == 5


def _slots_in_use(stack: LocalStack) -> dict[str, str]:
    client = redis.Redis.from_url(stack.redis_url, decode_responses=True)
    found: dict[str, str] = {}
    for key in client.scan_iter("*:slots:*"):
        found |= {f"{key} {name}": value for name, value in client.hgetall(key).items() if value != "0"}
    return found
