"""``dagy-queue list``: runs and batches, newest first."""

from __future__ import annotations

from typing import Annotated

import typer

from dagy_queue.operate.commands.parts import AsJson, OnlyOrg, Since
from dagy_queue.operate.output import note, say_json, say_lines

_STATUSES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")


def _checked_statuses(given: list[str] | None) -> list[str]:
    statuses = [status.strip().upper() for text in given or () for status in text.split(",") if status.strip()]
    if wrong := [status for status in statuses if status not in _STATUSES]:
        raise typer.BadParameter(f"{wrong[0]!r} is not one of {', '.join(_STATUSES)}")
    return statuses


def list_runs(  # noqa: PLR0913, PLR0917 - one parameter an option
    status: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(_STATUSES)}; several with commas", callback=_checked_statuses),
    ] = None,
    flow: Annotated[str, typer.Option(help="only this flow, or image")] = "",
    org: OnlyOrg = "",
    batch: Annotated[str, typer.Option(help="the shards of this batch, in order")] = "",
    correlation_id: Annotated[str, typer.Option(help="this correlation id, or a shard's below it")] = "",
    since: Since = "",
    shards: Annotated[bool, typer.Option("--shards", help="shards instead of their batches")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="so many rows at most")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs and batches, newest first.

    They are those that the ledger has, and with --org also those that the record alone has.
    """
    from datetime import UTC, datetime

    from dagy_queue.operate.filters import Filters
    from dagy_queue.operate.finding import Desk
    from dagy_queue.operate.listing import Rows, as_lines
    from dagy_queue.operate.moments import moment

    now = datetime.now(UTC)
    filters = Filters(
        statuses=tuple(status or ()),
        flow=flow,
        org=org,
        batch=batch,
        correlation_id=correlation_id,
        since=moment(since, now) if since else None,
    )
    desk = Desk()
    if desk.is_direct and not org:
        note("direct mode has no ledger, and the record is listed by org: say --org")
    rows = Rows(desk, filters, shards=shards).find(limit + 1)
    if batch and not rows and (org or not desk.is_direct) and not desk.find(batch, org).is_batch:
        raise typer.BadParameter(f"{batch!r} is a run, not a batch", param_hint="--batch")
    shown = rows[:limit]
    if as_json:
        say_json(shown)
    else:
        say_lines(as_lines(shown, now))
    if not (rows or org or desk.is_direct or desk.settings.records.org_id):
        note("what Redis still has was looked at; with --org, the org's record is, too")
    if len(rows) > limit:
        note(f"there are more: --limit {limit} shows the newest {limit}")
