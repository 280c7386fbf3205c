"""Celery's own options of a launch; ``DagLauncher`` takes them beside the request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import current_app

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.messaging.routing import settle_all

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


@dataclass(frozen=True, kw_only=True)
class CeleryOptions:
    """Celery's own options of a launch: the same meaning as in ``apply_async``."""

    link: Any = None
    link_error: Any = None
    expires: Any = None
    ignore_result: bool = False
    headers: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the options that are set."""
        if reserved := sorted(name for name in self.headers if name in _PROTOCOL or name.startswith("dagy_")):
            raise RequestInvalid(
                [Problem("headers", name, "a name that neither Celery nor dagy_ uses") for name in reserved]
            )
        settle_all([self.link, self.link_error], current_app)
        options = {
            "link": self.link,
            "link_error": self.link_error,
            "expires": self.expires,
            "ignore_result": self.ignore_result,
            "headers": dict(self.headers),
        }
        return {name: value for name, value in options.items() if value}
