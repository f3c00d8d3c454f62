"""Which key a ledger is held to: the one given, else one that this host knows, else the one that the lake names."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import ledgers
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import keys, note, policy
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import read_optional
from pipeline.ledger.note import Verifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.config import LedgerConfig


_CONFIGURED = "the configured signer"


@dataclass(frozen=True, slots=True)
class Pinned:
    """The key that a ledger is held to, and where it was taken from."""

    verifier: Verifier
    origin: str


def pinned(lake: Path, vkey: str | None, folder: str, config: LedgerConfig, head: Mapping[str, Any]) -> Pinned:
    """The given key, else that of the configured signer or of this user's key, else the one that the lake names itself.

    Every worker's log has a name of its own: the given key is held to under that name. `head` is that of the lake's
    last commit, which tells the name where the policy file no longer does. Raises ConfigError for a text that is no
    key, NoInputError for a lake without a ledger, LedgerError where only the lake could name a key and does not.
    """
    logs = _named(lake / folder)
    if vkey:
        given = parse_key(vkey)
        named = [log for log in logs if log.public == given.public] if folder != ledgers.MAIN_FOLDER else []
        return Pinned(named[0] if named else given, "given")
    if not logs:
        return _signed_by(lake / folder, config, head)
    if config.signer == "command":
        public = ledgers.configured(config).public
        if named := [log for log in logs if log.public == public]:
            return Pinned(named[0], _CONFIGURED)
    own = keys.default_key_path()
    if own.exists() and any(log.public == note.verifier_of(keys.load(own)).public for log in logs):
        return Pinned(logs[0], f"the signing key {keys.shown(own)}")
    return Pinned(logs[0], "the lake itself: pin a key with --key to rule out a ledger that was made anew")


def _signed_by(folder: Path, config: LedgerConfig, head: Mapping[str, Any]) -> Pinned:
    """Without a policy that names a key: one of this host that has signed the newest head."""
    intent, published = str(head.get("intent", "")).encode(), read_optional(folder / "checkpoint")
    if not intent and published is None:
        raise NoInputError(f"{folder.parent} has no ledger: nothing was committed to it yet")
    signed = ((intent, checkpoints.open_intent, 1), (published or b"", checkpoints.open_checkpoint, 0))
    for public, origin in _here(config):
        for data, opened, line in signed:  # the line that has the log's name
            lines = data.decode("utf-8", "replace").split("\n")
            if line >= len(lines):
                continue
            key = Verifier(lines[line], note.ED25519, public)
            with contextlib.suppress(LedgerError):
                opened(data, [key])
                return Pinned(key, origin)
    raise LedgerError(f"{folder}/policy is missing or names no key: give the ledger's with --key")


def parse_key(vkey: str) -> Verifier:
    """A verifier key text (or a file that holds one). Raises ConfigError."""
    try:
        text = Path(vkey).read_text("utf-8").strip() if "+" not in vkey and Path(vkey).is_file() else vkey
        return note.parse_vkey(text)
    except (LedgerError, ValueError) as error:
        raise ConfigError(f"--key is no verifier key: {error}") from None
    except OSError as error:
        raise ConfigError(f"--key {vkey}: {error.strerror}") from None


def _named(folder: Path) -> tuple[Verifier, ...]:
    """The log's keys by the lake's own policy file; what is wrong with that is told when it is verified."""
    try:
        known = policy.read(folder / "policy")
    except ConfigError:
        return ()
    return known.logs if known else ()


def _here(config: LedgerConfig) -> Iterator[tuple[bytes, str]]:
    """Public keys that this host knows as its own, and which they are."""
    if config.signer == "command":
        yield ledgers.configured(config).public, _CONFIGURED
    elif (own := ledgers.key_path(config)).exists():
        yield note.verifier_of(keys.load(own)).public, f"the signing key {keys.shown(own)}"
