"""What the doctor concludes from what it sees, apart from events."""

from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.dispatch.findings import Finding, Level
from dagy_queue.errors import AwsRefused, AwsUnavailable
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.history import HistoryLedger
from dagy_queue.ledger.leadership import RECONCILER, Leadership
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.operate.doctor.aws_checks import AwsDoctor, table_check, wanted_indexes, wanted_key
from dagy_queue.operate.doctor.checks import (
    Check,
    Mark,
    as_json,
    error,
    has_errors,
    lines_of,
    looked,
    of_finding,
    ok,
    skipped,
    verdict,
    warning,
)
from dagy_queue.operate.doctor.process_checks import _leases, bridge_check, dispatcher_check
from dagy_queue.operate.doctor.redis_checks import redis_checks, skew_check
from dagy_queue.records.models import MODELS
from dagy_queue.settings import RedisSettings, load_settings
from tests.unit.kit import stubbed

ROLE = "arn:aws:iam::123456789012:role/team/execution"


def marks(checks: Any) -> list[tuple[str, str]]:
    return [(check.name, check.mark.value) for check in checks]


def test_a_report_is_told_in_lines_and_in_json() -> None:
    found = [ok("a", "is well"), warning("b", "is odd", "mend it"), skipped("c", "not looked at")]
    assert list(lines_of(found[1])) == [" b                is odd", f"{'':<24}  -> mend it"]
    assert (verdict(found), has_errors(found)) == ("0 errors, 1 warning", False)
    assert verdict([found[0], found[2]]) == "everything is as it should be"
    assert as_json([*found, error("d", "broken", "mend it")]) == {
        "ok": False,
        "checks": [
            {"name": "a", "mark": "ok", "what": "is well", "resolution": ""},
            {"name": "b", "mark": "warning", "what": "is odd", "resolution": "mend it"},
            {"name": "c", "mark": "skipped", "what": "not looked at", "resolution": ""},
            {"name": "d", "mark": "error", "what": "broken", "resolution": "mend it"},
        ],
    }


@pytest.mark.parametrize(
    ("level", "mark"), [(Level.ERROR, Mark.ERROR), (Level.UNREACHABLE, Mark.ERROR), (Level.WARNING, Mark.WARNING)]
)
def test_what_a_dispatcher_finds_at_its_start_is_found_here_as_well(level: Level, mark: Mark) -> None:
    assert of_finding("redis", Finding(level, "what", "how")) == Check("redis", mark, "what", "how")


@pytest.mark.parametrize(
    ("refusal", "mark", "resolution"),
    [
        (AwsRefused("x", code="ExpiredToken"), Mark.ERROR, "AWS_PROFILE"),
        (AwsRefused("x", code="AccessDenied", operation="iam:GetRole"), Mark.WARNING, "allow iam:GetRole"),
        (AwsRefused("x", code="ValidationError"), Mark.ERROR, "correct what AWS names"),
        (AwsUnavailable("x"), Mark.ERROR, "check the network"),
    ],
)
def test_that_aws_refuses_a_look_is_a_finding(refusal: Exception, mark: Mark, resolution: str) -> None:
    def look() -> Any:
        raise refusal

    (check,) = looked("it", look)
    assert (check.name, check.mark) == ("it", mark)
    assert resolution in check.resolution


def test_a_redis_is_told_with_its_version_and_clock(redis_server: RedisServer, connection: RedisConnection) -> None:
    found = list(redis_checks(RedisSettings(url=redis_server.url)))
    assert marks(found) == [("redis", "ok"), ("clock of Redis", "ok")]
    assert "noeviction, append-only file" in found[0].what
    connection.client.config_set("maxmemory-policy", "allkeys-lru")
    connection.client.config_set("maxmemory", "1mb")
    try:
        names = [check.what for check in redis_checks(RedisSettings(url=redis_server.url))]
    finally:
        connection.client.config_set("maxmemory", "0")
        connection.client.config_set("maxmemory-policy", "noeviction")
    assert any("maxmemory-policy allkeys-lru" in name for name in names)
    assert any("uses" in name and "of its 1 MiB" in name for name in names)


def test_a_redis_that_is_away_is_an_error_and_each_of_two_is_looked_at(redis_server: RedisServer) -> None:
    away = "redis://:secret@127.0.0.1:1/0"
    found = list(redis_checks(RedisSettings(url=redis_server.url, result_url=away)))
    assert found[-1].mark is Mark.ERROR
    assert "cannot be reached" in found[-1].what
    assert "secret" not in found[-1].what


