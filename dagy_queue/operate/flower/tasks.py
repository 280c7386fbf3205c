"""How Flower shows our runs and batches: its ``format_task`` hook, which ``config.py`` names.

Flower calls it for each row and each page with a copy of the task, and escapes all that it returns. Nothing here asks
Redis or AWS: all is in the event (``dagy_queue/bridge/event_texts.py``). Tasks that are not ours stay as they are.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from celery import states
from celery.events.state import Task

from dagy_queue.ids import shard_id
from dagy_queue.messaging.names import FAN_OUT_QUEUE, LAUNCH_QUEUE
from dagy_queue.operate.flower.links import places_of

MOST_CHILDREN = 100
"""Shards that a batch's page links to; the others are found by a search that the page names."""
_OF_OURS = frozenset({"flow", "org", "correlation_id"})
_BUTTONS = {
    "HELD": states.RECEIVED,
    "SUBMITTED": states.STARTED,
    "PROVISIONING": states.STARTED,
    "RUNNING": states.STARTED,
}
"""Celery's states that ours are like: Flower has a button for STARTED (Terminate) and for RECEIVED (Revoke) alone."""
_SAYS_NOTHING = (
    *("worker", "root", "parent", "clock", "client", "exchange", "routing_key"),
    *("eta", "sent", "timestamp", "exception"),
)
"""Fields of Flower's page that are of Celery's own making, or there by another name."""
_LABELS = {"correlation_id": "correlation id", "by_phase": "by phase", "tolerated_failures": "tolerated failures"}


class ShownState(str):
    """A state of ours that equals the one of Celery's that it is like, so that Flower's page has its button."""

    __slots__ = ("_like",)
    _like: str

    def __new__(cls, name: str) -> ShownState:
        """Make it; a state that is not ours equals itself alone."""
        shown = super().__new__(cls, name)
        shown._like = _BUTTONS.get(name, name)
        return shown

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True or other == self._like

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def format_task(task: Task) -> Task:
    """Return a task as Flower shows it."""
    about = _about(task)
    if about is None:
        return task
    task.state = ShownState(task.state)
    task.kwargs = details(about, os.environ)
    task.result = task.result if task.result and task.state != states.FAILURE else task.exception or task.result or ""
    if task.routing_key == FAN_OUT_QUEUE:
        task.children = _children(about)
        task.kwargs += _finding(about)
    if task.root_id == task.uuid:
        task.root_id = None
    for name in _SAYS_NOTHING:
        setattr(task, name, None)
    return task


def details(about: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """Return what a run or batch is, a line for each, with where to look further."""
    rows = {_LABELS.get(name, name): value for name, value in about.items() if name != "log"}
    log = str(about.get("log", ""))
    rows |= places_of(str(about.get("task", "")), log, environment) or ({"log": log} if log else {})
    width = max(len(name) for name in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def _about(task: Task) -> Mapping[str, Any] | None:
    """Return what an event of ours says of its run or batch; None for a task that is not ours."""
    if task.routing_key not in (LAUNCH_QUEUE, FAN_OUT_QUEUE) or not isinstance(task.kwargs, str):
        return None
    return _read(task.kwargs)


@lru_cache(maxsize=1000)
def _read(text: str) -> Mapping[str, Any] | None:
    """Return details from their text; a list that is sorted or searched has the same rows again."""
    try:
        about = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return about if isinstance(about, dict) and about.keys() >= _OF_OURS else None


def _children(about: Mapping[str, Any]) -> list[Task]:
    """Return the tasks that hang under a batch: its callback and its shards, in their order."""
    shards = range(min(int(about.get("shards") or 0), MOST_CHILDREN))
    ids = [*filter(None, [about.get("callback")]), *(shard_id(str(about["batch"]), shard) for shard in shards)]
    return [Task(uuid=each) for each in ids]


def _finding(about: Mapping[str, Any]) -> str:
    """Say how to find a batch's shards on the tasks page."""
    search = f"kwargs:batch={about['batch']}"
    return f"\n\nsearch for its shards:  {search}\nfor those that failed:  state:FAILURE {search}"
