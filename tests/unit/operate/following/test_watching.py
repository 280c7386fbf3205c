"""``watch`` and ``--wait``, on a real ledger in which runs end while one looks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import typer
from rich.console import Console

from dagy_queue.errors import BatchNotFound
from dagy_queue.ledger import Phase, RedisConnection, RunStatus
from dagy_queue.ledger.overview import Overview
from dagy_queue.operate.finding import Desk, Target
from dagy_queue.operate.following import one_run, sources, to_the_end
from dagy_queue.operate.following.pace import Pace
from dagy_queue.operate.following.screens import LiveScreen
from dagy_queue.operate.following.sources import BatchSource, EverythingSource, limit_now
from dagy_queue.operate.output import console
from dagy_queue.settings import load_settings
from tests.unit.operate.kit import World, dagy_queue, failed

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

Steps = Callable[..., None]


@pytest.fixture
def between_looks(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Have something happen between one look and the next, in the place of a pause."""

    def plan(*steps: Callable[[], object]) -> None:
        left = list(steps)

        def pause(_seconds: float) -> None:
            assert left, "there was one look more than was planned"
            left.pop(0)()

        for module in (to_the_end, one_run):
            monkeypatch.setattr(module.time, "sleep", pause)

    return plan


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_run_is_followed_from_phase_to_phase_to_its_exit_code(world: World, between_looks: Steps) -> None:
    run_id = world.held()
    outcome = failed(log_lines=["no luck"], exit_code=7)
    between_looks(lambda: None, lambda: world.end(run_id, RunStatus.FAILED, outcome))
    answer = dagy_queue("watch", run_id)
    assert answer.code == 7
    assert [line[10:22].strip() for line in answer.lines[:2]] == ["HELD", "FAILED"]
    assert answer.lines[2] == "what happened  the container failed (exit code 3)"
    assert "log ends with  no luck" in answer.lines


@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [
        (RunStatus.SUCCEEDED, None, 0),
        (RunStatus.CANCELLED, {"kind": "cancelled", "summary": "no"}, 1),
        (RunStatus.FAILED, {"kind": "start_failed", "summary": "no"}, 1),
        (RunStatus.FAILED, {"kind": "failed", "summary": "no", "exit_code": 0xC0000100}, 1),
    ],
)
def test_a_run_without_an_exit_code_that_can_be_passed_on_is_0_or_1(
    world: World, status: RunStatus, outcome: Any, code: int
) -> None:
    assert dagy_queue("watch", world.ended(status, outcome)).code == code