@pytest.mark.parametrize(
    ("seconds", "mark", "words"),
    [(0.4, Mark.OK, "0.4 s"), (-90, Mark.WARNING, "90.0 s behind"), (90, Mark.WARNING, "90.0 s ahead of")],
)
def test_clocks_that_differ_are_warned_of(seconds: float, mark: Mark, words: str) -> None:
    check = skew_check("clock", seconds)
    assert check.mark is mark
    assert words in check.what


def test_dispatchers_are_workers_that_listen_to_our_queue() -> None:
    own, other = [{"name": "dagy.launch"}], [{"name": "celery"}]
    assert dispatcher_check({"d1@h": own, "app@h": other}, 0).what == "d1@h: 0 messages waiting"
    none = dispatcher_check({"app@h": other}, 7)
    assert (none.mark, none.what) == (Mark.ERROR, "none answers (1 other worker answered), 7 messages waiting")
    assert dispatcher_check({"d1@h": own}, 5000).mark is Mark.WARNING


def test_a_bridge_is_known_by_its_leases(connection: RedisConnection) -> None:
    config = load_settings()
    assert bridge_check(config, _leases(connection)).mark is Mark.ERROR
    assert HistoryLedger(connection).leadership(60).leads()
    assert bridge_check(config, _leases(connection)).what == "at work: it records"
    assert Leadership(connection, RECONCILER, 60).leads()
    assert bridge_check(config, _leases(connection)).what == "at work: it records and reconciles"
    silent = load_settings(records={"enabled": False}, reconciler={"enabled": False})
    assert bridge_check(silent, []).mark is Mark.SKIPPED


class Clients:
    """AwsClients whose services answer from a script."""

    def __init__(self, **clients: Any) -> None:
        self._clients = clients

    def client(self, service: str, **_options: int) -> Any:
        return self._clients[service]

    def in_region(self, _region: str) -> Clients:
        return self

    def __getattr__(self, name: str) -> Any:
        return self._clients[{"ecs_control": "ecs"}.get(name, name)]


def doctor(is_local: bool = False, config: Any = None, **clients: Any) -> AwsDoctor:
    made: Any = Clients(**clients)
    return AwsDoctor(config or load_settings(), made, is_local)


def test_credentials_are_told_with_their_arn_and_aws_clock() -> None:
    with stubbed("sts") as (client, stub):
        answer = {
            "Arn": "arn:aws:sts::123456789012:assumed-role/ops/me",
            "ResponseMetadata": {"HTTPHeaders": {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}},
        }
        stub.add_response("get_caller_identity", answer, {})
        found = list(doctor(sts=client).identity())
    assert marks(found) == [("credentials", "ok"), ("clock of AWS", "warning")]
    assert "assumed-role/ops/me" in found[0].what


@pytest.mark.parametrize(
    ("clusters", "mark"), [([{"clusterArn": "arn:c", "status": "ACTIVE"}], Mark.OK), ([], Mark.ERROR)]
)
def test_the_cluster_is_there_or_not(clusters: list[dict[str, Any]], mark: Mark) -> None:
    with stubbed("ecs") as (client, stub):
        stub.add_response("describe_clusters", {"clusters": clusters}, {"clusters": ["dagy"]})
        asked = doctor(ecs=client)
        (check,) = asked.cluster()
    assert check.mark is mark
    assert asked.cluster_arn == ("arn:c" if clusters else "")


def test_roles_must_be_there_and_trust_ecs() -> None:
    config = load_settings(ecs={"execution_role_arn": ROLE, "task_role_arn": ROLE})
    with stubbed("iam") as (client, stub):
        for service in ("ecs-tasks.amazonaws.com", "lambda.amazonaws.com"):
            role = {
                "Path": "/",
                "RoleName": "execution",
                "RoleId": "AROAEXAMPLEEXAMPLE",
                "Arn": ROLE,
                "CreateDate": "2026-01-01T00:00:00Z",
                "AssumeRolePolicyDocument": f'{{"Service": "{service}"}}',
            }
            stub.add_response("get_role", {"Role": role}, {"RoleName": "execution"})
        found = list(doctor(config=config, iam=client).roles())
        assert marks(found) == [("execution role", "ok"), ("task role", "error")]
        stub.add_client_error("get_role", "NoSuchEntity", "no such role", 404)
        stub.add_client_error("get_role", "AccessDenied", "no", 403)
        assert [check.mark for check in doctor(config=config, iam=client).roles()] == [Mark.ERROR, Mark.WARNING]
    assert [check.mark for check in doctor(True, config).roles()] == [Mark.SKIPPED] * 2
    assert [check.mark for check in doctor().roles()] == [Mark.SKIPPED] * 2


