"""Lists cut to what one call takes: ten messages for SQS, a hundred tasks for ECS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def in_parts(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Yield items, up to ``most`` at a time."""
    remaining = iter(items)
    while part := list(islice(remaining, most)):
        yield part
