"""The command line, ``dagy-queue``. Commands import what they need when they run, so that ``--help`` is quick."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dagy_queue import __version__
from dagy_queue.errors import DagyQueueError
from dagy_queue.operate.dlq import dlq_app

app = typer.Typer(
    name="dagy-queue",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
flow_app = typer.Typer(help="Register flows.", no_args_is_help=True)
app.add_typer(flow_app, name="flow")
app.add_typer(dlq_app, name="dlq")

LEVELS = ("debug", "info", "warning", "error")


def _checked_level(level: str) -> str:
    if level not in LEVELS:
        raise typer.BadParameter(f"{level!r} is not one of {', '.join(LEVELS)}")
    return level


def _checked_url(url: str) -> str:
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        raise typer.BadParameter(f"{url!r} is no URL that begins with redis://, rediss:// or unix://")
    return url


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dagy-queue {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="show the version", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """An event-driven Celery queue for Python work on AWS ECS Fargate."""


LogLevel = Annotated[str, typer.Option("--log-level", help=", ".join(LEVELS), callback=_checked_level)]


@app.command()
def up(  # noqa: PLR0913, PLR0917 - one parameter an option
    redis_port: Annotated[int, typer.Option(min=1, max=65535, help="port of the embedded Redis")] = 6399,
    aws_port: Annotated[int, typer.Option(min=1, max=65535, help="port of the local AWS endpoint")] = 4566,
    flower_port: Annotated[int, typer.Option(min=1, max=65535, help="port of Flower")] = 5555,
    redis_url: Annotated[
        str, typer.Option(callback=_checked_url, help="use this Redis instead of an embedded one")
    ] = "",
    dispatchers: Annotated[int, typer.Option(min=1, help="number of dispatchers")] = 1,
    flower: Annotated[bool, typer.Option(help="start Flower")] = True,
    data_dir: Annotated[Path | None, typer.Option(help="keep Redis's data here")] = None,
    env_file: Annotated[Path, typer.Option(help="where the environment is written")] = Path(".dagy/env"),
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="show every process's log")] = False,
) -> None:
    """Start the whole stack on this machine: Redis, AWS, dispatcher, bridge, Flower. Ctrl-C stops it."""
    from dagy_queue.local.up import UpOptions, run_up

    options = UpOptions(
        redis_port=redis_port,
        aws_port=aws_port,
        flower_port=flower_port,
        redis_url=redis_url or None,
        dispatchers=dispatchers,
        no_flower=not flower,
        data_dir=data_dir,
        verbose=verbose,
        env_file=env_file,
    )
    raise typer.Exit(run_up(options))


@app.command()
def dispatcher(
    concurrency: Annotated[int, typer.Option(help="threads that park and finish runs; 0 takes the setting")] = 0,
    name: Annotated[str, typer.Option(help="name of the worker in Flower")] = "",
    log_level: LogLevel = "info",
) -> None:
    """Run a dispatcher: it parks runs, launches them on ECS and finishes them."""
    from dagy_queue.dispatch.worker import run_dispatcher
    from dagy_queue.operate.log_setup import configure_logging
    from dagy_queue.settings import settings

    configure_logging(log_level)
    raise typer.Exit(run_dispatcher(settings(), concurrency=concurrency or None, name=name, loglevel=log_level))


@app.command()
def bridge(log_level: LogLevel = "info") -> None:
    """Run the bridge: it reads ECS events from SQS and resumes parked runs."""
    from dagy_queue.bridge.service import run_bridge
    from dagy_queue.operate.log_setup import configure_logging
    from dagy_queue.settings import settings

    configure_logging(log_level)
    run_bridge(settings())


@app.command()
def config(
    show_origin: Annotated[bool, typer.Option("--show-origin", help="say where each value is from")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show every setting as this process reads it; passwords are hidden."""
    from dagy_queue.operate.configuration import as_json as json_of
    from dagy_queue.operate.configuration import as_lines
    from dagy_queue.settings import current_origins

    found = current_origins()
    if as_json:
        typer.echo(json_of(found, show_origin=show_origin))
        return
    for line in as_lines(found, show_origin=show_origin):
        typer.echo(line)


@app.command()
def explain(
    run_id: Annotated[str, typer.Argument(help="the run, or the Celery task: their ids are the same")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    org: Annotated[str, typer.Option(help="only if the run is this org's")] = "",
) -> None:
    """Say how a run is doing: how its last attempt ended, what to do about it, and what happens next."""
    from dagy_queue.operate.explain import as_lines, not_found
    from dagy_queue.producer import DagLauncher

    if not run_id.strip():
        raise typer.BadParameter("give the id of a run: launch(...).run_id", param_hint="RUN_ID")
    found = DagLauncher().explain(run_id, org_id=org)
    if found is None:
        typer.echo(f"dagy-queue: {not_found(run_id, org)}", err=True)
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in as_lines(found):
        typer.echo(line)


@flow_app.command("push")
def flow_push(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Python file that defines the flow")],
    org: Annotated[str, typer.Option(help="org that owns the flow")],
    version: Annotated[str | None, typer.Option(help="version; default: the flow's own")] = None,
    flow: Annotated[str | None, typer.Option(help="which flow, if the file has several")] = None,
) -> None:
    """Build a flow's artifact, upload it and register the version."""
    from dagy_queue.operate.flows import push_flow
    from dagy_queue.settings import settings

    pushed = push_flow(settings(), file, org_id=org, version=version, flow=flow)
    typer.echo(f"registered {pushed.name} {pushed.version} for {pushed.org_id}: {pushed.artifact_uri}")


def main() -> None:
    """Run the command line; an error of ours is one message and exit code 1."""
    try:
        app()
    except DagyQueueError as exc:
        typer.echo(f"dagy-queue: {exc}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
