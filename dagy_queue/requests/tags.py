"""Rules for the tags of a task: ECS takes 50, some of which are ours; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dagy_queue.requests.refusals import allowed

MAX_TAGS = 50
"""Tags of one task (ECS API reference, RunTask, tags)."""

OUR_TAGS = ("run", "org", "what", "correlation", "batch", "shard", "environment", "trigger")
"""The tags that every task gets, behind ``dagy:``."""

_CHARACTERS = r"[\w .:/=+\-@]"
_KEY = re.compile(_CHARACTERS + r"{1,128}", re.ASCII)
_VALUE = re.compile(_CHARACTERS + r"{0,256}", re.ASCII)
_NOT_IN_A_VALUE = re.compile(r"[^\w .:/=+\-@]", re.ASCII)
_RESERVED = ("aws:", "dagy:")


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise unless ECS takes the tags besides ours."""
    if problem := tags_problem(tags):
        raise allowed(problem)


def tags_problem(tags: Mapping[str, str]) -> str:
    """Return why ECS would not take the tags besides ours; '' if it does."""
    most = MAX_TAGS - len(OUR_TAGS)
    if len(tags) > most:
        return f"{len(tags)} tags given, {most} allowed: ECS takes {MAX_TAGS}, and {len(OUR_TAGS)} are ours"
    return "; ".join(problem for key, value in tags.items() if (problem := _problem(key, value)))


def tag_value(text: str) -> str:
    """Return a text as a tag's value: ECS refuses other characters, and AWS keeps ``aws:`` for itself."""
    value = _NOT_IN_A_VALUE.sub("_", text)[:256]
    return f"_{value[1:]}" if value.lower().startswith("aws:") else value


def _problem(key: str, value: str) -> str:
    if key.lower().startswith(_RESERVED):
        return f"{key!r}: keys that start with {' or '.join(_RESERVED)} are reserved"
    if not _KEY.fullmatch(key):
        return f"{key!r}: a key is 1 to 128 letters, digits, spaces and . : / = + - @ _"
    if not _VALUE.fullmatch(value) or value.lower().startswith("aws:"):
        return f"{key!r}: its value is up to 256 letters, digits, spaces and . : / = + - @ _, not starting with aws:"
    return ""
