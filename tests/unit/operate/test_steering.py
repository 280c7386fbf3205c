"""``launch``, ``fan-out``, ``cancel`` and ``retry``, on a real ledger."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from celery import states

from dagy_queue.errors import RunFailed
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Phase, RunStatus
from dagy_queue.operate.commands import launch as launch_command
from dagy_queue.operate.request_fields import Words
from dagy_queue.producer import BatchHandle
from tests.unit.operate.kit import World, dagy_queue, failed

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


def test_a_launch_prints_the_runs_id_and_nothing_else(world: World) -> None:
    answer = dagy_queue("launch", "etl", "--org", "acme")
    assert answer.err == ""
    assert world.runs.get(answer.out.strip()).phase is Phase.QUEUED


def test_at_a_terminal_it_says_how_to_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_command, "is_for_people", lambda: True)
    answer = dagy_queue("launch", "etl", "--org", "acme")
    assert answer.err == f"launched; follow it: dagy-queue watch {answer.out}"
    assert dagy_queue("launch", "etl", "--org", "acme", "--quiet").err == ""


def test_every_option_becomes_a_field_of_the_request(world: World, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"n": 1, "name": "Bob"}')
    said = [
        *("--version", "1.0.0", "--parameters", f"@{tmp_path / 'p.json'}", "--param", "name=Ada"),
        *("--environment", "staging", "--deployment", "blue", "--cpu", "512", "--memory", "1024", "--priority", "2"),
        *("--correlation-id", "trace", "--retries", "3", "--timeout", "1h", "--env", "A=1", "--set", "oom_retries=2"),
        *("--secret", "KEY=arn:aws:secretsmanager:us-east-1:123456789012:secret:key-AbCdEf", "--run-id", "mine"),
    ]
    assert dagy_queue("launch", "etl", "--org", "acme", *said).out == "mine\n"
    # What was published is in the ledger's message; the first pass would park it.
    entry = world.runs.get("mine")
    assert (entry.correlation_id, entry.flow_name, entry.org_id) == ("trace", "etl", "acme")
    text = str(world.publisher.redis.client.hget(world.publisher.redis.key("run", "mine"), "published"))
    assert json.loads(text)["properties"]["priority"] == 2


def test_a_container_is_launched_by_image_and_command(world: World) -> None:
    run_id = dagy_queue("launch", "--org", "acme", "--image", "python:3.12-slim", "--", "python", "-c", "1").out.strip()
    assert world.runs.get(run_id).flow_name == "python:3.12-slim"


@pytest.mark.parametrize(
    "command", [["python", "-c", "print(1)"], ["--image", "-x", "--help"], ["sh", "--", "-c", "--"], []]
)
def test_the_words_behind_the_dashes_are_the_command_whatever_they_look_like(
    world: World, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, fields = list[Words](), Words.fields

    def noted(words: Words) -> dict[str, Any]:
        asked.append(words)
        return fields(words)

    monkeypatch.setattr(Words, "fields", noted)
    assert dagy_queue("launch", "--image", "x", "--org", "acme", "--", *command).code == 0
    assert dagy_queue("fan-out", "--image", "x", "--org", "acme", "--task-count", "1", "--", *command).code == 0
    assert [(words.flow, list(words.command), list(words.astray)) for words in asked] == [("", command, [])] * 2


CONTAINER = ("--image", "busybox", "--org", "acme")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["greeting", *CONTAINER], "FLOW = 'greeting': a flow or --image, not both; a container's command goes beh"),
        (["greeting", *CONTAINER, "--", "echo", "yes"], "FLOW = 'greeting': a flow or --image, not both"),
        ([*CONTAINER, "echo", "hi"], "COMMAND = 'echo hi': a container's command goes behind --, as in -- echo hi"),
        (["greeting", "--org", "acme", "--", "echo", "hi"], "COMMAND = 'echo hi': nothing behind the name of a flow"),
        (["greeting", "--org", "acme", "echo", "hi"], "COMMAND = 'echo hi': nothing behind the name of a flow"),
        (["--org", "acme", "--", "greeting"], "COMMAND = 'greeting': a container for it"),
    ],
)
@pytest.mark.parametrize("command", [["launch", "--wait"], ["fan-out", "--range", "n=0:1"]])
def test_a_flows_name_is_no_command_and_a_command_goes_behind_the_dashes(
    world: World, command: list[str], arguments: list[str], problem: str
) -> None:
    answer = dagy_queue(*command, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert problem in answer.err
    assert dagy_queue("list").out == "nothing that fits\n"


def test_a_launch_in_json_is_the_runs_status(world: World) -> None:
    found = dagy_queue("launch", "etl", "--org", "acme", "--json").json
    assert (found["kind"], found["status"], found["flow_name"]) == ("run", "QUEUED", "etl")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "the name of a flow, or --image"),
        (["etl"], "org_id = None: say whose: --org ORG, or set DAGY_ORG_ID"),
        (["--image", "busybox"], "org_id = None: say whose: --org ORG, or set DAGY_ORG_ID"),
        (["etl", "--org", "acme", "--cpu", "7"], "cpu"),
        (["etl", "--org", "acme", "--set", "colour=red"], "no such field"),
        (["etl", "--org", "acme", "--param", "x"], "a name and a value"),
        (["etl", "--org", "acme", "--run-id", "no id!"], "run_id"),
        (["etl", "--org", "acme", "--profile", "none"], "execution profiles"),
    ],
)
def test_a_launch_that_cannot_be_made_is_exit_code_2_and_sends_nothing(
    world: World, arguments: list[str], problem: str
) -> None:
    answer = dagy_queue("launch", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert problem in answer.err
    assert dagy_queue("list").out == "nothing that fits\n"


def test_a_fan_out_prints_the_batchs_id(world: World) -> None:
    answer = dagy_queue("fan-out", "sales", "--org", "acme", "--grid", "year=2023,2024", "--grid", "region=eu,us")
    batch = world.batches.get(answer.out.strip())
    assert (batch.total, answer.err) == (4, "")
    chunks = [delta for chunk in world.batches.spec_chunks(batch.batch_id, 0) for delta in chunk]
    assert chunks[1] == {"parameters": {"year": 2023, "region": "us"}}


def test_policies_are_the_batchs_and_the_rest_is_all_shards(world: World) -> None:
    said = [
        *("--max-parallel", "3", "--tolerate", "5%", "--fail-fast", "--timeout", "2h", "--shards-per-run", "2"),
        *("--retries", "1", "--correlation-id", "trace", "--param", "shared=1", "--priority", "1"),
    ]
    batch = world.batches.get(dagy_queue("fan-out", "sales", "--org", "acme", "--range", "n=0:4", *said).out.strip())
    policy = batch.policy
    assert (policy.max_parallel, policy.tolerate, policy.fail_fast, policy.timeout) == (3, "5%", True, 7200)
    assert (policy.shards_per_run, batch.correlation_id) == (2, "trace")
    assert batch.request["parameters"] == {"shared": 1}
    assert (batch.request["max_retries"], batch.request["priority"]) == (1, 1)


def test_shards_come_from_a_file(world: World, tmp_path: Path) -> None:
    (tmp_path / "shards.csv").write_text("year,region\n2023,eu\n2024,us\n")
    file = str(tmp_path / "shards.csv")
    batch = BatchHandle(dagy_queue("fan-out", "sales", "--org", "acme", "-f", file, "--type", "year=int").out.strip())
    chunks = [delta for chunk in world.batches.spec_chunks(batch.batch_id, 0) for delta in chunk]
    assert chunks[1] == {"parameters": {"year": 2024, "region": "us"}}


def test_a_containers_command_takes_the_values(world: World) -> None:
    said = [
        "--org",
        "acme",
        "--image",
        "python:3.12-slim",
        "--range",
        "year=1999:2001",
        "--",
        "analyze",
        "-y",
        "{year}",
    ]
    batch_id = dagy_queue("fan-out", *said).out.strip()
    chunks = [delta for chunk in world.batches.spec_chunks(batch_id, 0) for delta in chunk]
    assert chunks == [{"command": ["analyze", "-y", "1999"]}, {"command": ["analyze", "-y", "2000"]}]


def test_a_containers_command_without_braces_is_told_where_the_values_go(world: World) -> None:
    answer = dagy_queue("fan-out", *CONTAINER, "--range", "year=1999:2001", "--", "echo", "hi")
    assert (answer.code, answer.out) == (2, "")
    assert "such as {year}" in answer.err
    assert dagy_queue("fan-out", *CONTAINER, "--grid", "max_retries=1,2", "--", "echo", "hi").code == 0


def test_shards_that_are_all_alike_are_counted(world: World) -> None:
    found = dagy_queue("fan-out", "sales", "--org", "acme", "--task-count", "3", "--json").json
    assert (found["kind"], found["total"], found["status"]) == ("batch", 3, "QUEUED")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "say what the shards are: --grid, --range, --file, --manifest or --task-count"),
        (["--grid", "a=1", "--tolerate", "many"], "tolerate"),
        (["--grid", "a=1", "--set", "org_id=null"], "org_id = None: say whose: --org ORG, or set DAGY_ORG_ID"),
        (["--file", "/no/such/file.jsonl"], "a file that can be read"),
        (["--grid", "a=1", "--batch-id", "no"], "a UUID"),
        (["--file", "-", "--format", "xml"], "is not jsonl or csv"),
    ],
)
def test_a_fan_out_that_cannot_be_made_is_exit_code_2(world: World, arguments: list[str], problem: str) -> None:
    answer = dagy_queue("fan-out", "sales", "--org", "acme", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert problem in answer.err


def test_a_run_that_waits_is_cancelled_with_its_reason(world: World) -> None:
    run_id = world.held()
    answer = dagy_queue("cancel", run_id, "--reason", "not today")
    assert answer.out == f"run {run_id} is cancelled; it was waiting\n"
    assert world.runs.get(run_id).cancel_reason == "not today"


def test_a_reason_may_have_bytes_that_are_no_utf_8(world: World) -> None:
    run_id = world.held()
    assert dagy_queue("cancel", run_id, "--reason", "caf\udce9").code == 0
    assert world.runs.get(run_id).cancel_reason == r"caf\udce9"
    assert dagy_queue("list", "--correlation-id", "\udce9").out == "nothing that fits\n"
    assert r"there is no run or batch '\udce9'" in dagy_queue("list", "--batch", "\udce9").err


def test_each_of_several_is_told_what_became_of_it(world: World) -> None:
    done, queued, batch = world.ended(), world.published(), world.batch(2)
    answer = dagy_queue("cancel", done, queued, batch.batch_id, "nonsense", "--json")
    assert [(each["kind"], each["id"], each["found"], each["cancelled"]) for each in answer.json] == [
        ("run", done, "finished", False),
        ("run", queued, "queued", True),
        ("batch", batch.batch_id, "cancelled", True),
    ]
    assert answer.code == 5
    assert "'nonsense'" in answer.err
    assert dagy_queue("cancel", batch.batch_id).out.endswith("was cancelled before, and is about to end\n")


def test_a_run_that_failed_is_launched_once_more(world: World) -> None:
    run_id = world.ended(RunStatus.FAILED, failed(), correlation_id="trace", parameters={"n": 7})
    answer = dagy_queue("retry", run_id)
    again = world.runs.get(answer.out.strip())
    assert (again.phase, again.correlation_id, again.flow_name) == (Phase.QUEUED, "trace", "etl")
    assert again.run_id != run_id
    assert (
        dagy_queue("retry", run_id, "--json").json.items() >= {"kind": "run", "shards": 1, "retry_of": run_id}.items()
    )


def test_a_shard_is_launched_once_more_with_the_number_it_had(world: World) -> None:
    batch = world.batch(3, correlation_id="trace")
    world.end_shard(batch, 2, RunStatus.CANCELLED)
    run_id = dagy_queue("retry", f"{batch.batch_id}:2").out.strip()
    (again,) = [row for row in dagy_queue("list", "--json").json if row["batch_id"] != batch.batch_id]
    assert BatchHandle(again["batch_id"]).shard(0).run_id == run_id
    (delta,) = [delta for chunk in world.batches.spec_chunks(again["batch_id"], 0) for delta in chunk]
    assert delta == {"correlation_id": "trace:2", "number": 2, "parameters": {"n": 2}}


@pytest.mark.parametrize("status", [None, RunStatus.SUCCEEDED])
def test_what_did_not_end_badly_is_not_tried_again(world: World, status: RunStatus | None) -> None:
    answer = dagy_queue("retry", world.ended(status) if status else world.held())
    assert answer.code == 2
    assert f"a run that FAILED or was CANCELLED; this one is {status or 'QUEUED'}" in answer.err


def test_a_run_that_was_never_taken_is_to_be_launched_anew(world: World) -> None:
    run_id = world.published()
    world.runs.finish(AttemptId(run_id, 1), RunStatus.CANCELLED, failed())
    answer = dagy_queue("retry", run_id)
    assert (answer.code, "launch it anew" in answer.err) == (2, True)


def test_the_failed_shards_of_a_batch_are_launched_once_more(world: World) -> None:
    batch = world.batch(3)
    backend = world.publisher.app.backend
    for shard, status in enumerate((RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.FAILED)):
        world.end_shard(batch, shard, status, failed() if status is RunStatus.FAILED else None)
        good = status is RunStatus.SUCCEEDED
        result = 1 if good else RunFailed("no", failed())
        backend.store_result(batch.shard(shard).run_id, result, states.SUCCESS if good else states.FAILURE)
    found = dagy_queue("retry", batch.batch_id, "--failed", "--json").json
    assert (found["kind"], found["shards"], found["retry_of"]) == ("batch", 2, batch.batch_id)
    assert len(BatchHandle(found["id"])) == 2


def test_of_a_batch_the_failed_shards_must_be_asked_for(world: World) -> None:
    assert "say --failed" in dagy_queue("retry", world.batch(1).batch_id).err
    assert "--failed is for batches" in dagy_queue("retry", world.held(), "--failed").err


@pytest.mark.parametrize(
    ("source", "where"),
    [
        (["--file", "-"], "standard input"),
        (["--file", "{}/none.jsonl"], "{}/none.jsonl"),
        (["--file", "{}/head.csv"], "{}/head.csv"),
        (["--range", "n=3:3"], "the range"),
    ],
)
def test_a_batch_without_shards_is_launched_and_said_to_be_empty(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: list[str], where: str
) -> None:
    (tmp_path / "none.jsonl").write_text("\n")
    (tmp_path / "head.csv").write_text("n\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO())))  # type: ignore[arg-type]
    arguments = ["sales", "--org", "acme", *(each.format(tmp_path) for each in source)]
    answer = dagy_queue("fan-out", *arguments)
    assert answer.code == 0
    assert answer.err == f"the batch is empty: {where.format(tmp_path)} has no shards, so nothing runs\n"
    assert world.batches.get(answer.out.strip()).total == 0
    assert dagy_queue("fan-out", *arguments, "--quiet").err == ""
    explained = dagy_queue("explain", answer.out.strip())
    assert (explained.code, explained.out) == (5, "")
    assert "to explain: it is empty, and nothing ran" in explained.err


def test_a_batch_whose_manifest_cannot_be_run_says_why_wherever_it_is_asked_for(world: World) -> None:
    batch_id = dagy_queue("fan-out", "sales", "--org", "acme", "--manifest", "s3://b/k.jsonl").out.strip()
    assert "not counted yet" in dagy_queue("explain", batch_id).err
    world.batches.refuse(batch_id, "line 7 is no JSON")
    for command in (["results"], ["watch"], ["watch", "--json"]):
        answer = dagy_queue(*command, batch_id)
        assert answer.code == 1
        assert "line 7 is no JSON" in answer.err
    explained = dagy_queue("explain", batch_id)
    assert (explained.code, explained.err.count("line 7 is no JSON")) == (5, 1)
