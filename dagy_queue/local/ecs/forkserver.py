"""The warm fork server: a single-threaded process that has the worker imported and forks a container on demand.

It is run by its path, so that it imports the worker and nothing of ``dagy_queue``. Frames on its Unix socket are
a length (4 bytes, big endian) and JSON. In come ``start`` (with the descriptor for the output, passed by
SCM_RIGHTS with the length) and ``signal``; out go ``ready``, ``started``, ``failed`` and ``exited``. When the
other side closes the socket, or dies, every container is killed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TextIO

HEADER_BYTES = 4
Frame = dict[str, Any]


class ForkServer:
    """Forks, reaps and signals containers for the other side of a socket."""

    def __init__(self, channel: socket.socket, entry: str) -> None:
        self._channel = channel
        self._entry = entry
        self._pids: dict[str, int] = {}
        self._keys: dict[int, str] = {}
        self._wake_read, self._wake_write = socket.socketpair()

    def serve(self) -> None:
        """Serve until the other side closes the socket, then kill every container."""
        self._watch_children()
        self._preload()
        self._send({"event": "ready"})
        selector = selectors.DefaultSelector()
        selector.register(self._channel, selectors.EVENT_READ, self._receive)
        selector.register(self._wake_read, selectors.EVENT_READ, self._reap)
        try:
            while True:
                for key, _ in selector.select():
                    key.data()
        except (EOFError, ConnectionError):
            pass
        finally:
            self._kill_all()

    def _watch_children(self) -> None:
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)

    def _preload(self) -> None:
        """Import the worker once, for all containers. If that fails, each container will say so in its log."""
        try:
            module = importlib.import_module(self._entry.partition(":")[0])
            preload = getattr(module, "preload", None)
            if preload is not None:
                preload()
        except Exception:  # noqa: BLE001 - whatever is wrong with the worker, its containers shall report it
            sys.stderr.write(f"dagy fork server: {self._entry} is not preloaded: {traceback.format_exc(limit=-1)}\n")
        gc.collect()
        gc.disable()
        gc.freeze()

    def _receive(self) -> None:
        header, descriptors, _, _ = socket.recv_fds(self._channel, HEADER_BYTES, 1)
        frame = json.loads(self._read(int.from_bytes(header + self._read(HEADER_BYTES - len(header)), "big")))
        if frame["op"] == "start":
            self._start(frame, descriptors[0])
        elif frame["key"] in self._pids:
            _signal(self._pids[frame["key"]], frame["signal"])

    def _start(self, frame: Frame, output: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as exc:
            os.close(output)
            self._send({"event": "failed", "key": frame["key"], "reason": f"fork: {exc.strerror}"})
            return
        if pid == 0:
            self._become_container(frame, output)
        os.close(output)
        self._pids[frame["key"]], self._keys[pid] = pid, frame["key"]
        self._send({"event": "started", "key": frame["key"], "pid": pid})

    def _become_container(self, frame: Frame, output: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for end in (self._channel, self._wake_read, self._wake_write):
                end.close()
            enter_container(frame["environment"], frame["directory"], output)
            code = run_entry(self._entry, os.environ)
        except BaseException:  # noqa: BLE001 - a container ends with a traceback, whatever it raised
            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                logging.shutdown()
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4096)
        while self._keys:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            key = self._keys.pop(pid, None)
            if key is not None:
                del self._pids[key]
                _kill_group(pid)
                self._send({"event": "exited", "key": key, "status": os.waitstatus_to_exitcode(status)})

    def _kill_all(self) -> None:
        for pid in self._keys:
            _signal(pid, signal.SIGKILL)
        deadline = time.monotonic() + 2.0
        while self._keys and time.monotonic() < deadline:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            self._keys.pop(pid, None)
            if pid == 0:
                time.sleep(0.005)

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            chunk = self._channel.recv(length - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def _send(self, frame: Frame) -> None:
        data = json.dumps(frame).encode()
        self._channel.sendall(len(data).to_bytes(HEADER_BYTES, "big") + data)


def enter_container(environment: Mapping[str, str], directory: str, output: int) -> None:
    """Make this process a container: its own session, environment, directory, signals and standard streams."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(directory)
    tempfile.tempdir = None
    sys.argv = ["dagy-worker"]
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)
    gc.enable()


def _text_stream(descriptor: int) -> TextIO:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def run_entry(entry: str, environ: Mapping[str, str]) -> int:
    """Call the worker's entry and return its exit code, as the interpreter would for a script."""
    try:
        code = load(entry)(environ)
    except SystemExit as exc:
        code = exc.code
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def load(entry: str) -> Callable[[Mapping[str, str]], Any]:
    """Return the callable that ``module:name`` means."""
    module, _, name = entry.partition(":")
    function: Callable[[Mapping[str, str]], Any] = getattr(importlib.import_module(module), name)
    return function


def _signal(pid: int, number: int) -> None:
    """Signal a container that has not been reaped. Just after its fork it is not yet the leader of a group."""
    if number == signal.SIGKILL:
        _kill_group(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def main() -> None:
    """Serve on the socket whose descriptor was inherited."""
    parser = argparse.ArgumentParser(description="The warm fork server of the local ECS; LocalEcs starts it.")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket")
    parser.add_argument("--entry", required=True, help="module:function to call in each container")
    parser.add_argument("--path", action="append", default=[], help="a directory to put in front of sys.path")
    options = parser.parse_args()
    sys.path[:0] = options.path
    ForkServer(socket.socket(fileno=options.fd), options.entry).serve()


if __name__ == "__main__":
    main()
