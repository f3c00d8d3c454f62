"""Removing what a crash left behind: tiles that no commit covers, partial tiles that a full one has replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.ledger.tiles import ENTRIES, tile_path, width_at

_LEVELS = 8


def beyond(folder: Path, size: int) -> None:
    """Leave of the tiles only what a tree of `size` leaves, and smaller ones, are made of.

    Tiles are written in order, so those past the edge have no hole between them.
    """
    for level in (ENTRIES, *range(_LEVELS)):
        height = 0 if level == ENTRIES else int(level)
        index = size >> (8 * (height + 1))
        _keep_partial(folder, level, index, width_at(size, height, index))
        index += 1
        while _remove(folder, level, index):
            index += 1
        _drop_replaced(folder, level, size >> (8 * (height + 1)))


def _keep_partial(folder: Path, level: int | str, index: int, width: int) -> None:
    (folder / tile_path(level, index)).unlink(missing_ok=True)
    partial = folder / f"{tile_path(level, index)}.p"
    if partial.is_dir():
        for file in partial.iterdir():
            if not file.name.isdecimal() or int(file.name) > width:
                file.unlink()


def _remove(folder: Path, level: int | str, index: int) -> bool:
    whole, partial = folder / tile_path(level, index), folder / f"{tile_path(level, index)}.p"
    found = whole.exists() or partial.exists()
    whole.unlink(missing_ok=True)
    if partial.exists():
        shutil.rmtree(partial)
    return found


def _drop_replaced(folder: Path, level: int | str, index: int) -> None:
    """Partial forms of the full tiles just before `index`."""
    while index and (partial := folder / f"{tile_path(level, index - 1)}.p").is_dir():
        shutil.rmtree(partial)
        index -= 1
