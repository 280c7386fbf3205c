"""Makes docs/images: a batch of a real flow on a local stack, some of it done, one shard failed, some running.

``./scripts/screenshots`` runs it. Nothing in the pictures is drawn by hand: one is a page of Flower in Chromium, the
other the screen of ``dagy-queue watch``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from dagy_queue import BatchHandle, fan_out
from dagy_queue.local.environment import environ, process_environment
from dagy_queue.local.free_port import free_port
from dagy_queue.local.readiness import flower_ready
from dagy_queue.local.stack import LocalStack
from dagy_queue.operate.flows import push_flow
from scripts.screenshots_support.chromium import chromium
from scripts.screenshots_support.recording import record, svg

IMAGES = Path("docs/images")
FLOW = Path(__file__).with_name("sales.py")
MONTHS = 12
AT_ONCE = 3
SHORT, LONG = 4.0, 600.0
_LOGIN = "dagy:pictures"
_SECONDS = 180.0
_WINDOW, _SCALE = (1800, 1130), 0.75
_BY_ARGUMENTS = """document.querySelector('.dataTables_scrollHead th[data-column="args"]').click()"""
_TERMINAL = 100, 24
_CELLS = """
const rows = [...document.querySelectorAll('#tasks-table tbody tr[id]')];
return rows.map(row => [...row.cells].map(cell => cell.textContent.trim()));
"""
_IS_DRAWN = "return window.jQuery !== undefined && jQuery.active === 0 && document.readyState === 'complete'"
_SHOWN = {"SUCCESS": 5, "FAILURE": 1, "RUNNING": AT_ONCE + 1, "HELD": MONTHS - 6 - AT_ONCE}
"""Rows by state: the running ones are containers and their batch."""


def main(directory: Path) -> None:
    """Make both pictures."""
    directory.mkdir(parents=True, exist_ok=True)
    with LocalStack() as stack, environ(stack.environment):
        stack.spawn("dispatcher")
        stack.spawn("bridge")
        port = free_port()
        flower = stack.spawn("flower", f"--port={port}", environment={"FLOWER_BASIC_AUTH": _LOGIN})
        push_flow(stack.settings(), FLOW, org_id="acme")
        flower.wait_until(lambda: flower_ready(port), _SECONDS, "serving pages")
        batch = _batch()
        (directory / "watch.svg").write_text(_watch(stack, batch))
        _save_flower(port, directory / "flower.png")


def _batch() -> BatchHandle:
    """Fan out a year: six months that end soon, and six that do not, half of which wait for their turn."""
    shards = [{"month": month, "takes": LONG if month > MONTHS / 2 else SHORT} for month in range(1, MONTHS + 1)]
    fields = {"flow_name": "monthly_sales", "org_id": "acme", "correlation_id": "sales-2024"}
    return fan_out(shards=shards, max_parallel=AT_ONCE, **fields)


def _watch(stack: LocalStack, batch: BatchHandle) -> str:
    environment = process_environment(stack.environment)
    command = [sys.executable, "-m", "dagy_queue.operate.cli", "watch", batch.batch_id]

    def shows_it(text: str) -> bool:
        return all(each in text for each in ("no sales in month 2", f"6 of {MONTHS} ended", f"{AT_ONCE} running"))

    return svg(record(command, environment, size=_TERMINAL, until=shows_it), f"dagy-queue watch {batch.batch_id}")


def _save_flower(port: int, file: Path) -> None:
    with chromium(*_WINDOW, scale=_SCALE) as driver:
        driver.get(f"http://{_LOGIN}@127.0.0.1:{port}/")

        def shows_it() -> bool:
            driver.get(f"http://127.0.0.1:{port}/tasks")
            _until(lambda: driver.execute_script(_IS_DRAWN))
            texts = [cell for row in driver.execute_script(_CELLS) for cell in row]
            return all(texts.count(state) == count for state, count in _SHOWN.items())

        _until(shows_it)
        driver.execute_script(_BY_ARGUMENTS)
        _until(lambda: driver.execute_script(_IS_DRAWN))
        driver.save_screenshot(str(file))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Flower does not show the batch as it should be after {_SECONDS:g} seconds")
        time.sleep(0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
