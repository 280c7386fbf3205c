"""Walking the arguments and results of tasks: lists, tuples and dicts, at any depth, with leaves in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def leaves(value: Any) -> Iterator[Any]:
    """Yield everything inside ``value`` that is not itself a list, tuple or dict."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def rebuild(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return ``value`` with every leaf changed. Containers in which nothing changes are returned as they are."""
    if isinstance(value, dict):
        changed = {key: rebuild(item, change) for key, item in value.items()}
        return changed if _differs(value.values(), changed.values()) else value
    if isinstance(value, list | tuple):
        items = [rebuild(item, change) for item in value]
        return _like(value, items) if _differs(value, items) else value
    return change(value)


def _differs(before: Any, after: Any) -> bool:
    return any(old is not new for old, new in zip(before, after, strict=True))


def _like(original: list[Any] | tuple[Any, ...], items: list[Any]) -> Any:
    if isinstance(original, list):
        return items
    return type(original)._make(items) if hasattr(original, "_make") else tuple(items)
