"""Who calls: a bearer token says which org, and an org sees nothing of another one's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Annotated, Any

import structlog
from fastapi import Depends, HTTPException, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dagy_queue.operate.api.desk import TheDesk
from dagy_queue.settings.tokens import hashed

log = structlog.get_logger(__name__)

_bearer = HTTPBearer(auto_error=False, description="A token that `dagy-queue api-token ORG` made.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    org_id: str
    """The token's org; '' where there are no tokens, and the request says which org is meant."""

    def org(self, asked: Any) -> Any:
        """Return the org that a request is for. Raises HTTPException if it is not the token's."""
        if not self.org_id:
            return asked
        if asked not in (None, "", self.org_id):
            raise HTTPException(403, f"the token is org {self.org_id!r}'s: leave org_id out, or give that")
        return self.org_id


def org_of(tokens: Mapping[str, Sequence[str]], token: str) -> str:
    """Return the org of a token; '' if it is nobody's. Takes as long for each token."""
    presented, found = hashed(token), ""
    for org, hashes in tokens.items():
        for one in hashes:
            if compare_digest(one, presented):
                found = org
    return found


def _caller(
    request: Request, desk: TheDesk, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    tokens = desk.config.api.tokens
    if not tokens:
        return Caller("")
    org = org_of(tokens, credentials.credentials) if credentials else ""
    if not org:
        log.warning("api_caller_refused", address=address_of(request), with_token=credentials is not None)
        raise HTTPException(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})
    return Caller(org)


def _reader(caller: TheCaller, org_id: Annotated[str, Query(description="only if it is this org's")] = "") -> str:
    return str(caller.org(org_id) or "")


def address_of(request: Request) -> str:
    """Return the address a request comes from."""
    return request.client.host if request.client else ""


TheCaller = Annotated[Caller, Depends(_caller)]
BodysOrg = Annotated[str, Query(description="who the run belongs to, where the body does not say")]
ReadersOrg = Annotated[str, Depends(_reader)]
"""The org whose runs and batches a reader may see; '' for all, where there are no tokens."""
