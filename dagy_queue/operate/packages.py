"""Pushing a dependency package: checked, uploaded, registered. ``dagy-queue dep push`` calls it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.operate.flows import artifact_bucket
from dagy_queue.operate.packing import pack
from dagy_queue.records.attributes import check, name_problems, version_problems
from dagy_queue.records.models import bind_models
from dagy_queue.records.packages import DepPackage, register_package
from dagy_queue.settings import Settings
from dagy_worker.archives.unpacking import extract
from dagy_worker.errors import ArchiveError

_ENDINGS = (".tar.gz", ".tgz", ".zip")


def push_package(settings: Settings, path: Path, *, org_id: str, version: str, slug: str = "") -> DepPackage:
    """Upload a package (a zip or tar.gz, or a directory, which is packed) and register the version.

    Without a ``slug`` it is called as its file or directory. Raises RequestInvalid if a container could not unpack it
    or the version exists with other content, SettingsInvalid without an artifact bucket, or an AwsError.
    """
    if not (path.is_file() or path.is_dir()):
        raise RequestInvalid([Problem("path", str(path), "a file or a directory")], "package")
    bucket = artifact_bucket(settings)
    slug = slug or _stem(path)
    check("dependency package", name_problems(org_id=org_id, slug=slug), version_problems(version=version))
    with TemporaryDirectory(prefix="dagy-package-") as scratch:
        archive, ending = path, _ending(path)
        if path.is_dir():
            archive, ending = Path(scratch, "package.zip"), ".zip"
            pack(path, archive)
        _check_archive(path, archive, Path(scratch, "unpacked"))
        with archive.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            content.seek(0)
            key = f"dep-packages/{org_id}/{slug}/{version}/{sha256[:16]}/{slug}{ending}"
            with mapped("s3:PutObject"):
                AwsClients(settings.aws).s3.put_object(Bucket=bucket, Key=key, Body=content)
    package = DepPackage(slug=slug, version=version, uri=f"s3://{bucket}/{key}", sha256=sha256)
    bind_models(settings)
    register_package(org_id, package)
    return package


def _check_archive(path: Path, archive: Path, scratch: Path) -> None:
    """Unpack it as a container would: what that refuses is refused here, before anybody waits for it."""
    try:
        extract(archive, scratch)
    except ArchiveError as exc:
        allowed = f"a zip or tar.gz of files that stay inside it ({exc})"
        raise RequestInvalid([Problem("path", str(path), allowed)], "package") from exc
    if not any(scratch.rglob("*")):
        raise RequestInvalid([Problem("path", str(path), "an archive with files in it")], "package")


def _ending(path: Path) -> str:
    return next((ending for ending in _ENDINGS if path.name.lower().endswith(ending)), "")


def _stem(path: Path) -> str:
    name = path.resolve().name
    return name if path.is_dir() else name[: len(name) - len(_ending(path))]
