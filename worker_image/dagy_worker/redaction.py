"""Keeping the values of secrets out of what the worker writes: logs, tracebacks, reports and records.

The run spec names the variables that ECS fills from secrets; the values are those that the environment has when the
worker starts. A secret is found as it is, and as Python, JSON and URLs write it. Of a secret of several lines each line
is one by itself, and of one that is a JSON object each text in it, but for what AWS puts beside a password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 4
"""Characters below which a value is not looked for: it would be found everywhere."""
_SHORTEST_PART = 8
"""The same of a line, or of a text in a JSON object."""
_SHORTEST_OF_AWS = 16
_OF_AWS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_HARMLESS = frozenset(
    {
        "database",
        "dbClusterIdentifier",
        "dbInstanceIdentifier",
        "dbname",
        "engine",
        "host",
        "hostname",
        "masterarn",
        "port",
        "user",
        "username",
    }
)
"""What AWS's secrets of databases hold beside the password (Secrets Manager user guide, "JSON structure")."""


class Redactor:
    """Replaces the values of secrets in texts by the names of their variables."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        forms = {form: name for name, value in (secrets or {}).items() for form in _forms(value)}
        self._names = forms
        self.longest = max(map(len, forms), default=0)
        """Characters of the longest form: a text that is cut may hold back that much."""
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: f"[redacted:{self._names[found[0]]}]", text)


def secrets_in(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the values to keep out: of the named variables, and the credentials in the environment, if it has any."""
    named = {name: environ[name] for name in names if len(environ.get(name, "")) >= SHORTEST}
    own = {name: environ[name] for name in _OF_AWS if len(environ.get(name, "")) >= _SHORTEST_OF_AWS}
    return {**own, **named}


def too_short(environ: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Return the names of the secrets that are too short to be looked for."""
    return [name for name in names if 0 < len(environ.get(name, "")) < SHORTEST]


def _forms(value: str) -> Iterator[str]:
    for part in _parts(value):
        quoted = (quote(part, safe=""), quote(part), quote_plus(part))
        escaped = (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1], repr(part)[1:-1])
        for form in (part, *escaped, *quoted):
            if len(form) >= SHORTEST:
                yield form


def _parts(value: str) -> Iterator[str]:
    yield value
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1 or lines != [value]:
        yield from (line for line in lines if len(line) >= (_SHORTEST_PART if len(lines) > 1 else SHORTEST))
    if value.lstrip().startswith(("{", "[")):
        try:
            yield from _texts(json.loads(value))
        except (ValueError, RecursionError):
            return


def _texts(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        if len(document) >= _SHORTEST_PART:
            yield document
    elif isinstance(document, list):
        for each in document:
            yield from _texts(each)
    elif isinstance(document, dict):
        for key, each in document.items():
            if key not in _HARMLESS:
                yield from _texts(each)
