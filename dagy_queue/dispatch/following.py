"""What follows the end of a run: its links and the next task of its chain, or its error callbacks.

Celery's worker sends them by itself, links before it stores the result and error callbacks after: one that dies in
between sends them again when the message comes again. Here they are rendered, and sent in the step that ends the run
in the ledger (``LaunchTask.close``): once, whatever dies, and when the result is there to be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog
from celery import Task
from celery.canvas import Signature, group, maybe_signature

from dagy_queue.dispatch.services import Services
from dagy_queue.ledger import Following
from dagy_queue.ledger.publications import NOTHING
from dagy_queue.messaging.publication import following_of

log = structlog.get_logger(__name__)


def keep_error_callbacks(request: Any) -> None:
    """Have Celery call no error callbacks of this pass: :func:`after_failure` has them."""
    if request.errbacks:
        request.dagy_errbacks, request.errbacks = request.errbacks, None


def keep_links(services: Services, task: Task, value: Any) -> None:
    """Render what is to be called with a run's result, and have Celery send nothing: :func:`after_success` has it.

    The result of each call becomes a child of the run, so this comes before the run's own result is stored. Raises
    RedisUnavailable: what a chord is counted by is stored now.
    """
    request = task.request
    if not (request.callbacks or request.chain):
        return
    family = {"parent_id": request.id, "root_id": request.root_id or request.id}
    with services.redis.errors():
        calls = [
            services.renderer.call(signature, (value,), **family, **options)
            for signature, options in _calls(services, request)
        ]
    for _, child in calls:
        task.add_trail(child)
    request.dagy_following = following_of([each for rendered, _ in calls for each in rendered], services.renderer)
    request.update(callbacks=None, chain=None)


def after_success(request: Any) -> Following:
    """Return what follows a run that succeeded."""
    return getattr(request, "dagy_following", NOTHING)


def after_failure(services: Services, request: Any) -> Following:
    """Return the error callbacks of a run that failed or was cancelled; none where they cannot be sent at all."""
    errbacks = getattr(request, "dagy_errbacks", None)
    if not errbacks:
        return NOTHING
    call = group([services.app.signature(each) for each in errbacks])
    try:
        messages = services.renderer.messages(
            call, (request.id,), parent_id=request.id, root_id=request.root_id or request.id
        )
    except Exception:
        log.exception("error_callbacks_not_sent", run_id=request.id)
        return NOTHING
    return following_of(messages, services.renderer)


def _calls(services: Services, request: Any) -> Iterator[tuple[Signature, dict[str, Any]]]:
    for link in request.callbacks or ():
        yield maybe_signature(link, app=services.app), {}
    if request.chain:  # the next task of a chain is its last element
        yield maybe_signature(request.chain[-1], app=services.app), {"chain": request.chain[:-1]}
