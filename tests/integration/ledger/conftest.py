"""The scene of the tests of admission."""

from __future__ import annotations

import pytest

from dagy_queue.ledger import RedisConnection
from tests.integration.ledger.admission_kit import Scene


@pytest.fixture
def scene(connection: RedisConnection) -> Scene:
    return Scene(connection)
