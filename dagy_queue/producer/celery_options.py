"""Celery's own options of a launch; ``DagLauncher`` takes them beside the request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import current_app
from celery.canvas import Signature

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.messaging.routing import settle_all
from dagy_queue.requests.json_values import json_problems

_PROTOCOL = frozenset(
    {
        "argsrepr",
        "chain",
        "chord",
        "eta",
        "expires",
        "group",
        "group_index",
        "id",
        "ignore_result",
        "kwargsrepr",
        "lang",
        "origin",
        "parent_id",
        "replaced_task_nesting",
        "retries",
        "root_id",
        "shadow",
        "stamped_headers",
        "stamps",
        "task",
        "timelimit",
    }
)
"""Headers of Celery's message protocol 2."""


_BLANK = re.compile(r'(?<!\\)"@dagy:')
"""How the blanks of a message begin, which the ledger fills in when it sends it."""

_NOT_RESERVED = "a name that neither Celery nor dagy_ uses, and in it no text that begins with @dagy:"


def _is_reserved(name: str, value: Any) -> bool:
    return name in _PROTOCOL or name.startswith("dagy_") or bool(_BLANK.search(json.dumps({name: value})))


def _is_link(value: Any) -> bool:
    links = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(link, Signature) for link in links)


def _is_moment(value: Any) -> bool:
    """Tell whether Celery can make a moment of it."""
    try:
        if isinstance(value, datetime):
            return value.tzinfo is None or bool(value.astimezone(UTC))
        return isinstance(value, int | float) and bool(datetime.now(UTC) + timedelta(seconds=value))
    except (ValueError, OverflowError):
        return False


@dataclass(frozen=True, kw_only=True)
class CeleryOptions:
    """Celery's own options of a launch: the same meaning as in ``apply_async``."""

    link: Any = None
    link_error: Any = None
    expires: Any = None
    ignore_result: bool = False
    headers: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the options that are set. Raises RequestInvalid for what Celery could not send or call."""
        if wrong := list(self._problems()):
            raise RequestInvalid(wrong)
        if reserved := sorted(name for name, value in self.headers.items() if _is_reserved(name, value)):
            raise RequestInvalid([Problem("headers", name, _NOT_RESERVED) for name in reserved])
        settle_all([self.link, self.link_error], current_app)
        options = {
            "link": self.link,
            "link_error": self.link_error,
            "expires": self.expires,
            "ignore_result": self.ignore_result,
            "headers": dict(self.headers),
        }
        # No seconds at all are a time, too: of a launch that came too late.
        return {name: value for name, value in options.items() if value or (name == "expires" and value is not None)}

    def _problems(self) -> Iterator[Problem]:
        for name in ("link", "link_error"):
            value = getattr(self, name)
            if value is not None and not _is_link(value):
                yield Problem(name, value, "the signature of a task, or a list of them")
        if self.expires is not None and not _is_moment(self.expires):
            yield Problem("expires", self.expires, "seconds, or a datetime, that end before the year 10000")
        if isinstance(self.headers, Mapping):
            yield from json_problems(dict(self.headers), "headers")
        else:
            yield Problem("headers", self.headers, "names and their values, as in {'A': 'b'}")
