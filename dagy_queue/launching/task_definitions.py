"""Task definitions as values: hashed, registered once however many dispatchers need them, and launched by full ARN.

The family is a name and the hash of the content, so that any process finds what another one registered, after a cold
start too. Existing definitions are described once and remembered.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from dagy_queue.aws.errors import mapped
from dagy_queue.errors import AwsRefused
from dagy_queue.launching.definition_cache import DefinitionCache
from dagy_queue.launching.definitions import Definition, definition_of

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient

_T = TypeVar("_T")

_HASH_LENGTH = 16
_MAX_FAMILY = 255
_MAX_REMEMBERED = 4096
_STRIPES = 64
"""Locks of one process: a definition that is slow to register holds up few others."""

_LATEST_SECONDS = 30.0
"""How long the latest revision of a family is taken for the latest."""


def definition_hash(definition: Mapping[str, Any]) -> str:
    """Return the hash of a definition's content."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


@dataclass(slots=True)
class _Described:
    document: Mapping[str, Any]
    until: float


@dataclass(slots=True)
class _Known:
    """What a process knows of one region."""

    registered: dict[str, Definition] = field(default_factory=dict)
    described: dict[str, _Described] = field(default_factory=dict)


class TaskDefinitions:
    """Gives definitions that can be launched, registering or describing them if nobody has."""

    def __init__(
        self,
        client: Callable[[str], ECSClient],
        cache: DefinitionCache,
        family: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._cache = cache
        self._family = family
        self._clock = clock
        self._regions: dict[str, _Known] = {}
        self._locks = tuple(threading.Lock() for _ in range(_STRIPES))

    def made(self, document: Mapping[str, Any], region: str) -> Definition:
        """Return the definition of a document, registering it once. Raises an AwsError if ECS refuses it."""
        digest = definition_hash(document)
        if found := self._known(region).registered.get(digest):
            return found
        with self._lock(region, digest):
            known = self._known(region).registered
            found = known.get(digest)
            if found is None:
                found = definition_of(self._arn(digest, document, region), document)
                _remember(known, digest, found)
            return found

    def existing(self, name: str, region: str) -> Mapping[str, Any]:
        """Return the document of an existing definition. A family means its latest revision, asked every 30 seconds.

        Raises an AwsError: AwsRefused if there is none.
        """
        known = self._known(region).described
        found = known.get(name)
        if found is not None and found.until > self._clock():
            return found.document
        with self._lock(region, name):
            found = known.get(name)
            if found is None or found.until <= self._clock():
                numbered = ":" in name.rpartition("/")[2]
                until = float("inf") if numbered else self._clock() + _LATEST_SECONDS
                found = _Described(self._describe(name, region), until)
                _remember(known, name, found)
            return found.document

    def forget(self, name: str, region: str) -> None:
        """Drop a definition that ECS no longer accepts."""
        known = self._known(region)
        # Copies: other threads add to both while this one looks through them.
        for asked, described in known.described.copy().items():
            if name in (asked, described.document.get("taskDefinitionArn")):
                known.described.pop(asked, None)
        for digest, definition in known.registered.copy().items():
            if definition.name == name:
                known.registered.pop(digest, None)
                self._cache.delete(_key(digest, region))

    def _known(self, region: str) -> _Known:
        return self._regions.setdefault(region, _Known())

    def _lock(self, region: str, what: str) -> threading.Lock:
        return self._locks[hash((region, what)) % _STRIPES]

    def _arn(self, digest: str, document: Mapping[str, Any], region: str) -> str:
        key = _key(digest, region)
        if arn := self._cache.get(key):
            return arn
        with self._cache.registering(key):
            found = self._cache.get(key) or self._found(digest, document, region)
            arn = found or self._register(digest, document, region)
            self._cache.set(key, arn)
        return arn

    def _found(self, digest: str, document: Mapping[str, Any], region: str) -> str | None:
        try:
            found = self._describe(self._name(digest, document), region)
        except AwsRefused:
            return None
        return str(found["taskDefinitionArn"])

    def _describe(self, name: str, region: str) -> Mapping[str, Any]:
        with mapped("ecs:DescribeTaskDefinition"):
            return dict(self._client(region).describe_task_definition(taskDefinition=name)["taskDefinition"])

    def _register(self, digest: str, document: Mapping[str, Any], region: str) -> str:
        values: dict[str, Any] = {**document, "family": self._name(digest, document)}
        with mapped("ecs:RegisterTaskDefinition"):
            answer = self._client(region).register_task_definition(**values)
        return answer["taskDefinition"]["taskDefinitionArn"]

    def _name(self, digest: str, document: Mapping[str, Any]) -> str:
        """Return the family: a template's own name is kept, so that people find it."""
        family = str(document.get("family") or self._family)
        return f"{family[: _MAX_FAMILY - _HASH_LENGTH - 1]}-{digest}"


def _remember(known: dict[str, _T], key: str, value: _T) -> None:
    if len(known) >= _MAX_REMEMBERED:
        known.clear()
    known[key] = value


def _key(digest: str, region: str) -> str:
    return f"{region}:{digest}"
