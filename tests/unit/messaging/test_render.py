"""What the renderer renders is what Celery would have sent: compared with messages that Celery really sent."""

from __future__ import annotations

import base64
import json
import re
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery, _state, chain, chord, group
from celery.canvas import Signature
from celery.signals import before_task_publish
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.exceptions import EncodeError
from kombu.utils.json import dumps, loads

from dagy_queue.ledger import AdmissionLedger, Continuation, RedisConnection, RunLedger
from dagy_queue.ledger.runs import Place
from dagy_queue.messaging.app import make_app
from dagy_queue.messaging.names import ATTEMPT_HEADER, LAUNCH_QUEUE, LAUNCH_TASK, RESUME_HEADER
from dagy_queue.messaging.render import Renderer, rendering, run_blanks, shard_blanks
from tests.unit.kit import settings_on
from tests.unit.messaging.conftest import Take, raw, without_tag
from tests.unit.strategies import json_objects

TIME = datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
COMPLETION = {"outcome": {"kind": "succeeded", "summary": "ok"}}

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "priority": {"priority": 3},
    "highest step": {"priority": 9},
    "between steps": {"priority": 5},
    "no priority that there is": {"priority": 99},
    "negative priority": {"priority": -1},
    "priority as text": {"priority": "6"},
    "junk as priority": {"priority": "high"},
    "list as priority": {"priority": [9]},
    "eta": {"eta": TIME},
    "expires": {"expires": TIME},
    "headers": {"headers": {"trace": "t-1"}},
    "ignored result": {"ignore_result": True},
    "shadow": {"shadow": "another name"},
    "retries": {"retries": 4},
    "time limits": {"time_limit": 10, "soft_time_limit": 5},
    "group member": {"group_id": "g", "group_index": 3},
    "parent and root": {"parent_id": "p", "root_id": "r"},
    "link": {"link": Signature("app.note", args=("x",))},
    "links": {"link": [Signature("app.a"), Signature("app.b")], "link_error": Signature("app.oops")},
    "chord member": {"group_id": "g", "group_index": 0, "chord": Signature("app.body", task_id="body")},
    "chain": {"chain": [Signature("app.last"), Signature("app.next")]},
    "compressed": {"compression": "gzip"},
}
UNCOMPRESSED = {name: options for name, options in OPTIONS.items() if "compression" not in options}
"""The signal does not say how a message will be compressed; it is the same message without."""


def launch_sig(app: Celery, **parameters: Any) -> Signature:
    request = {"flow_name": "etl", "org_id": "acme", "parameters": parameters}
    return app.signature(LAUNCH_TASK, kwargs={"request": request}, queue=LAUNCH_QUEUE, immutable=True)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_rendered_message_is_the_one_that_celery_sends(
    app: Celery, connection: RedisConnection, options: dict[str, Any]
) -> None:
    rendered = Renderer(app).signature(launch_sig(app, n=1), task_id="run", **options)
    launch_sig(app, n=1).apply_async(task_id="run", **options)
    assert without_tag(json.loads(rendered.message)) == without_tag(raw(connection, rendered.list_key))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_worker_takes_a_rendered_message_as_it_takes_celerys(
    app: Celery, connection: RedisConnection, take: Take, options: dict[str, Any]
) -> None:
    rendered = Renderer(app).signature(launch_sig(app, n=1), task_id="run", **options)
    launch_sig(app, n=1).apply_async(task_id="run", **options)
    theirs = take(LAUNCH_QUEUE)
    connection.client.lpush(rendered.list_key, rendered.message)
    ours = take(LAUNCH_QUEUE)
    assert ours.body == theirs.body
    assert ours.decode() == theirs.decode()
    assert ours.headers == theirs.headers
    assert (ours.content_type, ours.content_encoding) == (theirs.content_type, theirs.content_encoding)
    assert ours.properties["correlation_id"] == theirs.properties["correlation_id"] == "run"
    assert ours.delivery_info == theirs.delivery_info


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(json_objects, st.integers(0, 9))
def test_any_parameters_are_rendered_as_celery_sends_them(
    app: Celery, connection: RedisConnection, parameters: dict[str, Any], priority: int
) -> None:
    connection.client.flushdb()
    signature = launch_sig(app, **{f"p{n}": item for n, item in enumerate(parameters.items())})
    rendered = Renderer(app).signature(signature, task_id="run", priority=priority)
    signature.apply_async(task_id="run", priority=priority)
    assert without_tag(json.loads(rendered.message)) == without_tag(raw(connection, rendered.list_key))


