"""What the router remembers between findings, each of it bounded: who agreed, what was seen, what is due when."""

from __future__ import annotations

import hashlib
import heapq
from typing import Final

import polars as pl

AGREEMENT: Final = pl.Schema(
    {"principal": pl.String(), "family": pl.String(), "last_us": pl.Int64(), "high_us": pl.Int64()}
)
_NEVER: Final = -(1 << 62)


class Agreement:
    """Per principal the families of the last `span_us` of event time; at most `most` principals, the oldest go."""

    def __init__(self, span_us: int, most: int) -> None:
        self._span_us, self._most = span_us, most
        self._families: dict[str, dict[str, tuple[int, int]]] = {}

    def add(self, principal: str, family: str, time_us: int, *, high: bool) -> tuple[list[str], list[str]]:
        """The families now heard of `principal`, in order of arrival, and those of them at the agreed severity."""
        known = self._families.pop(principal, {})
        last, high_us = known.get(family, (_NEVER, _NEVER))
        known[family] = (max(last, time_us), max(high_us, time_us) if high else high_us)
        since = time_us - self._span_us
        kept = {name: times for name, times in known.items() if times[0] > since}
        self._families[principal] = kept
        if len(self._families) > self._most:
            del self._families[next(iter(self._families))]
        return list(kept), [name for name, times in kept.items() if times[1] > since]

    def snapshot(self) -> pl.DataFrame:
        """A frame of schema AGREEMENT, oldest principal first."""
        rows = [(p, f, *times) for p, families in self._families.items() for f, times in families.items()]
        return pl.DataFrame(rows, schema=AGREEMENT, orient="row")

    def restore(self, frame: pl.DataFrame) -> None:
        """The inverse of `snapshot`."""
        self._families = {}
        for principal, family, last, high in frame.iter_rows():
            self._families.setdefault(principal, {})[family] = (last, high)


class Seen:
    """Which findings were folded already, as 64-bit hashes: the `most` newest arrivals."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._hashes: dict[int, None] = {}

    def first_time(self, uid: str) -> bool:
        """Whether `uid` comes for the first time; remembers it."""
        name = short(uid)
        if name in self._hashes:
            return False
        self._hashes[name] = None
        if len(self._hashes) > self._most:
            del self._hashes[next(iter(self._hashes))]
        return True

    def snapshot(self) -> pl.DataFrame:
        """A frame with the column `hash` (UInt64), oldest arrival first."""
        return pl.DataFrame({"hash": pl.Series(list(self._hashes), dtype=pl.UInt64)})

    def restore(self, frame: pl.DataFrame) -> None:
        """The inverse of `snapshot`."""
        self._hashes = dict.fromkeys(frame["hash"].to_list())


def short(uid: str) -> int:
    """The first 16 digits of a finding's uid, which is a hash already; of anything else, a hash."""
    try:
        return int(uid[:16], 16)
    except ValueError:
        return int.from_bytes(hashlib.blake2b(uid.encode(), digest_size=8).digest(), "big")


class Timers:
    """One deadline per uid. `set` may come often: a later deadline costs nothing until the earlier is up."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._queued: dict[str, int] = {}

    def set(self, uid: str, due_us: int) -> None:
        """Have `uid` taken out by `due_us`: who takes it compares with its true deadline, and may set it again."""
        if self._queued.get(uid, due_us + 1) > due_us:
            self._queued[uid] = due_us
            heapq.heappush(self._heap, (due_us, uid))

    def drop(self, uid: str) -> None:
        """Forget its deadline."""
        self._queued.pop(uid, None)

    def take(self, now_us: int | None = None) -> str | None:
        """The uid that is due first, if it is by `now_us` (None: whenever it is); taken out."""
        while self._heap and (now_us is None or self._heap[0][0] <= now_us):
            due_us, uid = heapq.heappop(self._heap)
            if self._queued.get(uid) == due_us:
                del self._queued[uid]
                return uid
        return None

    def __len__(self) -> int:
        return len(self._queued)
