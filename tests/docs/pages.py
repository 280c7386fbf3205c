"""Pages of the documentation, run block by block as a reader would. Called by ``test_pages.py``.

A ``python`` or ``toml`` block whose first line is a comment with a file's name is that file; any other ``python`` is a
program. ``bash`` blocks share a directory and their variables; one that starts a server goes on until the page is over.
A ``text`` block is what the block before it prints, with ``...`` for anything. A command may fail only where the page
says so: "exits with 1".
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from dagy_queue.local.environment import exports, process_environment
from dagy_queue.local.free_port import free_port
from tests.docs.snippets import BIN, ROOT
from tests.integration.waiting import eventually

SECONDS = 120
WORKED_THROUGH = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("tutorial", "django", "flask", "fastapi", "chords", "any-container")),
    ROOT / "docs" / "limits.md",
    ROOT / "docs" / "ledger.md",
]
"""The pages that are run like this. The others have tests of their own."""
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# ([\w/.-]+\.\w+)\n")
_SERVER = re.compile(r"(?:celery|flask|uvicorn|python manage\.py runserver)\b")
_OF_THE_STACK = {"6399", "4566", "5555"}

ELSEWHERE = {
    "./scripts/demo": "tests/integration/test_demo.py",
    "./scripts/test": ".ci/run",
    "python3 -m venv .venv": "scripts/lib/environment.sh",
    "source .venv/bin/activate": "scripts/lib/environment.sh",
    "pip install ": "scripts/lib/environment.sh",
    "dagy-queue up": "tests/local/test_up.py",
}
"""How commands begin that pages tell but do not run here, and the file that does it."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and what the page says between it and the next."""

    language: str
    text: str
    after: str

    @property
    def file(self) -> str:
        """The name of the file that it is, or ""."""
        named = _FILE.match(self.text)
        return named[1] if named and self.language != "bash" else ""

    @property
    def commands(self) -> str:
        """A shell's lines without those that run elsewhere."""
        lines = re.split(r"\n(?! )", self.text.strip())
        return "\n".join(line for line in lines if not any(runs_elsewhere(part) for part in line.split(" && ")))

    @property
    def is_server(self) -> bool:
        """Whether it is a command that ends only when it is told to."""
        return self.language == "bash" and bool(_SERVER.match(self.commands.rpartition("\n")[2]))


def runs_elsewhere(command: str) -> bool:
    """Tell whether another file runs a command."""
    return any(command.startswith(beginning) for beginning in ELSEWHERE)


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page in their order; one without a language is a picture, and no code."""
    text = page.read_text()
    found = [match for match in _FENCED.finditer(text) if match[1]]
    ends = [*(match.start() for match in found[1:]), len(text)]
    for match, end in zip(found, ends, strict=False):
        yield Block(match[1], match[2], text[match.end() : end])


def looks_like(shown: str, printed: str) -> bool:
    """Compare what is shown with what was printed: ``...`` is anything, spaces at the ends of lines are nothing.

    A line that is nothing but dots stands for any number of lines, none too.
    """
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else f"{_pattern(line)}\n" for line in _lines(shown))
    return bool(re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(printed))))


def _pattern(line: str) -> str:
    return ".*?".join(re.escape(part) for part in line.split("..."))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


class Reader:
    """Somebody who has a stack running and works through a page, in a directory."""

    def __init__(self, page: Path, directory: Path, stack: Mapping[str, str]) -> None:
        self.page = page
        self.directory = directory
        path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        self.environment = {**process_environment(stack), **path, "PYTHONPATH": str(directory)}
        self._servers: list[subprocess.Popen[bytes]] = []
        (directory / ".dagy").mkdir(exist_ok=True)
        (directory / ".dagy" / "env").write_text(exports(stack))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._servers:
            error.add_note(f"the servers said:\n{self.said_by_servers()}")
        for server in self._servers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
        for server in self._servers:
            server.wait(timeout=30)

    @cached_property
    def _ports(self) -> dict[str, str]:
        """Free ports for those of the page's own servers."""
        named = set(re.findall(r"127\.0\.0\.1:(\d+)", self.page.read_text())) - _OF_THE_STACK
        return {port: str(free_port()) for port in named}

    def work_through(self) -> None:
        """Do what the page says, from its first block to its last."""
        printed = None
        for block in blocks_of(self.page):
            if block.language == "text":
                assert printed is not None, f"{self.page.name} shows {block.text!r}, and nothing printed it"
                assert looks_like(block.text, printed), f"{self.page.name} shows\n{block.text}\nand it is\n{printed}"
                printed = None
            else:
                printed = self._do(block)

    def said_by_servers(self) -> str:
        """Return what the page's servers have printed."""
        log = self.directory / ".dagy" / "server.log"
        return log.read_text() if log.exists() else ""

    def _do(self, block: Block) -> str | None:
        if block.file:
            file = self.directory / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._with_ports(block.text))
            return None
        if block.is_server:
            self._serve(self._with_ports(block.commands))
            return None
        if block.language == "bash":
            return self._shell(block)
        assert block.language == "python", f"{self.page.name}: nobody knows what to do with ```{block.language}"
        return self._run([sys.executable, "-c", self._with_ports(block.text)], block)

    def _shell(self, block: Block) -> str:
        state = self.directory / ".dagy" / "state"
        script = f"set -a\ntrap 'exit' ERR\n{self._with_ports(block.commands)}\n"
        printed = self._run(["bash", "-c", f"trap 'env -0 >{shlex.quote(str(state))}' EXIT\n{script}"], block)
        pairs = (pair.partition("=") for pair in state.read_text().split("\0") if pair)
        self.environment = {name: value for name, _, value in pairs}
        return printed

    def _run(self, command: list[str], block: Block) -> str:
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode and f"exits with {done.returncode}" not in " ".join(block.after.split()):
            told = f"{block.text}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}"
            raise AssertionError(f"{self.page.name}: {told}")
        return done.stdout

    def _serve(self, command: str) -> None:
        with (self.directory / ".dagy" / "server.log").open("ab") as log:
            self._servers.append(
                subprocess.Popen(
                    ["bash", "-c", command],
                    cwd=self.directory,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        for port in self._ports.values():
            if port in command:
                eventually(lambda port=port: _answers(int(port)), f"something listens on {port}", 60)

    def _with_ports(self, text: str) -> str:
        for port, free in self._ports.items():
            text = re.sub(rf"(?<=[: ]){port}\b", free, text)
        return text


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False
