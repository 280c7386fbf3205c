"""Reads the settings: gathers the levels, lays them over each other and validates the result."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from dagy_queue.errors import Problem, SettingsInvalid
from dagy_queue.requests.wording import words
from dagy_queue.settings.file import read_settings_file
from dagy_queue.settings.layers import Given, Level, Path, flat_level, sectioned_level, table_level
from dagy_queue.settings.origins import DEFAULT, Origin, origins
from dagy_queue.settings.secrets import without_secrets
from dagy_queue.settings.sections import SECTIONS, Settings


@dataclass(frozen=True, slots=True)
class Found:
    """The settings, and what each one that is no default was given by."""

    settings: Settings
    given: Mapping[Path, Given]


def read_settings(environ: Mapping[str, str], directory: FilePath, sections: Mapping[str, Any]) -> Found:
    """Read the settings of a process with this environment and working directory; ``sections`` are code's.

    Raises SettingsInvalid naming each wrong setting and where it is from.
    """
    file = read_settings_file(environ, directory)
    levels = [
        table_level(file.tables, f"file {file.name}"),
        flat_level(environ),
        sectioned_level(environ),
        table_level(sections, "code"),
    ]
    given = _laid_over(levels)
    problems = [problem for level in levels for problem in level.problems]
    try:
        found = Settings.model_validate(_nested(given))
    except ValidationError as exc:
        raise _invalid([*problems, *_problems(exc, given)]) from None
    if problems:
        raise _invalid(problems)
    return Found(found, given)


def current_origins() -> list[Origin]:
    """Return every setting of this process and where it is from. Raises SettingsInvalid."""
    found = read_settings(os.environ, FilePath(), {})
    return origins(found.settings, found.given)


def load_settings(**sections: Any) -> Settings:
    """Read the settings of this process; ``sections`` (as nested dicts) win over the environment and the file.

    Raises SettingsInvalid naming each wrong setting and where it is from.
    """
    return read_settings(os.environ, FilePath(), sections).settings


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()


def _laid_over(levels: Sequence[Level]) -> dict[Path, Given]:
    return {given.path: given for level in levels for given in level.given}


def _nested(given: Mapping[Path, Given]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for path, one in given.items():
        nested.setdefault(path.section, {})[path.key] = one.value
    return nested


def _problems(error: ValidationError, given: Mapping[Path, Given]) -> Iterator[str]:
    for item in error.errors(include_url=False):
        if item["type"] == "together":
            yield _of_two_settings(item["ctx"], given)
            continue
        where = [str(part) for part in item["loc"]]
        one = given.get(Path(*where[:2])) if len(where) > 1 else None
        origin = one.origin if one else DEFAULT
        if item["type"] == "level":
            for problem in item["ctx"]["problems"]:
                name = ".".join(filter(None, [*where, problem.field]))
                yield str(replace(problem, field=f"{name} ({origin})"))
            continue
        section = SECTIONS.get(where[0])
        field = section.model_fields.get(where[1]) if section and len(where) == 2 else None
        yield str(Problem(f"{'.'.join(where)} ({origin})", without_secrets(item.get("input")), words(item, field)))


def _of_two_settings(context: Mapping[str, Any], given: Mapping[Path, Given]) -> str:
    """Return what is wrong with a setting that does not go with another one."""
    path = Path(*context["setting"].split("."))
    origin = given[path].origin if path in given else DEFAULT
    return str(Problem(f"{path} ({origin})", context["value"], context["allowed"]))


def _invalid(problems: Sequence[str]) -> SettingsInvalid:
    return SettingsInvalid("settings cannot be used:" + "".join(f"\n  - {problem}" for problem in problems))
