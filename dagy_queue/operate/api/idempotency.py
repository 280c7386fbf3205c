"""The header ``Idempotency-Key``: a request that is sent again under the same key is the same run, or batch."""

from __future__ import annotations

import json
import re
import uuid
from typing import Annotated

from fastapi import Header

from dagy_queue.errors import Problem, RequestInvalid

_NAMESPACE = uuid.UUID("6f1c2b0e-7d0a-4f0e-9a35-2b9b8f2a9d11")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="your name for this request: sent again with it, it launches once"),
]


def id_of(key: str | None, *operation: str) -> str | None:
    """Return the id that a key stands for in an operation: org, what is done, and to which flow; None without a key.

    Keys of different orgs or flows have nothing to do with each other. Raises RequestInvalid.
    """
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise RequestInvalid([Problem("Idempotency-Key", key, "1 to 255 visible characters of ASCII")])
    return str(uuid.uuid5(_NAMESPACE, json.dumps([*operation, key])))
