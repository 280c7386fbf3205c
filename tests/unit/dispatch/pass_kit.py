"""A dispatcher that does the passes of a launch as Celery's tracer does them, and the messages that it is given."""

from __future__ import annotations

import base64
import json
from typing import Any

from celery.app.trace import build_tracer
from celery.canvas import Signature

from dagy_queue.dispatch.services import Services
from dagy_queue.dispatch.tasks import register_launch
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import RedisConnection
from dagy_queue.messaging.names import LAUNCH_QUEUE, LAUNCH_TASK

STUB = {"kind": "container", "org_id": "acme", "image": "stub"}
WELL = {"outcome": {"kind": "succeeded", "summary": "ok", "exit_code": 0}}
BADLY = {"outcome": {"kind": "failed", "summary": "exit code 3", "exit_code": 3}}


class Dispatcher:
    """A dispatcher that does the passes it is given, each in the caller's thread."""

    def __init__(self, services: Services) -> None:
        self.services = services
        register_launch(services.app, services)
        self.task = services.app.tasks[LAUNCH_TASK]
        self._tracer = build_tracer(LAUNCH_TASK, self.task, app=services.app)

    def works_on(self, message: dict[str, Any]) -> Any:
        args, kwargs, embedded = json.loads(base64.b64decode(message["body"]))
        properties = message["properties"]
        request = {
            **message["headers"],
            **embedded,
            "args": args,
            "kwargs": kwargs,
            "delivery_info": {**properties["delivery_info"], "redelivered": message.get("redelivered", False)},
            "correlation_id": properties["correlation_id"],
            "hostname": "dispatcher@test",
        }
        request.setdefault("callbacks", None)
        return self._tracer(message["headers"]["id"], args, kwargs, request)


def taken(connection: RedisConnection, queue: str = LAUNCH_QUEUE) -> dict[str, Any]:
    """Take the next message of a queue."""
    text = connection.client.rpop(queue)
    assert isinstance(text, str), f"nothing in {queue}"
    message: dict[str, Any] = json.loads(text)
    return message


def app_sig(name: str) -> Signature:
    return Signature(f"app.{name}", options={"queue": "app"})


def sent(connection: RedisConnection, queue: str = "app") -> list[str]:
    """Return the names of the tasks in a queue, the first that was sent first."""
    return [json.loads(text)["headers"]["task"] for text in reversed(connection.client.lrange(queue, 0, -1))]


def published(dispatcher: Dispatcher, request: dict[str, Any]) -> dict[str, Any]:
    """Publish a launch with a link and an error callback; return its message."""
    signature = Signature(LAUNCH_TASK, kwargs={"request": request}, options={"queue": LAUNCH_QUEUE}, immutable=True)
    rest = app_sig("next").clone(task_id="next")
    options = {"link": app_sig("link"), "link_error": app_sig("oops"), "chain": [rest]}
    message = dispatcher.services.renderer.signature(signature, task_id="run", **options)
    dispatcher.services.runs.publish("run", message, push=True, about={"org": "acme"})
    return taken(dispatcher.services.redis)


def stopped(dispatcher: Dispatcher, run_id: str, completion: dict[str, Any]) -> dict[str, Any]:
    """End a run's container; return the message of its second pass."""
    dispatcher.services.runs.complete(AttemptId(run_id, 1), completion)
    return taken(dispatcher.services.redis)


def resumed(dispatcher: Dispatcher, completion: dict[str, Any], **request: Any) -> dict[str, Any]:
    """Bring a run to its end; return the message of its second pass."""
    dispatcher.works_on(published(dispatcher, {**STUB, **request}))
    dispatcher.services.admission.lease(1, 60)
    return stopped(dispatcher, "run", completion)


def away(*_: Any) -> Any:
    raise RedisUnavailable("Redis is away")
