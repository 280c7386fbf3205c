"""Dagy's guide from its first command to its last: the ETL flow built, packaged, registered, launched and looked at.

The flow, the commands and the registrations are the guide's own (``guide_samples.py``). Its pandas is a wheel inside
the dependency package, so that pip installs a requirement without a network.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import boto3
import pytest
from typer.testing import CliRunner

from dagy_queue import DagLauncher, RunFailed, RunHandle, RunModel, launch_sig
from dagy_queue.local.stack import LocalStack
from dagy_queue.operate import cli
from dagy_queue.records.run_queries import runs_by_correlation_id, runs_of_flow
from dagy_queue.records.runs import RunRecord, find_run
from dagy_queue.records.task_runs import TaskRun, task_runs_of
from tests.integration import guide_samples as guide
from tests.integration.conftest import TIMEOUT, let_go_of_results, stack_of_its_own
from tests.integration.waiting import eventually

ORG = "acme-corp"
BUCKET = "your-artifact-bucket"
FLOW = {"flow_name": "etl_pipeline", "org_id": ORG, "environment": "production", "deployment_name": "production"}
PASSWORD = "my-secure-password"
ROWS = [{"city": "Oslo", "sales": "3"}, {"city": "Lima", "sales": "5"}]
TASKS = ("extract", "transform", "load")
LOOKS = ("explain", "status", "logs", "results")
"""The commands that tell of a run."""

HELPERS = """
import hashlib, hmac, logging, os

def talk():
    secret = os.environ["DB_PASSWORD"]
    print("the password is", secret)
    print(secret[:9], end="")
    print(secret[9:], "in two pieces")
    logging.getLogger("helpers").error("it is %r", secret)
    os.system("echo a process says $DB_PASSWORD")

def sign(text):
    return hmac.new(os.environ["DB_PASSWORD"].encode(), text.encode(), hashlib.sha256).hexdigest()
"""
PANDAS = """
import csv, json
from custom_module.helpers import sign, talk

class Frame:
    def __init__(self, rows):
        self.rows = rows

    def assign(self, **columns):
        return Frame([{**row, **columns} for row in self.rows])

    def to_parquet(self, destination):
        text = json.dumps(self.rows)
        with open(destination, "w") as file:
            json.dump({"rows": text, "signature": sign(text)}, file)
        print("wrote", len(self.rows), "rows")
        talk()

def read_csv(source):
    with open(source, newline="") as file:
        return Frame(list(csv.DictReader(file)))