@pytest.mark.parametrize("options", UNCOMPRESSED.values(), ids=UNCOMPRESSED.keys())
def test_a_message_rendered_from_the_signals_parts_is_the_one_that_celery_sends(
    app: Celery, connection: RedisConnection, options: dict[str, Any]
) -> None:
    renderer = Renderer(app)
    seen: list[Continuation] = []

    def enter(*, body: Any, headers: Any, properties: Any, routing_key: str = "", **_: Any) -> None:
        seen.append(renderer.parts(body, headers, properties, routing_key))

    before_task_publish.connect(enter, sender=LAUNCH_TASK)
    launch_sig(app, n=1).apply_async(task_id="run", **options)
    before_task_publish.disconnect(enter, sender=LAUNCH_TASK)
    assert len(seen) == 1
    assert without_tag(json.loads(seen[0].message)) == without_tag(raw(connection, seen[0].list_key))


def test_every_priority_has_the_list_that_celery_uses(app: Celery, connection: RedisConnection) -> None:
    renderer = Renderer(app)
    for priority in range(10):
        connection.client.flushdb()
        launch_sig(app).apply_async(priority=priority)
        assert connection.client.llen(renderer.list_key(LAUNCH_QUEUE, priority)) == 1, priority


def test_a_prefix_of_the_brokers_keys_is_part_of_the_list(connection: RedisConnection) -> None:
    app = make_app(settings_on(connection))
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "global_keyprefix": "mine:"}
    rendered = Renderer(app).signature(launch_sig(app), task_id="run", priority=6)
    with app.connection_for_write() as broker:
        launch_sig(app).apply_async(task_id="run", priority=6, connection=broker)
    assert rendered.list_key.startswith("mine:")
    assert connection.client.llen(rendered.list_key) == 1


def test_rendering_sends_nothing(app: Celery, connection: RedisConnection) -> None:
    Renderer(app).signature(launch_sig(app), task_id="run", link=Signature("app.note"))
    assert list(connection.client.scan_iter("*")) == []


def canvas() -> Signature:
    """Return a canvas read from JSON, as a batch keeps its callback: its members know no app."""
    header = [
        app_sig("a"),
        chain(app_sig("b"), app_sig("c")),
        group([app_sig("d"), chord([app_sig("e")], app_sig("f"))]),
    ]
    return Signature.from_dict(loads(dumps(chord(header, chain(app_sig("g"), app_sig("h"))))))


def app_sig(name: str) -> Signature:
    return Signature(f"app.{name}", options={"queue": "app"})


def test_a_canvas_is_rendered_as_celery_sends_it(
    app: Celery, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"task_id": "last", "parent_id": "batch", "root_id": "root"}
    rendered = Renderer(app).messages(canvas(), (["a result"],), **options)
    assert not connection.client.exists("app")
    monkeypatch.setattr(_state._tls, "current_app", app, raising=False)
    Signature.from_dict(canvas(), app=app).apply_async((["a result"],), **options)
    theirs = [json.loads(text) for text in reversed(connection.client.lrange("app", 0, -1))]
    assert [without_ids(json.loads(each.message)) for each in rendered] == [without_ids(each) for each in theirs]
    assert {each.list_key for each in rendered} == {"app"}


def without_ids(message: dict[str, Any]) -> str:
    """Return a message as text, without what is made up anew each time."""
    kept = without_tag(message)
    text = json.dumps({**kept, "body": base64.b64decode(kept["body"]).decode()})
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)


def test_rendering_a_canvas_leaves_only_what_its_chords_are_counted_by(
    app: Celery, connection: RedisConnection
) -> None:
    Renderer(app).messages(canvas())
    keys = list(connection.client.scan_iter("*"))
    assert keys
    assert all(key.startswith("celery-taskset-meta-") and connection.client.ttl(key) > 0 for key in keys)


def test_rendering_a_canvas_is_no_child_of_the_task_that_does_it(app: Celery) -> None:
    before = _state._tls.current_app

    @app.task(bind=True)
    def ends_a_batch(self: Any) -> None:
        Renderer(app).messages(canvas())
        assert _state._tls.current_app is before
        assert self.request.children == []

    ends_a_batch.push_request(id="t", children=[], called_directly=False)
    _state._task_stack.push(ends_a_batch)
    try:
        ends_a_batch.run()
    finally:
        _state._task_stack.pop()


def test_a_renderer_keeps_nothing_of_what_it_rendered(app: Celery) -> None:
    renderer = Renderer(app)
    first, second = (renderer.signature(launch_sig(app, n=n), task_id=f"run-{n}") for n in (1, 2))
    assert json.loads(first.message)["headers"]["id"] == "run-1"
    assert json.loads(second.message)["headers"]["id"] == "run-2"


