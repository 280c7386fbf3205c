"""The ``dagy`` command: build an artifact, run a flow here, or check that a file holds one.

Exit codes: 0 ok, 1 error, 2 usage, 5 not found (the file, or the flow in it), 130 interrupted. Results go to stdout,
everything else to stderr. 3 (authentication) and 4 (network) are left to commands that use either.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagy import __version__
from dagy.cli_commands import build, run, validate
from dagy.cli_output import Output, show_error
from dagy.errors import DagyError, NotFoundError, ParameterError


class ExitCode:
    """What the command ends with."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 5
    INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    arguments = _parsed(argv)
    output = Output(arguments.format, verbose=arguments.verbose, quiet=arguments.quiet)
    try:
        return ExitCode.OK if arguments.command(arguments, output) else ExitCode.ERROR
    except DagyError as exc:
        show_error(exc)
        return _code_of(exc)
    except BrokenPipeError:  # of `dagy ... | head`: whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as exc:
        output.complain(f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc))
    except KeyboardInterrupt:
        output.complain("interrupted")
        return ExitCode.INTERRUPTED
    return ExitCode.ERROR


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse_args(argv)
    arguments.file, name = arguments.file
    if name and arguments.flow and name != arguments.flow:
        parser.error(f"{arguments.file}: the flow cannot be both {name!r} and {arguments.flow!r}; leave out --flow")
    arguments.flow = name or arguments.flow
    return arguments


def _code_of(exc: DagyError) -> int:
    if isinstance(exc, ParameterError):
        return ExitCode.USAGE
    return ExitCode.NOT_FOUND if isinstance(exc, NotFoundError) else ExitCode.ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dagy",
        description="Build, run and check flows.",
        epilog="Exit codes: 0 ok, 1 error, 2 usage, 5 no such file or flow.",
    )
    parser.add_argument("--version", action="version", version=f"dagy {__version__}")
    _add_common(parser, verbose=False, quiet=False, format="text")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    builder = commands.add_parser("build", help="package a flow as an artifact; prints its SHA-256")
    builder.add_argument("--output", "-o", type=Path, default=Path("artifact.zip"), help="default: %(default)s")
    builder.add_argument("--version", help="default: the flow's own")
    builder.set_defaults(command=build)

    runner = commands.add_parser("run", help="run a flow in this process; prints its result as JSON")
    runner.add_argument("--max-workers", type=_count, metavar="N", help="how many tasks run at once")
    runner.set_defaults(command=run)

    validator = commands.add_parser("validate", help="import a file and show its flows")
    validator.set_defaults(command=validate)

    for command in (runner, validator):
        _add_parameters(command)
    for command in (builder, runner, validator):
        command.add_argument(
            "file", type=_place, metavar="FILE", help="Python file with a flow, or FILE:NAME if it has several"
        )
        command.add_argument("--flow", metavar="NAME", help="which flow, if the file has several")
        # A default here would override what was said before the command.
        _add_common(command, verbose=argparse.SUPPRESS, quiet=argparse.SUPPRESS, format=argparse.SUPPRESS)
    return parser


def _add_common(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument(
        "--verbose", "-v", action="store_true", default=defaults["verbose"], help="tell more, with tracebacks"
    )
    loudness.add_argument(
        "--quiet", "-q", action="store_true", default=defaults["quiet"], help="tell errors and the result only"
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default=defaults["format"], help="of the result; default: text"
    )


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--param",
        type=_parameter,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the run, as JSON or plain text; may be repeated",
    )
    parser.add_argument(
        "--parameters",
        type=_parameters,
        default={},
        metavar="JSON",
        help="parameters as a JSON object, or @FILE with one; --param wins over it",
    )


def _place(text: str) -> tuple[Path, str | None]:
    """Return the file and, of FILE:NAME, the name."""
    file, colon, name = text.rpartition(":")
    return (Path(file), name) if colon and name and file.endswith(".py") else (Path(text), None)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: expected an integer of at least 1")
    return int(text)


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE")
    return name, value


def _parameters(text: str) -> dict[str, Any]:
    try:
        source = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
        parameters = json.loads(source)
    except (OSError, ValueError) as exc:
        raise argparse.ArgumentTypeError(f"{text!r:.60}: expected a JSON object, or @FILE with one ({exc})") from None
    if not isinstance(parameters, dict):
        raise argparse.ArgumentTypeError(f"{text!r:.60}: expected a JSON object, got {type(parameters).__name__}")
    return parameters


if __name__ == "__main__":
    sys.exit(main())
