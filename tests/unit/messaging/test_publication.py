from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.signals import before_task_publish

from dagy_queue.errors import RunNotFound
from dagy_queue.ledger import Phase, RedisConnection, RunLedger
from dagy_queue.messaging import publication
from dagy_queue.messaging.app import default_app
from dagy_queue.messaging.names import ATTEMPT_HEADER, LAUNCH_QUEUE, LAUNCH_TASK
from dagy_queue.messaging.publication import about_request, enter_on_publish
from dagy_queue.messaging.render import Renderer
from dagy_queue.settings import settings
from tests.unit.messaging.conftest import raw, without_tag

REQUEST = {"flow_name": "etl", "org_id": "acme", "correlation_id": "trace"}


def forget() -> None:
    settings.cache_clear()
    default_app.cache_clear()
    publication._parts.cache_clear()


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch, connection: RedisConnection) -> Iterator[None]:
    """A process whose settings name the test's Redis, and that enters what it publishes."""
    monkeypatch.setenv("DAGY_REDIS_URL", connection.settings.url)
    forget()
    enter_on_publish()
    yield
    monkeypatch.undo()
    forget()


@pytest.fixture
def runs(connection: RedisConnection) -> RunLedger:
    return RunLedger(connection)


def publish(app: Celery, run_id: str = "run", **options: object) -> None:
    app.send_task(LAUNCH_TASK, kwargs={"request": REQUEST}, task_id=run_id, queue=LAUNCH_QUEUE, **options)


def test_a_hand_made_launch_is_in_the_ledger_with_its_message(
    app: Celery, runs: RunLedger, connection: RedisConnection
) -> None:
    publish(app)
    entry = runs.get("run")
    assert (entry.phase, entry.org_id, entry.flow_name, entry.correlation_id) == (
        Phase.QUEUED,
        "acme",
        "etl",
        "trace",
    )
    kept = json.loads(connection.client.hget(connection.key("run", "run"), "published") or "")
    assert without_tag(kept) == without_tag(raw(connection, LAUNCH_QUEUE))


def test_celery_publishes_it_once(app: Celery, connection: RedisConnection) -> None:
    publish(app)
    assert connection.client.llen(LAUNCH_QUEUE) == 1


def test_connecting_again_changes_nothing() -> None:
    before = len(before_task_publish.receivers)
    enter_on_publish()
    assert len(before_task_publish.receivers) == before


def test_other_tasks_are_nobodys_business(app: Celery, runs: RunLedger) -> None:
    app.send_task("app.note", task_id="other", queue="app")
    with pytest.raises(RunNotFound):
        runs.get("other")


def test_a_message_that_resumes_a_run_is_not_entered(app: Celery, runs: RunLedger) -> None:
    publish(app, headers={ATTEMPT_HEADER: 1})
    with pytest.raises(RunNotFound):
        runs.get("run")


def test_a_message_that_is_only_rendered_is_not_entered(app: Celery, runs: RunLedger) -> None:
    signature = app.signature(LAUNCH_TASK, kwargs={"request": REQUEST}, queue=LAUNCH_QUEUE)
    Renderer(app).signature(signature, task_id="run")
    with pytest.raises(RunNotFound):
        runs.get("run")


def test_a_launch_without_a_request_is_entered_for_its_first_pass_to_refuse(app: Celery, runs: RunLedger) -> None:
    app.send_task(LAUNCH_TASK, task_id="run", queue=LAUNCH_QUEUE)
    assert runs.get("run").phase is Phase.QUEUED


def test_a_ledger_out_of_reach_does_not_stop_the_publication(
    app: Celery, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGY_REDIS_URL", "redis://127.0.0.1:1/0")
    forget()
    publish(app)
    assert connection.client.llen(LAUNCH_QUEUE) == 1


@pytest.mark.parametrize("request_", ["text", [1], 5])
def test_a_request_that_is_no_object_does_not_stop_the_publication(
    app: Celery, connection: RedisConnection, request_: object
) -> None:
    app.send_task(LAUNCH_TASK, kwargs={"request": request_}, task_id="run", queue=LAUNCH_QUEUE)
    assert connection.client.llen(LAUNCH_QUEUE) == 1


def test_what_a_request_is_about() -> None:
    assert about_request(REQUEST) == {"org": "acme", "flow": "etl", "correlation": "trace"}
    assert about_request({"image": "job:1", "org_id": "acme"})["flow"] == "job:1"
    assert about_request({}) == {"org": "", "flow": "", "correlation": ""}
