"""What is pushed to the registry in tests: the source of a flow, and the files of a dependency package."""

from __future__ import annotations

from pathlib import Path

FILES = {"requirements.txt": "requests\n", "deep/er/helpers.py": "x = 1\n", "deep/__init__.py": "", "z.bin": "\0"}
ONE_FLOW = """
    from dagy import flow, task

    @task
    def give(n: int) -> int:
        return n

    @flow(version="1.0")
    def etl(n: int = 1):
        give(n)
"""


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory
