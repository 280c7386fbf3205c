"""``dagy-queue results``, on a real ledger."""

from __future__ import annotations

import json

import pytest
from celery import states

from dagy_queue.errors import AwsRefused, RunFailed
from dagy_queue.ids import AttemptId
from dagy_queue.launching import results as results_in_s3
from dagy_queue.ledger import RunStatus
from dagy_queue.operate import results as results_module
from tests.unit.operate.kit import World, dagy_queue, failed

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


def test_the_result_of_a_run_is_json(world: World) -> None:
    run_id = world.ended()
    world.publisher.app.backend.store_result(run_id, {"rows": 7}, states.SUCCESS)
    assert dagy_queue("results", run_id).out == '{"rows": 7}\n'
    assert dagy_queue("results", run_id, "--json").json["value"] == {"rows": 7}


def test_a_run_that_failed_has_no_result(world: World) -> None:
    run_id = world.ended(RunStatus.FAILED, failed())
    world.publisher.app.backend.store_result(run_id, RunFailed("no luck", failed()), states.FAILURE)
    answer = dagy_queue("results", run_id)
    assert (answer.code, answer.out) == (1, "FAILED: no luck\n")
    assert dagy_queue("results", run_id, "--json").json["outcome"] == failed()


def test_a_run_that_goes_on_has_no_result_yet_which_is_exit_code_1(world: World) -> None:
    run_id = world.held()
    answer = dagy_queue("results", run_id)
    assert (answer.code, answer.out) == (1, f"run {run_id} is QUEUED and has no result yet; --wait waits for it\n")
    answer = dagy_queue("results", run_id, "--json")
    assert (answer.code, answer.json["status"], answer.json["value"]) == (1, "QUEUED", None)


def test_a_run_whose_result_is_not_kept_any_more_is_exit_code_1(world: World) -> None:
    run_id = world.ended()
    answer = dagy_queue("results", run_id)
    assert (answer.code, answer.out) == (1, f"run {run_id} is over: its result is not kept any more\n")
    answer = dagy_queue("results", run_id, "--json")
    assert (answer.code, answer.json["status"], answer.json["value"]) == (1, None, None)


