"""Source states: control records (kind 3) of how far each stream was read, in the log over files, by the commit that
moved it there.

Body: {"sources": [{stream, partition, offset, state_sha256, …}]}, only those that moved. A worker's first move of a
place since it was started also says what it went on from (`from`: {offset, state_sha256}), or that the place came from
another worker (`taken`). The first records of a log (`all`, `part`) are of every place that the worker already had.
So a position that was changed in the lake's catalogue shows before the next run and after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.model import Owned, Position
from pipeline.ledger import leaf
from pipeline.ledger.control import Body, Record, number
from pipeline.ledger.places import Places

Place = tuple[str, str]  # stream, partition
SOURCES_PER_RECORD: Final = 500
_RAW: Final = "data/raw/"


def digest(state: Mapping[str, Any]) -> str:
    """SHA-256 of a position's state as JSON with sorted keys, hexadecimal."""
    text = json.dumps(dict(state), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Course:
    """What a worker's commits say of its positions: it knows where they stood, and tells those that move."""

    def __init__(self, lake: Owned, worker: str, *, told: bool) -> None:
        """`lake` as it is when the worker starts; `told` says that its log has records of this kind already."""
        self._stood = {place: position for place, (position, owner) in lake.items() if owner == worker}
        self._taken = {place for place, (_, owner) in lake.items() if owner != worker}
        self._found = set(self._stood)  # not moved since the start
        self._told = told

    def taken(self, position: Position, *, ours: bool) -> None:
        """A place came, to be read on from this position: from another worker, or back from an earlier run of ours."""
        place = position.stream, position.partition
        self._taken.discard(place)
        self._stood.pop(place, None)
        if ours:
            self._stood[place] = position
            self._found.add(place)
        else:
            self._taken.add(place)

    def bodies(self, positions: Sequence[Position]) -> Iterator[Body]:
        """The records of a commit that moves to these positions."""
        if not self._told:
            self._told = True
            for part, items in enumerate(_parts([_item(position) for position in self._stood.values()])):
                yield {"sources": items, "all": True, "part": part}
        moved = [item for position in positions if (item := self._moved(position))]
        yield from ({"sources": items} for items in _parts(moved))

    def _moved(self, position: Position) -> Body | None:
        place = position.stream, position.partition
        before = self._stood.get(place)
        if before is position:
            return None
        self._stood[place] = position
        if before == position:
            return None
        item = _item(position)
        if place in self._taken:
            self._taken.discard(place)
            return {**item, "taken": True}
        if place in self._found and before is not None:
            self._found.discard(place)
            return {**item, "from": {"offset": number(before.offset), "state_sha256": digest(before.state)}}
        return item


def _item(position: Position) -> dict[str, Any]:
    return {
        "stream": position.stream, "partition": position.partition, "offset": number(position.offset),
        "state_sha256": digest(position.state),
    }  # fmt: skip


def _parts(items: Sequence[Body]) -> Iterator[list[Body]]:
    for at in range(0, len(items), SOURCES_PER_RECORD):
        yield list(items[at : at + SOURCES_PER_RECORD])


@dataclass(frozen=True, slots=True)
class Told:
    """The newest record of a place."""

    offset: int
    digest: str
    leaf: int
    at_ns: int

    def __str__(self) -> str:
        return f"leaf {self.leaf} says {self.offset}"


class Standing:
    """Where the places of one log stand by its records, taken one after another; `places` has what does not follow."""

    def __init__(self) -> None:
        self.newest: dict[Place, Told] = {}
        self.taken: dict[Place, int] = {}  # the leaf that says so
        self.seen: set[Place] = set()
        self.silent = False  # a version that knew nothing of these records has written in between
        self.places = Places()
        self._since_seal = False  # whether positions were told of since the last seal
        self._again = False
        self._lenient = False  # since then no record has told of every place

    def take(self, record: Record) -> None:
        """The next record."""
        if record.kind == leaf.SEAL:
            self._seal(record.body)
        elif record.kind == leaf.SOURCE_STATE and "sources" in record.body:
            self._since_seal, whole = True, bool(record.body.get("all"))
            if whole and not record.body["part"]:
                self._again, self._lenient = bool(self.newest), False
            for item in record.body["sources"]:
                self._item(record, item, again=whole and self._again)

    def _item(self, record: Record, item: Body, *, again: bool) -> None:
        place = str(item["stream"]), str(item["partition"])
        told = Told(int(item["offset"]), str(item["state_sha256"]), record.index, leaf.unpack(record.leaf).ingest_ns)
        before, base = self.newest.get(place), item if again else item.get("from")
        unknown = before is None and self._lenient
        if not (base is None or unknown or _same(before, int(base["offset"]), str(base["state_sha256"]))):
            known = "no record says that it was read so far" if before is None else f"{before} and another state"
            if before is not None and before.offset != int(base["offset"]):
                known = str(before)
            evidence = f"partition {place[1]} was read on from {base['offset']}, {known}"
            self._tell(place, "altered", evidence, record.index)
        if item.get("taken"):
            self.taken.setdefault(place, record.index)
        self.newest[place] = told
        self.seen.add(place)

    def _seal(self, body: Body) -> None:
        """What read rows and told no positions is a version that did not know these records: it may have moved all."""
        files = [str(item["path"]) for item in body.get("files", ())]
        merged = any(str(name).startswith(_RAW) for name in body.get("replaces", ()))
        if self.newest and not (self._since_seal or merged) and any(name.startswith(_RAW) for name in files):
            self.newest.clear()
            self.silent = self._lenient = True
        self._since_seal = False

    def _tell(self, place: Place, verdict: str, evidence: str, index: int | None = None) -> None:
        span = (0, 0) if index is None else (index, index + 1)
        self.places.add(place[0], verdict, "position", evidence, span)

    def hold(self, worker: str, owned: Owned, others: Mapping[str, Standing]) -> Places:
        """What the lake's catalogue, as it was when these records were read, has otherwise than they say.

        `others` are those of the other workers that have a ledger. Nothing is held to a log without such records.
        """
        if not self.newest:
            return self.places
        for place, (position, owner) in sorted(owned.items(), key=lambda item: item[0]):
            if owner == worker:
                self._mine(place, position, others)
            elif (told := self.newest.get(place)) is not None:
                self._gone(place, position, told, owner, others.get(owner))
        for place in sorted(self.newest.keys() - owned.keys()):
            told = self.newest[place]
            self._tell(place, "gap", f"partition {place[1]}: {told}, the catalogue has no position", told.leaf)
        return self.places

    def _mine(self, place: Place, position: Position, others: Mapping[str, Standing]) -> None:
        told, taken = self.newest.get(place), self.taken.get(place)
        if told is None and not self._lenient:
            self._tell(place, "unsigned", f"no record says that partition {place[1]} was read to {position.offset}")
        elif told is not None and not _same(told, position.offset, digest(position.state)):
            said = f"the catalogue {position.offset}" if told.offset != position.offset else "the state is another"
            self._tell(place, "altered", f"partition {place[1]}: {told}, {said}", told.leaf)
        never = (other.seen and not other.silent and place not in other.seen for other in others.values())
        if taken is not None and all(never):
            self._tell(place, "unsigned", f"partition {place[1]} came from a worker that never had it", taken)

    def _gone(self, place: Place, position: Position, told: Told, owner: str, log: Standing | None) -> None:
        """Another worker has the place now, by the catalogue."""
        if log is None:
            evidence = f"partition {place[1]}: the catalogue gives it to {owner}, which has no ledger"
            self._tell(place, "unsigned", evidence, told.leaf)
            return
        theirs = log.newest.get(place)
        if theirs is not None and told.offset > position.offset and told.at_ns > theirs.at_ns:
            evidence = f"partition {place[1]}: {told}, later than the {position.offset} of {owner}"
            self._tell(place, "altered", evidence, told.leaf)


def _same(told: Told | None, offset: int, state: str) -> bool:
    return told is not None and (told.offset, told.digest) == (offset, state)
