from __future__ import annotations

from pathlib import Path

import pytest

from dagy_queue.errors import SettingsInvalid
from dagy_queue.settings.loading import read_settings
from dagy_queue.settings.secrets import without_secrets


def said(directory: Path, text: str, **environ: str) -> str:
    (directory / "dagy-queue.toml").write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        read_settings(environ, directory, {})
    return str(caught.value)


def test_a_bad_profile_is_told_with_its_field_and_its_file_and_no_parameters(tmp_path: Path) -> None:
    told = said(tmp_path, "[profiles.x]\ncpuu = 1\nmax_retries = -1\nparameters = {password = 'hunter2'}\n")
    assert "profiles.x.cpuu (file dagy-queue.toml) = '(hidden)': no such field; did you mean cpu?" in told
    assert "profiles.x.max_retries (file dagy-queue.toml) = -1: 0 to 100" in told
    assert "hunter2" not in told


def test_a_bad_environment_is_told_with_its_variable(tmp_path: Path) -> None:
    told = said(tmp_path, "", DAGY_QUEUE__ENVIRONMENTS='{"y": {"cpu": 300}}')
    assert "environments.y.cpu (env DAGY_QUEUE__ENVIRONMENTS) = 300: 256, 512" in told


def test_settings_are_refused_in_our_words(tmp_path: Path) -> None:
    told = said(tmp_path, "[ecs]\nsubnets = 5\n[bridge]\nhealth_port = 'abc'\nconsumers = 65\n[launch]\nmode = 'x'\n")
    assert "ecs.subnets (file dagy-queue.toml) = 5: a list of texts, as in ['a', 'b']" in told
    assert "bridge.health_port (file dagy-queue.toml) = 'abc': a whole number, 0 to 65535" in told
    assert "bridge.consumers (file dagy-queue.toml) = 65: 1 to 64" in told
    assert "launch.mode (file dagy-queue.toml) = 'x': 'queue' or 'direct'" in told
    assert "Input should" not in told


def test_parameters_and_commands_are_shown_without_their_values() -> None:
    shown = without_secrets({"x": {"parameters": {"password": "hunter2"}, "command": ["run", "--key=1"], "cpu": 256}})
    assert shown == {"x": {"parameters": {"password": "***"}, "command": ["***", "***"], "cpu": 256}}
