"""Routes of an application's tasks, settled where they are known.

A dispatcher publishes the links, chains and chord bodies that hang on a launch, and knows nothing of the application's
``task_routes`` or default queue. So the process that publishes the launch writes their queues into their signatures:
``messaging/publication.py`` for hand-made canvas, ``producer`` for callbacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from celery import Celery

_OURS = "dagy."


def settle(signature: Any, app: Celery) -> None:
    """Write the queue that ``app`` routes to into a signature (a dict, as all of Celery's are) and all inside it."""
    if not isinstance(signature, dict):
        return
    options = signature.setdefault("options", {})
    kind = signature.get("subtask_type")
    if kind not in ("group", "chain", "chord"):
        _settle_task(signature, options, app)
    kwargs = signature.get("kwargs") or {}
    inside = [kwargs.get("tasks"), kwargs.get("header"), kwargs.get("body")] if kind else []
    settle_all([*inside, *(options.get(name) for name in ("link", "link_error", "chord", "chain"))], app)


def settle_all(signatures: Iterable[Any], app: Celery) -> None:
    """Settle signatures, and lists of them; None is nothing."""
    for signature in signatures:
        if isinstance(signature, list | tuple):
            settle_all(signature, app)
        else:
            settle(signature, app)


def settle_embedded(embedded: Mapping[str, Any], app: Celery) -> None:
    """Settle what hangs on a message: the third part of its body, in Celery's protocol 2."""
    settle_all([embedded.get(name) for name in ("callbacks", "errbacks", "chain", "chord")], app)


def _settle_task(signature: dict[str, Any], options: dict[str, Any], app: Celery) -> None:
    name = str(signature.get("task", ""))
    if name.startswith(_OURS) or options.get("queue") or options.get("routing_key"):
        return
    route = app.amqp.router.route({}, name)
    queue = route.get("queue")
    options["queue"] = getattr(queue, "name", queue) or app.conf.task_default_queue
