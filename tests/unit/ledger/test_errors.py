from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError
from redis import exceptions as redis_errors

from dagy_queue.errors import LedgerError, RedisUnavailable
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger import connection as connection_module
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
        "redis://:half;s3cret@host:6379/0",
        "sentinel://:half;s3cret@one:26379/0; sentinel://:half;s3cret@two:26379/0",
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
        OperationalError("broker"),
    ],
)
def test_an_error_of_redis_or_kombu_becomes_ours_without_the_password(error: Exception) -> None:
    with pytest.raises(RedisUnavailable) as caught, mapped("redis://:s3cret@host:6379/0"):
        raise error
    assert caught.value.__cause__ is error
    assert "host:6379" in str(caught.value)
    assert "s3cret" not in str(caught.value)


SCRIPT = "script: 5f1c, on @user_script:7."
"""What servers append to an error that came up in a script, whatever it is."""

BEFORE = "Error running script (call to f_5f1c): @user_script:7: "
"""What Redis 6 puts before one, and appends nothing."""

OUTAGES = [
    redis_errors.ConnectionError("refused"),
    redis_errors.BusyLoadingError("Redis is loading the dataset in memory"),
    redis_errors.OutOfMemoryError(f"command not allowed when used memory > 'maxmemory'. {SCRIPT}"),
    redis_errors.ReadOnlyError(f"You can't write against a read only replica. {SCRIPT}"),
    redis_errors.MasterDownError("Link with MASTER is down"),
    redis_errors.ClusterDownError("The cluster is down"),
    redis_errors.NoScriptError("No matching script. Please use EVAL."),
    redis_errors.NoPermissionError("User u has no permissions to run the 'set' command"),
    redis_errors.TryAgainError("Multiple keys request during rehashing of slot"),
    redis_errors.ResponseError(f"MISCONF Errors writing to the AOF file: No space left on device. {SCRIPT}"),
    redis_errors.ResponseError(f"NOREPLICAS Not enough good replicas to write. {SCRIPT}"),
    redis_errors.ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL."),
    redis_errors.ResponseError(f"ACL failure in script: User u has no permissions to run the 'set' command {SCRIPT}"),
    redis_errors.ResponseError(f"Script killed by user with SCRIPT KILL. {SCRIPT}"),
    redis_errors.ResponseError("DB index is out of range"),
    redis_errors.ResponseError(f"{BEFORE}@user_script: 7: -OOM command not allowed when used memory > 'maxmemory'."),
    redis_errors.ResponseError(f"{BEFORE}@user_script: 7: -READONLY You can't write against a read only replica."),
    redis_errors.ResponseError(f"{BEFORE}@user_script: 7: -NOREPLICAS Not enough good replicas to write."),
    redis_errors.ResponseError(f"{BEFORE}@user_script: 7: The user executing the script can't run this command"),
    redis_errors.ResponseError(f"{BEFORE}Script killed by user with SCRIPT KILL..."),
    redis_errors.ResponseError(
        f"Command # 1 (EVALSHA 5f1c 1) of pipeline caused error: {BEFORE}-MISCONF Errors writing"
    ),
    redis_errors.ResponseError("Command # 1 (EVALSHA user_script) of pipeline caused error: NOREPLICAS Not enough"),
]

DEFECTS = [
    redis_errors.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    redis_errors.ResponseError(f"WRONGTYPE Operation against a key holding the wrong kind of value {SCRIPT}"),
    redis_errors.ResponseError(f"user_script:7: attempt to perform arithmetic on a nil value {SCRIPT}"),
    redis_errors.ResponseError(f"{BEFORE}user_script:7: attempt to perform arithmetic on a nil value"),
    redis_errors.ResponseError(f"{BEFORE}ERR value is not a valid float"),
    redis_errors.ResponseError(f"{BEFORE}WRONGTYPE Operation against a key holding the wrong kind of value"),
    redis_errors.ResponseError("Error compiling script (new function): user_script:1: '=' expected near 'x'"),
    redis_errors.ResponseError(f"value is not a valid float {SCRIPT}"),
    redis_errors.ResponseError(f"Command # 2 (EVALSHA 5f1c 1 dagy) of pipeline caused error: WRONGTYPE Op {SCRIPT}"),
]


@pytest.mark.parametrize("error", OUTAGES, ids=str)
def test_the_state_of_redis_is_no_fault_of_a_script(error: redis_errors.RedisError) -> None:
    with pytest.raises(RedisUnavailable), mapped("redis://host"):
        raise error


@pytest.mark.parametrize("error", DEFECTS, ids=str)
def test_what_a_script_fails_on_is_no_outage_and_says_what_to_do(error: redis_errors.RedisError) -> None:
    with pytest.raises(LedgerError, match="please report it") as caught, mapped("redis://:s3cret@host:6379/0"):
        raise error
    assert caught.value.__cause__ is error
    assert "host:6379" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def failing(connection: RedisConnection, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr(connection_module, "_source", lambda _: source)
    connection._scripts.clear()


@pytest.mark.parametrize(
    "source",
    [
        "return nil + 1",
        "return redis.call('ZADD', 'z', 'x', 'm')",
        "redis.call('SET', 'k', 1) redis.call('HGET', 'k', 'f')",
    ],
)
@pytest.mark.parametrize("many", [False, True])
def test_a_script_that_fails_on_a_real_server_is_told_as_such(
    connection: RedisConnection, monkeypatch: pytest.MonkeyPatch, source: str, many: bool
) -> None:
    failing(connection, monkeypatch, source)
    with pytest.raises(LedgerError):
        connection.run_many([("lead", ())]) if many else connection.run("lead")


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(("setting", "value", "usual"), [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")])
def test_a_script_that_a_real_server_refuses_for_its_state_is_an_outage(
    connection: RedisConnection, many: bool, setting: str, value: str, usual: str
) -> None:
    args = ("publish", ("run", "list", "message", "1", ""))
    connection.client.config_set(setting, value)
    try:
        with pytest.raises(RedisUnavailable):
            connection.run_many([args]) if many else connection.run(args[0], *args[1])
    finally:
        connection.client.config_set(setting, usual)
    assert connection.run(args[0], *args[1]) == 1


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), mapped("redis://host"):
        raise KeyError
