"""What ``./scripts/build-image`` can be told."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass

IMAGES = ("worker", "service", "local")
PLATFORMS = ("linux/amd64", "linux/arm64")
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9._/:-]*[a-z0-9]")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)

DESCRIPTION = """\
Builds an image with docker buildx: worker (runs flows), service (dispatcher, bridge, Flower and API) or local (for
docker-compose.yml). Its tags are the commit, and the version with the commit; with changes that are not committed, the
commit and "-dirty" alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for."""

    image: str
    repository: str = ""
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    base: str = ""
    push: bool = False
    create_repository: bool = False
    allow_dirty: bool = False
    dry_run: bool = False


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the options; ends the process with code 2 if they are wrong, with 0 after --help."""
    parser = _parser()
    found = parser.parse_args(arguments)
    given = {name: value for name, value in vars(found).items() if value is not None}
    options = Options(**given | {"platforms": tuple(found.platforms), "tags": tuple(found.tags)})
    if problem := _problem(options):
        parser.error(problem)
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("./scripts/build-image", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("image", nargs="?", choices=IMAGES, default="worker", help="default: worker")
    repository = "what the image is called; to push, an ECR repository with its registry; default: dagy-<image>"
    parser.add_argument("--repository", type=_repository, metavar="NAME", help=repository)
    platform = f"default: this machine's; with --push {' and '.join(PLATFORMS)}. May be repeated"
    parser.add_argument("--platform", dest="platforms", action="append", default=[], choices=PLATFORMS, help=platform)
    parser.add_argument("--tag", dest="tags", action="append", default=[], type=_tag, help="one more tag")
    parser.add_argument("--base", default="", metavar="IMAGE", help="base image, to pin it: python:...@sha256:...")
    parser.add_argument("--push", action="store_true", help="log in to ECR and push")
    parser.add_argument("--create-repository", action="store_true", help="create the ECR repository if it is missing")
    parser.add_argument("--allow-dirty", action="store_true", help="push although changes are not committed")
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")
    return parser


def _problem(options: Options) -> str:
    if options.push and not options.repository:
        return "--push needs --repository <account>.dkr.ecr.<region>.amazonaws.com/<name>"
    if options.create_repository and not options.push:
        return "--create-repository goes with --push"
    if len(options.platforms) > 1 and not options.push:
        return "an image for several platforms cannot be loaded here: give one --platform, or --push it"
    return ""


def _repository(text: str) -> str:
    if not _REPOSITORY.fullmatch(text) or "//" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a repository")
    if ":" in text.rpartition("/")[2]:
        raise argparse.ArgumentTypeError(f"{text!r} has a tag: tags come from the commit, and from --tag")
    return text


def _tag(text: str) -> str:
    if not _TAG.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no tag: letters, digits and _ . -, up to 128")
    return text
