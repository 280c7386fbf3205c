"""The org that commands mean, and that no command leads to another org's runs and batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagy_queue.ledger import RunStatus
from dagy_queue.operate.commands import fan_out as fan_out_command
from dagy_queue.operate.commands import launch as launch_command
from dagy_queue.settings import settings
from tests.unit.operate.kit import World, dagy_queue, failed, listed

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@pytest.mark.parametrize("command", ["status", "explain", "results", "cancel", "retry", "watch", "logs"])
def test_another_orgs_run_or_batch_is_not_found(world: World, command: str) -> None:
    run_id = world.held()
    for identifier in (run_id, world.batch(1).batch_id):
        answer = dagy_queue(command, identifier, "--org", "umbrella")
        assert (answer.code, answer.out) == (5, "")
    assert world.runs.get(run_id).cancel_reason == ""


def test_the_org_may_come_from_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = world.held()
    monkeypatch.setenv("DAGY_ORG_ID", "umbrella")
    assert dagy_queue("status", run_id).code == 5
    assert listed() == []
    monkeypatch.setenv("DAGY_ORG_ID", "acme")
    assert dagy_queue("status", run_id).code == 0


def become_umbrella(monkeypatch: pytest.MonkeyPatch, directory: Path, said_in: str = "variable") -> None:
    """Have the process's settings name an org."""
    if said_in == "file":
        (directory / "dagy-queue.toml").write_text('[records]\norg_id = "umbrella"\n')
        monkeypatch.setenv("DAGY_QUEUE_CONFIG", str(directory / "dagy-queue.toml"))
    else:
        monkeypatch.setenv("DAGY_ORG_ID", "umbrella")
    settings.cache_clear()


@pytest.mark.parametrize("said_in", ["variable", "file"])
@pytest.mark.parametrize("command", ["status", "explain", "results", "cancel", "retry", "watch", "logs"])
def test_a_process_of_one_org_finds_no_run_or_batch_of_another(
    world: World, command: str, said_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, batch_id = world.ended(RunStatus.FAILED, failed()), world.batch(1).batch_id
    become_umbrella(monkeypatch, tmp_path, said_in)
    for identifier in (run_id, batch_id):
        answer = dagy_queue(command, identifier)
        assert (answer.code, answer.out) == (5, "")
        origin = "env DAGY_ORG_ID" if said_in == "variable" else f"file {tmp_path / 'dagy-queue.toml'}"
        assert f"of org 'umbrella', the only one read here (records.org_id, {origin}):" in answer.err


def test_an_org_that_is_only_asked_for_is_not_said_to_be_the_only_one(world: World) -> None:
    assert (
        "there is no run or batch 'r' of org 'umbrella': `dagy-queue list`"
        in dagy_queue("status", "r", "--org", "umbrella").err
    )


def test_the_org_of_the_settings_file_is_the_one_that_commands_mean(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.held()
    become_umbrella(monkeypatch, tmp_path, "file")
    assert listed() == []
    run_id = dagy_queue("launch", "etl").out.strip()
    assert world.runs.get(run_id).org_id == "umbrella"
    assert listed() == [run_id]


@pytest.mark.parametrize("command", [["launch", "etl"], ["fan-out", "etl", "--task-count", "1"], ["list"]])
def test_an_org_that_is_typed_and_empty_is_refused(
    world: World, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_umbrella(monkeypatch, tmp_path)
    answer = dagy_queue(*command, "--org", "")
    assert (answer.code, answer.out) == (2, "")
    assert "it is empty: name an org, or leave --org out" in answer.err
    assert listed() == []


@pytest.mark.parametrize("said", [["--profile", "nightly"], ["--set", "org_id=initech"]])
def test_an_org_may_be_said_by_a_profile_or_as_any_other_field(
    world: World, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGY_QUEUE__PROFILES", '{"nightly": {"org_id": "initech"}}')
    settings.cache_clear()
    answer = dagy_queue("launch", "etl", *said)
    assert (answer.code, answer.err) == (0, "")
    assert world.runs.get(answer.out.strip()).org_id == "initech"


@pytest.mark.parametrize("command", [["list"], ["watch", "--once"], ["status", "r"]])
def test_a_process_of_one_org_refuses_to_read_another(
    world: World, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_umbrella(monkeypatch, tmp_path)
    answer = dagy_queue(*command, "--org", "acme")
    assert (answer.code, answer.out) == (2, "")
    assert "runs of 'acme' are not read here, but those of 'umbrella' alone" in answer.err


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (["launch", "etl", "--wait"], "--wait"),
        (["launch", "etl", "--wait", "--json"], "--wait and --json"),
        (["fan-out", "etl", "--task-count", "1", "--watch"], "--watch"),
    ],
)
def test_a_launch_that_would_read_another_org_says_that_nothing_was_launched_and_how_it_would_be(
    world: World, command: list[str], options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_umbrella(monkeypatch, tmp_path)
    answer = dagy_queue(*command, "--org", "acme")
    assert (answer.code, answer.out) == (2, "")
    assert "nothing was launched: runs of 'acme' are not read here, but those of 'umbrella' alone" in answer.err
    assert f"Leave {options} out to launch for 'acme' all the same" in answer.err
    launched = dagy_queue(*(word for word in command if word not in options), "--org", "acme")
    assert (launched.code, launched.err) == (0, "")


@pytest.mark.parametrize(
    ("org", "hint"), [("acme", "DAGY_ORG_ID=acme dagy-queue watch"), ("umbrella", "it: dagy-queue watch")]
)
def test_at_a_terminal_a_launch_for_another_org_says_how_it_is_followed(
    world: World, org: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_umbrella(monkeypatch, tmp_path, "file")
    for module, command in ((launch_command, ["launch", "etl"]), (fan_out_command, ["fan-out", "e", "--grid", "n=1"])):
        monkeypatch.setattr(module, "is_for_people", lambda: True)
        assert hint in dagy_queue(*command, "--org", org).err
