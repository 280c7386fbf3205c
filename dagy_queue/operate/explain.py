"""How ``dagy-queue explain`` shows what became of a run: as lines for people; or why there is none."""

from __future__ import annotations

from collections.abc import Iterator

from dagy_queue.errors import BatchNotFound, RedisUnavailable
from dagy_queue.producer.explanation import Explanation
from dagy_queue.producer.publisher import default_publisher


def as_lines(found: Explanation) -> Iterator[str]:
    """Yield the lines, without those that have nothing to say."""
    phase = "" if found["phase"] == found["status"] else f" ({found['phase']})"
    rows = (
        ("run", found["run_id"]),
        ("org", found["org_id"]),
        ("image", found["image"]) if found["image"] else ("flow", found["flow_name"]),
        ("correlation", found["correlation_id"]),
        ("batch", _batch(found)),
        ("status", f"{found['status']}{phase}"),
        ("attempt", _attempts(found)),
        ("size", _size(found)),
        ("created", found["created_at"] or ""),
        ("started", found["started_at"] or ""),
        ("ended", found["ended_at"] or ""),
        ("what happened", found["summary"]),
        ("detail", found["detail"]),
        ("what to do", found["resolution"]),
        ("exit code", "" if found["exit_code"] is None else str(found["exit_code"])),
        ("task", found["task_arn"]),
        ("log", found["log"]),
        ("next", found["next"]),
    )
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        for number, line in enumerate(text.splitlines()):
            yield f"{'' if number else name:<{width}}  {line}"


def not_found(run_id: str, org: str) -> str:
    """Say that there is no such run, and what the id is if it is a batch's."""
    if not org and _is_batch(run_id):
        return (
            f"{run_id!r} is a batch, not a run: BatchHandle({run_id!r}).progress() counts its shards; explain one of "
            f"them by its own id, BatchHandle({run_id!r}).shard(0).run_id"
        )
    return f"there is no run {run_id!r}{f' of org {org!r}' if org else ''}"


def _is_batch(run_id: str) -> bool:
    try:
        default_publisher().batches.get(run_id)
    except (BatchNotFound, RedisUnavailable):  # direct mode may have no Redis at all
        return False
    return True


def _attempts(found: Explanation) -> str:
    paid = ", ".join(_paid(found, *each) for each in sorted(found["retries_of"].items()))
    return f"{found['attempt']}{f' (retries: {paid})' if paid else ''}"


def _paid(found: Explanation, budget: str, count: int) -> str:
    limit = found["limits"].get(budget)
    return f"{count} of {budget}" if limit is None else f"{count} of {limit} {budget}"


def _batch(found: Explanation) -> str:
    return found["batch_id"] if found["shard"] is None else f"{found['batch_id']}, shard {found['shard']}"


def _size(found: Explanation) -> str:
    return f"{found['cpu']} CPU units, {found['memory']} MiB" if found["memory"] else ""
