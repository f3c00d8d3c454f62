"""Cutting what comes over a connection: the same lines however it is cut on the way, and bounded memory."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.listen.framing import Chunk, Framer, Lines, Syslog, datagram

CAP = 100
ENTRY = b'{"type":"request"}'
HEADER = b"<134>1 2026-03-01T10:00:00.000001Z host vault 7 - - "


def fed(framer: Framer, data: bytes, cuts: list[int]) -> Chunk:
    """`data` in pieces, and the end of the connection."""
    whole, at = Chunk(), 0
    for stop in [*sorted(cuts), len(data)]:
        join(whole, framer.feed(data[at:stop]))
        at = max(at, stop)
    join(whole, framer.end())
    return whole


def join(whole: Chunk, more: Chunk) -> None:
    whole.long += [type(long)(long.at + len(whole.data), long.kept, long.size, long.sha256) for long in more.long]
    whole.data += more.data


def lines(data: bytes) -> list[bytes]:
    return fed(Lines(CAP), data, []).data.splitlines()


def messages(data: bytes) -> list[bytes]:
    return bytes(fed(Syslog(CAP), data, []).data).split(b"\n")[:-1]


@given(st.binary(max_size=400), st.lists(st.integers(0, 400)))
def test_lines_do_not_depend_on_cuts(data: bytes, cuts: list[int]) -> None:
    """Any bytes give the same lines in whatever pieces they come, each byte once, and no more is held than the cap."""
    whole, cut = fed(Lines(CAP), data, []), fed(Lines(CAP), data, cuts)
    assert cut.data.endswith(b"\n") or not data
    if all(len(line) <= CAP for line in data.split(b"\n")):
        assert cut == whole
        assert cut.data == (data if data.endswith(b"\n") or not data else data + b"\n")


@given(st.lists(st.binary(max_size=60)), st.lists(st.integers(0, 4000)), st.data())
def test_syslog_does_not_depend_on_cuts(bodies: list[bytes], cuts: list[int], draw: st.DataObject) -> None:
    """Counted and LF-ended messages in any mixture come out whole, whatever they hold, however they are cut."""
    sent, wanted = b"", []
    for body in bodies:
        message = b"<13>" + body
        if draw.draw(st.booleans()):
            sent += b"%d %s" % (len(message), message)
            wanted.append(message.rstrip(b"\r\n\0").replace(b"\n", b" "))
        else:
            message = message.replace(b"\n", b" ")
            sent += message + b"\n"
            wanted.append(message.rstrip(b"\r\n\0"))
    assert bytes(fed(Syslog(CAP), sent, cuts).data) == b"".join(line + b"\n" for line in wanted)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_no_bytes_break_syslog(data: bytes, cuts: list[int]) -> None:
    """Any bytes are lines in the end: nothing raises, nothing is held back, no cut matters."""
    framer = Syslog(1 << 20)
    assert fed(framer, data, cuts) == fed(Syslog(1 << 20), data, [])
    assert not framer.rest.size


@pytest.mark.parametrize("framer", [Lines(CAP), Syslog(CAP)])
@pytest.mark.parametrize("step", [1, 7, 64, 5000])
def test_a_long_line_keeps_its_beginning(framer: Framer, step: int) -> None:
    """Of a line past the cap the beginning stays, with size and SHA-256 of all of it; the next line is whole."""
    long = b"<" + b"x" * 4999
    data = long + b"\n" + ENTRY + b"\n"
    chunk = Chunk()
    for at in range(0, len(data), step):
        join(chunk, framer.feed(data[at : at + step]))
        assert framer.rest.held <= CAP
    first, second = chunk.data.splitlines()
    if chunk.long:  # not where it came whole in one piece: then the reader cuts it
        assert long.startswith(first)
        assert [(one.at, one.kept, one.size, one.sha256) for one in chunk.long] == [
            (0, len(first), 5000, hashlib.sha256(long).digest())
        ]
    else:
        assert first == long
        assert step == 5000
    assert second == ENTRY


def test_no_line_end_ever() -> None:
    """A sender without line ends is held to the cap, and what it sent is one line when it goes."""
    framer = Lines(CAP)
    for _ in range(1000):
        assert not framer.feed(b"\xff" * 1000).data
        assert framer.rest.held <= CAP
    end = framer.end()
    assert end.data == b"\xff" * CAP + b"\n"
    assert end.long[0].size == 1_000_000


def test_a_connection_that_ends_within_a_line() -> None:
    """What is left is a line of its own; an ended connection leaves nothing else."""
    assert lines(b'{"a":1}\n{"b":') == [b'{"a":1}', b'{"b":']
    assert messages(b"25 <13>{" + ENTRY) == [b"<13>{" + ENTRY]
    assert messages(b"12") == [b"12"]
    assert messages(b"") == []


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (b"%d %s" % (len(HEADER + ENTRY), HEADER + ENTRY), [HEADER + ENTRY]),
        (b"<86>Mar  1 10:00:00 host vault[7]: " + ENTRY + b"\n", [b"<86>Mar  1 10:00:00 host vault[7]: " + ENTRY]),
        (b"12 <13>{\n\"a\":1}", [b'<13>{ "a":1}']),  # LF within a message
        (b"7 <13>{}\n7 <13>{} \r\n<13>{}\n", [b"<13>{}", b"<13>{} ", b"<13>{}"]),  # LF within the count; CR LF
        (b"0 <13>{}\n", [b"0 <13>{}"]),  # no length begins with 0
        (b"1234567890 <13>{}\n", [b"1234567890 <13>{}"]),  # nor is it that long
        (b"GET / HTTP/1.1\r\n\r\n", [b"GET / HTTP/1.1"]),
    ],
)  # fmt: skip
def test_frames_as_senders_make_them(sent: bytes, wanted: list[bytes]) -> None:
    """RFC 6587's two framings, in the forms of rsyslog, and what is neither."""
    assert messages(sent) == wanted


def test_datagrams() -> None:
    """A datagram needs no line end; one of syslog is one line, whatever is in it."""
    assert datagram(ENTRY, syslog=False).data == ENTRY + b"\n"
    assert datagram(ENTRY + b"\n" + ENTRY + b"\n", syslog=False).data == ENTRY + b"\n" + ENTRY + b"\n"
    assert datagram(b"<13>a\nb\n\0", syslog=True).data == b"<13>a b\n"
    assert not datagram(b"", syslog=True).data