@pytest.mark.parametrize(
    ("groups", "mark", "words"),
    [
        ([{"logGroupName": "/ecs/dagy-worker", "retentionInDays": 30}], Mark.OK, "kept 30 days"),
        ([{"logGroupName": "/ecs/dagy-worker"}], Mark.OK, "kept for ever"),
        ([{"logGroupName": "/ecs/dagy-worker-2"}], Mark.ERROR, "does not exist"),
    ],
)
def test_the_log_group_is_there_or_not(groups: list[dict[str, Any]], mark: Mark, words: str) -> None:
    with stubbed("logs") as (client, stub):
        stub.add_response("describe_log_groups", {"logGroups": groups}, {"logGroupNamePrefix": "/ecs/dagy-worker"})
        (check,) = doctor(logs=client).log_group()
    assert check.mark is mark
    assert words in check.what


def test_buckets_are_there_or_not() -> None:
    config = load_settings(storage={"artifact_bucket": "ours", "traces_bucket": "gone"})
    with stubbed("s3") as (client, stub):
        stub.add_response("head_bucket", {}, {"Bucket": "ours"})
        stub.add_client_error("head_bucket", "404", "Not Found", 404)
        found = list(doctor(config=config, s3=client).buckets())
        assert marks(found) == [("artifact bucket", "ok"), ("traces bucket", "error")]
        stub.add_client_error("head_bucket", "403", "Forbidden", 403)
        stub.add_client_error("head_bucket", "403", "Forbidden", 403)
        forbidden = list(doctor(config=config, s3=client).buckets())
        assert {check.mark for check in forbidden} == {Mark.ERROR}
        assert forbidden[0].resolution == "allow s3:ListBucket, or correct DAGY_ARTIFACT_BUCKET"
    assert {check.mark for check in doctor().buckets()} == {Mark.SKIPPED}


def described(key: str = "run_id", **more: Any) -> dict[str, Any]:
    return {"TableStatus": "ACTIVE", "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}], **more}


@pytest.mark.parametrize(
    ("found", "mark", "words"),
    [
        (described(), Mark.OK, "DAGY_RUNS"),
        (described("id"), Mark.ERROR, "has the partition key id, not run_id"),
        (described(TableStatus="CREATING"), Mark.WARNING, "is CREATING"),
    ],
)
def test_a_table_has_its_key_and_is_ready(found: dict[str, Any], mark: Mark, words: str) -> None:
    check = table_check("DAGY_RUNS", found, "run_id", [])
    assert check.mark is mark
    assert words in check.what


def test_a_table_has_the_indexes_that_its_queries_use() -> None:
    by_org = [{"IndexName": "by_org", "IndexStatus": "ACTIVE"}]
    assert table_check("t", described(GlobalSecondaryIndexes=by_org), "run_id", ["by_org"]).mark is Mark.OK
    assert "no index by_org" in table_check("t", described(), "run_id", ["by_org"]).what
    making = described(GlobalSecondaryIndexes=[{"IndexName": "by_org", "IndexStatus": "CREATING"}])
    assert table_check("t", making, "run_id", ["by_org"]).mark is Mark.WARNING


def test_every_models_table_is_looked_at() -> None:
    for model in MODELS:
        assert wanted_key(model)
        assert wanted_indexes(model) == sorted(wanted_indexes(model))
    with stubbed("dynamodb") as (client, stub):
        for model in MODELS[:-1]:
            key = [{"AttributeName": wanted_key(model), "KeyType": "HASH"}]
            indexes = [{"IndexName": name} for name in wanted_indexes(model)]
            table = {"TableStatus": "ACTIVE", "KeySchema": key, "GlobalSecondaryIndexes": indexes}
            stub.add_response("describe_table", {"Table": table})
        stub.add_client_error("describe_table", "ResourceNotFoundException", "no", 400)
        found = list(doctor(dynamodb=client).tables())
    assert [check.mark for check in found] == [Mark.OK] * (len(MODELS) - 1) + [Mark.ERROR]


def test_records_that_are_off_need_no_table() -> None:
    config = load_settings(records={"enabled": False})
    with stubbed("dynamodb") as (client, stub):
        for _ in MODELS[:-2]:
            stub.add_client_error("describe_table", "ResourceNotFoundException", "no", 400)
        marks = [check.mark for check in doctor(config=config, dynamodb=client).tables()]
    assert marks[-2:] == [Mark.SKIPPED] * 2


def test_the_settings_are_looked_at() -> None:
    names = {check.what for check in doctor().settings()}
    assert any("no artifact bucket" in name for name in names)
