"""Children of the stack: their output, their end, and the end of their parent."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dagy_queue.errors import LocalStackError
from dagy_queue.local.processes import Child

PYTHON = (sys.executable, "-u", "-c")


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
    return found


def is_running(pid):
    try:
        os.kill(pid, 0)
        if sys.platform != "linux":
            return True
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.fixture
def start(tmp_path):
    children = []

    def make(code, name="child", **options):
        child = Child(name, [*PYTHON, code], log=tmp_path / f"{name}.log", **options)
        children.append(child)
        return child

    yield make
    for child in children:
        child.kill()


def test_a_child_that_ignores_sigterm_is_killed(start):
    child = start(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)",
        stop_seconds=0.2,
    )
    child.wait_until(lambda: "up" in child.log.read_text(), 10, "up")
    child.stop()
    assert child.poll() == -signal.SIGKILL


def test_what_a_child_started_ends_with_it(start):
    child = start(
        "import subprocess, time\np = subprocess.Popen(['sleep', '60'])\nprint(p.pid)\ntime.sleep(60)", stop_seconds=5
    )
    grandchild = int(wait_for(lambda: child.log.read_text().strip()))
    child.stop()
    wait_for(lambda: not is_running(grandchild))


def test_a_child_that_dies_early_is_reported_with_its_last_words(start):
    child = start("print('no such file'); raise SystemExit(3)")
    with pytest.raises(LocalStackError, match=r"(?s)child ended with exit code 3 before ready.*no such file"):
        child.wait_until(lambda: False, 10, "ready")


def test_a_child_that_is_not_ready_in_time_is_reported(start):
    child = start("import time; time.sleep(60)")
    with pytest.raises(LocalStackError, match=r"not ready after 0\.1 s"):
        child.wait_until(lambda: False, 0.1, "ready")


def test_a_child_outlives_the_thread_that_asked_for_it(start):
    made = []
    thread = threading.Thread(target=lambda: made.append(start("import time; print('up'); time.sleep(60)")))
    thread.start()
    thread.join()
    [child] = made
    child.wait_until(lambda: "up" in child.log.read_text(), 10, "up")
    assert child.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_children_of_a_killed_parent_end(tmp_path):
    code = f"""
from pathlib import Path
from dagy_queue.local.processes import Child
import time
from pathlib import Path
child = Child("c", ["sleep", "60"], log=Path({str(tmp_path / "c.log")!r}))
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_for(lambda: is_running(pid))
        parent.kill()
    wait_for(lambda: not is_running(pid))


INTERRUPTED = """
import os, signal, subprocess, sys, threading
from pathlib import Path
from dagy_queue.local.processes import Child

def in_the_thread_s_start(self, start=threading.Thread.start):
    start(self)
    raise KeyboardInterrupt  # As a signal does that comes before anybody knows of the thread.

nobody_waits = threading.Event()

def once(*_):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt

signal.signal(signal.SIGINT, once)

def before_the_child_is_there(*args, make=subprocess.Popen, **options):
    os.kill(os.getpid(), signal.SIGINT)
    while not nobody_waits.wait(0.01):  # The asker is gone before the child comes.
        os.kill(os.getpid(), signal.SIGINT)  # It does not wake one that was just about to wait.
    process = make(*args, **options)
    print(process.pid, flush=True)
    return process

{patch}
try:
    Child("c", ["sleep", "60"], log=Path({log!r}))
except KeyboardInterrupt:
    nobody_waits.set()
    sys.stdin.read()
    print("interrupted")
"""


def interrupted(tmp_path, patch):
    code = INTERRUPTED.format(patch=patch, log=str(tmp_path / "c.log"))
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_process_ends_that_was_interrupted_when_it_began_to_start_children(tmp_path):
    with interrupted(tmp_path, "threading.Thread.start = in_the_thread_s_start") as process:
        try:
            assert process.communicate(timeout=20)[0] == "interrupted\n"
        finally:
            process.kill()


def test_a_child_that_nobody_learns_of_because_of_an_interruption_is_ended(tmp_path):
    with interrupted(tmp_path, "subprocess.Popen = before_the_child_is_there") as process:
        try:
            assert process.stdout is not None
            wait_for(lambda: select.select([process.stdout], [], [], 0)[0])
            pid = int(process.stdout.readline())
            wait_for(lambda: not is_running(pid))
            assert process.poll() is None
            assert process.communicate(timeout=20)[0] == "interrupted\n"
        finally:
            process.kill()
