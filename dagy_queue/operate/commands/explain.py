"""``dagy-queue explain``: what became of a run and what comes next; of a batch, why its shards failed."""

from __future__ import annotations

from dagy_queue.operate.commands.parts import AsJson, OnlyOrg, TargetId
from dagy_queue.operate.output import note, say_json, say_lines


def explain(target: TargetId, as_json: AsJson = False, org: OnlyOrg = "") -> None:
    """Say why a run is where it is, and what comes next.

    That is how its last attempt ended, what to do about it, the end of its log, and what happens next. Of a batch, its
    first failure is explained, or else its first shard.
    """
    from dagy_queue.operate.container_logs.last_lines import with_log_lines
    from dagy_queue.operate.explain import as_lines
    from dagy_queue.operate.finding import Desk

    desk = Desk()
    found = desk.find(target, org)
    shown = desk.telling_shard(found.id, org) if found.is_batch else desk.explanation(found.id, org)
    if found.is_batch:
        run_id = shown["run_id"]
        note(f"{target} is a batch; this is its shard {run_id}. `dagy-queue status {target}` shows all of it")
    explanation = with_log_lines(shown, desk.settings)
    if as_json:
        say_json(explanation)
    else:
        say_lines(as_lines(explanation))
