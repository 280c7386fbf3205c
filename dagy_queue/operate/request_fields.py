"""From words on the command line to the fields of a request; pure but for the files that ``@`` names.

``launch`` and ``fan-out`` share it. Values are JSON where they can be read as such, else text: ``--param year=2024`` is
a number, ``--param day=2024-01-31`` a text, ``--param 'day="2024"'`` a text as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import join
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid

_PAIR = "a name and a value, as in name=value"
_SECRETIVE = ("env", "secret", "set")
"""Options whose values are not shown."""


def value_of(text: str) -> Any:
    """Return the JSON value of a text; the text itself if it is none."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def pairs(option: str, given: Iterable[str] | None) -> dict[str, str]:
    """Return ``name=value`` words as a dict of texts; of a name that is given twice, the last counts.

    Raises RequestInvalid.
    """
    found: dict[str, str] = {}
    for word in given or ():
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise RequestInvalid([Problem(option, _as_typed(option, word), _PAIR)], "command")
        found[name] = value
    return found


def _as_typed(option: str, word: str) -> str:
    """Return what may be shown of a word: only what stands for the name where the value may be a secret."""
    if option not in _SECRETIVE:
        return word
    name, equals, value = word.partition("=")
    return f"{name[:40]}{equals}{'…' if value else ''}"


def values(option: str, given: Iterable[str] | None) -> dict[str, Any]:
    """Return ``name=value`` words as a dict of JSON values. Raises RequestInvalid."""
    return {name: value_of(text) for name, text in pairs(option, given).items()}


def document(option: str, text: str) -> dict[str, Any]:
    """Return a JSON object, given as text or as ``@file``. Raises RequestInvalid."""
    if not text:
        return {}
    source = text
    if text.startswith("@"):
        try:
            source = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
            raise RequestInvalid([Problem(option, text, f"a file that can be read: {why}")], "command") from None
    try:
        found = json.loads(source, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise RequestInvalid([Problem(option, text, f"a JSON object, or @file: {exc}")], "command") from None
    if not isinstance(found, dict):
        raise RequestInvalid([Problem(option, text, "a JSON object, or @file with one")], "command")
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What was said of a run; '' and () are not said."""

    flow: str = ""
    command: Sequence[str] = ()
    """Of a container: the words behind ``--``."""
    astray: Sequence[str] = ()
    """Words behind the flow's name that have no ``--`` before them: there may be none."""
    version: str = ""
    image: str = ""
    task_definition: str = ""
    parameters: str = ""
    params: Sequence[str] | None = None
    env: Sequence[str] | None = None
    secrets: Sequence[str] | None = None
    more: Sequence[str] | None = None
    plain: Mapping[str, Any] = field(default_factory=dict)
    """Fields that need no reading; '' and None are not said."""

    @property
    def is_container(self) -> bool:
        """Whether a container is meant."""
        return bool(self.image or self.task_definition)

    def fields(self) -> dict[str, Any]:
        """Return the fields of a request. Raises RequestInvalid for words that do not go together, or mean nothing."""
        given = document("parameters", self.parameters) | values("param", self.params)
        self._check(given)
        named = {
            "kind": "container" if self.is_container else "",
            "flow_name": self.flow,
            "flow_version": self.version,
            "image": self.image,
            "task_definition": self.task_definition,
            "command": list(self.command),
            "parameters": given,
            "extra_env_vars": pairs("env", self.env),
            "secrets_env": pairs("secret", self.secrets),
            **self.plain,
        }
        said = {name: value for name, value in named.items() if value not in ("", None, [], {})}
        return said | values("set", self.more)

    def _check(self, parameters: Mapping[str, Any]) -> None:
        if self.is_container:
            self._check_container(parameters)
        elif self.flow and (self.command or self.astray):
            allowed = "nothing behind the name of a flow: parameters go by --param name=value"
            raise _refused("COMMAND", " ".join(self.command or self.astray), allowed)
        elif not (self.flow or self.plain.get("profile") or self.more):
            if self.command:
                allowed = "a container for it, by --image or --task-definition; the name of a flow goes before --"
                raise _refused("COMMAND", " ".join(self.command), allowed)
            raise _refused("FLOW", "", "the name of a flow, or --image or --task-definition for a container")
        elif "@" in self.flow:
            name, _, version = self.flow.partition("@")
            raise _refused(
                "FLOW", self.flow, f"the name alone; a version goes by --version: {name} --version {version}"
            )

    def _check_container(self, parameters: Mapping[str, Any]) -> None:
        if self.astray:
            words = (self.flow, *self.astray)
            raise _refused("COMMAND", " ".join(words), f"a container's command goes behind --, as in -- {join(words)}")
        if self.flow:
            option = "--image" if self.image else "--task-definition"
            allowed = f"a flow or {option}, not both; a container's command goes behind --"
            raise _refused("FLOW", self.flow, allowed)
        if parameters or self.version:
            what, value = ("param", parameters) if parameters else ("version", self.version)
            raise _refused(what, value, "nothing for a container: its command goes behind --, its variables by --env")


@contextmanager
def saying_whose() -> Iterator[None]:
    """Have a request that is refused since nothing says its org (option, setting, profile) name the option."""
    try:
        yield
    except RequestInvalid as exc:
        problems = [_in_words_of_options(problem) for problem in exc.problems]
        if problems == list(exc.problems):
            raise
        raise RequestInvalid(problems, exc.what, exc.more) from None


def _in_words_of_options(problem: Problem) -> Problem:
    is_missing = problem.field == "org_id" and problem.value is None
    return replace(problem, allowed="say whose: --org ORG, or set DAGY_ORG_ID") if is_missing else problem


def _refused(option: str, value: Any, allowed: str) -> RequestInvalid:
    return RequestInvalid([Problem(option, value, allowed)], "command")


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")
