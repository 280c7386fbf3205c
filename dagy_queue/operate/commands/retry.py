"""``dagy-queue retry``: launching once more what failed."""

from __future__ import annotations

from typing import Annotated, TypedDict

import typer

from dagy_queue.operate.commands.parts import AsJson, OnlyOrg, Quiet, TargetId
from dagy_queue.operate.output import is_for_people, note, say, say_json


class RetryReport(TypedDict):
    """What was launched once more, ready for JSON."""

    kind: str
    """run or batch."""
    id: str
    shards: int
    """How many; 1 for a run."""
    retry_of: str


def retry(
    target: TargetId,
    failed: Annotated[
        bool, typer.Option("--failed", help="of a batch: the shards that failed or were cancelled")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    org: OnlyOrg = "",
) -> None:
    """Launch once more what failed, and print the new id.

    Of a batch, say --failed: its shards that failed or were cancelled. The request is the same, the id is new. Shards
    keep their correlation ids and are told their old numbers (TASK_NUM), in a batch of their own that counts them from
    0, in their old order.
    """
    from dagy_queue.operate.finding import Desk
    from dagy_queue.producer import BatchHandle, RunHandle

    desk = Desk()
    found = desk.find(target, org)
    if found.is_batch != failed:
        what = "a batch: say --failed, and its shards that failed or were cancelled are launched once more"
        raise typer.BadParameter(f"{target} is {what if found.is_batch else 'a run: --failed is for batches'}")
    if found.is_batch:
        batch = BatchHandle(found.id, desk.publisher).retry_failed()
        kind, new_id, shards = "batch", batch.batch_id, len(batch)
    else:
        run = RunHandle(found.id, desk.publisher).retry()
        kind, new_id, shards = "run", run.run_id, 1
    if as_json:
        say_json(RetryReport(kind=kind, id=new_id, shards=shards, retry_of=found.id))
        return
    say(new_id)
    if is_for_people() and not quiet:
        of = f", {shards} shards" if found.is_batch else ""
        note(f"{kind}{of}; follow it: dagy-queue watch {new_id}")
