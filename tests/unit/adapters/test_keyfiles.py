"""Key files on a real file system: what is written, and what is refused when read."""

import os
import stat
import threading
from pathlib import Path

import pytest

from replicator.adapters.keyfiles import KeyFiles
from replicator.errors import ConfigurationError
from replicator.protocol.signing import PrivateKey


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys"


@pytest.fixture
def files(directory: Path) -> KeyFiles:
    return KeyFiles(directory)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_private_files_in_a_private_directory(files, directory):
    previous = os.umask(0)
    try:
        files.create_node_key()
        files.create_pool_key()
    finally:
        os.umask(previous)
    assert mode(directory) == 0o700
    assert {path.name: mode(path) for path in directory.iterdir()} == {
        "node-1.pem": 0o600,
        "pool-1.pem": 0o600,
        "pool-1.pub": 0o600,
    }


def test_the_newest_node_key_is_the_current_one(files):
    made = [files.create_node_key() for _ in range(11)]
    assert [key.public for key in files.load().node] == [key.public for key in reversed(made)]


def test_pools_stand_in_the_order_they_came(files):
    files.create_node_key()
    made = [files.create_pool_key() for _ in range(11)]
    assert [key.public for key in files.load().pools] == [key.public for key in made]


def test_a_number_in_the_middle_is_not_given_again(files, directory):
    for _ in range(3):
        files.create_node_key()
    (directory / "node-2.pem").unlink()
    key = files.create_node_key()
    assert files.list()[-1].path.name == "node-4.pem"
    assert files.load().node[0].public == key.public


def test_a_pool_key_goes_from_member_to_member(files, tmp_path):
    pool = files.create_pool_key()
    other = KeyFiles(tmp_path / "other")
    other.create_node_key()
    pem = files.export_pool_key(pool.public, pem_passphrase=b"on the way")
    with pytest.raises(ConfigurationError, match="passphrase"):
        other.import_pool_key(pem)
    for _ in range(2):
        taken = other.import_pool_key(pem, pem_passphrase=b"on the way")
        assert taken.public == pool.public
    assert [key.public for key in other.load().pools] == [pool.public]


def test_only_pool_keys_are_exported_and_imported_as_such(files):
    node = files.create_node_key()
    with pytest.raises(ConfigurationError, match="no key of the pool"):
        files.export_pool_key(node.public)
    with pytest.raises(ConfigurationError, match="not a pool key"):
        files.import_pool_key(node.to_pem())


def test_a_passphrase_protects_the_files(files, directory):
    node = files.create_node_key(b"secret")
    assert b"ENCRYPTED" in (directory / "node-1.pem").read_bytes()
    assert files.load(b"secret").node[0].public == node.public
    for wrong in (None, b"other"):
        with pytest.raises(ConfigurationError, match=r"node-1\.pem.*passphrase"):
            files.load(wrong)


def test_a_passphrase_for_unprotected_files_is_a_mistake(files):
    files.create_node_key()
    with pytest.raises(ConfigurationError, match="not encrypted"):
        files.load(b"secret")


def test_without_a_node_key_the_node_does_not_start(files):
    with pytest.raises(ConfigurationError, match="no node key"):
        files.load()
    files.create_pool_key()
    with pytest.raises(ConfigurationError, match="no node key"):
        files.load()


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o602, 0o610, 0o601])
def test_a_file_that_others_may_use_is_refused(bits, files, directory):
    files.create_node_key()
    (directory / "node-1.pem").chmod(bits)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        files.load()


@pytest.mark.parametrize("bits", [0o750, 0o705, 0o770, 0o777, 0o710])
def test_a_directory_that_others_may_use_is_refused(bits, files, directory):
    files.create_node_key()
    directory.chmod(bits)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        files.load()
    with pytest.raises(ConfigurationError, match="chmod 700"):
        files.create_pool_key()


def test_symbolic_links_are_refused(files, directory, tmp_path):
    files.create_node_key()
    real = directory / "real"
    (directory / "node-1.pem").rename(real)
    (directory / "node-1.pem").symlink_to(real)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        files.load()
    (tmp_path / "link").symlink_to(directory)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        KeyFiles(tmp_path / "link").load()
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match=r"symbolic link|cannot write"):
        KeyFiles(tmp_path / "nowhere").create_node_key()


def test_what_is_no_file_is_refused_without_waiting(files, directory):
    files.create_node_key()
    os.mkfifo(directory / "node-2.pem", 0o600)
    with pytest.raises(ConfigurationError, match="no regular file"):
        files.load()
    (directory / "node-2.pem").unlink()
    (directory / "node-2.pem").mkdir(0o700)
    with pytest.raises(ConfigurationError, match="no regular file"):
        files.load()


@pytest.mark.parametrize(
    "data", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused_and_not_quoted(data, files, directory):
    files.create_node_key()
    (directory / "node-1.pem").write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"node-1\.pem: not a private key"):
        files.load()


def test_a_huge_file_is_not_read(files, directory):
    files.create_node_key()
    with (directory / "node-1.pem").open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(ConfigurationError, match="too large"):
        files.load()


def test_other_files_are_not_looked_at(files, directory):
    files.create_node_key()
    for name in ("node-01.pem", "node-0.pem", "node-1.pem~", ".node-abc.tmp", "README"):
        (directory / name).write_text("other")
    assert len(files.list()) == 1


def test_processes_that_write_at_once_overwrite_nothing(files, directory):
    made: list[PrivateKey] = []
    start = threading.Barrier(8)

    def create() -> None:
        start.wait()
        made.extend(KeyFiles(directory).create_pool_key() for _ in range(5))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    kept = {file.key.public for file in files.list()}
    assert kept == {key.public for key in made}
    assert len(kept) == 40
    assert not list(directory.glob("*.tmp")) + list(directory.glob(".*.tmp"))


def test_a_directory_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError):
        KeyFiles(tmp_path / "file" / "keys").create_node_key()


def test_nothing_shows_a_private_key(files):
    key = files.create_node_key()
    secret = key.to_pem().split(b"\n")[1].decode()
    shown = repr(files.list()) + repr(files.load()) + str(files)
    assert secret not in shown
    assert key.public in shown
