from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import boto3
import pytest
from moto import mock_aws

from dagy_queue.errors import AwsRefused, RequestInvalid, SettingsInvalid
from dagy_queue.operate.flows import push_flow
from dagy_queue.records.flows import find_flow
from dagy_queue.records.tables import create_tables
from dagy_queue.requests import LaunchRequest
from dagy_queue.settings import Settings, load_settings
from tests.unit.operate.registry_kit import ONE_FLOW

TWO_FLOWS = (
    ONE_FLOW
    + """
    @flow(version="2.0")
    def other():
        give(2)
"""
)


@pytest.fixture
def config() -> Iterator[Settings]:
    with mock_aws():
        config = load_settings(storage={"artifact_bucket": "artifacts"}, records={"flows_table": "TEST_FLOWS"})
        create_tables(config)
        boto3.client("s3", "us-east-1").create_bucket(Bucket="artifacts")
        yield config


def write(directory: Path, code: str) -> Path:
    file = directory / "flows.py"
    file.write_text(textwrap.dedent(code))
    return file


def test_a_flow_is_uploaded_and_registered(config: Settings, tmp_path: Path) -> None:
    pushed = push_flow(config, write(tmp_path, ONE_FLOW), org_id="acme")
    assert (pushed.org_id, pushed.name, pushed.version) == ("acme", "etl", "1.0")
    assert find_flow("acme", "etl", "1.0") == find_flow("acme", "etl", "latest") == pushed


def test_the_artifact_is_where_the_registry_says(config: Settings, tmp_path: Path) -> None:
    pushed = push_flow(config, write(tmp_path, ONE_FLOW), org_id="acme")
    bucket, key = pushed.artifact_uri.removeprefix("s3://").split("/", 1)
    content = boto3.client("s3", "us-east-1").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert hashlib.sha256(content).hexdigest() == pushed.artifact_sha256
    assert "flow_spec.json" in ZipFile(BytesIO(content)).namelist()


def test_a_version_can_be_given(config: Settings, tmp_path: Path) -> None:
    assert push_flow(config, write(tmp_path, ONE_FLOW), org_id="acme", version="7").version == "7"


def test_pushing_again_changes_nothing(config: Settings, tmp_path: Path) -> None:
    file = write(tmp_path, ONE_FLOW)
    assert push_flow(config, file, org_id="acme") == push_flow(config, file, org_id="acme")


def test_a_version_never_gets_other_content(config: Settings, tmp_path: Path) -> None:
    first = push_flow(config, write(tmp_path, ONE_FLOW), org_id="acme")
    with pytest.raises(RequestInvalid):
        push_flow(config, write(tmp_path, ONE_FLOW + "\n    X = 1\n"), org_id="acme")
    assert find_flow("acme", "etl", "1.0") == first


def test_one_of_several_flows_is_chosen(config: Settings, tmp_path: Path) -> None:
    assert push_flow(config, write(tmp_path, TWO_FLOWS), org_id="acme", flow="other").version == "2.0"


@pytest.mark.parametrize("code", [TWO_FLOWS, "x = 1", "def (", "raise ValueError('no')"])
def test_a_file_without_one_clear_flow_is_refused(config: Settings, tmp_path: Path, code: str) -> None:
    with pytest.raises(RequestInvalid):
        push_flow(config, write(tmp_path, code), org_id="acme")


def test_without_a_bucket_nothing_is_pushed(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"DAGY_ARTIFACT_BUCKET.*source .dagy/env"):
        push_flow(load_settings(), write(tmp_path, ONE_FLOW), org_id="acme")


def test_a_bucket_that_does_not_exist_is_an_error_of_ours(config: Settings, tmp_path: Path) -> None:
    elsewhere = config.model_copy(update={"storage": load_settings(storage={"artifact_bucket": "none"}).storage})
    with pytest.raises(AwsRefused):
        push_flow(elsewhere, write(tmp_path, ONE_FLOW), org_id="acme")


@pytest.mark.parametrize("org_id", ["", "a b", "a/b", "a#b", "../up"])
def test_an_org_that_could_never_launch_is_refused(config: Settings, tmp_path: Path, org_id: str) -> None:
    with pytest.raises(RequestInvalid):
        push_flow(config, write(tmp_path, ONE_FLOW), org_id=org_id)


@pytest.mark.parametrize("version", ["1 beta", "1/2", "-1", "latest", "v" * 200])
def test_a_version_that_could_never_be_launched_is_refused(config: Settings, tmp_path: Path, version: str) -> None:
    with pytest.raises(RequestInvalid):
        push_flow(config, write(tmp_path, ONE_FLOW), org_id="acme", version=version)


def test_what_is_pushed_can_be_launched(config: Settings, tmp_path: Path) -> None:
    pushed = push_flow(config, write(tmp_path, ONE_FLOW), org_id="acme")
    LaunchRequest(org_id=pushed.org_id, flow_name=pushed.name, flow_version=pushed.version)


def test_a_graph_that_the_registry_cannot_hold_is_refused_before_it_is_uploaded(
    config: Settings, tmp_path: Path
) -> None:
    code = """
    from dagy import DAG, task

    @task(description="x" * 90)
    def step(number):
        return number

    with DAG("wide") as dag:
        for number in range(3000):
            step(number)
    """
    with pytest.raises(RequestInvalid, match=r"spec = '3000 tasks in .* bytes': at most 380,000 bytes"):
        push_flow(config, write(tmp_path, code), org_id="acme")
    assert boto3.client("s3").list_objects_v2(Bucket="artifacts").get("KeyCount") == 0
