from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from dagy_queue.dispatch.pump import Pump
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Grant, Granted, Phase, RedisConnection
from dagy_queue.settings.services import LimitSettings
from tests.unit.kit import TASK_ARN
from tests.unit.ledger.kit import launched_run, parked_run

PATIENCE = 30
THREADS = 3


class NotingLauncher:
    """Notes what it is given, and can be held up."""

    def __init__(self) -> None:
        self.granted: queue.Queue[Grant] = queue.Queue()
        self.given_back: queue.Queue[tuple[str, bool]] = queue.Queue()
        self.stopped: queue.Queue[tuple[str, str]] = queue.Queue()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def launch(self, grant: Grant) -> None:
        self.granted.put(grant)
        self.may_go_on.wait(PATIENCE)

    def give_back(self, attempt_id: AttemptId, *, called: bool) -> None:
        self.given_back.put((attempt_id.run_id, called))

    def stop_unwanted(self, task_arn: str, reason: str) -> None:
        self.stopped.put((task_arn, reason))

    def next(self) -> str:
        return self.granted.get(timeout=PATIENCE).attempt_id.run_id


@pytest.fixture
def launcher() -> NotingLauncher:
    return NotingLauncher()


Start = Callable[[Services], Pump]


@pytest.fixture
def start(launcher: NotingLauncher) -> Iterator[Start]:
    pumps: list[Pump] = []

    def begin(services: Services) -> Pump:
        pump = Pump(services, launcher)  # type: ignore[arg-type]
        pump.start()
        pumps.append(pump)
        return pump

    yield begin
    launcher.may_go_on.set()
    for pump in pumps:
        pump.stop()


def test_runs_that_wait_are_launched(
    services: Services, connection: RedisConnection, launcher: NotingLauncher, start: Start
) -> None:
    for number in range(10):
        parked_run(connection, f"run-{number}")
    start(services)
    assert sorted(launcher.next() for _ in range(10)) == sorted(f"run-{number}" for number in range(10))


def test_a_run_that_comes_later_wakes_the_pump(
    services: Services, connection: RedisConnection, launcher: NotingLauncher, start: Start
) -> None:
    start(services)
    parked_run(connection, "run")
    assert launcher.next() == "run"


def test_no_more_runs_are_taken_than_threads_are_free(
    services: Services, connection: RedisConnection, launcher: NotingLauncher, start: Start
) -> None:
    launcher.may_go_on.clear()
    for number in range(10):
        parked_run(connection, f"run-{number}")
    start(services)
    taken = [launcher.next() for _ in range(THREADS)]
    assert launcher.granted.empty()
    phases = [services.runs.get(f"run-{number}").phase for number in range(10)]
    assert (phases.count(Phase.SUBMITTING), phases.count(Phase.HELD)) == (THREADS, 10 - THREADS)
    launcher.may_go_on.set()
    assert len({*taken, *(launcher.next() for _ in range(10 - THREADS))}) == 10


def test_tasks_of_cancelled_runs_are_stopped(
    services: Services, connection: RedisConnection, launcher: NotingLauncher, start: Start
) -> None:
    launched_run(connection, "run")
    start(services)
    services.runs.cancel("run", "not wanted", {})
    assert launcher.stopped.get(timeout=PATIENCE) == (TASK_ARN, "not wanted")


def test_a_pump_keeps_to_the_limits_of_the_settings(
    services: Services, connection: RedisConnection, launcher: NotingLauncher, start: Start
) -> None:
    config = services.settings.model_copy(update={"limits": LimitSettings(max_tasks=2)})
    for number in range(3):
        parked_run(connection, f"run-{number}")
    start(replace(services, settings=config))
    first = {launcher.next(), launcher.next()}
    (left,) = {f"run-{number}" for number in range(3)} - first
    assert services.runs.get(left).phase is Phase.HELD
    services.runs.complete(AttemptId(first.pop(), 1), {"outcome": {"kind": "succeeded", "summary": "s"}})
    assert launcher.next() == left