"""
"""Does what the flow asks of the real one; signs what it writes with the secret, and gives that away."""


def wheel(name: str, version: str, files: dict[str, str]) -> bytes:
    """Return a wheel that pip installs."""
    info = f"{name}-{version}.dist-info"
    said = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, *said, f"{info}/RECORD"])
    return zipped({**files, **said, f"{info}/RECORD": record})


def zipped(files: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the guide's flow and its dependency package, as the guide has them made."""
    directory = tmp_path_factory.mktemp("guide")
    (directory / "flows").mkdir()
    (directory / "flows" / "etl_pipeline.py").write_text(guide.ETL_PIPELINE)
    package = {
        "requirements.txt": "--no-index\n--find-links wheels\npandas>=2.28.0\n",
        "wheels/pandas-2.99-py3-none-any.whl": wheel("pandas", "2.99", {"pandas/__init__.py": PANDAS}),
        "__init__.py": "",
        "custom_module/__init__.py": "",
        "custom_module/helpers.py": HELPERS,
    }
    (directory / "my-deps.zip").write_bytes(zipped(package))
    with (directory / "sales.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)
    return directory


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack of the module's own: the guide's names are those of other tests as well."""
    with stack_of_its_own(tmp_path_factory.mktemp("stack"), simulate=False) as running:
        running.spawn("dispatcher")
        running.spawn("bridge", environment={"DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "2"})
        yield running
        let_go_of_results()


@pytest.fixture(scope="module", autouse=True)
def registered(stack: LocalStack, workplace: Path) -> None:
    """Go through the guide: build, upload, register the flow, its package and its deployment."""
    command = [str(Path(sys.executable).parent / "dagy"), *shlex.split(guide.BUILD)[1:]]
    subprocess.run(command, cwd=workplace, check=True, timeout=TIMEOUT)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.upload_file(str(workplace / "artifact.zip"), BUCKET, "flows/etl_pipeline/1.0.0/artifact.zip")
    s3.upload_file(str(workplace / "my-deps.zip"), BUCKET, "dep-packages/my-deps.zip")
    with ZipFile(workplace / "artifact.zip") as archive:
        archive.extractall(workplace / "artifact")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        guide.register_flow()
    guide.register_package()
    guide.define_deployment()


@pytest.fixture(scope="module")
def secrets(stack: LocalStack) -> dict[str, str]:
    """The guide's secret, by the name of its variable."""
    made = boto3.client("secretsmanager").create_secret(Name="prod/db-password", SecretString=PASSWORD)
    return {"DB_PASSWORD": made["ARN"]}


@dataclass(frozen=True)
class Ended:
    """A run that is over, whichever way it was launched."""

    run_id: str
    record: RunRecord
    error: Exception | None

    @property
    def task_id(self) -> str:
        return self.record.task_arn.rpartition("/")[2]


Launch = Callable[..., Ended]


def by_celery(**fields: Any) -> tuple[str, Exception | None]:
    """Launch it as a Celery task and wait for its result."""
    result = launch_sig(**fields).apply_async()
    try:
        result.get(timeout=TIMEOUT)
    except RunFailed as exc:
        return result.id, exc
    return result.id, None


def by_launcher(**fields: Any) -> tuple[str, Exception | None]:
    """Launch it as the guide does, and wait for the queue's answer."""
    result = DagLauncher().launch(**fields)
    assert result.success, result.error_message
    try:
        RunHandle(result.run_id).get(timeout=TIMEOUT)
    except RunFailed as exc:
        return result.run_id, exc
    return result.run_id, None


def directly(**fields: Any) -> tuple[str, Exception | None]:
    """Launch it without a queue: nobody waits, the record tells."""
    launcher = DagLauncher(mode="direct")
    result = launcher.launch(**fields)
    assert result.success, result.error_message

    def is_over() -> bool:
        status = launcher.get_run_status(result.run_id, org_id=ORG)
        return bool(status and status["outcome"])  # the worker tells of the end before ECS does; asking settles it

    eventually(is_over, f"run {result.run_id} is over", TIMEOUT)
    return result.run_id, None


def recorded(run_id: str) -> RunRecord:
    def look() -> RunRecord | None:
        found = find_run(run_id, ORG)
        return found if found and found.outcome and found.completed_at else None

    return eventually(look, f"run {run_id} is recorded with its outcome")


@pytest.fixture(params=[by_celery, by_launcher, directly], ids=["celery", "launcher", "direct"])
def launched(request: pytest.FixtureRequest, secrets: dict[str, str]) -> Launch:
    """Launch the flow in each way, and wait until it is over and recorded."""

    def launch(**fields: Any) -> Ended:
        run_id, error = request.param(**FLOW, secrets_env=secrets, **fields)
        return Ended(run_id, recorded(run_id), error)

    return launch


def log_of(ended: Ended) -> list[dict[str, Any]]:
    """Return the run's lines in CloudWatch Logs, once its end is among them."""

    def look() -> list[dict[str, Any]]:
        stream = f"dagy/worker/{ended.task_id}"
        events = boto3.client("logs").get_log_events(
            logGroupName="/ecs/dagy-worker", logStreamName=stream, startFromHead=True
        )
        lines = [json.loads(event["message"]) for event in events["events"]]
        return lines if any(line["event_type"] == "run_finished" for line in lines) else []

    return eventually(look, f"the log of {ended.run_id} is complete")


def of_type(lines: list[dict[str, Any]], event_type: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event_type"] == event_type]


def tasks_of(ended: Ended) -> dict[str, TaskRun]:
    """Return what the worker wrote of the tasks, by their names."""
    return {task.task_name: task for task in task_runs_of(ended.run_id, ORG)}


def everything_told_of(ended: Ended) -> str:
    """Return all that was written of a run: log, record, tasks, status, report, traceback, what `explain` says."""
    s3 = boto3.client("s3")
    told: list[Any] = [log_of(ended), asdict(ended.record), RunModel.get(ended.run_id).attribute_values]
    told += [asdict(task) for task in task_runs_of(ended.run_id, ORG)]
    told += [DagLauncher().get_run_status(ended.run_id, org_id=ORG), repr(ended.error), vars(ended.error or object)]
    told += [CliRunner().invoke(cli.app, [command, ended.run_id, "--org", ORG]).output for command in LOOKS]
    written = [
        s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode()
        for bucket in ("dagy-artifacts", "dagy-traces")
        for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ())
        if ended.run_id in item["Key"]
    ]
    assert written  # at least the report
    return json.dumps([told, written], default=str, ensure_ascii=False)


def test_the_guides_flow_does_its_work(launched: Launch, workplace: Path, tmp_path: Path) -> None:
    destination = tmp_path / "sales.parquet"
    ended = launched(
        parameters={"source": str(workplace / "sales.csv"), "destination": str(destination)},
        correlation_id=f"guide-{tmp_path.name}",
    )
    # The right result, made with the requirement's code and the secret.
    written = json.loads(destination.read_text())
    assert json.loads(written["rows"]) == [{**row, "processed": True} for row in ROWS]
    expected = hmac.new(PASSWORD.encode(), written["rows"].encode(), hashlib.sha256).hexdigest()
    assert written["signature"] == expected

    # The right record, found by its id, its flow and its correlation id, by its own org alone.
    record = ended.record
    assert (record.status, record.flow_name, record.flow_version) == ("SUCCEEDED", "etl_pipeline", "1.0.0")
    assert (record.org_id, record.environment, record.error_message) == (ORG, "production", None)
    times = (record.created_at, record.started_at, record.completed_at)
    assert sorted(times) == list(times)
    assert RunModel.get(ended.run_id).status == "SUCCEEDED"
    for page in (runs_of_flow(ORG, "etl_pipeline"), runs_by_correlation_id(ORG, record.correlation_id)):
        assert ended.run_id in [run.run_id for run in page.runs]
    assert find_run(ended.run_id, "other") is None
    assert DagLauncher().get_run_status(ended.run_id, org_id="other") is None

    # The right log: every line says whose it is, and the secret is in none.
    lines = log_of(ended)
    assert {(line["run_id"], line["org_id"]) for line in lines} == {(ended.run_id, ORG)}
    assert {line["correlation_id"] for line in lines} == {record.correlation_id}
    assert [line["task"] for line in of_type(lines, "task_started")] == list(TASKS)
    assert len(of_type(lines, "package_installed")) == 1
    (printed,) = [line for line in lines if line["message"] == "wrote 2 rows"]
    assert printed["task"] == "load"
    assert not of_type(lines, "task_failed")

    # What the flow says of the secret is redacted, however it says it, and the secret itself is nowhere.
    said = [(line["event_type"], line["message"]) for line in lines if "[redacted:DB_PASSWORD]" in line["message"]]
    assert sorted(said) == [
        ("log", "it is '[redacted:DB_PASSWORD]'"),
        ("output", "a process says [redacted:DB_PASSWORD]"),
        ("print", "[redacted:DB_PASSWORD] in two pieces"),
        ("print", "the password is [redacted:DB_PASSWORD]"),
    ]
    assert PASSWORD not in everything_told_of(ended)

    # The worker's own part of the record: each task, in its order, for its own org alone.
    tasks = tasks_of(ended)
    assert {name: (task.state, task.tries) for name, task in tasks.items()} == dict.fromkeys(TASKS, ("SUCCEEDED", 1))
    assert {task.attempt for task in tasks.values()} == {record.attempt}
    assert all(tasks[before].finished_at <= tasks[after].started_at for before, after in pairwise(TASKS))
    assert task_runs_of(ended.run_id, "other") == []


def test_what_goes_wrong_is_told_everywhere(launched: Launch, workplace: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "no-such.csv")
    ended = launched(parameters={"source": missing, "destination": str(tmp_path / "never")})
    last_line = f"FileNotFoundError: [Errno 2] No such file or directory: {missing!r}"

    # The traceback is in S3, where the guide looks for it.
    key = f"exceptions/{ORG}/{ended.run_id}/traceback.txt"
    text = boto3.client("s3").get_object(Bucket="dagy-traces", Key=key)["Body"].read().decode()
    assert text.startswith("Traceback (most recent call last):")
    assert "etl_pipeline.py" in text
    assert text.rstrip().splitlines()[-1] == last_line

    # The record and the log say it.
    assert (ended.record.status, ended.record.flow_version) == ("FAILED", "1.0.0")
    assert missing in str(ended.record.error_message)
    (failed,) = of_type(log_of(ended), "task_failed")
    assert (failed["task"], failed["run_id"]) == ("extract", ended.run_id)
    assert PASSWORD not in everything_told_of(ended)
    tasks = tasks_of(ended)
    assert {name: task.state for name, task in tasks.items()} == {
        "extract": "FAILED",
        "transform": "SKIPPED",
        "load": "SKIPPED",
    }
    assert missing in tasks["extract"].error_message
    assert [task.tries for task in tasks.values()].count(0) == 2

    # `explain` has the diagnosis, for those who have a queue and those who have not.
    answer = CliRunner().invoke(cli.app, ["explain", ended.run_id, "--org", ORG])
    assert answer.exit_code == 0
    assert "FileNotFoundError" in answer.output
    assert missing in answer.output
    assert CliRunner().invoke(cli.app, ["explain", ended.run_id, "--org", "other"]).exit_code == 1

    # So has the Celery error.
    if ended.error is not None:
        assert isinstance(ended.error, RunFailed)
        assert last_line.partition(": ")[2] in str(ended.error)
        assert str(ended.error.outcome["detail"]).rstrip().splitlines()[-1] == last_line
        assert ended.error.outcome["kind"] == "failed"


def test_a_launch_without_its_secret_fails_in_the_task_that_needs_it(
    stack: LocalStack, workplace: Path, tmp_path: Path
) -> None:
    parameters = {"source": str(workplace / "sales.csv"), "destination": str(tmp_path / "sales.parquet")}
    run_id, error = by_celery(**FLOW, parameters=parameters)
    assert "DB_PASSWORD" in str(error)
    assert "task 'load'" in str(error)
    assert recorded(run_id).status == "FAILED"
