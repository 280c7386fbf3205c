"""Enters launches that are not published by ``producer/queued.py`` in the ledger, as they are published.

``chord([launch_sig(...), ...])(body)`` is published by Celery, task by task. Celery's ``before_task_publish`` signal
lets the ledger know each run together with its message, because the broker's list alone can lose it: a worker
killed between the server's BRPOP reply and kombu's bookkeeping takes the message along (kombu#305, celery#4354).
Launches among the callbacks of a run or a batch are entered in the step that sends them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from celery import current_app
from celery.signals import before_task_publish

from dagy_queue.errors import DagyQueueError
from dagy_queue.ledger import Continuation, Following, RedisConnection, RunLedger
from dagy_queue.ledger.publications import Publication
from dagy_queue.messaging.app import default_app
from dagy_queue.messaging.names import ATTEMPT_HEADER, LAUNCH_TASK
from dagy_queue.messaging.render import Renderer, rendering
from dagy_queue.messaging.routing import settle_embedded
from dagy_queue.settings import settings

log = logging.getLogger(__name__)  # the application's own logging, not ours


@lru_cache(maxsize=1)
def _parts() -> tuple[RunLedger, Renderer]:
    return RunLedger(RedisConnection(settings().redis)), Renderer(default_app())


def enter_on_publish() -> None:
    """Connect the signal in this process; calling it again changes nothing."""
    before_task_publish.connect(_enter, sender=LAUNCH_TASK, weak=False, dispatch_uid="dagy_queue.publication")


def _enter(  # the argument names are the signal's
    *, body: Any, headers: Mapping[str, Any], properties: Mapping[str, Any], routing_key: str = "", **_: Any
) -> None:
    if rendering.active or ATTEMPT_HEADER in headers:
        return
    settle_embedded(body[2], current_app)
    run_id = str(headers["id"])
    try:
        runs, renderer = _parts()
        request = body[1].get("request") or {}
        about = {**about_request(request), **about_family(run_id, headers.get("parent_id"), headers.get("root_id"))}
        runs.publish(run_id, renderer.parts(body, headers, properties, routing_key), push=False, about=about)
    except DagyQueueError as exc:
        # The first pass enters what this could not; Celery itself reports a broker that is down.
        log.warning("run %s was not entered in the ledger when it was published: %s", run_id, exc)


def following_of(messages: Sequence[Continuation], renderer: Renderer) -> Following:
    """Return rendered messages as the ledger sends them: it enters the launches among them."""
    others: list[Continuation] = []
    launches: list[Publication] = []
    for message in messages:
        headers = json.loads(message.message)["headers"]
        if headers["task"] == LAUNCH_TASK:
            _, kwargs = renderer.arguments(message)
            launches.append(Publication(str(headers["id"]), message, about_request(kwargs.get("request") or {})))
        else:
            others.append(message)
    return Following(others, launches)


def about_request(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a run that say what it is: for status, lists and people."""
    return {
        "org": str(request.get("org_id", "")),
        "flow": str(request.get("flow_name") or request.get("image") or request.get("task_definition") or ""),
        "correlation": str(request.get("correlation_id", "")),
    }


def about_family(run_id: str, parent_id: str | None, root_id: str | None) -> dict[str, str]:
    """Return the fields of a run that say which task it came from, and which task all of them did; '' for itself."""
    return {"parent": parent_id or "", "root": root_id if root_id and root_id != run_id else ""}


def shown_kwargs(request: Mapping[str, Any]) -> str:
    """Return what Celery shows of a launch's arguments in place of all of them, which may be long or secret."""
    about = {name: value for name, value in about_request(request).items() if value}
    return repr({"correlation_id" if name == "correlation" else name: value for name, value in about.items()})
