from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.retries.standard import ThrottledRetryableChecker
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.aws.errors import from_client_error, mapped
from dagy_queue.errors import AwsCapacity, AwsError, AwsRefused, AwsThrottled, AwsUnavailable
from tests.unit.strategies import unhurried


def answer(code: str, message: str = "", status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "RunTask")


@pytest.mark.parametrize(
    ("code", "message", "status", "cls"),
    [
        ("ThrottlingException", "Rate exceeded", 400, AwsThrottled),
        ("Throttling", "", 400, AwsThrottled),
        ("TooManyRequestsException", "", 429, AwsThrottled),
        ("SlowDown", "Please reduce your request rate.", 503, AwsThrottled),
        ("ProvisionedThroughputExceededException", "", 400, AwsThrottled),
        ("RequestLimitExceeded", "", 503, AwsThrottled),
        ("LimitExceededException", "", 400, AwsThrottled),
        ("InvalidParameterException", "Unable to assume. Rate exceeded (ErrorCode: Throttling)", 400, AwsThrottled),
        ("ClientException", "Too many concurrent attempts to create a new revision of the family.", 400, AwsThrottled),
        ("ClientException", "You\u2019ve reached the limit on the number of vCPUs you can run", 400, AwsCapacity),
        ("ClientException", "Capacity is unavailable at this time. Please try again later", 400, AwsCapacity),
        ("ServerException", "Service Unavailable", 500, AwsUnavailable),
        ("ServerException", "", 0, AwsUnavailable),
        ("InternalError", "", 500, AwsUnavailable),
        ("ServiceUnavailable", "", 503, AwsUnavailable),
        ("502", "Bad Gateway", 502, AwsUnavailable),
        ("InvalidParameterException", "No Container Instances were found in your cluster.", 400, AwsRefused),
        ("AccessDeniedException", "", 400, AwsRefused),
        ("AccessDenied", "", 403, AwsRefused),
        ("ClusterNotFoundException", "Cluster not found.", 400, AwsRefused),
        ("ConflictException", "", 400, AwsRefused),
        ("NoSuchKey", "", 404, AwsRefused),
        ("ClientException", "TaskDefinition is inactive", 400, AwsRefused),
        ("PlatformUnknownException", "", 400, AwsRefused),
        ("UnsupportedFeatureException", "", 400, AwsRefused),
    ],
)
def test_an_answer_of_aws_becomes_the_error_that_fits(code: str, message: str, status: int, cls: type) -> None:
    assert type(from_client_error(answer(code, message, status), "ecs:RunTask")) is cls


@pytest.mark.parametrize("code", ThrottledRetryableChecker._THROTTLED_ERROR_CODES)
def test_every_code_that_botocore_takes_for_a_throttle_is_one(code: str) -> None:
    assert type(from_client_error(answer(code), "sqs:ReceiveMessage")) is AwsThrottled


@unhurried
@given(st.text(), st.text(), st.integers(0, 599))
def test_any_answer_becomes_an_error_of_ours(code: str, message: str, status: int) -> None:
    error = from_client_error(answer(code, message, status), "ecs:RunTask")
    assert type(error) in {AwsThrottled, AwsCapacity, AwsUnavailable, AwsRefused}
    assert (error.code, error.operation) == (code, "ecs:RunTask")
    assert str(error).startswith("ecs:RunTask")


def test_an_empty_answer_becomes_an_error_of_ours() -> None:
    assert isinstance(from_client_error(ClientError({}, "RunTask"), "ecs:RunTask"), AwsRefused)


@pytest.mark.parametrize(
    ("raised", "cls"),
    [
        (exceptions.EndpointConnectionError(endpoint_url="http://x"), AwsUnavailable),
        (exceptions.ConnectTimeoutError(endpoint_url="http://x"), AwsUnavailable),
        (exceptions.ReadTimeoutError(endpoint_url="http://x"), AwsUnavailable),
        (exceptions.ConnectionClosedError(endpoint_url="http://x"), AwsUnavailable),
        (exceptions.ResponseStreamingError(error="cut"), AwsUnavailable),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), AwsUnavailable),
        (exceptions.NoCredentialsError(), AwsRefused),
        (exceptions.ParamValidationError(report="no"), AwsRefused),
        (answer("ThrottlingException"), AwsThrottled),
    ],
)
def test_an_error_of_botocore_becomes_one_of_ours(raised: BotoCoreError | ClientError, cls: type[AwsError]) -> None:
    with pytest.raises(cls) as caught, mapped("ecs:RunTask"):
        raise raised
    assert caught.value.__cause__ is raised
    assert caught.value.operation == "ecs:RunTask"
    assert caught.value.code


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), mapped("ecs:RunTask"):
        raise KeyError


def test_what_goes_well_is_left_alone() -> None:
    with mapped("ecs:RunTask"):
        value = 1
    assert value == 1
