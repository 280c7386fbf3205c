"""A dispatcher's services on the test's Redis, with AWS clients that answer from a script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.stub import Stubber

from dagy_queue.dispatch.services import Services
from dagy_queue.ledger import RedisConnection
from dagy_queue.messaging.app import make_app
from tests.unit.dispatch.pass_kit import Dispatcher
from tests.unit.kit import settings_on, stubbed


@dataclass
class ScriptedAws:
    """Stands in for AwsClients; ``calls`` are the parameters of every call to ECS's RunTask and StopTask."""

    ecs: Any
    ecs_control: Any
    s3: Any
    ecs_stub: Stubber
    control_stub: Stubber
    s3_stub: Stubber
    run_task_calls: list[dict[str, Any]]
    regions: list[str] = field(default_factory=list)

    def in_region(self, region: str) -> ScriptedAws:
        """Note the region and answer from the same script."""
        self.regions.append(region)
        return self


@pytest.fixture
def aws() -> Iterator[ScriptedAws]:
    with stubbed("ecs") as ecs, stubbed("ecs") as control, stubbed("s3") as s3:
        calls: list[dict[str, Any]] = []
        ecs[0].meta.events.register("provide-client-params.ecs.RunTask", lambda params, **_: calls.append(dict(params)))
        yield ScriptedAws(ecs[0], control[0], s3[0], ecs[1], control[1], s3[1], calls)


@pytest.fixture
def services(connection: RedisConnection, aws: ScriptedAws) -> Services:
    config = settings_on(
        connection,
        storage={"artifact_bucket": "artifacts", "traces_bucket": "traces"},
        ecs={"subnets": ("subnet-1",)},
        dispatch={"launch_threads": 3, "idle_wait_seconds": 5.0, "lease_seconds": 60.0},
    )
    return replace(Services.build(config, make_app(config)), aws=aws)  # type: ignore[arg-type]


@pytest.fixture
def dispatcher(services: Services) -> Dispatcher:
    return Dispatcher(services)
