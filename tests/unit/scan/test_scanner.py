"""The scanner over streams: places, times and secrets of leaks, and what hostile bytes do to it."""

from __future__ import annotations

import datetime as dt
import re
import resource
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scan import RULES, Key, Leak, Scanner
from pipeline.scan.rule import Match, Place
from tests.lakes import real_logs
from tests.unit.scan.cases import FIRES
from tests.unit.scan.credentials import letters

KEY = Key(b"a key of the tests")
CASES = [case for cases in FIRES.values() for case in cases]
TOKEN = "hvs." + letters(24)


def scan(text: bytes, block: int = 1 << 20, key: Key = KEY) -> list[Leak]:
    """What is found in a stream that comes in blocks of this size."""
    scanner = Scanner(RULES, key)
    found = [leak for at in range(0, len(text), block) for leak in scanner.feed(text[at : at + block])]
    return found + list(scanner.finish())


def everything() -> bytes:
    """A stream with every case, far enough apart and with a line longer than what is looked at together."""
    lines = [f"2026-03-04T11:02:{n % 60:02}Z {line}" for n, (line, _) in enumerate(CASES)]
    filler = "x y z " * 700
    return (
        "\n".join(part for line in lines for part in (line, filler)).encode()
        + b"\n"
        + b"long " * 9_000
        + TOKEN.encode()
    )


def test_blocks_do_not_matter() -> None:
    """However a stream is cut, the same leaks are found, at the same places, with the same times and secrets."""
    text = everything()
    whole = scan(text)
    assert {leak.rule for leak in whole} == {rule.name for rule in RULES}
    assert all(scan(text, block) == whole for block in (4_099, 65_536))


@given(st.integers(0, 40), st.integers(20_000, 60_000), st.integers(1, 50_000))
def test_no_cut_hides_a_leak(where: int, before: int, block: int) -> None:
    """Wherever a credential lies in its block it is found."""
    line = CASES[where % len(CASES)][0].encode()
    text = b"a b c d " * (before // 8) + b"\n" + line + b"\n" + b"e f g h " * 3_000
    assert scan(text, block + 1_000) == scan(text) != []


@given(st.binary(max_size=4_000), st.integers(1, 500))
def test_no_bytes_are_too_strange(noise: bytes, block: int) -> None:
    """Bytes of any kind, NULs and bad UTF-8 included, are read over, and a leak among them is found."""
    found = scan(noise + b"\n\xff\x00 " + TOKEN.encode() + b"\x00\xfe" + noise, block)
    assert KEY.hash(TOKEN.encode()) in {leak.keyed_hash for leak in found}


def test_a_position_is_that_of_the_line() -> None:
    """It is the offset of the line's first byte, even of one that began long ago, and of a key's first line."""
    text = b"one\n" + b"w " * 50_000 + TOKEN.encode() + b"\n" + FIRES["private_key"][0][0].encode()
    assert [(leak.rule, leak.position) for leak in scan(text, 10_000)] == [
        ("vault_service_token", 4), ("private_key", text.index(b"-----BEGIN")),
    ]  # fmt: skip


def test_one_secret_is_told_once_a_line() -> None:
    """Twice in one line is one leak; in two lines it is two with one hash."""
    found = scan(f"{TOKEN} {TOKEN}\n{TOKEN}\n".encode())
    assert [leak.position for leak in found] == [0, 2 * len(TOKEN) + 2]
    assert len({leak.keyed_hash for leak in found}) == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-03-04T11:02:55.25Z {}", "2026-03-04T11:02:55.25+00:00"),
        ("2026-03-04 13:02:55,250 +0200 {}", "2026-03-04T11:02:55.25+00:00"),
        ("[2026/03/04 11:02:55] {}", "2026-03-04T11:02:55+00:00"),
        ('10.0.0.1 - - [04/Mar/2026:12:02:55 +0100] "GET /?t={}"', "2026-03-04T11:02:55+00:00"),
        ('{{"msg":"{}","time":"2026-03-04T11:02:55Z"}}', "2026-03-04T11:02:55+00:00"),
        ('{{"ts":1772622175.5,"msg":"{}"}}', "2026-03-04T11:02:55.5+00:00"),
        ('{{"timestamp":1772622175500,"msg":"{}"}}', "2026-03-04T11:02:55.5+00:00"),
        ("2026-03-04T11:02:55Z failed\n\tat {}", "2026-03-04T11:02:55+00:00"),
        ("2026-13-99T11:02:55Z {}", None),
        ("Mar  4 11:02:55 host app: {}", None),
        ("{} expires 2030-01-01", None),
    ],
)
def test_times(line: str, expected: str | None) -> None:
    """A leak has its line's time in UTC, else that of the nearest line before it, else none."""
    (leak,) = scan(line.format(TOKEN).encode())
    assert leak.time == (None if expected is None else dt.datetime.fromisoformat(expected))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{{"request":{{"path":"kv/data/app/db","mount_type":"kv"}},"token":"{}"}}', "kv/app/db"),
        ("level=error path=database/creds/app err={}", "database/app"),
        ("secret_path=kv/app/db token={}", "kv/app/db"),
        ("secret=projects/p1/secrets/db/versions/2 token={}", "projects/p1/secrets/db"),
        ("path=/var/log/app.log token={}", None),
        ("path=api/users token={}", None),
        ("path=src/main/App.java token={}", None),
        ("secret_path={} other", None),
        ("secret_path=kv/{}/x other={}", None),
    ],
)
def test_secrets(line: str, expected: str | None) -> None:
    """The secret is what the line says by a path, as the views name it, and never holds a credential."""
    found = scan(line.replace("{}", TOKEN).replace("{{", "{").replace("}}", "}").encode())
    assert {leak.secret for leak in found} == {expected}


