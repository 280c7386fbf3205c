"""What several commands have in common: options, groups, and help in sections."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup


def _org_of_process() -> str:
    from dagy_queue.settings import settings

    return settings().records.org_id


def check_is_read(org: str) -> None:
    """Refuse to read an org's runs in a process that reads another's alone. Raises typer's BadParameter."""
    if why := _why_not_read(org):
        raise typer.BadParameter(f"{why}: leave --org out, or change DAGY_ORG_ID (records.org_id)")


def check_is_read_after(org: str, **options: bool) -> None:
    """Refuse options of a launch that read what it launches where :func:`check_is_read` does.

    Raises typer's BadParameter.
    """
    typed = [f"--{name.replace('_', '-')}" for name, is_given in options.items() if is_given]
    if typed and (why := _why_not_read(org)):
        reading = " and ".join(typed)
        raise typer.BadParameter(
            f"nothing was launched: {why}. Leave {reading} out to launch for {org!r} all the same, or change "
            "DAGY_ORG_ID (records.org_id)"
        )


def _why_not_read(org: str) -> str:
    only = _org_of_process()
    if org and only and org != only:
        return f"runs of {org!r} are not read here, but those of {only!r} alone"
    return ""


def _org_to_launch_for(ctx: typer.Context, param: typer.CallbackParam, org: str) -> str:
    _check_is_said(ctx, param, org)
    return org or _org_of_process()


def _org_to_read(ctx: typer.Context, param: typer.CallbackParam, org: str) -> str:
    _check_is_said(ctx, param, org)
    check_is_read(org)
    return org or _org_of_process()


def _check_is_said(ctx: typer.Context, param: typer.CallbackParam, org: str) -> None:
    """Refuse an org that was typed and is empty, such as a shell's variable that is not set."""
    source = ctx.get_parameter_source(param.name or "")
    if not org and source is not None and source.name == "COMMANDLINE":
        raise typer.BadParameter("it is empty: name an org, or leave --org out")


_OF_ORG: Any = {"envvar": "DAGY_ORG_ID", "show_default": False}
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
Org = Annotated[str, typer.Option("--org", help="the org it belongs to", callback=_org_to_launch_for, **_OF_ORG)]
OnlyOrg = Annotated[str, typer.Option("--org", help="only what is this org's", callback=_org_to_read, **_OF_ORG)]
TargetId = Annotated[
    str, typer.Argument(metavar="RUN|BATCH", help="the id of a run or a batch, or BATCH:INDEX for a shard")
]
TargetIds = Annotated[
    list[str], typer.Argument(metavar="RUN|BATCH", help="ids of runs and batches, or BATCH:INDEX for a shard")
]
Since = Annotated[
    str, typer.Option("--since", help="only what is newer: 10m, 2h, or a time such as 2026-01-31T12:00:00")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print nothing but ids and results")]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="wait for the end")]
LEVELS = ("debug", "info", "warning", "error")


def _checked_wait_timeout(text: str) -> str:
    """Refuse what is no time, before anything is launched."""
    if text:
        from dagy_queue.operate.following.to_the_end import seconds

        seconds(text)
    return text


WaitTimeout = Annotated[
    str,
    typer.Option(
        "--wait-timeout",
        help="wait no longer than this: 90s, 45m, 2h; it goes on all the same",
        callback=_checked_wait_timeout,
    ),
]


def check_waiting(waits: bool, wait_timeout: str) -> None:
    """Refuse a timeout of a waiting that was not asked for. Raises typer's BadParameter."""
    if wait_timeout and not waits:
        raise typer.BadParameter("--wait-timeout limits the waiting that --wait asks for: say --wait as well")


def _checked_level(level: str) -> str:
    if level not in LEVELS:
        raise typer.BadParameter(f"{level!r} is not one of {', '.join(LEVELS)}")
    return level


LogLevel = Annotated[str, typer.Option("--log-level", help=", ".join(LEVELS), callback=_checked_level)]


class Sections(TyperGroup):
    """A group whose help lists its commands by what they are for, in the order in which they were added."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each ``rich_help_panel``."""
        names = self.list_commands(ctx)
        width = max(map(len, names))
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            command: Any = self.get_command(ctx, name)
            about = command.get_short_help_str(formatter.width - width - 6)
            sections.setdefault(command.rich_help_panel or "Commands", []).append((name.ljust(width), about))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


def group(about: str) -> typer.Typer:
    """Return a group of commands. Its help is plain text: laying it out with rich takes longer than most commands."""
    return typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None)
