"""botocore as the worker has it: when it is loaded, how long it may take, and what its errors become."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from dagy_worker.aws import AwsError, AwsRefused, Patience, errors_mapped, make_client, session

PATIENCE = Patience(connect=5.0, read=60.0, attempts=4)


def test_the_entrypoint_is_imported_without_botocore() -> None:
    code = "import sys, dagy_worker.main; print([name for name in sys.modules if name.startswith('boto')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_clients_of_a_process_share_what_was_parsed() -> None:
    assert session() is session()
    environ = {"AWS_REGION": "eu-west-1"}
    clients = [make_client("s3", environ, PATIENCE) for _ in range(2)]
    assert clients[0] is not clients[1]
    assert clients[0].meta.region_name == "eu-west-1"


def test_a_call_tries_as_often_and_waits_as_long_as_it_may() -> None:
    config = make_client("s3", {"AWS_REGION": "us-east-1"}, PATIENCE).meta.config
    assert (config.connect_timeout, config.read_timeout) == (5.0, 60.0)
    assert config.retries["total_max_attempts"] == 4


def test_before_a_deadline_there_is_one_try_within_what_is_left() -> None:
    left = PATIENCE.until(time.monotonic() + 4)
    assert left.attempts == 1
    assert left.connect <= 2 >= left.read
    assert PATIENCE.until(None) is PATIENCE
    assert PATIENCE.until(time.monotonic() - 100).read > 0


def test_a_refusal_has_its_code_and_status() -> None:
    answer = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    with pytest.raises(AwsRefused, match="AccessDenied") as caught, errors_mapped():
        raise ClientError(answer, "GetObject")  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)


def test_what_cannot_be_asked_is_an_error_of_ours() -> None:
    with pytest.raises(AwsError, match="Could not connect") as caught, errors_mapped():
        raise EndpointConnectionError(endpoint_url="http://x")
    assert not isinstance(caught.value, AwsRefused)
