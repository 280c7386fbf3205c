"""Writes docs/settings.md from the settings' own descriptions: run it as `python -m scripts.settings_reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from dagy_queue.settings import FLAT_NAMES, Settings
from dagy_queue.settings.names import variable
from dagy_queue.settings.sections import NAMED_SETS, SECTIONS

HEAD = """# Settings

A setting is a key in a section. It is given, the lowest level first, by

1. its default,
2. the settings file, a TOML file whose tables are the sections: the one that `DAGY_QUEUE_CONFIG` names, else
   `dagy-queue.toml` in the working directory,
3. the short variable of Dagy's guide, for settings that have one,
4. the variable `DAGY_QUEUE__<SECTION>__<KEY>`,
5. code: `load_settings(ecs={"cluster": "production"})`.

Each setting takes the highest level that names it, in every process. `dagy-queue config --show-origin` prints every
setting with its value and where that is from. [How to configure](configuration.md) has an example.

In variables, lists are separated by commas, and what is said to be JSON is JSON. A time is a number of seconds or a
duration such as `90s`, `45m` or `2h15m30s`. Where AWS is, is botocore's own business: `AWS_ENDPOINT_URL`, `AWS_PROFILE`
and the rest work as everywhere.

A producer needs `DAGY_REDIS_URL`. A dispatcher and a bridge need it too, and at least `DAGY_ECS_CLUSTER_ARN`,
`DAGY_ECS_SUBNETS`, `DAGY_ECS_EXECUTION_ROLE_ARN`, `DAGY_ECS_WORKER_IMAGE`, `DAGY_ARTIFACT_BUCKET` and
`DAGY_EVENT_QUEUE_URL`.

This page is made by `python -m scripts.settings_reference`.
"""
TABLE_HEAD = "| variable | default | what it is |\n|---|---|---|"


def reference() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_sections(), *_named_sets()])


def _sections() -> Iterator[str]:
    for name, section in SECTIONS.items():
        yield f"## {name}\n\n{section.__doc__}\n\n{TABLE_HEAD}"
        for key, setting in section.model_fields.items():
            yield f"| {_variables(name, key)} | {_default(setting.default)} | {setting.description} |"
        yield ""


def _named_sets() -> Iterator[str]:
    yield "## profiles and environments\n"
    yield "Sets of request fields by a name of yours: a table each in the file, or one JSON object in the variable.\n"
    yield TABLE_HEAD
    for name in NAMED_SETS:
        yield f"| {_variables(name)} |  | {Settings.model_fields[name].description} |"
    yield ""


def _variables(section: str, key: str = "") -> str:
    short = [f"`{flat}`" for flat, path in FLAT_NAMES.items() if path == f"{section}.{key}"]
    return "<br>".join([f"`{variable(section, key)}`", *short])


def _default(value: Any) -> str:
    return "" if str(value) in ("", "()", "{}", "None") else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
