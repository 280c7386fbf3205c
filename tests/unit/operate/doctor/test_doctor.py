"""``dagy-queue doctor`` as a whole, and its canary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dagy_queue.errors import AwsRefused, RequestInvalid, ResultTimeout, RunCancelled, RunFailed
from dagy_queue.ledger import RedisConnection, RunStatus
from dagy_queue.operate.doctor import canary, examination
from dagy_queue.operate.doctor.aws_checks import AwsDoctor
from dagy_queue.operate.doctor.checks import Mark, error, ok
from dagy_queue.operate.doctor.event_checks import EventDoctor
from dagy_queue.operate.finding import Desk
from dagy_queue.producer import RunHandle
from dagy_queue.settings import settings
from tests.unit.operate.kit import World, dagy_queue, failed

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """An AWS in which everything is as it should be."""
    for name in ("identity", "settings", "cluster", "roles", "log_group", "buckets", "tables"):
        monkeypatch.setattr(AwsDoctor, name, lambda _self, name=name: iter([ok(name, "well")]))
    for name in ("queue", "dead_letters"):
        monkeypatch.setattr(EventDoctor, name, lambda _self, name=name: iter([ok(name, "well")]))


@pytest.fixture
def no_append_only_file(connection: RedisConnection) -> Iterator[None]:
    """A Redis that keeps nothing."""
    connection.client.config_set("appendonly", "no")
    yield
    connection.client.config_set("appendonly", "yes")


def test_everything_is_looked_at_and_told_with_what_is_wrong(
    world: World, aws: None, no_append_only_file: None
) -> None:
    answer = dagy_queue("doctor")
    assert answer.code == 1
    names = [line.split()[1] for line in answer.lines if line and "->" not in line]
    assert {"redis", "dispatchers", "bridge", "identity", "cluster", "queue", "dead_letters"} <= set(names)
    assert "-> start one: dagy-queue dispatcher" in answer.out
    assert answer.lines[-1] == "2 errors, 1 warning", answer.out  # no dispatcher, no bridge, no append-only file
    found = dagy_queue("doctor", "--json")
    assert (found.code, found.json["ok"]) == (1, False)
    assert {"name", "mark", "what", "resolution"} == set(found.json["checks"][0])


def test_without_credentials_nothing_else_of_aws_is_asked(
    world: World, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Any) -> Iterator[Any]:
        raise AwsRefused("no credentials", code="NoCredentials")

    monkeypatch.setattr(AwsDoctor, "identity", refuse)
    out = dagy_queue("doctor").out
    assert "nothing else of it was looked at" in out
    assert "cluster" not in out


def test_without_a_redis_its_processes_are_not_looked_for(
    world: World, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "redis_checks", lambda _config: iter([error("redis", "away", "start it")]))
    out = dagy_queue("doctor").out
    assert "not looked for, without a Redis" in out
    assert "none answers" not in out


def test_direct_mode_needs_neither_redis_nor_events(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desk, "is_direct", True)
    answer = dagy_queue("doctor", "--canary")
    assert answer.code == 0
    assert "direct mode needs none" in answer.out
    assert "no results to wait for" in answer.out
    assert "dead_letters" not in answer.out


@pytest.mark.parametrize(
    ("url", "is_local"),
    [("http://127.0.0.1:4566", True), ("http://localhost:1", True), ("https://x.aws", False), ("", False)],
)
def test_an_aws_on_this_machine_is_known_by_its_endpoint(
    url: str, is_local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    assert examination.is_local_endpoint() is is_local


def run_that(monkeypatch: pytest.MonkeyPatch, end: Any) -> RunHandle:
    """Return a run that ends so."""

    def get(timeout: float) -> Any:
        assert timeout == 5
        if isinstance(end, Exception):
            raise end
        return end

    run: Any = SimpleNamespace(run_id="r", get=get, entry=lambda: SimpleNamespace(phase=SimpleNamespace(value="HELD")))
    monkeypatch.setattr(canary, "_flow", lambda _desk, _asked: run)
    monkeypatch.setattr(canary, "_container", lambda _desk, _image: run)
    monkeypatch.setattr(canary, "new_id", lambda: "asked")
    return run


@pytest.mark.parametrize(
    ("end", "mark", "words"),
    [
        ("asked", Mark.OK, "came back after"),
        ("other", Mark.ERROR, "returned 'other' instead of 'asked'"),
        (ResultTimeout("no"), Mark.ERROR, "did not end within 5 s: it is HELD"),
        (RunFailed("no luck", {"resolution": "mend it"}), Mark.ERROR, "failed: no luck"),
        (RunCancelled("stopped"), Mark.ERROR, "failed: stopped"),
    ],
)
def test_a_canary_comes_back_or_says_why_not(monkeypatch: pytest.MonkeyPatch, end: Any, mark: Mark, words: str) -> None:
    run_that(monkeypatch, end)
    (check,) = canary.canary(Desk(), "", 5)
    assert check.mark is mark
    assert words in check.what
    assert mark is Mark.OK or "dagy-queue explain r" in check.resolution
    assert "mend it" in check.resolution or not isinstance(end, RunFailed)


@pytest.mark.parametrize("said_in", ["", "file", "DAGY_ORG_ID", "DAGY_QUEUE__RECORDS__ORG_ID", "both"])
def test_what_the_canary_advises_finds_its_run_whatever_org_the_process_reads(
    world: World, said_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_that(monkeypatch, RunFailed("no luck", {})).run_id = world.ended(RunStatus.FAILED, failed(), org_id=canary.ORG)
    if said_in == "file":
        (tmp_path / "dagy-queue.toml").write_text('[records]\norg_id = "acme"\n')
        monkeypatch.setenv("DAGY_QUEUE_CONFIG", str(tmp_path / "dagy-queue.toml"))
    for name in ("DAGY_ORG_ID", "DAGY_QUEUE__RECORDS__ORG_ID"):
        if said_in in (name, "both"):
            monkeypatch.setenv(name, "acme")
    settings.cache_clear()
    (check,) = canary.canary(Desk(), "", 5)
    *variables, _, command, run_id = check.resolution.split("`")[1].split()
    for each in variables:
        monkeypatch.setenv(*each.split("=", 1))
    settings.cache_clear()
    answer = dagy_queue(command, run_id)
    assert (answer.code, answer.err) == (0, "")
    assert bool(variables) == bool(said_in)


def test_a_container_as_a_canary_needs_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    run_that(monkeypatch, {"exit_code": 0})
    (check,) = canary.canary(Desk(), "python:3.12-slim", 5)
    assert check.mark is Mark.OK


def test_a_canary_that_cannot_be_launched_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_desk: Any, _asked: Any) -> RunHandle:
        raise RequestInvalid("no bucket")

    monkeypatch.setattr(canary, "_flow", refuse)
    (check,) = canary.canary(Desk(), "", 5)
    assert (check.mark, check.what) == (Mark.ERROR, "could not be launched: no bucket")


def test_the_canary_is_launched_and_told_after_the_rest(
    world: World, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_that(monkeypatch, "asked")
    answer = dagy_queue("doctor", "--canary", "--canary-timeout", "5")
    assert "canary           run r came back" in answer.out
    assert dagy_queue("doctor", "--canary-timeout", "0").code == 2
