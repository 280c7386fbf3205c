"""The header ``Idempotency-Key``: a request that is sent again under the same key is the same run, or batch."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

from fastapi import Header

from dagy_queue.errors import Problem, RequestInvalid

_NAMESPACE = uuid.UUID("6f1c2b0e-7d0a-4f0e-9a35-2b9b8f2a9d11")
_HEADER = "Idempotency-Key"
_IDS = ("run_id", "batch_id")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

IdempotencyKey = Annotated[
    str | None,
    Header(alias=_HEADER, description="your name for this request: sent again with it, it launches once"),
]


def id_of(key: str | None, *operation: str) -> str | None:
    """Return the id that a key stands for in an operation: org, what is done, and to which flow; None without a key.

    Keys of different orgs or flows have nothing to do with each other. Raises RequestInvalid.
    """
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise RequestInvalid([Problem(_HEADER, key, "1 to 255 visible characters of ASCII")])
    return str(uuid.uuid5(_NAMESPACE, json.dumps([*operation, key])))


@contextmanager
def naming_the_key(key: str | None) -> Iterator[None]:
    """Have what is wrong with an id that was made of a key be told of the key."""
    try:
        yield
    except RequestInvalid as exc:
        if key is None or not exc.problems:
            raise
        problems = [replace(p, field=_HEADER, value=key) if p.field in _IDS else p for p in exc.problems]
        raise RequestInvalid(problems, exc.what, exc.more) from None
