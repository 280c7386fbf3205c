"""Hides passwords in values that are shown: in errors, and by ``dagy-queue config``."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
_IN_AUTHORITY = re.compile(r"(://[^:/?#@]*:).*@|(://)[^:/?#@]+@")
"""Up to the last @: a password may hold one that nobody encoded."""
_IN_PARAMETERS = re.compile(r"(?<=[?&]password=)[^&;]*", re.IGNORECASE)
_VARIABLES = frozenset({"environment", "extra_env_vars", "parameters", "secrets", "secrets_env"})
"""Keys of documents behind which the variables of containers, and the parameters of flows, stand."""


def without_secrets(value: Any) -> Any:
    """Return a value whose URLs, at any depth, show no password."""
    if isinstance(value, str):
        return _IN_PARAMETERS.sub(HIDDEN, _IN_AUTHORITY.sub(lambda m: f"{m[1] or m[2]}{HIDDEN}@", value))
    if isinstance(value, dict):
        return {key: _behind(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(without_secrets(item) for item in value)
    return value


def _behind(key: Any, value: Any) -> Any:
    if key == "command" and isinstance(value, str | list | tuple):
        return HIDDEN if isinstance(value, str) else [HIDDEN for _ in value]
    return _variables(value) if key in _VARIABLES else without_secrets(value)


def _variables(value: Any) -> Any:
    """Return variables with their names alone; what is no set of variables is shown as any value is."""
    if isinstance(value, dict):
        return dict.fromkeys(value, HIDDEN)
    if isinstance(value, list | tuple):
        return [{**item, "value": HIDDEN} if isinstance(item, dict) and "value" in item else HIDDEN for item in value]
    return without_secrets(value)