def test_a_launch_that_raises_gives_its_thread_back(
    services: Services, connection: RedisConnection, launcher: NotingLauncher, start: Start
) -> None:
    noted = launcher.launch

    def explode(grant: Grant) -> None:
        noted(grant)
        raise ZeroDivisionError

    launcher.launch = explode  # type: ignore[method-assign]
    for number in range(3 * THREADS):
        parked_run(connection, f"run-{number}")
    start(services)
    assert len({launcher.next() for _ in range(3 * THREADS)}) == 3 * THREADS


def test_two_pumps_never_launch_the_same_run(
    services: Services, connection: RedisConnection, launcher: NotingLauncher, start: Start
) -> None:
    start(services)
    start(services)
    for number in range(30):
        parked_run(connection, f"run-{number}")
    assert len({launcher.next() for _ in range(30)}) == 30
    assert launcher.granted.empty()


def test_a_pump_that_stops_finishes_what_it_has_in_hand(
    services: Services, connection: RedisConnection, launcher: NotingLauncher, start: Start
) -> None:
    launcher.may_go_on.clear()
    parked_run(connection, "run")
    pump = start(services)
    launcher.next()
    stopping = threading.Thread(target=pump.stop)
    stopping.start()
    assert stopping.is_alive()
    launcher.may_go_on.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_a_pump_that_stopped_takes_nothing_more(
    services: Services, connection: RedisConnection, launcher: NotingLauncher, start: Start
) -> None:
    start(services).stop()
    parked_run(connection, "run")
    assert services.runs.get("run").phase is Phase.HELD
    assert launcher.granted.empty()


def test_a_pump_that_stops_gives_back_what_it_is_granted_meanwhile(
    services: Services, connection: RedisConnection, launcher: NotingLauncher
) -> None:
    pump = Pump(services, launcher)  # type: ignore[arg-type]
    lease = pump._admission.lease

    def lease_late(*args: Any) -> Granted:
        pump._stopping.set()
        return lease(*args)

    pump._admission.lease = lease_late  # type: ignore[method-assign]
    parked_run(connection, "run")
    pump._turn()
    assert launcher.given_back.get_nowait() == ("run", False)
    assert launcher.granted.empty()
    pump.stop()


def test_a_pump_gives_back_the_launches_that_hang(
    services: Services, connection: RedisConnection, launcher: NotingLauncher, start: Start
) -> None:
    launcher.may_go_on.clear()
    parked_run(connection, "run")
    pump = start(services)
    launcher.next()
    pump.hand_back()
    assert launcher.given_back.get_nowait() == ("run", True)
    launcher.may_go_on.set()
    pump.stop()
    pump.hand_back()
    assert launcher.given_back.empty()


def test_a_pump_that_never_started_can_be_stopped(services: Services, launcher: NotingLauncher) -> None:
    Pump(services, launcher).stop()  # type: ignore[arg-type]


class FlakyAdmission:
    """An admission ledger whose first leases fail."""

    def __init__(self, real: Any, errors: list[Exception]) -> None:
        self._real = real
        self._errors = errors

    def lease(self, *args: Any) -> Granted:
        if self._errors:
            raise self._errors.pop()
        return self._real.lease(*args)  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.parametrize("error", [RedisUnavailable("gone"), ZeroDivisionError()])
def test_a_pump_survives_errors_and_loses_no_thread(
    monkeypatch: pytest.MonkeyPatch,
    services: Services,
    connection: RedisConnection,
    launcher: NotingLauncher,
    start: Start,
    error: Exception,
) -> None:
    monkeypatch.setattr("dagy_queue.dispatch.pump._AFTER_REDIS_FAILED", 0.0)
    flaky = FlakyAdmission(services.admission, [error] * (2 * THREADS))
    start(replace(services, admission=flaky))  # type: ignore[arg-type]
    launcher.may_go_on.clear()
    for number in range(THREADS):
        parked_run(connection, f"run-{number}")
    assert len({launcher.next() for _ in range(THREADS)}) == THREADS
