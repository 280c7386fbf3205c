from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from dagy_queue.aws.clients import AwsClients
from dagy_queue.settings import AwsSettings

ATTEMPTS = {"ecs": 1, "ecs_control": 5, "s3": 5, "sqs": 2}


@pytest.fixture(scope="module")
def clients() -> AwsClients:
    return AwsClients(AwsSettings(region="eu-west-3", connect_timeout=2, read_timeout=25), max_connections=7)


@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_client_has_the_settings(clients: AwsClients, name: str) -> None:
    config = getattr(clients, name).meta.config
    assert (config.region_name, config.connect_timeout, config.read_timeout) == ("eu-west-3", 2, 25)
    assert config.max_pool_connections == 7


def test_no_setting_ends_a_long_poll_before_sqs_answers_it() -> None:
    impatient = AwsClients(AwsSettings(read_timeout=3))
    assert impatient.sqs.meta.config.read_timeout == 25
    assert impatient.s3.meta.config.read_timeout == 3


@pytest.mark.parametrize(("name", "attempts"), ATTEMPTS.items())
def test_a_client_tries_as_often_as_fits_its_use(clients: AwsClients, name: str, attempts: int) -> None:
    retries = getattr(clients, name).meta.config.retries
    assert (retries["mode"], retries["total_max_attempts"]) == ("standard", attempts)


@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_client_is_made_once(clients: AwsClients, name: str) -> None:
    assert getattr(clients, name) is getattr(clients, name)


def test_run_task_and_control_calls_have_clients_of_their_own(clients: AwsClients) -> None:
    assert clients.ecs is not clients.ecs_control


def test_the_endpoint_is_botocores_own_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert AwsClients(AwsSettings()).sqs.meta.endpoint_url == "http://127.0.0.1:4566"


def test_a_region_has_clients_of_its_own_with_the_same_settings(clients: AwsClients) -> None:
    there = clients.in_region("eu-central-1")
    assert there.ecs.meta.region_name == "eu-central-1"
    assert there.ecs.meta.config.connect_timeout == clients.ecs.meta.config.connect_timeout
    assert there.ecs.meta.config.max_pool_connections == 7
    assert clients.ecs.meta.region_name == "eu-west-3"


def test_the_clients_of_a_region_are_made_once(clients: AwsClients) -> None:
    assert clients.in_region("eu-central-1") is clients.in_region("eu-central-1")
    assert clients.in_region("eu-west-3") is clients


def test_threads_that_ask_for_a_region_together_share_its_clients(clients: AwsClients) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: clients.in_region("sa-east-1"), range(32)))
    assert len({id(each) for each in found}) == 1
