"""The recorder: what it writes when, and that a DynamoDB in trouble is told once and never stops a run."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.retries import standard

from dagy.contract import RunSpec
from dagy_worker import dynamodb as dynamodb_module
from dagy_worker import recorder as recorder_module
from dagy_worker.aws import Patience
from dagy_worker.notes import Over, Started, TaskChanged
from dagy_worker.recorder import Recorder
from tests.integration.waiting import eventually
from tests.worker.entrypoint.http_kit import HANG_UP, Answer, Server, serving
from tests.worker.entrypoint.log_kit import Log

NOW = "2026-11-21T10:00:00.000Z"
OK = Answer(body=b"{}")
REFUSED = Answer(400, b'{"__type":"x#ResourceNotFoundException","message":"Requested resource not found"}')


@pytest.fixture
def log() -> Iterator[Log]:
    with Log() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr(standard.ExponentialBackoff, "delay_amount", lambda *_: 0.0)
    monkeypatch.setattr(dynamodb_module, "_FIRST_DELAY", 0.0)


@pytest.fixture(autouse=True)
def _in_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")


def recorder_of(server: Server, log: Log, runs: int = 1, **fields: Any) -> Recorder:
    values = {"runs_table": "RUNS", "task_runs_table": "TASKS", "heartbeat_seconds": 3600.0, **fields}
    common: dict[str, Any] = {"org_id": "o", "flow_name": "f", "flow_version": "1", "artifact_uri": "s3://b/k"}
    members = [RunSpec(run_id=f"r{n}", attempt=1, **common, **values) for n in range(runs)]
    os.environ["AWS_ENDPOINT_URL"] = server.url  # put back by the fixture
    return Recorder(members, {"AWS_REGION": "us-east-1"}, log)


def task(number: int, state: str = "SUCCEEDED") -> TaskChanged:
    return TaskChanged(0, f"t{number}", state, 1, NOW, NOW, 0.5, "")


def calls(server: Server) -> list[tuple[str, dict[str, Any]]]:
    return [(r.headers["X-Amz-Target"].partition(".")[2], json.loads(r.body)) for r in server.requests]


def said_of_run(call: dict[str, Any]) -> str:
    values = call["ExpressionAttributeValues"]
    return str(values.get(":status", {}).get("S", "beat"))


def test_start_and_end_are_written_at_once_and_tasks_in_batches_at_the_end(log: Log) -> None:
    with serving(OK) as server:
        recorder = recorder_of(server, log)
        recorder.tell(Started(0, NOW))
        eventually(lambda: server.requests, "the start is written")
        for number in range(60):
            recorder.tell(task(number, "RUNNING"))
            recorder.tell(task(number))
        recorder.tell(Over(0, 0, "", NOW))
        recorder.pause()
        made = calls(server)
    assert [said_of_run(call) for name, call in made if name == "UpdateItem"] == ["RUNNING", "SUCCEEDED"]
    batches = [call["RequestItems"]["TASKS"] for name, call in made if name == "BatchWriteItem"]
    assert [len(batch) for batch in batches] == [25, 25, 10]
    assert {put["PutRequest"]["Item"]["state"]["S"] for batch in batches for put in batch} == {"SUCCEEDED"}
    assert log.lines == []


def test_heartbeats_and_tasks_are_written_while_the_run_goes_on(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "_SHORTEST_BEAT", 0.01)
    with serving(OK) as server:
        recorder = recorder_of(server, log, heartbeat_seconds=0.01)
        recorder.tell(Started(0, NOW))
        recorder.tell(task(1, "RUNNING"))
        eventually(lambda: len(calls(server)) >= 5, "there are heartbeats")
        recorder.tell(Over(0, 1, "ValueError: x", NOW))
        recorder.pause()
        made = calls(server)
    said = [said_of_run(call) for name, call in made if name == "UpdateItem"]
    assert (said[0], said[-1]) == ("RUNNING", "RUNNING")  # in phase STOPPED: a dispatcher may try it again
    assert set(said[1:-1]) == {"beat"}
    assert [name for name, _ in made].count("BatchWriteItem") == 1


def test_without_tables_nobody_is_asked(log: Log) -> None:
    with serving(OK) as server:
        recorder = recorder_of(server, log, runs_table="", task_runs_table="")
        recorder.tell(Started(0, NOW))
        recorder.tell(Over(0, 0, "", NOW))
        recorder.pause()
        assert server.requests == []
        only_tasks = recorder_of(server, log, runs_table="")
        only_tasks.tell(Started(0, NOW))
        only_tasks.tell(task(1))
        only_tasks.pause()
        assert [name for name, _ in calls(server)] == ["BatchWriteItem"]


def test_items_that_dynamodb_did_not_get_to_are_sent_again(log: Log) -> None:
    def left_over(*numbers: int) -> Answer:
        rest = [{"PutRequest": {"Item": {"task_name": {"S": f"t{n}"}}}} for n in numbers]
        return Answer(body=json.dumps({"UnprocessedItems": {"TASKS": rest}}).encode())

    with serving(left_over(1, 2), left_over(2), OK) as server:
        recorder = recorder_of(server, log, runs_table="")
        for number in range(3):
            recorder.tell(task(number))
        recorder.pause()
        assert [len(call["RequestItems"]["TASKS"]) for _, call in calls(server)] == [3, 2, 1]
    assert log.lines == []


@pytest.mark.parametrize("trouble", [REFUSED, Answer(500), Answer(HANG_UP)])
def test_trouble_is_told_once_and_the_rest_is_tried_all_the_same(log: Log, trouble: Answer) -> None:
    with serving(trouble) as server:
        recorder = recorder_of(server, log, runs=2)
        for place in (0, 1):
            recorder.tell(Started(place, NOW))
            recorder.tell(Over(place, 0, "", NOW))
        recorder.tell(task(1))
        recorder.pause()
        asked = {(name, json.dumps(call.get("Key"))) for name, call in calls(server)}
    assert len(asked) == 3
    (line,) = log.lines
    assert (line["level"], line["event_type"]) == ("WARNING", "record_failed")
    assert "the run goes on, and this is not told again" in line["message"]


def test_what_could_not_be_written_is_written_when_dynamodb_is_back(log: Log) -> None:
    with serving(Answer(HANG_UP), Answer(HANG_UP), Answer(HANG_UP), OK) as server:
        recorder = recorder_of(server, log)
        recorder.tell(Started(0, NOW))
        eventually(lambda: log.lines, "the outage is told")
        recorder.tell(Over(0, 0, "", NOW))
        recorder.pause()
        call = calls(server)[-1][1]
    assert said_of_run(call) == "SUCCEEDED"
    assert call["ExpressionAttributeValues"][":flow_name"] == {"S": "f"}


def test_an_attempt_that_is_not_the_newest_is_no_trouble(log: Log) -> None:
    with serving(Answer(400, b'{"__type":"x#ConditionalCheckFailedException"}')) as server:
        recorder = recorder_of(server, log)
        recorder.tell(Started(0, NOW))
        recorder.pause()
        assert len(server.requests) == 1
    assert log.lines == []


def test_the_end_waits_for_a_slow_dynamodb_no_longer_than_it_may(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb_module, "PATIENCE", Patience(connect=30, read=30, attempts=1))
    answer = threading.Event()
    with serving(OK) as server:
        server.before = lambda _: answer.wait(30)
        recorder = recorder_of(server, log)
        recorder.tell(Started(0, NOW))
        eventually(lambda: server.requests, "the start is being written")
        before = time.monotonic()
        recorder.pause(before + 0.05)
        waited = time.monotonic() - before
        recorder.tell(Over(0, 0, "", NOW))  # nobody is there to write it any more
        recorder.pause()
        answer.set()
    assert waited < 10
    assert [line["event_type"] for line in log.lines] == ["record_failed"]
    assert "did not answer in time" in log.lines[0]["message"]


def test_it_can_be_paused_and_goes_on(log: Log) -> None:
    with serving(OK) as server:
        recorder = recorder_of(server, log, runs=2)
        recorder.pause()
        for place in (0, 1):
            recorder.tell(Started(place, NOW))
            recorder.tell(Over(place, 0, "", NOW))
            recorder.pause()
            assert not [thread for thread in threading.enumerate() if thread.name == "dagy-records"]
        assert {call["Key"]["run_id"]["S"] for _, call in calls(server)} == {"r0", "r1"}
