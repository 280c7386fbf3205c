from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from celery.canvas import Signature

from dagy_queue.errors import RedisUnavailable, RequestInvalid
from dagy_queue.ids import is_run_id
from dagy_queue.ledger import Phase, RedisConnection
from dagy_queue.messaging.names import LAUNCH_QUEUE
from dagy_queue.producer import bulk
from dagy_queue.producer.celery_options import CeleryOptions
from dagy_queue.producer.launcher import DagLauncher, launch
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.run import RunHandle
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import load_settings
from tests.unit.messaging.conftest import raw

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}


@pytest.fixture
def launcher(publisher: Publisher) -> DagLauncher:
    return DagLauncher(publisher.settings)


def sent(connection: RedisConnection, list_key: str = LAUNCH_QUEUE) -> tuple[dict[str, Any], list[Any]]:
    """Return the headers and the body of the only message that was sent."""
    message = raw(connection, list_key)
    return message["headers"], json.loads(base64.b64decode(message["body"]))


def test_a_launch_is_in_the_ledger_and_on_its_way(launcher: DagLauncher, connection: RedisConnection) -> None:
    run = launcher.enqueue(**FLOW)
    headers, body = sent(connection)
    assert headers["id"] == run.run_id
    assert body[1]["request"] == {"kind": "flow", **FLOW, "correlation_id": run.run_id}
    entry = run.entry()
    assert (entry.phase, entry.org_id, entry.flow_name, entry.correlation_id) == (
        Phase.QUEUED,
        "acme",
        "etl",
        run.run_id,
    )


def test_the_handle_is_celerys_result_too(launcher: DagLauncher) -> None:
    run = launcher.enqueue(**FLOW)
    assert isinstance(run, RunHandle)
    assert run.result.id == run.run_id
    assert is_run_id(run.run_id)


def test_a_correlation_id_of_ones_own_is_kept(launcher: DagLauncher, connection: RedisConnection) -> None:
    launcher.enqueue(**FLOW, correlation_id="trace")
    assert sent(connection)[1][1]["request"]["correlation_id"] == "trace"


def test_the_same_run_id_launches_once(launcher: DagLauncher, connection: RedisConnection) -> None:
    runs = [launcher.enqueue(**FLOW, run_id="order-7") for _ in range(3)]
    assert {run.run_id for run in runs} == {"order-7"}
    assert connection.client.llen(LAUNCH_QUEUE) == 1


@pytest.mark.parametrize("run_id", ["", "a" * 57, "a b", "a/b", "a.b"])
def test_a_run_id_that_ecs_could_not_carry_is_refused(launcher: DagLauncher, run_id: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        launcher.enqueue(**FLOW, run_id=run_id)
    assert [problem.field for problem in caught.value.problems] == ["run_id"]


def test_what_cannot_be_launched_is_not_sent(launcher: DagLauncher, connection: RedisConnection) -> None:
    with pytest.raises(RequestInvalid):
        launcher.enqueue(**FLOW, cpu=1)
    assert list(connection.client.scan_iter("*")) == []


def test_a_request_and_fields_that_replace_its_own(launcher: DagLauncher, connection: RedisConnection) -> None:
    launcher.enqueue(LaunchRequest(**FLOW, parameters={"a": 1}), flow_version="7")
    request = sent(connection)[1][1]["request"]
    assert (request["flow_version"], request["parameters"]) == ("7", {"a": 1})


def test_a_container_is_launched(launcher: DagLauncher) -> None:
    run = launcher.enqueue(ContainerRequest(image="job:1", org_id="acme"))
    assert run.entry().flow_name == "job:1"


def test_a_priority_is_celerys(launcher: DagLauncher, publisher: Publisher, connection: RedisConnection) -> None:
    launcher.enqueue(**FLOW, priority=9)
    assert connection.client.llen(publisher.renderer.list_key(LAUNCH_QUEUE, 9)) == 1
    assert connection.client.llen(LAUNCH_QUEUE) == 0


def test_options_of_celery_mean_what_they_mean_there(launcher: DagLauncher, connection: RedisConnection) -> None:
    expires = datetime.now(UTC) + timedelta(hours=1)
    options = CeleryOptions(
        link=Signature("app.note"),
        link_error=Signature("app.oops"),
        expires=expires,
        ignore_result=True,
        headers={"trace": "t"},
    )
    launcher.enqueue(**FLOW, options=options)
    headers, body = sent(connection)
    assert datetime.fromisoformat(headers["expires"]) == expires
    assert (headers["ignore_result"], headers["trace"]) == (True, "t")
    assert [signature["task"] for signature in body[2]["callbacks"]] == ["app.note"]
    assert [signature["task"] for signature in body[2]["errbacks"]] == ["app.oops"]


def test_options_that_are_not_set_are_left_to_celery() -> None:
    assert CeleryOptions().as_dict() == {}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (CeleryOptions(expires=60), {"expires": 60}),
        (CeleryOptions(expires=0), {"expires": 0}),
        (CeleryOptions(headers={"a": "b"}), {"headers": {"a": "b"}}),
        (CeleryOptions(ignore_result=True), {"ignore_result": True}),
    ],
)
def test_options_that_are_set_are_passed_on(options: CeleryOptions, expected: Mapping[str, Any]) -> None:
    assert options.as_dict() == expected


