"""The tree on disk, as c2sp.org/tlog-tiles lays it out: tiles of 256 hashes, bundles of 256 entries.

Level 0 holds leaf hashes; a hash of level L+1 is the root of a full tile of level L. Any static file server, and any
checker that reads `file://`, can work from this folder.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.core.model import Bytes
from pipeline.ledger import leaf, merkle
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import read_optional, read_small
from pipeline.ledger.merkle import HASH_SIZE, halve, peaks

WIDTH = 256
TILE_SIZE = WIDTH * HASH_SIZE
ENTRIES = "entries"
_PATH = re.compile(r"tile/(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?")


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """The path of a tile below the ledger folder; `level` is a number or "entries"."""
    digits = f"{index % 1000:03d}"
    while index := index // 1000:
        digits = f"x{index % 1000:03d}/{digits}"
    return f"tile/{level}/{digits}" + ("" if width == WIDTH else f".p/{width}")


def parse_tile_path(path: str) -> tuple[int | str, int, int]:
    """(level, index, width) of a tile's path; LedgerError when it is not in canonical form."""
    match = _PATH.fullmatch(path)
    if match is not None:
        level = match[1] if match[1] == ENTRIES else int(match[1])
        index, width = int(match[2].replace("x", "").replace("/", "")), int(match[3] or WIDTH)
        if tile_path(level, index, width) == path:
            return level, index, width
    raise LedgerError(f"not a tile path: {path!r}")


def width_at(size: int, level: int, index: int) -> int:
    """How many hashes tile (level, index) has in a tree of `size`: 0 (no such tile) to 256."""
    return max(0, min(WIDTH, (size >> (8 * level)) - index * WIDTH))


def levels(size: int) -> int:
    """How many tile levels a tree of `size` has."""
    return (size.bit_length() + 7) // 8


