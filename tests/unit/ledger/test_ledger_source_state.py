"""Reading positions as records: what a commit tells of them, and what a lake is held to by them."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.model import Position
from pipeline.ledger import control, leaf
from pipeline.ledger.control import Body, Record
from pipeline.ledger.source_state import SOURCES_PER_RECORD, Course, Standing, digest

PLACE = ("audit.log", "p")


def at(offset: int, partition: str = "p", **state: Any) -> Position:
    return Position("audit.log", partition, offset, {"inode": 7, **state})


def owned(worker: str, *positions: Position) -> dict[tuple[str, str], tuple[Position, str]]:
    return {(p.stream, p.partition): (p, worker) for p in positions}


class Log:
    """The records of one worker's log, as its commits made them."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, kind: int, body: Body, second: int | None = None) -> None:
        index = len(self.records)
        entry = control.entry_of(kind, index, (index if second is None else second) * 10**9, body)
        self.records.append(Record(index, kind, body, leaf.pack(entry)))

    def commit(self, course: Course, *positions: Position, second: int | None = None) -> None:
        bodies = list(course.bodies(positions))
        for body in bodies:
            self.add(leaf.SOURCE_STATE, body, second)
        self.seal("data/raw/a.parquet" if bodies else "data/events/a.parquet")

    def seal(self, *files: str, replaces: tuple[str, ...] = ()) -> None:
        self.add(leaf.SEAL, {"files": [{"path": name} for name in files], "replaces": list(replaces)})

    def standing(self) -> Standing:
        standing = Standing()
        for record in self.records:
            standing.take(record)
        return standing

    def told(self, worker: str, lake: dict[Any, Any], **others: Log) -> list[tuple[str, str]]:
        """Verdict and evidence of what the lake has otherwise."""
        logs = {name: log.standing() for name, log in others.items()}
        frame = self.standing().hold(worker, lake, logs).frame()
        assert set(frame["cause"]) <= {"position"}
        assert set(frame["source"]) <= {"audit.log"}
        return [(str(verdict), str(evidence)) for verdict, evidence in frame.select("verdict", "evidence").iter_rows()]


def verdicts(log: Log, worker: str, lake: dict[Any, Any], **others: Log) -> list[str]:
    return [verdict for verdict, _ in log.told(worker, lake, **others)]


def started(*positions: Position, worker: str = "main", told: bool = True) -> Course:
    return Course(owned(worker, *positions), "main", told=told)


def test_only_what_moved_is_told() -> None:
    """A place that stands where it stood is in no record; one whose file is another by now is."""
    course, log = started(told=False), Log()
    log.commit(course, at(10), at(20, "q"))
    log.commit(course, at(10), at(30, "q"))
    log.commit(course, at(10, inode=8), at(30, "q"))
    sources = [[item["partition"] for item in r.body["sources"]] for r in log.records if r.kind == leaf.SOURCE_STATE]
    assert sources == [["p", "q"], ["q"], ["p"]]
    assert log.told("main", owned("main", at(10, inode=8), at(30, "q"))) == []


@pytest.mark.parametrize(
    ("position", "said"),
    [(at(11), "the catalogue 11"), (at(9), "the catalogue 9"), (at(10, inode=8), "the state is another")],
)
def test_a_position_moved_by_hand_is_altered(position: Position, said: str) -> None:
    """On or back, or with another state, before the next run."""
    log = Log()
    log.commit(started(told=False), at(10))
    ((verdict, evidence),) = log.told("main", owned("main", position))
    assert verdict == "altered"
    assert evidence == f"partition p: leaf 0 says 10, {said}"


@pytest.mark.parametrize("position", [at(15), at(5), at(10, inode=8)])
def test_a_run_that_goes_on_from_it_does_not_hide_it(position: Position) -> None:
    """The record says what was gone on from, and the one before it says otherwise."""
    log = Log()
    log.commit(started(told=False), at(10))
    course = started(position)
    log.commit(course, at(20))
    log.commit(course, at(30))
    ((verdict, evidence),) = log.told("main", owned("main", at(30)))
    assert verdict == "altered"
    assert evidence.startswith(f"partition p was read on from {position.offset}, leaf 0 says 10")


def test_a_run_that_goes_on_from_where_it_stood_is_clean() -> None:
    """Over several starts, with and without news."""
    log = Log()
    log.commit(started(told=False), at(10))
    for before, after in ((10, 20), (20, 20), (20, 30)):
        log.commit(started(at(before)), at(after))
    assert log.told("main", owned("main", at(30))) == []


def test_a_position_taken_out_or_put_in_is_told() -> None:
    """Without its position a stream would be read again; with one that nobody made, not at all."""
    log = Log()
    log.commit(started(told=False), at(10))
    assert verdicts(log, "main", {}) == ["gap"]
    assert verdicts(log, "main", owned("main", at(10), at(99, "new"))) == ["unsigned"]
    log.commit(started(at(10), at(99, "new")), at(10), at(120, "new"))
    ((verdict, evidence),) = log.told("main", owned("main", at(10), at(120, "new")))
    assert (verdict, evidence) == (
        "altered",
        "partition new was read on from 99, no record says that it was read so far",
    )


