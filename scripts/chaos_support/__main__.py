"""``python -m scripts.chaos_support``: one campaign in the current environment, from the root of the checkout."""

from __future__ import annotations

import sys

from dagy_queue import DagyQueueError
from scripts.chaos_support.campaign import run_campaign, table
from scripts.chaos_support.options import parse


def main() -> int:
    """Run the campaign; return 0 if everything is as it must be, 1 if not."""
    options = parse()
    try:
        report = run_campaign(options)
    except DagyQueueError as exc:
        print(f"chaos: {exc}", file=sys.stderr)
        return 1
    print(f"\n{options.runs:,} runs, seed {options.seed}, {report.seconds:.0f} s\n")
    for deed, count in sorted(report.deeds.items()):
        print(f"    {deed:<46}{count:>10,}")
    print(f"\n{table(report.findings)}")
    return 0 if report.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
