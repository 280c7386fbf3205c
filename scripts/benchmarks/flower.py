"""Flower's list of tasks with thousands of runs in it, beside the same number of plain Celery tasks in another Flower.

Runs are announced by the code that announces them in a bridge, tasks by Celery's own event dispatcher. What a browser
asks for is measured: the page, and the data that it then asks for every time somebody sorts, searches or turns a page.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery import Celery

from dagy_queue.bridge.event_sender import EventSender
from dagy_queue.bridge.event_texts import Surroundings
from dagy_queue.bridge.run_events import run_event
from dagy_queue.ids import new_id
from dagy_queue.ledger import Phase, RunEntry
from dagy_queue.ledger.watching import WatchedRun
from dagy_queue.local.free_port import free_port
from dagy_queue.local.readiness import flower_ready
from dagy_queue.local.stack import LocalStack
from dagy_queue.messaging.app import make_app
from dagy_queue.settings import EcsSettings
from scripts.benchmarks.figures import Figure

TASKS = 2000
TARGET = 2.0
_LOGIN = "bench:bench"
_AT_ONCE = 100
_TIMES = 15
_READY_SECONDS = 120.0
_COLUMNS = ("name", "uuid", "state", "args", "result", "runtime", "received")
_PHASES = (Phase.HELD, Phase.PROVISIONING, Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED)


class Flower:
    """A Flower, and what a browser asks of it."""

    def __init__(self, stack: LocalStack, label: str) -> None:
        self._port = free_port()
        variables = {"FLOWER_BASIC_AUTH": _LOGIN}
        self.child = stack.spawn("flower", f"--port={self._port}", label=label, environment=variables)
        self.child.wait_until(lambda: flower_ready(self._port), _READY_SECONDS, "serving pages")

    def page(self) -> None:
        """Ask for the list and for what is in it, as its page does."""
        self._ask("/tasks")
        self.rows()

    def rows(self, search: str = "") -> Any:
        """Ask for what is in the list, newest first."""
        query = {"draw": 1, "start": 0, "length": 100, "search[value]": search}
        query |= {f"columns[{number}][data]": name for number, name in enumerate(_COLUMNS)}
        query |= {"order[0][column]": _COLUMNS.index("received"), "order[0][dir]": "desc"}
        return json.loads(self._ask(f"/tasks/datatable?{urllib.parse.urlencode(query)}"))

    def memory(self) -> float:
        """Return how much memory it has, in MB (Linux)."""
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        return pages * 4096 / 1e6

    def until(self, tasks: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until so many tasks are in the list."""
        while self.rows()["recordsTotal"] < tasks:
            meanwhile()
            time.sleep(0.1)

    def _ask(self, path: str) -> bytes:
        token = base64.b64encode(_LOGIN.encode()).decode()
        url = f"http://127.0.0.1:{self._port}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body


@dataclass(frozen=True, slots=True)
class Measured:
    """A Flower with so many tasks in it: seconds of the list and of a search in it, and memory of a task in kB."""

    page: float
    search: float
    memory: float


def measure() -> tuple[Measured, Measured]:
    """Measure a Flower with plain tasks in it, and one with runs: both at once, in turns, the best of several times."""
    with LocalStack(simulate=True) as first, LocalStack(simulate=True) as second:
        flowers = [_filled(first, "plain", _announce_tasks), _filled(second, "runs", _announce_runs)]
        pages: list[list[float]] = [[], []]
        searches: list[list[float]] = [[], []]
        for _ in range(_TIMES):
            for number, (flower, _memory) in enumerate(flowers):
                pages[number].append(_seconds(flower.page))
                searches[number].append(_seconds(lambda flower=flower: flower.rows("state:FAILURE")))  # type: ignore[misc]
        plain, runs = (
            Measured(min(page), min(search), memory)
            for page, search, (_, memory) in zip(pages, searches, flowers, strict=True)
        )
        return plain, runs


