"""The worker's answer: the RunReport at ``result_uri``, the result beside it if it is large, the traceback if any.

A result is the flow's own data: it is written as it is, secrets and all. Errors are written without secrets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from dagy.contract import INLINE_RESULT_BYTES, ErrorReport, ReportStatus, RunReport
from dagy_worker.errors import ResultNotJson
from dagy_worker.storage import Storage

JSON_TYPE = "application/json"
TRACEBACK_FILE = "traceback.txt"
_ROOM = 10
"""How much deeper than a result's own nesting JSON must reach: the report is around it, and is made further down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the attempt ended: with a result (as JSON) or with an error."""

    exit_code: int
    result: bytes = b"null"
    error: ErrorReport | None = None
    tasks: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> ReportStatus:
        """The status that goes into the report."""
        return ReportStatus.SUCCEEDED if self.error is None else ReportStatus.FAILED


def encode_result(value: Any) -> bytes:
    """Return the result as JSON. Raises ResultNotJson, naming the type and the place, if that is impossible.

    As in ``json``, tuples become lists and keys that are numbers become strings.
    """
    inside = value
    for _ in range(_ROOM):
        inside = [inside]
    try:
        encoded = json.dumps(inside, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        return encoded[_ROOM:-_ROOM]
    except (TypeError, ValueError, RecursionError) as exc:
        raise ResultNotJson(f"the flow's result is not JSON: {_culprit(value, 'result') or exc}") from exc


def write_report(storage: Storage, report: RunReport, outcome: Outcome, uri: str) -> None:
    """Write the report, and first the result if it does not fit inside."""
    report = replace(report, result_bytes=len(outcome.result))
    if len(outcome.result) <= INLINE_RESULT_BYTES:
        report = replace(report, result=json.loads(outcome.result))
    else:
        result_uri = f"{uri.removesuffix('.json')}.result.json"
        storage.write(result_uri, outcome.result, JSON_TYPE)
        report = replace(report, result_uri=result_uri)
    storage.write(uri, report.to_json().encode(errors="backslashreplace"), JSON_TYPE)


def write_traceback(storage: Storage, traceback: str, uri: str) -> str:
    """Write ``traceback.txt`` under ``uri`` (or to it, if that is what it names); return where it is."""
    if not uri.endswith(".txt"):
        uri = f"{uri.rstrip('/')}/{TRACEBACK_FILE}"
    storage.write(uri, traceback.encode(errors="backslashreplace"), "text/plain; charset=utf-8")
    return uri


def _culprit(value: Any, path: str, depth: int = 0) -> str:
    """Return what is wrong with a value and where, or "" if nothing is."""
    if depth > 200:
        return f"{path[:200]}... is nested too deeply, or contains itself"
    if isinstance(value, dict):
        return _culprit_in_dict(value, path, depth)
    if isinstance(value, list | tuple):
        found = (_culprit(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value))
        return next(filter(None, found), "")
    problem = ""
    if isinstance(value, str):
        problem = _half_of_a_pair(value)
    elif isinstance(value, float):
        problem = "" if isfinite(value) else f" is {value!r}"
    elif value is not None and not isinstance(value, int):
        problem = f" is of type {_type_name(value)}"
    return problem and path + problem


def _culprit_in_dict(value: dict[Any, Any], path: str, depth: int) -> str:
    for key, item in value.items():
        if not (key is None or isinstance(key, str | int | float)):
            return f"{path} has the key {_shown(key)} of type {_type_name(key)}"
        if found := _culprit(key, f"{path} key {key!r}") or _culprit(item, f"{path}[{key!r}]", depth + 1):
            return found
    return ""


def _half_of_a_pair(text: str) -> str:
    """Return what is wrong with a text, and only the character: of a secret that is cut nobody would know it."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        return f" is a string with half of a surrogate pair: {text[exc.start]!r}"
    return ""


def _shown(key: object) -> str:
    try:
        return repr(key)
    except Exception:  # noqa: BLE001 - a class of the user's may do anything
        return "<that cannot be shown>"


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
