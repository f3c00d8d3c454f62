"""Torn, glued, prefixed, blank, oversize: what the Vault decoder makes of records that are not one plain object."""

from __future__ import annotations

import json
import time
import tracemalloc
from dataclasses import replace

import pytest

from pipeline.decoders._remains import remains
from pipeline.decoders.vault import Config, create
from tests.decoding import Seen, batch_of, batch_of_records, drained, seen

DECODER = create(Config())


def entry(number: int, **more: object) -> bytes:
    body = {
        "time": f"2026-03-01T08:00:{number:02}Z", "type": "request",
        "request": {"id": f"id-{number}", "operation": "read", "path": "kv/data/app"}, **more,
    }  # fmt: skip
    return json.dumps(body, separators=(",", ":")).encode()


def told(data: bytes) -> list[tuple[int, str]]:
    """(position, id of the event or reason) of each piece."""
    return [told_of(piece) for piece in drained(DECODER, data)]


def told_of(piece: Seen) -> tuple[int, str]:
    return piece.position, piece.event["correlation_uid"] if piece.event else piece.reason


A, B = entry(1), entry(2)

LINES = {
    "two whole objects glued": (A + B, [(0, "id-1"), (len(A), "id-2")]),
    "a torn line glued to the next object": (A[:70] + B, [(0, "torn"), (70, "id-2")]),
    "a line torn inside a key, glued": (A[:11] + B, [(0, "torn"), (11, "id-2")]),
    "a line torn at a comma, glued": (A[: A.index(b",") + 1] + B, [(0, "torn"), (A.index(b",") + 1, "id-2")]),
    "a tail without a beginning, glued": (A[60:] + B, [(0, "torn"), (len(A) - 60, "id-2")]),
    "a torn line": (A[:70], [(0, "torn")]),
    "a tail alone": (b'","remote_address":"10.0.0.1"}}', [(0, "torn")]),
    "NULs, then an object": (b"\0" * 9 + A, [(0, "nul_run"), (9, "id-1")]),
    "NULs behind and before": (A + b"\0\0" + B, [(0, "id-1"), (len(A), "nul_run"), (len(A) + 2, "id-2")]),
    "a hole in a line": (A[:50] + b"\0" * 4 + A[54:], [(0, "torn"), (50, "nul_run"), (54, "torn")]),
    "a prefix": (b"@cee: " + A, [(0, "id-1")]),
    "a syslog header": (b"<29>Jan 12 06:30:00 db1 vault[1]: " + A, [(0, "id-1")]),
    "a byte order mark": (b"\xef\xbb\xbf" + A, [(0, "id-1")]),
    "a CR at the end": (A + b"\r", [(0, "id-1")]),
    "blanks around": (b"  " + A + b" \t ", [(2, "id-1")]),
    "bad UTF-8": (A.replace(b"app", b"\xff\xfe"), [(0, "bad_utf8")]),
    "a key twice": (A.replace(b'"path":', b'"path":"x","path":'), [(0, "duplicate_key")]),
    "a key twice, once with an escape": (A.replace(b'"path":', b'"p\\u0061th":"x","path":'), [(0, "duplicate_key")]),
    "a key twice, once with a blank": (A.replace(b'"path":', b'"path" :"x","path":'), [(0, "duplicate_key")]),
    "a key twice in metadata": (A[:-1] + b',"auth":{"metadata":{"role":"a","role":"b"}}}', [(0, "duplicate_key")]),
    "too deep": (A[:-2] + b',"data":' + b"[" * 70 + b"]" * 70 + b"}}", [(0, "too_deep")]),
    "much too deep": (A[:-2] + b',"data":' + b"[" * 9999 + b"]" * 9999 + b"}}", [(0, "too_deep")]),
    "a lone surrogate": (A.replace(b"app", b"\\ud800"), [(0, "lone_surrogate")]),
    "JSONx": (b'<json:object name="auth"></json:object>', [(0, "jsonx")]),
    "no object": (b'["a"]', [(0, "not_object")]),
    "another shape": (b'{"level":"info"}', [(0, "unknown_format")]),
    "plain text": (b"2026-03-01 started", [(0, "unknown_format")]),
    "a time that is none": (A.replace(b"2026-03-01T", b"yesterday "), [(0, "bad_time")]),
    "no time": (A.replace(b'"time"', b'"tame"'), [(0, "bad_time")]),
    "bad syntax": (A.replace(b'"request":{', b'"request":={'), [(0, "malformed")]),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_odd_line_between_good_ones(name: str) -> None:
    """Each oddity has its own reason and place, and the entries before and behind it are whole."""
    line, want = LINES[name]
    first, last = entry(58), entry(59)
    got = told(first + b"\n" + line + b"\n" + last + b"\n")
    moved = [(position + len(first) + 1, what) for position, what in want]
    assert got == [(0, "id-58"), *moved, (len(first) + len(line) + 2, "id-59")]


def test_blank_lines_are_no_pieces() -> None:
    """Empty lines, and lines of blanks, are nothing."""
    assert told(b"\n\n" + A + b"\n  \t\r\n\n" + B) == [(2, "id-1"), (len(A) + 9, "id-2")]


@pytest.mark.parametrize(
    ("moment", "read"),
    [
        ("1969-12-31T23:59:59.999999Z", False), ("1970-01-01T00:00:00Z", True), ("1970-01-01T00:30:00+01:00", False),
        ("8999-12-31T23:59:59.999999Z", True), ("9000-01-01T00:00:00Z", False), ("9000-01-01T00:00:00+01:00", True),
        ("9999-12-31T23:59:59Z", False), ("0001-01-01T00:00:00Z", False), ("8999-12-31T23:59:60Z", False),
    ],
)  # fmt: skip
def test_time_out_of_reach_of_a_clock(moment: str, read: bool) -> None:
    """A time before 1970 or from 9000 on is none, in any zone, whichever parser sees it."""
    for line in (
        entry(1, time=moment),
        b"x" + entry(1, time=moment),
        entry(1, time=moment, type="\x00"),
        entry(1, time=moment) + A,
    ):
        first = told(line)[0]
        assert first == (0, "id-1" if read else "bad_time")


def test_a_number_past_64_bits_is_no_reason() -> None:
    """A number that no column can hold leaves the column empty and the event whole."""
    line = A[:-1] + b',"auth":{"token_ttl":99999999999999999999}}'
    (piece,) = drained(DECODER, line)
    assert piece.event is not None
    assert piece.event["token_ttl"] is None


def test_nul_escape_is_shown_as_unknown_letter() -> None:
    """A NUL that is written as an escape does not reach a column."""
    (piece,) = drained(DECODER, A.replace(b"data/app", b"data/a\\u0000pp"))
    assert piece.event is not None
    assert piece.event["path"] == "kv/data/a\ufffdpp"


def test_objects_over_several_lines() -> None:
    """Pretty-printed objects, one after another and between plain ones, are one piece each."""
    pretty = json.dumps(json.loads(B), indent=2).encode()
    data = A + b"\n" + pretty + b"\n" + pretty.replace(b"\n", b"\r\n") + b"\n" + entry(3)
    pieces = drained(DECODER, data)
    assert [told_of(piece)[1] for piece in pieces] == ["id-1", "id-2", "id-2", "id-3"]
    assert pieces[1].text == pretty


def test_torn_line_does_not_swallow_the_objects_behind_it() -> None:
    """A line cut at a comma looks like the start of a long object, until the next entry shows that it is not."""
    torn = A[: A.index(b",") + 1]
    pretty = json.dumps(json.loads(B), indent=2).encode()
    assert [what for _, what in told(torn + b"\n" + entry(3) + b"\n")] == ["torn", "id-3"]
    assert [what for _, what in told(torn + b"\n" + pretty + b"\n")] == ["torn", "id-2"]


def test_unfinished_object_is_delivered_again() -> None:
    """An object that the batch cuts in two is not consumed, unless nothing will follow."""
    pretty = json.dumps(json.loads(B), indent=2).encode().split(b"\n")
    data = A + b"\n" + b"\n".join(pretty[:4]) + b"\n"
    waiting = DECODER.decode(batch_of(data, final=False))
    assert waiting.consumed == 1
    assert len(waiting.pieces.starts) == 1
    ended = DECODER.decode(batch_of(data, final=True))
    assert ended.consumed == 5
    assert {reason for _, reason in ended.rejected.rows()} == {"torn", "unknown_format"}


def test_records_that_stand_alone_are_not_put_together() -> None:
    """Where records may come from different senders, what one left half is torn, and no other's text completes it."""
    half, other = A[: A.index(b",") + 1], A[A.index(b",") + 1 :]
    pretty = json.dumps(json.loads(B), indent=2).encode()
    data = half + b"\n" + other + b"\n" + pretty + b"\n" + b"<29>1 - db1 vault 1 - - " + entry(3) + b"\n" + half
    assert [what for _, what in told(half + b"\n" + other)] == ["id-1"]
    for final in (False, True):
        decoded = DECODER.decode(replace(batch_of(data), alone=True, final=final))
        assert decoded.consumed == data.count(b"\n") + 1
        assert decoded.events["correlation_uid"].to_list() == ["id-3"]
        assert decoded.rejected["reason"][0] == decoded.rejected["reason"][-1] == "torn"


def test_object_without_end_is_given_up() -> None:
    """An object that goes on for ten thousand lines is refused, and what follows is read."""
    data = b'{"time":\n' + b"[\n" * 10_000 + A + b"\n"
    batch = batch_of(data, final=False)
    decoded = DECODER.decode(batch)
    assert decoded.consumed == len(batch)
    assert decoded.events["correlation_uid"].to_list() == ["id-1"]


def test_a_line_of_many_pieces_takes_its_time_once() -> None:
    """What is done for a piece does not grow with what lies behind it: a short line cannot hold up a run."""
    batch = batch_of(b"{}" * 60_000 + b'{"time"')
    began = time.process_time()
    assert len(DECODER.decode(batch).pieces.starts) == 2
    assert time.process_time() - began < 10


def test_a_torn_line_of_quotes_takes_little_room() -> None:
    """What may be kept of a line is found quote by quote, not in a list of all of them."""
    line = b'{"time":' + b'""' * 50_000
    tracemalloc.start()
    try:
        assert remains(line, "torn") == line
        assert tracemalloc.get_traced_memory()[1] < 10 * len(line)
    finally:
        tracemalloc.stop()


def test_a_giant_number_in_a_broken_object() -> None:
    """A number too long to be made does not stop the search for the place where the syntax breaks."""
    assert told(A[:-2] + b',"n":' + b"1" * 9_999 + b',"x":"\x01"}}') == [(0, "malformed")]


def test_oversize_record() -> None:
    """A record that the source had to cut is refused as such, though what is left of it looks whole."""
    batch = batch_of_records([A, B, entry(3)], oversize=[1])
    pieces = seen(batch, DECODER.decode(batch))
    assert [told_of(piece) for piece in pieces] == [(1000, "id-1"), (1001, "oversize"), (1002, "id-3")]


def test_records_without_line_ends_between() -> None:
    """Counted records (Kafka) keep their own number as position, glued or not, and may hold line ends."""
    pretty = json.dumps(json.loads(B), indent=2).encode()
    batch = batch_of_records([A, pretty, A[:70] + B, b"", B])
    pieces = seen(batch, DECODER.decode(batch))
    assert [told_of(piece) for piece in pieces] == [
        (1000, "id-1"), (1001, "id-2"), (1002, "torn"), (1002, "id-2"), (1004, "id-2"),
    ]  # fmt: skip
