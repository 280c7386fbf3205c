"""``dagy-queue fan-out``: one run per shard, from a grid, a range, a file, standard input or a manifest in S3."""

from __future__ import annotations

from typing import Annotated

import typer

from dagy_queue.operate.commands import request_options as ask
from dagy_queue.operate.commands.parts import AsJson, Org, Quiet, Wait, WaitTimeout, check_is_read_after, check_waiting
from dagy_queue.operate.output import console, is_for_people, note, say, say_json


def _checked_form(form: str) -> str:
    if form not in ("jsonl", "csv"):
        raise typer.BadParameter(f"{form!r} is not jsonl or csv")
    return form


def fan_out(  # noqa: PLR0913, PLR0917 - one parameter an option
    ctx: typer.Context,
    flow: ask.FlowName = "",
    command: ask.Command = None,
    grid: Annotated[
        list[str] | None, typer.Option("--grid", metavar="NAME=A,B,C", help="values of a name; several make a grid")
    ] = None,
    numbers: Annotated[
        list[str] | None, typer.Option("--range", metavar="NAME=START:STOP[:STEP]", help="numbers of a name")
    ] = None,
    file: Annotated[str, typer.Option("--file", "-f", help=".jsonl or .csv, also .gz; - is standard input")] = "",
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="COLUMN=TYPE", help="of a CSV column: int, float, bool, json")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="of standard input: jsonl or csv", callback=_checked_form)
    ] = "jsonl",
    manifest: Annotated[str, typer.Option(metavar="S3-URI", help="object with a shard in each line")] = "",
    task_count: Annotated[
        int | None, typer.Option(min=1, help="so many shards that differ in their number only")
    ] = None,
    org: Org = "",
    version: ask.Version = "",
    image: ask.Image = "",
    task_definition: ask.TaskDefinition = "",
    param: ask.Params = None,
    parameters: ask.Parameters = "",
    environment: ask.Environment = "",
    deployment: ask.Deployment = "",
    profile: ask.Profile = "",
    size: ask.Workload = "",
    cpu: ask.Cpu = "",
    memory: ask.Memory = "",
    env: ask.Env = None,
    secret: ask.Secrets = None,
    retries: ask.Retries = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="containers that wait or run at once")] = None,
    tolerate: Annotated[str, typer.Option(help="shards that may fail: a number, or 5%")] = "",
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="cancel the others once too many have failed")] = False,
    timeout: Annotated[str, typer.Option(help="of the whole batch: 45m, 2h15m30s")] = "",
    shards_per_run: Annotated[int | None, typer.Option(min=1, help="shards that one container works through")] = None,
    priority: ask.Priority = None,
    correlation_id: ask.Correlation = "",
    batch_id: Annotated[str, typer.Option(help="an id of yours, a UUID; the same id fans out once")] = "",
    more: ask.More = None,
    watch: Annotated[bool, typer.Option("--watch", help="follow it on a live screen")] = False,
    wait: Wait = False,
    wait_timeout: WaitTimeout = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Launch one run per shard and print the batch's id.

    With --wait or --watch it is followed to its end, and the exit code is 0 if it succeeded, 1 if not.

    A flow: dagy-queue fan-out sales --org acme --grid year=2023,2024 --grid region=eu,us

    A container, whose command takes the values: dagy-queue fan-out --org acme --image python:3.12-slim --range
    year=1999:2020 -- python analyze.py --year {year}
    """
    check_waiting(wait or watch, wait_timeout)
    check_is_read_after(org, wait=wait, watch=watch, json=as_json)
    from dagy_queue.operate.finding import Desk, Target
    from dagy_queue.operate.request_fields import Words, saying_whose, value_of
    from dagy_queue.operate.shard_sources import check_places, has_blanks, into_command, source_of
    from dagy_queue.producer.fan_out import fan_out as publish

    source = source_of(
        grids=grid or (), ranges=numbers or (), file=file, manifest_uri=manifest, types=types or (), form=form
    )
    if source is None and task_count is None:
        raise typer.BadParameter("say what the shards are: --grid, --range, --file, --manifest or --task-count")
    words = Words(
        flow=flow,
        command=command or (),
        astray=ctx.args,
        version=version,
        image=image,
        task_definition=task_definition,
        parameters=parameters,
        params=param,
        env=env,
        secrets=secret,
        more=more,
        plain={
            "org_id": org,
            "environment": environment,
            "deployment_name": deployment,
            "profile": profile,
            "workload_profile": size,
            "cpu": cpu,
            "memory": memory,
            "max_retries": retries,
            "priority": priority,
            "correlation_id": correlation_id,
            "max_parallel": max_parallel,
            "tolerate": value_of(tolerate),
            "fail_fast": fail_fast or None,
            "timeout": timeout,
            "shards_per_run": shards_per_run,
            "task_count": task_count,
        },
    )
    fields = words.fields()
    if source is not None and words.is_container:
        if has_blanks(words.command):
            source = into_command(words.command, source)
            fields.pop("command")
        else:
            check_places(words.command, source)
    desk = Desk()
    with saying_whose():
        batch = publish(shards=source, batch_id=batch_id or None, launcher=desk.launcher, **fields)
    if not as_json:
        say(batch.batch_id)
        if is_for_people() and not (quiet or wait or watch):
            note(f"fanned out; follow it: {desk.program_for(org)} watch {batch.batch_id}")
    code = 0
    if wait or watch:
        from dagy_queue.operate.following.to_the_end import follow

        shown = console(stderr=True, quiet=quiet)
        code = follow(desk, Target(batch.batch_id, is_batch=True), shown, wait_timeout=wait_timeout)
    known = desk.publisher.batches.get(batch.batch_id)
    if known.is_counted and not (known.total or known.refused or quiet):
        where = "standard input" if file == "-" else file or manifest or "the range"
        note(f"the batch is empty: {where} has no shards, so nothing runs")
    if as_json:
        say_json({"kind": "batch", **desk.batch_status(batch.batch_id).report})
    raise typer.Exit(code)
