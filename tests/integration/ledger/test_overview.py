"""What people see of the ledger, on a real Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dagy_queue.ids import AttemptId, new_id, shard_id
from dagy_queue.ledger import AdmissionLedger, BatchLedger, Continuation, Phase, RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger import overview as overview_module
from dagy_queue.ledger.attempts import NextAttempt
from dagy_queue.ledger.overview import Overview, Published
from dagy_queue.ledger.runs import Place
from tests.integration.ledger.batches_kit import FIELDS, TEMPLATE
from tests.integration.waiting import eventually
from tests.unit.ledger.kit import granted_run, parked_run

MESSAGE = Continuation("queue", "{}")


@pytest.fixture
def overview(connection: RedisConnection) -> Overview:
    return Overview(connection)


def published(overview: Overview, since: datetime | None = None) -> list[str]:
    return [each.id for page in overview.published(since) for each in page]


def publish(connection: RedisConnection, run_id: str) -> None:
    RunLedger(connection).publish(run_id, MESSAGE, push=False, about={"org": "acme"})


def batch_of(connection: RedisConnection, shards: int) -> str:
    batches, batch_id = BatchLedger(connection), new_id()
    deltas = [{"parameters": {"n": n}} for n in range(shards)]
    batches.publish(batch_id, MESSAGE, deltas=deltas, fields=FIELDS)
    batches.prepare(batch_id, Continuation("queue", TEMPLATE), Place(pool="dagy|FARGATE", org="acme"))
    batches.enter_shards(batch_id, 0, [(shard_id(batch_id, n), {}) for n in range(shards)])
    return batch_id


def next_millisecond(connection: RedisConnection) -> None:
    """Wait until what is published next is newer by the index, which counts milliseconds."""

    def milliseconds() -> int:
        seconds, micros = connection.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    before = milliseconds()
    eventually(lambda: milliseconds() > before, "the next millisecond")


def end(connection: RedisConnection, run_id: str, status: RunStatus) -> None:
    runs, outcome = RunLedger(connection), {"kind": status.value.lower(), "summary": "why"}
    runs.complete(AttemptId(run_id, 1), {"outcome": outcome})
    assert runs.finish(AttemptId(run_id, 1), status, outcome)


def test_runs_and_batches_are_found_newest_first_each_once(connection: RedisConnection, overview: Overview) -> None:
    publish(connection, "a")
    next_millisecond(connection)
    batch_id = batch_of(connection, 3)
    next_millisecond(connection)
    parked_run(connection, "b")
    publish(connection, "a")
    parked_run(connection, "b")
    (page,) = overview.published()
    assert {each.id for each in page[:1]} == {"b"}
    assert [(each.id, each.is_batch) for each in page][1:] == [(batch_id, True), ("a", False)]


def test_a_run_that_its_first_pass_enters_is_found_as_well(connection: RedisConnection, overview: Overview) -> None:
    parked_run(connection, "handmade")
    assert published(overview) == ["handmade"]


def test_many_are_found_a_page_at_a_time_and_only_what_is_new_enough(
    connection: RedisConnection, overview: Overview
) -> None:
    for number in range(1100):
        connection.client.zadd(overview._index, {f"run:{number}": number * 1000})
    assert published(overview) == [str(number) for number in reversed(range(1100))]
    assert published(overview, datetime.fromtimestamp(1097, UTC)) == ["1099", "1098", "1097"]
    assert published(overview, datetime.now(UTC) + timedelta(hours=1)) == []


def test_the_index_is_bounded(connection: RedisConnection, overview: Overview) -> None:
    connection.client.zadd(overview._index, {f"run:{number}": number for number in range(20_000)})
    publish(connection, "newest")
    ids = published(overview)
    assert (len(ids), ids[0], ids[-1]) == (20_000, "newest", "1")


def test_what_is_gone_is_forgotten(connection: RedisConnection, overview: Overview) -> None:
    publish(connection, "a")
    batch_id = batch_of(connection, 1)
    at = datetime.now(UTC)
    overview.forget([])
    overview.forget([Published(False, "a", at), Published(True, batch_id, at)])
    assert published(overview) == []


def test_an_id_is_told_as_a_runs_or_a_batchs(connection: RedisConnection, overview: Overview) -> None:
    publish(connection, "a")
    batch_id = batch_of(connection, 1)
    kinds = [overview.kind_of(each) for each in ("a", batch_id, shard_id(batch_id, 0), "nobody")]
    assert kinds == ["run", "batch", "run", ""]
    assert overview.orgs(["a", "nobody"]) == ["acme", ""]
    assert overview.orgs([]) == []


def test_phases_and_outcomes_are_read_many_at_once(connection: RedisConnection, overview: Overview) -> None:
    parked_run(connection, "a")
    parked_run(connection, "b")
    end(connection, "b", RunStatus.FAILED)
    held, failed, nobody = overview.phases(["a", "b", "c"], with_outcomes=True)
    assert (held.phase, held.attempt, held.outcome) == (Phase.HELD, 1, {})
    assert (failed.phase, failed.outcome["summary"]) == (Phase.FAILED, "why")
    assert nobody.phase is None
    assert overview.phases(["b"])[0].outcome == {}
    assert overview.phases([]) == []


def test_batches_are_read_in_brief(connection: RedisConnection, overview: Overview) -> None:
    batch_id = batch_of(connection, 3)
    end(connection, shard_id(batch_id, 1), RunStatus.FAILED)
    (brief,) = overview.batches([batch_id, new_id()])
    assert (brief.total, brief.done, brief.org_id, brief.flow_name) == (3, 1, "acme", "f")
    assert brief.counts == {Phase.HELD: 2, Phase.FAILED: 1}
    assert (brief.status, brief.is_over) == (RunStatus.RUNNING, False)
    assert overview.batches([]) == []


def test_shards_that_are_not_entered_yet_are_queued(connection: RedisConnection, overview: Overview) -> None:
    batch_id = new_id()
    BatchLedger(connection).publish(batch_id, MESSAGE, deltas=[{}] * 5, fields=FIELDS)
    (brief,) = overview.batches([batch_id])
    assert (brief.counts, brief.status) == ({Phase.QUEUED: 5}, RunStatus.QUEUED)


def test_the_shards_that_failed_are_found_in_the_order_they_did(
    connection: RedisConnection, overview: Overview
) -> None:
    batch_id = batch_of(connection, 5)
    for shard, status in ((3, RunStatus.FAILED), (0, RunStatus.SUCCEEDED), (2, RunStatus.FAILED)):
        end(connection, shard_id(batch_id, shard), status)
    assert overview.failed_shards(batch_id, 0, 10) == ([3, 2], 3)
    assert overview.failed_shards(batch_id, 1, 1) == ([], 1)
    assert overview.failed_shards(batch_id, 3, 10) == ([], 0)


def test_what_throttles_have_left_of_the_rate_is_told(connection: RedisConnection, overview: Overview) -> None:
    assert overview.rate_factor("us-east-1") == 1.0
    connection.client.hset(connection.key("throttle", "us-east-1"), "factor", "0.25")
    assert overview.rate_factor("us-east-1") == 0.25


def test_the_tasks_of_all_attempts_are_kept(connection: RedisConnection) -> None:
    runs, admission = RunLedger(connection), AdmissionLedger(connection)
    attempt_id = granted_run(connection, "r").attempt_id
    for attempt in (1, 2, 3):
        if attempt > 1:
            (grant,) = admission.lease(1, 60).grants
            attempt_id = grant.attempt_id
        admission.launched(attempt_id, f"arn:{attempt}")
        entry = runs.get("r")
        assert entry.task_arns == {str(n): f"arn:{n}" for n in range(1, attempt + 1)}
        runs.complete(attempt_id, {"outcome": {"kind": "failed", "summary": "no"}})
        stopped = runs.claim("r")
        assert stopped is not None
        assert stopped.earlier_tasks == {str(n): f"arn:{n}" for n in range(1, attempt)}
        runs.retry(attempt_id, 0, NextAttempt())


def test_an_attempt_without_a_task_leaves_a_gap(connection: RedisConnection) -> None:
    runs, admission = RunLedger(connection), AdmissionLedger(connection)
    attempt_id = granted_run(connection, "r").attempt_id
    runs.complete(attempt_id, {"outcome": {"kind": "start_failed", "summary": "no"}})
    runs.retry(attempt_id, 0, NextAttempt())
    (grant,) = admission.lease(1, 60).grants
    admission.launched(grant.attempt_id, "arn:2")
    assert runs.get("r").task_arns == {"2": "arn:2"}


def test_what_is_left_of_a_batch_is_found(
    connection: RedisConnection, overview: Overview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview_module, "_PAGE", 2)
    batch_id = batch_of(connection, 5)
    runs = [shard_id(batch_id, shard) for shard in range(5)]
    assert (overview.last_ended(batch_id), overview.count_forgotten(batch_id)) == (None, 0)
    for shard, status in (
        (3, RunStatus.FAILED),
        (0, RunStatus.SUCCEEDED),
        (4, RunStatus.FAILED),
        (1, RunStatus.FAILED),
    ):
        end(connection, runs[shard], status)
    assert list(overview.ended_as(batch_id, Phase.FAILED)) == [3, 4, 1]
    assert overview.first_known(batch_id, 5) == 0
    connection.client.delete(*(connection.key("run", runs[shard]) for shard in (0, 4)))
    assert list(overview.ended_as(batch_id, Phase.FAILED)) == [3, 1]
    assert overview.first_known(batch_id, 5) == 1
    assert overview.count_forgotten(batch_id) == 2
    last = overview.last_ended(batch_id)
    assert last is not None
    assert (last.run_id, last.phase) == (runs[1], Phase.FAILED)


def test_of_a_batch_that_is_not_there_nothing_is_forgotten(overview: Overview) -> None:
    assert overview.count_forgotten(new_id()) == 0
    assert overview.first_known(new_id(), 3) is None
