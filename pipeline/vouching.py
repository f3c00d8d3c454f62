"""Who vouches for a report: the lake's own ledger, by the key that signed its newest head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import ledgers
from pipeline.core.errors import ConfigError
from pipeline.ledger import checkpoint, note, report_note
from pipeline.ledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.config import LedgerConfig
    from pipeline.ledger.checkpoint import Checkpoint
    from pipeline.ledger.note import Signer


@dataclass(frozen=True, slots=True)
class Head:
    """The newest published head of one of the lake's ledgers, as it lies there; nothing of it is verified."""

    folder: str
    text: bytes
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Voucher:
    """What signs a report of a lake; without a signer, why there is none."""

    signer: Signer | None
    reason: str = ""

    @property
    def told(self) -> str:
        """For the head of a page."""
        return f"none: {self.reason}" if self.signer is None else f"by {note.verifier_of(self.signer).vkey()}"

    def sign(self, report: str, period: tuple[str, str], manifest: bytes, heads: Sequence[Head]) -> bytes | None:
        """The note on a manifest; None where nobody signs. Raises SignerError."""
        if self.signer is None:
            return None
        statement = report_note.of(report, period, manifest, [head.checkpoint for head in heads])
        return report_note.sign(statement, self.signer)


def heads(lake: Path) -> list[Head]:
    """The newest published head of each of the lake's ledgers, the main one first; one without a head has none.

    Raises LedgerError for a checkpoint that is none.
    """
    folders = [ledgers.MAIN_FOLDER]
    folders += [f"{ledgers.MAIN_FOLDER}/workers/{path.name}" for path in _workers(lake)]
    texts = [(folder, (lake / folder / "checkpoint").read_bytes()) for folder in folders if _has_head(lake, folder)]
    return [Head(folder, text, checkpoint.parse(note.parse(text).text)) for folder, text in texts]


def _workers(lake: Path) -> list[Path]:
    return sorted((lake / ledgers.MAIN_FOLDER / "workers").glob("*"))


def _has_head(lake: Path, folder: str) -> bool:
    return (lake / folder / "checkpoint").is_file()


def voucher(lake: Path, config: LedgerConfig, named: Path | None) -> Voucher:
    """Who signs reports of a lake: the key file that is named, else the configured signer, else this user's key.

    No key is made. A key that was asked for and cannot sign is a ConfigError; of this user's own key it is told.
    """
    asked = named is not None or config.signing_key is not None or config.signer != "file"
    try:
        return Voucher(_signer(lake, config, named))
    except ConfigError as error:
        if asked:
            raise
        return Voucher(None, str(error))


def _signer(lake: Path, config: LedgerConfig, named: Path | None) -> Signer:
    there = heads(lake)
    if not there:
        raise ConfigError(f"{lake} has no ledger with a published head")
    path = ledgers.key_path(config, named)
    if (named or config.signer == "file") and not path.exists():
        raise ConfigError(f"there is no signing key {path}")
    signer = ledgers.signer_of(config, named, lake, there[0].folder)
    try:
        checkpoint.open_checkpoint(there[0].text, [note.verifier_of(signer)])
    except LedgerError:
        key = note.verifier_of(signer).vkey()
        raise ConfigError(f"the key {key} has not signed the newest head of {lake}") from None
    return signer
