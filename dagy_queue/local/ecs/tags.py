"""Tags: ECS's rules for them, and the form in which they travel (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dagy_queue.local.ecs.reading import Json, invalid, items, text

_CHARACTERS = re.compile(r"[\w .:/=+\-@]*")
MAX_TAGS = 50
MAX_KEY = 128
MAX_VALUE = 256


def read_tags(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a request. Raises InvalidParameterException for tags ECS would refuse."""
    tags = items(request, "tags")
    if len(tags) > MAX_TAGS:
        raise invalid(f"The maximum number of tags is {MAX_TAGS}; got {len(tags)}.")
    result: dict[str, str] = {}
    for tag in tags:
        key, value = text(tag, "key"), text(tag, "value")
        _check_tag(key, value)
        if key in result:
            raise invalid(f"Duplicate tag keys found: '{key}'.")
        result[key] = value
    return result


def write_tags(tags: Mapping[str, str]) -> list[Json]:
    """Return tags as the API lists them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def merge_tags(existing: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Return both, the added ones winning. Raises InvalidParameterException if they are too many."""
    merged = {**existing, **added}
    if sum(not key.startswith("aws:") for key in merged) > MAX_TAGS:
        raise invalid(f"The maximum number of tags on a resource is {MAX_TAGS}.")
    return merged


def remove_tags(existing: Mapping[str, str], keys: Sequence[str]) -> dict[str, str]:
    """Return the tags without some keys."""
    return {key: value for key, value in existing.items() if key not in keys}


def _check_tag(key: str, value: str) -> None:
    if not 1 <= len(key) <= MAX_KEY:
        raise invalid(f"Tag keys must have 1 to {MAX_KEY} characters; got {len(key)}.")
    if len(value) > MAX_VALUE:
        raise invalid(f"Tag values can have at most {MAX_VALUE} characters; '{key}' has {len(value)}.")
    if key.lower().startswith("aws:") or value.lower().startswith("aws:"):
        raise invalid(f"Tag keys and values starting with 'aws:' are reserved: '{key}'.")
    if not _CHARACTERS.fullmatch(key + value):
        raise invalid(f"Tags have letters, digits, spaces and + - = . _ : / @; '{key}' has others.")
