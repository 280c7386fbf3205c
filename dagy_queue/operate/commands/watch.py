"""``dagy-queue watch``: runs and batches while they go on."""

from __future__ import annotations

from typing import Annotated

import typer

from dagy_queue.operate.commands.parts import OnlyOrg
from dagy_queue.operate.output import console


def watch(
    target: Annotated[
        str | None, typer.Argument(metavar="RUN|BATCH", help="a run or a batch; without it, everything that goes on")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="look once at everything, and end")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print a line of JSON for each change")] = False,
    org: OnlyOrg = "",
) -> None:
    """Follow a run, a batch, or everything, live.

    Shows counts by phase, the rate of launches against its limit, the time that is left, and failures as they happen
    with their diagnosis. A run or batch is followed to its end, and its exit code passed on; everything is until
    Ctrl-C, which ends the watching and nothing else.
    """
    from dagy_queue.operate.finding import Desk
    from dagy_queue.operate.following.to_the_end import follow, follow_everything

    desk, shown = Desk(), None if as_json else console()
    if target is None:
        follow_everything(desk, shown, org=org, once=once)
        return
    raise typer.Exit(follow(desk, desk.find(target, org), shown))
