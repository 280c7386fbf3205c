"""``dagy-queue logs``, on a real ledger and a CloudWatch of our own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from dagy_queue.ids import new_id, shard_id
from dagy_queue.ledger import RunStatus
from dagy_queue.operate.container_logs import last_lines, pace, showing
from tests.unit.operate.container_logs.kit import Clock, FakeEcs, FakeLogs, stream, wrote
from tests.unit.operate.kit import TASK, Records, World, dagy_queue, failed, record

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@pytest.fixture
def between_looks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have something happen between one look and the next, in the place of a pause; after that time passes."""
    clock = Clock()

    def plan(*steps: Callable[[], object]) -> None:
        left = list(steps)

        def sleep(seconds: float) -> None:
            clock.pause(seconds)
            if left:
                left.pop(0)()

        monkeypatch.setattr(showing, "time", SimpleNamespace(sleep=sleep, monotonic=clock.now))
        monkeypatch.setattr(pace.Pace.__init__, "__kwdefaults__", {"now": clock.now, "pause": clock.pause})

    plan()
    return plan


def test_a_runs_log_is_printed(world: World, logs: FakeLogs) -> None:
    run_id = wrote(logs, world.ended(), "one", "two", "three")
    assert dagy_queue("logs", run_id).lines == ["one", "two", "three"]
    assert dagy_queue("logs", run_id, "--tail", "2").lines == ["two", "three"]
    assert dagy_queue("logs", run_id, "--grep", "^t").lines == ["two", "three"]
    assert json.loads(dagy_queue("logs", run_id, "--json").lines[0])["message"] == "one"
    assert dagy_queue("logs", run_id, "--since", "1h").lines == []


def test_a_log_does_not_command_the_terminal_unless_it_is_asked_for_as_it_is(world: World, logs: FakeLogs) -> None:
    run_id = wrote(logs, world.ended(), "\x1b]0;mine\x07")
    assert dagy_queue("logs", run_id).lines == [r"\x1b]0;mine\x07"]
    assert dagy_queue("logs", run_id, "--representative").lines[1].endswith(r"\x1b]0;mine\x07")
    assert dagy_queue("logs", run_id, "--raw").out == "\x1b]0;mine\x07\n"


def test_a_run_that_has_no_container_is_said_to_have_none(world: World, logs: FakeLogs) -> None:
    run_id = world.held()
    answer = dagy_queue("logs", run_id)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == f"run {run_id} has no container yet: it is HELD\n"


def test_a_log_that_is_empty_or_was_never_begun_is_said_to_be(world: World, logs: FakeLogs) -> None:
    run_id = world.ended(RunStatus.FAILED, failed())
    for options in ((), ("--tail", "2")):
        answer = dagy_queue("logs", run_id, *options)
        assert (answer.code, answer.out) == (0, "")
        assert answer.err.startswith(f"the log of run {run_id} is empty: its container wrote nothing, or never started")
    wrote(logs, run_id, "one")
    assert dagy_queue("logs", run_id, "--grep", "two").err == ""


def test_an_attempt_is_chosen_by_its_number(world: World, logs: FakeLogs) -> None:
    run_id = wrote(logs, world.ended(), "last")
    key = world.publisher.redis.key("run", run_id)
    world.publisher.redis.client.hset(key, mapping={"attempt": "2", "arns": f"1 {TASK.format('first')}\n"})
    logs.write(stream("first"), "first")
    assert dagy_queue("logs", run_id).lines == ["last"]
    assert dagy_queue("logs", run_id, "--attempt", "1").lines == ["first"]
    assert dagy_queue("logs", run_id, "--attempt", "2").lines == ["last"]
    answer = dagy_queue("logs", run_id, "--attempt", "3")
    assert answer.code == 2
    assert "attempt = 3: 1 to 2, as many as the run has had" in answer.err


