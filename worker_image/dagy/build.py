"""Building an artifact: the ZIP that the worker downloads. ``dagy build`` and launchers call :func:`build_artifact`.

The same sources give the same bytes, so the hash identifies them: entries are sorted, stored without compression
(compressors differ between machines), and carry no real times or modes. Inside: ``flow_spec.json`` (``dagy.spec``),
``metadata.json`` (what it was built with, and the hash of each source) and the sources under ``src/``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from dagy import __version__
from dagy.flows import Flow
from dagy.graph import Graph
from dagy.loader import choose, isolated, load_flows
from dagy.sources import local_sources
from dagy.spec import Entrypoint, FlowSpec, TaskSpec

FLOW_SPEC = "flow_spec.json"
METADATA = "metadata.json"
SOURCES = "src"
METADATA_SCHEMA = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


@dataclass(frozen=True, slots=True)
class Artifact:
    """A built artifact: the bytes of the ZIP, their SHA-256 in hex, and what it says about the flow."""

    content: bytes
    sha256: str
    spec: FlowSpec


def build_artifact(path: str | Path, version: str | None = None, *, flow: str | None = None) -> Artifact:
    """Package the flow in a file. ``version`` overrides the flow's own; ``flow`` chooses among several.

    Raises LoadError if the file cannot be imported or the choice is not clear.
    """
    file = Path(path)
    with isolated(file.parent):
        name, chosen = choose(load_flows(file), file, flow)
        spec = describe(chosen, Entrypoint(file=f"{SOURCES}/{file.name}", object=name), version)
    sources = {f"{SOURCES}/{name}": content for name, content in local_sources(file).items()}
    content = _zip({FLOW_SPEC: spec.to_json().encode(), METADATA: _metadata(spec, sources), **sources})
    return Artifact(content, hashlib.sha256(content).hexdigest(), spec)


def describe(flow: Flow, entrypoint: Entrypoint, version: str | None = None) -> FlowSpec:
    """Return the spec of a flow."""
    graph = flow.typical_graph()
    return FlowSpec(
        name=flow.name,
        version=version or flow.version,
        description=flow.description,
        parameters=flow.parameters(),
        tasks=None if graph is None else _tasks(graph),
        entrypoint=entrypoint,
    )


def _tasks(graph: Graph) -> tuple[TaskSpec, ...]:
    return tuple(
        TaskSpec(
            name=node.name,
            function=getattr(node.task.function, "__qualname__", node.task.name),
            upstream=node.upstream,
            options=node.task.options.as_json(),
        )
        for node in graph.nodes.values()
    )


def _metadata(spec: FlowSpec, sources: Mapping[str, bytes]) -> bytes:
    document = {
        "schema": METADATA_SCHEMA,
        "flow": spec.name,
        "version": spec.version,
        "sdk_version": __version__,
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "sources": {name: hashlib.sha256(content).hexdigest() for name, content in sources.items()},
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
