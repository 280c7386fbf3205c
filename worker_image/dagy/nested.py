"""Walking the arguments and results of tasks: lists, tuples and dicts, at any depth, with leaves in them.

Arguments may be lists of millions, so no walk spends more on a leaf than it must.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from operator import is_
from typing import Any

_CONTAINERS = (dict, list, tuple)
_DICTS = (dict, OrderedDict, defaultdict)
_SCALARS = frozenset({int, str, float, bool, bytes, type(None)})


def leaves(value: Any) -> Iterator[Any]:
    """Yield everything inside ``value`` that is not itself a list, tuple or dict."""
    if not isinstance(value, _CONTAINERS):
        yield value
        return
    for item in _items(value):
        if isinstance(item, _CONTAINERS):
            yield from leaves(item)
        else:
            yield item


def out_of_reach(value: Any) -> Iterator[Any]:
    """Yield what lies where :func:`leaves` does not look: keys of dicts, members of sets, fields of dataclasses."""
    if isinstance(value, dict):
        yield from value
    for leaf in _items(value) if isinstance(value, _CONTAINERS) else (value,):
        if type(leaf) in _SCALARS:
            continue
        if isinstance(leaf, _CONTAINERS):
            yield from out_of_reach(leaf)
        elif isinstance(leaf, set | frozenset):
            yield from leaf
        elif is_dataclass(leaf) and not isinstance(leaf, type):
            yield from (getattr(leaf, field.name, None) for field in fields(leaf))


def rebuild(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return ``value`` with every leaf changed. Containers in which nothing changes are returned as they are."""
    if not isinstance(value, _CONTAINERS):
        return change(value)
    before = _items(value)
    after = [rebuild(item, change) if isinstance(item, _CONTAINERS) else change(item) for item in before]
    if all(new is old for new, old in zip(after, before, strict=True)):
        return value
    return dict(zip(value, after, strict=True)) if isinstance(value, dict) else _like(value, after)


class Copies:
    """Copies of lists and dicts, also of those inside others, which stay what they are when the originals change.

    Of one that has not changed since it was copied, it is the same copy again: many tasks may be given one long list.
    Lists and dicts of the author's own classes are left alone.
    """

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}
        """By the identity of the original, which is kept so that nothing else can have it."""

    def of(self, value: Any) -> Any:
        """Return a copy of a list or dict, or of a tuple that has some; another value as it is."""
        if isinstance(value, tuple):
            items = [self.of(item) for item in value]
            return value if _are_same(items, value) else _like(value, items)
        if type(value) is list:
            return self._copy(value, [self.of(item) if isinstance(item, _CONTAINERS) else item for item in value])
        if type(value) in _DICTS:
            copy = value.copy()
            copy.update((key, self.of(item)) for key, item in value.items() if isinstance(item, _CONTAINERS))
            return self._copy(value, copy)
        return value

    def _copy(self, original: Any, new: Any) -> Any:
        _, known = self._made.get(id(original), (None, None))
        if known is not None and _are_same(known, new) and _are_same(_items(known), _items(new)):
            return known
        self._made[id(original)] = original, new
        return new


def _are_same(some: Any, others: Any) -> bool:
    return len(some) == len(others) and all(map(is_, some, others))


def _items(container: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def _like(original: list[Any] | tuple[Any, ...], items: list[Any]) -> Any:
    if isinstance(original, list):
        return items
    return type(original)._make(items) if hasattr(original, "_make") else tuple(items)
