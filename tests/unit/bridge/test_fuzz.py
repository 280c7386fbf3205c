"""10,000 mutated event bodies, read and applied to a real ledger: no crash, and no run moves that should not."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dagy_queue.bridge.events import EventInvalid, read_event
from dagy_queue.ledger import RedisConnection, RunLedger
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.settings import RedisSettings
from tests.unit.kit import TASK_ARN, body, event, stopped_event
from tests.unit.ledger.kit import RESUMED, launched_run

CASES = settings(
    max_examples=2500,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
"""Of each of four tests."""

RUNS = ("run", "other")
AT_VERSION = 3
"""The version of the last event that both runs have seen."""
OTHER_ARN = f"{TASK_ARN}0"

BASES = [
    event("run", lastStatus="RUNNING", version=4),
    event("run", lastStatus="PENDING", version=2),
    event("run", lastStatus="DEPROVISIONING", version=5),
    event("run", 2, version=4),
    event("nobody", version=4),
    stopped_event("run"),
    stopped_event("run", 2),
    stopped_event("run", exit_code=None, stopCode="TaskFailedToStart"),
    stopped_event("run", taskArn=OTHER_ARN),
]


def nested(depth: int, innermost: Any) -> Any:
    for number in range(depth):
        innermost = [innermost] if number % 2 else {"x": innermost}
    return innermost


JUNK = [
    *(None, True, False, 0, -1, 1, 4, 2**53, 2**53 + 1, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *(
        "",
        " ",
        "0",
        "4",
        "\x00",
        "\ud800",
        "\udfff\ud800",
        "\uffff",
        "x" * 5000,
        "NaN",
        "STOPPED",
        "RUNNING",
        "running",
    ),
    *("dagy/run/1", "dagy/other/1", "dagy/run/2", "dagy/run/0", "dagy/run/01", "dagy/run/1/", "dagy//1", "dagy/*/1"),
    *(TASK_ARN, OTHER_ARN, "arn:", "arn:aws:s3:::bucket", "ECS Task State Change", "2026-13-45T99:99:99Z", "9" * 400),
    *([], {}, [[]], {"": {}}, [None] * 50, {"name": "worker", "exitCode": 0}, [{"name": "worker", "exitCode": "0"}]),
    *(nested(5, "junk"), nested(200, None), [{"name": [], "exitCode": {}}], {"containerOverrides": 7}),
    *({"containerOverrides": [{"name": {}}]}, {"containerOverrides": [None]}, [0], [[{"name": "worker"}]]),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


PLACES = sorted({path for base in BASES for path in places(base)}, key=str)
MISSING = object()
fields = st.tuples(st.sampled_from(PLACES), st.sampled_from([*JUNK, MISSING]))
bases = st.sampled_from(BASES)


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy with a place changed or, for MISSING, taken away; what is not there cannot be changed."""
    if not path:
        return None if new is MISSING else new
    result = copy.deepcopy(value)
    target = result
    try:
        for key in path[:-1]:
            target = target[key]
        if new is MISSING:
            del target[path[-1]]
        else:
            target[path[-1]] = new
    except (KeyError, IndexError, TypeError):
        return value
    return result


class Scene:
    """Two runs that have seen an event each, put back to that after every case."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection
        self.ledger = RunLedger(connection)
        for run_id in RUNS:
            launched_run(connection, run_id)
            self.ledger.apply([read_event(body(event(run_id, version=AT_VERSION)), "worker").observation])
        self.before = self.states()

    def states(self) -> dict[str, dict[str, str]]:
        pipeline = self.connection.client.pipeline(transaction=False)
        for run_id in RUNS:
            pipeline.hgetall(f"dagy:run:{run_id}")
        pipeline.llen(RESUMED)
        *states, resumed = pipeline.execute()
        return {**dict(zip(RUNS, states, strict=True)), RESUMED: {"length": str(resumed)}}

    def reset(self) -> None:
        for run_id in RUNS:
            self.connection.client.delete(f"dagy:run:{run_id}")
            self.connection.client.hset(f"dagy:run:{run_id}", mapping=self.before[run_id])  # type: ignore[arg-type]
        self.connection.client.delete(RESUMED)

    def check(self, text: str) -> None:
        """Read and apply a body; compare what moved with what may."""
        try:
            observation = read_event(text, "worker").observation
        except EventInvalid as error:
            str(error).encode("utf-8", "replace")
            return
        self.ledger.apply([observation])
        after = self.states()
        if after == self.before:
            return
        try:
            self.check_moved(json.loads(text), after)
        finally:
            self.reset()

    def check_moved(self, value: Any, after: dict[str, dict[str, str]]) -> None:
        moved = [run_id for run_id in RUNS if after[run_id] != self.before[run_id]]
        (run_id,) = moved
        detail = value["detail"]
        assert value["detail-type"] == "ECS Task State Change"
        assert detail["startedBy"] == f"dagy/{run_id}/1"
        assert detail["taskArn"] == self.before[run_id]["arn"] == after[run_id]["arn"]
        assert type(detail["version"]) is int
        assert re.fullmatch(r"[A-Z_]+", detail["lastStatus"])
        assert after[run_id]["attempt"] == "1"
        stopped = after[run_id]["phase"] == "STOPPED"
        assert stopped == (detail["lastStatus"] == "STOPPED")
        assert stopped or detail["version"] > AT_VERSION  # nothing comes after the end, whatever its version
        assert after[RESUMED] == {"length": str(int(stopped))}
        if stopped:
            outcome = json.loads(after[run_id]["completion"])["outcome"]
            codes = [c.get("exitCode") for c in detail.get("containers") or []]
            assert outcome["kind"] != "succeeded" or any(type(code) is int and code == 0 for code in codes)


@pytest.fixture(scope="module")
def scene(redis_server: RedisServer) -> Iterator[Scene]:
    connection = RedisConnection(RedisSettings(url=redis_server.url))
    connection.client.flushdb()
    yield Scene(connection)
    connection.close()


@CASES
@given(bases, fields)
def test_one_field_that_is_not_as_it_should_be_moves_no_run(scene: Scene, base: Any, field: Any) -> None:
    scene.check(body(changed(base, *field)))


@CASES
@given(bases, st.lists(fields, min_size=2, max_size=4))
def test_several_fields_that_are_not_as_they_should_be_move_no_run(scene: Scene, base: Any, several: Any) -> None:
    for field in several:
        base = changed(base, *field)
    scene.check(body(base))


@CASES
@given(
    bases,
    st.integers(0, 900),
    st.integers(0, 20),
    st.sampled_from(["", "\x00", '"', "{", "}", "]", ",", "\\u", "9", "é"]),
)
def test_text_that_is_cut_or_disturbed_moves_no_run(
    scene: Scene, base: Any, at: int, length: int, instead: str
) -> None:
    text = body(base)
    scene.check(text[:at] + instead + text[at + length :])


@CASES
@given(bases, st.integers(0, 100_000), st.sampled_from(["[", '{"detail":', '{"a":[']), st.booleans())
def test_deep_nesting_and_repeated_keys_move_no_run(
    scene: Scene, base: Any, depth: int, opening: str, inside: bool
) -> None:
    text = body(base)
    junk = opening * depth
    scene.check(text[:-1] + ', "detail": ' + junk if inside else junk + text)
    scene.check(text[:-1] + f', "detail": {body(base["detail"] | {"version": depth - 50_000})}}}')
