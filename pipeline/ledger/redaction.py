"""What may be missing from the lake, and what must not go: erasure, expiry, legal hold, and seals of files.

Each is a control record. An erased row keeps its leaf and loses raw and salt; an expired range loses its rows. A hole
that no record declares is a violation. A hold forbids both while it stands.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import KeytrailError
from pipeline.core.model import Hold
from pipeline.ledger import leaf
from pipeline.ledger.control import Body, Record
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.places import Places

ERASED, EXPIRED, REFUSED = "erased", "expired", "refused"
HELD, RELEASED = "held", "released"

Span = tuple[int, int]  # [first, last + 1) of leaf indexes


class HeldError(KeytrailError):
    """A legal hold forbids it."""


def spans_of(indexes: Iterable[int]) -> list[Span]:
    """Leaf indexes as sorted, separate spans."""
    spans: list[Span] = []
    for index in sorted(set(indexes)):
        if spans and spans[-1][1] == index:
            spans[-1] = (spans[-1][0], index + 1)
        else:
            spans.append((index, index + 1))
    return spans


def redaction_body(
    action: str, indexes: Iterable[int], *, reason: str, authority: str, files: Sequence[Mapping[str, str]] = ()
) -> Body:
    """The body of a redaction record (kind 5). `files` pairs the SHA-256 of each file before and after."""
    if action not in {ERASED, EXPIRED, REFUSED}:
        raise LedgerError(f"a redaction is {ERASED}, {EXPIRED} or {REFUSED}, not {action}")
    return {
        "action": action,
        "leaves": [list(span) for span in spans_of(indexes)],
        "reason": reason,
        "authority": authority,
        "files": [dict(item) for item in files],
    }


def hold_body(hold: Hold, *, reason: str, authority: str) -> Body:
    """The body that places a hold (kind 7)."""
    return {
        "hold": hold.hold,
        "state": HELD,
        "streams": list(hold.streams),
        "from_us": hold.from_us,
        "to_us": hold.to_us,
        "reason": reason,
        "authority": authority,
    }


def release_body(hold: str, *, reason: str, authority: str) -> Body:
    """The body that lifts a hold (kind 7)."""
    return {"hold": hold, "state": RELEASED, "reason": reason, "authority": authority}


class Declared:
    """What records declare, taken one after another: the leaves erased and expired, the legal holds that stand."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.erased, self.expired = Spans(), Spans()
        self.holds: dict[str, Hold] = {}
        for record in records:
            self.take(record)

    def take(self, record: Record) -> None:
        """The next record."""
        body = record.body
        if record.kind == leaf.REDACTION and body.get("action") in {ERASED, EXPIRED}:
            spans = self.erased if body["action"] == ERASED else self.expired
            for start, end in body["leaves"]:
                spans.add(int(start), min(int(end), record.index))
        elif record.kind == leaf.CONFIG and body.get("state") == HELD:
            hold = Hold(str(body["hold"]), tuple(body["streams"]), int(body["from_us"]), int(body["to_us"]))
            self.holds[hold.hold] = hold
        elif record.kind == leaf.CONFIG and body.get("state") == RELEASED:
            self.holds.pop(str(body["hold"]), None)


def refuse_held(standing: Mapping[str, Hold], stream: str, first_us: int, last_us: int) -> None:
    """Raises HeldError when rows of `stream` with times in [first_us, last_us] are under a hold."""
    for hold in standing.values():
        if hold.covers(stream, first_us, last_us):
            raise HeldError(f"legal hold {hold.hold} covers {stream}: nothing in its range can be erased or expire")


def check_holds(standing: Mapping[str, Hold], kept: Mapping[str, Hold], places: Places, source: str) -> None:
    """Report legal holds that stand and the lake does not keep to, and holds it keeps to that no record places."""
    for name in sorted(standing.keys() | kept.keys()):
        if name not in kept:
            places.add(source, "altered", "hold", f"legal hold {name} stands, and the lake does not keep to it")
        elif name not in standing:
            places.add(source, "unsigned", "hold", f"the lake keeps to a legal hold {name} that no record places")
        elif kept[name] != standing[name]:
            places.add(source, "altered", "hold", f"the lake keeps to another legal hold {name} than the recorded one")


class Spans:
    """A set of leaf indexes as separate, sorted spans: as small as it is unbroken."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Any:
        return iter(zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        return sum(self._ends) - sum(self._starts)

    def __contains__(self, index: int) -> bool:
        place = bisect_right(self._starts, index)
        return place > 0 and index < self._ends[place - 1]

    def indexes(self) -> Iterator[int]:
        """Each of them, in order."""
        return chain.from_iterable(range(start, end) for start, end in self)

    def add(self, start: int, end: int) -> list[Span]:
        """Add [start, end); the parts of it that were there already."""
        if start >= end:
            return []
        low = bisect_right(self._ends, start - 1)
        high = bisect_right(self._starts, end)
        touched = list(zip(self._starts[low:high], self._ends[low:high], strict=True))
        again = [(max(s, start), min(e, end)) for s, e in touched if max(s, start) < min(e, end)]
        self._starts[low:high] = [min([start, *(s for s, _ in touched)])]
        self._ends[low:high] = [max([end, *(e for _, e in touched)])]
        return again

    def holes(self, start: int, end: int) -> list[Span]:
        """The parts of [start, end) that are not in it."""
        found, at = [], start
        for low, high in self:
            if low >= end:
                break
            if high > at:
                if low > at:
                    found.append((at, low))
                at = high
        if at < end:
            found.append((at, end))
        return found

    def contains(self, indexes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of the indexes are in it."""
        place = np.searchsorted(np.array(self._starts, np.int64), indexes, side="right")
        ends = np.array([0, *self._ends], np.int64)
        return np.asarray((place > 0) & (indexes < ends[place]))
