"""CPU time that a process spends on making its clients of AWS, beside plain boto3 and PynamoDB.

A dispatcher makes those of ECS (two), S3, SQS and CloudWatch Logs, and reads and writes five tables. Each process
pays this once: a dispatcher, a bridge, a command.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from scripts.benchmarks.figures import Figure

ROUNDS = 15
SERVICES = ("ecs", "ecs", "s3", "sqs", "logs")
IMPORTS = "import time, boto3.session, dagy_queue.aws.clients, dagy_queue.records.models as models; "
BEGIN, END = "begin = time.process_time(); ", "print(time.process_time() - begin)"
TABLES = "[model.table().connection.client for model in models.MODELS]; "
WAYS = {
    "boto3 and PynamoDB as they come (baseline)": (
        # As bind_models does, without the connection that all share.
        f"{IMPORTS}models._share_connection = lambda: None; {BEGIN}{TABLES}"
        f"[boto3.session.Session().client(name) for name in {SERVICES}]; {END}"
    ),
    "ours, which share what they read": (
        f"{IMPORTS}from dagy_queue.aws.sessions import new_session; {BEGIN}{TABLES}"
        f"[new_session().client(name) for name in {SERVICES}]; {END}"
    ),
}


def run() -> Iterator[Figure]:
    """Measure, in turns, so that a busy moment of the machine meets both alike."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, code in WAYS.items():
            found[way].append(1000 * _seconds(code))
    (plain, ours) = (statistics.median(times) for times in found.values())
    for way, times in found.items():
        yield Figure(way, f"{statistics.median(times):.0f} ms of CPU (best of {ROUNDS}: {min(times):.0f} ms)")
    yield Figure("ours to the baseline", f"{ours / plain:.2f}")


def _seconds(code: str) -> float:
    environ = {
        **os.environ,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)
