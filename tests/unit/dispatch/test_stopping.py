"""The end of a dispatcher, each in a process of its own: it is the process that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import os, sys, threading
from dagy_queue.dispatch.stopping import Stopping
from dagy_queue.operate.log_setup import configure_logging

configure_logging()

def say(word):
    os.write(1, f"{word}\\n".encode())

def hand_back():
    say("handed back")
    if "hang" in sys.argv:
        threading.Event().wait()

stopping = Stopping(float(sys.argv[1]), lambda: say("told"), hand_back)
stopping.start()
if "begin" in sys.argv:
    stopping.begin()
say("ready")
threading.Thread(target=threading.Event().wait).start()  # hangs, and Python would wait for it
threading.Event().wait()
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    assert process.stdout.readline() in ("ready\n", "told\n")
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_hangs_is_handed_back_when_the_time_is_over(number: signal.Signals) -> None:
    process = start("2")
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=10)
    assert said.splitlines() == ["told", "handed back"]
    assert process.returncode == 0


def test_an_end_without_a_signal_has_an_end_too() -> None:
    process = start("2", "begin")
    said, _ = process.communicate(timeout=10)
    assert "handed back" in said
    assert process.returncode == 0


def test_a_second_ctrl_c_does_not_wait() -> None:
    process = start("60")
    before = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    assert process.stdout
    assert process.stdout.readline() == "told\n"
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert said == "handed back\n"
    assert process.returncode == 0
    assert time.monotonic() - before < 30


def test_handing_back_has_its_time_too() -> None:
    process = start("0.5", "hang")
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0
