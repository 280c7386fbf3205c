"""From the artifact's URI to a flow that can be called."""

from __future__ import annotations

import sys
from pathlib import Path

from dagy.contract import RunSpec
from dagy.errors import LoadError, SpecError
from dagy.flows import Flow
from dagy.loader import choose, load_flows
from dagy.spec import FLOW_SPEC, SOURCES, FlowSpec
from dagy_worker.archives.unpacking import MAX_ARCHIVE_BYTES, extract
from dagy_worker.errors import ArchiveError, BadArtifact
from dagy_worker.storage import Storage


def fetch_artifact(spec: RunSpec, storage: Storage, directory: Path) -> Path:
    """Download the artifact, check its hash and unpack it; return where its files are."""
    archive, unpacked = directory / "artifact.zip", directory / "artifact"
    sha256 = storage.download(spec.artifact_uri, archive, MAX_ARCHIVE_BYTES)
    if spec.artifact_sha256 and sha256 != spec.artifact_sha256.lower():
        raise BadArtifact(f"{spec.artifact_uri}: its SHA-256 is {sha256}, expected {spec.artifact_sha256}")
    try:
        extract(archive, unpacked)
    except ArchiveError as exc:
        raise BadArtifact(f"{spec.artifact_uri}: {exc}") from exc
    return unpacked


def load_artifact(unpacked: Path) -> Flow:
    """Import the flow of an unpacked artifact, with its ``src`` first on ``sys.path``."""
    try:
        spec = FlowSpec.from_json((unpacked / FLOW_SPEC).read_text(encoding="utf-8"))
        file = unpacked / spec.entrypoint.file
        if not file.resolve().is_relative_to(unpacked.resolve()):
            raise BadArtifact(f"{FLOW_SPEC}: entrypoint.file={spec.entrypoint.file!r} is outside the artifact")
        sys.path.insert(0, str((unpacked / SOURCES).resolve()))
        _, flow = choose(load_flows(file), file, spec.entrypoint.object)
    except (OSError, UnicodeDecodeError, SpecError, LoadError) as exc:
        raise BadArtifact(f"{exc}") from (exc.__cause__ or exc)
    return flow