def test_what_celery_has_forgotten_is_read_from_s3(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = world.ended()
    reports = {("acme", AttemptId(run_id, 1)): {"rows": 7}}
    monkeypatch.setattr(results_in_s3, "find_result", lambda _, org, attempt: reports[org, attempt])
    assert dagy_queue("results", run_id).out == '{"rows": 7}\n'
    answer = dagy_queue("results", run_id, "--json")
    assert (answer.code, answer.json["status"], answer.json["value"]) == (0, "SUCCEEDED", {"rows": 7})


def test_what_celery_has_forgotten_of_a_batch_is_read_from_s3(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = world.batch(3)
    for shard, status in enumerate((RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.SUCCEEDED)):
        world.end_shard(batch, shard, status, failed("no luck") if shard == 1 else None)
    reports = {("acme", AttemptId(batch.shard(0).run_id, 1)): {"rows": 7}}

    def find_result(_: object, org: str, attempt: AttemptId) -> object:
        if (org, attempt) not in reports:
            raise results_in_s3.NoResult("nothing is there")
        return reports[org, attempt]

    monkeypatch.setattr(results_in_s3, "find_result", find_result)
    answer = dagy_queue("results", batch.batch_id)
    lines = ['0  SUCCEEDED  {"rows": 7}', "1  FAILED  no luck", "2  -  its result is not kept any more"]
    assert (answer.code, answer.lines) == (1, lines)
    found = [json.loads(line) for line in dagy_queue("results", batch.batch_id, "--json").lines]
    assert [(each["shard"], each["status"]) for each in found] == [(0, "SUCCEEDED"), (1, "FAILED"), (2, None)]


def test_without_credentials_a_result_that_is_in_s3_is_said_to_be_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AwsRefused("s3:GetObject: no AWS credentials were found", code="NoCredentials", operation="s3:GetObject")

    monkeypatch.setattr(results_in_s3, "find_result", refuse)
    run_id = world.ended()
    answer = dagy_queue("results", run_id)
    told = "its result is not in Redis any more; it is read from S3, and s3:GetObject: no AWS credentials were found"
    assert (answer.code, answer.out) == (1, f"run {run_id} is over: {told}\n")
    assert dagy_queue("results", run_id, "--json").json["status"] is None


def test_without_credentials_s3_is_asked_once_for_a_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[AttemptId] = []

    def refuse(_config: object, _org: str, attempt: AttemptId) -> None:
        asked.append(attempt)
        raise AwsRefused("s3:GetObject: no AWS credentials were found", code="NoCredentials", operation="s3:GetObject")

    monkeypatch.setattr(results_in_s3, "find_result", refuse)
    batch = world.batch(3)
    for shard in range(3):
        world.end_shard(batch, shard, RunStatus.SUCCEEDED)
    lines = dagy_queue("results", batch.batch_id).lines
    assert [("is read from S3" in line, line.split()[1]) for line in lines] == [(True, "-")] * 3
    assert len(asked) == 1


def test_shards_without_a_result_say_what_became_of_them(world: World) -> None:
    batch = world.batch(5)
    world.publisher.app.backend.store_result(batch.shard(0).run_id, "a", states.SUCCESS)
    world.end_shard(batch, 1, RunStatus.SUCCEEDED)
    world.end_shard(batch, 2, RunStatus.FAILED, failed("no luck"))
    world.forget(batch.shard(4).run_id)
    answer = dagy_queue("results", batch.batch_id)
    assert answer.code == 1
    assert answer.lines == [
        *('0  SUCCEEDED  "a"', "1  -  its result is not kept any more", "2  FAILED  no luck"),
        *("3  QUEUED  no result yet", "4  -  its result is not kept any more"),
    ]
    assert dagy_queue("results", batch.batch_id, "--failed").lines == ["2  FAILED  no luck"]


@pytest.mark.parametrize("left", [0, 1])
def test_the_results_of_a_batch_are_exit_code_0_once_every_shard_has_one(
    world: World, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    monkeypatch.setattr(results_module, "PAGE", 2)
    batch = world.batch(5)
    for shard in range(5 - left):
        world.publisher.app.backend.store_result(batch.shard(shard).run_id, shard, states.SUCCESS)
    answer = dagy_queue("results", batch.batch_id)
    assert (answer.code, len(answer.lines)) == (left, 5)
    assert dagy_queue("results", batch.batch_id, "--failed").code == left


def test_a_batch_that_is_not_counted_has_no_results_yet(world: World) -> None:
    batch_id = dagy_queue("fan-out", "sales", "--org", "acme", "--manifest", "s3://b/k.jsonl").out.strip()
    answer = dagy_queue("results", batch_id)
    assert (answer.code, answer.out) == (1, "")
    assert f"batch {batch_id} has no results yet" in answer.err


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_run_that_ended_badly_is_told_also_where_its_result_is_not_kept(world: World, status: RunStatus) -> None:
    answer = dagy_queue("results", world.ended(status, failed("no luck")))
    assert (answer.code, answer.out) == (1, f"{status.value}: no luck\n")


def test_the_results_of_a_batch_are_in_order_and_may_be_only_the_bad_ones(world: World) -> None:
    batch = world.batch(3)
    backend = world.publisher.app.backend
    backend.store_result(batch.shard(0).run_id, "a", states.SUCCESS)
    backend.store_result(batch.shard(2).run_id, RunFailed("no luck", failed()), states.FAILURE)
    answer = dagy_queue("results", batch.batch_id)
    assert answer.code == 1
    assert answer.lines == ['0  SUCCEEDED  "a"', "1  QUEUED  no result yet", "2  FAILED  no luck"]
    found = [json.loads(line) for line in dagy_queue("results", batch.batch_id, "--json").lines]
    assert [(each["shard"], each["status"], each["value"]) for each in found] == [
        (0, "SUCCEEDED", "a"),
        (1, "QUEUED", None),
        (2, "FAILED", None),
    ]
    assert dagy_queue("results", batch.batch_id, "--failed").lines == ["2  FAILED  no luck"]
