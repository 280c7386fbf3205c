"""Lists of runs over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dagy_queue.records.runs import RunRecord, write_runs
from dagy_queue.settings import Settings
from tests.unit.operate.api.conftest import ACME, GLOBEX

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run(run_id: str, minutes: int = 0, **fields: Any) -> RunRecord:
    own = {"org_id": "acme", "flow_name": "etl", "status": "SUCCEEDED", "phase": "SUCCEEDED"} | fields
    return RunRecord(run_id=run_id, created_at=NOON + timedelta(minutes=minutes), **own)


@pytest.fixture(autouse=True)
def _runs(registry: Settings) -> None:
    failed = {"status": "FAILED", "phase": "FAILED", "error_message": "no luck"}
    shards = [run(f"s{n}", n, batch_id="b", shard=n, correlation_id=f"batch-7:{n}") for n in range(3)]
    write_runs([*shards, run("late", 9, flow_name="other", **failed), run("theirs", 5, org_id="globex")])


def ids(client: TestClient, query: str = "", **options: Any) -> list[str]:
    answer = client.get(f"/runs?{query}", **options)
    assert answer.status_code == 200, answer.text
    return [found["run_id"] for found in answer.json()["runs"]]


def test_an_orgs_runs_are_listed_newest_first(client: TestClient) -> None:
    answer = client.get("/runs?org_id=acme&limit=1")
    (found,) = answer.json()["runs"]
    assert {name: found[name] for name in ("run_id", "org_id", "status", "error_message", "shard")} == {
        "run_id": "late",
        "org_id": "acme",
        "status": "FAILED",
        "error_message": "no luck",
        "shard": None,
    }
    assert datetime.fromisoformat(found["created_at"]) == NOON + timedelta(minutes=9)
    assert found["completed_at"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["late", "s2", "s1", "s0"]),
        ("status=FAILED", ["late"]),
        ("status=FAILED&status=SUCCEEDED&limit=2", ["late", "s2"]),
        ("flow_name=etl", ["s2", "s1", "s0"]),
        ("batch_id=b", ["s0", "s1", "s2"]),
        ("correlation_id=batch-7", ["s0", "s1", "s2"]),
        ("correlation_id=batch-7:1", ["s1"]),
        ("since=2026-01-01T12:02:00Z", ["late", "s2"]),
        ("until=2026-01-01T14:00:00%2B02:00", ["s0"]),
        ("batch_id=none", []),
    ],
)
def test_filters_narrow_the_list(client: TestClient, query: str, expected: list[str]) -> None:
    assert ids(client, f"org_id=acme&{query}") == expected


def test_a_long_list_comes_page_by_page(client: TestClient) -> None:
    found, after = [], ""
    while True:
        page = client.get("/runs", params={"org_id": "acme", "limit": 3, "after": after}).json()
        found.append([each["run_id"] for each in page["runs"]])
        after = page["after"]
        if not after:
            break
    assert found == [["late", "s2", "s1"], ["s0"]]


def test_a_token_lists_its_orgs_runs_alone(guarded: TestClient) -> None:
    assert ids(guarded, headers=GLOBEX) == ["theirs"]
    assert "theirs" not in ids(guarded, headers=ACME)
    assert ids(guarded, "batch_id=b", headers=GLOBEX) == []
    assert guarded.get("/runs?org_id=acme", headers=GLOBEX).status_code == 403
    assert guarded.get("/runs").status_code == 401


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "org_id"),
        ("org_id=acme&flow=etl", "flow"),
        ("org_id=acme&status=DONE", "statuses"),
        ("org_id=acme&limit=0", "limit"),
        ("org_id=acme&limit=1001", "limit"),
        ("org_id=acme&after=nonsense", "after"),
        ("org_id=acme&since=yesterday", "since"),
        ("org_id=acme&since=2026-01-01T12:00:00", "since"),
        ("org_id=acme&since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "until"),
        ("org_id=acme&batch_id=b&flow_name=etl", "flow_name"),
        ("org_id=a%20b", "org_id"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_field(client: TestClient, query: str, field: str) -> None:
    answer = client.get(f"/runs?{query}")
    assert answer.status_code == 422
    assert field in [problem["field"] for problem in answer.json()["problems"]]
