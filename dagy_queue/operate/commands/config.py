"""``dagy-queue config``: every setting and where it is from."""

from __future__ import annotations

from typing import Annotated

import typer

from dagy_queue.operate.commands.parts import AsJson
from dagy_queue.operate.output import say, say_lines


def config(
    show_origin: Annotated[bool, typer.Option("--show-origin", help="say where each value is from")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting, and where it is from.

    As this process reads it; passwords are hidden.
    """
    from dagy_queue.operate.configuration import as_json as json_of
    from dagy_queue.operate.configuration import as_lines
    from dagy_queue.settings import current_origins

    found = current_origins()
    if as_json:
        say(json_of(found, show_origin=show_origin))
    else:
        say_lines(as_lines(found, show_origin=show_origin))
