"""The API on the test's Redis: open, as on a laptop, and with the tokens of two orgs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dagy_queue.ledger import RedisConnection
from dagy_queue.operate.api.app import create_app
from dagy_queue.producer.publisher import Publisher
from dagy_queue.settings import load_settings
from dagy_queue.settings.tokens import hashed

TOKENS = {"acme": [hashed("acme-token"), hashed("acme-token-2")], "globex": [hashed("globex-token")]}
HERE = "http://127.0.0.1"

MakeClient = Callable[..., TestClient]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


ACME, GLOBEX = bearer("acme-token"), bearer("globex-token")


def publisher_of(client: TestClient) -> Publisher:
    app: Any = client.app
    publisher: Publisher = app.state.desk.publisher
    return publisher


@pytest.fixture
def make_client(connection: RedisConnection, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeClient]:
    """Make clients of APIs; keyword arguments are sections of the settings."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    publishers: list[Publisher] = []

    def make(base_url: str = HERE, **sections: Any) -> TestClient:
        app = create_app(load_settings(**{"redis": {"url": connection.settings.url}, **sections}))
        if app.state.desk.config.launch.mode == "queue":
            publishers.append(app.state.desk.publisher)
        return TestClient(app, base_url=base_url, raise_server_exceptions=False)

    yield make
    for publisher in publishers:
        publisher.redis.close()


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    """An API without tokens."""
    return make_client()


@pytest.fixture
def guarded(make_client: MakeClient) -> TestClient:
    """An API with tokens."""
    return make_client(api={"tokens": TOKENS})
