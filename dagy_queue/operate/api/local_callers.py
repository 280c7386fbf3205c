"""Without tokens, only programs of this machine may call: no page in a browser, whatever name it came by.

A page of another site can send requests to 127.0.0.1, or have its own name lead there. Browsers say so in ``Origin``
and ``Host``; other programs send no ``Origin``. ``app.py`` puts this before everything else.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from dagy_queue.operate.api.answers import Failed
from dagy_queue.operate.loopback import names_loopback

_REFUSED = "without tokens this API answers programs on its own machine, by the name localhost or 127.0.0.1"


class LocalCallers:
    """Refuses requests that come from elsewhere, or from pages of elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if scope["type"] == "http" and not is_local(headers.get("host", ""), headers.get("origin")):
            await Failed(error=_REFUSED).answer(403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def is_local(host: str, origin: str | None) -> bool:
    """Tell whether a request was sent to this machine by its own name and, if by a page, by one of this machine."""
    return names_loopback(f"//{host}") and (origin is None or names_loopback(origin))
