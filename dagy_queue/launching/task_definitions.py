"""Task definitions as values: hashed, registered once however many dispatchers need them, and launched by full ARN.

The family is a name and the hash of the content, so that any process finds what another one registered, after a cold
start too. Existing definitions are described once and remembered.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dagy_queue.aws.errors import mapped
from dagy_queue.aws.refusals import is_about_credentials
from dagy_queue.errors import AwsRefused
from dagy_queue.launching.definition_cache import DefinitionCache
from dagy_queue.launching.definitions import Definition, definition_of
from dagy_queue.launching.remembered import FOR_EVER, MAX_REMEMBERED, Remembered

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient

_HASH_LENGTH = 16
_MAX_FAMILY = 255

_LATEST_SECONDS = 30.0
"""How long the latest revision of a family is taken for the latest."""


def definition_hash(definition: Mapping[str, Any]) -> str:
    """Return the hash of a definition's content."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


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
        self._registered: Remembered[tuple[str, str], Definition] = Remembered(clock)
        """By region and digest."""
        self._described: Remembered[tuple[str, str], Mapping[str, Any]] = Remembered(clock)
        """By region and the name asked for."""
        self._gone: set[str] = set()
        """Definitions that ECS no longer accepted."""

    def made(self, document: Mapping[str, Any], region: str) -> Definition:
        """Return the definition of a document, registering it once. Raises an AwsError if ECS refuses it."""
        key = region, definition_hash(document)

        def read() -> Definition:
            return definition_of(self._arn(key[1], document, region), document)

        found = self._registered.get(key, read)
        if found.name in self._gone:  # another thread had read it, and remembered it only after it was dropped
            self._registered.forget(lambda known, value: known == key and value.name == found.name)
            found = self._registered.get(key, read)
        return found

    def existing(self, name: str, region: str) -> Mapping[str, Any]:
        """Return the document of an existing definition. A family means its latest revision, asked every 30 seconds.

        Raises an AwsError: AwsRefused if there is none.
        """
        numbered = ":" in name.rpartition("/")[2]
        return self._described.get(
            (region, name), lambda: self._describe(name, region), FOR_EVER if numbered else _LATEST_SECONDS
        )

    def forget(self, name: str, region: str) -> None:
        """Drop a definition that ECS no longer accepts: it is not given again before ECS has said that it is there.

        Others may be about to remember it, here and in the ledger: launches are many at once.
        """
        if len(self._gone) >= MAX_REMEMBERED:
            self._gone.clear()
        self._gone.add(name)
        self._described.forget(lambda key, found: key[0] == region and name in (key[1], found.get("taskDefinitionArn")))
        for _, digest in self._registered.forget(lambda key, found: key[0] == region and found.name == name):
            self._cache.delete(_key(digest, region))

    def _arn(self, digest: str, document: Mapping[str, Any], region: str) -> str:
        key = _key(digest, region)
        if arn := self._remembered(key):
            return arn
        with self._cache.registering(key):
            if arn := self._remembered(key):
                return arn
            arn = self._found(digest, document, region) or self._register(digest, document, region)
            self._gone.discard(arn)
            self._cache.set(key, arn)
        return arn

    def _remembered(self, key: str) -> str | None:
        arn = self._cache.get(key)
        return None if arn in self._gone else arn

    def _found(self, digest: str, document: Mapping[str, Any], region: str) -> str | None:
        try:
            found = self._describe(self._name(digest, document), region)
        except AwsRefused as exc:
            if is_about_credentials(exc):
                raise
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


def _key(digest: str, region: str) -> str:
    return f"{region}:{digest}"
