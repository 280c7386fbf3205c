"""A batch as a whole: windows, tolerance, failing fast, timeouts, cancelling, trying again, and its results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import Signature
from celery.exceptions import ChordError

from dagy_queue import (
    BatchHandle,
    BatchNotFound,
    ContainerRequest,
    DagLauncher,
    Phase,
    RequestInvalid,
    RunStatus,
    fan_out,
    launch_sig,
)
from dagy_queue.ids import new_id
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import ORG, TIMEOUT, app_sig
from tests.integration.waiting import eventually

STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
GOOD, BAD, LONG = {"command": ["0", "0"]}, {"command": ["0", "3"]}, {"command": ["3600", "0"]}


@pytest.fixture(autouse=True)
def _stack(flows: LocalStack) -> None:
    """Every test here needs the stack."""


def statuses(batch: BatchHandle) -> list[str]:
    return [shard.status.value if shard.status else "" for shard in batch.results()]


def test_a_window_is_never_exceeded(flows: LocalStack) -> None:
    flows.admin("reset")
    batch = fan_out(STUB, [{"command": ["0.05", "0"]}] * 40, max_parallel=4)
    assert len(batch.get(timeout=TIMEOUT)) == 40
    assert flows.admin("stats")["max_concurrent"] <= 4


def test_a_shard_that_fails_fails_the_batch_and_is_named() -> None:
    batch = fan_out(STUB, [GOOD, BAD, GOOD])
    with pytest.raises(ChordError, match=r"1 of 3 shards failed: shard 1 \(run .*exit code 3") as caught:
        batch.get(timeout=TIMEOUT)
    assert batch.shard(1).run_id in str(caught.value)


@pytest.mark.parametrize("tolerate", [1, "34%"])
def test_a_batch_survives_the_failures_it_tolerates(tolerate: object) -> None:
    batch = fan_out(STUB, [GOOD, BAD, GOOD], tolerate=tolerate)
    good, bad, _ = batch.get(timeout=TIMEOUT)
    assert good["exit_code"] == 0
    assert (bad["failed"], bad["shard"], bad["run_id"]) == (True, 1, batch.shard(1).run_id)
    assert bad["outcome"]["exit_code"] == 3


def test_the_callback_gets_failed_shards_marked(application: Celery, noted: Callable[[str], list[str]]) -> None:
    batch = fan_out(STUB, [GOOD, BAD], tolerate=1, callback=app_sig("identity"))
    assert [result.get("failed", False) for result in batch.get(timeout=TIMEOUT)] == [False, True]


def test_more_failures_than_tolerated_fail_the_batch() -> None:
    with pytest.raises(ChordError, match="2 of 3 shards failed"):
        fan_out(STUB, [BAD, BAD, GOOD], tolerate=1).get(timeout=TIMEOUT)


def test_a_batch_that_fails_fast_stops_the_others() -> None:
    batch = fan_out(STUB, [LONG, BAD, LONG], fail_fast=True)
    with pytest.raises(ChordError, match="too many shards have failed"):
        batch.get(timeout=TIMEOUT)
    assert statuses(batch) == ["CANCELLED", "FAILED", "CANCELLED"]


def test_a_batch_that_takes_too_long_is_stopped() -> None:
    batch = fan_out(STUB, [GOOD, LONG], timeout="2s")
    with pytest.raises(ChordError, match="its timeout is over"):
        batch.get(timeout=TIMEOUT)
    assert statuses(batch) == ["SUCCEEDED", "CANCELLED"]


def test_failures_are_counted_for_each_shard() -> None:
    batch = fan_out(STUB, [BAD], max_fail_count=2, retry_delay=0, tolerate=1)
    batch.get(timeout=TIMEOUT)
    assert batch.shard(0).entry().retries == 2


def test_a_cancelled_batch_drops_what_waits_and_stops_what_runs() -> None:
    batch = fan_out(STUB, [GOOD, *[LONG] * 5], max_parallel=2)
    eventually(lambda: batch.progress().by_phase.get(Phase.RUNNING) == 2 and batch.progress().done == 1, "two run")
    BatchHandle(batch.batch_id).cancel("not wanted")
    with pytest.raises(ChordError, match=r"5 of 6 shards were cancelled \(not wanted\)"):
        batch.get(timeout=TIMEOUT)
    assert statuses(batch) == ["SUCCEEDED", *["CANCELLED"] * 5]


def test_a_batch_cancelled_before_its_expansion_launches_nothing(flows: LocalStack) -> None:
    url = flows.redis_url.removesuffix("/0") + "/3"
    launcher = DagLauncher(flows.settings(redis={"url": url}))
    flows.admin("reset")
    batch = fan_out(STUB, [GOOD] * 50, launcher=launcher, tolerate="100%")
    batch.cancel("not wanted")
    flows.spawn("dispatcher", label="late", environment={"DAGY_REDIS_URL": url})
    with pytest.raises(ChordError, match=r"50 of 50 shards were cancelled \(not wanted\)"):
        batch.get(timeout=TIMEOUT)
    assert flows.admin("stats")["tasks_created"] == 0
    flows.end("late")


def test_a_cancelled_batch_fails_whatever_it_tolerates() -> None:
    batch = fan_out(STUB, [GOOD, LONG], tolerate="100%")
    eventually(lambda: batch.progress().done == 1, "one has ended")
    batch.cancel()
    with pytest.raises(ChordError, match="cancelled"):
        batch.get(timeout=TIMEOUT)
    assert [shard.outcome["kind"] for shard in batch.results(1) if shard.outcome] == ["cancelled"]


def test_a_batch_that_nobody_knows_is_not_waited_for() -> None:
    with pytest.raises(BatchNotFound):
        BatchHandle(new_id()).get(timeout=1)


@pytest.mark.parametrize("name", ["max_paralel", "tolerance", "failfast", "shard_per_run"])
def test_a_misspelt_policy_is_recognised(name: str) -> None:
    with pytest.raises(RequestInvalid, match=r"did you mean (max_parallel|tolerate|fail_fast|shards_per_run)"):
        fan_out(STUB, [GOOD], **{name: 1})


def test_a_batch_that_is_over_stays_as_it_is() -> None:
    batch = fan_out(STUB, [GOOD])
    batch.get(timeout=TIMEOUT)
    batch.cancel()
    assert statuses(batch) == ["SUCCEEDED"]


def test_failed_shards_can_be_tried_again() -> None:
    batch = fan_out(flow_name="flaky", org_id=ORG, correlation_id="root", shards=_flaky_shards(), tolerate=3)
    failed = [index for index, result in enumerate(batch.get(timeout=TIMEOUT)) if isinstance(result, dict)]
    assert failed
    again = batch.retry_failed(tolerate="100%")
    again.get(timeout=TIMEOUT)
    assert [again.shard(n).entry().correlation_id for n in range(len(again))] == [f"root:{n}" for n in failed]


def test_the_shards_of_a_cancelled_batch_are_tried_again_as_they_were() -> None:
    batch = fan_out(flow_name="echo", org_id=ORG, shards=[{"value": n} for n in range(3)], max_parallel=1)
    batch.cancel()
    with pytest.raises(ChordError, match="cancelled"):
        batch.get(timeout=TIMEOUT)
    left = [shard.index for shard in batch.results() if shard.status is RunStatus.CANCELLED]
    assert batch.retry_failed().get(timeout=TIMEOUT) == left


def test_a_parameter_may_have_the_name_of_a_field() -> None:
    shards = [{"value": {"correlation_id": "x", "cpu": None}}, {"value": "@dagy:id@"}]
    assert fan_out(flow_name="echo", org_id=ORG, shards=shards).get(timeout=TIMEOUT) == [s["value"] for s in shards]


def test_shards_that_are_tried_again_keep_their_numbers() -> None:
    code = "import os; raise SystemExit(3 if os.environ['TASK_NUM'] == '1' else 0)"
    container = ContainerRequest(org_id=ORG, image="python:3.11", command=["python", "-c", code])
    batch = fan_out(container, [{}, {"correlation_id": None}, {}], correlation_id="first", tolerate=1)
    for _ in range(2):
        batch.get(timeout=TIMEOUT)
        assert batch.progress().failed == 1
        batch = batch.retry_failed(tolerate=1)
        assert len(batch) == 1
        batch.get(timeout=TIMEOUT)
        assert batch.shard(0).entry().correlation_id == "first:1"


def _flaky_shards() -> list[dict[str, Any]]:
    return [{"works_at": 1}, {"works_at": 2}, {"works_at": 1}, {"works_at": 3}]


def test_a_batch_without_failures_has_nothing_to_try_again() -> None:
    batch = fan_out(STUB, [GOOD])
    batch.get(timeout=TIMEOUT)
    with pytest.raises(RequestInvalid, match="shards that failed"):
        batch.retry_failed()


def test_shards_are_told_as_they_end() -> None:
    batch = fan_out(STUB, [{"command": ["1.5", "0"]}, GOOD, BAD], tolerate=1)
    ended = list(batch.as_completed(timeout=TIMEOUT))
    assert {shard.index for shard in ended[:2]} == {1, 2}
    assert (ended[2].index, ended[2].status) == (0, RunStatus.SUCCEEDED)


def test_results_are_paged() -> None:
    batch = fan_out(STUB, [GOOD, BAD, GOOD, GOOD], tolerate=1)
    batch.get(timeout=TIMEOUT)
    page = list(batch.results(1, 2))
    assert [(shard.index, shard.status) for shard in page] == [(1, RunStatus.FAILED), (2, RunStatus.SUCCEEDED)]
    assert page[0].outcome is not None
    assert page[0].outcome["exit_code"] == 3


CALLBACKS: dict[str, Callable[[], Signature]] = {
    "chain": lambda: chain(app_sig("add_up"), app_sig("identity")),
    "chord": lambda: chord([app_sig("add_up"), app_sig("add_up")], app_sig("identity")),
    "chord of chains": lambda: chord([chain(app_sig("identity"), app_sig("add_up"))], chain(app_sig("identity"))),
    "chord in a chain": lambda: chain(
        app_sig("add_up"), group(app_sig("identity"), app_sig("identity")), app_sig("identity")
    ),
    "launch": lambda: launch_sig(flow_name="total", org_id=ORG, receives="values"),
    "chain from a launch": lambda: chain(
        launch_sig(flow_name="total", org_id=ORG, receives="values"), app_sig("identity")
    ),
}
RESULTS = {"chord": [3, 3], "chord of chains": [3], "chord in a chain": [3, 3]}


@pytest.mark.parametrize("shape", CALLBACKS)
def test_a_callback_may_have_any_shape(application: Celery, shape: str) -> None:
    batch = fan_out(flow_name="echo", org_id=ORG, shards=[{"value": 1}, {"value": 2}], callback=CALLBACKS[shape]())
    assert batch.get(timeout=TIMEOUT) == RESULTS.get(shape, 3)


@pytest.mark.parametrize(
    "callback", [group(app_sig("note")), chain(app_sig("note"), group(app_sig("note"), app_sig("note")))]
)
def test_a_callback_without_a_single_result_is_refused(callback: Signature) -> None:
    with pytest.raises(RequestInvalid, match="a group has no single result"):
        fan_out(STUB, [GOOD], callback=callback)


def test_large_results_come_as_a_reference(application: Celery) -> None:
    shards = [{"value": "x" * 20_000} for _ in range(30)]
    batch = fan_out(flow_name="echo", org_id=ORG, shards=shards, callback=app_sig("measure"))
    assert batch.get(timeout=TIMEOUT) == {"type": "ShardResults", "count": 30, "characters": 600_000}


@pytest.mark.parametrize("shape", ["task", "chain", "chord"])
def test_an_error_callback_hears_of_a_batch_that_failed(
    application: Celery, noted: Callable[[str], list[str]], shape: str
) -> None:
    callback = app_sig("identity") if shape == "task" else CALLBACKS[shape]()
    held = callback.body if shape == "chord" else callback
    held.link_error(app_sig("note_failure", f"batch-failed-{shape}"))
    batch = fan_out(STUB, [BAD], callback=callback)
    with pytest.raises(ChordError):
        batch.get(timeout=TIMEOUT)
    assert noted(f"batch-failed-{shape}") == [batch.result.id]


@pytest.mark.parametrize(
    ("policies", "field"),
    [
        ({"max_parallel": 0}, "max_parallel"),
        ({"tolerate": -1}, "tolerate"),
        ({"tolerate": "101%"}, "tolerate"),
        ({"tolerate": "some"}, "tolerate"),
        ({"timeout": "soon"}, "timeout"),
        ({"max_fail_count": -1}, "max_fail_count"),
    ],
)
def test_policies_that_cannot_be_are_refused(policies: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        fan_out(STUB, [GOOD], **policies)
    assert [problem.field for problem in caught.value.problems] == [field]
