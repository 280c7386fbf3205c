"""A real run from end to end: a flow of our own is registered, launched, and must come back; or a container is.

It goes through everything that a user's run does: registry, S3, queue, dispatcher, ECS, image, log, events, bridge.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.resources import as_file, files

from dagy_queue.errors import DagyQueueError, ResultTimeout, RunCancelled, RunFailed
from dagy_queue.ids import new_id
from dagy_queue.operate.doctor.checks import Check, error, ok
from dagy_queue.operate.finding import Desk
from dagy_queue.operate.flows import push_flow
from dagy_queue.producer import RunHandle

ORG = "dagy-doctor"
_NAME = "canary"


def canary(desk: Desk, image: str, seconds: float) -> Iterator[Check]:
    """Launch a run and wait for it: a flow, or a container of an image, which must exit with 0."""
    asked = new_id()
    try:
        began = time.monotonic()
        run = _container(desk, image) if image else _flow(desk, asked)
        result = run.get(timeout=seconds)
    except ResultTimeout:
        yield error(
            _NAME,
            f"run {run.run_id} did not end within {seconds:g} s: it is {_phase(run)}",
            f"{_later(desk, run.run_id)}; what is wrong above may be why",
        )
    except (RunFailed, RunCancelled) as exc:
        resolution = exc.outcome.get("resolution", "") if isinstance(exc, RunFailed) else ""
        later = _later(desk, run.run_id)
        yield error(_NAME, f"run {run.run_id} failed: {exc}", f"{resolution}; {later}" if resolution else later)
    except DagyQueueError as exc:
        yield error(_NAME, f"could not be launched: {exc}", "mend that, and what is wrong above")
    else:
        if not image and result != asked:
            yield error(_NAME, f"run {run.run_id} returned {result!r} instead of {asked!r}", _later(desk, run.run_id))
            return
        yield ok(_NAME, f"run {run.run_id} came back after {time.monotonic() - began:.1f} s")


def _flow(desk: Desk, asked: str) -> RunHandle:
    with as_file(files("dagy_queue.operate.doctor") / "canary_flow.py") as path:
        pushed = push_flow(desk.settings, path, org_id=ORG)
    return desk.launcher.enqueue(
        flow_name=pushed.name,
        flow_version=pushed.version,
        org_id=ORG,
        parameters={"value": asked},
        trigger_source="doctor",
    )


def _container(desk: Desk, image: str) -> RunHandle:
    return desk.launcher.enqueue(kind="container", image=image, org_id=ORG, trigger_source="doctor")


def _later(desk: Desk, run_id: str) -> str:
    program = desk.program_for(ORG)
    return f"see `{program} explain {run_id}` and `{program} logs {run_id}`"


def _phase(run: RunHandle) -> str:
    try:
        return run.entry().phase.value
    except DagyQueueError as exc:
        return f"not known ({exc})"
