"""The model of a dependency package. Users' programs save it; ``records/deployments.py`` reads it for launches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from pynamodb.attributes import UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection

from dagy_queue.errors import Problem
from dagy_queue.records.attributes import check, name_problems, uri_problems, version_problems
from dagy_queue.records.base import BILLING
from dagy_queue.records.versions import Versioned
from dagy_queue.settings import RecordsSettings

_SHA256 = re.compile(r"[0-9a-f]{64}")


def package_key(org_id: str, slug: str) -> str:
    """Return the partition key of a package: org first, so that no read can cross orgs."""
    return f"{org_id}#{slug}"


class PackagesByOrg(GlobalSecondaryIndex["DepPackageModel"]):
    """All versions of an org's packages, by slug."""

    class Meta:
        """What the index is called and holds."""

        index_name = "by_org"
        projection = IncludeProjection(
            ["resolves_to", "status", "status_reason", "registered_at", "package_s3_uri", "sha256"]
        )

    org_id = UnicodeAttribute(hash_key=True)
    slug = UnicodeAttribute(range_key=True)


class DepPackageModel(Versioned):
    """One version of a dependency package of one org: a zip or tar.gz in S3. ``save()`` makes it the slug's latest."""

    table_setting: ClassVar[str] = "dep_packages_table"
    what: ClassVar[str] = "dependency package"
    command: ClassVar[str] = "dep"

    class Meta:
        """Bound to a table and region by ``bind_models``."""

        table_name = RecordsSettings().dep_packages_table
        billing_mode = BILLING

    package_id = UnicodeAttribute(hash_key=True)
    version = UnicodeAttribute(range_key=True)
    slug = UnicodeAttribute()
    package_s3_uri = UnicodeAttribute()
    sha256 = UnicodeAttribute(default="")
    by_org = PackagesByOrg()

    def __init__(self, hash_key: Any = None, range_key: Any = None, **attributes: Any) -> None:
        """Take the fields by name; the key is composed of org and slug."""
        super().__init__(hash_key, range_key, **attributes)
        if self.package_id is None and self.org_id and self.slug:
            self.package_id = package_key(self.org_id, self.slug)

    def prepare(self) -> None:
        """Check names, version, URI and checksum, and set the key. Raises RequestInvalid."""
        check(
            self.what,
            name_problems(org_id=self.org_id, slug=self.slug),
            version_problems(version=self.version),
            uri_problems(package_s3_uri=self.package_s3_uri),
            self._checksum_problems(),
            self.status_problems(),
        )
        self.package_id = package_key(self.org_id, self.slug)

    def has_content_of(self, other: Self) -> bool:
        """The same archive, by its checksum, or by its URI if it has none."""
        same_place = self.package_s3_uri == other.package_s3_uri
        return self.sha256 == other.sha256 and (bool(self.sha256) or same_place)

    def label(self) -> str:
        """Slug and version."""
        return f"{self.slug!r} version {self.version!r}"

    def _checksum_problems(self) -> Iterable[Problem]:
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            yield Problem("sha256", self.sha256, "64 lower case hexadecimal digits, or nothing")
