"""``scripts/build-image``: the commands it runs, what it refuses, and what it says where something is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.image_support.options import Options, parse
from scripts.image_support.plan import ecr_of, plan
from scripts.image_support.running import check_docker, password_of, run_all
from scripts.image_support.source import ROOT, BuildFailed, Source, read_source

REPOSITORY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/dagy-worker"
CLEAN = Source(
    version="0.1.0",
    commit="0123456789abcdef0123456789abcdef01234567",
    dirty=False,
    created="2026-01-02T03:04:05+00:00",
    url="https://example.com/dagy",
)
DIRTY = replace(CLEAN, dirty=True)


def shown(*arguments: str, source: Source = CLEAN) -> list[str]:
    return [command.shown() for command in plan(parse(arguments), source)]


def test_an_image_is_built_for_this_machine_with_the_commit_in_its_tags_and_labels() -> None:
    (build,) = shown("worker")
    assert build == (
        "docker buildx build --build-arg VERSION=0.1.0 "
        "--build-arg REVISION=0123456789abcdef0123456789abcdef01234567 "
        "--build-arg CREATED=2026-01-02T03:04:05+00:00 --build-arg SOURCE=https://example.com/dagy "
        "--tag dagy-worker:0.1.0-0123456789ab --tag dagy-worker:0123456789ab --load worker_image"
    )


def test_a_push_logs_in_and_builds_for_both_platforms() -> None:
    login, build = shown("service", "--push", "--repository", REPOSITORY, "--tag", "v7")
    assert login == (
        "aws ecr get-login-password --region eu-central-1 | docker login --username AWS --password-stdin "
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    )
    assert build.startswith("docker buildx build --platform linux/amd64,linux/arm64 --target service ")
    assert build.endswith(" --provenance=mode=max --sbom=true --push .")
    assert re.findall(r"--tag \S+:(\S+)", build) == ["0.1.0-0123456789ab", "0123456789ab", "v7"]


def test_a_repository_is_created_if_that_is_asked_for_and_it_is_missing() -> None:
    create, *_ = shown("worker", "--push", "--repository", REPOSITORY, "--create-repository")
    describe, _, rest = create.partition(" >/dev/null 2>&1 || ")
    assert describe.startswith("aws ecr describe-repositories --repository-names team/dagy-worker ")
    assert "--image-tag-mutability IMMUTABLE" in rest


def test_a_base_is_pinned_by_its_digest() -> None:
    pinned = f"python:3.13-slim-trixie@sha256:{'0' * 64}"
    assert f"--build-arg PYTHON_IMAGE={pinned}" in shown("worker", "--base", pinned)[0]


def test_what_is_not_committed_is_not_pushed_unless_it_is_said_and_never_has_the_tag_of_a_version() -> None:
    push = ("worker", "--push", "--repository", REPOSITORY)
    with pytest.raises(BuildFailed, match="commit them, or say --allow-dirty"):
        shown(*push, source=DIRTY)
    *_, build = shown(*push, "--allow-dirty", source=DIRTY)
    assert re.findall(r"--tag \S+:(\S+)", build) == ["0123456789ab-dirty"]
    assert "REVISION=0123456789abcdef0123456789abcdef01234567-dirty" in build


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["worker", "--push"], "--push needs --repository"),
        (["worker", "--create-repository"], "goes with --push"),
        (["worker", "--platform", "linux/amd64", "--platform", "linux/arm64"], "give one --platform, or --push it"),
        (["worker", "--repository", f"{REPOSITORY}:v1"], "has a tag"),
        (["worker", "--repository", "Not A Name"], "is no name of a repository"),
        (["worker", "--tag", "no tag"], "is no tag"),
        (["webserver"], "invalid choice"),
    ],
)
def test_options_that_cannot_be_are_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["docker.io/acme/worker", "dagy-worker", "12.dkr.ecr.us-east-1.amazonaws.com/x"])
def test_only_ecr_is_pushed_to(name: str) -> None:
    with pytest.raises(BuildFailed, match="is no ECR repository"):
        ecr_of(name)


# --- on a machine with docker and aws, which are played by scripts that note how they are called -----------------


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on its PATH but what is put into this directory."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return directory


def put(machine: Path, name: str, body: str = "") -> None:
    script = machine / name
    script.write_text(f'#!/bin/sh\necho "{name} $*" >>"$CALLS"\n{body}\n')
    script.chmod(0o755)


def calls() -> list[str]:
    return Path(os.environ["CALLS"]).read_text().splitlines()


def test_a_push_hands_the_password_to_docker_and_nobody_else(machine: Path) -> None:
    put(machine, "aws", 'case "$*" in *describe*) exit 254;; *get-login-password*) echo hunter2;; esac')
    put(machine, "docker", 'case "$1" in login) read -r password; echo "password: $password" >>"$CALLS";; esac')
    check_docker()
    options = Options(image="worker", repository=REPOSITORY, push=True, create_repository=True)
    run_all(plan(options, CLEAN), ROOT)
    version, info, describe, create, password, login, got, build = calls()
    assert (version, info) == ("docker buildx version", "docker info --format {{.ServerVersion}}")
    assert "describe-repositories" in describe
    assert "create-repository" in create
    assert password == "aws ecr get-login-password --region eu-central-1"
    assert login.startswith("docker login --username AWS --password-stdin 123456789012.dkr.ecr")
    assert got == "password: hunter2"
    assert build.startswith("docker buildx build ")
    assert [call for call in calls() if "hunter2" in call] == [got]


def test_a_repository_that_is_there_is_not_created(machine: Path) -> None:
    put(machine, "aws", "echo password")
    put(machine, "docker")
    run_all(plan(Options(image="worker", repository=REPOSITORY, push=True, create_repository=True), CLEAN), ROOT)
    assert not [call for call in calls() if "create-repository" in call]


def test_what_is_missing_is_said_with_what_to_do(machine: Path) -> None:
    with pytest.raises(BuildFailed, match="docker is not installed"):
        check_docker()
    put(machine, "docker", '[ "$1" != buildx ]')
    with pytest.raises(BuildFailed, match="docker-buildx-plugin"):
        check_docker()
    put(machine, "docker", '[ "$1" = buildx ] || { echo "Cannot connect" >&2; exit 1; }')
    with pytest.raises(BuildFailed, match="engine does not answer: Cannot connect"):
        check_docker()


def test_a_command_that_fails_ends_it_with_the_command(machine: Path) -> None:
    put(machine, "docker", "exit 17")
    with pytest.raises(BuildFailed, match="exit code 17: docker buildx build"):
        run_all(plan(Options(image="worker"), CLEAN), ROOT)


def test_without_permission_there_is_no_password(machine: Path) -> None:
    put(machine, "aws", "echo 'not authorized' >&2; exit 254")
    with pytest.raises(BuildFailed, match=r"no password for .*: not authorized"):
        password_of(ecr_of(REPOSITORY))


def test_without_the_aws_cli_boto3_has_the_password(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "210987654321")  # a local stack of an earlier test may have set another one
    with mock_aws():
        assert password_of(ecr_of(REPOSITORY)) == "210987654321-auth-token"


# --- as its user runs it --------------------------------------------------------------------------------------------


def git(directory: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


def test_the_state_of_a_checkout_is_read_from_git(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "3.2.1"\n')
    assert read_source(tmp_path, "service").tags == ("dirty",)
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "remote", "add", "origin", "https://example.com/dagy.git")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    first, again = read_source(tmp_path, "service"), read_source(tmp_path, "service")
    assert first == again
    assert (first.version, first.dirty, first.url) == ("3.2.1", False, "https://example.com/dagy")
    assert first.tags == (f"3.2.1-{first.commit[:12]}", first.commit[:12])
    (tmp_path / "new").touch()
    assert read_source(tmp_path, "service").tags == (f"{first.commit[:12]}-dirty",)
    git(tmp_path, "remote", "set-url", "origin", "https://ada:hunter2@example.com/dagy.git")
    assert read_source(tmp_path, "service").url == ""


@pytest.mark.parametrize("image", ["worker", "service", "local"])
def test_a_dry_run_prints_the_commands_and_needs_nothing(image: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "build-image", image, "--dry-run"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(rf"docker buildx build .* --tag dagy-{image}:\S+", done.stdout)


def test_a_failure_is_one_line_and_exit_code_1(machine: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.image_support", "worker"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("build-image: docker is not installed")
