"""A log to read back."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Self

from dagy_worker.logs import Identity, JsonLog


class Log(JsonLog):
    """A log that goes into a file."""

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp()
        self._file = Path(name)
        self._end = descriptor
        super().__init__(descriptor, Identity(run_id="r"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._end)
        self._file.unlink()

    @property
    def raw(self) -> bytes:
        """What was written."""
        return self._file.read_bytes()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines."""
        return [json.loads(line) for line in self.raw.splitlines()]

    @property
    def messages(self) -> list[str]:
        """What the lines say."""
        return [line["message"] for line in self.lines]
