"""The HTTP API: launch, look, cancel. ``dagy-queue api`` serves it, and AWS Lambda by :func:`handler`.

It only enqueues: what it does, it does through ``dagy_queue.producer``. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any


def handler(event: Any, context: Any) -> Any:
    """Serve one event of API Gateway, a function URL or a load balancer: ``dagy_queue.operate.api.handler`` in Lambda.

    Raises SettingsInvalid if no tokens are configured: nothing says that Lambda is reached from this machine alone.
    """
    return _adapter()(event, context)


@lru_cache(maxsize=1)
def _adapter() -> Any:
    from mangum import Mangum

    from dagy_queue.operate.api.app import create_app
    from dagy_queue.operate.api.exposure import require_tokens
    from dagy_queue.settings import settings

    config = settings()
    require_tokens(config.api, "in Lambda")
    return Mangum(create_app(config), lifespan="off")
