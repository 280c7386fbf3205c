from __future__ import annotations

import pytest
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from dagy_queue import errors
from dagy_queue.errors import AwsRefused, AwsThrottled, AwsUnavailable, DagyQueueError, RedisUnavailable
from dagy_queue.operate.exit_codes import MEANINGS, ExitCode, exit_code_of

PLAIN = {
    "RequestInvalid": ExitCode.USAGE,
    "RunNotFound": ExitCode.NOT_FOUND,
    "BatchNotFound": ExitCode.NOT_FOUND,
    "NotRegistered": ExitCode.NOT_FOUND,
    "FlowNotFound": ExitCode.NOT_FOUND,
    "DeploymentNotFound": ExitCode.NOT_FOUND,
    "PackageNotFound": ExitCode.NOT_FOUND,
    "RedisUnavailable": ExitCode.NETWORK,
    "AwsError": ExitCode.NETWORK,
    "AwsUnavailable": ExitCode.NETWORK,
    "AwsThrottled": ExitCode.NETWORK,
    "AwsCapacity": ExitCode.NETWORK,
}
TREE = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, DagyQueueError)]


@pytest.mark.parametrize("error", TREE)
def test_every_error_has_an_exit_code(error: type[DagyQueueError]) -> None:
    assert exit_code_of(error("it")) is PLAIN.get(error.__name__, ExitCode.ERROR)


@pytest.mark.parametrize("code", ["ExpiredToken", "NoCredentials", "AccessDeniedException"])
def test_what_aws_says_of_who_asks_is_about_authentication(code: str) -> None:
    assert exit_code_of(AwsRefused("no", code=code)) is ExitCode.AUTHENTICATION


def test_botocores_own_errors_about_credentials_are_as_well() -> None:
    assert exit_code_of(AwsUnavailable("no", code="ProfileNotFound")) is ExitCode.AUTHENTICATION
    assert exit_code_of(AwsThrottled("no", code="ThrottlingException")) is ExitCode.NETWORK


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (AuthenticationError("invalid username-password pair"), ExitCode.AUTHENTICATION),
        (ResponseError("NOPERM this user has no permissions to run the 'eval' command"), ExitCode.AUTHENTICATION),
        (ResponseError("OOM command not allowed"), ExitCode.NETWORK),
        (RedisConnectionError("refused"), ExitCode.NETWORK),
    ],
)
def test_a_redis_that_refuses_the_login_is_about_authentication(cause: Exception, code: ExitCode) -> None:
    error = RedisUnavailable("no")
    error.__cause__ = cause
    assert exit_code_of(error) is code


def test_every_code_has_a_meaning() -> None:
    assert list(MEANINGS) == list(ExitCode)