def test_an_older_lake_is_held_to_nothing_and_then_to_all_it_had() -> None:
    """Its first records are of every place, moved or not; a second such beginning does not pass for the first."""
    log = Log()
    log.seal("data/raw/old.parquet")
    assert log.told("main", owned("main", at(10))) == []
    log.commit(started(at(10), at(5, "q"), told=False), at(20), at(5, "q"))
    assert log.told("main", owned("main", at(20), at(5, "q"))) == []
    assert verdicts(log, "main", owned("main", at(20), at(6, "q"))) == ["altered"]
    log.commit(started(at(20), at(6, "q"), at(7, "new"), told=False), at(30))
    assert verdicts(log, "main", owned("main", at(30), at(6, "q"), at(7, "new"))) == ["altered", "altered"]


def test_many_places_are_several_records() -> None:
    """The beginning of a log, too."""
    places = [at(1, f"p{i:04}") for i in range(SOURCES_PER_RECORD + 1)]
    log = Log()
    log.commit(started(*places, told=False))
    assert [len(r.body["sources"]) for r in log.records[:2]] == [SOURCES_PER_RECORD, 1]
    assert log.told("main", owned("main", *places)) == []


def test_a_version_that_tells_no_positions_may_have_moved_them() -> None:
    """It seals rows and says nothing of positions: nothing is held to what stood before. Merged files are not that."""
    log = Log()
    log.commit(started(told=False), at(10))
    log.seal("data/raw/merged.parquet", replaces=("data/raw/a.parquet",))
    assert verdicts(log, "main", owned("main", at(20))) == ["altered"]
    log.seal("data/raw/by-an-older-version.parquet")
    assert log.told("main", owned("main", at(20))) == []
    log.commit(started(at(20), at(5, "q"), told=True), at(30))
    assert log.told("main", owned("main", at(30), at(5, "q"))) == []
    assert verdicts(log, "main", owned("main", at(31), at(5, "q"))) == ["altered"]
    log.seal("data/raw/by-an-older-version.parquet")
    log.commit(started(at(40), at(5, "q"), told=False), at(50))
    assert verdicts(log, "main", owned("main", at(50), at(6, "q"), at(9, "new"))) == ["unsigned", "altered"]


def test_places_go_from_worker_to_worker() -> None:
    """Each holds what is its own; there and back again is clean."""
    a, b = Log(), Log()
    a.commit(started(told=False), at(10), second=1)
    theirs = Course(owned("a", at(10)), "b", told=False)
    b.commit(theirs, at(10), second=2)
    b.commit(theirs, at(20), second=3)
    assert a.told("a", owned("b", at(20)), b=b) == []
    assert b.told("b", owned("b", at(20)), a=a) == []
    back = Course({}, "a", told=True)
    back.taken(at(20), ours=False)
    a.commit(back, at(20), second=4)
    a.commit(back, at(25), second=5)
    for name, log, other in (("a", a, {"b": b}), ("b", b, {"a": a})):
        assert log.told(name, owned("a", at(25)), **other) == []
        assert (verdicts(log, name, owned("b", at(20)), **other) == ["altered"]) is (name == "a")


def test_what_came_back_to_the_worker_that_had_it_goes_on() -> None:
    """A partition that only this worker ever had is gone on with like a file."""
    log = Log()
    log.commit(started(told=False), at(10))
    for base, expected in ((10, []), (20, []), (35, ["altered"])):
        course = Course({}, "main", told=True)
        course.taken(at(base), ours=True)
        log.commit(course, at(base))
        log.commit(course, at(base + 10))
        assert verdicts(log, "main", owned("main", at(base + 10))) == expected


def test_a_worker_that_never_was_cannot_have_had_a_place() -> None:
    """Neither as the owner in the catalogue, nor as the one a place came from."""
    log, other = Log(), Log()
    log.commit(started(told=False), at(10))
    assert verdicts(log, "main", owned("ghost", at(90))) == ["unsigned"]
    log.commit(Course(owned("ghost", at(90)), "main", told=True), at(100))
    assert verdicts(log, "main", owned("main", at(100))) == ["unsigned"]
    other.commit(started(told=False), at(1, "else"))
    assert verdicts(log, "main", owned("main", at(100)), other=other) == ["unsigned"]
    assert log.told("main", owned("main", at(100)), older=Log()) == []  # it may have had it and told nobody


def test_what_is_no_whole_number_of_json_is_told_as_text() -> None:
    """Offsets are 64 bits wide."""
    log = Log()
    log.commit(started(told=False), at((1 << 62) + 1))
    assert log.records[0].body["sources"][0]["offset"] == str((1 << 62) + 1)
    assert log.told("main", owned("main", at((1 << 62) + 1))) == []
    assert verdicts(log, "main", owned("main", at(1 << 62))) == ["altered"]


def test_the_digest_is_of_what_json_keeps() -> None:
    """However the keys stand, and whatever a file is called."""
    assert digest({"a": 1, "b": [1, 2.5]}) == digest({"b": [1, 2.5], "a": 1}) != digest({"a": 2, "b": [1, 2.5]})
    assert digest({"path": "\udcff"}) != digest({"path": "\udcfe"})
