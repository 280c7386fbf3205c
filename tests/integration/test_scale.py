"""Fan-out at scale, with quotas that the local ECS enforces: nothing is exceeded, nobody is starved, nothing is lost.

Every test has a stack of its own. Quotas are scaled so that a test takes seconds; as the defaults do, dispatchers keep
their burst a fifth below what ECS allows, because a call may arrive later than it was granted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import _state, chord

from dagy_queue import BatchHandle, ContainerRequest, DagLauncher, Phase, fan_out, launch_sig
from dagy_queue.local.environment import process_environment
from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from scripts.benchmarks.quotas import worst_excess
from tests.integration.conftest import TIMEOUT, forget_settings, let_go_of_results
from tests.integration.waiting import eventually

pytestmark = pytest.mark.alone

STUB = ContainerRequest(org_id="acme", image="dagy-local/stub:latest")
RATE, BURST, KEPT_BURST = 50, 50, 40
QUOTAS = {"run_task_calls": {"per_second": RATE, "burst": BURST}}
SMALL_QUOTAS = {"run_task_calls": {"per_second": 20, "burst": 20}}
VCPUS_REACHED = "You\u2019ve reached the limit on the number of vCPUs you can run concurrently"


class Scene:
    """A stack with its launcher."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.launcher = DagLauncher(stack.settings())
        self._variables: dict[str, str] = {}

    def start(self, dispatchers: int = 2, **variables: str) -> None:
        """Start dispatchers and a bridge, with variables like ``LIMITS__RUN_TASK_RATE``."""
        variables = {"RECORDS__ENABLED": "false", "BRIDGE__WAIT_SECONDS": "1", **variables}
        self._variables = {f"DAGY_QUEUE__{name}": value for name, value in variables.items()}
        for number in range(dispatchers):
            self.stack.spawn("dispatcher", label=f"dispatcher-{number}", environment=self._variables)
        self.stack.spawn("bridge", label="bridge", environment=self._variables)

    def pump_only(self, label: str) -> Child:
        """Start a dispatcher that launches but takes no messages.

        What dies with a message in hand comes back after the broker's visibility timeout, a minute at least.
        """
        command = [sys.executable, "-m", "celery", "-A", "dagy_queue.dispatch.worker", "worker", "--pool=threads"]
        options = ["--queues=nothing", "--without-mingle", "--without-gossip", f"--hostname={label}@%h"]
        environment = process_environment({**self.stack.environment, **self._variables})
        return Child(label, [*command, *options], log=self.stack.log_dir / f"{label}.log", environment=environment)

    def fan_out(self, shards: Sequence[Any], request: ContainerRequest = STUB, **policies: Any) -> BatchHandle:
        return fan_out(request, shards, launcher=self.launcher, **policies)

    def warm_up(self) -> None:
        """Have everything registered and connected, and count anew."""
        assert len(self.fan_out([{}] * 4).get(timeout=TIMEOUT)) == 4
        self.stack.admin("reset")

    @property
    def stats(self) -> Any:
        return self.stack.admin("stats")


Stage = Callable[..., Scene]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Start a stack of the test's own, whose containers are only timers."""
    with ExitStack() as exits:

        def begin(**ecs: Any) -> Scene:
            return Scene(exits.enter_context(LocalStack(data_dir=tmp_path, simulate=True, **ecs)))

        yield begin
        let_go_of_results()


def limits(rate: float = RATE, burst: float = KEPT_BURST) -> dict[str, str]:
    return {"LIMITS__RUN_TASK_RATE": str(rate), "LIMITS__RUN_TASK_BURST": str(burst), "LIMITS__LAUNCH_RATE": ""}


def keeps_to_the_quota(scene: Scene, launches: int) -> None:
    """All were launched, no window has more than the quota, and hardly a call was refused."""
    stats = scene.stats
    assert stats["tasks_created"] == launches
    assert stats["throttled"].get("RunTask", 0) <= 0.005 * launches
    assert worst_excess(stats["run_task_times"], RATE, BURST) <= 0


def test_dispatchers_share_a_quota_and_use_it_up(stage: Stage) -> None:
    scene = stage(limits=QUOTAS)
    scene.start(2, **limits())
    scene.warm_up()
    assert len(scene.fan_out([{}] * 400).get(timeout=TIMEOUT)) == 400
    keeps_to_the_quota(scene, 400)
    times = scene.stats["launch_times"]
    assert times[-1] - times[0] <= 1.5 * (400 - KEPT_BURST) / RATE, "nearly as fast as the quota allows"


