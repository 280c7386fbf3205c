"""Which flow file is being imported, so that a flow that its own file runs can be refused.

``dagy.loader`` says so; ``dagy.flows`` asks. Importing a file to build, check or launch it must not run anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_file: ContextVar[str] = ContextVar("dagy_importing", default="")


@contextmanager
def importing(file: str) -> Iterator[None]:
    """Mark the block as the import of that flow file."""
    token = _file.set(file)
    try:
        yield
    finally:
        _file.reset(token)


def file_being_imported() -> str:
    """Return the flow file whose import the caller is part of, or "" if there is none."""
    return _file.get()
