"""The options of ``scripts/chaos``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What to put to the test, and how hard. Seconds where a time is meant."""

    runs: int
    seed: int
    dispatchers: int
    bridges: int
    kill_every: float
    redis_every: float
    stall: float


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description="Runs on a simulated cluster while dispatchers, bridges and Redis are killed, events are lost, "
        "repeated and reordered, answers of RunTask are lost, and ECS throttles and has no room. Ends with a verdict: "
        "exit code 0 if every run ended once and right.",
    )
    parser.add_argument("--runs", type=_at_least_one, default=10_000, help="runs in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what the chaos is drawn from (default: %(default)s)")
    parser.add_argument("--dispatchers", type=_at_least_one, default=2, help="default: %(default)s")
    parser.add_argument("--bridges", type=_at_least_one, default=2, help="default: %(default)s")
    parser.add_argument("--kill-every", type=_seconds, default=2.0, help="mean seconds between two kills (%(default)s)")
    parser.add_argument("--redis-every", type=_seconds, default=15.0, help="mean seconds between Redis's (%(default)s)")
    parser.add_argument(
        "--stall", type=_seconds, default=120.0, help="seconds without progress that fail (%(default)s)"
    )
    return Options(**vars(parser.parse_args(arguments)))


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: a whole number, at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: a number of seconds, more than 0")
    return seconds
