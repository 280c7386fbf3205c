"""Making the tables and their indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from dagy_queue.errors import AwsUnavailable, SettingsInvalid
from dagy_queue.records import tables
from dagy_queue.records.models import FlowModel, RunModel, bind_models
from dagy_queue.records.run_queries import runs_of_org
from dagy_queue.records.tables import Done, TableStep, create_tables, definition, definitions, ensure_tables
from dagy_queue.settings import Settings
from tests.unit.records.conftest import TABLES

INDEXES = {
    "TEST_FLOWS": {"by_org"},
    "TEST_DEPLOYMENTS": set(),
    "TEST_PACKAGES": {"by_org"},
    "TEST_RUNS": {"by_org", "by_flow", "by_batch", "by_correlation"},
    "TEST_TASK_RUNS": set(),
}


@pytest.fixture
def dynamodb(config: Settings) -> Iterator[Any]:
    with mock_aws():
        bind_models(config)
        yield boto3.client("dynamodb", "eu-west-1")


def described(dynamodb: Any, name: str) -> dict[str, Any]:
    return dict(dynamodb.describe_table(TableName=name)["Table"])


def indexes_of(dynamodb: Any, name: str) -> set[str]:
    return {index["IndexName"] for index in described(dynamodb, name).get("GlobalSecondaryIndexes", ())}


def without_indexes(**changes: Any) -> dict[str, Any]:
    """CreateTable's parameters of the table of runs as it was before it had indexes."""
    old = {name: value for name, value in definition(RunModel).items() if name != "GlobalSecondaryIndexes"}
    return old | {"AttributeDefinitions": [{"AttributeName": "run_id", "AttributeType": "S"}]} | changes


def test_tables_are_created_where_the_settings_say_with_their_indexes(config: Settings, dynamodb: Any) -> None:
    assert create_tables(config) == list(TABLES.values())
    assert {name: indexes_of(dynamodb, name) for name in dynamodb.list_tables()["TableNames"]} == INDEXES


def test_tables_that_exist_are_left_alone(config: Settings, dynamodb: Any) -> None:
    create_tables(config)
    FlowModel(flow_name="etl", flow_version="1", org_id="acme", artifact_s3_uri="s3://bucket/1.zip").save()
    assert {step.done for step in ensure_tables(config)} == {Done.EXISTS}
    assert FlowModel.get("acme#etl", "1").flow_name == "etl"


