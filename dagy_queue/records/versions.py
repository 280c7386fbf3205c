"""What has immutable versions: flows and dependency packages. Their models derive from :class:`Versioned`.

What may be written over what is decided here; ``records/latest.py`` writes it together with what 'latest' means.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from pynamodb.attributes import UnicodeAttribute, UTCDateTimeAttribute
from pynamodb.exceptions import DoesNotExist
from pynamodb.expressions.condition import Condition

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.records.attributes import LATEST
from dagy_queue.records.base import Record
from dagy_queue.records.latest import write_version
from dagy_queue.records.transactions import until_not_overtaken

ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
"""The status of a version: whether it may be launched, or is deprecated."""


class Versioned(Record):
    """A version of something of one org, or (version ``latest``) a copy of the one that this means.

    'latest' means the version, of those that are active, that was saved last. The partition key is composed of the org
    and the name, org first, so that no read can cross orgs.
    """

    what: ClassVar[str]
    """What people call it."""
    command: ClassVar[str]
    """The command of ``dagy-queue`` that has to do with it."""

    org_id = UnicodeAttribute()
    resolves_to = UnicodeAttribute(null=True)
    status = UnicodeAttribute(default=ACTIVE)
    status_reason = UnicodeAttribute(default="")
    registered_at = UTCDateTimeAttribute(default_for_new=lambda: datetime.now(UTC))

    def save(self, condition: Condition | None = None, *, add_version_condition: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Write the version, and in the same step point 'latest' at it. It may be written again with the same content.

        One that is saved as INACTIVE is not launched any more. Raises RequestInvalid if a name is wrong, the version
        exists with other content or is deprecated, or an AwsError.
        """
        self.prepare()

        def write() -> None:
            stored = self.stored()
            if stored is not None:
                self._check_over(stored)
            write_version(self, stored, condition, is_new=True)

        until_not_overtaken(type(self), write, at_once=condition is not None)
        return {}

    def set_status(self, status: str, reason: str = "") -> None:
        """Deprecate this version, which was read from the table, or allow it again. Raises an AwsError."""

        def write() -> None:
            stored = self.stored()
            if stored is None:
                raise type(self).DoesNotExist
            self.attribute_values = stored.attribute_values | {"status": status, "status_reason": reason}
            write_version(self, stored)

        until_not_overtaken(type(self), write)

    def prepare(self) -> None:
        """Check the fields and set the keys. Raises RequestInvalid."""
        raise NotImplementedError

    def has_content_of(self, other: Self) -> bool:
        """Tell whether this version and another have the same content: what may never change."""
        raise NotImplementedError

    def label(self) -> str:
        """Return name and version, for people."""
        raise NotImplementedError

    @property
    def is_active(self) -> bool:
        """Whether the version may be launched."""
        return self.status == ACTIVE

    @property
    def version_name(self) -> str:
        """The version: the item's sort key."""
        return str(getattr(self, str(self._range_keyname)))

    @property
    def key(self) -> str:
        """The partition key: org and name."""
        return str(getattr(self, str(self._hash_keyname)))

    def as_latest(self) -> Self:
        """Return the item that says that 'latest' means this version."""
        version = {str(self._range_keyname): LATEST, "resolves_to": self.version_name}
        return type(self)(**self.attribute_values | version)

    def stored(self, version: str = "") -> Self | None:
        """Return this version (or another) as it is registered now; None if it is not."""
        try:
            return type(self).get(self.key, version or self.version_name, consistent_read=True)
        except DoesNotExist:
            return None

    def status_problems(self) -> Iterable[Problem]:
        """Yield what is wrong with the status."""
        if self.status not in (ACTIVE, INACTIVE):
            yield Problem("status", self.status, f"{ACTIVE} or {INACTIVE}")

    def _check_over(self, stored: Self) -> None:
        if not self.has_content_of(stored):
            raise RequestInvalid(
                f"{self.what} {self.label()} of org {self.org_id!r} is registered with other content, and versions "
                "are immutable; choose a new version"
            )
        if self.is_active and not stored.is_active:
            why = f" ({stored.status_reason})" if stored.status_reason else ""
            raise RequestInvalid(
                f"{self.what} {self.label()} of org {self.org_id!r} is deprecated{why}; choose a new version, or allow "
                f"this one again with `dagy-queue {self.command} activate NAME@VERSION --org {self.org_id}`"
            )
