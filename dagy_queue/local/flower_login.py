"""The login of Flower in ``dagy-queue up``: made once and kept, so that its address stays what it was.

Without a login Flower takes no commands; with one that every page of the web knows, any of them could end runs here.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

USER = "dagy"
_PRIVATE = 0o600


def login_of(path: Path) -> str:
    """Return ``user:password``: from FLOWER_BASIC_AUTH, from the file that keeps it, or a new one, which is kept."""
    if given := os.environ.get("FLOWER_BASIC_AUTH", "").partition(",")[0]:
        return given
    if path.is_file() and (kept := path.read_text().strip()).count(":") == 1:
        return kept
    login = f"{USER}:{secrets.token_urlsafe(12)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "w") as file:
        file.write(f"{login}\n")
    return login
