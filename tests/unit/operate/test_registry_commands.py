"""``dagy-queue flow``, ``dep``, ``deployment`` and ``tables``, as people type them."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from dagy.build import build_artifact
from dagy_queue import settings as settings_module
from dagy_queue.errors import AwsRefused
from dagy_queue.operate.packing import pack
from dagy_queue.records import deployments
from dagy_queue.records.deployments import get_deployment
from dagy_queue.records.flows import find_flow, get_flow_spec
from dagy_queue.records.models import bind_models
from dagy_queue.settings import Settings
from tests.unit.operate.conftest import Command
from tests.unit.operate.registry_kit import FILES, ONE_FLOW, write


@pytest.fixture
def etl(tmp_path: Path) -> Path:
    file = tmp_path / "etl.py"
    file.write_text(textwrap.dedent(ONE_FLOW))
    return file


@pytest.fixture
def deps(tmp_path: Path) -> Path:
    return write(tmp_path / "my-deps", FILES)


def push(command: Command, file: Path, *versions: str) -> None:
    for version in versions:
        command("flow", "push", file, "--version", version, "--org", "acme")


def words(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines()]


def test_a_flow_is_pushed_with_its_notes(command: Command, etl: Path) -> None:
    notes = ("--deployment", "prod", "--namespace", "etl", "--tag", "team=data", "--tag", "x=a=b")
    assert command("flow", "push", etl, "--org", "acme", *notes).startswith(
        "registered etl 1.0 for acme: s3://artifacts/"
    )
    found = find_flow("acme", "etl", "latest")
    assert found is not None
    assert (found.deployment_name, found.namespace, found.tags) == ("prod", "etl", {"team": "data", "x": "a=b"})


def test_a_file_that_is_not_there_is_a_wrong_use_and_file_and_name_are_said_apart(command: Command, etl: Path) -> None:
    assert f"{etl} --flow etl" in command("flow", "push", f"{etl}:etl", "--org", "acme", code=2)
    for missing in (etl.with_name("none.py"), f"{etl.with_name('none.py')}:etl"):
        assert "does not exist." in command("flow", "push", missing, "--org", "acme", code=2)
    assert "is a directory" in command("flow", "push", etl.parent, "--org", "acme", code=2)


def test_a_deployment_that_is_not_there_yet_is_noted(command: Command, etl: Path) -> None:
    asked = ("flow", "push", etl, "--org", "acme", "--deployment", "prdo")
    assert "acme has no deployment 'prdo' yet" in command(*asked)
    command("deployment", "set", "prdo", "--shared")
    assert "yet" not in command(*asked)


def test_who_may_not_read_deployments_may_push_all_the_same(
    command: Command, etl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_org_id: str, _name: str) -> bool:
        raise AwsRefused("not authorized to perform dynamodb:Query", code="AccessDeniedException")

    monkeypatch.setattr(deployments, "is_registered", refused)
    said = command("flow", "push", etl, "--org", "acme", "--deployment", "prod")
    assert said.startswith("registered etl 1.0 for acme")
    assert len(said.splitlines()) == 1


def test_a_built_artifact_is_pushed_as_it_is(command: Command, etl: Path, tmp_path: Path) -> None:
    artifact = build_artifact(etl, version="2.0")
    built = tmp_path / "artifact.zip"
    built.write_bytes(artifact.content)
    pushed = json.loads(command("flow", "push", built, "--org", "acme", "--json"))
    assert (pushed["name"], pushed["version"], pushed["artifact_sha256"]) == ("etl", "2.0", artifact.sha256)
    assert get_flow_spec("acme", "etl", "2.0") == json.loads(artifact.spec.to_json())
    assert "version = '3': 2.0, as the artifact says" in command(
        "flow", "push", built, "--org", "acme", "--version", "3", code=1
    )


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_what_dagy_build_did_not_make_is_no_artifact(command: Command, tmp_path: Path, content: bytes) -> None:
    built = tmp_path / "artifact.zip"
    built.write_bytes(content)
    assert "is no artifact that `dagy build` made" in command("flow", "push", built, "--org", "acme", code=1)


def test_an_archive_without_a_spec_is_no_artifact(command: Command, tmp_path: Path, deps: Path) -> None:
    pack(deps, tmp_path / "artifact.zip")
    assert "flow_spec.json" in command("flow", "push", tmp_path / "artifact.zip", "--org", "acme", code=1)


def test_flows_are_listed_with_what_latest_means(command: Command, etl: Path) -> None:
    assert "`dagy-queue flow push FILE --org acme`" in command("flow", "list", "--org", "acme")
    push(command, etl, "1.0", "2.0")
    header, row = words(command("flow", "list", "--org", "acme"))
    assert (header, row[:3]) == (["FLOW", "LATEST", "VERSIONS", "PUSHED"], ["etl", "2.0", "2"])
    (found,) = json.loads(command("flow", "list", "--org", "acme", "--json"))
    assert (found["name"], found["latest"], [each["version"] for each in found["versions"]]) == (
        "etl",
        "2.0",
        ["2.0", "1.0"],
    )
    assert json.loads(command("flow", "list", "--org", "other", "--json")) == []


def test_a_flow_is_shown_with_its_versions_one_version_or_its_spec(command: Command, etl: Path) -> None:
    push(command, etl, "1.0", "2.0")
    _, newest, oldest = words(command("flow", "show", "etl", "--org", "acme"))
    assert (newest[:3], oldest[:2]) == (["2.0", "latest", "ACTIVE"], ["1.0", "ACTIVE"])
    shown = dict(line.split(maxsplit=1) for line in command("flow", "show", "etl@latest", "--org", "acme").splitlines())
    assert (shown["version"], shown["org"], shown["status"]) == ("2.0 (latest)", "acme", "ACTIVE")
    assert "namespace" not in shown
    assert json.loads(command("flow", "show", "etl@1.0", "--org", "acme", "--json"))["version"] == "1.0"
    assert json.loads(command("flow", "show", "etl", "--org", "acme", "--json"))["latest"] == "2.0"
    assert json.loads(command("flow", "show", "etl@1.0", "--org", "acme", "--spec"))["name"] == "etl"


def test_what_is_not_there_is_said_to_be_missing(command: Command, etl: Path) -> None:
    push(command, etl, "1.0", "2.0")
    assert "has no version '9', but 2.0, 1.0" in command("flow", "show", "etl@9", "--org", "acme", code=1)
    assert "'etl' is not registered for org 'other'" in command("flow", "show", "etl", "--org", "other", code=1)
    for version in ("1.0", "2.0"):
        command("flow", "deprecate", f"etl@{version}", "--org", "acme")
    assert "has no active version" in command("flow", "show", "etl@latest", "--org", "acme", code=1)
    assert words(command("flow", "list", "--org", "acme"))[1][:3] == ["etl", "-", "2"]


def test_a_version_is_deprecated_and_allowed_again(command: Command, etl: Path) -> None:
    push(command, etl, "1.0", "2.0")
    said = command("flow", "deprecate", "etl@2.0", "--org", "acme", "--reason", "loses rows")
    assert said == "etl 2.0 of acme: INACTIVE (loses rows)\n"
    assert "INACTIVE (loses rows)" in command("flow", "show", "etl", "--org", "acme")
    assert "is deprecated (loses rows)" in command("flow", "push", etl, "--version", "2.0", "--org", "acme", code=1)
    answer = json.loads(command("flow", "activate", "etl@2.0", "--org", "acme", "--json"))
    assert (answer["status"], answer["status_reason"]) == ("ACTIVE", "")
    assert words(command("flow", "list", "--org", "acme"))[1][1] == "2.0"


@pytest.mark.parametrize("group", ["flow", "dep"])
@pytest.mark.parametrize("name", ["etl", "@1", "etl@"])
def test_which_version_is_deprecated_must_be_said(command: Command, group: str, name: str) -> None:
    for verb in ("deprecate", "activate"):
        assert "is not NAME@VERSION" in command(group, verb, name, "--org", "acme", code=2)


def test_a_tag_is_a_pair(command: Command, etl: Path) -> None:
    assert "is not key=value" in command("flow", "push", etl, "--org", "acme", "--tag", "team", code=2)


NEED_AN_ORG = [
    ("flow", "list"),
    ("flow", "show", "etl"),
    ("flow", "deprecate", "etl@1"),
    ("flow", "activate", "etl@1"),
    ("dep", "list"),
    ("dep", "show", "deps"),
    ("dep", "deprecate", "deps@1"),
    ("dep", "activate", "deps@1"),
    ("deployment", "set", "prod"),
    ("deployment", "list"),
    ("deployment", "show", "prod"),
]


@pytest.mark.parametrize("arguments", NEED_AN_ORG, ids=" ".join)
def test_whose_it_is_must_be_said(command: Command, arguments: tuple[str, ...]) -> None:
    assert "DAGY_ORG_ID" in command(*arguments, code=2)


def test_whose_it_is_may_be_a_setting(
    command: Command, registry: Settings, etl: Path, deps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = registry.model_copy(update={"records": registry.records.model_copy(update={"org_id": "acme"})})
    monkeypatch.setattr(settings_module, "settings", lambda: ours)
    command("flow", "push", etl)
    command("dep", "push", deps, "--version", "1")
    command("deployment", "set", "prod", "--package", "my-deps")
    assert words(command("flow", "list"))[1][0] == "etl"
    assert words(command("dep", "list"))[1][0] == "my-deps"
    assert words(command("deployment", "list"))[1][:3] == ["prod", "(any)", "acme"]
    assert "no flow is registered for org other" in command("flow", "list", "--org", "other")


def test_packages_are_pushed_listed_shown_and_deprecated(command: Command, deps: Path) -> None:
    assert "`dagy-queue dep push PATH --version V --org acme`" in command("dep", "list", "--org", "acme")
    assert command("dep", "push", deps, "--version", "1", "--org", "acme").startswith(
        "registered my-deps 1 for acme: s3://"
    )
    (deps / "new.py").touch()
    pushed = json.loads(command("dep", "push", deps, "--version", "2", "--org", "acme", "--json"))
    assert len(pushed["sha256"]) == 64
    header, row = words(command("dep", "list", "--org", "acme"))
    assert (header[0], row[:3]) == ("PACKAGE", ["my-deps", "2", "2"])
    assert (
        command("dep", "deprecate", "my-deps@2", "--org", "acme", "--reason", "a hole")
        == "my-deps 2: INACTIVE (a hole)\n"
    )
    _, newest, oldest = words(command("dep", "show", "my-deps", "--org", "acme"))
    assert (newest[:2], oldest[:2]) == (["2", "INACTIVE"], ["1", "latest"])
    assert json.loads(command("dep", "show", "my-deps@latest", "--org", "acme", "--json"))["version"] == "1"
    assert "sha256" in command("dep", "show", "my-deps@2", "--org", "acme")
    assert json.loads(command("dep", "activate", "my-deps@2", "--org", "acme", "--json"))["status"] == "ACTIVE"
    assert json.loads(command("dep", "show", "my-deps", "--org", "acme", "--json"))["latest"] == "2"
    assert "has no version '9', but 2, 1" in command("dep", "show", "my-deps@9", "--org", "acme", code=1)
    assert "is not registered for org 'other'" in command("dep", "show", "my-deps", "--org", "other", code=1)


def test_a_version_of_a_package_must_be_said(command: Command, deps: Path) -> None:
    assert "--version" in command("dep", "push", deps, "--org", "acme", code=2)


def test_deployments_are_set_listed_and_shown(command: Command) -> None:
    assert "`dagy-queue deployment set NAME --org acme`" in command("deployment", "list", "--org", "acme")
    packages = ("--package", "my-deps", "--package", "tools@1.2")
    defaults = ("--default", "workload_profile=large", "--default", 'tags={"team": "data"}')
    command("deployment", "set", "prod", "--org", "acme", "--environment", "production", *packages, *defaults)
    found = get_deployment("acme", "prod", "production")
    assert found.package_slugs == ("my-deps", "tools@1.2")
    assert found.defaults == {"workload_profile": "large", "tags": {"team": "data"}}
    assert command("deployment", "set", "all", "--shared").splitlines()[2].split() == ["shared", "by", "all", "orgs"]
    rows = words(command("deployment", "list", "--org", "acme"))[1:]
    assert [row[:3] for row in rows] == [["prod", "production", "acme"], ["all", "(any)", "all"]]
    assert [row[0] for row in words(command("deployment", "list", "--org", "other"))[1:]] == ["all"]
    shown = json.loads(command("deployment", "show", "prod", "--org", "acme", "--environment", "production", "--json"))
    assert shown["defaults"] == {"workload_profile": "large", "tags": {"team": "data"}}
    assert len(json.loads(command("deployment", "list", "--org", "acme", "--json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--org", "acme", "--shared"), 2, "not both"),
        (("--org", "acme", "--default", "cpu"), 2, "is not key=value"),
        (("--org", "acme", "--default", "colour=red"), 1, "defaults.colour"),
        (("--org", "acme", "--package", "../x"), 1, "dep_package_slugs"),
        (("--org", "a#b"), 1, "org_id"),
    ],
)
def test_a_deployment_that_could_not_work_is_refused(
    command: Command, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert said in command("deployment", "set", "prod", *arguments, code=code)


def test_a_deployment_of_another_org_is_not_shown(command: Command) -> None:
    command("deployment", "set", "prod", "--org", "other")
    assert "is not registered for org 'acme'" in command("deployment", "show", "prod", "--org", "acme", code=1)


def test_tables_that_are_there_are_said_to_exist(command: Command) -> None:
    lines = command("tables", "create").splitlines()
    assert "TEST_FLOWS: exists" in lines
    assert "DAGY_RUNS index by_batch: exists" in lines
    steps: list[dict[str, Any]] = json.loads(command("tables", "create", "--json"))
    assert {step["done"] for step in steps} == {"exists"}
    assert {"table": "DAGY_TASK_RUNS", "index": "", "done": "exists"} in steps


def test_tables_that_are_missing_are_made_unless_that_is_only_asked(
    command: Command, registry: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = registry.records.model_copy(update={"runs_table": "OTHER_RUNS"})
    monkeypatch.setattr(settings_module, "settings", lambda: registry.model_copy(update={"records": elsewhere}))
    assert "OTHER_RUNS: missing" in command("tables", "create", "--dry-run").splitlines()
    assert "OTHER_RUNS: created" in command("tables", "create").splitlines()
    assert "OTHER_RUNS: exists" in command("tables", "create").splitlines()


def test_a_missing_table_is_said_with_the_command_that_makes_it(
    command: Command, registry: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind_models(registry.model_copy(update={"records": registry.records.model_copy(update={"flows_table": "NONE"})}))
    assert "`dagy-queue tables create`" in command("flow", "list", "--org", "acme", code=1)
