"""Shows what children write to their log files, each line prefixed by the file's name: ``dagy-queue up --verbose``."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

INTERVAL = 0.2
_COLOURS = ("cyan", "magenta", "green", "blue", "yellow")


class LogFollower:
    """Follows all ``*.log`` files of a directory from a thread of its own."""

    def __init__(self, console: Console, directory: Path, *, enabled: bool) -> None:
        self._console = console
        self._directory = directory
        self._enabled = enabled
        self._read: dict[Path, int] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="dagy-log-follower", daemon=True)

    def __enter__(self) -> Self:
        if self._enabled:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        if self._enabled:
            self._thread.join()

    def _follow(self) -> None:
        while not self._ending.wait(INTERVAL):
            self._show()
        self._show()

    def _show(self) -> None:
        for path in sorted(self._directory.glob("*.log")):
            colour = _COLOURS[sum(path.stem.encode()) % len(_COLOURS)]
            for line in self._new_lines(path):
                self._console.print(f"{path.stem:>12} | ", style=colour, end="", markup=False)
                self._console.print(line, markup=False, highlight=False)

    def _new_lines(self, path: Path) -> list[str]:
        start = self._read.get(path, 0)
        with path.open("rb") as log:
            log.seek(start)
            written = log.read()
        # A line still being written waits for the rest of it.
        whole = written[: written.rfind(b"\n") + 1]
        self._read[path] = start + len(whole)
        return whole.decode(errors="replace").splitlines()
