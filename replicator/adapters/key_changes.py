"""Changes of the key files: rotation, revocation, another passphrase.

Each may be killed at any moment and made again: what counts is in one file that is replaced at
once, and what came before it is found and used. Only one process changes keys at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from replicator.adapters.keyfiles import KeyFile, KeyFiles
from replicator.adapters.private_files import alone_in, remove_leftovers, replace_private
from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.protocol import announcement
from replicator.protocol.announcement import Announcement
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.signing import PrivateKey
from replicator.rules import key_life


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose keys are changed: its files, what protects them, and its id."""

    files: KeyFiles
    node: NodeId
    passphrase: bytes | None = None

    def node_files(self) -> list[KeyFile]:
        """Return the files of node keys, newest first.

        Raises:
            ConfigurationError: there is none, or as `KeyFiles.list`.
        """
        self.files.load(self.passphrase)  # says what is missing
        return list(reversed(self.files.list(self.passphrase, roles=("node",))))

    def standing(self) -> Announcement:
        """Return the announcement, or how things stand where there is none yet.

        Raises:
            ConfigurationError: it is of another node, or as `node_files`.
        """
        found = self.node_files()
        announced = self.files.records.announced()
        if announced is None:
            newest = found[: Limits().node_keys_max]
            return key_life.founding(self.node, [file.key.public for file in newest])
        if announced.content.id != self.node:
            raise ConfigurationError(f"these keys are announced for {announced.content.id}")
        return announced.content


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation that may be made.

    Args:
        before: how the keys stand.
        fresh: the key to come.
        is_kept: its file is there already, from a rotation that was cut off.
    """

    before: Announcement
    fresh: PrivateKey
    is_kept: bool


def prepare_rotation(owner: Owner) -> Rotation:
    """Return a rotation to be shown, then made by `rotate`; nothing is written yet.

    Raises:
        ConfigurationError: as `Owner.standing`.
    """
    before = owner.standing()
    newest = owner.node_files()[0].key
    if all(entry.key != newest.public for entry in before.keys):
        return Rotation(before, newest, is_kept=True)
    return Rotation(before, PrivateKey.generate(), is_kept=False)


def rotate(
    owner: Owner, rotation: Rotation, *, now: int, overlap_ms: int, keys_max: int
) -> Announcement:
    """Make a prepared rotation and return the new announcement.

    How things stand is written first: a key file without its announcement changes nothing.

    Raises:
        ConfigurationError: the keys were changed meanwhile, or cannot be written.
    """
    after = key_life.rotated(rotation.before, rotation.fresh.public, now, overlap_ms, keys_max)
    try:
        with alone_in(owner.files.directory):
            _require_unchanged(owner, rotation.before)
            _announce(owner, rotation.before)
            if not rotation.is_kept:
                owner.files.keep_node_key(rotation.fresh, owner.passphrase)
            _announce(owner, after)
    except OSError as error:
        raise _unwritten(owner.files, error) from error
    return after


def revoke(owner: Owner, key: KeyText, now: int) -> Announcement:
    """Announce a key as revoked and return the new announcement; its file stays.

    The key itself signs this too, so that a peer that knows no other one hears of it.

    Raises:
        ConfigurationError: no other key goes on signing, or it is none of this node's.
    """
    try:
        with alone_in(owner.files.directory):
            after = key_life.revoked(owner.standing(), key, now)
            _announce(owner, after)
    except OSError as error:
        raise _unwritten(owner.files, error) from error
    return after


def change_passphrase(
    files: KeyFiles, present: bytes | None, wanted: bytes | None
) -> tuple[int, int]:
    """Protect every key file by another passphrase, or by none; each file is replaced at once.

    Where it was cut off before, the files that have the wanted one already are left as they are.

    Returns:
        How many files were changed, and how many had the wanted passphrase already.

    Raises:
        ConfigurationError: a file opens with neither; none was changed then.
    """
    try:
        with alone_in(files.directory):
            opened = [
                (path, *_opened(files.read_pem(path), present, wanted, str(path)))
                for _, path in files.paths()
            ]
            changed = [(path, key) for path, key, is_done in opened if not is_done]
            for path, key in changed:
                replace_private(path, key.to_pem(wanted), keep_time=True)
            remove_leftovers(files.directory)
    except OSError as error:
        raise _unwritten(files, error) from error
    return len(changed), len(opened) - len(changed)


def _opened(
    pem: bytes, present: bytes | None, wanted: bytes | None, path: str
) -> tuple[PrivateKey, bool]:
    try:
        return PrivateKey.from_pem(pem, wanted), True
    except ConfigurationError:
        pass
    try:
        return PrivateKey.from_pem(pem, present), False
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{path}: {error} (the setting key_passphrase must be the present one)"
        ) from error


def _announce(owner: Owner, said: Announcement) -> None:
    listed = {entry.key for entry in said.keys}
    signers: Sequence[PrivateKey] = [
        file.key for file in owner.node_files() if file.key.public in listed
    ]
    owner.files.records.keep_announced(announcement.sign(said, signers))


def _require_unchanged(owner: Owner, before: Announcement) -> None:
    if owner.standing() != before:
        raise ConfigurationError("the keys were changed by another process: look, and try again")


def _unwritten(files: KeyFiles, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"cannot write keys to {files.directory}: {error}")
