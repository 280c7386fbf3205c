"""Enters hand-made launches in the ledger as they are published.

``chord([launch_sig(...), ...])(body)`` is published by Celery, task by task. Celery's ``before_task_publish`` signal
lets the ledger know each run together with its message, because the broker's list alone can lose it: a worker
killed between the server's BRPOP reply and kombu's bookkeeping takes the message along (kombu#305, celery#4354).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from celery import current_app
from celery.signals import before_task_publish

from dagy_queue.errors import DagyQueueError
from dagy_queue.ledger import RedisConnection, RunLedger
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
        runs.publish(
            run_id, renderer.parts(body, headers, properties, routing_key), push=False, about=about_request(request)
        )
    except DagyQueueError as exc:
        # The first pass enters what this could not; Celery itself reports a broker that is down.
        log.warning("run %s was not entered in the ledger when it was published: %s", run_id, exc)


def about_request(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a run that say what it is: for status, lists and people."""
    return {
        "org": str(request.get("org_id", "")),
        "flow": str(request.get("flow_name") or request.get("image") or request.get("task_definition") or ""),
        "correlation": str(request.get("correlation_id", "")),
    }
