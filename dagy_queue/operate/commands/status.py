"""``dagy-queue status``: one run or batch as it is now."""

from __future__ import annotations

from dagy_queue.operate.commands.parts import AsJson, OnlyOrg, TargetId
from dagy_queue.operate.output import say_json, say_lines

_FAILURES = 20


def status(target: TargetId, as_json: AsJson = False, org: OnlyOrg = "") -> None:
    """Show how a run or a batch is doing.

    Of what failed it says why, and what to do about it.
    """
    from dagy_queue.operate.finding import Desk
    from dagy_queue.operate.status import batch_lines, run_lines

    desk = Desk()
    found = desk.find(target, org)
    if found.is_batch:
        batch = desk.batch_status(found.id, org, most_failures=_FAILURES)
        if as_json:
            say_json({"kind": "batch", **batch.report, "failed": batch.failed})
        else:
            say_lines(batch_lines(batch))
        return
    run = desk.run_status(found.id, org)
    if as_json:
        say_json({"kind": "run", **run})
    else:
        say_lines(run_lines(run))
