"""Writes docs/cli.md from the command line itself: run it as `python -m scripts.cli_reference`."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

from dagy_queue.operate.cancelling import CancelReport
from dagy_queue.operate.cli import COMMANDS, app
from dagy_queue.operate.commands.retry import RetryReport
from dagy_queue.operate.container_logs.rendering import LogLine
from dagy_queue.operate.doctor.checks import DoctorReport
from dagy_queue.operate.exit_codes import MEANINGS
from dagy_queue.operate.following.screens import LookReport
from dagy_queue.operate.results import ResultReport
from dagy_queue.outcomes import Outcome
from dagy_queue.producer.batch_report import BatchStatusReport, FailedShard
from dagy_queue.producer.explanation import Explanation
from dagy_queue.producer.results import RunStatusReport

HEAD = """# The command line

`dagy-queue COMMAND --help` says what is on this page. [How to use it](command-line.md) shows the commands at work.

Everywhere:

- An id is the id of a run or of a batch, or `BATCH:INDEX` for a shard, counted from 0. Ids are given whole.
- Results go to stdout, everything else to stderr: errors, hints, the progress of `--wait`.
- `--json` prints JSON in the forms [below](#json). New keys may come, those there are stay.
- There is no colour in a pipe, nor where `NO_COLOR` is set.
- `DAGY_ORG_ID` stands for `--org`, and so does `org_id` under `[records]` in the settings file. No other org's runs are
  read then.
- `dagy-queue --install-completion` completes commands and options in your shell.

## Exit codes
"""
TAIL = """
This page is made by `python -m scripts.cli_reference`.
"""
JSON_HEAD = """## JSON

`list` prints a list of runs and batches, `status`, `launch` and `fan-out` one of them; each has a `kind`, `run` or
`batch`, and what `status` prints of a batch has `failed` as well, a list of some shards that failed. `watch` prints
a line for each look, of a run an explanation for each step; `results` and `logs` print lines; `cancel` prints a list.
Times are ISO 8601 in UTC.
"""
SHAPES = (
    ("A run", "status, list, launch", RunStatusReport),
    ("A batch", "status, list, fan-out", BatchStatusReport),
    ("A failed shard", "status", FailedShard),
    (
        "An outcome",
        "`outcome` in all of them, and of RunFailed; what has nothing to say is left out",
        Outcome,
    ),
    ("An explanation", "explain, watch of a run", Explanation),
    ("A look", "watch", LookReport),
    ("A result", "results", ResultReport),
    ("A line of a log", "logs", LogLine),
    ("What was cancelled", "cancel", CancelReport),
    ("What was launched again", "retry", RetryReport),
    ("The doctor's report", "doctor", DoctorReport),
)


def reference() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_exit_codes(), *_commands(), JSON_HEAD, *_shapes()]).rstrip() + "\n" + TAIL


def _exit_codes() -> Iterator[str]:
    yield "| code | |\n|---|---|"
    for code, meaning in MEANINGS.items():
        yield f"| {code.value} | {meaning} |"
    yield "\n`launch --wait`, and `watch` of a run, pass the container's own exit code on instead.\n"


def _commands() -> Iterator[str]:
    root: Any = typer.main.get_command(app)
    for section in dict.fromkeys(command.section for command in COMMANDS):
        yield f"## {section}\n"
        for name in [command.name for command in COMMANDS if command.section == section]:
            yield from _command(root.commands[name], f"dagy-queue {name}")


def _command(command: Any, path: str) -> Iterator[str]:
    yield f"### {path.removeprefix('dagy-queue ')}\n"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield f"{' '.join(paragraph.split())}\n"
    commands = getattr(command, "commands", {})
    if not commands:
        yield f"```\n{_usage(command, path)}\n```\n"
        if options := [param for param in command.params if param.param_type_name == "option"]:
            yield "| option | default | |\n|---|---|---|"
            yield from (_option(option) for option in options)
            yield ""
    for name, sub in commands.items():
        yield from _command(sub, f"{path} {name}")


def _usage(command: Any, path: str) -> str:
    words = [path, "[OPTIONS]"]
    for param in command.params:
        if param.param_type_name == "argument":
            name = param.metavar or param.name.upper()
            name = f"{'-- ' * (name == 'COMMAND')}{name}{'...' * (param.nargs == -1)}"
            words.append(name if param.required else f"[{name}]")
    return " ".join(words)


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    metavar = f" {option.metavar}" if option.metavar else ""
    variable = f" (`{option.envvar}`)" if option.envvar else ""
    return f"| {names}{_escaped(metavar)}{variable} | {_default(option)} | {_escaped(option.help or '')} |"


def _default(option: Any) -> str:
    value = option.default
    if option.required:
        return "required"
    return "" if callable(value) or value in (None, "", False, (), []) else f"`{value}`"


def _shapes() -> Iterator[str]:
    for name, where, shape in SHAPES:
        yield f"### {name}\n\nOf {where}.\n\n| key | type | |\n|---|---|---|"
        for key, kind, about in _keys(shape):
            yield f"| `{key}` | {_escaped(kind)} | {_escaped(about)} |"
        yield ""


def _keys(shape: type) -> Iterator[tuple[str, str, str]]:
    """Yield each key of a class with its type and the text below it, from the source: also those that it inherits."""
    for base in getattr(shape, "__orig_bases__", ()):
        if inspect.isclass(base) and base.__module__ == shape.__module__:
            yield from _keys(base)
    (body,) = [node.body for node in ast.parse(inspect.getsource(shape)).body if isinstance(node, ast.ClassDef)]
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, _type(ast.unparse(node.annotation)), _text(following)


def _type(annotation: str) -> str:
    """Return a type of Python in the words of JSON."""
    found = re.sub(r"Literal\[.*\]|Kind", "str", annotation)
    found = re.sub(r"(Sequence|tuple)\[.*", "list", found).replace("None", "null")
    found = re.sub(r"Mapping\[.*\]", "object", found)
    for name, word in (("str", "string"), ("int", "integer"), ("float", "number"), ("bool", "true or false")):
        found = re.sub(rf"\b{name}\b", word, found)
    return found.replace(" | ", " or ").replace("Any", "anything")


def _text(node: ast.AST | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(re.sub(r":meth:`([\w.]+)`", r"`\1`", node.value.value).replace("``", "`").split())
    return ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
