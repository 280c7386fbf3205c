"""What every endpoint works with: the settings and a launcher. One for each app, made by ``app.py``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import Depends, HTTPException, Request
from fastapi.responses import JSONResponse

from dagy_queue.producer import DagLauncher
from dagy_queue.producer.publisher import Publisher
from dagy_queue.settings import Settings


@dataclass(frozen=True, slots=True)
class Desk:
    """What an app has."""

    config: Settings
    launcher: DagLauncher

    @classmethod
    def of(cls, config: Settings) -> Self:
        """Return the desk of some settings. Its publisher is made here, before requests come side by side."""
        desk = cls(config, DagLauncher(config))
        if config.launch.mode == "queue":
            _ = desk.publisher
        return desk

    @property
    def publisher(self) -> Publisher:
        """Where handles look. Raises HTTPException in direct mode, which has no queue and no batches."""
        if self.config.launch.mode == "direct":
            raise HTTPException(501, "direct mode has neither a queue nor batches: runs can be launched and looked at")
        return self.launcher.publisher


def _desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(_desk_of)]


class Answer(JSONResponse):
    """A JSON answer in ASCII: texts of flows may have halves of surrogate pairs, which UTF-8 has no bytes for.

    Times are in ISO 8601. What JSON has no number for, as NaN in a request that is refused for it, is a text.
    """

    def render(self, content: Any) -> bytes:
        """Write the body."""
        try:
            return _dumped(content)
        except ValueError:
            return _dumped(_finite(content))


def _dumped(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), default=_as_text, allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
