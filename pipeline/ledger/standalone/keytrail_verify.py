#!/usr/bin/env python3
"""Checks keytrail ledgers without keytrail: this one file, Python 3.9 or later, nothing installed.

    keytrail_verify.py note FILE --key VKEY                     is this checkpoint signed by that key?
    keytrail_verify.py proof FILE --key VKEY [--event FILE]     is this event in the log?
    keytrail_verify.py consistency OLD NEW DIR --key VKEY       is the old checkpoint a beginning of the new one?
    keytrail_verify.py tree DIR --key VKEY [--since-head FILE]  do all entries and tiles lead to the signed root?
    keytrail_verify.py rows DIR 'GLOB' --key VKEY           do the Parquet rows match the log? (needs duckdb)

VKEY is the log's verifier key, `name+keyid+base64`, which you must have from elsewhere than the lake. DIR is the
lake's `ledger` folder. Exit 0: holds. 10: refused, and the reason is printed. 2: wrong usage.

Read it in this order: Ed25519 (RFC 8032), Merkle trees (RFC 6962), signed notes and checkpoints (c2sp.org/signed-note,
/tlog-checkpoint), proofs (/tlog-proof), tiles (/tlog-tiles), the 62-byte entry, the commands.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import pathlib
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any


class RefusedError(Exception):
    """What was given does not hold."""


def need(condition: object, reason: str) -> None:
    """Refuse unless the condition is met."""
    if not condition:
        raise RefusedError(reason)


# --- Ed25519 signatures, RFC 8032 section 5.1 ---------------------------------------------------------------------
# Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z. Only public values are handled, so time may depend on them.

Point = tuple[int, int, int, int]
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)


def point_add(p: Point, q: Point) -> Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_multiply(scalar: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def point_equal(p: Point, q: Point) -> bool:
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def point_decode(data: bytes) -> Point:
    """Section 5.1.3; refuses encodings that are not canonical."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    need(y < P, "a point that is not on the curve")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x * SQRT_MINUS_1 % P if (x * x - square) % P else x
    need((x * x - square) % P == 0 and (x != 0 or sign == 0), "a point that is not on the curve")
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


BASE = point_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Section 5.1.7, without the cofactor: s*B = R + k*A."""
    need(len(public) == 32 and len(signature) == 64, "a key or signature of the wrong length")
    key, commitment = point_decode(public), point_decode(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    need(s < ORDER, "a signature that is not canonical")
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    holds = point_equal(point_multiply(s, BASE), point_add(commitment, point_multiply(k, key)))
    need(holds, "the signature does not hold")


# --- Merkle trees, RFC 6962 section 2.1 ---------------------------------------------------------------------------

Hashes = Sequence[bytes]


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two below size."""
    return 1 << ((size - 1).bit_length() - 1)


def tree_root(hashes: Hashes) -> bytes:
    """The root over leaf hashes."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = split(len(hashes))
    return node_hash(tree_root(hashes[:k]), tree_root(hashes[k:]))


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Hashes) -> bytes:
    """The root that the proof, leaf first, leads to; recursion follows the definition of PATH in section 2.1.1."""
    need(0 <= index < size, "the leaf is not in a tree of that size")
    if size == 1:
        need(not proof, "the proof is too long")
        return leaf
    need(proof, "the proof is too short")
    k = split(size)
    if index < k:
        return node_hash(root_from_inclusion(index, k, leaf, proof[:-1]), proof[-1])
    return node_hash(proof[-1], root_from_inclusion(index - k, size - k, leaf, proof[:-1]))


def roots_from_consistency(old: int, size: int, proof: Hashes, old_root: bytes, *, whole: bool = True) -> Hashes:
    """Both roots as the proof has them; recursion follows SUBPROOF in section 2.1.2."""
    if old == size:
        if whole:
            need(not proof, "the proof is too long")
            return old_root, old_root
        need(len(proof) == 1, "the proof has the wrong length")
        return proof[0], proof[0]
    need(proof, "the proof is too short")
    k = split(size)
    if old <= k:
        first, second = roots_from_consistency(old, k, proof[:-1], old_root, whole=whole)
        return first, node_hash(second, proof[-1])
    first, second = roots_from_consistency(old - k, size - k, proof[:-1], old_root, whole=False)
    return node_hash(proof[-1], first), node_hash(proof[-1], second)


def verify_consistency(old: int, size: int, proof: Hashes, old_root: bytes, root: bytes) -> None:
    need(0 < old <= size, "nothing can be proven between these sizes")
    first, second = roots_from_consistency(old, size, proof, old_root)
    need(first == old_root, "the old root does not hold")
    need(second == root, "the new root does not hold")


# --- signed notes and checkpoints ---------------------------------------------------------------------------------


def decode_base64(text: str) -> bytes:
    """Only the one canonical form."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise RefusedError("not base64") from None
    need(base64.b64encode(data).decode() == text, "base64 that is not canonical")
    return data


