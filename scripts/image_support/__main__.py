"""``python -m scripts.image_support``: builds an image; ``./scripts/build-image`` runs it."""

from __future__ import annotations

import sys

from scripts.image_support.options import parse
from scripts.image_support.plan import plan
from scripts.image_support.running import check_docker, run_all
from scripts.image_support.source import ROOT, BuildFailed, read_source


def main() -> int:
    """Build, and push if asked to; return 0, or 1 if that failed."""
    options = parse()
    try:
        source = read_source(ROOT, options.image)
        commands = plan(options, source)
        for command in commands:
            print(command.shown(), flush=True)
        if not options.dry_run:
            check_docker()
            run_all(commands, ROOT)
    except BuildFailed as exc:
        print(f"build-image: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
