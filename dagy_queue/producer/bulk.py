"""How much one launch or one batch may be: what Redis would refuse is refused before, in words that say why.

``queued.py`` and ``fan_out.py`` ask before they publish. Redis closes the connection on a text of more than 512 MB
(``proto-max-bulk-len``) or a command of more than 1 GB (``client-query-buffer-limit``), which looks as if it were away.
"""

from __future__ import annotations

from collections.abc import Sequence

from dagy_queue.errors import Problem, RequestInvalid

MOST_OF_ONE = 256 * 1024**2
"""Characters of a message, or of the shards that are kept together."""
MOST_OF_A_BATCH = 768 * 1024**2
"""Characters of all shards of a batch."""

_INSTEAD = "put large values into S3 and pass their URI"


def check_message(text: str) -> None:
    """Raise RequestInvalid for a launch that is too large to be sent."""
    if len(text) > MOST_OF_ONE:
        _refuse("request", len(text), f"at most {_mib(MOST_OF_ONE)} as a message; {_INSTEAD}")


def check_shards(chunks: Sequence[str]) -> None:
    """Raise RequestInvalid for shards that are too large to be sent."""
    if (total := sum(map(len, chunks))) > MOST_OF_A_BATCH:
        _refuse("shards", total, f"at most {_mib(MOST_OF_A_BATCH)} in all; {_INSTEAD}, or have a manifest in S3")
    if (largest := max(map(len, chunks), default=0)) > MOST_OF_ONE:
        _refuse("shards", largest, f"at most {_mib(MOST_OF_ONE)} in those that are kept together; {_INSTEAD}")


def _refuse(field: str, size: int, allowed: str) -> None:
    raise RequestInvalid([Problem(field, _mib(size), allowed)])


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.0f} MiB"