def decode_number(text: str) -> int:
    need(text.isascii() and text.isdigit() and len(text) < 20 and str(int(text)) == text, "not a number")
    return int(text)


def decode_text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError("not UTF-8") from None


def parse_vkey(text: str) -> tuple[str, bytes, bytes]:
    """(name, key id, public key) of an Ed25519 verifier key."""
    parts = text.strip().split("+", 2)
    need(len(parts) == 3 and parts[0], "a verifier key reads name+keyid+base64")
    material = decode_base64(parts[2])
    need(len(material) == 33 and material[0] == 1, "not an Ed25519 verifier key")
    key_id = hashlib.sha256(parts[0].encode() + b"\n" + material).digest()[:4]
    need(parts[1] == key_id.hex(), "the key id does not match the key")
    return parts[0], key_id, material[1:]


def open_note(data: bytes, vkey: str) -> str:
    """The text of a note, once the key's signature on it holds."""
    name, key_id, public = parse_vkey(vkey)
    whole = decode_text(data)
    need(all(c >= " " or c == "\n" for c in whole), "a note with control characters")
    text, blank, lines = whole.rpartition("\n\n")
    need(blank and lines.endswith("\n"), "not a signed note")
    signed = False
    for line in lines[:-1].split("\n"):
        parts = line.split(" ")
        need(len(parts) == 3 and parts[0] == "\u2014" and parts[1], "a malformed signature line")
        signature = decode_base64(parts[2])
        need(len(signature) > 4, "a signature that is too short")
        if parts[1] == name and signature[:4] == key_id:
            ed25519_verify(public, (text + "\n").encode(), signature[4:])
            signed = True
    need(signed, "the note is not signed by " + name)
    return text + "\n"


def open_checkpoint(data: bytes, vkey: str) -> tuple[int, bytes]:
    """(size, root) of a checkpoint that the key signed under its own name."""
    lines = open_note(data, vkey).split("\n")
    need(len(lines) >= 4 and all(lines[:-1]), "a checkpoint has three lines")
    need(lines[0] == parse_vkey(vkey)[0], "the checkpoint is of another log")
    root = decode_base64(lines[2])
    need(len(root) == 32, "a root that is not 32 bytes")
    return decode_number(lines[1]), root


# --- the entry ----------------------------------------------------------------------------------------------------

ENTRY = struct.Struct(">4sBB8sQQ32s")  # magic, kind, flags, stream id, position, ingest time, commitment
EVENT, REDACTION, REDACTED = 1, 5, 1  # two kinds, a flag


def parse_entry(data: bytes) -> tuple[Any, ...]:
    need(len(data) == 62 and data[:4] == b"al1\x00", "not a ledger entry")
    return ENTRY.unpack(data)


