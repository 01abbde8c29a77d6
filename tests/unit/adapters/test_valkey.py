"""The embedded Valkey's files keep its password, and its port survives a restart."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from replicator.adapters import valkey
from replicator.adapters.loopback import free_ports, is_free
from replicator.adapters.valkey import EmbeddedValkey, embedded, find_server
from replicator.errors import ConfigurationError


def test_the_password_is_in_private_files_only(tmp_path):
    server = embedded(tmp_path, 12345)
    server.write()
    assert server.password not in repr(server)
    assert server.password not in " ".join(server.command())
    for file in (tmp_path / "run").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert server.password in file.read_text()


def test_port_and_password_survive_a_restart(tmp_path):
    server = EmbeddedValkey(tmp_path, _free(), "a-password")
    server.write()
    assert embedded(tmp_path, 1) == server


def test_another_port_is_taken_where_somebody_listens_on_the_old_one(tmp_path, unused_listener):
    EmbeddedValkey(tmp_path, unused_listener, "a-password").write()
    assert embedded(tmp_path, 12345) == EmbeddedValkey(tmp_path, 12345, "a-password")


def test_a_damaged_url_is_replaced_by_a_new_password(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "work-url").write_text("redis://elsewhere.example/0")
    assert embedded(tmp_path, 12345).port == 12345


def test_a_home_with_quotes_and_spaces_is_quoted(tmp_path):
    home = tmp_path / 'a "b" \\ c'
    server = EmbeddedValkey(home, 12345, "p")
    server.write()
    assert 'a \\"b\\" \\\\ c' in server.configuration.read_text()


def test_a_link_planted_in_the_way_is_replaced_and_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("untouched")
    (tmp_path / "link").symlink_to(target)
    valkey.write_private(tmp_path / "link", "secret")
    assert target.read_text() == "untouched"
    assert not (tmp_path / "link").is_symlink()


def test_a_machine_without_a_server_is_told_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(valkey, "_wheel_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="install valkey-server"):
        find_server()


def test_nobody_answers_on_a_free_port(tmp_path):
    assert not EmbeddedValkey(tmp_path, _free(), "p").answers(0.2)


def test_free_ports_differ_and_are_below_the_ephemeral_range():
    from_kernel = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = free_ports(20, _random())
    assert len(set(ports)) == 20
    assert max(ports) < from_kernel


def test_no_two_processes_are_given_one_port():
    (port,) = free_ports(1, _random())
    code = (
        "from random import Random\n"
        "from replicator.adapters import loopback\n"
        f"loopback.PORT_MIN, loopback.PORT_MAX = {port}, {port + 1}\n"
        "print(loopback.is_free(loopback.PORT_MIN), flush=True)\n"
        "loopback.free_ports(1, Random())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert other.stdout == "True\n"
    assert "no 1 free ports" in other.stderr


@pytest.fixture
def unused_listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _random():
    return Random(os.getpid())


def _free():
    port = free_ports(1, _random())[0]
    assert is_free(port)
    return port
