from __future__ import annotations

import json

import pytest
from celery import Celery, states

from dagy_queue.bridge.result_texts import ResultTexts
from dagy_queue.ledger import RedisConnection


@pytest.fixture
def app(connection: RedisConnection) -> Celery:
    return Celery("texts", backend=connection.settings.url, set_as_current=False)


def store(app: Celery, value: object, state: str = states.SUCCESS) -> None:
    """Store a result as Celery does."""
    backend = app.backend
    meta = backend._get_result_meta(backend.encode_result(value, state), state, traceback=None, request=None)
    backend.client.set(backend.get_key_for_task("task"), backend.encode(meta))


def text_of(app: Celery, value: object) -> str:
    store(app, value)
    return ResultTexts(app.backend).values(["task"])["task"]


@pytest.mark.parametrize(
    "value", [None, 42, "Hello, Ada!", [1, [2]], {"rows": 3, "result": '"result": 1'}, "quote\" '"]
)
def test_a_short_value_is_shown_whole(app: Celery, value: object) -> None:
    assert json.loads(text_of(app, value)) == value


def test_a_long_value_is_cut_and_never_read_whole(app: Celery) -> None:
    text = text_of(app, "x" * 1_000_000)
    assert text == f'"{"x" * 299}…'


def test_a_character_that_is_cut_through_does_no_harm(app: Celery) -> None:
    app.backend.client.set(
        app.backend.get_key_for_task("task"),
        json.dumps({"status": "SUCCESS", "result": "é" * 1000}, ensure_ascii=False),
    )
    assert ResultTexts(app.backend).values(["task"])["task"].startswith('"éé')


def test_what_has_no_result_has_no_text(app: Celery) -> None:
    app.backend.client.set(app.backend.get_key_for_task("junk"), "junk")
    assert ResultTexts(app.backend).values(["gone", "junk"]) == {"gone": "", "junk": ""}
    assert ResultTexts(app.backend).values([]) == {}


def test_an_error_is_shown_in_its_own_words(app: Celery) -> None:
    store(app, ValueError('1 of 2 shards failed: "this"'), states.FAILURE)
    assert ResultTexts(app.backend).errors(["task", "gone"]) == {"task": '1 of 2 shards failed: "this"', "gone": ""}


def test_a_long_error_is_cut(app: Celery) -> None:
    store(app, ValueError("y" * 10_000), states.FAILURE)
    assert ResultTexts(app.backend).errors(["task"])["task"] == f"{'y' * 3999}…"