def test_every_thread_renders_by_itself(app: Celery) -> None:
    renderer = Renderer(app)
    found: dict[int, str] = {}

    def render(number: int) -> None:
        for _ in range(20):
            message = renderer.signature(launch_sig(app, n=number), task_id=f"run-{number}").message
            found[number] = json.loads(message)["headers"]["id"]

    threads = [threading.Thread(target=render, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: f"run-{n}" for n in range(6)}


def test_others_can_tell_that_a_message_is_only_rendered(app: Celery) -> None:
    seen: list[bool] = []

    def note(**_: Any) -> None:
        seen.append(rendering.active)

    before_task_publish.connect(note, sender=LAUNCH_TASK)
    Renderer(app).signature(launch_sig(app), task_id="run")
    launch_sig(app).apply_async()
    before_task_publish.disconnect(note, sender=LAUNCH_TASK)
    assert seen == [True, False]
    assert not rendering.active


def test_a_rendering_that_fails_is_over(app: Celery) -> None:
    with pytest.raises(EncodeError):
        Renderer(app).signature(launch_sig(app, bad=object()), task_id="run")
    assert not rendering.active


PLACE = Place(pool="dagy|FARGATE", org="acme")


def parked(connection: RedisConnection, continuation: Continuation) -> None:
    RunLedger(connection).park(
        "run", request={}, continuation=continuation, place=PLACE, expires=None, about={"org": "acme"}
    )


def resume(connection: RedisConnection) -> None:
    (grant,) = AdmissionLedger(connection).lease(1, 60).grants
    RunLedger(connection).complete(grant.attempt_id, COMPLETION)


def test_a_resumed_run_is_the_same_task_with_its_attempt(app: Celery, connection: RedisConnection, take: Take) -> None:
    signature = launch_sig(app, n=1)
    options: dict[str, Any] = {"link": Signature("app.note"), "group_id": "g", "group_index": 2, "priority": 3}
    parked(connection, Renderer(app).signature(signature, blanks=run_blanks(), task_id="run", expires=TIME, **options))
    resume(connection)
    ours = take(LAUNCH_QUEUE)
    signature.apply_async(task_id="run", **options)
    theirs = take(LAUNCH_QUEUE)
    assert ours.headers == theirs.headers | {ATTEMPT_HEADER: 1, RESUME_HEADER: 1}
    assert ours.decode() == theirs.decode()


def test_every_resume_has_a_delivery_tag_of_its_own(app: Celery, connection: RedisConnection) -> None:
    continuation = Renderer(app).signature(launch_sig(app), blanks=run_blanks(), task_id="run")
    parked(connection, continuation)
    ledger, admission = RunLedger(connection), AdmissionLedger(connection)
    tags: list[str] = []
    for attempt in (1, 2):
        (grant,) = admission.lease(1, 60).grants
        ledger.complete(grant.attempt_id, COMPLETION)
        message = raw(connection, continuation.list_key)
        tags.append(message["properties"]["delivery_tag"])
        assert (message["headers"][ATTEMPT_HEADER], message["headers"]["retries"]) == (attempt, attempt - 1)
        connection.client.delete(continuation.list_key)
        ledger.retry(grant.attempt_id, 0)
    assert len(set(tags)) == 2


@pytest.mark.parametrize("text", ["@dagy:id@", '"@dagy:attempt@"', "@dagy:tag@ %1 %%", "\\", "\u2028"])
def test_parameters_that_look_like_blanks_survive(
    app: Celery, connection: RedisConnection, take: Take, text: str
) -> None:
    parked(connection, Renderer(app).signature(launch_sig(app, text=text), blanks=run_blanks(), task_id="run"))
    resume(connection)
    assert take(LAUNCH_QUEUE).decode()[1]["request"]["parameters"] == {"text": text}


def test_the_template_of_shards_has_blanks_for_what_differs(app: Celery) -> None:
    body = Signature("app.body", task_id="body")
    template = Renderer(app).signature(launch_sig(app), blanks=shard_blanks(), group_id="batch", chord=body)
    message = json.loads(template.message)
    assert message["headers"]["id"] == message["properties"]["correlation_id"] == "@dagy:id@"
    assert message["headers"]["group_index"] == "@dagy:shard@"
    assert message["headers"]["group"] == "batch"
    assert (message["headers"]["eta"], message["headers"]["expires"]) == (None, None)
