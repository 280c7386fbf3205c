"""Parameter templates in the arguments of a ``with DAG(...)`` flow: ``{{ parameters.name }}``.

A template that is the whole string gives the parameter itself, with its type; inside a longer string it is
formatted as text. Dots reach into mappings (``{{ parameters.db.host }}``). Other ``{{ ... }}`` are left alone: they
may be meant for someone else's template engine. Only ``params``, ``param`` and ``parameter`` are taken for slips.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dagy.errors import ParameterError

_TEMPLATE = re.compile(r"\{\{\s*(?:parameters?|params?)\b(.*?)\}\}", re.DOTALL)
_NAMES = re.compile(r"\{\{\s*parameters((?:\s*\.\s*[A-Za-z_]\w*)+)\s*\}\}")


def has_template(leaf: Any) -> bool:
    """Tell whether a value is a string with a template in it."""
    return isinstance(leaf, str) and "{{" in leaf and _TEMPLATE.search(leaf) is not None


def parameters_in(leaf: Any) -> Iterator[str]:
    """Yield the names of the parameters that a string refers to; other values refer to none."""
    if isinstance(leaf, str):
        for match in _TEMPLATE.finditer(leaf):
            yield _path(match)[0]


def render(leaf: Any, parameters: Mapping[str, Any]) -> Any:
    """Return a string with its templates filled in; other values as they are."""
    if not isinstance(leaf, str):
        return leaf
    text = leaf.strip()
    first = _TEMPLATE.match(text)
    if first and first[0] == text:
        return _look_up(first, parameters)
    return _TEMPLATE.sub(lambda match: str(_look_up(match, parameters)), leaf)


def _path(match: re.Match[str]) -> list[str]:
    names = _NAMES.fullmatch(match[0])
    if names is None:
        raise ParameterError(f"template {match[0]!r} is not understood: write {{{{ parameters.name }}}}")
    return [name.strip() for name in names[1].split(".")[1:]]


def _look_up(match: re.Match[str], parameters: Mapping[str, Any]) -> Any:
    value: Any = parameters
    for name in _path(match):
        if not isinstance(value, Mapping) or name not in value:
            given = ", ".join(sorted(map(str, value))) if isinstance(value, Mapping) else type(value).__name__
            raise ParameterError(f"template {match[0]!r}: there is no {name!r} (given: {given or 'none'})")
        value = value[name]
    return value
