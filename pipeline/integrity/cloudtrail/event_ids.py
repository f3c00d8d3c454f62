"""Whether any event stands in a trail twice, whatever the number of events: ids go to disk when they are many.

16 bytes an id and 4 for its log; about LIMIT of them in memory. Ids are spread over 256 files by their first bits, so
that equal ones meet, and each file is looked at by itself: 80 MB of it for a thousand million events.
"""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec
import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

LIMIT: Final = 1 << 20  # ids held before they are written out
_PARTS: Final = 256
_ROW: Final = np.dtype([("high", "<u8"), ("low", "<u8"), ("log", "<u4")])
_BAD_JSON: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)

Span = tuple[int, int]


class _Record(msgspec.Struct, gc=False):
    id: str | None = msgspec.field(name="eventID", default=None)


class _Log(msgspec.Struct):
    records: list[_Record] = msgspec.field(name="Records", default_factory=list)


_decode = msgspec.json.Decoder(_Log).decode


class EventIds:
    """Collects the ids of every log of a bucket. A context manager: its files go with it."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._folder = tempfile.TemporaryDirectory(prefix="keytrail-")
        self._names = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__
        self._offsets = array("q", [0])
        self._held: list[npt.NDArray[np.void]] = []
        self._count = 0
        self._spilled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._names.close()
        self._folder.cleanup()

    def add(self, trail: str, key: str, span: Span, data: bytes | bytearray) -> None:
        """The ids in one inflated log; equal ids count as one event within a `trail` only. Other contents have none."""
        try:
            told = [record.id for record in _decode(data).records if record.id]
        except _BAD_JSON:
            return
        if not told:
            return
        rows = np.empty(len(told), _ROW)
        mask = np.frombuffer(hashlib.sha256(trail.encode("utf-8", "surrogatepass")).digest()[:16], "<u8")
        pairs = _numbers(told) ^ mask
        rows["high"], rows["low"], rows["log"] = pairs[:, 0], pairs[:, 1], len(self._offsets) - 1
        self._name(key, span)
        self._held.append(rows)
        self._count += len(rows)
        if self._count >= self._limit:
            self._spill()

    def repeated(self) -> Iterator[tuple[str, Span, str, int]]:
        """Log, its span, the log that has the same events before it, how many."""
        found: dict[tuple[int, int], int] = {}
        for part in self._parts():
            for later, first, count in _pairs(part):
                found[later, first] = found.get((later, first), 0) + count
        for (later, first), count in sorted(found.items()):
            key, span = self._named(later)
            yield key, span, self._named(first)[0], count

    def _parts(self) -> Iterator[npt.NDArray[np.void]]:
        if not self._spilled:
            yield np.concatenate(self._held) if self._held else np.empty(0, _ROW)
            return
        self._spill()
        for path in sorted(Path(self._folder.name).iterdir()):
            yield np.fromfile(path, _ROW)

    def _spill(self) -> None:
        if not self._held:
            return
        rows = np.concatenate(self._held)
        part = rows["high"] >> np.uint64(56)
        rows = rows[np.argsort(part, kind="stable")]
        bounds = np.searchsorted(np.sort(part), np.arange(_PARTS + 1, dtype=np.uint64))
        for number in range(_PARTS):
            with (Path(self._folder.name) / f"{number:03}").open("ab") as stream:
                rows[bounds[number] : bounds[number + 1]].tofile(stream)
        self._held, self._count, self._spilled = [], 0, True

    def _name(self, key: str, span: Span) -> None:
        self._names.seek(self._offsets[-1])
        self._offsets.append(self._offsets[-1] + self._names.write(msgspec.json.encode((_safe(key), *span))))

    def _named(self, log: int) -> tuple[str, Span]:
        self._names.seek(self._offsets[log])
        told = self._names.read(self._offsets[log + 1] - self._offsets[log])
        key, start, end = msgspec.json.decode(told, type=tuple[str, int, int])
        return key, (start, end)


def _numbers(ids: list[str]) -> npt.NDArray[np.uint64]:
    """Two 64-bit numbers an id: a UUID's own bytes; of any other text its hash."""
    joined = "".join(ids).replace("-", "")
    if len(joined) == 32 * len(ids) and all(len(text) == 36 for text in ids):
        try:
            return np.frombuffer(bytes.fromhex(joined), "<u8").reshape(-1, 2)
        except ValueError:
            pass  # not all are UUIDs: hashed below
    hashed = b"".join(hashlib.blake2b(_safe(text).encode(), digest_size=16).digest() for text in ids)
    return np.frombuffer(hashed, "<u8").reshape(-1, 2)


def _safe(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _pairs(rows: npt.NDArray[np.void]) -> list[tuple[int, int, int]]:
    """Later log, first log and number of events, of the ids that come more than once."""
    high = np.sort(rows["high"])
    candidates = rows[np.isin(rows["high"], np.unique(high[1:][high[1:] == high[:-1]]))]
    frame = pl.DataFrame({name: np.ascontiguousarray(candidates[name]) for name in ("high", "low", "log")})
    again = frame.filter(pl.len().over("high", "low") > 1)
    if again.is_empty():
        return []
    first = again.with_columns(first=pl.col("log").min().over("high", "low")).sort("high", "low", "log")
    rest = first.filter(pl.int_range(pl.len()).over("high", "low") > 0)
    return rest.group_by("log", "first").len().sort("log", "first").rows()
