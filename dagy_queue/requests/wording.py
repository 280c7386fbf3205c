"""What pydantic's errors mean in our words, with both bounds of a number; requests and settings are refused with them.

``parsing.py`` and ``settings/loading.py`` turn validation errors into what callers see, with this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

_OWN_WORDS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "names and their values, as in {'A': 'b'}",
    "finite_number": "a number that has an end",
    "string_type": "a text",
}

_WHOLE_NUMBERS = frozenset({"int_from_float", "int_parsing", "int_parsing_size", "int_type"})
_NUMBERS = frozenset({"float_parsing", "float_type"})
_OUT_OF_BOUNDS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})
_BOUNDS = ("ge", "gt", "le", "lt")


def words(item: Mapping[str, Any], field: FieldInfo | None = None) -> str:
    """Return what is allowed where pydantic found an error; ``field`` is the field that has it, if that is known."""
    kind, context = item["type"], item.get("ctx") or {}
    if kind in _OUT_OF_BOUNDS | _WHOLE_NUMBERS | _NUMBERS:
        return _number(kind, _in_words((dict(_bounds_of(field)) if field else {}) or context))
    if kind == "tuple_type":
        return "a list of texts, as in ['a', 'b']" if field and str in _types_of(field.annotation) else "a list"
    if kind == "string_pattern_mismatch" and field and field.description:
        return field.description
    own = {
        "literal_error": str(context.get("expected")),
        "string_too_long": f"at most {context.get('max_length')} characters",
    }
    return str((_OWN_WORDS | own).get(kind, item["msg"]))


def _number(kind: str, bounds: str) -> str:
    if kind in _OUT_OF_BOUNDS:
        return bounds
    number = "a whole number" if kind in _WHOLE_NUMBERS else "a number"
    return f"{number}, {bounds}" if bounds else number


def _bounds_of(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield the bounds that a field, or a part of its annotation, has."""
    rules: Any = getattr(part, "metadata", None) or getattr(part, "__metadata__", ())
    for rule in rules:
        yield from ((name, bound) for name in _BOUNDS if (bound := getattr(rule, name, None)) is not None)
        if isinstance(rule, FieldInfo):
            yield from _bounds_of(rule)
    for inner in get_args(part.annotation if isinstance(part, FieldInfo) else part):
        yield from _bounds_of(inner)


def _in_words(bounds: Mapping[str, Any]) -> str:
    least, above, most, below = (bounds.get(name) for name in _BOUNDS)
    most_words = None if most is None else f"{most:g}" if isinstance(most, float) else str(most)
    if least is not None:
        return f"{least:g} or more" if most_words is None else f"{least:g} to {most_words}"
    if above is not None:
        return f"more than {above:g}" if most_words is None else f"more than {above:g}, up to {most_words}"
    if most_words is not None:
        return f"at most {most_words}"
    return "" if below is None else f"less than {below:g}"


def _types_of(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _types_of(inner)
