"""Signed reports held to what they say: the files to the manifest, the manifest to its note, the note to the ledger."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline import ledgers, reports, store, tables, vouching
from pipeline.core.errors import ConfigError, IntegrityBrokenError, KeytrailError, NoInputError
from pipeline.core.text import visible
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import control, keys, leaf, merkle, note, report_note, rotation
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.note import Verifier
from pipeline.ledger.tiles import TileReader
from pipeline.pinning import parse_key, pinned
from pipeline.reports import manifest as manifests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.config import LedgerConfig
    from pipeline.ledger.checkpoint import Checkpoint
    from pipeline.ledger.report_note import Statement
    from pipeline.reports.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is held to: a key (text or file), the lake it was made of, heads of it that were kept elsewhere."""

    key: str | None
    lake: Path | None
    since_heads: Sequence[Path]
    rederive: bool
    config: LedgerConfig


@dataclass(frozen=True, slots=True)
class _Log:
    """A ledger of the lake: the keys that speak for it, the pinned one first, and where it stands."""

    verifiers: tuple[Verifier, ...]
    origin: str  # where the pinned key was taken from
    current: Checkpoint
    reader: TileReader
    until: dict[str, int] = field(default_factory=dict)  # of a key that handed it over: the leaf at which it did


def verify(path: Path, asked: Asked) -> list[dict[str, Any]]:
    """A row for each report that `path` (a manifest or a folder) stands for; `verdict` is ok or refused, with reasons.

    Files of a folder that belong to no report have a row, too. Raises NoInputError, ConfigError.
    """
    if asked.key is not None:
        parse_key(asked.key)
    found = manifests.found(path)
    logs = {} if asked.lake is None else _logs(asked.lake, asked)
    rows, parsed = [], []
    for one in found:
        check = _Check(one, asked, logs)
        rows.append(check.row())
        parsed.append((one, check.manifest))
    if path.is_dir():
        rows += [_row(name, ["no manifest names it"]) for name in manifests.unnamed(path, parsed)]
    return rows


def _row(name: str, reasons: Sequence[str], **more: Any) -> dict[str, Any]:
    columns = ("report", "from", "to", "origin", "size", "root", "key", "key_from", "sql", "rows_agree")
    verdict = "refused" if reasons else "ok"
    told = visible("; ".join(reasons), 4_000)
    return {"file": visible(name), "verdict": verdict, "reason": told, **dict.fromkeys(columns), **more}


class _Check:
    """One report under examination. What is read of it stays unbelieved until the note has opened."""

    def __init__(self, path: Path, asked: Asked, logs: dict[str, _Log]) -> None:
        self._path, self._asked, self._logs = path, asked, logs
        self.manifest: Manifest | None = None
        self._told: dict[str, Any] = {}

    def row(self) -> dict[str, Any]:
        """What holds of it, or why not."""
        try:
            reasons = list(self._reasons())
        except IntegrityBrokenError as error:
            reasons = [str(error)]
        return _row(self._path.name, reasons, **self._told)

    def _reasons(self) -> Iterator[str]:
        data = manifests.read(self._path)
        self.manifest = manifest = manifests.parse(data)
        statement, key = self._opened()
        yield from self._bound(statement, data, manifest)
        if statement.manifest != report_note.digest(data):
            return  # what else it says is nobody's word
        own = next(head for head in statement.heads if head.origin == key.name)
        self._told |= {
            "report": statement.report, "from": statement.start, "to": statement.end, "origin": own.origin,
            "size": own.size, "root": own.root.hex(), "key": key.vkey(), "sql": _shipped(manifest),
        }  # fmt: skip
        yield from manifests.against_files(manifest, self._path.parent)
        yield from _published(statement, manifest, key)
        yield from self._against_heads(statement, key)
        if self._asked.lake is not None:
            yield from self._against_lake(statement, key)
            if self._asked.rederive:
                yield from self._derived(self._asked.lake, manifest, statement)

    def _opened(self) -> tuple[Statement, Verifier]:
        """The note beside the manifest, under a key that is trusted. Raises LedgerError."""
        path = self._path.with_name(self._path.name.removesuffix(reports.MANIFEST) + reports.NOTE)
        if not path.is_file():
            raise LedgerError(f"it is not signed: there is no {path.name}")
        data = manifests.read(path, note.MAX_SIZE)
        trusted, origin = self._trusted(data)
        self._told["key_from"] = origin
        return report_note.open_statement(data, trusted)

    def _trusted(self, data: bytes) -> tuple[Sequence[Verifier], str]:
        if self._logs:
            first = next(iter(self._logs.values()))
            return [key for log in self._logs.values() for key in log.verifiers], first.origin
        if self._asked.key is not None:
            return [parse_key(self._asked.key)], "given"
        public, origin = _own(self._asked.config)
        names = dict.fromkeys(signature.name for signature in note.parse(data).signatures)
        return [Verifier(name, note.ED25519, public) for name in names], origin

    def _bound(self, statement: Statement, data: bytes, manifest: Manifest) -> Iterator[str]:
        """The note is about this manifest, and both about the file of that name."""
        heads = [(head.origin, head.size, head.root.hex()) for head in statement.heads]
        told = [(head.origin, head.size, head.root) for head in manifest.ledger]
        said = (manifest.report, manifest.start, manifest.end)
        if statement.manifest != report_note.digest(data):
            yield "the manifest was altered: its SHA-256 is not the signed one"
        elif (statement.report, statement.start, statement.end) != said or heads != told:
            yield "the manifest and its note speak of different reports"
        elif self._path.name != statement.report + reports.MANIFEST:
            yield f"the signed report is {statement.report}: the file was renamed"

    def _against_heads(self, statement: Statement, key: Verifier) -> Iterator[str]:
        """Heads kept elsewhere: the report's head and they must be of one history."""
        ours = {head.origin: head for head in statement.heads}
        for path in self._asked.since_heads:
            try:
                kept = self._kept(path, key)
            except LedgerError as error:
                yield f"the kept head {path.name} does not open: {error}"
                continue
            head = ours.get(kept.origin)
            if head is None:
                yield f"the kept head {path.name} is of {kept.origin}, of which the report does not speak"
            elif kept.size == head.size and kept.root != head.root:
                yield f"the ledger was forked: the kept head {path.name} has another root of {kept.size} leaves"
            elif kept.origin in self._logs:
                yield from _within(self._logs[kept.origin], kept, f"the kept head {path.name}")
            elif kept.size != head.size:
                yield f"the kept head {path.name} is of {kept.size} leaves, the report of {head.size}: give --lake"

    def _kept(self, path: Path, key: Verifier) -> Checkpoint:
        trusted = [one for log in self._logs.values() for one in log.verifiers] or [key]
        return checkpoints.open_checkpoint(manifests.read(path, note.MAX_SIZE), trusted)

    def _against_lake(self, statement: Statement, key: Verifier) -> Iterator[str]:
        """The report's heads are of the history of the lake's ledgers, the signer's own under its key of that time."""
        for head in statement.heads:
            log = self._logs.get(head.origin)
            if log is None:
                yield f"the lake has no ledger {head.origin}"
                continue
            yield from _within(log, head, "the report's head")
            if head.origin == key.name and head.size > log.until.get(key.vkey(), head.size) + 1:
                yield f"it is signed by a key that had handed the ledger over at leaf {log.until[key.vkey()]}"

    def _derived(self, lake: Path, manifest: Manifest, statement: Statement) -> Iterator[str]:
        """The manifest's SQL, asked again, gives the rows of the CSV and the JSON file."""
        self._told["rows_agree"] = False
        try:
            found = store.query(lake, manifest.sql)
        except ConfigError as error:
            yield f"the SQL cannot be asked again: {error}"
            return
        texts = reports.machine_texts(manifest.report, found.column_names, list(tables.records(found)))
        differ = manifests.difference(manifest, self._path.parent, texts)
        self._told["rows_agree"] = not differ
        if differ:
            yield f"asked again, the SQL gives {differ}; {self._grown(statement)}"

    def _grown(self, statement: Statement) -> str:
        known = [(self._logs[head.origin].current, head) for head in statement.heads if head.origin in self._logs]
        more = sum(now.size - head.size for now, head in known)
        return f"the ledger has grown by {more:,} leaves since" if more > 0 else "the ledger stands where it stood"


