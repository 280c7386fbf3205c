"""How ``dagy-queue config`` shows the settings: as lines whose values are JSON, or as one JSON document; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from dagy_queue.settings import Origin


def as_lines(found: Iterable[Origin], *, show_origin: bool) -> Iterator[str]:
    """Yield ``section.key = value``, with the origin behind it if that is asked for."""
    for one in found:
        line = f"{one.setting} = {json.dumps(one.value, ensure_ascii=False)}"
        yield f"{line}  # {one.origin}" if show_origin else line


def as_json(found: Iterable[Origin], *, show_origin: bool) -> str:
    """Return an object of sections; with origins each value becomes an object of ``value`` and ``origin``."""
    sections: dict[str, Any] = {}
    for one in found:
        value = {"value": one.value, "origin": one.origin} if show_origin else one.value
        if one.key:
            sections.setdefault(one.section, {})[one.key] = value
        else:
            sections[one.section] = value
    return json.dumps(sections, indent=2, ensure_ascii=False)
