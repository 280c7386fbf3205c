"""What a caller may say when he cancels something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid

_LONGEST = 500


def reason_of(body: Mapping[str, Any]) -> str:
    """Return the reason that a body gives. Raises RequestInvalid."""
    problems = [Problem(name, "(hidden)", "no such field: there is reason") for name in body.keys() - {"reason"}]
    reason = body.get("reason", "cancelled")
    if not isinstance(reason, str) or not 0 < len(reason) <= _LONGEST:
        problems.append(Problem("reason", reason, f"a text of 1 to {_LONGEST} characters"))
    if problems:
        raise RequestInvalid(problems, "cancellation")
    return str(reason)
