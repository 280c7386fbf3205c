"""Which commands build and push an image; pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.image_support.options import PLATFORMS, Options
from scripts.image_support.source import BuildFailed, Source

CONTEXTS = {"worker": "worker_image", "service": ".", "local": "."}
TARGETS = {"service": "service", "local": "local"}
_ECR = re.compile(
    r"(?P<registry>(?P<account>[0-9]{12})\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?)/(?P<name>.+)"
)


@dataclass(frozen=True, slots=True)
class Ecr:
    """A repository of Amazon's registry."""

    registry: str
    account: str
    region: str
    name: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command; ``login`` is the registry it logs in to, whose password goes to its stdin."""

    words: tuple[str, ...]
    login: Ecr | None = None
    unless: tuple[str, ...] = ()
    """A command whose success makes this one needless."""

    def shown(self) -> str:
        """Return it as people would type it."""
        text = shlex.join(self.words)
        if self.login:
            return f"aws ecr get-login-password --region {self.login.region} | {text}"
        return f"{shlex.join(self.unless)} >/dev/null 2>&1 || {text}" if self.unless else text


def plan(options: Options, source: Source) -> list[Command]:
    """Return the commands, in order. Raises BuildFailed for what must not be pushed, or cannot."""
    commands = []
    if options.push:
        if source.dirty and not options.allow_dirty:
            raise BuildFailed(
                "the checkout has changes that are not committed, so the image could not be made again: commit them, "
                "or say --allow-dirty"
            )
        commands = list(_before_push(options, ecr_of(options.repository)))
    return [*commands, Command(tuple(_build(options, source)))]


def ecr_of(repository: str) -> Ecr:
    """Return the ECR repository that a name means. Raises BuildFailed."""
    found = _ECR.fullmatch(repository)
    if not found:
        raise BuildFailed(
            f"{repository!r} is no ECR repository: <account>.dkr.ecr.<region>.amazonaws.com/<name> is expected; for "
            "another registry build without --push, and `docker push` the image yourself"
        )
    return Ecr(found["registry"], found["account"], found["region"], found["name"])


def _before_push(options: Options, ecr: Ecr) -> Iterator[Command]:
    if options.create_repository:
        where = ("--registry-id", ecr.account, "--region", ecr.region)
        yield Command(
            (
                *("aws", "ecr", "create-repository", "--repository-name", ecr.name, *where),
                *("--image-tag-mutability", "IMMUTABLE", "--image-scanning-configuration", "scanOnPush=true"),
            ),
            unless=("aws", "ecr", "describe-repositories", "--repository-names", ecr.name, *where),
        )
    yield Command(("docker", "login", "--username", "AWS", "--password-stdin", ecr.registry), login=ecr)


def _build(options: Options, source: Source) -> Iterator[str]:
    repository = options.repository or f"dagy-{options.image}"
    yield from ("docker", "buildx", "build")
    if platforms := options.platforms or (PLATFORMS if options.push else ()):
        yield from ("--platform", ",".join(platforms))
    if target := TARGETS.get(options.image):
        yield from ("--target", target)
    arguments = {
        "PYTHON_IMAGE": options.base,
        "VERSION": source.version,
        "REVISION": source.revision,
        "CREATED": source.created,
        "SOURCE": source.url,
    }
    for name, value in arguments.items():
        if value:
            yield from ("--build-arg", f"{name}={value}")
    for tag in dict.fromkeys((*source.tags, *options.tags)):
        yield from ("--tag", f"{repository}:{tag}")
    # What it was built from and what is in it, signed by nobody but kept with the image.
    yield from (("--provenance=mode=max", "--sbom=true", "--push") if options.push else ("--load",))
    yield CONTEXTS[options.image]