def _published(statement: Statement, manifest: Manifest, key: Verifier) -> Iterator[str]:
    """The checkpoints in the manifest are those of the heads, the signer's own under its key."""
    known: dict[str, Checkpoint] = {}
    try:
        for text in manifest.checkpoints:
            data = text.encode()
            head = checkpoints.parse(note.parse(data).text)
            if head.origin == key.name:
                checkpoints.open_checkpoint(data, [key])
            known[head.origin] = head
    except (LedgerError, UnicodeEncodeError) as error:
        yield f"a checkpoint in the manifest does not hold: {error}"
        return
    if [known.get(head.origin) for head in statement.heads] != list(statement.heads):
        yield "the checkpoints in the manifest are not those of its heads"


def _within(log: _Log, head: Checkpoint, what: str) -> Iterator[str]:
    """A head is a beginning of what the lake's ledger is now, proven from its tiles."""
    if head.size > log.current.size:
        yield f"{what} is of {head.size} leaves, the lake's ledger has {log.current.size}: the lake was put back"
        return
    try:
        if head.size:
            proof = log.reader.consistency_proof(head.size)
            merkle.verify_consistency(head.size, log.current.size, proof, head.root, log.current.root)
    except LedgerError as error:
        yield f"{what} is not of the history that the lake's ledger has: {error}"


def _logs(lake: Path, asked: Asked) -> dict[str, _Log]:
    """The lake's ledgers by name. Raises NoInputError where there is none, ConfigError, LedgerError."""
    found = {}
    for head in vouching.heads(lake):
        key = pinned(lake, asked.key, head.folder, asked.config, {})
        records = [record for record in control.parsed(lake / head.folder) if record.kind == leaf.ROTATION]
        chain = (*rotation.successors(key.verifier, records), *rotation.predecessors(key.verifier, records))
        until = {str(record.body.get("from")): record.index for record in records}
        current = checkpoints.open_checkpoint(head.text, chain)
        found[current.origin] = _Log(chain, key.origin, current, TileReader(lake / head.folder, current.size), until)
    if not found:
        raise NoInputError(f"{lake} has no ledger with a published head")
    return found


def _own(config: LedgerConfig) -> tuple[bytes, str]:
    """The public half of this host's own signer. Raises ConfigError where there is none."""
    if config.signer == "command":
        return ledgers.configured(config).public, "the configured signer"
    path = ledgers.key_path(config)
    if not path.exists():
        raise ConfigError("no key is known here: give the ledger's with --key, or the lake with --lake")
    return note.verifier_of(keys.load(path)).public, f"the signing key {keys.shown(path)}"


def _shipped(manifest: Manifest) -> str:
    """Whether the SQL is the one that this version has for a report of that name."""
    try:
        start, end = (dt.datetime.fromisoformat(text) for text in (manifest.start, manifest.end))
        same = reports.load(manifest.report).between(start, end) == manifest.sql
    except (KeytrailError, ValueError):
        same = False
    return "as shipped" if same else "not that of this version"