def test_the_log_of_a_definition_that_is_not_ours_is_found_by_describing_the_task(
    world: World, logs: FakeLogs, ecs: FakeEcs
) -> None:
    run_id = world.held()
    request = {"kind": "container", "org_id": "acme", "task_definition": "theirs"}
    world.publisher.redis.client.hset(world.publisher.redis.key("run", run_id), "request", json.dumps(request))
    world.end(run_id, RunStatus.SUCCEEDED)
    container = {
        "name": "main",
        "essential": True,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": "/theirs", "awslogs-stream-prefix": "their"},
        },
    }
    ecs.definitions["theirs"] = ecs.definitions["theirs:7"] = {"containerDefinitions": [container]}
    logs.write(f"their/main/{run_id}", "theirs")
    ecs.tasks[TASK.format(run_id)] = "theirs:7"
    assert dagy_queue("logs", run_id).lines == ["theirs"]
    ecs.tasks.clear()  # after an hour
    assert dagy_queue("logs", run_id).lines == ["theirs"]
    container["logConfiguration"] = {"logDriver": "splunk"}
    assert "not in CloudWatch Logs, by its task definition" in dagy_queue("logs", run_id).err


def test_a_log_is_followed_until_its_run_is_over_and_its_late_lines_are_there(
    world: World, logs: FakeLogs, between_looks: Callable[..., None]
) -> None:
    run_id = world.held()
    key = world.publisher.redis.key("run", run_id)

    def launch() -> None:
        world.publisher.redis.client.hset(key, "arn", TASK.format(run_id))
        wrote(logs, run_id, "one")

    def end() -> None:
        world.end(run_id, RunStatus.SUCCEEDED)

    between_looks(lambda: None, launch, lambda: wrote(logs, run_id, "two"), end, lambda: wrote(logs, run_id, "late"))
    answer = dagy_queue("logs", run_id, "--follow")
    assert (answer.code, answer.lines) == (0, ["one", "two", "late"])
    assert answer.err == f"run {run_id} has no container yet: it is HELD; waiting for it\n"


def test_all_attempts_are_followed(world: World, logs: FakeLogs, between_looks: Callable[..., None]) -> None:
    run_id = world.held()
    client, key = world.publisher.redis.client, world.publisher.redis.key("run", run_id)
    client.hset(key, "arn", TASK.format("first"))
    logs.write(stream("first"), "first")

    def retry() -> None:
        client.hdel(key, "arn")
        client.hset(key, mapping={"attempt": "2", "arns": f"1 {TASK.format('first')}\n"})

    def again() -> None:
        client.hset(key, "arn", TASK.format("second"))
        logs.write(stream("second"), "second")

    def end() -> None:
        client.hset(key, mapping={"phase": "SUCCEEDED", "ended": "1"})

    between_looks(retry, *[lambda: None] * 4, again, lambda: None, end)
    answer = dagy_queue("logs", run_id, "--follow")
    assert answer.lines == ["first", "second"]
    assert "attempt 2\n" in answer.err


def test_attempts_that_end_while_another_is_shown_are_not_left_out(
    world: World, logs: FakeLogs, between_looks: Callable[..., None]
) -> None:
    run_id = world.held()
    client, key = world.publisher.redis.client, world.publisher.redis.key("run", run_id)
    client.hset(key, "arn", TASK.format("1"))
    for attempt in ("1", "2", "4"):
        logs.write(stream(attempt), f"of {attempt}")

    def all_others() -> None:  # the third had no task
        tasks = "".join(f"{attempt} {TASK.format(attempt)}\n" for attempt in (1, 2))
        client.hset(key, mapping={"attempt": "4", "arns": tasks, "arn": TASK.format("4")})
        client.hset(key, mapping={"phase": "FAILED", "ended": "1"})

    between_looks(all_others)
    answer = dagy_queue("logs", run_id, "--follow")
    assert answer.lines == ["of 1", "of 2", "of 4"]
    assert answer.err == "attempt 2\nattempt 4\n"