def test_a_chord_made_by_hand_keeps_to_the_same_quota(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = stage(limits=QUOTAS)
    scene.start(2, **limits())
    scene.warm_up()
    for name, value in scene.stack.environment.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    app = scene.launcher.publisher.app
    monkeypatch.setattr(_state._tls, "current_app", app, raising=False)
    try:
        result = chord([launch_sig(STUB) for _ in range(250)])(launch_sig(STUB))
        assert result.get(timeout=TIMEOUT)["exit_code"] == 0
    finally:
        monkeypatch.undo()
        forget_settings()
    keeps_to_the_quota(scene, 251)


def test_a_cluster_without_room_makes_runs_wait_and_fails_none(stage: Stage) -> None:
    scene = stage(capacity=50)
    scene.start(2, DISPATCH__THROTTLE_DELAY="0.1")
    results = scene.fan_out([{"command": ["0.3", "0"]}] * 200).get(timeout=TIMEOUT)
    assert [result["exit_code"] for result in results] == [0] * 200
    assert 25 <= scene.stats["max_concurrent"] <= 50


def test_a_quota_that_is_halved_fails_no_run_and_is_found(stage: Stage) -> None:
    scene = stage(limits=QUOTAS)
    scene.start(2, **limits(), DISPATCH__THROTTLE_DELAY="0.2")
    scene.warm_up()
    batch = scene.fan_out([{}] * 300)
    eventually(lambda: scene.stats["tasks_created"] >= 100, "the first hundred are launched")
    scene.stack.admin("limits", {"run_task_calls": {"per_second": RATE / 2, "burst": RATE / 2}})
    eventually(lambda: scene.stats["throttled"].get("RunTask"), "the new quota is met")
    assert [result["exit_code"] for result in batch.get(timeout=TIMEOUT)] == [0] * 300
    assert {batch.shard(n).entry().retries for n in range(300)} == {0}
    stats = scene.stats
    last, times = stats["throttled"]["RunTask"], stats["launch_times"]
    assert last <= 0.2 * 300, "dispatchers found the new quota: they do not run into it for ever"
    assert times[-1] - times[-101] <= 3 * 100 / (RATE / 2), "and they use it"


def test_a_window_holds_while_dispatchers_are_killed(stage: Stage) -> None:
    scene = stage(api_latency_seconds=0.05)
    scene.start(1, DISPATCH__LEASE_SECONDS="1", DISPATCH__LAUNCH_THREADS="4")
    victims = [scene.pump_only(f"victim-{number}") for number in range(2)]
    batch = scene.fan_out([{"command": ["2", "0"]}] * 240, max_parallel=50)
    try:
        for kills in range(4):
            eventually(lambda kills=kills: batch.progress().done >= 40 * (kills + 1), "it goes on")
            os.kill(victims[kills].pid, signal.SIGKILL)
            victims.append(scene.pump_only(f"victim-{kills + 2}"))
        assert [result["exit_code"] for result in batch.get(timeout=TIMEOUT)] == [0] * 240
    finally:
        for victim in victims:
            victim.kill()
    stats = scene.stats
    assert 25 < stats["max_concurrent"] <= 50
    assert stats["tasks_created"] == 240, "each shard has had one task"


def in_phases(batch: BatchHandle, *phases: Phase) -> int:
    """Return how many shards are in any of some phases."""
    by_phase = batch.progress().by_phase
    return sum(by_phase.get(phase, 0) for phase in phases)


def test_a_small_org_and_an_urgent_run_do_not_wait_for_thousands(stage: Stage) -> None:
    scene = stage(limits=SMALL_QUOTAS)
    scene.start(2, **limits(20, 15))
    scene.warm_up()
    large = scene.fan_out([{}] * 3000, STUB.model_copy(update={"priority": 5}))
    eventually(lambda: large.progress().by_phase.get(Phase.HELD, 0) > 2900, "thousands wait")
    eventually(lambda: scene.stats["tasks_created"] >= 20, "the burst is used up")

    small = scene.fan_out([{}] * 10, STUB.model_copy(update={"org_id": "beta"}))
    eventually(lambda: not in_phases(small, Phase.QUEUED), "the small org's have entered")
    before = scene.stats["tasks_created"]
    eventually(lambda: not in_phases(small, Phase.QUEUED, Phase.HELD), "the small org's are launched")
    assert scene.stats["tasks_created"] - before <= 2 * 10 + 30
    eventually(lambda: small.progress().is_over, "the small org's are over")

    before = scene.stats["tasks_created"]
    urgent = scene.launcher.enqueue(STUB, priority=0)
    urgent.get(timeout=TIMEOUT)
    assert scene.stats["tasks_created"] - before <= 30


@pytest.mark.parametrize(
    "fault",
    [
        {"throttle_next": 10},
        {"hidden_throttle_next": 10},
        {"server_error_next": 10},
        {"capacity_next": 10},
        {"capacity_next": 10, "capacity_reason": VCPUS_REACHED},
        {"capacity_next": 10, "capacity_reason": "RESOURCE:CPU"},
        {"throttle_probability": 0.2, "hidden_throttle_probability": 0.1, "capacity_probability": 0.2},
    ],
    ids=lambda fault: "-".join(str(fault.get("capacity_reason") or ",".join(fault)).split()[-3:]),
)
def test_no_disguise_of_a_throttle_costs_a_retry(faulty: Scene, fault: dict[str, Any]) -> None:
    faulty.stack.admin("reset")
    faulty.stack.admin("faults", {"operations": {"RunTask": fault}, "seed": 7})
    batch = faulty.fan_out([{}] * 30)
    assert [result["exit_code"] for result in batch.get(timeout=TIMEOUT)] == [0] * 30
    assert {batch.shard(n).entry().retries for n in range(30)} == {0}
    assert faulty.stats["calls"]["RunTask"] > 30, "the fault took place"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A stack for the tests that only inject faults."""
    with LocalStack(data_dir=tmp_path_factory.mktemp("faulty"), simulate=True) as stack:
        scene = Scene(stack)
        scene.start(1, DISPATCH__THROTTLE_DELAY="0.05")
        yield scene
        let_go_of_results()
