"""``dagy-queue flower``: its options. ``operate/cli.py`` adds the command; ``operate/flower/starting.py`` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TAKES_FLOWERS_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}


def flower(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="port; default: 5555")] = None,
    address: Annotated[
        str | None, typer.Option(help="address; default: 127.0.0.1. Any that others reach needs a login")
    ] = None,
    basic_auth: Annotated[
        list[str] | None,
        typer.Option(
            help="a login, user:password; safer in FLOWER_BASIC_AUTH. Without one, runs can only be looked at"
        ),
    ] = None,
    max_tasks: Annotated[int | None, typer.Option(min=1, help="runs and tasks kept in memory; default: 10000")] = None,
    persistent: Annotated[
        Path | None, typer.Option(help="keep them in this file, so that they are there after a restart")
    ] = None,
    url_prefix: Annotated[str | None, typer.Option(help="path that Flower is served under, behind a proxy")] = None,
) -> None:
    """Run Flower.

    It shows every run with its live state, what failed and why, and has a button to end it.
    Options of Flower's own follow as --name=value; its environment variables (FLOWER_...) count as well.
    """
    from dagy_queue.operate.flower.starting import FlowerOptions, run_flower

    run_flower(
        FlowerOptions(
            port=port,
            address=address,
            basic_auth=tuple(basic_auth or ()),
            max_tasks=max_tasks,
            persistent=persistent,
            url_prefix=url_prefix,
            others=tuple(context.args),
        )
    )
