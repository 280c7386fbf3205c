"""Reading the members of a flow spec, each of the type that the document is said to have. ``dagy.spec`` calls it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from dagy.errors import SpecError

_NEEDED: Any = object()


class Members:
    """The members of a JSON object, with the place where the object is."""

    def __init__(self, document: dict[str, Any], place: str = "") -> None:
        self.all = document
        self._place = place

    def text(self, name: str, default: str = _NEEDED) -> str:
        """Return a string."""
        value = self._get(name, default)
        return value if isinstance(value, str) else self._refuse(name, "a string", value)

    def flag(self, name: str, *, default: bool = _NEEDED) -> bool:
        """Return a boolean."""
        value = self._get(name, default)
        return value if isinstance(value, bool) else self._refuse(name, "true or false", value)

    def count(self, name: str) -> int | None:
        """Return an integer of at least 1, or None if there is none."""
        value = self.all.get(name)
        if not (value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)):
            self._refuse(name, "an integer of at least 1, or null", value)
        return value

    def anything(self, name: str) -> Any:
        """Return a value of any type, or None if there is none."""
        return self.all.get(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._refuse(name, "a list of strings", value)
        return tuple(value)

    def object(self, name: str, *, optional: bool = False) -> Members:
        """Return an object; an optional one that is not there is empty."""
        value = self._get(name, {} if optional else _NEEDED)
        return Members(value, self._path(name)) if isinstance(value, dict) else self._refuse(name, "an object", value)

    def objects(self, name: str, *, optional: bool = False) -> Iterator[Members] | None:
        """Return a list of objects, or None where the document may have null and has."""
        value = self._get(name)
        if value is None and optional:
            return None
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._refuse(name, "a list of objects" + (", or null" if optional else ""), value)
        return (Members(item, f"{self._path(name)}[{index}]") for index, item in enumerate(value))

    def text_by_name(self) -> dict[str, str]:
        """Return all members, which are strings."""
        return {name: self.text(name) for name in self.all}

    def _get(self, name: str, default: Any = _NEEDED) -> Any:
        if name in self.all:
            return self.all[name]
        if default is _NEEDED:
            raise SpecError(f"flow spec: missing {self._path(name)!r}")
        return default

    def _path(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def _refuse(self, name: str, expected: str, value: Any) -> NoReturn:
        raise SpecError(f"flow spec: {self._path(name)}={value!r:.60}: expected {expected}")
