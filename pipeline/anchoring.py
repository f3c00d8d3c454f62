"""Having a ledger's newest checkpoint stamped, also while a run writes to the lake: the token is kept at once, and
recorded among the leaves by the first call that finds nobody writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import ledgers, store
from pipeline.core import faults
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.ledger import anchor as anchors
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import control, policy, timestamp

if TYPE_CHECKING:
    from pipeline.config import LedgerConfig
    from pipeline.ledger.anchor import Anchor


@dataclass(frozen=True, slots=True)
class Order:
    """Whose ledger, which authority, and what its signatures must lead to."""

    lake: Path
    config: LedgerConfig
    tsa: str | None = None
    roots: Path | None = None
    signing_key: Path | None = None
    worker: str = ledgers.MAIN

    @property
    def folder(self) -> str:
        return ledgers.folder_of(self.worker)


def anchor(order: Order) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of what was stamped or recorded now (size, root, at, trusted, recorded, path), and what else to know.

    Raises ConfigError without an authority or the extra, NoInputError without a ledger, AuthorityError when the
    authority does not answer or refuses, LedgerError when its answer, or the checkpoint, does not hold.
    """
    tsa = order.tsa or order.config.anchor.tsa
    if not tsa:
        raise ConfigError("give --tsa URL, or [ledger.anchor] tsa in the config")
    roots = ledgers.roots_of(order.config, order.roots)
    if not timestamp.available():
        raise ConfigError("time stamps need rfc3161-client: install keytrail[anchor]")
    writing, records = _looked(order)
    waiting = anchors.unrecorded(order.lake, order.folder, records, roots)
    if waiting and not writing:
        _record(order, waiting)
    rows = [_row(each, recorded=not writing) for each in waiting]
    notes = [] if roots else ["no roots were given: the authority's signature was not checked"]
    if (fresh := _fresh(order, waiting)) is None:
        return rows, [*notes, "nothing was added since the newest time stamp"]
    size, data = fresh
    token = timestamp.ask(tsa, data, roots, order.config.anchor.seconds)
    stamped = anchors.keep(order.lake, order.folder, size, token, roots)
    faults.point("anchor.kept")
    if writing:
        notes.append(
            "a run is writing to the lake: the time stamp is kept; keytrail ledger anchor records it when none is"
        )
    else:
        _record(order, [stamped])
    return [*rows, _row(stamped, recorded=not writing)], notes


def _looked(order: Order) -> tuple[bool, list[control.Record]]:
    """Whether somebody writes to this ledger, and its control records."""
    with store.reading(order.lake) as lake:
        if order.worker not in lake.ledgers():
            raise NoInputError(f"{order.lake} has no ledger of {order.worker}: nothing was committed to it yet")
        return lake.alive(order.worker), _records(order)


def _records(order: Order) -> list[control.Record]:
    return list(control.parsed(order.lake / order.folder))


def _fresh(order: Order, waiting: Sequence[Anchor]) -> tuple[int, bytes] | None:
    """The newest checkpoint, under a key of this log, unless all that came after a stamped one are stamps' records."""
    records = _records(order)
    checkpoint, data = anchors.published(order.lake, order.folder)
    known = policy.read(order.lake / order.folder / "policy") or policy.Policy()
    checkpoints.open_checkpoint(data, known.logs)
    newest = max([*anchors.recorded(records), *(each.checkpoint.size for each in waiting)], default=0)
    after = sum(1 for r in records if newest <= r.index < checkpoint.size and anchors.is_anchor(r))
    return None if newest and checkpoint.size - newest == after else (checkpoint.size, data)


def _record(order: Order, stamped: Sequence[Anchor]) -> None:
    bodies = (each.body() for each in stamped)
    ledgers.record_anchors(order.lake, order.worker, bodies, order.config, order.signing_key)


def _row(each: Anchor, *, recorded: bool) -> dict[str, Any]:
    return {
        "size": each.checkpoint.size, "root": each.checkpoint.root.hex(), "at": each.stamp.at,
        "trusted": each.stamp.trusted, "recorded": recorded, "path": each.path,
    }  # fmt: skip