class Edge:
    """The right edge of a growing tree: per level the hashes of its unfinished tile. Memory is O(log n)."""

    __slots__ = ("_open", "size")

    def __init__(self, size: int = 0, unfinished: list[bytes] | None = None) -> None:
        self.size = size
        self._open = unfinished or []

    def extend(self, hashes: bytes) -> list[tuple[int, int, bytes]]:
        """Append leaf hashes; the (level, index, hashes) of every tile that became full."""
        full: list[tuple[int, int, bytes]] = []
        level, start = 0, self.size
        self.size += len(hashes) // HASH_SIZE
        while hashes:
            if level == len(self._open):
                self._open.append(b"")
            first, tail = start // WIDTH, self._open[level] + hashes
            cut = len(tail) - len(tail) % TILE_SIZE
            full += [(level, first + i, tail[i * TILE_SIZE : (i + 1) * TILE_SIZE]) for i in range(cut // TILE_SIZE)]
            self._open[level] = tail[cut:]
            hashes = _roots(tail[:cut])
            level, start = level + 1, first
        return full

    def root(self) -> bytes:
        """The root of the tree as it stands."""
        return merkle.fold([peak for hashes in reversed(self._open) for peak in peaks(hashes)])

    def unfinished(self) -> list[tuple[int, int, bytes]]:
        """The (level, index, hashes) of every tile that is not full."""
        return [(level, self.size >> (8 * (level + 1)), hashes) for level, hashes in enumerate(self._open) if hashes]


def _roots(tiles: bytes) -> bytes:
    """The roots of full tiles given one after another."""
    for _ in range(8):
        tiles = halve(tiles)
    return tiles


class TileReader:
    """Reads the tree of `size` leaves from a ledger folder. LedgerError for a tile that is missing or misshapen.

    What it returns is what the files say; only a root that is compared with a signed one makes it true.
    """

    def __init__(self, folder: Path, size: int, *, cache: int = 64) -> None:
        self.folder = folder
        self.size = size
        self._base = str(folder)
        self.instead: dict[tuple[int, int], bytes] = {}  # tiles known better than from their files
        self._cache: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._limit = cache
        self._bundle: tuple[int, bytes, Bytes] = (-1, b"", np.empty((0, leaf.ENTRY_SIZE), np.uint8))  # read last

    def tile(self, level: int, index: int) -> bytes:
        """The hashes of a tile, as many as a tree of this size has."""
        key = (level, index)
        if key in self.instead:
            return self.instead[key]
        if key not in self._cache:
            self._cache[key] = self._read(level, index, width_at(self.size, level, index), HASH_SIZE)
            if len(self._cache) > self._limit:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def bundle(self, index: int) -> Bytes:
        """The n×62 entries of one bundle."""
        return self._read_bundle(index)[2]

    def framed(self, index: int) -> bytes:
        """The same as it lies on disk, each entry with its length before it."""
        return self._read_bundle(index)[1]

    def _read_bundle(self, index: int) -> tuple[int, bytes, Bytes]:
        if self._bundle[0] != index:
            width = width_at(self.size, 0, index)
            data = self._read(ENTRIES, index, width, leaf.ENTRY_SIZE + 2)
            self._bundle = index, data, leaf.unframed(data, width)
        return self._bundle

    def entry(self, index: int) -> bytes:
        """The 62 bytes of one entry."""
        if not 0 <= index < self.size:
            raise LedgerError(f"leaf {index} is not in a tree of {self.size}")
        return bytes(self.bundle(index // WIDTH)[index % WIDTH])

    def partials(self, level: int | str, index: int) -> Iterator[tuple[int, bytes]]:
        """Width and bytes of every partial form of a tile that is there."""
        folder = self.folder / f"{tile_path(level, index)}.p"
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            data = read_optional(path)  # a writer may have removed it
            if data is not None and path.name.isdecimal():
                yield int(path.name), data

    def subtree(self, start: int, end: int) -> bytes:
        """The hash of a subtree, right-edge ones included."""
        if not 0 <= start <= end <= self.size:
            raise LedgerError(f"[{start}, {end}) is not in a tree of {self.size}")
        return merkle.fold([self._perfect(low, high) for low, high in merkle.perfect_ranges(start, end)])

    def root(self, size: int | None = None) -> bytes:
        """The root of the whole tree, or of its first `size` leaves."""
        return self.subtree(0, self.size if size is None else size)

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Leaf to root."""
        whole = self.size if size is None else size
        return merkle.gather(merkle.inclusion_ranges(index, whole), self.subtree)

    def consistency_proof(self, old: int, size: int | None = None) -> list[bytes]:
        """From the tree of `old` leaves."""
        whole = self.size if size is None else size
        return merkle.gather(merkle.consistency_ranges(old, whole), self.subtree)

    def edge(self) -> Edge:
        """The right edge, to go on from."""
        unfinished = []
        for level in range(levels(self.size)):
            count = self.size >> (8 * level)
            unfinished.append(self.tile(level, count // WIDTH) if count % WIDTH else b"")
        return Edge(self.size, unfinished)

    def tail_bundle(self) -> Bytes:
        """The n×62 entries of the bundle that is not full; n may be 0."""
        if self.size % WIDTH:
            return self.bundle(self.size // WIDTH)
        return np.empty((0, leaf.ENTRY_SIZE), np.uint8)

    def _perfect(self, start: int, end: int) -> bytes:
        height = (end - start).bit_length() - 1
        level, inside = divmod(height, 8)
        node = start >> (8 * level)
        tile = self.tile(level, node // WIDTH)
        at = node % WIDTH * HASH_SIZE
        hashes = tile[at : at + (HASH_SIZE << inside)]
        if len(hashes) != HASH_SIZE << inside:
            raise LedgerError(f"[{start}, {end}) is not complete in a tree of {self.size}")
        return merkle.perfect_root(hashes)

    def _read(self, level: int | str, index: int, width: int, unit: int) -> bytes:
        if width == 0:
            raise LedgerError(f"a tree of {self.size} has no {tile_path(level, index)}")
        path = tile_path(level, index, width)
        size = width * unit
        data = read_small(f"{self._base}/{path}", size + 1)
        if data is None and width < WIDTH:
            data = read_small(f"{self._base}/{tile_path(level, index)}", size)
        if data is None:
            raise LedgerError(f"{path} is missing")
        if len(data) != size:
            raise LedgerError(f"{path} has {'more' if len(data) > size else f'{len(data)} bytes'}, not {size} bytes")
        return data
