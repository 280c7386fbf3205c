"""``status``, ``list`` and ``explain``, on a real ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dagy_queue.errors import AwsRefused
from dagy_queue.ids import new_id
from dagy_queue.ledger import RedisConnection, RunStatus
from dagy_queue.ledger.overview import Overview
from dagy_queue.operate.finding import Desk, run_id_of
from dagy_queue.producer import batch_report
from dagy_queue.producer.fan_out import fan_out
from dagy_queue.producer.publisher import default_publisher
from dagy_queue.records import run_queries
from dagy_queue.records.runs import RunRecord
from dagy_queue.settings import settings
from tests.unit.operate.kit import TASK, World, dagy_queue, failed, listed, record

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


def test_a_run_that_failed_is_shown_with_its_outcome(world: World) -> None:
    run_id = world.ended(RunStatus.FAILED, failed(log_lines=["working", "no luck"], detail="as ECS said"))
    lines = dagy_queue("status", run_id).lines
    assert [line.split("  ")[0] for line in lines] == [
        *("run", "org", "what", "correlation", "status", "attempt", "created", "ended", "what happened", "detail"),
        *("what to do", "exit code", "log ends with", "", "task"),
    ]
    assert lines[-3:-1] == ["log ends with  working", "               no luck"]
    found = dagy_queue("status", run_id, "--json").json
    assert (found["kind"], found["run_id"], found["status"]) == ("run", run_id, "FAILED")
    assert found["outcome"]["task_arns"] == {"1": TASK.format(run_id)}


def test_a_run_that_is_well_is_shown_without_ado(world: World) -> None:
    run_id = world.held()
    assert any(line.endswith("QUEUED (HELD)") for line in dagy_queue("status", run_id).lines)
    done = dagy_queue("status", world.ended()).out
    assert "what happened" not in done
    assert "SUCCEEDED" in done


def test_a_failure_is_found_however_many_have_ended_well_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_report, "LOOKED_AT", 2)
    batch = world.batch(6, tolerate=1)
    for shard in range(5):
        world.end_shard(batch, shard, RunStatus.FAILED if shard == 4 else RunStatus.SUCCEEDED, failed())
    assert "why 1 shard failed:\n  1x the container failed" in dagy_queue("status", batch.batch_id).out
    assert dagy_queue("explain", batch.batch_id, "--json").json["run_id"] == batch.shard(4).run_id


def test_a_batch_is_shown_with_the_kinds_of_its_failures_the_most_frequent_first(world: World) -> None:
    batch = world.batch(6, tolerate=1)
    world.end_shard(batch, 0, RunStatus.SUCCEEDED)
    world.end_shard(batch, 3, RunStatus.FAILED, failed("out of memory"))
    for shard in (1, 2):
        world.end_shard(batch, shard, RunStatus.FAILED, failed())
    out = dagy_queue("status", batch.batch_id).out
    assert "shards       6, 4 ended" in out
    assert "phases       2 held, 1 succeeded, 3 failed" in out
    assert "tolerates    1 failure" in out
    why = out.split("\n\n")[1].splitlines()
    assert why[0] == "why 3 shards failed:"
    assert why[1:4] == [
        "  2x the container failed (exit code 3)",
        "     what to do: mend it",
        f"     such as shard 1: dagy-queue explain {batch.shard(1).run_id}",
    ]
    assert why[4] == "  1x out of memory"
    found = dagy_queue("status", batch.batch_id, "--json").json
    assert (found["kind"], found["status"], found["total"], found["done"]) == ("batch", "RUNNING", 6, 4)
    assert [shard["shard"] for shard in found["failed"]] == [3, 1, 2]


@pytest.mark.parametrize(
    ("ends", "policies", "status"),
    [
        ([RunStatus.SUCCEEDED] * 2, {}, "SUCCEEDED"),
        ([RunStatus.SUCCEEDED, RunStatus.FAILED], {}, "FAILED"),
        ([RunStatus.SUCCEEDED, RunStatus.FAILED], {"tolerate": 1}, "SUCCEEDED"),
        ([RunStatus.SUCCEEDED, RunStatus.CANCELLED], {}, "FAILED"),
        ([RunStatus.SUCCEEDED], {}, "RUNNING"),
        ([], {}, "QUEUED"),
    ],
)
def test_a_batch_has_the_status_that_its_caller_hears(
    world: World, ends: list[RunStatus], policies: dict[str, Any], status: str
) -> None:
    batch = world.batch(2, **policies)
    for shard, end in enumerate(ends):
        world.end_shard(batch, shard, end)
    assert dagy_queue("status", batch.batch_id, "--json").json["status"] == status


def test_a_batch_that_was_cancelled_is_cancelled(world: World) -> None:
    batch = world.batch(2)
    batch.cancel("too late")
    world.end_shard(batch, 0, RunStatus.SUCCEEDED)
    world.end_shard(batch, 1, RunStatus.CANCELLED)
    found = dagy_queue("status", batch.batch_id, "--json").json
    assert (found["status"], found["cancel_reason"]) == ("CANCELLED", "too late")


def test_a_batch_whose_manifest_is_refused_has_failed(world: World) -> None:
    batch = world.batch(2)
    world.publisher.redis.client.hset(
        world.publisher.redis.key("batch", batch.batch_id), "refused", "line 7 is no JSON"
    )
    answer = dagy_queue("status", batch.batch_id)
    assert "refused      line 7 is no JSON" in answer.out
    assert dagy_queue("list").lines[1].endswith("line 7 is no JSON")
    assert dagy_queue("status", batch.batch_id, "--json").json["status"] == "FAILED"


def test_a_shard_is_named_by_its_batch_and_number(world: World) -> None:
    batch = world.batch(3)
    assert run_id_of(f" {batch.batch_id}:2 ") == batch.shard(2).run_id
    assert dagy_queue("status", f"{batch.batch_id}:2", "--json").json["shard"] == 2
    assert dagy_queue("status", f"{batch.batch_id}:3").code == 5


def test_a_shard_that_a_batch_has_not_is_told_with_how_many_it_has(world: World) -> None:
    batch_id = world.batch(3).batch_id
    answer = dagy_queue("status", f"{batch_id}:7")
    assert (answer.code, answer.out) == (5, "")
    assert f"batch {batch_id} has no shard 7: it has 3 shards, counted from 0" in answer.err
    raw = fan_out(flow_name="sales", org_id="acme", shards=[{"n": 1}]).batch_id
    assert f"batch {raw} has no shard 0: it is not entered yet" in dagy_queue("status", f"{raw}:0").err
    assert (
        f"no run or batch '{batch_id}:7' of org 'umbrella'"
        in dagy_queue("status", f"{batch_id}:7", "--org", "umbrella").err
    )


def test_a_list_of_a_batch_that_is_none_says_so(world: World) -> None:
    answer = dagy_queue("list", "--batch", "nope")
    assert (answer.code, answer.out) == (5, "")
    assert "there is no run or batch 'nope'" in answer.err
    run_id = world.held()
    assert f"'{run_id}' is a run, not a batch" in dagy_queue("list", "--batch", run_id).err
    assert dagy_queue("list", "--batch", world.batch(1).batch_id, "--status", "FAILED").out == "nothing that fits\n"


@pytest.mark.parametrize("command", ["status", "explain", "results", "cancel", "retry", "watch", "logs"])
@pytest.mark.parametrize("text", ["nonsense", "no id!", "0b0e8a3e-3a1c-4a63-9a1c-0d6a4b1f3c55:x"])
def test_what_nobody_knows_is_exit_code_5(world: World, command: str, text: str) -> None:
    answer = dagy_queue(command, text)
    assert (answer.code, answer.out) == (5, "")
    assert f"there is no run or batch {text!r}" in answer.err


@pytest.mark.parametrize("command", ["status", "explain"])
def test_an_empty_id_is_a_wrong_use(world: World, command: str) -> None:
    answer = dagy_queue(command, " ")
    assert answer.code == 2
    assert "the id of a run or a batch" in answer.err


def test_without_a_redis_it_is_exit_code_4(process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGY_REDIS_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    default_publisher.cache_clear()
    answer = dagy_queue("status", "r")
    assert answer.code == 4
    assert "cannot be reached" in answer.err


def test_the_newest_are_listed_first_and_a_batch_is_one_row(world: World) -> None:
    first, batch, last = world.held(), world.batch(3), world.ended(RunStatus.FAILED, failed())
    assert listed() == [last, batch.batch_id, first]
    head, *rows = dagy_queue("list").lines
    assert head.split() == ["ID", "STATUS", "WHAT", "ORG", "AGE"]
    assert rows[0].split()[:4] == [last, "FAILED", "etl", "acme"]
    assert rows[0].endswith("the container failed (exit code 3)")
    assert rows[1].endswith("0 of 3 shards ended; 3 held")
    assert rows[2].endswith("held")


def test_rows_in_json_have_the_form_of_status(world: World) -> None:
    run_id, batch = world.held(), world.batch(2)
    by_kind = {row["kind"]: row for row in dagy_queue("list", "--json").json}
    assert by_kind["run"] == dagy_queue("status", run_id, "--json").json
    of_batch = dagy_queue("status", batch.batch_id, "--json").json
    assert by_kind["batch"] == {key: value for key, value in of_batch.items() if key != "failed"}


def test_a_list_is_filtered(world: World) -> None:
    etl, other = world.held(correlation_id="trace-1"), world.held(flow_name="other", org_id="umbrella")
    done = world.ended(RunStatus.FAILED, failed(), correlation_id="trace-1:7")
    batch = world.batch(2, correlation_id="trace-2")
    assert listed("--flow", "other") == listed("--org", "umbrella") == [other]
    assert listed("--status", "failed") == listed("--status", "FAILED,CANCELLED") == [done]
    assert listed("--status", "failed", "--status", "queued", "--flow", "etl") == [done, etl]
    assert listed("--correlation-id", "trace-1") == [done, etl]
    assert listed("--correlation-id", "trace-2") == [batch.batch_id]
    assert listed("--since", "1h") == [batch.batch_id, done, other, etl]
    assert listed("--since", (datetime.now(UTC) + timedelta(hours=1)).isoformat()) == []


def test_the_shards_of_a_batch_are_listed_in_order(world: World) -> None:
    batch = world.batch(3, correlation_id="trace")
    world.end_shard(batch, 1, RunStatus.FAILED, failed())
    ids = [batch.shard(n).run_id for n in range(3)]
    assert listed("--batch", batch.batch_id) == ids
    assert listed("--batch", batch.batch_id, "--status", "failed") == [ids[1]]
    assert listed("--batch", batch.batch_id, "--correlation-id", "trace:2") == [ids[2]]
    assert "shard 1 the container failed" in dagy_queue("list", "--batch", batch.batch_id).out


def test_shards_may_be_listed_instead_of_their_batches(world: World) -> None:
    batch, run_id = world.batch(2), world.ended(RunStatus.FAILED, failed())
    world.end_shard(batch, 0, RunStatus.FAILED, failed())
    assert listed("--shards") == [run_id, batch.shard(0).run_id, batch.shard(1).run_id]
    assert listed("--shards", "--status", "failed") == [run_id, batch.shard(0).run_id]
    assert listed("--shards", "--flow", "sales", "--correlation-id", f"{batch.batch_id}:1") == [batch.shard(1).run_id]


def test_a_list_ends_at_its_limit_and_says_that_there_is_more(world: World) -> None:
    ids = [world.held() for _ in range(3)]
    answer = dagy_queue("list", "--json", "--limit", "2")
    assert [row["run_id"] for row in answer.json] == [ids[2], ids[1]]
    assert answer.err == "there are more: --limit 2 shows the newest 2\n"
    assert dagy_queue("list", "-n", "3").err == ""


def test_a_list_reads_no_more_than_it_shows_however_many_shards_there_are(
    world: World, connection: RedisConnection
) -> None:
    for _ in range(3):
        world.batch(2000)
    run_id = world.held()
    before: Any = connection.client.info("stats")
    assert listed("--limit", "2")[0] == run_id
    after: Any = connection.client.info("stats")
    assert after["total_commands_processed"] - before["total_commands_processed"] < 50


def test_what_has_left_the_ledger_leaves_the_index_as_well(world: World, connection: RedisConnection) -> None:
    gone, kept = world.held(), world.held()
    connection.client.delete(connection.key("run", gone))
    assert listed() == [kept]
    assert [each.id for page in Overview(connection).published() for each in page] == [kept]


def test_nothing_that_fits_is_said(world: World) -> None:
    assert dagy_queue("list").out == "nothing that fits\n"
    assert dagy_queue("list", "--json").json == []


@pytest.mark.parametrize("arguments", [["--status", "BROKEN"], ["--limit", "0"], ["--since", "yesterday"]])
def test_a_filter_that_means_nothing_is_a_wrong_use(world: World, arguments: list[str]) -> None:
    assert dagy_queue("list", *arguments).code == 2


def test_older_runs_of_an_org_come_from_the_record(world: World, records: dict[str, RunRecord]) -> None:
    live = world.held()
    records["old"] = record("old")
    records[live] = record(live)
    assert listed() == [live]
    assert listed("--org", "acme") == listed("--org", "acme", "--flow", "etl") == [live, "old"]
    assert listed("--org", "acme", "--correlation-id", "old") == ["old"]
    assert listed("--correlation-id", "old") == []
    assert listed("--org", "acme", "--status", "succeeded") == []


def test_shards_of_a_batch_that_has_a_row_are_not_listed_once_more(world: World, records: dict[str, RunRecord]) -> None:
    batch = world.batch(2)
    for shard in range(2):
        run_id = batch.shard(shard).run_id
        records[run_id] = record(run_id, batch_id=batch.batch_id, shard=shard)
    records["old-shard"] = record("old-shard", batch_id=new_id(), shard=0)
    assert listed("--org", "acme") == [batch.batch_id, "old-shard"]
    assert listed("--org", "acme", "--shards") == [*(batch.shard(n).run_id for n in range(2)), "old-shard"]


def test_direct_mode_lists_the_record_alone(
    world: World, records: dict[str, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    records["old"] = record("old")
    world.held()
    monkeypatch.setattr(Desk, "is_direct", True)
    monkeypatch.setattr(Desk, "publisher", property(lambda _desk: pytest.fail("there is no Redis")))
    assert listed("--org", "acme") == ["old"]
    answer = dagy_queue("list")
    assert answer.out == "nothing that fits\n"
    assert answer.err == "direct mode has no ledger, and the record is listed by org: say --org\n"


def test_a_run_that_has_left_the_ledger_is_shown_from_its_record(world: World, records: dict[str, RunRecord]) -> None:
    records["old"] = record("old")
    assert "what happened  the container failed (exit code 3)" in dagy_queue("status", "old").lines
    assert dagy_queue("status", "old", "--org", "umbrella").code == 5


def test_a_batch_that_has_left_the_ledger_is_shown_by_the_records_of_its_runs(
    world: World, records: dict[str, RunRecord]
) -> None:
    batch_id = new_id()
    for shard, status in enumerate(("SUCCEEDED", "FAILED", "SUCCEEDED")):
        run = record(f"s{shard}", status=status, phase=status, batch_id=batch_id, correlation_id=f"trace:{shard}")
        records[run.run_id] = run
    found = dagy_queue("status", batch_id, "--org", "acme", "--json").json
    assert (found["status"], found["total"], found["done"], found["correlation_id"]) == ("FAILED", 3, 3, "trace")
    assert found["counts"] == {"SUCCEEDED": 2, "FAILED": 1}
    assert listed("--batch", batch_id, "--org", "acme") == ["s0", "s1", "s2"]
    assert dagy_queue("status", batch_id).code == dagy_queue("status", batch_id, "--org", "umbrella").code == 5


@pytest.mark.parametrize("code", ["NoCredentials", "ResourceNotFoundException"])
def test_without_a_way_to_the_record_the_ledger_alone_counts(
    world: World, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    run_id = world.held()

    def refuse(*_: Any, **__: Any) -> Any:
        raise AwsRefused("no", code=code)

    monkeypatch.setattr(run_queries, "runs_of_org", refuse)
    assert listed("--org", "acme") == [run_id]


def test_a_refusal_of_the_record_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AwsRefused("not allowed", code="AccessDeniedException")

    monkeypatch.setattr(run_queries, "runs_of_org", refuse)
    assert dagy_queue("list", "--org", "acme").code == 3


def test_a_run_is_explained(world: World) -> None:
    run_id = world.held()
    assert "next           its task is launched when there is room for it" in dagy_queue("explain", run_id).lines
    assert dagy_queue("explain", run_id, "--json").json["next"] == "its task is launched when there is room for it"


def test_of_a_batch_its_first_failure_is_explained(world: World) -> None:
    batch = world.batch(3)
    answer = dagy_queue("explain", batch.batch_id, "--json")
    assert answer.json["shard"] == 0
    world.end_shard(batch, 2, RunStatus.FAILED, failed(log_lines=["x"]))
    answer = dagy_queue("explain", batch.batch_id, "--json")
    assert (answer.json["shard"], answer.json["summary"]) == (2, "the container failed (exit code 3)")
    assert f"{batch.batch_id} is a batch; this is its shard" in answer.err


def test_a_batch_without_a_shard_to_explain_says_why(world: World) -> None:
    empty = world.batch(0)
    answer = dagy_queue("explain", empty.batch_id)
    why = f"dagy-queue: there is no shard of batch {empty.batch_id} to explain: it is empty, and nothing ran\n"
    assert (answer.code, answer.err) == (5, why)
    waiting = fan_out(flow_name="sales", org_id="acme", shards=[{}])
    assert "none is entered yet; `dagy-queue doctor`" in dagy_queue("explain", waiting.batch_id).err


def test_direct_mode_needs_no_redis_to_look_a_run_up(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    desk = Desk()
    monkeypatch.setattr(Desk, "is_direct", True)
    monkeypatch.setattr(Desk, "publisher", property(lambda _desk: pytest.fail("there is no Redis")))
    monkeypatch.setattr(desk.launcher, "get_run_status", lambda run_id, **_: {"run_id": run_id, "org_id": "acme"})
    assert desk.find("r").id == "r"
