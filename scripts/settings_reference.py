"""Writes docs/settings.md from the settings' own descriptions: run it as `python -m scripts.settings_reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from dagy_queue.settings import FLAT_NAMES, Settings

HEAD = """# Settings

Every setting is an environment variable, `DAGY_QUEUE__<SECTION>__<KEY>`; some have the shorter name of Dagy's guide as
well. Lists are separated by commas. A time is a number of seconds or a duration such as `90s`, `45m` or `2h15m30s`.
Where AWS is, is botocore's own business: `AWS_ENDPOINT_URL`, `AWS_PROFILE` and the rest work as everywhere.

A producer needs `DAGY_REDIS_URL`. A dispatcher and a bridge need it too, and at least `DAGY_ECS_CLUSTER_ARN`,
`DAGY_ECS_SUBNETS`, `DAGY_ECS_EXECUTION_ROLE_ARN`, `DAGY_ECS_WORKER_IMAGE`, `DAGY_ARTIFACT_BUCKET` and
`DAGY_EVENT_QUEUE_URL`.

This page is made by `python -m scripts.settings_reference`.
"""


def reference() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        section: Any = field.annotation
        yield f"## {name}\n\n{section.__doc__}\n\n| variable | default | what it is |\n|---|---|---|"
        for key, setting in section.model_fields.items():
            yield f"| {_variables(name, key)} | {_default(setting.default)} | {setting.description} |"
        yield ""


def _variables(section: str, key: str) -> str:
    short = [f"`{flat}`" for flat, path in FLAT_NAMES.items() if path == f"{section}.{key}"]
    return "<br>".join([f"`DAGY_QUEUE__{section.upper()}__{key.upper()}`", *short])


def _default(value: Any) -> str:
    return "" if value in ("", ()) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