def test_following_ends_with_ctrl_c_and_says_how_to_go_on(
    world: World, logs: FakeLogs, between_looks: Callable[..., None]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    run_id = world.held()
    between_looks(interrupt)
    answer = dagy_queue("logs", run_id, "--follow")
    assert answer.code == 130
    assert f"`dagy-queue logs {run_id} --follow` follows it again" in answer.err


def test_the_lines_of_a_batch_have_the_numbers_of_their_shards(world: World, logs: FakeLogs) -> None:
    batch = world.batch(3)
    for shard in (2, 0):
        world.end_shard(batch, shard, RunStatus.SUCCEEDED)
        wrote(logs, batch.shard(shard).run_id, f"of {shard}")
    assert dagy_queue("logs", batch.batch_id).lines == ["[2] of 2", "[0] of 0"]
    assert dagy_queue("logs", batch.batch_id, "--tail", "1").lines == ["[0] of 0", "[2] of 2"]
    assert dagy_queue("logs", f"{batch.batch_id}:2").lines == ["of 2"]
    assert dagy_queue("logs", batch.batch_id, "--attempt", "1").code == 2


def test_a_batch_is_followed_to_its_end(world: World, logs: FakeLogs, between_looks: Callable[..., None]) -> None:
    batch = world.batch(2)

    def end(shard: int) -> Callable[[], object]:
        def step() -> None:
            world.end_shard(batch, shard, RunStatus.SUCCEEDED)
            wrote(logs, batch.shard(shard).run_id, f"of {shard}")

        return step

    between_looks(lambda: None, end(1), end(0))
    answer = dagy_queue("logs", batch.batch_id, "--follow")
    assert (answer.code, answer.lines) == (0, ["[1] of 1", "[0] of 0"])


def test_the_last_lines_of_a_batch_may_come_late(
    world: World, logs: FakeLogs, between_looks: Callable[..., None]
) -> None:
    batch = world.batch(2)
    first, second = batch.shard(0).run_id, batch.shard(1).run_id

    def end_the_first() -> None:
        world.end_shard(batch, 0, RunStatus.SUCCEEDED)
        wrote(logs, first, "one")

    def end_the_second() -> None:
        world.end_shard(batch, 1, RunStatus.SUCCEEDED)
        wrote(logs, second, "two")

    between_looks(
        end_the_first,
        lambda: wrote(logs, first, "one is late"),
        lambda: None,
        lambda: wrote(logs, first, "too late, and nobody's any more"),
        end_the_second,
        lambda: wrote(logs, second, "two is late"),
    )
    answer = dagy_queue("logs", batch.batch_id, "--follow")
    assert (answer.code, answer.lines) == (0, ["[0] one", "[0] one is late", "[1] two", "[1] two is late"])


def test_the_lines_of_shards_that_are_not_known_to_share_a_container_yet_are_printed_once(
    world: World, logs: FakeLogs, between_looks: Callable[..., None]
) -> None:
    batch = world.batch(2, shards_per_run=2)
    first, second = batch.shard(0).run_id, batch.shard(1).run_id
    key = world.publisher.redis.key("run", first)
    world.publisher.redis.client.hset(key, "arn", TASK.format(first))

    def says(run_id: str, text: str) -> None:
        logs.write(stream(first), json.dumps({"run_id": run_id, "message": text}))

    def end(shard: int) -> Callable[[], object]:
        return lambda: world.end_shard(batch, shard, RunStatus.SUCCEEDED)

    says(first, "one")
    nothing: list[Callable[[], object]] = [lambda: None] * 3
    between_looks(end(0), *nothing, lambda: says(second, "two"), *nothing, end(1))
    assert dagy_queue("logs", batch.batch_id, "--follow").lines == ["[0] one", "[1] two"]


def test_a_batch_without_containers_is_said_to_have_no_log(world: World, logs: FakeLogs) -> None:
    answer = dagy_queue("logs", world.batch(2).batch_id)
    assert (answer.code, answer.out) == (0, "")
    assert "has a log that the ledger knows" in answer.err


def test_the_lines_of_all_shards_in_a_container_are_printed(world: World, logs: FakeLogs) -> None:
    batch = world.batch(2)
    shards = [batch.shard(shard).run_id for shard in (0, 1)]
    for shard, run_id in enumerate(shards):
        world.end_shard(batch, shard, RunStatus.SUCCEEDED)
        key = world.publisher.redis.key("run", run_id)
        world.publisher.redis.client.hset(key, "arn", TASK.format(shards[0]))
        logs.write(stream(shards[0]), json.dumps({"run_id": run_id, "message": f"of {shard}"}))
    logs.write(stream(shards[0]), "of the container")
    lines = dagy_queue("logs", batch.batch_id).lines
    assert lines == ["[0] of 0", "[1] of 1", "[0] of the container"]


def test_a_batch_that_only_the_record_knows_is_said_to_be(world: World, logs: FakeLogs, records: Records) -> None:
    batch_id = new_id()
    run_id = shard_id(batch_id, 0)
    records[run_id] = record(run_id, batch_id=batch_id, shard=0)
    for arguments in ((), ("--tail", "1"), ("--follow",)):
        answer = dagy_queue("logs", batch_id, "--org", "acme", *arguments)
        assert (answer.code, answer.out) == (0, "")
        assert f"no shard of batch {batch_id} has a log that the ledger knows" in answer.err
    assert "no container" in dagy_queue("logs", batch_id, "--org", "acme", "--representative").err


def test_without_an_id_the_whole_group_is_read(
    world: World, logs: FakeLogs, between_looks: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time() * 1000)
    logs.write("dagy/worker/0123456789abcdef", "recent", at=now)
    logs.write("dagy/worker/0123456789abcdef", "old", at=now - 3_600_000)
    logs.write("other/x", "foreign", at=now)
    assert dagy_queue("logs").lines == ["[01234567] recent"]
    assert len(dagy_queue("logs", "--since", "2h").lines) == 2
    assert dagy_queue("logs", "--since", "700000d", "--tail", "1").lines == ["[01234567] recent"]
    monkeypatch.setenv("DAGY_ORG_ID", "acme")
    answer = dagy_queue("logs")
    assert answer.code == 2
    assert "the logs of all orgs" in answer.err


def test_shards_that_the_ledger_has_forgotten_are_told_of(world: World, logs: FakeLogs) -> None:
    batch = world.batch(3)
    for shard, status in enumerate((RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.SUCCEEDED)):
        world.end_shard(batch, shard, status)
        wrote(logs, batch.shard(shard).run_id, f"of {shard}")
    world.forget(batch.shard(2).run_id)
    told = f"without 1 shard that the ledger has forgotten: `dagy-queue logs {batch.batch_id}:INDEX` asks the record"
    for arguments, lines in (((), ["[0] of 0", "[1] of 1"]), (("--tail", "1"), ["[0] of 0", "[1] of 1"])):
        answer = dagy_queue("logs", batch.batch_id, *arguments)
        assert (answer.code, answer.lines) == (0, lines)
        assert told in answer.err


def test_a_failed_run_that_was_explained_without_its_log_gets_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = FakeLogs()
    region = SimpleNamespace(logs=logs)
    monkeypatch.setattr(
        last_lines, "AwsClients", lambda *_args, **_options: SimpleNamespace(in_region=lambda _region: region)
    )
    run_id = wrote(logs, world.ended(RunStatus.FAILED, failed()), "a", "no luck")
    assert dagy_queue("explain", run_id, "--json").json["log_lines"] == ["a", "no luck"]
    missing = world.ended(RunStatus.FAILED, failed())
    assert dagy_queue("explain", missing, "--json").json["log_lines"] == []
    had = world.ended(RunStatus.FAILED, failed(log_lines=["kept"]))
    assert dagy_queue("explain", had, "--json").json["log_lines"] == ["kept"]
    assert len(logs.calls) == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--attempt", "1"], "--attempt is for a run"),
        (["BATCH", "--tail", "1", "--follow"], "--tail with --follow is for a run"),
        (["--representative"], "name one"),
        (["BATCH", "--representative", "--follow"], "leave other options out"),
        (["BATCH", "--representative", "--grep", "x"], "leave other options out"),
        (["BATCH", "--representative", "--json"], "leave other options out"),
    ],
)
def test_options_that_cannot_be_had_together_are_refused(
    world: World, logs: FakeLogs, arguments: list[str], why: str
) -> None:
    batch_id = world.batch(1).batch_id
    answer = dagy_queue("logs", *(batch_id if word == "BATCH" else word for word in arguments))
    assert (answer.code, answer.out) == (2, "")
    assert why in answer.err
