"""The gateway as its own process, and boto3 clients for it."""

import sys
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from dagy_queue.local.gateway import GatewayOptions
from dagy_queue.local.processes import Child

FAKE = Path(__file__).parent / "gateway" / "fake_ecs_gateway.py"


@dataclass(frozen=True)
class RunningGateway:
    url: str
    child: Child

    def client(self, service, **config):
        session = boto3.session.Session("local", "local", region_name="us-east-1")
        return session.client(
            service, endpoint_url=self.url, config=Config(retries={"total_max_attempts": 1}, **config)
        )


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    """The gateway with a fake ECS, on a port of its own."""
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    command = [sys.executable, "-W", "error", str(FAKE), "--options", GatewayOptions(port=0).to_json()]
    child = Child("gateway", command, log=log)
    try:
        child.wait_until(lambda: "http://" in log.read_text(), 20, "listening")
        yield RunningGateway(log.read_text().split()[-1], child)
    finally:
        child.stop()


@pytest.fixture
def client(gateway):
    """Makes boto3 clients, and closes them."""
    made = []

    def make(service, **config):
        made.append(gateway.client(service, **config))
        return made[-1]

    yield make
    for one in made:
        one.close()
