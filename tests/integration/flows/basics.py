"""Flows that the integration tests launch."""

from __future__ import annotations

import os
import time

from dagy import flow, task


@task
def give(value: object) -> object:
    return value


@task
def add_up(values: list[int]) -> int:
    return sum(values)


@task
def explode(message: str) -> None:
    raise ValueError(message)


@task
def fail_before(attempt: int) -> str:
    now = int(os.environ["DAGY_ATTEMPT"])
    if now < attempt:
        raise RuntimeError(f"attempt {now} fails")
    return f"attempt {now} works"


@task
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


@task
def look_around() -> dict[str, str]:
    return dict(os.environ)


@task
def vanish(code: int) -> None:
    os._exit(code)


@flow(name="echo", version="1.0.0")
def echo(value: object = None) -> object:
    return give(value)


@flow(name="total", version="1.0.0")
def total(values: list[int]) -> object:
    return add_up(values)


@flow(name="broken", version="1.0.0")
def broken(message: str = "no luck") -> object:
    return explode(message)


@flow(name="flaky", version="1.0.0")
def flaky(works_at: int = 2) -> object:
    return fail_before(works_at)


@flow(name="sleepy", version="1.0.0")
def sleepy(seconds: float = 60.0) -> object:
    return nap(seconds)


@flow(name="surroundings", version="1.0.0")
def surroundings() -> object:
    return look_around()


@flow(name="vanishing", version="1.0.0")
def vanishing(code: int = 0) -> object:
    return vanish(code)
