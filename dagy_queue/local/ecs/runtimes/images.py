"""Which runtime an image is run by, and with which argv (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

STUB_REPOSITORY = "dagy-local/stub"
WORKER_REPOSITORY = "dagy-worker"
DEFAULT_COMMANDS: dict[str, tuple[str, ...]] = {
    "alpine": ("sh",),
    "bash": ("bash",),
    "busybox": ("sh",),
    "debian": ("bash",),
    "python": ("python3",),
    "ubuntu": ("bash",),
}
"""Images, by the last part of their repository, that are run as plain processes, with the command they default to."""


class RuntimeKind(Enum):
    """The runtimes there are."""

    SIMULATED = "simulated"
    FORK_SERVER = "fork server"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """How to run an image: the runtime, the argv that goes before the container's own, and the default for that."""

    kind: RuntimeKind
    prefix: tuple[str, ...] = ()
    default_command: tuple[str, ...] = ()


def choose(
    image: str, *, has_command: bool, registered: Mapping[str, Sequence[str]], simulate: bool
) -> ImageChoice | None:
    """Return how to run an image, or None if it cannot be pulled here."""
    name = repository_name(image)
    if simulate or is_stub(image):
        return ImageChoice(RuntimeKind.SIMULATED)
    for pattern, prefix in registered.items():
        if fnmatchcase(image, pattern):
            return ImageChoice(RuntimeKind.PROCESS, tuple(prefix))
    if name == WORKER_REPOSITORY:
        return ImageChoice(RuntimeKind.PROCESS if has_command else RuntimeKind.FORK_SERVER)
    if name in DEFAULT_COMMANDS:
        return ImageChoice(RuntimeKind.PROCESS, default_command=DEFAULT_COMMANDS[name])
    return None


def is_stub(image: str) -> bool:
    """Tell whether an image is the stub that runs nothing."""
    return repository(image) == STUB_REPOSITORY


def repository(image: str) -> str:
    """Return an image's repository: ``host:5000/team/name:tag@sha256:…`` is in ``host:5000/team/name``."""
    path, slash, name = image.partition("@")[0].rpartition("/")
    return path + slash + name.partition(":")[0]


def repository_name(image: str) -> str:
    """Return the last part of an image's repository."""
    return repository(image).rpartition("/")[2]
