"""Registered dependency packages: writing a version, finding those of a launch, listing, deprecating, by org."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from pynamodb.exceptions import DoesNotExist

from dagy_queue.errors import PackageNotFound
from dagy_queue.records.attributes import LATEST, check, name_problems, version_problems
from dagy_queue.records.base import dynamodb
from dagy_queue.records.deployment_model import split_slug
from dagy_queue.records.package_model import DepPackageModel, package_key
from dagy_queue.records.versions import ACTIVE, INACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class DepPackage:
    """One version of a dependency package. Without ``sha256`` it is not checked."""

    slug: str
    version: str
    uri: str
    sha256: str
    status: str = ACTIVE
    status_reason: str = ""
    """Why it is deprecated."""
    registered_at: datetime | None = field(default=None, compare=False)
    """When it was pushed last."""

    @property
    def is_active(self) -> bool:
        """Whether runs may begin with it."""
        return self.status == ACTIVE


@dataclass(frozen=True, slots=True)
class PackageVersions:
    """A package with all of its versions, those pushed last first."""

    slug: str
    latest: str
    """What 'latest' means; '' if all versions are deprecated."""
    versions: tuple[DepPackage, ...]


def register_package(org_id: str, package: DepPackage) -> None:
    """Write a version and point 'latest' at it. Raises RequestInvalid as ``register_flow`` does, or an AwsError."""
    DepPackageModel(
        slug=package.slug,
        version=package.version,
        org_id=org_id,
        package_s3_uri=package.uri,
        sha256=package.sha256,
    ).save()


def find_packages(org_id: str, slugs: Iterable[str]) -> list[DepPackage]:
    """Return an org's packages in the order of their slugs; ``slug@version`` pins a version, else it is the latest.

    Raises RequestInvalid for what is no slug, PackageNotFound naming every package that is missing or deprecated, or an
    AwsError.
    """
    keys = [(package_key(org_id, slug), version) for slug, version in map(split_slug, slugs)]
    with dynamodb("dynamodb:BatchGetItem"):
        found = {(p.package_id, p.version): p for p in DepPackageModel.batch_get(keys, consistent_read=True)}
    if missing := [key for key in keys if key not in found]:
        or_else = again = ""
        if any(version == LATEST for _, version in missing):
            or_else = ", or all of its versions are deprecated"
            again = f"; `dagy-queue dep activate SLUG@VERSION --org {org_id}` allows a deprecated one again"
        raise PackageNotFound(
            f"no dependency package {_names(missing)} is registered for org {org_id!r}{or_else}; register it with "
            f"`dagy-queue dep push PATH --version VERSION --org {org_id}`, or as a DepPackageModel{again}"
        )
    if deprecated := [key for key in keys if not found[key].is_active]:
        raise PackageNotFound(
            f"dependency package {_names(deprecated)} of org {org_id!r} is deprecated; name another version in the "
            f"deployment, or allow it again with `dagy-queue dep activate SLUG@VERSION --org {org_id}`"
        )
    return [_package(found[key]) for key in keys]


def versions_of_package(org_id: str, slug: str) -> PackageVersions:
    """Return a package with all of its versions. Raises PackageNotFound, or an AwsError."""
    check("dependency package", name_problems(org_id=org_id, slug=slug))
    with dynamodb("dynamodb:Query"):
        items = list(DepPackageModel.query(package_key(org_id, slug), consistent_read=True))
    if not items:
        raise PackageNotFound(_missing(org_id, slug))
    return _versions(slug, items)


def packages_of_org(org_id: str) -> list[PackageVersions]:
    """Return an org's packages by slug. What was pushed in the last second may be missing. Raises an AwsError."""
    check("dependency package", name_problems(org_id=org_id))
    with dynamodb("dynamodb:Query"):
        items = list(DepPackageModel.by_org.query(org_id))
    return [_versions(slug, list(group)) for slug, group in groupby(items, lambda item: str(item.slug))]


def deprecate_package(org_id: str, slug: str, version: str, reason: str = "") -> DepPackage:
    """Have a version not installed any more; 'latest' means another one then.

    Raises RequestInvalid for 'latest', PackageNotFound, or an AwsError.
    """
    return _set_status(org_id, slug, version, INACTIVE, reason)


def activate_package(org_id: str, slug: str, version: str) -> DepPackage:
    """Allow a deprecated version again. Raises RequestInvalid for 'latest', PackageNotFound, or an AwsError."""
    return _set_status(org_id, slug, version, ACTIVE)


def _set_status(org_id: str, slug: str, version: str, status: str, reason: str = "") -> DepPackage:
    check("dependency package", version_problems(version=version))
    try:
        item = DepPackageModel.get(package_key(org_id, slug), version, consistent_read=True)
    except DoesNotExist:
        raise PackageNotFound(_missing(org_id, slug, version)) from None
    item.set_status(status, reason)
    return _package(item)


def _missing(org_id: str, slug: str, version: str = "") -> str:
    which = f" version {version!r}" if version else ""
    return (
        f"dependency package {slug!r}{which} is not registered for org {org_id!r}; "
        f"`dagy-queue dep list --org {org_id}` lists what is"
    )


def _names(keys: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{key.partition('#')[2]!r} ({version})" for key, version in dict.fromkeys(keys))


def _versions(slug: str, items: Sequence[DepPackageModel]) -> PackageVersions:
    latest = next((str(item.resolves_to) for item in items if item.version == LATEST), "")
    by_age = sorted(items, key=lambda item: item.registered_at, reverse=True)
    return PackageVersions(slug, latest, tuple(_package(item) for item in by_age if item.version != LATEST))


def _package(item: DepPackageModel) -> DepPackage:
    return DepPackage(
        slug=item.slug,
        version=item.resolves_to or item.version,
        uri=item.package_s3_uri,
        sha256=item.sha256,
        status=item.status,
        status_reason=item.status_reason,
        registered_at=item.registered_at,
    )
