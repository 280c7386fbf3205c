from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.aws.log_reader import MISSING, LogEvent, LogReader
from dagy_queue.aws.refusals import is_about_identity
from dagy_queue.errors import AwsRefused, AwsThrottled
from tests.unit.kit import stubbed

GROUP, STREAM = "/ecs/dagy-worker", "dagy/worker/abc"


def event(at: int, message: str, **more: Any) -> dict[str, Any]:
    return {"timestamp": at, "message": message, **more}


def test_the_end_of_a_stream_is_read_backwards_and_says_where_it_goes_on() -> None:
    with stubbed("logs") as (client, stub):
        asked: dict[str, Any] = {"logGroupName": GROUP, "logStreamName": STREAM, "limit": 2, "startFromHead": False}
        answer = {"events": [event(1, "a"), event(2, "b")], "nextBackwardToken": "b/1", "nextForwardToken": "f/1"}
        stub.add_response("get_log_events", answer, asked)
        last = {"events": [], "nextBackwardToken": "b/1", "nextForwardToken": "f/0"}
        stub.add_response("get_log_events", last, {**asked, "nextToken": "b/1"})
        reader = LogReader(client)
        page = reader.tail(GROUP, STREAM, 2)
        assert page.events == (LogEvent(1, "a", STREAM), LogEvent(2, "b", STREAM))
        assert (page.token, page.forward) == ("b/1", "f/1")
        assert reader.tail(GROUP, STREAM, 2, "b/1").token == ""


def test_a_stream_is_read_from_its_beginning_or_a_time() -> None:
    with stubbed("logs") as (client, stub):
        asked: dict[str, Any] = {"logGroupName": GROUP, "logStreamName": STREAM, "startFromHead": True}
        stub.add_response(
            "get_log_events",
            {"events": [event(7, "x")], "nextForwardToken": "f/2"},
            {**asked, "startTime": 5, "nextToken": "f/1"},
        )
        page = LogReader(client).forward(GROUP, STREAM, "f/1", since=5)
        assert (page.events, page.token) == ((LogEvent(7, "x", STREAM),), "f/2")


@pytest.mark.parametrize(
    ("streams", "asked"),
    [
        (["a", "b"], {"logStreamNames": ["a", "b"]}),
        ("dagy/", {"logStreamNamePrefix": "dagy/"}),
        ("", {}),
    ],
)
def test_several_streams_are_searched_in_order_of_time(streams: Any, asked: dict[str, Any]) -> None:
    with stubbed("logs") as (client, stub):
        found = [
            event(9, "late", logStreamName="a", eventId="2"),
            event(8, "early", logStreamName="b", eventId="1"),
        ]
        stub.add_response(
            "filter_log_events",
            {"events": found, "nextToken": "t"},
            {"logGroupName": GROUP, "startTime": 1, "nextToken": "s", **asked},
        )
        page = LogReader(client).search(GROUP, streams, since=1, token="s")
        assert [(each.message, each.stream, each.id) for each in page.events] == [
            ("early", "b", "1"),
            ("late", "a", "2"),
        ]
        assert page.token == "t"


def test_errors_are_ours() -> None:
    with stubbed("logs") as (client, stub):
        stub.add_client_error("get_log_events", MISSING, "The specified log stream does not exist.", 400)
        stub.add_client_error("filter_log_events", "ThrottlingException", "Rate exceeded", 400)
        with pytest.raises(AwsRefused) as caught:
            LogReader(client).tail(GROUP, STREAM, 1)
        assert caught.value.code == MISSING
        with pytest.raises(AwsThrottled):
            LogReader(client).search(GROUP, "")


def test_codes_about_who_asks_are_told_from_others() -> None:
    assert is_about_identity("ExpiredToken")
    assert is_about_identity("AccessDenied")
    assert not is_about_identity("ValidationError")
