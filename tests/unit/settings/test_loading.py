from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from dagy_queue.errors import SettingsInvalid
from dagy_queue.settings import FLAT_NAMES, RedisSettings, Section, Settings, load_settings, settings

SECTIONS = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in FLAT_NAMES:
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_everything_has_a_default() -> None:
    assert load_settings() == Settings()


@pytest.mark.parametrize(("name", "path"), FLAT_NAMES.items())
def test_every_flat_name_sets_a_setting_that_exists(monkeypatch: pytest.MonkeyPatch, name: str, path: str) -> None:
    section, key = path.split(".")
    texts = {"redis.url": "redis://text", "ecs.subnets": "subnet-1", "ecs.security_groups": "sg-1"}
    text = texts.get(path, "text")
    monkeypatch.setenv(name, text)
    value = getattr(getattr(load_settings(), section), key)
    assert value in (text, (text,))


def test_the_sectioned_spelling_wins_over_the_flat_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGY_REDIS_URL", "redis://flat")
    monkeypatch.setenv("DAGY_QUEUE__REDIS__URL", "redis://sectioned")
    assert load_settings().redis.url == "redis://sectioned"


def test_both_spellings_together_fill_one_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGY_ECS_CLUSTER_ARN", "flat")
    monkeypatch.setenv("DAGY_QUEUE__ECS__FAMILY", "sectioned")
    ecs = load_settings().ecs
    assert (ecs.cluster, ecs.family) == ("flat", "sectioned")


def test_an_empty_flat_name_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGY_REDIS_URL", "")
    assert load_settings().redis.url == Settings().redis.url


def test_the_first_of_two_flat_names_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert load_settings().aws.region == "eu-west-1"


def test_arguments_win_over_the_environment_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGY_QUEUE__REDIS__URL", "redis://environment")
    monkeypatch.setenv("DAGY_QUEUE__REDIS__PREFIX", "mine")
    redis = load_settings(redis={"url": "redis://argument"}).redis
    assert (redis.url, redis.prefix) == ("redis://argument", "mine")


@pytest.mark.parametrize(
    ("text", "subnets"),
    [
        ("subnet-a", ("subnet-a",)),
        ("subnet-a, subnet-b,,subnet-c ", ("subnet-a", "subnet-b", "subnet-c")),
        ('["subnet-a", "subnet-b"]', ("subnet-a", "subnet-b")),
        (" [] ", ()),
    ],
)
def test_lists_are_given_with_commas_or_as_json(
    monkeypatch: pytest.MonkeyPatch, text: str, subnets: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DAGY_ECS_SUBNETS", text)
    assert load_settings().ecs.subnets == subnets


@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        ("DAGY_ECS_SUBNETS", "[nonsense", "ecs.subnets"),
        ("DAGY_ECS_SUBNETS", ",".join("abcdefghijklmnopq"), "ecs.subnets"),
        ("DAGY_ECS_SECURITY_GROUPS", "a,b,c,d,e,f", "ecs.security_groups"),
        ("DAGY_QUEUE__BRIDGE__WAIT_SECONDS", "21", "bridge.wait_seconds"),
        ("DAGY_QUEUE__DISPATCH__CONCURRENCY", "many", "dispatch.concurrency"),
        ("DAGY_QUEUE__REDIS__TYPO", "1", "redis.typo"),
        ("DAGY_QUEUE__REDIS", "redis://x", "redis"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, text: str, path: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsInvalid, match=rf"\b{path}\b"):
        load_settings()


def test_every_wrong_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGY_QUEUE__BRIDGE__WAIT_SECONDS", "-1")
    monkeypatch.setenv("DAGY_QUEUE__DISPATCH__LEASE_SECONDS", "0")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert "bridge.wait_seconds" in str(caught.value)
    assert "dispatch.lease_seconds" in str(caught.value)


def test_a_default_task_size_that_fargate_does_not_have_is_refused() -> None:
    with pytest.raises(SettingsInvalid):
        load_settings(ecs={"cpu": 300, "memory": 512})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "DAGY_QUEUE__REDIS__FINISHED_TTL",
            "7199",
            r"redis.finished_ttl \(env DAGY_QUEUE__REDIS__FINISHED_TTL\) = 7199: at least 7200, twice dispatch.vis",
        ),
        (
            "DAGY_QUEUE__DISPATCH__VISIBILITY_TIMEOUT",
            "7201",
            r"redis.finished_ttl \(default\) = 14400: at least 14402, twice dispatch.visibility_timeout",
        ),
    ],
)
def test_a_run_is_not_forgotten_before_its_message_may_come_again(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsInvalid, match=said):
        load_settings()
    monkeypatch.setenv(name, "7200")
    assert load_settings().redis.finished_ttl >= 2 * load_settings().dispatch.visibility_timeout