def test_a_table_costs_nothing_while_it_is_not_used(config: Settings, dynamodb: Any) -> None:
    for name in create_tables(config):
        assert described(dynamodb, name)["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_an_older_table_gets_the_indexes_that_it_lacks_and_keeps_its_items(config: Settings, dynamodb: Any) -> None:
    dynamodb.create_table(**without_indexes())
    texts = {"run_id": "r", "org_id": "acme", "created_at": "2026-01-01T00:00:00.000000+0000", "status": "QUEUED"}
    item = texts | {"phase": "QUEUED"}
    dynamodb.put_item(TableName="TEST_RUNS", Item={name: {"S": value} for name, value in item.items()})
    steps = [step for step in ensure_tables(config) if step.table == "TEST_RUNS"]
    assert steps[0] == TableStep("TEST_RUNS", "", Done.EXISTS)
    assert {step.index: step.done for step in steps[1:]} == dict.fromkeys(INDEXES["TEST_RUNS"], Done.CREATED)
    assert indexes_of(dynamodb, "TEST_RUNS") == INDEXES["TEST_RUNS"]
    assert RunModel.get("r").status == "QUEUED"
    assert [found.run_id for found in runs_of_org("acme").runs] == ["r"]


def test_a_table_with_provisioned_capacity_gets_an_index_with_as_much(
    config: Settings, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = {"ReadCapacityUnits": 7, "WriteCapacityUnits": 3}
    dynamodb.create_table(**without_indexes(BillingMode="PROVISIONED", ProvisionedThroughput=units))
    create_tables(config)
    for index in described(dynamodb, "TEST_RUNS")["GlobalSecondaryIndexes"]:
        assert units.items() <= index["ProvisionedThroughput"].items()


def test_a_dry_run_says_what_is_missing_and_makes_nothing(config: Settings, dynamodb: Any) -> None:
    dynamodb.create_table(**without_indexes())
    steps = list(ensure_tables(config, dry_run=True))
    assert dynamodb.list_tables()["TableNames"] == ["TEST_RUNS"]
    assert indexes_of(dynamodb, "TEST_RUNS") == set()
    assert {(step.table, step.index) for step in steps if step.done is Done.MISSING} == {
        *((name, "") for name in INDEXES if name != "TEST_RUNS"),
        *(("TEST_RUNS", index) for index in INDEXES["TEST_RUNS"]),
    }
    assert [step for step in steps if step.done is not Done.MISSING] == [TableStep("TEST_RUNS", "", Done.EXISTS)]


def test_a_table_with_other_keys_is_not_touched(config: Settings, dynamodb: Any) -> None:
    keys = [{"AttributeName": "id", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "id", "AttributeType": "S"}]
    dynamodb.create_table(**without_indexes(KeySchema=keys, AttributeDefinitions=attributes))
    with pytest.raises(SettingsInvalid, match=r"TEST_RUNS exists with the keys id, not run_id.*__RUNS_TABLE"):
        create_tables(config)


def test_an_index_with_other_keys_is_not_used(config: Settings, dynamodb: Any) -> None:
    create_tables(config)
    wanted = definition(RunModel)
    one, other, *_ = wanted["GlobalSecondaryIndexes"]
    one["KeySchema"], other["KeySchema"] = other["KeySchema"], one["KeySchema"]
    dynamodb.delete_table(TableName="TEST_RUNS")
    dynamodb.create_table(**wanted)
    with pytest.raises(SettingsInvalid, match=f"index {one['IndexName']} of table TEST_RUNS exists with the keys"):
        create_tables(config)


class Slow:
    """A DynamoDB in which what was made can be used only after some looks, and which others use as well."""

    def __init__(self, client: Any, looks: int) -> None:
        self._client = client
        self._looks = looks
        self.left = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def create_table(self, **parameters: Any) -> Any:
        self.left = self._looks
        self._client.create_table(**parameters)
        error = {"Error": {"Code": "ResourceInUseException", "Message": "Table already exists"}}
        raise ClientError(error, "CreateTable")  # type: ignore[arg-type]

    def describe_table(self, **parameters: Any) -> Any:
        answer = self._client.describe_table(**parameters)
        if self.left > 0:
            self.left -= 1
            answer["Table"]["TableStatus"] = "CREATING"
        return answer


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(tables.time, "sleep", slept.append)
    return slept


def test_a_table_that_somebody_else_makes_at_the_same_time_is_waited_for(dynamodb: Any, pauses: list[float]) -> None:
    slow = Slow(dynamodb, looks=8)
    tables._create(slow, definition(RunModel))
    assert tables._wait(slow, "TEST_RUNS")["TableStatus"] == "ACTIVE"
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_table_that_is_not_ready_in_time_is_an_error(dynamodb: Any, pauses: list[float]) -> None:
    slow = Slow(dynamodb, looks=10**6)
    tables._create(slow, definition(RunModel))
    with pytest.raises(AwsUnavailable, match="TEST_RUNS cannot be used after 0 seconds"):
        tables._wait(slow, "TEST_RUNS", 0)


def test_what_an_index_holds_is_within_dynamodbs_bounds(config: Settings) -> None:
    for table in definitions(config):
        listed = [index["Projection"]["NonKeyAttributes"] for index in table.get("GlobalSecondaryIndexes", ())]
        assert sum(map(len, listed)) <= 100
        keys = {key["AttributeName"] for key in table["KeySchema"]}
        for index, names in zip(table.get("GlobalSecondaryIndexes", ()), listed, strict=True):
            assert not set(names) & (keys | {key["AttributeName"] for key in index["KeySchema"]})
