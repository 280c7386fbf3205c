"""``dagy-queue launch``: one run of a flow, or of any container."""

from __future__ import annotations

from typing import Annotated

import typer

from dagy_queue.operate.commands import request_options as ask
from dagy_queue.operate.commands.parts import AsJson, Org, Quiet, Wait, WaitTimeout, check_is_read_after, check_waiting
from dagy_queue.operate.output import console, is_for_people, note, say, say_json


def launch(  # noqa: PLR0913, PLR0917 - one parameter an option
    ctx: typer.Context,
    flow: ask.FlowName = "",
    command: ask.Command = None,
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
    timeout: Annotated[str, typer.Option(help="of the run, retries included: 45m, 2h15m30s")] = "",
    priority: ask.Priority = None,
    correlation_id: ask.Correlation = "",
    run_id: Annotated[str, typer.Option(help="an id of yours; the same id launches once")] = "",
    more: ask.More = None,
    wait: Wait = False,
    wait_timeout: WaitTimeout = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Launch one run and print its id.

    With --wait it is followed to its end, and its own exit code is passed on.

    A flow: dagy-queue launch greeting --org acme --param name=Ada

    A container: dagy-queue launch --org acme --image python:3.12-slim -- python -c 'print(1)'
    """
    from dagy_queue.operate.finding import Desk, Target
    from dagy_queue.operate.request_fields import Words, saying_whose

    check_waiting(wait, wait_timeout)
    check_is_read_after(org, wait=wait, json=as_json)
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
            "timeout": timeout,
            "priority": priority,
            "correlation_id": correlation_id,
        },
    )
    desk = Desk()
    launched = desk.launcher.launch(words.fields(), run_id=run_id or None)
    with saying_whose():
        launched.raise_for_error()
    if not as_json:
        say(launched.run_id)
        if is_for_people() and not (quiet or wait):
            note(f"launched; follow it: {desk.program_for(org)} watch {launched.run_id}")
    code = 0
    if wait:
        from dagy_queue.operate.following.to_the_end import follow

        code = follow(desk, Target(launched.run_id), console(stderr=True, quiet=quiet), wait_timeout=wait_timeout)
    if as_json:
        say_json({"kind": "run", **desk.run_status(launched.run_id)})
    raise typer.Exit(code)
