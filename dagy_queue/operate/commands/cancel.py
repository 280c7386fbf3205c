"""``dagy-queue cancel``: ending runs and batches."""

from __future__ import annotations

from typing import Annotated

import typer

from dagy_queue.operate.commands.parts import AsJson, OnlyOrg, TargetIds
from dagy_queue.operate.exit_codes import ExitCode
from dagy_queue.operate.output import complain, say, say_json


def cancel(
    targets: TargetIds,
    reason: Annotated[str, typer.Option(help="why: outcomes tell it")] = "cancelled from the command line",
    as_json: AsJson = False,
    org: OnlyOrg = "",
) -> None:
    """End runs and batches.

    What waits is dropped, running containers are stopped: the wish is noted when this returns, and dispatchers do the
    stopping. What has ended stays as it is.
    """
    from dagy_queue.errors import RunNotFound
    from dagy_queue.operate.cancelling import cancel_target
    from dagy_queue.operate.finding import Desk

    desk = Desk()
    done, missing = [], 0
    for target in targets:
        try:
            found = cancel_target(desk.publisher, desk.find(target, org), reason)
        except RunNotFound as exc:
            complain(exc)
            missing += 1
            continue
        done.append(found)
        if not as_json:
            say(found["what"])
    if as_json:
        say_json(done)
    if missing:
        raise typer.Exit(ExitCode.NOT_FOUND)
