"""``python -m scripts.demo_support``: the demo in the current environment, from the root of the checkout."""

from __future__ import annotations

import signal
import sys

from dagy_queue.interrupts import interrupted_by
from scripts.demo_support.options import Options, parse

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the demo; return 0 for the right answer, 1 if it failed, 130 if it was interrupted."""
    options = parse()
    with interrupted_by(_SIGNALS, KeyboardInterrupt):
        try:
            return _run(options)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130


def _run(options: Options) -> int:
    # Slow to import, and Ctrl-C is welcome meanwhile.
    from dagy_queue import DagyQueueError
    from scripts.demo_support.screen import Screen
    from scripts.demo_support.steps import Demo

    try:
        Demo(options, Screen()).run()
    except DagyQueueError as exc:
        print("\n".join([f"demo failed: {exc}", *getattr(exc, "__notes__", ())]), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
