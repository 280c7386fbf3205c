"""Typed reading of a JSON request: what the AWS front end answers when a field has the wrong JSON type (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dagy_queue.local.ports import AwsError

Json = dict[str, Any]


def invalid(message: str) -> AwsError:
    """Return ECS's InvalidParameterException."""
    return AwsError("InvalidParameterException", message)


def client_error(message: str) -> AwsError:
    """Return ECS's ClientException."""
    return AwsError("ClientException", message)


def text(request: Mapping[str, Any], name: str, default: str = "") -> str:
    """Return a string field, or the default if it is absent or null."""
    return str(_typed(request, name, str, "string", default))


def flag(request: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """Return a boolean field, or the default if it is absent or null."""
    return bool(_typed(request, name, bool, "boolean", default))


def integer(request: Mapping[str, Any], name: str, default: int) -> int:
    """Return an integer field, or the default if it is absent or null."""
    if isinstance(request.get(name), bool):
        raise _mistyped(name, "integer")
    return int(_typed(request, name, int, "integer", default))


def mapping(request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a structure field, empty if it is absent or null."""
    value: Mapping[str, Any] = _typed(request, name, Mapping, "structure", {})
    return value


def items(request: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """Return a list of structures, empty if it is absent or null."""
    found = _typed(request, name, list, "list", [])
    if not all(isinstance(item, Mapping) for item in found):
        raise _mistyped(name, "list of structures")
    return list(found)


def texts(request: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of strings, empty if it is absent or null."""
    found = _typed(request, name, list, "list", [])
    if not all(isinstance(item, str) for item in found):
        raise _mistyped(name, "list of strings")
    return tuple(found)


def _typed(request: Mapping[str, Any], name: str, kind: type, label: str, default: Any) -> Any:
    value = request.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise _mistyped(name, label)
    return value


def _mistyped(name: str, label: str) -> AwsError:
    return AwsError("SerializationException", f"The value of '{name}' is not a {label}.")
