"""The run spec: where it is found, what the environment adds, what is refused."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from dagy.contract import Env
from dagy_worker.errors import BadSpec, StorageError
from dagy_worker.runspec import read_run_spec
from dagy_worker.storage import Storage
from tests.worker.entrypoint.conftest import Objects

pytestmark = pytest.mark.usefixtures("in_aws")


def document(**changes: Any) -> str:
    fields = {"run_id": "r", "attempt": 1, "org_id": "o", "flow_name": "f", "flow_version": "1"}
    return json.dumps({"schema": 1, "artifact_uri": "s3://bucket/artifact.zip", **fields, **changes})


def read(environ: dict[str, str]) -> Any:
    return read_run_spec(environ, Storage(os.environ))


def test_the_environment_adds_what_the_spec_leaves_open() -> None:
    environ = {Env.RUN_SPEC: document(), Env.RESULT_URI: "s3://b/r.json", Env.DEP_PACKAGE_URIS: "s3://b/1, s3://b/2"}
    spec = read(environ)
    assert (spec.result_uri, spec.dep_package_uris) == ("s3://b/r.json", ["s3://b/1", "s3://b/2"])
    environ[Env.DEP_PACKAGE_URIS] = '["s3://b/3"]'
    assert read(environ).dep_package_uris == ["s3://b/3"]
    environ[Env.RUN_SPEC] = document(result_uri="s3://b/own.json", dep_package_uris=["s3://b/own"])
    spec = read(environ)
    assert (spec.result_uri, spec.dep_package_uris) == ("s3://b/own.json", ["s3://b/own"])


def test_an_object_that_does_not_exist_is_named(objects: Objects) -> None:
    uri = objects.uri("nothing.json")
    with pytest.raises(StorageError, match=f"cannot read {uri}: .*does not exist"):
        read({Env.RUN_SPEC_URI: uri})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "run spec: not JSON"),
        (document(schema=2), "schema 2 is not supported"),
        ('{"schema": 1, "run_id": "r"}', "missing artifact_uri, attempt, flow_name, flow_version, org_id"),
        (document(run_id=""), "run_id='': expected a string that is not empty"),
        (document(attempt="1"), "attempt='1': expected int"),
        (document(attempt=True), "attempt=True: expected int"),
        (document(attempt=0), "attempt=0: expected an integer of at least 1"),
        (document(shard="x"), r"shard='x': expected int \| None"),
        (document(parameters=[]), r"parameters=\[\]: expected dict"),
        (document(artifact_uri="https://x/y"), "artifact_uri='https://x/y': expected s3://bucket/key"),
        (document(result_uri="s3://bucket"), "result_uri='s3://bucket': expected s3://bucket/key"),
        (document(dep_package_uris=["s3://b/k", 3]), r"dep_package_uris\[1\]=3: expected s3://bucket/key"),
    ],
)
def test_a_spec_that_breaks_the_contract_is_refused_by_field_and_value(text: str, message: str) -> None:
    with pytest.raises(BadSpec, match=message):
        read({Env.RUN_SPEC: text})


def test_a_list_of_packages_that_is_not_json_is_refused() -> None:
    with pytest.raises(BadSpec, match="DAGY_DEP_PACKAGE_URIS: not a JSON list"):
        read({Env.RUN_SPEC: document(), Env.DEP_PACKAGE_URIS: "[s3://b/1]"})
