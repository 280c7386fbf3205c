"""``dagy-queue api`` and ``api-token``: serving the HTTP API, and who may use it."""

from __future__ import annotations

from typing import Annotated

import typer

from dagy_queue.operate.commands.parts import LogLevel
from dagy_queue.operate.output import note, say


def api(
    host: Annotated[str, typer.Option(help="address to listen on; empty takes the setting")] = "",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="port to listen on; 0 for any free one")] = None,
    log_level: LogLevel = "info",
) -> None:
    """Serve the HTTP API.

    Programs launch, look and cancel by it. Beyond this machine it needs tokens.
    """
    from dagy_queue.operate.api.server import run_api
    from dagy_queue.operate.log_setup import configure_logging
    from dagy_queue.settings import settings

    configure_logging(log_level)
    raise typer.Exit(run_api(settings(), host=host or None, port=port))


def api_token(org: Annotated[str, typer.Argument(metavar="ORG", help="org that the token is for")]) -> None:
    """Make a token for the HTTP API.

    It is shown once, and the API is configured with its hash.
    """
    from dagy_queue.operate.api.exposure import new_token
    from dagy_queue.requests.names import NAME_RULE, is_name

    if not is_name(org):
        raise typer.BadParameter(f"{org!r}: {NAME_RULE}", param_hint="ORG")
    token, known = new_token(org)
    say(token)
    note(f"export DAGY_QUEUE__API__TOKENS='{known}'")
