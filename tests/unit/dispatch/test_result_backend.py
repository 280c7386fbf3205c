from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.backends.redis import RedisBackend
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from dagy_queue.dispatch.celery_settings import use_dispatcher_settings
from dagy_queue.messaging.app import make_app
from dagy_queue.settings import load_settings

REQUEST: Any = SimpleNamespace(id="run", group="chord", group_index=0)


@pytest.mark.parametrize("error", [RedisConnectionError("away"), OutOfMemoryError("full")])
def test_the_part_of_a_chord_is_counted_when_redis_is_back(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    counted: list[Any] = []
    errors = [error]

    def count(_: Any, request: Any, state: str, result: Any) -> None:
        if errors:
            raise errors.pop()
        counted.append((request.id, state, result))

    monkeypatch.setattr(RedisBackend, "on_chord_part_return", count)
    app = make_app(load_settings())
    use_dispatcher_settings(app)
    app.backend.on_chord_part_return(REQUEST, "SUCCESS", 7)
    assert counted == [("run", "SUCCESS", 7)]
