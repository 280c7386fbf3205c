"""The options of a flow: checked once, where the flow is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dagy.checks import check_count, check_flag, check_name, check_tags, check_text, hooks_of
from dagy.errors import OptionError
from dagy.hooks import Hook

DEFAULT_VERSION = "0.0.0"


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowOptions:
    """What ``@flow`` and ``DAG`` have in common; ``dagy.function_flows.flow`` says what each option means."""

    version: str = DEFAULT_VERSION
    description: str = ""
    fail_fast: bool = True
    max_workers: int | None = None
    validate_parameters: bool = True
    on_running: tuple[Hook, ...] = ()
    on_completion: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    include: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that could only fail later."""
        check_version(self.version)
        check_text("description", self.description)
        check_flag("fail_fast", self.fail_fast)
        check_flag("validate_parameters", self.validate_parameters)
        if self.max_workers is not None:
            check_count("max_workers", self.max_workers, least=1)
        check_tags(self.tags)
        for pattern in self.include:
            _check_pattern(pattern)


def check_version(version: object) -> None:
    """Refuse what cannot name a version."""
    check_name("version", version)
    if version == "latest":
        raise OptionError("version='latest': expected any name but this one, which means the newest version")


def flow_options(flow_name: str, **given: Any) -> FlowOptions:
    """Return the options of the flow of that name, as they are written in its file: with one hook or pattern or a list.

    Raises OptionError, naming the flow.
    """
    try:
        for option in ("on_running", "on_completion", "on_failure"):
            given[option] = hooks_of(option, given[option])
        given["tags"] = {} if given["tags"] is None else given["tags"]
        given["include"] = _listed(given["include"])
        return FlowOptions(**given)
    except OptionError as exc:
        raise OptionError(f"flow {flow_name!r}: {exc}") from None


def _listed(patterns: Any) -> tuple[Any, ...]:
    if patterns is None:
        return ()
    return tuple(patterns) if isinstance(patterns, list | tuple) else (patterns,)


def _check_pattern(pattern: object) -> None:
    """Refuse what is not a glob pattern below the directory of the flow's file."""
    inside = (
        isinstance(pattern, str) and pattern and not pattern.startswith(("/", "~")) and ".." not in pattern.split("/")
    )
    if not inside:
        raise OptionError(
            f"include={pattern!r}: expected glob patterns such as 'sql/*.sql', of files below the flow's directory"
        )
