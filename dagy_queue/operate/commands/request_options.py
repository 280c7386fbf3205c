"""The options that say what to run: of ``launch`` and of ``fan-out``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand


class BehindDashes(TyperCommand):
    """A command whose COMMAND is the words behind the first ``--``, whatever they look like, and no others.

    By itself the parser drops the ``--``, and takes the first word behind it for FLOW where that was left out.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what is before ``--``; words without a place there become ``ctx.args``."""
        before, behind = _split(args)
        super().parse_args(ctx, before)
        ctx.args = list(ctx.params["command"] or ())
        ctx.params["command"] = behind
        return ctx.args  # type: ignore[no-any-return]


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    at = words.index("--") if "--" in words else len(words)
    return list(words[:at]), list(words[at + 1 :])


FlowName = Annotated[
    str, typer.Argument(metavar="FLOW", help="name of a flow; or leave it out and give --image", show_default=False)
]
Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="COMMAND", help="behind --: replaces the command of a container's image", show_default=False
    ),
]
Version = Annotated[str, typer.Option("--version", help="version of the flow; the newest if left out")]
Image = Annotated[str, typer.Option("--image", help="run a container of this image")]
TaskDefinition = Annotated[
    str, typer.Option("--task-definition", help="run a container by family, family:revision or ARN")
]
Params = Annotated[
    list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="a parameter; JSON, else text")
]
Parameters = Annotated[str, typer.Option("--parameters", metavar="JSON|@FILE", help="parameters as a JSON object")]
Environment = Annotated[str, typer.Option("--environment", help="develop, staging, production or a name of yours")]
Deployment = Annotated[str, typer.Option("--deployment", help="named deployment: packages and defaults")]
Profile = Annotated[str, typer.Option("--profile", help="execution profile of the settings")]
Workload = Annotated[str, typer.Option("--size", help="small, medium, large, xlarge, heavy or max")]
Cpu = Annotated[str, typer.Option("--cpu", help="CPU units, or such as '2 vCPU'")]
Memory = Annotated[str, typer.Option("--memory", help="MiB, or such as '4 GB'")]
Env = Annotated[list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="a variable of the container")]
Secrets = Annotated[
    list[str] | None, typer.Option("--secret", metavar="NAME=ARN", help="a variable that ECS fills from a secret")
]
Retries = Annotated[int | None, typer.Option("--retries", min=0, help="attempts after a failure of the code")]
Priority = Annotated[int | None, typer.Option("--priority", min=0, max=9, help="0 goes first")]
Correlation = Annotated[str, typer.Option("--correlation-id", help="trace id; one is made if left out")]
More = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="any other field of a request; JSON, else text"),
]
