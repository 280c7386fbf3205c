"""The settings file: TOML whose tables are the sections. Read by ``loading.py`` whenever settings are read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagy_queue.errors import SettingsInvalid
from dagy_queue.settings.names import CONFIG_VARIABLE, DEFAULT_FILE


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The file's name as people know it, and its tables; without a file both are empty."""

    name: str = ""
    tables: Mapping[str, Any] = field(default_factory=dict)


def read_settings_file(environ: Mapping[str, str], directory: Path) -> SettingsFile:
    """Read the file that ``DAGY_QUEUE_CONFIG`` names, else the ``dagy-queue.toml`` in a directory if there is one.

    Raises SettingsInvalid if it cannot be read or is not TOML.
    """
    named = environ.get(CONFIG_VARIABLE, "")
    path = directory / (named or DEFAULT_FILE)
    if not named and not path.exists():
        return SettingsFile()
    name = named or DEFAULT_FILE
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        because = f" (named by {CONFIG_VARIABLE})" if named else ""
        raise SettingsInvalid(f"the settings file {name}{because} cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise SettingsInvalid(f"the settings file {name} is not TOML: {exc}") from exc
    return SettingsFile(name, _with_paths(tables, path.parent))


def _with_paths(tables: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Read a template's path from where the file is, as people write it."""
    ecs = tables.get("ecs")
    if not isinstance(ecs, dict) or not (template := ecs.get("task_definition_template")):
        return tables
    found = str(directory / template) if isinstance(template, str) else template
    return {**tables, "ecs": {**ecs, "task_definition_template": found}}
