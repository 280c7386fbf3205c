"""Manifests: the dispatcher reads them twice, line by line, whatever their length.

The first pass checks every line and counts them; only then does the batch have a total, and only then is a shard
entered. The second pass, of the same version of the object, enters them; after a redelivery it goes on where the
ledger is. A manifest with a bad line, or that S3 refuses for good, fails its batch; an AwsError says that it cannot be
read for now. ``dispatch/expansion.py`` calls all of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import structlog

from dagy_queue.aws.objects import CHANGED, ObjectStream
from dagy_queue.aws.refusals import is_about_credentials
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import AwsRefused, Problem
from dagy_queue.ledger import BatchRecord
from dagy_queue.requests import RunRequest, read_request
from dagy_queue.requests.deltas import SPEC_CHUNK, checked_chunks, delta_of
from dagy_queue.requests.rows import MAX_PROBLEMS, read_rows
from dagy_queue.requests.sources import Manifest

log = structlog.get_logger(__name__)

_BUFFER = 1024 * 1024


class ManifestRefused(Exception):
    """A manifest cannot be run; the message says why."""


def count(services: Services, batch: BatchRecord) -> BatchRecord:
    """Check a batch's manifest and count its shards; return the batch as it is then.

    Raises ManifestRefused, or an AwsError if it cannot be read for now.
    """
    manifest = _of(services, batch)
    stream = _stream(services, manifest)
    problems: list[Problem] = []
    try:
        total = _checked_total(manifest, read_request(batch.request), stream, problems)
    except AwsRefused as exc:
        if is_about_credentials(exc):
            raise
        raise ManifestRefused(f"the manifest {manifest.uri} cannot be read: {exc}") from exc
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems[:MAX_PROBLEMS])
        raise ManifestRefused(f"the manifest {manifest.uri} cannot be run; none of its shards was launched:{lines}")
    tolerated = batch.policy.tolerated(total)
    services.batches.counted(batch.batch_id, total, tolerated=tolerated, tag=stream.tag)
    log.info("manifest_counted", batch_id=batch.batch_id, uri=manifest.uri, shards=total)
    return services.batches.get(batch.batch_id)


def delta_chunks(services: Services, batch: BatchRecord) -> Iterator[list[dict[str, Any]]]:
    """Yield what the shards that are not entered yet differ in, a chunk at a time.

    Raises ManifestRefused, or an AwsError if the manifest cannot be read for now.
    """
    manifest, request = _of(services, batch), read_request(batch.request)
    rows = _rows(manifest, _stream(services, manifest, tag=batch.manifest_tag), [])
    deltas = (delta_of(request, row) for _, row in islice(rows, batch.expanded, batch.total))
    try:
        while chunk := list(islice(deltas, SPEC_CHUNK)):
            yield chunk
    except AwsRefused as exc:
        if is_about_credentials(exc):
            raise
        what = "was changed while it was read" if exc.code == CHANGED else f"cannot be read any more: {exc}"
        raise ManifestRefused(f"the manifest {manifest.uri} {what}") from exc


def _of(services: Services, batch: BatchRecord) -> Manifest:
    if batch.manifest is None:
        raise ValueError(f"batch {batch.batch_id} has no manifest")
    return batch.manifest.limited(services.settings.ecs.max_task_count)


def _stream(services: Services, manifest: Manifest, *, tag: str = "") -> ObjectStream:
    return ObjectStream(services.aws.s3, manifest.bucket, manifest.key, tag=tag)


def _rows(manifest: Manifest, stream: ObjectStream, problems: list[Problem]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    return read_rows(io.BufferedReader(stream, _BUFFER), manifest.form, manifest.where, problems)


def _checked_total(manifest: Manifest, request: RunRequest, stream: ObjectStream, problems: list[Problem]) -> int:
    total = 0
    rows = _rows(manifest, stream, problems)
    for _, shards in checked_chunks(request, rows, manifest.where, problems):
        total += shards
        if manifest.most is not None and total > manifest.most:
            allowed = f"at most {manifest.most} shards, the cluster's limit (DAGY_QUEUE__ECS__MAX_TASK_COUNT)"
            problems.append(Problem("manifest", manifest.uri, allowed))
            break
    return total
