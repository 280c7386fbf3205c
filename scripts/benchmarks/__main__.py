"""Runs benchmarks by name and prints their figures as a table; ``scripts/bench`` calls it."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys

from rich.console import Console
from rich.table import Table

from scripts.benchmarks import (
    admission,
    announcing,
    clients,
    enqueueing,
    events,
    flower,
    imports,
    large_fan_out,
    local_flows,
    quotas,
    throughput,
)

BENCHMARKS = {
    "throughput": throughput.run,
    "enqueueing": enqueueing.run,
    "admission": admission.run,
    "events": events.run,
    "large_fan_out": large_fan_out.run,
    "quotas": quotas.run,
    "local_flows": local_flows.run,
    "imports": imports.run,
    "clients": clients.run,
    "flower": flower.run,
    "announcing": announcing.run,
}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Benchmarks, each beside its baseline.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if len(names) > 1:
        # Each in a process of its own: settings, clients and warm caches of one must not help or hinder the next.
        for name in names:
            subprocess.run([sys.executable, "-m", "scripts.benchmarks", name], check=True)
        return
    console = Console()
    console.print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    table = Table("what", "measured", "target", title=names[0])
    for figure in BENCHMARKS[names[0]]():
        table.add_row(figure.what, figure.measured, figure.target)
    console.print(table)


if __name__ == "__main__":
    main()
