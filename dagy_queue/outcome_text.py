"""How the plain form of an Outcome is told to people, in the same words everywhere; pure, imports nothing of ours.

RunFailed carries it as notes, which Python and Celery print below the error (so Flower's traceback has them), and
``dagy-queue explain`` and ``status`` print it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def outcome_rows(outcome: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what an outcome says besides its summary, as a name and its text; a text may have several lines."""
    summary, detail = str(outcome.get("summary") or ""), str(outcome.get("detail") or "").rstrip()
    if detail and detail not in summary:
        yield "detail", detail
    if resolution := str(outcome.get("resolution") or ""):
        yield "what to do", resolution
    if (code := outcome.get("exit_code")) is not None:
        yield "exit code", str(code)
    if lines := outcome.get("log_lines"):
        yield "log ends with", "\n".join(map(str, lines))
    if tasks := attempts_text(outcome.get("task_arns") or {}, str(outcome.get("task_arn") or "")):
        yield "task", tasks


def attempts_text(task_arns: Mapping[str, str], task_arn: str = "") -> str:
    """Return the ECS task of a run, or the tasks of all its attempts, one in a line."""
    if len(task_arns) <= 1:
        return next(iter(task_arns.values()), task_arn)
    return "\n".join(f"{task_arns[attempt]} (attempt {attempt})" for attempt in sorted(task_arns, key=int))


def outcome_notes(outcome: Mapping[str, Any]) -> Iterator[str]:
    """Yield the rows as notes of an exception: one line each, or a heading with its lines below."""
    for name, text in outcome_rows(outcome):
        lines = text.splitlines()
        yield f"{name}: {lines[0]}" if len(lines) == 1 else "\n  ".join([f"{name}:", *lines])
