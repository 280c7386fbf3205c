"""The command line, ``dagy-queue``: its commands put together, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from dagy_queue import __version__
from dagy_queue.errors import DagyQueueError
from dagy_queue.operate.commands.api import api, api_token
from dagy_queue.operate.commands.cancel import cancel
from dagy_queue.operate.commands.config import config
from dagy_queue.operate.commands.dep import dep_app
from dagy_queue.operate.commands.deployment import deployment_app
from dagy_queue.operate.commands.dlq import dlq_app
from dagy_queue.operate.commands.doctor import doctor
from dagy_queue.operate.commands.explain import explain
from dagy_queue.operate.commands.fan_out import fan_out
from dagy_queue.operate.commands.flow import flow_app
from dagy_queue.operate.commands.flower import TAKES_FLOWERS_OPTIONS, flower
from dagy_queue.operate.commands.launch import launch
from dagy_queue.operate.commands.listing import list_runs
from dagy_queue.operate.commands.logs import logs
from dagy_queue.operate.commands.parts import Sections
from dagy_queue.operate.commands.processes import bridge, dispatcher, up
from dagy_queue.operate.commands.request_options import BehindDashes
from dagy_queue.operate.commands.results import results
from dagy_queue.operate.commands.retry import retry
from dagy_queue.operate.commands.status import status
from dagy_queue.operate.commands.tables import tables_app
from dagy_queue.operate.commands.watch import watch
from dagy_queue.operate.exit_codes import exit_code_of
from dagy_queue.operate.output import PROGRAM, complain, say
from dagy_queue.operate.streams import lead_nowhere, prepare_streams

app = typer.Typer(
    name=PROGRAM,
    cls=Sections,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Command(NamedTuple):
    """A command or group of the command line."""

    section: str
    """Of the help."""
    name: str
    run: Callable[..., None] | typer.Typer
    context: Mapping[str, Any] = {}
    """Typer's context settings, where a command has its own."""
    parser: type[TyperCommand] = TyperCommand
    """What reads its words."""


COMMANDS = (
    Command("Launch", "launch", launch, parser=BehindDashes),
    Command("Launch", "fan-out", fan_out, parser=BehindDashes),
    Command("See", "status", status),
    Command("See", "list", list_runs),
    Command("See", "watch", watch),
    Command("See", "explain", explain),
    Command("See", "logs", logs),
    Command("See", "results", results),
    Command("Steer", "cancel", cancel),
    Command("Steer", "retry", retry),
    Command("Operate", "doctor", doctor),
    Command("Operate", "config", config),
    Command("Operate", "dlq", dlq_app),
    Command("Operate", "tables", tables_app),
    Command("Operate", "api-token", api_token),
    Command("Register", "flow", flow_app),
    Command("Register", "dep", dep_app),
    Command("Register", "deployment", deployment_app),
    Command("Processes", "up", up),
    Command("Processes", "dispatcher", dispatcher),
    Command("Processes", "bridge", bridge),
    Command("Processes", "flower", flower, TAKES_FLOWERS_OPTIONS),
    Command("Processes", "api", api),
)
"""In the order in which the help has them."""

for _each in COMMANDS:
    if isinstance(_each.run, typer.Typer):
        _each.run.rich_markup_mode = None
        app.add_typer(_each.run, name=_each.name, rich_help_panel=_each.section)
    else:
        settings = dict(_each.context)
        app.command(_each.name, cls=_each.parser, rich_help_panel=_each.section, context_settings=settings)(_each.run)


def _show_version(asked: bool) -> None:
    if asked:
        say(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="show the version", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """An event-driven Celery queue for Python work on AWS ECS Fargate."""


@cache
def _command() -> Any:
    """Return the command line as click has it. Typer itself makes it anew at each call, which takes a while."""
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error of ours is one message, and an exit code by its kind."""
    prepare_streams()
    try:
        _command()(args=arguments, prog_name=PROGRAM)
    except DagyQueueError as exc:
        try:
            complain(exc)
        except OSError:  # who cannot be told has the exit code
            lead_nowhere(sys.stderr)
        sys.exit(exit_code_of(exc))


if __name__ == "__main__":
    main()
