"""CloudTrail's public keys in a lake's ledger: recorded the first time they are given, and held to ever after."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import ledgers, store
from pipeline.config import LedgerConfig
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.integrity.cloudtrail import Changed, KeyRing, PublicKey, load_keys, told_key
from pipeline.ledger import control, leaf, policy, proof, proof_file
from pipeline.ledger.errors import LedgerError

if TYPE_CHECKING:
    from pipeline.config import Settings

TYPE = "cloudtrail-key"
_LATEST = (1 << 53) - 1  # the largest number that a control record can hold


def keys_for(
    file: Path | None, lake: Path | None, settings: Settings, signing_key: Path | None, *, keep: bool
) -> tuple[KeyRing, list[Changed], int]:
    """The keys of a file and of a lake's ledger together; which of the file are not those recorded first; how many were
    recorded now, if they are to be.

    Raises ConfigError without either, or for keys that cannot be used, and as `recorded` and `record` do.
    """
    if file is None and lake is None:
        raise ConfigError("give --keys FILE, or --lake DIR with recorded keys")
    if keep and (lake is None or file is None):
        raise ConfigError("--record needs --keys FILE and --lake DIR")
    given = KeyRing({}) if file is None else load_keys(file)
    if lake is None:
        return given, [], 0
    known = recorded(lake)
    if file is None and not known.by_region:
        raise ConfigError(f"the ledger of {lake} has no public keys: give --keys FILE")
    both, changed = given.after(known)
    count = record(lake, given, known, settings.table(LedgerConfig, "ledger"), signing_key) if keep else 0
    return both, changed, count


def recorded(lake: Path) -> KeyRing:
    """The keys that the ledgers of a lake hold, by region; of two under one name the first.

    Raises NoInputError without a ledger, LedgerError when the leaf of one is not in the published log.
    """
    by_region: dict[str, dict[str, PublicKey]] = {}
    for worker in _workers(lake):
        for body in _bodies(lake / ledgers.folder_of(worker)):
            key = told_key(_der(body), body.get("from_us"), body.get("to_us"))
            by_region.setdefault(str(body["region"]), {}).setdefault(str(body["fingerprint"]), key)
    return KeyRing(by_region, tuple(sorted(filter(None, by_region))))


def record(lake: Path, given: KeyRing, known: KeyRing, config: LedgerConfig, signing_key: Path | None) -> int:
    """Record what is given and not known yet, in one commit; how many keys. One that cannot be loaded is left out.

    Raises StoreError while a run writes to the lake.
    """
    fresh = [
        _body(region, name, key)
        for region, keys in sorted(given.by_region.items())
        for name, key in sorted(keys.items())
        if key.loaded is not None and known.known(region, name) is None
    ]
    if not fresh:
        return 0
    workers = _workers(lake)
    worker = ledgers.MAIN if ledgers.MAIN in workers else workers[0]
    ledgers.record_anchors(lake, worker, fresh, config, signing_key)
    return len(fresh)


def _workers(lake: Path) -> tuple[str, ...]:
    with store.reading(lake) as opened:
        workers = opened.ledgers()
    if not workers:
        raise NoInputError(f"{lake} has no ledger: nothing was committed to it yet")
    return workers


def _bodies(folder: Path) -> Iterator[control.Body]:
    """Of records whose leaves are in the published log, under one of its keys."""
    logs = (policy.read(folder / "policy") or policy.Policy()).logs
    for found in control.parsed(folder):
        if found.kind == leaf.ANCHOR and found.body.get("type") == TYPE:
            shown = proof_file.published_proof(folder, found.index)
            if proof.parse(shown).extra != found.leaf:
                raise LedgerError(f"the record of leaf {found.index} is not the one that the log has there")
            proof_file.verify_files(shown, logs)
            yield found.body


def _body(region: str, fingerprint: str, key: PublicKey) -> dict[str, Any]:
    return {
        "type": TYPE, "region": region, "fingerprint": fingerprint, "key": base64.b64encode(key.der).decode(),
        "sha256": hashlib.sha256(key.der).hexdigest(), "from_us": _moment(key.start), "to_us": _moment(key.end),
    }  # fmt: skip


def _der(body: control.Body) -> bytes:
    try:
        return base64.b64decode(str(body["key"]), validate=True)
    except (ValueError, binascii.Error):
        raise LedgerError(f"the recorded key {body['fingerprint']} is no base64") from None


def _moment(us: int | None) -> int | None:
    return us if us is not None and abs(us) <= _LATEST else None
