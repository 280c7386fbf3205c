from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery, states
from celery.exceptions import TaskRevokedError
from kombu.utils.json import dumps, loads

from dagy_queue.errors import RunFailed
from dagy_queue.ids import shard_id
from dagy_queue.ledger import RedisConnection
from dagy_queue.messaging import shard_results
from dagy_queue.messaging.shard_results import ShardMeta, ShardResults, metas_of, shard_metas

BATCH = "0b0e8a3e-3a1c-4a63-9a1c-0d6a4b1f3c55"
OUTCOME = {"kind": "failed", "summary": "exit code 3", "exit_code": 3}

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


def store(app: Celery, shard: int, result: Any, state: str = states.SUCCESS) -> None:
    app.backend.store_result(shard_id(BATCH, shard), result, state)


def meta_of(app: Celery, shard: int = 0) -> ShardMeta:
    (meta,) = metas_of(app.backend, BATCH, [shard])
    return meta


def test_a_shard_without_an_entry_is_pending(app: Celery) -> None:
    meta = meta_of(app)
    assert (meta.state, meta.is_over, meta.size) == (states.PENDING, False, 0)


def test_a_result_is_its_value(app: Celery) -> None:
    store(app, 0, {"n": [1, None]})
    meta = meta_of(app)
    assert (meta.is_over, meta.value, meta.as_result()) == (True, {"n": [1, None]}, {"n": [1, None]})
    assert meta.size > 0


def test_a_failure_carries_its_outcome_and_is_marked(app: Celery) -> None:
    store(app, 2, RunFailed("exit code 3", OUTCOME), states.FAILURE)
    meta = meta_of(app, 2)
    assert (meta.is_over, meta.error, meta.outcome) == (True, "exit code 3", OUTCOME)
    assert meta.as_result() == {"failed": True, "shard": 2, "run_id": shard_id(BATCH, 2), "outcome": OUTCOME}


def test_a_cancelled_shard_says_why(app: Celery) -> None:
    store(app, 0, TaskRevokedError("not wanted"), states.REVOKED)
    meta = meta_of(app)
    assert (meta.is_over, meta.error) == (True, "not wanted")
    outcome = meta.as_result()["outcome"]
    assert (outcome["kind"], outcome["summary"]) == ("cancelled", "not wanted")


@pytest.mark.parametrize("result", [None, "text", {}, {"exc_type": "KeyError"}, {"exc_message": []}])
def test_an_error_in_another_shape_is_read_as_far_as_it_goes(
    app: Celery, connection: RedisConnection, result: Any
) -> None:
    entry = json.dumps({"status": states.FAILURE, "result": result})
    connection.client.set(app.backend.get_key_for_task(shard_id(BATCH, 0)).decode(), entry)
    assert meta_of(app).as_result()["failed"]


def test_a_parked_shard_goes_on(app: Celery) -> None:
    store(app, 0, None, "PARKED")
    assert not meta_of(app).is_over


def test_no_shards_are_no_question(app: Celery) -> None:
    assert metas_of(app.backend, BATCH, []) == []


def test_shards_are_read_in_order_a_page_at_a_time(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    for shard in range(7):
        store(app, shard, shard)
    asked: list[int] = []
    read = shard_results.metas_of

    def counting(backend: Any, batch_id: str, shards: range) -> list[ShardMeta]:
        asked.append(len(shards))
        return read(backend, batch_id, shards)

    monkeypatch.setattr(shard_results, "PAGE", 3)
    monkeypatch.setattr(shard_results, "metas_of", counting)
    assert [meta.value for meta in shard_metas(app.backend, BATCH, 7, first=1)] == [1, 2, 3, 4, 5, 6]
    assert asked == [3, 3]


def test_results_are_a_sequence(app: Celery) -> None:
    for shard in range(5):
        store(app, shard, f"r{shard}")
    results = ShardResults(BATCH, 5, app.backend)
    assert (len(results), list(results)) == (5, ["r0", "r1", "r2", "r3", "r4"])
    assert (results[1], results[-1], results[1:4:2]) == ("r1", "r4", ["r1", "r3"])
    assert "r3" in results
    with pytest.raises(IndexError):
        _ = results[5]


def test_results_travel_as_a_reference_in_celerys_json(app: Celery) -> None:
    store(app, 0, "x" * 10_000)
    text = dumps({"args": [ShardResults(BATCH, 1, app.backend)]})
    assert len(text) < 300
    (read,) = loads(text)["args"]
    assert (type(read), read.batch_id, len(read)) == (ShardResults, BATCH, 1)
    assert repr(read) == f"ShardResults({BATCH!r}, 1)"
