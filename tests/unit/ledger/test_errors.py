from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError
from redis import exceptions as redis_errors

from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger.errors import mapped, without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:s3cret@host:6379/1", "redis://host:6379/1"),
        ("rediss://user:s3cret@host/1?ssl_cert_reqs=none", "rediss://host/1?ssl_cert_reqs=none"),
        ("redis://user:p@s3cret@host/1", "redis://host/1"),
        ("redis://:s3cret@[::1]:6379/0", "redis://[::1]:6379/0"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:6379/0?password=s3cret",
        "sentinel://:s3cret@one:26379/0;sentinel://:s3cret@two:26379/0",
        "unix://:s3cret@/tmp/redis.sock?db=0",
    ],
)
def test_a_password_is_shown_nowhere_in_a_url(url: str) -> None:
    assert "s3cret" not in without_password(url)


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.ConnectionError("refused"),
        redis_errors.TimeoutError("slow"),
        redis_errors.BusyLoadingError("loading"),
        redis_errors.AuthenticationError("who?"),
        redis_errors.ReadOnlyError("a replica"),
        redis_errors.OutOfMemoryError("full"),
        redis_errors.ResponseError("WRONGTYPE"),
        OperationalError("broker"),
    ],
)
def test_an_error_of_redis_or_kombu_becomes_ours_without_the_password(error: Exception) -> None:
    with pytest.raises(RedisUnavailable) as caught, mapped("redis://:s3cret@host:6379/0"):
        raise error
    assert caught.value.__cause__ is error
    assert "host:6379" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), mapped("redis://host"):
        raise KeyError
