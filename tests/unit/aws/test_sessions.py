from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.session
import pytest

from dagy_queue.aws import sessions
from dagy_queue.aws.sessions import new_session


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files of botocore that are read, beginning with none."""
    # As outside of tests, where no loader is shared unless we do.
    monkeypatch.setattr(botocore.session, "create_loader", botocore.loaders.create_loader)
    sessions._loader.cache_clear()
    read: list[str] = []
    load = botocore.loaders.JSONFileLoader._load_file

    def noted(self: Any, path: str, open_method: Any) -> Any:
        read.append(path)
        return load(self, path, open_method)

    monkeypatch.setattr(botocore.loaders.JSONFileLoader, "_load_file", noted)
    yield read
    sessions._loader.cache_clear()


def test_sessions_are_apart() -> None:
    first, second = new_session(region_name="eu-west-1"), new_session(region_name="us-east-1")
    assert (first.region_name, second.region_name) == ("eu-west-1", "us-east-1")
    assert first._session is not second._session


def test_credentials_are_each_sessions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    found = [
        session.get_credentials().access_key
        for session in (new_session(), new_session(aws_access_key_id="given", aws_secret_access_key="too"))
    ]
    assert found == ["of-the-environment", "given"]


def test_what_one_session_has_read_no_other_reads_again(files_read: list[str]) -> None:
    new_session(region_name="eu-west-1").client("sqs")
    assert any("/sqs/" in path for path in files_read)
    files_read.clear()
    new_session(region_name="eu-central-1").client("sqs")
    assert files_read == []


def test_threads_may_make_sessions_and_clients_at_once() -> None:
    sessions._loader.cache_clear()
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda n: new_session(region_name=f"eu-west-{n % 3 + 1}").client("logs"), range(16)))
    assert {client.meta.region_name for client in made} == {"eu-west-1", "eu-west-2", "eu-west-3"}


@pytest.mark.usefixtures("files_read")
def test_models_of_the_users_own_are_found_where_aws_data_path_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = tmp_path / "own" / "2026-01-01" / "service-2.json"
    model.parent.mkdir(parents=True)
    model.write_text(json.dumps({"metadata": {"protocol": "json"}, "operations": {}, "shapes": {}}))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    assert "own" in new_session(region_name="eu-west-1").get_available_services()
