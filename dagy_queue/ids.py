"""Identifiers and how they are derived from one another; used by every layer, imports nothing of ours.

The run id is the Celery task id of the launch. Everything else follows from it: the client token and
``startedBy`` of each attempt, and the ids of a batch's shards.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

STARTED_BY_PREFIX = "dagy/"
"""Every ECS task of ours starts its ``startedBy`` with this; the EventBridge rule filters by it."""

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,56}")
_STARTED_BY = re.compile(r"dagy/([A-Za-z0-9_-]{1,56})/([1-9][0-9]{0,5})")


def new_id() -> str:
    """Return a fresh id for a run, a batch or a correlation."""
    return str(uuid.uuid4())


def is_run_id(text: str) -> bool:
    """Tell whether a Celery task id can be a run id.

    ``<run_id>-<attempt>`` must fit a clientToken (64 characters) and ``dagy/<run_id>/<attempt>`` the charset of
    startedBy (letters, digits, ``-``, ``/``, ``_``): ECS API reference, RunTask.
    """
    return _RUN_ID.fullmatch(text) is not None


def shard_id(batch_id: str, index: int) -> str:
    """Return the run id of a batch's shard: the same for every expansion of the same batch."""
    return str(uuid.uuid5(_namespace(batch_id), str(index)))


@lru_cache(maxsize=64)
def _namespace(batch_id: str) -> uuid.UUID:
    return uuid.UUID(batch_id)


def shard_correlation(correlation_id: str, index: int) -> str:
    """Return the correlation id of a shard, ``<parent>:<index>``."""
    return f"{correlation_id}:{index}"


@dataclass(frozen=True, slots=True)
class AttemptId:
    """One attempt of one run; attempts count from 1."""

    run_id: str
    attempt: int

    @property
    def client_token(self) -> str:
        """The RunTask clientToken that makes this attempt launch exactly once."""
        return f"{self.run_id}-{self.attempt}"

    @property
    def started_by(self) -> str:
        """The ``startedBy`` that travels through ECS and its events back to us."""
        return f"{STARTED_BY_PREFIX}{self.run_id}/{self.attempt}"

    @classmethod
    def from_started_by(cls, text: str) -> Self | None:
        """Read a ``startedBy``; None if it is not one of ours."""
        match = _STARTED_BY.fullmatch(text)
        return cls(match[1], int(match[2])) if match else None
