"""``dagy-queue up``, ``dispatcher`` and ``bridge``: the product's own processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dagy_queue.operate.commands.parts import LogLevel


def _checked_url(url: str) -> str:
    if not url:
        return url
    from pydantic import ValidationError

    from dagy_queue.settings import RedisSettings
    from dagy_queue.settings.secrets import without_secrets

    if not url.startswith(("redis://", "rediss://", "unix://")):
        shown = without_secrets(url)
        raise typer.BadParameter(f"{shown!r} is no URL that begins with redis://, rediss:// or unix://")
    try:
        return RedisSettings(url=url).url
    except ValidationError as exc:
        raise typer.BadParameter(exc.errors()[0]["msg"]) from None


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
    """Start the whole stack on this machine.

    That is Redis, AWS, dispatcher, bridge and Flower, all on loopback. Ctrl-C stops it.
    """
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


def dispatcher(
    concurrency: Annotated[int, typer.Option(min=0, help="threads that park and finish runs; 0 takes the setting")] = 0,
    name: Annotated[str, typer.Option(help="name of the worker in Flower")] = "",
    log_level: LogLevel = "info",
) -> None:
    """Run a dispatcher.

    It parks runs, launches them on ECS and finishes them.
    """
    from dagy_queue.dispatch.worker import run_dispatcher
    from dagy_queue.operate.log_setup import configure_logging
    from dagy_queue.settings import settings

    configure_logging(log_level)
    raise typer.Exit(run_dispatcher(settings(), concurrency=concurrency or None, name=name, loglevel=log_level))


def bridge(log_level: LogLevel = "info") -> None:
    """Run the bridge.

    It reads ECS events from SQS, resumes parked runs, and keeps their record.
    """
    from dagy_queue.bridge.service import run_bridge
    from dagy_queue.operate.log_setup import configure_logging
    from dagy_queue.settings import settings

    configure_logging(log_level)
    run_bridge(settings())
