"""``dagy-queue doctor``: whether everything is there that runs need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dagy_queue.operate.commands.parts import AsJson
from dagy_queue.operate.exit_codes import ExitCode
from dagy_queue.operate.output import console, say_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagy_queue.operate.doctor.checks import Check

_STYLES = {"ok": "green", "skipped": "dim", "warning": "yellow", "error": "bold red"}


def doctor(
    canary: Annotated[bool, typer.Option("--canary", help="launch a real run as well, and wait for it")] = False,
    canary_image: Annotated[str, typer.Option(help="launch a container of this image instead of a flow")] = "",
    canary_timeout: Annotated[float, typer.Option(min=1, help="seconds to wait for it")] = 300.0,
    as_json: AsJson = False,
) -> None:
    """Look at everything that runs need, and say how to mend it.

    That is Redis, dispatchers and bridge, clocks, AWS credentials, cluster, roles, log group, buckets, tables, and the
    way of events. Nothing is changed; --canary registers a flow of the org dagy-doctor and launches it. Exits with 1 if
    there are errors.
    """
    from dagy_queue.operate.doctor.checks import as_json as json_of
    from dagy_queue.operate.doctor.checks import has_errors, verdict
    from dagy_queue.operate.doctor.examination import examine, fly
    from dagy_queue.operate.finding import Desk

    desk = Desk()
    found = list(_shown(examine(desk), quiet=as_json))
    if canary or canary_image:
        found += _shown(fly(desk, canary_image, canary_timeout), quiet=as_json)
    if as_json:
        say_json(json_of(found))
    else:
        console().print(f"\n{verdict(found)}", markup=False)
    if has_errors(found):
        raise typer.Exit(ExitCode.ERROR)


def _shown(checks: Iterator[Check], *, quiet: bool) -> Iterator[Check]:
    """Pass checks on, and print each as it comes."""
    from rich.text import Text

    from dagy_queue.operate.doctor.checks import lines_of

    out = console(quiet=quiet)
    for check in checks:
        mark, *rest = lines_of(check)
        out.print(Text(f"{check.mark.value:<8}", style=_STYLES[check.mark.value]), Text(mark), sep="")
        for line in rest:
            out.print(Text(line))
        yield check
