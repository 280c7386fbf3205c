"""What 'latest' means: the version, of those that are active, that was registered last.

The item with version ``latest`` is a copy of that one, so that a launch reads one item. Whoever writes a version writes
it in the same transaction, on condition that nobody has changed what was read before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from pynamodb.expressions.condition import Condition
from pynamodb.transactions import TransactWrite

from dagy_queue.records.attributes import LATEST
from dagy_queue.records.base import dynamodb
from dagy_queue.records.transactions import write_together

if TYPE_CHECKING:
    from dagy_queue.records.versions import Versioned

V = TypeVar("V", bound="Versioned")

_INSTANT = timedelta(microseconds=1)
"""What DynamoDB's items tell times apart by."""


def write_version(item: V, stored: V | None, condition: Condition | None = None, *, is_new: bool = False) -> None:
    """Write a version over what was read of it, and what 'latest' means from then on. ``is_new`` registers it now.

    Raises Overtaken if somebody else has written meanwhile, or an AwsError.
    """
    latest = item.stored(LATEST)
    if is_new:
        item.registered_at = _after(latest)
    meant = meant_by_latest(item, latest, lambda: active_versions(item))

    def add(together: TransactWrite) -> None:
        together.save(item, condition=_both(_as_read(item, stored), condition))
        unchanged = _as_read(item, latest)
        if meant is None and latest is not None:
            together.delete(latest, condition=unchanged)
        elif meant is None or meant is latest:
            together.condition_check(type(item), item.key, LATEST, condition=unchanged)
        else:
            together.save(meant.as_latest(), condition=unchanged)
            if meant is not item:
                together.condition_check(type(item), item.key, meant.version_name, condition=_as_read(item, meant))

    write_together(type(item), add)


def meant_by_latest(item: V, latest: V | None, others: Callable[[], Iterable[V]]) -> V | None:
    """Return what 'latest' means once ``item`` is written: it, one of the other active versions, or nothing.

    ``latest`` is what it means until then; it is returned where nothing changes.
    """
    if item.is_active:
        return item if latest is None or _replaces(item, latest) else latest
    if latest is None or latest.resolves_to != item.version_name:
        return latest
    return max(others(), key=lambda each: each.registered_at, default=None)


def active_versions(item: V) -> Iterator[V]:
    """Yield the other active versions of the same thing, whole, as copies of them are written. Raises an AwsError."""
    model = type(item)
    with dynamodb("dynamodb:Query"):
        for each in model.query(item.key, consistent_read=True):
            if each.is_active and each.version_name not in (LATEST, item.version_name):
                yield each


def _replaces(item: V, latest: V) -> bool:
    return latest.resolves_to == item.version_name or item.registered_at > latest.registered_at


def _after(latest: Versioned | None) -> datetime:
    """Return now, or the moment after the newest version where another machine's clock is ahead of ours."""
    now = datetime.now(UTC)
    return now if latest is None else max(now, latest.registered_at + _INSTANT)


def _as_read(item: V, found: V | None) -> Condition:
    model = type(item)
    if found is None:
        new: Condition = getattr(model, str(model._hash_keyname)).does_not_exist()
        return new
    same: Condition = (model.registered_at == found.registered_at) & (model.status == found.status)
    return same & (model.resolves_to == found.resolves_to) if found.resolves_to else same


def _both(one: Condition, other: Condition | None) -> Condition:
    return one if other is None else one & other
