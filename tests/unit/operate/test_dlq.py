from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from dagy_queue.aws import clients
from dagy_queue.operate import cli
from dagy_queue.settings import settings
from tests.unit.bridge.kit import DEAD, QUEUE, FakeSqs
from tests.unit.kit import body, stopped_event


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = FakeSqs()
    monkeypatch.setattr(clients, "AwsClients", lambda *_args, **_options: SimpleNamespace(sqs=made))
    monkeypatch.setenv("DAGY_EVENT_QUEUE_URL", QUEUE)
    settings.cache_clear()
    yield made
    settings.cache_clear()


def dlq(*arguments: str, code: int = 0) -> str:
    answer = CliRunner().invoke(cli.app, ["dlq", *arguments])
    assert answer.exit_code == code, answer.output
    return answer.output


def test_an_empty_queue_is_said_to_be_empty(sqs: FakeSqs) -> None:
    assert dlq("list") == "the dead-letter queue is empty\n"
    assert json.loads(dlq("list", "--json")) == []


def test_a_message_is_a_line_with_its_id_run_and_reason(sqs: FakeSqs) -> None:
    sqs.put(body(stopped_event("run-7")), "nonsense", url=DEAD)
    lines = dlq("list").splitlines()
    assert lines[0].startswith("m0 2026-01-01T00:00:00+00:00 run run-7: SQS moved it here")
    assert lines[1].startswith("m1 2026-01-01T00:00:00+00:00: SQS moved it here")


def test_a_message_is_shown_whole(sqs: FakeSqs) -> None:
    sqs.put(body(stopped_event("run-7")), "nonsense", url=DEAD)
    assert json.loads(dlq("show", "m0", "--json"))["body"] == stopped_event("run-7")
    assert "body: nonsense" in dlq("show", "m1")
    assert "no message m9 is in the dead-letter queue" in dlq("show", "m9", code=5)


def test_messages_are_named_or_all_are_meant(sqs: FakeSqs) -> None:
    sqs.put("one", "two", "three", url=DEAD)
    assert "name messages, or say --all" in dlq("redrive", code=2)
    assert "not both" in dlq("redrive", "m0", "--all", code=2)
    assert dlq("redrive", "m1") == "redriven: 1\n"
    assert "1 of 2 messages are not" in dlq("redrive", "m0", "m9", code=5)
    assert json.loads(dlq("redrive", "--all", "--json")) == {"redriven": ["m2"], "missing": 0}
    assert [message.body for message in sqs.queues[QUEUE]] == ["two", "one", "three"]
    assert sqs.ids(DEAD) == []


def test_more_than_the_limit_is_told(sqs: FakeSqs) -> None:
    sqs.put("one", "two", "three", url=DEAD)
    assert dlq("redrive", "--all", "--limit", "2") == "redriven: 2; there may be more: say it again\n"
    assert dlq("redrive", "--all", "--limit", "2") == "redriven: 1\n"


def test_a_purge_needs_a_yes(sqs: FakeSqs) -> None:
    sqs.put("one", url=DEAD)
    assert "say --yes" in dlq("purge", code=2)
    assert sqs.ids(DEAD) == ["m0"]
    dlq("purge", "--yes")
    assert sqs.ids(DEAD) == []
