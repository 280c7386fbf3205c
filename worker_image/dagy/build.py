"""Building an artifact: the ZIP that the worker downloads. ``dagy build`` and launchers call :func:`build_artifact`.

The same sources give the same bytes, so the hash identifies them: entries are sorted, stored without compression
(compressors differ between machines), and carry no real times or modes. Inside: ``flow_spec.json`` (``dagy.spec``),
``metadata.json`` (what it was built with and from, and the hash of each file) and the sources under ``src/``.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from dagy import __version__
from dagy.describing import describe
from dagy.errors import BuildError
from dagy.loader import choose, isolated, load_flows
from dagy.places import source_root
from dagy.provenance import GitState, git_state
from dagy.sources import local_sources, name_in_artifact
from dagy.spec import FLOW_SPEC, SOURCES, Entrypoint, FlowSpec

__all__ = ["FLOW_SPEC", "METADATA", "SOURCES", "Artifact", "build_artifact"]

METADATA = "metadata.json"
METADATA_SCHEMA = 1
MAX_BYTES_VARIABLE = "DAGY_LOCAL_ARTIFACT_MAX_BYTES"
MAX_BYTES = 5_242_880
"""The largest artifact, in bytes, unless the variable says otherwise."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_LARGEST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Artifact:
    """A built artifact: the bytes of the ZIP, their SHA-256 in hex, and what it says about the flow.

    ``content_sha256`` is that of the spec and the sources alone: it stays the same when only the SDK, Python or an
    unrelated part of the repository is another. ``files`` has the size in bytes of each of these.
    """

    content: bytes = field(repr=False)
    sha256: str
    spec: FlowSpec
    content_sha256: str
    files: Mapping[str, int]
    git: GitState | None = None


def build_artifact(path: str | Path, version: str | None = None, *, flow: str | None = None) -> Artifact:
    """Package the flow in a file. ``version`` overrides the flow's own; ``flow`` chooses among several.

    Raises LoadError if the file cannot be imported or the choice is not clear, GraphError or OptionError if the flow
    is wrong in itself, BuildError if it cannot be packed or is too large.
    """
    file, limit = Path(path), _max_bytes()
    with isolated(file):
        name, chosen = choose(load_flows(file), file, flow)
        real = file.resolve()
        root = source_root(real)
        entrypoint = Entrypoint(file=f"{SOURCES}/{name_in_artifact(real, root)}", object=name)
        spec = describe(chosen, entrypoint, version)
        paths = local_sources(real, chosen.options.include)
    _check_size({f"{SOURCES}/{name}": path.stat().st_size for name, path in paths.items()}, spec, limit)
    files = {FLOW_SPEC: spec.to_json().encode(), **{f"{SOURCES}/{name}": p.read_bytes() for name, p in paths.items()}}
    return _packed(spec, files, git_state(root, list(paths.values())), limit)


def _packed(spec: FlowSpec, files: Mapping[str, bytes], git: GitState | None, limit: int) -> Artifact:
    hashes = {name: _sha256(content) for name, content in files.items()}
    content_sha256 = _sha256("".join(f"{digest}  {name}\n" for name, digest in hashes.items()).encode())
    sizes = {name: len(content) for name, content in files.items()}
    content = _zip({**files, METADATA: _metadata(spec, hashes, content_sha256, git)})
    _check_size(sizes, spec, limit, total=len(content))
    return Artifact(content, _sha256(content), spec, content_sha256, sizes, git)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _metadata(spec: FlowSpec, hashes: Mapping[str, str], content_sha256: str, git: GitState | None) -> bytes:
    document = {
        "schema": METADATA_SCHEMA,
        "flow": spec.name,
        "version": spec.version,
        "sdk_version": __version__,
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "git": None if git is None else git.as_json(),
        "content_sha256": content_sha256,
        "files": dict(hashes),
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _zip(entries: Mapping[str, bytes]) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name in sorted(entries):
            info = ZipInfo(name, _EPOCH)
            info.create_system = _UNIX
            info.external_attr = 0o100644 << 16
            archive.writestr(info, entries[name])
    return buffer.getvalue()


def _max_bytes() -> int:
    text = os.environ.get(MAX_BYTES_VARIABLE, "")
    if not text:
        return MAX_BYTES
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BuildError(f"{MAX_BYTES_VARIABLE}={text!r}: expected a number of bytes above 0")
    return int(text)


def _check_size(sizes: Mapping[str, int], spec: FlowSpec, limit: int, *, total: int | None = None) -> None:
    """Refuse an artifact over the limit: before its files are read if they alone are, else when it is made."""
    total = sum(sizes.values()) if total is None else total
    if total <= limit:
        return
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:_LARGEST_SHOWN]
    listed = ", ".join(f"{name} ({sizes[name]:,} bytes)" for name in largest)
    raise BuildError(
        f"the artifact of flow {spec.name!r} has {total:,} bytes, more than {MAX_BYTES_VARIABLE} allows ({limit:,}). "
        f"Largest files: {listed}. Name what the flow does not need in .dagyignore, put data into S3 and code into a "
        "dependency package, or raise the limit"
    )
