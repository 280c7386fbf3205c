"""A shard of the flights: how late they left, added up by carrier and month. Runs in a container of its own."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from urllib.parse import urlsplit

import boto3

from dagy import flow, task

MISSING = "NA"
"""What stands for no departure: the flight was cancelled."""


@task(retries=2, retry_delay_seconds=[1, 5])
def download(source: str) -> str:
    """Return the text of a compressed object; ``source`` is its s3:// URI."""
    place = urlsplit(source)
    found = boto3.client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))
    return gzip.decompress(found["Body"].read()).decode()


@task
def add_up_delays(flights: str) -> list[list[str | int]]:
    """Return rows of carrier, month, minutes of delay, departures. Sums and counts merge exactly; means do not."""
    sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for flight in csv.DictReader(flights.splitlines()):
        if flight["dep_delay"] != MISSING:
            group = sums[flight["carrier"], int(flight["month"])]
            group[0] += int(flight["dep_delay"])
            group[1] += 1
    return [[carrier, month, *group] for (carrier, month), group in sorted(sums.items())]


@flow(name="departure_delays", version="1.0.0")
def departure_delays(source: str) -> object:
    """Add up the departure delays of the flights in one object."""
    return add_up_delays(download(source))
