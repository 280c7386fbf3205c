from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

import dagy_queue
from dagy_queue import settings as settings_module
from dagy_queue.errors import AwsRefused
from dagy_queue.records import models
from dagy_queue.records.base import Record
from dagy_queue.records.models import MODELS, FlowModel, RunModel, bind_models
from dagy_queue.records.runs import find_run
from dagy_queue.records.tables import create_tables
from dagy_queue.settings import Settings


def names_of_tables(region: str = "eu-west-1") -> set[str]:
    return set(boto3.client("dynamodb", region).list_tables()["TableNames"])


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
    assert {model.Meta.host for model in MODELS} == {host}
    monkeypatch.undo()
    bind_models(config)


@mock_aws
@pytest.mark.usefixtures("unbound")
def test_a_users_program_need_not_bind_the_models(monkeypatch: pytest.MonkeyPatch, config: Settings) -> None:
    create_tables(config)
    monkeypatch.setattr(Record, "bound", False)
    monkeypatch.setattr(settings_module, "settings", lambda: config)
    FlowModel(flow_name="etl", flow_version="1", org_id="acme", artifact_s3_uri="s3://bucket/1.zip").save()
    assert Record.bound
    assert boto3.client("dynamodb", "eu-west-1").scan(TableName="TEST_FLOWS")["Count"] == 2


@pytest.mark.usefixtures("tables")
def test_what_was_bound_stays_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "bind_models", lambda *_: pytest.fail("bound again"))
    assert find_run("nobody") is None


@pytest.mark.usefixtures("tables")
def test_an_item_that_is_not_there_is_the_models_own_error() -> None:
    with pytest.raises(RunModel.DoesNotExist):
        RunModel.get("nobody")


@mock_aws
def test_a_table_that_is_missing_is_an_error_of_ours(config: Settings) -> None:
    bind_models(config)
    with pytest.raises(AwsRefused) as caught:
        RunModel.get("r")
    assert (caught.value.code, caught.value.operation) == ("ResourceNotFoundException", "dynamodb:GetItem")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_models_are_public(model: type[Record]) -> None:
    assert getattr(dagy_queue, model.__name__) is model


@pytest.mark.usefixtures("tables")
def test_all_models_share_one_client_and_read_and_write_their_own_tables() -> None:
    assert len({id(model.table().connection.client) for model in MODELS}) == 1
    FlowModel(flow_name="etl", flow_version="1", org_id="acme", artifact_s3_uri="s3://bucket/1.zip").save()
    assert FlowModel.get("acme#etl", "1").artifact_s3_uri == "s3://bucket/1.zip"
    assert [model.count() for model in MODELS] == [2, 0, 0, 0, 0]


def test_models_that_are_bound_anew_have_a_new_client(config: Settings) -> None:
    bind_models(config)
    before = RunModel.table().connection
    bind_models(config)
    assert RunModel.table().connection is not before
    assert RunModel.table().connection is FlowModel.table().connection
