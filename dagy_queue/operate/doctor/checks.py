"""What a look at one thing found, and how it is told; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TypedDict

from dagy_queue.aws.refusals import CREDENTIALS, DENIED
from dagy_queue.dispatch.findings import Finding, Level
from dagy_queue.errors import AwsError, AwsRefused
from dagy_queue.operate.text import plural

_NAME_WIDTH = 15


class Mark(StrEnum):
    """How something is."""

    OK = "ok"
    SKIPPED = "skipped"
    """It was not looked at, or there is nothing to look at."""
    WARNING = "warning"
    """It works, or may; something is not as it should be."""
    ERROR = "error"
    """Runs cannot work, or some of them."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    mark: Mark
    what: str
    resolution: str = ""
    """How to mend it."""


def ok(name: str, what: str) -> Check:
    """Return that something is well."""
    return Check(name, Mark.OK, what)


def skipped(name: str, what: str) -> Check:
    """Return that something was not looked at, and why."""
    return Check(name, Mark.SKIPPED, what)


def warning(name: str, what: str, resolution: str) -> Check:
    """Return that something is not as it should be."""
    return Check(name, Mark.WARNING, what, resolution)


def error(name: str, what: str, resolution: str) -> Check:
    """Return that something does not work."""
    return Check(name, Mark.ERROR, what, resolution)


def of_finding(name: str, found: Finding) -> Check:
    """Return what the dispatcher's own health check found."""
    mark = Mark.WARNING if found.level is Level.WARNING else Mark.ERROR
    return Check(name, mark, found.what, found.resolution)


def of_aws_error(name: str, exc: AwsError) -> Check:
    """Return what it means that AWS refused a look, or gave no answer."""
    if exc.code in CREDENTIALS:
        return error(name, str(exc), "give this process a role, or set AWS_PROFILE")
    if exc.code in DENIED:
        return warning(name, f"not known: {exc}", f"allow {exc.operation} to have it looked at")
    if isinstance(exc, AwsRefused):
        return error(name, str(exc), "correct what AWS names, or the setting that leads to it")
    return error(name, str(exc), "check the network, AWS_REGION and AWS_ENDPOINT_URL")


def looked(name: str, look: Callable[[], Iterable[Check]]) -> list[Check]:
    """Return what a look finds; that AWS refuses it is a finding as well."""
    try:
        return list(look())
    except AwsError as exc:
        return [of_aws_error(name, exc)]


def lines_of(check: Check) -> Iterator[str]:
    """Yield the line of a check, without its mark, and below it how to mend what is wrong."""
    yield f" {check.name:<{_NAME_WIDTH}}  {check.what}"
    if check.resolution:
        yield f"{'':<{9 + _NAME_WIDTH}}  -> {check.resolution}"


def verdict(checks: Sequence[Check]) -> str:
    """Return the end of the report."""
    errors, warnings = (sum(check.mark is mark for check in checks) for mark in (Mark.ERROR, Mark.WARNING))
    if not errors + warnings:
        return "everything is as it should be"
    return f"{plural(errors, 'error')}, {plural(warnings, 'warning')}"


class DoctorReport(TypedDict):
    """The whole report, ready for JSON."""

    ok: bool
    """Whether there are no errors."""
    checks: Sequence[Mapping[str, str]]
    """Each as ``name``, ``mark`` (ok, skipped, warning or error), ``what`` and ``resolution``."""


def as_json(checks: Sequence[Check]) -> DoctorReport:
    """Return the report as plain data."""
    return DoctorReport(ok=not has_errors(checks), checks=[asdict(check) for check in checks])


def has_errors(checks: Sequence[Check]) -> bool:
    """Tell whether something does not work."""
    return any(check.mark is Mark.ERROR for check in checks)
