"""The tree on disk against a signed root: tiles from the root down, entry bundles against the tiles.

A tile whose root is the hash its genuine parent has for it is genuine. One that is not is rebuilt from what lies below
it, so that an altered tile is told from altered entries. Memory: one tile per level.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipeline.ledger import leaf, merkle
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.merkle import HASH_SIZE
from pipeline.ledger.places import Places
from pipeline.ledger.redaction import Spans
from pipeline.ledger.tiles import ENTRIES, WIDTH, TileReader, levels, tile_path, width_at

Progress = Callable[[int, int], None]  # (leaves done, leaves in all)

_REMEMBERED = 4096  # tiles whose genuine hashes are kept beside the files: at most 32 MB


class TreeCheck:
    """Walks a tree once.

    Afterwards `suspect` holds, for every bundle that is not to be believed, the leaf hashes it should have (None: not
    known), and `control` the control leaves in the others.
    """

    def __init__(self, reader: TileReader, places: Places, name: str, progress: Progress | None = None) -> None:
        self._name = name
        self._reader = reader
        self._places = places
        self._progress = progress
        self.control = Spans()
        self.suspect: dict[int, bytes | None] = {}
        self.whole = True  # every hash of the tree is known, from the files or rebuilt

    def run(self, root: bytes) -> None:
        """Report every place where the files do not lead to `root`."""
        edge = self._edge(root)
        for level in range(levels(self._reader.size) - 1, -1, -1):
            index = self._reader.size >> (8 * (level + 1))
            width = width_at(self._reader.size, level, index)
            if width:
                self._below(level, index, width, edge.get(level))
                self._older(level, index, edge.get(level))
        at = self._reader.size // WIDTH
        if self._reader.size % WIDTH and at not in self.suspect:
            self._older(ENTRIES, at, self._reader.framed(at))

    # --- the unfinished tiles on the right, which lead to the root together -----------------------------------

    def _edge(self, root: bytes) -> dict[int, bytes]:
        size = self._reader.size
        at = {level: size >> (8 * (level + 1)) for level in range(levels(size)) if (size >> (8 * level)) % WIDTH}
        stored = {level: self._stored(level, index) for level, index in at.items()}
        known = {level: hashes for level, hashes in stored.items() if hashes is not None}
        if len(known) == len(at) and _edge_root(known) == root:
            return known
        below = {level: self._rebuilt(level, index) for level, index in at.items()}
        rebuilt = {level: hashes for level, hashes in below.items() if hashes is not None}
        for genuine in (*({**known, level: hashes} for level, hashes in rebuilt.items()), rebuilt):
            if len(genuine) == len(at) and _edge_root(genuine) == root:
                for level, index in at.items():
                    self._compare_tile(level, index, stored[level], genuine[level])
                return genuine
        start = min((self._span(level, index)[0] for level, index in at.items()), default=0)
        self._places.add(
            f"{self._name}/checkpoint",
            "altered",
            "root",
            f"the tiles do not lead to the signed root {root.hex()} of size {size}",
            (start, size),
        )
        return {}

    # --- full tiles, from the top down ------------------------------------------------------------------------

    def _below(self, level: int, index: int, width: int, hashes: bytes | None) -> None:
        """What lies under the tile (level, index), whose genuine hashes are given (None: not known)."""
        self.whole = self.whole and hashes is not None
        if level == 0:
            self._bundle(index, width, hashes)
            return
        for child in range(width):
            expected = None if hashes is None else hashes[child * HASH_SIZE : (child + 1) * HASH_SIZE]
            at = index * WIDTH + child
            self._below(level - 1, at, WIDTH, self._full(level - 1, at, expected))

    def _full(self, level: int, index: int, expected: bytes | None) -> bytes | None:
        """The genuine hashes of a full tile whose root is `expected`, None when they cannot be had."""
        stored = self._stored(level, index)
        if expected is None:
            return stored
        if stored is not None and merkle.perfect_root(stored) == expected:
            return stored
        rebuilt = self._rebuilt(level, index)
        if rebuilt is not None and merkle.perfect_root(rebuilt) == expected:
            self._compare_tile(level, index, stored, rebuilt)
            return rebuilt
        if stored is not None:
            path = f"{self._name}/{tile_path(level, index)}"
            self._places.add(
                path, "altered", "tile", "the tile is not the one its parent commits to", self._span(level, index)
            )
        return None

    def _bundle(self, index: int, width: int, hashes: bytes | None) -> None:
        try:
            entries = self._reader.bundle(index)
        except LedgerError as error:
            self._missing(ENTRIES, index, width, error)
            self._doubt(index, hashes)
        else:
            self._compare_entries(entries, index, width, hashes)
            if index not in self.suspect:
                self._collect_control(entries, index)
        if self._progress is not None:
            self._progress(min((index + 1) * WIDTH, self._reader.size), self._reader.size)

    def _compare_entries(self, entries: npt.NDArray[np.uint8], index: int, width: int, hashes: bytes | None) -> None:
        found = leaf.leaf_hashes(entries)
        if found == hashes:
            return
        self._doubt(index, hashes)
        if hashes is None:
            return
        path = f"{self._name}/{tile_path(ENTRIES, index, width)}"
        for row in _differing(found, hashes):
            at = index * WIDTH + row
            self._places.add(path, "altered", "entry", "the entry is not the one the tree commits to", (at, at + 1))

    def _doubt(self, index: int, hashes: bytes | None) -> None:
        self.suspect[index] = hashes if len(self.suspect) < _REMEMBERED else None

    def _collect_control(self, entries: npt.NDArray[np.uint8], index: int) -> None:
        other = entries[:, 4] != leaf.EVENT
        if other.all():
            self.control.add(index * WIDTH, index * WIDTH + len(entries))
        elif other.any():
            for at in (np.flatnonzero(other) + index * WIDTH).tolist():
                self.control.add(at, at + 1)

    def _older(self, level: int | str, index: int, genuine: bytes | None) -> None:
        """What was left of an unfinished tile for readers of earlier checkpoints must be its beginning."""
        height, unit = (0, leaf.ENTRY_SIZE + 2) if level == ENTRIES else (int(level), HASH_SIZE)
        start = index * WIDTH << (8 * height)
        for width, data in self._reader.partials(level, index):
            if genuine is not None and width * unit < len(genuine) and data != genuine[: width * unit]:
                path = f"{self._name}/{tile_path(level, index, width)}"
                evidence = "an earlier form of the tile is not its beginning"
                self._places.add(path, "altered", "tile", evidence, (start, start + (width << (8 * height))))

    # --- help -------------------------------------------------------------------------------------------------

    def _stored(self, level: int, index: int) -> bytes | None:
        try:
            return self._reader.tile(level, index)
        except LedgerError as error:
            self._missing(level, index, width_at(self._reader.size, level, index), error)
            return None

    def _missing(self, level: int | str, index: int, width: int, error: LedgerError) -> None:
        verdict = "gap" if str(error).endswith("missing") else "altered"
        path = f"{self._name}/{tile_path(level, index, width)}"
        self._places.add(path, verdict, "tile", str(error), self._span(0 if level == ENTRIES else int(level), index))

    def _rebuilt(self, level: int, index: int) -> bytes | None:
        """The hashes a tile should have going by what lies below it, None when that cannot be read."""
        try:
            if level == 0:
                return leaf.leaf_hashes(self._reader.bundle(index))
            width = width_at(self._reader.size, level, index)
            children = range(index * WIDTH, index * WIDTH + width)
            return b"".join(merkle.perfect_root(self._reader.tile(level - 1, child)) for child in children)
        except LedgerError:
            return None  # reported when the walk comes to it

    def _compare_tile(self, level: int, index: int, stored: bytes | None, genuine: bytes) -> None:
        if stored == genuine:
            return
        if len(self._reader.instead) < _REMEMBERED:
            self._reader.instead[level, index] = genuine
        if stored is None:
            return
        path = f"{self._name}/{tile_path(level, index, len(genuine) // HASH_SIZE)}"
        under = 1 << (8 * level)
        for row in _differing(stored, genuine):
            start = (index * WIDTH + row) * under
            self._places.add(
                path, "altered", "tile", "a hash is not the one of what lies below it", (start, start + under)
            )

    def _span(self, level: int, index: int) -> tuple[int, int]:
        under = WIDTH << (8 * level)
        return index * under, min((index + 1) * under, self._reader.size)


def _edge_root(tiles: dict[int, bytes]) -> bytes:
    return merkle.fold([peak for level in sorted(tiles, reverse=True) for peak in merkle.peaks(tiles[level])])


def _differing(found: bytes, expected: bytes) -> list[int]:
    left = np.frombuffer(found, np.uint8).reshape(-1, HASH_SIZE)
    right = np.frombuffer(expected, np.uint8).reshape(-1, HASH_SIZE)
    rows: list[int] = np.flatnonzero((left != right).any(axis=1)).tolist()
    return rows