def test_known_hashes_are_no_leaks() -> None:
    """A credential whose hash is declared as known is passed over."""
    known = Key(b"a key of the tests", [KEY.hash(TOKEN.encode())])
    assert scan(TOKEN.encode(), key=known) == []


def test_another_key_gives_another_hash() -> None:
    """Hashes of two users cannot be compared, and neither shows its key."""
    (one,), (other,) = scan(TOKEN.encode()), scan(TOKEN.encode(), key=Key(b"another key"))
    assert one.keyed_hash != other.keyed_hash
    assert "tests" not in repr(KEY)


def test_a_device_that_logs_in_clear() -> None:
    """In what a real server wrote, every token of the raw device is found, and nothing in what the others hashed."""
    folder = real_logs("openbao-live")
    for log in sorted(folder.glob("*.log")):
        text = log.read_bytes()
        tokens = {KEY.hash(token) for token in re.findall(rb"(?<![\w.-])[sbr]\.[A-Za-z0-9]{24}(?!\w)", text)}
        found = {leak.keyed_hash for leak in scan(text) if leak.rule != "password"}
        assert found == tokens
        assert bool(found) == (log.name == "raw.log")


def test_what_was_matched_is_not_shown() -> None:
    """Not even where somebody prints what the rules hand about."""
    assert TOKEN not in repr(Match(0, 28, TOKEN.encode())) + repr(Place(TOKEN.encode(), 0))


@pytest.mark.parametrize(
    "piece",
    [b"eyJ", b"password=", b"=s.", b"a://b:", b" AKIA", b"-----BEGIN PRIVATE KEY-----", b"secret_id=", b"\0", b"[",
     b"basic AAAAAAAA", b'token":"', b"path=a/", b"sig="],
)  # fmt: skip
def test_hostile_repetition(piece: bytes) -> None:
    """What makes a rule look again and again costs time in proportion, and no memory."""
    half, whole = (piece * (size // len(piece)) for size in (1 << 16, 1 << 17))
    before, marks = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for text in (half, whole):
        begun = time.process_time()
        scan(text)
        marks.append(time.process_time() - begun)
    assert marks[1] < 6 * marks[0] + 0.2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
