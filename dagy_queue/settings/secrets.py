"""Hides passwords in values that are shown: in errors, and by ``dagy-queue config``."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
_IN_AUTHORITY = re.compile(r"(://[^:/?#@]*):.*@")
"""Up to the last @: a password may hold one that nobody encoded."""
_IN_PARAMETERS = re.compile(r"(?<=[?&]password=)[^&;]*")


def without_secrets(value: Any) -> Any:
    """Return a value whose URLs, at any depth, show no password."""
    if isinstance(value, str):
        return _IN_PARAMETERS.sub(HIDDEN, _IN_AUTHORITY.sub(rf"\1:{HIDDEN}@", value))
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(without_secrets(item) for item in value)
    return value
