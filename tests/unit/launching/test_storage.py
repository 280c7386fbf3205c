from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber
from hypothesis import given

from dagy.contract import ContractError, ReportStatus, RunReport
from dagy_queue.errors import AwsRefused, AwsThrottled, AwsUnavailable
from dagy_queue.ids import AttemptId
from dagy_queue.launching.storage import ObjectStore, report_uri, spec_uri, traces_uri
from dagy_queue.settings import StorageSettings
from dagy_worker.storage import split_uri
from tests.unit.kit import stubbed
from tests.unit.strategies import attempt_ids, names, unhurried

STORAGE = StorageSettings(artifact_bucket="artifacts", traces_bucket="traces")
ATTEMPT = AttemptId("run", 2)
URI = "s3://artifacts/results/acme/run/2/report.json"
REPORT = RunReport(run_id="run", attempt=2, status=ReportStatus.SUCCEEDED, result={"n": 1})


@pytest.fixture
def s3() -> Iterator[tuple[Any, Stubber]]:
    with stubbed("s3") as both:
        yield both


def holds(stub: Stubber, content: bytes, uri: str = URI) -> None:
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    answer = {"Body": StreamingBody(io.BytesIO(content), len(content))}
    stub.add_response("get_object", answer, {"Bucket": bucket, "Key": key})


def test_objects_of_an_attempt_are_under_its_org_run_and_number() -> None:
    assert report_uri(STORAGE, "acme", ATTEMPT) == URI
    assert spec_uri(STORAGE, "acme", ATTEMPT) == "s3://artifacts/results/acme/run/2/spec.json"


@pytest.mark.parametrize(
    ("prefix", "key"), [("", ""), ("/", ""), ("a/b/", "a/b/"), ("/a", "a/"), ("what?", "what?/"), ("a#1", "a#1/")]
)
def test_the_worker_finds_an_object_where_it_is_looked_for_whatever_the_prefix(
    prefix: str, key: str, s3: tuple[Any, Stubber]
) -> None:
    uri = report_uri(STORAGE.model_copy(update={"results_prefix": prefix}), "acme", ATTEMPT)
    bucket, its_key = split_uri(uri)
    assert (bucket, its_key) == ("artifacts", f"{key}acme/run/2/report.json")
    client, stub = s3
    stub.add_client_error("get_object", "NoSuchKey", expected_params={"Bucket": bucket, "Key": its_key})
    assert ObjectStore(client).report(uri) is None


def test_a_traceback_is_under_its_org_and_run() -> None:
    assert traces_uri(STORAGE, "acme", "run") == "s3://traces/exceptions/acme/run/traceback.txt"


def test_without_a_bucket_there_is_no_place() -> None:
    nothing = StorageSettings()
    assert (report_uri(nothing, "o", ATTEMPT), spec_uri(nothing, "o", ATTEMPT), traces_uri(nothing, "o", "r")) == (
        "",
        "",
        "",
    )


@unhurried
@given(names, attempt_ids, names, attempt_ids)
def test_no_two_attempts_share_a_place(org: str, one: AttemptId, other_org: str, other: AttemptId) -> None:
    same = (org, one) == (other_org, other)
    assert (report_uri(STORAGE, org, one) == report_uri(STORAGE, other_org, other)) == same


def test_a_report_is_read(s3: tuple[Any, Stubber]) -> None:
    holds(s3[1], REPORT.to_json().encode())
    assert ObjectStore(s3[0]).report(URI) == REPORT


@pytest.mark.parametrize("code", ["NoSuchKey", "404"])
def test_a_report_that_was_never_written_is_none(s3: tuple[Any, Stubber], code: str) -> None:
    s3[1].add_client_error("get_object", code, http_status_code=404)
    assert ObjectStore(s3[0]).report(URI) is None


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b'{"schema": 99}', b'{"schema": 1}', b"\xff\xfe"])
def test_an_object_that_is_no_report_is_a_contract_error(s3: tuple[Any, Stubber], content: bytes) -> None:
    holds(s3[1], content)
    with pytest.raises(ContractError):
        ObjectStore(s3[0]).report(URI)


@pytest.mark.parametrize(
    ("code", "status", "cls"),
    [
        ("AccessDenied", 403, AwsRefused),
        ("SlowDown", 503, AwsThrottled),
        ("InternalError", 500, AwsUnavailable),
    ],
)
def test_an_error_of_s3_is_one_of_ours(s3: tuple[Any, Stubber], code: str, status: int, cls: type) -> None:
    s3[1].add_client_error("get_object", code, http_status_code=status)
    with pytest.raises(cls):
        ObjectStore(s3[0]).report(URI)


@pytest.mark.parametrize("result", [None, 0, "", [], {"a": 1}])
def test_a_result_in_the_report_is_returned(s3: tuple[Any, Stubber], result: Any) -> None:
    report = RunReport(run_id="run", attempt=2, status=ReportStatus.SUCCEEDED, result=result)
    assert ObjectStore(s3[0]).result(report) == result


REFERRING = RunReport(run_id="run", attempt=2, status=ReportStatus.SUCCEEDED, result_uri="s3://artifacts/x/result.json")


def test_a_result_elsewhere_is_fetched(s3: tuple[Any, Stubber]) -> None:
    holds(s3[1], b"[1, 2]", REFERRING.result_uri)
    assert ObjectStore(s3[0]).result(REFERRING) == [1, 2]


def test_a_result_that_is_missing_is_a_contract_error(s3: tuple[Any, Stubber]) -> None:
    s3[1].add_client_error("get_object", "NoSuchKey", http_status_code=404)
    with pytest.raises(ContractError):
        ObjectStore(s3[0]).result(REFERRING)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe"])
def test_a_result_that_is_no_json_is_a_contract_error(s3: tuple[Any, Stubber], content: bytes) -> None:
    holds(s3[1], content, REFERRING.result_uri)
    with pytest.raises(ContractError):
        ObjectStore(s3[0]).result(REFERRING)


def test_an_object_is_written(s3: tuple[Any, Stubber]) -> None:
    expected = {
        "Bucket": "artifacts",
        "Key": "results/spec.json",
        "Body": '{"é":1}'.encode(),
        "ContentType": "application/json",
    }
    s3[1].add_response("put_object", {}, expected)
    ObjectStore(s3[0]).put("s3://artifacts/results/spec.json", '{"é":1}')


def test_a_write_that_s3_refuses_is_an_error_of_ours(s3: tuple[Any, Stubber]) -> None:
    s3[1].add_client_error("put_object", "AccessDenied", http_status_code=403)
    with pytest.raises(AwsRefused):
        ObjectStore(s3[0]).put("s3://artifacts/results/spec.json", "{}")
