"""The directories that ``dagy-queue up`` writes to: each belongs to one stack at a time, and must be writable."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagy_queue.errors import LocalStackError

_LOCK = ".lock"
"""It stays: were it removed, two processes could each hold one of this name."""


@contextmanager
def held(directory: Path, instead: str) -> Iterator[None]:
    """Make a directory, and keep it for this process: two servers that write the same files spoil them.

    Raises LocalStackError if another process has it; ``instead`` says what else to do.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _LOCK).open("ab") as lock:
        try:
            # Released by the kernel, however the process ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalStackError(
                f"{directory} is in use by another stack that runs: stop that one, or {instead}"
            ) from None
        yield


@contextmanager
def writing() -> Iterator[None]:
    """Run what writes files; one that cannot be written comes out as LocalStackError with its name."""
    try:
        yield
    except OSError as exc:
        if exc.filename is None:
            raise
        raise LocalStackError(
            f"cannot write {exc.filename}: {exc.strerror}; `up` writes to .dagy in the working directory, and to what "
            "--data-dir and --env-file name: choose others, or make room for them"
        ) from exc