@pytest.mark.parametrize(
    "headers", [{"dagy_x": 1}, {"eta": None}, {"@dagy:attempt@": "x"}, {"a": "@dagy:id@"}, {"a": [{"b": "@dagy:tag@"}]}]
)
def test_headers_that_the_ledger_or_celery_would_take_for_their_own_are_refused(headers: Mapping[str, Any]) -> None:
    with pytest.raises(
        RequestInvalid, match=f"headers = '{next(iter(headers))}': a name that neither Celery nor dagy_ uses"
    ):
        CeleryOptions(headers=headers).as_dict()


def test_a_header_that_only_quotes_a_blank_is_passed_on() -> None:
    headers = {"a": 'say "@dagy:id@"'}
    assert CeleryOptions(headers=headers).as_dict() == {"headers": headers}


@pytest.mark.parametrize(
    "expires", [math.nan, math.inf, 1e18, "2031", datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))]
)
def test_an_expiry_that_is_no_moment_is_refused(expires: Any) -> None:
    with pytest.raises(RequestInvalid, match=r"expires = .*: seconds, or a datetime, that end before the year 10000"):
        CeleryOptions(expires=expires).as_dict()


@pytest.mark.parametrize("expires", [-1, 0.5, datetime(2031, 1, 1), datetime.now(UTC)])  # noqa: DTZ001
def test_an_expiry_that_celery_takes_is_passed_on(expires: Any) -> None:
    assert CeleryOptions(expires=expires).as_dict() == {"expires": expires}


def test_a_launch_that_is_too_large_for_redis_is_refused(
    launcher: DagLauncher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST_OF_ONE", 2 * 1024**2)
    launcher.enqueue(**FLOW, parameters={"n": "x" * 1024**2})
    with pytest.raises(RequestInvalid, match="request = '4 MiB': at most 2 MiB as a message; put large values into S3"):
        launcher.enqueue(**FLOW, parameters={"n": "x" * (3 * 1024**2)})
    assert connection.client.llen(LAUNCH_QUEUE) == 1


def test_a_redis_out_of_reach_is_an_error_of_ours() -> None:
    launcher = DagLauncher(load_settings(redis={"url": "redis://127.0.0.1:1/0"}))
    with pytest.raises(RedisUnavailable):
        launcher.enqueue(**FLOW)


def test_launch_takes_the_settings_of_the_process(process: Publisher, connection: RedisConnection) -> None:
    run = launch(**FLOW)
    assert run.entry().phase is Phase.QUEUED
    assert connection.client.llen(LAUNCH_QUEUE) == 1
