"""Where a lake's ledgers lie, with which key each is written, and a commit that a command makes under one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.clock import system_clock
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.core.model import Commit
from pipeline.ledger import FileGuard, keys, leaf, timestamp
from pipeline.ledger.command_signer import CommandSigner, public_key
from pipeline.ledger.sealed import SealedLedger
from pipeline.store import Lake, StoreConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.config import LedgerConfig
    from pipeline.core.clock import Clock
    from pipeline.ledger.control import Body
    from pipeline.ledger.timestamp import Roots

MAIN_FOLDER = "ledger"
MAIN = "main"  # the worker that judges: alone, or for all who only read


def folder_of(worker: str) -> str:
    """Where a worker's ledger lies in the lake."""
    return MAIN_FOLDER if worker == MAIN else f"{MAIN_FOLDER}/workers/{worker}"


def key_path(config: LedgerConfig, named: str | Path | None = None) -> Path:
    """The file of the signing key: the one named, else the configured one, else this user's."""
    chosen = named or config.signing_key
    return Path(chosen).expanduser() if chosen else keys.default_key_path()


def signed_folder(config: LedgerConfig, key: Path) -> Path | None:
    """Where the ledger's newest heads are remembered outside the lake; None where nothing can be written."""
    return Path(config.signed).expanduser() if config.signed else keys.signed_folder(key)


def signer_of(config: LedgerConfig, named: str | Path | None, lake: Path, folder: str) -> keys.Key:
    """What signs for a lake's log: the key file that is named, else what the configuration says.

    Raises ConfigError for a key that cannot be used or is not this log's.
    """
    if named or config.signer == "file":
        return keys.for_lake(key_path(config, named), lake, origin=config.origin, folder=folder)
    return keys.named_for(configured(config), lake, "[ledger] public_key", origin=config.origin, folder=folder)


def configured(config: LedgerConfig) -> CommandSigner:
    """The signer of `[ledger] signer = "command"`. Raises ConfigError."""
    if not config.command or config.public_key is None:
        raise ConfigError('[ledger] signer = "command" needs command and public_key')
    if config.signing_key is not None:
        raise ConfigError('[ledger] signing_key is of signer = "file"')
    return CommandSigner(keys.DEFAULT_NAME, public_key(config.public_key), config.command, config.signer_seconds)


def guard_of(config: LedgerConfig, key: Path, lake: Path, folder: str) -> FileGuard:
    """What remembers the newest heads, in the lake itself where there is no other place."""
    return FileGuard(signed_folder(config, key) or lake / folder)


def roots_of(config: LedgerConfig, named: Path | None = None) -> Roots:
    """The certificates that vouch for time stamps: of the file that is named, else of the configured one, else none."""
    chosen = named or config.anchor.roots
    return timestamp.load_roots(Path(chosen).expanduser()) if chosen else ()


def opened(lake: Lake, config: LedgerConfig, named: str | Path | None = None) -> SealedLedger:
    """The ledger of the lake's worker, to append to. Raises NoInputError when nothing was committed under one yet."""
    folder, key = folder_of(lake.worker), key_path(config, named)
    head = lake.ledger_head()
    if not head:
        raise NoInputError(f"{lake.path} has no ledger: nothing was committed to it yet")
    signer = signer_of(config, named, lake.path, folder)
    return SealedLedger.open(
        lake.path, signer, head=head, guard=guard_of(config, key, lake.path, folder), folder=folder
    )


def begun(
    lake: Lake, config: LedgerConfig, named: str | Path | None, notes: list[str], *, clock: Clock = system_clock
) -> SealedLedger | None:
    """The ledger of the lake's worker, begun where there is none yet; None where the config wants none. `notes` gets
    what its owner should know.

    Raises ConfigError where a ledger would be begun too late, or left out too late.
    """
    path = key_path(config, named)
    if not config.enabled:
        if lake.ledgers():
            raise ConfigError(
                f"{lake.path} has a ledger, and what is written without one fails every later verify: "
                "leave [ledger] enabled as it was, or write to another lake"
            )
        return None
    folder = folder_of(lake.worker)
    if not (lake.ledger_head() or (lake.path / folder).exists()) and lake.worker in lake.raw_owners():
        raise ConfigError(
            f"{lake.path} holds entries from before there was a ledger, which it would never cover: leave "
            "[ledger] enabled = false for this lake, or read the logs into a new one"
        )
    if not path.exists() and (named or config.signer == "file"):
        notes.append(
            f"made the ledger's signing key {keys.shown(path)}; keep a copy, this lake cannot go on without it"
        )
    signer = signer_of(config, named, lake.path, folder)
    remembered = signed_folder(config, path)
    if remembered is None:
        notes.append(
            f"what is signed can only be remembered in the lake, which rolls back with it: nothing can be written "
            f"beside {keys.shown(path)}; set [ledger] signed"
        )
    guard = None if remembered is None else FileGuard(remembered)
    return SealedLedger.open(lake.path, signer, head=lake.ledger_head(), guard=guard, clock=clock, folder=folder)


def writable(lake: Path, worker: str, upkeep: StoreConfig | None = None, *, quiet: bool = False) -> Lake:
    """The lake for a command that commits as `worker`. Raises StoreError while a run of that worker writes to it.

    `quiet`: see `Lake.open`.
    """
    config = upkeep or StoreConfig()
    return Lake.open(lake, config, writer=True, clock=system_clock, worker=worker, inherit=False, quiet=quiet)


def record_anchors(
    lake: Path, worker: str, bodies: Iterable[Body], config: LedgerConfig, named: str | Path | None = None
) -> None:
    """Make each of `bodies` a control record (kind 8) of the worker's ledger, in one commit. Raises as `writable`."""
    with writable(lake, worker) as open_lake:
        ledger = opened(open_lake, config, named)
        for body in bodies:
            ledger.record(leaf.ANCHOR, body)
        commit(open_lake, ledger)


def commit(lake: Lake, ledger: SealedLedger, **more: Any) -> None:
    """A commit of what the ledger was told, with `more` of a Commit; nothing that was read moves by it."""
    lake.commit(Commit((), states=lake.states(), seal=ledger.prepare, **more), upkeep=False)
    ledger.publish()


def add(lake: Lake, ledger: SealedLedger, kind: int, body: Body) -> None:
    """A commit of nothing but one record in the log over files: what no seal names is not sealed by it."""
    head = ledger.prepare((), (), records=[(kind, body)])
    lake.commit(Commit((), states=lake.states(), ledger=head), upkeep=False)
    ledger.publish()
