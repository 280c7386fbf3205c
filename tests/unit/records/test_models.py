from __future__ import annotations

from datetime import UTC, datetime, timedelta

import boto3
import pytest
from moto import mock_aws

from dagy_queue.records.models import FlowModel, bind_models, create_tables
from dagy_queue.settings import Settings


@mock_aws
def test_tables_are_created_where_the_settings_say(config: Settings) -> None:
    assert create_tables(config) == ["TEST_FLOWS"]
    assert boto3.client("dynamodb", "eu-west-1").list_tables()["TableNames"] == ["TEST_FLOWS"]


@mock_aws
def test_tables_that_exist_are_left_alone(config: Settings) -> None:
    create_tables(config)
    FlowModel("acme#etl", "1", flow_name="etl", org_id="acme").save()
    assert create_tables(config) == ["TEST_FLOWS"]
    assert FlowModel.get("acme#etl", "1").flow_name == "etl"


@mock_aws
def test_a_table_costs_nothing_while_it_is_not_used(config: Settings) -> None:
    create_tables(config)
    table = boto3.client("dynamodb", "eu-west-1").describe_table(TableName="TEST_FLOWS")["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize(
    ("environment", "host"),
    [
        ({}, None),
        ({"AWS_ENDPOINT_URL": "http://a"}, "http://a"),
        ({"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_DYNAMODB": "http://b"}, "http://b"),
    ],
)
def test_the_endpoint_is_the_environments(
    monkeypatch: pytest.MonkeyPatch, config: Settings, environment: dict[str, str], host: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    bind_models(config)
    assert FlowModel.Meta.host == host  # type: ignore[attr-defined]
    monkeypatch.undo()
    bind_models(config)


@pytest.mark.usefixtures("tables")
def test_a_registration_has_its_time() -> None:
    FlowModel("acme#etl", "1", flow_name="etl", org_id="acme").save()
    registered = FlowModel.get("acme#etl", "1").registered_at
    assert timedelta() <= datetime.now(UTC) - registered < timedelta(minutes=1)
