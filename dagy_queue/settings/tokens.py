"""How the settings know the API's tokens: by org, as SHA-256 in hex, so that who reads the settings can't call it.

A token has 256 random bits (``dagy-queue api-token``), so that a hash without salt or stretching gives nothing away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from dagy_queue.errors import Problem
from dagy_queue.requests.names import NAME_RULE, is_name

_HASH = re.compile(r"[0-9a-f]{64}")
_FORM = 'an object with the hashes of each org\'s tokens: {"<org>": ["<SHA-256 in hex>"]}'
_HIDDEN = "(hidden)"
_LONGEST_SHOWN = 32
"""Characters of an org's name that is shown where it is wrong: what is longer may be a token in its place."""


def hashed(token: str) -> str:
    """Return what the settings have of a token."""
    return sha256(token.encode(errors="surrogateescape")).hexdigest()


def read_tokens(value: Any) -> dict[str, tuple[str, ...]]:
    """Read the tokens of all orgs. What is refused is never shown: it may be a token in plain text."""
    found = _parsed(value)
    problems = list(_problems(found)) if isinstance(found, Mapping) else [Problem("", _HIDDEN, _FORM)]
    if problems:
        text = "; ".join(map(str, problems))
        raise PydanticCustomError("level", "{allowed}", {"allowed": text, "problems": problems})
    return {org: _listed(hashes) for org, hashes in found.items()}


Tokens = Annotated[dict[str, tuple[str, ...]], BeforeValidator(read_tokens)]


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else {}
    except (ValueError, RecursionError):
        return None


def _problems(found: Mapping[Any, Any]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for org, given in found.items():
        shown = org if isinstance(org, str) and len(org) <= _LONGEST_SHOWN else _HIDDEN
        if not isinstance(org, str) or not is_name(org):
            yield Problem("", shown, f"the name of an org: {NAME_RULE}")
            continue
        hashes = _listed(given)
        if not hashes or not all(isinstance(one, str) and _HASH.fullmatch(one) for one in hashes):
            yield Problem(shown, _HIDDEN, "a list of SHA-256 hashes, 64 digits of hex each: not the tokens themselves")
            continue
        for one in hashes:
            if seen.setdefault(one, org) != org:
                yield Problem(shown, _HIDDEN, "a token of one org: another one has the same")


def _listed(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, list | tuple) else (given,)
