"""What a process remembers of what it looked up, for as long as that holds: the memory of the launching room.

Many threads may ask at once: a key is read by one of them while the others wait, and what is known is answered without
waiting for what is read. Errors are not remembered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

MAX_REMEMBERED = 4096
"""Keys after which all is forgotten: memory stays bounded whatever is asked for."""

FOR_EVER = float("inf")
"""The time to live of what never changes."""

_STRIPES = 64
"""Locks of one memory: a key that is slow to read holds up few others."""

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Remembered(Generic[_Key, _Value]):
    """Values by key, each with its time to live."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[_Key, tuple[_Value, float]] = {}
        self._locks = tuple(threading.Lock() for _ in range(_STRIPES))

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._known)

    def get(self, key: _Key, read: Callable[[], _Value], seconds: float = FOR_EVER) -> _Value:
        """Return what is known of a key, or what ``read`` returns, which is known for some seconds from then on.

        Raises what ``read`` raises.
        """
        if (known := self._fresh(key)) is not None:
            return known[0]
        with self._locks[hash(key) % _STRIPES]:
            if (known := self._fresh(key)) is not None:
                return known[0]
            value = read()
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[key] = (value, self._clock() + seconds)
            return value

    def forget(self, is_gone: Callable[[_Key, _Value], bool]) -> list[_Key]:
        """Drop every key of which ``is_gone`` says so, and return them."""
        # A copy: other threads add while this one looks through it.
        gone = [key for key, (value, _) in self._known.copy().items() if is_gone(key, value)]
        for key in gone:
            self._known.pop(key, None)
        return gone

    def _fresh(self, key: _Key) -> tuple[_Value, float] | None:
        known = self._known.get(key)
        return known if known is not None and known[1] > self._clock() else None
