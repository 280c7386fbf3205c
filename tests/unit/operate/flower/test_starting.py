from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import FlowerRefused
from dagy_queue.operate.flower import starting as module
from dagy_queue.operate.flower.app import REASON, flower_app
from dagy_queue.operate.flower.safety import prepare_state_file
from dagy_queue.operate.flower.starting import CONFIG, FlowerOptions, flower_arguments, run_flower
from dagy_queue.operate.loopback import is_loopback

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is refused


@pytest.fixture(autouse=True)
def _no_flower_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FLOWER_")]:
        monkeypatch.delenv(name)


def arguments(**options: object) -> list[str]:
    return flower_arguments(FlowerOptions(**options))  # type: ignore[arg-type]


def test_without_options_it_listens_on_loopback_is_bounded_and_can_only_be_looked_at() -> None:
    assert arguments() == [
        "--address=127.0.0.1",
        f"--conf={CONFIG}",
        "--port=5555",
        "--max-tasks=10000",
        "--purge-offline-workers=3600",
        "--read-only",
    ]


def test_with_a_login_its_buttons_work() -> None:
    given = arguments(basic_auth=["dagy:secret", "ada:lovelace"])
    assert "--basic-auth=dagy:secret,ada:lovelace" in given
    assert "--read-only" not in given


@pytest.mark.parametrize("address", [EVERYWHERE, "::", "10.0.0.7", "example.org", "127.0.0.1.example.org"])
def test_it_does_not_start_for_others_without_a_login(address: str) -> None:
    with pytest.raises(FlowerRefused, match="without a login"):
        arguments(address=address)
    assert f"--address={address}" in arguments(address=address, basic_auth=["dagy:secret"])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_no_login(address: str) -> None:
    assert f"--address={address}" in arguments(address=address)


@given(st.ip_addresses().filter(lambda address: not address.is_loopback))
def test_no_other_address_counts_as_this_machine(address: object) -> None:
    assert not is_loopback(str(address))


@pytest.mark.parametrize(
    "variables",
    [
        {"FLOWER_ADDRESS": EVERYWHERE},
        {"FLOWER_ADDRESS": EVERYWHERE, "FLOWER_UNAUTHENTICATED_API": "true"},
        {"FLOWER_ADDRESS": EVERYWHERE, "FLOWER_BASIC_AUTH": ""},
    ],
)
def test_variables_open_nothing_either(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FlowerRefused, match="without a login"):
        arguments()


def test_an_option_of_flowers_own_opens_nothing_either() -> None:
    with pytest.raises(FlowerRefused, match="without a login"):
        arguments(others=["--address=0.0.0.0"])


@pytest.mark.parametrize("login", [{"FLOWER_BASIC_AUTH": "dagy:secret"}, {"FLOWER_AUTH": r".*@example\.org"}])
def test_a_login_may_be_in_the_environment(login: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in login.items():
        monkeypatch.setenv(name, value)
    assert "--read-only" not in arguments(address=EVERYWHERE)


def test_a_login_may_be_in_a_configuration_of_ones_own(tmp_path: Path) -> None:
    conf = tmp_path / "conf.py"
    conf.write_text("basic_auth = ['dagy:secret']\n")
    assert arguments(address=EVERYWHERE, others=[f"--conf={conf}"])
    conf.write_text("natural_time = True\n")
    with pytest.raises(FlowerRefused, match="without a login"):
        arguments(address=EVERYWHERE, others=[f"--conf={conf}"])


@pytest.mark.parametrize("login", ["dagy", "dagy:", ":secret", "dagy:se,cret", "dagy:g\u00e4heim"])
def test_a_login_that_nobody_could_use_is_refused(login: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FlowerRefused, match="user:password"):
        arguments(basic_auth=[login])
    monkeypatch.setenv("FLOWER_BASIC_AUTH", login)
    with pytest.raises(FlowerRefused, match="user:password"):
        arguments()


def test_whoever_opens_the_api_has_its_buttons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "true")
    assert "--read-only" not in arguments()


@pytest.mark.parametrize("argument", ["--max-taks=5", "-p", "5555", "tasks", "--not-an-option"])
def test_what_flower_would_leave_out_without_a_word_is_refused(argument: str) -> None:
    with pytest.raises(FlowerRefused, match="is no option of dagy-queue flower or of Flower"):
        arguments(others=[argument])


def test_the_nearest_option_is_named() -> None:
    with pytest.raises(FlowerRefused, match=r"did you mean --max-tasks\?"):
        arguments(others=["--max-taks=5"])


@pytest.mark.parametrize("argument", ["--max_tasks=many", "--state-save-interval=1m", "--purge-offline-workers="])
def test_a_number_that_is_none_is_refused_with_its_name(argument: str) -> None:
    with pytest.raises(FlowerRefused, match=f"^{argument.partition('=')[0]} is .*: it takes a whole number"):
        arguments(others=[argument])


def test_what_a_variable_says_is_looked_at_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_PORT", "5555/tcp")
    with pytest.raises(FlowerRefused, match="FLOWER_PORT is '5555/tcp'"):
        arguments()
    monkeypatch.setenv("FLOWER_PORT", "5556")
    monkeypatch.setenv("FLOWER_CONF", "no-such-file.py")
    with pytest.raises(FlowerRefused, match=r"FLOWER_CONF is 'no-such-file\.py', and there is no such file"):
        arguments()


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "dagy_queue.operate.cli", "flower", f"--port={port}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"dagy-queue: Flower cannot listen on 127.0.0.1, port {port} (" in done.stderr
    assert "Traceback" not in done.stderr


def test_options_of_flowers_own_go_before_ours() -> None:
    given = arguments(others=["--natural-time=true", "--purge_offline_workers=60"])
    assert given.count("--purge-offline-workers=3600") == 0
    assert given[-3:] == ["--natural-time=true", "--purge_offline_workers=60", "--read-only"]


def test_variables_of_flower_go_before_our_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_PORT", "8888")
    monkeypatch.setenv("FLOWER_MAX_TASKS", "50")
    assert not [each for each in arguments() if each.startswith(("--port", "--max-tasks"))]
    assert "--port=9999" in arguments(port=9999)


def test_a_prefix_is_handed_on() -> None:
    assert "--url-prefix=flower" in arguments(url_prefix="flower")


def test_what_is_kept_is_private_and_saved_often(tmp_path: Path) -> None:
    path = tmp_path / "state" / "flower"
    given = arguments(persistent=path)
    assert ["--persistent", f"--db={path}", "--state-save-interval=60000"] == given[5:8]
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["state", "state.db", "state.dat"])
def test_a_state_that_others_may_write_is_not_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    path.chmod(0o666)
    with pytest.raises(FlowerRefused, match="writable by others"):
        prepare_state_file(tmp_path / "state")


def test_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(FlowerRefused, match="directory that only you can write"):
        prepare_state_file(tmp_path / "open" / "state")
    (tmp_path / "open").chmod(0o1777)
    prepare_state_file(tmp_path / "open" / "state")


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FlowerRefused, match="cannot be made"):
        prepare_state_file(tmp_path / "file" / "state")


def test_without_flower_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(FlowerRefused, match="pip install"):
        run_flower(FlowerOptions())


def test_whoever_revokes_in_flower_wants_the_run_to_end() -> None:
    control = flower_app().control
    assert (control._reason, control._always_terminate) == (REASON, True)
