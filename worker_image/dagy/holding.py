"""Giving context variables other values for the length of a block: which run it is, which task, which graph records.

Not made with ``contextlib.contextmanager``: an attempt is interrupted between any two instructions, and a generator
that is left half-way by that complains when it is collected, in another context.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Holding(Generic[T]):
    """A context manager that sets variables, and puts back what they were. ``what`` is what the block is given."""

    __slots__ = ("_before", "_values", "_what")

    def __init__(self, values: Mapping[ContextVar[Any], Any], what: T) -> None:
        self._values = values
        self._what = what
        self._before: list[tuple[ContextVar[Any], Token[Any]]] = []

    def __enter__(self) -> T:
        for variable, value in self._values.items():
            self._before.append((variable, variable.set(value)))
        return self._what

    def __exit__(self, *_: object) -> None:
        while self._before:
            variable, token = self._before.pop()
            variable.reset(token)
