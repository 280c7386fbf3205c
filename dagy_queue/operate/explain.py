"""How ``dagy-queue explain`` shows what became of a run: as lines for people; pure."""

from __future__ import annotations

from collections.abc import Iterator

from dagy_queue.producer.explanation import Explanation


def as_lines(found: Explanation) -> Iterator[str]:
    """Yield the lines, without those that have nothing to say."""
    phase = "" if found["phase"] == found["status"] else f" ({found['phase']})"
    rows = (
        ("run", found["run_id"]),
        ("flow", found["flow_name"]),
        ("status", f"{found['status']}{phase}"),
        ("attempt", _attempts(found)),
        ("what happened", found["summary"]),
        ("detail", found["detail"]),
        ("what to do", found["resolution"]),
        ("exit code", "" if found["exit_code"] is None else str(found["exit_code"])),
        ("task", found["task_arn"]),
        ("next", found["next"]),
    )
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        for number, line in enumerate(text.splitlines()):
            yield f"{'' if number else name:<{width}}  {line}"


def _attempts(found: Explanation) -> str:
    paid = ", ".join(f"{count} of {budget}" for budget, count in sorted(found["retries_of"].items()))
    return f"{found['attempt']}{f' (retries: {paid})' if paid else ''}"