def verify_row(entry: bytes, source: str, place: int, salt: bytes | None, raw: bytes | None, *, redacted: bool) -> bool:
    """The entry commits to this row. True when its bytes were compared, False when they were redacted."""
    _, kind, flags, stream, at, _, commitment = parse_entry(entry)
    need(kind == EVENT, "the leaf is not an event's")
    need(hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()[:8] == stream, "a leaf of another source")
    need(at == place, "the leaf is of another position")
    if redacted and (flags & REDACTED or (raw is None and salt is None)):
        return False
    need(not redacted and not flags & REDACTED, "event and leaf disagree on whether it is redacted")
    if raw is None or salt is None or len(salt) != 16:
        raise RefusedError("raw or salt is missing")
    need(hashlib.sha256(salt + raw).digest() == commitment, "the bytes are not those that the leaf commits to")
    return True


# --- tiles --------------------------------------------------------------------------------------------------------


class Tiles:
    """Reads a ledger folder as a tree of `size` leaves."""

    def __init__(self, folder: str | pathlib.Path, size: int) -> None:
        self.folder, self.size = pathlib.Path(folder), size
        self.cache: dict[tuple[int, int], list[bytes]] = {}

    def read(self, level: object, index: int, width: int, unit: int) -> bytes:
        digits = f"{index % 1000:03d}"
        rest = index // 1000
        while rest:
            digits = f"x{rest % 1000:03d}/{digits}"
            rest //= 1000
        path = self.folder / "tile" / str(level) / digits
        partial = path.with_name(path.name + ".p") / str(width)
        path, there = (partial, width) if width < 256 and partial.is_file() else (path, 256)
        need(path.is_file(), f"{path} is missing")
        data = path.read_bytes()
        need(len(data) == there * unit, f"{path} has the wrong length")
        return data[: width * unit]

    def width(self, level: int, index: int) -> int:
        return min(256, (self.size >> (8 * level)) - index * 256)

    def hashes(self, level: int, index: int) -> list[bytes]:
        if (level, index) not in self.cache:
            data = self.read(level, index, self.width(level, index), 32)
            if len(self.cache) > 64:
                self.cache.clear()
            self.cache[level, index] = [data[i : i + 32] for i in range(0, len(data), 32)]
        return self.cache[level, index]

    def entries(self, index: int) -> Iterator[bytes]:
        data = self.read("entries", index, self.width(0, index), 64)
        for at in range(0, len(data), 64):
            need(data[at : at + 2] == b"\x00\x3e", "an entry that is not 62 bytes long")
            yield data[at + 2 : at + 64]

    def subtree(self, start: int, end: int) -> bytes:
        """The hash of [start, end), by the definition of MTH in RFC 6962, using tiles where they hold it."""
        width = end - start
        if width & (width - 1) == 0 and start % width == 0:
            height = width.bit_length() - 1
            level, inside = height // 8, 1 << height % 8
            node = start >> (8 * level)
            return tree_root(self.hashes(level, node // 256)[node % 256 : node % 256 + inside])
        middle = start + split(width)
        return node_hash(self.subtree(start, middle), self.subtree(middle, end))

    def root(self, size: int) -> bytes:
        return self.subtree(0, size) if size else tree_root([])


def consistency_proof(tiles: Tiles, old: int, start: int, end: int, *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962 for the subtree [start, end), read from tiles."""
    if old == end - start:
        return [] if whole else [tiles.subtree(start, end)]
    k = split(end - start)
    if old <= k:
        return [*consistency_proof(tiles, old, start, start + k, whole=whole), tiles.subtree(start + k, end)]
    return [*consistency_proof(tiles, old - k, start + k, end, whole=False), tiles.subtree(start, start + k)]


def verify_tiles(tiles: Tiles, root: bytes) -> None:
    """Entries against level-0 tiles, every full tile against its parent's hash, the whole against the root."""
    for index in range((tiles.size + 255) // 256):
        stored = tiles.hashes(0, index)
        for row, entry in enumerate(tiles.entries(index)):
            parse_entry(entry)
            need(leaf_hash(entry) == stored[row], f"entry {index * 256 + row} is not the one the tree commits to")
    for level in range(8):
        for index in range(tiles.size >> (8 * (level + 1))):
            parent = tiles.hashes(level + 1, index // 256)[index % 256]
            need(tree_root(tiles.hashes(level, index)) == parent, f"tile {level}/{index} does not match its parent")
    need(tiles.root(tiles.size) == root, "the tiles do not lead to the signed root")


# --- commands -----------------------------------------------------------------------------------------------------


def command_note(options: argparse.Namespace) -> str:
    size, root = open_checkpoint(read(options.file), options.key)
    return f"signed: size {size}, root {root.hex()}"


def command_proof(options: argparse.Namespace) -> str:
    head, blank, checkpoint = read(options.file).partition(b"\n\n")
    lines = decode_text(head).split("\n")
    need(blank and lines[0] == "c2sp.org/tlog-proof@v1" and len(lines) >= 3, "not a tlog-proof")
    need(lines[1].startswith("extra ") and lines[2].startswith("index "), "not a proof of a keytrail entry")
    entry, index = decode_base64(lines[1][6:]), decode_number(lines[2][6:])
    proof = [decode_base64(line) for line in lines[3:]]
    need(len(proof) < 64 and all(len(value) == 32 for value in proof), "a proof with a malformed hash")
    parse_entry(entry)
    size, root = open_checkpoint(checkpoint, options.key)
    found = root_from_inclusion(index, size, leaf_hash(entry), proof)
    need(found == root, "the proof does not lead to the signed root")
    told = f"leaf {index} is in the log of {size} entries"
    return told + (event_told(read(options.event), index, entry) if options.event else "")


def event_told(data: bytes, index: int, entry: bytes) -> str:
    try:
        event = json.loads(decode_text(data))
        fields = {"uid", "source", "file", "position", "leaf_index", "salt", "raw", "redacted"}
        need(isinstance(event, dict) and set(event) == fields, "not an event file")
        canonical = json.dumps(event, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
        salt = None if event["salt"] is None else bytes.fromhex(event["salt"])
        raw = None if event["raw"] is None else decode_base64(event["raw"])
        need(canonical.encode() == data, "an event file that is not in canonical form")
        need(isinstance(event["redacted"], bool) and type(event["leaf_index"]) is int, "not an event file")
        need(salt is None or salt.hex() == event["salt"], "an event file that is not in canonical form")
        need(event["leaf_index"] == index, "the event is of another leaf")
        compared = verify_row(entry, event["source"], event["position"], salt, raw, redacted=event["redacted"])
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise RefusedError("not an event file") from None
    place = "; it binds the event's leaf_index, source, position"
    return place + (", raw, salt, redacted, not uid and file" if compared else ", no more: its bytes are not compared")


def command_consistency(options: argparse.Namespace) -> str:
    old, old_root = open_checkpoint(read(options.old), options.key)
    size, root = open_checkpoint(read(options.new), options.key)
    need(old <= size, f"rollback: the old checkpoint has {old} entries, the new one {size}")
    if old:
        verify_consistency(old, size, consistency_proof(Tiles(options.folder, size), old, 0, size), old_root, root)
    return f"the log of {size} entries begins with the one of {old}"


def command_tree(options: argparse.Namespace) -> str:
    folder = pathlib.Path(options.folder)
    size, root = open_checkpoint(read(folder / "checkpoint"), options.key)
    tiles = Tiles(folder, size)
    verify_tiles(tiles, root)
    records = sum(1 for _ in control_records(tiles, folder / "ctl.jsonl"))
    if options.since_head:
        old, old_root = open_checkpoint(read(options.since_head), options.key)
        need(old <= size, f"rollback: {old} entries were signed, {size} are there")
        need(tiles.root(old) == old_root, f"fork: this log does not begin with the kept head's {old} entries")
    return f"{size} entries lead to the signed root {root.hex()}; {records} control records match"


def control_records(tiles: Tiles, path: pathlib.Path) -> Iterator[tuple[int, int, Any]]:
    """(leaf, kind, body) of each control leaf: it has its record, in order, and commits to the record's body."""
    lines = iter(path.read_bytes().split(b"\n") if path.exists() else [])
    for index in range((tiles.size + 255) // 256):
        for row, entry in enumerate(tiles.entries(index)):
            if entry[4] == EVENT:
                continue
            try:
                record = json.loads(next(lines, b""))
                body = json.dumps(record["body"], sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
                place = (record["leaf_index"], record["leaf"], record["kind"])
            except (ValueError, TypeError, KeyError):
                raise RefusedError(f"control leaf {index * 256 + row} has no record") from None
            need(place == (index * 256 + row, entry.hex(), entry[4]), f"the record of leaf {place[0]} is another's")
            need(hashlib.sha256(body).digest() == entry[30:], f"leaf {place[0]} does not commit to its record")
            yield place[0], entry[4], record["body"]


def declared(tiles: Tiles, path: pathlib.Path) -> tuple[bytearray, int]:
    """A byte for each leaf (0: has its row; 1: erased, maybe a blank row; 2: no row needed), and the control leaves."""
    told, control = bytearray(tiles.size), 0
    for index, kind, body in control_records(tiles, path):
        told[index], control = 2, control + 1
        try:
            erased = {"erased": True, "expired": False}.get(body["action"]) if kind == REDACTION else None
            for start, end in body["leaves"] if erased is not None else ():
                part = told[start : min(end, index)]  # what comes after a record is not its to declare
                told[start : min(end, index)] = part.replace(b"\0", b"\1") if erased else b"\2" * len(part)
        except (ValueError, TypeError, KeyError):
            raise RefusedError(f"the record of leaf {index} does not say what was redacted") from None
    return told, control


def command_rows(options: argparse.Namespace) -> str:
    try:
        import duckdb  # noqa: PLC0415  only this command needs it
    except ImportError:
        raise SystemExit("this command needs the duckdb module; the others need nothing") from None

    folder = pathlib.Path(options.folder)
    size, root = open_checkpoint(read(folder / "checkpoint"), options.key)
    tiles = Tiles(folder, size)
    verify_tiles(tiles, root)
    told, control = declared(tiles, folder / "ctl.jsonl")
    sql = "select source, position, salt, raw, redacted, leaf, leaf_index from read_parquet(?) order by leaf_index"
    cursor = duckdb.connect().execute("set enable_progress_bar = false").execute(sql, [options.glob])
    count, compared, last = 0, 0, -1
    for source, position, salt, raw, redacted, leaf, index in iter(cursor.fetchone, None):
        need(None not in (source, position, redacted, leaf, index), "a row without source, position or leaf")
        need(last < index < size, f"row {index}: a second row for a leaf, or one beyond the log's {size} entries")
        need(told.count(2, last + 1, index) == index - last - 1, f"a row before {index} is missing, undeclared")
        need(leaf_hash(leaf) == tiles.hashes(0, index // 256)[index % 256], f"row {index}: the leaf is not the log's")
        need(told[index] or None not in (raw, salt), f"row {index}: its bytes are gone, and not declared erased")
        compared += verify_row(leaf, source, position, salt, raw, redacted=redacted)
        count, last = count + 1, index
    need(told.count(2, last + 1) == size - last - 1, f"a row from {last + 1} on is missing, undeclared")
    rest = f"{count - compared} redacted rows, {control} control records, {size - count - control} expired entries"
    return f"{compared} rows are those of the log of {size} entries; not compared, as declared: {rest}"


def read(path: str | pathlib.Path) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from None


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Check a keytrail ledger with nothing but this file.")
    commands = parser.add_subparsers(required=True)

    def command(run: Callable[[Any], str], *names: str) -> None:
        found = commands.add_parser(run.__name__.replace("command_", ""))
        for name in names:
            found.add_argument(name)
        found.add_argument("--key", required=True)
        found.set_defaults(run=run)

    command(command_note, "file")
    command(command_proof, "file", "--event")
    command(command_consistency, "old", "new", "folder")
    command(command_tree, "folder", "--since-head")
    command(command_rows, "folder", "glob")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments().parse_args(argv)
    try:
        sys.stdout.write(f"good: {options.run(options)}\n")
    except RefusedError as error:
        sys.stdout.write(f"refused: {error}\n")
        return 10
    return 0


if __name__ == "__main__":
    sys.exit(main())
