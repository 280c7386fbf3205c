"""The Celery app that Flower reads and sends its commands with (``celery -A dagy_queue.operate.flower.app flower``).

It is the product's app, but for what its buttons mean: whoever revokes a run in Flower wants it to end, also if its
container has started since the page was loaded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from celery import Celery

from dagy_queue.messaging.app import make_app
from dagy_queue.settings import settings

REASON = "ended in Flower"


@lru_cache(maxsize=1)
def flower_app() -> Celery:
    """Return the app of this process's settings."""
    return make_app(settings(), reason=REASON, always_terminate=True)


def __getattr__(name: str) -> Any:
    """``app``: what Celery looks for; made when asked for."""
    if name in ("app", "celery"):
        return flower_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