def test_a_redis_url_of_no_known_kind_is_refused() -> None:
    with pytest.raises(SettingsInvalid):
        load_settings(redis={"url": "localhost:6379"})


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@localhost:6379/production",
        "redis://:hunter2@localhost:port/0",
        "rediss://:hunter2@localhost:70000/0",
        "redis://:hunter2@[::1",
        "redis://:0/hunter2@localhost:6379/0",
        "redis://:hunter2/0@localhost:6379/0",
        "redis://:hun/hunter2@localhost:6379/0",
        "redis://:hunter2@localhost?db=first",
        "unix://:hunter2@/run/redis.sock?db=first",
        "sentinel://:hunter2@one:26379/0;sentinel://two:x/0",
    ],
)
@pytest.mark.parametrize("name", ["url", "result_url"])
def test_a_redis_url_that_no_client_could_read_is_refused_without_its_password(name: str, url: str) -> None:
    with pytest.raises(SettingsInvalid, match=rf"redis\.{name}") as refused:
        load_settings(redis={name: url})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["redis://h", "redis://h/", "redis://h:1/15", "redis://[::1]:1/0", "unix:///run/redis.sock?db=2"]
)
def test_every_other_redis_url_is_taken(url: str) -> None:
    assert load_settings(redis={"url": url}).redis.url == url


def test_a_value_that_is_no_text_is_read_from_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGY_QUEUE__ECS__ASSIGN_PUBLIC_IP", "true")
    monkeypatch.setenv("DAGY_QUEUE__DISPATCH__LAUNCH_THREADS", "8")
    found = load_settings()
    assert found.ecs.assign_public_ip is True
    assert found.dispatch.launch_threads == 8


def test_settings_never_change() -> None:
    found = load_settings()
    with pytest.raises(ValidationError):
        found.redis.url = "redis://other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        found.redis = found.redis  # type: ignore[misc]


def test_the_settings_of_a_process_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = settings()
    monkeypatch.setenv("DAGY_REDIS_URL", "redis://later")
    assert settings() is first


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS.keys())
def test_every_setting_says_what_it_is(section: type[Section]) -> None:
    assert all(field.description for field in section.model_fields.values())


def test_settings_can_be_passed_on_as_json() -> None:
    found = load_settings(ecs={"subnets": ("subnet-a", "subnet-b")})
    assert load_settings(**json.loads(found.model_dump_json())) == found


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("DAGY_QUEUE__ECS__CLUSTR", "x", "did you mean cluster?"),
        ("DAGY_QUEUE__REDSI__URL", "x", "did you mean DAGY_QUEUE__REDIS__URL?"),
        ("DAGY_QUEUE__NONSENSE", "x", "no section is called nonsense; there are redis, celery"),
        ("DAGY_QUEUE__EC__X", "x", "no section is called ec; did you mean ecs?"),
        ("DAGY_QUEUE__PROFILES__BIG", "{}", "as one JSON object in DAGY_QUEUE__PROFILES"),
        ("DAGY_QUEUE__PROFILES", "{", r"profiles \(env DAGY_QUEUE__PROFILES\): a JSON object"),
        ("DAGY_QUEUE__ENVIRONMENTS", "[]", r"environments \(env DAGY_QUEUE__ENVIRONMENTS\): a JSON object"),
        ("DAGY_QUEUE__ECS__TAGS", "{", r"ecs.tags \(env DAGY_QUEUE__ECS__TAGS\) = '{': JSON is expected"),
        ("DAGY_QUEUE__ECS__TAGS", '{"aws:x": "y"}', "reserved"),
        ("DAGY_QUEUE__ECS__RUN_TASK_KWARGS", '{"count": 2}', "count cannot be set"),
        ("DAGY_QUEUE__ECS__CONTAINER_OVERRIDES", "{}", "env DAGY_QUEUE__ECS__CONTAINER_OVERRIDES"),
        pytest.param("DAGY_QUEUE__ECS__TAGS", "[" * 100_000, "JSON is expected", id="deep"),
        ("DAGY_QUEUE__ECS__CAPACITY_PROVIDER_STRATEGY", '[{"weight": 1}]', "capacityProvider"),
        ("DAGY_QUEUE__ECS__MAX_CPU", "0", "ecs.max_cpu"),
        ("DAGY_QUEUE__ECS__CPU", "1024", "cpu 1024 with memory 512"),
        ("DAGY_ECS_SUBNETS", ",".join("abcdefghijklmnopq"), "at most 16; 17 given"),
        ("DAGY_ECS_SECURITY_GROUPS", "a,b,c,d,e,f", "at most 5; 6 given"),
        ("DAGY_ECS_SUBNETS", "subnet-1,vpc-1", r"ecs.subnets \(env DAGY_ECS_SUBNETS\) = .*a subnet's id starts with"),
        ("DAGY_ECS_SECURITY_GROUPS", "default", "'default': a security group's id starts with sg-"),
        ("DAGY_QUEUE__LAUNCH__MODE", "fast", r"launch.mode \(env DAGY_QUEUE__LAUNCH__MODE\)"),
    ],
)
def test_the_error_of_a_wrong_variable_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsInvalid, match=said):
        load_settings()


