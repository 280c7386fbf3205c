"""A worker for the fork server's tests: what it does is said by ``DO`` in its environment."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

LOADED_BY = 0


def preload() -> None:
    global LOADED_BY  # noqa: PLW0603
    LOADED_BY = os.getpid()


def main(environ: Mapping[str, str]) -> int:
    deeds: dict[str, Callable[[], int | None]] = {
        "tell": tell,
        "fail": fail,
        "stubborn": stubborn,
        "polite": polite,
        "orphan": orphan,
    }
    return deeds.get(environ.get("DO", ""), hello)() or 0


def hello() -> None:
    print("hello from a fork")


def tell() -> None:
    facts = {
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "loaded_by": LOADED_BY,
        "parent": os.getppid(),
        "session": os.getsid(0) == os.getpid(),
        "stdin": sys.stdin.read() if sys.stdin else "",
        "term": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
    }
    Path("scratch").write_text("left behind")
    print(json.dumps(facts))


def fail() -> int:
    print("ärger", file=sys.stderr)
    raise ValueError("no good")


def stubborn() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ignoring", flush=True)
    time.sleep(60)


def polite() -> None:
    def leave(*_: object) -> None:
        print("leaving")
        sys.exit(143)

    signal.signal(signal.SIGTERM, leave)
    print("ready")
    time.sleep(60)


def orphan() -> None:
    child = subprocess.Popen(["sleep", "60"])
    print(child.pid)
