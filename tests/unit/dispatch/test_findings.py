from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.exceptions import ConnectionError as RedisConnectionError

from dagy_queue.dispatch.findings import (
    Finding,
    Level,
    aws_finding,
    cluster_findings,
    settings_findings,
)
from dagy_queue.dispatch.redis_findings import redis_finding, redis_findings
from dagy_queue.errors import AwsRefused, AwsThrottled, AwsUnavailable, RedisUnavailable
from dagy_queue.settings import EcsSettings, load_settings

COMPLETE: dict[str, Any] = {
    "ecs": {"subnets": ("subnet-1",), "execution_role_arn": "arn:aws:iam::1:role/execution"},
    "storage": {"artifact_bucket": "artifacts"},
}


def of_cluster(answer: dict[str, Any], **ecs: Any) -> list[Finding]:
    return list(cluster_findings("dagy", "us-east-1", answer, EcsSettings(**ecs)))


def of_settings(template_problem: str = "", **ecs: Any) -> list[tuple[Level, str]]:
    config = load_settings(**{**COMPLETE, "ecs": COMPLETE["ecs"] | ecs})
    return [(found.level, found.what) for found in settings_findings(config, template_problem)]


@pytest.mark.parametrize(
    ("cause", "level"),
    [
        (RedisConnectionError("refused"), Level.UNREACHABLE),
        (AuthenticationError("invalid password"), Level.ERROR),
        (NoPermissionError("not allowed"), Level.ERROR),
        (None, Level.UNREACHABLE),
    ],
)
def test_a_redis_that_refuses_us_is_an_error_and_an_absent_one_may_come(cause: Exception | None, level: Level) -> None:
    error = RedisUnavailable("no")
    error.__cause__ = cause
    found = redis_finding("redis://:secret@host/0", error)
    assert found.level is level
    assert ("dagy-queue up" in str(found)) == (level is Level.UNREACHABLE)
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (AwsRefused("x", code="NoCredentials"), Level.ERROR),
        (AwsUnavailable("x", code="ProfileNotFound"), Level.ERROR),
        (AwsRefused("x", code="ExpiredTokenException"), Level.ERROR),
        (AwsRefused("x", code="AccessDeniedException"), Level.WARNING),
        (AwsRefused("x", code="InvalidParameterException"), Level.ERROR),
        (AwsUnavailable("x", code="EndpointConnectionError"), Level.UNREACHABLE),
        (AwsThrottled("x", code="ThrottlingException"), Level.UNREACHABLE),
    ],
)
def test_what_an_error_of_aws_means(error: Any, level: Level) -> None:
    found = aws_finding("dagy", error)
    assert (found.level, bool(found.resolution)) == (level, True)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"clusters": [{"status": "ACTIVE"}]}, []),
        ({"clusters": [{"status": "PROVISIONING"}]}, [Level.UNREACHABLE]),
        ({"clusters": [{"status": "INACTIVE"}]}, [Level.ERROR]),
        ({"clusters": [], "failures": [{"reason": "MISSING"}]}, [Level.ERROR]),
    ],
)
def test_only_an_active_cluster_is_right(answer: dict[str, Any], expected: list[Level]) -> None:
    assert [found.level for found in of_cluster(answer)] == expected


def test_capacity_providers_that_the_cluster_lacks_are_named() -> None:
    strategy = ({"capacityProvider": "FARGATE", "weight": 1}, {"capacityProvider": "FARGATE_SPOT"})
    cluster = {"status": "ACTIVE", "capacityProviders": ["FARGATE"]}
    (found,) = of_cluster({"clusters": [cluster]}, capacity_provider_strategy=strategy)
    assert (found.level, "FARGATE_SPOT" in found.what) == (Level.WARNING, True)


def test_complete_settings_have_nothing_wrong() -> None:
    assert of_settings() == []


@pytest.mark.parametrize("key", ["subnets", "execution_role_arn"])
def test_what_launches_need_is_missed_unless_a_definition_of_the_users_has_it(key: str) -> None:
    ((level, _),) = of_settings(**{key: ""})
    assert level is Level.WARNING
    assert of_settings(**{key: ""}, task_definition="mine") == []
    assert of_settings(**{key: ""}, task_definition_template="task.json") == []


def test_subnets_may_be_in_run_task_kwargs() -> None:
    network = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    assert of_settings(subnets=(), run_task_kwargs={"networkConfiguration": network}) == []


def test_a_missing_bucket_is_a_warning() -> None:
    config = load_settings(ecs=COMPLETE["ecs"])
    assert [found.level for found in settings_findings(config)] == [Level.WARNING]


@pytest.mark.parametrize("limit", [{"max_cpu": 128}, {"max_memory": 256}])
def test_limits_below_the_usual_size_are_an_error(limit: dict[str, int]) -> None:
    ((level, what),) = of_settings(**limit)
    assert level is Level.ERROR
    assert next(iter(limit)) in what


def test_a_template_that_cannot_be_used_is_an_error() -> None:
    assert of_settings("it is not JSON", task_definition_template="task.json") == [(Level.ERROR, "it is not JSON")]


def test_a_template_that_is_not_used_is_a_warning() -> None:
    ((level, _),) = of_settings(task_definition="mine", task_definition_template="task.json")
    assert level is Level.WARNING


SOUND = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "maxmemory": 10**9, "aof_enabled": 1}


@pytest.mark.parametrize(
    ("about", "level", "said"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, Level.ERROR, "maxmemory-policy allkeys-lru"),
        ({"maxmemory_policy": "volatile-lru"}, Level.ERROR, "set maxmemory-policy noeviction"),
        ({"maxmemory_policy": "volatile-ttl", "maxmemory": 0}, Level.WARNING, "maxmemory-policy volatile-ttl"),
        ({"redis_mode": "cluster"}, Level.ERROR, "is in cluster mode"),
        ({"aof_enabled": 0}, Level.WARNING, "set appendonly yes"),
        ({"redis_version": "6.0.16"}, Level.ERROR, "is 6.0.16; take Redis 6.2 or newer, or Valkey"),
    ],
)
def test_a_redis_that_would_lose_runs_is_told(about: dict[str, Any], level: Level, said: str) -> None:
    (found,) = redis_findings("redis://:secret@host/0", {**SOUND, **about})
    assert found.level is level
    assert said in str(found)
    assert "secret" not in str(found)


@pytest.mark.parametrize("about", [SOUND, {}, {"redis_version": "10.0"}, {"redis_version": "6.2.0"}])
def test_a_redis_that_is_right_or_does_not_say_is_let_alone(about: dict[str, Any]) -> None:
    assert list(redis_findings("redis://host/0", about)) == []
