"""What the commands of the registry share: their options, names with versions, and how they print.

``commands/flow.py`` and its like use it. Like theirs, its imports are cheap: what is slow is imported by the commands
when they run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Protocol, TypeVar

import typer

from dagy_queue.operate.output import say_json, say_lines
from dagy_queue.operate.text import aligned, columns

Org = Annotated[str, typer.Option(help="org that owns it; default: DAGY_ORG_ID")]


class Version(Protocol):
    """A version of a flow or package, as far as commands show both in the same way."""

    @property
    def version(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def status_reason(self) -> str: ...
    @property
    def registered_at(self) -> datetime | None: ...


V = TypeVar("V", bound=Version)


def org_of(given: str) -> str:
    """Return the org that a command means: its option, else the setting. Raises BadParameter."""
    from dagy_queue.settings import settings

    if org_id := given or settings().records.org_id:
        return org_id
    raise typer.BadParameter("say whose: --org ORG, or set DAGY_ORG_ID", param_hint="--org")


def split_version(text: str, *, required: bool = False) -> tuple[str, str]:
    """Read ``NAME`` or ``NAME@VERSION``; without a version it is ''. Raises BadParameter."""
    name, at, version = text.partition("@")
    if not name or (at and not version) or (required and not version):
        wanted = "NAME@VERSION" if required else "NAME or NAME@VERSION"
        raise typer.BadParameter(f"{text!r} is not {wanted}")
    return name, version


def chosen(versions: Sequence[V], version: str, latest: str) -> V | None:
    """Return the version that a command means; None if there is none of that name."""
    wanted = latest if version == "latest" else version
    return next((each for each in versions if each.version == wanted), None)


def no_such(version: str, versions: Sequence[Version]) -> str:
    """Say that a version is not there, and which are."""
    if version == "latest":
        return "has no active version"
    return f"has no version {version!r}, but {', '.join(each.version for each in versions)}"


def version_row(each: Version, latest: str) -> tuple[str, str, str, str]:
    """Return what a list of versions shows of one: its name, whether it is the latest, its status, and its time."""
    mark = "latest" if each.version == latest else ""
    return each.version, mark, status_words(each), when(each.registered_at)


def version_words(each: Version, latest: str) -> str:
    """Return a version, and whether it is the latest."""
    return f"{each.version} (latest)" if each.version == latest else each.version


def status_words(each: Version) -> str:
    """Return a status, with the reason if there is one."""
    return f"{each.status} ({each.status_reason})" if each.status_reason else each.status


def pairs(given: Iterable[str]) -> dict[str, str]:
    """Read ``key=value`` texts. Raises BadParameter."""
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{text!r} is not key=value")
        found[key] = value
    return found


def print_json(value: Any) -> None:
    """Print a value, or dataclasses in it, as JSON."""
    say_json(_plain(value))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Print rows in columns under a header, or what to say where there are none."""
    say_lines(columns(header, rows) if rows else [empty])


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print names and values, without the empty ones."""
    say_lines(aligned(fields))


def when(moment: datetime | None) -> str:
    """Return a time to the second."""
    return "" if moment is None else moment.isoformat(timespec="seconds")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value
