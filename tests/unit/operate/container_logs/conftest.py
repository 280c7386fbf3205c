"""The CloudWatch and the ECS of the tests of logs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dagy_queue.operate.container_logs import places
from tests.unit.operate.container_logs.kit import FakeEcs, FakeLogs


@pytest.fixture
def ecs() -> FakeEcs:
    return FakeEcs()


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch, ecs: FakeEcs) -> FakeLogs:
    made = FakeLogs(page=100)
    region = SimpleNamespace(logs=made, ecs_control=ecs)
    monkeypatch.setattr(
        places, "AwsClients", lambda *_args, **_options: SimpleNamespace(in_region=lambda _region: region)
    )
    return made
