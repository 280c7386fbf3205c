"""The levels that settings come from, each as a list of single settings with their origin; pure.

``loading.py`` lays them over each other. What a level says wrongly becomes a text in ``problems``, so that one error
lists everything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import BaseModel

from dagy_queue.settings.names import CONFIG_VARIABLE, FLAT_NAMES, PREFIX, did_you_mean, nearest, variable
from dagy_queue.settings.sections import NAMED_SETS, SECTIONS, Settings

_OURS = ("DAGY_ECS_", "DAGY_QUEUE_")
"""Variables that can only be settings: others that start with DAGY_ are the SDK's, or a container's own."""


class Path(NamedTuple):
    """Which setting: for profiles and environments the key is the user's name, '' if the whole is meant."""

    section: str
    key: str

    def __str__(self) -> str:
        return ".".join(filter(None, self))


@dataclass(frozen=True, slots=True)
class Given:
    """A value that some level gives to a setting, and where it says so."""

    path: Path
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Level:
    """What one level gives, and what is wrong with it."""

    given: list[Given] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, path: Path, value: Any, origin: str) -> None:
        """Take a value over if its setting exists."""
        if path.section in SECTIONS and path.key not in SECTIONS[path.section].model_fields:
            near = did_you_mean(path.key, SECTIONS[path.section].model_fields)
            self.problems.append(f"{path} ({origin}): [{path.section}] has no such setting; {near}")
        else:
            self.given.append(Given(path, value, origin))


def table_level(tables: Mapping[str, Any], origin: str) -> Level:
    """Return the level of nested tables: the settings file's, or those that code gives."""
    level = Level()
    for section, table in tables.items():
        values = dict(table) if isinstance(table, BaseModel) else table
        if section not in Settings.model_fields:
            level.problems.append(f"{section} ({origin}): no such section; {did_you_mean(section, _SECTION_NAMES)}")
        elif not isinstance(values, Mapping):
            level.problems.append(f"{section} ({origin}) = {values!r}: a section with its settings")
        else:
            for key, value in values.items():
                level.add(Path(section, str(key)), value, origin)
    return level


def flat_level(environ: Mapping[str, str]) -> Level:
    """Return the level of the flat names; an empty one counts as unset."""
    level = Level()
    for name, path in reversed(FLAT_NAMES.items()):
        if text := environ.get(name):
            level.add(Path(*path.split(".")), text, f"env {name}")
    level.problems.extend(
        f"{name}: no such setting; {_like_a_flat_name(name)}"
        for name in sorted(environ)
        if name.startswith(_OURS) and not name.startswith(PREFIX) and name not in (*FLAT_NAMES, CONFIG_VARIABLE)
    )
    return level


def _like_a_flat_name(name: str) -> str:
    known = [*FLAT_NAMES, CONFIG_VARIABLE]
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}, and {PREFIX}<SECTION>__<KEY>"


def sectioned_level(environ: Mapping[str, str]) -> Level:
    """Return the level of ``DAGY_QUEUE__<SECTION>__<KEY>``, in any case."""
    level = Level()
    for name in sorted(name for name in environ if name.upper().startswith(PREFIX)):
        section, _, key = name[len(PREFIX) :].lower().partition("__")
        if section in NAMED_SETS and not key:
            _add_set(level, section, environ[name], f"env {name}")
        elif section in NAMED_SETS:
            level.problems.append(f"{name}: give all {section} as one JSON object in {variable(section)}")
        elif section in SECTIONS and not key:
            level.problems.append(f"{section} (env {name}): name a setting, such as {name}__{_first_key(section)}")
        elif section in SECTIONS:
            level.add(Path(section, key), environ[name], f"env {name}")
        else:
            level.problems.append(f"{name}: no such setting; {_nearest_variable(Path(section, key))}")
    return level


def _add_set(level: Level, section: str, text: str, origin: str) -> None:
    if not text.strip():
        return
    try:
        sets = json.loads(text)
    except (ValueError, RecursionError) as exc:
        level.problems.append(f"{section} ({origin}): a JSON object by name is expected ({exc})")
        return
    if not isinstance(sets, dict):
        level.problems.append(f"{section} ({origin}): a JSON object by name is expected")
        return
    for name, fields in sets.items():
        level.add(Path(section, name), fields, origin)


def _nearest_variable(path: Path) -> str:
    if near := nearest(str(path), [str(known) for known in every_path()]):
        return f"did you mean {variable(*near.split('.'))}?"
    return f"no section is called {path.section}; {did_you_mean(path.section, _SECTION_NAMES)}"


def every_path() -> Iterator[Path]:
    """Yield every setting with a fixed name, and profiles and environments as wholes."""
    for section in Settings.model_fields:
        if section in NAMED_SETS:
            yield Path(section, "")
        else:
            yield from (Path(section, key) for key in SECTIONS[section].model_fields)


def _first_key(section: str) -> str:
    return next(iter(SECTIONS[section].model_fields)).upper()


_SECTION_NAMES = tuple(Settings.model_fields)
