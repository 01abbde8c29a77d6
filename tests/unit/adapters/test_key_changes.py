"""Changes of key files: what a kill leaves, what is damaged, and what others may not read."""

import os
import threading
from pathlib import Path

import pytest

from replicator.adapters.key_changes import Owner, change_passphrase, prepare_rotation, rotate
from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.pool_changes import leave_pool, replace_pool
from replicator.adapters.private_files import alone_in
from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey

NODE = NodeId("alpha.example")
NOW, DAY = 1_700_000_000_000, 86_400_000


@pytest.fixture
def files(tmp_path: Path) -> KeyFiles:
    files = KeyFiles(tmp_path / "keys")
    files.create_node_key()
    return files


def rotated(files: KeyFiles, passphrase: bytes | None = None) -> None:
    owner = Owner(files, NODE, passphrase)
    rotation = prepare_rotation(owner)
    keys_max = Limits().node_keys_max
    rotate(owner, rotation, now=NOW, overlap_ms=DAY, keys_max=keys_max)


def test_before_a_rotation_nothing_is_written(files):
    before = sorted(files.directory.iterdir())
    prepare_rotation(Owner(files, NODE))
    assert sorted(files.directory.iterdir()) == before


def test_a_new_key_file_alone_changes_nothing_once_there_is_an_announcement(files):
    """What a rotation that is killed before its announcement leaves behind."""
    rotated(files)
    before = files.load()
    files.keep_node_key(PrivateKey.generate())
    after = files.load()
    assert [key.public for key in after.node] == [key.public for key in before.node]


def test_the_first_rotation_writes_how_things_stand_before_its_key(files, monkeypatch):
    """Else a kill between the two would leave a key nobody knows as the one that signs."""
    old = files.load().node[0].public

    def killed(self: KeyFiles, key: PrivateKey, passphrase: bytes | None = None) -> None:
        KeyFiles.create_node_key(self, passphrase)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KeyFiles, "keep_node_key", killed)
        with pytest.raises(KeyboardInterrupt):
            rotated(files)
    assert [key.public for key in files.load().node] == [old]
    rotated(files)
    assert len(files.load().node) == len(files.list()) == 2


def test_a_rotation_that_another_one_overtook_is_refused(files):
    owner = Owner(files, NODE)
    rotation = prepare_rotation(owner)
    rotated(files)
    before = files.load()
    with pytest.raises(ConfigurationError, match="another process"):
        rotate(owner, rotation, now=NOW, overlap_ms=DAY, keys_max=16)
    assert files.load().announced == before.announced


def test_a_current_key_that_is_missing_is_said(files):
    rotated(files)
    (files.directory / "node-1.pem").unlink()
    with pytest.raises(ConfigurationError, match="is missing, which the announcement"):
        files.load()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"announcement":{},"signatures":[]}'])
def test_a_damaged_announcement_is_refused(data, files):
    rotated(files)
    (files.directory / "announcement.json").write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"announcement\.json"):
        files.load()


@pytest.mark.parametrize("data", [b"", b"[]", b'{"heirs":{"a":"b"}}', b'{"heirs":{},"more":1}'])
def test_a_damaged_record_of_pools_is_refused(data, files):
    replace_pool(files, files.create_pool_key().public, PrivateKey.generate())
    (files.directory / "pools.json").write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"pools\.json"):
        files.load()


@pytest.mark.parametrize("name", ["announcement.json", "pools.json", "pool-1.pub"])
def test_a_record_that_others_may_change_is_refused(name, files):
    rotated(files)
    replace_pool(files, files.create_pool_key().public, PrivateKey.generate())
    files.load()
    (files.directory / name).chmod(0o660)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        files.load()


def test_the_public_half_of_a_pool_key_is_written_where_it_is_missing(files):
    pool = files.create_pool_key()
    path = files.directory / "pool-1.pub"
    assert path.read_text() == f"{pool.public}\n"
    path.unlink()
    with pytest.raises(ConfigurationError, match=r"pool-1\.pub is missing"):
        files.load(pool_private=False)
    files.load()
    assert files.load(pool_private=False).public_pools == (pool.public,)


def test_a_public_half_that_is_another_keys_is_refused(files):
    files.create_pool_key()
    other = files.create_pool_key()
    (files.directory / "pool-1.pub").write_text(f"{other.public}\n")
    with pytest.raises(ConfigurationError, match="not the public half"):
        files.load()
    (files.directory / "pool-1.pub").write_text("no key\n")
    with pytest.raises(ConfigurationError, match="no public key"):
        files.load(pool_private=False)


def test_a_public_half_without_its_private_one_is_no_membership_where_both_are_read(files):
    files.create_pool_key()
    (files.directory / "pool-1.pem").unlink()
    assert files.load().pools == ()


def test_a_pool_that_was_left_halfway_is_left_by_the_same_command(files, monkeypatch):
    pool = files.create_pool_key().public

    def killed(path: Path) -> None:
        path.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("replicator.adapters.keyfiles.remove", killed)
        with pytest.raises(KeyboardInterrupt):
            leave_pool(files, pool)
    assert [key.public for key in files.load().pools] == [pool]
    assert leave_pool(files, pool) == (pool,)
    assert leave_pool(files, pool) == ()
    assert files.load().pools == files.load(pool_private=False).public_pools == ()


def test_a_node_key_takes_no_pools_place(files):
    pool = files.create_pool_key().public
    (node,) = files.load().node
    with pytest.raises(ConfigurationError, match="not a pool key"):
        replace_pool(files, pool, node)
    assert files.load().heirs == {}


def test_a_passphrase_that_opens_one_file_only_changes_none(files):
    (files.directory / "node-2.pem").write_bytes(PrivateKey.generate().to_pem(b"other"))
    (files.directory / "node-2.pem").chmod(0o600)
    before = (files.directory / "node-1.pem").read_bytes()
    with pytest.raises(ConfigurationError, match=r"node-2\.pem"):
        change_passphrase(files, None, b"new")
    assert (files.directory / "node-1.pem").read_bytes() == before


def test_what_killed_processes_left_under_temporary_names_goes_with_the_old_passphrase(files):
    old, fresh = files.directory / ".0011.tmp", files.directory / ".0022.tmp"
    for path in (old, fresh):
        path.write_bytes(b"a key")
    os.utime(old, (1, 1))
    change_passphrase(files, None, b"new")
    assert not old.exists()
    assert fresh.exists(), "somebody may be writing it"


def test_changes_wait_for_each_other(files):
    done = threading.Event()

    def change() -> None:
        change_passphrase(files, None, b"new")
        done.set()

    with alone_in(files.directory):
        thread = threading.Thread(target=change)
        thread.start()
        assert not done.wait(0.05)
    thread.join(30)
    assert done.is_set()
