from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError
from hypothesis import given
from moto import mock_aws
from pynamodb.connection import TableConnection
from pynamodb.exceptions import GetError

from dagy_queue.errors import AwsError, AwsRefused, AwsThrottled, AwsUnavailable, RequestInvalid
from dagy_queue.records.flows import RegisteredFlow, find_flow, register_flow
from dagy_queue.records.models import FlowModel, bind_models, flow_key
from dagy_queue.settings import Settings
from tests.unit.strategies import names, unhurried

FLOW = RegisteredFlow(
    org_id="acme", name="etl", version="1", artifact_uri="s3://bucket/1.zip", artifact_sha256="1" * 64
)
SECOND = replace(FLOW, version="2", artifact_uri="s3://bucket/2.zip", artifact_sha256="2" * 64)
SPEC = {"name": "etl", "tasks": [{"name": "a"}], "parameters": {"day": None}}

with_tables = pytest.mark.usefixtures("tables")


@with_tables
def test_a_version_that_was_registered_is_found() -> None:
    register_flow(FLOW, SPEC)
    assert find_flow("acme", "etl", "1") == FLOW


@with_tables
def test_the_spec_is_kept() -> None:
    register_flow(FLOW, SPEC)
    assert FlowModel.get(flow_key("acme", "etl"), "1").flow_spec_json == SPEC


@with_tables
@pytest.mark.parametrize(
    ("org_id", "name", "version"),
    [("acme", "etl", "9"), ("acme", "other", "1"), ("other", "etl", "1"), ("a", "b", "latest")],
)
def test_what_was_never_registered_is_not_found(org_id: str, name: str, version: str) -> None:
    register_flow(FLOW, SPEC)
    assert find_flow(org_id, name, version) is None


@with_tables
def test_latest_is_the_version_registered_last() -> None:
    register_flow(FLOW, SPEC)
    assert find_flow("acme", "etl", "latest") == FLOW
    register_flow(SECOND, SPEC)
    assert find_flow("acme", "etl", "latest") == SECOND


@with_tables
def test_older_versions_stay() -> None:
    register_flow(FLOW, SPEC)
    register_flow(SECOND, SPEC)
    assert find_flow("acme", "etl", "1") == FLOW


@with_tables
def test_a_version_may_be_registered_again_unchanged() -> None:
    register_flow(FLOW, SPEC)
    register_flow(FLOW, SPEC)
    assert find_flow("acme", "etl", "1") == FLOW


@with_tables
def test_a_version_never_gets_another_artifact() -> None:
    register_flow(FLOW, SPEC)
    with pytest.raises(RequestInvalid):
        register_flow(replace(FLOW, artifact_sha256="f" * 64), SPEC)
    assert find_flow("acme", "etl", "1") == FLOW


@with_tables
def test_a_version_never_gets_another_spec() -> None:
    register_flow(FLOW, SPEC)
    with pytest.raises(RequestInvalid, match="'etl' version '1' of org 'acme' is registered with other content"):
        register_flow(FLOW, {**SPEC, "tasks": []})
    assert FlowModel.get(flow_key("acme", "etl"), "1").flow_spec_json == SPEC


@with_tables
def test_the_order_of_a_specs_keys_does_not_matter() -> None:
    register_flow(FLOW, SPEC)
    register_flow(FLOW, dict(reversed(SPEC.items())))


@with_tables
def test_the_same_artifact_may_lie_elsewhere() -> None:
    register_flow(FLOW, SPEC)
    register_flow(replace(FLOW, artifact_uri="s3://other/1.zip"), SPEC)
    assert find_flow("acme", "etl", "1") == replace(FLOW, artifact_uri="s3://other/1.zip")


@with_tables
def test_a_refused_registration_leaves_latest_alone() -> None:
    register_flow(FLOW, SPEC)
    register_flow(SECOND, SPEC)
    with pytest.raises(RequestInvalid):
        register_flow(replace(FLOW, artifact_sha256="f" * 64), SPEC)
    assert find_flow("acme", "etl", "latest") == SECOND


@with_tables
def test_no_version_is_called_latest() -> None:
    with pytest.raises(RequestInvalid):
        register_flow(replace(FLOW, version="latest"), SPEC)


@with_tables
def test_two_orgs_may_use_the_same_name() -> None:
    theirs = replace(FLOW, org_id="other", artifact_sha256="e" * 64)
    register_flow(FLOW, SPEC)
    register_flow(theirs, SPEC)
    assert (find_flow("acme", "etl", "1"), find_flow("other", "etl", "1")) == (FLOW, theirs)


@unhurried
@given(names, names, names, names)
def test_no_two_flows_share_a_key(org: str, name: str, other_org: str, other_name: str) -> None:
    assert (flow_key(org, name) == flow_key(other_org, other_name)) == ((org, name) == (other_org, other_name))


def throttled() -> ClientError:
    error = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}}
    return ClientError(error, "GetItem")  # type: ignore[arg-type]


@with_tables
@pytest.mark.parametrize(
    ("cause", "cls"),
    [
        (throttled(), AwsThrottled),
        (EndpointConnectionError(endpoint_url="http://x"), AwsUnavailable),
        (NoCredentialsError(), AwsRefused),
    ],
)
def test_an_error_of_dynamodb_is_one_of_ours(
    monkeypatch: pytest.MonkeyPatch, cause: ClientError | BotoCoreError, cls: type[AwsError]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise GetError("no", cause)

    monkeypatch.setattr(TableConnection, "get_item", fail)
    with pytest.raises(cls) as caught:
        find_flow("acme", "etl", "1")
    assert caught.value.operation == "dynamodb:GetItem"


@mock_aws
def test_a_table_that_is_missing_is_an_error_of_ours(config: Settings) -> None:
    bind_models(config)
    with pytest.raises(AwsRefused):
        find_flow("acme", "etl", "1")
    with pytest.raises(AwsRefused):
        register_flow(FLOW, SPEC)
