"""``dagy-queue tables``: making the DynamoDB tables of the registry and the record.

``operate/cli.py`` adds the commands. Like its own, they import what they need when they run.
"""

from __future__ import annotations

from typing import Annotated

import typer

from dagy_queue.operate.commands.parts import AsJson, group
from dagy_queue.operate.commands.registry_parts import print_json

tables_app = group("The DynamoDB tables of the registry and the record.")


@tables_app.callback()
def tables() -> None:
    """The DynamoDB tables of the registry and the record."""


@tables_app.command("create")
def create(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what is missing and make nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Create the tables and indexes that are missing, and wait until they can be used. It may be said again."""
    from dagy_queue.records.tables import TableStep, ensure_tables
    from dagy_queue.settings import settings

    steps: list[TableStep] = []
    for step in ensure_tables(settings(), dry_run=dry_run):
        steps.append(step)
        if not as_json:
            what = f"{step.table} index {step.index}" if step.index else step.table
            typer.echo(f"{what}: {step.done.value}")
    if as_json:
        print_json(steps)
