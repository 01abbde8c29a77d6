"""The local API opens to its token and to its own names only."""

import stat

import pytest

from replicator.errors import ConfigurationError
from replicator.gateway.local_errors import ApiError
from replicator.gateway.local_guard import Guard, load_token

TOKEN = "a-token-of-some-length"


def test_a_token_is_made_once_and_kept_to_the_owner(tmp_path):
    path = tmp_path / "local-token"
    token = load_token(path)
    assert len(token) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_token(path) == token
    assert [entry.name for entry in tmp_path.iterdir()] == ["local-token"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_token_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "local-token"
    load_token(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_token(path)


def test_a_symbolic_link_is_not_followed(tmp_path):
    load_token(tmp_path / "elsewhere")
    (tmp_path / "local-token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError):
        load_token(tmp_path / "local-token")


@pytest.mark.parametrize("content", [b"", b"short\n", "é".encode() * 20, b"x" * 2000])
def test_a_file_without_a_token_is_refused(tmp_path, content):
    path = tmp_path / "local-token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        load_token(path)


def test_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / "local-token").mkdir(mode=0o700)
    with pytest.raises(ConfigurationError):
        load_token(tmp_path / "local-token")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1:8471", "[::1]", "[::1]:1", "10.0.0.5:8471"]
)
def test_the_listeners_own_names_pass(host):
    Guard(TOKEN, "10.0.0.5").check_host({"host": host})


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "10.0.0.6", "localhost:x", "::1"]
)
def test_other_names_do_not(host):
    with pytest.raises(ApiError) as caught:
        Guard(TOKEN, "10.0.0.5").check_host({"host": host} if host else {})
    assert caught.value.status == 403


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])  # noqa: S104 - what an operator may write
def test_a_listener_on_every_address_takes_addresses_but_no_names(bound):
    guard = Guard(TOKEN, bound)
    guard.check_host({"host": "192.0.2.1:8471"})
    guard.check_host({"host": "[2001:db8::1]:8471"})
    with pytest.raises(ApiError):
        guard.check_host({"host": "rebound.example:8471"})


@pytest.mark.parametrize("value", [f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
def test_the_token_passes(value):
    Guard(TOKEN, "127.0.0.1").check_token({"authorization": value})


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ☃"]
)
def test_anything_else_does_not(value):
    with pytest.raises(ApiError) as caught:
        Guard(TOKEN, "127.0.0.1").check_token({"authorization": value} if value else {})
    assert caught.value.status == 401


def test_the_token_is_not_in_the_repr():
    assert TOKEN not in repr(Guard(TOKEN, "127.0.0.1"))