def test_json_values_are_read_from_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGY_QUEUE__ECS__TAGS", '{"team": "data"}')
    monkeypatch.setenv("DAGY_QUEUE__ECS__CONTAINER_OVERRIDES", '[{"name": "main", "cpu": 128}]')
    monkeypatch.setenv("DAGY_QUEUE__ECS__RUN_TASK_KWARGS", '{"enableExecuteCommand": true}')
    monkeypatch.setenv("DAGY_QUEUE__PROFILES", '{"etl:large": {"cpu": 4096}}')
    found = load_settings()
    assert found.ecs.tags == {"team": "data"}
    assert found.ecs.container_overrides == ({"name": "main", "cpu": 128},)
    assert found.ecs.run_task_kwargs == {"enableExecuteCommand": True}
    assert found.profiles == {"etl:large": {"cpu": 4096}}


@pytest.mark.parametrize("key", ["TAGS", "RUN_TASK_KWARGS", "CONTAINER_OVERRIDES", "MAX_CPU", "SUBNETS"])
def test_an_empty_variable_leaves_out_what_text_cannot_say(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(f"DAGY_QUEUE__ECS__{key}", "")
    monkeypatch.setenv("DAGY_QUEUE__PROFILES", "")
    assert load_settings() == Settings()


@pytest.mark.parametrize("name", ["API__HOST", "BRIDGE__HEALTH_HOST", "DISPATCH__METRICS_HOST"])
def test_an_empty_address_does_not_open_a_port_to_everybody(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"DAGY_QUEUE__{name}", "")
    with pytest.raises(SettingsInvalid, match=r"an address to listen on, such as 127\.0\.0\.1"):
        load_settings()


def test_on_ec2_a_task_has_any_size() -> None:
    assert load_settings(ecs={"launch_type": "EC2", "cpu": 100, "memory": 300}).ecs.memory == 300


def test_an_error_shows_no_password() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(redis={"url": "http://user:secret@host"})
    assert "secret" not in str(caught.value)


def test_a_section_may_be_given_as_an_object() -> None:
    assert load_settings(redis=RedisSettings(prefix="mine")).redis.prefix == "mine"


def test_what_is_no_section_is_refused_in_code_too() -> None:
    with pytest.raises(SettingsInvalid, match=r"redsi \(code\): no such section; did you mean redis"):
        load_settings(redsi={})


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            {"flows_table": "A", "runs_table": "A"},
            r"records.runs_table \(code\) = 'A': .*'A' is records.flows_table",
        ),
        (
            {"task_runs_table": "DAGY_RUNS"},
            r"records.task_runs_table \(code\) = 'DAGY_RUNS': a table of its own: .* records.runs_table already",
        ),
    ],
)
def test_two_records_do_not_share_a_table(tables: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsInvalid, match=said):
        load_settings(records=tables)
