"""Talks to a running gateway's ``/_local`` routes; used by the stack, ``up`` and tests."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dagy_queue.errors import LocalStackError


def call(endpoint_url: str, path: str, body: Mapping[str, Any] | None = None, *, seconds: float = 30.0) -> Any:
    """GET ``/_local/<path>``, or POST a body to it. Raises LocalStackError for an error answer or none at all."""
    parts = urlsplit(endpoint_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=seconds)
    with contextlib.closing(connection):
        try:
            if body is None:
                connection.request("GET", f"/_local/{path}")
            else:
                connection.request("POST", f"/_local/{path}", json.dumps(body))
            answer = connection.getresponse()
            found = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise LocalStackError(f"{endpoint_url}/_local/{path} does not answer: {exc}") from exc
    if answer.status >= 400:
        raise LocalStackError(f"{path}: {found.get('error')}: {found.get('message')}")
    return found


def health(endpoint_url: str) -> Mapping[str, Any] | None:
    """Return what a gateway says of itself, None if nothing or something else answers there."""
    try:
        found = call(endpoint_url, "health", seconds=1.0)
    except LocalStackError:
        return None
    return found if isinstance(found, dict) and "product" in found else None
