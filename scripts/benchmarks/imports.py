"""CPU time that a container spends before its flow's own imports, beside that of ``import boto3``.

Every shard pays it. Measured is what ``python -m dagy_worker`` does, both of its processes, until the first line of the
flow's file: starting Python, importing the worker and the SDK, reading the spec, fetching the artifact from S3 (a local
one, without TLS), checking and unpacking it.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from dagy.build import build_artifact
from dagy.contract import Env, RunReport, RunSpec
from scripts.benchmarks.figures import Figure

ROUNDS = 15
BUCKET = "benchmark"
FLOW = """
import os, time
with open(f"/proc/{os.getppid()}/schedstat") as supervisor:
    SPENT = time.process_time() * 1000 + int(supervisor.read().split()[0]) / 1e6

from dagy import flow

@flow
def measured():
    return SPENT
"""
CLIENT = (
    "import os, dagy_worker.main; from dagy_worker.storage import Storage; "
    "os.environ.update(AWS_ACCESS_KEY_ID='-', AWS_SECRET_ACCESS_KEY='-', AWS_REGION='us-east-1'); Storage(os.environ)"
)


def run() -> Iterator[Figure]:
    """Measure, in turns, so that a busy moment of the machine meets all alike."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        measured = _measured(server)
    finally:
        server.stop()
    for what, milliseconds in measured.items():
        best, usual = min(milliseconds), statistics.median(milliseconds)
        target = "150 ms" if what == "import dagy_worker.main" else ""
        yield Figure(what, f"{usual:.0f} ms of CPU (best of {ROUNDS}: {best:.0f} ms)", target)


def _measured(server: ThreadedMotoServer) -> Mapping[str, list[float]]:
    host, port = server.get_host_and_port()
    environ = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }
    s3 = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 - moto's
    )
    s3.create_bucket(Bucket=BUCKET)
    spec = _spec(s3)
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for what, code in (
            ("python -c pass (baseline)", "pass"),
            ("import boto3 (baseline)", "import boto3"),
            ("import dagy_worker.main", "import dagy_worker.main"),
            ("the same, and botocore with a client of S3", CLIENT),
        ):
            found.setdefault(what, []).append(_cpu_of([sys.executable, "-c", code]))
        found.setdefault("python -m dagy_worker until the flow's first line", []).append(_worker(s3, spec, environ))
    return found


def _spec(s3: Any) -> RunSpec:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "measured.py")
        file.write_text(FLOW)
        artifact = build_artifact(file)
    s3.put_object(Bucket=BUCKET, Key="artifact.zip", Body=artifact.content)
    return RunSpec(
        run_id="run",
        attempt=1,
        org_id="org",
        flow_name="measured",
        flow_version="0.0.0",
        artifact_uri=f"s3://{BUCKET}/artifact.zip",
        artifact_sha256=artifact.sha256,
        result_uri=f"s3://{BUCKET}/report.json",
    )


def _worker(s3: Any, spec: RunSpec, environ: Mapping[str, str]) -> float:
    command = [sys.executable, "-m", "dagy_worker"]
    subprocess.run(command, env={**environ, Env.RUN_SPEC: spec.to_json()}, stdout=subprocess.DEVNULL, check=True)
    report = RunReport.from_json(s3.get_object(Bucket=BUCKET, Key="report.json")["Body"].read().decode())
    return float(report.result)


def _cpu_of(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
