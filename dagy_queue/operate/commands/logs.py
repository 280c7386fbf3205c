"""``dagy-queue logs``: what containers wrote."""

from __future__ import annotations

from typing import Annotated

import typer

from dagy_queue.operate.commands.parts import AsJson, OnlyOrg, Since
from dagy_queue.operate.exit_codes import ExitCode
from dagy_queue.operate.output import note

_RECENT = "10m"


def logs(  # noqa: PLR0913, PLR0917 - one parameter an option
    target: Annotated[
        str | None, typer.Argument(metavar="RUN|BATCH", help="a run or a batch; without it, the whole log group")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until it is over, or Ctrl-C")] = False,
    since: Since = "",
    grep: Annotated[str, typer.Option(help="only lines that match this regular expression")] = "",
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=1, help="only so many last lines; of a batch, of each shard")
    ] = None,
    attempt: Annotated[int | None, typer.Option(min=1, help="of a run: this attempt; the last one if left out")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", "-t", help="times in full, of all lines")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="lines as the container wrote them")] = False,
    representative: Annotated[
        bool, typer.Option("--representative", help="one container for the whole, as Heimdall prints it")
    ] = False,
    as_json: AsJson = False,
    org: OnlyOrg = "",
) -> None:
    """Print what containers wrote.

    The worker's JSON lines are shown as time, level, task and message. Of a batch, each line has the number of its
    shard. Reading keeps to the quotas of CloudWatch Logs.
    """
    from dagy_queue.operate.container_logs.rendering import Rendering, pattern_of
    from dagy_queue.operate.container_logs.representative import show_representative
    from dagy_queue.operate.container_logs.showing import Asked, LogShow
    from dagy_queue.operate.finding import Desk
    from dagy_queue.operate.moments import milliseconds

    rendering = Rendering(grep=pattern_of(grep), timestamps=timestamps, raw=raw, as_json=as_json)
    first = milliseconds(since or ("" if target else _RECENT))
    asked = Asked(rendering=rendering, follow=follow, since=first, tail=tail, attempt=attempt, org=org)
    others = follow or since or tail or attempt
    if target is None and org:
        raise typer.BadParameter(
            "without an id the logs of all orgs are read: name a run or a batch, or leave the org out (--org, "
            "DAGY_ORG_ID, records.org_id)"
        )
    if representative and target is None:
        raise typer.BadParameter("--representative is for a run or a batch: name one")
    if representative and (others or rendering != Rendering()):
        raise typer.BadParameter("--representative prints a log as a whole: leave other options out")
    desk = Desk()
    found = desk.find(target, org) if target is not None else None
    if found is not None and representative:
        show_representative(desk, found, org)
        return
    show = LogShow(desk, asked)
    try:
        if found is None:
            show.everything()
        elif found.is_batch:
            show.batch(found.id)
        else:
            show.run(found.id)
    except KeyboardInterrupt:
        back = f"; `dagy-queue logs {target} --follow` follows it again" if target else ""
        note(f"\nno longer following{back}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
