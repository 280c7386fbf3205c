"""The model of a registered flow. Users' programs save it; ``records/flows.py`` reads and writes it for the product."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pynamodb.attributes import UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection

from dagy_queue.records.attributes import (
    ObjectAttribute,
    check,
    name_problems,
    read_object,
    spec_problems,
    uri_problems,
    version_problems,
)
from dagy_queue.records.base import BILLING
from dagy_queue.records.versions import Versioned
from dagy_queue.settings import RecordsSettings


def flow_key(org_id: str, flow_name: str) -> str:
    """Return the partition key of a flow: org first, so that no read can cross orgs."""
    return f"{org_id}#{flow_name}"


class FlowsByOrg(GlobalSecondaryIndex["FlowModel"]):
    """All versions of an org's flows, by name, without their specs."""

    class Meta:
        """What the index is called and holds."""

        index_name = "by_org"
        projection = IncludeProjection(
            [
                *("resolves_to", "status", "status_reason", "registered_at", "namespace", "tags"),
                *("artifact_s3_uri", "artifact_sha256", "deployment_name"),
            ]
        )

    org_id = UnicodeAttribute(hash_key=True)
    flow_name = UnicodeAttribute(range_key=True)


class FlowModel(Versioned):
    """One version of a flow of one org. ``save()`` makes it launchable, by its version and as ``latest``.

    The spec may be given as ``spec=`` or ``flow_spec_json=``, as a mapping or as JSON text. A version of status
    ``INACTIVE`` is not launched. ``deployment_name`` is where its runs are at home that name no deployment themselves.
    ``namespace`` and ``tags`` are kept for people. All of these may change; spec and artifact may not.
    """

    table_setting: ClassVar[str] = "flows_table"
    what: ClassVar[str] = "flow"
    command: ClassVar[str] = "flow"

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
    deployment_name = UnicodeAttribute(default="")
    by_org = FlowsByOrg()

    def __init__(self, hash_key: Any = None, range_key: Any = None, **attributes: Any) -> None:
        """Take the fields by name; the key is composed of org and name."""
        spec = attributes.pop("spec", None)
        if spec is None:
            spec = attributes.pop("flow_spec_json", None)
        if spec is not None:
            attributes["flow_spec_json"] = read_object(spec, "spec")
        if attributes.get("tags") is not None:
            attributes["tags"] = read_object(attributes["tags"], "tags")
        super().__init__(hash_key, range_key, **attributes)
        if self.flow_id is None and self.org_id and self.flow_name:
            self.flow_id = flow_key(self.org_id, self.flow_name)

    def prepare(self) -> None:
        """Check names, version and artifact, and set the key. Raises RequestInvalid."""
        home = {"deployment_name": self.deployment_name} if self.deployment_name else {}
        check(
            self.what,
            name_problems(org_id=self.org_id, flow_name=self.flow_name, **home),
            version_problems(flow_version=self.flow_version),
            uri_problems(artifact_s3_uri=self.artifact_s3_uri),
            spec_problems(self.flow_spec_json),
            self.status_problems(),
        )
        self.flow_id = flow_key(self.org_id, self.flow_name)

    def has_content_of(self, other: Self) -> bool:
        """The same artifact (by its checksum, or by its URI if it has none) and the same spec."""
        same_artifact = bool(self.artifact_sha256) or self.artifact_s3_uri == other.artifact_s3_uri
        return (
            same_artifact
            and self.artifact_sha256 == other.artifact_sha256
            and self.flow_spec_json == other.flow_spec_json
        )

    def label(self) -> str:
        """Name and version."""
        return f"{self.flow_name!r} version {self.flow_version!r}"
