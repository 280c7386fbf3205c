"""Any setting that is given at several levels takes the highest, in the value and in the origin."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.settings import FLAT_NAMES, Settings, origins, read_settings

LEVELS = ("file", "flat", "sectioned", "code")
FLAT_OF = {path: name for name, path in reversed(FLAT_NAMES.items())}
TEXTS = {
    "redis.url": "redis://{}",
    "redis.prefix": "{}",
    "aws.region": "{}",
    "ecs.cluster": "{}",
    "ecs.family": "{}",
    "ecs.worker_image": "{}",
    "storage.artifact_bucket": "{}",
    "storage.results_prefix": "{}",
    "records.flows_table": "{}",
    "bridge.queue_url": "{}",
    "celery.default_queue": "{}",
}
"""Settings that take any text, and how to write it."""

usable_levels = st.sets(st.sampled_from(LEVELS))
plans = st.dictionaries(st.sampled_from(sorted(TEXTS)), usable_levels)


def given_levels(path: str, levels: set[str]) -> list[str]:
    """Return the levels that can give a setting, the lowest first."""
    return [level for level in LEVELS if level in levels and (level != "flat" or path in FLAT_OF)]


def write_plan(plan: dict[str, set[str]]) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Return the file, the environment and the arguments that give every setting at its levels."""
    file: list[str] = []
    environ: dict[str, str] = {}
    code: dict[str, Any] = {}
    for path, levels in plan.items():
        section, key = path.split(".")
        for level in given_levels(path, levels):
            value = TEXTS[path].format(level)
            if level == "file":
                file.append(f"{section}.{key} = {json.dumps(value)}")
            elif level == "flat":
                environ[FLAT_OF[path]] = value
            elif level == "sectioned":
                environ[f"DAGY_QUEUE__{section}__{key}".upper()] = value
            else:
                code.setdefault(section, {})[key] = value
    return "\n".join(file), environ, code


def expected_origin(path: str, level: str) -> str:
    section, key = path.split(".")
    return {
        "file": "file dagy-queue.toml",
        "flat": f"env {FLAT_OF.get(path)}",
        "sectioned": f"env DAGY_QUEUE__{section}__{key}".replace(section, section.upper()).replace(key, key.upper()),
        "code": "code",
    }[level]


@given(plans)
def test_every_setting_takes_the_highest_level_that_names_it(plan: dict[str, set[str]]) -> None:
    file, environ, code = write_plan(plan)
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "dagy-queue.toml").write_text(file)
        found = read_settings(environ, Path(directory), code)
    where = {one.setting: one.origin for one in origins(found.settings, found.given)}
    for path, text in TEXTS.items():
        section, key = path.split(".")
        value = getattr(getattr(found.settings, section), key)
        if levels := given_levels(path, plan.get(path, set())):
            assert (value, where[path]) == (text.format(levels[-1]), expected_origin(path, levels[-1]))
        else:
            assert (value, where[path]) == (getattr(getattr(Settings(), section), key), "default")


@given(st.dictionaries(st.sampled_from(["etl:large", "etl:quick", "ml"]), usable_levels))
def test_profiles_win_name_by_name(plan: dict[str, set[str]]) -> None:
    by_level: dict[str, dict[str, Any]] = {level: {} for level in LEVELS}
    for name, levels in plan.items():
        for level in levels:
            by_level[level][name] = {"metadata": {"level": level}}
    file = "\n".join(f'[profiles."{name}"]\nmetadata.level = "file"' for name in by_level["file"])
    environ = {"DAGY_QUEUE__PROFILES": json.dumps(by_level["sectioned"])}
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "dagy-queue.toml").write_text(file)
        found = read_settings(environ, Path(directory), {"profiles": by_level["code"]}).settings
    highest = {n: [x for x in LEVELS if x in levels and x != "flat"] for n, levels in plan.items()}
    assert found.profiles == {name: {"metadata": {"level": x[-1]}} for name, x in highest.items() if x}
