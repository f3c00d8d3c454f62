"""Keys in files, names of logs, the record of what was signed, rotation."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.core.errors import ConfigError
from pipeline.ledger import keys, note, rotation
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.control import Record
from pipeline.ledger.errors import ForkError, LedgerError
from pipeline.ledger.guard import FileGuard


def test_a_new_key_is_private_and_is_read_back_as_the_same_key(tmp_path: Path) -> None:
    """The file has mode 0600 and its folder 0700, and loading gives the signer that creating gave."""
    path = tmp_path / "config" / "signing.key"
    created = keys.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keys.load_or_create(path).public == created.public
    with pytest.raises(ConfigError, match="could not be created"):
        keys.create(path)


def test_of_many_who_come_at_once_all_have_the_key_of_one(tmp_path: Path) -> None:
    """Workers that are started together find no key, and must not fail because another was quicker."""
    path = tmp_path / "keys" / "signing.key"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: keys.load_or_create(path).public, range(32)))
    assert set(made) == {keys.load(path).public}
    assert [file.name for file in path.parent.iterdir()] == ["signing.key"]
    with pytest.raises(ConfigError, match="could not be created"):
        keys.create(path)


def test_a_key_is_made_where_files_cannot_be_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems have no links."""

    def refuse(*_: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert keys.create(tmp_path / "signing.key").public == keys.load(tmp_path / "signing.key").public


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The mode is part of the key's safety."""
    path = tmp_path / "signing.key"
    keys.create(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="0640"):
        keys.load(path)


@pytest.mark.parametrize("how", ["cut", "changed", "empty", "text", "binary", "pem"])
def test_a_damaged_key_file_is_refused_without_showing_it(tmp_path: Path, how: str) -> None:
    """The message names the file and nothing that is in it."""
    path = tmp_path / "signing.key"
    keys.create(path)
    text = path.read_text()
    damaged = {
        "cut": text[:-8],
        "changed": text.replace("keytrail", "keytrial"),
        "empty": "",
        "text": "not a key",
        "binary": "\udcff",
        "pem": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    }[how]
    path.write_bytes(damaged.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        keys.load(path)
    assert str(caught.value) == f"{path} holds no Ed25519 signing key"


def test_a_pem_key_works_and_one_of_another_kind_does_not(tmp_path: Path) -> None:
    """openssl genpkey -algorithm ed25519 is a way to make a key."""
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    good, bad = tmp_path / "good.pem", tmp_path / "bad.pem"
    key = Ed25519PrivateKey.generate()
    good.write_bytes(key.private_bytes(*form))
    bad.write_bytes(generate_private_key(65537, 2048).private_bytes(*form))
    good.chmod(0o600)
    bad.chmod(0o600)
    assert keys.load(good).public == key.public_key().public_bytes_raw()
    with pytest.raises(ConfigError, match="no Ed25519"):
        keys.load(bad)


def test_the_repr_of_a_signer_shows_its_public_key_only(tmp_path: Path) -> None:
    """A signer may end up in a log line."""
    path = tmp_path / "signing.key"
    signer = keys.create(path)
    assert repr(signer) == f"FileSigner({note.verifier_of(signer).vkey()!r})"
    assert path.read_text().strip().split("+", 4)[-1] not in repr(signer)


def test_each_lake_has_a_log_name_of_its_own_under_one_key(tmp_path: Path) -> None:
    """Two lakes with one key never make statements about the same log, and a lake keeps its name."""
    path = tmp_path / "signing.key"
    one, two = keys.for_lake(path, tmp_path / "one"), keys.for_lake(path, tmp_path / "two")
    assert one.public == two.public
    assert one.name != two.name
    ledger = tmp_path / "one" / "ledger"
    ledger.mkdir(parents=True)
    (ledger / "policy").write_text(f"log {note.verifier_of(one).vkey()}\nquorum none\n")
    assert keys.for_lake(path, tmp_path / "one").name == one.name
    with pytest.raises(ConfigError, match="belongs to"):
        keys.for_lake(tmp_path / "another.key", tmp_path / "one")


def test_a_key_inside_the_lake_is_refused(tmp_path: Path) -> None:
    """It would roll back and leak with what it protects."""
    with pytest.raises(ConfigError, match="must not lie in the lake"):
        keys.for_lake(tmp_path / "lake" / "config" / "k", tmp_path / "lake")


def test_the_default_key_is_in_the_users_config_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CONFIG_HOME decides, else ~/.config."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert keys.default_key_path() == tmp_path / "keytrail" / "signing.key"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert keys.default_key_path() == Path.home() / ".config" / "keytrail" / "signing.key"


def test_the_guard_takes_only_newer_statements(tmp_path: Path) -> None:
    """The same statement again is nothing new; an older or another one of the same size is a fork."""
    guard = FileGuard(tmp_path / "config")
    assert guard.last("log") is None
    first = Checkpoint("log", 5, bytes(32))
    guard.advance(first)
    guard.advance(first)
    for bad in (Checkpoint("log", 4, bytes(32)), Checkpoint("log", 5, b"\x01" * 32)):
        with pytest.raises(ForkError):
            guard.advance(bad)
    guard.advance(Checkpoint("log", 6, b"\x01" * 32))
    assert FileGuard(tmp_path / "config").last("log") == Checkpoint("log", 6, b"\x01" * 32)
    assert guard.last("other") is None


def signer(seed: int, name: str = "log") -> keys.FileSigner:
    return keys.FileSigner(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def rotated(old: keys.FileSigner, new: keys.FileSigner, index: int) -> Record:
    return Record(index, 6, rotation.body(old, new, index), b"")


def test_rotations_are_followed_from_the_pinned_key() -> None:
    """Each key hands over to the next, and only from where one stands."""
    a, b, c = signer(1), signer(2), signer(3)
    chain = [rotated(a, b, 10), rotated(b, c, 20)]
    assert [v.public for v in rotation.successors(note.verifier_of(a), chain)] == [a.public, b.public, c.public]
    assert [v.public for v in rotation.successors(note.verifier_of(b), chain)] == [b.public, c.public]


def test_a_rotation_that_one_of_both_keys_did_not_sign_is_refused() -> None:
    """Neither the old key alone nor the new one alone can hand the log over; nor can a record be moved."""
    a, b, c = signer(1), signer(2), signer(3)
    good = rotated(a, b, 10)
    for name in ("from_signature", "to_signature"):
        with pytest.raises(LedgerError):
            rotation.successors(
                note.verifier_of(a), [Record(10, 6, {**good.body, name: rotated(a, c, 10).body[name]}, b"")]
            )
    with pytest.raises(LedgerError):
        rotation.successors(note.verifier_of(a), [Record(11, 6, good.body, b"")])
    with pytest.raises(LedgerError):
        rotation.body(a, signer(2, "other"), 1)