def run() -> Iterator[Figure]:
    """Measure."""
    plain, runs = measure()
    yield Figure(f"list and 100 rows with {TASKS:,} plain Celery tasks (baseline)", f"{plain.page:.3f} s")
    ratio = f"{runs.page:.3f} s, {runs.page / plain.page:.2f} of plain"
    yield Figure(f"list and 100 rows with {TASKS:,} runs", ratio, f"{TARGET:g} s")
    yield Figure("search for failures, plain tasks (baseline)", f"{plain.search:.3f} s")
    ratio = f"{runs.search:.3f} s, {runs.search / plain.search:.2f} of plain"
    yield Figure("search for failures, runs", ratio, f"{TARGET:g} s")
    yield Figure("memory of a task in Flower", f"{runs.memory:.0f} kB a run, {plain.memory:.0f} kB a plain task")


def _filled(stack: LocalStack, label: str, announce: Callable[[Celery], None]) -> tuple[Flower, float]:
    """Return a Flower that knows so many tasks, and its memory of each in kB."""
    flower = Flower(stack, label)
    empty = flower.memory()
    app = make_app(stack.settings())
    flower.until(1, lambda: _probe(app))
    announce(app)
    flower.until(TASKS + 1)
    return flower, (flower.memory() - empty) * 1000 / TASKS


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _probe(app: Celery) -> None:
    """Send an event of one task: Flower serves pages a moment before it listens."""
    EventSender(app).send([{"type": "task-received", "uuid": "probe", "hostname": "probe", "timestamp": time.time()}])


def _announce_tasks(app: Celery) -> None:
    """Send what a Celery worker sends of tasks: received, started, and of most of them how they ended."""
    ends = (("task-succeeded", {"result": "42", "runtime": 0.5}), ("task-failed", {"exception": "ValueError('no')"}))
    what = {"name": "app.add", "args": "(1, 2)", "kwargs": "{}", "retries": 0}
    with app.connection_for_write() as connection:
        dispatcher = app.events.Dispatcher(connection, hostname="celery@bench", buffer_group={"task"})
        for number in range(TASKS):
            uuid = new_id()
            dispatcher.send("task-received", uuid=uuid, root_id=uuid, parent_id=None, **what)
            dispatcher.send("task-started", uuid=uuid)
            if number % 5:
                kind, fields = ends[number % 2]
                dispatcher.send(kind, uuid=uuid, **fields)
        dispatcher.flush()


def _announce_runs(app: Celery) -> None:
    """Announce runs that are in all phases."""
    around, sender = Surroundings(EcsSettings(), "us-east-1"), EventSender(app)
    runs = [_run(number) for number in range(TASKS)]
    for first in range(0, TASKS, _AT_ONCE):
        part = runs[first : first + _AT_ONCE]
        held = [replace(each, entry=replace(each.entry, phase=Phase.HELD)) for each in part]
        for each in (held, part):
            sender.send([run_event(run, around, time.time(), '{"rows": 42}') for run in each])


def _run(number: int) -> WatchedRun:
    now = datetime.now(UTC)
    run_id, phase = new_id(), _PHASES[number % len(_PHASES)]
    outcome = {"kind": "failed", "summary": "ValueError: no", "detail": "Traceback\n" + "  line\n" * 20}
    entry = RunEntry(
        run_id=run_id,
        phase=phase,
        attempt=1,
        retries=0,
        org_id="acme",
        flow_name="report",
        correlation_id=f"nightly:{number}",
        batch_id="7c344a14-7852-46c8-95b8-f1c3ee1e73fb",
        shard=number,
        task_arn=f"arn:aws:ecs:us-east-1:123456789012:task/dagy/{run_id.replace('-', '')}",
        created_at=now,
        changed_at=now,
        started_at=now,
        ended_at=now,
        completion={"outcome": outcome},
        cancel_reason="",
        refusal="",
    )
    return WatchedRun(
        entry=entry,
        request={"kind": "flow", "flow_name": "report", "org_id": "acme"},
        pool="us-east-1/dagy|FARGATE",
        parent_id=entry.batch_id,
        root_id=entry.batch_id,
        shards=TASKS,
    )
