"""What names of flows, versions and orgs may look like: checked wherever one comes in."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")

NAME_RULE = "1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit"


def is_name(text: str) -> bool:
    """Tell whether a text can name a flow, a version or an org. It is safe in keys, paths and tags."""
    return _NAME.fullmatch(text) is not None
