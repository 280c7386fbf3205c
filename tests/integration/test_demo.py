"""The demo, in this environment: the right answer on real data, clear refusals, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.demo_support.flights import cut, data_file
from scripts.demo_support.options import PERIODS
from scripts.demo_support.steps import DemoFailed, compare

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
MARK = "DEMO_TEST_MARK"
STOP_SECONDS = 30


class Demo:
    """A demo in a process of its own; everything it starts inherits its mark."""

    def __init__(self, log: Path, *options: str) -> None:
        self.mark = uuid.uuid4().hex
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.demo_support", *options],
                cwd=ROOT,
                env={**os.environ, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str, seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert self.process.poll() is None, f"the demo ended before {text!r}:\n{self.output}"
            assert time.monotonic() < deadline, f"no {text!r} after {seconds} s:\n{self.output}"
            time.sleep(0.02)

    def processes(self) -> list[str]:
        """Return the commands of the processes that carry the mark."""
        if not Path("/proc/self/environ").exists():
            pytest.skip("needs /proc to see processes")
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found


Start = Callable[..., Demo]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Start]:
    """Start demos; one that still runs is stopped at the end."""
    started: list[Demo] = []

    def start(*options: str) -> Demo:
        started.append(Demo(tmp_path / "demo.log", *options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(STOP_SECONDS)


def test_twelve_runs_give_the_answer_of_one_process(demo: Start) -> None:
    running = demo("--shards", "12", "--no-flower")
    code = running.process.wait(60)
    output = running.output
    assert code == 0, output
    assert "12 succeeded" in output
    assert "agrees with one process on the raw data: 185 means of 328,521 departures" in output
    assert re.search(r"^UA +8\.3 +7\.7 ", output, re.MULTILINE)
    parts = re.findall(r"^(\w+) +\d+\.\d\d s  ", output, re.MULTILINE)
    assert parts == ["environment", "stack", "data", "register", "enqueue", "runs", "merge", "check"]
    assert "\x1b" not in output
    assert "\r" not in output
    assert running.processes() == []


@pytest.mark.parametrize("moment", ["environment", "stack", "runs: "])
def test_an_interrupted_demo_leaves_nothing_behind(demo: Start, moment: str) -> None:
    running = demo("--shards", "53")
    running.wait_for(moment)
    assert running.processes() != []
    running.process.send_signal(signal.SIGINT)
    running.wait_for("stopping")
    running.process.send_signal(signal.SIGINT)  # Impatience changes nothing.
    assert running.process.wait(STOP_SECONDS) == 130, running.output
    assert running.output.endswith("stopping\nstopped\n")
    assert running.processes() == []


def test_other_numbers_of_shards_are_refused_with_what_is_allowed(demo: Start) -> None:
    running = demo("--shards", "13")
    assert running.process.wait(10) == 2
    assert "'13' is not a number of shards; allowed: 4 (one per quarter), 12 (one per month)" in running.output


def test_a_stack_to_run_against_is_named_by_a_file(demo: Start) -> None:
    running = demo("--against", "nowhere/env")
    assert running.process.wait(10) == 2
    assert "'nowhere/env' is no file: `dagy-queue up` writes .dagy/env" in running.output


@pytest.mark.parametrize(("shards", "period"), PERIODS.items())
def test_the_flights_are_cut_into_as_many_parts_as_there_are_shards(shards: int, period: str) -> None:
    assert data_file().exists()
    assert len(cut(period)) == shards


def test_a_wrong_answer_is_told_with_both_values() -> None:
    with pytest.raises(DemoFailed, match=r"1 of 2 groups differ .*\nUA in month 2: \(7, 2\) from the runs, \(8, 2\)"):
        compare({("UA", 1): (5, 1), ("UA", 2): (7, 2)}, {("UA", 1): (5, 1), ("UA", 2): (8, 2)})
