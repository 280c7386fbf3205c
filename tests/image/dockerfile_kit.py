"""Reads Dockerfiles, and does what one of the worker's says where no engine is.

The stage ``build`` is played in a directory of the test's: its COPY and RUN instructions, with this machine's Python as
the base image's. The last stage's environment and command are then run with a root file system that can't be written
to, a /tmp that can, no capabilities, and the image's user. tini is left out: it is a package of Debian's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "worker_image" / "Dockerfile"
SERVICE = ROOT / "Dockerfile"
_PLACES = re.compile(r"(?<![\w/.])(?=/(?:opt|src)\b)")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined."""

    name: str
    value: str


@dataclass(frozen=True)
class Stage:
    """What is between one FROM and the next."""

    base: str
    name: str
    instructions: list[Instruction]

    def values(self, name: str) -> list[str]:
        """Return the values of all instructions of a name."""
        return [each.value for each in self.instructions if each.name == name]

    def environment(self) -> dict[str, str]:
        """Return what ENV sets."""
        return dict(pair.split("=", 1) for value in self.values("ENV") for pair in value.split())

    def words(self, name: str) -> list[str]:
        """Return the words of an instruction in its exec form, of which there is one."""
        (value,) = self.values(name)
        words: list[str] = json.loads(value)
        return words


def stages(file: Path) -> list[Stage]:
    """Return the stages of a Dockerfile."""
    parser = DockerfileParser(str(file), cache_content=True)
    found: list[Stage] = []
    for each in parser.structure:
        name, value = each["instruction"], " ".join(each["value"].split())
        if name == "FROM":
            base, _, alias = value.partition(" AS ")
            found.append(Stage(base, alias, []))
        elif found and name != "COMMENT":
            found[-1].instructions.append(Instruction(name, value))
    return found


class Emulated:
    """The worker's image as a directory of this machine: ``<directory>/opt/dagy`` is its /opt/dagy."""

    def __init__(self, directory: Path) -> None:
        self.build, self.final = stages(WORKER)
        self.directory = directory
        self.python = directory / "opt" / "dagy" / "bin" / "python"

    def make(self) -> None:
        """Do what the stage ``build`` says."""
        for place in ("opt", "src"):
            (self.directory / place).mkdir(parents=True)
        for instruction in self.build.instructions:
            if instruction.name == "COPY":
                *sources, target = instruction.value.split()
                for source in sources:
                    self._copy(source, target)
            elif instruction.name == "RUN" and "apt-get" not in instruction.value:
                self._run(instruction.value)

    def command(self, *words: str) -> list[str]:
        """Return how to run the image's command, or ``words`` instead of it, as its container."""
        variables = [f"{name}={value}" for name, value in self.final.environment().items() if name != "PATH"]
        uid, gid = self.final.values("USER")[0].split(":")
        return [
            *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _CONTAINER, "sh"),
            *(str(self.directory / "opt"), uid, gid),
            *("env", f"PATH=/opt/dagy/bin:{os.defpath}", *variables),
            *(words or self.final.words("CMD")),
        ]

    def _copy(self, source: str, target: str) -> None:
        origin = ROOT / "worker_image" / source
        place = self.directory / "src" / (origin.name if target == "./" else target)
        if origin.is_dir():
            shutil.copytree(origin, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, place)

    def _run(self, line: str) -> None:
        line = _PLACES.sub(str(self.directory), line).replace("&& python ", f"&& {sys.executable} ")
        line = re.sub(r"^python ", f"{sys.executable} ", line)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
        done = subprocess.run(
            ["sh", "-ec", line],
            cwd=self.directory / "src",
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


_CONTAINER = """
set -e
image=$1 uid=$2 gid=$3
shift 3
mount --make-rprivate /
mount --bind "$image" /opt
mount -o remount,bind,ro /opt
mount -o remount,bind,ro /
mount -t tmpfs -o mode=1777 tmp /tmp
cd /tmp
exec unshare --user --map-user="$uid" --map-group="$gid" "$@"
"""


def can_be_emulated() -> bool:
    """Tell whether this machine lets a process have a file system view of its own."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    test: Sequence[str] = ("unshare", "--user", "--map-root-user", "--mount", "true")
    return subprocess.run(test, capture_output=True, check=False).returncode == 0
