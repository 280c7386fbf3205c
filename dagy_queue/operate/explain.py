"""How ``dagy-queue explain`` shows what became of a run to people; pure."""

from __future__ import annotations

from collections.abc import Iterator

from dagy_queue.operate.text import aligned
from dagy_queue.outcome_text import attempts_text
from dagy_queue.producer.explanation import Explanation


def as_lines(found: Explanation) -> Iterator[str]:
    """Yield the lines, without those that have nothing to say."""
    phase = "" if found["phase"] == found["status"] else f" ({found['phase']})"
    yield from aligned(
        [
            ("run", found["run_id"]),
            ("org", found["org_id"]),
            ("image", found["image"]) if found["image"] else ("flow", _flow(found)),
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
            ("log ends with", "\n".join(found["log_lines"])),
            ("task", attempts_text(found["task_arns"], found["task_arn"])),
            ("log", found["log"]),
            ("next", found["next"]),
        ]
    )


def _flow(found: Explanation) -> str:
    return f"{found['flow_name']} {found['flow_version']}".strip()


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
