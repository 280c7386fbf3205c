"""Saving what has immutable versions: flows and dependency packages. Their models derive from :class:`Versioned`."""

from __future__ import annotations

from typing import Any, ClassVar

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.condition import Condition

from dagy_queue.errors import AwsRefused, RequestInvalid
from dagy_queue.records.attributes import LATEST
from dagy_queue.records.base import Record


class Versioned(Record):
    """A version of something of one org, or (version ``latest``) a copy of the one saved last.

    The partition key is composed of the org and the name, org first, so that no read can cross orgs.
    """

    what: ClassVar[str]
    """What people call it."""

    org_id = UnicodeAttribute()
    resolves_to = UnicodeAttribute(null=True)

    def save(self, condition: Condition | None = None, *, add_version_condition: bool = True) -> dict[str, Any]:
        """Write the version and point 'latest' at it; a version may be written again if its content is the same.

        Raises RequestInvalid if a name is wrong or the version exists with other content, or an AwsError.
        """
        self.prepare()
        allowed = self.unchanged()
        try:
            answer = super().save(
                allowed if condition is None else allowed & condition, add_version_condition=add_version_condition
            )
        except AwsRefused as exc:
            if condition is not None or exc.code != "ConditionalCheckFailedException":
                raise
            raise RequestInvalid(
                f"{self.what} {self.label()} of org {self.org_id!r} is registered with other content, and versions "
                "are immutable; choose a new version"
            ) from exc
        self._point_latest_here()
        return answer

    def prepare(self) -> None:
        """Check the fields and set the keys. Raises RequestInvalid."""
        raise NotImplementedError

    def unchanged(self) -> Condition:
        """Return the condition that the version is new, or has the content that is to be written."""
        raise NotImplementedError

    def label(self) -> str:
        """Return name and version, for people."""
        raise NotImplementedError

    def _point_latest_here(self) -> None:
        version_name = str(self._range_keyname)
        values = self.attribute_values | {version_name: LATEST, "resolves_to": getattr(self, version_name)}
        Record.save(type(self)(**values))
