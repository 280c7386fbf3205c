from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from dagy_queue import fan_out, grid, lines, manifest
from dagy_queue.errors import RequestInvalid
from dagy_queue.ledger import RedisConnection
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.shard_files import spec_from
from dagy_queue.requests import ContainerRequest, LaunchRequest
from tests.unit.producer.conftest import on

FLOW = LaunchRequest(org_id="acme", flow_name="etl")
CONTAINER = ContainerRequest(org_id="acme", image="python:3.12")


def kept(publisher: Publisher, batch_id: str) -> list[dict[str, Any]]:
    return [delta for chunk in publisher.batches.spec_chunks(batch_id, 0) for delta in chunk]


def test_a_files_rows_are_a_flows_parameters(publisher: Publisher, tmp_path: Path) -> None:
    path = tmp_path / "regions.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["region", "year"], ["eu", 2023], ["us", 2024]])
    batch = fan_out(FLOW, lines(path, types={"year": int}), launcher=on(publisher))
    assert [delta["parameters"] for delta in kept(publisher, batch.batch_id)] == [
        {"region": "eu", "year": 2023},
        {"region": "us", "year": 2024},
    ]


def test_a_files_rows_are_the_fields_in_which_containers_differ(publisher: Publisher, tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    path.write_text('{"command": ["a"]}\n\n{"command": ["b"], "cpu": 512, "memory": 1024}\n')
    batch = fan_out(CONTAINER, lines(str(path)), launcher=on(publisher))
    assert kept(publisher, batch.batch_id) == [{"command": ["a"]}, {"command": ["b"], "cpu": 512, "memory": 1024}]


def test_every_bad_line_of_a_file_is_named_and_nothing_is_sent(
    publisher: Publisher, connection: RedisConnection, tmp_path: Path
) -> None:
    path = tmp_path / "commands.jsonl"
    path.write_text('{"command": ["a"]}\noops\n\n{"command": 3}\n{"cluster": "other"}\n')
    with pytest.raises(RequestInvalid) as caught:
        fan_out(CONTAINER, lines(path), launcher=on(publisher))
    fields = [problem.field for problem in caught.value.problems]
    assert fields == [f"{path}[line 2]", f"{path}[line 4].command", f"{path}[line 5].cluster"]
    assert connection.client.keys("*") == []


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(RequestInvalid, match=r"a file that can be read|a name that ends in"):
            spec_from(FLOW, lines(path))


@pytest.mark.parametrize("shards", ["shards.csv", b"x", Path("shards.csv"), {"n": 1}, 3, None])
def test_what_holds_no_shards_is_refused_with_what_does(shards: Any) -> None:
    with pytest.raises(RequestInvalid, match=r"lines\(path\) or manifest"):
        spec_from(FLOW, shards)


def test_a_grid_is_a_list_of_shards() -> None:
    assert spec_from(FLOW, grid(year=range(1999, 2020), region=["eu", "us"])).total == 42


def test_of_a_manifest_only_its_address_is_sent(publisher: Publisher) -> None:
    source = manifest("s3://bucket/shards.csv.gz", types={"year": int})
    batch = fan_out(FLOW, source, tolerate="5%", launcher=on(publisher))
    record = publisher.batches.get(batch.batch_id)
    assert (record.manifest, record.is_counted, record.total) == (source, False, 0)
    progress = batch.progress()
    assert (progress.total, progress.is_counted, progress.is_over) == (0, False, False)
    assert kept(publisher, batch.batch_id) == []
