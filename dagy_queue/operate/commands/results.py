"""``dagy-queue results``: what runs returned."""

from __future__ import annotations

from typing import Annotated

import typer

from dagy_queue.operate.commands.parts import AsJson, OnlyOrg, TargetId, Wait, WaitTimeout, check_waiting
from dagy_queue.operate.exit_codes import ExitCode
from dagy_queue.operate.output import console, say, say_json_line


def results(
    target: TargetId,
    failed: Annotated[bool, typer.Option("--failed", help="only what failed or was cancelled")] = False,
    wait: Wait = False,
    wait_timeout: WaitTimeout = "",
    as_json: AsJson = False,
    org: OnlyOrg = "",
) -> None:
    """Print what runs returned.

    Of a batch, one line each in the order of its shards. Exits with 1 if any of them failed, was cancelled, goes on, or
    has a result that is not kept any more.
    """
    from dagy_queue.operate.finding import Desk
    from dagy_queue.operate.results import as_line, is_bad, is_well, results_of

    check_waiting(wait, wait_timeout)
    desk = Desk()
    found = desk.find(target, org)
    if wait:
        from dagy_queue.operate.following.to_the_end import follow

        follow(desk, found, console(stderr=True), wait_timeout=wait_timeout)
    all_well = True
    for result in results_of(desk.publisher, found):
        all_well = all_well and is_well(result)
        if is_bad(result) or not failed:
            if as_json:
                say_json_line(result)
            else:
                say(as_line(result))
    if not all_well:
        raise typer.Exit(ExitCode.ERROR)
