"""Runs the commands of a plan; what is missing on this machine is said before anything begins."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scripts.image_support.plan import Command, Ecr
from scripts.image_support.source import BuildFailed

_DOCKER = "https://docs.docker.com/engine/install/"


def check_docker() -> None:
    """Raise BuildFailed if docker, its buildx, or its engine is not there."""
    if shutil.which("docker") is None:
        raise BuildFailed(f"docker is not installed: {_DOCKER}")
    if _run(["docker", "buildx", "version"]).returncode:
        raise BuildFailed("docker has no buildx: install the package docker-buildx-plugin (Debian: docker-buildx)")
    answer = _run(["docker", "info", "--format", "{{.ServerVersion}}"])
    if answer.returncode:
        raise BuildFailed(f"docker's engine does not answer: {answer.stderr.strip() or 'is it running?'}")


def run_all(commands: Sequence[Command], root: Path) -> None:
    """Run commands one after the other. Raises BuildFailed with the first that fails."""
    for command in commands:
        if command.unless and _works(command.unless):
            continue
        password = password_of(command.login) if command.login else None
        try:
            done = subprocess.run(command.words, cwd=root, input=password, text=True, check=False)
        except FileNotFoundError:
            raise BuildFailed(f"{command.words[0]} is not installed, and this needs it: {command.shown()}") from None
        if done.returncode:
            raise BuildFailed(f"exit code {done.returncode}: {command.shown()}")


def password_of(ecr: Ecr) -> str:
    """Return the password of a registry, from the AWS CLI or else boto3. Raises BuildFailed."""
    if shutil.which("aws"):
        answer = _run(["aws", "ecr", "get-login-password", "--region", ecr.region])
        if answer.returncode:
            raise BuildFailed(f"no password for {ecr.registry}: {answer.stderr.strip()}")
        return answer.stdout.strip()
    try:
        import boto3
    except ImportError:
        raise BuildFailed(
            "to log in to ECR, install the AWS CLI, or run this with an environment active that has boto3"
        ) from None
    try:
        found = boto3.client("ecr", region_name=ecr.region).get_authorization_token()
    except Exception as exc:
        raise BuildFailed(f"no password for {ecr.registry}: {exc}") from exc
    token = base64.b64decode(found["authorizationData"][0]["authorizationToken"]).decode()
    return token.partition(":")[2]


def _works(words: Sequence[str]) -> bool:
    try:
        return _run(words).returncode == 0
    except FileNotFoundError:
        raise BuildFailed(f"{words[0]} is not installed: create the repository yourself, without the option") from None


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)
