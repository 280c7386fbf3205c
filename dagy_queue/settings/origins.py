"""Where each setting has its value from; pure. ``dagy-queue config --show-origin`` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagy_queue.settings.layers import Given, Path, every_path
from dagy_queue.settings.secrets import without_secrets
from dagy_queue.settings.sections import NAMED_SETS, Settings

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting with its value in JSON's terms, and where it is from.

    ``origin`` is ``default``, ``file <name>``, ``env <VARIABLE>`` or ``code``.
    """

    section: str
    key: str
    value: Any
    origin: str

    @property
    def setting(self) -> str:
        """The setting's full name."""
        return str(Path(self.section, self.key))


def origins(found: Settings, given: Mapping[Path, Given]) -> list[Origin]:
    """Return every setting, without passwords. ``given`` is what was laid over the defaults."""
    values = without_secrets(found.model_dump(mode="json", by_alias=True))
    return [_origin(path, values, given) for whole in every_path() for path in _paths(whole, values)]


def _paths(path: Path, values: Mapping[str, Any]) -> list[Path]:
    """Return a path, or the paths of a named set's members where it has some."""
    if path.section not in NAMED_SETS or not values[path.section]:
        return [path]
    return [Path(path.section, name) for name in values[path.section]]


def _origin(path: Path, values: Mapping[str, Any], given: Mapping[Path, Given]) -> Origin:
    value = values[path.section][path.key] if path.key else values[path.section]
    return Origin(path.section, path.key, value, given[path].origin if path in given else DEFAULT)
