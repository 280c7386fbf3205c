"""Celery's canvas over containers: each launch parks, and everything around it resolves as for any other task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import Signature
from celery.exceptions import ChordError, TaskRevokedError

from dagy_queue import (
    CeleryOptions,
    ContainerRequest,
    Phase,
    RunFailed,
    RunHandle,
    RunStatus,
    fan_out,
    launch,
    launch_sig,
)
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ledger.history import HistoryLedger
from dagy_queue.local.stack import LocalStack
from dagy_queue.producer.publisher import default_publisher
from tests.integration.conftest import ORG, TIMEOUT, app_sig
from tests.integration.waiting import until_phase

pytestmark = pytest.mark.usefixtures("application")

Echo = Callable[..., Signature]
Noted = Callable[[str], list[str]]

BROKEN = {"flow_name": "broken", "org_id": ORG}


def get(result: Any) -> Any:
    return result.get(timeout=TIMEOUT, follow_parents=False)


def test_a_launch_returns_its_flows_result_under_its_own_task_id(echo: Echo) -> None:
    result = echo({"a": [1, None, "x"]}).apply_async()
    assert get(result) == {"a": [1, None, "x"]}
    assert RunHandle(result.id).status() is RunStatus.SUCCEEDED


def test_a_link_is_called_once_with_the_result(echo: Echo, noted: Noted) -> None:
    echo(3).apply_async(link=app_sig("note", "link"))
    assert noted("link") == ["3"]


def test_a_link_error_is_called_once_when_the_run_fails(noted: Noted) -> None:
    result = launch_sig(**BROKEN).apply_async(link_error=app_sig("note_failure", "link_error"))
    with pytest.raises(RunFailed, match="no luck"):
        get(result)
    assert noted("link_error") == [result.id]


def test_a_chain_passes_results_from_container_to_container(echo: Echo) -> None:
    second = launch_sig(flow_name="echo", org_id=ORG, receives="value")
    assert get(chain(echo(5), second, app_sig("identity")).apply_async()) == 5


def test_a_chain_stops_at_a_failed_run(echo: Echo, noted: Noted) -> None:
    tail = app_sig("note", "chain-tail")
    result = chain(launch_sig(**BROKEN), tail).on_error(app_sig("note_failure", "chain-error")).apply_async()
    noted("chain-error")
    with pytest.raises(RunFailed):
        get(result.parent)
    with pytest.raises(RunFailed):  # Celery fails the rest of a chain with the error of its failed link.
        get(result)


def test_a_group_gives_all_results_in_order(echo: Echo) -> None:
    assert group(echo(n) for n in range(4)).apply_async().get(timeout=TIMEOUT) == [0, 1, 2, 3]


def test_a_chord_calls_its_body_with_all_results_in_order(echo: Echo) -> None:
    assert get(chord([echo(n) for n in range(5)])(app_sig("identity"))) == [0, 1, 2, 3, 4]


def test_the_body_of_a_chord_can_be_a_launch(echo: Echo) -> None:
    body = launch_sig(flow_name="total", org_id=ORG, receives="values")
    assert get(chord([echo(n) for n in range(4)])(body)) == 6


def test_a_chord_with_a_failing_member_fails_and_calls_on_error(echo: Echo, noted: Noted) -> None:
    body = app_sig("identity").on_error(app_sig("note_failure", "chord-error"))
    result = chord([echo(1), launch_sig(**BROKEN)])(body)
    with pytest.raises(ChordError, match="no luck"):
        get(result)
    assert noted("chord-error") == [result.id]


def test_a_chain_in_a_chords_header(echo: Echo) -> None:
    again = launch_sig(flow_name="echo", org_id=ORG, receives="value")
    assert get(chord([chain(echo(1), again), echo(2)])(app_sig("add_up"))) == 3


def test_a_chord_in_a_chain(echo: Echo) -> None:
    whole = chain(echo(0), group([echo(1), echo(2)]), app_sig("add_up"), app_sig("identity"))
    assert get(whole.apply_async()) == 3


def test_a_group_nested_in_a_chord(echo: Echo) -> None:
    result = get(chord([echo(1), group([echo(2), echo(3)])])(app_sig("identity")))
    # Celery keeps no order between a nested group and its siblings (reference/celery.md, rules); fan_out does.
    flat = [value for item in result for value in (item if isinstance(item, list) else [item])]
    assert sorted(flat) == [1, 2, 3]


def test_a_chord_of_chords(echo: Echo) -> None:
    inner = [chord([echo(n), echo(n + 1)], app_sig("add_up")) for n in (1, 10)]
    assert get(chord(inner)(app_sig("add_up"))) == 24


def test_a_task_can_replace_itself_with_a_launch(echo: Echo, application: Celery) -> None:
    assert get(app_sig("replaced", "mine").apply_async()) == "mine"


def test_a_run_in_a_chord_is_retried_until_it_works(echo: Echo) -> None:
    flaky = launch_sig(flow_name="flaky", org_id=ORG, max_retries=2, retry_delay=0.1, parameters={"works_at": 3})
    assert get(chord([echo("steady"), flaky])(app_sig("identity"))) == ["steady", "attempt 3 works"]


def test_a_run_fails_when_its_retries_are_used_up() -> None:
    run = launch(flow_name="flaky", org_id=ORG, max_retries=1, retry_delay=0.1, parameters={"works_at": 9})
    with pytest.raises(RunFailed, match="attempt 2 fails"):
        run.get(timeout=TIMEOUT)
    assert run.entry().attempt == 2


def test_a_countdown_delays_the_first_pass(echo: Echo) -> None:
    result = echo("late").apply_async(countdown=1)
    assert get(result) == "late"


def test_a_run_that_outlives_its_expiry_still_returns(stack: LocalStack) -> None:
    result = launch_sig(flow_name="sleepy", org_id=ORG, parameters={"seconds": 2.5}).apply_async(expires=2)
    assert get(result) == "rested"


def test_revoking_a_parked_run_stops_its_container(stack: LocalStack) -> None:
    run = launch(flow_name="sleepy", org_id=ORG)
    until_phase(run, Phase.RUNNING)
    run.cancel()
    with pytest.raises(TaskRevokedError):
        get(run.result)
    assert run.status() is RunStatus.CANCELLED
    task_arn = run.entry().task_arn
    ecs = stack_client(stack, "ecs")
    (task,) = ecs.describe_tasks(cluster="dagy", tasks=[task_arn])["tasks"]
    assert (task["lastStatus"], task["stopCode"]) == ("STOPPED", "UserInitiated")


def test_revoking_a_running_run_without_terminate_leaves_it_alone() -> None:
    run = launch(flow_name="sleepy", org_id=ORG, parameters={"seconds": 2})
    until_phase(run, Phase.RUNNING)
    run.result.revoke()
    assert run.get(timeout=TIMEOUT) == "rested"


def test_a_revoked_member_fails_its_chord(echo: Echo) -> None:
    sleepy = launch_sig(flow_name="sleepy", org_id=ORG)
    result = chord([echo(1), sleepy])(app_sig("identity"))
    member = RunHandle(result.parent.results[1].id)
    until_phase(member, Phase.RUNNING)
    member.cancel()
    with pytest.raises(ChordError, match="cancelled"):
        get(result)


def test_ignore_result_keeps_no_result_and_still_calls_the_link(echo: Echo, noted: Noted) -> None:
    result = echo("secret").apply_async(ignore_result=True, link=app_sig("note", "ignored"))
    assert noted("ignored") == ["'secret'"]
    assert result.state == "PENDING"


def test_stamps_headers_and_priority_reach_the_link(echo: Echo, stack: LocalStack) -> None:
    signature = echo("stamped")
    signature.stamp(batch_of="test")
    result = signature.apply_async(headers={"trace": "t-1"}, priority=3)
    assert get(result) == "stamped"
    assert RunHandle(result.id).status() is RunStatus.SUCCEEDED


def test_tasks_of_the_application_go_where_its_own_routes_say(echo: Echo, application: Celery, noted: Noted) -> None:
    identity, note = (application.tasks[f"app.{name}"] for name in ("identity", "note"))
    assert get(chord([echo(1), echo(2)])(identity.s())) == [1, 2]
    assert (
        get(chain(echo("through"), group([identity.s(), identity.s()]), identity.s()).apply_async()) == ["through"] * 2
    )
    run = launch(flow_name="echo", org_id=ORG, options=CeleryOptions(link=note.s("routed-link")))
    run.get(timeout=TIMEOUT)
    assert noted("routed-link") == ["None"]
    batch = fan_out(flow_name="echo", org_id=ORG, shards=[{"value": 1}], callback=identity.s())
    assert batch.get(timeout=TIMEOUT) == [1]


def test_a_chord_of_a_thousand_parked_runs_resolves(application: Celery) -> None:
    stub = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
    result = chord([launch_sig(stub, correlation_id=f"c-{n}") for n in range(1000)])(app_sig("identity"))
    results = result.get(timeout=200, follow_parents=False)
    assert [r["correlation_id"] for r in results] == [f"c-{n}" for n in range(1000)]


def stack_client(stack: LocalStack, service: str) -> Any:
    return getattr(AwsClients(stack.settings().aws), service)


def asked_of(run_id: str) -> Mapping[str, Any]:
    """Return the request of a run as its dispatchers have it."""
    (found,) = HistoryLedger(default_publisher().redis).snapshots([run_id])
    return found.request


def test_a_run_that_is_launched_again_by_hand_has_its_own_id_in_its_templates() -> None:
    image = ContainerRequest(org_id=ORG, image="python:3.12-slim", correlation_id="trace", priority=3)
    command = ["python", "-c", "raise SystemExit(3)", "s3://out/{{ run.id }}", "{{ run.correlation_id }}"]
    run = launch(image, command=command)
    with pytest.raises(RunFailed):
        run.get(timeout=TIMEOUT)
    again = run.retry()
    with pytest.raises(RunFailed):
        again.get(timeout=TIMEOUT)
    for each in (run, again):
        assert asked_of(each.run_id)["command"][3:] == [f"s3://out/{each.run_id}", "trace"]
    assert again.entry().correlation_id == "trace"
    assert asked_of(again.run_id)["priority"] == 3


def test_what_another_task_returned_is_data_also_when_a_run_is_launched_again() -> None:
    said = "{{ run.id }} and {{ run.nonsense }}"
    receiver = launch_sig(flow_name="flaky", org_id=ORG, receives="works_at")
    result = chain(app_sig("identity", said), receiver).apply_async()
    with pytest.raises(RunFailed):
        get(result)
    run = RunHandle(result.id)
    again = run.retry()
    with pytest.raises(RunFailed):
        again.get(timeout=TIMEOUT)
    assert [asked_of(each.run_id)["parameters"] for each in (run, again)] == [{"works_at": said}] * 2
