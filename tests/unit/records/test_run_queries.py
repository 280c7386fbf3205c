"""Lists of runs from the record."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from dagy_queue.errors import AwsRefused, RequestInvalid
from dagy_queue.records import run_queries
from dagy_queue.records.base import Record
from dagy_queue.records.models import RunModel, bind_models
from dagy_queue.records.run_indexes import index_keys, trace_of
from dagy_queue.records.run_queries import (
    MOST_NOT_OF,
    RunFilter,
    RunPage,
    RunSummary,
    every_run,
    runs_by_correlation_id,
    runs_of_batch,
    runs_of_flow,
    runs_of_org,
)
from dagy_queue.records.runs import RunRecord, write_runs
from dagy_queue.settings import Settings
from tests.unit.strategies import correlations, names, unhurried

with_tables = pytest.mark.usefixtures("tables")

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FAILED = RunFilter(statuses=("FAILED",))


def run(run_id: str, minutes: float = 0, **fields: Any) -> RunRecord:
    own = {"org_id": "acme", "flow_name": "etl", "status": "SUCCEEDED", "phase": "SUCCEEDED"} | fields
    return RunRecord(run_id=run_id, created_at=NOON + timedelta(minutes=minutes), **own)


def ids(page: RunPage) -> list[str]:
    return [found.run_id for found in page.runs]


def every_page(ask: Callable[[str], RunPage]) -> list[list[str]]:
    pages, after = [], ""
    while True:
        page = ask(after)
        pages.append(ids(page))
        if not page.after:
            return pages
        after = page.after


@with_tables
def test_an_orgs_runs_come_newest_first() -> None:
    write_runs([run("a", 1), run("b", 3), run("c", 2, flow_name="other"), run("d", 4, org_id="other")])
    assert ids(runs_of_org("acme")) == ["b", "c", "a"]
    assert ids(runs_of_org("other")) == ["d"]
    assert ids(runs_of_org("nobody")) == []


@with_tables
def test_a_flows_runs_are_its_orgs_alone() -> None:
    write_runs([run("a", 1), run("b", 2), run("c", flow_name="etl2"), run("d", org_id="other")])
    assert ids(runs_of_flow("acme", "etl")) == ["b", "a"]
    assert ids(runs_of_flow("other", "etl")) == ["d"]


@with_tables
def test_a_batchs_runs_come_by_shard_and_those_without_a_batch_are_in_none() -> None:
    write_runs([run(f"s{n}", -n, batch_id="b", shard=n) for n in (10, 2, 0, 1)] + [run("single")])
    assert ids(runs_of_batch("acme", "b")) == ["s0", "s1", "s2", "s10"]
    assert [ids(runs_of_batch(*asked)) for asked in (("other", "b"), ("acme", ""), ("acme", "c"))] == [[], [], []]


@with_tables
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("req-1", ["req-1", "req-1:0", "req-1:1", "req-1:10", "req-1:1:0"]),
        ("req-1:1", ["req-1:1", "req-1:1:0"]),
        ("req-1:10", ["req-1:10"]),
        ("req-1:1:0", ["req-1:1:0"]),
        ("req-", []),
        ("req-1:2", []),
        ("host:8080", ["host:8080"]),
        ("host", ["host:8080"]),
    ],
)
def test_a_correlation_id_finds_its_run_and_the_children(asked: str, found: list[str]) -> None:
    traced = ["req-1", "req-10", "req-1:0", "req-1:1", "req-1:10", "req-1:1:0", "host:8080", "x"]
    write_runs([run(f"r-{n}", correlation_id=correlation) for n, correlation in enumerate(traced)])
    write_runs([run("foreign", correlation_id="req-1", org_id="other")])
    page = runs_by_correlation_id("acme", asked)
    assert [each.correlation_id for each in page.runs] == found
    assert len(runs_by_correlation_id("other", "req-1").runs) == 1


@with_tables
def test_a_list_shows_what_a_run_is() -> None:
    fields = {
        "flow_version": "1.0.0",
        "attempt": 2,
        "correlation_id": "c",
        "batch_id": "b",
        "shard": 3,
        "environment": "production",
        "trigger_source": "api",
        "task_arn": "arn",
        "started_at": NOON,
        "completed_at": NOON,
        "error_message": "no luck",
    }
    record = run("r", status="FAILED", phase="FAILED", **fields)
    write_runs([replace(record, metadata={"large": "x" * 10_000}, outcome={"kind": "failed"}, heartbeat_at=NOON)])
    expected = RunSummary(
        run_id="r", org_id="acme", flow_name="etl", status="FAILED", phase="FAILED", created_at=NOON, **fields
    )
    pages = [
        runs_of_org("acme"),
        runs_of_flow("acme", "etl"),
        runs_of_batch("acme", "b"),
        runs_by_correlation_id("acme", "c"),
    ]
    assert [page.runs for page in pages] == [(expected,)] * 4


@with_tables
def test_a_run_of_which_little_is_known_yet_is_recorded_and_listed_where_it_can_be() -> None:
    write_runs([run("nameless", org_id="", flow_name="", correlation_id=""), run("r", flow_name="", correlation_id="")])
    assert ids(runs_of_org("acme")) == ["r"]
    assert RunModel.get("nameless").org_id == ""


@with_tables
def test_statuses_and_times_narrow_a_list() -> None:
    write_runs(
        run(f"r{n}", n, status="FAILED" if n % 2 else "RUNNING", batch_id="b", shard=n, correlation_id=f"c:{n}")
        for n in range(6)
    )
    between = RunFilter(since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=4))
    assert ids(runs_of_org("acme", FAILED)) == ["r5", "r3", "r1"]
    assert ids(runs_of_org("acme", between)) == ["r4", "r3", "r2", "r1"]
    assert ids(runs_of_flow("acme", "etl", replace(between, statuses=("FAILED",)))) == ["r3", "r1"]
    assert ids(runs_of_flow("acme", "etl", RunFilter(since=between.until))) == ["r5", "r4"]
    assert ids(runs_of_batch("acme", "b", replace(between, statuses=("RUNNING", "QUEUED")))) == ["r2", "r4"]
    assert ids(runs_by_correlation_id("acme", "c", RunFilter(until=between.since))) == ["r0", "r1"]


@with_tables
def test_runs_of_some_batches_may_be_left_out() -> None:
    write_runs(run(f"r{n}", n, status="FAILED", batch_id=("", "a", "b")[n % 3], correlation_id="c") for n in range(6))
    assert ids(runs_of_org("acme", RunFilter(not_of=("a",)))) == ["r5", "r3", "r2", "r0"]
    assert ids(runs_of_flow("acme", "etl", RunFilter(not_of=("a", "b")))) == ["r3", "r0"]
    assert set(ids(runs_by_correlation_id("acme", "c", replace(FAILED, not_of=("b",))))) == {"r0", "r1", "r3", "r4"}
    many = tuple(f"other-{n}" for n in range(MOST_NOT_OF))
    assert ids(runs_of_org("acme", RunFilter(not_of=(*many, "a", "b")))) == ["r3", "r0"]


@with_tables
@pytest.mark.parametrize(
    "ask",
    [
        lambda **page: runs_of_org("acme", **page),
        lambda **page: runs_of_flow("acme", "etl", **page),
        lambda **page: runs_of_batch("acme", "b", **page),
        lambda **page: runs_by_correlation_id("acme", "c", **page),
    ],
    ids=["org", "flow", "batch", "correlation"],
)
@pytest.mark.parametrize("wanted", [RunFilter(), FAILED], ids=["all", "failed"])
def test_pages_together_have_every_run_once(ask: Callable[..., RunPage], wanted: RunFilter) -> None:
    write_runs(
        run(f"r{n}", n // 3, status="QUEUED" if n % 3 else "FAILED", batch_id="b", shard=n, correlation_id=f"c:{n:02}")
        for n in range(23)
    )
    pages = every_page(lambda after: ask(wanted=wanted, limit=5, after=after))
    whole = ids(ask(wanted=wanted, limit=100))
    assert [run_id for page in pages for run_id in page] == whole
    assert sorted(whole) == sorted(f"r{n}" for n in range(23) if not wanted.statuses or n % 3 == 0)
    assert all(len(page) == 5 for page in pages[:-1])
    found = every_run(lambda after: ask(wanted=wanted, limit=5, after=after))
    assert [each.run_id for each in found] == whole


@with_tables
def test_a_page_ends_where_enough_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_queries, "MOST_READ", 10)
    monkeypatch.setattr(run_queries, "_READ_AT_ONCE", 5)
    write_runs(run(f"r{n}", n, status="FAILED" if n == 0 else "QUEUED") for n in range(25))
    assert every_page(lambda after: runs_of_org("acme", FAILED, after=after)) == [[], [], ["r0"]]


@with_tables
def test_where_a_page_ended_says_nothing_of_whose_runs_they_are() -> None:
    write_runs([run(f"{org}-{n}", n, org_id=org) for org in ("acme", "other") for n in range(4)])
    after = runs_of_org("other", limit=2).after
    assert "other-" in base64.urlsafe_b64decode(after).decode()
    assert set(ids(runs_of_org("acme", after=after))) <= {f"acme-{n}" for n in range(4)}


@with_tables
@pytest.mark.parametrize(
    ("org_id", "options", "problem"),
    [
        ("a#b", {}, "org_id"),
        ("*", {}, "org_id"),
        ("", {}, "org_id"),
        ("acme", {"limit": 0}, "limit"),
        ("acme", {"limit": 1001}, "limit"),
        ("acme", {"after": "nonsense"}, "after"),
        ("acme", {"after": base64.urlsafe_b64encode(b"7").decode()}, "after"),
        ("acme", {"wanted": RunFilter(statuses=("DONE",))}, "statuses = 'DONE': one of QUEUED"),
        ("acme", {"wanted": RunFilter(since=NOON, until=NOON - timedelta(1))}, "until"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(org_id: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(RequestInvalid, match=problem):
        runs_of_org(org_id, **options)


@with_tables
def test_no_correlation_id_is_no_question() -> None:
    with pytest.raises(RequestInvalid, match="correlation_id"):
        runs_by_correlation_id("acme", "")


@with_tables
def test_a_process_of_one_org_lists_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    write_runs([run("r")])
    monkeypatch.setattr(Record, "only_org", "other")
    assert runs_of_org("acme") == RunPage((), "")


@given(names, names, correlations | names, correlations | names)
def test_no_two_orgs_share_a_key(one: str, other: str, first: str, second: str) -> None:
    mine, theirs = (
        set(index_keys(org, value, value, value).values()) for org, value in ((one, first), (other, second))
    )
    assert one == other or not mine & theirs


@unhurried
@given(correlations, st.lists(st.integers(0, 99), max_size=3))
def test_children_belong_to_the_trace_of_their_parent(correlation: str, indexes: list[int]) -> None:
    child = "".join([correlation, *(f":{index}" for index in indexes)])
    assert trace_of(child) == trace_of(correlation) != ""


@mock_aws
def test_a_table_without_the_index_is_an_error_that_says_what_to_do(config: Settings) -> None:
    bind_models(config)
    with pytest.raises(AwsRefused, match="`dagy-queue tables create`"):
        runs_of_org("acme")
