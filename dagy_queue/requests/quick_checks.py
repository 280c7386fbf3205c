"""A quick check of the fields in which a container's shards differ: many shards at a time, no request built for each.

``requests/deltas.py`` asks it first. It passes only shards of which each would be a request that can be run; what it
does not know, it does not pass, and pydantic finds what is wrong and says it. Commands and variables are looked at
here; of other fields, each combination of values is made a request once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.environment import environment_problem
from dagy_queue.requests.models import MAX_OWN_OVERRIDES, RunRequest
from dagy_queue.requests.overlay import overlay
from dagy_queue.requests.parsing import parse_request
from dagy_queue.requests.shards import OF_THE_BATCH
from dagy_queue.requests.templating import template_problems

_COMMAND, _VARIABLES = "command", "extra_env_vars"
_LOOKED_AT = frozenset({_COMMAND, _VARIABLES})
"""No rule of another field depends on these two, but that for secrets and that for the size of all overrides."""

_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types that other fields' values may have: with lists and mappings, secrets and the size of overrides may differ."""

_MAX_REMEMBERED = 1000

_FRAME = len('{"environment":[],"command":[]},')
_WORD = len('"",')
_VARIABLE = len('{"name":"","value":""},')
"""Characters of JSON that RunTask's overrides take for a shard, a word and a variable, besides their own."""

_LONGEST_ESCAPE = len(r"\u0000")
"""Characters that one character takes at most, where there are any that JSON escapes."""

_Others = tuple[tuple[str, type, Any], ...]


class QuickCheck:
    """Checks what differs between the shards of one request, of which ``base`` are the fields."""

    def __init__(self, model: type[RunRequest], base: Mapping[str, Any]) -> None:
        self._model = model
        self._base = base
        self._right: set[_Others] = set()

    def passes(self, rows: Sequence[Any], text: str) -> bool:
        """Tell whether shards are surely right; ``text`` is their JSON, which UTF-8 can carry."""
        if self._template is None or {*map(type, rows)} != {dict}:
            return False
        names: set[Any] = set().union(*rows)
        if names & OF_THE_BATCH or r"\u0000" in text or ("{{" in text and any(_template_problems(rows))):
            return False
        commands, environments = _given(rows, _COMMAND), _given(rows, _VARIABLES)
        return (
            {*map(type, commands)} <= {list, tuple}
            and {*map(type, environments)} <= {dict}
            and {*map(type, chain.from_iterable(commands))} <= {str}
            and self._variables_pass(environments)
            and self._fit(commands, environments, _LONGEST_ESCAPE if "\\" in text else 1)
            and (names <= _LOOKED_AT or self._others_pass(rows))
        )

    @cached_property
    def _template(self) -> RunRequest | None:
        """What the shards share, if it is right by itself."""
        try:
            return parse_request(self._base, self._model)
        except RequestInvalid:
            return None

    @cached_property
    def _room(self) -> int:
        return MAX_OWN_OVERRIDES - _FRAME - (self._template.overrides_size if self._template else 0)

    def _others_pass(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        given = [[(n, type(v), v) for n, v in row.items() if n not in _LOOKED_AT] for row in rows]
        if not {kind for others in given for _, kind, _ in others} <= _PLAIN:
            return False
        return all(map(self._is_right, set(map(tuple, given))))

    def _is_right(self, others: _Others) -> bool:
        if others in self._right:
            return True
        try:
            parse_request(overlay(self._base, {name: value for name, _, value in others}), self._model)
        except RequestInvalid:
            return False
        if len(self._right) >= _MAX_REMEMBERED:
            self._right.clear()
        self._right.add(others)
        return True

    def _variables_pass(self, environments: Sequence[dict[str, Any]]) -> bool:
        names = set(chain.from_iterable(environments))
        secrets = self._template.secrets_env.keys() if self._template else set()
        return (
            {*map(type, names)} <= {str}
            and {*map(type, chain.from_iterable(map(dict.values, environments)))} <= {str}
            and not names & secrets
            and not any(map(environment_problem, names))
        )

    def _fit(self, commands: Sequence[Sequence[str]], environments: Sequence[dict[str, str]], longest: int) -> bool:
        """Tell whether a shard would fit that has the most of everything; ``longest`` is what a character may take."""
        characters = sum(
            max(map(len, map("".join, texts)), default=0)
            for texts in (commands, environments, map(dict.values, environments))
        )
        words, variables = (max(map(len, each), default=0) for each in (commands, environments))
        return characters * longest + words * _WORD + variables * _VARIABLE <= self._room


def _given(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows if name in row]


def _template_problems(rows: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    for row in rows:
        for name in _LOOKED_AT & row.keys():
            yield from template_problems(row[name], name)
