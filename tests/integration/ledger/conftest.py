"""The scene of the tests of admission."""

from __future__ import annotations

import pytest

from dagy_queue.ledger import AdmissionLedger, RedisConnection, RunLedger
from dagy_queue.ledger.sweeps import SweepLedger
from tests.integration.ledger.admission_kit import Scene


@pytest.fixture
def scene(connection: RedisConnection) -> Scene:
    return Scene(connection)


@pytest.fixture
def sweeps(connection: RedisConnection) -> SweepLedger:
    return SweepLedger(connection)


@pytest.fixture
def runs(connection: RedisConnection) -> RunLedger:
    return RunLedger(connection)


@pytest.fixture
def admission(connection: RedisConnection) -> AdmissionLedger:
    return AdmissionLedger(connection)
