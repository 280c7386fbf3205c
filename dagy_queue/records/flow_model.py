"""The model of a registered flow. Users' programs save it; ``records/flows.py`` reads and writes it for the product."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from pynamodb.attributes import UnicodeAttribute, UTCDateTimeAttribute
from pynamodb.expressions.condition import Condition

from dagy_queue.records.attributes import (
    ObjectAttribute,
    check,
    name_problems,
    read_object,
    uri_problems,
    version_problems,
)
from dagy_queue.records.base import BILLING
from dagy_queue.records.versions import Versioned
from dagy_queue.settings import RecordsSettings


def flow_key(org_id: str, flow_name: str) -> str:
    """Return the partition key of a flow: org first, so that no read can cross orgs."""
    return f"{org_id}#{flow_name}"


class FlowModel(Versioned):
    """One version of a flow of one org. ``save()`` makes it launchable, by its version and as ``latest``.

    The spec may be given as ``spec=`` or ``flow_spec_json=``, as a mapping or as JSON text. ``namespace``, ``tags``
    and ``status`` are kept for people.
    """

    table_setting: ClassVar[str] = "flows_table"
    what: ClassVar[str] = "flow"

    class Meta:
        """Bound to a table and region by ``bind_models``."""

        table_name = RecordsSettings().flows_table
        billing_mode = BILLING

    flow_id = UnicodeAttribute(hash_key=True)
    flow_version = UnicodeAttribute(range_key=True)
    flow_name = UnicodeAttribute()
    namespace = UnicodeAttribute(default="")
    tags = ObjectAttribute(default=dict)
    flow_spec_json = ObjectAttribute(default=dict)
    artifact_s3_uri = UnicodeAttribute(default="")
    artifact_sha256 = UnicodeAttribute(default="")
    status = UnicodeAttribute(default="ACTIVE")
    registered_at = UTCDateTimeAttribute(default_for_new=lambda: datetime.now(UTC))

    def __init__(self, hash_key: Any = None, range_key: Any = None, **attributes: Any) -> None:
        """Take the fields by name; the key is composed of org and name."""
        spec = attributes.pop("spec", None)
        if spec is None:
            spec = attributes.pop("flow_spec_json", None)
        if spec is not None:
            attributes["flow_spec_json"] = read_object(spec, "spec")
        super().__init__(hash_key, range_key, **attributes)
        if self.flow_id is None and self.org_id and self.flow_name:
            self.flow_id = flow_key(self.org_id, self.flow_name)

    def prepare(self) -> None:
        """Check names, version and artifact, and set the key. Raises RequestInvalid."""
        check(
            self.what,
            name_problems(org_id=self.org_id, flow_name=self.flow_name),
            version_problems(flow_version=self.flow_version),
            uri_problems(artifact_s3_uri=self.artifact_s3_uri),
        )
        self.flow_id = flow_key(self.org_id, self.flow_name)

    def unchanged(self) -> Condition:
        """The same artifact (by its checksum, or by its URI if it has none) and the same spec."""
        same: Condition = FlowModel.flow_spec_json == self.flow_spec_json
        same &= FlowModel.artifact_sha256 == self.artifact_sha256
        if not self.artifact_sha256:
            same &= FlowModel.artifact_s3_uri == self.artifact_s3_uri
        allowed: Condition = FlowModel.flow_id.does_not_exist() | same
        return allowed

    def label(self) -> str:
        """Name and version."""
        return f"{self.flow_name!r} version {self.flow_version!r}"