def test_the_next_attempt_is_named_once(world: World, between_looks: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    between_looks(lambda: None)
    run_id = world.held()
    waits = "attempt 2 in 0 s, as attempt 1 has ended"
    usual = {**Desk().explanation(run_id), "attempt": 2}
    looks = iter(
        [{**usual, "phase": "RETRYING", "next": waits}, {**usual, "phase": "SUCCEEDED", "status": "SUCCEEDED"}]
    )
    monkeypatch.setattr(Desk, "explanation", lambda *_: next(looks))
    lines = dagy_queue("watch", run_id).lines
    assert [line.split(maxsplit=2)[1:] for line in lines] == [["RETRYING", waits], ["SUCCEEDED", "attempt 2"]]


def test_in_json_each_step_of_a_run_is_a_line(world: World, between_looks: Steps) -> None:
    run_id = world.held()
    between_looks(lambda: world.end(run_id, RunStatus.SUCCEEDED))
    lines = [json.loads(line) for line in dagy_queue("watch", run_id, "--json").lines]
    assert [line["phase"] for line in lines] == ["HELD", "SUCCEEDED"]


def test_ctrl_c_says_what_goes_on_and_how_to_get_back(world: World, between_looks: Steps) -> None:
    run_id, batch = world.held(), world.batch(2)
    for kind, identifier in (("run", run_id), ("batch", batch.batch_id)):
        between_looks(interrupt)
        answer = dagy_queue("watch", identifier)
        assert answer.code == 130
        assert f"{kind} {identifier} goes on: `dagy-queue watch {identifier}` follows it again" in answer.err
        assert f"`dagy-queue cancel {identifier}` ends it" in answer.err
    assert world.runs.get(run_id).cancel_reason == ""


def test_waiting_ends_after_its_timeout_and_the_run_goes_on(world: World, between_looks: Steps) -> None:
    between_looks()
    run_id = world.held()
    answer = dagy_queue("results", run_id, "--wait", "--wait-timeout", "10ms")
    assert answer.code == 124
    assert f"run {run_id} did not end within 10ms and goes on" in answer.err
    assert dagy_queue("results", run_id, "--wait", "--wait-timeout", "0.01").code == 124
    assert dagy_queue("results", run_id, "--wait", "--wait-timeout", "soon").code == 2


@pytest.mark.parametrize("timeout", ["soon", "nan", "inf", "-5", "1.5.2"])
def test_a_timeout_that_is_none_is_refused_before_anything_is_launched(world: World, timeout: str) -> None:
    answer = dagy_queue("launch", "etl", "--org", "acme", "--wait", f"--wait-timeout={timeout}")
    assert (answer.code, answer.out) == (2, "")
    assert "wait-timeout" in answer.err
    assert dagy_queue("list", "--json").json == []


@pytest.mark.parametrize("command", [["launch", "etl"], ["fan-out", "etl", "--grid=a=1"], ["results", "any"]])
def test_a_timeout_without_waiting_is_refused(world: World, command: list[str]) -> None:
    answer = dagy_queue(*command, "--org", "acme", "--wait-timeout", "10s")
    assert (answer.code, answer.out) == (2, "")
    assert "say --wait as well" in answer.err
    assert dagy_queue("list", "--json").json == []


def test_nothing_moves_in_a_pipe_that_is_forced_to_be_coloured(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert dagy_queue("watch", world.ended()).out.count("\x1b") == 0


def test_launch_waits_and_passes_the_exit_code_on(
    world: World, between_looks: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[str] = []
    monkeypatch.setattr(to_the_end, "follow", lambda _desk, target, _shown, **_: launched.append(target.id) or 9)
    answer = dagy_queue("launch", "etl", "--org", "acme", "--wait")
    assert (answer.code, answer.out.split()) == (9, launched)


def test_a_batch_is_followed_to_its_end_with_each_failure(world: World, between_looks: Steps) -> None:
    batch = world.batch(3)
    between_looks(
        lambda: world.end_shard(batch, 1, RunStatus.FAILED, failed()),
        lambda: [world.end_shard(batch, shard, RunStatus.SUCCEEDED) for shard in (0, 2)],
    )
    answer = dagy_queue("watch", batch.batch_id)
    assert answer.code == 1
    assert answer.lines == [
        "0 of 3 ended; 3 held",
        "shard 1 failed: the container failed (exit code 3)",
        "3 of 3 ended; 2 succeeded, 1 failed",
    ]
    assert dagy_queue("watch", world.ended()).code == 0


def test_what_a_container_raises_does_not_command_the_terminal(world: World) -> None:
    batch = world.batch(1)
    world.end_shard(batch, 0, RunStatus.FAILED, failed("\x1b]0;mine\x07 \x1b[31mred"))
    for command in (["watch", batch.batch_id], ["watch", f"{batch.batch_id}:0"], ["status", batch.batch_id]):
        assert r"\x1b]0;mine\x07 red" in dagy_queue(*command).out


def test_in_json_a_look_is_a_line_also_where_nothing_goes_on(world: World) -> None:
    assert dagy_queue("watch", "--once", "--json").json["total"] == 0


def test_a_narrow_terminal_shows_all_of_it(world: World) -> None:
    batch = world.batch(5)
    for shard, status in enumerate((RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)):
        world.end_shard(batch, shard, status, failed() if status is RunStatus.FAILED else None)
    source = BatchSource(Overview(world.publisher.redis), load_settings(), batch.batch_id)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=24, soft_wrap=True, no_color=True)
    with LiveScreen(terminal, source.title) as screen:
        screen.show(source.look(), Pace())
        shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "1 cancelled" in shown
    assert batch.batch_id[-4:] in shown


def test_a_batch_that_tolerates_its_failures_exits_with_0(world: World) -> None:
    batch = world.batch(2, tolerate=1)
    world.end_shard(batch, 0, RunStatus.FAILED, failed())
    world.end_shard(batch, 1, RunStatus.SUCCEEDED)
    assert dagy_queue("watch", batch.batch_id).code == 0


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("reason", ["no longer needed", "its timeout is over"])
def test_why_a_batch_was_cancelled_is_the_last_word(world: World, reason: str, options: tuple[str, ...]) -> None:
    batch = world.batch(2)
    world.end_shard(batch, 0, RunStatus.SUCCEEDED)
    batch.cancel(reason)
    world.end_shard(batch, 1, RunStatus.CANCELLED)
    answer = dagy_queue("watch", batch.batch_id, *options)
    assert (answer.code, answer.err) == (1, f"batch {batch.batch_id} was cancelled: {reason}\n")


def test_a_wish_that_came_too_late_is_not_told_and_the_batch_has_succeeded(world: World) -> None:
    batch = world.batch(1)
    world.end_shard(batch, 0, RunStatus.SUCCEEDED)
    world.publisher.redis.client.hset(world.publisher.redis.key("batch", batch.batch_id), "cancel", "too late")
    answer = dagy_queue("watch", batch.batch_id)
    assert (answer.code, answer.err) == (0, "")


def test_in_json_each_look_that_shows_something_new_is_a_line(world: World, between_looks: Steps) -> None:
    batch = world.batch(2)
    between_looks(
        lambda: None,
        lambda: world.end_shard(batch, 0, RunStatus.FAILED, failed()),
        lambda: world.end_shard(batch, 1, RunStatus.SUCCEEDED),
    )
    lines = [json.loads(line) for line in dagy_queue("watch", batch.batch_id, "--json").lines]
    assert [(line["done"], line["total"], line["is_over"]) for line in lines] == [
        (0, 2, False),
        (1, 2, False),
        (2, 2, True),
    ]
    assert lines[1]["failures"] == [
        {"what": "shard 0", "run_id": batch.shard(0).run_id, "summary": "the container failed (exit code 3)"}
    ]


def test_of_many_failures_some_are_told_and_the_others_counted(world: World) -> None:
    batch = world.batch(25)
    for shard in range(25):
        world.end_shard(batch, shard, RunStatus.FAILED, failed())
    source = BatchSource(Overview(world.publisher.redis), world.publisher.settings, batch.batch_id)
    sight = source.look()
    assert ([failure.what for failure in sight.failures][:2], sight.more_failures) == (["shard 0", "shard 1"], 15)
    assert (source.look().failures, source.look().more_failures) == ((), 0)


def test_of_a_batch_that_is_over_every_failure_is_told_or_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_ENDED_AT_ONCE", 3)
    everything = EverythingSource(Overview(world.publisher.redis), world.publisher.settings)
    assert everything.look().total == 0
    batch = world.batch(20)
    for shard in range(20):
        world.end_shard(batch, shard, RunStatus.SUCCEEDED if shard < 5 else RunStatus.FAILED, failed())
    for source in (BatchSource(Overview(world.publisher.redis), world.publisher.settings, batch.batch_id), everything):
        sight = source.look()
        assert (len(sight.failures), sight.more_failures) == (10, 5)
        assert (source.look().failures, source.look().more_failures) == ((), 0)


def test_that_no_dispatcher_takes_it_is_said(
    world: World, between_looks: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagy_queue.operate.following.sight.Stall.SECONDS", 0.0)
    between_looks(interrupt)
    assert "no dispatcher has taken it" in dagy_queue("watch", world.published()).out


def test_everything_that_goes_on_is_followed_with_what_comes_and_what_ends(
    world: World, connection: RedisConnection
) -> None:
    running = world.held()
    world.ended(RunStatus.FAILED, failed())
    batch = world.batch(2)
    world.end_shard(batch, 0, RunStatus.FAILED, failed())
    over = world.batch(1)
    world.end_shard(over, 0, RunStatus.SUCCEEDED)
    source = EverythingSource(Overview(world.publisher.redis), world.publisher.settings)
    first = source.look()
    assert first.counts == {Phase.HELD: 2, Phase.FAILED: 1}
    assert (first.failures, first.is_over) == ((), False)
    new = world.published()
    world.end(running, RunStatus.FAILED, failed())
    world.end_shard(batch, 1, RunStatus.FAILED, failed())
    second = source.look()
    assert second.counts == {Phase.QUEUED: 1, Phase.FAILED: 3}
    assert {failure.what for failure in second.failures} == {f"run {running}", f"{batch.batch_id} shard 1"}
    assert source.look().counts == second.counts
    connection.client.delete(connection.key("run", new))
    assert source.look().counts == {Phase.FAILED: 3}


def test_everything_may_be_one_orgs(world: World) -> None:
    world.held()
    world.batch(2)
    world.held(org_id="umbrella")
    world.batch(3, org_id="umbrella")
    source = EverythingSource(Overview(world.publisher.redis), world.publisher.settings, "umbrella")
    assert source.look().counts == {Phase.HELD: 4}


def test_everything_is_shown_until_ctrl_c_or_once(world: World, between_looks: Steps) -> None:
    world.held()
    between_looks(interrupt)
    answer = dagy_queue("watch")
    assert (answer.code, answer.out) == (130, "0 of 1 ended; 1 held\n")
    assert "everything goes on: `dagy-queue watch` shows it again" in answer.err
    assert dagy_queue("watch", "--once").out == "0 of 1 ended; 1 held\n"
    assert dagy_queue("watch", "--once", "--json").json["counts"] == {"HELD": 1}


def test_the_limit_is_what_throttles_have_left_of_it(world: World, connection: RedisConnection) -> None:
    overview = Overview(world.publisher.redis)
    connection.client.hset(connection.key("throttle", "us-east-1"), "factor", "0.5")
    assert limit_now(overview, load_settings()) == 10.0
    assert limit_now(overview, load_settings(limits={"run_task_rate": ""})) is None


def test_a_batch_that_has_left_the_ledger_cannot_be_followed(world: World, connection: RedisConnection) -> None:
    batch = world.batch(1)
    connection.client.delete(connection.key("batch", batch.batch_id))
    with pytest.raises(BatchNotFound, match="any more"):
        to_the_end.follow(Desk(), Target(batch.batch_id, is_batch=True), console())


def test_the_waiting_tells_its_own_exit_code_by_typers_exit(world: World, between_looks: Steps) -> None:
    between_looks(interrupt)
    with pytest.raises(typer.Exit) as ended:
        to_the_end.follow(Desk(), Target(world.held()), None)
    assert ended.value.exit_code == 130
