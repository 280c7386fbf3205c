"""Whether values fit the annotations of a function's parameters. Used to check arguments, before the function runs.

Only what an annotation surely forbids is reported. Numbers are those of ``numbers`` (so numpy's count as well, and an
``int`` is a ``float``, but a ``bool`` is neither); of a list, tuple, set or dict the first items are looked at; and of
what is not understood (type variables, names that only type checkers can resolve) every value fits.
"""

from __future__ import annotations

import collections.abc
import inspect
import reprlib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from numbers import Complex, Integral, Real
from typing import Any

LOOKED_AT = 100
"""Items of a container that are checked. A list of millions would take longer to check than to use."""
_WIDER: dict[object, tuple[type, ...]] = {
    int: (Integral,),
    float: (Real,),
    complex: (Complex,),
    bytes: (bytes, bytearray),
}
_PLAIN = (bool, int, float, str, bytes, list, tuple, dict, set)


class _Short(reprlib.Repr):
    """Shows a value in short, and no text in part: of a password that is cut nobody can tell that it is one."""

    def repr_str(self, text: str, level: int) -> str:
        return self.repr_instance(text, level)

    def repr_instance(self, value: object, level: int) -> str:  # noqa: ARG002 - reprlib's signature
        try:
            whole = repr(value)
        except Exception:  # noqa: BLE001 - a class of the user's may do anything
            return f"<{type(value).__qualname__}>"
        if len(whole) <= self.maxother:
            return whole
        if isinstance(value, str):
            return f"<{len(value)} characters>"
        return f"<{len(value)} bytes>" if isinstance(value, bytes) else f"<{type(value).__qualname__}>"


_SHORT = _Short()
_SHORT.maxother = 60


def annotations_of(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Return the annotations of a function's parameters, as far as they can be resolved."""
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    return {name: _resolved(p.annotation, scope) for name, p in signature.parameters.items()}


def misfit(value: Any, annotation: Any) -> str:
    """Return what is wrong with a value, as "[3]: expected int, got str 'x'", or "" if it fits."""
    for place, expected, found in _misfits(value, annotation, ""):
        return f"{place}: expected {text_of(expected)}, got {_described(found)}"
    return ""


def text_of(annotation: Any) -> str:
    """Return an annotation as one writes it; "" if there is none."""
    if annotation is inspect.Parameter.empty:
        return ""
    if annotation is None or annotation is type(None):
        return "None"
    annotation = getattr(annotation, "__forward_arg__", annotation)
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation).replace("typing.", "")


def _resolved(annotation: Any, scope: Mapping[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(scope))  # noqa: S307 - the author's own code, as Python itself evaluates it
    except Exception:  # noqa: BLE001 - a name that is imported for type checkers only
        return Any


def _misfits(value: Any, annotation: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the place, the annotation and the value of each misfit."""
    annotation = _stripped(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        if all(any(_misfits(value, choice, place)) for choice in arguments):
            yield place, annotation, value
    elif origin is typing.Literal:
        if not any(type(value) is type(choice) and value == choice for choice in arguments):
            yield place, annotation, value
    elif not _is_instance(value, annotation if origin is None else origin) or (
        _is_fixed(origin, arguments) and len(value) != len(arguments)
    ):
        yield place, annotation, value
    else:
        for key, item, expected in _items(value, origin, arguments):
            yield from _misfits(item, expected, f"{place}[{_SHORT.repr(key)}]")


def _stripped(annotation: Any) -> Any:
    """Return the type that an annotation is about."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        else:
            return tuple if annotation is typing.Tuple else annotation  # noqa: UP006 - which says nothing of its items


def _is_instance(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    if kind is collections.abc.Callable:
        return callable(value)
    if not isinstance(kind, type) or kind is inspect.Parameter.empty:
        return True
    if isinstance(value, bool) and kind in (int, float, complex):
        return False
    try:
        return isinstance(value, _WIDER.get(kind, kind))
    except TypeError:  # a protocol or typed dict
        return isinstance(value, dict) if issubclass(kind, dict) else True


def _is_fixed(origin: Any, arguments: tuple[Any, ...]) -> bool:
    """Tell whether an annotation is that of a tuple with so many items."""
    return origin is tuple and Ellipsis not in arguments


def _items(value: Any, origin: Any, arguments: tuple[Any, ...]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the index, the item and its annotation for the first items of a container."""
    if not arguments:
        return
    if isinstance(value, dict) and len(arguments) == 2:
        for key, item in islice(value.items(), LOOKED_AT):
            yield key, key, arguments[0]
            yield key, item, arguments[1]
    elif _is_fixed(origin, arguments):
        yield from zip(range(len(value)), value, arguments, strict=False)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(islice(value, LOOKED_AT)):
            yield index, item, arguments[0]


def _described(value: Any) -> str:
    if value is None:
        return "None"
    return f"{type(value).__qualname__} {_SHORT.repr(value)}" if isinstance(value, _PLAIN) else type(value).__qualname__
