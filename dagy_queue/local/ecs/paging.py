"""Pages of a list: ``maxResults`` and an opaque ``nextToken`` (pure)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from dagy_queue.local.ecs.reading import integer, invalid, text

T = TypeVar("T")
MAX_RESULTS = 100


def page(request: Mapping[str, Any], keyed: Sequence[tuple[int, T]]) -> tuple[list[T], str | None]:
    """Return one page of ``(key, item)`` pairs, given in ascending order of key, and the token of the next.

    A key never changes its item, so pages stay right while items come and go.
    """
    size = integer(request, "maxResults", MAX_RESULTS)
    if not 1 <= size <= MAX_RESULTS:
        raise invalid(f"maxResults must be between 1 and {MAX_RESULTS}; got {size}.")
    after = _decode(text(request, "nextToken"))
    rest = [(key, item) for key, item in keyed if key > after]
    items = [item for _, item in rest[:size]]
    return items, _encode(rest[size - 1][0]) if len(rest) > size else None


def _encode(key: int) -> str:
    return base64.urlsafe_b64encode(f"after:{key}".encode()).decode()


def _decode(token: str) -> int:
    if not token:
        return -1
    try:
        word, _, key = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if word == "after":
            return int(key)
    except (ValueError, binascii.Error):
        pass
    raise invalid("Invalid token.")
