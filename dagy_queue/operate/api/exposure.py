"""Who can reach the API: beyond this machine, nobody without a token. The server and the Lambda handler ask."""

from __future__ import annotations

import json
import secrets

from dagy_queue.errors import SettingsInvalid
from dagy_queue.operate.loopback import is_loopback
from dagy_queue.settings import ApiSettings
from dagy_queue.settings.tokens import hashed


def check_exposure(api: ApiSettings, host: str) -> None:
    """Raise SettingsInvalid if an address can be reached from other machines and nobody needs a token."""
    if not is_loopback(host):
        require_tokens(api, f"on {host}")


def require_tokens(api: ApiSettings, where: str) -> None:
    """Raise SettingsInvalid if no tokens are configured."""
    if not api.tokens:
        raise SettingsInvalid(
            f"without tokens the API serves this machine alone, not {where}: make a token with `dagy-queue api-token "
            "ORG` and set DAGY_QUEUE__API__TOKENS to what it prints, or listen on 127.0.0.1"
        )


def new_token(org_id: str) -> tuple[str, str]:
    """Return a new token of 256 random bits, and the JSON that makes the API know it."""
    token = secrets.token_urlsafe(32)
    return token, json.dumps({org_id: [hashed(token)]})
